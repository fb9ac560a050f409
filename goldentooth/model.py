"""The network: typed, frozen, and able to say everything that follows from the facts.

Nothing here does I/O or knows Nornir. A fact stands once, in ``inventory/``; a neighbor,
a backend, a prefix list or a certificate name is a property of :class:`Network`, derived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from goldentooth.errors import FactsError, Location, Problem, RenderError
from goldentooth.facts import (
    Acceptance,
    Access,
    Bgp,
    Calico,
    DefaultsEntry,
    Domains,
    Haproxy,
    Infrastructure,
    Kubernetes,
    LoadBalancer,
    Metallb,
    NodeFacts,
    Schedule,
)
from goldentooth.values import MOST_PREFIXES
from goldentooth.yamlfile import Document

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Node:
    """One machine: who it is, what it is for, and the facts that hold for it.

    ``roles`` are all its groups, inherited ones included, nearest first; ``facts`` are its
    own, its groups' and the defaults', merged as Nornir merges them.
    """

    name: str
    address: IPv4Address
    roles: tuple[str, ...]
    platform: str | None
    facts: NodeFacts
    undiscovered: Problem | None = field(default=None, repr=False, compare=False)
    """What there is to say if its interface is asked for, is ``auto``, and was not discovered."""

    def __str__(self) -> str:
        return self.name

    def __hash__(self) -> int:
        return hash(self.name)  # its facts hold a mapping, which has no hash

    @property
    def interface(self) -> str:
        """The interface on the infrastructure network.

        Raises:
            RenderError: if the facts say ``auto`` and nothing has been discovered yet.
        """
        if self.facts.interface == "auto":
            raise RenderError(str(self.undiscovered or "interface is auto, and not discovered"))
        return self.facts.interface

    @property
    def is_kubernetes_node(self) -> bool:
        """Whether it runs a kubelet, and so kube-proxy and a BGP speaker."""
        return "k8s" in self.roles

    @property
    def is_control_plane(self) -> bool:
        """Whether it runs the API server and etcd."""
        return "control_plane" in self.roles

    @property
    def is_opnsense(self) -> bool:
        """Whether it is an OPNsense box: changed through its API, never by files."""
        return self.platform == "opnsense"

    @property
    def is_router(self) -> bool:
        """Whether it is the router of the segment."""
        return "router" in self.roles


@dataclass(frozen=True)
class Endpoint:
    """Where clients reach the Kubernetes API."""

    node: Node
    address: IPv4Address
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Route:
    """A route of one host's own: ``via`` is None where the destination is on the link."""

    destination: IPv4Network
    interface: str
    via: IPv4Address | None = None

    def __str__(self) -> str:
        hop = f"via {self.via} " if self.via else ""
        return f"{self.destination} {hop}dev {self.interface}"


@dataclass(frozen=True)
class Sources:
    """The files that the facts were read from, to say where each one stands."""

    hosts: Document
    groups: Document
    defaults: Document

    def where_node(self, node: Node, fact: str) -> Location:
        """Return where ``fact`` of ``node`` is stated: at the host, a group or the defaults."""
        for document, owner in self._entries(node):
            for path in ((*owner, fact), (*owner, "data", fact)):
                if path in document.marks:
                    return document.where(path)
        return self.hosts.where((node.name,), key=True)

    def settings(self, node: Node, name: str) -> tuple[Any, ...]:
        """Return what Nornir is told as ``name`` (``port``, ``username``) of ``node``.

        As written, the nearest first: the host's own, its groups', the defaults'.
        """
        entries = (
            document.value.get(owner[0]) if owner else document.value
            for document, owner in self._entries(node)
        )
        values = ((entry or {}).get(name) for entry in entries)
        return tuple(value for value in values if value is not None)

    def _entries(self, node: Node) -> tuple[tuple[Document, tuple[str, ...]], ...]:
        """Return where facts of ``node`` may stand: the file and the path in it, nearest first."""
        return (
            (self.hosts, (node.name,)),
            *((self.groups, (role,)) for role in node.roles),
            (self.defaults, ()),
        )


@dataclass(frozen=True, eq=False, repr=False)
class Network:
    """The whole network. Nodes are in the order of hosts.yaml, keyed by host name."""

    nodes: Mapping[str, Node]
    domains: Domains
    infrastructure: Infrastructure
    load_balancer: LoadBalancer
    bgp: Bgp
    kubernetes: Kubernetes
    calico: Calico
    metallb: Metallb
    haproxy: Haproxy
    access: Access | None
    schedule: Schedule | None
    groups: Mapping[str, tuple[str, ...]]
    """Every group that is declared, with the groups it is part of, nearest first."""
    accepted: tuple[tuple[Acceptance, Location], ...]
    """Network-wide acceptances of lint findings, and where each stands."""
    sources: Sources

    def __repr__(self) -> str:
        api = f", API at {self.endpoint}" if self.control_planes else ""
        kubernetes = f"{len(self.kubernetes_nodes)} in Kubernetes"
        return f"Network({len(self.nodes)} hosts, {kubernetes}{api})"

    def _repr_html_(self) -> str:
        from goldentooth.report.notebook import network_html

        return network_html(self)

    def to_frame(self) -> DataFrame:
        """Return a pandas frame, a row a host.

        Raises:
            UsageError: if pandas is not installed.
        """
        from goldentooth.report.frames import make_frame
        from goldentooth.report.notebook import HOST_COLUMNS, host_rows

        return make_frame(HOST_COLUMNS, host_rows(self))

    def to_svg(self) -> str:
        """Return the topology as a picture: :func:`goldentooth.report.topology.topology_svg`."""
        from goldentooth.report.topology import topology_svg

        return topology_svg(self)

    def only(self, names: Iterable[str]) -> Network:
        """Return the network as if only these hosts were there, and the router.

        What follows from the facts then follows from fewer: a twin of a part is judged so.
        """
        kept = {self.router.name, *names}
        nodes = {name: node for name, node in self.nodes.items() if name in kept}
        return replace(self, nodes=MappingProxyType(nodes))

    # -- who is there ------------------------------------------------------------------

    def in_role(self, role: str) -> tuple[Node, ...]:
        """Return the nodes that have ``role``, in inventory order."""
        return self._by_role.get(role, ())

    @cached_property
    def _by_role(self) -> dict[str, tuple[Node, ...]]:
        members: dict[str, list[Node]] = {role: [] for role in self.groups}
        for node in self.nodes.values():
            for role in node.roles:
                members[role].append(node)
        return {role: tuple(nodes) for role, nodes in members.items()}

    @cached_property
    def router(self) -> Node:
        """The one router of the segment."""
        return self.in_role("router")[0]

    @cached_property
    def kubernetes_nodes(self) -> tuple[Node, ...]:
        """Every node that runs a kubelet."""
        return self.in_role("k8s")

    @cached_property
    def control_planes(self) -> tuple[Node, ...]:
        """The nodes that run the API server and etcd; the first one initialises the cluster."""
        return self.in_role("control_plane")

    @cached_property
    def workers(self) -> tuple[Node, ...]:
        """Kubernetes nodes that are no control planes."""
        return tuple(node for node in self.kubernetes_nodes if not node.is_control_plane)

    @cached_property
    def load_balancers(self) -> tuple[Node, ...]:
        """The nodes that run HAProxy in front of the API."""
        return self.in_role("haproxy")

    # -- the API -----------------------------------------------------------------------

    @cached_property
    def endpoint(self) -> Endpoint:
        """Where clients reach the API: the load balancer, else the first control plane."""
        node = (self.load_balancers or self.control_planes)[0]
        return Endpoint(node, node.address, self.kubernetes.api_port)

    @cached_property
    def cert_sans(self) -> tuple[str, ...]:
        """Names and addresses that the API's certificate must hold, sorted, without repeats.

        The endpoint's and every control plane's address, short name and full name; kubeadm
        adds the cluster-internal ones by itself (kubeadm v1beta4 reference, APIServer.certSANs).
        """
        if self.kubernetes.cert_sans is not None:
            return self.kubernetes.cert_sans
        nodes = {node.name: node for node in (self.endpoint.node, *self.control_planes)}
        names = [name for node in nodes.values() for name in (node.name, self.fqdn(node))]
        addresses = sorted({node.address for node in nodes.values()})
        return (*map(str, addresses), *sorted(set(names)))

    def fqdn(self, node: Node) -> str:
        """Return the full name of ``node`` in the nodes' domain."""
        return f"{node.name}.{self.domains.nodes}"

    # -- BGP ---------------------------------------------------------------------------

    @cached_property
    def bgp_neighbors(self) -> tuple[Node, ...]:
        """Whom the router peers with: every Kubernetes node."""
        return self.kubernetes_nodes

    @cached_property
    def accepted_prefixes(self) -> tuple[IPv4Network, ...] | None:
        """What the router takes from its neighbors, with all inside; None is anything.

        By default the exact cover of the pool: 10.4.11.0-10.4.15.254 is 10.4.11.0/24 and
        10.4.12.0/22 (:attr:`goldentooth.values.AddressRange.cover`).
        """
        if self.bgp.accept_prefixes == "any":
            return None
        if self.bgp.accept_prefixes == "pool":
            return self.load_balancer.pool.cover
        return self.bgp.accept_prefixes

    @cached_property
    def maximum_prefix(self) -> int:
        """Routes a neighbor may send; 0 is no bound. A speaker announces one /32 an address."""
        stated = self.bgp.maximum_prefix
        return min(self.load_balancer.pool.size, MOST_PREFIXES) if stated is None else stated

    # -- routes ------------------------------------------------------------------------

    def routes(self, node: Node) -> tuple[Route, ...]:
        """Return the routes that ``node`` itself must have beside its default route."""
        stated = tuple(
            Route(route.to, node.interface, route.via) for route in node.facts.static_routes
        )
        if node.is_router or node.facts.load_balancer_route == "none":
            return stated
        via = self.router.address if node.facts.load_balancer_route == "via-router" else None
        return (Route(self.load_balancer.cidr, node.interface, via), *stated)

    # -- where things stand ------------------------------------------------------------

    def where(self, fact: str) -> Location:
        """Return where a network-wide fact stands: ``where("bgp.maximum_paths")``.

        Where it is not stated, the section that it would stand in.
        """
        return self.sources.defaults.where(("data", *fact.split(".")))

    def where_node(self, node: Node, fact: str) -> Location:
        """Return where ``fact`` of ``node`` is stated: at the host, a group or the defaults.

        What is no data (``hostname``, ``groups``, ``platform``) is a fact too. What is stated
        nowhere is at the host.
        """
        return self.sources.where_node(node, fact)

    def where_group(self, group: str) -> Location:
        """Return where ``group`` is declared."""
        return self.sources.groups.where((group,), key=True)


def build_network(
    nodes: Iterable[Node],
    defaults: DefaultsEntry,
    lineage: Mapping[str, tuple[str, ...]],
    sources: Sources,
) -> Network:
    """Put the parts together and check what only the whole can show.

    Raises:
        FactsError: if there is not exactly one router, or Kubernetes without a control plane.
    """
    facts = defaults.data
    network = Network(
        nodes=MappingProxyType({node.name: node for node in nodes}),
        domains=facts.domains,
        infrastructure=facts.infrastructure,
        load_balancer=facts.load_balancer,
        bgp=facts.bgp,
        kubernetes=facts.kubernetes,
        calico=facts.calico,
        metallb=facts.metallb,
        haproxy=facts.haproxy,
        access=facts.access,
        schedule=facts.schedule,
        groups=MappingProxyType(dict(lineage)),
        accepted=tuple(
            (acceptance, sources.defaults.where(("data", "accept", index)))
            for index, acceptance in enumerate(facts.accept)
        ),
        sources=sources,
    )
    problems = list(_problems_of_the_whole(network))
    if problems:
        raise FactsError(problems)
    return network


def _problems_of_the_whole(network: Network) -> Iterable[Problem]:
    routers = network.in_role("router")
    top = network.sources.hosts.where(())
    if not routers:
        yield Problem("no host is in the group router", top, "put the router in it")
    for extra in routers[1:]:
        yield Problem(
            f"{extra}: a second router beside {routers[0]}",
            network.where_node(extra, "groups"),
            "one host is in the group router",
        )
    if not network.control_planes:
        yield Problem("no host is in the group control_plane", top, "put at least one in it")
    for node in routers:
        if node.is_kubernetes_node:
            yield Problem(
                f"{node}: is a router and a Kubernetes node",
                network.where_node(node, "groups"),
                "the router and its BGP neighbors are different hosts",
            )
