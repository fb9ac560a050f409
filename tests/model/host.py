"""A host that is a folder: its clock, its systemd, what runs on it, the program's own processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from goldentooth.host.machine import Machine
from tests.model.disk import (
    FILE,
    FOLDER,
    LINK,
    TIME_EDIT,
    TIME_OLD,
    Faults,
    FaultyDisk,
    Killed,
    Node,
    Tree,
    realize,
)

STATE = "/var/lib/goldentooth"
UNITS = "/etc/systemd/system"
TIMER = "goldentooth-rollback"
EARLY_LINK = f"{UNITS}/sysinit.target.wants/goldentooth-rollback-boot.service"
LATE_LINK = f"{UNITS}/multi-user.target.wants/goldentooth-rollback-after-boot.service"
PROGRAM = "# this program\n"

CHANGED, CREATED, REMOVED, LINKED = (
    "/etc/toy/a",
    "/etc/toy/new/deep/c",
    "/etc/toy/gone",
    "/etc/toy/link",
)
MANAGED = (CHANGED, CREATED, REMOVED, LINKED)
UNIT = "toy.service"

LINES = (
    "toy-reload one",
    f"systemctl enable --quiet {UNIT} && systemctl reload-or-restart {UNIT}",
)
"""What makes the files live; the second is how HAProxy's are."""

_LIVE_BY = {LINES[0]: (CHANGED, REMOVED), LINES[1]: (CREATED, LINKED)}

FIRST_UPTIME, BOOT_UPTIME = 1000.0, 10.0


class Box:
    """A host, between two calls of its program."""

    __slots__ = (
        *("boot", "early", "enabled", "faults", "is_active", "late", "retries", "running"),
        *("service", "timer", "tree", "uptime"),
    )

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.faults = Faults()
        self.uptime = FIRST_UPTIME
        self.boot = 1
        self.timer: tuple[float, str] | None = None
        """When it goes off, and for which deployment."""
        self.service = ""
        """The deployment for which what the timer starts is to run, now or again."""
        self.early = ""
        """The deployment for which the early unit is still to run in this start."""
        self.late = ""
        self.retries = 0
        """How often the service or the late unit was tried in vain."""
        self.running: dict[str, tuple[str, bytes | str]] = {}
        """What the daemons have read, by path."""
        self.is_active = False
        """Whether the unit runs, and :attr:`enabled` whether it does after a start."""
        self.enabled = False

    def copy(self) -> Box:
        """Return another that is the same."""
        made = Box(self.tree.copy())
        made.uptime, made.boot = self.uptime, self.boot
        made.timer, made.service = self.timer, self.service
        made.early, made.late, made.retries = self.early, self.late, self.retries
        made.running = self.running.copy()
        made.is_active, made.enabled = self.is_active, self.enabled
        made.faults.is_full = self.faults.is_full
        if self.faults.barred:
            made.faults.bar(self.faults.barred, made.tree.root)
        return made

    def mark(self) -> int:
        """Return a number that tells it from every other that is not the same."""
        return hash(
            (
                self.tree.mark(),
                (self.uptime, self.boot, self.timer, self.service, self.early, self.late),
                (self.retries, self.is_active, self.enabled, self.faults.is_full),
                self.faults.barred,
                tuple(self.running.items()),
            )
        )

    # -- what is there ---------------------------------------------------------------------

    def reading(self, path: str) -> tuple[str, bytes | str]:
        """Return what a daemon reads at a path."""
        node = self.tree.root.find(path)
        if node is None:
            return "absent", b""
        return node.kind, node.aim if node.kind == LINK else node.content

    def read(self, paths: Sequence[str]) -> None:
        """Have the daemons read these files."""
        for path in paths:
            self.running[path] = self.reading(path)

    # -- systemd ---------------------------------------------------------------------------

    def cut_power(self, what_is_left: str) -> None:
        """Lose power and start again, to where the early unit is to run."""
        self.tree.cut_power(what_is_left)
        if self.faults.barred:
            self.faults.bar(self.faults.barred, self.tree.root)
        self.boot += 1
        self.uptime = BOOT_UPTIME
        self.timer, self.service, self.retries = None, "", 0
        self.running = {}
        self.is_active = False
        self.early, self.late = self._unit_behind(EARLY_LINK), self._unit_behind(LATE_LINK)
        if not self.early:
            self.start_daemons()

    def start_daemons(self) -> None:
        """Go on with the start: what runs reads its files."""
        self.early = ""
        self.read(MANAGED)
        self.is_active = self.enabled

    def _unit_behind(self, link: str) -> str:
        """Return for which deployment the unit is that a link enables."""
        node = self.tree.root.find(link)
        name = link.rpartition("/")[2]
        if node is None or node.kind != LINK or node.aim != f"../{name}":
            return ""
        unit = self.tree.root.find(f"{UNITS}/{name}")
        lines = [] if unit is None else unit.content.decode().splitlines()
        runs = [line for line in lines if line.startswith("ExecStart=")]
        if not runs:
            return ""
        *_, program, switch, deployment, caller = runs[0].split()
        assert switch == "switch"
        assert caller == ("early" if link == EARLY_LINK else "late")
        return deployment if self.has_program(program) else ""

    def has_program(self, path: str) -> bool:
        """Tell whether the program that a unit starts is there, and whole."""
        node = self.tree.root.find(path)
        assert node is None or node.content == PROGRAM.encode(), "a part of the program"
        return node is not None

    def call(self, words: Sequence[str]) -> tuple[int, str]:
        """Do what a program does; return its status and what it says."""
        line = " ".join(words)
        if words[0] == "systemd-run":
            return self._run_later(words)
        if words[:2] == ["systemctl", "is-active"]:
            said = [
                "active" if self.timer else "inactive",
                "activating" if self.service else "inactive",
            ]
            return (0 if self.timer else 3), "\n".join(said)
        if words[:2] == ["systemctl", "stop"]:
            if f"{TIMER}.timer" in words:
                self.timer = None
            if f"{TIMER}.service" in words:
                self.service, self.retries = "", 0
            if UNIT in words:
                self.is_active = False
        elif words[0] == "systemctl" and "show" in words:
            active = "active" if self.is_active else "inactive"
            enabled = "enabled" if self.enabled else "disabled"
            return 0, f"ActiveState={active}\nUnitFileState={enabled}"
        elif words[0] == "systemctl" and "disable" in words:
            assert words[-1] == UNIT
            self.enabled = False
        elif words[0] == "/bin/sh":
            self.read(_LIVE_BY[words[2]])
            if words[2] == LINES[1]:
                self.is_active = self.enabled = True
        else:
            assert line in {"systemctl daemon-reload"} or words[0] == "logger", line
        return 0, ""

    def _run_later(self, words: Sequence[str]) -> tuple[int, str]:
        if self.timer or self.service:
            return 1, "the unit is loaded already"
        seconds = next(word for word in words if word.startswith("--on-active=")).split("=")[1]
        program, switch, name, caller = words[-4:]
        assert (switch, caller) == ("switch", "timer")
        assert program == f"{STATE}/deployments/{name}/program"
        self.timer = (self.uptime + int(seconds), name)
        return 0, ""

    # -- hands -----------------------------------------------------------------------------

    def edit(self, path: str, content: bytes, top: str) -> bool:
        """Write a file as an editor does, and on the disk; whether its folder is there."""
        folder, _, name = path.rpartition("/")
        above = self.tree.root.find(folder)
        if above is None or id(above) in self.faults.barred_nodes:
            return False
        made = Node(FILE, 0o644, content)
        made.time = TIME_EDIT
        made.sync()
        was, will = Node(FOLDER, 0), Node(FOLDER, 0)
        was.entries = {name: above.entries[name]} if name in above.entries else {}
        will.entries = {name: made}
        realize(f"{top}{folder}", was, will)
        above.entries[name] = above.safe_entries[name] = made
        return True


def new_host() -> Box:
    """Return a host as it came: with files of its own, and nothing of this program's."""
    root = Node(FOLDER, 0o755)
    for path in ("/etc/toy", UNITS, "/var/lib"):
        here = root
        for part in path.split("/")[1:]:
            here = here.entries.setdefault(part, Node(FOLDER, 0o755))
    toy = root.entries["etc"].entries["toy"].entries
    for name, content in (("a", b"as it came"), ("gone", b"as it came, too")):
        toy[name] = Node(FILE, 0o640, content)
        toy[name].time = TIME_OLD
    toy["link"] = Node(LINK, 0o777, aim="a")
    root.sync_all()
    box = Box(Tree(root, []))
    box.read(MANAGED)
    return box


class Blocked(BaseException):  # not an error
    """The process waits for another, which is not done yet."""


class StepEnded(BaseException):  # not an error
    """The way back has ended the step that is under way."""


class Processes:
    """What runs at the same time: which step can be ended, and how deep calls are nested."""

    def __init__(self) -> None:
        self.step = ""
        """What tells the step that is under way from others."""
        self.has_started = False


class SimulatedMachine(Machine):
    """The machine that one process of the program sees."""

    def __init__(
        self,
        top: Path,
        box: Box,
        processes: Processes,
        before_call: Callable[[FaultyDisk, str, str, bool], str],
        *,
        number: int,
    ) -> None:
        self.said = ""
        """How the next call of a program fails; see :mod:`tests.model.events`."""

        def before(disk: FaultyDisk, word: str, name: str, is_change: bool) -> None:
            self.said = before_call(disk, word, name, is_change)

        self.faulty = FaultyDisk(str(top), box.tree, box.faults, before)
        super().__init__(str(top), self.faulty)
        self._box = box
        self._processes = processes
        self._before = before
        self._number = number
        self.program = PROGRAM
        self.open_before: set[str] = set()
        """The descriptors of processes that run around this one."""
        if number > 1:
            self.open_before = {*os.listdir("/proc/self/fd")}  # names only

    def uptime(self) -> float:
        return self._box.uptime

    def boot(self) -> str:
        return f"boot-{self._box.boot}"

    def now(self) -> str:
        return "2026-01-02T03:04:05Z"

    def random_name(self) -> str:
        """Return the first name that is not in use: the same for hosts that are the same."""
        used = self._box.tree.names()
        number = 0
        while any(name.endswith(f"{number:016x}") for name in used):
            number += 1
        return f"{number:016x}"

    def user_id(self, name: str) -> int:
        return 1 if name == "daemon" and os.geteuid() == 0 else os.geteuid()

    def group_id(self, name: str) -> int:
        return 1 if name == "daemon" and os.geteuid() == 0 else os.getegid()

    def call(self, words: Sequence[str], seconds: float, *, most_said: int = 0) -> tuple[int, str]:
        if self.faulty.is_ended:
            raise Killed
        words = list(words)
        is_change = words[0] != "logger" and "is-active" not in words and "show" not in words
        self._before(self.faulty, "call", " ".join(words)[:60], is_change)
        if self.said == "call-fails":
            return 1, "it fails"
        status = self._box.call(words)
        return (124, "") if self.said == "call-hangs" else status

    def wait(self, seconds: float) -> None:
        if self.faulty.is_ended:
            raise Killed
        raise Blocked

    def own_step(self) -> str:
        if self.faulty.is_ended:
            raise Killed
        self._processes.step = f"{self._number} 1"
        return self._processes.step

    def end_step(self, step: str) -> None:
        if self.faulty.is_ended:
            raise Killed
        if step and step == self._processes.step:
            raise StepEnded

    def note(self, text: str) -> None:
        self.call(["logger", text], 5)
