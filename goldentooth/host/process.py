"""This process: what it finds around it, what it writes, what it becomes.

Nothing heavy is imported: every read of another user than root begins here.
"""

from __future__ import annotations

import _signal as signals  # type: ignore[import-not-found]  # signal itself takes 5 ms to import
import os
import resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C",
    "HOME": "/root",
}
"""All that a command finds in its environment."""


_MIB = 1024 * 1024
_LIMITS = {
    resource.RLIMIT_CPU: (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    resource.RLIMIT_FSIZE: (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    resource.RLIMIT_DATA: (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    resource.RLIMIT_AS: (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
    resource.RLIMIT_STACK: (8 * _MIB, resource.RLIM_INFINITY),
    resource.RLIMIT_NOFILE: (1024, 4096),
    resource.RLIMIT_CORE: (0, 0),
}


def settle() -> None:
    """Leave behind what the caller has set, since sudo hands it on.

    That is environment, folder, mask, open files, limits, and which signals are ignored.
    """
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    os.chdir("/")
    os.umask(0o022)
    close_others()
    for kind, limits in _LIMITS.items():
        try:
            resource.setrlimit(kind, limits)
        except (OSError, ValueError):
            pass  # only root may raise one
    _be_ordinary()
    signals.pthread_sigmask(signals.SIG_SETMASK, ())
    for number in set(range(1, signals.NSIG)) - {signals.SIGPIPE}:
        try:
            signals.signal(number, signals.SIG_DFL)
        except (OSError, ValueError):
            pass  # SIGKILL, or one of libc's own


def _be_ordinary() -> None:
    """Run as any process of root's does: a caller could hold the host's mutex by its own pace."""
    try:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        os.setpriority(os.PRIO_PROCESS, 0, 0)
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        _write_score()
    except (OSError, ValueError):
        pass  # only root may


def _write_score() -> None:
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
        file.write("0")


def close_others() -> None:
    """Close every file but standard input, output and error, and have these three."""
    while os.open("/dev/null", os.O_RDWR) < 3:
        pass
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                pass  # the listing's own


def in_memory(content: bytes) -> int:
    """Return a file that holds ``content`` and is on no disk, open at its beginning."""
    file = os.memfd_create("goldentooth")
    write_all(file, content)
    os.lseek(file, 0, os.SEEK_SET)
    return file


def write_all(file: int, content: bytes) -> None:
    """Write all of ``content``.

    Raises:
        OSError: if it cannot be written; a BrokenPipeError if nobody reads it any more.
    """
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]


def become(program: str, *words: str) -> NoReturn:
    """Let ``program`` take this process's place."""
    signals.signal(signals.SIGPIPE, signals.SIG_DFL)
    os.execve(program, [program, *words], ENVIRONMENT)


def where(error: BaseException) -> str:
    """Return what an unexpected error is and where it came from, in one line."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" in {trace.tb_frame.f_code.co_filename} at line {trace.tb_lineno}" if trace else ""
    return f"internal error: {type(error).__name__}{place}"
