"""The views of the network: what people ask for, as data and as tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goldentooth.errors import UsageError
from goldentooth.model import Network
from goldentooth.report import show
from goldentooth.report.table import format_table
from goldentooth.text import paint, readable
from tests.conftest import Shipped


def test_every_view_is_data_for_machines_and_a_table_for_people(network: Network) -> None:
    for view in (*show.VIEWS.values(), lambda network: show.show_host(network, "fenn")):
        data = view(network)
        assert json.loads(json.dumps(data, ensure_ascii=False))
        text = show.to_text(data)
        assert not any(line != line.rstrip() for line in text.splitlines())


def test_hosts_are_in_inventory_order_with_all_their_roles(network: Network) -> None:
    hosts = {host["host"]: host for host in show.show_hosts(network)["hosts"]}
    assert list(hosts) == list(network.nodes)
    assert {"worker", "gpu", "k8s", "nomad_client"} == set(hosts["velaryon"]["roles"])


def test_a_host_shows_where_each_fact_stands(network: Network) -> None:
    view = show.show_host(network, "velaryon")
    for fact in view["facts"]:
        file, line, _ = fact["where"].rsplit(":", 2)
        stated = Path(file).read_text().splitlines()[int(line) - 1]
        assert str(fact["value"]).split("'")[0] in stated or fact["fact"] in {
            *("roles", "node_labels", "load_balancer_route")
        }, fact
    where = {fact["fact"]: fact["where"] for fact in view["facts"]}
    assert "hosts.yaml" in where["address"]
    assert "groups.yaml" in where["node_labels"]
    assert "defaults.yaml" in where["interface"]
    assert view["name"] == "velaryon.nodes.goldentooth.net"


def test_a_host_shows_how_it_is_reached_and_no_secret(shipped: Shipped) -> None:
    shipped.edit("defaults", "platform: linux\n", "platform: linux\nport: 2222\n")
    shipped.edit(
        "groups",
        "gpu:\n",
        "gpu:\n  username: pi\n  password: canary0\n"
        "  connection_options: {netmiko: {extras: {secret: canary1}}}\n",
    )
    shipped.edit(
        "hosts",
        "    architecture: amd64\n",
        "    architecture: amd64\n  port: 2200\n"
        "  connection_options: {goldentooth_ssh: {password: canary2}}\n",
    )
    view = show.show_host(shipped.network, "velaryon")
    facts = {fact["fact"]: fact["value"] for fact in view["facts"]}
    where = {fact["fact"]: Path(fact["where"].split(":")[0]).name for fact in view["facts"]}
    assert {facts[name] for name in ("platform", "port", "username")} == {"linux", 2200, "pi"}
    assert facts["connection_options"] == ["goldentooth_ssh", "netmiko"]
    assert facts["password"] == "written out (not shown)"
    assert {name: where[name] for name in ("platform", "port", "username", "password")} == {
        "platform": "defaults.yaml",
        "port": "hosts.yaml",
        "username": "groups.yaml",
        "password": "groups.yaml",
    }
    assert "canary" not in str(view) + show.to_text(view)


def test_a_host_shows_its_own_artifacts_only(network: Network) -> None:
    paths = [artifact["path"] for artifact in show.show_host(network, "allyrion")["artifacts"]]
    assert "/etc/haproxy/haproxy.cfg" in paths
    assert not any("frr" in path or "kubernetes" in path for path in paths)


def test_an_unknown_host_is_refused_with_the_nearest(network: Network) -> None:
    with pytest.raises(UsageError, match=r"host 'fen' is not known: did you mean fenn\?"):
        show.show_host(network, "fen")


def test_addresses_are_in_numerical_order(network: Network) -> None:
    addresses = [line["address"] for line in show.show_addresses(network)["addresses"]]
    assert addresses[0] == "10.4.0.1"
    assert addresses.index("10.4.0.9" if "10.4.0.9" in addresses else "10.4.0.10") == 1
    assert addresses[-1] == "10.4.0.30"
    assert len(addresses) == 14


def test_bgp_shows_sessions_and_policy(network: Network) -> None:
    view = show.show_bgp(network)
    assert len(view["neighbors"]) == 12
    assert view["router"]["accepts"] == ["10.4.11.0/24 le 32", "10.4.12.0/22 le 32"]
    assert view["router"]["announces"] == []


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("", "none"),
        ("    password: ${env:BGP}\n", "by reference"),
        ("    password: canary0123\n", "written out (not shown)"),
    ],
)
def test_a_password_is_never_shown(shipped: Shipped, line: str, shown: str) -> None:
    network = shipped.edit("defaults", "  bgp:\n", f"  bgp:\n{line}").network
    assert show.show_bgp(network)["router"]["password"] == shown
    everything = [view(network) for view in show.VIEWS.values()]
    assert "canary" not in str(everything)


def test_accepting_anything_is_said_in_words(shipped: Shipped) -> None:
    network = shipped.edit("defaults", "  bgp:\n", "  bgp:\n    accept_prefixes: any\n").network
    assert show.show_bgp(network)["router"]["accepts"] == ["anything"]


def test_routes_show_the_command_that_makes_them(network: Network) -> None:
    routes = {route["host"]: route for route in show.show_routes(network)["routes"]}
    assert len(routes) == 13
    assert routes["fenn"]["via"] == "on-link"
    assert routes["allyrion"]["command"] == (
        "ip -4 route replace 10.4.11.0/24 via 10.4.0.1 dev eth0"
    )


def test_one_undiscovered_host_does_not_hide_the_others(shipped: Shipped) -> None:
    network = shipped.edit("hosts", "architecture: amd64", "interface: auto").network
    for view in (show.show_routes(network), show.show_artifacts(network)):
        assert [line["host"] for line in view["unknown"]] == ["velaryon"]
        assert "(`velaryon: {interface: eth0}`)" in view["unknown"][0]["reason"]
        assert not any(line.startswith(" ") for line in show.to_text(view).splitlines())
        assert len(next(iter(view.values()))) >= 12
    host = show.show_host(network, "velaryon")
    assert {fact["fact"]: fact["value"] for fact in host["facts"]}["interface"] == "auto"
    assert "velaryon" in show.to_text(host)


def test_haproxy_shows_the_endpoint_and_its_servers(network: Network) -> None:
    view = show.show_haproxy(network)
    assert view["endpoint"]["address"] == "10.4.0.10:6443"
    assert [server["server"] for server in view["servers"]] == ["bettley", "cargyll", "dalt"]


def test_artifacts_are_those_that_are_rendered(network: Network) -> None:
    golden = Path(__file__).parents[1] / "golden/build/manifest.json"
    rendered = {
        (entry["host"], entry["path"], entry["mode"], entry["scope"])
        for entry in json.loads(golden.read_text())["artifacts"]
    }
    shown = show.show_artifacts(network)["artifacts"]
    assert {(a["host"], a["path"], a["mode"], a["scope"]) for a in shown} == rendered
    assert len(shown) == len(rendered)


def test_an_empty_list_says_so() -> None:
    assert show.to_text({"routes": []}) == "no routes"


def test_a_table_is_aligned_and_has_no_trailing_blanks() -> None:
    text = format_table(("name", "bytes"), [("a", 1), ("longer", 1000)], right=(1,))
    assert text.splitlines() == ["name    bytes", "a           1", "longer   1000"]


def test_colour_is_only_on_demand() -> None:
    assert paint("text", "red", on=False) == "text"
    painted = paint("text", "red", on=True)
    assert readable(painted, colour=True) == "\x1b[31mtext\x1b[0m"
    assert readable(painted) == "text"
