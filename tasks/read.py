"""Run commands that only read on hosts, for a view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nornir.core.task import Result, Task

from goldentooth.check import Output
from goldentooth.errors import TransportError
from goldentooth.fleet import run_for_all, stop_on_interrupt
from tasks.connection import transport_of

if TYPE_CHECKING:
    from goldentooth.project import Project


def read_commands(
    project: Project, commands: Mapping[str, Sequence[str]]
) -> dict[str, dict[str, Output]]:
    """Run ``commands``, by host name, in parallel; return the outputs by host and command."""
    nornir = project.nornir.filter(filter_func=lambda host: host.name in commands)
    with stop_on_interrupt() as stop:
        outcome = run_for_all(nornir, read_host, stop, name="read", commands=commands)
    nornir.close_connections(on_failed=True)
    return {
        name: dict.fromkeys(commands[name], _failure(f"unexpected {results[0].exception!r}"))
        if results.failed
        else results[0].result
        for name, results in outcome.items()
    }


def read_host(task: Task, commands: Mapping[str, Sequence[str]]) -> Result:
    """Run the commands of ``task.host`` in one exec.

    Arguments:
        task: Nornir's.
        commands: by host name.

    Returns:
        A result whose ``result`` is an :class:`~goldentooth.check.Output` by command; of a host
        that cannot be spoken to, each says why.
    """
    wanted = commands[task.host.name]
    try:
        outputs = transport_of(task).gather(wanted)
    except TransportError as error:
        return Result(host=task.host, result=dict.fromkeys(wanted, _failure(str(error))))
    return Result(host=task.host, result=dict(zip(wanted, outputs, strict=True)))


def _failure(reason: str) -> Output:
    return Output(b"", " ".join(reason.split()).encode(), 1)
