"""One Nornir task for all hosts, which Ctrl-C ends in an orderly way."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nornir.core import Nornir
    from nornir.core.task import AggregatedResult


def run_for_all(
    nornir: Nornir, task: Callable[..., Any], stop: Event, **arguments: Any
) -> AggregatedResult:
    """Run ``task`` for all hosts; what failed over SSH is no concern of it, nor the reverse.

    Raises:
        KeyboardInterrupt: if ``stop`` was set meanwhile.
    """
    failed_before = set(nornir.data.failed_hosts)
    outcome = nornir.run(task, raise_on_error=False, on_failed=True, **arguments)
    nornir.data.failed_hosts = failed_before
    if stop.is_set():
        raise KeyboardInterrupt
    return outcome


@contextmanager
def stop_on_interrupt() -> Iterator[Event]:
    """Give an event that Ctrl-C sets; raise KeyboardInterrupt where the block ends.

    Workers see the event and end by themselves: nobody writes any more when files are removed.
    """
    stop = Event()
    if current_thread() is not main_thread():
        yield stop
        return

    def interrupt(*_signal: object) -> None:
        if stop.is_set():  # pressed again
            raise KeyboardInterrupt
        stop.set()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
    if stop.is_set():
        raise KeyboardInterrupt
