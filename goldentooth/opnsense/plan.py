"""From what is intended and what is there to the calls that make them one. Pure.

An object is **ours** if its uuid begins with our mark, or if it stands in a territory of ours:
under the name of a prefix list or route map that is intended, at a neighbor's address, under a
host's name. What is ours and not intended is deleted; what is made by hand in such a territory is
replaced. Everything else is foreign: it is named, and left alone.

Order: what is referred to is made before what refers to it, and deleted after; so no call is
refused for a relation. A service is reconfigured once, last, and only if there is something to
make live.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from itertools import chain
from typing import Any

from goldentooth.opnsense.models import (
    HOST_OVERRIDE,
    KINDS,
    SECTIONS,
    SENSITIVE,
    Kind,
    Values,
    fields_of,
)
from goldentooth.opnsense.running import pending_names, pending_routing
from goldentooth.opnsense.state import Intended, Live, shown


class Action(Enum):
    """What is done to an object."""

    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"


_SIGNS = {Action.CREATE: "+", Action.CHANGE: "~", Action.DELETE: "-"}
_SERVICES = {"quagga": "FRR", "unbound": "Unbound"}


@dataclass(frozen=True)
class FieldChange:
    """One field: what it is and what it is to be, as they may be shown, and the fact behind it.

    ``before`` is None where there is nothing yet.
    """

    field: str
    before: str | None
    after: str
    origin: str = ""

    def __str__(self) -> str:
        origin = f"   from {self.origin}" if self.origin else ""
        before = "" if self.before is None else f"{self.before} -> "
        return f"{self.field}: {before}{self.after}{origin}"


@dataclass(frozen=True)
class Change:
    """One object or a model's settings, and what of it changes.

    ``kind`` and ``name`` are its own (``neighbor`` ``10.4.0.11``; ``settings`` ``bgp``).
    """

    action: Action
    kind: str
    name: str
    fields: tuple[FieldChange, ...] = ()
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    def lines(self) -> Iterable[str]:
        """Yield it for a person."""
        reason = f"  ({self.reason})" if self.reason else ""
        yield f"{_SIGNS[self.action]} {self}{reason}"
        yield from (f"    {each}" for each in self.fields)


@dataclass(frozen=True)
class Call:
    """One POST of the API, whose body may hold a secret. ``change`` is None for a reconfigure.

    ``origins`` are the facts behind the fields, to say what a refused one follows from.
    """

    module: str
    controller: str
    action: str
    uuid: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    change: Change | None = None
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        return "/".join(filter(None, (self.module, self.controller, self.action, self.uuid)))

    @property
    def is_reconfigure(self) -> bool:
        """Whether it makes live what was saved."""
        return self.change is None


@dataclass(frozen=True)
class Backup:
    """What a plan's objects and settings were before; None for an object that was not there.

    ``touched`` are the fields that the plan changes of an object that is there: only they go back.
    A secret is in it only as long as it is in memory: :meth:`as_dict` leaves it out.
    """

    settings: Mapping[str, Values] = field(repr=False)
    items: Mapping[str, tuple[Kind, Values] | None] = field(repr=False)
    kinds: Mapping[str, Kind] = field(repr=False)
    touched: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    history: str | None = None
    """The router's own copy of its whole configuration before (System: Configuration: History)."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it, without secrets."""
        return {
            "history": self.history,
            "settings": {model: dict(values) for model, values in self.settings.items()},
            "items": {
                uuid: {
                    "kind": kind.title,
                    "values": None if was is None else _without_secrets(was[1]),
                    "touched": list(self.touched.get(uuid, ())),
                }
                for uuid, kind in self.kinds.items()
                for was in [self.items[uuid]]
            },
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Backup:
        """Return what :meth:`as_dict` gave."""
        by_title = {kind.title: kind for kind in KINDS}
        kinds = {uuid: by_title[entry["kind"]] for uuid, entry in stored["items"].items()}
        return cls(
            settings=stored["settings"],
            items={
                uuid: None if entry["values"] is None else (kinds[uuid], entry["values"])
                for uuid, entry in stored["items"].items()
            },
            kinds=kinds,
            touched={
                uuid: tuple(names)
                for uuid, entry in stored["items"].items()
                if (names := entry.get("touched"))
            },
            history=stored["history"],
        )


@dataclass(frozen=True)
class Plan:
    """What there is to do, and what there is to know.

    ``foreign`` are objects of others, ``obstacles`` reasons why the plan cannot be carried out,
    ``notes`` what a person should know of it, ``pending`` what is saved on the router and not
    live, ``backup`` what the plan's objects are now.
    """

    changes: tuple[Change, ...]
    calls: tuple[Call, ...] = field(repr=False)
    backup: Backup = field(repr=False)
    foreign: tuple[str, ...] = ()
    obstacles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.calls

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many objects are created, changed and deleted."""
        return {
            action.value: sum(change.action is action for change in self.changes)
            for action in Action
        }

    def lines(self) -> tuple[str, ...]:
        """Return it for a person, without secrets."""
        counted = ", ".join(f"{count} to {name}" for name, count in self.counts.items() if count)
        reconfigured = [_SERVICES[c.module] for c in self.calls if c.is_reconfigure]
        return (
            *chain.from_iterable(change.lines() for change in self.changes),
            *(f"! saved on the router, not live: {each}" for each in self.pending),
            *(f"  not ours, left alone: {each}" for each in self.foreign),
            *(f"  note: {each}" for each in self.notes),
            *(f"! cannot be done: {each}" for each in self.obstacles),
            counted or "nothing to change",
            *(f"then reconfigure {each}" for each in reconfigured),
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it, without secrets."""
        return {
            "changes": [
                {
                    "action": change.action.value,
                    "kind": change.kind,
                    "name": change.name,
                    "reason": change.reason,
                    "fields": [
                        {
                            "field": each.field,
                            "before": each.before,
                            "after": each.after,
                            "fact": each.origin,
                        }
                        for each in change.fields
                    ],
                }
                for change in self.changes
            ],
            "counts": self.counts,
            "calls": [str(call) for call in self.calls],
            "foreign": list(self.foreign),
            "obstacles": list(self.obstacles),
            "notes": list(self.notes),
            "pending": list(self.pending),
        }


def plan(intended: Intended, live: Live) -> Plan:
    """Return how the router comes from ``live`` to ``intended``."""
    places = {item.place for item in intended.items.values()}
    wanted: dict[str, _Wanted | None] = {
        uuid: _Wanted(item.kind, item.values, item.origins) for uuid, item in intended.items.items()
    }
    reasons: dict[str, str] = {}
    foreign = []
    for uuid, item in live.items.items():
        if uuid in wanted:
            continue
        if uuid.startswith(intended.mark):
            wanted[uuid], reasons[uuid] = None, "no longer in the facts"
        elif item.place in places:
            wanted[uuid], reasons[uuid] = None, "made by hand where the facts have their own"
        else:
            foreign.append(str(item))
    pending_frr = pending_routing(intended, live)
    pending_unbound = pending_names(intended, live)
    due = {
        module
        for module, pending in (("quagga", pending_frr), ("unbound", pending_unbound))
        if pending
    }
    drawn = _Drawing(live, wanted, reasons, intended.settings, intended.origins)
    changes, calls = drawn.result(due)
    changed = {call.module for call in calls if not call.is_reconfigure}
    notes = [*intended.limits]
    if live.unknown_fields:
        notes.append(
            "the router's models have fields that are not known here, and are not looked at: "
            + ", ".join(live.unknown_fields)
        )
    return Plan(
        changes=changes,
        calls=calls,
        backup=drawn.backup(),
        foreign=tuple(foreign),
        obstacles=(*drawn.obstacles(), *_missing(intended, live)),
        notes=tuple(notes),
        # what is to be changed is not live either, and is said already
        pending=(
            *(pending_frr if "quagga" not in changed else ()),
            *(pending_unbound if "unbound" not in changed else ()),
        ),
    )


def restore_plan(backup: Backup, live: Live) -> Plan:
    """Return how the objects and settings of ``backup`` become again what they were."""
    wanted = {
        uuid: None if was is None else _before(backup, uuid, *was, is_there=uuid in live.items)
        for uuid, was in backup.items.items()
    }
    drawn = _Drawing(live, wanted, {}, backup.settings, {})
    changes, calls = drawn.result(set())
    return Plan(
        changes=changes,
        calls=calls,
        backup=drawn.backup(),
        obstacles=tuple(drawn.obstacles()),
        notes=tuple(_not_stored(backup, live)),
    )


def _not_stored(backup: Backup, live: Live) -> Iterable[str]:
    """Yield which secrets cannot be put back, since a stored backup has none."""
    for uuid, was in backup.items.items():
        if was is None:
            continue
        kind, values = was
        is_there = uuid in live.items
        touched = set(backup.touched.get(uuid, ())) if is_there else kind.fields.keys()
        for name in sorted(SENSITIVE & touched - values.keys()):
            remedy = "it stays as it is now" if is_there else "it must be set anew"
            yield f"{kind} {kind.name(values)}: its {name} was not stored, and {remedy}"


def _before(backup: Backup, uuid: str, kind: Kind, values: Values, *, is_there: bool) -> _Wanted:
    """Return an object as it was; of one that is there, what the plan has touched."""
    names = {*backup.touched.get(uuid, values), *kind.names} if is_there else set(values)
    return _Wanted(kind, {name: values[name] for name in values if name in names}, {})


@dataclass(frozen=True)
class _Wanted:
    """An object as it is to be; a field that is not in ``values`` stays as it is."""

    kind: Kind
    values: Values
    origins: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.kind.name(self.values)


@dataclass(frozen=True)
class _Drawing:
    """Draws up a plan: ``wanted`` is None for an object that is to go."""

    live: Live
    wanted: Mapping[str, _Wanted | None]
    reasons: Mapping[str, str]
    settings: Mapping[str, Values]
    origins: Mapping[tuple[str, str], str]

    def result(self, due: set[str]) -> tuple[tuple[Change, ...], tuple[Call, ...]]:
        """Return the changes and the calls; services in ``due`` are reconfigured in any case."""
        calls = [
            *chain.from_iterable(self._made(kind) for kind in KINDS),
            *self._set(),
            *chain.from_iterable(self._deleted(kind) for kind in reversed(KINDS)),
        ]
        services = {call.module for call in calls} | due
        changes = tuple(call.change for call in calls if call.change)
        ends = [Call(name, "service", "reconfigure") for name in _SERVICES if name in services]
        return changes, (*calls, *ends)

    def backup(self) -> Backup:
        """Return what is touched, as it is now."""
        touched = {uuid: kind for uuid, kind in self._kinds() if self._is_touched(uuid)}
        items = self.live.items
        return Backup(
            settings={
                model: {name: self.live.settings[model][name] for name in changed}
                for model in self.settings
                if (changed := self._changed_settings(model))
            },
            items={
                uuid: (kind, items[uuid].values) if uuid in items else None
                for uuid, kind in touched.items()
            },
            kinds=touched,
            touched={
                uuid: tuple(self._changed(uuid, want))
                for uuid in touched
                if (want := self.wanted[uuid]) is not None and uuid in items
            },
        )

    def obstacles(self) -> Iterable[str]:
        """Yield what cannot be deleted, since others refer to it (OPNsense's safe delete).

        Unbound's part is not safe: aliases of a host override are deleted with it
        (delHostOverrideAction of its SettingsController).
        """
        for uuid in self._to_delete():
            item = self.live.items[uuid]
            users = [
                str(other)
                for other in self.live.items.values()
                if uuid in other.references and other.uuid not in self.wanted
            ]
            if users and item.kind == HOST_OVERRIDE:
                yield (
                    f"{item} is to be deleted, and OPNsense deletes {', '.join(users)} (not ours)"
                    " with it: give it another host override, or delete it there"
                )
            elif users:
                yield (
                    f"{item} is to be deleted, but {', '.join(users)} (not ours) refers to it:"
                    " rename it there, or take the reference away"
                )

    def _kinds(self) -> Iterable[tuple[str, Kind]]:
        for uuid, want in self.wanted.items():
            if want is not None:
                yield uuid, want.kind
            elif uuid in self.live.items:
                yield uuid, self.live.items[uuid].kind

    def _is_touched(self, uuid: str) -> bool:
        want = self.wanted[uuid]
        if want is None or uuid not in self.live.items:
            return True
        return bool(self._changed(uuid, want))

    def _to_delete(self) -> Iterable[str]:
        return (u for u, want in self.wanted.items() if want is None and u in self.live.items)

    def _changed(self, uuid: str, want: _Wanted) -> list[str]:
        there = self.live.items[uuid].values
        return [name for name, value in want.values.items() if there.get(name) != value]

    def _changed_settings(self, model: str) -> list[str]:
        there = self.live.settings[model]
        return [name for name, value in self.settings[model].items() if there.get(name) != value]

    def _made(self, kind: Kind) -> Iterable[Call]:
        for uuid, want in self.wanted.items():
            if want is None or want.kind != kind:
                continue
            there = self.live.items.get(uuid)
            names = list(want.values) if there is None else self._changed(uuid, want)
            if not names:
                continue
            before = there.values if there else None
            change = Change(
                Action.CHANGE if there else Action.CREATE,
                kind.title,
                want.name,
                tuple(self._field_changes(kind, names, before, want)),
            )
            body = {kind.body: {name: want.values[name] for name in names}}
            address = SECTIONS[kind.model].address
            yield Call(*address, f"set{kind.action}", uuid, body, change, want.origins)

    def _field_changes(
        self, kind: Kind, names: Iterable[str], before: Values | None, want: _Wanted
    ) -> Iterable[FieldChange]:
        for name in names:
            old, new = (before or {}).get(name, ""), want.values[name]
            is_default = kind.fields[name].normal(kind.fields[name].default) == new
            if before is None and (is_default or name in kind.names):
                continue  # said by the object's name, or by its kind
            relation = name in kind.relations
            yield FieldChange(
                name,
                None if before is None else self._shown(name, old, relation=relation),
                self._shown(name, new, relation=relation),
                want.origins.get(name, ""),
            )

    def _shown(self, name: str, value: str, *, relation: bool) -> str:
        if not relation:
            return shown(name, value)
        return ", ".join(map(self._name_of, filter(None, value.split(",")))) or "(none)"

    def _name_of(self, uuid: str) -> str:
        want = self.wanted.get(uuid)
        if want is not None:
            return want.name
        return self.live.items[uuid].name if uuid in self.live.items else uuid

    def _set(self) -> Iterable[Call]:
        for model, values in self.settings.items():
            if not (names := self._changed_settings(model)):
                continue
            there = self.live.settings[model]
            origins = {name: self.origins.get((model, name), "") for name in names}
            fields = tuple(
                FieldChange(
                    name,
                    shown(name, there.get(name, "")),
                    shown(name, values[name]),
                    origins[name],
                )
                for name in names
            )
            section = SECTIONS[model]
            yield Call(
                *section.address,
                "set",
                None,
                {section.key: {name: values[name] for name in names}},
                Change(Action.CHANGE, "settings", model, fields),
                origins,
            )

    def _deleted(self, kind: Kind) -> Iterable[Call]:
        for uuid in self._to_delete():
            item = self.live.items[uuid]
            if item.kind == kind:
                change = Change(
                    Action.DELETE, kind.title, item.name, reason=self.reasons.get(uuid, "")
                )
                yield Call(*SECTIONS[kind.model].address, f"del{kind.action}", uuid, {}, change)


def _missing(intended: Intended, live: Live) -> Iterable[str]:
    """Yield what the router's plugin is too old for."""
    needed: dict[str, str] = {}
    for item in intended.items.values():
        for name, each in item.kind.fields.items():
            where = f"{item.kind.model}.{item.kind.path}.{name}"
            if where in live.missing_fields and item.values[name] != each.normal(each.default):
                needed.setdefault(where, item.origins.get(name, ""))
    for model, values in intended.settings.items():
        for name, value in values.items():
            each = fields_of(model)[name]
            where = f"{model}.{name}"
            if where in live.missing_fields and value != each.normal(each.default):
                needed.setdefault(where, intended.origins.get((model, name), ""))
    for where, origin in needed.items():
        behind = f", which {origin} needs" if origin else ""
        yield f"the router's os-frr has no {where}{behind}: update the plugin"


def _without_secrets(values: Values) -> dict[str, str]:
    return {name: value for name, value in values.items() if name not in SENSITIVE or not value}
