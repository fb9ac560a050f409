"""The router's BGP: what it says, what vtysh says to it, and what real daemons make of it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from goldentooth.model import Network
from goldentooth.services.frr import SERVICE
from tests.namespaces import Namespace, eventually, namespaces, needs, needs_root, run_judge
from tests.sites import Site

ROUTER = "_twin/router/etc/frr/frr.conf"
SPEAKER = "_twin/bettley/etc/frr/frr.conf"
needs_vtysh = needs("vtysh", "frr")
needs_daemons = needs("bgpd", "frr")


@pytest.fixture
def router(site: Site) -> str:
    return site.text(ROUTER, services=["frr"])


def permitted(text: str, name: str) -> list[tuple[IPv4Network, int]]:
    """Return (prefix, longest prefix length) of every line of a prefix list."""
    pattern = rf"^ip prefix-list {name} seq \d+ permit (\S+)(?: le (\d+))?$"
    found = re.findall(pattern, text, re.MULTILINE)
    return [(IPv4Network(p), int(le or p.split("/")[1])) for p, le in found]


def test_the_router_is_in_its_own_as_and_its_neighbors_are_in_the_clusters(router: str) -> None:
    assert "\nrouter bgp 64500\n" in router
    assert re.findall(r"remote-as (\d+)", router) == ["64501"]


def test_every_kubernetes_node_is_a_neighbor_through_the_peer_group(
    router: str, network: Network
) -> None:
    neighbors = re.findall(r"^ neighbor ([0-9.]+) peer-group CLUSTER$", router, re.MULTILINE)
    assert len(neighbors) == 12
    assert neighbors == [str(node.address) for node in network.kubernetes_nodes]
    assert str(network.nodes["allyrion"].address) not in neighbors


def test_every_neighbor_is_described_by_its_host_name(router: str, network: Network) -> None:
    described = dict(re.findall(r"^ neighbor ([0-9.]+) description (\S+)$", router, re.MULTILINE))
    assert described == {str(node.address): node.name for node in network.kubernetes_nodes}


def test_timers_follow_the_facts(site: Site) -> None:
    site.edit("inventory/defaults.yaml", "keepalive: 60", "keepalive: 7")
    site.edit("inventory/defaults.yaml", "hold: 180", "hold: 21")
    site.add_fact("bgp", "connect_retry: 3")
    text = site.text(ROUTER)
    assert "\n neighbor CLUSTER timers 7 21\n" in text
    assert "\n neighbor CLUSTER timers connect 3\n" in text


def test_the_inbound_prefix_list_covers_the_pool_and_nothing_else(
    router: str, network: Network
) -> None:
    allowed = permitted(router, "CLUSTER-IN")
    assert {longest for _, longest in allowed} == {32}

    def passes(address: IPv4Address) -> bool:
        return any(address in prefix for prefix, _ in allowed)

    pool = network.load_balancer.pool
    assert all(passes(IPv4Address(number)) for number in range(int(pool.first), int(pool.last) + 1))
    assert not passes(pool.first - 1)
    assert not passes(pool.last + 2)  # .255 is covered with its /24; no speaker announces it
    # only whole-prefix matches of the pool: a shorter one than the cover's is refused
    assert all(prefix.prefixlen >= 22 for prefix, _ in allowed)


def test_policy_is_explicit_both_ways(router: str) -> None:
    assert "  neighbor CLUSTER route-map CLUSTER-IN in\n" in router
    assert "  neighbor CLUSTER route-map CLUSTER-OUT out\n" in router
    assert "route-map CLUSTER-IN permit 10\n match ip address prefix-list CLUSTER-IN\n" in router
    assert "route-map CLUSTER-OUT deny 10\n" in router
    assert router.count("route-map CLUSTER-IN permit") == 1


def test_maximum_prefix_is_the_pools_size_unless_stated(site: Site, network: Network) -> None:
    size = network.load_balancer.pool.size
    assert f"  neighbor CLUSTER maximum-prefix {size} restart 5\n" in site.text(ROUTER)
    site.add_fact("bgp", "maximum_prefix: 0")
    assert "maximum-prefix" not in site.text(ROUTER)


def test_multipath_is_wide_enough_for_every_speaker(router: str, network: Network) -> None:
    paths = int(re.search(r"^  maximum-paths (\d+)$", router, re.MULTILINE)[1])
    assert paths >= len(network.bgp_neighbors)


def test_accepting_anything_leaves_no_prefix_list_behind(site: Site) -> None:
    text = site.add_fact("bgp", "accept_prefixes: any").text(ROUTER)
    assert "prefix-list" not in text
    assert "route-map CLUSTER-IN permit 10\nexit\n" in text


def test_a_single_address_is_written_without_a_range(site: Site) -> None:
    site.add_fact("bgp", "accept_prefixes: [10.4.11.5/32, 10.4.12.0/24]")
    assert permitted(site.text(ROUTER), "CLUSTER-IN") == [
        (IPv4Network("10.4.11.5/32"), 32),
        (IPv4Network("10.4.12.0/24"), 32),
    ]
    assert "10.4.11.5/32 le" not in site.text(ROUTER)


def test_the_session_password_is_carried_as_a_reference(site: Site) -> None:
    reference = "${vault:bgp/router#md5}"
    site.add_fact("bgp", f'password: "{reference}"')
    assert f" neighbor CLUSTER password {reference}\n" in site.text(ROUTER)
    assert f" neighbor 10.4.0.1 password {reference}\n" in site.text(SPEAKER)


BFD = "bfd: {transmit_interval: 400, receive_interval: 350, detect_multiplier: 4}"


def test_bfd_is_on_both_sides_and_its_daemon_runs(site: Site) -> None:
    site.add_fact("bgp", BFD)
    for path, profile in ((ROUTER, "CLUSTER"), (SPEAKER, "ROUTER")):
        text = site.text(path)
        block = text[text.index("bfd\n") : text.index("router bgp")]
        assert f" profile {profile}\n" in block
        for line in ("transmit-interval 400", "receive-interval 350", "detect-multiplier 4"):
            assert f"  {line}\n" in block
        neighbor = "CLUSTER" if path == ROUTER else "10.4.0.1"
        assert f" neighbor {neighbor} bfd\n neighbor {neighbor} bfd profile {profile}\n" in text
        daemons = (site.build / path).with_name("daemons").read_text()
        assert "bfdd=yes" in daemons


def test_without_bfd_there_is_no_word_of_it(site: Site, router: str) -> None:
    assert "bfd" not in router
    assert "bfd" not in site.text(ROUTER.replace("frr.conf", "daemons"))


def test_only_a_linux_routers_files_are_deployed(site: Site, network: Network) -> None:
    """A speaker is MetalLB's in production, an OPNsense router's FRR the plugin's."""
    site.project().render(services=["frr"])
    assert {path.name for path in site.build.iterdir() if path.is_dir()} == {"_twin"}
    linux = replace(network.router, platform="linux")
    deployed = {
        str(node): {draft.scope.value for draft in SERVICE.drafts(network, node)}
        for node in (*SERVICE.hosts(network), linux)
    }
    assert deployed == {node.name: {"twin"} for node in network.bgp_neighbors} | {
        "router": {"host"}
    }
    opnsense = {draft.scope.value for draft in SERVICE.drafts(network, network.router)}
    assert opnsense == {"twin"}


def test_a_speaker_mirrors_the_router(site: Site) -> None:
    text = site.text(SPEAKER)
    assert "\nrouter bgp 64501\n" in text
    assert " neighbor 10.4.0.1 remote-as 64500\n" in text
    assert "  neighbor 10.4.0.1 route-map NOTHING in\n" in text


@needs_vtysh
def test_vtysh_accepts_every_rendered_file(site: Site) -> None:
    site.add_fact("bgp", 'password: "${vault:bgp/router#md5}"')
    site.project().render(services=["frr"])
    files = sorted(site.build.rglob("frr.conf"))
    assert len(files) == 13
    for file in files:
        done = run_judge("vtysh", "-C", "-f", file)
        assert (done.returncode, done.stdout) == (0, ""), file


@needs_vtysh
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("maximum-paths 64", "maximum-paths many"),
        ("peer-group CLUSTER\n", "peer-grup CLUSTER\n"),
        ("router bgp 64500", "router bgp 99999999999"),
    ],
)
def test_vtysh_rejects_a_broken_file(router: str, tmp_path: Path, good: str, bad: str) -> None:
    assert good in router
    broken = tmp_path / "frr.conf"
    broken.write_text(router.replace(good, bad))
    assert run_judge("vtysh", "-C", "-f", broken).returncode != 0


# -- real daemons ------------------------------------------------------------------------


class Speaker:
    """zebra and bgpd of one configuration, in a namespace of their own."""

    def __init__(self, namespace: Namespace, config: str, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder
        (folder / "frr.conf").write_text(config)
        shutil.chown(folder, "frr", "frr")
        common = ["-u", "frr", "-g", "frr", "--vty_socket", str(folder), "-A", "127.0.0.1"]
        for daemon in ("zebra", "bgpd"):
            files = ["-z", f"{folder}/zserv.api", "-i", f"{folder}/{daemon}.pid"]
            program = f"/usr/lib/frr/{daemon}"
            namespace.start(program, *common, "-P", "0", *files, "-f", f"{folder}/frr.conf")
            eventually((folder / f"{daemon}.vty").exists)

    def show(self, command: str, daemon: str = "bgpd") -> dict:
        done = self.namespace.run(
            "vtysh", "--vty_socket", str(self.folder), "-d", daemon, "-c", f"show {command} json"
        )
        return json.loads(done.stdout or "{}")


@pytest.fixture
def open_folder() -> Iterator[Callable[[], Path]]:
    """Give folders that frr's user can get into, which it cannot with pytest's own."""
    with contextlib.ExitStack() as stack:
        yield lambda: Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="frr-")))


@contextlib.contextmanager
def linked() -> Iterator[tuple[Namespace, Namespace]]:
    """Give two namespaces on one link: the router's and bettley's."""
    with namespaces(2) as (gateway, node):
        gateway.run("ip", "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", node.name)
        for namespace, address in ((gateway, "10.4.0.1/20"), (node, "10.4.0.11/20")):
            namespace.run("ip", "address", "add", address, "dev", "eth0")
            namespace.run("ip", "link", "set", "eth0", "up")
        yield gateway, node


@needs_root
@needs_daemons
def test_a_real_session_takes_the_pool_and_refuses_a_leaked_pod_route(
    site: Site, open_folder: Callable[[], Path]
) -> None:
    """The claim of the network's design: what leaks is stopped at the router, not at the node."""
    router_config = site.text(ROUTER)
    honest = site.text(SPEAKER)
    leaking = honest.replace(
        " address-family ipv4 unicast\n",
        " address-family ipv4 unicast\n  network 192.168.66.0/24\n",
    ).replace(
        "route-map SERVICES permit 10\n",
        "ip prefix-list LEAK seq 5 permit 192.168.66.0/24\n"
        "route-map SERVICES permit 5\n match ip address prefix-list LEAK\nexit\n"
        "route-map SERVICES permit 10\n",
    )
    with linked() as (gateway, node):
        node.run("ip", "address", "add", "10.4.11.7/32", "dev", "lo")
        node.run("ip", "address", "add", "192.168.66.1/24", "dev", "lo")
        router = Speaker(gateway, router_config, open_folder())
        speaker = Speaker(node, leaking, open_folder())

        def peer() -> dict:
            summary = router.show("bgp ipv4 unicast summary")
            return summary.get("peers", {}).get("10.4.0.11", {})

        eventually(lambda: peer().get("state") == "Established", 30)
        assert peer()["remoteAs"] == 64501
        sent = eventually(
            lambda: speaker.show("bgp ipv4 unicast neighbors 10.4.0.1 advertised-routes").get(
                "advertisedRoutes"
            )
        )
        assert {"10.4.11.7/32", "192.168.66.0/24"} <= sent.keys()  # it does leak
        eventually(lambda: "10.4.11.7" in gateway.run("ip", "route", "show", "proto", "bgp").stdout)
        learned = router.show("bgp ipv4 unicast")["routes"]
        assert set(learned) == {"10.4.11.7/32"}
        assert speaker.show("bgp ipv4 unicast summary")["peers"]["10.4.0.1"]["pfxRcd"] == 0


@needs_root
@needs_daemons
def test_a_neighbor_that_sends_too_many_accepted_routes_is_cut_off(
    site: Site, open_folder: Callable[[], Path]
) -> None:
    """FRR counts what the filter lets through: refused routes do not close a session."""
    site.add_fact("bgp", "maximum_prefix: 20")
    with linked() as (gateway, node):
        router = Speaker(gateway, site.text(ROUTER), open_folder())
        Speaker(node, site.text(SPEAKER), open_folder())

        def peer() -> dict:
            summary = router.show("bgp ipv4 unicast summary")
            return summary.get("peers", {}).get("10.4.0.11", {})

        for number in range(1, 21):
            node.run("ip", "address", "add", f"10.4.12.{number}/32", "dev", "lo")
        eventually(lambda: peer().get("pfxRcd") == 20, 30)
        node.run("ip", "address", "add", "10.4.12.21/32", "dev", "lo")
        eventually(lambda: peer().get("state") == "Idle (PfxCt)", 10)
        eventually(lambda: not router.show("bgp ipv4 unicast").get("routes"), 10)
