"""A sample of the interleavings; and that a program with a mistake in it does not pass.

All of them: `python -m tests.model`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest

from tests.model.disk import EMPTY, KEPT, LOST, Faults, FaultyDisk, Node, Tree, seen_in
from tests.model.explore import BETWEEN_ONLY, KINDS_ONLY, Explorer, parse, sample, try_step
from tests.model.program import Program, program
from tests.model.scenario import Event, Runner
from tests.model.truth import Broken

SEEDS, COURSES = range(4), 30


@pytest.fixture(scope="module")
def as_it_is() -> Program:
    return program()


@pytest.fixture
def runner(as_it_is: Program) -> Iterator[Runner]:
    made = Runner(as_it_is)
    yield made
    made.close()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sample_of_interleavings_ends_as_promised(as_it_is: Program, seed: int) -> None:
    """Of each course every tenth is compared with the real folder at every step."""
    random = Random(seed)
    for number in range(COURSES):
        runner = Runner(as_it_is, is_thorough=number % 10 == 0)
        try:
            sample(runner, random)
        finally:
            runner.close()


def test_nothing_happens_and_all_is_new(runner: Runner) -> None:
    state = runner.first()
    while state.next_step:
        state = runner.run(state).state

    assert [party.outcome for party in state.parties] == ["confirmed"]


def test_a_course_is_named_by_a_line() -> None:
    line = "3.ada:swap@57=cut-lost 4.early@0=bar:/etc/toy"

    assert " ".join(map(str, parse(line))) == line
    assert [each.event for each in parse(line)] == [Event(57, "cut-lost"), Event(0, "bar:/etc/toy")]


def test_what_is_shared_out_is_all(as_it_is: Program) -> None:
    """Two that divide the work go through as much as one; here up to the second step."""
    counts = []
    for shares in ([0], [0, 1]):
        count = 0
        for share in shares:
            runner = Runner(as_it_is)
            state = runner.first()
            state.set_party(replace(state.parties[0], todo=("unlock",)))
            explorer = Explorer(
                runner,
                (BETWEEN_ONLY, KINDS_ONLY),
                share=lambda mark, n=len(shares), own=share: mark % n == own,
            )
            count += explorer.explore(state).interleavings
            assert not explorer.found.broken
            runner.close()
        counts.append(count)
    assert counts[0] == counts[1] > 50


# -- a mistake is found -----------------------------------------------------------------


@dataclass(frozen=True)
class Mistake:
    """A change of the program, and a course that finds it: events before steps, ``at`` one's calls.

    ``old`` occurs once in the module.
    """

    module: str
    old: str
    new: str
    before: Mapping[str, str] = field(default_factory=dict)
    at: str = ""
    words: Sequence[str] = ()


MISTAKES = {
    "the state is not synced": Mistake(
        "state", "                disk.sync(file)\n            finally:", "            finally:"
    ),
    "the state's folder is not synced": Mistake(
        "state",
        "            disk.sync(self.descriptor)\n        finally:",
        "        finally:",
        {"ada:unlock": "cut-lost"},
    ),
    "what is read may not be on the disk": Mistake(
        "alone",
        "                disk.sync(self.folder.descriptor)",
        "                pass",
        {"ada:abort": "cut-lost"},
        "ada:confirm",
        ("kill",),
    ),
    "a new file is not synced": Mistake(
        "files",
        "                disk.set_form(file, user, group, mode)\n                disk.sync(file)",
        "                disk.set_form(file, user, group, mode)",
        {"ada:unlock": "cut-lost"},
    ),
    "a confirmation is taken after the way back has begun": Mistake(
        "change",
        "        if found is None or found.state not in {ACTIVATED, CONFIRMED}:",
        "        if found is not None and found.state == 'going-back':\n"
        "            found.state = ACTIVATED\n"
        "        if found is None or found.state not in {ACTIVATED, CONFIRMED}:",
        {"ada:confirm": "bar:/etc/toy timer"},
    ),
    "a confirmation is taken from whoever sends it": Mistake(
        "change",
        "            hold_lock(machine, state, name, holder)\n            found.state = CONFIRMED",
        "            found.state = CONFIRMED",
        {"ada:confirm": "confirm"},
    ),
    "files are swapped before it is written": Mistake(
        "change",
        "            alone.move(found, SWAPPING)\n"
        "            for file in plan.files:\n"
        "                _swap_file(machine, file, folder)",
        "            for file in plan.files:\n"
        "                _swap_file(machine, file, folder)\n"
        "            alone.move(found, SWAPPING)",
        at="ada:swap",
        words=("kill",),
    ),
    "it is written before the switch is on": Mistake(
        "change",
        "            start_switch(machine, name, seconds)\n            alone.move(found, ARMED)",
        "            alone.move(found, ARMED)\n            start_switch(machine, name, seconds)",
        at="ada:arm",
        words=("kill",),
    ),
    "the way back does not make live": Mistake(
        "way_back",
        "        if deployment.came_from != SWAPPING or was_started:",
        "        if False:",
        {"ada:confirm": "timer"},
    ),
    "what was started in the middle of a swap is not made live": Mistake(
        "way_back",
        "        if deployment.came_from != SWAPPING or was_started:",
        "        if deployment.came_from != SWAPPING:",
        {"early": "bar:/etc/toy"},
        "ada:swap",
        ("cut",),
    ),
    "the way back does not disable what a line has enabled": Mistake(
        "way_back",
        "said = [unlive, disable_units(machine, plan.units), stop_units(machine, plan.units)]",
        "said = [unlive, stop_units(machine, plan.units)]",
        {"ada:confirm": "timer"},
    ),
    "an edit is not kept": Mistake(
        "way_back",
        "                self._note(self._copy(path, now))",
        "                pass",
        {"ada:activate": "edit-a", "ada:confirm": "timer"},
    ),
    "an edit that is kept is not noted at once": Mistake(
        "way_back",
        "            self._deployment.kept.append(where)\n            self._alone.store()",
        "            self._deployment.kept.append(where)",
        {"ada:activate": "edit-a", "ada:confirm": "timer"},
        "timer",
        ("kill",),
    ),
    "a lock is for everybody": Mistake(
        "locking",
        "    if lock.boot == machine.boot() and left > 0:",
        "    if False:",
        {"ada:arm": "other"},
    ),
    "a late confirmation stops another's switch": Mistake(
        "change",
        "        if state.switched is None:  # else",
        "        if True:  # else",
        {"ada:unlock": "third", "bob:activate": "confirm"},
    ),
    "a workbench that was left is not removed": Mistake(
        "files",
        "            place.sweep()\n            look(place)",
        "            look(place)",
        at="ada:swap",
        words=("kill",),
    ),
    "the switch of what is forgotten stays": Mistake(
        "locking",
        "    stop_switch(alone.machine)  # first",
        "    pass  # first",
        at="ada:arm",
        words=("kill",),
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_in_the_program_is_found(name: str) -> None:
    mistake = MISTAKES[name]
    runner = Runner(program({mistake.module: (mistake.old, mistake.new)}))
    try:
        assert try_step(runner, mistake.before, mistake.at, mistake.words)
    finally:
        runner.close()


@pytest.mark.parametrize("name", MISTAKES)
def test_without_the_mistake_the_same_course_is_as_promised(name: str, runner: Runner) -> None:
    mistake = MISTAKES[name]

    assert not try_step(runner, mistake.before, mistake.at, mistake.words)


# -- the disk ------------------------------------------------------------------------------


class _Folder:
    """An empty folder and its disk."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.tree = Tree(Node("folder", 0o755), [])
        self.tree.root.sync()
        self.disk = FaultyDisk(str(top), self.tree, Faults(), lambda *_: None)
        self.root = os.open(top, os.O_RDONLY | os.O_DIRECTORY)

    def write(self, name: str, content: bytes, *, is_synced: bool) -> None:
        file = self.disk.create(self.root, name)
        self.disk.write(file, content)
        if is_synced:
            self.disk.sync(file)
        self.disk.close(file)

    def after_a_cut(self, what_is_left: str) -> dict[str, bytes]:
        tree = self.tree.copy()
        tree.cut_power(what_is_left)
        return {path: node.content for path, node in tree.root.walk()}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[_Folder]:
    made = _Folder(tmp_path.resolve())
    yield made
    os.close(made.root)


def test_a_power_cut_leaves_what_was_synced(folder: _Folder) -> None:
    folder.write("a", b"whole", is_synced=True)
    folder.disk.sync(folder.root)
    folder.write("b", b"no name", is_synced=True)

    assert folder.after_a_cut(LOST) == {"/a": b"whole"}
    assert folder.after_a_cut(KEPT) == {"/a": b"whole", "/b": b"no name"}


def test_a_power_cut_empties_what_was_not_synced(folder: _Folder) -> None:
    folder.write("a", b"whole", is_synced=False)
    folder.disk.sync(folder.root)

    assert folder.after_a_cut(LOST) == {"/a": b""}
    assert folder.after_a_cut(EMPTY) == {"/a": b""}


def test_a_rename_is_in_both_folders_or_in_neither(folder: _Folder) -> None:
    folder.disk.make_folder(folder.root, "into", 0o700)
    folder.write("a", b"whole", is_synced=True)
    folder.disk.sync(folder.root)
    into = folder.disk.open_folder(folder.root, "into")
    folder.disk.rename(folder.root, "a", into, "b")
    assert folder.after_a_cut(LOST) == {"/a": b"whole", "/into": b""}

    folder.disk.sync(into)
    folder.disk.close(into)
    assert folder.after_a_cut(LOST) == {"/into": b"", "/into/b": b"whole"}


def test_the_tree_is_what_is_in_the_folder(folder: _Folder) -> None:
    folder.write("a", b"whole", is_synced=False)
    folder.disk.symlink("a", folder.root, "b")

    seen = {path: (node.kind, node.content, node.aim) for path, node in seen_in(folder.top).walk()}
    said = {path: (node.kind, node.content, node.aim) for path, node in folder.tree.root.walk()}
    assert seen == said


def test_a_promise_that_is_broken_names_the_course(runner: Runner) -> None:
    with pytest.raises(ValueError, match="cannot happen"):
        from tests.model.explore import replay

        replay(runner, "0.ada:lock@0=timer")
    assert issubclass(Broken, Exception)
