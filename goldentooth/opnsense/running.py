"""What is saved on the router and does not run yet: a change is live only after a reconfigure.

The saved models say nothing of it, so the running configuration is asked: a run that was cut off
before its reconfigure, and an edit that was taken back after one, leave nothing to change, and yet
something to do. Held against it is all that is ours, both ways: what is to run and does not, and
what runs and is not to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address, ip_network

from goldentooth.compare.frr import canonical
from goldentooth.compare.frr_words import is_address
from goldentooth.opnsense.models import (
    BFD_PEER,
    HOST_ALIAS,
    HOST_OVERRIDE,
    NEIGHBOR,
    PREFIX_LIST,
    ROUTE_MAP,
    STATIC_ROUTE,
    Values,
)
from goldentooth.opnsense.state import Intended, Live

Line = tuple[str, ...]
"""A line after the blocks that it stands in."""

_SETTING = re.compile(
    r"bgp (router-id|log-neighbor-changes|graceful-restart|bestpath)( .*)?"
    r"|no bgp enforce-first-as|distance bgp .*|maximum-paths \d+"
)
"""What os-frr makes of the settings of ``bgp`` that are managed."""

_ATTRIBUTES = {
    *("remote-as", "local-as", "description", "password", "weight", "bfd", "peer-group"),
    *("disable-connected-check", "update-source", "interface", "ebgp-multihop", "timers"),
    *("attribute-unchanged", "capability", "activate", "next-hop-self", "allowas-in"),
    *("route-reflector-client", "soft-reconfiguration", "default-originate", "as-override"),
    *("remove-private-AS", "prefix-list", "route-map"),
}
"""What os-frr can say of a neighbor; beside that FRR may say more of its own, by its version."""

_DEFAULT_TIMERS = re.compile(r"neighbor \S+ timers (60 180|connect 120)")
"""Seconds that FRR does not always write out (bgp_config_write_peer_global of bgpd)."""

_MAXIMUM_PATHS = re.compile(r"maximum-paths \d+")
"""FRR leaves it out at the most that it was built for, which is not known: 16, 64, 256."""

_BY_DEFAULT = re.compile(r"(no )?bgp default \S+-unicast")


def pending_routing(intended: Intended, live: Live) -> tuple[str, ...]:
    """Return what of ``intended`` is saved and FRR does not run; nothing if that is not known.

    Named is the object whose lines are missing, too many or others; and neighbors, BFD peers and
    static routes that run and are not saved, whoever's they were.
    """
    if live.running is None:
        return ()
    running = _lines(live.running)
    expected = _lines("\n".join(_configuration(intended, live.running)))
    names = {item.values["name"] for kind in _NAMED for item in intended.of_kind(kind)}
    ours = {str(item) for item in intended.items.values()} | {
        f"settings {model}" for model in intended.settings
    }
    saved = set(_saved(live))
    missing = [each for each in expected if each not in running]
    found = [
        subject
        for line in missing
        if (subject := _subject(line, names)) and not _MAXIMUM_PATHS.fullmatch(line[-1])
    ]
    for line in running:
        if line in expected or not (subject := _subject(line, names)):
            continue
        if subject in ours:
            found.append(subject)
        elif subject not in saved:
            found.append(f"{subject} still runs")
    return tuple(dict.fromkeys(found))


def pending_names(intended: Intended, live: Live) -> tuple[str, ...]:
    """Return which host overrides are saved and Unbound does not answer with yet.

    And which names it answers with under the domain of ours, that nothing saved makes: but for the
    router's own, and where it registers what it leases.
    """
    if live.names_served is None:
        return ()
    wanted = intended.of_kind(HOST_OVERRIDE)
    missing = [
        str(item)
        for item in wanted
        if item.values["enabled"] == "1"
        and (_host(item.values), item.values["server"]) not in live.names_served
    ]
    if live.registers_leases:
        return tuple(missing)
    own_address = intended.settings["bgp"].get("routerid")
    own = {_host(item.values) for item in wanted if item.values["server"] == own_address}
    made = {
        (_host(item.values), item.values["server"])
        for item in (*live.of_kind(HOST_OVERRIDE), *wanted)
    } | set(_aliases(live))
    domains = tuple({f".{item.values['domain']}" for item in wanted})
    surplus = {
        f"{name} ({address}) is still answered with"
        for name, address in live.names_served
        if name.lower().endswith(domains)
        and is_address(address)
        and name.lower() not in own
        and (name.lower(), address) not in made
    }
    return (*missing, *sorted(surplus))


_NAMED = (PREFIX_LIST, ROUTE_MAP)


def _host(values: Values) -> str:
    return f"{values['hostname']}.{values['domain']}".lower()


def _aliases(live: Live) -> Iterator[tuple[str, str]]:
    """Yield name and address of every alias; what it does not say is as its host override has."""
    for item in live.of_kind(HOST_ALIAS):
        if host := live.items.get(item.values["host"]):
            said = {name: item.values[name] or host.values[name] for name in ("hostname", "domain")}
            yield _host(said), host.values["server"]


def _lines(text: str) -> dict[Line, None]:
    """Return what FRR runs after ``text``, in a form that is the same in all its versions."""
    found: dict[Line, None] = {}
    place: list[str] = []
    for each in canonical(text):
        line = each.lstrip(" ")
        place[len(each) - len(line) :] = [_timers_as_they_run(line)]
        if not _DEFAULT_TIMERS.fullmatch(place[-1]):
            found[tuple(place)] = None
    return found


def _timers_as_they_run(line: str) -> str:
    """Return timers with no keepalive beyond a third of the hold time, whatever FRR prints.

    Source: peer_timers_set of bgpd; RFC 4271 §4.4 says so.
    """
    words = line.split(" ")
    if words[0] == "neighbor" and words[2:3] == ["timers"] and words[3] != "connect":
        keepalive, hold = words[3:5]
        return " ".join((*words[:3], str(min(int(keepalive), int(hold) // 3)), hold))
    return line


def _subject(line: Line, names: set[str]) -> str | None:
    """Return what a line belongs to, of what can be ours; ``names`` are lists' and maps'."""
    if re.fullmatch(r"router bgp \d+", line[0]):
        return _subject_of_bgp(line)
    words = line[0].split(" ")
    if words[0] == "route-map" and words[1] in names:
        return f"route map {words[1]}:{words[2]}"
    if words[1:2] == ["prefix-list"] and words[2] in names and words[3] == "seq":
        return f"prefix list {words[2]}:{words[4]}"
    if words[1:2] == ["route"] and words[0] in {"ip", "ipv6"}:
        return f"static route {' '.join(words[2:4])}"
    if line[0] == "bfd" and line[1:] and line[1].startswith("peer "):
        return f"BFD peer {line[1].split(' ')[1]}"
    return "settings general" if words[:2] == ["log", "syslog"] else None


def _subject_of_bgp(line: Line) -> str | None:
    words = line[-1].split(" ")
    if words[0] == "neighbor":
        is_known = is_address(words[1]) and words[2] in _ATTRIBUTES
        return f"neighbor {words[1]}" if is_known else None
    return "settings bgp" if len(line) == 1 or _SETTING.fullmatch(line[-1]) else None


def _saved(live: Live) -> Iterator[str]:
    """Yield the names of all that is saved and enabled, whoever's it is."""
    for item in live.items.values():
        values = item.values
        is_off = live.settings.get(item.kind.model, {}).get("enabled") == "0"
        if values.get("enabled", "1") != "1" or is_off:
            continue
        if item.kind == STATIC_ROUTE:
            via = values["gateway"] or values["interfacename"]
            yield f"static route {ip_network(values['network'], strict=False)} {via}"
        elif item.kind in {NEIGHBOR, BFD_PEER}:
            yield f"{item.kind} {ip_address(values['address'])}"
        else:
            yield str(item)


def _configuration(intended: Intended, running: str) -> Iterable[str]:
    """Yield frr.conf of what is intended, as far as that is told; a line may hold a secret.

    Whether a neighbor is active by default is os-frr's own affair, and taken over.
    """
    if general := intended.settings.get("general"):
        yield f"log syslog {general['sysloglevel']}"
    bgp = intended.settings["bgp"]
    neighbors = [item.values for item in intended.of_kind(NEIGHBOR)]
    yield f"router bgp {bgp['asnumber']}"
    yield from (line for line in map(str.strip, running.split("\n")) if _BY_DEFAULT.fullmatch(line))
    yield f" bgp router-id {bgp['routerid']}"
    if bgp["logneighborchanges"] == "1":
        yield " bgp log-neighbor-changes"
    for value in neighbors:
        yield from _neighbor(value)
    for family in ("ipv4", "ipv6"):
        yield f" address-family {family} unicast"
        yield f"  maximum-paths {bgp['maximumpaths']}"
        for value in neighbors if family == "ipv4" else ():
            yield from _in_family(value, intended)
        yield " exit-address-family"
    yield "exit"
    yield from _policies(intended)
    yield "bfd"
    for item in intended.of_kind(BFD_PEER):
        yield f" peer {item.values['address']}"
        for name in ("detect_multiplier", "receive_interval", "transmit_interval"):
            yield f"  {name.replace('_', '-')} {item.values[name]}"
    yield "exit"
    for item in intended.of_kind(STATIC_ROUTE):
        yield f"ip route {item.values['network']} {item.values['gateway']}"


def _neighbor(value: Values) -> Iterable[str]:
    start = f" neighbor {value['address']}"
    yield f"{start} remote-as {value['remoteas']}"
    yield f"{start} description {value['description']}"
    if value["password"]:
        yield f"{start} password {value['password']}"
    if value["bfd"] == "1":
        yield f"{start} bfd"
    yield f"{start} timers {value['keepalive'] or '60'} {value['holddown'] or '180'}"
    yield f"{start} timers connect {value['connecttimer'] or '120'}"


def _in_family(value: Values, intended: Intended) -> Iterable[str]:
    start = f"  neighbor {value['address']}"
    yield f"{start} activate"
    for name, direction in (("linkedRoutemapIn", "in"), ("linkedRoutemapOut", "out")):
        for uuid in filter(None, value[name].split(",")):
            yield f"{start} route-map {intended.items[uuid].values['name']} {direction}"


def _policies(intended: Intended) -> Iterable[str]:
    for item in intended.of_kind(PREFIX_LIST):
        value = item.values
        rule = f"seq {value['seqnumber']} {value['action']} {value['network']}"
        yield f"ip prefix-list {value['name']} {rule}"
    for item in intended.of_kind(ROUTE_MAP):
        value = item.values
        yield f"route-map {value['name']} {value['action']} {value['id']}"
        for uuid in filter(None, value["match2"].split(",")):
            yield f" match ip address prefix-list {intended.items[uuid].values['name']}"
        yield "exit"
