"""OPNsense: the router's side of every BGP session, where the router is an appliance.

There are no files: a frr.conf pushed there is gone at the next reconfigure. What is intended
are objects of the plugin os-frr, and host overrides of Unbound: :mod:`goldentooth.opnsense`.
"""

from __future__ import annotations

from goldentooth.activation import Activation
from goldentooth.artifact import Draft
from goldentooth.check import Check
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

    def checks(self, network: Network, node: Node) -> tuple[Check, ...]:  # noqa: ARG002  # the interface
        """Return none of its own: the sessions are FRR's."""
        return ()

    def observe(self, network: Network, node: Node) -> tuple[Observation, ...]:  # noqa: ARG002  # the interface
        """Return none: the API is asked for the objects."""
        return ()

    def folders(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return none."""
        return ()


SERVICE = Opnsense()
