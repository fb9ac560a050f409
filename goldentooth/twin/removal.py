"""Removing a twin, whole or half-made, by nothing but its name."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from goldentooth.twin import cgroup, limits, mounts, segment, state
from goldentooth.twin.machine import MARK


def remove_twin(name: str) -> bool:
    """Remove all that there is of the twin ``name``: processes, links, mounts, files, groups.

    Needs no record of it, so what a killed ``up`` left goes as well.

    Returns:
        whether there was anything.

    Raises:
        TwinError: if another process is just making or changing it.
    """
    state.check_name(name)
    if name not in state.all_names() and not state.lock_file(name).exists():
        limits.restore()
        return False
    with state.lock(name, seconds=30):
        remove_pieces(name)
    limits.restore()
    return True


def remove_pieces(name: str) -> None:
    """Remove the twin's pieces, for one who holds its lock."""
    _end_processes(name)
    segment.remove_namespaces(name)
    folder = state.folder(name)
    while mounts.is_mounted(folder):
        mounts.unmount(folder)
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    cgroup.remove(name)


def _end_processes(name: str) -> None:
    """Kill what is in the twin's groups or namespaces, or is about to be."""
    for _ in range(100):
        cgroup.kill(name)
        found = list(_strays(name))
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _strays(name: str) -> Iterator[int]:
    """Yield processes that carry the twin's mark, or are in one of its network namespaces."""
    mark = f"{MARK}={name}".encode()
    inside = {(state.NAMESPACES / ns).stat().st_ino for ns in state.namespaces(name)}
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            marked = mark in (process / "environ").read_bytes().split(b"\0")
            if marked or (process / "ns/net").stat().st_ino in inside:
                yield int(process.name)
