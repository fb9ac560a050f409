"""The router behind the interface of every host: what its API answers, and what it refuses.

What FRR says is recorded from FRR 8.4; the API in front of it is the simulator, over real TLS.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldentooth.check import Output
from goldentooth.errors import TransportError, UnreachableError
from goldentooth.transports import File, opnsense
from goldentooth.transports.bounds import Bounds
from goldentooth.transports.diagnostics import DiagnosticsTransport, OpnsenseConnection
from goldentooth.transports.opnsense import WrongRouterError
from tests.opnsense_router import KEY, LIMITED, QUICK, SECRET, SimulatedRouter

SUMMARY = "vtysh -c 'show bgp ipv4 unicast summary json'"
LEARNED = "vtysh -c 'show ip route bgp json'"
ROUTES = "vtysh -c 'show ip route json'"

FAMILY = {
    "routerId": "10.4.0.1",
    "as": 64500,
    "peers": {"10.4.0.11": {"state": "Established", "remoteAs": 64501, "peerUptime": "00:01:00"}},
}
HOPS = [
    {"fib": True, "ip": f"10.4.0.{n}", "afi": "ipv4", "interfaceName": "eth0", "active": True}
    for n in (11, 12)
]
LINK = {"fib": True, "directlyConnected": True, "interfaceName": "eth0", "active": True}
TABLE = {
    "10.4.11.5/32": [
        {"prefix": "10.4.11.5/32", "protocol": "bgp", "selected": True, "nexthops": HOPS}
    ],
    "10.4.0.0/20": [
        {"prefix": "10.4.0.0/20", "protocol": "connected", "selected": True, "nexthops": [LINK]}
    ],
}
PATH = {"valid": True, "network": "10.4.11.5/32", "peerId": "10.4.0.11", "path": "64501"}
BGP = {
    "routerId": "10.4.0.1",
    "localAS": 64500,
    "routes": {
        "10.4.11.5/32": [
            {**PATH, "bestpath": True, "nexthops": [{"ip": "10.4.0.11", "used": True}]},
            {**PATH, "peerId": "10.4.0.12", "nexthops": [{"ip": "10.4.0.12"}]},
        ]
    },
}


@pytest.fixture
def router(tmp_path: Path) -> Iterator[SimulatedRouter]:
    router = SimulatedRouter(tmp_path)
    router.routing.running = "Current configuration:\n!\nrouter bgp 64500 & more\nend\n"
    router.routing.shown = {
        "bgp summary": {"ipv4Unicast": FAMILY},
        "bgp neighbors": {"10.4.0.11": {"remoteAs": 64501}},
        "ip route": TABLE,
        "bgp ipv4": BGP,
        "bfd peers": [{"peer": "10.4.0.11", "status": "up"}],
    }
    yield router
    router.stop()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opnsense, "BACKOFF_SECONDS", 0.001)


def gather(router: SimulatedRouter, *lines: str, **changes: Any) -> tuple[Output, ...]:
    bounds = changes.get("bounds", QUICK)
    with router.transport(**changes) as api:
        return DiagnosticsTransport(api, bounds).gather(lines)


def shown(router: SimulatedRouter, command: str) -> Any:
    (output,) = gather(router, f"vtysh -c '{command}'")
    assert output.status == 0, output
    return json.loads(output.stdout)


# -- what is answered ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("show bgp ipv4 unicast summary json", FAMILY),
        ("show bgp vrf all summary json", {"default": {"ipv4Unicast": FAMILY}}),
        ("show bgp vrfs json", {"vrfs": {"default": {"routerId": "10.4.0.1"}}}),
        ("show bgp neighbors json", {"10.4.0.11": {"remoteAs": 64501}}),
        ("show bgp vrf all neighbors json", {"default": {"10.4.0.11": {"remoteAs": 64501}}}),
        ("show ip route json", TABLE),
        ("show ip route vrf all json", TABLE),
        ("show ip route bgp json", {"10.4.11.5/32": TABLE["10.4.11.5/32"]}),
        ("show ip route vrf all 10.4.0.0/20 json", {"10.4.0.0/20": TABLE["10.4.0.0/20"]}),
        ("show bfd peers json", [{"peer": "10.4.0.11", "status": "up"}]),
    ],
)
def test_a_show_command_is_answered_as_vtysh_does(
    router: SimulatedRouter, command: str, expected: Any
) -> None:
    assert shown(router, command) == expected


def test_paths_are_told_with_what_a_row_has_of_them(router: SimulatedRouter) -> None:
    best, other = shown(router, "show bgp vrf default ipv4 unicast 10.4.11.5/32 json")["paths"]
    assert best["nexthops"] == [{"ip": "10.4.0.11", "used": True}]
    assert (best["bestpath"], best["aspath"]) == ({"overall": True}, {"string": "64501"})
    assert (other["bestpath"], other["nexthops"][0]["used"]) == ({"overall": False}, False)


def test_a_table_of_more_than_a_page_is_whole(router: SimulatedRouter) -> None:
    route = TABLE["10.4.11.5/32"][0]
    many = {f"10.{n >> 8}.{n & 255}.0/24": [route | {"prefix": str(n)}] for n in range(5100)}
    router.routing.shown["ip route"] = many
    assert len(shown(router, "show ip route bgp json")) == 5100


def test_the_running_configuration_is_text_again(router: SimulatedRouter) -> None:
    whole, bare = gather(
        router, "vtysh -c 'show running-config'", "vtysh -c 'show running-config no-header'"
    )
    assert whole.text == router.routing.running
    assert bare.text == "!\nrouter bgp 64500 & more\nend\n"


def test_what_several_commands_want_is_asked_once(
    router: SimulatedRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answer = router.simulator.answer

    def counted(request: Any) -> Any:
        asked.append(request.path)
        return answer(request)

    monkeypatch.setattr(router.simulator, "answer", counted)
    gather(router, LEARNED, ROUTES, SUMMARY, "vtysh -c 'show bgp vrfs json'")
    assert [path.rpartition("/")[2] for path in asked if path.startswith("quagga/")] == [
        "search_generalroute4",
        "bgpsummary",
    ]


def test_what_it_is_called_is_read_under_its_own_name(router: SimulatedRouter) -> None:
    (output,) = gather(router, "@api diagnostics/system/systemInformation")
    assert json.loads(output.stdout)["name"] == router.host_name


# -- ping ------------------------------------------------------------------------------------


def test_who_answers_a_ping_and_who_does_not_is_told_apart(router: SimulatedRouter) -> None:
    answers, silent = gather(router, "ping -n -c 1 -W 1 127.0.0.1", "ping -n -c 1 -W 1 192.0.2.254")
    assert (answers.status, silent.status) == (0, 1)
    assert router.ask("GET", "diagnostics/ping/searchJobs")[1]["rows"] == []


def test_a_job_that_a_dead_run_has_left_is_removed(
    router: SimulatedRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = router.simulator.api.box
    box.add_job("left", {"hostname": "127.0.0.1", "description": "goldentooth-net live check"})
    box.add_job("other", {"hostname": "127.0.0.1", "description": "somebody's"})
    jobs = box.jobs

    def old() -> list[dict[str, Any]]:
        return [{**job, "send": job["send"] or 3600} for job in jobs()]

    monkeypatch.setattr(box, "jobs", old)
    gather(router, "ping -n -c 1 -W 1 127.0.0.1")
    assert [job["id"] for job in jobs()] == ["other"]


# -- what is not answered --------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "vtysh -c 'clear bgp *'",
        "vtysh -c 'show ip route json' ; reboot",
        "reboot",
        "vtysh -c 'show",
        "@api core/system/reboot",
        "@api quagga/bgp/delNeighbor/1",
    ],
)
def test_what_the_api_has_no_answer_to_is_refused(router: SimulatedRouter, line: str) -> None:
    (output,) = gather(router, line)
    assert output.is_refused
    assert f"has no answer to `{line}`" in output.complaint


def test_files_are_refused(router: SimulatedRouter) -> None:
    with router.transport() as api:
        transport = DiagnosticsTransport(api, QUICK)
        with pytest.raises(TransportError, match="no file can be written"):
            transport.write([File("/etc/frr/frr.conf", b"")])
        with pytest.raises(TransportError, match="no file can be read"):
            transport.read(["/etc/frr/frr.conf"])


@pytest.mark.parametrize("line", [LEARNED, ROUTES])
def test_an_empty_table_is_an_frr_that_does_not_answer(router: SimulatedRouter, line: str) -> None:
    router.routing.shown = {}
    (output,) = gather(router, line)
    assert output.status == 1
    assert "failed to connect to any daemons" in output.complaint


def test_a_router_without_bgp_has_no_sessions(router: SimulatedRouter) -> None:
    router.routing.shown = {}
    assert shown(router, "show bgp ipv4 unicast summary json") == {}


def test_what_the_key_may_not_ask_is_refused_and_the_rest_is_answered(
    router: SimulatedRouter,
) -> None:
    router.break_(denied=["quagga/diagnostics/bgp", "diagnostics/ping"])
    sessions, routes, ping = gather(router, SUMMARY, LEARNED, "ping -n -c 1 -W 1 127.0.0.1")
    assert sessions.is_refused
    assert "may not use quagga/diagnostics/bgpsummary" in sessions.complaint
    assert routes.status == 0
    assert (ping.is_refused, "may not use" in ping.complaint) == (True, True)


def test_a_router_without_the_plugin_says_so(router: SimulatedRouter) -> None:
    router.break_(missing=True)
    (output,) = gather(router, SUMMARY)
    assert (output.is_refused, "os-frr is not installed" in output.complaint) == (True, True)


def test_a_slow_answer_costs_only_itself(router: SimulatedRouter) -> None:
    bounds = Bounds(connect_seconds=1, command_seconds=0.3, host_seconds=1)
    with router.transport(bounds=bounds) as api:
        api.make_sure()
        router.break_(slow=0.6)
        sessions, ping = DiagnosticsTransport(api, bounds).gather(
            [SUMMARY, "ping -n -c 1 -W 1 127.0.0.1"]
        )
    router.heal()
    assert (sessions.is_late, ping.is_late) == (True, True)


def test_another_box_is_not_looked_at(router: SimulatedRouter) -> None:
    with pytest.raises(WrongRouterError, match="calls itself router"):
        gather(router, SUMMARY, host_name="firewall")


def test_a_box_of_another_hardware_address_is_not_looked_at(router: SimulatedRouter) -> None:
    with pytest.raises(WrongRouterError, match="no interface with 02:00:00:00:00:01"):
        gather(router, SUMMARY, mac="02:00:00:00:00:01")


def test_the_box_of_the_hardware_address_is_the_right_one(router: SimulatedRouter) -> None:
    (output,) = gather(router, SUMMARY, mac="00:00:00:00:00:00")
    assert output.status == 0


def test_nobody_there_is_unreachable(router: SimulatedRouter) -> None:
    router.stop()
    with pytest.raises(UnreachableError):
        gather(router, SUMMARY)


# -- as Nornir opens it ----------------------------------------------------------------------


def _open(router: SimulatedRouter, **changes: Any) -> OpnsenseConnection:
    connection = OpnsenseConnection()
    extras = {
        "url": router.url,
        "key": "${env:KEY}",
        "secret": "${env:SECRET}",
        "ca": str(router.authority.certificate),
        "host_name": "router",
    }
    connection.open(None, None, None, None, None, extras | changes)
    return connection


def test_the_connection_takes_secrets_by_reference(
    router: SimulatedRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", KEY)
    monkeypatch.setenv("SECRET", SECRET)
    connection = _open(router, command_seconds=5.0)
    (output,) = connection.connection.run([SUMMARY])
    assert output.status == 0
    assert connection.connection.bounds.command_seconds == 5
    assert "canary" not in repr(connection.connection)
    connection.close()


def test_a_secret_that_is_not_there_is_named(
    router: SimulatedRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KEY", raising=False)
    with pytest.raises(TransportError, match=r"\$\{env:KEY\}"):
        _open(router)


def test_the_key_of_a_limited_user_is_told_what_it_may_not(router: SimulatedRouter) -> None:
    sessions, _ = gather(router, SUMMARY, ROUTES, key=LIMITED)
    assert (sessions.is_refused, "may not use" in sessions.complaint) == (True, True)
