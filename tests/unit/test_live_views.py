"""What FRR has beside the facts, from what NAPALM answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from goldentooth.check import Output
from goldentooth.model import Network
from goldentooth.report import show
from goldentooth.report.live import bgp_reads, bgp_view, kernel_reads, routes_reads, routes_view

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "show.schema.json"
KERNEL = "ip -j -4 route show"
GONE = Output(b"", b"router: no answer within 30 s", 1)


def _json(value: Any) -> Output:
    return Output(json.dumps(value).encode())


def _peer(**more: Any) -> dict[str, Any]:
    families = {"ipv4": {"accepted_prefixes": 1}}
    peer = {"remote_as": 64501, "is_up": True, "is_enabled": True, "uptime": 5}
    return {**peer, "address_family": families, **more}


def _is_valid(view: show.View, name: str) -> bool:
    document = {"format": show.FORMAT, "view": name, **json.loads(json.dumps(view))}
    return Draft202012Validator(json.loads(SCHEMA.read_text())).is_valid(document)


def _bgp(network: Network, peers: dict[str, Any]) -> show.View:
    answer = _json({"global": {"router_id": "10.4.0.1", "peers": peers}})
    return bgp_view(network, {"router": {"neighbors": answer}})


def test_every_session_stands_beside_its_intent(network: Network) -> None:
    peers = {
        "10.4.0.11": _peer(remote_as=64999),
        "10.4.0.12": _peer(is_up=False, uptime=-1),
        "10.4.0.13": _peer(is_up=False, is_enabled=False),
        "10.4.0.99": _peer(),
    }

    view = _bgp(network, peers)

    rows = {row["neighbor"]: row for row in view["neighbors"]}
    sessions = {neighbor: row["session"] for neighbor, row in rows.items()}
    assert sessions["10.4.0.11"] == "up"
    assert (rows["10.4.0.11"]["asn"], rows["10.4.0.11"]["live_asn"]) == (64501, 64999)
    assert (rows["10.4.0.11"]["uptime"], rows["10.4.0.11"]["accepted"]) == (5, 1)
    assert (sessions["10.4.0.12"], rows["10.4.0.12"]["uptime"]) == ("down", None)
    assert sessions["10.4.0.13"] == "shut down"
    assert sessions["10.4.0.14"] == "missing"
    assert (sessions["10.4.0.99"], rows["10.4.0.99"]["host"]) == ("not intended", None)
    assert "unknown" not in view
    assert _is_valid(view, "bgp --live")
    assert "not intended" in show.to_text(view)


def test_a_router_that_does_not_answer_leaves_all_unknown(network: Network) -> None:
    view = bgp_view(network, {"router": {"neighbors": GONE}})

    assert {row["session"] for row in view["neighbors"]} == {None}
    assert [item["host"] for item in view["unknown"]] == ["router"]
    assert "no answer" in view["unknown"][0]["reason"]
    assert _is_valid(view, "bgp --live")


def _route(**more: Any) -> dict[str, Any]:
    return {"current_active": True, "next_hop": "", "outgoing_interface": "eth0", **more}


def test_every_route_stands_beside_what_is_in_use(network: Network) -> None:
    own = "10.4.11.0/24"
    learned = {
        "10.4.11.5/32": [
            _route(next_hop="10.4.0.15"),
            _route(next_hop="10.4.0.99"),
            _route(next_hop="10.4.0.16", current_active=False),
        ],
        "192.168.66.0/24": [_route(next_hop="10.4.0.12")],
    }
    answers = {
        "router": {"learned": _json(learned)},
        "fenn": {own: _json({own: [_route()]})},
        "gardener": {own: _json({own: [_route(next_hop="10.4.0.1")]})},
        "harlton": {own: _json({})},
        "jast": {own: GONE},
        "allyrion": {KERNEL: _json([{"dst": own, "gateway": "10.4.0.1", "dev": "eth0"}])},
    }

    view = routes_view(network, answers)

    live = {row["host"]: row["live"] for row in view["routes"]}
    assert live["fenn"] == ["dev eth0"]
    assert live["gardener"] == ["via 10.4.0.1"]
    assert live["harlton"] == []
    assert live["jast"] is live["lipps"] is None
    assert live["allyrion"] == ["via 10.4.0.1"]
    assert [item["host"] for item in view["unknown"]] == ["jast"]
    service, leak = view["learned"]
    assert service["service"] == "probe"
    assert service["next_hops"] == ["fenn", "10.4.0.99"]
    assert "gardener" in service["missing"]
    assert "fenn" not in service["missing"]
    assert len(service["missing"]) == 11
    assert leak == {
        "destination": "192.168.66.0/24",
        "service": None,
        "next_hops": ["cargyll"],
        "missing": [],
    }
    assert _is_valid(view, "routes --live")


@pytest.mark.parametrize(
    ("routes", "live"),
    [
        ([], []),
        ([{"dst": "10.4.11.0/24", "dev": "eth0"}], ["dev eth0"]),
        ([{"dst": "10.4.11.0/24", "dev": "eth0", "flags": ["linkdown"]}], []),
        (
            [
                {"dst": "10.4.11.0/24", "dev": "wlan0", "metric": 600},
                {"dst": "10.4.11.0/24", "gateway": "10.4.0.1", "dev": "eth0", "metric": 100},
            ],
            ["via 10.4.0.1"],
        ),
        (
            [{"dst": "10.4.11.0/24", "nexthops": [{"gateway": "10.4.0.1"}, {"dev": "eth1"}]}],
            ["via 10.4.0.1", "dev eth1"],
        ),
        (None, None),
    ],
)
def test_without_frr_the_kernel_s_routes_are_what_is_in_use(
    network: Network, routes: list[dict[str, Any]] | None, live: list[str] | None
) -> None:
    answer = GONE if routes is None else _json(routes)
    view = routes_view(network, {"allyrion": {KERNEL: answer}})
    assert {row["host"]: row["live"] for row in view["routes"]}["allyrion"] == live
    assert [each["host"] for each in view.get("unknown", ())] == ["allyrion"] * (routes is None)


def test_a_service_that_nobody_announces_is_there_without_next_hops(network: Network) -> None:
    view = routes_view(network, {"router": {"learned": _json({})}})

    assert [row["destination"] for row in view["learned"]] == ["10.4.11.5/32"]
    assert len(view["learned"][0]["missing"]) == 12


def test_hosts_are_asked_for_what_they_have(network: Network) -> None:
    assert set(bgp_reads(network)) == {"router"}
    assert set(routes_reads(network)) == {"router"}  # on Kubernetes nodes FRR is MetalLB's
    assert set(kernel_reads(network)) == network.nodes.keys() - {"router"}


def test_a_compliance_file_is_a_view_too(network: Network) -> None:
    view = show.show_compliance(network, "fenn")

    assert _is_valid(view, "compliance")
    assert show.compliance_yaml(view).startswith("- get_facts:\n    hostname: ^fenn$\n")
