"""One Nornir task for all hosts, which Ctrl-C ends in an orderly way."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread
from typing import TYPE_CHECKING, Any

from nornir.plugins.runners import ThreadedRunner

from goldentooth.check import Check, CheckResult, unknown_all

if TYPE_CHECKING:
    from nornir.core import Nornir
    from nornir.core.processor import Processor
    from nornir.core.task import AggregatedResult


def prepared(
    nornir: Nornir, workers: int | None = None, processors: Iterable[Processor] = ()
) -> Nornir:
    """Return ``nornir`` with so many hosts at a time (as configured, if None), and who watches."""
    nornir = nornir.with_processors(list(processors))
    return nornir.with_runner(ThreadedRunner(workers)) if workers else nornir


def make_checks(
    nornir: Nornir,
    checks: Iterable[tuple[str, Check]],
    stop: Event | None = None,
    deadline: float | None = None,
) -> tuple[CheckResult, ...]:
    """Read every host that a (service name, check) wants read, once; judge them all.

    Raises:
        KeyboardInterrupt: if ``stop`` was set meanwhile.
    """
    from tasks.verify import verify_host  # tasks are built on the library

    by_host: dict[str, list[tuple[str, Check]]] = {}
    for service, check in checks:
        by_host.setdefault(check.host, []).append((service, check))
    nornir = nornir.filter(filter_func=lambda host: host.name in by_host)
    outcome = run_for_all(
        nornir, verify_host, stop, name="verify", checks=by_host, deadline=deadline
    )
    return tuple(
        result
        for name, results in outcome.items()
        for result in (
            unknown_all(by_host[name], f"unexpected {results[0].exception!r}")
            if results.failed
            else results[0].result
        )
    )


def run_for_all(
    nornir: Nornir, task: Callable[..., Any], stop: Event | None = None, **arguments: Any
) -> AggregatedResult:
    """Run ``task`` for all hosts; what failed over SSH is no concern of it, nor the reverse.

    Raises:
        KeyboardInterrupt: if ``stop`` was set meanwhile.
    """
    failed_before = set(nornir.data.failed_hosts)
    outcome = nornir.run(task, raise_on_error=False, on_failed=True, **arguments)
    nornir.data.failed_hosts = failed_before
    if stop and stop.is_set():
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
