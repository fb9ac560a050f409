"""The models of OPNsense and its plugin os-frr, as data: lists, fields, defaults, bounds.

The table ``models.json`` is made of OPNsense's own files by ``scripts/opnsense-models``; this is
how it is read. Values are what the API takes and gives: text, ``"0"`` and ``"1"`` for a boolean,
uuids joined by commas for a relation, ``""`` for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import msgspec

TABLE = Path(__file__).with_name("models.json")

SENSITIVE = {"password"}
"""Fields whose values are secrets."""

Values = Mapping[str, str]


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One field: its kind and rules. ``to`` is the list that a relation chooses from."""

    kind: str
    default: str = ""
    required: bool = False
    multiple: bool = False
    mask_required: bool = False
    mask_refused: bool = False
    strict: bool = False
    as_list: bool = False
    volatile: bool = False
    minimum: int | None = None
    maximum: int | None = None
    mask: str | None = None
    options: tuple[str, ...] = ()
    to: str | None = None
    shows: tuple[str, ...] = ()
    needed_by: tuple[str, ...] = ()
    needed_by_records: tuple[str, ...] = ()

    def normal(self, value: str) -> str:
        """Return ``value`` in the one form that is compared.

        >>> Field("boolean").normal(""), Field("integer").normal("007")
        ('0', '7')
        >>> Field("relation", multiple=True).normal("b,a")
        'a,b'
        """
        if self.kind == "boolean":
            return value or "0"
        if self.kind == "integer" and value.isdecimal():
            return str(int(value))
        if self.multiple or self.as_list or self.kind in {"relation", "list"}:
            return ",".join(sorted(filter(None, value.split(","))))
        return value.strip().lower() if self.kind in {"network", "hostname"} else value

    def refusal(self, value: str) -> str | None:
        """Return why the model would refuse ``value``; None if it would not.

        What only the router knows (its interfaces, other lists' items) is not looked at.
        """
        if value == "":
            return "a value is required" if self.required else None
        if self.kind == "integer":
            return _integer_refusal(value, self.minimum, self.maximum)
        if self.kind == "network":
            return next(filter(None, map(self._network_refusal, value.split(","))), None)
        if self.options and not set(value.split(",") if self.multiple else [value]) <= {
            *self.options
        }:
            return f"is none of {', '.join(self.options)}"
        if self.mask and not _compiled(self.mask).search(value):
            return f"does not have the form {self.mask}"
        return None

    def _network_refusal(self, value: str) -> str | None:
        has_mask = "/" in value
        if (has_mask and self.mask_refused) or (not has_mask and self.mask_required):
            return "is no address" if has_mask else "is no network (address/length)"
        try:
            ip_network(value, strict=self.strict) if has_mask else ip_address(value)
        except ValueError:
            return "is no address or network"
        return None


@dataclass(frozen=True)
class Kind:
    """One kind of object: a list of a model, how it is called, and what tells one from another.

    ``form`` is what names one object, of its fields; ``territory`` are the fields by which FRR or
    Unbound takes objects together: whoever manages one of them manages all. ``action`` is what
    the API's calls are named after (``addNeighbor``), ``body`` what its bodies are keyed with.
    """

    title: str
    model: str
    path: str
    action: str
    form: str
    territory: tuple[str, ...]

    def __str__(self) -> str:
        return self.title

    def __hash__(self) -> int:
        return hash((self.model, self.path))

    @property
    def body(self) -> str:
        """The key of a request's body: the last part of the path."""
        return self.path.partition(".")[2]

    @property
    def fields(self) -> Mapping[str, Field]:
        """The fields that hold something of their own."""
        return fields_of(self.model, self.path)

    @property
    def names(self) -> set[str]:
        """The fields that are in an object's name."""
        return set(re.findall(r"{(\w+)}", self.form))

    @property
    def relations(self) -> Mapping[str, str]:
        """The path of the list that each relation chooses from, keyed by field."""
        return {name: field.to for name, field in self.fields.items() if field.to}

    def name(self, values: Values) -> str:
        """Return what a person calls an object of these values."""
        return self.form.format_map(values).rstrip(" .")

    def place(self, values: Values) -> tuple[str, ...]:
        """Return the territory that an object of these values is in."""
        return tuple(self.fields[name].normal(values.get(name, "")) for name in self.territory)


PREFIX_LIST = Kind(
    "prefix list",
    "bgp",
    "prefixlists.prefixlist",
    "Prefixlist",
    form="{name}:{seqnumber}",
    territory=("name",),
)
AS_PATH_LIST = Kind(
    "AS path list",
    "bgp",
    "aspaths.aspath",
    "Aspath",
    form="{number} {action} {as}",
    territory=("number",),
)
COMMUNITY_LIST = Kind(
    "community list",
    "bgp",
    "communitylists.communitylist",
    "Communitylist",
    form="{number}:{seqnumber}",
    territory=("number",),
)
"""This and the AS path list are others' only: they are named, and never made."""

ROUTE_MAP = Kind(
    "route map",
    "bgp",
    "routemaps.routemap",
    "Routemap",
    form="{name}:{id}",
    territory=("name",),
)
PEER_GROUP = Kind(
    "peer group",
    "bgp",
    "peergroups.peergroup",
    "Peergroup",
    form="{name}",
    territory=("name",),
)
NEIGHBOR = Kind(
    "neighbor",
    "bgp",
    "neighbors.neighbor",
    "Neighbor",
    form="{address}",
    territory=("address",),
)
REDISTRIBUTION = Kind(
    "redistribution",
    "bgp",
    "redistributions.redistribution",
    "Redistribution",
    form="{redistribute}",
    territory=("redistribute",),
)
BFD_PEER = Kind(
    "BFD peer",
    "bfd",
    "neighbors.neighbor",
    "Neighbor",
    form="{address}",
    territory=("address",),
)
STATIC_ROUTE = Kind(
    "static route",
    "static",
    "routes.route",
    "Route",
    form="{network} {gateway} {interfacename}",
    territory=("network",),
)
HOST_OVERRIDE = Kind(
    "host override",
    "unbound",
    "hosts.host",
    "HostOverride",
    form="{hostname}.{domain} {rr}",
    territory=("hostname", "domain", "rr"),
)
HOST_ALIAS = Kind(
    "host alias",
    "unbound",
    "aliases.alias",
    "HostAlias",
    form="{hostname}.{domain}",
    territory=("hostname", "domain"),
)
"""Another name for a host override, which is deleted along with it."""

KINDS = (
    PREFIX_LIST,
    AS_PATH_LIST,
    COMMUNITY_LIST,
    ROUTE_MAP,
    PEER_GROUP,
    NEIGHBOR,
    REDISTRIBUTION,
    BFD_PEER,
    STATIC_ROUTE,
    HOST_OVERRIDE,
    HOST_ALIAS,
)
"""In the order in which they are made: what is referred to comes before what refers to it."""


@dataclass(frozen=True)
class Section:
    """A model's own settings, of which there is one set; its name is in the API's addresses.

    ``answer`` is the key of ``get`` and ``set``; ``module`` and ``controller`` make the address,
    ``service`` is what makes a change live.
    """

    model: str
    module: str = "quagga"
    controller: str = ""
    answer: str = ""

    @property
    def address(self) -> tuple[str, str]:
        """Module and controller."""
        return self.module, self.controller or self.model

    @property
    def key(self) -> str:
        """The key of what ``get`` answers."""
        return self.answer or self.model


SECTIONS = {
    "general": Section("general"),
    "bgp": Section("bgp"),
    "bfd": Section("bfd"),
    "static": Section("static", answer="staticd"),
    "unbound": Section("unbound", module="unbound", controller="settings"),
}


class _Model(msgspec.Struct, frozen=True):
    version: str
    mount: str
    fields: dict[str, Field]
    lists: dict[str, dict[str, Field]]


@cache
def _table() -> dict[str, _Model]:
    return msgspec.json.decode(TABLE.read_bytes(), type=dict[str, _Model])


@cache
def fields_of(model: str, path: str | None = None) -> Mapping[str, Field]:
    """Return the fields of a model, or of a list in it, without those that only mirror others."""
    found = _table()[model].fields if path is None else _table()[model].lists[path]
    return {name: field for name, field in found.items() if not field.volatile}


def mirrors_of(model: str, path: str | None = None) -> set[str]:
    """Return the names of the fields that only mirror others."""
    found = _table()[model].fields if path is None else _table()[model].lists[path]
    return {name for name, field in found.items() if field.volatile}


def complete(fields: Mapping[str, Field], stated: Values) -> dict[str, str]:
    """Return a value for each field: as ``stated``, else the model's default, in normal form.

    Raises:
        KeyError: if a field is stated that the model does not have.
    """
    if unknown := stated.keys() - fields.keys():
        raise KeyError(", ".join(sorted(unknown)))
    return {name: field.normal(stated.get(name, field.default)) for name, field in fields.items()}


def value_of(answer: Any) -> str:
    """Return a field's value as ``get`` answers it: a text, or a map of options.

    >>> value_of({"a": {"value": "A", "selected": 1}, "b": {"value": "B", "selected": 0}})
    'a'
    >>> value_of("1"), value_of([]), value_of({"": {"value": "None", "selected": 1}})
    ('1', '', '')
    """
    if isinstance(answer, Mapping):
        return ",".join(_selected(answer.items()))
    return "" if answer is None or isinstance(answer, list) else str(answer)


def _selected(options: Iterable[tuple[str, Any]]) -> Iterable[str]:
    for key, option in options:
        if isinstance(option, Mapping) and str(option.get("selected", "0")) in {"1", "True"}:
            yield key


def _integer_refusal(value: str, minimum: int | None, maximum: int | None) -> str | None:
    if not value.removeprefix("-").isdecimal():
        return "is no whole number"
    if minimum is not None and int(value) < minimum:
        return f"is below {minimum}, the least that the model takes"
    if maximum is not None and int(value) > maximum:
        return f"is above {maximum}, the most that the model takes"
    return None


@cache
def _compiled(mask: str) -> re.Pattern[str]:
    """Compile a mask of the models: a pattern between slashes, and flags."""
    body, _, flags = mask.removeprefix("/").rpartition("/")
    # PHP's `$` also takes a newline at the end, which is none of ours to write
    return re.compile(body, re.IGNORECASE if "i" in flags else 0)
