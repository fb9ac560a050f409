"""What hosts say of themselves, and what of the facts is not so."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml

from goldentooth.check import Output, UnreadableError
from goldentooth.discovery import (
    Seen,
    appliance_commands,
    discovery_commands,
    mismatches,
    read_appliance,
    read_host,
)
from goldentooth.model import Network
from goldentooth.report.discovery import DiscoveryReport, HostDiscovery

INFRASTRUCTURE = IPv4Network("10.4.0.0/20")


def link(name: str, *addresses: str, up: bool = True) -> dict[str, Any]:
    info = [
        {"family": "inet", "local": a.partition("/")[0], "prefixlen": int(a.partition("/")[2])}
        for a in addresses
    ]
    flags = ["BROADCAST", "UP"] if up else ["BROADCAST"]
    mac = f"02:00:00:00:00:{len(name):02x}"
    common = {"link_type": "ether", "flags": flags, "address": mac, "addr_info": info}
    return {"ifname": name, **common}


def answers(links: list[dict[str, Any]], routes: list[dict[str, Any]]) -> dict[str, Output]:
    addresses, table, system, versions = discovery_commands(["frr"])
    return {
        addresses: Output(json.dumps(links).encode()),
        table: Output(json.dumps(routes).encode()),
        system: Output(b"fenn 6.1.0-21-arm64 aarch64\n"),
        versions: Output(b"ii frr 8.4.4-1.1\nun frr-pythontools \n", b"no such package", 1),
    }


def route(device: str, metric: int | None = None) -> dict[str, Any]:
    return {"dst": "10.4.0.0/20", "dev": device, **({"metric": metric} if metric else {})}


def test_the_primary_interface_is_that_of_the_route_and_the_address() -> None:
    links = [link("wlan0", "10.4.0.120/20"), link("eth0", "10.4.0.15/20")]
    routes = [route("wlan0"), route("eth0", 600)]
    seen = read_host(answers(links, routes), INFRASTRUCTURE, "10.4.0.15")
    assert (seen.interface, seen.addresses) == ("eth0", ("10.4.0.15/20",))
    assert seen.others == {"wlan0": True}


def test_without_its_address_the_lowest_metric_decides_as_in_the_kernel() -> None:
    links = [link("wlan0", "10.4.0.120/20"), link("eth0", "10.4.0.121/20")]
    routes = [route("wlan0", 600), route("eth0", 100)]
    seen = read_host(answers(links, routes), INFRASTRUCTURE, "10.4.0.15")
    assert seen.interface == "eth0"


def test_versions_are_those_of_installed_packages() -> None:
    seen = read_host(answers([], []), INFRASTRUCTURE, "10.4.0.15")
    assert seen.versions == {"frr": "8.4.4-1.1"}
    assert (seen.interface, seen.architecture) == (None, "arm64")


def test_garbage_is_unreadable() -> None:
    outputs = answers([], [])
    garbage = dict.fromkeys(outputs, Output(b"Welcome!", b"", 0))
    with pytest.raises(UnreadableError):
        read_host(garbage, INFRASTRUCTURE, "10.4.0.15")


def seen_of(network: Network, **changed: Any) -> Seen:
    node = network.nodes["fenn"]
    values: dict[str, Any] = {
        "hostname": "fenn",
        "kernel": "6.1",
        "architecture": node.facts.architecture or "arm64",
        "interface": "eth0",
        "addresses": ("10.4.0.15/20",),
    }
    return Seen(**{**values, **changed})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"interface": "end0"}, "interface is eth0 in the facts, end0 there"),
        ({"architecture": "amd64"}, "architecture is arm64 in the facts, amd64 there"),
        ({"hostname": "raspberrypi"}, "the host's name is fenn in the facts, raspberrypi there"),
        ({"addresses": ("10.4.0.99/20",)}, "10.4.0.15/20 in the facts, 10.4.0.99/20 there"),
        ({"others": {"wlan0": True}}, "wlan0 is kept down in the facts, up there"),
    ],
)
def test_a_fact_that_is_not_so_is_named_with_its_place(
    network: Network, changed: dict[str, Any], said: str
) -> None:
    (mismatch,) = mismatches(network, network.nodes["fenn"], seen_of(network, **changed))
    assert said in str(mismatch)


def test_true_facts_are_no_finding(network: Network) -> None:
    assert mismatches(network, network.nodes["fenn"], seen_of(network)) == ()


def test_discovered_yaml_keeps_other_hosts(network: Network) -> None:
    report = DiscoveryReport((HostDiscovery("fenn", seen_of(network)),), 0.1)
    text = report.discovered({"jast": {"interface": "end0"}, "fenn": {"interface": "old0"}})
    assert yaml.safe_load(text)["jast"] == {"interface": "end0"}
    assert yaml.safe_load(text)["fenn"]["interface"] == "eth0"


def test_a_host_that_is_not_reached_makes_the_status_2(network: Network) -> None:
    report = DiscoveryReport((HostDiscovery("fenn", failure="no answer"),), 0.1)
    assert report.status == 2
    assert "fenn: no answer" in report.table()


# -- an OPNsense box -------------------------------------------------------------------------

OVERVIEW = [
    {
        "device": "igc1",
        "macaddr": "02:00:00:00:00:0A",
        "status": "up",
        "is_physical": True,
        "ipv4": [{"ipaddr": "10.4.0.1/20"}, {"ipaddr": "192.0.2.1/24"}],
    },
    {"device": "igc0", "macaddr": "02:00:00:00:00:0b", "status": "up", "is_physical": True},
    {
        "device": "tun0",
        "status": "up",
        "is_physical": False,
        "ipv4": [{"ipaddr": "10.4.0.99", "subnetbits": 20, "tunnel": False}],
    },
]
PLUGINS = [
    {"name": "os-frr", "version": "1.54", "installed": "1"},
    {"name": "os-acme-client", "version": "4.0", "installed": "0"},
]


def said(name: str = "router.example.net", **firmware: Any) -> dict[str, Output]:
    information, overview, versions = appliance_commands()
    system = {"name": name, "versions": ["OPNsense 26.1-amd64", "FreeBSD 14.3-RELEASE-p2"]}
    product = {"product_version": "26.1", "plugin": PLUGINS}
    return {
        information: Output(json.dumps(system).encode()),
        overview: Output(json.dumps({"rows": OVERVIEW}).encode()),
        versions: Output(json.dumps(product).encode(), **firmware),
    }


def test_an_appliance_says_who_it_is_through_its_api() -> None:
    seen = read_appliance(said(), INFRASTRUCTURE, "10.4.0.1")
    assert seen == Seen(
        "router",
        "FreeBSD 14.3-RELEASE-p2",
        "amd64",
        "igc1",
        "02:00:00:00:00:0a",
        ("10.4.0.1/20", "192.0.2.1/24"),
        {"igc0": True},
        {"opnsense": "26.1", "os-frr": "1.54"},
    )


def test_an_appliance_is_held_against_the_facts_as_every_host(network: Network) -> None:
    seen = read_appliance(said("firewall.example.net"), INFRASTRUCTURE, "10.4.0.1")
    found = {each.fact: each.seen for each in mismatches(network, network.router, seen)}
    assert found == {"interface": "igc1", "the host's name": "firewall"}


def test_a_key_that_may_not_read_versions_leaves_them_away() -> None:
    assert read_appliance(said(is_refused=True), INFRASTRUCTURE, "10.4.0.1").versions == {}


def test_what_is_no_appliance_s_answer_is_unreadable() -> None:
    answers = {command: Output(b"<html>") for command in appliance_commands()}
    with pytest.raises(UnreadableError, match="did not print JSON"):
        read_appliance(answers, INFRASTRUCTURE, "10.4.0.1")
