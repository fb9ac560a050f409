"""BGP between the router and the cluster: sessions, next hops, spreading, filters."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from goldentooth.model import Network
from goldentooth.twin import Twin
from tests.twin.claims.observation import (
    SERVICE,
    SERVICE_ADDRESS_UNIT,
    Measured,
    ask,
    bgp_peers,
    configure,
    kernel_next_hops,
    on_all,
    packets,
    shell,
    succeeds,
    vtysh,
    wait_until,
)

POD_PREFIX = "192.168.66.0/24"


@pytest.fixture
def maximum_paths(twin: Twin) -> Iterator[Callable[[str], None]]:
    """Return a function that changes the router's `maximum-paths`; undone after the test."""
    family = ("router bgp 64500", "address-family ipv4 unicast")
    yield lambda line: configure(twin, "router", *family, line)
    configure(twin, "router", *family, "maximum-paths 64")
    wait_until(lambda: len(kernel_next_hops(twin, SERVICE)) == 12, 5)


@pytest.fixture
def filterless(twin: Twin) -> Iterator[Callable[[], None]]:
    """Return a function that takes the prefix list out of the router's inbound policy."""
    policy = ("route-map CLUSTER-IN permit 10", "match ip address prefix-list CLUSTER-IN")

    def accept_all() -> None:
        configure(twin, "router", policy[0], f"no {policy[1]}")
        vtysh(twin, "router", "clear bgp * soft in")

    yield accept_all
    configure(twin, "router", *policy)
    vtysh(twin, "router", "clear bgp * soft in")
    wait_until(lambda: not kernel_next_hops(twin, POD_PREFIX), 5)


@pytest.fixture
def hash_by_address(twin: Twin) -> Iterator[None]:
    """Let the router choose next hops by addresses only, and give the client ten of them."""
    policy = "sysctl -q net.ipv4.fib_multipath_hash_policy"
    addresses = [f"203.0.113.{number}/24" for number in range(11, 21)]
    for address in addresses:
        shell(twin, "client", f"ip address add {address} dev eth0")
    shell(twin, "router", f"{policy}=0")
    yield
    shell(twin, "router", f"{policy}=1")
    for address in addresses:
        shell(twin, "client", f"ip address delete {address} dev eth0")


def test_all_twelve_nodes_are_established_with_the_clusters_as(
    twin: Twin, network: Network
) -> None:
    nodes = {str(node.address): node.name for node in network.bgp_neighbors}
    seen_by_router = bgp_peers(twin, "router")
    seen_by_nodes = on_all(nodes.values(), lambda node: bgp_peers(twin, node))

    assert len(nodes) == 12
    assert seen_by_router.keys() == nodes.keys()
    for peer in seen_by_router.values():
        assert (peer["state"], peer["remoteAs"]) == ("Established", 64501)
    for peers in seen_by_nodes.values():
        assert list(peers) == ["10.4.0.1"]
        assert (peers["10.4.0.1"]["state"], peers["10.4.0.1"]["remoteAs"]) == ("Established", 64500)


def test_the_router_announces_nothing_and_a_node_its_service_address_only(twin: Twin) -> None:
    sent = bgp_peers(twin, "router")
    advertised = json.loads(
        vtysh(twin, "fenn", "show bgp ipv4 unicast neighbors 10.4.0.1 advertised-routes json")
    )

    assert {peer["pfxSnt"] for peer in sent.values()} == {0}
    assert list(advertised["advertisedRoutes"]) == [f"{SERVICE}/32"]


def test_an_address_has_as_many_next_hops_as_nodes_announce_it(
    twin: Twin, network: Network, measured: Measured
) -> None:
    left = {node.name: str(node.address) for node in network.bgp_neighbors}
    assert kernel_next_hops(twin, SERVICE) == set(left.values())

    for count in (11, 5, 1):
        while len(left) > count:
            withdrawing, _ = left.popitem()
            twin.break_("stop", withdrawing, unit=SERVICE_ADDRESS_UNIT)
        took = wait_until(lambda: kernel_next_hops(twin, SERVICE) == set(left.values()), 5)
        answers = ask(twin, 30)
        measured(f"{count} announce it: {count} next hops after {took * 1000:.0f} ms; {answers}")
        assert not answers.lost
        assert answers.by.keys() <= left.keys()
    assert len(answers.by) == 1

    twin.break_("stop", *left, unit=SERVICE_ADDRESS_UNIT)
    wait_until(lambda: not kernel_next_hops(twin, SERVICE), 5)
    assert len(ask(twin, 3, limit=0.3).lost) == 3


def test_flows_from_different_ports_are_spread_over_the_nodes(
    twin: Twin, network: Network, measured: Measured
) -> None:
    answers = ask(twin, 240)
    measured(f"{answers}: {dict(answers.by)}")

    assert not answers.lost
    assert answers.by.keys() <= {node.name for node in network.bgp_neighbors}
    assert len(answers.by) >= 10  # all 12 but for one run in 10^8
    assert max(answers.by.values()) < 240 / 3


def test_without_ports_in_the_hash_an_address_pair_sticks_to_one_node(
    twin: Twin, hash_by_address: None, measured: Measured
) -> None:
    sources = [f"203.0.113.{number}" for number in range(11, 21)]
    by = on_all(sources, lambda source: ask(twin, 6, source=source).by)
    measured({source: dict(nodes) for source, nodes in by.items()})

    for nodes in by.values():
        assert len(nodes) == 1
        assert nodes.total() == 6
    assert len({node for nodes in by.values() for node in nodes}) > 1


def test_ecmp_is_there_with_maximum_paths_and_not_without(
    twin: Twin, maximum_paths: Callable[[str], None], measured: Measured
) -> None:
    maximum_paths("maximum-paths 1")
    alone = wait_until(lambda: len(kernel_next_hops(twin, SERVICE)) == 1, 5)
    one = ask(twin, 24)
    maximum_paths("maximum-paths 64")
    together = wait_until(lambda: len(kernel_next_hops(twin, SERVICE)) == 12, 5)
    all_ = ask(twin, 48)
    measured(f"1 next hop after {alone * 1000:.0f} ms: {dict(one.by)}")
    measured(f"12 next hops after {together * 1000:.0f} ms: {dict(all_.by)}")

    assert len(one.by) == 1
    assert len(all_.by) > 4
    assert not one.lost + all_.lost


@pytest.mark.parametrize("prefix", [POD_PREFIX, "10.4.0.10/32"], ids=["pods", "the API's address"])
def test_a_leaked_route_is_refused_by_the_router(twin: Twin, prefix: str) -> None:
    before = _updates(twin, "10.4.0.15")
    with twin.capture("router", expression="tcp port 179 and src 10.4.0.15") as capture:
        twin.break_("leak", "fenn", prefix=prefix)
        wait_until(lambda: _updates(twin, "10.4.0.15") > before, 5)

    assert any(line.strip() == prefix for line in packets(capture.file, "-v"))  # it was told
    assert not kernel_next_hops(twin, prefix)
    assert bgp_peers(twin, "router")["10.4.0.15"]["pfxRcd"] == 1
    assert len(kernel_next_hops(twin, SERVICE)) == 12


def test_a_leaked_pod_route_is_installed_where_the_filter_is_missing(
    twin: Twin, filterless: Callable[[], None], measured: Measured
) -> None:
    twin.break_("leak", "fenn")
    filterless()
    took = wait_until(lambda: kernel_next_hops(twin, POD_PREFIX) == {"10.4.0.15"}, 5)
    measured(f"installed after {took * 1000:.0f} ms")

    with twin.capture("fenn", expression="icmp", interface="eth0") as capture:
        assert not succeeds(twin, "client", "ping -c 2 -i 0.01 -W 0.2 192.168.66.1")
    assert any("203.0.113.10 > 192.168.66.1" in line for line in packets(capture.file))


def _updates(twin: Twin, address: str) -> int:
    neighbor = json.loads(vtysh(twin, "router", f"show bgp neighbors {address} json"))
    return neighbor[address]["messageStats"]["updatesRecv"]
