"""ROUTE: how hosts reach load-balancer addresses, and over which interface."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network

from goldentooth.model import Network
from goldentooth.rules import Severity, Violation, rule
from goldentooth.rules.intervals import describe, without
from goldentooth.values import AddressRange


@rule(
    "ROUTE001",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            load_balancer:
              pool: 10.20.8.1-10.20.11.254  # and cidr is 10.20.8.0/24
              avoid_buggy_addresses: true
        """,
    passes="""
        defaults:
          data:
            load_balancer:
              cidr: 10.20.8.0/22
              pool: 10.20.8.1-10.20.11.254
              avoid_buggy_addresses: true
        """,
)
def pool_not_covered(network: Network) -> Iterator[Violation]:
    """The hosts' route does not cover the load-balancer pool.

    Why:
        Services get addresses that hosts have no route for. Where the pool is on the
        segment, those are asked for by ARP, and nobody answers (measured on the twin). It
        begins on the day on which the first part of the pool is used up.

    Do:
        Widen load_balancer.cidr until it holds the pool, or shrink the pool.

    Source:
        Measured on the twin; RFC 1122 §3.3.1.1.
    """
    load_balancer = network.load_balancer
    missing = without(load_balancer.pool, [load_balancer.cidr])
    if missing:
        yield Violation(
            "load_balancer.cidr",
            f"{load_balancer.cidr} leaves out {describe(missing)} of the pool"
            f" {load_balancer.pool} ({network.where('load_balancer.pool')})",
            network.where("load_balancer.cidr"),
            f"{_enclosing(load_balancer.pool)} holds the whole pool; or shrink the pool.",
        )


@rule(
    "ROUTE002",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            load_balancer:
              cidr: 10.20.0.0/20  # for a pool in 10.20.8.0/24
        """,
    passes="""
        defaults:
          data:
            load_balancer:
              cidr: 10.20.8.0/24
        """,
)
def route_over_hosts(network: Network) -> Iterator[Violation]:
    """The hosts' route for load-balancer addresses also covers hosts.

    Why:
        If it is more specific than the segment, traffic between neighbors makes a detour
        through the router, one way only; if it covers the router, the route leads to a
        gateway that is to be reached by that very route.

    Do:
        Narrow load_balancer.cidr to what the pool needs.

    Source:
        RFC 4632 §5.1 (longest match); RFC 1812 §4.3.3.2 (redirects).
    """
    load_balancer = network.load_balancer
    swallowed = [
        node
        for node in network.nodes.values()
        if node.address in load_balancer.cidr and node.address not in load_balancer.pool
    ]
    if swallowed:
        names = ", ".join(node.name for node in swallowed[:3]) + ", …" * (len(swallowed) > 3)
        yield Violation(
            "load_balancer.cidr",
            f"{load_balancer.cidr} also covers {len(swallowed)}"
            f" host{'s' * (len(swallowed) != 1)}: {names}",
            network.where("load_balancer.cidr"),
        )


@rule(
    "ROUTE003",
    Severity.ERROR,
    fails="""
        hosts:
          lb1:
            data: {load_balancer_route: on-link}
        """,
    passes="""
        hosts:
          lb1:
            data: {load_balancer_route: via-router}
        """,
)
def on_link_outside_kubernetes(network: Network) -> Iterator[Violation]:
    """A host that is no Kubernetes node has the on-link route.

    Why:
        It asks for load-balancer addresses by ARP. In BGP mode nobody answers, and every
        connection to one times out; through the router it works (both measured on the twin).
        Kubernetes nodes are different: kube-proxy catches the address before routing.

    Do:
        Set load_balancer_route to via-router.

    Source:
        Measured on the twin; MetalLB, BGP mode.
    """
    for node in network.nodes.values():
        route = node.facts.load_balancer_route
        if route == "on-link" and not node.is_kubernetes_node and not node.is_router:
            yield Violation(
                node.name,
                "on-link route on a host without kube-proxy: no load-balancer address answers",
                network.where_node(node, "load_balancer_route"),
            )


@rule(
    "ROUTE004",
    Severity.ERROR,
    fails="""
        hosts:
          lb1:
            data: {load_balancer_route: none}
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
          lb1:
            data: {load_balancer_route: via-router}
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
def no_route_to_pool_on_link(network: Network) -> Iterator[Violation]:
    """A host has no route for a pool that is on its segment.

    Why:
        Its connected route covers the pool, so it asks by ARP, and in BGP mode nobody
        answers: the same as with an on-link route (measured on the twin).

    Do:
        Set load_balancer_route to via-router.

    Source:
        Measured on the twin; RFC 1122 §3.3.1.1.
    """
    if not network.load_balancer.pool.overlaps(network.infrastructure.cidr):
        return
    for node in network.nodes.values():
        route = node.facts.load_balancer_route
        if route == "none" and not node.is_kubernetes_node and not node.is_router:
            yield Violation(
                node.name,
                f"no route of its own for {network.load_balancer.cidr}, which is on the segment",
                network.where_node(node, "load_balancer_route"),
            )


@rule(
    "ROUTE005",
    Severity.ERROR,
    fails="""
        hosts:
          node1:
            data: {interface: eth0, wireless_interface: eth0}
        """,
    passes="""
        hosts:
          node1:
            data: {interface: eth0, wireless_interface: wlan0}
        """,
)
def interface_kept_down(network: Network) -> Iterator[Violation]:
    """The interface on the segment is also the one that is kept down.

    Why:
        wireless_interface is taken down on every host that has one. Here that is the only
        way to the host.

    Do:
        Name the second interface, as `ip -br link` shows it, or leave the fact away.

    Source:
        The facts themselves: wireless_interface is kept down, because two interfaces in one
        network give wrong source addresses.
    """
    for node in network.nodes.values():
        if node.facts.wireless_interface == node.facts.interface:
            yield Violation(
                node.name,
                f"{node.facts.interface} is its interface on the segment, and kept down",
                network.where_node(node, "wireless_interface"),
            )


@rule(
    "ROUTE006",
    Severity.WARNING,
    fails="""
        hosts:
          node1:
            data: {interface: auto}
        """,
    passes="""
        hosts:
          node1:
            data: {interface: end0}
        """,
)
def interface_unknown(network: Network) -> Iterator[Violation]:
    """A host's interface is to be detected, and has not been yet.

    Why:
        Its routes cannot be rendered offline: their file and their device are named after
        the interface.

    Do:
        Pin it where it says auto: `interface: eth0`. Or state what was discovered in
        inventory/discovered.yaml: `NAME: {interface: eth0}`.

    Source:
        The design of this project: what is rendered follows from the facts alone.
    """
    for node in network.nodes.values():
        if node.facts.interface == "auto":
            yield Violation(
                node.name,
                "interface is auto, and was not discovered",
                network.where_node(node, "interface"),
            )


@rule(
    "ROUTE007",
    Severity.ERROR,
    fails="""
        hosts:
          router:
            data: {static_routes: [{to: 198.51.100.0/24, via: 192.0.2.1}]}
        """,
    passes="""
        hosts:
          router:
            data: {static_routes: [{to: 198.51.100.0/24, via: 10.20.0.40}]}
        """,
)
def next_hop_elsewhere(network: Network) -> Iterator[Violation]:
    """The next hop of a static route is not on the segment, or is the host itself.

    Why:
        A host reaches next hops on its own links only: the kernel refuses the route, FRR keeps
        it and does not use it.

    Do:
        Name the machine on the segment that the packets go to.

    Source:
        ip-route(8), `via`; RFC 1812 §5.2.4.2.
    """
    for node in network.nodes.values():
        for route in node.facts.static_routes:
            if route.via == node.address or route.via not in network.infrastructure.cidr:
                what = "the host itself" if route.via == node.address else "not on the segment"
                yield Violation(
                    node.name,
                    f"{route.to} goes via {route.via}, which is {what}",
                    network.where_node(node, "static_routes"),
                )


@rule(
    "ROUTE008",
    Severity.ERROR,
    fails="""
        hosts:
          router:
            data:
              static_routes:
                - {to: 198.51.100.0/24, via: 10.20.0.40}
                - {to: 198.51.100.0/24, via: 10.20.0.41}
        """,
    passes="""
        hosts:
          router:
            data: {static_routes: [{to: 198.51.100.0/24, via: 10.20.0.40}]}
        """,
)
def route_stated_twice(network: Network) -> Iterator[Violation]:
    """A host has two routes to one network.

    Why:
        Of two routes to the same network the one that was set last stays, on the next boot
        maybe the other.

    Do:
        Leave one of them; the load-balancer addresses have their own (load_balancer_route).

    Source:
        ip-route(8), `replace`.
    """
    for node in network.nodes.values():
        own = [route.to for route in node.facts.static_routes]
        if not node.is_router and node.facts.load_balancer_route != "none":
            own.append(network.load_balancer.cidr)
        for to in sorted({each for each in own if own.count(each) > 1}):
            yield Violation(
                node.name,
                f"{to} is the destination of {own.count(to)} routes",
                network.where_node(node, "static_routes"),
            )


def _enclosing(addresses: AddressRange) -> IPv4Network:
    """Return the smallest network that holds all ``addresses``."""
    bits = (int(addresses.first) ^ int(addresses.last)).bit_length()
    return IPv4Network((int(addresses.first) >> bits << bits, 32 - bits))
