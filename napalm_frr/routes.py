"""Routes: zebra's table, and bgpd's paths to them, to NAPALM's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_interface
from typing import Any

from napalm.base.exceptions import CommandErrorException

Json = Mapping[str, Any]

_UNITS = {"y": 31536000, "w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}


def commands(destination: str, *, longer: bool) -> list[str]:
    """Return what to ask vtysh about ``destination``: an address, a prefix, or all if empty.

    Raises:
        CommandErrorException: if it is neither.
    """
    if not destination:
        return [f"show {family} route vrf all json" for family in ("ip", "ipv6")]
    try:
        parsed = ip_interface(destination)
    except ValueError as error:
        raise CommandErrorException(f"{destination!r} is no address or prefix") from error
    family = "ip" if parsed.version == 4 else "ipv6"
    if not longer:
        exact = destination if "/" not in destination else str(parsed.network)
        return [f"show {family} route vrf all {exact} json"]
    return [f"show {family} route vrf all {parsed.network} longer-prefixes json"]


def select(tables: list[Json], protocol: str) -> dict[str, list[Json]]:
    """Return zebra's routes by prefix, of ``protocol`` or of all."""
    wanted = protocol.lower()
    found: dict[str, list[Json]] = {}
    for prefix, routes in _prefixes(tables):
        chosen = [route for route in routes if wanted in {"", route["protocol"].lower()}]
        if chosen:
            found.setdefault(prefix, []).extend(chosen)
    return found


def _prefixes(tables: list[Json]) -> Iterator[tuple[str, list[Json]]]:
    """Yield (prefix, routes); several VRFs come each in a table of its own name, or one by one."""
    for table in tables:
        for name, value in table.items():
            if isinstance(value, list):
                yield name, value
            elif isinstance(value, dict):
                yield from ((prefix, routes) for prefix, routes in value.items())


def path_commands(routes: Mapping[str, list[Json]]) -> dict[tuple[str, str], str]:
    """Return what to ask vtysh of bgpd's paths, by (VRF, prefix)."""
    return {
        (route["vrfName"], prefix): "show bgp vrf {} {} unicast {} json".format(
            route["vrfName"], "ipv6" if ":" in prefix else "ipv4", prefix
        )
        for prefix, found in routes.items()
        for route in found
        if route["protocol"] == "bgp"
    }


def routes_to(
    routes: Mapping[str, list[Json]],
    paths: Mapping[tuple[str, str], Json],
    instances: Json,
    now: float,
) -> dict[str, Any]:
    """Return NAPALM's routes: one a next hop; of BGP also those that are not used.

    ``instances`` is bgpd's summary, for the AS numbers; ``now`` the host's time (epoch).
    """
    found: dict[str, Any] = {}
    for prefix, entries in routes.items():
        for route in entries:
            bgp = paths.get((route["vrfName"], prefix), {}).get("paths", [])
            if route["protocol"] == "bgp" and bgp:
                made = [_bgp_route(route, path, instances, now) for path in bgp]
            else:
                made = [_route(route, hop) for hop in route.get("nexthops") or [{}]]
            found.setdefault(prefix, []).extend(made)
    return found


def _route(route: Json, hop: Json) -> dict[str, Any]:
    return {
        "protocol": route["protocol"],
        "current_active": bool(route.get("selected")),
        "last_active": False,
        "age": seconds(route.get("uptime", "")),
        "next_hop": hop.get("ip", ""),
        "outgoing_interface": hop.get("interfaceName", ""),
        "selected_next_hop": bool(hop.get("fib")),
        "preference": route.get("distance", 0),
        "inactive_reason": "",
        "routing_table": route["vrfName"],
        "protocol_attributes": {},
    }


def _bgp_route(route: Json, path: Json, instances: Json, now: float) -> dict[str, Any]:
    next_hop = next((hop["ip"] for hop in path.get("nexthops", ()) if hop.get("used")), "")
    hop: Json = next((hop for hop in route["nexthops"] if hop.get("ip") == next_hop), {})
    is_used = bool(path.get("bestpath", {}).get("overall") or path.get("multipath"))
    is_active = is_used and bool(route.get("selected"))
    updated = path.get("lastUpdate", {}).get("epoch")
    return {
        **_route(route, hop if is_active else {}),
        "current_active": is_active,
        "age": max(0, int(now) - updated) if updated else seconds(route.get("uptime", "")),
        "next_hop": next_hop,
        "inactive_reason": "" if is_active else _inactive_reason(path),
        "protocol_attributes": _attributes(route["vrfName"], path, instances),
    }


def _inactive_reason(path: Json) -> str:
    return "not the best path" if path.get("valid") else "not valid"


def _attributes(vrf: str, path: Json, instances: Json) -> dict[str, Any]:
    peer_id = path.get("peer", {}).get("peerId", "")
    families = [each for each in instances.get(vrf, {}).values() if isinstance(each, dict)]
    peers = (family.get("peers", {}).get(peer_id) for family in families)
    peer: Json = next((each for each in peers if each), {})
    local_as = next((family["as"] for family in families if "as" in family), 0)
    return {
        "local_as": peer.get("localAs", local_as),
        "remote_as": peer.get("remoteAs", 0),
        "peer_id": peer_id,
        "as_path": path.get("aspath", {}).get("string", ""),
        "communities": list(path.get("community", {}).get("list", ())),
        "local_preference": path.get("locPrf", path.get("localpref", 100)),
        "preference2": -1,
        "metric": path.get("metric", 0),
        "metric2": -1,
    }


def seconds(uptime: str) -> int:
    """Return what FRR's short times mean in seconds; -1 if it is none.

    >>> seconds("00:08:30"), seconds("01d02h03m"), seconds("10w1d02h"), seconds("never")
    (510, 93780, 6141600, -1)
    """
    if re.fullmatch(r"\d+:\d\d:\d\d", uptime):
        hours, minutes, rest = map(int, uptime.split(":"))
        return hours * 3600 + minutes * 60 + rest
    if re.fullmatch(r"(\d+[ywdhms])+", uptime):
        return sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)([ywdhms])", uptime))
    return -1
