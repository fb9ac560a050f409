"""NAME: names of hosts and domains, groups and their members."""

from __future__ import annotations

import re
from collections.abc import Iterator

from goldentooth.model import Network
from goldentooth.rules import Severity, Violation, rule

_MACHINE_FACTS = {"hardware", "architecture", "wireless_interface"}


@rule(
    "NAME001",
    Severity.WARNING,
    fails="""
        hosts:
          worker: {hostname: 10.20.0.7, groups: [haproxy]}
        """,
    passes="""
        hosts:
          lb3: {hostname: 10.20.0.7, groups: [haproxy]}
        """,
)
def host_named_like_group(network: Network) -> Iterator[Violation]:
    """A host has the name of a group that it is not in.

    Why:
        A selection by that name means two things, and the wrong one may be deployed to. A
        host that is the group's namesake and in it, as the router is, confuses nobody.

    Do:
        Rename the host or the group.

    Source:
        Nornir, inventory (hosts and groups are chosen by name); Ansible warns of the same.
    """
    for node in network.nodes.values():
        if node.name in network.groups and node.name not in node.roles:
            yield Violation(
                node.name,
                f"there is a group {node.name} ({network.where_group(node.name)}),"
                " and this host is not in it",
                network.where_node(node, "groups"),
            )


@rule(
    "NAME002",
    Severity.INFO,
    fails="""
        groups:
          grafana: {}
        """,
    passes="""
        hosts:
          node1: {groups: [worker, grafana]}
        groups:
          grafana: {}
        """,
)
def empty_group(network: Network) -> Iterator[Violation]:
    """A group has no members.

    Why:
        Either a host was forgotten, or the group is a leftover. A selection of it does
        nothing.

    Do:
        Put the host in it, or remove the group.

    Source:
        Nornir, inventory (a group is what its hosts make of it).
    """
    for group in network.groups:
        if not network.in_role(group):
            yield Violation(f"groups.{group}", f"no host is in {group}", network.where_group(group))


@rule(
    "NAME003",
    Severity.WARNING,
    fails="""
        hosts:
          spare: {hostname: 10.20.0.30, groups: [raspberry_pi]}
        groups:
          raspberry_pi: {data: {architecture: arm64}}
        """,
    passes="""
        hosts:
          spare: {hostname: 10.20.0.30, groups: [raspberry_pi, nfs]}
        groups:
          raspberry_pi: {data: {architecture: arm64}}
          nfs: {}
        """,
)
def no_function(network: Network) -> Iterator[Violation]:
    """A host's groups say what machine it is, but not what it is for.

    Why:
        No service runs on it. Most likely its role was forgotten, and the cluster is one
        node short.

    Do:
        Add its role: worker, control_plane, haproxy, nfs, …

    Source:
        The facts themselves: a group that states hardware, architecture or
        wireless_interface, and gpu, describe a machine.
    """
    machine_roles = _machine_roles(network)
    for node in network.nodes.values():
        if machine_roles.issuperset(node.roles):
            yield Violation(
                node.name,
                f"only in {', '.join(node.roles)}: no role says what it is for",
                network.where_node(node, "groups"),
            )


@rule(
    "NAME004",
    Severity.WARNING,
    fails="""
        hosts:
          "7": {hostname: 10.20.0.7, groups: [haproxy]}
        """,
    passes="""
        hosts:
          lb7: {hostname: 10.20.0.7, groups: [haproxy]}
        """,
)
def name_read_as_address(network: Network) -> Iterator[Violation]:
    """Programs read a host's name as an address.

    Why:
        `ping 7` goes to 0.0.0.7, and localhost is the machine one sits at: no resolver is
        asked.

    Do:
        Begin the name with a letter, and leave localhost alone.

    Source:
        inet_aton(3) (numbers without dots, hexadecimal); RFC 6761 §6.3 (localhost).
    """
    for node in network.nodes.values():
        if re.fullmatch(r"[0-9]+|0x[0-9a-f]+|localhost", node.name):
            yield Violation(
                node.name,
                f"the name {node.name} is taken for an address before any resolver is asked",
                network.where_node(node, "hostname"),
            )


@rule(
    "NAME005",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            domains: {services: services.example.org}
        """,
    passes="""
        defaults:
          data:
            domains: {services: services.lab.example.net}
        """,
)
def domain_outside(network: Network) -> Iterator[Violation]:
    """A domain of the network is not inside the cluster's domain.

    Why:
        What is delegated, signed or searched by domains.cluster does not hold for it:
        short names are not found and the certificates' names do not match.

    Do:
        Put it below domains.cluster.

    Source:
        RFC 1034 §4.2 (zones); resolv.conf(5), `search`.
    """
    cluster = network.domains.cluster
    for fact, domain in (
        ("domains.nodes", network.domains.nodes),
        ("domains.services", network.domains.services),
    ):
        if not f".{domain}".endswith(f".{cluster}"):
            yield Violation(
                fact,
                f"{domain} is not inside {cluster} ({network.where('domains.cluster')})",
                network.where(fact),
            )


@rule(
    "NAME006",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            domains:
              cluster: lab.local
              nodes: nodes.lab.local
              services: services.lab.local
        """,
    passes="""
        defaults:
          data:
            domains:
              cluster: lab.example.net
              nodes: nodes.lab.example.net
              services: services.lab.example.net
        """,
)
def multicast_dns(network: Network) -> Iterator[Violation]:
    """The network's domain is below .local.

    Why:
        Names below .local are asked for by multicast on the segment, not at a name server.
        Where nss-mdns is installed, as on Raspberry Pi OS, the name server is not asked at
        all.

    Do:
        Take a domain that you own, or one below home.arpa.

    Source:
        RFC 6762 §3; RFC 8375 for home.arpa; nss-mdns, `mdns4_minimal [NOTFOUND=return]`.
    """
    domain = network.domains.cluster
    if domain.split(".")[-1] == "local":
        yield Violation(
            "domains.cluster", f"{domain} is a multicast name", network.where("domains.cluster")
        )


def _machine_roles(network: Network) -> set[str]:
    """Return the groups that describe a machine, and those that are part of them only."""
    raw = network.sources.groups.value
    described = {
        group
        for group in network.groups
        if group == "gpu" or _MACHINE_FACTS & set((raw.get(group) or {}).get("data") or {})
    }
    return described | {
        group for group, above in network.groups.items() if above and described.issuperset(above)
    }
