"""Control groups: what a host's processes are found, counted, limited and killed by.

Works with one unified hierarchy (cgroup v2), with version 1, and with both side by side,
as systemd calls hybrid. Every machine of a twin has the group
``goldentooth-twin/<twin>/<machine>`` in each hierarchy that the twin uses.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

TOP = "goldentooth-twin"
COMMANDS = "commands"
"""The group, inside a machine's, of what is started from outside: version 2 has processes
in leaves only."""

_CONTROLLERS = ("cpu", "memory")


@cache
def hierarchies() -> dict[str, Path]:
    """Return where each hierarchy is mounted, by ``systemd``, ``unified``, ``cpu``, ``memory``.

    On version 2 alone there is ``unified`` only.
    """
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2":
            found.setdefault("unified", Path(where))
        elif kind == "cgroup":
            named = options.split(",")
            if "name=systemd" in named:
                found.setdefault("systemd", Path(where))
            for controller in _CONTROLLERS:
                if controller in named:
                    found.setdefault(controller, Path(where))
    return found


def groups(path: str) -> list[Path]:
    """Return the group ``path`` (below the twins' own) in every hierarchy."""
    return [mount / TOP / path for mount in hierarchies().values()]


def controlled(path: str, controller: str) -> Path | None:
    """Return the group that holds the files of ``controller`` for ``path``; None if none does."""
    mounts = hierarchies()
    if controller in mounts:
        return mounts[controller] / TOP / path
    group = mounts["unified"] / TOP / path if "unified" in mounts else None
    if group is None:
        return None
    available = group.parent / "cgroup.subtree_control"
    if available.exists() and controller in available.read_text().split():
        return group
    return None


def create(path: str) -> None:
    """Make the group ``path`` and its :data:`COMMANDS` in every hierarchy.

    One that a machine has left when its power was cut keeps its limits; what the machine's own
    systemd had made in it goes, or version 2 lets no process in (cgroups(7), "no internal
    processes").
    """
    for group in groups(path):
        group.mkdir(parents=True, exist_ok=True)
        for folder in _below(group):
            if folder != group:
                _remove_group(folder)
        control = group / "cgroup.subtree_control"
        if control.exists():
            for controller in control.read_text().split():
                control.write_text(f"-{controller}")
        (group / COMMANDS).mkdir(exist_ok=True)


def delegate(twin: str) -> tuple[str, ...]:
    """Let the twin's groups count and limit, on version 2.

    Returns:
        the controllers that had to be switched on for the whole machine.
    """
    mount = hierarchies().get("unified")
    if mount is None or "systemd" in hierarchies():
        return ()
    switched = tuple(name for name in _CONTROLLERS if _switch_on(mount, name))
    for group in (mount / TOP, mount / TOP / twin):
        group.mkdir(exist_ok=True)
        for name in _CONTROLLERS:
            _switch_on(group, name)
    return switched


def undelegate(controllers: Iterable[str]) -> None:
    """Switch ``controllers`` off again for the whole machine, unless others use them by now."""
    mount = hierarchies().get("unified")
    for name in controllers:
        if mount is not None:
            with contextlib.suppress(OSError):
                (mount / "cgroup.subtree_control").write_text(f"-{name}")


def _switch_on(group: Path, controller: str) -> bool:
    control = group / "cgroup.subtree_control"
    if controller in control.read_text().split():
        return False
    try:
        control.write_text(f"+{controller}")
    except OSError:
        return False
    return True


def processes(path: str) -> set[int]:
    """Return the ids of all processes in ``path`` and below, in any hierarchy."""
    found: set[int] = set()
    for group in groups(path):
        for folder in _below(group):
            with contextlib.suppress(OSError):
                found.update(map(int, (folder / "cgroup.procs").read_text().split()))
    found.discard(0)
    return found


def kill(path: str) -> None:
    """Send SIGKILL to all processes in ``path`` and below, until none is left.

    Raises:
        TimeoutError: if some are still there after 10 s.
    """
    deadline = time.monotonic() + 10
    pause = 0.002
    while True:
        for group in groups(path):
            with contextlib.suppress(OSError):
                (group / "cgroup.kill").write_text("1")
        left = processes(path)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {sorted(left)} do not end")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def remove(path: str) -> None:
    """Remove the groups ``path`` with all below; nothing runs in them any more."""
    for group in groups(path):
        for folder in _below(group):
            _remove_group(folder)


def remove_top() -> None:
    """Remove the group of all twins if none is left."""
    for group in groups(""):
        with contextlib.suppress(OSError):
            group.rmdir()


def names() -> set[str]:
    """Return the names of twins that have groups."""
    return {
        folder.name
        for group in groups("")
        if group.is_dir()
        for folder in group.iterdir()
        if folder.is_dir()
    }


def _remove_group(folder: Path) -> None:
    for _ in range(200):  # a process that was killed leaves its group a moment later
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return


def _below(group: Path) -> Iterator[Path]:
    """Yield all groups below ``group``, then itself: an order to remove them in."""
    for folder, _, _ in os.walk(group, topdown=False):
        yield Path(folder)
