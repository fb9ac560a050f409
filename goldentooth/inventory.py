"""From the inventory's files to a Nornir inventory and a :class:`~goldentooth.model.Network`.

The Nornir plugin is registered as ``GoldentoothInventory`` under the entry point group
``nornir.plugins.inventory``. What it gives is an ordinary Nornir inventory: hosts, groups,
defaults and connection options mean exactly what they mean in Nornir's SimpleInventory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from nornir.core.inventory import (
    ConnectionOptions,
    Defaults,
    Group,
    Groups,
    Host,
    Hosts,
    Inventory,
    ParentGroups,
)

from goldentooth.errors import FactsError, Problem
from goldentooth.facts import (
    DefaultsEntry,
    DiscoveredFile,
    GroupEntry,
    GroupsFile,
    HostEntry,
    HostsFile,
    NetworkFacts,
    NodeFacts,
)
from goldentooth.model import Network, Node, Sources, build_network
from goldentooth.validation import convert_document, did_you_mean, example_of
from goldentooth.values import HostName, RoleName, parse_custom
from goldentooth.yamlfile import Document, display_path, read_document, shown

_EXAMPLE_HOST = example_of("fenn", HostEntry)
_EXAMPLE_DEFAULTS = example_of("data", NetworkFacts)


class FactsInventory(Inventory):
    """A Nornir inventory that also holds the typed :class:`~goldentooth.model.Network`."""

    __slots__ = ("network",)

    def __init__(self, hosts: Hosts, groups: Groups, defaults: Defaults, network: Network) -> None:
        super().__init__(hosts=hosts, groups=groups, defaults=defaults)
        self.network = network


class GoldentoothInventory:
    """Nornir inventory plugin.

    Arguments:
        host_file: the hosts; must be there.
        group_file: the groups; may be missing.
        defaults_file: the defaults, which hold the network-wide facts; must be there.
        discovered_file: what ``discover`` wrote; may be missing.
    """

    def __init__(
        self,
        host_file: str = "inventory/hosts.yaml",
        group_file: str = "inventory/groups.yaml",
        defaults_file: str = "inventory/defaults.yaml",
        discovered_file: str = "inventory/discovered.yaml",
    ) -> None:
        self.host_file = Path(host_file).expanduser()
        self.group_file = Path(group_file).expanduser()
        self.defaults_file = Path(defaults_file).expanduser()
        self.discovered_file = Path(discovered_file).expanduser()

    def load(self) -> FactsInventory:
        """Read the files.

        Raises:
            FactsError: with every mistake of every file.
        """
        sources = Sources(
            hosts=read_document(self.host_file, example=_EXAMPLE_HOST),
            groups=_read_if_there(self.group_file),
            defaults=read_document(self.defaults_file, example=_EXAMPLE_DEFAULTS),
        )
        discovered = _read_if_there(self.discovered_file)
        network = read_network(sources, discovered)
        hosts, groups, defaults = nornir_inventory(
            sources.hosts.value, sources.groups.value, sources.defaults.value
        )
        return FactsInventory(hosts, groups, defaults, network)


def read_network(sources: Sources, discovered: Document | None = None) -> Network:
    """Make the typed network of the files as read.

    Raises:
        FactsError: with every mistake of every file.
    """
    discovered = discovered or Document("discovered.yaml")
    hosts = _typed(sources.hosts, HostsFile)
    groups = _typed(sources.groups, GroupsFile)
    defaults = _typed(sources.defaults, DefaultsEntry)
    seen = _typed(discovered, DiscoveredFile)
    problems = [
        problem
        for document in (sources.hosts, sources.groups, sources.defaults, discovered)
        for problem in document.problems
    ]
    if sources.hosts.is_complete and sources.groups.is_complete:
        problems += _reference_problems(sources)
    if sources.hosts.is_complete:
        problems += _stray_problems(sources.hosts, discovered)
    if problems or hosts is None or groups is None or defaults is None or seen is None:
        raise FactsError(problems)
    if not hosts:
        remedy = f"name them here, as in\n{_EXAMPLE_HOST}"
        raise FactsError([Problem("holds no hosts", sources.hosts.where(()), remedy)])
    lineage = {name: tuple(_ancestors(name, sources.groups.value)) for name in groups}
    nodes = _nodes(hosts, groups, defaults, lineage, sources)
    found = {name: entry.interface for name, entry in seen.items() if entry.interface}
    nodes = _with_discovered(nodes, found, sources, discovered.file)
    return build_network(nodes, defaults, lineage, sources)


def nornir_inventory(
    hosts: Mapping[str, Any], groups: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[Hosts, Groups, Defaults]:
    """Make Nornir's objects of plain mappings, as its SimpleInventory does.

    Raises:
        KeyError: if a host or group names a group that is not there.
    """
    nornir_defaults = Defaults(
        **_attributes(defaults),
        data=defaults.get("data"),
        connection_options=_connection_options(defaults),
    )
    nornir_groups = Groups()
    for name, entry in groups.items():
        nornir_groups[name] = Group(name=name, defaults=nornir_defaults, **_element(entry or {}))
    for name, entry in groups.items():
        parents = (entry or {}).get("groups") or ()
        nornir_groups[name].groups = ParentGroups(nornir_groups[parent] for parent in parents)
    nornir_hosts = Hosts()
    for name, entry in hosts.items():
        host = Host(name=name, defaults=nornir_defaults, **_element(entry))
        host.groups = ParentGroups(nornir_groups[group] for group in entry.get("groups") or ())
        nornir_hosts[name] = host
    return nornir_hosts, nornir_groups, nornir_defaults


def _attributes(entry: Mapping[str, Any]) -> dict[str, Any]:
    names = ("hostname", "port", "username", "password", "platform")
    return {name: entry.get(name) for name in names}


def _element(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **_attributes(entry),
        "data": entry.get("data"),
        "connection_options": _connection_options(entry),
    }


def _connection_options(entry: Mapping[str, Any]) -> dict[str, ConnectionOptions]:
    return {
        name: ConnectionOptions(**_attributes(options), extras=options.get("extras"))
        for name, options in (entry.get("connection_options") or {}).items()
    }


def _read_if_there(path: Path) -> Document:
    try:
        path.lstat()
    except FileNotFoundError:
        return Document(display_path(path))
    except (OSError, ValueError):
        pass  # there, but out of reach: reading it says why
    return read_document(path)


def _typed(document: Document, kind: Any) -> Any:
    """Return ``document`` as ``kind``; None if anything is wrong with it."""
    return convert_document(document, kind) if document.is_complete else None


def _reference_problems(sources: Sources) -> Iterable[Problem]:
    """Yield what is wrong between hosts and groups, in files that may have other problems too."""
    groups = sources.groups.value
    for document in (sources.hosts, sources.groups):
        for name, entry in document.value.items():
            for index, group in enumerate(_parents(entry)):
                if _is_a(group, RoleName) and group not in groups:
                    yield Problem(
                        f"{shown(name)}: group {group!r} is not declared in {sources.groups.file}",
                        document.where((name, "groups", index)),
                        did_you_mean(group, groups),
                    )
    for name in groups:
        if name in _ancestors(name, groups):
            yield Problem(
                f"{shown(name)}: is part of itself, through its groups",
                sources.groups.where((name, "groups")),
                "remove one of the groups in the circle",
            )


def _parents(entry: Any) -> Sequence[Any]:
    """Return the groups that a host's or group's entry names, whatever it looks like."""
    groups = entry.get("groups") if isinstance(entry, dict) else None
    return groups if isinstance(groups, list) else ()


def _stray_problems(hosts: Document, discovered: Document) -> Iterable[Problem]:
    """Yield what was discovered of hosts that are not in the inventory."""
    for name in discovered.value:
        if _is_a(name, HostName) and name not in hosts.value:
            yield Problem(
                f"{shown(name)}: is not a host of {hosts.file}",
                discovered.where((name,), key=True),
                did_you_mean(name, hosts.value),
            )


def _is_a(name: Any, kind: Any) -> bool:
    """Tell whether ``name`` is a ``kind``; where not, its own type has said so already."""
    try:
        msgspec.convert(name, kind)
    except msgspec.ValidationError:
        return False
    return True


def _ancestors(name: str, groups: Mapping[str, Any]) -> dict[str, None]:
    """Return the groups above ``name``, in the order in which Nornir asks them for a value."""
    result: dict[str, None] = {}
    waiting = list(reversed(_parents(groups[name])))
    while waiting:
        group = waiting.pop()
        if isinstance(group, str) and group not in result and group in groups:
            result[group] = None
            waiting.extend(reversed(_parents(groups[group])))
    return result


def _nodes(
    hosts: Mapping[str, HostEntry],
    groups: Mapping[str, GroupEntry | None],
    defaults: DefaultsEntry,
    lineage: Mapping[str, tuple[str, ...]],
    sources: Sources,
) -> Iterable[Node]:
    """Yield every host with its facts merged: its own, its groups', the defaults'."""
    node_keys = set(NodeFacts.__struct_fields__) - {"accept"}
    default_data = sources.defaults.value.get("data") or {}
    inherited: dict[tuple[str, ...], tuple[tuple[str, ...], dict[str, Any], str | None]] = {}
    for name, entry in hosts.items():
        if entry.groups not in inherited:
            roles = tuple(
                dict.fromkeys(role for group in entry.groups for role in (group, *lineage[group]))
            )
            merged = {key: default_data[key] for key in node_keys if key in default_data}
            platform = defaults.platform
            for role in reversed(roles):
                merged.update((sources.groups.value[role] or {}).get("data") or {})
                group = groups[role]
                platform = (group.platform if group else None) or platform
            inherited[entry.groups] = roles, merged, platform
        roles, merged, platform = inherited[entry.groups]
        own = (sources.hosts.value[name] or {}).get("data") or {}
        facts = msgspec.convert({**merged, **own}, NodeFacts, dec_hook=parse_custom)
        yield Node(name, entry.hostname, roles, entry.platform or platform, facts)


def _with_discovered(
    nodes: Iterable[Node], interfaces: Mapping[str, str], sources: Sources, file: str
) -> Iterable[Node]:
    """Yield the nodes, with the interface that was discovered where the facts say ``auto``."""
    for node in nodes:
        if node.facts.interface != "auto":
            yield node
        elif node.name in interfaces:
            facts = msgspec.structs.replace(node.facts, interface=interfaces[node.name])
            yield replace(node, facts=facts)
        else:
            problem = Problem(
                "interface is auto, and was not discovered",
                sources.where_node(node, "interface"),
                "pin it in the inventory (`interface: eth0`), or state what was discovered"
                f" in {file} (`{node.name}: {{interface: eth0}}`)",
            )
            yield replace(node, undiscovered=problem)
