"""JSON Schema of the inventory's files, made from the types in :mod:`goldentooth.facts`."""

from __future__ import annotations

from typing import Any

import msgspec

from goldentooth.facts import DefaultsEntry, GroupsFile, HostsFile
from goldentooth.values import custom_schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def inventory_schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas of ``hosts``, ``groups`` and ``defaults``, keyed by these names."""
    kinds = {"hosts": HostsFile, "groups": GroupsFile, "defaults": DefaultsEntry}
    return {name: _schema(name, kind) for name, kind in kinds.items()}


def _schema(name: str, kind: Any) -> dict[str, Any]:
    schema = msgspec.json.schema(kind, schema_hook=custom_schema)
    return {"$schema": DIALECT, "title": f"inventory/{name}.yaml", **schema}
