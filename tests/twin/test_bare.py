"""A bare twin is what a first deployment meets: Debian hosts with an address, SSH, no more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldentooth.model import Network
from goldentooth.twin import Twin, remove_twin
from tests.twin.claims.observation import shell, succeeds

pytestmark = pytest.mark.root

HOSTS = ["router", "allyrion", "fenn"]


@pytest.fixture(scope="module")
def bare(network: Network, artifacts: Path) -> Iterator[Twin]:
    """Return a twin on which nothing has been deployed."""
    name = f"bare{os.getpid()}"
    try:
        yield Twin.up(network, artifacts, name=name, hosts=HOSTS, bare=True)
    finally:
        remove_twin(name)


def _active(twin: Twin, host: str, *units: str) -> list[str]:
    return twin.exec(host, ["systemctl", "is-active", *units]).stdout.decode().split()


def test_its_hosts_are_reached_by_ssh_at_their_addresses(bare: Twin, network: Network) -> None:
    for host in HOSTS:
        address = str(network.nodes[host].address)
        done = bare.run(["ssh", "-o", "BatchMode=yes", address, "hostname"])
        assert done.stdout == f"{host}\n".encode(), done.stderr
        assert f"inet {address}/20 brd 10.4.15.255 " in shell(bare, host, "ip address show eth0")
    assert "default via 10.4.0.1 dev eth0" in shell(bare, "allyrion", "ip route")


def test_nothing_of_ours_is_there_or_runs(bare: Twin, artifacts: Path) -> None:
    for host in HOSTS:
        for file in (artifacts / host).rglob("*"):
            path = f"/{file.relative_to(artifacts / host)}"
            theirs = Path(path).read_text() if Path(path).is_file() else None  # its package's own
            there = bare.exec(host, ["cat", path])
            assert file.is_dir() or there.stdout.decode() == (theirs or ""), path
        assert not succeeds(bare, host, "test -e /var/lib/goldentooth/state.json")
    assert _active(bare, "allyrion", "haproxy.service", "networking.service") == ["inactive"] * 2
    assert _active(bare, "router", "frr.service") == ["inactive"]
    enabled = bare.exec("allyrion", ["systemctl", "is-enabled", "haproxy.service"]).stdout
    assert enabled == b"disabled\n"


def test_the_packages_of_its_services_are_there(bare: Twin) -> None:
    assert succeeds(bare, "allyrion", "haproxy -v")
    assert succeeds(bare, "router", "/usr/lib/frr/bgpd --version")


def test_what_stands_in_for_others_runs(bare: Twin) -> None:
    units = ("frr.service", "stand-in-kube-proxy.service", "stand-in-web.socket")

    assert _active(bare, "fenn", *units) == ["active"] * 3
    assert {stand_in.stands_for for stand_in in bare.status().stand_ins} >= {
        "MetalLB's BGP speaker",
        "what installed the host",
    }


def test_faults_are_healed_without_anything_deployed(bare: Twin) -> None:
    bare.break_("power", "fenn")
    assert {fall.subject for fall in bare.verify()} == {"power", "ssh"}

    bare.heal()

    assert bare.verify() == []


def test_a_deployed_interface_takes_over_at_the_next_boot(bare: Twin, artifacts: Path) -> None:
    path = "etc/network/interfaces.d/eth0.cfg"
    bare.exec("allyrion", ["tee", f"/{path}"], stdin=(artifacts / "allyrion" / path).read_bytes())
    shell(bare, "allyrion", "systemctl enable networking.service")

    bare.break_("power", "allyrion")
    bare.heal()

    units = ("networking.service", "stand-in-address.service", "ssh.service")
    assert _active(bare, "allyrion", *units) == ["active", "inactive", "active"]
    assert shell(bare, "allyrion", "systemctl --failed --quiet --plain") == ""
    assert shell(bare, "allyrion", "ip -4 -o address show eth0").count("inet ") == 1
    routes = shell(bare, "allyrion", "ip route")
    assert "default via 10.4.0.1 dev eth0" in routes
    assert "10.4.11.0/24 via 10.4.0.1 dev eth0" in routes
