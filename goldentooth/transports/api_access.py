"""The way to an OPNsense router's API, as the facts have it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONNECTION = "goldentooth_opnsense"
"""Nornir's connection to it; its ``extras`` are what :func:`access_of` gives, and bounds."""

FOLDER = "folder"
"""Setting of ``user_defined`` that names the project's folder, where files of secrets are."""


def access_of(
    name: str, address: str, stated: Mapping[str, Any] | None, mac: str | None
) -> dict[str, str | None]:
    """Return the way to the API of a host: key and secret are references still.

    ``stated`` is its ``opnsense_api``, as it is written.
    """
    from msgspec import convert, to_builtins

    from goldentooth.facts import OpnsenseApi

    api = to_builtins(convert(stated or {}, OpnsenseApi))
    return {**api, "url": api["url"] or f"https://{address}", "host_name": name, "mac": mac}
