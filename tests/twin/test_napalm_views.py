"""`verify --napalm` and `show --live` on the twin: what NAPALM reads, beside the facts."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from goldentooth.twin import Twin
from goldentooth.twin.opnsense import set_faults


def _run(twin: Twin, *arguments: str) -> tuple[int, Any, str]:
    """Run goldentooth-net as the operator; return its status, JSON and standard error."""
    argv = [sys.executable, "-m", "runbooks", *arguments, "--format", "json"]
    done = twin.run(argv, timeout=180)
    return done.returncode, json.loads(done.stdout or b"null"), done.stderr.decode()


def _napalm(result: Any) -> dict[str, str]:
    checks = [check for check in result["checks"] if check["service"] == "napalm"]
    assert checks
    return {check["id"]: check["state"] for check in checks}


@pytest.fixture
def shut_session(twin: Twin) -> Any:
    """Shut fenn's session on fenn, and open it again."""
    command = ["vtysh", "-c", "configure", "-c", "router bgp 64501", "-c"]
    twin.exec("fenn", [*command, "neighbor 10.4.0.1 shutdown"])
    yield
    twin.exec("fenn", [*command, "no neighbor 10.4.0.1 shutdown"])
    twin.wait()


def test_napalm_finds_every_host_as_the_facts_say(twin: Twin) -> None:
    status, result, said = _run(twin, "verify", "--napalm", "--group", "k8s", "--group", "router")

    assert status == 0, said
    states = _napalm(result)
    assert set(states.values()) == {"passed"}
    neighbors = [name for name in states if name.startswith("napalm.get_bgp_neighbors[")]
    assert len(neighbors) == 13
    assert "napalm.get_route_to[10.4.11.5/32]" in states
    assert "napalm.get_interfaces_ip[velaryon]" in states


def test_without_a_selection_napalm_looks_where_frr_is_deployed(twin: Twin) -> None:
    _, result, _ = _run(twin, "verify", "--napalm")

    assert {name.partition("[")[2] for name in _napalm(result)} == {"router]", "10.4.11.5/32]"}


@pytest.mark.usefixtures("shut_session")
def test_napalm_names_a_session_that_is_down(twin: Twin) -> None:
    status, result, _ = _run(twin, "verify", "--napalm", "--host", "fenn", "--host", "router")

    assert status == 1
    bad = {check["id"]: check["seen"] for check in result["checks"] if check["state"] == "failed"}
    assert bad["napalm.get_bgp_neighbors[router]"] == "global peers 10.4.0.15: is_up is False"
    assert "is_enabled is False" in bad["napalm.get_bgp_neighbors[fenn]"]
    assert "10.4.0.15 is missing" in bad["napalm.get_route_to[10.4.11.5/32]"]


def test_a_host_that_is_off_is_unknown_to_napalm(twin: Twin) -> None:
    twin.break_("power", "fenn")

    status, result, _ = _run(twin, "verify", "--napalm", "--host", "fenn")

    assert status == 2
    assert set(_napalm(result).values()) == {"unknown"}


@pytest.mark.usefixtures("shut_session")
def test_show_bgp_live_has_every_session_as_it_is(twin: Twin) -> None:
    status, view, said = _run(twin, "show", "bgp", "--live")

    assert status == 0, said
    sessions = {row["host"]: row["session"] for row in view["neighbors"]}
    assert sessions.pop("fenn") == "down"
    assert set(sessions.values()) == {"up"}
    assert {row["accepted"] for row in view["neighbors"]} == {1, None}


def test_show_routes_live_has_what_is_in_the_tables(twin: Twin) -> None:
    twin.exec("harlton", ["ip", "route", "del", "10.4.11.0/24"])
    try:
        status, view, said = _run(twin, "show", "routes", "--live")
    finally:
        twin.exec("harlton", ["ip", "route", "add", "10.4.11.0/24", "dev", "eth0"])

    assert status == 0, said
    live = {row["host"]: row["live"] for row in view["routes"]}
    assert (live["fenn"], live["harlton"]) == (["dev eth0"], [])
    assert live["allyrion"] == ["via 10.4.0.1"]
    (learned,) = view["learned"]
    assert len(learned["next_hops"]) == 12
    assert learned["missing"] == []


def test_show_live_without_an_answer_is_2(twin: Twin) -> None:
    set_faults(twin.machine("router"), {"expired": True})
    try:
        status, view, _ = _run(twin, "show", "bgp", "--live")
    finally:
        set_faults(twin.machine("router"), None)

    assert status == 2
    assert "its certificate is not trusted" in view["unknown"][0]["reason"]
