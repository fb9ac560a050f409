"""From the network to the machines of a twin: pure, nothing is made here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from goldentooth.model import Network, Node
from goldentooth.services import all_services
from goldentooth.twin.errors import TwinError
from goldentooth.twin.expectations import record_check
from goldentooth.twin.image import PlacedFile, units_of
from goldentooth.twin.opnsense import is_simulated
from goldentooth.twin.segment import derived_mac
from goldentooth.twin.stand_ins import has_interfaces, list_stand_ins, stand_in_units
from goldentooth.twin.state import SEGMENT, CheckRecord, Link, MachineRecord, Record

OPERATOR = "operator"
CLIENT = "client"
OUTSIDE = IPv4Network("203.0.113.0/24")
"""The network beyond the router: TEST-NET-3 (RFC 5737)."""
OUTSIDE_ROUTER = OUTSIDE[1]
OUTSIDE_CLIENT = OUTSIDE[10]
OUTSIDE_INTERFACE = "outside"
DISK_SIZE = 256 * 1024 * 1024
"""Bytes that a host can write, unless told otherwise."""


def plan_twin(
    name: str,
    *,
    network: Network,
    artifacts: Path,
    files: Mapping[str, Sequence[PlacedFile]],
    hosts: Iterable[str] | None,
    created: float,
    bare: bool = False,
) -> Record:
    """Return the twin of ``network``, or of ``hosts`` of it, that runs ``files``.

    If it is to be ``bare``, those are the stand-ins' alone: see :func:`stand_ins_of`.

    Raises:
        TwinError: if a host is not there, or has a name that the twin itself uses.
    """
    nodes = _chosen(network, hosts)
    routers = [node for node in nodes if node.is_router]
    addressed = [node for node in nodes if bare and not has_interfaces(files.get(node.name, ()))]
    units = {node.name: units_of(network, node, files.get(node.name, ())) for node in nodes}
    machines = [_host(node, (*units[node.name], *stand_in_units(node))) for node in nodes]
    machines.append(_operator(network))
    if routers:
        machines.append(_client(routers[0]))
    return Record(
        name=name,
        created=created,
        artifacts=str(artifacts),
        router=routers[0].name if routers else None,
        machines={machine.name: machine for machine in machines},
        checks=tuple(_checks(network.only(node.name for node in nodes), nodes)),
        stand_ins=list_stand_ins(network, nodes, addressed),
        disk_size=DISK_SIZE,
        bare=bare,
    )


def stand_ins_of(
    network: Network, files: Mapping[str, Sequence[PlacedFile]]
) -> dict[str, list[PlacedFile]]:
    """Return of each host's ``files`` those that stand in for something, which are not deployed.

    FRR of an OPNsense router is not among them: what it runs is deployed, through the API.
    """
    appliances = {node.name for node in network.nodes.values() if is_simulated(node)}
    return {
        host: [
            file
            for file in own
            if file.is_stand_in and not (host in appliances and file.service == "frr")
        ]
        for host, own in files.items()
    }


def operator_address(network: Network) -> IPv4Address:
    """Return the first address of the segment that nobody has or may be given.

    Raises:
        TwinError: if there is none.
    """
    infrastructure = network.infrastructure
    balanced = network.load_balancer
    hosts = {node.address for node in network.nodes.values()}
    for address in infrastructure.cidr.hosts():
        given = infrastructure.dhcp_range is not None and address in infrastructure.dhcp_range
        if not (given or address in hosts or address in balanced.pool or address in balanced.cidr):
            return address
    raise TwinError(
        f"no address of {infrastructure.cidr} is free for the operator's machine",
        "leave one outside hosts, DHCP and the load-balancer pool",
    )


def _checks(network: Network, nodes: Sequence[Node]) -> Iterable[CheckRecord]:
    """Yield the services' live checks that can be made on ``nodes``, all there are."""
    booted = {node.name for node in nodes}
    for service in all_services():
        for node in service.hosts(network):
            for check in service.checks(network, node):
                if node.name in booted and check.host in booted:
                    yield record_check(service, check, network, node)


def _chosen(network: Network, hosts: Iterable[str] | None) -> list[Node]:
    wanted = list(network.nodes if hosts is None else dict.fromkeys(hosts))
    for name in wanted:
        if name not in network.nodes:
            raise TwinError(
                f"there is no host {name!r}", "the hosts are " + ", ".join(network.nodes)
            )
        if name in {OPERATOR, CLIENT}:
            raise TwinError(
                f"a host cannot be named {name} on a twin, which has a machine of that name",
                "leave it out with --host, or rename it",
            )
    return [network.nodes[name] for name in wanted]


def _host(node: Node, units: tuple[str, ...]) -> MachineRecord:
    links = [Link(node.interface, node.facts.mac or derived_mac(node.address), SEGMENT)]
    wireless = node.facts.wireless_interface
    if wireless and wireless != node.interface:
        links.append(Link(wireless, derived_mac(node.address, 1), SEGMENT))
    if node.is_router:
        links.append(
            Link(
                OUTSIDE_INTERFACE,
                derived_mac(OUTSIDE_ROUTER),
                f"{CLIENT}:eth0",
                (f"{OUTSIDE_ROUTER}/{OUTSIDE.prefixlen}",),
            )
        )
    return MachineRecord(node.name, str(node.address), boots=True, links=tuple(links), units=units)


def _operator(network: Network) -> MachineRecord:
    """Return the operator's machine.

    Like any host that is no Kubernetes node it reaches load-balancer addresses through the
    router: nobody answers ARP for them.
    """
    address = operator_address(network)
    with_length = f"{address}/{network.infrastructure.cidr.prefixlen}"
    link = Link("eth0", derived_mac(address), SEGMENT, (with_length,))
    router = network.router.address
    routes = (f"default via {router}", f"{network.load_balancer.cidr} via {router}")
    return MachineRecord(OPERATOR, str(address), boots=False, links=(link,), routes=routes)


def _client(router: Node) -> MachineRecord:
    link = Link(
        "eth0",
        derived_mac(OUTSIDE_CLIENT),
        f"{router.name}:{OUTSIDE_INTERFACE}",
        (f"{OUTSIDE_CLIENT}/{OUTSIDE.prefixlen}",),
    )
    routes = (f"default via {OUTSIDE_ROUTER}",)
    return MachineRecord(CLIENT, str(OUTSIDE_CLIENT), boots=False, links=(link,), routes=routes)
