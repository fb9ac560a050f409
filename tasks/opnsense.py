"""The OPNsense router, in the steps of a survey and a deployment."""

from __future__ import annotations

import json
import secrets as randomness
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from goldentooth.bounded import load_json
from goldentooth.drift import DriftState, HostDrift
from goldentooth.errors import (
    AuthenticationError,
    DeploymentError,
    FactsError,
    GoldentoothError,
    HostKeyError,
    OutputError,
    TooSlowError,
    TransportError,
)
from goldentooth.opnsense import Backup, UnknownModelError, intended_state, plan, restore_plan
from goldentooth.opnsense.diagnostics import SUMMARY, bgp_peers
from goldentooth.opnsense.standing import (
    Applied,
    Recorded,
    RouterSurvey,
    adopted_bytes,
    applied_bytes,
    as_applied,
    judge_router,
    read_applied,
)
from goldentooth.secrets import SecretError, Secrets
from goldentooth.survey import HostSurvey
from goldentooth.transports.bounds import Bounds
from goldentooth.wholefile import replace_file
from tasks.deploy import Step

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
    """What it takes to speak to the router of ``network``; ``record`` is what was last applied.

    Beside the record is the key of the hashes in it.
    """

    network: Network
    folder: Path
    record: Path
    bounds: Bounds
    secrets: Secrets = field(repr=False)

    @property
    def key_file(self) -> Path:
        """Where the key of the record's keyed hashes is."""
        return self.record.with_suffix(".key")

    def connect(self) -> OpnsenseTransport:
        """Return the way to the router; nothing has been asked of it yet."""
        from goldentooth.transports.opnsense import OpnsenseTransport

        return OpnsenseTransport.to_router(self.network, self.secrets, self.folder, self.bounds)


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
    drawn = plan(intended, live)
    notes = _session_notes(access.network, transport)
    return RouterSurvey(intended, live, drawn, _applied(access), key=_read_key(access), notes=notes)


def _session_notes(network: Network, transport: OpnsenseTransport) -> tuple[str, ...]:
    from goldentooth.services.frr import session_notes, sessions_of

    names = {str(node.address): node.name for node in network.bgp_neighbors}
    with suppress(TransportError, KeyError, TypeError, ValueError):  # for a note nothing fails
        return session_notes(sessions_of(bgp_peers(transport.get(SUMMARY))), names)
    return ()


def _read_key(access: RouterAccess) -> bytes:
    try:
        return access.key_file.read_bytes().strip()
    except FileNotFoundError:
        return b""


def _key(access: RouterAccess) -> bytes:
    """Return the key of the record's keyed hashes; it is made if there is none."""
    if not _read_key(access):
        keep(access.key_file, randomness.token_hex(32))
    return _read_key(access)


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
        if survey.back is not None:
            return transport.restore(survey.back)
        return transport.apply(survey.drawn, survey.intended)


def put_back(access: RouterAccess, backup: Backup) -> ApplyResult:
    """Make what a plan has touched what it was before.

    Raises:
        TransportError: if it could not be begun; nothing was changed.
    """
    with access.connect() as transport:
        return transport.restore(backup)


# -- a deployment -----------------------------------------------------------------------


def backup_file(access: RouterAccess, deployment: str) -> Path:
    """Return where the controller keeps what a deployment found on the router."""
    return access.record.parent / f"{access.network.router.name}-before-{deployment}.json"


def change_router(
    access: RouterAccess, survey: RouterSurvey, deployment: str
) -> tuple[Step, Backup | None]:
    """Carry out the survey's plan; return how that went, and what goes back: None if nothing.

    What is there is kept first: a process that is killed meanwhile can be followed by one that
    puts it back.
    """
    keep(backup_file(access, deployment), json.dumps(survey.drawn.backup.as_dict()))
    try:
        result = apply_plan(access, survey)
    except GoldentoothError as error:
        return Step(is_done=False, reason=str(error)), None  # it was not begun
    reason = "" if result.error is None else "; ".join(result.lines())
    return Step(is_done=result.error is None, reason=reason), result.backup


def return_router(access: RouterAccess, deployment: str, backup: Backup | None = None) -> Step:
    """Put back what a deployment found; without ``backup``, as it was kept, without secrets.

    The step's reason says which secrets could not go back.
    """
    try:
        if backup is None:
            kept = load_json(backup_file(access, deployment).read_bytes())
            backup = Backup.from_dict(kept)
        result = put_back(access, backup)
    except FileNotFoundError:
        return Step(is_done=False, reason="nothing was kept of it")
    except (GoldentoothError, OSError, ValueError, KeyError) as error:
        return Step(is_done=False, reason=str(error), is_lost=True)
    if result.error is not None:
        return Step(is_done=False, reason="; ".join(result.lines()), is_lost=True)
    drop_record(access, deployment)
    return Step(is_done=True, reason="; ".join(result.notes))


def prepared_record(access: RouterAccess, deployment: str) -> Path:
    """Return where the controller keeps the record of a deployment that is not confirmed yet."""
    return access.record.parent / f"{access.network.router.name}-after-{deployment}.json"


def prepare_record(access: RouterAccess, survey: RouterSurvey, deployment: str, by: str) -> None:
    """Keep what a deployment has made of the router, for :func:`take_record`.

    A process that is killed between its verdict and its record is followed by one that has it.

    Raises:
        OutputError: if it cannot be written.
        TransportError: if the router, whose state is to be recorded, cannot be read.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")
    recorded = Recorded(access.network.router.name, deployment, at, by)
    if survey.back is None:
        record = applied_bytes(survey.intended, recorded, _key(access))
    else:  # what is there now is another than the facts have
        with access.connect() as transport:
            now = replace(survey, live=transport.observe())
        record = adopted_bytes(now, recorded, _key(access))
    keep(prepared_record(access, deployment), record.decode())


def take_record(access: RouterAccess, deployment: str) -> None:
    """Make the prepared record the router's; once it has been taken there is nothing to do.

    Raises:
        OutputError: if it cannot be written.
    """
    try:
        prepared_record(access, deployment).replace(access.record)
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"{access.record} cannot be written: {error.strerror}") from error


def drop_record(access: RouterAccess, deployment: str) -> None:
    """Forget the prepared record of a deployment that has been taken back."""
    prepared_record(access, deployment).unlink(missing_ok=True)


def adopt_router(access: RouterAccess, survey: RouterSurvey, deployment: str, by: str) -> None:
    """Keep what the router has of what is intended as what was applied.

    Raises:
        OutputError: if it cannot be written.
    """
    at = datetime.now(UTC).isoformat(timespec="seconds")
    recorded = Recorded(access.network.router.name, deployment, at, by)
    keep(access.record, adopted_bytes(survey, recorded, _key(access)).decode())


def keep(path: Path, text: str) -> None:
    """Write a file of the controller's, readable by its owner only.

    Raises:
        OutputError: if it cannot be written; it is then as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(path, text, mode=0o600)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def survey_return(access: RouterAccess, survey: RouterSurvey, deployment: str) -> RouterSurvey:
    """Return the survey with a plan that puts back what ``deployment`` has found.

    Raises:
        DeploymentError: if that was not kept.
    """
    file = backup_file(access, deployment)
    try:
        back = Backup.from_dict(load_json(file.read_bytes()))
    except (OSError, ValueError, KeyError) as error:
        raise DeploymentError(
            f"{access.network.router.name}: what was there before {deployment} is not kept here"
            f" ({file}: {error})"
        ) from error
    drawn = restore_plan(back, survey.live)
    if drawn.is_empty:  # to have put nothing back is no success where something should have been
        drawn = replace(drawn, obstacles=(*drawn.obstacles, *drawn.notes), notes=())
    return replace(survey, drawn=drawn, back=back)


def survey_applied(access: RouterAccess, survey: RouterSurvey) -> RouterSurvey:
    """Return the survey with a plan that makes the router what was last applied.

    Raises:
        DeploymentError: if there is no record of it.
    """
    try:
        return as_applied(survey)
    except ValueError as error:
        raise DeploymentError(f"{access.network.router.name}: {error} ({access.record})") from None
