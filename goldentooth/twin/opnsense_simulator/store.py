"""The router's saved configuration: what the web interface and the API write."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .models import Item, Models

REVISIONS = 60
"""How many earlier configurations are kept (System: Configuration: History)."""

Config = dict[str, Any]


class Store:
    """The configuration, in a file that is written whole with every change, and its history.

    ``config[model]`` has ``fields`` and, by path, ``lists`` of items by uuid.
    """

    def __init__(self, models: Models, path: Path) -> None:
        self.models = models
        self.path = path
        self.config: Config = complete(models, {})
        self._history = path.parent / "backup"
        self._history.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self.config = complete(models, json.loads(path.read_text())["config"])

    def items(self, model: str, path: str) -> dict[str, Item]:
        """Return a list's items by uuid."""
        found: dict[str, Item] = self.config[model]["lists"][path]
        return found

    def fields(self, model: str) -> Item:
        """Return a model's own settings."""
        found: Item = self.config[model]["fields"]
        return found

    def save(self, who: str, what: str) -> None:
        """Write it, and keep it in the history."""
        now = time.time()
        revision = {"time": f"{now:.2f}", "description": what, "username": who}
        text = json.dumps({"revision": revision, "config": self.config})
        kept = self._history / f"config-{now:.6f}.xml"
        kept.touch(mode=0o600)
        kept.write_text(text)
        for old in self._kept()[REVISIONS:]:
            old.unlink()
        new = self.path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(text)
        new.replace(self.path)

    @property
    def revisions(self) -> list[dict[str, str]]:
        """The history, the newest first, without the configurations themselves."""
        return [
            {"id": kept.name, "filesize": str(kept.stat().st_size)}
            | json.loads(kept.read_text())["revision"]
            for kept in self._kept()
        ]

    def revert(self, revision: str, who: str) -> bool:
        """Make the configuration what it was; nothing is live by that."""
        for kept in self._kept():
            if kept.name == revision:
                self.config = complete(self.models, json.loads(kept.read_text())["config"])
                self.save(who, "reverted")
                return True
        return False

    def _kept(self) -> list[Path]:
        return sorted(self._history.glob("config-*.xml"), reverse=True)

    def users_of(self, uuid: str) -> Iterator[tuple[str, str, str, str]]:
        """Yield mount, list, uuid and name of every item that names ``uuid`` in a field."""
        for model, config in self.config.items():
            for path, items in config["lists"].items():
                for own, item in items.items():
                    if any(uuid in value for value in item.values()):
                        mount = self.models.table[model]["mount"]
                        name = item.get("description") or item.get("name", "")
                        yield mount, path, own, name


def complete(models: Models, config: Config) -> Config:
    """Return ``config`` with everything that the models have; what is missing has its default."""
    return {
        model: {
            "fields": models.new_item(model) | config.get(model, {}).get("fields", {}),
            "lists": {
                path: {
                    uuid: models.new_item(model, path) | item
                    for uuid, item in config.get(model, {}).get("lists", {}).get(path, {}).items()
                }
                for path in entry["lists"]
            },
        }
        for model, entry in models.table.items()
    }


def new_uuid() -> str:
    """Return a random uuid of version 4."""
    digits = secrets.token_hex(16)
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
