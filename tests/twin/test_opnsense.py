"""The OPNsense router on the twin: API, simulator and real FRR together, end to end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldentooth.model import Network
from goldentooth.opnsense import intended_state
from goldentooth.opnsense.models import NEIGHBOR
from goldentooth.opnsense.state import own_uuid
from goldentooth.twin import Twin, remove_twin
from goldentooth.twin.opnsense import set_faults
from goldentooth.twin.stand_in_secrets import api_credentials

pytestmark = pytest.mark.root

_RUN = """
import json, sys
from pathlib import Path
from goldentooth import open_project
from goldentooth.opnsense import Backup, intended_state, plan
from goldentooth.secrets import Secrets
from goldentooth.transports.opnsense import OpnsenseTransport
from goldentooth.errors import GoldentoothError

verb, config, *hosts = sys.argv[1:]
project = open_project(config)
network = project.network.only(hosts) if hosts else project.network
try:
    with OpnsenseTransport.to_router(network, Secrets(project.folder), project.folder) as router:
        intended = intended_state(network)
        drawn = plan(intended, router.observe())
        answer = {"plan": drawn.as_dict(), "lines": drawn.lines()}
        if verb == "apply":
            result = router.apply(drawn, intended)
            answer |= {"live": result.is_live, "error": result.error and str(result.error)}
            answer["made"] = [str(change) for change in result.made]
            left = plan(intended, router.observe())
            answer["left"] = left.as_dict()
            answer["backup"] = result.backup.as_dict()
        print(json.dumps(answer))
except GoldentoothError as error:
    print(json.dumps({"refused": str(error)}))
"""
Act = Callable[..., Any]


@pytest.fixture(scope="module")
def bare(network: Network, artifacts: Path) -> Iterator[Twin]:
    """A bare twin: an OPNsense router with nothing saved, and FRR without a line."""
    name = "opnsensebare"
    remove_twin(name)
    try:
        yield Twin.up(network, artifacts, name=name, bare=True)
    finally:
        remove_twin(name)


def operate(twin: Twin, config: Path) -> Act:
    """Return a function that works with the router from the operator's machine."""

    def act(verb: str, *hosts: str) -> Any:
        done = twin.run([sys.executable, "-c", _RUN, verb, str(config), *hosts], cwd=config.parent)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    return act


@pytest.fixture
def config() -> Path:
    return Path(__file__).parents[2] / "config.yaml"


def sessions(twin: Twin) -> dict[str, str]:
    done = twin.exec("router", ["vtysh", "-c", "show bgp ipv4 unicast summary json"])
    peers = json.loads(done.stdout or b"{}").get("peers", {})
    return {address: peer["state"] for address, peer in peers.items()}


def wait_for(truth: Callable[[], bool], *, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not truth():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.3)
    return True


def curl(twin: Twin, network: Network, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Ask the API by hand, from the operator's machine."""
    key, secret = api_credentials(network).values()
    router = twin.machine("router").record.address
    argv = ["curl", "--silent", "--cacert", "/run/home/ca.crt", "--user", f"{key}:{secret}"]
    argv += ["--write-out", "\n%{http_code}", "--request", method]
    if body is not None:
        argv += ["--header", "Content-Type: application/json", "--data", json.dumps(body)]
    done: subprocess.CompletedProcess[bytes] = twin.run([*argv, f"https://{router}/api/{path}"])
    text, _, status = done.stdout.decode().rpartition("\n")
    return int(status), json.loads(text or "null")


def test_the_twin_begins_as_if_the_facts_had_been_applied(
    twin: Twin, network: Network, config: Path
) -> None:
    answer = operate(twin, config)("plan")
    assert answer["plan"]["changes"] == []
    assert answer["plan"]["pending"] == []
    assert answer["plan"]["calls"] == []
    assert list(sessions(twin).values()) == ["Established"] * len(network.bgp_neighbors)


def test_a_hand_edit_is_named_and_put_right(twin: Twin, network: Network, config: Path) -> None:
    act = operate(twin, config)
    uuid = own_uuid(intended_state(network).mark, NEIGHBOR, "10.4.0.15")
    edit = {"neighbor": {"remoteas": "65000"}}
    assert curl(twin, network, "POST", f"quagga/bgp/setNeighbor/{uuid}", edit) == (
        200,
        {"result": "saved"},
    )
    (change,) = act("plan")["plan"]["changes"]
    assert (change["kind"], change["name"]) == ("neighbor", "10.4.0.15")
    (field,) = change["fields"]
    assert (field["field"], field["before"], field["after"]) == ("remoteas", "65000", "64501")
    assert "bgp.cluster_asn" in field["fact"]
    assert sessions(twin)["10.4.0.15"] == "Established", "an edit is not live by itself"
    applied = act("apply")
    assert (applied["live"], applied["left"]["calls"]) == (True, [])


@pytest.mark.parametrize(
    ("address", "edits"),
    [
        (None, ({"maximumpaths": "1", "graceful": "1"}, {"maximumpaths": "64", "graceful": "0"})),
        (
            "10.4.0.11",
            ({"password": "handmade", "localip": "10.4.0.1"}, {"password": "", "localip": ""}),
        ),
        (
            "10.4.0.12",
            ({"multiprotocol": "1", "weight": "5"}, {"multiprotocol": "0", "weight": ""}),
        ),
    ],
)
def test_an_edit_taken_back_without_a_reconfigure_still_runs_and_is_found(
    twin: Twin, network: Network, config: Path, address: str | None, edits: tuple[Any, Any]
) -> None:
    act = operate(twin, config)
    path, key, name = "quagga/bgp/set", "bgp", "settings bgp"
    if address:
        uuid = own_uuid(intended_state(network).mark, NEIGHBOR, address)
        path, key, name = f"quagga/bgp/setNeighbor/{uuid}", "neighbor", f"neighbor {address}"
    assert curl(twin, network, "POST", path, {key: edits[0]}) == (200, {"result": "saved"})
    curl(twin, network, "POST", "quagga/service/reconfigure", {})
    assert curl(twin, network, "POST", path, {key: edits[1]}) == (200, {"result": "saved"})
    drawn = act("plan")["plan"]
    assert (drawn["changes"], drawn["pending"]) == ([], [name])
    applied = act("apply")
    assert (applied["error"], applied["live"], applied["left"]["calls"]) == (None, True, [])


def test_the_api_is_only_told_the_key_behind_a_good_certificate(twin: Twin, config: Path) -> None:
    set_faults(twin.machine("router"), {"expired": True})
    try:
        assert "certificate has expired" in operate(twin, config)("plan")["refused"]
    finally:
        set_faults(twin.machine("router"), None)


def test_an_empty_router_is_filled_and_peers_with_every_node(
    bare: Twin, network: Network, config: Path
) -> None:
    act = operate(bare, config)
    assert sessions(bare) == {}
    answer = act("apply")
    assert answer["error"] is None
    assert answer["live"]
    assert answer["left"]["calls"] == []
    assert set(sessions(bare)) == {str(node.address) for node in network.bgp_neighbors}
    uptime = 'vtysh -c "show bgp ipv4 unicast summary"'
    established = ["Established"] * len(network.bgp_neighbors)
    assert wait_for(lambda: list(sessions(bare).values()) == established), bare.exec(
        "router", ["sh", "-c", uptime]
    ).stdout.decode()


def test_a_removed_node_closes_its_session_and_no_other(
    bare: Twin, network: Network, config: Path
) -> None:
    act = operate(bare, config)
    act("apply")
    everyone = [node.name for node in network.nodes.values()]
    assert wait_for(lambda: set(sessions(bare).values()) == {"Established"})
    before = established_counts(bare)
    answer = act("apply", *(name for name in everyone if name != "fenn"))
    assert sorted(answer["made"]) == [
        "host override fenn.nodes.goldentooth.net A",
        "neighbor 10.4.0.15",
    ]
    after = established_counts(bare)
    assert "10.4.0.15" not in after
    assert after == {address: count for address, count in before.items() if address != "10.4.0.15"}
    act("apply")


def established_counts(twin: Twin) -> dict[str, int]:
    """How often each session was established: one more is a session that was lost."""
    done = twin.exec("router", ["vtysh", "-c", "show bgp neighbors json"])
    peers = json.loads(done.stdout)
    return {address: peer["connectionsEstablished"] for address, peer in peers.items()}


def test_a_run_that_fails_half_way_is_made_whole_by_the_next(bare: Twin, config: Path) -> None:
    act = operate(bare, config)
    act("apply")
    act("apply", "bettley")
    set_faults(bare.machine("router"), {"fail_at": 9})
    failed = act("apply")
    assert "status 500" in failed["error"]
    assert not failed["live"]
    set_faults(bare.machine("router"), None)
    again = act("apply")
    assert again["error"] is None
    assert again["left"]["calls"] == []


def running_sessions(twin: Twin) -> dict[str, Any]:
    """What FRR has of each session, wherever its configuration says so."""
    done = twin.exec("router", ["vtysh", "-c", "show bgp neighbors json"])
    return {
        address: {
            "remote": peer["remoteAs"],
            "local": peer["localAs"],
            "description": peer["nbrDesc"],
            "hold": peer["bgpTimerConfiguredHoldTimeMsecs"],
            "keepalive": peer["bgpTimerConfiguredKeepAliveIntervalMsecs"],
            "in": peer["addressFamilyInfo"]["ipv4Unicast"]["routeMapForIncomingAdvertisements"],
            "out": peer["addressFamilyInfo"]["ipv4Unicast"]["routeMapForOutgoingAdvertisements"],
            "accepted": peer["addressFamilyInfo"]["ipv4Unicast"]["acceptedPrefixCounter"],
            "sent": peer["addressFamilyInfo"]["ipv4Unicast"]["sentPrefixCounter"],
        }
        for address, peer in json.loads(done.stdout).items()
    }


def kernel_routes(twin: Twin) -> list[Any]:
    done = twin.exec("router", ["ip", "-json", "route", "show", "proto", "bgp"])
    return [
        (route["dst"], sorted(hop["gateway"] for hop in route.get("nexthops", [])))
        for route in json.loads(done.stdout)
    ]
