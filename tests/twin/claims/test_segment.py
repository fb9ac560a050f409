"""Hosts on the segment: routes to load-balancer addresses, a second interface, a reboot."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

import pytest

from goldentooth.model import Network
from goldentooth.twin import Twin
from tests.twin.claims.observation import (
    SERVICE,
    Measured,
    ask,
    bgp_peers,
    kernel_next_hops,
    on_all,
    packets,
    shell,
    succeeds,
    wait_until,
)

OUTSIDE_THE_24 = "10.4.12.7"
WIRELESS = "10.4.0.115"
"""An address that DHCP may give a host's second interface."""

VIA_ROUTER = "ip route replace 10.4.11.0/24 via 10.4.0.1 dev eth0"
ON_LINK = "ip route replace 10.4.11.0/24 dev eth0"


@pytest.fixture
def allyrion(twin: Twin) -> Iterator[Callable[[str], str]]:
    """Return a function that runs a command on allyrion, which every node knows by ARP.

    Its routes and its sysctls are put back after the test.
    """
    redirects = "sysctl -q net.ipv4.conf.{all,eth0}.accept_redirects"
    before = shell(twin, "allyrion", "cat /proc/sys/net/ipv4/conf/eth0/accept_redirects").strip()
    addresses = " ".join(bgp_peers(twin, "router"))
    # the stand-in for kube-proxy keeps a node from asking by ARP in the service address's name
    shell(twin, "allyrion", f"for node in {addresses}; do ping -q -c 1 -W 1 $node; done")
    yield lambda command: shell(twin, "allyrion", f"bash -c '{command}'")
    shell(twin, "allyrion", f"{VIA_ROUTER}; ip route flush cache; bash -c '{redirects}={before}'")


@pytest.fixture
def announced(twin: Twin) -> Iterator[str]:
    """Let two nodes answer at an address of the pool that is outside of the hosts' route."""
    nodes = ("fenn", "jast")
    change = f"ip address {{}} {OUTSIDE_THE_24}/32 dev lo"
    ignore = "sysctl -q net.ipv4.conf.all.arp_ignore"  # as kube-proxy's strictARP
    for node in nodes:
        shell(twin, node, f"{ignore}=1 && {change.format('add')}")
    wait_until(lambda: len(kernel_next_hops(twin, OUTSIDE_THE_24)) == 2, 5)
    yield OUTSIDE_THE_24
    for node in nodes:
        shell(twin, node, f"{change.format('delete')}; {ignore}=0")
    wait_until(lambda: not kernel_next_hops(twin, OUTSIDE_THE_24), 5)


@pytest.fixture
def wlan0(twin: Twin) -> Iterator[str]:
    """Return a node whose wlan0 is up beside eth0, with an address on the same segment."""
    node = "fenn"
    shell(twin, node, f"ip link set wlan0 up && ip address add {WIRELESS}/20 dev wlan0")
    wait_until(lambda: "state UP" in shell(twin, node, "ip link show wlan0"), 5)
    yield node
    shell(twin, node, "ip address flush dev wlan0; ip link set wlan0 down")
    shell(twin, "operator", f"ip neighbor flush to {WIRELESS}; ip neighbor flush to 10.4.0.15")


def test_with_the_on_link_route_nobody_answers_allyrion(
    twin: Twin, allyrion: Callable[[str], str], measured: Measured
) -> None:
    allyrion(ON_LINK)
    with twin.capture("allyrion", expression="arp or host 10.4.11.5", interface="eth0") as capture:
        answers = ask(twin, 1, host="allyrion", limit=2)
    seen = [line for line in packets(capture.file) if SERVICE in line]
    measured(answers, *seen)

    assert len(answers.lost) == 1
    assert seen
    assert all(f"Request who-has {SERVICE}" in line for line in seen)
    assert not ask(twin, 3).lost  # a client beyond the router is served all the while


def test_with_the_route_through_the_router_allyrion_reaches_the_service(
    twin: Twin, allyrion: Callable[[str], str], measured: Measured
) -> None:
    shipped = allyrion("ip route show 10.4.11.0/24").split()
    answers = ask(twin, 40, host="allyrion", limit=2)
    measured(f"{answers}: {dict(answers.by)}")

    assert shipped[:5] == ["10.4.11.0/24", "via", "10.4.0.1", "dev", "eth0"]
    assert not answers.lost


def _allow_redirects(twin: Twin, value: int) -> None:
    for host, key in (("router", "send_redirects"), ("allyrion", "accept_redirects")):
        names = (f"net.ipv4.conf.{interface}.{key}={value}" for interface in ("all", "eth0"))
        shell(twin, host, f"sysctl -q {' '.join(names)}")


def test_an_icmp_redirect_pins_allyrion_to_one_node_unless_it_is_refused(
    twin: Twin, allyrion: Callable[[str], str], measured: Measured
) -> None:
    """What both ends are told not to do, by the sysctls that are rendered for them."""
    _allow_redirects(twin, 1)
    with twin.capture("allyrion", expression="icmp[icmptype] = 5", interface="eth0") as capture:
        wait_until(lambda: _is_redirected(allyrion), 15, pause=0.1)
    redirects = packets(capture.file)
    pinned = ask(twin, 40, host="allyrion", limit=2)
    route = allyrion(f"ip route get {SERVICE}")

    _allow_redirects(twin, 0)
    allyrion("ip route flush cache")
    free = ask(twin, 40, host="allyrion", limit=2)
    measured(*redirects, route)
    measured(f"accepted: {dict(pinned.by)}\nrefused: {dict(free.by)}")

    assert any(f"redirect {SERVICE} to host" in line for line in redirects)
    assert "redirected" in route
    assert len(pinned.by) == 1
    assert len(free.by) > 4
    assert not pinned.lost + free.lost


def test_a_pool_address_outside_the_hosts_route_is_beyond_their_reach(
    twin: Twin, network: Network, announced: str, allyrion: Callable[[str], str], measured: Measured
) -> None:
    with twin.capture("allyrion", expression="arp", interface="eth0") as capture:
        reached = succeeds(twin, "allyrion", f"ping -c 2 -i 0.2 -W 1 {announced}")
    asked = [line for line in packets(capture.file) if announced in line]
    measured(*asked)

    assert IPv4Address(announced) in network.load_balancer.pool
    assert not reached
    assert asked
    assert all(f"Request who-has {announced}" in line for line in asked)
    assert succeeds(twin, "client", f"ping -c 2 -i 0.01 -W 1 {announced}")
    allyrion(f"ip route add {announced} via 10.4.0.1")
    assert succeeds(twin, "allyrion", f"ping -c 2 -i 0.01 -W 1 {announced}")
    allyrion(f"ip route delete {announced}")


def test_a_host_that_boots_again_has_its_routes_and_session_without_anyone(
    twin: Twin, measured: Measured
) -> None:
    node = "fenn"
    before = _network_of(twin, node)
    epoch = bgp_peers(twin, "router")["10.4.0.15"]["connectionsEstablished"]
    shell(twin, node, "systemctl --no-block poweroff")
    wait_until(lambda: not twin.machine(node).is_running, 20)
    halted = time.monotonic()
    wait_until(lambda: len(kernel_next_hops(twin, SERVICE)) == 11, 2)  # it has said goodbye

    twin.break_("power", node)  # nothing is left running: only its cables are pulled
    twin.heal()
    took = time.monotonic() - halted
    measured(f"off, booted and verified again in {took:.1f} s")

    after = _network_of(twin, node)
    assert after == before
    assert ["10.4.11.0/24", None] in after["routes"]
    assert ["default", "10.4.0.1"] in after["routes"]
    assert after["up"] == ["eth0"]
    assert bgp_peers(twin, "router")["10.4.0.15"]["connectionsEstablished"] == epoch + 1
    assert len(kernel_next_hops(twin, SERVICE)) == 12


def test_with_wlan0_up_two_interfaces_answer_for_one_address(
    twin: Twin, wlan0: str, measured: Measured
) -> None:
    macs = {link.name: link.mac for link in twin.machine(wlan0).record.links}
    shell(twin, "operator", "ip neighbor flush to 10.4.0.15")
    with twin.capture("operator", expression="arp", interface="eth0") as capture:
        shell(twin, "operator", "ping -c 1 -W 1 10.4.0.15")
        time.sleep(0.2)
    replies = [line for line in packets(capture.file) if "Reply 10.4.0.15 is-at" in line]
    measured(*replies)

    assert {mac for mac in macs.values() if any(f"is-at {mac}" in line for line in replies)} == set(
        macs.values()
    )


def test_with_wlan0_up_replies_leave_by_the_other_interface(
    twin: Twin, wlan0: str, measured: Measured
) -> None:
    macs = {link.name: link.mac for link in twin.machine(wlan0).record.links}
    with twin.capture("operator", expression="icmp", interface="eth0") as capture:
        shell(twin, "operator", f"ping -c 3 -i 0.01 -W 1 {WIRELESS}")
        time.sleep(0.1)
    replies = [line for line in packets(capture.file) if "echo reply" in line]
    measured(*replies)

    assert len(replies) == 3
    assert {line.split()[1] for line in replies} == {macs["eth0"]}


def test_with_wlan0_up_first_a_host_speaks_from_the_wrong_address(
    twin: Twin, wlan0: str, measured: Measured
) -> None:
    # the order of booting in which DHCP on wlan0 was first: its connected route is the older
    again = "ip route delete 10.4.0.0/20 dev eth0 && ip route append 10.4.0.0/20 dev eth0"
    source = "proto kernel scope link src 10.4.0.15"
    right = json.loads(shell(twin, wlan0, "ip -j route get 10.4.0.2"))[0]
    shell(twin, wlan0, f"{again} {source}")
    wrong = json.loads(shell(twin, wlan0, "ip -j route get 10.4.0.2"))[0]
    with twin.capture("operator", expression="icmp", interface="eth0") as capture:
        shell(twin, wlan0, "ping -c 1 -W 1 10.4.0.2")
        time.sleep(0.1)
    requests = [line for line in packets(capture.file) if "echo request" in line]
    measured(*requests)

    assert (right["dev"], right["prefsrc"]) == ("eth0", "10.4.0.15")
    assert (wrong["dev"], wrong["prefsrc"]) == ("wlan0", WIRELESS)
    assert f"{WIRELESS} > 10.4.0.2" in requests[0]


def test_ifup_refuses_wlan0_and_takes_it_down_with_eth0(
    twin: Twin, wlan0: str, measured: Measured
) -> None:
    refused = twin.exec(wlan0, ["ifup", "wlan0"])
    shell(twin, wlan0, "ifdown eth0 && ifup eth0")
    states = on_all(["eth0", "wlan0"], lambda name: shell(twin, wlan0, f"ip link show {name}"))
    measured(refused.stderr.decode())

    assert refused.returncode != 0
    assert "wlan0 is kept down" in refused.stderr.decode()
    assert "state UP" in states["eth0"]
    assert "state DOWN" in states["wlan0"]


def _is_redirected(allyrion: Callable[[str], str]) -> bool:
    """Tell whether, after a few packets, allyrion believes a redirect (the router sends few)."""
    allyrion(f"ping -q -c 5 -i 0.01 -W 1 {SERVICE}")
    return "redirected" in allyrion(f"ip route get {SERVICE}")


def _network_of(twin: Twin, host: str) -> dict[str, list[object]]:
    """Return the addresses and routes of ``host``, and which of its interfaces are up."""
    addresses = json.loads(shell(twin, host, "ip -j -4 address show"))
    routes = json.loads(shell(twin, host, "ip -j -4 route show"))
    links = json.loads(shell(twin, host, "ip -j link show"))
    return {
        "addresses": sorted(
            info["local"]
            for link in addresses
            for info in link["addr_info"]
            if info["scope"] == "global"
        ),
        "routes": sorted([route["dst"], route.get("gateway")] for route in routes),
        "up": sorted(
            link["ifname"] for link in links if "UP" in link["flags"] and link["ifname"] != "lo"
        ),
    }
