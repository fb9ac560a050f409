"""BGP: AS numbers, sessions, timers and filters between the router and the nodes."""

from __future__ import annotations

from collections.abc import Iterator

from goldentooth.model import Network
from goldentooth.rules import Severity, Violation, rule
from goldentooth.rules.intervals import as_range, describe, without
from goldentooth.values import MOST_PREFIXES

SLOW_HOLD = 30
"""Seconds for which traffic into a dead node is still put up with."""

HASTY_DETECTION = 500
"""Milliseconds that a busy small machine may need until it comes to answer."""

_DOCUMENTATION = (range(64496, 64512), range(65536, 65552))
_PRIVATE = (range(64512, 65535), range(4200000000, 4294967295))
_RESERVED = {
    0: "stands for no AS (RFC 7607)",
    23456: "is AS_TRANS, the stand-in for four-byte numbers (RFC 6793)",
    65535: "is the reserved last two-byte number (RFC 7300)",
    4294967295: "is the reserved last four-byte number (RFC 7300)",
}
_RESERVED_BY_IANA = range(65552, 131072)


@rule(
    "BGP001",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            bgp: {router_asn: 64500, cluster_asn: 64501}
        """,
    passes="""
        defaults:
          data:
            bgp: {router_asn: 64512, cluster_asn: 64513}
        """,
)
def documentation_asn(network: Network) -> Iterator[Violation]:
    """An AS number is reserved for documentation.

    Why:
        Such numbers are for examples: other operators filter them, tools warn about them,
        and whoever copies an example collides with this network.

    Do:
        Take one for private use: 64512 to 65534, or 4200000000 to 4294967294. Change both
        ends at the same time, or the sessions stay down.

    Source:
        RFC 5398 §4; RFC 6996 §5; RFC 7454 §9.
    """
    for fact, asn in _asns(network).items():
        if any(asn in numbers for numbers in _DOCUMENTATION):
            yield Violation(
                fact, f"AS {asn} is reserved for documentation (RFC 5398)", network.where(fact)
            )


@rule(
    "BGP002",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            bgp: {cluster_asn: 23456}
        """,
    passes="""
        defaults:
          data:
            bgp: {cluster_asn: 64513}
        """,
)
def reserved_asn(network: Network) -> Iterator[Violation]:
    """An AS number is reserved and must not be used.

    Why:
        Implementations treat these numbers specially. AS 23456 stands for any number that an
        old speaker cannot write, so loops and neighbors are mistaken.

    Do:
        Take one for private use: 64512 to 65534, or 4200000000 to 4294967294.

    Source:
        RFC 7607; RFC 6793 §9; RFC 7300; IANA, Autonomous System Numbers.
    """
    for fact, asn in _asns(network).items():
        if asn in _RESERVED or asn in _RESERVED_BY_IANA:
            reason = _RESERVED.get(asn, "is reserved by IANA")
            yield Violation(fact, f"AS {asn} {reason}", network.where(fact))


@rule(
    "BGP003",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            bgp: {cluster_asn: 3320}
        """,
    passes="""
        defaults:
          data:
            bgp: {cluster_asn: 4200000001}
        """,
)
def public_asn(network: Network) -> Iterator[Violation]:
    """An AS number is a public one.

    Why:
        Public numbers are assigned to organisations. Used by anyone else they hide that
        organisation's routes from this network (its own number in the path is a loop), and
        a leaked route is theirs to explain.

    Do:
        Take one for private use: 64512 to 65534, or 4200000000 to 4294967294. If the number
        is yours, accept the finding and say so.

    Source:
        RFC 6996 §1 and §5; RFC 4271 §9.1.2 (loop detection).
    """
    special = (*_DOCUMENTATION, *_PRIVATE, _RESERVED_BY_IANA)
    for fact, asn in _asns(network).items():
        if asn not in _RESERVED and not any(asn in numbers for numbers in special):
            yield Violation(fact, f"AS {asn} is a public number", network.where(fact))


@rule(
    "BGP004",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            bgp: {router_asn: 64512, cluster_asn: 64512}
        """,
    passes="""
        defaults:
          data:
            bgp: {router_asn: 64512, cluster_asn: 64513}
        """,
)
def same_asn(network: Network) -> Iterator[Violation]:
    """The router and the cluster have the same AS number.

    Why:
        The sessions are internal then, and other rules hold for them: `maximum-paths` does
        not count (`maximum-paths ibgp` does), and what one internal neighbor says is not
        told to another.

    Do:
        Give the two sides different numbers.

    Source:
        RFC 4271 §9.2 (internal peers); FRR manual, BGP, `maximum-paths`.
    """
    if network.bgp.router_asn == network.bgp.cluster_asn:
        yield Violation(
            "bgp.cluster_asn",
            f"AS {network.bgp.cluster_asn} is also the router's"
            f" ({network.where('bgp.router_asn')})",
            network.where("bgp.cluster_asn"),
        )


@rule(
    "BGP005",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            calico: {peer_with_router: true}
            metallb: {peer_with_router: true}
        """,
    passes="""
        defaults:
          data:
            calico: {peer_with_router: false}
            metallb: {peer_with_router: true}
        """,
)
def two_speakers(network: Network) -> Iterator[Violation]:
    """Calico and MetalLB would both peer with the router from the same address.

    Why:
        There is one session per pair of addresses. The second one is a collision: one of the
        two speakers on each node never gets through, and it may be another one after each
        restart.

    Do:
        Let MetalLB alone peer with the router and Calico keep its node-to-node mesh; or
        let Calico alone announce the load-balancer addresses (serviceLoadBalancerIPs).

    Source:
        RFC 4271 §6.8 (connection collision); MetalLB, Issues with Calico.
    """
    if network.calico.peer_with_router and network.metallb.peer_with_router:
        yield Violation(
            "calico.peer_with_router",
            "Calico and MetalLB both peer with the router from each node's address",
            network.where("calico.peer_with_router"),
        )


@rule(
    "BGP006",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            metallb: {peer_with_router: false}
        """,
    passes="""
        defaults:
          data:
            metallb: {peer_with_router: true}
        """,
)
def no_speaker(network: Network) -> Iterator[Violation]:
    """Nothing on the nodes peers with the router.

    Why:
        The router has a neighbor in every node and hears from none: no load-balancer address
        is reachable.

    Do:
        Set metallb.peer_with_router, or calico.peer_with_router.

    Source:
        MetalLB, BGP mode (a BGPPeer is needed); Calico, BGPPeer.
    """
    if not (network.calico.peer_with_router or network.metallb.peer_with_router):
        yield Violation(
            "metallb.peer_with_router",
            "neither MetalLB nor Calico peers with the router",
            network.where("metallb.peer_with_router"),
        )


@rule(
    "BGP007",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            bgp: {keepalive: 0, hold: 2}
        """,
    passes="""
        defaults:
          data:
            bgp: {keepalive: 1, hold: 3}
        """,
)
def forbidden_hold(network: Network) -> Iterator[Violation]:
    """The hold time is one or two seconds.

    Why:
        No speaker may offer it, and one that is offered it closes the session
        (Unacceptable Hold Time).

    Do:
        At least 3 seconds.

    Source:
        RFC 4271 §4.2 and §6.2.
    """
    if network.bgp.hold in {1, 2}:
        yield Violation(
            "bgp.hold",
            f"a hold time of {network.bgp.hold} s is forbidden",
            network.where("bgp.hold"),
        )


@rule(
    "BGP008",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            bgp: {keepalive: 5, hold: 9}
        """,
    passes="""
        defaults:
          data:
            bgp: {keepalive: 3, hold: 9}
        """,
)
def sparse_keepalives(network: Network) -> Iterator[Violation]:
    """Keepalives come less often than three times in the hold time.

    Why:
        One lost keepalive, or a busy node, and the session is closed though nobody died.
        With none at all it is closed as soon as the hold time is over.

    Do:
        Set bgp.keepalive to a third of bgp.hold or less, but not to 0.

    Source:
        RFC 4271 §4.4 and §10.
    """
    keepalive, hold = network.bgp.keepalive, network.bgp.hold
    if hold >= 3 and not 0 < keepalive <= hold / 3:
        yield Violation(
            "bgp.keepalive",
            f"a keepalive every {keepalive} s is too few for a hold time of {hold} s"
            if keepalive
            else f"no keepalives are sent, and the hold time is {hold} s",
            network.where("bgp.keepalive"),
            f"Set bgp.keepalive to {hold // 3} or less.",
        )


@rule(
    "BGP009",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            bgp: {keepalive: 60, hold: 180}
        """,
    passes="""
        defaults:
          data:
            bgp: {keepalive: 3, hold: 9}
        """,
)
def slow_detection(network: Network) -> Iterator[Violation]:
    """A node that dies silently keeps its share of the traffic for long.

    Why:
        When a node loses power its link at the switch goes down, not the router's: only the
        hold time tells. Until then the router sends every flow whose hash falls on that next
        hop into the void.

    Do:
        Shorten bgp.keepalive and bgp.hold, on both sides, to 3 and 9 seconds for instance;
        a hold time of 0 never ends. Or state bgp.bfd.

    Source:
        RFC 4271 §6.5 and §10; FRR manual, `frr defaults datacenter` (3 and 9 s);
        RFC 5882 §3 for BFD, where it is to be faster still.
    """
    hold, speakers = network.bgp.hold, len(network.bgp_neighbors)
    share = f"1/{speakers} of all flows" if speakers > 1 else "all traffic"
    if network.bgp.bfd is None and (hold == 0 or hold > SLOW_HOLD):
        until = f"for up to {hold} s" if hold else "for ever (hold time 0)"
        yield Violation(
            "bgp.hold",
            f"a node that dies silently is noticed late: {share} to a load-balancer address"
            f" is lost {until}",
            network.where("bgp.hold"),
        )


@rule(
    "BGP010",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            bgp: {maximum_paths: 4}  # five nodes speak
        """,
    passes="""
        defaults:
          data:
            bgp: {maximum_paths: 8}
        """,
)
def too_few_paths(network: Network) -> Iterator[Violation]:
    """The router installs fewer next hops than there are speakers.

    Why:
        The nodes that are left out get no traffic, which nobody notices; and with
        externalTrafficPolicy Local they are the ones that may hold the pods.

    Do:
        Set bgp.maximum_paths to the number of Kubernetes nodes or more.

    Source:
        FRR manual, BGP, `maximum-paths`; measured on the twin: at 64 all 12 next hops of an
        address are installed.
    """
    paths, speakers = network.bgp.maximum_paths, len(network.bgp_neighbors)
    if paths < speakers:
        yield Violation(
            "bgp.maximum_paths",
            f"{paths} next hop{'s' * (paths != 1)} for {speakers} speakers",
            network.where("bgp.maximum_paths"),
            f"Set bgp.maximum_paths to {speakers} or more."
            if speakers <= 128
            else "The router takes at most 128: let fewer nodes speak.",
        )


@rule(
    "BGP011",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            bgp: {accept_prefixes: any}
        """,
    passes="""
        defaults:
          data:
            bgp: {accept_prefixes: pool}
        """,
)
def no_filter(network: Network) -> Iterator[Violation]:
    """The router takes any route from the nodes.

    Why:
        One wrong line in the cluster and a node announces the default route, or the segment
        itself: the whole network follows. A leaked 192.168.66.0/24 was installed by a router
        without a filter (measured on the twin).

    Do:
        Set bgp.accept_prefixes to pool, which is the default.

    Source:
        RFC 7454 §6; RFC 8212; measured on the twin.
    """
    if network.bgp.accept_prefixes == "any":
        yield Violation(
            "bgp.accept_prefixes",
            "the router takes any route that a node announces",
            network.where("bgp.accept_prefixes"),
        )


@rule(
    "BGP012",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            bgp: {accept_prefixes: [10.20.8.0/25]}
        """,
    passes="""
        defaults:
          data:
            bgp: {accept_prefixes: [10.20.8.0/25, 10.20.8.128/25]}
        """,
)
def filter_too_narrow(network: Network) -> Iterator[Violation]:
    """The router's filter refuses addresses of the pool.

    Why:
        MetalLB gives such an address to a service and announces it, all its objects look
        well, and the router drops the route.

    Do:
        Set bgp.accept_prefixes to pool: it is the exact cover then, and follows the pool.

    Source:
        FRR manual, Filtering (a prefix list ends in deny); measured on the twin: the exact
        cover with `le 32` lets every address of the pool in.
    """
    accepted = network.accepted_prefixes
    missing = [] if accepted is None else without(network.load_balancer.pool, accepted)
    if missing:
        yield Violation(
            "bgp.accept_prefixes",
            f"addresses of the pool are refused: {describe(missing)}",
            network.where("bgp.accept_prefixes"),
        )


@rule(
    "BGP013",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            bgp: {accept_prefixes: [10.20.8.0/23]}
        """,
    passes="""
        defaults:
          data:
            bgp: {accept_prefixes: [10.20.8.0/24]}
        """,
)
def filter_too_wide(network: Network) -> Iterator[Violation]:
    """The router's filter lets in more than the pool.

    Why:
        What is not in the pool is not a load-balancer address: if a node announces it, that
        is a mistake or an attack, and this filter is what should stop it.

    Do:
        Set bgp.accept_prefixes to pool: it is the exact cover then, and follows the pool.

    Source:
        RFC 7454 §6; measured on the twin: with the exact cover a leaked route is refused.
    """
    allowed = list(network.load_balancer.pool.cover)
    if network.calico.peer_with_router:
        allowed.append(network.kubernetes.pod_cidr)
    for prefix in network.accepted_prefixes or ():
        extra = without(as_range(prefix), allowed)
        if extra:
            yield Violation(
                "bgp.accept_prefixes",
                f"{prefix} lets in what is not in the pool: {describe(extra)}",
                network.where("bgp.accept_prefixes"),
            )


@rule(
    "BGP014",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            bgp: {maximum_prefix: 0}
        """,
    passes="""
        defaults:
          data:
            bgp: {maximum_prefix: 254}
        """,
)
def no_maximum_prefix(network: Network) -> Iterator[Violation]:
    """A neighbor may send any number of routes.

    Why:
        A neighbor that runs wild fills the router's table, for all the others too, with
        whatever the filter lets through. With a bound the session of one that sends more is
        closed, and tried again after 5 minutes. FRR counts what the filter has accepted:
        refused prefixes cost time, but no table and no session (measured on the twin).

    Do:
        Leave bgp.maximum_prefix away: it is the size of the pool then.

    Source:
        RFC 7454 §8; FRR manual, BGP, `maximum-prefix` (`restart`).
    """
    if network.maximum_prefix == 0:
        yield Violation(
            "bgp.maximum_prefix",
            "the number of routes a neighbor may send has no bound",
            network.where("bgp.maximum_prefix"),
        )


@rule(
    "BGP015",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            bgp: {maximum_prefix: 20}
        """,
    passes="""
        defaults:
          data:
            bgp: {maximum_prefix: 254}
        """,
)
def low_maximum_prefix(network: Network) -> Iterator[Violation]:
    """A neighbor may send fewer routes than the pool has addresses.

    Why:
        Every service is one /32 from every node. The first service above the bound closes
        the sessions of all nodes at once, and all load-balancer addresses are gone; every
        5 minutes the sessions come back, and are closed again.

    Do:
        Leave bgp.maximum_prefix away: it is the size of the pool then.

    Source:
        FRR manual, BGP, `maximum-prefix` (the session is closed); MetalLB, BGPAdvertisement
        `aggregationLength` (32 by default).
    """
    bound, size = network.maximum_prefix, network.load_balancer.pool.size
    if 0 < bound < min(size, MOST_PREFIXES):
        yield Violation(
            "bgp.maximum_prefix",
            f"{bound} route{'s' * (bound != 1)} for a pool of {size} addresses"
            f" ({network.where('load_balancer.pool')})",
            network.where("bgp.maximum_prefix"),
        )


@rule(
    "BGP016",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            bgp: {password: null}
        """,
    passes="""
        defaults:
          data:
            bgp: {password: "${vault:network/bgp#password}"}
        """,
)
def no_password(network: Network) -> Iterator[Violation]:
    """The sessions have no password.

    Why:
        Any machine on the segment can reset a session with a forged TCP segment, or take a
        node's address while that is off and announce in its name.

    Do:
        Set bgp.password, by reference, on both sides.

    Source:
        RFC 7454 §5.1; RFC 2385.
    """
    if network.bgp.password is None:
        yield Violation(
            "bgp.password", "the sessions have no password", network.where("bgp.password")
        )


@rule(
    "BGP017",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            calico: {node_mesh: false}
        """,
    passes="""
        defaults:
          data:
            calico: {node_mesh: true}
        """,
)
def no_mesh(network: Network) -> Iterator[Violation]:
    """Calico's nodes do not peer with each other.

    Why:
        Without an overlay a node learns over BGP where the pods of the others are. The
        router cannot stand in: all nodes have one AS number, and a route that comes back
        with one's own number in its path is dropped as a loop.

    Do:
        Set calico.node_mesh, or leave it away.

    Source:
        Calico, BGPConfiguration `nodeToNodeMeshEnabled`; RFC 4271 §9.1.2.
    """
    if not network.calico.node_mesh:
        yield Violation(
            "calico.node_mesh",
            "no node learns where the pods of the other nodes are",
            network.where("calico.node_mesh"),
        )


@rule(
    "BGP018",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            bgp: {bfd: {transmit_interval: 50, receive_interval: 50, detect_multiplier: 2}}
        """,
    passes="""
        defaults:
          data:
            bgp: {bfd: {transmit_interval: 300, receive_interval: 300, detect_multiplier: 3}}
        """,
)
def hasty_bfd(network: Network) -> Iterator[Violation]:
    """BFD takes a busy neighbor for a dead one.

    Why:
        BFD runs in a process beside all others, on a Raspberry Pi too: where it is not given
        the processor for some hundred milliseconds, its session goes down, and takes the BGP
        session and its routes with it.

    Do:
        Leave it at least 500 ms: bgp.bfd.detect_multiplier times the larger of the intervals.

    Source:
        RFC 5880 §6.8.4; RFC 5882 §3.2; FRR manual, BFD.
    """
    bfd = network.bgp.bfd
    if bfd is None:
        return
    detection = bfd.detect_multiplier * max(bfd.transmit_interval, bfd.receive_interval)
    if detection < HASTY_DETECTION:
        yield Violation(
            "bgp.bfd",
            f"a neighbor that is silent for {detection} ms is taken for dead",
            network.where("bgp.bfd"),
        )


@rule(
    "BGP019",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            bgp: {keepalive: 3, hold: 9, bfd: {receive_interval: 5000}}
        """,
    passes="""
        defaults:
          data:
            bgp: {keepalive: 3, hold: 9, bfd: {receive_interval: 300}}
        """,
)
def slow_bfd(network: Network) -> Iterator[Violation]:
    """BFD is no faster than the hold time.

    Why:
        It is there to notice a dead neighbor sooner; so it only costs packets.

    Do:
        Shorten bgp.bfd's intervals, or leave BFD away.

    Source:
        RFC 5882 §3; RFC 5880 §6.8.4.
    """
    bfd, hold = network.bgp.bfd, network.bgp.hold
    if bfd is None or hold == 0:
        return
    detection = bfd.detect_multiplier * max(bfd.transmit_interval, bfd.receive_interval)
    if detection >= hold * 1000:
        yield Violation(
            "bgp.bfd",
            f"it notices a dead neighbor after {detection / 1000:g} s,"
            f" the hold time after {hold} s",
            network.where("bgp.bfd"),
        )


def _asns(network: Network) -> dict[str, int]:
    return {"bgp.router_asn": network.bgp.router_asn, "bgp.cluster_asn": network.bgp.cluster_asn}
