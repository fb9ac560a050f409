"""HAProxy in front of the Kubernetes API: one address, every control plane behind it."""

from __future__ import annotations

from collections.abc import Iterator

from goldentooth.artifact import Draft, Judge
from goldentooth.model import Network, Node

HAPROXY = Judge("haproxy", ("haproxy", "-c", "-q", "-f", "{file}"), package="haproxy")
"""HAProxy's own check; `-q` keeps warnings, drops the word that all is well."""


class Haproxy:
    """The API's load balancer."""

    name = "haproxy"
    title = "HAProxy: the API's endpoint"

    def hosts(self, network: Network) -> tuple[Node, ...]:
        """Return the load balancers."""
        return network.load_balancers

    def drafts(self, network: Network, node: Node) -> Iterator[Draft]:
        """Yield haproxy.cfg."""
        yield Draft(
            "/etc/haproxy/haproxy.cfg",
            "haproxy/haproxy.cfg.j2",
            {
                "node": node,
                "haproxy": network.haproxy,
                "api_port": network.kubernetes.api_port,
                "servers": network.control_planes,
            },
            judge=HAPROXY,
        )

    def activate(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return a reload: the old process serves its connections to their end."""
        return ("systemctl reload haproxy.service",)


SERVICE = Haproxy()
