"""Read everything that drift needs of one host, in one round trip."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from nornir.core.task import Result, Task

from goldentooth.errors import TransportError
from goldentooth.transports import Transport
from tasks.connection import APPLIANCES, transport_of

if TYPE_CHECKING:
    from goldentooth.drift import HostIntent
    from tasks.opnsense import RouterAccess


def collect_host(
    task: Task,
    intents: Future[Mapping[str, HostIntent]],
    router: Callable[[], RouterAccess] | None = None,
    deadline: float | None = None,
) -> Result:
    """Read files, record and running state of ``task.host`` in one exec, and judge them.

    It is connected to while ``intents`` are still in the making; if they cannot be made, nothing
    is read. An OPNsense box is asked through its API, which ``router`` gives the way to. After
    ``deadline``, in seconds of :func:`time.monotonic`, no host is begun.

    Returns:
        A result whose ``result`` is a :class:`~goldentooth.survey.HostSurvey`; a host that
        cannot be read has a state that says why.
    """
    if router is not None and task.host.platform in APPLIANCES:
        from tasks.opnsense import survey_router

        return Result(host=task.host, result=survey_router(router()))
    transport: Transport | TransportError
    try:
        transport = transport_of(task, deadline)
    except TransportError as error:
        transport = error
    if intents.exception() is not None:
        return Result(host=task.host)  # who has asked for the survey tells why
    from goldentooth.survey import survey_host  # loaded by now, while hosts were connected to

    survey = survey_host(intents.result()[task.host.name], transport)
    return Result(host=task.host, result=survey)
