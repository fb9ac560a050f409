"""A node goes: where its traffic goes, and what is lost until then."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from goldentooth.twin import Twin
from tests.twin.claims.observation import (
    SERVICE,
    SERVICE_ADDRESS_UNIT,
    Measured,
    Ping,
    Requests,
    bgp_peers,
    configure,
    kernel_next_hops,
    node_of_pings,
    vtysh,
    wait_until,
)

HOLD = 3


@pytest.fixture
def short_hold(twin: Twin) -> Iterator[str]:
    """Return the node of the client's pings, whose session has a hold time of 3 seconds."""
    node = node_of_pings(twin)
    address = twin.machine(node).record.address
    configure(twin, "router", "router bgp 64500", f"neighbor {address} timers 1 {HOLD}")
    _reset(twin, address)
    yield node
    configure(twin, "router", "router bgp 64500", f"no neighbor {address} timers 1 {HOLD}")
    twin.heal()
    if _neighbor(twin, address)["bgpTimerHoldTimeMsecs"] != 180_000:
        _reset(twin, address)


@pytest.mark.parametrize("unit", ["frr.service", SERVICE_ADDRESS_UNIT])
def test_traffic_of_a_node_that_withdraws_moves_within_a_second(
    twin: Twin, unit: str, measured: Measured
) -> None:
    node = node_of_pings(twin)
    with Ping(twin) as ping, Requests(twin) as requests:
        time.sleep(0.5)
        start = time.time()
        twin.break_("stop", node, unit=unit)
        took = wait_until(lambda: len(kernel_next_hops(twin, SERVICE)) == 11, 5)
        gone = time.time()
        time.sleep(1)
    answers = requests.answers()
    sent, received = ping.sent_and_received
    measured(f"{node}: {unit} stopped and route gone after {(gone - start) * 1000:.0f} ms")
    measured(f"one flow of packets: {ping}\nnew connections: {answers}")

    assert took < 2
    assert node_of_pings(twin) != node
    assert ping.silence < 1000
    assert not answers.between(gone + 0.1).lost
    assert node not in answers.between(gone + 0.1).by
    if unit == "frr.service":  # the node goes on answering what still comes its way
        assert sent - received <= 2
        # but a connection that was open as next hops changed may have got to another node
        assert {answer.by for answer in answers.lost} <= {"!ConnectionResetError"}
        assert len(answers.lost) <= 2


def test_a_node_without_power_keeps_its_share_of_the_traffic_until_the_hold_time_ends(
    twin: Twin, measured: Measured
) -> None:
    node = node_of_pings(twin)
    address = twin.machine(node).record.address
    with Requests(twin, limit=0.5) as requests, Ping(twin) as ping:
        time.sleep(0.3)
        off = time.time()
        twin.break_("power", node)
        off_done = time.time()
        time.sleep(3)
    after = requests.answers().between(off_done)
    share = len(after.lost) / len(after.all)
    measured(f"in the first 3 s without {node}: {after}, that is {share:.1%}; {ping}")

    assert time.time() - off < 60  # a third of the hold time: nothing can have been noticed
    assert bgp_peers(twin, "router")[address]["state"] == "Established"
    assert address in kernel_next_hops(twin, SERVICE)
    assert 0.01 < share < 0.3  # 1/12, give or take what chance does with 150 flows
    sent, received = ping.sent_and_received
    assert received < sent / 3  # answered before, and not once since


def test_traffic_of_a_node_without_power_moves_when_the_hold_time_ends(
    twin: Twin, short_hold: str, measured: Measured
) -> None:
    with Requests(twin, limit=0.5) as requests, Ping(twin) as ping:
        time.sleep(0.3)
        off = time.time()
        twin.break_("power", short_hold)
        wait_until(lambda: len(kernel_next_hops(twin, SERVICE)) == 11, HOLD + 2)
        moved = time.time()
        time.sleep(0.7)
    answers = requests.answers()
    measured(f"{short_hold}: next hop gone {moved - off:.2f} s after the power, hold time {HOLD} s")
    measured(f"one flow of packets: {ping}\nnew connections: {answers}")

    assert ping.silence < (HOLD + 1) * 1000
    assert ping.silence > (HOLD - 1.5) * 1000  # a keepalive a second: between two and three
    assert not answers.between(moved + 0.1).lost


def _neighbor(twin: Twin, address: str) -> dict[str, Any]:
    return json.loads(vtysh(twin, "router", f"show bgp neighbors {address} json"))[address]


def _reset(twin: Twin, address: str) -> None:
    vtysh(twin, "router", f"clear bgp {address}")
    wait_until(lambda: bgp_peers(twin, "router")[address]["state"] == "Established", 20)
    wait_until(lambda: len(kernel_next_hops(twin, SERVICE)) == 12, 5)
