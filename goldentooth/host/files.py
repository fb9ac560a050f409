"""Files of a host, through open folders: read, written whole or not at all, kept, put back.

A path is walked folder by folder, each opened from the one above. A link on the way is followed
only if root made it in a folder that is root's alone. What is written is written in a new folder
of root's, under a name that cannot be guessed, and renamed from there: who owns the folder that a
file stands in can do nothing to what is renamed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat

from goldentooth.host.machine import is_root_alone
from goldentooth.host.words import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from goldentooth.host.machine import Machine

_FULL = {errno.ENOSPC, errno.EDQUOT}
_LARGEST = 64 * 1024 * 1024
_MOST_LINKS = 8
_WORKBENCH = ".goldentooth-"
_SET_ASIDE = ".goldentooth-kept-"


class Folder:
    """An open folder; ``is_safe`` if it and all above it are root's alone."""

    __slots__ = ("descriptor", "device", "is_safe", "path")

    def __init__(self, descriptor: int, path: str, device: int, *, is_safe: bool) -> None:
        self.descriptor = descriptor
        self.path = path
        self.device = device
        self.is_safe = is_safe


class Place:
    """Where a file stands: the open folders down to it, and its name. Use it as a context."""

    def __init__(self, machine: Machine, path: str, made: list[str] | None) -> None:
        self.machine = machine
        self.path = path
        self.name = path.rpartition("/")[2]
        self._disk = machine.disk
        root = Folder(os.dup(machine.root), "", 0, is_safe=True)
        self._folders = [root]
        self._opened = [root]
        try:
            root.device = self._disk.status(root.descriptor).st_dev
            self._walk(path.split("/")[1:-1], made)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Place:  # noqa: PYI034  # Self is of Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def folder(self) -> int:
        """The folder's descriptor."""
        return self._folders[-1].descriptor

    def close(self) -> None:
        """Close the folders."""
        while self._opened:
            self._disk.close(self._opened.pop().descriptor)

    def _walk(self, parts: list[str], made: list[str] | None) -> None:
        waiting, links = parts[::-1], 0
        while waiting:
            part, above = waiting.pop(), self._folders[-1]
            if part in {"", "."}:
                continue
            if part == "..":
                self._folders = self._folders[:-1] or self._folders
                continue
            try:
                self._enter(part)
            except FileNotFoundError:
                if made is None:
                    raise
                self._disk.make_folder(above.descriptor, part, 0o755)
                made.append(f"{above.path}/{part}")
                self._disk.sync(above.descriptor)
                self._enter(part)
            except OSError as error:
                if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
                    raise
                links += 1
                aim = self._trusted_link(part, links)
                if aim.startswith("/"):
                    self._folders = self._folders[:1]
                waiting += aim.split("/")[::-1]

    def _enter(self, part: str) -> None:
        above = self._folders[-1]
        descriptor = self._disk.open_folder(above.descriptor, part)
        status = self._disk.status(descriptor)
        is_safe = above.is_safe and is_root_alone(status, self.machine.trusted)
        folder = Folder(descriptor, f"{above.path}/{part}", status.st_dev, is_safe=is_safe)
        self._folders = [*self._folders, folder]
        self._opened.append(folder)

    def _trusted_link(self, part: str, links: int) -> str:
        above = self._folders[-1]
        status = self._disk.status_at(above.descriptor, part)
        if not stat.S_ISLNK(status.st_mode):
            raise Refusal("not-a-folder", f"{above.path}/{part} is not a folder")
        if not above.is_safe or status.st_uid not in self.machine.trusted or links > _MOST_LINKS:
            raise Refusal(
                "unsafe-folder",
                f"{above.path}/{part} is a link that others than root could have made",
            )
        return self._disk.read_link(above.descriptor, part)

    @property
    def _nearest_safe(self) -> Folder:
        """The nearest folder on the file system of this one that is root's alone."""
        device = self._folders[-1].device
        for folder in reversed(self._folders):
            if folder.is_safe and folder.device == device:
                return folder
        raise Refusal(
            "unsafe-folder",
            f"no folder above {self.path}, on its file system, belongs to root alone",
        )

    def workbench(self) -> Workbench:
        """Return a folder of root's on the same file system, to make a file in."""
        return Workbench(self.machine, self._nearest_safe)

    def sweep(self) -> None:
        """Remove workbenches that a process has left here because it was ended."""
        try:
            near = self._nearest_safe
        except Refusal:
            return  # then none was made
        sweep(self.machine, near)

    def refuse_unsafe(self) -> None:
        """Refuse a place whose file system has no folder that is root's alone."""
        _ = self._nearest_safe

    def set_aside(self, note: Callable[[str], None]) -> None:
        """Rename what stands here into a new folder of root's; ``note`` is told where, first."""
        near = self._nearest_safe
        name = _SET_ASIDE + self.machine.random_name()
        note(f"{near.path}/{name}/{self.name}")
        self._disk.make_folder(near.descriptor, name, 0o700)
        into = self._disk.open_folder(near.descriptor, name)
        try:
            self._disk.rename(self.folder, self.name, into, self.name)
            self._disk.sync(into)
            self._disk.sync(near.descriptor)
        finally:
            self._disk.close(into)


class Workbench:
    """A new folder, 0700, that is gone when its context is left. One at a time is in use.

    A folder that an earlier one left, because its process was ended, is removed.
    """

    def __init__(self, machine: Machine, near: Folder) -> None:
        self._disk = machine.disk
        self._near = near
        sweep(machine, near)
        self._name = _WORKBENCH + machine.random_name()
        self._disk.make_folder(near.descriptor, self._name, 0o700)
        self.descriptor = self._disk.open_folder(near.descriptor, self._name)

    def __enter__(self) -> Workbench:  # noqa: PYI034  # Self is of Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            for name in self._disk.names(self.descriptor):
                self._disk.remove(self.descriptor, name)
        finally:
            self._disk.close(self.descriptor)
        self._disk.remove_folder(self._near.descriptor, self._name)


def sweep(machine: Machine, near: Folder) -> None:
    """Remove the workbenches in a folder: none is in use now."""
    for name in machine.disk.names(near.descriptor):
        if name.startswith(_WORKBENCH) and not name.startswith(_SET_ASIDE):
            remove_tree(machine, near.descriptor, name)


class Standing:
    """What stands at a path: ``kind`` is absent, file, link, folder or other.

    A file that cannot be read, or is larger than 64 MiB, is something other.

    Of a file its content and form, of a link its aim.
    """

    __slots__ = ("aim", "content", "group", "kind", "mode", "time", "user")

    def __init__(  # noqa: PLR0917  # what stat(2) tells
        self,
        kind: str,
        content: bytes = b"",
        user: int = 0,
        group: int = 0,
        mode: int = 0,
        time: int = 0,
        aim: str = "",
    ) -> None:
        self.kind = kind
        self.content = content
        self.user = user
        self.group = group
        self.mode = mode
        self.time = time
        self.aim = aim

    @property
    def digest(self) -> str:
        """The SHA-256 of a file in hex; else its kind."""
        return hashlib.sha256(self.content).hexdigest() if self.kind == "file" else self.kind

    @property
    def form(self) -> tuple[object, ...]:
        """All that two must have in common to be the same."""
        return (self.kind, self.content, self.user, self.group, self.mode, self.time, self.aim)

    def holds_as(self, other: Standing) -> bool:
        """Tell whether it holds what ``other`` holds, whosever it is."""
        return (self.kind, self.content, self.aim) == (other.kind, other.content, other.aim)


ABSENT = "absent"


def place_of(machine: Machine, path: str, made: list[str] | None = None) -> Place:
    """Return the place of a file; folders that are not there are made, and noted, in ``made``.

    Raises:
        FileNotFoundError: if a folder is not there, and ``made`` is None.
        Refusal: if the path leads through something that others than root may have made.
    """
    return Place(machine, path, made)


def look_at(machine: Machine, path: str) -> Standing:
    """Return what stands at ``path``.

    Raises:
        Refusal: if the path leads through what is not safe.
    """
    try:
        with place_of(machine, path) as place:
            return look_in(machine, place.folder, place.name)
    except FileNotFoundError:
        return Standing(ABSENT)
    except Refusal as refusal:
        if refusal.reason == "not-a-folder":
            return Standing(ABSENT)
        raise


def look_in(machine: Machine, folder: int, name: str) -> Standing:
    """Return what stands in an open folder under ``name``."""
    disk = machine.disk
    try:
        status = disk.status_at(folder, name)
    except FileNotFoundError:
        return Standing(ABSENT)
    if stat.S_ISLNK(status.st_mode):
        aim = disk.read_link(folder, name)
        return Standing("link", user=status.st_uid, group=status.st_gid, aim=aim)
    if stat.S_ISDIR(status.st_mode):
        return Standing("folder")
    if not stat.S_ISREG(status.st_mode):
        return Standing("other")
    return _look_into(machine, folder, name)


def _look_into(machine: Machine, folder: int, name: str) -> Standing:
    disk = machine.disk
    try:
        file = disk.open_file(folder, name)
    except FileNotFoundError:
        return Standing(ABSENT)
    except BlockingIOError:  # its owner has a lease on it (fcntl(2))
        return Standing("other")
    try:
        status = disk.status(file)
        content = disk.read(file, _LARGEST + 1) if stat.S_ISREG(status.st_mode) else None
        if content is None or len(content) > _LARGEST:
            return Standing("other")
        return Standing(
            "file",
            content,
            status.st_uid,
            status.st_gid,
            stat.S_IMODE(status.st_mode),
            status.st_mtime_ns,
        )
    finally:
        disk.close(file)


def _regardless(place: Place) -> None:
    """Look at nothing."""


def put_file(  # noqa: PLR0917  # what a file is
    machine: Machine,
    path: str,
    content: bytes,
    user: int,
    group: int,
    mode: int,
    made: list[str],
    look: Callable[[Place], None] = _regardless,
) -> None:
    """Put a file in place, whole or not at all; a link there is replaced, not followed.

    ``look`` is called last, and may refuse. Extended attributes of the file that it replaces stay.
    On return it is on the disk.
    """
    disk = machine.disk
    with place_of(machine, path, made) as place:
        with place.workbench() as bench:
            file = disk.create(bench.descriptor, "new")
            try:
                disk.write(file, content)
                _copy_attributes(machine, place.folder, place.name, file)
                disk.set_form(file, user, group, mode)
                disk.sync(file)
            finally:
                disk.close(file)
            look(place)
            disk.rename(bench.descriptor, "new", place.folder, place.name)
        disk.sync(place.folder)


def _copy_attributes(machine: Machine, folder: int, name: str, file: int) -> None:
    try:
        old = machine.disk.open_file(folder, name)
    except OSError:
        return
    try:
        if stat.S_ISREG(machine.disk.status(old).st_mode):
            machine.disk.copy_attributes(old, file)
    finally:
        machine.disk.close(old)


def remove_file(machine: Machine, path: str, look: Callable[[Place], None] = _regardless) -> None:
    """Remove a file or link, if it is there; on return that is on the disk.

    ``look`` is called last, and may refuse. What a process that was ended has left beside it goes,
    too.
    """
    try:
        with place_of(machine, path) as place:
            place.sweep()
            look(place)
            try:
                machine.disk.remove(place.folder, place.name)
            except FileNotFoundError:
                pass  # it may not be on the disk yet that it is gone
            machine.disk.sync(place.folder)
    except FileNotFoundError:
        return


def keep_copy(machine: Machine, path: str, folder: int, *, is_linked_if_full: bool = False) -> bool:
    """Copy what stands at ``path`` into an open folder, below it; whether there was anything.

    The copy has owner, mode, time and extended attributes of what it was made from. With no space
    left it is the file itself, under a second name, if that will do.
    """
    disk = machine.disk
    try:
        with place_of(machine, path) as place:
            found = look_in(machine, place.folder, place.name)
            if found.kind == ABSENT:
                return False
            if found.kind not in {"file", "link"}:
                raise Refusal("not-a-file", f"{path} is neither a file nor a link", path=path)
            into = open_below(machine, folder, path.split("/")[1:-1])
            try:
                remove_tree(machine, into, place.name)  # an earlier try may have been ended
                try:
                    _copy(machine, found, place.folder, place.name, into, place.name)
                except OSError as error:
                    remove_tree(machine, into, place.name)
                    if error.errno not in _FULL or not is_linked_if_full:
                        raise
                    disk.link(place.folder, place.name, into, place.name)
                disk.sync(into)
            finally:
                disk.close(into)
    except FileNotFoundError:
        return False
    return True


def _copy(  # noqa: PLR0917  # from where, to where
    machine: Machine, found: Standing, source: int, name: str, into: int, new: str
) -> None:
    """Make a file or link like the one that was ``found`` in ``source`` under ``name``."""
    disk = machine.disk
    if found.kind == "link":
        disk.symlink(found.aim, into, new)
        disk.set_link_owner(into, new, found.user, found.group)
        return
    file = disk.create(into, new)
    try:
        disk.write(file, found.content)
        _copy_attributes(machine, source, name, file)
        disk.set_form(file, found.user, found.group, found.mode)
        disk.set_time(file, found.time)
        disk.sync(file)
    finally:
        disk.close(file)


def put_back(machine: Machine, path: str, folder: int, look: Callable[[Place], None]) -> None:
    """Put the copy of ``path`` that is below an open folder in place; remove it if none was kept.

    What is as it was is not touched; before anything else is, ``look`` is called, last. With no
    space left the copy itself is put in place.
    """
    disk = machine.disk
    try:
        kept = open_below(machine, folder, path.split("/")[1:-1], is_made=False)
    except FileNotFoundError:
        remove_file(machine, path, look)
        return
    name = path.rpartition("/")[2]
    try:
        old = look_in(machine, kept, name)
        if old.kind == ABSENT:
            remove_file(machine, path, look)
            return
        with place_of(machine, path, []) as place:
            place.sweep()
            if look_in(machine, place.folder, name).form != old.form:
                with place.workbench() as bench:
                    try:
                        _copy(machine, old, kept, name, bench.descriptor, "back")
                    except OSError as error:
                        if error.errno not in _FULL:
                            raise
                        for part in disk.names(bench.descriptor):
                            disk.remove(bench.descriptor, part)
                        disk.link(kept, name, bench.descriptor, "back")
                    look(place)
                    disk.rename(bench.descriptor, "back", place.folder, name)
            disk.sync(place.folder)
    finally:
        disk.close(kept)


# -- below a folder of the program's own ---------------------------------------------------


def open_below(machine: Machine, folder: int, parts: list[str], *, is_made: bool = True) -> int:
    """Open a folder below an open one; the folders on the way are made, 0700, if so asked."""
    disk = machine.disk
    here = os.dup(folder)
    for part in parts:
        try:
            try:
                below = disk.open_folder(here, part)
            except FileNotFoundError:
                if not is_made:
                    raise
                disk.make_folder(here, part, 0o700)
                disk.sync(here)
                below = disk.open_folder(here, part)
        finally:
            disk.close(here)
        here = below
    return here


def write_below(machine: Machine, folder: int, path: str, content: bytes) -> None:
    """Write a new file, 0600, below an open folder of the program's own."""
    disk = machine.disk
    *parts, name = path.split("/")
    into = open_below(machine, folder, parts)
    try:
        file = disk.create(into, name)
        try:
            disk.write(file, content)
        finally:
            disk.close(file)
    finally:
        disk.close(into)


def read_below(machine: Machine, folder: int, path: str) -> bytes | None:
    """Return a file below an open folder of the program's own; None if there is none."""
    *parts, name = path.split("/")
    try:
        into = open_below(machine, folder, parts, is_made=False)
    except FileNotFoundError:
        return None
    try:
        found = look_in(machine, into, name)
        return found.content if found.kind == "file" else None
    finally:
        machine.disk.close(into)


def standing_below(machine: Machine, folder: int, path: str) -> Standing:
    """Return what stands below an open folder of the program's own under an absolute path."""
    try:
        into = open_below(machine, folder, path.split("/")[1:-1], is_made=False)
    except FileNotFoundError:
        return Standing(ABSENT)
    try:
        return look_in(machine, into, path.rpartition("/")[2])
    finally:
        machine.disk.close(into)


def files_below(machine: Machine, folder: int, path: str = "") -> dict[str, bytes]:
    """Return every file below an open folder of the program's own, by path."""
    found: dict[str, bytes] = {}
    for name in machine.disk.names(folder):
        standing = look_in(machine, folder, name)
        if standing.kind == "file":
            found[path + name] = standing.content
        elif standing.kind == "folder":
            below = machine.disk.open_folder(folder, name)
            try:
                found.update(files_below(machine, below, f"{path}{name}/"))
            finally:
                machine.disk.close(below)
    return found


def remove_tree(machine: Machine, folder: int, name: str) -> None:
    """Remove what stands in an open folder under ``name``, with all below it, if it is there."""
    disk = machine.disk
    try:
        status = disk.status_at(folder, name)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        disk.remove(folder, name)
        return
    below = disk.open_folder(folder, name)
    try:
        for part in disk.names(below):
            remove_tree(machine, below, part)
    finally:
        disk.close(below)
    disk.remove_folder(folder, name)
