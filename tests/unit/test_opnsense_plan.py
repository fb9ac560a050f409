"""The router's plan: ours is made so and nothing else, in an order that no relation refuses.

The calls are answered by the simulator's controllers, in this process and without a network.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldentooth.errors import FactsError
from goldentooth.facts import Bfd, StaticRoute
from goldentooth.model import Network
from goldentooth.opnsense import (
    Action,
    Backup,
    Intended,
    Live,
    Plan,
    UnknownModelError,
    intended_state,
    plan,
    read_live,
    restore_plan,
    with_secrets,
)
from goldentooth.opnsense.models import (
    BFD_PEER,
    HOST_OVERRIDE,
    KINDS,
    NEIGHBOR,
    PREFIX_LIST,
    SECTIONS,
    STATIC_ROUTE,
    TABLE,
    Field,
    fields_of,
    value_of,
)
from goldentooth.opnsense.state import make_item, own_mark, own_uuid
from goldentooth.twin.opnsense_simulator.api import Api, Request
from goldentooth.twin.opnsense_simulator.models import Models
from goldentooth.twin.opnsense_simulator.store import Store
from tests.conftest import Shipped
from tests.opnsense_router import WrittenRouting

FOREIGN = "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"
OTHER = "1f1f1f1f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"


class Box:
    """A router's controllers and store, and FRR as it would be told."""

    def __init__(self, folder: Path) -> None:
        self.routing = WrittenRouting()
        store = Store(Models(TABLE), folder / "store.json")
        self.api = Api(store, self.routing, "router.nodes.goldentooth.net")
        self.calls = 0

    def post(self, path: str, body: Any = None) -> Any:
        status, answer = self.api.answer(Request("POST", path, body or {}))
        assert status == 200, (path, answer)
        return answer

    def live(self) -> Live:
        answers = {}
        for model, section in SECTIONS.items():
            path = "/".join((*section.address, "get"))
            answers[model] = self.api.answer(Request("GET", path, {}))[1][section.key]
        names = [(name, value) for name, _, value in self.api.served]
        return read_live(answers, running=self.routing.running, names_served=names)

    def carry_out(self, drawn: Plan, *, calls: int | None = None) -> None:
        assert drawn.obstacles == ()
        for call in drawn.calls[:calls]:
            answer = self.post(str(call), call.body)
            self.calls += 1
            assert answer.get("result", answer.get("status")) in {"saved", "deleted", "ok"}, answer

    def make(self, intended: Intended) -> None:
        self.carry_out(plan(intended, self.live()))

    def saved(self) -> Any:
        """What is saved, in whatever order."""
        return json.loads(json.dumps(self.api.store.config))


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def changes(drawn: Plan) -> list[tuple[str, str]]:
    return [(change.action.value, str(change)) for change in drawn.changes]


def without(network: Network, *names: str) -> Network:
    return network.only(name for name in network.nodes if name not in names)


def with_bgp(network: Network, **facts: Any) -> Network:
    return replace(network, bgp=msgspec.structs.replace(network.bgp, **facts))


# -- what is intended ------------------------------------------------------------------------


def test_the_facts_become_neighbors_lists_maps_and_names(network: Network) -> None:
    intended = intended_state(network)
    by_kind = {kind: [item.name for item in intended.of_kind(kind)] for kind in KINDS}
    addresses = [str(node.address) for node in network.bgp_neighbors]
    assert by_kind[NEIGHBOR] == addresses
    assert by_kind[PREFIX_LIST] == ["CLUSTER-IN:5", "CLUSTER-IN:10"]
    assert by_kind[HOST_OVERRIDE] == [f"{network.fqdn(node)} A" for node in network.nodes.values()]
    assert by_kind[STATIC_ROUTE] == []


def test_every_neighbor_has_a_map_in_and_out(network: Network) -> None:
    intended = intended_state(network)
    for item in intended.of_kind(NEIGHBOR):
        names = [intended.items[item.values[f"linkedRoutemap{way}"]].name for way in ("In", "Out")]
        assert names == ["CLUSTER-IN:10", "CLUSTER-OUT:10"]


def test_anything_is_accepted_through_a_map_that_matches_all(network: Network) -> None:
    intended = intended_state(with_bgp(network, accept_prefixes="any"))
    assert intended.of_kind(PREFIX_LIST) == ()
    (route_map,) = (i for i in intended.items.values() if i.name == "CLUSTER-IN:10")
    assert route_map.values["match2"] == ""


def test_a_password_comes_with_the_address_that_the_model_wants_with_it(network: Network) -> None:
    intended = intended_state(with_bgp(network, password="${env:BGP}"))
    filled = with_secrets(intended, lambda text: text.replace("${env:BGP}", "hunter2"))
    for item in filled.of_kind(NEIGHBOR):
        assert item.values["password"] == "hunter2"
        assert item.values["localip"] == "10.4.0.1"


def test_bfd_is_a_peer_for_every_neighbor_and_its_daemon(network: Network) -> None:
    bfd = Bfd(transmit_interval=400, receive_interval=350, detect_multiplier=4)
    intended = intended_state(with_bgp(network, bfd=bfd))
    assert intended.settings["bfd"] == {"enabled": "1"}
    peers = {item.name: item.values for item in intended.of_kind(BFD_PEER)}
    assert set(peers) == {str(node.address) for node in network.bgp_neighbors}
    fenn = peers["10.4.0.15"]
    assert (fenn["transmit_interval"], fenn["receive_interval"]) == ("400", "350")
    assert (fenn["detect_multiplier"], fenn["description"]) == ("4", "fenn")
    assert {item.values["bfd"] for item in intended.of_kind(NEIGHBOR)} == {"1"}


def test_without_bfd_the_model_is_nobody_s_business(network: Network) -> None:
    intended = intended_state(network)
    assert ("bfd" in intended.settings, intended.of_kind(BFD_PEER)) == (False, ())


def test_bfd_that_is_given_up_takes_its_peers_along(network: Network, box: Box) -> None:
    box.make(intended_state(with_bgp(network, bfd=Bfd())))
    assert "neighbor 10.4.0.15 bfd" in box.routing.running
    drawn = plan(intended_state(network), box.live())
    deleted = [str(change) for change in drawn.changes if change.action.value == "delete"]
    assert deleted == [f"BFD peer {node.address}" for node in network.bgp_neighbors]
    box.carry_out(drawn)
    assert plan(intended_state(network), box.live()).is_empty
    assert " bfd" not in box.routing.running


def test_the_router_s_own_routes_are_static_routes(network: Network, box: Box) -> None:
    route = StaticRoute(to=IPv4Network("198.51.100.0/24"), via=IPv4Address("10.4.0.40"))
    facts = msgspec.structs.replace(network.router.facts, static_routes=(route,))
    router = replace(network.router, facts=facts)
    with_route = replace(network, nodes={**network.nodes, "router": router})
    intended = intended_state(with_route)
    (item,) = intended.of_kind(STATIC_ROUTE)
    assert (item.values["network"], item.values["gateway"]) == ("198.51.100.0/24", "10.4.0.40")
    assert "static_routes of router" in item.origins["network"]
    assert intended.settings["static"] == {"enabled": "1"}
    box.make(intended)
    assert "ip route 198.51.100.0/24 10.4.0.40" in box.routing.running
    drawn = plan(intended_state(network), box.live())
    assert [change.action.value for change in drawn.changes] == ["delete"]
    box.carry_out(drawn)
    assert "ip route" not in box.routing.running


def test_what_the_models_cannot_hold_names_the_fact_and_its_place(shipped: Shipped) -> None:
    shipped.edit("defaults", "keepalive: 60", "keepalive: 2000")
    shipped.edit("defaults", "hold: 180", "hold: 6000")
    with pytest.raises(FactsError) as caught:
        intended_state(shipped.network)
    report = str(caught.value)
    assert "defaults.yaml:28:16: bgp.keepalive: '2000'" in report
    assert "is above 1000" in report
    assert "bgp.hold: '6000'" in report


def test_what_cannot_be_expressed_is_said(network: Network) -> None:
    assert "bgp.maximum_prefix (1279)" in intended_state(network).limits[0]
    assert intended_state(with_bgp(network, maximum_prefix=0)).limits == ()


# -- the plan --------------------------------------------------------------------------------


def test_an_empty_router_is_filled_and_then_nothing_is_left(network: Network, box: Box) -> None:
    intended = intended_state(network)
    box.make(intended)
    left = plan(intended, box.live())
    assert left.is_empty
    assert left.pending == ()
    assert box.routing.applied == 1
    assert "neighbor 10.4.0.11 remote-as 64501" in box.routing.running


def test_lists_are_made_before_maps_before_neighbors_and_deleted_after(
    network: Network, box: Box
) -> None:
    intended = intended_state(network)
    made = [change.kind for change in plan(intended, box.live()).changes]
    assert made.index("prefix list") < made.index("route map") < made.index("neighbor")
    box.make(intended)
    nothing = replace(intended, items={}, settings={"bgp": intended.settings["bgp"]})
    gone = [c.kind for c in plan(nothing, box.live()).changes if c.action is Action.DELETE]
    assert gone.index("neighbor") < gone.index("route map") < gone.index("prefix list")
    box.make(nothing)
    assert box.live().items == {}


def test_a_removed_node_takes_its_neighbor_and_its_name_and_nothing_else(
    network: Network, box: Box
) -> None:
    box.make(intended_state(network))
    drawn = plan(intended_state(without(network, "fenn")), box.live())
    assert changes(drawn) == [
        ("delete", "host override fenn.nodes.goldentooth.net A"),
        ("delete", "neighbor 10.4.0.15"),
    ]
    assert [str(call) for call in drawn.calls[-2:]] == [
        "quagga/service/reconfigure",
        "unbound/service/reconfigure",
    ]


def test_a_changed_fact_is_one_field_of_each_neighbor(network: Network, box: Box) -> None:
    box.make(intended_state(network))
    drawn = plan(intended_state(with_bgp(network, keepalive=20)), box.live())
    assert len(drawn.changes) == 12
    assert {str(field).partition("   ")[0] for c in drawn.changes for field in c.fields} == {
        "keepalive: 60 -> 20"
    }
    assert drawn.calls[0].body == {"neighbor": {"keepalive": "20"}}
    assert [call.module for call in drawn.calls if call.is_reconfigure] == ["quagga"]


@pytest.mark.parametrize(
    ("path", "body", "shown"),
    [
        ("bgp/setNeighbor", {"neighbor": {"weight": "7"}}, "weight: 7 -> (none)"),
        ("bgp/toggleNeighbor", {}, "enabled: 0 -> 1"),
        ("bgp/setNeighbor", {"neighbor": {"remoteas": "65000"}}, "remoteas: 65000 -> 64501"),
        (
            "bgp/setNeighbor",
            {"neighbor": {"address": "10.4.0.99"}},
            "address: 10.4.0.99 -> 10.4.0.15",
        ),
        (
            "bgp/setNeighbor",
            {"neighbor": {"linkedRoutemapIn": ""}},
            "linkedRoutemapIn: (none) -> CLUSTER-IN:10",
        ),
    ],
)
def test_a_hand_edit_names_neighbor_and_field(
    network: Network, box: Box, path: str, body: Any, shown: str
) -> None:
    intended = intended_state(network)
    box.make(intended)
    uuid = own_uuid(intended.mark, NEIGHBOR, "10.4.0.15")
    box.post(f"quagga/{path}/{uuid}", body)
    (change,) = plan(intended, box.live()).changes
    assert str(change) == "neighbor 10.4.0.15"
    (field,) = change.fields
    assert str(field).startswith(shown)


def test_settings_that_others_may_need_are_left(network: Network, box: Box) -> None:
    intended = intended_state(network)
    box.post("quagga/bgp/set", {"bgp": {"networks": "203.0.113.0/24"}})
    box.post("quagga/general/set", {"general": {"enablesnmp": "1"}})
    box.make(intended)
    assert box.live().settings["bgp"]["networks"] == "203.0.113.0/24"
    assert box.live().settings["general"]["enablesnmp"] == "1"


def add_foreign(box: Box) -> None:
    """Put objects of somebody else beside ours."""
    box.post(
        f"quagga/bgp/setPrefixlist/{FOREIGN}",
        {
            "prefixlist": {
                "name": "UPSTREAM",
                "seqnumber": "1",
                "action": "permit",
                "network": "0.0.0.0/0",
            }
        },
    )
    neighbor = {"address": "203.0.113.9", "remoteas": "65009", "linkedPrefixlistIn": FOREIGN}
    box.post("quagga/bgp/addNeighbor", {"neighbor": neighbor})
    box.post("quagga/static/addRoute", {"route": {"network": "1.2.3.0/24", "gateway": "10.4.0.2"}})
    host = {"hostname": "printer", "domain": "goldentooth.net", "server": "10.4.0.240"}
    box.post("unbound/settings/addHostOverride", {"host": host})


def test_foreign_objects_are_named_and_left_alone(network: Network, box: Box) -> None:
    add_foreign(box)
    before = box.live().items
    drawn = plan(intended_state(network), box.live())
    assert drawn.foreign == (
        "prefix list UPSTREAM:1",
        "neighbor 203.0.113.9",
        "static route 1.2.3.0/24 10.4.0.2",
        "host override printer.goldentooth.net A",
    )
    box.carry_out(drawn)
    assert {uuid: box.live().items[uuid] for uuid in before} == before


def test_lists_that_are_never_ours_are_named_too(network: Network, box: Box) -> None:
    path = {"number": "10", "action": "permit", "as": "_65009$"}
    communities = {"number": "5", "seqnumber": "20", "action": "deny", "community": "65009:1"}
    made = [
        box.post("quagga/bgp/addAspath", {"aspath": path})["uuid"],
        box.post("quagga/bgp/addCommunitylist", {"communitylist": communities})["uuid"],
    ]
    drawn = plan(intended_state(network), box.live())
    assert drawn.foreign == ("AS path list 10 permit _65009$", "community list 5:20")
    before = {uuid: box.live().items[uuid] for uuid in made}
    box.carry_out(drawn)
    box.make(replace(intended_state(network), items={}))
    assert {uuid: box.live().items[uuid] for uuid in made} == before


def test_what_stands_by_hand_where_ours_belongs_is_replaced(network: Network, box: Box) -> None:
    intended = intended_state(network)
    leak = {"name": "CLUSTER-IN", "seqnumber": "7", "action": "permit", "network": "0.0.0.0/0"}
    box.post("quagga/bgp/addPrefixlist", {"prefixlist": leak})
    twice = {"address": "10.4.0.15", "remoteas": "65000"}
    box.post("quagga/bgp/addNeighbor", {"neighbor": twice})
    drawn = plan(intended, box.live())
    by_hand = [str(c) for c in drawn.changes if c.reason.startswith("made by hand")]
    assert by_hand == ["neighbor 10.4.0.15", "prefix list CLUSTER-IN:7"]
    box.carry_out(drawn)
    assert set(box.live().items) == set(intended.items)


def test_what_others_use_is_not_deleted_under_them(network: Network, box: Box) -> None:
    intended = intended_state(network)
    box.make(intended)
    (ours,) = (i for i in intended.items.values() if str(i) == "prefix list CLUSTER-IN:10")
    neighbor = {"address": "203.0.113.9", "remoteas": "65009", "linkedPrefixlistIn": ours.uuid}
    box.post("quagga/bgp/addNeighbor", {"neighbor": neighbor})
    fewer = with_bgp(network, accept_prefixes=network.accepted_prefixes[:1])  # type: ignore[index]
    drawn = plan(intended_state(fewer), box.live())
    assert "neighbor 203.0.113.9 (not ours) refers to it" in drawn.obstacles[0]


def test_an_alias_of_somebody_is_not_deleted_with_the_name_that_it_is_of(
    network: Network, box: Box
) -> None:
    box.make(intended_state(network))
    fenn = own_uuid(own_mark("goldentooth.net"), HOST_OVERRIDE, "fenn.nodes.goldentooth.net A")
    aliases = ({"hostname": "www", "domain": "goldentooth.net"}, {"hostname": "web"})
    made = [
        box.post("unbound/settings/addHostAlias", {"alias": {"host": fenn, **alias}})
        for alias in aliases
    ]
    box.post("unbound/service/reconfigure")
    drawn = plan(intended_state(network), box.live())
    assert (drawn.is_empty, drawn.obstacles) == (True, ()), "as long as the name stays"
    assert drawn.foreign == ("host alias www.goldentooth.net", "host alias web")
    fewer = intended_state(without(network, "fenn"))
    (obstacle,) = plan(fewer, box.live()).obstacles
    assert "host override fenn.nodes.goldentooth.net A is to be deleted" in obstacle
    assert "OPNsense deletes host alias www.goldentooth.net, host alias web (not ours)" in obstacle
    for answer in made:
        box.post(f"unbound/settings/delHostAlias/{answer['uuid']}")
    box.make(fewer)
    assert plan(fewer, box.live()).is_empty


def test_the_uuid_says_whose_it_is_and_a_clone_does_not_carry_it(
    network: Network, box: Box
) -> None:
    intended = intended_state(network)
    box.make(intended)
    box.post("quagga/bgp/setNeighbor/" + FOREIGN, {"neighbor": {"address": "10.4.0.77"}})
    assert plan(intended, box.live()).foreign == ("neighbor 10.4.0.77",)
    other = own_mark("other.example")
    assert not own_uuid(other, NEIGHBOR, "10.4.0.11").startswith(intended.mark)


def test_what_is_saved_and_does_not_run_is_made_live(network: Network, box: Box) -> None:
    intended = intended_state(network)
    drawn = plan(intended, box.live())
    box.carry_out(drawn, calls=-2)  # without its two reconfigures
    left = plan(intended, box.live())
    assert left.changes == ()
    assert "neighbor 10.4.0.11" in left.pending
    assert [str(c) for c in left.calls] == [
        "quagga/service/reconfigure",
        "unbound/service/reconfigure",
    ]
    box.carry_out(left)
    assert plan(intended, box.live()).is_empty


def test_a_neighbor_that_runs_and_is_not_saved_is_pending(network: Network, box: Box) -> None:
    intended = intended_state(network)
    box.make(intended)
    smaller = intended_state(without(network, "fenn"))
    box.carry_out(plan(smaller, box.live()), calls=-2)
    assert "neighbor 10.4.0.15 still runs" in plan(smaller, box.live()).pending


@pytest.mark.parametrize(
    ("path", "title", "edit"),
    [
        ("bgp/set", "settings bgp", {"bgp": {"maximumpaths": "1"}}),
        ("bgp/set", "settings bgp", {"bgp": {"graceful": "1"}}),
        ("bgp/set", "settings bgp", {"bgp": {"bestpath": "compare-routerid"}}),
        ("bgp/set", "settings bgp", {"bgp": {"asnumber": "65000"}}),
        ("general/set", "settings general", {"general": {"sysloglevel": "errors"}}),
        ("bgp/setRoutemap", "route map CLUSTER-IN:10", {"routemap": {"match2": ""}}),
        ("bgp/setRoutemap", "route map CLUSTER-OUT:10", {"routemap": {"action": "permit"}}),
        (
            "bgp/setPrefixlist",
            "prefix list CLUSTER-IN:5",
            {"prefixlist": {"network": "0.0.0.0/0 le 32"}},
        ),
        *(
            ("bgp/setNeighbor", "neighbor 10.4.0.11", {"neighbor": values})
            for values in (
                {"password": "canary", "localip": "10.4.0.1"},
                {"weight": "7"},
                {"multihop": "1"},
                {"multiprotocol": "1"},
                {"defaultoriginate": "1"},
                {"keepalive": "7"},
                {"description": "somebody"},
            )
        ),
        ("bfd/setNeighbor", "BFD peer 10.4.0.11", {"neighbor": {"transmit_interval": "900"}}),
        ("bfd/setNeighbor", "BFD peer 10.4.0.11", {"neighbor": {"multihop": "1"}}),
    ],
)
def test_an_edit_that_was_taken_back_and_runs_is_found_and_made_good(
    network: Network, box: Box, path: str, title: str, edit: Any
) -> None:
    intended = intended_state(with_bgp(network, bfd=Bfd()))
    box.make(intended)
    right, saved = box.routing.running, box.saved()
    uuids = {str(item): uuid for uuid, item in intended.items.items()}
    box.post(f"quagga/{path}/{uuids.get(title, '')}", edit)
    box.post("quagga/service/reconfigure")
    assert box.routing.running != right
    box.api.store.config = saved  # put back field by field, and not applied
    drawn = plan(intended, box.live())
    assert drawn.changes == ()
    assert title in drawn.pending
    assert "canary" not in str(drawn.lines())
    box.carry_out(drawn)
    assert box.routing.running == right
    assert plan(intended, box.live()).is_empty


def test_what_ran_and_was_deleted_without_a_reconfigure_is_found(
    network: Network, box: Box
) -> None:
    intended = intended_state(network)
    box.make(intended)
    route = {"route": {"network": "198.51.100.0/24", "gateway": "10.4.0.40"}}
    peer = {"neighbor": {"address": "10.4.0.40"}}
    name = {"host": {"hostname": "gone", "domain": "nodes.goldentooth.net", "server": "10.4.0.40"}}
    box.post("quagga/static/set", {"staticd": {"enabled": "1"}})
    box.post("quagga/bfd/set", {"bfd": {"enabled": "1"}})
    made = {
        "quagga/static/delRoute": box.post("quagga/static/addRoute", route),
        "quagga/bfd/delNeighbor": box.post("quagga/bfd/addNeighbor", peer),
        "unbound/settings/delHostOverride": box.post("unbound/settings/addHostOverride", name),
    }
    for module in ("quagga", "unbound"):
        box.post(f"{module}/service/reconfigure")
    assert plan(intended, box.live()).is_empty, "somebody's own, and saved"
    for path, answer in made.items():
        box.post(f"{path}/{answer['uuid']}")
    drawn = plan(intended, box.live())
    assert set(drawn.pending) == {
        "static route 198.51.100.0/24 10.4.0.40 still runs",
        "BFD peer 10.4.0.40 still runs",
        "gone.nodes.goldentooth.net (10.4.0.40) is still answered with",
    }
    box.carry_out(drawn)
    assert plan(intended, box.live()).is_empty


def test_a_fact_that_follows_what_was_saved_and_not_applied_is_made_live(
    network: Network, box: Box
) -> None:
    box.make(intended_state(network))
    box.post("quagga/bgp/set", {"bgp": {"maximumpaths": "32"}})
    drawn = plan(intended_state(with_bgp(network, maximum_paths=32)), box.live())
    assert (drawn.changes, drawn.pending) == ((), ("settings bgp",))
    box.carry_out(drawn)
    assert "maximum-paths 32" in box.routing.running


def test_names_of_leases_and_the_routers_own_are_not_taken_for_ours(
    network: Network, box: Box
) -> None:
    intended = intended_state(network)
    box.make(intended)
    served = [
        *((name, value) for name, _, value in box.api.served),
        ("router.nodes.goldentooth.net", "192.0.2.1"),
        ("nodes.goldentooth.net", "nobody.invalid. 1 3600 1200 604800 10800"),
    ]
    assert plan(intended, read_live(_answers(box, dict), names_served=served)).is_empty

    def leases(answers: dict[str, Any]) -> None:
        answers["unbound"]["general"] = {"regdhcp": "1"}

    served.append(("phone.nodes.goldentooth.net", "10.4.0.200"))
    assert not plan(intended, read_live(_answers(box, dict), names_served=served)).is_empty
    assert plan(intended, read_live(_answers(box, leases), names_served=served)).is_empty


def test_frr_may_say_more_of_its_own_and_leave_out_what_is_its_default(
    network: Network, box: Box
) -> None:
    intended = intended_state(with_bgp(network, bfd=Bfd()))
    box.make(intended)
    running = box.routing.running.replace("  maximum-paths 64\n", "")
    running = running.replace(" bgp router-id", " bgp hard-administrative-reset\n bgp router-id")
    running = running.replace(
        " address-family ipv4", " no neighbor 10.4.0.11 enforce-first-as\n address-family ipv4"
    )
    running = "\n".join(line for line in running.split("\n") if "timers 60 180" not in line)
    box.routing.running = f"Building configuration...\n\nCurrent configuration:\n!\n{running}end\n"
    assert plan(intended, box.live()).pending == ()


def test_200_neighbors_take_a_call_each(network: Network, box: Box) -> None:
    many = _with_nodes(network, 200)
    intended = intended_state(many)
    box.make(intended)
    assert len(box.live().of_kind(NEIGHBOR)) == 212
    assert plan(intended, box.live()).is_empty
    drawn = plan(intended_state(without(many, "extra7")), box.live())
    assert len(drawn.changes) == 2


def _with_nodes(network: Network, count: int) -> Network:
    template = network.nodes["velaryon"]
    extra = {
        f"extra{n}": replace(template, name=f"extra{n}", address=template.address + 100 + n)
        for n in range(count)
    }
    return replace(network, nodes={**network.nodes, **extra})


# -- secrets ---------------------------------------------------------------------------------


def test_a_password_is_compared_and_never_shown(network: Network, box: Box) -> None:
    intended = intended_state(with_bgp(network, password="${env:BGP}"))
    box.make(with_secrets(intended, lambda text: text.replace("${env:BGP}", "canary-old")))
    now = with_secrets(intended, lambda text: text.replace("${env:BGP}", "canary-new"))
    live = box.live()
    drawn = plan(now, live)
    assert len(drawn.changes) == 12
    shown = "\n".join(drawn.lines()) + json.dumps(drawn.as_dict()) + repr((drawn, now, live))
    shown += json.dumps(drawn.backup.as_dict()) + repr(drawn.backup) + repr(drawn.calls)
    assert "canary" not in shown
    assert "password: (secret) -> (secret)" in shown


# -- back again ------------------------------------------------------------------------------


def test_a_backup_puts_everything_back(network: Network, box: Box) -> None:
    add_foreign(box)
    box.post("quagga/bgp/addNeighbor", {"neighbor": {"address": "10.4.0.15", "remoteas": "7"}})
    before = box.saved()
    drawn = plan(intended_state(network), box.live())
    box.carry_out(drawn)
    stored = json.loads(json.dumps(drawn.backup.as_dict()))
    box.carry_out(restore_plan(Backup.from_dict(stored), box.live()))
    assert box.saved() == before


def test_a_stored_backup_says_which_password_it_does_not_hold(network: Network, box: Box) -> None:
    with_password = with_bgp(network, password="${env:BGP}")

    def filled(network: Network, value: str) -> Intended:
        return with_secrets(intended_state(network), lambda text: text.replace("${env:BGP}", value))

    box.make(filled(with_password, "canary"))
    gone = plan(filled(without(with_password, "fenn"), "canary"), box.live())
    box.carry_out(gone)
    restored = restore_plan(Backup.from_dict(gone.backup.as_dict()), box.live())
    assert restored.notes == (
        "neighbor 10.4.0.15: its password was not stored, and it must be set anew",
    )
    box.make(filled(with_password, "canary"))
    rotated = plan(filled(with_password, "canary-2"), box.live())
    box.carry_out(rotated)
    assert restore_plan(rotated.backup, box.live()).notes == (), "in memory it is held"
    restored = restore_plan(Backup.from_dict(rotated.backup.as_dict()), box.live())
    assert (restored.changes, len(restored.notes)) == ((), 12)
    assert "10.4.0.15: its password was not stored, and it stays as it is" in restored.notes[4]


# -- other versions of the models ------------------------------------------------------------


def _answers(box: Box, change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    answers = {}
    for model, section in SECTIONS.items():
        path = "/".join((*section.address, "get"))
        answers[model] = box.api.answer(Request("GET", path, {}))[1][section.key]
    change(answers)
    return answers


def test_a_field_that_is_not_known_is_named_and_left_alone(network: Network, box: Box) -> None:
    intended = intended_state(network)
    box.make(intended)

    def newer(answers: dict[str, Any]) -> None:
        answers["bgp"]["newsetting"] = "1"
        for item in answers["bgp"]["neighbors"]["neighbor"].values():
            item["shiny"] = "0"

    live = read_live(_answers(box, newer))
    drawn = plan(intended, live)
    assert drawn.is_empty
    assert "bgp.neighbors.neighbor.shiny, bgp.newsetting" in drawn.notes[-1]


def test_an_older_plugin_is_enough_if_nothing_needs_what_it_lacks(
    network: Network, box: Box
) -> None:
    intended = intended_state(network)
    box.make(intended)

    def older(answers: dict[str, Any]) -> None:
        for item in answers["bgp"]["neighbors"]["neighbor"].values():
            del item["bfd_strict"]

    assert plan(intended, read_live(_answers(box, older))).is_empty


def test_a_plugin_that_lacks_what_the_facts_need_is_too_old(network: Network, box: Box) -> None:
    def older(answers: dict[str, Any]) -> None:
        del answers["bgp"]["maximumpaths"]

    drawn = plan(intended_state(network), read_live(_answers(box, older)))
    assert "has no bgp.maximumpaths, which bgp.maximum_paths (" in drawn.obstacles[0]


def test_a_model_without_a_list_is_not_taken_for_an_empty_one(box: Box) -> None:
    def odd(answers: dict[str, Any]) -> None:
        del answers["bgp"]["routemaps"]

    with pytest.raises(UnknownModelError, match=r"no routemaps\.routemap"):
        read_live(_answers(box, odd))


# -- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "is_refused"),
    [
        (Field("integer", minimum=1, maximum=9), "0", True),
        (Field("integer", minimum=1, maximum=9), "9", False),
        (Field("integer"), "1x", True),
        (Field("network", mask_refused=True), "10.0.0.0/8", True),
        (Field("network", mask_required=True), "10.0.0.1", True),
        (Field("network", mask_required=True, strict=True), "10.0.0.1/8", True),
        (Field("option", options=("a", "b")), "a,b", True),
        (Field("option", options=("a", "b"), multiple=True), "a,b", False),
        (Field("text", required=True), "", True),
        (Field("text"), "", False),
        (Field("text", mask="/^[a-z]{1,3}$/i"), "ABCD", True),
        (Field("text", mask="/^[a-z]{1,3}$/i"), "ABC", False),
    ],
)
def test_rules_are_the_models_own(field: Field, value: str, is_refused: bool) -> None:
    assert (field.refusal(value) is not None) == is_refused


def test_every_default_of_the_models_is_taken_by_its_own_field() -> None:
    for model in SECTIONS:
        for fields in (fields_of(model), *(k.fields for k in KINDS if k.model == model)):
            for name, field in fields.items():
                assert field.default == "" or field.refusal(field.default) is None, name


@pytest.mark.parametrize("answer", [None, [], "", {}, {"": {"value": "None", "selected": 1}}])
def test_nothing_has_one_form(answer: Any) -> None:
    assert value_of(answer) == ""


# -- for any two networks --------------------------------------------------------------------

NAMES = ["bettley", "cargyll", "erenford", "fenn", "gardener", "velaryon"]
FACTS = st.fixed_dictionaries(
    {
        "bgp": st.fixed_dictionaries(
            {
                "keepalive": st.integers(1, 1000),
                "hold": st.integers(3, 3000),
                "cluster_asn": st.integers(1, 4294967294),
                "maximum_paths": st.integers(1, 128),
                "bfd": st.sampled_from([None, Bfd(), Bfd(transmit_interval=400)]),
                "accept_prefixes": st.sampled_from(["pool", "any"]),
                "password": st.sampled_from([None, "secret-a", "secret-b"]),
            }
        ),
        "without": st.sets(st.sampled_from(NAMES)),
        "routes": st.dictionaries(
            st.sampled_from(["198.51.100.0/24", "198.51.101.0/24"]),
            st.sampled_from(["10.4.0.2", "10.4.0.3"]),
        ),
    }
)
"""What may differ between two networks."""


def state_of(network: Network, facts: dict[str, Any]) -> Intended:
    intended = intended_state(without(with_bgp(network, **facts["bgp"]), *facts["without"]))
    routes = [
        make_item(intended.mark, STATIC_ROUTE, {"network": prefix, "gateway": gateway}, {})
        for prefix, gateway in facts["routes"].items()
    ]
    return replace(
        intended,
        items={**intended.items, **{route.uuid: route for route in routes}},
        # once it is needed it stays: others may have come to need it
        settings={**intended.settings, "static": {"enabled": "1"}, "bfd": {"enabled": "1"}},
    )


@settings(max_examples=40)
@given(before=FACTS, after=FACTS)
def test_after_any_state_another_one_is_as_if_it_alone_had_been(
    network: Network, before: dict[str, Any], after: dict[str, Any]
) -> None:
    first, second = state_of(network, before), state_of(network, after)
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        both, alone = Box(Path(one)), Box(Path(other))
        for box in (both, alone):
            add_foreign_with_fixed_uuids(box)
        both.make(first)
        both.make(second)
        alone.make(second)
        assert both.saved() == alone.saved()
        assert plan(second, both.live()).is_empty
        assert plan(second, both.live()).foreign == plan(second, alone.live()).foreign
        assert sorted(both.routing.running.splitlines()) == sorted(
            alone.routing.running.splitlines()
        )


@settings(max_examples=25)
@given(before=FACTS, after=FACTS, share=st.floats(0, 1))
def test_a_run_that_is_cut_off_anywhere_is_made_whole_by_the_next(
    network: Network, before: dict[str, Any], after: dict[str, Any], share: float
) -> None:
    first, second = state_of(network, before), state_of(network, after)
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        cut, whole = Box(Path(one)), Box(Path(other))
        for box in (cut, whole):
            box.make(first)
        drawn = plan(second, cut.live())
        cut.carry_out(drawn, calls=round(share * len(drawn.calls)))
        cut.make(second)
        whole.make(second)
        assert cut.saved() == whole.saved()
        assert sorted(cut.routing.running.splitlines()) == sorted(
            whole.routing.running.splitlines()
        )


def add_foreign_with_fixed_uuids(box: Box) -> None:
    neighbor = {"neighbor": {"address": "203.0.113.9", "remoteas": "65009", "weight": "5"}}
    box.post(f"quagga/bgp/setNeighbor/{FOREIGN}", neighbor)
    route = {"route": {"network": "192.0.2.0/24", "gateway": "10.4.0.9"}}
    box.post(f"quagga/static/setRoute/{OTHER}", route)
