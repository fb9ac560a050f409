"""A survey: every host read once, in parallel, and judged against what is intended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from goldentooth.applied import APPLIED, FOLDER
from goldentooth.artifact import Artifact, Scope
from goldentooth.check import Output, UnreadableError
from goldentooth.drift import Collected, DriftState, HostDrift, HostIntent, judge_host
from goldentooth.errors import (
    AuthenticationError,
    HostKeyError,
    PrivilegeError,
    RenderError,
    TooSlowError,
    TransportError,
)
from goldentooth.host.state import STATE_FILE, HostState, read_state
from goldentooth.host.words import Refusal
from goldentooth.observation import observations
from goldentooth.transports import Command, Transport
from goldentooth.transports.files import parse_files

if TYPE_CHECKING:
    from goldentooth.model import Network, Node
    from goldentooth.opnsense.standing import RouterSurvey
    from goldentooth.report.render import HostRender
    from goldentooth.services import Service

_STATE = f"{FOLDER}/{STATE_FILE}"

_STATES: tuple[tuple[type[Exception], DriftState], ...] = (
    (HostKeyError, DriftState.WRONG_KEY),
    (AuthenticationError, DriftState.REFUSED),
    (PrivilegeError, DriftState.NOT_PERMITTED),
    (TooSlowError, DriftState.TOO_SLOW),
    (TransportError, DriftState.UNREACHABLE),
    (UnreadableError, DriftState.UNREADABLE),
)


@dataclass(frozen=True)
class HostSurvey:
    """How a host stands, and what was read to tell; None if it could not be read."""

    drift: HostDrift
    collected: Collected | None = field(default=None, repr=False)
    artifacts: tuple[Artifact, ...] = field(default=(), repr=False)
    """What is intended there."""
    router: RouterSurvey | None = field(default=None, repr=False)
    """Set for a router that is read through its API."""


def host_intents(
    network: Network, services: Sequence[Service], renders: Iterable[HostRender]
) -> dict[str, HostIntent]:
    """Return what is wanted and read of each host that has files of ``services``, by its name.

    Raises:
        RenderError: if a host's files could not be made.
    """
    renders = tuple(renders)
    failures = [f"{render.host}: {render.failure}" for render in renders if render.failure]
    if failures:
        raise RenderError("\n".join(failures))
    intents = (
        _intent(network, network.nodes[render.host], services, render.artifacts)
        for render in renders
    )
    return {intent.host: intent for intent in intents if intent.artifacts or intent.observations}


def _intent(
    network: Network, node: Node, services: Sequence[Service], artifacts: Iterable[Artifact]
) -> HostIntent:
    deployed = tuple(artifact for artifact in artifacts if artifact.scope is Scope.HOST)
    placed = {artifact.service for artifact in deployed}
    present = [service for service in services if node in service.hosts(network)]
    return HostIntent(
        node.name,
        deployed,
        tuple(
            (service.name, observation)
            for service in present
            for observation in observations(
                service, network, node, is_deployed=service.name in placed
            )
        ),
        tuple(
            (service.name, folder)
            for service in present
            for folder in service.folders(network, node)
        ),
        frozenset(service.name for service in services),
    )


def survey_host(intent: HostIntent, transport: Transport | TransportError) -> HostSurvey:
    """Read a host in one exec and judge it; ``transport`` may be why there is none."""
    collect = collect_command(intent.paths)
    try:
        if isinstance(transport, TransportError):
            raise transport
        files, *outputs = transport.gather((collect, *intent.commands))
        collected = _collected(files, dict(zip(intent.commands, outputs, strict=True)))
    except (TransportError, UnreadableError) as error:
        state = next(state for kind, state in _STATES if isinstance(error, kind))
        drift = HostDrift(intent.host, state=state, reason=str(error))
        return HostSurvey(drift, None, intent.artifacts)
    return HostSurvey(judge_host(intent, collected), collected, intent.artifacts)


def collect_command(paths: Iterable[str]) -> Command:
    """Return the command that reads files, the host's state and its record in one go."""
    return Command("@collect", "".join(f"{path}\n" for path in paths).encode())


def _collected(files: Output, outputs: Mapping[str, Output]) -> Collected:
    """Part the answer into the host's files, its state, and its record of what was applied."""
    found = parse_files(files)
    kept = {
        path: file.content
        for path, file in found.items()
        if path.startswith(f"{FOLDER}/") and file is not None
    }
    files_there = {path: file for path, file in found.items() if not path.startswith(f"{FOLDER}/")}
    state, damage = HostState(), ""
    if _STATE in kept:
        try:
            state = read_state(kept[_STATE])
        except Refusal as refusal:
            damage = refusal.text
    folder = f"{FOLDER}/{state.applied}/"
    record = {
        f"{APPLIED}/{path.removeprefix(folder)}": content
        for path, content in kept.items()
        if state.applied and path.startswith(folder)
    }
    return Collected(files_there, record, outputs, state, damage)


def surveyed(name: str, results: Any) -> HostSurvey:
    """Return the survey in Nornir's ``results`` of one host, whatever became of its task."""
    survey = results[0].result
    if isinstance(survey, HostSurvey):
        return survey
    reason = f"unexpected {results[0].exception!r}; --debug shows where"
    return HostSurvey(HostDrift(name, state=DriftState.UNREADABLE, reason=reason))


def as_drift(surveys: Mapping[str, HostSurvey]) -> tuple[HostDrift, ...]:
    """Return how the hosts stand, without what was read."""
    return tuple(survey.drift for survey in surveys.values())
