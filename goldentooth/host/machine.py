"""The host itself: its file system through descriptors, its clock, its programs. The only edge.

Everything that the verbs do to the host goes through these two classes, so that a test can put a
folder in the place of the file system, and break any single call.
"""

from __future__ import annotations

import os
import select
import signal
import stat
import sys
import time

from goldentooth.host.process import ENVIRONMENT
from goldentooth.host.processes import began, group_and_session, processes, send_signal
from goldentooth.host.words import STATE_FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_SAID = 2000


class Disk:
    """System calls on files, each relative to an open folder, none of which follows a link."""

    def open_folder(self, folder: int, name: str) -> int:
        """Open a folder."""
        return os.open(name, _FOLDER, dir_fd=folder)

    def open_file(self, folder: int, name: str) -> int:
        """Open a file to read it; a pipe without a writer does not hold it up."""
        return os.open(name, _READ, dir_fd=folder)

    def create(self, folder: int, name: str) -> int:
        """Create a file that is not there, 0600, to write it."""
        return os.open(name, _NEW, 0o600, dir_fd=folder)

    def open_slot(self, folder: int, name: str) -> int:
        """Open a file of this program's own, to write over what is in it."""
        return os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)

    def read(self, file: int, most: int) -> bytes:
        """Return what is left to read, ``most`` bytes of it."""
        parts = []
        while most > 0 and (part := os.read(file, min(most, 1 << 20))):
            parts.append(part)
            most -= len(part)
        return b"".join(parts)

    def write(self, file: int, content: bytes) -> None:
        """Write all of ``content``."""
        left = memoryview(content)
        while left:
            left = left[os.write(file, left) :]

    def cut(self, file: int, size: int) -> None:
        """Let a file end after ``size`` bytes."""
        os.ftruncate(file, size)

    def close(self, file: int) -> None:
        """Close a file or folder."""
        os.close(file)

    def status(self, file: int) -> os.stat_result:
        """Return what an open file is."""
        return os.fstat(file)

    def status_at(self, folder: int, name: str) -> os.stat_result:
        """Return what stands under a name; of a link the link."""
        return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def names(self, folder: int) -> list[str]:
        """Return the names in a folder, sorted."""
        return sorted(os.listdir(folder))

    def make_folder(self, folder: int, name: str, mode: int) -> None:
        """Make a folder."""
        os.mkdir(name, mode, dir_fd=folder)

    def rename(self, source: int, name: str, target: int, new: str) -> None:
        """Rename, replacing what is there."""
        os.rename(name, new, src_dir_fd=source, dst_dir_fd=target)

    def link(self, source: int, name: str, target: int, new: str) -> None:
        """Give a file a second name."""
        os.link(name, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)

    def symlink(self, aim: str, folder: int, name: str) -> None:
        """Make a symbolic link."""
        os.symlink(aim, name, dir_fd=folder)

    def read_link(self, folder: int, name: str) -> str:
        """Return where a symbolic link leads."""
        return os.readlink(name, dir_fd=folder)

    def remove(self, folder: int, name: str) -> None:
        """Remove a file or link."""
        os.unlink(name, dir_fd=folder)

    def remove_folder(self, folder: int, name: str) -> None:
        """Remove an empty folder."""
        os.rmdir(name, dir_fd=folder)

    def sync(self, file: int) -> None:
        """Return once a file, or the names in a folder, are on the disk."""
        os.fsync(file)

    def set_form(self, file: int, user: int, group: int, mode: int) -> None:
        """Set whose a file is, and its permissions, in this order."""
        os.fchown(file, user, group)
        os.fchmod(file, mode)

    def set_time(self, file: int, nanoseconds: int) -> None:
        """Set when a file was last changed."""
        os.utime(file, ns=(nanoseconds, nanoseconds))

    def set_link_owner(self, folder: int, name: str, user: int, group: int) -> None:
        """Set whose a symbolic link is."""
        os.chown(name, user, group, dir_fd=folder, follow_symlinks=False)

    def copy_attributes(self, source: int, target: int) -> None:
        """Copy extended attributes, as far as the file system and the caller's rights go."""
        try:
            for name in os.listxattr(source):
                os.setxattr(target, name, os.getxattr(source, name))
        except OSError:
            pass

    def sync_tree(self, folder: int) -> None:
        """Return once everything on the folder's file system is on the disk."""
        pid = os.fork()
        if pid == 0:
            try:
                os.fchdir(folder)
                os.execve("/usr/bin/sync", ["sync", "-f", "."], ENVIRONMENT)
            finally:
                os._exit(127)
        if os.waitpid(pid, 0)[1] != 0:
            raise OSError(5, "the file system cannot be synced")


class Machine:
    """The host: where its file system begins, what it runs, what time it is there."""

    def __init__(self, root: str = "/", disk: Disk | None = None) -> None:
        self.disk = disk or Disk()
        self.root = os.open(root, _FOLDER)
        self.trusted = {0, os.geteuid()}
        """The users who may own a folder that is root's alone."""
        self.program = ""
        """The text of this program, which a host keeps to go back."""
        self.state_folder = STATE_FOLDER

    def uptime(self) -> float:
        """Return the seconds since the host was started; it does not jump."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def boot(self) -> str:
        """Return which start of the host this is."""
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()

    def now(self) -> str:
        """Return the host's time in ISO 8601, UTC."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())

    def random_name(self) -> str:
        """Return a name that cannot be guessed."""
        return os.urandom(8).hex()

    def user_id(self, name: str) -> int:
        """Return a user's number.

        Raises:
            KeyError: if there is no such user.
        """
        if name.isdigit():
            return int(name)
        import pwd

        return pwd.getpwnam(name).pw_uid

    def group_id(self, name: str) -> int:
        """Return a group's number.

        Raises:
            KeyError: if there is no such group.
        """
        if name.isdigit():
            return int(name)
        import grp

        return grp.getgrnam(name).gr_gid

    def call(
        self, words: Sequence[str], seconds: float, *, most_said: int = _MOST_SAID
    ) -> tuple[int, str]:
        """Run a program in a process group of its own; return its status and what it said.

        After ``seconds`` the group is killed, and the status is 124. Of what it said ``most_said``
        bytes are returned.
        """
        said = os.memfd_create("said")
        try:
            pid = os.fork()
            if pid == 0:
                _become(words, said)
            status = _wait_for(pid, seconds)
            os.lseek(said, 0, os.SEEK_SET)
            text = os.read(said, most_said).decode("utf-8", "replace")
        finally:
            os.close(said)
        return status, text.strip()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)

    def own_step(self) -> str:
        """Return what tells this process from every other: its number and when it began."""
        return f"{os.getpid()} {began(os.getpid())}"

    def end_step(self, step: str) -> None:
        """Kill the process that ``step`` names and all of its session, if it still is that one."""
        leader, _, since = step.partition(" ")
        if not leader.isdigit() or int(leader) < 2 or int(leader) == os.getsid(0):
            return
        if began(int(leader)) not in {since, ""}:
            return  # the number is another process's by now
        for _ in range(50):  # what is forked meanwhile is found the next time
            members = [pid for pid in processes() if group_and_session(pid)[1] == int(leader)]
            if not members:
                return
            for pid in members:
                send_signal(pid, signal.SIGKILL)
            time.sleep(0.02)

    def note(self, text: str) -> None:
        """Tell the host's journal."""
        self.call(["logger", "-t", "goldentooth", "-p", "daemon.warning", "--", text], 5)


def _become(words: Sequence[str], said: int) -> None:
    try:
        os.setpgid(0, 0)
        nothing = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((nothing, 0), (said, 1), (said, 2)):
            os.dup2(source, target)
        os.chdir("/")
        for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.execvpe(words[0], list(words), ENVIRONMENT)
    except OSError as error:
        os.write(2, f"{words[0]}: {error.strerror}".encode())
    finally:
        os._exit(127)


def _wait_for(pid: int, seconds: float) -> int:
    """Return how a process ended; 124 if its time was over."""
    handle = os.pidfd_open(pid)
    try:
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        is_late = not waiting.poll(seconds * 1000)
    finally:
        os.close(handle)
    if is_late:
        send_signal(-pid, signal.SIGKILL)
        send_signal(pid, signal.SIGKILL)
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 124 if is_late else ended if ended >= 0 else 128 - ended


def interpreter() -> str:
    """Return the absolute path of the Python that runs this."""
    return sys.executable or "/usr/bin/python3"


def is_root_alone(status: os.stat_result, trusted: set[int]) -> bool:
    """Tell whether a folder is one that only root can write in."""
    return status.st_uid in trusted and not stat.S_IMODE(status.st_mode) & 0o022
