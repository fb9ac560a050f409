"""Live checks, judged on outputs as real daemons print them."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec
import pytest

from goldentooth import open_project
from goldentooth.check import Check, Output, State, judge_all
from goldentooth.facts import Bfd, StaticRoute
from goldentooth.model import Network
from goldentooth.services import all_services

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def network() -> Network:
    return open_project(ROOT / "config.yaml").network


def find(network: Network, wanted: str) -> Check:
    checks = {
        check.id: check
        for service in all_services()
        for node in service.hosts(network)
        for check in service.checks(network, node)
    }
    return checks[wanted]


def judge(
    check: Check, stdout: object, *, status: int = 0, stderr: bytes = b""
) -> tuple[State, str]:
    text = stdout if isinstance(stdout, str) else json.dumps(stdout)
    output = Output(text.encode(), stderr, status)
    (result,) = judge_all([("x", check)], dict.fromkeys(check.reads(), output))
    return result.outcome.state, result.outcome.seen


def test_every_check_has_its_own_id(network: Network) -> None:
    ids = [
        check.id
        for service in all_services()
        for node in service.hosts(network)
        for check in service.checks(network, node)
    ]
    assert len(ids) == len(set(ids))
    assert {"bgp.session[fenn]", "bgp.route[10.4.11.5/32]", "route.vip[allyrion]"} <= set(ids)
    assert {"haproxy.backend[dalt]", "haproxy.metrics[allyrion]"} <= set(ids)


def test_every_check_says_what_passes_and_what_fails(network: Network) -> None:
    kinds = {
        type(check)
        for service in all_services()
        for node in service.hosts(network)
        for check in service.checks(network, node)
    }
    for kind in kinds:
        assert "Passes:" in (kind.__doc__ or ""), kind
        assert "Fails:" in (kind.__doc__ or ""), kind


PEER = {"remoteAs": 64501, "state": "Established", "peerUptime": "00:01:02"}


@pytest.mark.parametrize(
    ("peers", "state"),
    [
        ({"10.4.0.15": PEER}, State.PASSED),
        ({"10.4.0.15": PEER | {"state": "Active"}}, State.FAILED),
        ({"10.4.0.15": PEER | {"remoteAs": 64999}}, State.FAILED),
        ({"10.4.0.16": PEER}, State.FAILED),
        ({}, State.FAILED),
    ],
)
def test_a_session_is_established_with_the_right_as(
    network: Network, peers: dict[str, object], state: State
) -> None:
    assert judge(find(network, "bgp.session[fenn]"), {"peers": peers})[0] is state


@pytest.mark.parametrize(
    "output", ["", "garbage", "[]", "null", '{"peers": 5}', '{"peers": {"10.4.0.15": {}}}']
)
def test_garbage_is_unknown_and_never_a_pass(network: Network, output: str) -> None:
    assert judge(find(network, "bgp.session[fenn]"), output)[0] is State.UNKNOWN


def test_a_command_that_is_not_there_is_unknown(network: Network) -> None:
    state, seen = judge(
        find(network, "bgp.session[fenn]"), "", status=127, stderr=b"sh: vtysh: not found\n"
    )
    assert state is State.UNKNOWN
    assert "vtysh: not found" in seen


def test_a_service_address_has_every_speaker_as_a_next_hop(network: Network) -> None:
    check = find(network, "bgp.route[10.4.11.5/32]")

    def seen(*addresses: str) -> tuple[State, str]:
        hops = [{"ip": address, "fib": True} for address in addresses]
        spare = {"ip": "10.4.0.99", "duplicate": True}
        return judge(check, {"10.4.11.5/32": [{"nexthops": [*hops, spare]}]})

    speakers = [str(node.address) for node in network.bgp_neighbors]
    assert seen(*speakers) == (State.PASSED, "12 next hops")
    assert seen(*speakers[1:]) == (State.FAILED, "11 next hops; missing: 10.4.0.11")
    assert seen(*speakers[1:], "6.6.6.6") == (
        State.FAILED,
        "12 next hops; not of speakers: 6.6.6.6",
    )
    assert judge(check, {})[0] is State.FAILED


@pytest.mark.parametrize("check", ["bgp.session[fenn]", "bgp.route[10.4.11.5/32]"])
def test_a_daemon_that_does_not_run_is_a_failure_and_not_unknown(
    network: Network, check: str
) -> None:
    said = b"Exiting: failed to connect to any daemons.\n"
    assert judge(find(network, check), "", status=1, stderr=said)[0] is State.FAILED


def test_a_leaked_pod_route_is_named(network: Network) -> None:
    check = find(network, "bgp.foreign")
    good = {"10.4.11.5/32": [], "10.4.15.7/32": []}
    assert judge(check, good)[0] is State.PASSED
    assert judge(check, good | {"192.168.66.0/24": []}) == (State.FAILED, "192.168.66.0/24")


ROUTE = {"dst": "10.4.11.0/24", "gateway": "10.4.0.1", "dev": "eth0"}


@pytest.mark.parametrize(
    ("routes", "state"),
    [
        ([ROUTE], State.PASSED),
        ([{"dst": "10.4.11.0/24", "dev": "eth0"}], State.FAILED),
        ([ROUTE | {"gateway": "10.4.0.2"}], State.FAILED),
        ([ROUTE | {"dev": "wlan0"}], State.FAILED),
        ([ROUTE, ROUTE | {"dev": "wlan0", "metric": 600}], State.FAILED),
        ([ROUTE | {"flags": ["dead", "linkdown"]}], State.FAILED),
        ([], State.FAILED),
    ],
)
def test_the_load_balancer_goes_through_the_router(
    network: Network, routes: list[object], state: State
) -> None:
    assert judge(find(network, "route.vip[allyrion]"), routes)[0] is state


@pytest.mark.parametrize(
    ("flags", "state"), [(["BROADCAST"], State.PASSED), (["UP"], State.FAILED)]
)
def test_the_wireless_interface_is_down(network: Network, flags: list[str], state: State) -> None:
    links = [{"ifname": "wlan0", "flags": flags}]
    assert judge(find(network, "interface.down[fenn]"), links)[0] is state


@pytest.mark.parametrize(
    ("metrics", "state"),
    [
        ('haproxy_server_status{proxy="control-planes",server="dalt",state="UP"} 1', State.PASSED),
        (
            'haproxy_server_status{proxy="control-planes",server="dalt",state="DOWN"} 1',
            State.FAILED,
        ),
        ('haproxy_server_status{proxy="control-planes",server="dalt",state="UP"} 0', State.FAILED),
        ('haproxy_server_status{proxy="x",server="dalt",state="UP"} 1', State.FAILED),
        ("", State.FAILED),
    ],
)
def test_a_backend_is_up_in_haproxys_own_words(
    network: Network, metrics: str, state: State
) -> None:
    assert judge(find(network, "haproxy.backend[dalt]"), metrics)[0] is state


@pytest.mark.parametrize(
    ("answer", "status", "state"),
    [("ok", 0, State.PASSED), ("bad", 0, State.FAILED), ("", 7, State.FAILED)],
)
def test_the_api_says_ok(network: Network, answer: str, status: int, state: State) -> None:
    assert judge(find(network, "api.endpoint[allyrion]"), answer, status=status)[0] is state


def test_a_sysctl_has_its_value(network: Network) -> None:
    check = find(network, "sysctl[fenn net.ipv4.ip_forward]")
    assert judge(check, "1\n")[0] is State.PASSED
    assert judge(check, "0\n")[0] is State.FAILED


@pytest.mark.parametrize(
    ("stdout", "stderr", "status", "state"),
    [
        ("address: 10.4.0.10\ngateway: 10.4.0.1\n", b"", 0, State.PASSED),
        ("address: 10.4.0.10\naddress: 10.4.0.10\n", b"", 0, State.FAILED),
        ("address: 10.4.0.99\n", b"", 0, State.FAILED),
        ("", b"ifquery: unknown interface eth0\n", 1, State.FAILED),
        ("", b"sh: 1: /sbin/ifquery: not found\n", 127, State.UNKNOWN),
    ],
)
def test_ifupdown_will_configure_the_interface_once(
    network: Network, stdout: str, stderr: bytes, status: int, state: State
) -> None:
    check = find(network, "interface.boot[allyrion]")
    assert judge(check, stdout, status=status, stderr=stderr)[0] is state


@pytest.mark.parametrize(
    ("status", "state"), [(0, State.PASSED), (1, State.FAILED), (2, State.UNKNOWN)]
)
def test_a_next_hop_answers_the_router(network: Network, status: int, state: State) -> None:
    assert judge(find(network, "bgp.nexthop[fenn]"), "", status=status)[0] is state


# -- BFD -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peers", "state", "seen"),
    [
        ([{"peer": "10.4.0.15", "status": "up"}], State.PASSED, "up"),
        ([{"peer": "10.4.0.15", "status": "down"}], State.FAILED, "down"),
        ([{"peer": "10.4.0.16", "status": "up"}], State.FAILED, "no BFD session"),
        ([], State.FAILED, "no BFD session"),
        ("bfdd is not running\n", State.FAILED, "bfdd does not run on the router"),
    ],
)
def test_a_bfd_session_is_up_or_it_is_not(
    network: Network, peers: object, state: State, seen: str
) -> None:
    bgp = msgspec.structs.replace(network.bgp, bfd=Bfd())
    check = find(replace(network, bgp=bgp), "bgp.bfd[fenn]")
    assert judge(check, peers) == (state, seen)


def test_without_bfd_in_the_facts_nobody_looks_for_it(network: Network) -> None:
    with pytest.raises(KeyError):
        find(network, "bgp.bfd[fenn]")


# -- a static route of the router ------------------------------------------------------------


@pytest.mark.parametrize(
    ("routes", "state", "seen"),
    [
        ([("10.4.0.40", True)], State.PASSED, "198.51.100.0/24 via 10.4.0.40"),
        ([("10.4.0.40", False)], State.FAILED, "it is not in use"),
        ([("10.4.0.41", True)], State.FAILED, "198.51.100.0/24 via 10.4.0.41"),
        (
            [("10.4.0.40", True), ("10.4.0.41", True)],
            State.FAILED,
            "198.51.100.0/24 via 10.4.0.40, 10.4.0.41",
        ),
        ([], State.FAILED, "it is not in use"),
    ],
)
def test_a_static_route_goes_through_its_next_hop(
    network: Network, routes: list[tuple[str, bool]], state: State, seen: str
) -> None:
    route = StaticRoute(to=IPv4Network("198.51.100.0/24"), via=IPv4Address("10.4.0.40"))
    facts = msgspec.structs.replace(network.router.facts, static_routes=(route,))
    nodes = {**network.nodes, "router": replace(network.router, facts=facts)}
    check = find(replace(network, nodes=nodes), "opnsense.route[router 198.51.100.0/24]")
    hops = [{"ip": hop, "fib": is_used} for hop, is_used in routes]
    table = {"198.51.100.0/24": [{"selected": True, "nexthops": hops}]} if hops else {}
    assert judge(check, table) == (state, seen)
