"""ADDR: addresses, networks and ranges."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations

from goldentooth.errors import Location
from goldentooth.model import Network, Node
from goldentooth.rules import Severity, Violation, rule
from goldentooth.rules.intervals import as_range
from goldentooth.values import AddressRange

DOCKER_BRIDGE = IPv4Network("172.17.0.0/16")
NOMAD_BRIDGE = IPv4Network("172.26.64.0/20")
PRIVATE = tuple(
    map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
)


@rule(
    "ADDR001",
    Severity.ERROR,
    fails="""
        hosts:
          node2:
            hostname: 10.20.0.21  # node1's
        """,
    passes="""
        hosts:
          node2:
            hostname: 10.20.0.23
        """,
)
def duplicate_address(network: Network) -> Iterator[Violation]:
    """Two hosts have the same address.

    Why:
        Both answer ARP, so traffic for one reaches the other, and which one changes from
        minute to minute.

    Do:
        Give each host an address of its own.

    Source:
        RFC 5227 §1 (address conflicts).
    """
    first: dict[IPv4Address, Node] = {}
    for node in network.nodes.values():
        other = first.setdefault(node.address, node)
        if other is not node:
            yield Violation(
                node.name,
                f"{node.address} is also the address of {other}"
                f" ({network.where_node(other, 'hostname')})",
                network.where_node(node, "hostname"),
            )


@rule(
    "ADDR002",
    Severity.ERROR,
    fails="""
        hosts:
          node2:
            hostname: 10.21.0.22
        """,
    passes="""
        hosts:
          node2:
            hostname: 10.20.0.22
        """,
)
def foreign_address(network: Network) -> Iterator[Violation]:
    """A host's address is outside the infrastructure network.

    Why:
        All hosts are on one segment. One with a foreign address gets no answer from its
        neighbors, and the router's BGP session to it does not come up: an eBGP neighbor is
        expected on a connected network.

    Do:
        Give it an address inside infrastructure.cidr, or widen that.

    Source:
        RFC 1122 §3.3.1.1 (local or remote); FRR manual, BGP, `ebgp-multihop`.
    """
    cidr = network.infrastructure.cidr
    for node in network.nodes.values():
        if node.address not in cidr:
            yield Violation(
                node.name,
                f"{node.address} is not in {cidr}",
                network.where_node(node, "hostname"),
            )


@rule(
    "ADDR003",
    Severity.ERROR,
    fails="""
        hosts:
          node2:
            hostname: 10.20.0.255
        """,
    passes="""
        hosts:
          node2:
            hostname: 10.20.0.22
        """,
)
def reserved_address(network: Network) -> Iterator[Violation]:
    """A host has the network's own or the broadcast address of the segment.

    Why:
        Linux sends what is meant for it to everyone, or to no one, and refuses TCP
        connections to a broadcast address.

    Do:
        Take any address between the first and the last.

    Source:
        RFC 922 §7; RFC 3021 for the exception, /31.
    """
    cidr = network.infrastructure.cidr
    if cidr.prefixlen > 30:
        return
    kinds = {cidr.network_address: "network", cidr.broadcast_address: "broadcast"}
    for node in network.nodes.values():
        if node.address in kinds:
            yield Violation(
                node.name,
                f"{node.address} is the {kinds[node.address]} address of {cidr}",
                network.where_node(node, "hostname"),
            )


@rule(
    "ADDR004",
    Severity.ERROR,
    fails="""
        hosts:
          node1:
            data: {mac: "dc:a6:32:00:00:15"}
          node2:
            data: {mac: "DC:A6:32:00:00:15"}
        """,
    passes="""
        hosts:
          node1:
            data: {mac: "dc:a6:32:00:00:15"}
          node2:
            data: {mac: "dc:a6:32:00:00:16"}
        """,
)
def duplicate_mac(network: Network) -> Iterator[Violation]:
    """Two hosts have the same hardware address.

    Why:
        A switch delivers to the port where it saw the address last. And a DHCP reservation
        made from it gives both hosts the same lease.

    Do:
        Read the address off the machine: `ip -br link show eth0`.

    Source:
        IEEE 802.1D §7.8 (learning); RFC 2131 §4.2 (client identifier).
    """
    first: dict[str, Node] = {}
    for node in network.nodes.values():
        if node.facts.mac is None:
            continue
        other = first.setdefault(node.facts.mac.lower(), node)
        if other is not node:
            yield Violation(
                node.name,
                f"{node.facts.mac} is also the hardware address of {other}"
                f" ({network.where_node(other, 'mac')})",
                network.where_node(node, "mac"),
            )


@rule(
    "ADDR005",
    Severity.ERROR,
    fails="""
        hosts:
          node1:
            data: {mac: "01:00:5e:00:00:05"}
        """,
    passes="""
        hosts:
          node1:
            data: {mac: "dc:a6:32:00:00:15"}
        """,
)
def foreign_mac(network: Network) -> Iterator[Violation]:
    """A hardware address cannot belong to an interface.

    Why:
        The lowest bit of the first byte marks a group of receivers, and all zeros no
        receiver at all. The kernel refuses to give an interface either.

    Do:
        Read the address off the machine: `ip -br link show eth0`.

    Source:
        RFC 9542 §2.1 (group bit); Linux `is_valid_ether_addr`.
    """
    for node in network.nodes.values():
        mac = node.facts.mac
        if mac is None:
            continue
        is_group = bool(int(mac[:2], 16) & 1)
        if is_group or not mac.strip("0:"):
            kind = "a multicast or broadcast address" if is_group else "all zeros"
            yield Violation(
                node.name, f"hardware address {mac} is {kind}", network.where_node(node, "mac")
            )


@rule(
    "ADDR006",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            kubernetes:
              service_cidr: 10.244.128.0/20  # inside pod_cidr, 10.244.0.0/16
        """,
    passes="""
        defaults:
          data:
            kubernetes:
              service_cidr: 10.96.0.0/16
        """,
)
def overlapping_networks(network: Network) -> Iterator[Violation]:
    """Two of the network's ranges overlap.

    Why:
        An address in both has two meanings. A pod with a service's address is never
        reached, because kube-proxy rewrites the destination first; a host with a pod's
        address loses against the pod's more specific route.

    Do:
        Move one of the two. Service and pod ranges cannot be changed without rebuilding the
        cluster, so settle them first.

    Source:
        Kubernetes, Cluster Networking (“non-overlapping IP addresses for Pods, Services and
        Nodes”).
    """
    kubernetes, load_balancer = network.kubernetes, network.load_balancer
    ranges = {
        "infrastructure.cidr": as_range(network.infrastructure.cidr),
        "load_balancer.cidr": as_range(load_balancer.cidr),
        "load_balancer.pool": load_balancer.pool,
        "kubernetes.service_cidr": as_range(kubernetes.service_cidr),
        "kubernetes.pod_cidr": as_range(kubernetes.pod_cidr),
    }
    for (one, first), (other, second) in combinations(ranges.items(), 2):
        meant = other.startswith("load_balancer.")  # the pool is judged by ADDR012 and ROUTE001
        if not meant and first.overlaps(second):
            yield Violation(
                other,
                f"{second} overlaps {one}, {first} ({network.where(one)})",
                network.where(other),
            )


@rule(
    "ADDR007",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            kubernetes:
              service_cidr: 172.17.0.0/20
        """,
    passes="""
        defaults:
          data:
            kubernetes:
              service_cidr: 172.16.0.0/20
        """,
)
def docker_bridge(network: Network) -> Iterator[Violation]:
    """A range overlaps Docker's default bridge network, 172.17.0.0/16.

    Why:
        Wherever Docker is installed, docker0 takes that network as connected, and a
        connected route wins: addresses of the range are looked for on a bridge inside that
        host.

    Do:
        Take another range, or set `bip` in Docker's daemon.json on every host.

    Source:
        Docker Engine, daemon.json `bip` and default address pools.
    """
    yield from _overlaps(network, DOCKER_BRIDGE, "Docker's default bridge network")


@rule(
    "ADDR008",
    Severity.WARNING,
    fails="""
        groups:
          k8s: {groups: [nomad_client]}
          nomad_client: {}
        defaults:
          data:
            kubernetes:
              service_cidr: 172.26.64.0/20
        """,
    passes="""
        groups:
          k8s: {groups: [nomad_client]}
          nomad_client: {}
        defaults:
          data:
            kubernetes:
              service_cidr: 172.26.128.0/20
        """,
)
def nomad_bridge(network: Network) -> Iterator[Violation]:
    """A range overlaps Nomad's default bridge network, 172.26.64.0/20.

    Why:
        The first allocation in bridge mode makes the host take that network as connected;
        from then on it looks for the range's addresses on its own bridge.

    Do:
        Take another range, or set `bridge_network_subnet` of the Nomad clients.

    Source:
        Nomad, client block, `bridge_network_subnet`.
    """
    if network.in_role("nomad_client"):
        yield from _overlaps(network, NOMAD_BRIDGE, "Nomad's default bridge network")


@rule(
    "ADDR009",
    Severity.ERROR,
    fails="""
        hosts:
          node2:
            hostname: 10.20.0.52
        defaults:
          data:
            load_balancer:
              cidr: 10.20.0.32/27
              pool: 10.20.0.33-10.20.0.62
            accept:
              - {rule: ADDR012, reason: every host has a route for the pool}
              - {rule: HA004, reason: clients are moved to lb2 by hand}
              - {rule: HA005, reason: a second router is not worth it here}
        """,
    passes="""
        hosts:
          node2:
            hostname: 10.20.0.22
        defaults:
          data:
            load_balancer:
              cidr: 10.20.0.32/27
              pool: 10.20.0.33-10.20.0.62
            accept:
              - {rule: ADDR012, reason: every host has a route for the pool}
              - {rule: HA004, reason: clients are moved to lb2 by hand}
              - {rule: HA005, reason: a second router is not worth it here}
        """,
)
def host_in_pool(network: Network) -> Iterator[Violation]:
    """A host's address is in the load-balancer pool.

    Why:
        MetalLB may give the address to a service. The router then installs a /32 for it,
        which beats the connected network, and the host is gone from the router's view.

    Do:
        Move the host, or leave its address out of the pool.

    Source:
        RFC 4632 §5.1 (longest match).
    """
    pool = network.load_balancer.pool
    for node in network.nodes.values():
        if node.address in pool:
            yield Violation(
                node.name,
                f"{node.address} is in the pool {pool} ({network.where('load_balancer.pool')})",
                network.where_node(node, "hostname"),
            )


@rule(
    "ADDR010",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            infrastructure:
              dhcp_range: 10.20.0.40-10.20.0.199
            load_balancer:
              cidr: 10.20.0.32/27
              pool: 10.20.0.33-10.20.0.62
            accept:
              - {rule: ADDR012, reason: every host has a route for the pool}
              - {rule: HA004, reason: clients are moved to lb2 by hand}
              - {rule: HA005, reason: a second router is not worth it here}
        """,
    passes="""
        defaults:
          data:
            infrastructure:
              dhcp_range: 10.20.0.100-10.20.0.199
            load_balancer:
              cidr: 10.20.0.32/27
              pool: 10.20.0.33-10.20.0.62
            accept:
              - {rule: ADDR012, reason: every host has a route for the pool}
              - {rule: HA004, reason: clients are moved to lb2 by hand}
              - {rule: HA005, reason: a second router is not worth it here}
        """,
)
def pool_over_dhcp(network: Network) -> Iterator[Violation]:
    """The load-balancer pool and the DHCP range overlap.

    Why:
        Two allocators give away the same address, and neither knows of the other. A DHCP
        server probes an address before it leases it, but nobody answers for one that is
        announced over BGP only.

    Do:
        Separate the two ranges.

    Source:
        RFC 2131 §2.2 (the server probes before it allocates).
    """
    dhcp, pool = network.infrastructure.dhcp_range, network.load_balancer.pool
    if dhcp and pool.overlaps(dhcp):
        yield Violation(
            "load_balancer.pool",
            f"{pool} overlaps the DHCP range {dhcp} ({network.where('infrastructure.dhcp_range')})",
            network.where("load_balancer.pool"),
        )


@rule(
    "ADDR011",
    Severity.ERROR,
    fails="""
        hosts:
          node2:
            hostname: 10.20.0.122
        """,
    passes="""
        hosts:
          node2:
            hostname: 10.20.0.22
        """,
)
def host_in_dhcp_range(network: Network) -> Iterator[Violation]:
    """A host's address is in the DHCP range.

    Why:
        While the host is off, its address answers no probe and is leased to someone else;
        when it comes back there are two.

    Do:
        Move the host out of the range, or the range away from the host.

    Source:
        RFC 2131 §2.2; RFC 5227 §1.
    """
    dhcp = network.infrastructure.dhcp_range
    for node in network.nodes.values():
        if dhcp and node.address in dhcp:
            yield Violation(
                node.name,
                f"{node.address} is in the DHCP range {dhcp}"
                f" ({network.where('infrastructure.dhcp_range')})",
                network.where_node(node, "hostname"),
            )


@rule(
    "ADDR012",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            load_balancer:
              cidr: 10.20.0.32/27
              pool: 10.20.0.33-10.20.0.62
        """,
    passes="""
        defaults:
          data:
            load_balancer:
              cidr: 10.20.8.0/24
              pool: 10.20.8.1-10.20.8.254
        """,
)
def pool_on_link(network: Network) -> Iterator[Violation]:
    """The load-balancer pool is inside the infrastructure network.

    Why:
        Every machine on the segment takes such an address for a neighbor and asks for it by
        ARP. In BGP mode nobody answers: without a route of its own a machine cannot connect
        (measured on the twin). Hosts of the inventory can be given that route; phones,
        laptops and whatever DHCP serves cannot.

    Do:
        Take the pool from a network that is not on the segment. Then the default route
        leads to the router, which knows the way, and no host needs a route.

    Source:
        Measured on the twin; RFC 1122 §3.3.1.1; MetalLB, BGP mode.
    """
    pool, cidr = network.load_balancer.pool, network.infrastructure.cidr
    if pool.overlaps(cidr):
        yield Violation(
            "load_balancer.pool",
            f"{pool} is on the segment {cidr} ({network.where('infrastructure.cidr')}):"
            " its machines ask for these addresses by ARP, and in BGP mode nobody answers",
            network.where("load_balancer.pool"),
        )


@rule(
    "ADDR013",
    Severity.INFO,
    fails="""
        defaults:
          data:
            load_balancer:
              pool: 10.20.8.0/24
        """,
    passes="""
        defaults:
          data:
            load_balancer:
              pool: 10.20.8.0/24
              avoid_buggy_addresses: true
        """,
)
def buggy_addresses(network: Network) -> Iterator[Violation]:
    """The load-balancer pool holds addresses that end in .0 or .255.

    Why:
        They are good addresses, but some home routers and firewalls take them for network
        and broadcast addresses and drop them. The service that is given one works from most
        places only.

    Do:
        Set load_balancer.avoid_buggy_addresses, or leave them out of the pool.

    Source:
        MetalLB, IPAddressPool `avoidBuggyIPs`; RFC 4632 (no classes of networks).
    """
    pool = network.load_balancer.pool
    first, last = int(pool.first), int(pool.last)
    zeros = last // 256 - (first - 1) // 256
    all_ones = (last + 1) // 256 - first // 256
    if zeros + all_ones and not network.load_balancer.avoid_buggy_addresses:
        count = zeros + all_ones
        yield Violation(
            "load_balancer.pool",
            f"{pool} holds {count} address{'es' * (count != 1)} that end{'s' * (count == 1)}"
            " in .0 or .255",
            network.where("load_balancer.pool"),
        )


@rule(
    "ADDR014",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            kubernetes:
              pod_cidr: 11.0.0.0/16
        """,
    passes="""
        defaults:
          data:
            kubernetes:
              pod_cidr: 10.244.0.0/16
        """,
)
def public_network(network: Network) -> Iterator[Violation]:
    """An internal range is not made of private addresses.

    Why:
        The addresses belong to somebody. That part of the internet cannot be reached from
        here, and packets that get out unmasked look forged.

    Do:
        Take a range inside 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10.

    Source:
        RFC 1918 §3; RFC 6598 §4.
    """
    for fact, cidr in _internal_networks(network).items():
        if not any(cidr.subnet_of(private) for private in PRIVATE):
            yield Violation(fact, f"{cidr} is not private", network.where(fact))


@rule(
    "ADDR015",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            infrastructure:
              dhcp_range: 10.20.0.200-10.20.1.20
        """,
    passes="""
        defaults:
          data:
            infrastructure:
              dhcp_range: 10.20.0.200-10.20.0.254
        """,
)
def dhcp_outside(network: Network) -> Iterator[Violation]:
    """The DHCP range leaves the infrastructure network.

    Why:
        A server leases addresses of the segment that a request comes from only; the rest of
        the range is never used, and some servers refuse to start.

    Do:
        Keep the range between the segment's first and last address.

    Source:
        RFC 2131 §4.3.1 (an address for the client's subnet).
    """
    dhcp, cidr = network.infrastructure.dhcp_range, network.infrastructure.cidr
    if dhcp and not (dhcp.first in cidr and dhcp.last in cidr):
        yield Violation(
            "infrastructure.dhcp_range",
            f"{dhcp} is not inside {cidr} ({network.where('infrastructure.cidr')})",
            network.where("infrastructure.dhcp_range"),
        )


def _internal_networks(network: Network) -> dict[str, IPv4Network]:
    return {
        "infrastructure.cidr": network.infrastructure.cidr,
        "kubernetes.service_cidr": network.kubernetes.service_cidr,
        "kubernetes.pod_cidr": network.kubernetes.pod_cidr,
    }


def _overlaps(network: Network, bridge: IPv4Network, name: str) -> Iterator[Violation]:
    ranges: dict[str, AddressRange] = {
        **{fact: as_range(cidr) for fact, cidr in _internal_networks(network).items()},
        "load_balancer.pool": network.load_balancer.pool,
    }
    for fact, addresses in ranges.items():
        if addresses.overlaps(bridge):
            where: Location = network.where(fact)
            yield Violation(fact, f"{addresses} overlaps {name}, {bridge}", where)
