"""From FRR's show commands to the router's API, and from its answers to what vtysh prints. Pure.

os-frr runs the same commands on the box, and hands out their JSON: as it is under ``response``, or
a row for every next hop (its DiagnosticsController). PHP writes an empty object as an empty list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from shlex import split
from typing import Any

Json = Any


class NoAnswerError(Exception):
    """No daemon of FRR has answered the router's own API."""


@dataclass(frozen=True)
class Show:
    """Where the answer to a show command is, and how it becomes what vtysh prints.

    ``is_table`` tells that it has rows, which come a page at a time unless all are asked for.
    """

    path: str
    read: Callable[[Json], Json | str]
    is_table: bool = False

    def printed(self, answer: Json) -> bytes:
        """Return what vtysh prints.

        Raises:
            NoAnswerError: if no daemon has answered.
            ValueError, TypeError, KeyError: if the answer is not what it should be.
        """
        found = self.read(answer)
        text = found if isinstance(found, str) else json.dumps(found)
        return text.encode()


def find_show(line: str) -> Show | None:
    """Return what answers the shell's ``line``; None if nothing does.

    >>> find_show("vtysh -c 'show bgp neighbors json'").path
    'quagga/diagnostics/bgpneighbors'
    >>> find_show("vtysh -c 'clear bgp *'") is None
    True
    """
    try:
        words = split(line)
    except ValueError:  # a quotation that does not end
        return None
    if len(words) != 3 or words[:2] != ["vtysh", "-c"]:
        return None
    command = words[2]
    if paths := _PATHS.fullmatch(command):
        family = paths["family"].removeprefix("ipv")
        prefix = paths["prefix"]
        return Show(
            f"quagga/diagnostics/searchBgproute{family}",
            lambda answer: _paths_of(answer, prefix),
            is_table=True,
        )
    if exact := _ROUTE_TO.fullmatch(command):
        prefix = exact["prefix"]
        family = 6 if ":" in prefix else 4
        return Show(
            f"{_ROUTES}{family}",
            lambda answer: {key: found for key, found in _table(answer).items() if key == prefix},
            is_table=True,
        )
    return _SHOWS.get(command)


PING = re.compile(r"ping -n -c 1 -W (?P<seconds>\d+) (?P<address>[0-9.]+)")
"""One echo request, which is waited for so many seconds: a job of the API's."""


def _object(found: Json) -> dict[str, Json]:
    """Return an object; PHP's empty one is a list."""
    if isinstance(found, dict):
        return found
    if found == []:
        return {}
    raise ValueError("it is no object")


def _response(answer: Json) -> dict[str, Json]:
    return _object(_object(answer).get("response"))


def _summary(answer: Json) -> dict[str, Json]:
    """Return `show bgp summary json`; there is one for IPv4 as soon as there is an instance."""
    found = _response(answer)
    return {
        name: {**family, "peers": _object(family.get("peers", []))}
        for name, family in found.items()
        if isinstance(family, dict)
    }


def bgp_peers(answer: Json) -> dict[str, Json]:
    """Return the neighbors of `show bgp ipv4 unicast summary json`, by address."""
    return _object(_object(_summary(answer).get("ipv4Unicast", {})).get("peers", {}))


def _instances(answer: Json) -> Json:
    """Return `show bgp vrfs json`, of the one instance that os-frr makes."""
    families = _summary(answer).values()
    ids = [family["routerId"] for family in families if "routerId" in family]
    return {"vrfs": {"default": {"routerId": ids[0]}} if ids else {}}


def _running(answer: Json) -> str:
    text = _object(answer).get("response")
    if not isinstance(text, str):
        raise TypeError("it is no text")
    return text


def _without_header(answer: Json) -> str:
    _, found, rest = _running(answer).partition("Current configuration:\n")
    return rest if found else _running(answer)


def _rows(answer: Json) -> list[dict[str, Json]]:
    found = _object(answer)
    rows = found.get("rows")
    if not isinstance(rows, list) or len(rows) != found.get("total"):
        raise ValueError("it is not the whole table")
    return rows


_HOP = {
    *("flags", "fib", "ip", "afi", "directlyConnected", "interfaceIndex", "interfaceName"),
    *("active", "weight", "vrf", "source", "labels", "duplicate", "onLink", "recursive"),
    *("resolver", "unreachable", "blackhole", "reject", "backupIndex", "rmapSource", "srcte"),
}
"""What FRR says of a next hop and not of its route (zebra_vty.c, show_route_nexthop_helper)."""
_OF_THE_API = {"via", "interfaceDescr"}


def _table(answer: Json, protocol: str = "") -> Json:
    """Return `show ip route json`: rows of one route become its next hops again.

    The router has routes of its own, so no row at all is no answer.
    """
    rows = _rows(answer)
    if not rows:
        raise NoAnswerError
    table: dict[str, dict[str, Json]] = {}
    for row in rows:
        route = {key: row[key] for key in row.keys() - _HOP - _OF_THE_API}
        if protocol in {"", route["protocol"]}:
            routes = table.setdefault(route["prefix"], {})
            hops = routes.setdefault(json.dumps(route, sort_keys=True), {**route, "nexthops": []})
            hops["nexthops"].append({key: row[key] for key in row.keys() & _HOP})
    return {prefix: list(routes.values()) for prefix, routes in table.items()}


def _paths_of(answer: Json, prefix: str) -> Json:
    """Return `show bgp … PREFIX json`, of what a row has of each path."""
    rows = [row for row in _rows(answer) if row.get("network") == prefix]
    return {"prefix": prefix, "paths": [_path(row) for row in rows]}


def _path(row: Mapping[str, Json]) -> Json:
    as_path = row.get("path", "")
    kept = {key: row[key] for key in ("valid", "multipath", "metric", "locPrf") if key in row}
    return {
        **kept,
        "bestpath": {"overall": bool(row.get("bestpath"))},
        "peer": {"peerId": row.get("peerId", "")},
        "aspath": {"string": "" if as_path == "Internal" else as_path},
        "nexthops": [{"ip": row.get("ip", ""), "used": bool(row.get("used"))}],
    }


def _bfd_peers(answer: Json) -> Json:
    return list(_response(answer).values())


SUMMARY = "quagga/diagnostics/bgpsummary"
_NEIGHBORS = "quagga/diagnostics/bgpneighbors"
_RUNNING = "quagga/diagnostics/generalrunningconfig"
_ROUTES = "quagga/diagnostics/searchGeneralroute"

_SHOWS = {
    "show bgp ipv4 unicast summary json": Show(
        SUMMARY, lambda answer: _summary(answer).get("ipv4Unicast", {})
    ),
    "show bgp vrf all summary json": Show(
        SUMMARY, lambda answer: {"default": found} if (found := _summary(answer)) else {}
    ),
    "show bgp vrfs json": Show(SUMMARY, _instances),
    "show bgp neighbors json": Show(_NEIGHBORS, _response),
    "show bgp vrf all neighbors json": Show(
        _NEIGHBORS, lambda answer: {"default": found} if (found := _response(answer)) else {}
    ),
    "show running-config": Show(_RUNNING, _running),
    "show running-config no-header": Show(_RUNNING, _without_header),
    "show ip route json": Show(f"{_ROUTES}4", _table, is_table=True),
    "show ip route vrf all json": Show(f"{_ROUTES}4", _table, is_table=True),
    "show ip route bgp json": Show(
        f"{_ROUTES}4", lambda answer: _table(answer, "bgp"), is_table=True
    ),
    "show ipv6 route vrf all json": Show(f"{_ROUTES}6", _table, is_table=True),
    "show bfd peers json": Show("quagga/diagnostics/bfdneighbors", _bfd_peers),
}
_ROUTE_TO = re.compile(r"show ip(?:v6)? route vrf all (?P<prefix>[0-9a-f.:]+/\d+) json")
_PATHS = re.compile(
    r"show bgp vrf default (?P<family>ipv[46]) unicast (?P<prefix>[0-9a-f.:]+/\d+) json"
)


@dataclass(frozen=True)
class Job:
    """A ping job of the router's: how many echo requests it has sent, how many were answered."""

    id: str
    sent: int
    received: int
    error: str = ""
    description: str = ""


def read_jobs(answer: Json) -> Iterable[Job]:
    """Yield the ping jobs that there are (`diagnostics/ping/searchJobs`)."""
    for row in _rows(answer):
        yield Job(
            str(row["id"]),
            int(row.get("send") or 0),
            int(row.get("received") or 0),
            str(row.get("last_error") or ""),
            str(row.get("description") or ""),
        )
