"""The managed systems: one module each, found by being in this folder.

A module defines ``SERVICE``, an object as :class:`Service` describes it. A new system is a
new module here, a folder in ``templates/`` and its tests; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol

from goldentooth.activation import Activation
from goldentooth.artifact import Draft
from goldentooth.check import Check
from goldentooth.model import Network, Node
from goldentooth.needs import Needs
from goldentooth.observation import Observation


class Service(Protocol):
    """One managed system: which hosts it is on, what it puts there, how that becomes live."""

    name: str
    """One word, as ``--service`` takes it."""
    title: str
    """One line for people."""

    def hosts(self, network: Network) -> tuple[Node, ...]:
        """Return the nodes that it has artifacts for."""

    def needs(self, network: Network, node: Node) -> Needs:
        """Return what must be on ``node`` before its files are: packages, users."""

    def drafts(self, network: Network, node: Node) -> Iterable[Draft]:
        """Return what it wants on ``node``, which is one of its hosts."""

    def activate(self, network: Network, node: Node) -> tuple[Activation, ...]:
        """Return what makes its files live on ``node``, in order."""

    def disturbs(self, path: str, before: str, after: str) -> tuple[str, ...]:
        """Say what a change of the file at ``path`` disturbs, a line each; none if nothing."""

    def units(self, network: Network, node: Node) -> tuple[str, ...]:
        """Return the systemd units that run it on ``node``."""

    def checks(self, network: Network, node: Node) -> Iterable[Check]:
        """Return the live truths about it on ``node``, wherever they are read."""

    def observe(self, network: Network, node: Node) -> Iterable[Observation]:
        """Return what is read of it on ``node``, beside its files, to be held against them."""

    def folders(self, network: Network, node: Node) -> tuple[str, ...]:
        """Return the folders on ``node`` that it owns: another file in one is a finding."""


@cache
def all_services() -> tuple[Service, ...]:
    """Return every service, by name."""
    names = sorted(module.name for module in iter_modules(__path__))
    return tuple(import_module(f"{__name__}.{name}").SERVICE for name in names)
