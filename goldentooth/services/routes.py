"""Interfaces, routes and the kernel's forwarding settings, made to last with ifupdown.

The file describes the interface as a whole: address, gateway, and the route to the
load-balancer addresses. `ip route replace` takes the place of a route that is wrong, and
ifdown does not fail over one that is gone. Nothing else may state the interface: ifup stops
at an address that is there already, before the routes (the check ``interface.boot`` looks).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from goldentooth.activation import Activation
from goldentooth.artifact import Draft, Judge, Scope
from goldentooth.check import Check, Outcome, Output, failed, parse_json, passed, passes, succeeded
from goldentooth.discovery import ADDRESSES, ROUTES
from goldentooth.model import Network, Node
from goldentooth.needs import Needs, Package
from goldentooth.observation import Difference, Observation, Seen, UnitsEnabled, Verdict

IFUP = Judge(
    "ifup",
    ("ifup", "--no-act", "--interfaces={file}", "--state-dir={scratch}", "{stem}"),
    package="ifupdown",
)
"""ifupdown's dry run: reads the file and prints what it would do."""

INTERFACES = "/etc/network/interfaces.d"
SYSCTL_PATH = "/etc/sysctl.d/60-goldentooth.conf"
_NEEDS = Needs(
    (
        Package("iproute2", "/usr/sbin/ip", "links, addresses and routes"),
        Package("ifupdown", "/usr/sbin/ifup", "interfaces at boot"),
    )
)


class Routes:
    """Addresses and routes of every host."""

    name = "routes"
    title = "Interfaces, routes and sysctls (ifupdown)"

    def hosts(self, network: Network) -> tuple[Node, ...]:
        """Return every host."""
        return tuple(network.nodes.values())

    def needs(self, network: Network, node: Node) -> Needs:  # noqa: ARG002  # the interface
        """Return what sets interfaces and routes."""
        return _NEEDS

    def drafts(self, network: Network, node: Node) -> Iterator[Draft]:
        """Yield the interface's file, the wireless one's, and sysctls where a role needs them.

        An OPNsense router keeps its own interfaces; its Debian stand-in on the twin is told.
        """
        scope = Scope.TWIN if node.is_opnsense else Scope.HOST
        yield Draft(
            _interface_path(node),
            "routes/interface.cfg.j2",
            {
                "node": node,
                "prefix_length": network.infrastructure.cidr.prefixlen,
                "gateway": None if node.is_router else network.router.address,
                # os-frr makes those of an OPNsense router, on its stand-in too
                "routes": () if node.is_opnsense else _stated_routes(network, node),
                "wireless": node.facts.wireless_interface,
            },
            scope=scope,
            judge=IFUP,
            format="interfaces",
        )
        if node.facts.wireless_interface:
            yield Draft(
                f"{INTERFACES}/{node.facts.wireless_interface}.cfg",
                "routes/wireless.cfg.j2",
                {"node": node},
                scope=scope,
                judge=IFUP,
                format="interfaces",
            )
        if settings := kernel_settings(node):
            yield Draft(
                SYSCTL_PATH,
                "routes/sysctl.conf.j2",
                {"settings": settings},
                scope=scope,
                format="sysctl",
            )

    def activate(self, network: Network, node: Node) -> tuple[Activation, ...]:  # noqa: ARG002  # the interface
        """Return what sets routes, links and settings by the files now, without ifdown.

        The interface that the operator comes in by is never taken down.
        """
        path = _interface_path(node)
        activations = [
            Activation("systemctl enable --quiet networking.service", (path,), kind="set"),
            Activation(f"@routes {path}", (path,), kind="set"),
        ]
        if wireless := node.facts.wireless_interface:
            activations.append(
                Activation(
                    f"test ! -e /sys/class/net/{wireless} || ip link set {wireless} down",
                    (f"{INTERFACES}/{wireless}.cfg",),
                    kind="set",
                )
            )
        return (*activations, Activation(f"@sysctl {SYSCTL_PATH}", (SYSCTL_PATH,), kind="set"))

    def disturbs(self, path: str, before: str, after: str) -> tuple[str, ...]:
        """Name another address, which takes effect when the host next boots."""
        if path == SYSCTL_PATH or not before:
            return ()
        was, will = _ADDRESS.findall(before), _ADDRESS.findall(after)
        if was == will:
            return ()
        return ("the interface's address changes when the host next boots, not now",)

    def units(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return ifupdown's unit, and the one that loads sysctls where there are any."""
        sysctl = ("systemd-sysctl.service",) if kernel_settings(node) else ()
        return ("networking.service", *sysctl)

    def observe(self, network: Network, node: Node) -> Iterator[Observation]:
        """Yield what the kernel has, where files are deployed, and whether they are for boot."""
        if node.is_opnsense:
            return
        yield UnitsEnabled(self.name, ("networking.service",))
        infrastructure, pool = network.infrastructure.cidr, network.load_balancer.cidr
        accepted = (network.accepted_prefixes or ()) if node.is_router else ()
        path, interface = _interface_path(node), node.interface
        yield KernelRoutes(path, interface, (infrastructure, pool), (pool, *accepted))
        wireless = node.facts.wireless_interface
        yield KernelAddresses(path, interface, infrastructure, pool, wireless or "")
        if settings := kernel_settings(node):
            yield KernelSettings(tuple(settings))

    def folders(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return ifupdown's folder: a second stanza of an interface stops the first at boot."""
        return () if node.is_opnsense else (INTERFACES,)

    def checks(self, network: Network, node: Node) -> Iterator[Check]:
        """Yield the interface's address, every route, what is to be down, and the sysctls.

        None of an OPNsense box: its interfaces are its own, and it has neither ip nor sysctls.
        """
        if node.is_opnsense:
            return
        prefix_length = network.infrastructure.cidr.prefixlen
        yield InterfaceAddress(
            node.name, node.name, node.interface, f"{node.address}/{prefix_length}"
        )
        yield BootConfiguration(node.name, node.name, node.interface, str(node.address))
        if not node.is_router:
            gateway = str(network.router.address)
            yield DefaultRoute(node.name, node.name, "default", gateway, node.interface)
        for route in network.routes(node):
            via = str(route.via) if route.via else None
            destination = str(route.destination)
            if route.destination == network.load_balancer.cidr:
                yield VipRoute(node.name, node.name, destination, via, route.interface)
            else:
                subject = f"{node.name} {destination}"
                yield StaticRoute(subject, node.name, destination, via, route.interface)
        if node.facts.wireless_interface:
            yield InterfaceDown(node.name, node.name, node.facts.wireless_interface)
        for key, (value, _) in kernel_settings(node).items():
            yield KernelSetting(f"{node.name} {key}", node.name, key, value)


@dataclass(frozen=True)
class InterfaceAddress(Check):
    """The address on the infrastructure network.

    Passes: the interface has exactly the address and prefix length of the facts.
    Fails: it has another or none, or there is no such interface.
    """

    kind = "interface.address"
    subject: str
    host: str
    interface: str
    address: str

    @property
    def expected(self) -> str:
        """Interface and address."""
        return f"{self.address} on {self.interface}"

    def reads(self) -> tuple[str, ...]:
        """The host's addresses."""
        return (ADDRESSES,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Judge the interface's global addresses."""
        found = [
            f"{address['local']}/{address['prefixlen']}"
            for link in parse_json(outputs, ADDRESSES)
            if link.get("ifname") == self.interface
            for address in link["addr_info"]
            if address["family"] == "inet" and address.get("scope") == "global"
        ]
        return passes(found == [self.address], ", ".join(found) or "no address")


@dataclass(frozen=True)
class BootConfiguration(Check):
    """What ifupdown will do with the interface at the next boot.

    Passes: /etc/network/interfaces reads the rendered file, and nothing else states the interface.
    Fails: the file is not read (`source-directory` leaves out names with a dot; `source …/*` does
    not), or the interface is stated a second time, which makes ifup stop before the routes.
    """

    kind = "interface.boot"
    subject: str
    host: str
    interface: str
    address: str

    @property
    def expected(self) -> str:
        """How often the interface is stated, and where."""
        return f"{self.interface} is stated once, with {self.address}"

    def reads(self) -> tuple[str, ...]:
        """The interface as ifupdown sees it."""
        return (f"/sbin/ifquery {self.interface}",)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Count the addresses that ifupdown would give it."""
        output = outputs[self.reads()[0]]
        if output.status != 0 and b"unknown interface" in output.stderr:
            return failed("its file is not read: see /etc/network/interfaces")
        lines = succeeded(outputs, self.reads()[0]).text.splitlines()
        found = [line.partition(" ")[2] for line in lines if line.startswith("address:")]
        return passes(found == [self.address], ", ".join(found) or "no address")


@dataclass(frozen=True)
class _RouteCheck(Check):
    """What all kinds of route have in common."""

    subject: str
    host: str
    destination: str
    via: str | None
    interface: str

    @property
    def expected(self) -> str:
        """The route."""
        return _describe(self.destination, self.via, self.interface)

    def reads(self) -> tuple[str, ...]:
        """The host's routes."""
        return (ROUTES,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Find the route; there is no other to the same destination."""
        found = [
            _describe(self.destination, route.get("gateway"), route.get("dev", "several"))
            for route in parse_json(outputs, ROUTES)
            if route["dst"] == self.destination
            and not {"dead", "linkdown"} & set(route.get("flags", ()))
        ]
        seen = ", ".join(found) or f"no route to {self.destination}"
        return passes(found == [self.expected], seen)


class DefaultRoute(_RouteCheck):
    """The way out of the segment.

    Passes: the default route goes through the router, on the interface of the facts.
    Fails: there is none, or it goes elsewhere.
    """

    kind = "route.default"


class VipRoute(_RouteCheck):
    """The route to the load-balancer addresses.

    Passes: it is there as the facts have it: on the link for Kubernetes nodes, where kube-proxy
    answers before routing is asked; through the router for the others.
    Fails: it is missing, or goes another way.
    """

    kind = "route.vip"


class StaticRoute(_RouteCheck):
    """A route that the facts state for this host alone.

    Passes: it is there, through its next hop.
    Fails: it is missing, or goes another way.
    """

    kind = "route.static"


@dataclass(frozen=True)
class InterfaceDown(Check):
    """A second interface on the same segment, which gives wrong source addresses.

    Passes: it is down, or not there.
    Fails: it is up.
    """

    kind = "interface.down"
    subject: str
    host: str
    interface: str

    @property
    def expected(self) -> str:
        """Which interface is down."""
        return f"{self.interface} is down"

    def reads(self) -> tuple[str, ...]:
        """The host's links."""
        return (ADDRESSES,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Judge the link's flags."""
        links = {link.get("ifname"): link for link in parse_json(outputs, ADDRESSES)}
        if self.interface not in links:
            return passed("not there")
        is_up = "UP" in links[self.interface]["flags"]
        return passes(not is_up, "up" if is_up else "down")


@dataclass(frozen=True)
class KernelSetting(Check):
    """One sysctl that a role needs.

    Passes: the kernel has the value of the facts.
    Fails: it has another.
    """

    kind = "sysctl"
    subject: str
    host: str
    key: str
    value: int

    @property
    def expected(self) -> str:
        """Key and value."""
        return f"{self.key} = {self.value}"

    def reads(self) -> tuple[str, ...]:
        """The kernel's value."""
        return (_read_setting(self.key),)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Compare."""
        seen = succeeded(outputs, self.reads()[0]).text.strip()
        return passes(seen == str(self.value), seen)


@dataclass(frozen=True)
class KernelRoutes(Observation):
    """The kernel's routes: the way out, and all into the infrastructure and the pool.

    Routes to pods and to the bridges of containers are elsewhere, and their daemons' business.
    """

    subject = "the kernel's routes"
    path: str
    interface: str
    watched: tuple[IPv4Network, ...]
    """No other route that overlaps one of them may be there, whoever has set it."""
    learned: tuple[IPv4Network, ...]
    """But routing daemons may have learned routes into these."""

    def reads(self) -> tuple[str, ...]:
        """The main routing table."""
        return (ROUTES,)

    def compare(self, seen: Seen) -> Difference | None:
        """Compare all that the kernel has not made itself, of an address of its own."""
        if self.path not in seen.expected:
            return None
        text = seen.expected[self.path]
        gateways, stated = _GATEWAY.findall(text), _ROUTE.findall(text)
        wanted = {_describe("default", via, self.interface) for via in gateways}
        wanted |= {_describe(to, via or None, interface) for to, via, interface in stated}
        runs = {
            _describe_running(route)
            for route in parse_json(seen.outputs, ROUTES)
            if self._is_watched(route, {to for to, _, _ in stated}, has_gateway=bool(gateways))
        }
        return _difference(wanted, runs)

    def _is_watched(
        self, route: Mapping[str, Any], stated: Collection[str], *, has_gateway: bool
    ) -> bool:
        destination, protocol = route["dst"], route.get("protocol", "boot")
        if protocol == "kernel":
            return False
        if destination in stated:
            return True
        if destination == "default":  # a router's way out is on an interface of its own
            return has_gateway or route.get("dev") == self.interface
        network = IPv4Network(destination)
        if protocol in _DAEMONS and any(network.subnet_of(each) for each in self.learned):
            return False
        return any(network.overlaps(each) for each in self.watched)


@dataclass(frozen=True)
class KernelAddresses(Observation):
    """Addresses of the infrastructure network on all interfaces, and the links that have a file.

    Elsewhere there are addresses of others: of pods, of bridges, of a router's other networks.
    """

    subject = "the kernel's addresses and links"
    path: str
    interface: str
    infrastructure: IPv4Network
    pool: IPv4Network
    """kube-proxy and a speaker give a host addresses of services, on interfaces for that."""
    wireless: str

    def reads(self) -> tuple[str, ...]:
        """The host's addresses and links."""
        return (ADDRESSES,)

    def compare(self, seen: Seen) -> Difference | None:
        """Compare with the one address of the file, and the link that its own file keeps down."""
        if self.path not in seen.expected:
            return None
        wanted = {
            f"{address} dev {self.interface}"
            for address in _STATED_ADDRESS.findall(seen.expected[self.path])
        }
        shown = parse_json(seen.outputs, ADDRESSES)
        links = {link["ifname"]: link for link in shown if "ifname" in link}
        runs = {
            f"{address['local']}/{address['prefixlen']} dev {name}"
            for name, link in links.items()
            for address in link["addr_info"]
            if address["family"] == "inet" and self._is_watched(name, address)
        }
        states = {self.interface: "up"}
        if f"{INTERFACES}/{self.wireless}.cfg" in seen.expected:
            states[self.wireless] = "down"
        for name, state in states.items():
            wanted.add(f"{name} {state}")
            is_up = name in links and "UP" in links[name]["flags"]
            runs.add(f"{name} {'up' if is_up else 'down'}")
        return _difference(wanted, runs)

    def _is_watched(self, interface: str, address: Mapping[str, Any]) -> bool:
        local = IPv4Address(address["local"])
        if interface in _OF_SERVICES and local in self.pool:
            return False
        is_own = interface == self.interface and address.get("scope") == "global"
        return is_own or local in self.infrastructure


def _stated_routes(network: Network, node: Node) -> tuple[dict[str, str], ...]:
    """Return the routes of a host's file: each as `ip route` takes it, and why it is there."""
    pool = network.load_balancer.cidr
    return tuple(
        {
            "text": str(route),
            "why": "load-balancer addresses"
            if route.destination == pool
            else "stated for this host",
        }
        for route in network.routes(node)
    )


def _difference(wanted: Collection[str], runs: Collection[str]) -> Difference | None:
    """Return what the kernel lacks of the file, and what it has beside it; None if nothing."""
    gone, extra = sorted({*wanted} - {*runs}), sorted({*runs} - {*wanted})
    if not gone and not extra:
        return None
    words = [f"missing: {', '.join(gone)}"] if gone else []
    words += [f"not of the file: {', '.join(extra)}"] if extra else []
    return Difference(Verdict.DRIFT, "; ".join(words), tuple(sorted(wanted)), tuple(sorted(runs)))


@dataclass(frozen=True)
class KernelSettings(Observation):
    """The kernel's settings, which `sysctl` changes without the file."""

    subject = "the kernel's settings"
    keys: tuple[str, ...]

    def reads(self) -> tuple[str, ...]:
        """The kernel's values."""
        return tuple(map(_read_setting, self.keys))

    def compare(self, seen: Seen) -> Difference | None:
        """Compare with the values of the file."""
        if SYSCTL_PATH not in seen.expected:
            return None
        lines = seen.expected[SYSCTL_PATH].splitlines()
        pairs = (line.partition("=") for line in lines if "=" in line and line[0] != "#")
        values = {key.strip(): value.strip() for key, _, value in pairs}
        known = [key for key in self.keys if key in values]
        wanted = tuple(f"{key} = {values[key]}" for key in known)
        runs = tuple(
            f"{key} = {succeeded(seen.outputs, _read_setting(key)).text.strip()}" for key in known
        )
        if wanted == runs:
            return None
        changed = (now for want, now in zip(wanted, runs, strict=True) if want != now)
        return Difference(Verdict.DRIFT, ", ".join(changed), wanted, runs)


_ADDRESS = re.compile(r"^(?:iface\s+\S+|\s+address\s+\S+)", re.MULTILINE)
_STATED_ADDRESS = re.compile(r"^\s+address\s+(\S+)", re.MULTILINE)
_DAEMONS = {"babel", "bgp", "bird", "eigrp", "isis", "ospf", "rip", "zebra"}
"""Routing daemons, as ip names them (iproute2, rt_protos)."""
_OF_SERVICES = {"lo", "kube-ipvs0"}
_GATEWAY = re.compile(r"^\s+gateway\s+(\S+)", re.MULTILINE)
_ROUTE = re.compile(r"^\s+up\s+ip -4 route replace (\S+)(?: via (\S+))? dev (\S+)", re.MULTILINE)


def _interface_path(node: Node) -> str:
    return f"{INTERFACES}/{node.interface}.cfg"


def _read_setting(key: str) -> str:
    return f"cat /proc/sys/{key.translate(str.maketrans('./', '/.'))}"


def _describe(destination: str, via: str | None, interface: str) -> str:
    return f"{destination} {_way(via, interface)}"


def _way(via: str | None, interface: str) -> str:
    return f"{f'via {via}' if via else 'on-link'} dev {interface}"


def _describe_running(route: Mapping[str, Any]) -> str:
    """Return a route of the kernel as :func:`_describe` does, with what no file of ours has."""
    hops = route.get("nexthops") or [route]
    ways = " and ".join(_way(hop.get("gateway"), hop.get("dev", "")) for hop in hops)
    if "type" in route:  # blackhole, prohibit, … (ip-route(8))
        ways = route["type"]
    metric = f" metric {route['metric']}" if route.get("metric") else ""
    return f"{route['dst']} {ways}{metric}"


def kernel_settings(node: Node) -> dict[str, tuple[int, str]]:
    """Return the sysctls that the roles of ``node`` need, each with why.

    Source: Linux Documentation/networking/ip-sysctl.rst; kubeadm's preflight checks.
    """
    settings: dict[str, tuple[int, str]] = {}
    if node.is_kubernetes_node:
        settings["net.ipv4.ip_forward"] = (1, "pods are routed, not bridged")
    if node.facts.load_balancer_route == "via-router" and not node.is_router:
        # The router's redirect would pin the host to one next hop for minutes, a dead one too.
        for name in ("all", node.interface.replace(".", "/")):
            key = f"net.ipv4.conf.{name}.accept_redirects"
            settings[key] = (0, "the router chooses the next hop for each flow anew")
    if node.is_router:
        for name in ("all", node.interface.replace(".", "/")):
            key = f"net.ipv4.conf.{name}.send_redirects"
            settings[key] = (0, "hosts on the segment are not to go past it")
        settings["net.ipv4.ip_forward"] = (1, "it is a router")
        settings["net.ipv4.fib_multipath_hash_policy"] = (
            1,
            "spread by flow (addresses and ports), not by address pair",
        )
    return settings


SERVICE = Routes()
