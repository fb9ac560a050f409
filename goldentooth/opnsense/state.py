"""The router's state in the model's terms: what is intended, and what is there. Pure.

Both are the same: settings of the models, and objects with a uuid and a value for every field.
Whose an object is stands in its uuid: those that are made here begin with a mark
(:func:`own_uuid`), which no clone and no edit in the web interface carries over.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from goldentooth.errors import GoldentoothError
from goldentooth.opnsense.models import (
    KINDS,
    SENSITIVE,
    Field,
    Kind,
    Values,
    complete,
    fields_of,
    mirrors_of,
    value_of,
)


class UnknownModelError(GoldentoothError):
    """The router's models are not those that are known here: the plugin is much older."""


@dataclass(frozen=True)
class Item:
    """One object: its kind, its uuid, and a value for every field.

    ``origins`` says which fact a value follows from, keyed by field; nothing for what is live.
    """

    kind: Kind
    uuid: str
    values: Values = field(repr=False)
    origins: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """What a person calls it: ``10.4.0.11``, ``CLUSTER-IN:5``."""
        return self.kind.name(self.values)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def place(self) -> tuple[Kind, tuple[str, ...]]:
        """The territory that it is in; objects in one territory are managed by one owner."""
        return self.kind, self.kind.place(self.values)

    @property
    def references(self) -> set[str]:
        """The uuids of the objects that it refers to."""
        return {
            uuid
            for name in self.kind.relations
            for uuid in self.values.get(name, "").split(",")
            if uuid
        }


@dataclass(frozen=True)
class State:
    """Settings by model, and objects by uuid. ``repr`` shows no value: one may be a secret."""

    settings: Mapping[str, Values] = field(repr=False)
    items: Mapping[str, Item] = field(repr=False)

    def of_kind(self, kind: Kind) -> tuple[Item, ...]:
        """Return the objects of one kind, in the router's order."""
        return tuple(item for item in self.items.values() if item.kind == kind)


@dataclass(frozen=True)
class Intended(State):
    """What the router is to have: of the settings only those that are managed, of objects all.

    ``mark`` is how uuids of objects that are made here begin, ``origins`` as in :class:`Item` for
    the settings, ``limits`` what of the facts the models cannot express, for a person.
    """

    mark: str = ""
    origins: Mapping[tuple[str, str], str] = field(default_factory=dict, repr=False)
    limits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Live(State):
    """What the router has: its settings and objects, as saved.

    ``unknown_fields`` are those of its models that the ones known here have not (a newer plugin),
    ``missing_fields`` the other way round, ``running`` the configuration that FRR runs,
    ``names_served`` names and addresses that Unbound answers with; None if it was not read.
    ``registers_leases`` tells that some of these may be of hosts that have a lease.
    """

    unknown_fields: tuple[str, ...] = ()
    missing_fields: frozenset[str] = frozenset()
    running: str | None = field(default=None, repr=False)
    names_served: frozenset[tuple[str, str]] | None = field(default=None, repr=False)
    registers_leases: bool = False


def own_mark(domain: str) -> str:
    """Return how the uuids begin that are made for the network of ``domain``: 12 + 1 digits."""
    digest = hashlib.sha256(f"goldentooth-net {domain}".encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-4"


def own_uuid(mark: str, kind: Kind, name: str) -> str:
    """Return the uuid of an object: the same for the same name, so a call can be made twice.

    OPNsense takes uuids of version 4 only, and makes what a ``set`` of an unknown one names
    (setBase of its API: an upsert, since 22.7).

    >>> from goldentooth.opnsense.models import NEIGHBOR
    >>> own_uuid(own_mark("goldentooth.net"), NEIGHBOR, "10.4.0.11")
    '41092b87-9641-4df5-b8c5-d5bd4f168652'
    """
    digest = hashlib.sha256(f"{mark} {kind.model} {kind.path} {name}".encode()).hexdigest()
    variant = "89ab"[int(digest[3], 16) % 4]
    return f"{mark}{digest[:3]}-{variant}{digest[4:7]}-{digest[7:19]}"


def read_live(
    answers: Mapping[str, Any],
    *,
    running: str | None = None,
    names_served: Iterable[tuple[str, str]] | None = None,
) -> Live:
    """Return the router's state from what ``get`` answers for each model, keyed by model.

    Raises:
        UnknownModelError: if a whole list is missing.
    """
    known: set[str] = set()
    found: set[str] = set()
    settings = {}
    items: dict[str, Item] = {}
    for model, answer in answers.items():
        fields = fields_of(model)
        known |= {f"{model}.{name}" for name in fields}
        if fields:
            found |= {f"{model}.{name}" for name in _own_fields(model, answer)}
        settings[model] = _values(fields, answer)
    for kind in KINDS:
        known |= {f"{kind.model}.{kind.path}.{name}" for name in kind.fields}
        for uuid, row in _rows(kind, answers.get(kind.model)):
            items[uuid] = Item(kind, uuid, _values(kind.fields, row))
            names = row.keys() - mirrors_of(kind.model, kind.path)
            found |= {f"{kind.model}.{kind.path}.{name}" for name in names if name[0] != "%"}
    lists = {each.rpartition(".")[0] for each in found}
    return Live(
        settings=settings,
        items=items,
        unknown_fields=tuple(sorted(found - known)),
        missing_fields=frozenset(e for e in known - found if e.rpartition(".")[0] in lists),
        running=running,
        names_served=None if names_served is None else frozenset(names_served),
        registers_leases=_registers_leases(answers.get("unbound", {})),
    )


def _registers_leases(unbound: Mapping[str, Any]) -> bool:
    """Tell whether Unbound answers with the names of what has a lease, too."""
    general = unbound.get("general")
    return isinstance(general, Mapping) and any(
        value_of(general.get(name)) == "1" for name in ("regdhcp", "regdhcpstatic")
    )


def _own_fields(model: str, answer: Mapping[str, Any]) -> Iterable[str]:
    """Yield the names of a model's own fields: what is no group of lists (``neighbors``)."""
    for name, value in answer.items():
        is_option = isinstance(value, Mapping) and all(
            isinstance(each, Mapping) and "selected" in each for each in value.values()
        )
        is_group = isinstance(value, Mapping) and not is_option
        if not is_group and name[0] != "%" and name not in mirrors_of(model):
            yield name


def _values(fields: Mapping[str, Field], answer: Mapping[str, Any]) -> Values:
    return {
        name: field.normal(value_of(answer.get(name, field.default)))
        for name, field in fields.items()
    }


def _rows(kind: Kind, answer: Mapping[str, Any] | None) -> Iterable[tuple[str, Any]]:
    if answer is None:
        return ()
    group, _, name = kind.path.partition(".")
    if group not in answer:
        raise UnknownModelError(
            f"the router's model {kind.model} has no {kind.path}: its version is not known here\n"
            "    update os-frr on the router (System: Firmware: Plugins)"
        )
    found = answer[group].get(name) if isinstance(answer[group], Mapping) else None
    return found.items() if isinstance(found, Mapping) else ()  # PHP's empty map is a list


def make_item(mark: str, kind: Kind, stated: Values, origins: Mapping[str, str]) -> Item:
    """Return an intended object: what is not ``stated`` has the model's default."""
    values = complete(kind.fields, stated)
    return Item(kind, own_uuid(mark, kind, kind.name(values)), values, dict(origins))


def shown(field_name: str, value: str) -> str:
    """Return a field's value as it may be shown."""
    if field_name in SENSITIVE and value:
        return "(secret)"
    return value or "(none)"
