"""What the facts say of hosts that run FRR, as NAPALM validates it. Pure.

:func:`compliance` gives a host's compliance file, the list that ``napalm.base.validate`` takes;
:func:`compliance_checks` the same as live checks, a getter each, judged by NAPALM's own report.
NAPALM takes every text for a regular expression and finds it anywhere: texts are anchored.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from goldentooth.check import Check, Outcome, Output, failed, parse_json, passed
from goldentooth.errors import RenderError
from goldentooth.model import Network, Node
from goldentooth.report.table import counted
from goldentooth.services.frr import SERVICE as FRR

SERVICE = "napalm"
"""The name under which these checks are reported."""

Validation = dict[str, Any]


@dataclass(frozen=True)
class Compliance(Check):
    """What one getter of NAPALM's answers on a host."""

    kind: ClassVar[str] = ""
    getter: ClassVar[str] = ""
    subject: str
    host: str

    @property
    @abstractmethod
    def expectation(self) -> Validation:
        """What NAPALM compares the getter's answer with."""

    @property
    def validation(self) -> Validation:
        """One entry of a compliance file."""
        return {self.getter: self.expectation}

    def reads(self) -> tuple[str, ...]:
        """NAPALM's report of this entry; it is no command."""
        return (f"napalm {self.id}",)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Name what NAPALM has found to differ."""
        report = parse_json(outputs, self.reads()[0])
        if report["complies"]:
            return passed("as the facts say")
        found = (part for part in report.values() if isinstance(part, dict))
        return failed("; ".join(line for part in found for line in differences(part)))


@dataclass(frozen=True)
class FactsCompliance(Compliance):
    """Who answers at a host's address.

    Passes: FRR does, on a host of that name.
    Fails: the host has another name.
    """

    kind = "napalm.get_facts"
    getter = "get_facts"

    @property
    def expected(self) -> str:
        """The host's name."""
        return f"FRR on {self.host}"

    @property
    def expectation(self) -> Validation:
        """The host's name, and whose system it is."""
        return {"hostname": _exactly(self.host), "vendor": _exactly("FRRouting")}


@dataclass(frozen=True)
class InterfaceCompliance(Compliance):
    """The interface on the infrastructure network.

    Passes: it is enabled and up.
    Fails: it is down, or not there.
    """

    kind = "napalm.get_interfaces"
    getter = "get_interfaces"
    interface: str

    @property
    def expected(self) -> str:
        """The interface's state."""
        return f"{self.interface} up"

    @property
    def expectation(self) -> Validation:
        """The interface's state."""
        return {self.interface: {"is_enabled": True, "is_up": True}}


@dataclass(frozen=True)
class AddressCompliance(Compliance):
    """The host's address on the infrastructure network.

    Passes: the interface has it, with the network's prefix length.
    Fails: it has another one.
    """

    kind = "napalm.get_interfaces_ip"
    getter = "get_interfaces_ip"
    interface: str
    address: str
    prefix_length: int

    @property
    def expected(self) -> str:
        """The address with its prefix length."""
        return f"{self.address}/{self.prefix_length} on {self.interface}"

    @property
    def expectation(self) -> Validation:
        """The address; others may be there, too."""
        entry = {"prefix_length": self.prefix_length}
        return {self.interface: {"ipv4": {self.address: entry}}}


@dataclass(frozen=True)
class NeighborsCompliance(Compliance):
    """All BGP sessions of a host.

    Passes: the neighbors are those of the facts and no others, each Established with its AS.
    Fails: one is missing or too many, down, shut down, or in another AS.
    """

    kind = "napalm.get_bgp_neighbors"
    getter = "get_bgp_neighbors"
    router_id: str
    local_as: int
    remote_as: int
    neighbors: tuple[str, ...]

    @property
    def expected(self) -> str:
        """The number of sessions."""
        return f"{counted(len(self.neighbors), 'session')} up with AS {self.remote_as}"

    @property
    def expectation(self) -> Validation:
        """Every neighbor, and no other."""
        peer = {
            "is_enabled": True,
            "is_up": True,
            "local_as": self.local_as,
            "remote_as": self.remote_as,
        }
        peers: Validation = {"_mode": "strict", **{each: dict(peer) for each in self.neighbors}}
        return {"global": {"router_id": _exactly(self.router_id), "peers": peers}}


@dataclass(frozen=True)
class RouteCompliance(Compliance):
    """A load-balancer address in the router's routing table.

    Passes: it is routed to every speaker, and to nobody else.
    Fails: it is not there, a speaker is missing, or somebody else is among the next hops.
    """

    kind = "napalm.get_route_to"
    getter = "get_route_to"
    next_hops: tuple[str, ...]

    @property
    def expected(self) -> str:
        """The number of next hops."""
        return counted(len(self.next_hops), "next hop")

    @property
    def validation(self) -> Validation:
        """One entry of a compliance file, with a name of its own: there may be several."""
        options = {"destination": self.subject, "protocol": "bgp"}
        named = {"_name": f"{self.getter} {self.subject}", "_kwargs": options}
        return {self.getter: {**named, **self.expectation}}

    @property
    def expectation(self) -> Validation:
        """Every next hop, and no other."""
        hops = [{"next_hop": _exactly(hop), "current_active": True} for hop in self.next_hops]
        return {self.subject: {"_mode": "strict", "list": hops}}


def compliance_checks(network: Network, node: Node) -> Iterator[Compliance]:
    """Yield what NAPALM is to find on ``node``; nothing if it does not run FRR.

    An OPNsense router has FRR, but not the Linux that NAPALM's other getters ask.
    """
    if node not in FRR.hosts(network):
        return
    if not node.is_opnsense:
        yield FactsCompliance(node.name, node.name)
        yield from _link_checks(network, node)
    bgp, speakers = network.bgp, tuple(str(each.address) for each in network.bgp_neighbors)
    asns = (
        (bgp.router_asn, bgp.cluster_asn) if node.is_router else (bgp.cluster_asn, bgp.router_asn)
    )
    neighbors = speakers if node.is_router else (str(network.router.address),)
    yield NeighborsCompliance(node.name, node.name, str(node.address), *asns, neighbors)
    # where there are more speakers than paths, the facts do not say which of them are taken
    if node.is_router and len(speakers) <= bgp.maximum_paths:
        for address in network.load_balancer.services.values():
            yield RouteCompliance(f"{address}/32", node.name, speakers)


def _link_checks(network: Network, node: Node) -> Iterator[Compliance]:
    try:
        interface = node.interface
    except RenderError:  # not discovered yet: the facts say nothing of it
        return
    length = network.infrastructure.cidr.prefixlen
    yield InterfaceCompliance(node.name, node.name, interface)
    yield AddressCompliance(node.name, node.name, interface, str(node.address), length)


def compliance(network: Network, node: Node) -> list[Validation]:
    """Return the compliance file of ``node`` as data; empty if it does not run FRR."""
    return [check.validation for check in compliance_checks(network, node)]


def is_frr_deployed(network: Network, node: Node) -> bool:
    """Tell whether ``node`` runs FRR of ours: on Kubernetes nodes MetalLB has its own.

    The twin's speakers run FRR, too, in MetalLB's place.
    """
    return node == network.router


def differences(report: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Yield what a part of NAPALM's report says is missing, too much or different."""
    for name in report.get("missing", ()):
        yield f"{_shown(path)}{_name(name)} is missing"
    for name in report.get("extra", ()):
        yield f"{_shown(path)}{_name(name)} is not intended"
    present = report.get("present", ())
    for name in present if isinstance(present, dict) else ():
        found = present[name]
        if "diff" in found:
            yield from differences(found["diff"], f"{path} {name}".strip())
        elif not found["complies"]:
            yield f"{_shown(path)}{name} is {_plain(found['actual_value'])}"


def _shown(path: str) -> str:
    return f"{path}: " if path else ""


def _name(missing: Any) -> str:
    """Return a short name of what a list misses or has too much: the next hop of a route."""
    return _plain(missing.get("next_hop", missing) if isinstance(missing, Mapping) else missing)


def _exactly(text: str) -> str:
    return f"^{re.escape(text)}$"


def _plain(value: Any) -> str:
    """Return a value as people write it, regular expressions of ours included.

    >>> _plain(_exactly("10.4.0.1"))
    '10.4.0.1'
    """
    text = str(value)
    return text[1:-1].replace("\\", "") if text[:1] == "^" and text[-1:] == "$" else text
