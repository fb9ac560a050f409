"""The OPNsense router, in the steps of a survey and a deployment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from goldentooth.drift import DriftState, HostDrift
from goldentooth.errors import (
    AuthenticationError,
    FactsError,
    GoldentoothError,
    HostKeyError,
    TooSlowError,
    TransportError,
)
from goldentooth.opnsense import Backup, UnknownModelError, intended_state, plan
from goldentooth.opnsense.standing import Applied, RouterSurvey, judge_router, read_applied
from goldentooth.secrets import SecretError, Secrets
from goldentooth.survey import HostSurvey

if TYPE_CHECKING:
    from goldentooth.model import Network
    from goldentooth.transports.opnsense import ApplyResult, OpnsenseTransport

_STATES: tuple[tuple[type[GoldentoothError], DriftState], ...] = (
    (SecretError, DriftState.REFUSED),
    (HostKeyError, DriftState.WRONG_KEY),
    (AuthenticationError, DriftState.REFUSED),
    (TooSlowError, DriftState.TOO_SLOW),
    (TransportError, DriftState.UNREACHABLE),
    (UnknownModelError, DriftState.UNREADABLE),
    (FactsError, DriftState.UNREADABLE),
)


@dataclass(frozen=True)
class RouterAccess:
    """What it takes to speak to the router of ``network``; ``record`` is what was last applied."""

    network: Network
    folder: Path
    record: Path
    secrets: Secrets = field(repr=False)

    def connect(self) -> OpnsenseTransport:
        """Return the way to the router; nothing has been asked of it yet."""
        from goldentooth.transports.opnsense import OpnsenseTransport  # httpx: a tenth of a second

        return OpnsenseTransport.to_router(self.network, self.secrets, self.folder)


def survey_router(access: RouterAccess) -> HostSurvey:
    """Read the router and return how it stands; what hinders is its state."""
    host = access.network.router.name
    try:
        with access.connect() as transport:
            survey = _survey(access, transport)
    except tuple(kind for kind, _ in _STATES) as error:
        state = next(state for kind, state in _STATES if isinstance(error, kind))
        return HostSurvey(HostDrift(host, state=state, reason=str(error)))
    except ValueError as error:
        reason = f"{access.record}: {error}; it is not trusted. Look, then `adopt` what is there"
        return HostSurvey(HostDrift(host, state=DriftState.BAD_BASELINE, reason=reason))
    return HostSurvey(judge_router(host, survey), router=survey)


def _survey(access: RouterAccess, transport: OpnsenseTransport) -> RouterSurvey:
    from goldentooth.transports.opnsense import fill_secrets

    live = transport.observe()
    intended = fill_secrets(intended_state(access.network), access.secrets)
    return RouterSurvey(intended, live, plan(intended, live), _applied(access))


def _applied(access: RouterAccess) -> Applied | None:
    try:
        content = access.record.read_bytes()
    except FileNotFoundError:
        return None
    return read_applied(content, access.network.router.name)


def apply_plan(access: RouterAccess, survey: RouterSurvey) -> ApplyResult:
    """Carry out the survey's plan.

    Raises:
        TransportError: if it could not be begun; nothing was changed.
    """
    with access.connect() as transport:
        return transport.apply(survey.drawn, survey.intended)


def put_back(access: RouterAccess, backup: Backup) -> ApplyResult:
    """Make what a plan has touched what it was before.

    Raises:
        TransportError: if it could not be begun; nothing was changed.
    """
    with access.connect() as transport:
        return transport.restore(backup)
