"""The build folder: staged aside, swapped in whole, or not at all."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from goldentooth.artifact import MANIFEST_FORMAT, Artifact, manifest_text
from goldentooth.errors import OutputError

MANIFEST = "manifest.json"

Entries = dict[str, Mapping[str, Any]]
"""Lines of a manifest, keyed by location."""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class BuildFolder:
    """A folder that holds rendered artifacts and the manifest that lists them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"BuildFolder({str(self.path)!r})"

    def entries(self) -> Entries:
        """Return the manifest's lines; none if there is no build yet.

        Raises:
            OutputError: if the folder is something else than an earlier build.
        """
        manifest = self.path / MANIFEST
        try:
            return _entries_of(manifest.read_bytes())
        except FileNotFoundError:
            if self.path.is_dir() and any(self.path.iterdir()):
                raise OutputError(
                    f"{self.path} holds files but no {MANIFEST}: it was not made by render;"
                    " remove it or name another folder with --build"
                ) from None
            return {}
        except NotADirectoryError:
            raise OutputError(f"{self.path} is not a folder: remove it or use --build") from None
        except OSError as error:
            raise OutputError(f"{manifest} cannot be read: {error.strerror}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{manifest} is not a manifest of this version: remove {self.path} and render again"
            ) from error

    def read(self, location: str) -> str | None:
        """Return the text of one artifact; None if it is not there."""
        try:
            return (self.path / location).read_bytes().decode(errors="surrogateescape")
        except OSError:
            return None

    @contextmanager
    def staging(self) -> Iterator[Staging]:
        """Give a staging folder; it is gone afterwards unless it was swapped in.

        Raises:
            OutputError: if another render is writing here, or nothing can be written.
        """
        parent = self.path.parent
        try:
            parent.mkdir(parents=True, exist_ok=True)
            with (parent / f".{self.path.name}.lock").open("a") as lock:
                _lock(lock.fileno(), self.path)
                for left in parent.glob(f".{self.path.name}-*"):  # of a render that was killed
                    shutil.rmtree(left, ignore_errors=True)
                staged = Path(tempfile.mkdtemp(prefix=f".{self.path.name}-", dir=parent))
                staged.chmod(0o755)
                try:
                    yield Staging(self, staged)
                finally:
                    shutil.rmtree(staged, ignore_errors=True)
        except OSError as error:
            raise OutputError(
                f"{error.filename or parent} cannot be written: {(error.strerror or '').lower()};"
                f" {self.path} is as it was"
            ) from error


class Staging:
    """What the build folder is going to be."""

    def __init__(self, build: BuildFolder, path: Path) -> None:
        self.build = build
        self.path = path

    def write(self, artifact: Artifact) -> Path:
        """Write one artifact; safe to call from several threads. Returns its path."""
        path = self.path / artifact.location
        content = artifact.content
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        return path

    def keep(self, location: str) -> None:
        """Take one artifact over from the earlier build."""
        path = self.path / location
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.build.path / location, path)

    def swap_in(self, entries: Entries) -> None:
        """Write the manifest and put this folder in the place of the earlier build."""
        (self.path / MANIFEST).write_text(manifest_text(entries.values()))
        if not self.build.path.exists():
            self.path.rename(self.build.path)
        elif not _exchange(self.path, self.build.path):
            aside = self.path.with_name(f"{self.path.name}.old")
            self.build.path.rename(aside)
            self.path.rename(self.build.path)
            shutil.rmtree(aside, ignore_errors=True)


def _entries_of(content: bytes) -> Entries:
    manifest = json.loads(content)
    if manifest["format"] != MANIFEST_FORMAT:
        raise ValueError(manifest["format"])
    return {entry["location"]: entry for entry in manifest["artifacts"]}


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(f"another render is writing {path}: wait for it") from None


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; False where the kernel or file system cannot."""
    try:
        renameat2: Callable[..., int] = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    names = os.fsencode(one), os.fsencode(other)
    if renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(number, os.strerror(number), str(other))
