"""OPNsense: the router's side of every BGP session, where the router is an appliance.

There are no files: a frr.conf pushed there is gone at the next reconfigure. What is intended
are objects of the plugin os-frr, and host overrides of Unbound: :mod:`goldentooth.opnsense`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from goldentooth.activation import Activation
from goldentooth.artifact import Draft
from goldentooth.check import Check, Outcome, Output, parse_json, passes
from goldentooth.model import Network, Node
from goldentooth.needs import Needs
from goldentooth.observation import Observation


class Opnsense:
    """The router through its API."""

    name = "opnsense"
    title = "OPNsense: BGP and names on the router, through its API"

    def hosts(self, network: Network) -> tuple[Node, ...]:
        """Return the router, if it is an OPNsense box."""
        return (network.router,) if network.router.is_opnsense else ()

    def needs(self, network: Network, node: Node) -> Needs:  # noqa: ARG002  # the interface
        """Return nothing: the plugin is the box's own."""
        return Needs()

    def drafts(self, network: Network, node: Node) -> tuple[Draft, ...]:  # noqa: ARG002  # the interface
        """Return none."""
        return ()

    def activate(self, network: Network, node: Node) -> tuple[Activation, ...]:  # noqa: ARG002  # the interface
        """Return none: the API's reconfigure makes objects live."""
        return ()

    def disturbs(self, path: str, before: str, after: str) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return nothing: there are no files."""
        return ()

    def units(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return none."""
        return ()

    def checks(self, network: Network, node: Node) -> Iterator[Check]:
        """Yield its static routes; the sessions are FRR's."""
        for route in network.routes(node):
            destination = str(route.destination)
            yield RouterRoute(f"{node.name} {destination}", node.name, destination, str(route.via))

    def observe(self, network: Network, node: Node) -> tuple[Observation, ...]:  # noqa: ARG002  # the interface
        """Return none: the API is asked for the objects."""
        return ()

    def folders(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return none."""
        return ()


_ROUTES = "vtysh -c 'show ip route json'"


@dataclass(frozen=True)
class RouterRoute(Check):
    """A route that the facts state for an OPNsense router, in its FRR.

    Passes: it is in use, through its next hop alone.
    Fails: it is missing, goes another way, or its next hop cannot be reached.
    """

    kind = "opnsense.route"
    subject: str
    host: str
    destination: str
    via: str

    @property
    def expected(self) -> str:
        """The route."""
        return f"{self.destination} via {self.via}"

    def reads(self) -> tuple[str, ...]:
        """FRR's routing table."""
        return (_ROUTES,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Judge the next hops that the kernel has."""
        found = parse_json(outputs, _ROUTES).get(self.destination, [])
        hops = [
            hop.get("ip") or f"dev {hop.get('interfaceName')}"
            for route in found
            if route.get("selected")
            for hop in route["nexthops"]
            if hop.get("fib")
        ]
        seen = f"{self.destination} via {', '.join(hops)}" if hops else "it is not in use"
        return passes(hops == [self.via], seen)


SERVICE = Opnsense()
