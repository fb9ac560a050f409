"""Interfaces and routes, brought up and down by the real ifupdown in a namespace."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from goldentooth.activation import Activation
from goldentooth.check import Output, UnreadableError
from goldentooth.model import Network
from goldentooth.observation import Difference, Seen, UnitsEnabled
from goldentooth.services.haproxy import SERVICE as HAPROXY
from goldentooth.services.routes import SERVICE, KernelAddresses, KernelRoutes, kernel_settings
from tests.namespaces import Namespace, namespaces, needs, needs_root, run_judge
from tests.sites import Site

ETH0 = "etc/network/interfaces.d/eth0.cfg"
WLAN0 = "etc/network/interfaces.d/wlan0.cfg"
SYSCTL = "etc/sysctl.d/60-goldentooth.conf"
needs_ifup = needs("ifup", "ifupdown")

CONNECTED = "10.4.0.0/20 dev eth0 proto kernel scope link src"
DEFAULT = "default via 10.4.0.1 dev eth0 onlink"
ON_LINK = "10.4.11.0/24 dev eth0 scope link"
VIA_ROUTER = "10.4.11.0/24 via 10.4.0.1 dev eth0"


# -- what is meant -----------------------------------------------------------------------


def test_load_balancer_addresses_are_on_link_for_kubernetes_nodes_only(network: Network) -> None:
    """Measured: nobody answers ARP for them, so on any other host on-link is a black hole."""
    for node in network.nodes.values():
        routes = [str(route) for route in network.routes(node)]
        if node.is_router:
            assert routes == []
        elif node.is_kubernetes_node:
            assert routes == ["10.4.11.0/24 dev eth0"]
        else:
            assert routes == ["10.4.11.0/24 via 10.4.0.1 dev eth0"]


def test_the_router_has_no_gateway_and_no_route_to_the_pool(site: Site) -> None:
    text = site.text(f"_twin/router/{ETH0}", services=["routes"])
    assert "gateway" not in text
    assert "10.4.11.0" not in text
    assert not (site.build / "router/etc/network").exists()  # OPNsense keeps its own


def test_forwarding_is_set_where_a_role_needs_it(network: Network) -> None:
    for node in network.nodes.values():
        keys = set(kernel_settings(node))
        forwarding = {key for key in keys if "redirects" not in key}
        if node.is_router:
            assert forwarding == {"net.ipv4.ip_forward", "net.ipv4.fib_multipath_hash_policy"}
        elif node.is_kubernetes_node:
            assert keys == {"net.ipv4.ip_forward"}
        else:
            assert not forwarding


def test_no_redirect_pins_a_host_to_one_next_hop(network: Network) -> None:
    """Measured on the twin: for minutes, and to a dead one too."""
    assert kernel_settings(network.nodes["allyrion"]).keys() == {
        "net.ipv4.conf.all.accept_redirects",
        "net.ipv4.conf.eth0.accept_redirects",
    }
    router = kernel_settings(network.router)
    assert router["net.ipv4.conf.all.send_redirects"][0] == 0
    assert router["net.ipv4.conf.eth0.send_redirects"][0] == 0


def test_a_role_without_kernel_settings_gets_no_file(site: Site) -> None:
    site.edit(
        "inventory/defaults.yaml", "interface: eth0", "interface: eth0\n  load_balancer_route: none"
    )
    site.project().render(services=["routes"])
    assert not (site.build / "allyrion" / SYSCTL).exists()
    assert "\nnet.ipv4.ip_forward = 1\n" in (site.build / "fenn" / SYSCTL).read_text()
    router = (site.build / "_twin/router" / SYSCTL).read_text()
    assert "\nnet.ipv4.fib_multipath_hash_policy = 1\n" in router


def test_a_host_without_a_wireless_interface_has_no_file_for_one(site: Site) -> None:
    site.project().render(services=["routes"])
    assert (site.build / "fenn" / WLAN0).exists()
    assert not (site.build / "velaryon" / WLAN0).exists()
    assert "wlan0" not in (site.build / "velaryon" / ETH0).read_text()


def test_file_names_are_those_that_a_source_line_reads(site: Site) -> None:
    """`source /etc/network/interfaces.d/*` reads them; `source-directory` would skip the dot."""
    site.project().render(services=["routes"])
    names = {path.name for path in site.build.rglob("interfaces.d/*")}
    assert names == {"eth0.cfg", "wlan0.cfg"}


# -- interface: auto ---------------------------------------------------------------------


@pytest.fixture
def undiscovered(site: Site) -> Site:
    old = "erenford:\n  hostname: 10.4.0.14\n"
    return site.edit("inventory/hosts.yaml", old, f"{old}  data:\n    interface: auto\n")


def test_an_undiscovered_interface_fails_that_host_and_names_discover(undiscovered: Site) -> None:
    report = undiscovered.project().render()
    assert report.status == 2
    assert [host.host for host in report.hosts if host.has_failed] == ["erenford"]
    failure = next(host.failure for host in report.hosts if host.host == "erenford")
    assert "discovered.yaml (`erenford: {interface: eth0}`)" in failure
    assert len([host for host in report.hosts if host.artifacts]) == 13
    assert not undiscovered.build.exists()


def test_what_was_discovered_is_rendered(undiscovered: Site) -> None:
    undiscovered.write("inventory/discovered.yaml", "erenford:\n  interface: end0\n")
    report = undiscovered.project().render(services=["routes"])
    assert report.status == 0
    text = (undiscovered.build / "erenford/etc/network/interfaces.d/end0.cfg").read_text()
    assert "iface end0 inet static" in text
    assert "ip -4 route replace 10.4.11.0/24 dev end0" in text


def test_what_was_discovered_does_not_override_a_pinned_interface(site: Site) -> None:
    site.write("inventory/discovered.yaml", "fenn:\n  interface: end0\n")
    assert "iface eth0 " in site.text(f"fenn/{ETH0}")


# -- the real ifupdown -------------------------------------------------------------------


ACTIVATE = """
import os, sys
from goldentooth.host.activation import Activation
from goldentooth.host.machine import Machine

folder, line = sys.argv[1:]
activation = Activation(Machine(folder), os.open(folder, os.O_RDONLY), "before")
sys.exit(activation.run([line], to_the_end=True) or 0)
"""


class Machine:
    """A host's interfaces in a namespace, and ifupdown on its rendered files."""

    def __init__(self, namespace: Namespace, folder: Path, state: Path) -> None:
        self.namespace, self.folder, self.state = namespace, folder, state
        for name in ("eth0", "wlan0"):
            namespace.run("ip", "link", "add", name, "type", "veth", "peer", f"{name}-end")
            namespace.run("ip", "link", "set", f"{name}-end", "up")
        self.namespace.run("ip", "link", "set", "wlan0", "up")

    def ifupdown(self, verb: str, interface: str, *, check: bool = True) -> int:
        file = self.folder / f"etc/network/interfaces.d/{interface}.cfg"
        options = ("--no-scripts", f"--interfaces={file}", f"--state-dir={self.state}")
        return self.namespace.run(verb, *options, interface, check=check).returncode

    def is_up(self, interface: str) -> bool:
        shown = self.namespace.run("ip", "-br", "link", "show", interface).stdout
        return "UP" in shown.split()[-1].strip("<>").split(",")

    def addresses(self) -> list[str]:
        line = self.namespace.run("ip", "-4", "-br", "address", "show", "eth0").stdout
        return line.split()[2:]

    def activate(self, activations: Iterable[Activation]) -> None:
        """Do what the host's program does, but for sysctls: that file is not on this machine."""
        for activation in activations:
            if activation.command.startswith("@routes "):
                self.namespace.run(
                    sys.executable, "-c", ACTIVATE, str(self.folder), activation.command
                )
            elif not activation.command.startswith("@sysctl "):
                self.namespace.run("sh", "-c", activation.command)


@pytest.fixture
def machine(request: pytest.FixtureRequest, site: Site, tmp_path: Path) -> Iterator[Machine]:
    assert site.project().render(services=["routes"]).status == 0
    state = tmp_path / "state"
    state.mkdir()
    with namespaces(1) as (namespace,):
        yield Machine(namespace, site.build / request.param, state)


on_link_host = pytest.mark.parametrize("machine", ["fenn"], indirect=True)
each_kind_of_host = pytest.mark.parametrize(
    ("machine", "address", "route"),
    [("fenn", "10.4.0.15/20", ON_LINK), ("allyrion", "10.4.0.10/20", VIA_ROUTER)],
    indirect=["machine"],
)


@needs_root
@needs_ifup
@each_kind_of_host
def test_ifup_brings_address_gateway_and_route(machine: Machine, address: str, route: str) -> None:
    machine.ifupdown("ifup", "eth0")
    assert machine.addresses() == [address]
    bare = address.removesuffix("/20")
    assert machine.namespace.routes() == {f"{CONNECTED} {bare}", DEFAULT, route}


@needs_root
@needs_ifup
@each_kind_of_host
def test_the_route_survives_ifdown_and_ifup(machine: Machine, address: str, route: str) -> None:
    machine.ifupdown("ifup", "eth0")
    before = machine.namespace.routes()
    machine.ifupdown("ifdown", "eth0")
    assert machine.namespace.routes() == set()
    machine.ifupdown("ifup", "eth0")
    assert machine.namespace.routes() == before
    assert route in before


@needs_root
@needs_ifup
@on_link_host
def test_ifdown_gets_over_a_missing_route(machine: Machine) -> None:
    machine.ifupdown("ifup", "eth0")
    machine.namespace.run("ip", "route", "delete", "10.4.11.0/24")
    assert machine.ifupdown("ifdown", "eth0") == 0
    assert not machine.is_up("eth0")


@needs_root
@needs_ifup
@on_link_host
def test_ifup_mends_a_route_that_is_already_there_and_wrong(machine: Machine) -> None:
    machine.namespace.run("ip", "route", "add", "10.4.11.0/24", "dev", "wlan0")
    machine.ifupdown("ifup", "eth0")
    assert ON_LINK in machine.namespace.routes()
    assert not any("wlan0" in route for route in machine.namespace.routes())


@needs_root
@needs_ifup
@on_link_host
def test_wlan0_is_taken_down_and_ifup_refuses_it(machine: Machine) -> None:
    assert machine.is_up("wlan0")
    machine.ifupdown("ifup", "eth0")
    assert not machine.is_up("wlan0")
    assert machine.ifupdown("ifup", "wlan0", check=False) != 0
    assert not machine.is_up("wlan0")


@needs_root
@needs_ifup
@on_link_host
def test_a_host_whose_wlan0_is_not_there_comes_up_all_the_same(machine: Machine) -> None:
    machine.namespace.run("ip", "link", "delete", "wlan0")
    assert machine.ifupdown("ifup", "eth0") == 0


@needs_root
@needs_ifup
@each_kind_of_host
def test_activating_twice_is_activating_once_and_what_ifup_does(
    machine: Machine, address: str, route: str, network: Network
) -> None:
    machine.ifupdown("ifup", "eth0")
    made_by_file = machine.namespace.routes()
    machine.namespace.run("ip", "route", "delete", "10.4.11.0/24")
    activations = SERVICE.activate(network, network.nodes[machine.folder.name])
    machine.activate(activations)
    assert machine.namespace.routes() == made_by_file
    machine.activate(activations)
    assert machine.namespace.routes() == made_by_file
    assert route in made_by_file


@needs_root
@on_link_host
def test_sysctl_takes_the_rendered_file(machine: Machine) -> None:
    machine.namespace.run("sysctl", "--quiet", f"--load={machine.folder / SYSCTL}")
    assert machine.namespace.run("sysctl", "-n", "net.ipv4.ip_forward").stdout == "1\n"


@needs_ifup
def test_the_judge_rejects_a_broken_file(site: Site, tmp_path: Path) -> None:
    text = site.text(f"fenn/{ETH0}", services=["routes"])
    broken = tmp_path / "eth0.cfg"
    broken.write_text(text.replace("inet static", "inet statik"))
    command = ("ifup", "--no-act", f"--interfaces={broken}", f"--state-dir={tmp_path}", "eth0")
    assert run_judge(*command).returncode != 0


# -- routes that the facts state -------------------------------------------------------------

STATED = "static_routes: [{to: 198.51.100.0/24, via: 10.4.0.40}]"


def test_a_stated_route_is_in_the_file_beside_those_that_follow(site: Site) -> None:
    site.edit("inventory/hosts.yaml", "  hostname: 10.4.0.15\n", stated("10.4.0.15"))
    text = site.text("fenn/etc/network/interfaces.d/eth0.cfg")
    assert (
        "    # load-balancer addresses\n    up   ip -4 route replace 10.4.11.0/24 dev eth0" in text
    )
    stated_line = "up   ip -4 route replace 198.51.100.0/24 via 10.4.0.40 dev eth0\n"
    assert f"    # stated for this host\n    {stated_line}" in text


def test_a_stated_route_is_looked_for_on_its_host(site: Site) -> None:
    site.edit("inventory/hosts.yaml", "  hostname: 10.4.0.15\n", stated("10.4.0.15"))
    network = site.project().network
    checks = {check.id: check for check in SERVICE.checks(network, network.nodes["fenn"])}
    check = checks["route.static[fenn 198.51.100.0/24]"]
    assert check.expected == "198.51.100.0/24 via 10.4.0.40 dev eth0"


def test_a_stated_route_that_is_gone_is_drift(site: Site) -> None:
    site.edit("inventory/hosts.yaml", "  hostname: 10.4.0.15\n", stated("10.4.0.15"))
    path = "/etc/network/interfaces.d/eth0.cfg"
    observation = KernelRoutes(path, "eth0", (INFRASTRUCTURE, POOL), (POOL,))
    routes = [
        {"dst": "default", "gateway": "10.4.0.1", "dev": "eth0"},
        {"dst": "10.4.11.0/24", "dev": "eth0"},
        {"dst": "198.51.100.0/24", "gateway": "10.4.0.40", "dev": "eth0"},
        {"dst": "203.0.113.0/24", "gateway": "10.4.0.41", "dev": "eth0"},
    ]
    expected = {path: site.text(f"fenn{path}")}

    def compare(found: list[dict[str, str]]) -> Difference | None:
        (read,) = observation.reads()
        return observation.compare(Seen(expected, {}, {read: Output(json.dumps(found).encode())}))

    assert compare(routes) is None
    gone = compare([route for route in routes if route["dst"] != "198.51.100.0/24"])
    assert gone is not None
    assert gone.detail == "missing: 198.51.100.0/24 via 10.4.0.40 dev eth0"


# -- what the kernel has beside the file -----------------------------------------------------

INFRASTRUCTURE, POOL = IPv4Network("10.4.0.0/20"), IPv4Network("10.4.11.0/24")
NODE_ROUTES = (
    {"dst": "default", "gateway": "10.4.0.1", "dev": "eth0", "flags": ["onlink"]},
    {"dst": "10.4.0.0/20", "dev": "eth0", "protocol": "kernel", "scope": "link"},
    {"dst": "10.4.11.0/24", "dev": "eth0", "scope": "link"},
)
NODE_ADDRESSES = {
    "lo": [("127.0.0.1", 8, "host")],
    "eth0": [("10.4.0.15", 20, "global")],
    "wlan0": [],
}


def compared(network: Network, site: Site, host: str, kind: type, *printed: object) -> str:
    """Return what an observation of ``host`` says of what ip printed; nothing if in sync."""
    folder = f"_twin/{host}" if (site.build / f"_twin/{host}/{ETH0}").exists() else host
    expected = {
        f"/{file}": (site.build / folder / file).read_text()
        for file in (ETH0, WLAN0)
        if (site.build / folder / file).exists()
    }
    observations = SERVICE.observe(network, network.nodes[host])
    (observation,) = [each for each in observations if isinstance(each, kind)]
    answers = (Output(json.dumps(each).encode()) for each in printed)
    outputs = dict(zip(observation.reads(), answers, strict=True))
    difference = observation.compare(Seen(expected, {}, outputs))
    return difference.detail if difference else ""


@pytest.mark.parametrize(
    ("route", "said"),
    [
        ({"type": "blackhole", "dst": "10.4.0.11"}, "10.4.0.11 blackhole"),
        (
            {"dst": "10.4.0.12", "gateway": "10.4.0.77", "dev": "eth0"},
            "10.4.0.12 via 10.4.0.77 dev eth0",
        ),
        ({"dst": "10.4.0.12", "protocol": "bird", "dev": "tunl0"}, "10.4.0.12 on-link dev tunl0"),
        ({"dst": "10.0.0.0/8", "dev": "wg0"}, "10.0.0.0/8 on-link dev wg0"),
        (
            {"dst": "10.4.11.5", "gateway": "10.4.0.77", "dev": "eth0"},
            "10.4.11.5 via 10.4.0.77 dev eth0",
        ),
        (
            {
                "dst": "default",
                "gateway": "10.4.0.77",
                "dev": "eth0",
                "protocol": "dhcp",
                "metric": 1,
            },
            "default via 10.4.0.77 dev eth0 metric 1",
        ),
        (
            {
                "dst": "10.4.0.12",
                "nexthops": [{"gateway": "10.4.0.7", "dev": "eth0"}, {"dev": "wlan0"}],
            },
            "10.4.0.12 via 10.4.0.7 dev eth0 and on-link dev wlan0",
        ),
    ],
)
def test_another_route_into_the_network_is_drift_whoever_set_it(
    network: Network, site: Site, route: dict[str, object], said: str
) -> None:
    site.project().render(services=["routes"])
    found = compared(network, site, "fenn", KernelRoutes, [*NODE_ROUTES, route])
    assert found == f"not of the file: {said}"


@pytest.mark.parametrize(
    "route",
    [
        {"dst": "10.244.7.0/26", "gateway": "10.4.0.12", "dev": "tunl0", "protocol": "bird"},
        {"dst": "10.244.5.3", "dev": "cali12345678901", "scope": "link"},
        {"type": "blackhole", "dst": "10.244.5.0/26", "protocol": "bird"},
        {"dst": "10.244.1.0/24", "gateway": "10.4.0.12", "dev": "flannel.1", "flags": ["onlink"]},
        {"dst": "172.17.0.0/16", "dev": "docker0", "protocol": "kernel", "scope": "link"},
        {"dst": "10.4.11.5", "gateway": "10.4.0.12", "dev": "eth0", "protocol": "bgp"},
    ],
)
def test_routes_of_pods_bridges_and_daemons_are_none(
    network: Network, site: Site, route: dict[str, object]
) -> None:
    site.project().render(services=["routes"])
    assert compared(network, site, "fenn", KernelRoutes, [*NODE_ROUTES, route]) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lo": [("10.4.0.10", 32, "global")]}, "not of the file: 10.4.0.10/32 dev lo"),
        (
            {"kube-ipvs0": [("10.4.0.10", 32, "global")]},
            "not of the file: 10.4.0.10/32 dev kube-ipvs0",
        ),
        ({"eth0": []}, "missing: 10.4.0.15/20 dev eth0"),
        (
            {"eth0": [("10.4.0.15", 24, "global")]},
            "missing: 10.4.0.15/20 dev eth0; not of the file: 10.4.0.15/24 dev eth0",
        ),
        (
            {"eth0": [("10.4.0.15", 20, "global"), ("192.0.2.1", 24, "global")]},
            "not of the file: 192.0.2.1/24 dev eth0",
        ),
        (
            {"eth0": [("10.4.0.15", 20, "global"), ("10.4.11.5", 32, "global")]},
            "not of the file: 10.4.11.5/32 dev eth0",
        ),
        ({"lo": [("10.4.11.5", 32, "global")]}, ""),
        ({"kube-ipvs0": [("10.96.0.1", 32, "global"), ("10.4.11.7", 32, "global")]}, ""),
        ({"tunl0": [("10.244.5.0", 32, "global")], "docker0": [("172.17.0.1", 16, "global")]}, ""),
        ({"eth0": [("10.4.0.15", 20, "global"), ("169.254.3.4", 16, "link")]}, ""),
        ({"eth0": [("10.4.0.15", 20, "global"), ("2001:db8::15", 64, "global")]}, ""),
    ],
)
def test_an_address_of_the_network_is_drift_but_where_services_have_theirs(
    network: Network, site: Site, change: dict[str, list[tuple[str, int, str]]], said: str
) -> None:
    site.project().render(services=["routes"])
    addresses = NODE_ADDRESSES | change
    assert compared(network, site, "fenn", KernelAddresses, links_of(addresses)) == said


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"wlan0": ["BROADCAST", "UP"]}, "missing: wlan0 down; not of the file: wlan0 up"),
        ({"eth0": ["BROADCAST"]}, "missing: eth0 up; not of the file: eth0 down"),
        ({"eth1": ["UP"]}, ""),
    ],
)
def test_a_link_that_is_not_as_its_file_says_is_drift(
    network: Network, site: Site, flags: dict[str, list[str]], said: str
) -> None:
    site.project().render(services=["routes"])
    links = links_of(NODE_ADDRESSES, flags)
    assert compared(network, site, "fenn", KernelAddresses, links) == said


def test_a_wireless_interface_that_is_not_there_is_down(network: Network, site: Site) -> None:
    site.project().render(services=["routes"])
    kept = {name: found for name, found in NODE_ADDRESSES.items() if name != "wlan0"}
    assert compared(network, site, "fenn", KernelAddresses, links_of(kept)) == ""


def links_of(
    addresses: dict[str, list[tuple[str, int, str]]], flags: dict[str, list[str]] | None = None
) -> list[dict[str, object]]:
    """Return what `ip -j address` prints."""
    stated = {name: [] if name == "wlan0" else ["UP"] for name in addresses} | (flags or {})
    return [
        {
            "ifname": name,
            "flags": each,
            "addr_info": [
                {
                    "family": "inet6" if ":" in local else "inet",
                    "local": local,
                    "prefixlen": length,
                    "scope": scope,
                }
                for local, length, scope in addresses.get(name, ())
            ],
        }
        for name, each in stated.items()
    ]


@pytest.mark.parametrize("state", ["enabled", "disabled", "masked"])
def test_a_unit_that_does_not_start_at_boot_is_drift(network: Network, state: str) -> None:
    node = network.nodes["allyrion"]
    for service in (SERVICE, HAPROXY):
        (boot,) = [
            each for each in service.observe(network, node) if isinstance(each, UnitsEnabled)
        ]
        (read,) = boot.reads()
        output = Output(f"{state}\n".encode(), status=int(state != "enabled"))
        difference = boot.compare(Seen({}, {}, {read: output}))
        assert (difference is None) is (state == "enabled")
        with pytest.raises(UnreadableError):
            boot.compare(Seen({}, {}, {read: Output(b"", b"no bus", 1)}))


def stated(address: str) -> str:
    return f"  hostname: {address}\n  data: {{{STATED}}}\n"
