"""Read everything that drift needs of one host, in one round trip."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from shlex import quote
from typing import TYPE_CHECKING

from nornir.core.task import Result, Task

from goldentooth.applied import FOLDER
from goldentooth.check import Output, UnreadableError
from goldentooth.drift import Collected, DriftState, HostDrift, HostIntent, judge_host
from goldentooth.errors import (
    AuthenticationError,
    HostKeyError,
    PrivilegeError,
    TooSlowError,
    TransportError,
)
from goldentooth.survey import HostSurvey
from goldentooth.transports import Transport
from goldentooth.transports.files import parse_files
from tasks.connection import transport_of

if TYPE_CHECKING:
    from tasks.opnsense import RouterAccess

_ROLLED_BACK = f"{FOLDER}/rolled-back"

_STATES: tuple[tuple[type[Exception], DriftState], ...] = (
    (HostKeyError, DriftState.WRONG_KEY),
    (AuthenticationError, DriftState.REFUSED),
    (PrivilegeError, DriftState.NOT_PERMITTED),
    (TooSlowError, DriftState.TOO_SLOW),
    (TransportError, DriftState.UNREACHABLE),
    (UnreadableError, DriftState.UNREADABLE),
)


def collect_host(
    task: Task,
    intents: Future[Mapping[str, HostIntent]],
    router: RouterAccess | None = None,
    deadline: float | None = None,
) -> Result:
    """Read files, record and running state of ``task.host`` in one exec, and judge them.

    It is connected to while ``intents`` are still in the making; if they cannot be made, nothing
    is read. An OPNsense box is the ``router``, which is asked through its API. After
    ``deadline``, in seconds of :func:`time.monotonic`, no host is begun.

    Returns:
        A result whose ``result`` is a :class:`~goldentooth.survey.HostSurvey`; a host that
        cannot be read has a state that says why.
    """
    if router is not None and task.host.name == router.network.router.name:
        from tasks.opnsense import survey_router

        return Result(host=task.host, result=survey_router(router))
    transport: Transport | TransportError
    try:
        transport = transport_of(task, deadline)
    except TransportError as error:
        transport = error
    if intents.exception() is not None:
        return Result(host=task.host)  # who has asked for the survey tells why
    survey = _survey(intents.result()[task.host.name], transport)
    return Result(host=task.host, result=survey)


def _survey(intent: HostIntent, transport: Transport | TransportError) -> HostSurvey:
    collect = " ".join(("@collect", *map(quote, intent.paths)))
    commands = (collect, *intent.commands)
    try:
        if isinstance(transport, TransportError):
            raise transport
        outputs = dict(zip(commands, transport.gather(commands), strict=True))
        collected = _collected(outputs, collect)
    except (TransportError, UnreadableError) as error:
        state = next(state for kind, state in _STATES if isinstance(error, kind))
        drift = HostDrift(intent.host, state=state, reason=str(error))
        return HostSurvey(drift, None, intent.artifacts)
    return HostSurvey(judge_host(intent, collected), collected, intent.artifacts)


def _collected(outputs: Mapping[str, Output], collect: str) -> Collected:
    """Part the answer into the host's files and its record of what was applied."""
    found = parse_files(outputs[collect])
    record = {
        path: file.content
        for path, file in found.items()
        if path.startswith(f"{FOLDER}/") and file is not None
    }
    rolled_back = record.pop(_ROLLED_BACK, b"").decode(errors="replace").strip()
    files = {path: file for path, file in found.items() if not path.startswith(f"{FOLDER}/")}
    return Collected(files, record, outputs, rolled_back)
