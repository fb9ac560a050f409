"""What Nornir gets from us is what its own SimpleInventory would give it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from nornir import InitNornir
from nornir.core.inventory import ConnectionOptions, Host, Inventory
from nornir.core.plugins.inventory import InventoryPluginRegister
from nornir.plugins.inventory.simple import SimpleInventory

from goldentooth.inventory import (
    FactsInventory,
    GoldentoothInventory,
    nornir_inventory,
)
from goldentooth.yamlfile import parse_document

if TYPE_CHECKING:
    from tests.conftest import Shipped

ATTRIBUTES = ("hostname", "port", "username", "password", "platform")


def options(connection: ConnectionOptions) -> dict[str, Any]:
    return connection.dict()


def assert_hosts_equal(ours: Host, theirs: Host, connections: set[str], groups: list[str]) -> None:
    assert list(ours.keys()) == list(theirs.keys())
    assert list(ours.values()) == list(theirs.values())
    for key in theirs:
        assert_same_answer(ours, theirs, key)
    assert_same_answer(ours, theirs, "no such key")
    assert [g.name for g in ours.extended_groups()] == [g.name for g in theirs.extended_groups()]
    for attribute in ATTRIBUTES:
        assert getattr(ours, attribute) == getattr(theirs, attribute)
        assert ours.get(attribute) == theirs.get(attribute)
    for group in [*groups, "no such group"]:
        assert ours.has_parent_group(group) == theirs.has_parent_group(group)
    for connection in sorted(connections):
        assert options(ours.get_connection_parameters(connection)) == options(
            theirs.get_connection_parameters(connection)
        )
    assert options(ours.get_connection_parameters()) == options(theirs.get_connection_parameters())


def assert_same_answer(ours: Host, theirs: Host, key: str) -> None:
    """``host[key]`` gives the same, be it a value or a KeyError."""
    try:
        expected = theirs[key]
    except KeyError:
        with pytest.raises(KeyError):
            ours[key]
    else:
        assert ours[key] == expected


def assert_inventories_equal(ours: Inventory, theirs: Inventory) -> None:
    assert ours.dict() == theirs.dict()
    assert list(ours.hosts) == list(theirs.hosts)
    assert list(ours.groups) == list(theirs.groups)
    elements = [ours.defaults, *ours.groups.values(), *ours.hosts.values()]
    connections = {name for element in elements for name in element.connection_options}
    for kind in ("groups", "hosts"):
        for name, element in getattr(theirs, kind).items():
            assert_hosts_equal(
                getattr(ours, kind)[name], element, {*connections, "other"}, list(theirs.groups)
            )
    for group in theirs.groups:
        assert {h.name for h in ours.children_of_group(group)} == {
            h.name for h in theirs.children_of_group(group)
        }
    assert ours.dict() == theirs.dict()  # asking has changed both alike


def simple(folder: Path) -> Inventory:
    """Load with Nornir's own plugin."""
    files = (str(folder / f"{name}.yaml") for name in ("hosts", "groups", "defaults"))
    return SimpleInventory(*files).load()


# -- the shipped files ---------------------------------------------------------------------


def test_the_shipped_inventory_is_what_nornir_reads(shipped: Shipped) -> None:
    assert_inventories_equal(shipped.load(), simple(shipped.folder))


def test_connection_options_at_all_levels_are_what_nornir_reads(shipped: Shipped) -> None:
    shipped.edit(
        "defaults",
        "platform: linux\n",
        "platform: linux\nport: 22\nusername: ansible\npassword: ${env:SSH_PASSWORD}\n"
        "connection_options:\n"
        "  ssh: {port: 2222, extras: {timeout: 5, keys: [a, b]}}\n"
        "  netmiko: {username: net, platform: linux, extras: {fast_cli: true}}\n",
    )
    shipped.edit(
        "groups",
        "worker:\n  groups: [k8s]\n",
        "worker:\n  groups: [k8s]\n  username: work\n"
        "  connection_options:\n"
        "    netmiko: {port: 23, extras: {secret: x}}\n"
        "    napalm: {platform: frr, extras: null}\n",
    )
    shipped.edit(
        "hosts",
        "  groups: [gpu, worker]\n",
        "  groups: [gpu, worker]\n  port: 2022\n"
        "  connection_options:\n"
        "    netmiko: {hostname: 10.4.0.31, password: '${env:P}', extras: {}}\n"
        "    ssh: {extras: null, port: null}\n",
    )
    inventory = shipped.load()
    assert_inventories_equal(inventory, simple(shipped.folder))
    netmiko = inventory.hosts["velaryon"].get_connection_parameters("netmiko")
    assert netmiko.dict() == {
        "hostname": "10.4.0.31",
        "port": 23,
        "username": "net",
        "password": "${env:P}",
        "platform": "linux",
        "extras": {},
    }


def test_the_plugin_is_found_by_its_name(shipped: Shipped) -> None:
    InventoryPluginRegister.auto_register()
    nornir = InitNornir(
        inventory={
            "plugin": "GoldentoothInventory",
            "options": {
                f"{kind}_file": str(shipped.path(f"{kind}s" if kind != "defaults" else kind))
                for kind in ("host", "group", "defaults")
            },
        },
        logging={"enabled": False},
    )
    assert isinstance(nornir.inventory, FactsInventory)
    assert len(nornir.inventory.hosts) == 14
    assert set(nornir.filter(name="fenn").inventory.hosts) == {"fenn"}


# -- tricky mappings -----------------------------------------------------------------------

DIAMOND = {
    "hosts": {
        "h1": {"hostname": "a", "groups": ["left", "right"], "data": {"own": 1, "none": None}},
        "h2": {"groups": ["right", "left", "right"], "port": 0, "data": None},
        "h3": {"groups": None, "hostname": "", "username": None},
        "h4": {},
        "h5": {"groups": ["alone", "bottom"], "data": {"site": {"a": 1}}},
    },
    "groups": {
        "left": {"groups": ["bottom"], "data": {"site": "left", "list": [1, [2]]}, "port": 1},
        "right": {"groups": ["bottom", "top"], "data": {"site": "right", "false": False}},
        "bottom": {"groups": ["top"], "data": {"site": "bottom", "none": 3}, "username": "b"},
        "top": {"data": {"top": True, "own": 9, "zero": 0}, "platform": "t", "hostname": "top"},
        "alone": {},
    },
    "defaults": {
        "port": 22,
        "hostname": "d",
        "data": {"site": "d", "only": None, "nothing": "", "deep": {"x": [None]}},
        "connection_options": {"ssh": {"port": 5, "extras": {"a": 1}}},
    },
}
OPTIONS = {
    "hosts": {
        "h1": {"groups": ["a", "b"], "connection_options": {"ssh": {"port": 1}}},
        "h2": {"groups": ["b", "a"], "connection_options": {"ssh": {"extras": {}}}},
        "h3": {"groups": ["c"], "connection_options": {"cli": {"extras": {"x": 1}}}},
        "h4": {"username": "own"},
    },
    "groups": {
        "a": {"connection_options": {"ssh": {"username": "a", "extras": {"from": "a"}}, "cli": {}}},
        "b": {"connection_options": {"ssh": {"username": "b", "password": "", "port": 0}}},
        "c": {"groups": ["a"], "connection_options": {"ssh": {"platform": "c"}}},
    },
    "defaults": {
        "username": "d",
        "connection_options": {"ssh": {"hostname": "d", "extras": {"from": "d"}}, "net": {}},
    },
}


def both(folder: Path, files: dict[str, Any]) -> tuple[Inventory, Inventory]:
    """Return the inventory of ``files``, written and read by our reader and by Nornir's."""
    mappings = []
    for name, value in files.items():
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(value, sort_keys=False))
        document = parse_document(path.read_bytes(), path.name)
        assert document.problems == []
        mappings.append(document.value)
    paths = (str(folder / f"{name}.yaml") for name in ("hosts", "groups", "defaults"))
    hosts, groups, defaults = nornir_inventory(*mappings)
    return Inventory(hosts, groups, defaults), SimpleInventory(*paths).load()


@pytest.mark.parametrize(
    "files",
    [DIAMOND, OPTIONS, {"hosts": {}, "groups": {}, "defaults": {}}],
    ids=["diamond", "options", "empty"],
)
def test_tricky_inheritance_is_what_nornir_makes_of_it(
    tmp_path: Path, files: dict[str, Any]
) -> None:
    assert_inventories_equal(*both(tmp_path, files))


NAMES = st.sampled_from(["g0", "g1", "g2", "g3", "g4"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.sampled_from(["", "x", "no", "010", "12:30"])
)
DATA = st.none() | st.dictionaries(
    st.sampled_from(["a", "b", "c", "on"]),
    st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=2), max_leaves=3),
    max_size=4,
)
PARAMETERS = {
    "hostname": st.none() | st.sampled_from(["", "10.4.0.1"]),
    "port": st.none() | st.integers(0, 9),
    "username": st.none() | st.just("u"),
    "password": st.none() | st.just("p"),
    "platform": st.none() | st.just("l"),
}
CONNECTIONS = st.dictionaries(
    st.sampled_from(["ssh", "net"]),
    st.fixed_dictionaries({}, optional={**PARAMETERS, "extras": DATA}),
    max_size=2,
)
ENTRY = {**PARAMETERS, "data": DATA, "connection_options": CONNECTIONS}


def element(parents: st.SearchStrategy[str]) -> st.SearchStrategy[dict[str, Any]]:
    groups = st.none() | st.lists(parents, max_size=3)
    return st.fixed_dictionaries({}, optional={**ENTRY, "groups": groups})


@st.composite
def inventories(draw: st.DrawFn) -> dict[str, Any]:
    """Any inventory whose groups are without a circle: a group's parents come after it."""
    names = ["g0", "g1", "g2", "g3", "g4"]
    groups = {
        name: draw(element(st.sampled_from([*names[index + 1 :], "top"])))
        for index, name in enumerate(names)
    }
    groups["top"] = draw(st.fixed_dictionaries({}, optional=ENTRY))
    hosts = draw(st.dictionaries(st.sampled_from(["h1", "h2", "h3"]), element(NAMES), max_size=3))
    defaults = draw(st.fixed_dictionaries({}, optional=ENTRY))
    return {"hosts": hosts, "groups": groups, "defaults": defaults}


@settings(max_examples=60, deadline=None)
@given(files=inventories())
def test_any_inventory_is_what_nornir_makes_of_it(
    files: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert_inventories_equal(*both(tmp_path_factory.mktemp("inventory"), files))


# -- the typed network agrees with Nornir --------------------------------------------------


def assert_nodes_agree(inventory: FactsInventory) -> None:
    for name, host in inventory.hosts.items():
        node = inventory.network.nodes[name]
        assert str(node.address) == host.hostname
        assert node.platform == host.platform
        assert list(node.roles) == [group.name for group in host.extended_groups()]
        for fact in ("hardware", "architecture", "wireless_interface", "mac"):
            assert getattr(node.facts, fact) == host.get(fact)
        assert node.facts.interface == host["interface"]
        assert node.facts.load_balancer_route == host.get("load_balancer_route", "via-router")


def test_the_shipped_network_says_what_nornir_says(shipped: Shipped) -> None:
    assert_nodes_agree(shipped.load())


@settings(max_examples=40, deadline=None)
@given(
    parents=st.lists(
        st.lists(st.sampled_from([f"g{i}" for i in range(7)]), max_size=3), min_size=7, max_size=7
    ),
    routes=st.lists(st.sampled_from([None, "on-link", "none"]), min_size=7, max_size=7),
    platforms=st.lists(st.sampled_from([None, "linux", "other"]), min_size=7, max_size=7),
    own=st.lists(st.sampled_from([f"g{i}" for i in range(7)]), max_size=4),
)
def test_facts_are_inherited_as_nornir_inherits_them(
    *,
    parents: list[list[str]],
    routes: list[str | None],
    platforms: list[str | None],
    own: list[str],
    tmp_path_factory: pytest.TempPathFactory,
    copy: Callable[[Path], Shipped],
) -> None:
    shipped = copy(tmp_path_factory.mktemp("inventory"))
    groups = yaml.safe_load(shipped.path("groups").read_text())
    for index, (names, route, platform) in enumerate(zip(parents, routes, platforms, strict=True)):
        groups[f"g{index}"] = {
            "groups": [name for name in names if name > f"g{index}"],
            "data": {"load_balancer_route": route} if route else {},
            "platform": platform,
        }
    shipped.write("groups", yaml.safe_dump(groups, sort_keys=False))
    shipped.edit("hosts", "[gpu, worker]", str([*own, "gpu", "worker", *reversed(own)]))
    assert_nodes_agree(shipped.load())


def test_roles_are_in_the_order_of_nornir_s_own_example(shipped: Shipped) -> None:
    """The one in the docstring of ``InventoryElement.extended_groups``."""
    shipped.write(
        "groups",
        shipped.path("groups").read_text()
        + "group_a: {groups: [group_1, group_2]}\ngroup_b: {groups: [group_2, group_3]}\n"
        "group_1: {groups: [group_x]}\ngroup_2:\ngroup_3:\ngroup_x:\n"
        "top: {groups: [group_a, group_b]}\n",
    )
    shipped.edit("hosts", "[gpu, worker]", "[top]")
    inventory = shipped.load()
    assert_nodes_agree(inventory)
    assert inventory.network.nodes["velaryon"].roles == (
        *("top", "group_a", "group_1", "group_x", "group_2", "group_b", "group_3"),
    )


def test_many_diamonds_of_groups_take_no_time(shipped: Shipped) -> None:
    """Twenty-five in a row have 2^25 ways from bottom to top."""
    layers = "".join(
        f"a{i}: {{groups: [a{i + 1}, b{i + 1}]}}\nb{i}: {{groups: [b{i + 1}, a{i + 1}]}}\n"
        for i in range(25)
    )
    shipped.write("groups", shipped.path("groups").read_text() + layers + "a25:\nb25:\n")
    shipped.edit("hosts", "[gpu, worker]", "[gpu, worker, a0]")
    assert len(shipped.network.nodes["velaryon"].roles) == 4 + 51


def test_a_long_chain_of_groups_is_read(shipped: Shipped) -> None:
    chain = "".join(f"c{i}: {{groups: [c{i + 1}]}}\n" for i in range(1000))
    shipped.write("groups", shipped.path("groups").read_text() + chain + "c1000:\n")
    assert len(shipped.network.groups["c0"]) == 1000


# -- discovered interfaces -----------------------------------------------------------------


def test_an_interface_that_is_auto_is_taken_from_what_was_discovered(shipped: Shipped) -> None:
    shipped.edit("defaults", "interface: eth0", "interface: auto")
    shipped.write("discovered", "fenn: {interface: enp1s0}\n")
    assert shipped.network.nodes["fenn"].interface == "enp1s0"
    assert shipped.network.nodes["jast"].facts.interface == "auto"


def test_a_pinned_interface_is_not_overruled_by_what_was_discovered(shipped: Shipped) -> None:
    shipped.write("discovered", "fenn: {interface: enp1s0}\n")
    assert shipped.network.nodes["fenn"].interface == "eth0"


def test_a_discovered_host_that_is_not_in_the_inventory_is_refused(shipped: Shipped) -> None:
    shipped.write("discovered", "jast: {interface: end0}\nfen: {interface: enp1s0}\n")
    (problem,) = shipped.problems
    assert problem.message == f"fen: is not a host of {shipped.path('hosts')}"
    assert (problem.where or ())[1:] == (2, 1)
    assert problem.remedy == "did you mean fenn?"


@pytest.mark.parametrize("name", ["auto", "all", "lo", "default", "none"])
def test_what_was_discovered_is_one_interface(shipped: Shipped, name: str) -> None:
    shipped.write("discovered", f"fenn: {{interface: {name}}}\n")
    assert shipped.report == [
        f"discovered.yaml:1:19: fenn: interface '{name}' is not an interface name"
    ]


def test_a_mistake_in_what_was_discovered_is_reported(shipped: Shipped) -> None:
    shipped.write("discovered", "fenn: {interface: 'a b', speed: 1}\n")
    assert shipped.report == [
        "discovered.yaml:1:19: fenn: interface 'a b' is not an interface name",
        "discovered.yaml:1:26: fenn: unknown key 'speed'",
    ]


# -- missing files -------------------------------------------------------------------------


def test_missing_hosts_and_defaults_are_both_reported(tmp_path: Path) -> None:
    names = ("hosts", "groups", "defaults", "discovered")
    plugin = GoldentoothInventory(*(str(tmp_path / f"{name}.yaml") for name in names))
    with pytest.raises(Exception, match=r"hosts\.yaml:1:1: cannot be read") as caught:
        plugin.load()
    assert "defaults.yaml:1:1: cannot be read: no such file" in str(caught.value)
    assert "groups.yaml" not in str(caught.value)
    assert "discovered.yaml" not in str(caught.value)


def test_a_group_file_that_is_a_broken_link_is_not_passed_over(shipped: Shipped) -> None:
    shipped.path("groups").unlink()
    shipped.path("groups").symlink_to("nowhere.yaml")
    assert shipped.report == ["groups.yaml:1:1: cannot be read: no such file or directory"]
