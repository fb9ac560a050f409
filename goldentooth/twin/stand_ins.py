"""What is on the twin in place of the real thing, because that cannot be had here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from goldentooth.model import Network, Node
from goldentooth.twin.image import PlacedFile, add_unit
from goldentooth.twin.keys import Authority
from goldentooth.twin.layer import Layer
from goldentooth.twin.opnsense import SIMULATOR_UNIT, is_simulated
from goldentooth.twin.stand_in_secrets import (
    VAULT_PORT,
    VAULT_UNIT,
    specimens,
    vault_files,
    vault_host,
    vault_unit,
)
from goldentooth.twin.state import StandIn

API_UNIT = "stand-in-api.service"
SERVICE_ADDRESS_UNIT = "stand-in-kube-proxy.service"
SERVICE_SOCKET = "stand-in-web.socket"
ADDRESS_UNIT = "stand-in-address.service"

_SERVER = "/usr/lib/goldentooth-twin/stand_in_server.py"
_CERTIFICATE = "/etc/kubernetes/pki/apiserver.crt"
_KEY = "/etc/kubernetes/pki/apiserver.key"
_VAULT_CERTIFICATE = "/usr/lib/goldentooth-twin/vault.crt"
_VAULT_KEY = "/usr/lib/goldentooth-twin/vault.key"

_API = """[Unit]
Description=Stand-in for the Kubernetes API server
After=network.target

[Service]
ExecStart=/usr/bin/python3 -I -S {server} {port} {certificate} {key}
Restart=on-failure
"""

# An address on lo makes the kernel answer ARP for it on every interface. Behind MetalLB in BGP
# mode nobody does (kube-proxy in iptables mode has no address, in IPVS mode strictARP).
_SERVICE_ADDRESS = """[Unit]
Description=Stand-in for kube-proxy: this node answers at the services' addresses
DefaultDependencies=no
After=networking.service
Before=frr.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft 'table arp stand-in {{ \
chain input {{ type filter hook input priority 0; arp daddr ip {{ {listed} }} drop; }}; }}'
ExecStart=/usr/sbin/sysctl --quiet net.ipv4.conf.all.arp_announce=2
{add}
{delete}
ExecStop=/usr/sbin/nft delete table arp stand-in
"""

_WEB_SOCKET = """[Unit]
Description=Stand-in for a service of type LoadBalancer

[Socket]
{listen}
FreeBind=yes
"""

_WEB = """[Unit]
Description=Stand-in for a service of type LoadBalancer

[Service]
ExecStart=/usr/bin/python3 -I -S {server}
"""


_ADDRESS = """[Unit]
Description=Stand-in for what installed this host: its address, for as long as ifupdown has none
DefaultDependencies=no
Before=networking.service network.target ssh.service shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecCondition=/bin/sh -c '! /sbin/ifquery {interface}'
ExecStart=/bin/ip link set {interface} up
ExecStart=/bin/ip address replace {address}/{length} brd + dev {interface}
{route}
"""


def service_addresses(network: Network) -> tuple[str, ...]:
    """Return the addresses of services: those of the facts, else the pool's sixth, or its last."""
    pool = network.load_balancer.pool
    stated = network.load_balancer.services.values()
    return tuple(map(str, stated or (min(pool.first + 5, pool.last),)))


def list_stand_ins(
    network: Network, booted: Iterable[Node], addressed: Iterable[Node] = ()
) -> tuple[StandIn, ...]:
    """Return what on the hosts in ``booted`` is a stand-in.

    Those in ``addressed`` have their addresses from the twin.
    """
    booted = tuple(booted)
    nodes = tuple(node.name for node in booted if node.is_kubernetes_node)
    planes = tuple(node.name for node in booted if node.is_control_plane)
    routers = tuple(node.name for node in booted if is_simulated(node))
    addresses = ", ".join(service_addresses(network))
    vault = vault_host(network)
    vaults = tuple(node.name for node in booted if node == vault)
    found = (
        StandIn("OPNsense API simulator, Debian with FRR", "the OPNsense router", routers),
        StandIn(
            f"web server on {network.kubernetes.api_port}", "the Kubernetes API server", planes
        ),
        StandIn("FRR", "MetalLB's BGP speaker", nodes),
        StandIn(f"web server on {VAULT_PORT}", "Vault, with specimens of secrets", vaults),
        StandIn(f"{addresses} on lo", "kube-proxy", nodes),
        StandIn(f"web server on port 80 of {addresses}", "a service of type LoadBalancer", nodes),
        StandIn(ADDRESS_UNIT, "what installed the host", tuple(node.name for node in addressed)),
    )
    return tuple(stand_in for stand_in in found if stand_in.hosts)


def stand_in_units(node: Node) -> tuple[str, ...]:
    """Return the units of the stand-ins on ``node``."""
    units: tuple[str, ...] = ()
    if node.is_control_plane:
        units += (API_UNIT,)
    if node.is_kubernetes_node:
        units += (SERVICE_ADDRESS_UNIT, SERVICE_SOCKET)
    if is_simulated(node):
        units += (SIMULATOR_UNIT,)
    return units


def add_server(shared: Layer) -> None:
    """Put the stand-ins' server where all hosts have it."""
    source = Path(__file__).with_name("stand_in_server.py")
    shared.write(_SERVER, source.read_bytes(), mode=0o755)


def add_stand_ins(layer: Layer, network: Network, node: Node, authority: Authority) -> None:
    """Put the stand-ins that ``node`` needs into its layer."""
    if node == vault_host(network):
        text = vault_unit(_SERVER, _VAULT_CERTIFICATE, _VAULT_KEY)
        add_unit(layer, VAULT_UNIT, text, "multi-user.target")
        layer.write(_VAULT_CERTIFICATE, authority.api_certificate.read_bytes())
        layer.write(_VAULT_KEY, authority.api_key.read_bytes(), mode=0o600)
        for path, content in vault_files(specimens(network)).items():
            layer.write(path, content)
    if node.is_control_plane:
        port = network.kubernetes.api_port
        text = _API.format(server=_SERVER, port=port, certificate=_CERTIFICATE, key=_KEY)
        add_unit(layer, API_UNIT, text, "multi-user.target")
        layer.write(_CERTIFICATE, authority.api_certificate.read_bytes())
        layer.write(_KEY, authority.api_key.read_bytes(), mode=0o600)
    if node.is_kubernetes_node:
        addresses = service_addresses(network)
        ip = "/bin/ip address"
        text = _SERVICE_ADDRESS.format(
            listed=", ".join(addresses),
            add="\n".join(f"ExecStart={ip} replace {each}/32 dev lo" for each in addresses),
            delete="\n".join(f"ExecStop={ip} delete {each}/32 dev lo" for each in addresses),
        )
        add_unit(layer, SERVICE_ADDRESS_UNIT, text, "multi-user.target")
        listen = "\n".join(f"ListenStream={each}:80" for each in addresses)
        add_unit(layer, SERVICE_SOCKET, _WEB_SOCKET.format(listen=listen), "sockets.target")
        web = _WEB.format(server=_SERVER)
        add_unit(layer, SERVICE_SOCKET.replace(".socket", ".service"), web, None)


def has_interfaces(files: Iterable[PlacedFile]) -> bool:
    """Tell whether a host has its interfaces from one of ``files``."""
    return any(file.path.startswith("/etc/network/") for file in files)


def add_address(layer: Layer, network: Network, node: Node) -> None:
    """Let the host have its address and default route though none of its files say so.

    Once ifupdown knows the interface, the address is its business from the next boot on.
    """
    gateway = f"default via {network.router.address} dev {node.interface}"
    text = _ADDRESS.format(
        interface=node.interface,
        address=node.address,
        length=network.infrastructure.cidr.prefixlen,
        route="" if node.is_router else f"ExecStart=/bin/ip route replace {gateway}",
    )
    add_unit(layer, ADDRESS_UNIT, text, "multi-user.target")
