"""What is saved on the router and does not run yet: a change is live only after a reconfigure.

The saved models say nothing of it, so the running configuration is asked: a run that was cut off
before its reconfigure leaves nothing to change, and yet something to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from goldentooth.opnsense.models import HOST_OVERRIDE, NEIGHBOR, PREFIX_LIST, ROUTE_MAP, Values
from goldentooth.opnsense.state import Intended, Item, Live

_DEFAULT_TIMERS = ("60", "180")
_DEFAULT_CONNECT = "120"
"""Seconds that FRR does not write out (bgp_config_write_peer_global of bgpd)."""


def pending_routing(intended: Intended, live: Live) -> tuple[str, ...]:
    """Return what of ``intended`` is saved and FRR does not run; nothing if that is not known.

    Looked at is what FRR always writes out: the router's AS and id, prefix lists, route maps, and
    of every neighbor its AS, description, password, BFD, timers and route maps; and neighbors that
    run and are not saved.
    """
    if live.running is None:
        return ()
    lines = [_as_it_runs(" ".join(line.split())) for line in live.running.splitlines()]
    running = set(lines)
    found = [what for what, line in _expected(intended) if line not in running]
    saved = {
        item.values["address"] for item in live.of_kind(NEIGHBOR) if item.values["enabled"] == "1"
    }
    known = {
        word[1]
        for word in map(str.split, running)
        if word[:1] == ["neighbor"] and "remote-as" in word
    }
    groups = {
        w[1] for w in map(str.split, running) if w[:1] == ["neighbor"] and w[2:] == ["peer-group"]
    }
    found += [f"neighbor {each} still runs" for each in sorted(known - saved - groups)]
    lists = {item.values["name"] for item in intended.of_kind(PREFIX_LIST)}
    wanted = {line for _, line in _expected(intended)}
    found += [
        f"{line} still runs"
        for line in dict.fromkeys(lines)
        if line.startswith("ip prefix-list ") and line.split()[2] in lists and line not in wanted
    ]
    return tuple(dict.fromkeys(found))


def pending_names(intended: Intended, live: Live) -> tuple[str, ...]:
    """Return which host overrides are saved and Unbound does not answer with yet."""
    if live.names_served is None:
        return ()
    return tuple(
        str(item)
        for item in intended.of_kind(HOST_OVERRIDE)
        if item.values["enabled"] == "1"
        and (f"{item.values['hostname']}.{item.values['domain']}", item.values["server"])
        not in live.names_served
    )


def _expected(intended: Intended) -> Iterable[tuple[str, str]]:
    """Yield every line that FRR must run, after what it belongs to; one may hold a secret."""
    bgp = intended.settings["bgp"]
    yield "settings bgp", f"router bgp {bgp['asnumber']}"
    yield "settings bgp", f"bgp router-id {bgp['routerid']}"
    for item in intended.of_kind(PREFIX_LIST):
        value = item.values
        rule = f"seq {value['seqnumber']} {value['action']} {value['network']}"
        yield str(item), f"ip prefix-list {value['name']} {rule}"
    for item in intended.of_kind(ROUTE_MAP):
        value = item.values
        yield str(item), f"route-map {value['name']} {value['action']} {value['id']}"
    for item in intended.of_kind(NEIGHBOR):
        for line in _neighbor_lines(item.values, intended.items):
            yield str(item), line


def _timers(value: Values) -> tuple[str, str]:
    """Return keepalive and hold time as FRR runs them."""
    return _within_a_third(value["keepalive"] or "60", value["holddown"] or "180")


def _within_a_third(keepalive: str, hold: str) -> tuple[str, str]:
    """Return timers with no keepalive beyond a third of the hold time.

    Source: peer_timers_set of bgpd; RFC 4271 §4.4 says so.
    """
    return str(min(int(keepalive), int(hold) // 3)), hold


def _as_it_runs(line: str) -> str:
    """Return a line of FRR's in the form that is compared, whatever form its version prints."""
    words = line.split()
    if words[:1] == ["neighbor"] and words[2:3] == ["timers"] and words[3:4] != ["connect"]:
        return " ".join((*words[:3], *_within_a_third(words[3], words[4])))
    return line


def _neighbor_lines(value: Values, items: Mapping[str, Item]) -> Iterable[str]:
    start = f"neighbor {value['address']}"
    yield f"{start} remote-as {value['remoteas']}"
    yield f"{start} description {value['description']}"
    if value["password"]:
        yield f"{start} password {value['password']}"
    if value["bfd"] == "1":
        yield f"{start} bfd"
    if (timers := _timers(value)) != _DEFAULT_TIMERS:
        yield f"{start} timers {timers[0]} {timers[1]}"
    if value["connecttimer"] != _DEFAULT_CONNECT:
        yield f"{start} timers connect {value['connecttimer']}"
    for name, direction in (("linkedRoutemapIn", "in"), ("linkedRoutemapOut", "out")):
        for uuid in filter(None, value[name].split(",")):
            yield f"{start} route-map {items[uuid].values['name']} {direction}"
