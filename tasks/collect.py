"""Read everything that drift needs of one host, in one round trip."""

from __future__ import annotations

from collections.abc import Mapping
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
from goldentooth.transports.files import parse_files
from tasks.connection import transport_of

if TYPE_CHECKING:
    from tasks.opnsense import RouterAccess

_ROLLED_BACK = f"{FOLDER}/rolled-back"

_STATES: tuple[tuple[type[TransportError], DriftState], ...] = (
    (HostKeyError, DriftState.WRONG_KEY),
    (AuthenticationError, DriftState.REFUSED),
    (PrivilegeError, DriftState.NOT_PERMITTED),
    (TooSlowError, DriftState.TOO_SLOW),
    (TransportError, DriftState.UNREACHABLE),
)


def collect_host(
    task: Task,
    intents: Mapping[str, HostIntent],
    router: RouterAccess | None = None,
    deadline: float | None = None,
) -> Result:
    """Read files, record and running state of ``task.host`` in one exec, and judge them.

    A host without files is the ``router``, which is asked through its API. After ``deadline``,
    in seconds of :func:`time.monotonic`, no host is begun.

    Returns:
        A result whose ``result`` is a :class:`~goldentooth.survey.HostSurvey`; a host that
        cannot be read has a state that says why.
    """
    if task.host.name not in intents and router is not None:
        from tasks.opnsense import survey_router

        return Result(host=task.host, result=survey_router(router))
    intent = intents[task.host.name]
    collect = " ".join(("@collect", *map(quote, intent.paths)))
    commands = (collect, *intent.commands)
    try:
        transport = transport_of(task, deadline)
        outputs = dict(zip(commands, transport.gather(commands), strict=True))
        collected = _collected(outputs, collect)
    except TransportError as error:
        state = next(state for kind, state in _STATES if isinstance(error, kind))
        return _unknown(task, intent, state, str(error))
    except UnreadableError as error:
        return _unknown(task, intent, DriftState.UNREADABLE, str(error))
    survey = HostSurvey(judge_host(intent, collected), collected, intent.artifacts)
    return Result(host=task.host, result=survey)


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


def _unknown(task: Task, intent: HostIntent, state: DriftState, reason: str) -> Result:
    drift = HostDrift(intent.host, state=state, reason=reason)
    return Result(host=task.host, result=HostSurvey(drift, None, intent.artifacts))
