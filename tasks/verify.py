"""Read one host once, and judge every live check that wants something of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nornir.core.task import Result, Task

from goldentooth.check import Check, judge_all, reads_of, unknown_all
from goldentooth.errors import TransportError
from tasks.connection import transport_of


def verify_host(
    task: Task,
    checks: Mapping[str, Sequence[tuple[str, Check]]],
    deadline: float | None = None,
) -> Result:
    """Run all distinct reads of ``task.host`` in one exec and judge its checks.

    Arguments:
        task: Nornir's.
        checks: (service name, check) by the name of the host that is read.
        deadline: when the run's time is over, in seconds of :func:`time.monotonic`.

    Returns:
        A result whose ``result`` is a tuple of :class:`~goldentooth.check.CheckResult`; a host
        that cannot be spoken to makes its checks unknown, with the reason.
    """
    wanted = checks[task.host.name]
    commands = reads_of(wanted)
    try:
        transport = transport_of(task, deadline)
        outputs = dict(zip(commands, transport.gather(commands), strict=True))
    except TransportError as error:
        return Result(host=task.host, result=unknown_all(wanted, str(error)))
    return Result(host=task.host, result=judge_all(wanted, outputs))
