"""The simulator answers as OPNsense's API does: asked by hand, with no client of ours.

What is held against it is what is known of the API (goldentooth/opnsense/models.json and the
core's controllers), not what our client needs.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldentooth.opnsense.models import TABLE
from goldentooth.twin.opnsense_simulator import frr
from tests.opnsense_router import KEY, SECRET, SimulatedRouter

NEIGHBOR = {"address": "10.4.0.11", "remoteas": "64501"}
RULE = {"name": "POOL", "seqnumber": "5", "action": "permit", "network": "10.4.11.0/24 le 32"}
MAP = {"name": "IN", "id": "10", "action": "permit"}
UUID = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def router(tmp_path: Path) -> Iterator[SimulatedRouter]:
    router = SimulatedRouter(tmp_path)
    yield router
    router.stop()


def get(router: SimulatedRouter, path: str) -> Any:
    status, answer = router.ask("GET", path)
    assert status == 200, answer
    return answer


def post(router: SimulatedRouter, path: str, body: Any = None) -> Any:
    status, answer = router.ask("POST", path, body if body is not None else {})
    assert status == 200, answer
    return answer


def add(router: SimulatedRouter, action: str, body: dict[str, Any]) -> str:
    answer = post(router, f"quagga/bgp/add{action}", body)
    assert answer["result"] == "saved", answer
    return str(answer["uuid"])


# -- who may ---------------------------------------------------------------------------------


def test_nobody_asks_without_a_key(router: SimulatedRouter) -> None:
    assert router.ask("GET", "quagga/bgp/get", key="nobody") == (
        401,
        {"status": 401, "message": "Authentication Failed"},
    )


def test_a_key_is_held_to_its_privileges(router: SimulatedRouter) -> None:
    status, answer = router.ask("GET", "quagga/bgp/get", key="limited-key")
    assert (status, answer) == (403, {"status": 403, "message": "Forbidden"})


def test_the_login_page_says_what_it_is(router: SimulatedRouter) -> None:
    trust = ssl.create_default_context(cafile=str(router.authority.certificate))
    with urllib.request.urlopen(router.url, context=trust, timeout=10) as answer:  # noqa: S310  # https
        assert b"OPNsense (simulator)" in answer.read()


@pytest.mark.parametrize(
    "path",
    ["quagga/ospfsettings/get", "quagga/bgp/addNothing", "quagga/bgp", "quagga/bgp/setNeighbor"],
)
def test_what_is_not_there_is_not_found(router: SimulatedRouter, path: str) -> None:
    assert router.ask("GET", path) == (404, {"errorMessage": "Endpoint not found"})


def test_what_is_no_mapping_is_nothing_posted(router: SimulatedRouter) -> None:
    assert post(router, "quagga/bgp/set", "no mapping") == {"result": "saved"}
    assert post(router, "quagga/bgp/addNeighbor", "no mapping") == {"result": "failed"}


# -- the shape of what is read ---------------------------------------------------------------


def test_a_field_has_the_shape_of_its_kind(router: SimulatedRouter) -> None:
    add(router, "Neighbor", {"neighbor": NEIGHBOR})
    (item,) = get(router, "quagga/bgp/get")["bgp"]["neighbors"]["neighbor"].values()
    assert item["enabled"] == "1"
    assert item["bfd"] == "0"
    assert item["address"] == "10.4.0.11"
    assert item["weight"] == ""
    assert item["remote_as_mode"] == {
        "": {"value": "None", "selected": 1},
        "internal": {"value": "internal", "selected": 0},
        "external": {"value": "external", "selected": 0},
    }
    assert item["linkedPrefixlistIn"] == {"": {"value": "None", "selected": 1}}
    assert set(item["capabilities"]) == {"extended-nexthop", "dynamic", "fqdn", "link-local"}


def test_an_empty_list_is_php_s(router: SimulatedRouter) -> None:
    bgp = get(router, "quagga/bgp/get")["bgp"]
    assert bgp["neighbors"] == {"neighbor": []}
    assert bgp["networks"] == {"": {"value": "", "selected": 1}}


def test_a_relation_shows_what_there_is_to_choose(router: SimulatedRouter) -> None:
    uuid = add(router, "Prefixlist", {"prefixlist": RULE})
    add(router, "Routemap", {"routemap": MAP | {"match2": uuid}})
    (route_map,) = get(router, "quagga/bgp/get")["bgp"]["routemaps"]["routemap"].values()
    assert route_map["match2"] == {uuid: {"value": "POOL:5", "selected": 1}}
    assert route_map["match"] == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_search_has_rows_and_counts(router: SimulatedRouter, method: str) -> None:
    for number in range(3):
        add(router, "Neighbor", {"neighbor": NEIGHBOR | {"address": f"10.4.0.{number}"}})
    body = {} if method == "POST" else None
    _, answer = router.ask(method, "quagga/bgp/searchNeighbor", body)
    assert (answer["total"], answer["rowCount"], answer["current"]) == (3, 3, 1)
    assert {"uuid", "enabled", "address", "remoteas"} <= answer["rows"][0].keys()
    page = post(router, "quagga/bgp/searchNeighbor", {"rowCount": 2, "current": 2})
    assert (page["total"], page["rowCount"]) == (3, 1)
    found = post(router, "quagga/bgp/searchNeighbor", {"searchPhrase": "10.4.0.2"})
    assert [row["address"] for row in found["rows"]] == ["10.4.0.2"]


def test_a_row_has_a_relations_uuid_and_its_title(router: SimulatedRouter) -> None:
    uuid = add(router, "Prefixlist", {"prefixlist": RULE})
    add(router, "Neighbor", {"neighbor": NEIGHBOR | {"linkedPrefixlistIn": uuid}})
    (row,) = post(router, "quagga/bgp/searchNeighbor")["rows"]
    assert (row["linkedPrefixlistIn"], row["%linkedPrefixlistIn"]) == (uuid, "POOL:5")


def test_one_item_is_read_by_its_uuid_and_a_new_one_without(router: SimulatedRouter) -> None:
    uuid = add(router, "Neighbor", {"neighbor": NEIGHBOR})
    assert get(router, f"quagga/bgp/getNeighbor/{uuid}")["neighbor"]["remoteas"] == "64501"
    assert get(router, "quagga/bgp/getNeighbor")["neighbor"]["enabled"] == "1"
    assert get(router, f"quagga/bgp/getNeighbor/{UUID}") == []


def test_both_styles_of_names_are_one(router: SimulatedRouter) -> None:
    add(router, "Neighbor", {"neighbor": NEIGHBOR})
    camel = post(router, "quagga/bgp/searchNeighbor")
    assert post(router, "quagga/bgp/search_neighbor") == camel


# -- what is written -------------------------------------------------------------------------


def test_set_changes_what_is_given_and_nothing_else(router: SimulatedRouter) -> None:
    uuid = add(router, "Neighbor", {"neighbor": NEIGHBOR | {"weight": "5"}})
    answer = post(router, f"quagga/bgp/setNeighbor/{uuid}", {"neighbor": {"keepalive": 20}})
    assert answer == {"result": "saved"}
    item = get(router, f"quagga/bgp/getNeighbor/{uuid}")["neighbor"]
    assert (item["weight"], item["keepalive"]) == ("5", "20")


def test_set_of_an_unknown_uuid_makes_the_item(router: SimulatedRouter) -> None:
    path = f"quagga/bgp/setNeighbor/{UUID}"
    assert post(router, path, {"neighbor": NEIGHBOR}) == {"result": "saved"}
    assert get(router, f"quagga/bgp/getNeighbor/{UUID}")["neighbor"]["address"] == "10.4.0.11"


@pytest.mark.parametrize("uuid", ["x", "11111111-2222-1333-8444-555555555555"])
def test_set_of_what_is_no_uuid_of_version_4_fails(router: SimulatedRouter, uuid: str) -> None:
    answer = post(router, f"quagga/bgp/setNeighbor/{uuid}", {"neighbor": NEIGHBOR})
    assert answer == {"result": "failed"}


def test_a_body_under_another_key_fails(router: SimulatedRouter) -> None:
    assert post(router, "quagga/bgp/addNeighbor", {"peer": NEIGHBOR}) == {"result": "failed"}


def test_a_get_changes_nothing(router: SimulatedRouter) -> None:
    uuid = add(router, "Neighbor", {"neighbor": NEIGHBOR})
    assert get(router, f"quagga/bgp/delNeighbor/{uuid}") == {"result": "failed"}
    assert get(router, "quagga/service/reconfigure") == {"status": "failed"}
    assert router.routing.applied == 0


def test_a_field_that_is_not_single_is_an_error_without_a_word(router: SimulatedRouter) -> None:
    status, answer = router.ask(
        "POST", "quagga/bgp/addNeighbor", {"neighbor": {"address": ["10.4.0.11"]}}
    )
    assert (status, answer) == (500, {"errorMessage": "Unexpected error, check log for details"})


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("Neighbor", {"neighbor": {}}, "neighbor.address"),
        ("Neighbor", {"neighbor": NEIGHBOR | {"address": "fenn"}}, "neighbor.address"),
        ("Neighbor", {"neighbor": NEIGHBOR | {"keepalive": "0"}}, "neighbor.keepalive"),
        ("Neighbor", {"neighbor": NEIGHBOR | {"keepalive": "1001"}}, "neighbor.keepalive"),
        ("Neighbor", {"neighbor": NEIGHBOR | {"holddown": "2"}}, "neighbor.holddown"),
        ("Neighbor", {"neighbor": NEIGHBOR | {"remoteas": "4294967296"}}, "neighbor.remoteas"),
        ("Neighbor", {"neighbor": NEIGHBOR | {"bfd": "yes"}}, "neighbor.bfd"),
        ("Neighbor", {"neighbor": NEIGHBOR | {"password": "x"}}, "neighbor.localip"),
        (
            "Neighbor",
            {"neighbor": NEIGHBOR | {"linkedRoutemapIn": UUID}},
            "neighbor.linkedRoutemapIn",
        ),
        ("Prefixlist", {"prefixlist": RULE | {"name": "a b"}}, "prefixlist.name"),
        ("Prefixlist", {"prefixlist": RULE | {"seqnumber": "0"}}, "prefixlist.seqnumber"),
        ("Prefixlist", {"prefixlist": RULE | {"action": "drop"}}, "prefixlist.action"),
        ("Routemap", {"routemap": MAP | {"id": "65536"}}, "routemap.id"),
        (
            "Communitylist",
            {"communitylist": {"number": "501", "seqnumber": "10"}},
            "communitylist.number",
        ),
    ],
)
def test_the_models_rules_are_told_by_field(
    router: SimulatedRouter, action: str, body: dict[str, Any], field: str
) -> None:
    answer = post(router, f"quagga/bgp/add{action}", body)
    assert answer["result"] == "failed"
    assert answer["validations"][field]
    key = action.lower()
    assert get(router, "quagga/bgp/get")["bgp"][f"{key}s"][key] == []


@pytest.mark.parametrize(("value", "result"), [("1", "saved"), ("128", "saved"), ("129", "failed")])
def test_maximum_paths_go_to_128(router: SimulatedRouter, value: str, result: str) -> None:
    answer = post(router, "quagga/bgp/set", {"bgp": {"maximumpaths": value}})
    assert answer["result"] == result
    assert ("bgp.maximumpaths" in answer.get("validations", {})) == (result == "failed")


def test_a_static_route_needs_somewhere_to_go(router: SimulatedRouter) -> None:
    answer = post(router, "quagga/static/addRoute", {"route": {"network": "10.9.0.0/16"}})
    assert answer["validations"].keys() == {"route.gateway"}
    answer = post(
        router, "quagga/static/addRoute", {"route": {"network": "10.9.0.0", "gateway": "10.4.0.2"}}
    )
    assert answer["validations"].keys() == {"route.network"}


def test_what_is_referred_to_is_not_deleted(router: SimulatedRouter) -> None:
    uuid = add(router, "Prefixlist", {"prefixlist": RULE})
    user = add(router, "Routemap", {"routemap": MAP | {"match2": uuid}})
    status, answer = router.ask("POST", f"quagga/bgp/delPrefixlist/{uuid}", {})
    assert status == 500
    assert "in use by" in answer["errorTitle"]
    assert f"routemaps.routemap.{user}" in answer["errorMessage"]
    assert post(router, f"quagga/bgp/delRoutemap/{user}") == {"result": "deleted"}
    assert post(router, f"quagga/bgp/delPrefixlist/{uuid}") == {"result": "deleted"}
    assert post(router, f"quagga/bgp/delPrefixlist/{uuid}") == {"result": "not found"}


def test_toggle_turns_and_takes_a_state(router: SimulatedRouter) -> None:
    uuid = add(router, "Neighbor", {"neighbor": NEIGHBOR})
    path = f"quagga/bgp/toggleNeighbor/{uuid}"
    assert post(router, path) == {"result": "Disabled", "changed": True}
    assert post(router, f"{path}/0") == {"result": "Disabled", "changed": False}
    assert post(router, path) == {"result": "Enabled", "changed": True}


def test_generals_daemons_mirror_what_is_enabled(router: SimulatedRouter) -> None:
    post(router, "quagga/bgp/set", {"bgp": {"enabled": "1"}})
    daemons = get(router, "quagga/general/get")["general"]["daemons"]
    assert [name for name, option in daemons.items() if option["selected"]] == ["bgp"]
    post(router, "quagga/general/set", {"general": {"daemons": "static"}})
    assert get(router, "quagga/bgp/get")["bgp"]["enabled"] == "0"
    assert get(router, "quagga/static/get")["staticd"]["enabled"] == "1"


# -- what is live ----------------------------------------------------------------------------


def fill(router: SimulatedRouter) -> None:
    post(router, "quagga/general/set", {"general": {"enabled": "1"}})
    post(router, "quagga/bgp/set", {"bgp": {"enabled": "1", "asnumber": "64500"}})
    rule = add(router, "Prefixlist", {"prefixlist": RULE})
    route_map = add(router, "Routemap", {"routemap": MAP | {"match2": rule}})
    add(router, "Neighbor", {"neighbor": NEIGHBOR | {"linkedRoutemapIn": route_map}})
    add(router, "Neighbor", {"neighbor": NEIGHBOR | {"address": "10.4.0.12", "enabled": "0"}})


def test_nothing_is_live_before_a_reconfigure(router: SimulatedRouter) -> None:
    fill(router)
    path = "quagga/diagnostics/generalrunningconfig"
    assert get(router, path) == {"response": ""}
    assert post(router, "quagga/service/reconfigure") == {"status": "ok"}
    running = get(router, path)["response"].splitlines()
    assert "router bgp 64500" in running
    assert " neighbor 10.4.0.11 remote-as 64501" in running
    assert "  neighbor 10.4.0.11 route-map IN in" in running
    assert "ip prefix-list POOL seq 5 permit 10.4.11.0/24 le 32" in running
    assert not [line for line in running if "10.4.0.12" in line], "a disabled one is left out"


def test_names_are_served_after_unbounds_reconfigure(router: SimulatedRouter) -> None:
    host = {"hostname": "fenn", "domain": "nodes.example.net", "server": "10.4.0.15"}
    post(router, "unbound/settings/addHostOverride", {"host": host})
    path = "unbound/diagnostics/listlocaldata"
    assert get(router, path) == {"status": "ok", "data": []}
    assert post(router, "unbound/service/reconfigure") == {"status": "ok"}
    (served,) = get(router, path)["data"]
    assert (served["name"], served["value"]) == ("fenn.nodes.example.net.", "10.4.0.15")


def test_an_alias_is_served_with_its_host_override_and_deleted_with_it(
    router: SimulatedRouter,
) -> None:
    names = ("fenn", "gardener")
    hosts = [
        post(
            router,
            "unbound/settings/addHostOverride",
            {"host": {"hostname": name, "domain": "nodes.example.net", "server": "10.4.0.15"}},
        )["uuid"]
        for name in names
    ]
    for uuid, name in zip(hosts, names, strict=True):
        alias = {"alias": {"host": uuid, "hostname": f"www-{name}"}}
        assert post(router, "unbound/settings/addHostAlias", alias)["result"] == "saved"
    post(router, "unbound/service/reconfigure")
    data = get(router, "unbound/diagnostics/listlocaldata")["data"]
    served = {each["name"]: each["value"] for each in data}
    assert served["www-fenn.nodes.example.net."] == "10.4.0.15"
    assert post(router, f"unbound/settings/delHostOverride/{hosts[0]}") == {"result": "deleted"}
    rows = get(router, "unbound/settings/searchHostAlias")["rows"]
    assert [row["hostname"] for row in rows] == ["www-gardener"]


def test_a_record_needs_what_its_type_does(router: SimulatedRouter) -> None:
    host = {"hostname": "fenn", "domain": "nodes.example.net"}
    answer = post(router, "unbound/settings/addHostOverride", {"host": host})
    assert answer["validations"].keys() == {"host.server"}
    answer = post(router, "unbound/settings/addHostOverride", {"host": host | {"rr": "TXT"}})
    assert answer["validations"].keys() == {"host.txtdata"}


def test_every_change_is_in_the_history_and_can_be_gone_back_to(router: SimulatedRouter) -> None:
    post(router, "quagga/bgp/set", {"bgp": {"asnumber": "64500"}})
    before = get(router, "core/backup/backups/this")["items"][0]["id"]
    post(router, "quagga/bgp/set", {"bgp": {"asnumber": "64600"}})
    assert post(router, f"core/backup/revertBackup/{before}") == {"status": "reverted"}
    assert get(router, "quagga/bgp/get")["bgp"]["asnumber"] == "64500"
    assert post(router, "core/backup/revertBackup/config-0.xml") == {"status": "not_found"}


def test_what_is_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    first = SimulatedRouter(tmp_path)
    fill(first)
    first.stop()
    second = SimulatedRouter(tmp_path)
    assert json.dumps(second.config) == json.dumps(first.config)
    second.stop()


def test_it_says_that_it_is_a_simulator(router: SimulatedRouter) -> None:
    assert "simulator" in get(router, "core/firmware/info")["product_id"]
    information = get(router, "diagnostics/system/systemInformation")
    assert information["name"] == "router.nodes.goldentooth.net"
    assert "simulator" in information["versions"][0]


# -- every field of the models is used -------------------------------------------------------


def test_frr_conf_shows_every_setting_of_a_neighbor(router: SimulatedRouter) -> None:
    """A field that the simulator forgot would look like one that has no effect."""
    fill(router)
    rule = next(iter(router.config["bgp"]["lists"]["prefixlists.prefixlist"]))
    group = {"peergroup": {"name": "G", "remoteas": "64501", "family": "ipv4"}}
    chosen = {"linkedPrefixlistIn": rule, "linkedPrefixlistOut": rule}
    chosen |= dict.fromkeys(("linkedRoutemapIn", "linkedRoutemapOut"), "")
    base = NEIGHBOR | {"address": "10.4.0.50", "localip": "10.4.0.1"}
    uuid = add(router, "Neighbor", {"neighbor": base | chosen})
    peer_group = add(router, "Peergroup", group)
    examples = {
        "description": "x", "localas": "7", "password": "x", "weight": "7", "updatesource": "lan",
        "keepalive": "7", "connecttimer": "7", "capabilities": "dynamic", "multihop": "1",
        "attributeunchanged": "med", "removeprivateas": "remove-private-AS", "allowas_in": "3",
        "peergroup": peer_group, "remote_as_mode": "external", "enabled": "0", "bfd": "1",
        "nexthopself": "1", "multiprotocol": "1", "rrclient": "1", "asoverride": "1",
        "soft_reconfiguration_inbound": "1", "defaultoriginate": "1", "linkedPrefixlistIn": "",
        "disable_connected_check": "1", "linkedPrefixlistOut": "",
    }  # fmt: skip
    together = {"holddown": "keepalive", "bfd_strict": "bfd", "nexthopselfall": "nexthopself"}
    unused = {"localip"}  # of FreeBSD's security associations, not of frr.conf
    sixth = {"linklocalinterface"}
    maps = {"linkedRoutemapIn", "linkedRoutemapOut"}
    fields = json.loads(TABLE.read_text())["bgp"]["lists"]["neighbors.neighbor"]
    named = {"address", "remoteas"} | examples.keys() | together.keys() | unused | sixth | maps
    assert named == fields.keys()
    item = router.config["bgp"]["lists"]["neighbors.neighbor"][uuid]
    item["holddown"] = "9"
    for name, value in examples.items():
        before, kept = frr.configuration(router.config), item[name]
        item[name] = value
        assert frr.configuration(router.config) != before, name
        if name not in together.values():
            item[name] = kept
    for name in together:
        before = frr.configuration(router.config)
        item[name] = "11" if name == "holddown" else "1"
        assert frr.configuration(router.config) != before, name


# -- a client of somebody else ---------------------------------------------------------------

_CLIENT = """
import json, sys
from oxl_opnsense_client import Client

options = json.loads(sys.argv[1])
client = Client(shell=False, api_timeout=20, **options)
assert client.is_opnsense()

def run(module, **parameters):
    answer = client.run_module(module, params=parameters)
    assert answer["error"] is None, answer["error"]
    return answer["result"]["changed"]

def make():
    network = "10.4.11.0/24 le 32"
    yield run("frr_general", enabled=True)
    yield run("frr_bgp_general", enabled=True, as_number=64500, id="10.4.0.1")
    yield run("frr_bgp_prefix_list", name="POOL", seq=5, network=network, action="permit")
    yield run("frr_bgp_route_map", name="IN", id=10, action="permit", prefix_list={"POOL": [5]})
    neighbor = {"ip": "10.4.0.11", "as_number": 64501, "route_map_in": "IN"}
    yield run("frr_bgp_neighbor", match_fields=["ip"], **neighbor)

first, second = list(make()), list(make())
gone = run("frr_bgp_neighbor", ip="10.4.0.11", state="absent", match_fields=["ip"])
print(json.dumps([first, second, gone]))
"""


def test_an_independent_client_finds_its_way(router: SimulatedRouter) -> None:
    """oxl-opnsense-client (GPL, and it pins ansible-core: so in an environment of its own)."""
    python = os.environ.get("OXL_PYTHON", sys.executable)
    there = [python, "-c", "import oxl_opnsense_client"]
    if subprocess.run(there, capture_output=True, check=False).returncode:
        pytest.skip("oxl-opnsense-client is not installed; OXL_PYTHON names a Python that has it")
    options = {
        "firewall": "127.0.0.1",
        "port": router.simulator.server.server_address[1],
        "token": KEY,
        "secret": SECRET,
        "ssl_ca_file": str(router.authority.certificate),
    }
    done = subprocess.run(
        [python, "-c", _CLIENT, json.dumps(options)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second, gone = json.loads(done.stdout.splitlines()[-1])
    assert first == [True] * 5
    assert second == [False] * 5, "what it has made is what it reads"
    assert gone is True
    assert router.config["bgp"]["lists"]["neighbors.neighbor"] == {}
    assert post(router, "quagga/service/reconfigure") == {"status": "ok"}
    assert "ip prefix-list POOL seq 5 permit 10.4.11.0/24 le 32" in router.routing.running


# -- what the box says of itself -------------------------------------------------------------

HOPS = [
    {"ip": "10.4.0.11", "interfaceName": "lo", "fib": True},
    {"directlyConnected": True, "interfaceName": "eth9", "fib": True},
]
ROUTE = {"prefix": "10.4.11.5/32", "protocol": "bgp", "nexthops": HOPS}


def test_what_frr_says_is_under_response_and_its_empty_objects_are_lists(
    router: SimulatedRouter,
) -> None:
    router.routing.shown["bgp summary"] = {"ipv4Unicast": {"as": 64500, "peers": {}}}
    assert get(router, "quagga/diagnostics/bgpsummary") == {
        "response": {"ipv4Unicast": {"as": 64500, "peers": []}}
    }
    assert get(router, "quagga/diagnostics/bgpneighbors") == {"response": []}


def test_a_route_has_a_row_for_each_next_hop(router: SimulatedRouter) -> None:
    router.routing.shown["ip route"] = {"10.4.11.5/32": [ROUTE]}
    answer = get(router, "quagga/diagnostics/search_generalroute4")
    assert (answer["total"], answer["rowCount"], answer["current"]) == (2, 2, 1)
    first, second = answer["rows"]
    assert (first["via"], first["interfaceDescr"], first["prefix"]) == (
        *("10.4.0.11", "LAN"),
        "10.4.11.5/32",
    )
    assert (second["via"], second["interfaceDescr"]) == ("Directly Attached", "")
    assert "nexthops" not in first


def test_rows_come_a_page_at_a_time(router: SimulatedRouter) -> None:
    router.routing.shown["ip route"] = {"10.4.11.5/32": [ROUTE]}
    path = "quagga/diagnostics/searchGeneralroute4"
    page = post(router, path, {"rowCount": 1, "current": 2})
    assert (page["total"], page["rowCount"], page["current"]) == (2, 1, 2)
    assert page["rows"][0]["via"] == "Directly Attached"
    assert post(router, path, {"rowCount": -1})["rowCount"] == 2
    assert post(router, path, {"searchPhrase": "10.4.0.11"})["total"] == 1


def test_a_path_carries_what_stands_above_all_paths(router: SimulatedRouter) -> None:
    hop = {"ip": "10.4.0.11", "used": True}
    path = {"network": "10.4.11.5/32", "path": "", "pathFrom": "internal", "nexthops": [hop]}
    table = {"routerId": "10.4.0.1", "localAS": 64500, "routes": {"10.4.11.5/32": [path]}}
    router.routing.shown["bgp ipv4"] = table
    answer = get(router, "quagga/diagnostics/searchBgproute4")
    assert answer["subtitle"] == "routerId : 10.4.0.1 , localAS : 64500"
    (row,) = answer["rows"]
    assert (row["path"], row["internal"], row["localAS"]) == ("Internal", True, 64500)


def test_bfd_sessions_are_read_off_the_brief_table(router: SimulatedRouter) -> None:
    brief = (
        "Session count: 1\nSessionId  LocalAddress  PeerAddress  Status\n"
        "=========  ============  ===========  ======\n42  10.4.0.1  10.4.0.11  up\n"
    )
    router.routing.shown["bfd peers brief"] = brief
    router.routing.shown["bfd peers"] = [{"peer": "10.4.0.11", "status": "up"}]
    (row,) = get(router, "quagga/diagnostics/bfdsummary")["rows"]
    assert row == {"id": "42", "local": "10.4.0.1", "peer": "10.4.0.11", "status": "up"}
    peers = get(router, "quagga/diagnostics/bfdneighbors")["response"]
    assert peers == {"10.4.0.11": {"peer": "10.4.0.11", "status": "up"}}


def test_a_ping_is_a_job_that_is_made_started_seen_and_removed(router: SimulatedRouter) -> None:
    settings = {"hostname": "127.0.0.1", "description": "by hand"}
    made = post(router, "diagnostics/ping/set", {"ping": {"settings": settings}})
    assert made["result"] == "ok"
    job = made["uuid"]
    (row,) = get(router, "diagnostics/ping/searchJobs")["rows"]
    assert (row["id"], row["status"], row["send"]) == (job, "stopped", None)
    assert post(router, f"diagnostics/ping/start/{job}") == {"status": "ok"}
    assert post(router, f"diagnostics/ping/start/{job}")["status"] == "failed"
    assert get(router, f"diagnostics/ping/remove/{job}") == {"status": "failed"}
    assert post(router, f"diagnostics/ping/remove/{job}") == {
        "status": "ok",
        "stopped_processes": 1,
    }
    assert post(router, f"diagnostics/ping/start/{job}") == {"status": "failed"}


def test_a_ping_to_nowhere_is_not_made(router: SimulatedRouter) -> None:
    answer = post(router, "diagnostics/ping/set", {"ping": {"settings": {"hostname": "-f x"}}})
    assert answer["result"] == "failed"
    assert list(answer["validations"]) == ["ping.settings.hostname"]


def test_an_assigned_interface_has_its_addresses_with_their_length(
    router: SimulatedRouter,
) -> None:
    rows = get(router, "interfaces/overview/interfaces_info")["rows"]
    (own,) = (row for row in rows if row["device"] == "lo")
    assert (own["identifier"], own["description"], own["addr4"]) == ("lan", "LAN", "127.0.0.1/8")
    assert own["ipv4"][0] == {"ipaddr": "127.0.0.1/8"}
    others = [row for row in rows if row["device"] != "lo"]
    assert all(row["description"] == "Unassigned Interface" for row in others)


def test_plugins_are_installed_or_only_to_be_had(router: SimulatedRouter) -> None:
    plugins = get(router, "core/firmware/info")["plugin"]
    assert {each["name"]: each["installed"] for each in plugins} == {
        "os-ddclient": "0",
        "os-frr": "1",
    }
