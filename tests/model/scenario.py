"""One host and those who act on it: which step comes next, and what an event does to it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.model.disk import EMPTY, KEPT, LOST, TIME_BEFORE, FaultyDisk, Killed, realize
from tests.model.host import (
    BOOT_UPTIME,
    CHANGED,
    CREATED,
    LINKED,
    MANAGED,
    REMOVED,
    STATE,
    UNITS,
    Blocked,
    Box,
    Processes,
    SimulatedMachine,
    StepEnded,
    new_host,
)
from tests.model.parties import ADA, BACK, BOB, CAROL, EVE, UP, Party, host_knows
from tests.model.program import Program
from tests.model.truth import Broken, check_answer, check_end, check_now

CUTS = (KEPT, LOST, EMPTY)
BARS = ("/", "/etc/toy", UNITS, STATE)
EDITS: Mapping[str, tuple[str, bytes]] = {
    "edit-a": (CHANGED, b"a by hand"),
    "edit-link": (LINKED, b"link by hand"),
    "edit-gone": (REMOVED, b"gone by hand"),
    "edit-c": (CREATED, b"c by hand"),
}
BETWEEN = (
    *("timer", "slow", "long", "dies", "again", "again-good", "other", "third", "turn", "confirm"),
    *(*CUTS, "full", *(f"bar:{path}" for path in BARS), "repair", *EDITS),
)
"""What can happen between two steps."""

KINDS = (
    *("timer", "dies", "again", "again-good", "other", "third", "turn", "confirm", "repair"),
    *("cut", "cut-lost", "full", "bar:/", "bar:/etc/toy", "edit-a", "edit-c"),
)
"""Those of them of which three are tried."""

ONCE = ("kill", *CUTS, "full", *(f"bar:{path}" for path in BARS))
"""What can happen at any call that changes something."""

CALL_FAILS = ("call-fails", "call-hangs")
NESTED = ("timer", "link", "confirm", "other")
_UPTIME_LATER = 1000.0
_MOST_RETRIES = 6


@dataclass(frozen=True, slots=True)
class Event:
    """What happens in a step: before its call number ``at``, or with 0 before the step."""

    at: int
    word: str


class State:
    """A host, and those who act on it."""

    __slots__ = ("box", "edits", "is_faulty", "parties", "past", "probes", "was_barred")

    def __init__(self, box: Box, parties: tuple[Party, ...] = ()) -> None:
        self.box = box
        self.parties = parties
        self.edits: tuple[tuple[str, bytes], ...] = ()
        self.past: tuple[tuple[str, str], ...] = ()
        """Of each deployment the state that was on the host's disk when it was last looked at."""
        self.is_faulty = False
        """Whether a program that the host runs has failed: not all may be live."""
        self.probes = 0
        self.was_barred = False
        """Whether a folder could not be written: what is to be removed may be left to the next."""

    def copy(self) -> State:
        """Return another that is the same."""
        made = State(self.box.copy(), self.parties)
        made.edits, made.past, made.is_faulty = self.edits, self.past, self.is_faulty
        made.probes, made.was_barred = self.probes, self.was_barred
        return made

    def mark(self) -> int:
        """Return a number that tells it from every other that is not the same."""
        return hash(
            (
                (self.box.mark(), self.parties, self.edits, self.past),
                (self.is_faulty, self.probes, self.was_barred),
            )
        )

    @property
    def next_step(self) -> str:
        """What comes next if nothing happens; empty if nothing is left to do."""
        box = self.box
        has_faults = box.faults.is_full or bool(box.faults.barred)
        if box.early:
            return "early"
        if box.late and not box.retries:
            return "late"
        if box.service and not box.retries:
            return "timer"
        for party in self.parties:
            if party.todo:
                return f"{party.name}:{party.todo[0]}"
        if has_faults and (box.retries or not (box.timer or box.service or box.late)):
            return "repair"
        if box.retries > _MOST_RETRIES:
            raise Broken("the way back does not come to its end")
        if box.late:
            return "late"
        if box.service:
            return "timer"
        if box.timer:
            return "fire"
        return ""

    def party(self, name: str) -> Party | None:
        """Return a party by its name."""
        return next((each for each in self.parties if each.name == name), None)

    def set_party(self, party: Party) -> None:
        """Put a party in the place of the one of its name."""
        self.parties = tuple(party if each.name == party.name else each for each in self.parties)


class Outcome:
    """What became of a step."""

    __slots__ = ("calls", "has_happened", "state")

    def __init__(self, state: State, calls: list[tuple[str, str, bool]], happened: bool) -> None:
        self.state = state
        self.calls = calls
        """Of each call its name, what it was about, whether it changes anything."""
        self.has_happened = happened


class Runner:
    """Runs steps of the real program on a folder of this machine."""

    def __init__(self, program: Program, *, is_thorough: bool = False) -> None:
        self.program = program
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.top = Path(tempfile.mkdtemp(prefix="model", dir=place)).resolve()
        self.top.chmod(0o755)
        self._shown = Box(new_host().tree.copy()).tree
        self._shown.root.entries = {}
        self._is_thorough = is_thorough
        self.steps = 0
        os.umask(0o022)

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.top)

    # -- where it begins -------------------------------------------------------------------

    def first(self) -> State:
        """Return a host with one deployment confirmed, and a controller that begins the next."""
        state = State(new_host(), (Party(ADA, "one", UP),))
        while state.parties[0].todo:
            state = self.run(state).state
        assert state.parties[0].outcome == "confirmed", state.parties
        state = state.copy()
        toy = state.box.tree.root.find("/etc/toy")
        assert toy is not None
        for name in ("a", "gone"):
            state.box.tree.own(toy, name).time = TIME_BEFORE
        state.box.tree.root.sync_all()
        applied = host_knows(state.box.tree.root)["applied"]
        state.parties = (Party(ADA, "two", UP).planned(state.box.tree.root, applied),)
        return state

    # -- steps -----------------------------------------------------------------------------

    def run(self, before: State, event: Event | None = None) -> Outcome:
        """Run the next step of a state, with an event in it.

        Raises:
            Broken: if something is not as promised.
        """
        self.steps += 1
        state = before.copy()
        step = state.next_step
        if step in {"fire", "repair"}:
            _pass_time(state, step)
            return Outcome(state, [], happened=event is None)
        self._show(state.box)
        return _Step(self, state, step, event).run()

    def _show(self, box: Box) -> None:
        realize(str(self.top), self._shown.root, box.tree.root)
        self._shown = box.tree
        if self._is_thorough:
            self.compare(box)

    def compare(self, box: Box) -> None:
        """Compare what is said to be in the folder with what is."""
        from tests.model.disk import seen_in

        seen, said = seen_in(self.top), box.tree.root
        listed = [
            {
                path: (node.kind, node.content, node.aim)
                + (node.form if node.kind != "folder" else (node.mode,))
                for path, node in root.walk()
                if True
            }
            for root in (seen, said)
        ]
        for each in listed:  # the time of a link is nobody's
            for path, what in each.items():
                if what[0] == "link":
                    each[path] = what[:3]
        assert listed[0] == listed[1], {*listed[0].items()} ^ {*listed[1].items()}

    # -- between steps ---------------------------------------------------------------------

    def happen(self, before: State, word: str) -> State | None:
        """Return a state after an event between two steps; None if it cannot happen there."""
        state = before.copy()
        if word in EDITS:
            self._show(state.box)
            if not edit(self, state, word):
                return None
        elif not _happen(state, word):
            return None
        check_now(state)
        return state


def edit(runner: Runner, state: State, word: str) -> bool:
    """Edit a file by hand; whether it was possible."""
    path, content = EDITS[word]
    if any(edited == path for edited, _ in state.edits):
        return False
    if not state.box.edit(path, content, str(runner.top)):
        return False
    state.edits = (*state.edits, (path, content))
    return True


def _pass_time(state: State, step: str) -> None:
    box = state.box
    if step == "repair":
        box.faults.is_full = False
        box.faults.barred = ""
        return
    assert box.timer is not None
    deadline, name = box.timer
    box.uptime = max(box.uptime, deadline)
    box.timer, box.service, box.retries = None, name, 0


def _happen(state: State, word: str) -> bool:
    box = state.box
    ada = state.party(ADA)
    has_faults = box.faults.is_full or bool(box.faults.barred)
    if word == "timer":
        if box.timer is None:
            return False
        _pass_time(state, "fire")
    elif word == "slow":
        if box.timer is None or box.uptime > box.timer[0]:
            return False
        box.uptime = box.timer[0] + 1
    elif word == "long":
        if box.timer is not None or box.uptime >= _UPTIME_LATER + 1000:
            return False
        box.uptime += _UPTIME_LATER
    elif word in CUTS:
        box.cut_power(word)
    elif word == "full":
        if has_faults:
            return False
        box.faults.is_full = True
    elif word.startswith("bar:"):
        if has_faults:
            return False
        box.faults.bar(word[4:], box.tree.root)
        state.was_barred = True
    elif word == "repair":
        if not has_faults:
            return False
        _pass_time(state, "repair")
    elif word == "turn":
        if len([each for each in state.parties if each.todo]) < 2:
            return False
        state.parties = state.parties[::-1]
    elif word == "dies":
        if ada is None or not ada.todo:
            return False
        state.set_party(replace(ada, todo=()))
    elif word in {"again", "again-good"}:
        return _again(state, ada, is_good=word == "again-good")
    elif word in {"other", "third"}:
        if box.early or state.party(BOB) is not None:
            return False
        knows = host_knows(box.tree.root)
        todo = ("lock", "unlock") if word == "other" else UP
        made = Party(BOB, "three", todo).planned(box.tree.root, knows["applied"])
        state.parties = (made, *state.parties)
    elif word == "confirm":
        if box.early or state.party(EVE) is not None or ada is None or not ada.was_armed:
            return False
        state.parties = (Party(EVE, "two", ("confirm",), is_finishing=True), *state.parties)
    else:
        raise AssertionError(word)
    return True


def _again(state: State, ada: Party | None, *, is_good: bool) -> bool:
    if ada is None or state.box.early or ada.is_finishing or ada.outcome not in {"", "unknown"}:
        return False
    if not ada.journal and ada.todo == UP:
        return False
    if is_good and ada.journal not in {"activated", "confirming"}:
        return False
    if not is_good and ada.journal == "confirming":
        return False
    state.set_party(ada.again(is_good=is_good))
    return True


class _Step:
    """One process of the program, with an event in it, and what other process that begins."""

    def __init__(self, runner: Runner, state: State, step: str, event: Event | None) -> None:
        self._runner = runner
        self._state = state
        self._step = step
        self._event = event
        self._calls: list[tuple[str, str, bool]] = []
        self._count = 0
        self._happened = False
        self._cut = ""
        self._before: Mapping[str, Any] = {}
        """What the host knew when the process began to have its mutex."""
        self._is_link_lost = False
        self._processes = Processes()

    def run(self) -> Outcome:
        state, box = self._state, self._state.box
        party = None
        if ":" in self._step:
            party = state.party(self._step.partition(":")[0])
            assert party is not None
            if party.base is None:
                knows = host_knows(box.tree.root)
                party = party.planned(box.tree.root, knows["applied"])
            party = party.sending()
            state.set_party(party)
        self._before = host_knows(box.tree.root)
        was_early = self._step == "early"
        try:
            answer = self._process(self._step, 1, self._before_call)
            self._at_the_end()
            is_ended = False
        except Killed:
            answer, is_ended = None, True
        self._settle(party, answer, is_ended=is_ended, was_early=was_early)
        check_now(state)
        return Outcome(state, self._calls, happened=self._event is None or self._happened)

    def _settle(self, party: Party | None, answer: Any, *, is_ended: bool, was_early: bool) -> None:
        state, box = self._state, self._state.box
        if self._cut:
            state.box.tree = box.tree.copy()  # the folder is as it was before
            box.cut_power(self._cut)
        if party is not None:
            if self._is_link_lost:
                return  # it has gone on meanwhile
            if answer is not None:
                check_answer(state, party, party.todo[0], answer, self._before)
            state.set_party(party.after(answer, is_lost=bool(self._cut)))
            return
        if self._cut:
            return
        if was_early:
            box.start_daemons()
            return
        self._settle_switch(answer, is_ended=is_ended, step=self._step)

    def _settle_switch(self, status: Any, *, is_ended: bool, step: str) -> None:
        box = self._state.box
        if is_ended or status == self._runner.program.retry:
            box.retries += 1
            box.uptime += 5
            return
        assert status == 0, status
        box.retries = 0
        if step == "late":
            box.late = ""
        else:
            box.service = ""

    # -- processes -------------------------------------------------------------------------

    def _process(self, step: str, number: int, before_call: Any) -> Any:
        """Run one process to its end; return its answer, or its exit status."""
        runner, state = self._runner, self._state
        machine = SimulatedMachine(
            runner.top, state.box, self._processes, before_call, number=number
        )
        is_killed = True
        try:
            answer = self._act(machine, step)
            is_killed = False
        finally:
            os.close(machine.root)
            left = machine.faulty.forget()
            if is_killed:
                _close_below(runner.top, machine.open_before)
            if number == 1:
                self._processes.step = ""
        if left:
            raise Broken(f"{step} left {left} files open")
        return answer

    def _act(self, machine: SimulatedMachine, step: str) -> Any:
        program = self._runner.program
        if ":" not in step:
            name = self._state.box.service if step == "timer" else self._of_the_boot(step)
            if not self._state.box.has_program(f"{STATE}/deployments/{name}/program"):
                return 0  # Python ends with 2, which the unit says is well
            try:
                return program.switch(machine, [name, step])
            except Exception as error:
                raise Broken(f"{step} ends with {error!r}") from error
        party = self._state.party(step.partition(":")[0])
        verb = step.partition(":")[2]
        assert party is not None
        try:
            asked = program.verbs[verb].read(party.words(verb), party.data(verb))
            said = program.verbs[verb].act(machine, asked)
        except program.refusal as refusal:
            said = program.answer(refusal)
        except Exception as error:
            raise Broken(f"{step} ends with {error!r}") from error
        return json.loads(said)

    def _of_the_boot(self, step: str) -> str:
        return self._state.box.early if step == "early" else self._state.box.late

    # -- the event -------------------------------------------------------------------------

    def _before_call(self, disk: FaultyDisk, word: str, name: str, is_change: bool) -> str:
        self._count += 1
        if self._event is None:
            self._calls.append((word, name, is_change))
            return ""
        if self._count != self._event.at:
            return ""
        return self._begin(disk, word)

    def _at_the_end(self) -> None:
        """Let happen what happens after the last call, before the answer is out."""
        if self._event is not None and self._event.at == self._count + 1:
            self._happened = True
            if self._event.word in CUTS:
                self._cut = self._event.word
                raise Killed
            if self._event.word == "kill":
                raise Killed
            self._happened = False

    def _begin(self, disk: FaultyDisk, call: str) -> str:
        assert self._event is not None
        word = self._event.word
        self._happened = True
        if word in CUTS or word == "kill":
            self._cut = word if word in CUTS else ""
            disk.is_ended = True
            raise Killed
        if word == "torn":
            self._happened = disk.is_torn = call == "write"
        elif word in CALL_FAILS:
            self._happened = self._state.is_faulty = call == "call"
            return word
        elif word in EDITS:
            self._happened = edit(self._runner, self._state, word)
        elif word in NESTED:
            self._happened = self._begin_another(disk, word)
        else:
            self._happened = _happen(self._state, word)
        return ""

    def _begin_another(self, disk: FaultyDisk, word: str) -> bool:
        """Begin another process meanwhile: it may end this one, wait for it, or be done before."""
        state = self._state
        if word == "link":
            return self._lose_link(disk)
        if not _happen(state, word):
            return False
        step = {"timer": "timer", "confirm": f"{EVE}:confirm", "other": f"{BOB}:lock"}[word]
        self._run_another(disk, step)
        return True

    def _run_another(self, disk: FaultyDisk, step: str) -> None:
        state = self._state
        before = host_knows(state.box.tree.root)
        try:
            answer = self._process(step, 2, lambda *_: "")
        except Blocked:
            return
        except StepEnded:
            disk.is_ended = True
            raise Killed from None
        self._before = host_knows(state.box.tree.root)
        if step == "timer":
            self._settle_switch(answer, is_ended=False, step=step)
            return
        party = state.party(step.partition(":")[0])
        assert party is not None
        check_answer(state, party, party.todo[0], answer, before)
        state.set_party(party.after(answer))

    def _lose_link(self, disk: FaultyDisk) -> bool:
        """Have the controller lose its connection, and ask the host to go back over another."""
        party = self._state.party(self._step.partition(":")[0])
        if party is None or party.name != ADA or party.is_finishing:
            return False
        if party.todo[0] not in {"arm", "swap", "activate"}:
            return False
        self._is_link_lost = True
        self._state.set_party(replace(party, todo=BACK, has_failed=True))
        self._run_another(disk, f"{ADA}:rollback")
        return True


def _close_below(top: Path, but: set[str]) -> None:
    """Close the files below a folder that a process which was ended had open."""
    for descriptor in {*os.listdir("/proc/self/fd")} - but:  # names only
        try:
            where = os.readlink(f"/proc/self/fd/{descriptor}")
            if where.startswith(str(top)):
                os.close(int(descriptor))
        except OSError:
            continue  # the listing's own


def finish(runner: Runner, state: State, known: set[int]) -> None:
    """Let time run out, and look at what is left; then a new controller must have its way.

    ``known`` are marks of states from which that was done.

    Raises:
        Broken: if something is not as promised.
    """
    ended = _run_out(runner, state, known)
    if ended is None:
        return
    check_end(ended)
    ada = ended.party(ADA)
    if ada is not None and not ended.probes and ada.journal and ada.outcome in {"", "unknown"}:
        ended = ended.copy()
        ended.probes = 1
        ended.set_party(ada.again(is_good=ada.journal in {"activated", "confirming"}))
        ended = _run_out(runner, ended, known)
        if ended is None:
            return
        check_end(ended)
    ended = ended.copy()
    ended.parties, ended.probes = (Party(CAROL, "four", UP),), 2
    ended.box.uptime, ended.was_barred = 2 * _UPTIME_LATER + 1000, False
    last = _run_out(runner, ended, known)
    if last is not None:
        check_end(last, is_last=True)


def _run_out(runner: Runner, state: State, known: set[int]) -> State | None:
    """Return the state after the last step; None if one on the way is known."""
    while True:
        mark = state.mark()
        if mark in known:
            return None
        known.add(mark)
        if not state.next_step:
            return state
        state = runner.run(state).state


__all__ = ["BETWEEN", "BOOT_UPTIME", "MANAGED", "Event", "Runner", "State", "finish"]
