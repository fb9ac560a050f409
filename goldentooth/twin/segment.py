"""The segment: a bridge in a namespace of its own, and a link to it for every machine."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address

from goldentooth.twin.errors import TwinError
from goldentooth.twin.programs import ENVIRONMENT
from goldentooth.twin.state import SEGMENT, Link, MachineRecord, namespace, namespaces

BRIDGE = "segment"


def derived_mac(address: IPv4Address, index: int = 0) -> str:
    """Return a locally administered MAC address (IEEE 802, bit 0x02) for ``address``.

    >>> derived_mac(IPv4Address("10.4.0.15")), derived_mac(IPv4Address("10.4.0.15"), 1)
    ('02:00:0a:04:00:0f', '02:01:0a:04:00:0f')
    """
    return ":".join(f"{byte:02x}" for byte in (2, index, *address.packed))


def port(machine: MachineRecord, link: Link) -> str:
    """Return the bridge's port that ``link`` leads to; interface names have 15 characters at most.

    >>> eth0 = Link("eth0", "02:00:0a:04:00:0f", SEGMENT)
    >>> port(MachineRecord("fenn", "10.4.0.15", True, (eth0,)), eth0)
    'p0a04000f-0'
    """
    return f"p{IPv4Address(machine.address).packed.hex()}-{machine.links.index(link)}"


def make_segment(twin: str) -> None:
    """Make the bridge in its namespace."""
    batch([f"netns add {namespace(twin)}"])
    batch(
        [
            "link set lo up",
            f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0",
            f"link set {BRIDGE} up",
        ],
        namespace(twin),
    )


def wire(twin: str, machines: Iterable[MachineRecord]) -> None:
    """Give every machine its namespace and links; those to the segment are plugged in."""
    machines = list(machines)
    batch([f"netns add {namespace(twin, machine.name)}" for machine in machines])
    batch(
        [
            f"link add {port(machine, link)} netns {namespace(twin)} type veth"
            f" peer name {link.name} address {link.mac} netns {namespace(twin, machine.name)}"
            for machine in machines
            for link in machine.links
            if link.to == SEGMENT
        ]
    )
    plug_in(twin, machines)


def plug_in(twin: str, machines: Iterable[MachineRecord]) -> None:
    """Put the machines' ports on the bridge and up."""
    batch(
        [
            f"link set {port(machine, link)} master {BRIDGE} up"
            for machine in machines
            for link in machine.links
            if link.to == SEGMENT
        ],
        namespace(twin),
    )


def join(twin: str, first: tuple[MachineRecord, Link], second: tuple[MachineRecord, Link]) -> None:
    """Lay a link between two machines, past the segment."""
    one, other = (
        f"name {link.name} address {link.mac} netns {namespace(twin, machine.name)}"
        for machine, link in (first, second)
    )
    batch([f"link add {one} type veth peer {other}"])


def set_addresses(twin: str, machine: MachineRecord) -> None:
    """Set what a machine does not set by itself: the addresses of its links, its routes."""
    commands: list[str] = [] if machine.boots else ["link set lo up"]
    for link in machine.links:
        commands += [f"address replace {address} dev {link.name}" for address in link.addresses]
        commands += [f"link set {link.name} up"] if link.addresses else []
    commands += [f"route replace {route}" for route in machine.routes]
    batch(commands, namespace(twin, machine.name))


def remove_links(twin: str, machine: MachineRecord) -> None:
    """Take a machine's links away, those that are left."""
    inside = namespace(twin, machine.name)
    there = interfaces(inside)
    batch([f"link del {link.name}" for link in machine.links if link.name in there], inside)


def remove_namespace(twin: str, machine: MachineRecord) -> None:
    """Remove a machine's namespace, in which nothing runs any more."""
    batch([f"netns del {namespace(twin, machine.name)}"])


def interfaces(inside: str) -> set[str]:
    """Return the names of all interfaces in the namespace ``inside``."""
    done = subprocess.run(
        ["ip", "-n", inside, "-json", "link"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    return {link["ifname"] for link in json.loads(done.stdout or "[]")}


def remove_namespaces(twin: str) -> None:
    """Remove every namespace of the twin, and so every link."""
    there = namespaces(twin)
    if there:
        batch([f"netns del {name}" for name in there])


def batch(commands: Sequence[str], inside: str = "") -> None:
    """Run ip(8) commands in one go, in the namespace ``inside`` if given.

    Raises:
        TwinError: with the command that failed and what ip said.
    """
    if not commands:
        return
    place = ["-n", inside] if inside else []
    done = subprocess.run(
        ["ip", *place, "-batch", "-"],
        env=ENVIRONMENT,
        input="\n".join(commands),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise TwinError(f"ip: {done.stderr.strip()}")
