"""The network as it is right now, beside the facts. Pure: from answers to a view.

FRR is read through NAPALM; where there is none, the kernel's routes are read. An answer is JSON,
or why there is none (:class:`~goldentooth.check.Output`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from typing import Any, TypeVar

from goldentooth.check import Output, UnreadableError, parse_json
from goldentooth.compliance import is_frr_deployed
from goldentooth.discovery import ROUTES
from goldentooth.model import Network
from goldentooth.report.show import View, show_bgp, show_routes
from goldentooth.text import one_line

Answers = Mapping[str, Mapping[str, Output]]
"""By host, then by the name that the read was given."""
Reads = dict[str, dict[str, tuple[str, dict[str, Any]]]]
"""What to ask: a getter of NAPALM's and its arguments, by host and name."""

_NEIGHBORS, _LEARNED = "neighbors", "learned"

T = TypeVar("T")


def bgp_reads(network: Network) -> Reads:
    """Return what :func:`bgp_view` wants to know."""
    return {network.router.name: {_NEIGHBORS: ("get_bgp_neighbors", {})}}


def bgp_view(network: Network, answers: Answers) -> View:
    """Return ``show bgp`` with each session as it is.

    ``session`` is up, down, missing (the router does not know the neighbor) or not intended;
    ``uptime`` seconds, ``accepted`` prefixes. None is what is not known.
    """
    view, router = show_bgp(network), network.router.name
    wanted = view["neighbors"]
    try:
        rows = _read(answers[router], _NEIGHBORS, lambda found: _neighbors(wanted, found))
    except UnreadableError as error:
        unknown = [{"host": router, "reason": str(error)}]
        return {**view, "neighbors": _neighbors(wanted, None), "unknown": unknown}
    return {**view, "neighbors": rows}


def _read(outputs: Mapping[str, Output], name: str, make: Callable[[Any], T]) -> T:
    """Return what ``make`` makes of an answer's JSON.

    Raises:
        UnreadableError: if it is not JSON, or other JSON than ``make`` expects.
    """
    try:
        return make(parse_json(outputs, name))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        reason = f"unexpected output: {type(error).__name__}: {error}"
        raise UnreadableError(one_line(reason)) from error


def _neighbors(wanted: Sequence[Mapping[str, Any]], found: Mapping[str, Any] | None) -> list[View]:
    peers = (found or {}).get("global", {}).get("peers", {})
    rows = [
        {**row, **_session(peers.get(row["neighbor"]), is_known=found is not None)}
        for row in wanted
    ]
    intended = {row["neighbor"] for row in rows}
    rows += [
        {"neighbor": each, "host": None, "asn": None, **_session(peer), "session": "not intended"}
        for each, peer in peers.items()
        if each not in intended
    ]
    return rows


def _session(peer: Mapping[str, Any] | None, *, is_known: bool = True) -> View:
    if peer is None:
        none = dict.fromkeys(("live_asn", "uptime", "accepted"))
        return {"session": "missing" if is_known else None, **none}
    is_up = peer["is_up"]
    accepted = peer["address_family"].get("ipv4", {}).get("accepted_prefixes")
    return {
        "session": "up" if is_up else "down" if peer["is_enabled"] else "shut down",
        "live_asn": peer["remote_as"],
        "uptime": peer["uptime"] if is_up else None,
        "accepted": accepted if is_up else None,
    }


def routes_reads(network: Network) -> Reads:
    """Return what :func:`routes_view` wants to know of the hosts that run FRR of ours."""
    names = _with_frr(network)
    reads: Reads = {network.router.name: {_LEARNED: ("get_route_to", {"protocol": "bgp"})}}
    for row in show_routes(network)["routes"]:
        if row["host"] in names:
            asked = reads.setdefault(row["host"], {})
            asked[row["destination"]] = ("get_route_to", {"destination": row["destination"]})
    return reads


def kernel_reads(network: Network) -> dict[str, tuple[str, ...]]:
    """Return what :func:`routes_view` wants run on the hosts without FRR, by host."""
    names = _with_frr(network)
    return {
        row["host"]: (ROUTES,) for row in show_routes(network)["routes"] if row["host"] not in names
    }


def _with_frr(network: Network) -> set[str]:
    """Return the hosts whose routes FRR knows: on Kubernetes nodes MetalLB has its own."""
    return {node.name for node in network.nodes.values() if is_frr_deployed(network, node)}


def routes_view(network: Network, answers: Answers) -> View:
    """Return ``show routes`` with what is in use, and what the router has learned.

    What is in use FRR's tables say, or the kernel's where there is no FRR.

    ``live`` are the next hops or interfaces in use, None where they are not known. ``learned``
    are the router's BGP routes: the hosts that they lead to, and speakers that they should lead
    to and do not.
    """
    view = show_routes(network)
    unknown: dict[str, str] = {}

    def read(host: str, name: str, make: Callable[[Any], T]) -> T | None:
        if host not in answers:
            return None
        try:
            return _read(answers[host], name, make)
        except UnreadableError as error:
            unknown[host] = str(error)
            return None

    rows = []
    for row in view["routes"]:
        host, destination = row["host"], row["destination"]
        is_kernel = ROUTES in answers.get(host, ())
        used = partial(_used_by_kernel if is_kernel else _in_use, destination)
        rows.append({**row, "live": read(host, ROUTES if is_kernel else destination, used)})
    learned = read(network.router.name, _LEARNED, partial(_learned, network))
    unknowns = [{"host": host, "reason": reason} for host, reason in unknown.items()]
    unknowns += view.get("unknown", [])
    return {
        "routes": rows,
        "learned": learned or [],
        **({"unknown": unknowns} if unknowns else {}),
    }


def _in_use(destination: str, found: Mapping[str, Any]) -> list[str]:
    """Return where FRR sends the packets of a prefix: via a next hop, or to the link."""
    return [
        _way(route["next_hop"], route["outgoing_interface"])
        for route in found.get(destination, ())
        if route["current_active"]
    ]


def _used_by_kernel(destination: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return where the kernel sends them: the route of the lowest metric, if its link is up."""
    routes = [
        route
        for route in found
        if route["dst"] == destination and not {"dead", "linkdown"} & set(route.get("flags", ()))
    ]
    first = sorted(routes, key=lambda route: route.get("metric", 0))[:1]
    return [
        _way(hop.get("gateway", ""), hop.get("dev", ""))
        for route in first
        for hop in route.get("nexthops", [route])
    ]


def _way(next_hop: str, interface: str) -> str:
    return f"via {next_hop}" if next_hop else f"dev {interface}"


def _learned(network: Network, learned: Mapping[str, Any]) -> list[View]:
    """Return a row for every prefix that the router has learned, and for those that it should."""
    services = {f"{each}/32": name for name, each in network.load_balancer.services.items()}
    speakers = {str(node.address): node.name for node in network.bgp_neighbors}
    rows = []
    for prefix in dict.fromkeys((*services, *learned)):
        hops = [route["next_hop"] for route in learned.get(prefix, ()) if route["current_active"]]
        wanted = speakers if prefix in services else {}
        rows.append(
            {
                "destination": prefix,
                "service": services.get(prefix),
                "next_hops": [
                    speakers.get(hop, hop)
                    for hop in sorted(hops, key=lambda hop: ip_address(hop).packed)
                ],
                "missing": [name for hop, name in wanted.items() if hop not in hops],
            }
        )
    return rows
