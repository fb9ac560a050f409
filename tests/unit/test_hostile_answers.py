"""Whatever a host answers, it is judged or not known: no error of Python ends a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goldentooth.check import Check, Output, UnreadableError, judge_all
from goldentooth.discovery import (
    ADDRESSES,
    ROUTES,
    appliance_commands,
    mismatches,
    read_appliance,
    read_host,
)
from goldentooth.model import Network
from goldentooth.report.discovery import DiscoveryReport, HostDiscovery
from goldentooth.report.live import bgp_view, kernel_reads, routes_reads, routes_view
from goldentooth.report.show import to_text
from goldentooth.services import all_services

KEYS = [
    "10.4.0.0/20",
    "10.4.0.11",
    "10.4.12.0/24",
    "addr_info",
    "address_family",
    "current_active",
    "dev",
    "device",
    "dst",
    "family",
    "flags",
    "gateway",
    "global",
    "ifname",
    "ipaddr",
    "ipv4",
    "ipv4Unicast",
    "is_up",
    "link_type",
    "local",
    "metric",
    "name",
    "nexthops",
    "next_hop",
    "operstate",
    "peers",
    "peerState",
    "plugin",
    "prefixlen",
    "product_version",
    "routes",
    "rows",
    "state",
    "versions",
]

answers = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from((*KEYS, "", "inf", "\x1b[2J\n", "\ud800", "9" * 5000)),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
outputs = st.one_of(
    answers.map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=60),
    st.text("0123456789 :=.,/-\n\tabcinfUP%", max_size=60).map(str.encode),
).map(Output)

thorough = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def checks(network: Network) -> tuple[tuple[str, Check], ...]:
    """One check of every kind."""

    def every() -> Iterator[tuple[str, Check]]:
        for service in all_services():
            for node in service.hosts(network):
                yield from ((service.name, check) for check in service.checks(network, node))

    return tuple({check.kind: (service, check) for service, check in every()}.values())


@thorough
@given(output=outputs)
def test_a_check_of_whatever_is_answered_has_a_state_and_one_line(
    checks: tuple[tuple[str, Check], ...], output: Output
) -> None:
    assert len(checks) > 10
    read = {command: output for _, check in checks for command in check.reads()}
    for result in judge_all(checks, read):
        assert result.outcome.seen.isprintable()


@thorough
@given(one=answers, other=answers)
def test_what_is_shown_live_of_whatever_is_answered_is_shown(
    network: Network, one: Any, other: Any
) -> None:
    first, second = (Output(json.dumps(value).encode()) for value in (one, other))
    router = network.router.name
    assert to_text(bgp_view(network, {router: {"neighbors": first}}))
    asked = {host: dict.fromkeys(reads, first) for host, reads in routes_reads(network).items()} | {
        host: dict.fromkeys(reads, second) for host, reads in kernel_reads(network).items()
    }
    assert to_text(routes_view(network, asked))


@thorough
@given(one=answers, other=answers)
def test_a_host_that_answers_whatever_is_discovered_or_is_not(
    network: Network, one: Any, other: Any
) -> None:
    node = network.nodes["fenn"]
    first, second = (Output(json.dumps(value).encode()) for value in (one, other))
    host = {"uname -nrm": Output(b"fenn 6.1 x86_64\n"), ADDRESSES: first, ROUTES: second}
    box = dict(zip(appliance_commands(), (first, second, second), strict=True))
    for read, answered in ((read_host, host), (read_appliance, box)):
        try:
            seen = read(answered, network.infrastructure.cidr, str(node.address))
        except (UnreadableError, LookupError, TypeError, ValueError, AttributeError):
            continue  # the task makes a line of it
        found = HostDiscovery("fenn", seen, mismatches(network, node, seen))
        report = DiscoveryReport((found,), 1.0)
        assert report.table()
        json.dumps(report.to_dict())
        report.discovered({})
