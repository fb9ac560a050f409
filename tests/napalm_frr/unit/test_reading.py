"""What the recorded answers of one host do not show: odd links, groups, VRFs, secrets."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest
from napalm import get_network_driver
from napalm.base.exceptions import CommandErrorException, ConnectionClosedException

from napalm_frr import FRRDriver, bgp, interfaces, probes, routes
from napalm_frr.candidate import Candidate, Scripts
from napalm_frr.sanitize import without_secrets

_BGP = """
router bgp 64500
 neighbor EDGE peer-group
 neighbor EDGE remote-as external
 neighbor EDGE ebgp-multihop 3
 neighbor EDGE update-source lo
 neighbor EDGE local-as 64999
 neighbor 192.0.2.1 peer-group EDGE
 neighbor 192.0.2.1 remote-as 65551
 neighbor 192.0.2.1 description two words
 neighbor 192.0.2.1 password canary
 neighbor 192.0.2.2 remote-as internal
 neighbor 192.0.2.2 update-source 192.0.2.9
 !
 address-family ipv4 unicast
  neighbor EDGE remove-private-AS
  neighbor EDGE route-map IN4 in
  neighbor 192.0.2.1 route-map OWN in
  neighbor 192.0.2.2 route-reflector-client
  neighbor 192.0.2.2 next-hop-self
  maximum-paths 1
 exit-address-family
 !
 address-family ipv6 unicast
  neighbor EDGE route-map OUT6 out
  neighbor EDGE maximum-prefix 100 80 restart 7
 exit-address-family
exit
!
router bgp 1.1 vrf RED
 neighbor 192.0.2.3 remote-as 1
 !
 address-family ipv4 unicast
  rd vpn export 64500:7
 exit-address-family
exit
!
ip prefix-list EDGE seq 5 permit any
"""


def test_napalm_finds_the_driver() -> None:
    assert get_network_driver("frr") is FRRDriver


def test_a_driver_that_is_not_open_says_so() -> None:
    driver = FRRDriver("router", "root", "")

    assert driver.is_alive() == {"is_alive": False}
    with pytest.raises(ConnectionClosedException, match=r"call open\(\) first"):
        driver.get_facts()


def test_a_neighbor_has_what_its_group_gives_it() -> None:
    edge = bgp.configuration(_BGP)["EDGE"]

    assert (edge["type"], edge["remote_as"], edge["multihop_ttl"]) == ("external", 0, 3)
    assert edge["remove_private_as"] is True
    assert edge["multipath"] is False
    assert edge["prefix_limit"] == {
        "inet6": {"unicast": {"limit": 100, "teardown": {"threshold": 80, "timeout": 7}}}
    }
    assert edge["neighbors"] == {
        "192.0.2.1": {
            "description": "two words",
            "import_policy": "OWN",
            "export_policy": "OUT6",
            "local_address": "lo",
            "authentication_key": "canary",
            "nhs": False,
            "route_reflector_client": False,
            "local_as": 64999,
            "remote_as": 65551,
            "prefix_limit": edge["prefix_limit"],
        }
    }


def test_neighbors_in_no_group_are_in_the_group_without_name() -> None:
    neighbors = bgp.configuration(_BGP)["_"]["neighbors"]

    assert neighbors.keys() == {"192.0.2.2"}
    assert neighbors["192.0.2.2"]["remote_as"] == 64500
    assert neighbors["192.0.2.2"]["route_reflector_client"] is True
    assert neighbors["192.0.2.2"]["nhs"] is True
    assert neighbors["192.0.2.2"]["local_address"] == "192.0.2.9"


def test_bgp_configuration_can_be_asked_for_one_group_or_neighbor() -> None:
    assert bgp.configuration(_BGP, group="EDGE").keys() == {"EDGE"}
    assert bgp.configuration(_BGP, group="NONE") == {}
    found = bgp.configuration(_BGP, neighbor="192.0.2.2")
    assert {name: list(group["neighbors"]) for name, group in found.items()} == {"_": ["192.0.2.2"]}
    assert bgp.configuration("hostname other\n") == {}


def test_every_vrf_has_its_own_bgp() -> None:
    blocks = bgp.read_bgp(_BGP)

    assert blocks.keys() == {"default", "RED"}
    assert blocks["RED"].asn == 65537
    assert blocks["RED"].distinguisher == "64500:7"
    assert blocks["RED"].lines.keys() == {"192.0.2.3"}


def test_a_session_that_is_down_has_no_uptime_and_no_prefixes() -> None:
    peer = {
        "remoteAs": 64501,
        "localAs": 64500,
        "bgpState": "Idle",
        "adminShutDown": True,
        "addressFamilyInfo": {"ipv6Unicast": {"acceptedPrefixCounter": 0}},
    }
    found = bgp.neighbors(
        {"vrfs": {"RED": {"routerId": "192.0.2.9"}, "default": {"routerId": "192.0.2.8"}}},
        {"RED": {"vrfId": 7, "192.0.2.3": peer}},
    )

    assert found["global"]["peers"] == {}
    neighbor = found["RED"]["peers"]["192.0.2.3"]
    assert (neighbor["is_up"], neighbor["is_enabled"], neighbor["uptime"]) == (False, False, -1)
    assert neighbor["address_family"]["ipv6"]["accepted_prefixes"] == -1


def _link(name: str, **more: Any) -> dict[str, Any]:
    flags = more.pop("flags", ["UP", "LOWER_UP"])
    return {
        "ifname": name,
        "flags": flags,
        "operstate": more.pop("operstate", "UP"),
        "mtu": 1500,
        "address": "02:00:0a:04:00:01",
        **more,
    }


def test_a_link_without_carrier_is_down_and_has_no_speed() -> None:
    links = [_link("eth0", flags=["NO-CARRIER", "UP"], operstate="DOWN", ifalias="uplink")]
    zebra = {"eth0": {"speed": 4294967295, "lastLinkDown": "2026/11/23 21:27:25.87"}}

    found = interfaces.interfaces(links, zebra, "2026/11/23 21:28:25")["eth0"]

    assert (found["is_up"], found["is_enabled"]) == (False, True)
    assert found["speed"] == -1.0
    assert found["last_flapped"] == 60.0
    assert found["description"] == "uplink"


def test_a_link_that_zebra_does_not_know_is_there() -> None:
    found = interfaces.interfaces([_link("wg0", address="")], {}, "2026/11/23 21:28:25")

    assert found["wg0"]["speed"] == found["wg0"]["last_flapped"] == -1.0
    assert found["wg0"]["mac_address"] == ""


_VRF_LINKS = [
    _link("eth0"),
    _link("RED", linkinfo={"info_kind": "vrf"}),
    _link("br0", master="RED", linkinfo={"info_kind": "bridge", "info_data": {}}),
    _link("eth1", master="br0"),
]


@pytest.mark.parametrize(
    ("vrf", "expected"),
    [
        ("", ["10.0.0.1", "10.0.0.2"]),
        ("RED", ["10.0.0.2"]),
        ("default", ["10.0.0.1"]),
        ("global", ["10.0.0.1"]),
        ("BLUE", []),
    ],
)
def test_neighbors_are_told_apart_by_vrf(vrf: str, expected: list[str]) -> None:
    mac = "02:00:0a:04:00:01"
    entries = [
        {"dst": "10.0.0.1", "dev": "eth0", "lladdr": mac, "state": ["PERMANENT"], "confirmed": 9},
        {"dst": "10.0.0.2", "dev": "br0", "lladdr": mac, "state": ["STALE"], "confirmed": 9},
        {"dst": "10.0.0.3", "dev": "eth0", "state": ["FAILED"]},
    ]

    found = interfaces.neighbors(entries, _VRF_LINKS, vrf)

    assert [entry["ip"] for entry in found] == expected
    assert {entry["ip"]: entry["age"] for entry in found} == {
        address: {"10.0.0.1": -1.0, "10.0.0.2": 9.0}[address] for address in expected
    }


def test_interfaces_are_in_their_vrf() -> None:
    found = interfaces.network_instances(_VRF_LINKS, {"RED": "64500:7"})

    assert found["RED"]["state"] == {"route_distinguisher": "64500:7"}
    assert found["RED"]["interfaces"]["interface"].keys() == {"br0", "eth1"}
    assert found["default"]["interfaces"]["interface"].keys() == {"eth0"}
    assert (found["RED"]["type"], found["default"]["type"]) == ("L3VRF", "DEFAULT_INSTANCE")


def test_vlans_are_those_of_links_and_of_bridges_that_filter() -> None:
    def bridge(name: str, filtering: int) -> dict[str, Any]:
        info = {"info_kind": "bridge", "info_data": {"vlan_filtering": filtering}}
        return _link(name, linkinfo=info)

    vlan = {"info_kind": "vlan", "info_data": {"id": 20}}
    links = [
        _link("eth0.20", link="eth0", linkinfo=vlan),
        bridge("br0", 1),
        bridge("br1", 0),
        _link("eth1", master="br0"),
        _link("eth2", master="br1"),
    ]
    ports = [
        {"ifname": "br0", "vlans": [{"vlan": 30}]},
        {"ifname": "eth1", "vlans": [{"vlan": 20}, {"vlan": 30, "vlanEnd": 31}]},
        {"ifname": "eth2", "vlans": [{"vlan": 1}]},
    ]

    assert interfaces.vlans(links, ports) == {
        20: {"name": "eth0.20", "interfaces": ["eth0", "eth1"]},
        30: {"name": "VLAN30", "interfaces": ["eth1"]},
        31: {"name": "VLAN31", "interfaces": ["eth1"]},
    }


@pytest.mark.parametrize(
    "line",
    [
        " neighbor 10.4.0.15 password canary",
        "password canary",
        "enable password 8 canary",
        " isis password md5 canary",
        " area-password clear canary authenticate snp validate",
        " ip ospf message-digest-key 5 md5 canary",
        " area 0.0.0.1 virtual-link 10.0.0.1 message-digest-key 5 md5 canary",
        " ip ospf authentication-key canary",
        " ipv6 ospf6 authentication key-id 1 hash-algo sha1 key canary",
        " ip rip authentication string canary",
        "  key-string canary",
        " ip nhrp authentication canary",
    ],
)
def test_no_secret_is_left(line: str) -> None:
    assert "canary" not in without_secrets(f"hostname a\n{line}\nend\n")
    assert without_secrets(f"{line}\n").startswith(line.partition(" canary")[0])


def test_what_is_no_secret_is_left() -> None:
    text = "service password-encryption\nneighbor 10.4.0.1 description the password is elsewhere\n"

    assert without_secrets(text) == text


def test_a_ping_without_answer_lost_all() -> None:
    found = probes.read_ping("2 packets transmitted, 0 received, 100% packet loss\n", "")

    assert found["success"]["packet_loss"] == found["success"]["probes_sent"] == 2
    assert found["success"]["results"] == []


def test_a_ping_that_never_went_out_is_an_error() -> None:
    assert probes.read_ping("", "ping: unknown host") == {"error": "ping: unknown host"}


def test_what_is_asked_for_is_no_shell_syntax() -> None:
    command = probes.ping_command(
        "$(touch /tmp/x)", "-I;id", ttl=1, timeout=1, size=1, count=1, vrf="R$D"
    )

    words = subprocess.run(
        ["sh", "-c", f'printf "%s\\n" {command}'], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert words[-1] == "$(touch /tmp/x)"
    assert words[:4] == ["ip", "vrf", "exec", "R$D"]
    assert "-I;id" in words


@pytest.mark.parametrize("destination", ["ten", "10.0.0.1; id", "10.0.0.0/33"])
def test_a_route_to_nowhere_is_an_error(destination: str) -> None:
    with pytest.raises(CommandErrorException, match="no address or prefix"):
        routes.commands(destination, longer=False)


def test_a_prefix_with_host_bits_is_its_network() -> None:
    assert routes.commands("10.4.11.5/24", longer=True) == [
        "show ip route vrf all 10.4.11.0/24 longer-prefixes json"
    ]
    assert routes.commands("2001:db8::1", longer=False) == [
        "show ipv6 route vrf all 2001:db8::1 json"
    ]


def test_a_candidate_reaches_the_host_to_the_byte(tmp_path: Any) -> None:
    text = "! it's $HOME `id` \\ \"\nEND\n  x\n"
    vtysh = tmp_path / "vtysh"
    vtysh.write_text('#!/bin/sh\ncat "$3"\n')  # -C -f FILE
    vtysh.chmod(0o755)

    script = Scripts(vtysh=str(vtysh)).check(Candidate(text, is_replacement=False))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == text


def test_every_json_value_of_an_answer_is_read() -> None:
    from napalm_frr.frr import _parse_all
    from napalm_frr.ssh import Output

    two = json.dumps({"a": 1}) + "\n\n" + json.dumps({"b": 2}) + "\n"
    assert _parse_all(Output(two)) == [{"a": 1}, {"b": 2}]
    assert _parse_all(Output("bgpd is not running\n")) == []
    with pytest.raises(CommandErrorException, match="not JSON"):
        _parse_all(Output("% something else"))
