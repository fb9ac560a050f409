"""What a run that nobody watches needs: an end in any case, and a line in the system's log."""

from __future__ import annotations

import os
import sys
import syslog
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer

from goldentooth.text import one_line
from runbooks.cli import CANNOT, PROGRAM

_PRIORITIES = (syslog.LOG_INFO, syslog.LOG_WARNING, syslog.LOG_ERR)


def log(line: str, status: int) -> None:
    """Write ``line`` to syslog, and so to the journal; its priority follows the exit status."""
    syslog.openlog(PROGRAM, syslog.LOG_PID, syslog.LOG_DAEMON)
    syslog.syslog(_PRIORITIES[status], one_line(line))


@contextmanager
def deadline(verb: str, seconds: float) -> Iterator[None]:
    """End the process with status 2 if the block takes longer, whatever it hangs in.

    Files are replaced at once: none is left half-written.
    """

    def give_up() -> None:
        line = f"{verb}: not done within {seconds:g} s; given up"
        log(line, CANNOT)
        print(line, file=sys.stderr, flush=True)
        os._exit(CANNOT)

    timer = Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
