"""The router as an OPNsense box and as Linux: of the same facts the same FRR and the same routes.

Both run at the same time, each on a twin of its own. What differs is compared as FRR itself gives
it back; the differences that are known stand in ``KNOWN``, each with its reason.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from goldentooth.compare import frr
from goldentooth.opnsense import Intended, Live, intended_state, with_secrets
from goldentooth.opnsense.running import pending_routing
from goldentooth.twin import Twin, remove_twin
from tests.namespaces import eventually
from tests.sites import Site
from tests.twin.router_drill import HOSTS, write_hosts
from tests.twin.test_opnsense import kernel_routes, running_sessions, sessions

pytestmark = pytest.mark.root

PLATFORMS = ("opnsense", "linux")
FACTS: Mapping[str, Mapping[str, str]] = {
    "as shipped": {},
    "with everything": {
        "password": "${env:BGP_PASSWORD}",
        "maximum_prefix": "0",
        "accept_prefixes": "[10.4.11.0/24, 10.4.12.0/30, 10.4.13.7/32]",
        "bfd": "{transmit_interval: 400, receive_interval: 350, detect_multiplier: 4}",
    },
}

STATIC = {"to": "198.51.100.0/24", "via": "10.4.0.11"}
"""A route that the facts state for the router."""

KNOWN: Mapping[str, Mapping[str, str]] = {
    "opnsense": {
        "router bgp 64500 / no bgp ebgp-requires-policy": (
            "os-frr always writes it; every neighbor has a route map in and out, so nothing"
            " passes that would not pass otherwise"
        ),
        "router bgp 64500 / address-family ipv6 unicast": "os-frr always opens it; nobody is in it",
        "router bgp 64500 / address-family ipv6 unicast / maximum-paths 64": "as above",
        "ip route 198.51.100.0/24 10.4.0.11": "on Linux ifupdown sets it, past FRR",
        "bfd / peer ADDRESS": "os-frr has no profiles: every peer carries its own intervals",
        "bfd / peer ADDRESS / detect-multiplier 4": "as above",
        "bfd / peer ADDRESS / receive-interval 350": "as above",
        "bfd / peer ADDRESS / transmit-interval 400": "as above",
    },
    "linux": {
        "router bgp 64500 / address-family ipv4 unicast / neighbor ADDRESS maximum-prefix 1279"
        " restart 5": "os-frr has no such setting (docs/opnsense.md: What cannot be had)",
        "bfd / profile CLUSTER": "the peers' intervals, once for all",
        "bfd / profile CLUSTER / detect-multiplier 4": "as above",
        "bfd / profile CLUSTER / receive-interval 350": "as above",
        "bfd / profile CLUSTER / transmit-interval 400": "as above",
        "router bgp 64500 / neighbor ADDRESS bfd profile CLUSTER": "as above",
    },
}
"""By platform, what only its FRR runs: blocks and line, ADDRESS for a neighbor's; and why."""


@dataclass(frozen=True)
class Pair:
    """The same facts on both platforms."""

    twins: Mapping[str, Twin]
    intended: Intended
    neighbors: tuple[str, ...]
    has_bfd: bool

    def both(self, look: Callable[[Twin], Any]) -> tuple[Any, Any]:
        opnsense, linux = (look(self.twins[platform]) for platform in PLATFORMS)
        return opnsense, linux


@pytest.fixture(scope="module", params=FACTS)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    twins: dict[str, Twin] = {}
    neighbors: tuple[str, ...] = ()
    try:
        for platform in PLATFORMS:
            site = Site(tmp_path_factory.mktemp(platform) / "site")
            write_hosts(site, HOSTS, router={"static_routes": [STATIC]})
            site.edit("inventory/groups.yaml", "platform: opnsense", f"platform: {platform}")
            for fact, value in FACTS[request.param].items():
                site.add_fact("bgp", f"{fact}: {value}")
            project = site.project()
            assert not project.render().has_failed
            name = f"{platform}{os.getpid()}"
            twins[platform] = Twin.up(project.network, site.build, name=name)
            neighbors = tuple(str(node.address) for node in project.network.bgp_neighbors)
            if platform == "opnsense":
                intended = intended_state(project.network)
        yield Pair(twins, intended, neighbors, "bfd" in FACTS[request.param])
    finally:
        for platform in PLATFORMS:
            remove_twin(f"{platform}{os.getpid()}")


def test_the_running_configurations_mean_the_same(pair: Pair) -> None:
    opnsense, linux = pair.both(lambda twin: lines_of(show(twin, "show running-config")))
    assert opnsense - linux - known("opnsense", pair) == set()
    assert linux - opnsense - known("linux", pair) == set()
    assert len(opnsense & linux) > 8 * len(pair.neighbors), "there is something to compare"


def test_every_known_difference_is_one(pair: Pair) -> None:
    """What no longer differs has no place in the table."""
    opnsense, linux = pair.both(lambda twin: lines_of(show(twin, "show running-config")))
    if pair.has_bfd:
        assert known("opnsense", pair) - opnsense == set()
    else:
        assert {line for line in known("opnsense", pair) - opnsense if "bfd" not in line} == set()
    missing = known("linux", pair) - linux
    assert {line for line in missing if ("bfd" in line) == pair.has_bfd and "bfd" in line} == set()
    if not pair.has_bfd:
        assert {line for line in missing if "bfd" not in line} == set()


def test_what_frr_runs_is_what_was_intended_to_the_line(pair: Pair) -> None:
    running = show(pair.twins["opnsense"], "show running-config")
    password = re.search(r"password (\S+)", running)
    intended = with_secrets(pair.intended, lambda _: password[1] if password else "")
    live = Live(intended.settings, intended.items, running=running)
    assert pending_routing(intended, live) == ()


def test_every_session_is_the_same(pair: Pair) -> None:
    opnsense, linux = pair.both(running_sessions)
    assert set(opnsense) == set(pair.neighbors)
    assert opnsense == linux
    established = set(pair.both(lambda twin: frozenset(sessions(twin).values())))
    assert established == {frozenset({"Established"})}


def test_every_route_is_the_same(pair: Pair) -> None:
    assert eventually(lambda: len(set(map(str, pair.both(kernel_routes)))) == 1)
    kernel, _ = pair.both(kernel_routes)
    assert kernel[0][0] == "10.4.11.5"
    opnsense, linux = pair.both(routes)
    assert opnsense == linux
    assert opnsense[STATIC["to"]] == [("stated", [(STATIC["via"], "eth0")])]


def test_bfd_is_the_same_on_both_sides(pair: Pair) -> None:
    if not pair.has_bfd:
        for twin in pair.twins.values():
            assert "bfdd is not running" in show(twin, "show bfd peers json")
        return
    assert eventually(lambda: {each["status"] for each in bfd(pair, "linux")} == {"up"})
    assert eventually(lambda: {each["status"] for each in bfd(pair, "opnsense")} == {"up"})
    timing = ("peer", "detect-multiplier", "transmit-interval", "receive-interval")
    opnsense, linux = (
        sorted(tuple(each[name] for name in timing) for each in bfd(pair, platform))
        for platform in PLATFORMS
    )
    assert opnsense == linux == sorted((each, 4, 400, 350) for each in pair.neighbors)


def test_a_node_that_dies_is_noticed_by_bfd_and_not_by_the_hold_time(pair: Pair) -> None:
    """Its hold time is 180 s."""
    if not pair.has_bfd:
        return
    for twin in pair.twins.values():
        twin.break_("link", "harlton")
        assert eventually(lambda twin=twin: sessions(twin)["10.4.0.17"] != "Established", 15)
        reset = json.loads(show(twin, "show bgp neighbors 10.4.0.17 json"))["10.4.0.17"]
        assert reset["lastNotificationReason"] == "Cease/BFD Down"
        twin.heal(timeout=120)


def bfd(pair: Pair, platform: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(show(pair.twins[platform], "show bfd peers json"))
    return found


def show(twin: Twin, command: str) -> str:
    done = twin.exec("router", ["vtysh", "-c", command])
    return (done.stdout + done.stderr).decode()


def routes(twin: Twin) -> dict[str, list[Any]]:
    """Return zebra's routes as far as they say where packets go.

    Whether a stated route came from FRR or past it is its protocol, and its distance.
    """

    def made(prefix: str, route: Mapping[str, Any]) -> list[Any]:
        if prefix == STATIC["to"]:
            return ["stated"]
        return [route[key] for key in ("protocol", "distance", "metric") if key in route]

    return {
        prefix: [
            (
                *made(prefix, route),
                sorted((hop.get("ip", ""), hop["interfaceName"]) for hop in route["nexthops"]),
            )
            for route in found
        ]
        for prefix, found in json.loads(show(twin, "show ip route json")).items()
    }


def lines_of(running: str) -> set[str]:
    """Return the lines of a running configuration, each with its blocks; no peer group is left.

    A member has its group's lines for its own.
    """
    lines: list[tuple[str, ...]] = []
    block: list[str] = []
    for line in frr.canonical(running.partition("Current configuration:\n")[2]):
        depth = len(line) - len(line.lstrip())
        block = [*block[:depth], line.strip()]
        lines.append(tuple(block))
    members = [each[-1].split() for each in lines if len(each[-1].split()) == 4]
    groups: dict[str, list[str]] = {}
    for words in members:
        if words[0] == "neighbor" and words[2] == "peer-group":
            groups.setdefault(words[3], []).append(words[1])
    found = set()
    for each in lines:
        words = each[-1].split()
        if words[0] != "neighbor" or "peer-group" in words:
            if "peer-group" not in words:
                found.add(" / ".join(each))
            continue
        for name in groups.get(words[1], [words[1]]):
            found.add(" / ".join((*each[:-1], " ".join((words[0], name, *words[2:])))))
    return found


def known(platform: str, pair: Pair) -> set[str]:
    return {
        line.replace("ADDRESS", address) for line in KNOWN[platform] for address in pair.neighbors
    }
