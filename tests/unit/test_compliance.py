"""Compliance files: what NAPALM's own validation makes of them on good and bad answers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from napalm.base.validate import compliance_report

from goldentooth.check import CheckResult, Output, State, judge_all
from goldentooth.compliance import SERVICE, compliance, compliance_checks, is_frr_deployed
from goldentooth.model import Network
from tests.conftest import Shipped

Answers = dict[str, Any]


def _answers(network: Network) -> Answers:
    """Return what the driver says on a router where all is as the shipped facts say."""
    peer = {"local_as": 64500, "remote_as": 64501, "is_up": True, "is_enabled": True, "uptime": 5}
    neighbors = [str(node.address) for node in network.bgp_neighbors]
    hops = [{"next_hop": each, "current_active": True} for each in reversed(neighbors)]
    return {
        "get_facts": {"hostname": "router", "vendor": "FRRouting", "uptime": 1.0},
        "get_interfaces": {"eth0": {"is_up": True, "is_enabled": True}, "lo": {}},
        "get_interfaces_ip": {"eth0": {"ipv4": {"10.4.0.1": {"prefix_length": 20}}}},
        "get_bgp_neighbors": {
            "global": {"router_id": "10.4.0.1", "peers": {each: dict(peer) for each in neighbors}}
        },
        "get_route_to": {"10.4.11.5/32": hops},
    }


def _driver(answers: Answers) -> Any:
    def getter(name: str) -> Callable[..., Any]:
        return lambda **_: copy.deepcopy(answers[name])

    return SimpleNamespace(**{name: getter(name) for name in answers})


def _judged(network: Network, answers: Answers) -> Mapping[str, CheckResult]:
    """Let NAPALM validate ``answers``, as tasks/napalm.py does; results by check id."""
    driver = _driver(answers)
    checks = [(SERVICE, check) for check in compliance_checks(network, network.router)]
    outputs = {
        name: Output(
            json.dumps(compliance_report(driver, validation_source=[check.validation])).encode()
        )
        for _, check in checks
        for name in check.reads()
    }
    return {result.check.id: result for result in judge_all(checks, outputs)}


@pytest.fixture
def linux(shipped: Shipped) -> Network:
    """Return the network with a router that is a Linux host."""
    return shipped.edit("groups", "platform: opnsense", "platform: linux").network


def test_what_is_as_the_facts_say_complies(linux: Network) -> None:
    results = _judged(linux, _answers(linux))

    assert set(results) == {
        "napalm.get_facts[router]",
        "napalm.get_interfaces[router]",
        "napalm.get_interfaces_ip[router]",
        "napalm.get_bgp_neighbors[router]",
        "napalm.get_route_to[10.4.11.5/32]",
    }
    assert {result.outcome.state for result in results.values()} == {State.PASSED}


BAD = {
    "another host": (("get_facts", "hostname"), "router2", "hostname is router2"),
    "link down": (("get_interfaces", "eth0", "is_up"), False, "eth0: is_up is False"),
    "another mask": (
        ("get_interfaces_ip", "eth0", "ipv4", "10.4.0.1", "prefix_length"),
        24,
        "eth0 ipv4 10.4.0.1: prefix_length is 24",
    ),
    "another address": (
        ("get_interfaces_ip", "eth0", "ipv4"),
        {"10.4.0.9": {"prefix_length": 20}},
        "eth0 ipv4: 10.4.0.1 is missing",
    ),
    "session down": (
        ("get_bgp_neighbors", "global", "peers", "10.4.0.15", "is_up"),
        False,
        "global peers 10.4.0.15: is_up is False",
    ),
    "another AS": (
        ("get_bgp_neighbors", "global", "peers", "10.4.0.15", "remote_as"),
        64499,
        "global peers 10.4.0.15: remote_as is 64499",
    ),
    "a foreign neighbor": (
        ("get_bgp_neighbors", "global", "peers", "10.4.0.99"),
        {"is_up": True},
        "global peers: 10.4.0.99 is not intended",
    ),
    "another router id": (
        ("get_bgp_neighbors", "global", "router_id"),
        "110.4.0.1",
        "global: router_id is 110.4.0.1",
    ),
    "bgpd down": (("get_bgp_neighbors",), {}, "global is missing"),
    "no route": (("get_route_to",), {}, "10.4.11.5/32 is missing"),
}


@pytest.mark.parametrize(("path", "value", "seen"), BAD.values(), ids=BAD)
def test_what_is_not_is_named(linux: Network, path: tuple[str, ...], value: Any, seen: str) -> None:
    answers = _answers(linux)
    place: Any = answers
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value

    results = _judged(linux, answers)

    failed = [each for each in results.values() if each.outcome.state is State.FAILED]
    assert [result.check.kind for result in failed] == [f"napalm.{path[0]}"]
    assert failed[0].outcome.seen == seen


def test_a_missing_and_a_foreign_next_hop_are_named(linux: Network) -> None:
    answers = _answers(linux)
    hops = answers["get_route_to"]["10.4.11.5/32"]
    hops[0]["next_hop"] = "10.4.0.99"  # it was velaryon's

    seen = _judged(linux, answers)["napalm.get_route_to[10.4.11.5/32]"].outcome.seen

    assert seen == "10.4.11.5/32: 10.4.0.30 is missing; 10.4.11.5/32: 10.4.0.99 is not intended"


def test_a_compliance_file_is_plain_yaml(linux: Network) -> None:
    written = yaml.safe_dump(compliance(linux, linux.nodes["fenn"]))

    assert yaml.safe_load(written) == compliance(linux, linux.nodes["fenn"])
    assert [getter for entry in yaml.safe_load(written) for getter in entry] == [
        *("get_facts", "get_interfaces", "get_interfaces_ip", "get_bgp_neighbors")
    ]


def test_a_host_without_frr_has_none(network: Network) -> None:
    assert compliance(network, network.nodes["allyrion"]) == []


def test_of_opnsense_only_frr_itself_is_asked(network: Network) -> None:
    kinds = [check.kind for check in compliance_checks(network, network.router)]

    assert network.router.platform == "opnsense"
    assert kinds == ["napalm.get_bgp_neighbors", "napalm.get_route_to"]


def test_frr_of_ours_is_on_the_router_alone(network: Network) -> None:
    deployed = [node.name for node in network.nodes.values() if is_frr_deployed(network, node)]

    assert deployed == ["router"]


def test_with_more_speakers_than_paths_the_route_is_left_to_frr(shipped: Shipped) -> None:
    network = shipped.edit("defaults", "maximum_paths: 64", "maximum_paths: 4").network

    kinds = [check.kind for check in compliance_checks(network, network.router)]

    assert kinds == ["napalm.get_bgp_neighbors"]


def test_a_link_that_is_not_discovered_is_not_asked_for(shipped: Shipped) -> None:
    network = shipped.edit("hosts", "architecture: amd64", "interface: auto").network

    kinds = [check.kind for check in compliance_checks(network, network.nodes["velaryon"])]

    assert kinds == ["napalm.get_facts", "napalm.get_bgp_neighbors"]
