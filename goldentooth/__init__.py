"""A cluster's network as facts: linted, rendered, proven on a twin, deployed, watched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldentooth.model import Network, Node
    from goldentooth.project import Project, open_project

__all__ = ["Network", "Node", "Project", "open_project"]

_HOMES = {"Network": "model", "Node": "model", "Project": "project", "open_project": "project"}


def __getattr__(name: str) -> Any:
    """Import what is asked for, not before: a cold start pays for what it uses."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
