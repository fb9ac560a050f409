"""mount(2) and umount2(2), without a process for each of a hundred disks."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_MS_REMOUNT = 32
_MS_RDONLY = 1
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def mount_tmpfs(where: Path, options: str) -> None:
    """Mount a file system in memory at ``where``."""
    _mount("tmpfs", where, 0, options)


def remount_tmpfs(where: Path, options: str, *, read_only: bool = False) -> None:
    """Change the options of the file system in memory at ``where``.

    Raises:
        OSError: if it cannot be: EBUSY if it is to be read-only and a file is open to write,
            EINVAL if it is to be smaller than what is in it.
    """
    _mount("tmpfs", where, _MS_REMOUNT | (_MS_RDONLY if read_only else 0), options)


def unmount(where: Path) -> None:
    """Take what is mounted at ``where``, and below it, out of the tree."""
    if _libc.umount2(os.fsencode(where), _MNT_DETACH):
        _raise(where)


def is_mounted(where: Path) -> bool:
    """Tell whether something is mounted at ``where``, be it a folder of the same file system."""
    table = Path("/proc/self/mountinfo").read_text().splitlines()
    return str(where) in {line.split()[4] for line in table}


def _mount(kind: str, where: Path, flags: int, options: str) -> None:
    name = kind.encode()
    if _libc.mount(name, os.fsencode(where), name, flags, options.encode()):
        _raise(where)


def _raise(where: Path) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), str(where))
