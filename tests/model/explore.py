"""Every interleaving: from each state the next step, and every event that can happen there.

States that are the same are gone on from once; their interleavings are counted all the same. A
*layer* is what can be reached with so many events; from the last one a course runs to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from tests.model.scenario import (
    BETWEEN,
    CALL_FAILS,
    CUTS,
    EDITS,
    KINDS,
    NESTED,
    ONCE,
    Event,
    Runner,
    State,
    finish,
)
from tests.model.truth import Broken

ANY, SHORT, BETWEEN_ONLY, KINDS_ONLY = "any", "short", "between", "kinds"
"""Where an event may be: between two steps and at every call; between two steps, and only the loss
of power, of the process or of room at every call that changes something; between two steps only;
there, and one or two of each kind only."""

CHANGING, RETURNING = "changing", "returning"
"""The loss of power or of the process at every call that changes something, of the steps that
change a host, or of those that bring it back."""

_SHORT_WORDS = ("kill", "cut-lost", "full")
_ENDS = ("kill", "cut-lost")
_STEPS = {
    CHANGING: {"ada:swap", "ada:activate", "ada:confirm"},
    RETURNING: {"timer", "early", "late", "ada:rollback"},
}


@dataclass(frozen=True, slots=True)
class Placed:
    """An event at a place of a whole course: in step number ``step``."""

    step: int
    name: str
    event: Event

    def __str__(self) -> str:
        return f"{self.step}.{self.name}@{self.event.at}={self.event.word}"


def parse(line: str) -> list[Placed]:
    """Return the events that a line names."""
    placed = []
    for part in line.split():
        where, _, word = part.partition("=")
        name, _, at = where.rpartition("@")
        number, _, step = name.partition(".")
        placed.append(Placed(int(number), step, Event(int(at), word)))
    return placed


@dataclass
class Found:
    """What an exploration has found."""

    interleavings: int = 0
    states: int = 0
    steps: int = 0
    ends: int = 0
    broken: list[tuple[str, str]] = field(default_factory=list)
    """What is not as promised, and the events that lead there."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A state, after which step of a course it is reached, by which events."""

    state: State
    number: int
    path: tuple[Placed, ...]


class Explorer:
    """Goes through all interleavings from a state.

    Of several that divide the work, ``share`` tells which states' last events are this one's.
    """

    def __init__(
        self,
        runner: Runner,
        budget: Sequence[str],
        *,
        share: Callable[[int], bool] = lambda _: True,
        most_broken: int = 20,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._runner = runner
        self._budget = tuple(budget)
        self._share = share
        self._most_broken = most_broken
        self._tell = tell
        self._after: dict[tuple[int, str], tuple[int | None, tuple[int, ...]]] = {}
        """Of a state: the one after its next step, and those after an event."""
        self._finished: set[int] = set()
        self._counts: dict[tuple[int, int], int] = {}
        self.found = Found()

    def explore(self, state: State) -> Found:
        """Go through all that can follow."""
        first = state.mark()
        layer = [Entry(state, 0, ())]
        for number in range(len(self._budget)):
            layer = list(self._layer(layer, number))
        self.found.states = len(self._after)
        self.found.steps = self._runner.steps
        self.found.interleavings = self._count(first, 0)
        return self.found

    def _layer(self, entries: Sequence[Entry], layer: int) -> Iterator[Entry]:
        """Yield what one event more leads to; from the last layer nothing, but it is finished."""
        where, is_last = self._budget[layer], layer == len(self._budget) - 1
        for index, entry in enumerate(entries):
            if index % 50 == 0:
                self._tell(f"layer {layer}: {index} of {len(entries)}, {self._runner.steps} steps")
            here: Entry | None = entry
            while here is not None and len(self.found.broken) < self._most_broken:
                mark = here.state.mark()
                if (mark, where) in self._after:
                    break
                reached = []
                if not is_last or self._share(mark):
                    for placed, after in self._events(here, where):
                        reached.append(after.mark())
                        number = here.number + (placed.event.at > 0)
                        entered = Entry(after, number, (*here.path, placed))
                        if is_last:
                            self._finish(entered)
                        else:
                            yield entered
                following = self._next(here)
                after_mark = None if following is None else following.state.mark()
                self._after[mark, where] = (after_mark, tuple(reached))
                if following is None and self._share(mark):
                    self._finish(here)
                here = following

    def _next(self, entry: Entry) -> Entry | None:
        """Return what is there after the next step; None after the last, or if it is broken."""
        if not entry.state.next_step:
            return None
        after = self._try(entry, None)
        return None if after is None else Entry(after, entry.number + 1, entry.path)

    def _events(self, entry: Entry, where: str) -> Iterator[tuple[Placed, State]]:
        """Yield each event that can happen now or in the next step, and the state after it."""
        name = entry.state.next_step
        if not name:
            return
        if where in _STEPS:
            yield from self._ends(entry, name) if name in _STEPS[where] else ()
            return
        for word in KINDS if where == KINDS_ONLY else BETWEEN:
            placed = Placed(entry.number, name, Event(0, word))
            try:
                after = self._runner.happen(entry.state, word)
            except Broken as broken:
                self._note(broken, (*entry.path, placed))
                continue
            if after is not None:
                yield placed, after
        if where in {BETWEEN_ONLY, KINDS_ONLY}:
            return
        for event in self._within(entry.state, is_short=where == SHORT):
            within = self._try(entry, event)
            if within is not None:
                yield Placed(entry.number, name, event), within

    def _ends(self, entry: Entry, name: str) -> Iterator[tuple[Placed, State]]:
        for event in self._within(entry.state, is_short=True):
            after = self._try(entry, event) if event.word in _ENDS else None
            if after is not None:
                yield Placed(entry.number, name, event), after

    def _within(self, state: State, *, is_short: bool) -> Iterator[Event]:
        try:
            calls = self._runner.run(state).calls
        except Broken:
            return  # it is noted where the step is run without an event
        yield from events_within(calls, is_short=is_short)

    def _try(self, entry: Entry, event: Event | None) -> State | None:
        """Run the next step; None if it is broken, or the event cannot happen there."""
        try:
            outcome = self._runner.run(entry.state, event)
        except Broken as broken:
            name = entry.state.next_step
            last = () if event is None else (Placed(entry.number, name, event),)
            self._note(broken, (*entry.path, *last))
            return None
        return outcome.state if outcome.has_happened else None

    def _finish(self, entry: Entry) -> None:
        before = len(self._finished)
        try:
            finish(self._runner, entry.state, self._finished)
        except Broken as broken:
            self._note(broken, entry.path)
        self.found.ends += len(self._finished) > before

    def _note(self, broken: Broken, path: Sequence[Placed]) -> None:
        self.found.broken.append((str(broken), " ".join(str(each) for each in path)))

    def _count(self, mark: int, layer: int) -> int:
        """Return how many interleavings follow a state that so many events have led to."""
        if layer == len(self._budget):
            return 1
        total, chain = 0, []
        here: int | None = mark
        while here is not None and (here, layer) not in self._counts:
            chain.append(here)
            here = self._after.get((here, self._budget[layer]), (None, ()))[0]
        if here is not None:
            total = self._counts[here, layer]
        elif chain and self._share(chain[-1]):
            total = 1
        for each in reversed(chain):
            _, reached = self._after.get((each, self._budget[layer]), (None, ()))
            total += sum(self._count(after, layer + 1) for after in reached)
            self._counts[each, layer] = total
        return total


def events_within(calls: Sequence[tuple[str, str, bool]], *, is_short: bool) -> Iterator[Event]:
    """Yield every event that can happen in a step that makes these calls.

    Before a call that only reads no process is ended: that is as before the next that changes.
    """
    for at, (word, _, is_change) in enumerate(calls, start=1):
        if is_change:
            for each in _SHORT_WORDS if is_short else ONCE:
                yield Event(at, each)
            if word == "write":
                yield Event(at, "torn")
        if is_short:
            continue
        if word == "call":
            for each in CALL_FAILS:
                yield Event(at, each)
        for each in NESTED:
            yield Event(at, each)
        for each, (path, _) in EDITS.items():
            if not is_between_look_and_change(calls, at, path.rpartition("/")[2]):
                yield Event(at, each)
    if calls:
        for each in ("kill", "cut-lost") if is_short else ("kill", *CUTS):
            yield Event(len(calls) + 1, each)


_LOOKS = {"status_at", "open_file", "status", "read", "read_link"}


def is_between_look_and_change(calls: Sequence[tuple[str, str, bool]], at: int, file: str) -> bool:
    """Tell whether call ``at`` comes after the last look at a file that is replaced or removed next.

    There is no call that replaces a file if it is still the same: an edit in between is lost.
    """
    for word, name, _ in calls[at - 1 :]:
        if word in {"rename", "remove"} and name == file:
            break
        if word not in _LOOKS:
            return False
    else:
        return False
    for word, name, _ in reversed(calls[: at - 1]):
        if (word, name) == ("status_at", file):
            return True
        if word not in _LOOKS:
            return False
    return False


def sample(runner: Runner, random: Random, most_events: int = 3) -> str:
    """Run one course with events where ``random`` has them; return which.

    Raises:
        Broken: if something is not as promised; what is said ends with the events.
    """
    state, number, path = runner.first(), 0, list[Placed]()
    left = random.randint(1, most_events)
    try:
        while name := state.next_step:
            event = None
            if left and random.random() < 0.2:
                left -= 1
                word = random.choice(BETWEEN)
                path.append(Placed(number, name, Event(0, word)))
                happened = runner.happen(state, word)
                if happened is None:
                    path.pop()
                else:
                    state = happened
            elif left and random.random() < 0.3:
                left -= 1
                events = list(events_within(runner.run(state).calls, is_short=False))
                event = random.choice(events) if events else None
            if event is not None:
                path.append(Placed(number, state.next_step, event))
            outcome = runner.run(state, event)
            if not outcome.has_happened:
                path.pop()
                outcome = runner.run(state)
            state, number = outcome.state, number + 1
        finish(runner, state, set())
    except Broken as broken:
        raise Broken(f"{broken}: {' '.join(map(str, path))}") from broken
    return " ".join(map(str, path))


def try_step(
    runner: Runner, before: Mapping[str, str], step: str = "", words: Sequence[str] = ()
) -> str:
    """Run a course with events before steps; try each word at each call of a step that changes.

    Returns:
        What is not as promised, and the events that lead there; nothing if all is.
    """
    known: set[int] = set()
    path: list[Placed] = []

    def run(state: State, number: int, waiting: Mapping[str, str], words: Sequence[str]) -> None:
        while name := state.next_step:
            if name in waiting:
                for word in waiting[name].split():
                    path.append(Placed(number, state.next_step, Event(0, word)))
                    happened = runner.happen(state, word)
                    assert happened is not None, word
                    state = happened
                waiting = {key: value for key, value in waiting.items() if key != name}
                continue
            calls = runner.run(state).calls if words and name == step else []
            for at, (_, _, is_change) in enumerate(calls, start=1):
                for word in words if is_change else ():
                    length = len(path)
                    path.append(Placed(number, name, Event(at, word)))
                    run(runner.run(state, Event(at, word)).state, number + 1, waiting, ())
                    del path[length:]
            state, number = runner.run(state).state, number + 1
        finish(runner, state, known)

    try:
        run(runner.first(), 0, before, words)
    except Broken as broken:
        return f"{broken}: {' '.join(map(str, path))}"
    return ""


def replay(runner: Runner, line: str, say: Callable[[str], None] = lambda _: None) -> None:
    """Run a course with the events that a line names.

    Raises:
        Broken: if something is not as promised.
    """
    placed = parse(line)
    state, number = runner.first(), 0
    while state.next_step or placed:
        here = [each for each in placed if each.step == number]
        placed = [each for each in placed if each.step != number]
        for each in here:
            if each.event.at == 0:
                say(f"{number} {each.event.word}")
                happened = runner.happen(state, each.event.word)
                if happened is None:
                    raise ValueError(f"{each} cannot happen")
                state = happened
        within = next((each.event for each in here if each.event.at), None)
        step = state.next_step
        if within is not None:
            calls = runner.run(state).calls
            at = calls[within.at - 1] if within.at <= len(calls) else "the end"
            say(f"{number} {step}: {within.word} at {at}")
        state = runner.run(state, within).state if step else state
        told = ", ".join(f"{name} {word}" for name, word in state.past)
        say(f"{number} {step}: {told}; timer {state.box.timer}, service {state.box.service!r}")
        say("    " + "; ".join(f"{p.name} {p.outcome or p.todo[:1]}" for p in state.parties))
        number += 1
    finish(runner, state, set())
