"""A survey: every host read once, in parallel, and judged against what is intended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from goldentooth.artifact import Artifact, Scope
from goldentooth.drift import Collected, DriftState, HostDrift, HostIntent
from goldentooth.errors import RenderError
from goldentooth.observation import Observation, UnitsActive

if TYPE_CHECKING:
    from goldentooth.model import Network, Node
    from goldentooth.opnsense.standing import RouterSurvey
    from goldentooth.report.render import HostRender
    from goldentooth.services import Service


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


def observations(
    service: Service, network: Network, node: Node, *, is_deployed: bool
) -> Iterator[Observation]:
    """Yield what is read of a service on a host.

    Its units are ours to judge only if files of it ``is_deployed`` there: on Kubernetes nodes FRR
    is a stand-in of the twin's.
    """
    has_daemon = any(each.kind != "set" for each in service.activate(network, node))
    is_judged = is_deployed and node.platform == "linux" and has_daemon
    if is_judged and (units := service.units(network, node)):
        yield UnitsActive(service.name, units)
    yield from service.observe(network, node)


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
