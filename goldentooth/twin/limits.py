"""What of the machine itself a twin has to change, and puts back with the last twin.

``fs.inotify.max_user_instances``: root may have 128 by default, a booted host has a handful,
and beyond that systemd inside goes silent. It is raised only if it must be, and said so.
Besides, ``/run/netns`` and ``/run/systemd`` are made where they are missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goldentooth.twin import cgroup, state
from goldentooth.twin.mounts import is_mounted, unmount

_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
INSTANCES_PER_HOST = 5
_SPARE = 16
_FOLDERS = (state.NAMESPACES, Path("/run/systemd"))


def make_room(twin: str, hosts: int, controllers: tuple[str, ...]) -> str | None:
    """Make sure that ``hosts`` of ``twin`` can boot; ``controllers`` were switched on for them.

    Those of other twins, which may just be booting, keep their share.

    Returns:
        what was changed on the machine, for people; None if nothing.
    """
    with state.lock(".machine", seconds=10):
        changes = state.read_machine_wide()
        if controllers:
            changes["controllers"] = sorted({*changes.get("controllers", ()), *controllers})
        limit = int(_LIMIT.read_text())
        shares = {**changes.get("hosts", {}), twin: hosts}
        changes["hosts"] = {name: shares[name] for name in {*state.all_names(), twin} & {*shares}}
        needed = _in_use() + sum(changes["hosts"].values()) * INSTANCES_PER_HOST + _SPARE
        told = None
        if needed > limit:
            changes.setdefault("inotify", limit)
            told = (
                f"fs.inotify.max_user_instances raised from {limit} to {needed},"
                " until the last twin is down"
            )
        changes.setdefault("made", [str(path) for path in _FOLDERS if not path.exists()])
        changes.setdefault("mounted", not is_mounted(state.NAMESPACES))
        state.write_machine_wide(changes)
        for folder in changes["made"]:
            Path(folder).mkdir(exist_ok=True)
        if told:
            _LIMIT.write_text(str(needed))
        return told


def restore() -> None:
    """Put everything back if no twin is left."""
    if not state.ROOT.is_dir():
        return
    with state.lock(".machine", seconds=10):
        if state.all_names():
            return
        changes = state.read_machine_wide()
        if "inotify" in changes:
            _LIMIT.write_text(str(changes["inotify"]))
        cgroup.remove_top()  # first: a controller that is used below cannot be switched off
        cgroup.undelegate(changes.get("controllers", ()))
        _remove_folders(changes)
        state.remove_machine_wide()
    state.remove_root()


def _remove_folders(changes: Mapping[str, Any]) -> None:
    """Remove what ip(8) and the boots of hosts made; what others use by now stays."""
    empty = state.NAMESPACES.is_dir() and not any(state.NAMESPACES.iterdir())
    if changes.get("mounted") and empty and is_mounted(state.NAMESPACES):
        unmount(state.NAMESPACES)
    for folder in changes.get("made", ()):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def _in_use() -> int:
    count = 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                for descriptor in (process / "fd").iterdir():
                    with contextlib.suppress(OSError):
                        count += "inotify" in str(descriptor.readlink())
    return count
