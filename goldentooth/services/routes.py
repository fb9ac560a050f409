"""Interfaces, routes and the kernel's forwarding settings, made to last with ifupdown.

The file describes the interface as a whole: address, gateway, and the route to the
load-balancer addresses. `ip route replace` is idempotent, so a route that is missing or
wrong is mended by the next ifup; ifdown does not fail over a route that is gone.
"""

from __future__ import annotations

from collections.abc import Iterator

from goldentooth.artifact import Draft, Judge, Scope
from goldentooth.model import Network, Node

IFUP = Judge(
    "ifup",
    ("ifup", "--no-act", "--interfaces={file}", "--state-dir={scratch}", "{stem}"),
    package="ifupdown",
)
"""ifupdown's dry run: reads the file and prints what it would do."""

SYSCTL_PATH = "/etc/sysctl.d/60-goldentooth.conf"


class Routes:
    """Addresses and routes of every host."""

    name = "routes"
    title = "Interfaces, routes and sysctls (ifupdown)"

    def hosts(self, network: Network) -> tuple[Node, ...]:
        """Return every host."""
        return tuple(network.nodes.values())

    def drafts(self, network: Network, node: Node) -> Iterator[Draft]:
        """Yield the interface's file, the wireless one's, and sysctls where a role needs them.

        An OPNsense router keeps its own interfaces; its Debian stand-in on the twin is told.
        """
        scope = Scope.TWIN if node.platform == "opnsense" else Scope.HOST
        yield Draft(
            f"/etc/network/interfaces.d/{node.interface}.cfg",
            "routes/interface.cfg.j2",
            {
                "node": node,
                "prefix_length": network.infrastructure.cidr.prefixlen,
                "gateway": None if node.is_router else network.router.address,
                "routes": network.routes(node),
                "wireless": node.facts.wireless_interface,
            },
            scope=scope,
            judge=IFUP,
        )
        if node.facts.wireless_interface:
            yield Draft(
                f"/etc/network/interfaces.d/{node.facts.wireless_interface}.cfg",
                "routes/wireless.cfg.j2",
                {"node": node},
                scope=scope,
                judge=IFUP,
            )
        if settings := kernel_settings(node):
            yield Draft(SYSCTL_PATH, "routes/sysctl.conf.j2", {"settings": settings}, scope=scope)

    def activate(self, network: Network, node: Node) -> tuple[str, ...]:
        """Return the commands that make routes and settings so now, without ifdown.

        The interface that the operator comes in by is never taken down.
        """
        commands = [f"ip -4 route replace {route}" for route in network.routes(node)]
        if node.facts.wireless_interface:
            commands.append(f"ip link set dev {node.facts.wireless_interface} down")
        if kernel_settings(node):
            commands.append(f"sysctl --quiet --load={SYSCTL_PATH}")
        return tuple(commands)


def kernel_settings(node: Node) -> dict[str, tuple[int, str]]:
    """Return the sysctls that the roles of ``node`` need, each with why.

    Source: Linux Documentation/networking/ip-sysctl.rst; kubeadm's preflight checks.
    """
    settings: dict[str, tuple[int, str]] = {}
    if node.is_kubernetes_node:
        settings["net.ipv4.ip_forward"] = (1, "pods are routed, not bridged")
    if node.is_router:
        settings["net.ipv4.ip_forward"] = (1, "it is a router")
        settings["net.ipv4.fib_multipath_hash_policy"] = (
            1,
            "spread by flow (addresses and ports), not by address pair",
        )
    return settings


SERVICE = Routes()
