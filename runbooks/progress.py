"""A Nornir processor that shows progress on a terminal, once work takes longer than 2 s."""

from __future__ import annotations

import sys
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING

from nornir.core.inventory import Host
from nornir.core.task import AggregatedResult, MultiResult, Task

from runbooks.output import PrintableStream

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

PATIENCE = 2.0
"""Seconds of work without a word."""


class Progress:
    """Counts hosts on stderr; silent where stderr is no terminal."""

    def __init__(self) -> None:
        self.total = 0
        self.done = 0
        self.started = monotonic()
        self.is_shown = sys.stderr.isatty()
        self.lock = Lock()
        self.bar: Bar | None = None
        self.bar_task: TaskID | None = None

    def task_started(self, task: Task) -> None:
        """Start the clock, and see how many hosts there are."""
        self.total = len(task.nornir.inventory.hosts)
        self.started = monotonic()
        self.done = 0
        self.bar = None

    def task_completed(self, task: Task, result: AggregatedResult) -> None:
        """Take the bar away."""
        if self.bar:
            self.bar.stop()

    def task_instance_started(self, task: Task, host: Host) -> None:
        """Nothing: a host counts when it is done."""

    def task_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Count a host."""
        with self.lock:
            self.done += 1
            if self.is_shown and monotonic() - self.started > PATIENCE:
                self._show(task.name)

    def subtask_instance_started(self, task: Task, host: Host) -> None:
        """Nothing."""

    def subtask_instance_completed(self, task: Task, host: Host, result: MultiResult) -> None:
        """Nothing."""

    def _show(self, name: str) -> None:
        if self.bar is None:
            from rich.console import Console
            from rich.progress import Progress as Bar

            stream = sys.stderr  # the bar moves the cursor: it goes past what is printable
            terminal = stream.stream if isinstance(stream, PrintableStream) else stream
            self.bar = Bar(
                console=Console(file=terminal),
                transient=True,
                redirect_stdout=False,  # what others print must not go past it
                redirect_stderr=False,
            )
            self.bar_task = self.bar.add_task(name, total=self.total)
            self.bar.start()
        if self.bar_task is not None:
            self.bar.update(self.bar_task, completed=self.done)


def say(line: str) -> None:
    """Tell a person what has been reached, where results do not go."""
    print(line, file=sys.stderr, flush=True)
