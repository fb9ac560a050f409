"""What a host says of itself, and where that is not what the facts say. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv4Network
from typing import TYPE_CHECKING, Any

from goldentooth.bounded import MalformedError, load_json
from goldentooth.check import Output, UnreadableError
from goldentooth.errors import Location
from goldentooth.model import Network, Node

if TYPE_CHECKING:
    from goldentooth.services import Service

ADDRESSES = "ip -j address show"
"""Links, and their addresses of both families."""
ROUTES = "ip -j -4 route show"
_SYSTEM = "uname -nrm"
_INFORMATION = "@api diagnostics/system/systemInformation"
_OVERVIEW = "@api interfaces/overview/interfacesInfo"
_FIRMWARE = "@api core/firmware/info"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Debian's names for what uname -m says; others are the same."""


@dataclass(frozen=True)
class Seen:
    """What one host is. ``versions`` are its packages', by name; empty where there is no dpkg."""

    hostname: str
    kernel: str
    architecture: str
    interface: str | None
    mac: str | None = None
    addresses: tuple[str, ...] = ()
    """Of the primary interface, each with its prefix length."""
    others: Mapping[str, bool] = field(default_factory=dict)
    """Further interfaces, and whether each is up."""
    versions: Mapping[str, str] = field(default_factory=dict)

    def entry(self) -> dict[str, Any]:
        """Return it as discovered.yaml has it."""
        entry: dict[str, Any] = {
            "interface": self.interface,
            "mac": self.mac,
            "architecture": self.architecture,
            "kernel": self.kernel,
            "interfaces_up": sorted(name for name, is_up in self.others.items() if is_up),
            "versions": dict(sorted(self.versions.items())),
        }
        return {key: value for key, value in entry.items() if value}


@dataclass(frozen=True)
class Mismatch:
    """A fact that is not true of its host; ``where`` it stands, if it is written out."""

    host: str
    fact: str
    expected: str
    seen: str
    where: Location | None = None

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.host}: {self.fact} is {self.expected} in the facts, {self.seen} there"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "host": self.host,
            "fact": self.fact,
            "expected": self.expected,
            "seen": self.seen,
            "where": str(self.where) if self.where else None,
        }


def discovery_commands(packages: Iterable[str]) -> tuple[str, ...]:
    """Return what to run on a host; ``packages`` are those whose versions are wanted."""
    return (ADDRESSES, ROUTES, _SYSTEM, *_versions(packages))


def host_commands(network: Network, node: Node, services: Iterable[Service]) -> tuple[str, ...]:
    """Return what to run on ``node``, which has ``services``; a sudo list has it to the letter."""
    return discovery_commands(
        package.name for service in services for package in service.needs(network, node).packages
    )


def _versions(packages: Iterable[str]) -> tuple[str, ...]:
    names = " ".join(sorted(set(packages)))
    shown = r"${db:Status-Abbrev}${Package} ${Version}\n"
    return (f"dpkg-query --show --showformat='{shown}' {names}",) if names else ()


def appliance_commands() -> tuple[str, ...]:
    """Return what to read of an OPNsense box, through its API."""
    return (_INFORMATION, _OVERVIEW, _FIRMWARE)


def read_appliance(
    outputs: Mapping[str, Output], infrastructure: IPv4Network, address: str
) -> Seen:
    """Return what the API of an OPNsense box says; as :func:`read_host` does of other hosts.

    ``versions`` are OPNsense's own and its plugins', if the key may read them.

    Raises:
        UnreadableError: if the answers cannot be understood.
    """
    information = _json(outputs, _INFORMATION)
    product, kernel = information["versions"][:2]
    links = {str(row["device"]): row for row in _json(outputs, _OVERVIEW)["rows"]}
    held = {name: tuple(_overview_addresses(link)) for name, link in links.items()}
    on_segment = [
        name
        for name, found in held.items()
        if any(IPv4Interface(each).network == infrastructure for each in found)
    ]
    on_segment.sort(key=lambda name: not any(a.startswith(f"{address}/") for a in held[name]))
    primary = on_segment[0] if on_segment else None
    return Seen(
        information["name"].partition(".")[0],
        kernel,
        product.rpartition("-")[2],
        primary,
        links[primary]["macaddr"].lower() if primary else None,
        held[primary] if primary else (),
        {
            name: link["status"] == "up"
            for name, link in links.items()
            if name != primary and link.get("is_physical")
        },
        dict(_plugins(outputs[_FIRMWARE])),
    )


def _overview_addresses(link: Mapping[str, Any]) -> Iterator[str]:
    """Yield an interface's addresses; one that is not assigned has the length beside it."""
    for each in link.get("ipv4") or ():
        length = f"/{each['subnetbits']}" if "/" not in each["ipaddr"] else ""
        yield f"{each['ipaddr']}{length}"


def _plugins(output: Output) -> Iterator[tuple[str, str]]:
    if output.is_refused:
        return
    firmware = _json({_FIRMWARE: output}, _FIRMWARE)
    yield "opnsense", str(firmware["product_version"])
    for plugin in firmware["plugin"]:
        if plugin["installed"] == "1":
            yield str(plugin["name"]), str(plugin["version"])


def read_host(outputs: Mapping[str, Output], infrastructure: IPv4Network, address: str) -> Seen:
    """Return what ``outputs``, by command, say; ``address`` is where the host was reached.

    Raises:
        UnreadableError: if they cannot be understood.
    """
    hostname, kernel, machine = _words(outputs[_SYSTEM])
    links = {str(link["ifname"]): link for link in _json(outputs, ADDRESSES) if "ifname" in link}
    primary = _primary(_json(outputs, ROUTES), links, infrastructure, address)
    link = links.get(primary or "", {})
    versions = next((o for command, o in outputs.items() if command.startswith("dpkg-query")), None)
    return Seen(
        hostname.partition(".")[0],
        kernel,
        _ARCHITECTURES.get(machine, machine),
        primary,
        link.get("address"),
        tuple(_inet(link)),
        {
            name: "UP" in other["flags"]
            for name, other in links.items()
            if name != primary and other.get("link_type") == "ether"
        },
        dict(_packages(versions.text)) if versions else {},
    )


def _primary(
    routes: Any, links: Mapping[str, Any], infrastructure: IPv4Network, address: str
) -> str | None:
    """Return the interface of the route to the infrastructure network.

    Of several, the one that has the host's address, then the one of the lowest metric: the
    kernel would choose that.
    """
    on_link = [r for r in routes if r.get("dst") == str(infrastructure) and "gateway" not in r]
    on_link.sort(
        key=lambda route: (
            not any(a.startswith(f"{address}/") for a in _inet(links.get(route["dev"], {}))),
            route.get("metric", 0),
        )
    )
    return on_link[0]["dev"] if on_link else None


def _inet(link: Mapping[str, Any]) -> Iterator[str]:
    for address in link.get("addr_info", ()):
        if address.get("family") == "inet":
            yield f"{address['local']}/{address['prefixlen']}"


def _packages(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["ii"] and words[2:]:
            yield words[1], words[2]


def _words(output: Output) -> tuple[str, str, str]:
    words = output.text.split()
    if output.status or len(words) != len(("name", "kernel", "machine")):
        raise UnreadableError(f"`{_SYSTEM}`: {output.complaint}")
    return words[0], words[1], words[2]


def _json(outputs: Mapping[str, Output], command: str) -> Any:
    output = outputs[command]
    try:
        return load_json(output.stdout)
    except MalformedError as error:
        reason = output.complaint if output.status else str(error)
        raise UnreadableError(f"`{command}` did not print JSON: {reason}") from None


def mismatches(network: Network, node: Node, seen: Seen) -> tuple[Mismatch, ...]:
    """Return every fact of ``node`` that is not what was seen."""
    return tuple(_mismatches(network, node, seen))


def _mismatches(network: Network, node: Node, seen: Seen) -> Iterator[Mismatch]:
    facts = node.facts
    stated = {
        "interface": (facts.interface if facts.interface != "auto" else None, seen.interface),
        "mac": (facts.mac.lower() if facts.mac else None, seen.mac),
        "architecture": (facts.architecture, seen.architecture),
    }
    for fact, (expected, found) in stated.items():
        if expected and expected != found:
            where = network.where_node(node, fact)
            yield Mismatch(node.name, fact, str(expected), str(found or "not seen"), where)
    if seen.hostname != node.name:
        yield Mismatch(node.name, "the host's name", node.name, seen.hostname)
    wanted = f"{node.address}/{network.infrastructure.cidr.prefixlen}"
    if seen.interface and wanted not in seen.addresses:
        found = ", ".join(seen.addresses) or "none"
        where = network.where_node(node, "hostname")
        yield Mismatch(node.name, f"the address of {seen.interface}", wanted, found, where)
    if facts.wireless_interface and seen.others.get(facts.wireless_interface):
        where = network.where_node(node, "wireless_interface")
        yield Mismatch(node.name, facts.wireless_interface, "kept down", "up", where)
