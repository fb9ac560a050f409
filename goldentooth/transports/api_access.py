"""The way to an OPNsense router's API, as the facts have it. Pure."""

from __future__ import annotations

from pathlib import Path

from goldentooth.facts import OpnsenseApi
from goldentooth.model import Node

CONNECTION = "goldentooth_opnsense"
"""Nornir's connection to it; its ``extras`` are what :func:`access_of` gives, and bounds."""


def access_of(node: Node, folder: Path) -> dict[str, str | None]:
    """Return the way to the API of ``node``; key and secret are references still.

    ``folder`` is the project's, from which ``ca`` and secrets in files are looked for.
    """
    api = node.facts.opnsense_api or OpnsenseApi()
    return {
        "url": api.url or f"https://{node.address}",
        "key": api.key,
        "secret": api.secret,
        "ca": str(folder / api.ca) if api.ca else None,
        "host_name": node.name,
        "mac": node.facts.mac,
        "folder": str(folder),
    }
