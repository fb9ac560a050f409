"""How the router stands: its plan as drift and as part of a deployment. Pure.

The box keeps no record of what was applied; the controller does, without secrets. With it a
difference can be put down to the router or to the facts, as on every other host.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from goldentooth import drift
from goldentooth import plan as deployment
from goldentooth.drift import DriftState, HostDrift
from goldentooth.opnsense.models import SENSITIVE, Values, fields_of
from goldentooth.opnsense.plan import Action, Backup, Change, Plan
from goldentooth.opnsense.state import Intended, Live, State

SERVICE = "opnsense"
FORMAT = "goldentooth-net/router-applied/1"

_NOTHING: Values = {}
_ACTIONS = {
    Action.CREATE: deployment.Action.CREATE,
    Action.CHANGE: deployment.Action.CHANGE,
    Action.DELETE: deployment.Action.REMOVE,
}


class Applied(msgspec.Struct, frozen=True):
    """What was last applied to a router: values without secrets, by object's name."""

    format: str
    host: str
    deployment: str
    at: str
    by: str
    objects: dict[str, dict[str, str]]


@dataclass(frozen=True)
class RouterSurvey:
    """What was read of a router, and what there is to do; ``intended`` has its secrets."""

    intended: Intended = field(repr=False)
    live: Live = field(repr=False)
    drawn: Plan
    applied: Applied | None = None
    back: Backup | None = field(default=None, repr=False)
    """Set if the plan is to put back what an earlier deployment has found."""


def applied_bytes(intended: Intended, host: str, deployment: str, at: str, by: str) -> bytes:
    """Return the record of ``intended`` as it was applied, as a file of the controller."""
    return _bytes(Applied(FORMAT, host, deployment, at, by, _objects(intended)))


def adopted_bytes(survey: RouterSurvey, host: str, deployment: str, at: str, by: str) -> bytes:
    """Return the record of what the router has of what is intended, as it stands."""
    live = _objects(survey.live)
    taken = {name: live[name] for name in _objects(survey.intended) if name in live}
    return _bytes(Applied(FORMAT, host, deployment, at, by, taken))


def _bytes(applied: Applied) -> bytes:
    return msgspec.json.format(msgspec.json.encode(applied), indent=1) + b"\n"


def read_applied(content: bytes, host: str) -> Applied:
    """Return the record that :func:`applied_bytes` made.

    Raises:
        ValueError: if it is damaged or of another router.
    """
    applied = msgspec.json.decode(content, type=Applied)
    if (applied.format, applied.host) != (FORMAT, host):
        raise ValueError(f"it is of {applied.host!r}, in format {applied.format!r}")
    return applied


def _objects(state: State) -> dict[str, dict[str, str]]:
    """Return all values but secrets, keyed as :class:`Change` names what it changes."""
    items = {f"{item.kind.title} {item.name}": item.values for item in state.items.values()}
    settings = {f"settings {model}": values for model, values in state.settings.items()}
    return {
        name: {key: value for key, value in values.items() if key not in SENSITIVE}
        for name, values in (items | settings).items()
    }


# -- as drift ---------------------------------------------------------------------------


def judge_router(host: str, survey: RouterSurvey) -> HostDrift:
    """Return how the router stands, object by object."""
    applied = survey.applied
    named = f"{applied.deployment} of {applied.at}" if applied else ""
    return HostDrift(host, tuple(_items(survey)), baseline=named)


def _items(survey: RouterSurvey) -> Iterator[drift.Item]:
    changes = {str(change): change for change in survey.drawn.changes}
    for name in _objects(survey.intended):
        if name not in changes:
            yield drift.Item(SERVICE, name, DriftState.IN_SYNC)
    for name, change in changes.items():
        fields = ", ".join(each.field for each in change.fields)
        detail = change.reason or (fields if change.action is Action.CHANGE else "")
        state = _state(survey, name, change)
        moved = state in {DriftState.DRIFT, DriftState.CONFLICT}
        diff = _moved_lines(change) if moved else _lines(change)
        yield drift.Item(SERVICE, name, state, detail, diff)
    for pending in survey.drawn.pending:
        yield drift.Item(SERVICE, pending, DriftState.NOT_LOADED, "saved, not live: reconfigure")


def _lines(change: Change) -> str:
    return "".join(f"{line}\n" for line in change.lines())


def _moved_lines(change: Change) -> str:
    """Return what was done on the router, as of files: from what was applied to what is there."""
    return "".join(
        f"{sign} {each.field}: {value}\n"
        for each in change.fields
        for sign, value in (("-", each.after), ("+", each.before))
        if value is not None
    ) or _lines(change)


def _state(survey: RouterSurvey, name: str, change: Change) -> DriftState:
    intended = _objects(survey.intended).get(name, _NOTHING)
    if survey.applied is None:
        return _state_without_record(survey, change)
    applied = survey.applied.objects.get(name)
    if change.action is Action.DELETE:
        return DriftState.PENDING if applied is not None else DriftState.CONFLICT
    if change.action is Action.CREATE:
        return DriftState.MISSING if applied is not None else DriftState.PENDING
    if applied == intended:
        return DriftState.DRIFT
    live = _objects(survey.live).get(name, _NOTHING)
    as_applied = applied is not None and applied.items() <= live.items()
    return DriftState.PENDING if as_applied else DriftState.CONFLICT


def _state_without_record(survey: RouterSurvey, change: Change) -> DriftState:
    """Return the state where nothing is known of earlier: a default is nobody's work."""
    if change.action is Action.CREATE:
        return DriftState.PENDING
    if change.kind == "settings":
        there, fields = survey.live.settings[change.name], fields_of(change.name)
        changed = [fields[each.field] for each in change.fields]
        values = [there.get(each.field, "") for each in change.fields]
        if all(f.normal(f.default) == v for f, v in zip(changed, values, strict=True)):
            return DriftState.PENDING
    return DriftState.NO_BASELINE


# -- as part of a deployment --------------------------------------------------------------


def plan_router(
    host: str, standing: HostDrift, survey: RouterSurvey, *, overwrite: bool
) -> deployment.HostPlan:
    """Return what a deployment would do on the router; with ``overwrite`` drift is no obstacle."""
    items = {item.subject: item for item in standing.items}
    changes, blocked = [], []
    for change in survey.drawn.changes:
        item = items[str(change)]
        if item.state in deployment.BLOCKING and not overwrite:
            blocked.append(item)
            continue
        changes.append(
            deployment.Change(_ACTIONS[change.action], SERVICE, str(change), item.detail, item.diff)
        )
    for pending in survey.drawn.pending:
        detail = "saved, not live: reconfigure"
        changes.append(deployment.Change(deployment.Action.LOAD, SERVICE, pending, detail))
    blocked += [
        drift.Item(SERVICE, f"the plan: {obstacle}", DriftState.CONFLICT)
        for obstacle in survey.drawn.obstacles
    ]
    return deployment.HostPlan(
        host,
        tuple(changes),
        tuple(blocked),
        disturbs=tuple(_disturbances(survey.drawn)),
        notes=(
            *(f"not ours, left alone: {each}" for each in survey.drawn.foreign),
            *survey.drawn.notes,
        ),
        router=survey,
    )


def _disturbances(drawn: Plan) -> Iterator[str]:
    words = {Action.CREATE: "opens", Action.CHANGE: "may reset", Action.DELETE: "closes"}
    for change in drawn.changes:
        if (change.kind, change.name) == ("settings", "bfd"):
            yield "FRR starts bfdd, and may restart for it: every session resets"
        if change.kind == "neighbor":
            yield f"session {change.name} {words[change.action]}"
