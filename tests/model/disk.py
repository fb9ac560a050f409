"""A file system in a folder: every call can fail, and what a power cut would leave is known.

Beside the folder a tree of :class:`Node` is kept: what is there now, and what is on the disk for
certain. A file's content is on the disk once it was synced, a name once its folder was; a rename is
in both folders or in neither. A host is copied and set back by the tree; the folder follows it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from goldentooth.host.machine import Disk

FILE, FOLDER, LINK = "file", "folder", "link"

TIME_OLD, TIME_BEFORE, TIME_NEW, TIME_EDIT = (number * 10**18 for number in range(1, 5))
"""When files were last changed: before it all, by the first deployment, by the program, by hand."""

KEPT, LOST, EMPTY = "cut", "cut-lost", "cut-empty"
"""What a power cut leaves: all; what was synced; all names, but of contents what was synced."""


class Killed(BaseException):  # no error of the program
    """The process is ended here."""


_NOTHING: dict[str, Node] = {}
"""What is in a file."""


class Node:
    """A file, folder or symbolic link; ``safe_*`` is what a power cut leaves of it.

    A tree that is copied shares its files with the copy: a file that is in a tree that was copied
    is not changed, but replaced.
    """

    __slots__ = (
        *("aim", "content", "entries", "group", "kind", "mode", "safe_content", "safe_entries"),
        *("safe_form", "seen", "time", "user"),
    )

    def __init__(self, kind: str, mode: int, content: bytes = b"", aim: str = "") -> None:
        self.kind = kind
        self.mode = mode
        self.user = os.geteuid()
        self.group = os.getegid()
        self.time = TIME_NEW
        self.content = content
        self.aim = aim
        self.entries: dict[str, Node] = {} if kind == FOLDER else _NOTHING
        self.safe_content = b""
        self.safe_form: tuple[int, int, int, int] | None = None
        self.seen: int | None = None
        """Its mark, once it was asked for."""
        self.safe_entries: dict[str, Node] = {} if kind == FOLDER else _NOTHING

    @property
    def form(self) -> tuple[int, int, int, int]:
        """Mode, owner and time."""
        return self.mode, self.user, self.group, self.time

    def find(self, path: str) -> Node | None:
        """Return what stands at ``path`` below this folder; no link is followed."""
        here: Node | None = self
        for part in path.split("/"):
            if part:
                if here is None:
                    return None
                here = here.entries.get(part)
        return here

    def walk(self, path: str = "") -> Iterator[tuple[str, Node]]:
        """Yield all that is below, with its path, folders first."""
        for name, node in sorted(self.entries.items()):
            yield f"{path}/{name}", node
            yield from node.walk(f"{path}/{name}")

    def sync(self) -> None:
        """Have this, not what is below, on the disk."""
        if self.kind == FOLDER:
            self.safe_entries = self.entries.copy()
        self.safe_content, self.safe_form, self.seen = self.content, self.form, None

    @property
    def is_safe(self) -> bool:
        """Whether all of a file or link is on the disk."""
        return self.safe_form == self.form and self.safe_content == self.content

    def twin(self) -> Node:
        """Return another that is the same."""
        made = Node.__new__(Node)
        made.kind, made.mode, made.user, made.group = self.kind, self.mode, self.user, self.group
        made.time, made.content, made.aim, made.seen = self.time, self.content, self.aim, None
        made.safe_content, made.safe_form = self.safe_content, self.safe_form
        made.entries, made.safe_entries = self.entries, self.safe_entries
        return made

    def sync_all(self) -> None:
        """Have this and all below on the disk."""
        for name, node in self.entries.items():
            if node.kind == FOLDER:
                node.sync_all()
            elif not node.is_safe:
                self.entries[name] = node = node.twin()
                node.sync()
        self.sync()


class Tree:
    """A file system: its root, and renames that are not yet on the disk."""

    __slots__ = ("renames", "root")

    def __init__(self, root: Node, renames: list[tuple[Node, str, Node, str, Node]]) -> None:
        self.root = root
        self.renames = renames

    def copy(self) -> Tree:
        """Return another that is the same."""
        known: dict[int, Node] = {}

        def copied(node: Node) -> Node:
            if node.kind != FOLDER:
                return node
            made = known.get(id(node))
            if made is None:
                made = known[id(node)] = node.twin()
                made.entries = {
                    name: copied(below) if below.kind == FOLDER else below
                    for name, below in node.entries.items()
                }
                made.safe_entries = {
                    name: copied(below) if below.kind == FOLDER else below
                    for name, below in node.safe_entries.items()
                }
            return made

        root = copied(self.root)
        renames = [
            (copied(a), name, copied(b), new, copied(c)) for a, name, b, new, c in self.renames
        ]
        return Tree(root, renames)

    def own(self, folder: Node, name: str) -> Node:
        """Return a file that is in no other tree, in the place of the one that is there."""
        old = folder.entries[name]
        made = folder.entries[name] = old.twin()
        for safe, node in folder.safe_entries.items():
            if node is old:
                folder.safe_entries[safe] = made
        self.renames = [
            (a, before, b, new, made if node is old else node)
            for a, before, b, new, node in self.renames
        ]
        return made

    def mark(self) -> int:
        """Return a number that tells this from every other that is not the same."""
        renames = [(name, new, _mark(node)) for _, name, _, new, node in self.renames]
        return hash((_mark(self.root), tuple(renames)))

    def names(self) -> set[str]:
        """Return the names that a program gives to what it removes again, as far as they stand."""
        found: set[str] = set()
        waiting = [self.root]
        while waiting:
            for name, node in waiting.pop().entries.items():
                if node.kind == FOLDER:
                    waiting.append(node)
                    if name.startswith((".goldentooth-", "incoming.")):
                        found.add(name)
        return found

    def cut_power(self, what_is_left: str) -> None:
        """Leave what a power cut leaves."""

        def cut(folder: Node) -> None:
            if what_is_left == LOST:
                folder.entries = folder.safe_entries.copy()
            for name, node in folder.entries.items():
                if node.kind == FOLDER:
                    cut(node)
                elif node.kind == FILE and what_is_left != KEPT and not node.is_safe:
                    folder.entries[name] = _what_is_left(node, what_is_left)

        cut(self.root)
        self.root.sync_all()
        self.renames = []


def _what_is_left(file: Node, what_is_left: str) -> Node:
    left = file.twin()
    left.content = file.safe_content
    if what_is_left == LOST:
        as_made = 0o600, os.geteuid(), os.getegid(), TIME_NEW
        left.mode, left.user, left.group, left.time = file.safe_form or as_made
    return left


def _mark(node: Node) -> int:
    if node.kind == FOLDER:
        now = [(name, _mark(node.entries[name])) for name in sorted(node.entries)]
        safe = None
        if node.entries != node.safe_entries:
            safe = tuple(
                [(name, _mark(node.safe_entries[name])) for name in sorted(node.safe_entries)]
            )
        return hash((node.mode, node.user, node.group, tuple(now), safe))
    if node.seen is None:
        safe_part = None if node.is_safe else (node.safe_content, node.safe_form)
        node.seen = hash((node.kind, node.form, node.content, node.aim, safe_part))
    return node.seen


def realize(top: str, now: Node, wanted: Node) -> None:
    """Change a folder of this machine from what ``now`` says to what ``wanted`` says."""
    for name, old in now.entries.items():
        new = wanted.entries.get(name)
        if new is old:
            continue
        if new is None or new.kind != old.kind or (old.kind != FOLDER and not _is_same(old, new)):
            _remove(f"{top}/{name}", old)
    for name, new in wanted.entries.items():
        before = now.entries.get(name)
        if before is new:
            continue
        path = f"{top}/{name}"
        if before is None or before.kind != new.kind:
            _make(path, new)
            before = Node(FOLDER, 0)
        elif new.kind != FOLDER:
            if not _is_same(before, new):
                _make(path, new)
        elif before.form[:3] != new.form[:3]:
            os.chown(path, new.user, new.group)
            Path(path).chmod(new.mode)
        if new.kind == FOLDER:
            realize(path, before, new)


def _is_same(one: Node, other: Node) -> bool:
    return (one.content, one.aim, one.form) == (other.content, other.aim, other.form)


def _remove(path: str, node: Node) -> None:
    if node.kind == FOLDER:
        for name, each in node.entries.items():
            _remove(f"{path}/{name}", each)
        Path(path).rmdir()
    else:
        Path(path).unlink()


def _make(path: str, node: Node) -> None:
    if node.kind == LINK:
        Path(path).symlink_to(node.aim)
        os.chown(path, node.user, node.group, follow_symlinks=False)
        return
    if node.kind == FOLDER:
        Path(path).mkdir()
        file = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    else:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if node.content:
            os.write(file, node.content)
        os.fchown(file, node.user, node.group)
        os.fchmod(file, node.mode)
        if node.kind == FILE:
            os.utime(file, ns=(node.time, node.time))
    finally:
        os.close(file)


class Faults:
    """What every call meets: a full disk, or folders that cannot be written."""

    __slots__ = ("barred", "barred_nodes", "is_full")

    def __init__(self) -> None:
        self.is_full = False
        self.barred = ""
        """The folder that, with all below it, cannot be written; `/` is the disk."""
        self.barred_nodes: set[int] = set()

    def bar(self, path: str, root: Node) -> None:
        """Let nothing at ``path`` or below be written."""
        self.barred = path
        top = root.find(path)
        self.barred_nodes = set()
        if top is not None:
            self.barred_nodes = {id(top), *(id(node) for _, node in top.walk())}


_CONTENTS: dict[bytes, bytes] = {}
"""Each content once: many states hold the same."""


class Open:
    """An open file or folder."""

    __slots__ = ("at", "node")

    def __init__(self, node: Node) -> None:
        self.node = node
        self.at = 0


class FaultyDisk(Disk):
    """The disk of one process; ``before_call`` is told of every call before it is done.

    It gets the call's name, the name of what it is about, and whether it changes anything.
    """

    def __init__(
        self,
        top: str,
        tree: Tree,
        faults: Faults,
        before_call: Callable[[FaultyDisk, str, str, bool], None],
    ) -> None:
        self._top = top
        self._tree = tree
        self._faults = faults
        self._before_call = before_call
        self._open: dict[int, Open] = {}
        self.is_ended = False
        self.is_torn = False
        """The next write is broken off in its middle, and the process with it."""

    # -- what is open ----------------------------------------------------------------------

    def forget(self) -> int:
        """Forget all that is open, since it was closed elsewhere; return how much it was."""
        count, self._open = len(self._open), {}
        return count

    def _of(self, descriptor: int) -> Open:
        found = self._open.get(descriptor)
        if found is None:  # made by dup(2)
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            assert path.startswith(self._top), path
            node = self._tree.root.find(path[len(self._top) :])
            assert node is not None, path
            found = self._open[descriptor] = Open(node)
        return found

    def _node(self, descriptor: int) -> Node:
        return self._of(descriptor).node

    def _call(self, word: str, name: str, *folders: int, room: int = 0) -> None:
        """Begin a call that changes what is in ``folders``, or these files."""
        if self.is_ended:
            raise Killed
        self._before_call(self, word, name, bool(folders) or word.startswith("sync"))
        faults = self._faults
        if not folders:
            return
        if faults.barred:
            for folder in folders:
                if id(self._node(folder)) in faults.barred_nodes:
                    number = errno.EROFS if faults.barred == "/" else errno.EACCES
                    raise OSError(number, os.strerror(number), name)
        if room and faults.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)

    # -- calls -----------------------------------------------------------------------------

    def open_folder(self, folder: int, name: str) -> int:
        self._call("open_folder", name)
        descriptor = super().open_folder(folder, name)
        self._open[descriptor] = Open(self._node(folder).entries[name])
        return descriptor

    def open_file(self, folder: int, name: str) -> int:
        self._call("open_file", name)
        descriptor = super().open_file(folder, name)
        self._open[descriptor] = Open(self._node(folder).entries[name])
        return descriptor

    def create(self, folder: int, name: str) -> int:
        self._call("create", name, folder, room=1)
        descriptor = super().create(folder, name)
        os.utime(descriptor, ns=(TIME_NEW, TIME_NEW))
        node = self._node(folder).entries[name] = Node(FILE, 0o600)
        self._open[descriptor] = Open(node)
        return descriptor

    def open_slot(self, folder: int, name: str) -> int:
        self._call("open_slot", name)
        node = self._node(folder).entries.get(name)
        if node is not None and self._faults.barred and id(node) in self._faults.barred_nodes:
            number = errno.EROFS if self._faults.barred == "/" else errno.EACCES
            raise OSError(number, os.strerror(number), name)
        descriptor = super().open_slot(folder, name)
        self._open[descriptor] = Open(self._tree.own(self._node(folder), name))
        return descriptor

    def read(self, file: int, most: int) -> bytes:
        self._call("read", "")
        return super().read(file, most)

    def write(self, file: int, content: bytes) -> None:
        opened = self._of(file)
        is_growing = opened.at + len(content) > len(opened.node.content)
        is_full = is_growing and self._faults.is_full
        self._call("write", "", file)
        is_full = is_growing and self._faults.is_full or is_full
        if is_full or self.is_torn:
            content = content[: len(content) // 2]
        super().write(file, content)
        os.utime(file, ns=(TIME_NEW, TIME_NEW))
        node, at = opened.node, opened.at
        whole = node.content[:at] + content + node.content[at + len(content) :]
        node.content = _CONTENTS.setdefault(whole, whole)
        node.time = TIME_NEW
        opened.at += len(content)
        if self.is_torn:
            self.is_ended = True
            raise Killed
        if is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def cut(self, file: int, size: int) -> None:
        self._call("cut", "", file)
        super().cut(file, size)
        os.utime(file, ns=(TIME_NEW, TIME_NEW))
        node = self._node(file)
        node.content, node.time = node.content[:size], TIME_NEW

    def close(self, file: int) -> None:
        self._open.pop(file, None)
        super().close(file)

    def status(self, file: int) -> os.stat_result:
        self._call("status", "")
        return super().status(file)

    def status_at(self, folder: int, name: str) -> os.stat_result:
        self._call("status_at", name)
        return super().status_at(folder, name)

    def names(self, folder: int) -> list[str]:
        self._call("names", "")
        return super().names(folder)

    def make_folder(self, folder: int, name: str, mode: int) -> None:
        self._call("make_folder", name, folder, room=1)
        super().make_folder(folder, name, mode)
        made = self._node(folder).entries[name] = Node(FOLDER, mode & ~0o022)
        made.safe_form = made.form

    def rename(self, source: int, name: str, target: int, new: str) -> None:
        self._call("rename", new, source, target)
        super().rename(source, name, target, new)
        from_node, to_node = self._node(source), self._node(target)
        node = from_node.entries.pop(name)
        to_node.entries[new] = node
        self._tree.renames.append((from_node, name, to_node, new, node))

    def link(self, source: int, name: str, target: int, new: str) -> None:
        self._call("link", new, target, room=1)
        super().link(source, name, target, new)
        self._node(target).entries[new] = self._node(source).entries[name]

    def symlink(self, aim: str, folder: int, name: str) -> None:
        self._call("symlink", name, folder, room=1)
        super().symlink(aim, folder, name)
        self._node(folder).entries[name] = Node(LINK, 0o777, aim=aim)

    def read_link(self, folder: int, name: str) -> str:
        self._call("read_link", name)
        return super().read_link(folder, name)

    def remove(self, folder: int, name: str) -> None:
        self._call("remove", name, folder)
        super().remove(folder, name)
        del self._node(folder).entries[name]

    def remove_folder(self, folder: int, name: str) -> None:
        self._call("remove_folder", name, folder)
        super().remove_folder(folder, name)
        del self._node(folder).entries[name]

    def sync(self, file: int) -> None:
        self._call("sync", "")
        node = self._node(file)
        node.sync()
        if node.kind == FOLDER and self._tree.renames:
            self._sync_renames(node)

    def _sync_renames(self, folder: Node) -> None:
        left = []
        for rename in self._tree.renames:
            source, name, target, new, node = rename
            if folder is target:
                if source.safe_entries.get(name) is node:
                    del source.safe_entries[name]
            elif folder is source:
                target.safe_entries[new] = node
            else:
                left.append(rename)
        self._tree.renames = left

    def sync_tree(self, folder: int) -> None:
        self._call("sync_tree", "")
        self._tree.root.sync_all()
        self._tree.renames = []

    def set_form(self, file: int, user: int, group: int, mode: int) -> None:
        self._call("set_form", "", file)
        super().set_form(file, user, group, mode)
        node = self._node(file)
        node.user, node.group, node.mode = user, group, mode

    def set_time(self, file: int, nanoseconds: int) -> None:
        self._call("set_time", "", file)
        super().set_time(file, nanoseconds)
        self._node(file).time = nanoseconds

    def set_link_owner(self, folder: int, name: str, user: int, group: int) -> None:
        self._call("set_link_owner", name, folder)
        super().set_link_owner(folder, name, user, group)
        node = self._node(folder).entries[name]
        node.user, node.group = user, group

    def copy_attributes(self, source: int, target: int) -> None:
        """There are none in the model."""


def seen_in(top: Path) -> Node:
    """Return the tree of what really is in a folder, to compare."""
    root = Node(FOLDER, 0o755)
    for path in sorted(top.iterdir()):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            node = Node(LINK, 0o777, aim=str(path.readlink()))
        elif path.is_dir():
            node = seen_in(path)
        else:
            node = Node(FILE, 0, path.read_bytes())
            node.time = status.st_mtime_ns
        if node.kind != LINK:
            node.mode = stat.S_IMODE(status.st_mode)
        node.user, node.group = status.st_uid, status.st_gid
        root.entries[path.name] = node
    return root
