"""Everything that follows from the facts, against what the network's design says."""

from __future__ import annotations

import dataclasses
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldentooth.errors import Location, RenderError
from goldentooth.model import Network, Route

if TYPE_CHECKING:
    from tests.conftest import Shipped

NODES = [
    *("bettley", "cargyll", "dalt", "erenford", "fenn", "gardener"),
    *("harlton", "inchfield", "jast", "karstark", "lipps", "velaryon"),
]
CONTROL_PLANES = ["bettley", "cargyll", "dalt"]


def names(nodes: Any) -> list[str]:
    return [node.name for node in nodes]


# -- who is there --------------------------------------------------------------------------


def test_the_network_is_thirteen_hosts_and_the_router(network: Network) -> None:
    assert list(network.nodes) == ["allyrion", *NODES, "router"]
    assert {name: str(node.address) for name, node in network.nodes.items()} == {
        "allyrion": "10.4.0.10",
        **{name: f"10.4.0.{last}" for last, name in enumerate(NODES[:-1], start=11)},
        "velaryon": "10.4.0.30",
        "router": "10.4.0.1",
    }


def test_every_kubernetes_node_is_a_neighbor_of_the_router(network: Network) -> None:
    assert names(network.kubernetes_nodes) == NODES
    assert names(network.bgp_neighbors) == NODES
    assert network.router.name == "router"


def test_control_planes_and_workers_are_apart(network: Network) -> None:
    assert names(network.control_planes) == CONTROL_PLANES
    assert names(network.workers) == NODES[3:]
    assert names(network.load_balancers) == ["allyrion"]


def test_a_node_knows_what_it_is_for(network: Network) -> None:
    what = {
        name: (node.is_kubernetes_node, node.is_control_plane, node.is_router)
        for name, node in network.nodes.items()
    }
    assert what["allyrion"] == (False, False, False)
    assert what["dalt"] == (True, True, False)
    assert what["velaryon"] == (True, False, False)
    assert what["router"] == (False, False, True)


def test_nodes_can_be_kept_in_a_set(network: Network) -> None:
    assert len({*network.nodes.values(), network.router, network.endpoint.node}) == 14


def test_roles_are_all_groups_nearest_first(network: Network) -> None:
    assert network.nodes["bettley"].roles == (
        *("raspberry_pi_8gb", "raspberry_pi", "control_plane", "k8s", "nomad_client"),
    )
    assert network.groups["worker"] == ("k8s", "nomad_client")
    assert network.groups["haproxy"] == ()


def test_a_role_lists_its_nodes_in_inventory_order(network: Network) -> None:
    assert names(network.in_role("vault_server")) == ["erenford", "fenn", "gardener"]
    assert names(network.in_role("raspberry_pi")) == ["allyrion", *NODES[:-1]]
    assert network.in_role("no_such_role") == ()


def test_facts_are_merged_host_before_group_before_defaults(network: Network) -> None:
    pi, velaryon = network.nodes["karstark"].facts, network.nodes["velaryon"].facts
    assert (pi.hardware, pi.architecture) == ("Raspberry Pi 4B 4 GB", "arm64")
    assert (pi.interface, pi.wireless_interface) == ("eth0", "wlan0")
    assert (velaryon.hardware, velaryon.architecture) == ("x86-64 with a GPU", "amd64")
    assert (velaryon.interface, velaryon.wireless_interface) == ("eth0", None)
    assert velaryon.node_labels == {"node.goldentooth.net/gpu": "true"}
    assert network.nodes["router"].platform == "opnsense"
    assert network.nodes["fenn"].platform == "linux"


# -- the API -------------------------------------------------------------------------------


def test_the_endpoint_is_the_load_balancer(network: Network) -> None:
    assert str(network.endpoint) == "10.4.0.10:6443"
    assert network.endpoint.node is network.nodes["allyrion"]


def test_without_a_load_balancer_the_endpoint_is_the_first_control_plane(shipped: Shipped) -> None:
    network = shipped.edit("hosts", "haproxy, nfs", "nfs").network
    assert str(network.endpoint) == "10.4.0.11:6443"
    assert "10.4.0.10" not in network.cert_sans


def test_the_endpoint_follows_the_port(shipped: Shipped) -> None:
    assert str(shipped.edit("defaults", "6443", "8443").network.endpoint) == "10.4.0.10:8443"


def test_the_certificate_holds_endpoint_and_control_planes_once_and_sorted(
    network: Network,
) -> None:
    assert network.cert_sans == (
        *("10.4.0.10", "10.4.0.11", "10.4.0.12", "10.4.0.13"),
        *("allyrion", "allyrion.nodes.goldentooth.net"),
        *("bettley", "bettley.nodes.goldentooth.net"),
        *("cargyll", "cargyll.nodes.goldentooth.net"),
        *("dalt", "dalt.nodes.goldentooth.net"),
    )


def test_addresses_in_the_certificate_are_sorted_as_addresses(shipped: Shipped) -> None:
    network = shipped.edit("hosts", "10.4.0.12", "10.4.0.9").network
    assert network.cert_sans[:4] == ("10.4.0.9", "10.4.0.10", "10.4.0.11", "10.4.0.13")


def test_names_in_the_certificate_are_sorted_whatever_the_order_of_hosts(shipped: Shipped) -> None:
    shipped.edit("hosts", "allyrion:", "zed:")
    assert shipped.network.cert_sans[-2:] == ("zed", "zed.nodes.goldentooth.net")


def test_stated_names_of_the_certificate_are_kept_as_they_are(shipped: Shipped) -> None:
    shipped.edit("defaults", "api_port: 6443", "api_port: 6443\n    cert_sans: [b.net, 10.4.0.99]")
    assert shipped.network.cert_sans == ("b.net", "10.4.0.99")


def test_full_names_are_in_the_nodes_domain(network: Network) -> None:
    assert network.fqdn(network.nodes["fenn"]) == "fenn.nodes.goldentooth.net"


# -- BGP -----------------------------------------------------------------------------------


def test_the_router_takes_exactly_the_pool(network: Network) -> None:
    assert network.accepted_prefixes == (IPv4Network("10.4.11.0/24"), IPv4Network("10.4.12.0/22"))


@pytest.mark.parametrize(
    ("stated", "accepted"),
    [
        ("pool", (IPv4Network("10.4.11.0/24"), IPv4Network("10.4.12.0/22"))),
        ("any", None),
        ("[10.4.11.0/24]", (IPv4Network("10.4.11.0/24"),)),
        ("[]", ()),
    ],
)
def test_what_the_router_takes_may_be_stated(
    shipped: Shipped, stated: str, accepted: tuple[IPv4Network, ...] | None
) -> None:
    shipped.edit("defaults", "hold: 180", f"hold: 180\n    accept_prefixes: {stated}")
    assert shipped.network.accepted_prefixes == accepted


@pytest.mark.parametrize(
    ("stated", "bound"),
    [("", 1279), ("    maximum_prefix: 100\n", 100), ("    maximum_prefix: 0\n", 0)],
)
def test_a_neighbor_may_send_a_route_for_every_address_of_the_pool(
    shipped: Shipped, stated: str, bound: int
) -> None:
    shipped.edit("defaults", "    hold: 180\n", f"    hold: 180\n{stated}")
    assert shipped.network.maximum_prefix == bound


def test_a_bound_is_never_more_than_frr_takes(shipped: Shipped) -> None:
    shipped.edit("defaults", "10.4.11.0-10.4.15.254", "0.0.0.0/0")
    assert shipped.network.maximum_prefix == 4294967295


def test_the_facts_of_bgp_are_those_of_the_design(network: Network) -> None:
    bgp = network.bgp
    assert (bgp.router_asn, bgp.cluster_asn) == (64500, 64501)
    assert (bgp.keepalive, bgp.hold, bgp.maximum_paths) == (60, 180, 64)


# -- routes --------------------------------------------------------------------------------

POOL = IPv4Network("10.4.11.0/24")
ON_LINK = (Route(POOL, "eth0"),)
VIA_ROUTER = (Route(POOL, "eth0", IPv4Address("10.4.0.1")),)


def test_every_host_has_the_route_that_works_for_it(network: Network) -> None:
    assert {name: network.routes(node) for name, node in network.nodes.items()} == {
        "allyrion": VIA_ROUTER,
        **dict.fromkeys(NODES, ON_LINK),
        "router": (),
    }


def test_a_route_reads_as_ip_route_prints_it() -> None:
    assert str(ON_LINK[0]) == "10.4.11.0/24 dev eth0"
    assert str(VIA_ROUTER[0]) == "10.4.11.0/24 via 10.4.0.1 dev eth0"


@pytest.mark.parametrize(
    ("stated", "routes"), [("on-link", ON_LINK), ("via-router", VIA_ROUTER), ("none", ())]
)
def test_a_host_may_state_its_own_way(
    shipped: Shipped, stated: str, routes: tuple[Route, ...]
) -> None:
    shipped.edit("hosts", "architecture: amd64", f"load_balancer_route: {stated}")
    network = shipped.network
    assert network.routes(network.nodes["velaryon"]) == routes


def test_the_router_has_no_route_to_what_it_learns_by_bgp(shipped: Shipped) -> None:
    network = shipped.edit(
        "groups", "load_balancer_route: none", "load_balancer_route: on-link"
    ).network
    assert network.routes(network.router) == ()


def test_an_interface_that_is_not_discovered_says_what_to_do(shipped: Shipped) -> None:
    network = shipped.edit("defaults", "interface: eth0", "interface: auto").network
    with pytest.raises(RenderError) as caught:
        network.routes(network.nodes["fenn"])
    assert str(caught.value) == (
        f"{place(shipped, 'defaults', 'auto')}: interface is auto, and was not discovered\n"
        "    pin it in the inventory (`interface: eth0`), or state what was discovered in"
        f" {shipped.path('discovered')} (`fenn: {{interface: eth0}}`)"
    )


def test_an_interface_that_is_not_discovered_can_be_stated_as_the_message_says(
    shipped: Shipped,
) -> None:
    network = shipped.edit("defaults", "interface: eth0", "interface: auto").network
    with pytest.raises(RenderError) as caught:
        network.routes(network.nodes["fenn"])
    *_, pasted, _ = str(caught.value).split("`")
    assert shipped.write("discovered", pasted).network.nodes["fenn"].interface == "eth0"


# -- where things stand --------------------------------------------------------------------


def place(shipped: Shipped, name: str, text: str) -> Location:
    """Return where ``text``, which stands once in the file, begins."""
    content = shipped.path(name).read_text()
    assert content.count(text) == 1
    before = content.split(text)[0]
    return Location(
        str(shipped.path(name)), before.count("\n") + 1, len(before) - before.rfind("\n")
    )


def after(location: Location, key: str) -> Location:
    return location._replace(column=location.column + len(key))


def test_a_network_wide_fact_is_found_where_it_stands(shipped: Shipped) -> None:
    network = shipped.network
    assert network.where("bgp.hold") == after(place(shipped, "defaults", "hold: 180"), "hold: ")
    assert network.where("haproxy.check.fall") == after(
        place(shipped, "defaults", "fall:"), "fall: "
    )


def test_a_fact_that_is_not_stated_is_placed_at_its_section(shipped: Shipped) -> None:
    network = shipped.network
    assert network.where("bgp.password") == place(shipped, "defaults", "bgp:\n")
    assert network.where("calico.node_mesh") == place(shipped, "defaults", "data:\n")


def test_a_host_s_fact_is_found_at_the_host_its_groups_or_the_defaults(shipped: Shipped) -> None:
    network = shipped.network
    velaryon, fenn = network.nodes["velaryon"], network.nodes["fenn"]
    for node, fact, name, text in [
        (velaryon, "architecture", "hosts", "architecture: amd64"),
        (velaryon, "node_labels", "groups", "node_labels:\n      node.goldentooth"),
        (fenn, "architecture", "groups", "architecture: arm64"),
        (fenn, "load_balancer_route", "groups", "load_balancer_route: on-link"),
        (fenn, "interface", "defaults", "interface: eth0"),
        (fenn, "hostname", "hosts", "hostname: 10.4.0.15"),
    ]:
        line = place(shipped, name, text)
        expected = (
            line._replace(line=line.line + 1, column=line.column + 2)
            if ":\n" in text
            else after(line, f"{fact}: ")
        )
        assert network.where_node(node, fact) == expected


def test_the_nearest_group_is_where_an_inherited_fact_stands(shipped: Shipped) -> None:
    shipped.edit("groups", "worker:\n", "worker:\n  data:\n    load_balancer_route: none\n")
    shipped.edit(
        "groups", "load_balancer_route: none\n\nhaproxy", "load_balancer_route: on-link\n\nhaproxy"
    )
    network = shipped.network
    fenn = network.nodes["fenn"]
    assert fenn.facts.load_balancer_route == "none"
    line = place(shipped, "groups", "load_balancer_route: none")
    assert network.where_node(fenn, "load_balancer_route") == after(line, "load_balancer_route: ")


def test_a_host_s_fact_that_is_stated_nowhere_is_at_the_host(shipped: Shipped) -> None:
    network = shipped.network
    assert network.where_node(network.nodes["fenn"], "mac") == place(shipped, "hosts", "fenn:")
    assert network.where_group("grafana") == place(shipped, "groups", "grafana:")


# -- acceptances ---------------------------------------------------------------------------

ACCEPT = "accept:\n{indent}  - {{rule: BGP001, reason: known}}\n"


def test_acceptances_of_the_network_know_where_they_stand(shipped: Shipped) -> None:
    shipped.edit(
        "defaults", "  interface: eth0\n", "  interface: eth0\n  " + ACCEPT.format(indent="  ")
    )
    network = shipped.network
    (accepted,) = [each for each in network.accepted if each[0].reason == "known"]
    assert accepted[0].rule == "BGP001"
    assert accepted[1] == place(shipped, "defaults", "{rule: BGP001, reason: known}")


def test_acceptances_of_the_network_are_not_those_of_a_node(shipped: Shipped) -> None:
    shipped.edit(
        "defaults", "  interface: eth0\n", "  interface: eth0\n  " + ACCEPT.format(indent="  ")
    )
    shipped.edit("hosts", "    architecture: amd64\n", "    " + ACCEPT.format(indent="    "))
    network = shipped.network
    assert network.nodes["fenn"].facts.accept == ()
    assert [a.rule for a in network.nodes["velaryon"].facts.accept] == ["BGP001"]


# -- it follows, and does not change -------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(roles=st.lists(st.sampled_from(["worker", "control_plane", "nfs"]), min_size=1, max_size=20))
def test_neighbors_and_names_follow_from_the_roles_alone(
    roles: list[str], tmp_path_factory: pytest.TempPathFactory, copy: Any
) -> None:
    shipped = copy(tmp_path_factory.mktemp("inventory"))
    hosts = {f"n{last}": role for last, role in enumerate(["control_plane", *roles])}
    lines = [
        f"{name}: {{hostname: 10.4.0.{last + 2}, groups: [{role}]}}"
        for last, (name, role) in enumerate(hosts.items())
    ]
    shipped.write("hosts", "\n".join([*lines, "r: {hostname: 10.4.0.1, groups: [router]}"]))
    network = shipped.network
    planes = [name for name, role in hosts.items() if role == "control_plane"]
    assert names(network.control_planes) == planes
    assert names(network.bgp_neighbors) == [name for name, role in hosts.items() if role != "nfs"]
    assert names(network.workers) == [name for name, role in hosts.items() if role == "worker"]
    assert network.endpoint.node.name == planes[0]
    assert len(network.cert_sans) == 3 * len(planes)


def test_nothing_of_the_network_can_be_changed(network: Network) -> None:
    fenn = network.nodes["fenn"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        network.bgp = network.bgp  # type: ignore[misc]  # that it cannot be is the point
    with pytest.raises(dataclasses.FrozenInstanceError):
        fenn.name = "x"  # type: ignore[misc]  # as above
    with pytest.raises(AttributeError):
        network.bgp.hold = 1  # type: ignore[misc]  # as above
    with pytest.raises(AttributeError):
        fenn.facts.interface = "x"  # type: ignore[misc]  # as above
    with pytest.raises(AttributeError):
        network.load_balancer.pool.first = fenn.address  # type: ignore[misc]  # as above
    for mapping in (network.nodes, network.groups):
        with pytest.raises(TypeError):
            mapping["x"] = None  # type: ignore[index]  # as above


def test_a_repr_does_not_list_where_everything_stands(network: Network) -> None:
    assert "marks" not in repr(network)
