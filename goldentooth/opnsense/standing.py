"""How the router stands: its plan as drift and as part of a deployment. Pure.

The box keeps no record of what was applied; the controller does. With it a difference can be put
down to the router or to the facts, as on every other host. Of a secret there is only a keyed hash
in it, so that a secret that was rotated is told from one that somebody has set on the router; the
key is a file beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import msgspec

from goldentooth import drift
from goldentooth import plan as deployment
from goldentooth.applied import keyed_hash
from goldentooth.bounded import load_json
from goldentooth.drift import DriftState, HostDrift
from goldentooth.opnsense.models import KINDS, SENSITIVE, Kind, Values, fields_of
from goldentooth.opnsense.plan import Action, Backup, Change, Plan, plan
from goldentooth.opnsense.state import Intended, Live, State, make_item, own_uuid

SERVICE = "opnsense"
FORMAT = "goldentooth-net/router-applied/1"

_NOTHING: Values = {}
_ACTIONS = {
    Action.CREATE: deployment.Action.CREATE,
    Action.CHANGE: deployment.Action.CHANGE,
    Action.DELETE: deployment.Action.REMOVE,
}


class Applied(msgspec.Struct, frozen=True):
    """What was last applied to a router: values by object's name, of secrets a keyed hash."""

    format: str
    host: str
    deployment: str
    at: str
    by: str
    objects: dict[str, dict[str, str]]


@dataclass(frozen=True)
class RouterSurvey:
    """What was read of a router, and what there is to do; ``intended`` has its secrets.

    ``key`` is that of the record's keyed hashes; nothing if there is none.
    """

    intended: Intended = field(repr=False)
    live: Live = field(repr=False)
    drawn: Plan
    applied: Applied | None = None
    back: Backup | None = field(default=None, repr=False)
    """Set if the plan is to put back what an earlier deployment has found."""
    key: bytes = field(default=b"", repr=False)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recorded:
    """Whose record it is: of which router, made by which deployment, when and by whom."""

    host: str
    deployment: str
    at: str
    by: str

    def of(self, objects: dict[str, dict[str, str]]) -> bytes:
        """Return the record as a file of the controller."""
        applied = Applied(FORMAT, self.host, self.deployment, self.at, self.by, objects)
        return msgspec.json.format(msgspec.json.encode(applied), indent=1) + b"\n"


def applied_bytes(intended: Intended, recorded: Recorded, key: bytes) -> bytes:
    """Return the record of ``intended`` as it was applied, as a file of the controller."""
    return recorded.of(_objects(intended, key))


def adopted_bytes(survey: RouterSurvey, recorded: Recorded, key: bytes) -> bytes:
    """Return the record of what the router has of what is intended, as it stands."""
    live = _objects(survey.live, key)
    return recorded.of({n: live[n] for n in _objects(survey.intended, key) if n in live})


def read_applied(content: bytes, host: str) -> Applied:
    """Return the record that :func:`applied_bytes` made.

    Raises:
        ValueError: if it is damaged or of another router.
    """
    applied = msgspec.convert(load_json(content), Applied)
    if (applied.format, applied.host) != (FORMAT, host):
        raise ValueError(f"it is of {applied.host!r}, in format {applied.format!r}")
    return applied


def _objects(state: State, key: bytes) -> dict[str, dict[str, str]]:
    """Return all values, keyed as :class:`Change` names what it changes.

    In place of a secret stands its hash; without a key, nothing.
    """
    items = {f"{item.kind.title} {item.name}": item.values for item in state.items.values()}
    settings = {f"settings {model}": values for model, values in state.settings.items()}
    return {name: dict(_values(name, values, key)) for name, values in (items | settings).items()}


def _values(name: str, values: Values, key: bytes) -> Iterator[tuple[str, str]]:
    for each, value in values.items():
        if each not in SENSITIVE:
            yield each, value
        elif key:  # none is none, whatever the key
            yield each, _keyed(name, each, value, key)


def _keyed(name: str, field_name: str, value: str, key: bytes) -> str:
    return keyed_hash(f"{name}\n{field_name}\n{value}".encode(), key) if value else ""


def as_applied(survey: RouterSurvey) -> RouterSurvey:
    """Return the survey with a plan that makes the router what was last applied.

    A secret is taken from where it still is: the router, or the facts. One that is in neither
    stays as it is, and the plan says so.

    Raises:
        ValueError: if there is no record, or it tells of what is not known here.
    """
    if survey.applied is None:
        raise ValueError("nothing is on record as applied")
    settings: dict[str, Values] = {}
    items, notes = {}, []
    for name, values in survey.applied.objects.items():
        if name.startswith("settings "):
            settings[name.removeprefix("settings ")] = values
            continue
        kind = _kind_of(name)
        plain = {each: value for each, value in values.items() if each not in SENSITIVE}
        uuid = own_uuid(survey.intended.mark, kind, kind.name(plain))
        for each in sorted(SENSITIVE & kind.fields.keys()):
            secret = _secret(survey, name, each, uuid)
            if secret is None:
                notes.append(f"{name}: its {each} was not stored, and it stays as it is now")
                secret = _secrets_there(survey.live, uuid, each)
            plain[each] = secret
        items[uuid] = make_item(survey.intended.mark, kind, plain, {})
    target = Intended(settings=settings, items=items, mark=survey.intended.mark)
    drawn = plan(target, survey.live)
    return replace(survey, intended=target, drawn=replace(drawn, notes=(*drawn.notes, *notes)))


def _kind_of(name: str) -> Kind:
    for kind in KINDS:
        if name.startswith(f"{kind.title} "):
            return kind
    raise ValueError(f"its record has {name}, which is not known here")


def _secret(survey: RouterSurvey, name: str, field_name: str, uuid: str) -> str | None:
    """Return the secret that was applied, if the router or the facts still have it."""
    objects = survey.applied.objects if survey.applied else {}
    known = objects.get(name, {}).get(field_name)
    for state in (survey.live, survey.intended):
        value = _secrets_there(state, uuid, field_name)
        if known == _keyed(name, field_name, value, survey.key):
            return value
    return None


def _secrets_there(state: State, uuid: str, field_name: str) -> str:
    return state.items[uuid].values[field_name] if uuid in state.items else ""


# -- as drift ---------------------------------------------------------------------------


def judge_router(host: str, survey: RouterSurvey) -> HostDrift:
    """Return how the router stands, object by object."""
    applied = survey.applied
    named = f"{applied.deployment} of {applied.at}" if applied else ""
    return HostDrift(host, tuple(_items(survey)), baseline=named, notes=survey.notes)


def _items(survey: RouterSurvey) -> Iterator[drift.Item]:
    changes = {str(change): change for change in survey.drawn.changes}
    for name in _objects(survey.intended, survey.key):
        if name not in changes:
            yield drift.Item(SERVICE, name, DriftState.IN_SYNC)
    for name, change in changes.items():
        fields = ", ".join(each.field for each in change.fields)
        detail = change.reason or (fields if change.action is Action.CHANGE else "")
        state = _state(survey, name, change)
        if state is DriftState.PENDING and {f.field for f in change.fields} <= SENSITIVE:
            detail = detail and "the value of a secret has changed"
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
    if survey.applied is None:
        return _state_without_record(survey, change)
    applied = survey.applied.objects.get(name)
    if change.action is Action.DELETE:
        return DriftState.PENDING if applied is not None else DriftState.CONFLICT
    if change.action is Action.CREATE:
        return DriftState.MISSING if applied is not None else DriftState.PENDING
    if applied is None:
        return DriftState.CONFLICT
    intended = _objects(survey.intended, survey.key).get(name, _NOTHING)
    live = _objects(survey.live, survey.key).get(name, _NOTHING)
    # a record without a key, or without hashes, knows nothing of secrets
    known = {each: v for each, v in applied.items() if each not in SENSITIVE or survey.key}
    if known == _without_unknown_secrets(intended, known):
        return DriftState.DRIFT
    return DriftState.PENDING if known.items() <= live.items() else DriftState.CONFLICT


def _without_unknown_secrets(values: Mapping[str, str], known: Mapping[str, str]) -> Values:
    return {name: v for name, v in values.items() if name not in SENSITIVE or name in known}


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
