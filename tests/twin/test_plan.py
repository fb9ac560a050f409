"""What a twin is going to be follows from the facts alone; nothing is made here."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest

from goldentooth.model import Network
from goldentooth.twin import TwinError
from goldentooth.twin.expectations import restore_check
from goldentooth.twin.image import read_artifacts, units_of
from goldentooth.twin.plan import CLIENT, OPERATOR, operator_address, plan_twin
from goldentooth.twin.segment import derived_mac, port
from goldentooth.twin.state import Record, check_name
from tests.conftest import Shipped


@pytest.fixture
def record(network: Network, artifacts: Path) -> Record:
    return _plan(network, artifacts)


def _plan(network: Network, artifacts: Path, hosts: list[str] | None = None) -> Record:
    return plan_twin(
        "main",
        network=network,
        artifacts=artifacts,
        files=read_artifacts(artifacts),
        hosts=hosts,
        created=0.0,
    )


def test_every_host_of_the_inventory_is_a_machine(record: Record, network: Network) -> None:
    assert list(record.machines) == [*network.nodes, OPERATOR, CLIENT]


def test_a_mac_address_comes_from_the_facts_or_is_a_local_one(shipped: Shipped) -> None:
    shipped.edit(
        "hosts",
        "  hostname: 10.4.0.15\n",
        '  hostname: 10.4.0.15\n  data: {mac: "dc:a6:32:00:00:0b"}\n',
    )

    machines = plan_twin(
        "main",
        network=shipped.network,
        artifacts=Path(),
        files={},
        hosts=["fenn", "jast"],
        created=0,
    ).machines

    assert machines["fenn"].links[0].mac == "dc:a6:32:00:00:0b"
    assert machines["jast"].links[0].mac == derived_mac(IPv4Address("10.4.0.19"))


def test_a_wireless_interface_is_there_where_a_host_has_one(record: Record) -> None:
    assert [link.name for link in record.machines["fenn"].links] == ["eth0", "wlan0"]
    assert [link.name for link in record.machines["velaryon"].links] == ["eth0"]


def test_the_operator_takes_nobodys_address(network: Network) -> None:
    assert operator_address(network) == IPv4Address("10.4.0.2")


def test_the_operator_keeps_off_hosts_dhcp_and_pool(shipped: Shipped) -> None:
    shipped.edit("defaults", "10.4.0.100-10.4.0.254", "10.4.0.2-10.4.0.9")

    assert operator_address(shipped.network) == IPv4Address("10.4.0.22")


def test_units_follow_from_the_services_with_files_there(network: Network, artifacts: Path) -> None:
    files = read_artifacts(artifacts)

    def units(host: str) -> tuple[str, ...]:
        return units_of(network, network.nodes[host], files[host])

    assert units("router")[0] == "frr.service"
    assert units("allyrion")[0] == "haproxy.service"
    assert "frr.service" not in units("allyrion")


def test_only_what_is_up_is_expected_to_answer(network: Network, artifacts: Path) -> None:
    record = _plan(network, artifacts, ["router", "allyrion", "bettley", "fenn"])

    ids = {restore_check(check).id for check in record.checks}
    assert {"bgp.session[bettley]", "bgp.session[fenn]", "haproxy.backend[bettley]"} <= ids
    assert not {"bgp.session[dalt]", "haproxy.backend[dalt]", "api.server[dalt]"} & ids
    assert {host for stand_in in record.stand_ins for host in stand_in.hosts} == {
        "router",
        "bettley",
        "fenn",
    }


def test_without_the_router_there_is_nothing_beyond_it(network: Network, artifacts: Path) -> None:
    record = _plan(network, artifacts, ["fenn"])

    assert CLIENT not in record.machines
    assert all(check.host == "fenn" for check in record.checks)


def test_ports_of_the_segment_fit_an_interface_name(record: Record) -> None:
    ports = [port(host, link) for host in record.machines.values() for link in host.links]

    assert len(set(ports)) == len(ports)
    assert max(map(len, ports)) <= 15


def test_a_host_that_is_not_there_is_named(network: Network, artifacts: Path) -> None:
    with pytest.raises(TwinError, match="there is no host 'fen'"):
        _plan(network, artifacts, ["fen"])


@pytest.mark.parametrize("name", ["", "a-b", "A", "1a", "a" * 17, "a/b", ".."])
def test_a_name_that_could_be_mistaken_is_refused(name: str) -> None:
    with pytest.raises(TwinError, match="cannot be named"):
        check_name(name)


def test_artifacts_that_were_not_rendered_are_said_so(tmp_path: Path) -> None:
    with pytest.raises(TwinError, match="holds no rendered artifacts"):
        read_artifacts(tmp_path)
