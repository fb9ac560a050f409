"""One layer of an overlay file system: files, folders that hide, and holes."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path


class Layer:
    """A folder that is laid over the root file system.

    Folders that are made on the way have owner and mode of those they lie over: in an
    overlay the upper one counts.
    """

    def __init__(self, top: Path, *below: Path) -> None:
        self.top = top
        self._below = (*below, Path("/"))
        top.mkdir(parents=True, exist_ok=True)
        top.chmod(0o755)

    def write(
        self,
        path: str,
        content: str | bytes,
        *,
        mode: int = 0o644,
        owner: tuple[int, int] = (0, 0),
    ) -> Path:
        """Put a file at ``path`` (absolute on the host); ``owner`` are user and group ids."""
        target = self._target(path)
        with contextlib.suppress(FileNotFoundError):
            target.unlink()
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        if owner != (0, 0):
            os.chown(target, *owner)
        target.chmod(mode)
        return target

    def folder(self, path: str, *, mode: int, owner: tuple[int, int] = (0, 0)) -> None:
        """Make the folder ``path``, or give the one that is there this mode and owner."""
        target = self._target(path + "/.")
        os.chown(target, *owner)
        target.chmod(mode)

    def link(self, path: str, to: str) -> None:
        """Put a symbolic link at ``path``, in place of what is there."""
        target = self._target(path)
        with contextlib.suppress(FileNotFoundError):
            target.unlink()
        target.symlink_to(to)

    def hide(self, path: str) -> None:
        """Make the file ``path`` of the layers below invisible."""
        os.mknod(self._target(path), stat.S_IFCHR, os.makedev(0, 0))

    def empty(self, path: str) -> Path:
        """Make the folder ``path`` empty, whatever the layers below have in it."""
        target = self._target(path + "/.")
        os.setxattr(target, "trusted.overlay.opaque", b"y")
        return target

    def _target(self, path: str) -> Path:
        target = self.top / path.lstrip("/")
        self._make_folder(target.parent if not path.endswith("/.") else target)
        return target

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_folder(folder.parent)
        folder.mkdir()
        relative = folder.relative_to(self.top)
        for layer in self._below:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                below = (layer / relative).lstat()
                os.chown(folder, below.st_uid, below.st_gid)
                folder.chmod(stat.S_IMODE(below.st_mode))
                return
