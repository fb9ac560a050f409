"""One command in a process, with a session of its own: its time and its output have an end."""

from __future__ import annotations

import os
import select
import signal
import time

from goldentooth.host.process import close_others, in_memory, where, write_all
from goldentooth.host.processes import group_and_session, processes, send_signal
from goldentooth.host.request import Ended

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

INTERNAL_ERROR, LATE_STATUS = 70, 124

STOPPING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
"""What asks the program to stop; it does after the command that is under way."""

_MOST_OUTPUT = 64 * 1024 * 1024 + 1  # the byte more says that it was cut off
_MOST_ERRORS = 64 * 1024
_GRACE_SECONDS = 1.0
_LINGER_SECONDS = 2.0


def execute(act: Callable[[], int], stdin: bytes, seconds: float) -> Ended:
    """Run ``act`` in a process of its own, which reads ``stdin``; its result is the exit status.

    After ``seconds`` the process is ended with all of its session. A daemon that it leaves behind
    may hold the output open; that is waited for 2 s.
    """
    source = in_memory(stdin) if stdin else os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    child = os.fork()
    if child == 0:
        _run(act, (source, out_end, err_end))
    for file in (source, out_end, err_end):
        os.close(file)
    said = {out: bytearray(), err: bytearray()}
    is_late = _listen(child, said, {out: _MOST_OUTPUT, err: _MOST_ERRORS}, seconds)
    if is_late:
        _end_session(child, signal.SIGKILL)
    status = _status(child)
    if is_late:
        return Ended(LATE_STATUS, bytes(said[out]), bytes(said[err]), "late")
    return Ended(status, bytes(said[out]), bytes(said[err]))


def _run(act: Callable[[], int], files: tuple[int, int, int]) -> NoReturn:
    status = INTERNAL_ERROR
    try:
        os.setsid()
        for target, file in enumerate(files):
            os.dup2(file, target)
        close_others()
        for number in (signal.SIGPIPE, *STOPPING):
            signal.signal(number, signal.SIG_DFL)
        status = act()
    except BaseException as error:
        write_all(2, f"{where(error)}\n".encode())
    finally:
        os._exit(status)


def _listen(child: int, said: dict[int, bytearray], most: dict[int, int], seconds: float) -> bool:
    """Keep what the child says until it has ended; tell whether its time was over before."""
    ended = os.pidfd_open(child)
    files = {ended, *said}
    waiting = select.poll()
    for file in files:
        waiting.register(file, select.POLLIN)
    is_late = False
    until = time.monotonic() + seconds
    while files:
        left = until - time.monotonic()
        if left <= 0 and (is_late or ended not in files):
            break
        if left <= 0:
            is_late = True
            until = time.monotonic() + _GRACE_SECONDS
            _end_session(child, signal.SIGTERM)
            continue
        for file, _ in waiting.poll(int(left * 1000) + 1):
            data = b"" if file == ended else os.read(file, 1 << 16)
            if data:
                said[file] += data[: most[file] - len(said[file])]
                continue
            waiting.unregister(file)
            os.close(file)
            files.remove(file)
            if file == ended and not is_late:
                until = time.monotonic() + _LINGER_SECONDS
    for file in files:
        os.close(file)
    return is_late


def _status(child: int) -> int:
    """Return how the child has ended; one that hangs in the kernel is not waited for for ever."""
    for _ in range(100):
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        time.sleep(0.02)
    return LATE_STATUS


def _end_session(leader: int, number: int) -> None:
    """Send a signal to all processes of a session, whose leader has not been waited for."""
    send_signal(-leader, number)
    for process in processes():
        group, session = group_and_session(process)
        if session == leader and group != leader:
            send_signal(process, number)
