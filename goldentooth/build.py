"""The build folder: staged aside, swapped in whole, or not at all."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from goldentooth.artifact import MANIFEST_FORMAT, Artifact, manifest_text
from goldentooth.bounded import load_json
from goldentooth.errors import OutputError
from goldentooth.report.render import HostRender
from goldentooth.yamlfile import display_path

MANIFEST = "manifest.json"

Entries = dict[str, Mapping[str, Any]]
"""Lines of a manifest, keyed by location."""

_ENTRY_KEYS = ("host", "service", "location", "sha256")
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


class BuildFolder:
    """A folder that holds rendered artifacts and the manifest that lists them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"BuildFolder({str(self.path)!r})"

    def __str__(self) -> str:
        return display_path(self.path)

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
                    f"{self} holds files but no {MANIFEST}: it was not made by render;"
                    " name another folder with --build"
                ) from None
            return {}
        except NotADirectoryError:
            raise OutputError(f"{self} is not a folder: name another one with --build") from None
        except OSError as error:
            raise OutputError(f"{self}/{MANIFEST} cannot be read: {_reason(error)}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(
                f"{self}/{MANIFEST} is not a manifest as render writes it: name another folder"
                f" with --build, or remove {self} if it is an earlier build"
            ) from error

    def read(self, location: str) -> str | None:
        """Return the text of one artifact; None if it is not there."""
        content = self._content(location)
        return None if content is None else content.decode(errors="surrogateescape")

    def compare(self, host: HostRender) -> HostRender:
        """Return ``host`` with what those of its artifacts that differ are here."""
        earlier = {a.location: self.read(a.location) for a in host.artifacts}
        changed = [a.location for a in host.artifacts if earlier[a.location] != a.text]
        return replace(host, before={location: earlier[location] for location in changed})

    def _content(self, location: str) -> bytes | None:
        try:
            with open(f"{self.path}/{location}", "rb", buffering=0) as file:  # noqa: PTH123  # fast
                return file.read()
        except OSError:
            return None

    @contextmanager
    def staging(self) -> Iterator[Staging]:
        """Give a staging folder beside this one; it is gone afterwards unless it was swapped in.

        Nobody else can render here meanwhile. Where this folder is a symbolic link, that stays,
        and what it leads to is swapped.

        Raises:
            OutputError: if another render is writing here, the folder is something else than
                an earlier build, or nothing can be written.
        """
        self.entries()  # a folder that is not ours is refused before anything is made beside it
        with self._errors_named():
            target = self.path.resolve()
            target.parent.mkdir(parents=True, exist_ok=True)
            with (target.parent / f".{target.name}.lock").open("a") as lock:
                _lock(lock.fileno(), self)
                swap = _Swap(target)
                swap.recover()
                swap.staged.mkdir(mode=0o755)
                try:
                    yield Staging(self, swap.staged, self.entries(), swap)
                finally:
                    _remove(swap.staged)

    @contextmanager
    def scratch(self) -> Iterator[Staging]:
        """Give a staging folder elsewhere, to compare with this one: nothing is written here.

        Raises:
            OutputError: if the folder is something else than an earlier build.
        """
        entries = self.entries()
        with self._errors_named(), tempfile.TemporaryDirectory(prefix="goldentooth-") as folder:
            yield Staging(self, Path(folder), entries)

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            place = display_path(Path(os.fsdecode(error.filename or self.path.parent)))
            raise OutputError(
                f"{place} cannot be written: {_reason(error)}; {self} is as it was"
            ) from error


class Staging:
    """What the build folder is going to be; ``earlier`` is its manifest as it is now."""

    def __init__(
        self, build: BuildFolder, path: Path, earlier: Entries, swap: _Swap | None = None
    ) -> None:
        self.build = build
        self.path = path
        self.earlier = earlier
        self._swap = swap
        self._folders = {""}

    def write(self, *artifacts: Artifact) -> None:
        """Write artifacts."""
        for artifact in artifacts:
            path = self._path(artifact.location)
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            with os.fdopen(handle, "wb") as file:
                file.write(artifact.content)

    def _path(self, location: str) -> str:
        """Return the path of ``location``; the folders above it are made, each once."""
        self._make_folder(location.rpartition("/")[0])
        return f"{self.path}/{location}"

    def _make_folder(self, location: str) -> None:
        if location not in self._folders:
            self._make_folder(location.rpartition("/")[0])
            os.mkdir(f"{self.path}/{location}")  # noqa: PTH102  # a Path takes longer than the folder
            self._folders.add(location)

    def keep(self, location: str) -> None:
        """Take one artifact over from the earlier build.

        Raises:
            OutputError: if it is not there as the earlier manifest has it.
        """
        content = self.build._content(location)  # noqa: SLF001  # one module
        if content is None or sha256(content).hexdigest() != self.earlier[location]["sha256"]:
            state = "is missing" if content is None else "was changed by hand"
            raise OutputError(
                f"{self.build}/{location} {state}: render everything once, then a part of it"
            )
        Path(self._path(location)).write_bytes(content)

    def swap_in(self, entries: Entries) -> None:
        """Write the manifest and put this folder in the place of the earlier build."""
        if self._swap is None:
            raise ValueError("a scratch folder is only for comparing")
        (self.path / MANIFEST).write_text(manifest_text(entries.values()), encoding="utf-8")
        self._swap.commit()


class _Swap:
    """Puts a staged folder in the place of ``target``, in one step where the kernel can.

    All names are fixed, so the next one finds what was left behind by one that was killed.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.staged = target.with_name(f".{target.name}-staging")
        self.aside = target.with_name(f".{target.name}-earlier")

    def recover(self) -> None:
        """Clear away what was left; put an earlier build back that was in between two names."""
        _remove(self.staged)
        if self.target.exists():
            _remove(self.aside)
        elif self.aside.exists():
            self.aside.rename(self.target)

    def commit(self) -> None:
        """Swap."""
        if not self.target.exists():
            self.staged.rename(self.target)
        elif not _exchange(self.staged, self.target):
            self.target.rename(self.aside)
            self.staged.rename(self.target)
            _remove(self.aside)


def _entries_of(content: bytes) -> Entries:
    manifest = load_json(content)
    if manifest["format"] != MANIFEST_FORMAT:
        raise ValueError(manifest["format"])
    entries: Entries = {}
    for entry in manifest["artifacts"]:
        _, _, location, _ = (str(entry[key]) for key in _ENTRY_KEYS)
        path = PurePosixPath(location)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(location)
        entries[location] = entry
    return entries


def _lock(handle: int, build: BuildFolder) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OutputError(f"another render is writing {build}: wait for it") from None


def _remove(folder: Path) -> None:
    """Remove a folder of ours; to the end, even if Ctrl-C is pressed meanwhile."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


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
