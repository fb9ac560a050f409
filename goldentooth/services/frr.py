"""FRR: the router's side of every BGP session, and the twin's stand-in for the other side.

In production MetalLB's own speaker runs on the Kubernetes nodes; only on the twin does an
FRR of the host stand for it, so those files are in ``build/_twin/`` and never deployed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from goldentooth.artifact import Draft, Judge, Scope
from goldentooth.model import Network, Node

VTYSH = Judge("vtysh", ("vtysh", "-C", "-f", "{file}"), package="frr")
"""FRR's own syntax check; exit status 2 on an unknown command."""

_OWNER = "frr:frr"
_MODE = 0o640


class Frr:
    """BGP between the router and the Kubernetes nodes."""

    name = "frr"
    title = "FRR: BGP on the router (and the twin's speakers)"

    def hosts(self, network: Network) -> tuple[Node, ...]:
        """Return the router and its neighbors."""
        return (network.router, *network.bgp_neighbors)

    def drafts(self, network: Network, node: Node) -> Iterator[Draft]:
        """Yield frr.conf and daemons; a neighbor's are for the twin only."""
        scope = Scope.HOST if node.is_router else Scope.TWIN
        template = "frr/router.conf.j2" if node.is_router else "frr/speaker.conf.j2"
        context = _router(network) if node.is_router else _speaker(network, node)
        yield Draft(
            "/etc/frr/frr.conf",
            template,
            context,
            owner=_OWNER,
            mode=_MODE,
            scope=scope,
            judge=VTYSH,
        )
        yield Draft("/etc/frr/daemons", "frr/daemons.j2", owner=_OWNER, mode=_MODE, scope=scope)

    def activate(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return frr-reload: sessions whose lines do not change stay Established."""
        return ("/usr/lib/frr/frr-reload.py --reload --overwrite /etc/frr/frr.conf",)


def _router(network: Network) -> dict[str, Any]:
    return {
        "bgp": network.bgp,
        "router": network.router,
        "neighbors": network.bgp_neighbors,
        "accepted_prefixes": network.accepted_prefixes,
        "maximum_prefix": network.maximum_prefix,
    }


def _speaker(network: Network, node: Node) -> dict[str, Any]:
    return {
        "bgp": network.bgp,
        "router": network.router,
        "node": node,
        "pool": network.load_balancer.pool.cover,
    }


SERVICE = Frr()
