"""The OPNsense router's live state through its API alone: sshd does not run on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from goldentooth.model import Network
from goldentooth.twin import Twin
from tests.twin.conftest import PROJECT
from tests.twin.test_opnsense import wait_for

pytestmark = pytest.mark.root

_GATHER = """
import json, sys
from goldentooth import open_project
from tasks.read import read_commands

lines = sys.argv[2:]
found = read_commands(open_project(sys.argv[1]), {"router": lines})["router"]
print(json.dumps([found[line].text for line in lines]))
"""


@pytest.fixture
def alone(twin: Twin) -> Iterator[Twin]:
    """The twin, whose router does not let anybody in over SSH."""
    twin.exec("router", ["systemctl", "stop", "ssh.socket", "ssh.service"])
    assert twin.run(["ssh", "-o", "ConnectTimeout=2", "router", "true"]).returncode == 255
    yield twin
    twin.exec("router", ["systemctl", "start", "ssh.service"])


def run(twin: Twin, *arguments: str) -> tuple[int, Any]:
    command = [sys.executable, "-m", "runbooks", *arguments, "--format", "json"]
    done = twin.run(command, cwd=PROJECT)
    assert done.stdout, done.stderr.decode()
    return done.returncode, json.loads(done.stdout)


def failed(twin: Twin) -> dict[str, str]:
    checks = run(twin, "verify", "--service", "frr")[1]["checks"]
    return {each["id"]: each["seen"] for each in checks if each["state"] != "passed"}


def test_every_check_of_the_router_passes(alone: Twin, network: Network) -> None:
    status, report = run(alone, "verify", "--napalm")
    assert status == 0, report
    on_router = {check["kind"] for check in report["checks"] if check["host"] == "router"}
    assert on_router == {
        *("bgp.session", "bgp.nexthop", "bgp.route", "bgp.foreign"),
        *("napalm.get_bgp_neighbors", "napalm.get_route_to"),
    }
    assert report["counts"]["passed"] > 2 * len(network.bgp_neighbors)
    assert alone.exec("router", ["pgrep", "-x", "ping"]).returncode == 1, "no ping job is left"


def test_the_api_says_what_vtysh_says(alone: Twin) -> None:
    shows = (
        *("show bgp ipv4 unicast summary json", "show bgp neighbors json"),
        *("show ip route json", "show ip route bgp json", "show running-config"),
    )
    script = [sys.executable, "-c", _GATHER, str(PROJECT / "config.yaml")]
    lines = [f"vtysh -c '{show}'" for show in shows]
    done = alone.run([*script, *lines], cwd=PROJECT)
    told = dict(zip(shows, json.loads(done.stdout), strict=True))

    for show in shows:
        there = alone.exec("router", ["vtysh", "-c", show]).stdout.decode()
        if show == "show running-config":
            assert told[show] == there
        else:
            assert meaning(json.loads(told[show])) == meaning(json.loads(there)), show


_PASSING = ("uptime", "msec", "epoch", "time", "msg", "timer", "total", "stats", "memory")
"""What changes from one look to the next."""


def meaning(value: Any) -> Any:
    """Return JSON without what passes, and with PHP's empty object as an object."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not any(w in k.lower() for w in _PASSING)}
        return {key: meaning(inner) for key, inner in kept.items()}
    if isinstance(value, list):
        return [meaning(inner) for inner in value] or {}
    return value


def test_a_dead_node_does_not_answer_the_router_s_ping(alone: Twin) -> None:
    alone.break_("link", "fenn")
    assert wait_for(lambda: "bgp.nexthop[fenn]" in failed(alone))
    assert failed(alone)["bgp.nexthop[fenn]"] == "no answer within 1 s"


def test_a_stopped_frr_is_a_failure_of_every_session(alone: Twin, network: Network) -> None:
    alone.break_("stop", "router", unit="frr.service")
    seen = failed(alone)
    for node in network.bgp_neighbors:
        assert f"bgp.session[{node.name}]" in seen
    assert seen["bgp.route[10.4.11.5/32]"] == "zebra does not run on the router"


def test_sessions_and_routes_are_shown_live(alone: Twin, network: Network) -> None:
    status, bgp = run(alone, "show", "bgp", "--live")
    assert (status, {row["session"] for row in bgp["neighbors"]}) == (0, {"up"})
    assert {row["accepted"] for row in bgp["neighbors"]} == {1}
    status, routes = run(alone, "show", "routes", "--live")
    (learned,) = routes["learned"]
    assert status == 0
    live = {row["host"]: row["live"] for row in routes["routes"]}
    assert (live["allyrion"], live["fenn"]) == (["via 10.4.0.1"], ["dev eth0"])
    assert sorted(learned["next_hops"]) == sorted(node.name for node in network.bgp_neighbors)


def test_the_router_is_discovered(alone: Twin, network: Network) -> None:
    status, report = run(alone, "discover", "--host", "router")
    (host,) = report["hosts"]
    assert (status, host["mismatches"], host["failure"]) == (0, [], "")
    assert host["seen"]["interface"] == network.router.interface
    assert host["seen"]["mac"] == "02:00:0a:04:00:01"
    assert host["seen"]["versions"] == {"opnsense": "26.1", "os-frr": "1.54"}
