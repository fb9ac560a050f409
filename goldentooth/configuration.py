"""config.yaml: where it is, and Nornir's configuration from it."""

from __future__ import annotations

import logging
from importlib import metadata
from pathlib import Path
from threading import RLock
from typing import Any

from nornir.core.configuration import Config
from nornir.core.plugins.connections import ConnectionPluginRegister

from goldentooth.errors import GoldentoothError, UsageError
from goldentooth.transports.api_access import FOLDER
from goldentooth.transports.bounds import Bounds
from goldentooth.validation import shown_value
from goldentooth.yamlfile import display_path, read_document

CONFIG = "config.yaml"
PLUGIN = "GoldentoothInventory"
RIGHT = f"write `inventory: {{plugin: {PLUGIN}}}`"

_SECTIONS = ("core", "inventory", "logging", "runner", "ssh", "user_defined")
"""Sections of Nornir's configuration."""


def find_config(config: str | Path | None = None) -> Path:
    """Return the absolute path of ``config``, or of the nearest config.yaml from here upwards.

    Raises:
        UsageError: if there is none.
    """
    if config:
        if not Path(config).is_file():
            raise UsageError(f"{config} is not a file: name a project's {CONFIG} with --config")
        return Path(config).absolute()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / CONFIG).is_file():
            return folder / CONFIG
    raise UsageError(f"no {CONFIG} here or above {here}: name one with --config")


def read_config(path: Path) -> Config:
    """Return what ``path`` configures.

    Raises:
        UsageError: if Nornir cannot use it.
    """
    sections = _read_sections(path)
    try:
        # Nornir reads YAML with pure Python: the same again would take longer than the inventory
        config = Config.from_file(str(path)) if sections is None else Config.from_dict(**sections)
        config.user_defined.setdefault(FOLDER, str(path.parent))  # for connections to find files
        config.logging.configure()
    except GoldentoothError:
        raise
    except Exception as error:  # ruamel and Nornir raise whatever they come upon
        summary = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"{display_path(path)} is not a Nornir configuration: {summary}"
        ) from error
    if not config.logging.enabled:
        # Nornir logs a failed task with its traceback; without a handler Python prints it
        logging.getLogger("nornir").addHandler(logging.NullHandler())
        logging.getLogger("nornir").propagate = False
    if not isinstance(ConnectionPluginRegister.available, _PluginsOnDemand):
        ConnectionPluginRegister.available = _PluginsOnDemand(ConnectionPluginRegister.available)
    return config


def _read_sections(path: Path) -> dict[str, dict[str, Any]] | None:
    """Return Nornir's sections of config.yaml; None if it is no YAML to us: it may be to Nornir.

    Raises:
        UsageError: where Nornir would trip over it.
    """
    document = read_document(path)
    if document.problems:
        return None
    if not document.value:
        raise UsageError(f"{document.file} holds no settings\n    {RIGHT}")
    for section, value in document.value.items():
        if section in _SECTIONS and not isinstance(value, dict):
            raise UsageError(
                f"{document.where((section,))}: {section} {shown_value(value)} is not a mapping\n"
                "    write `key: value` lines below it, or leave it away"
            )
    Bounds.of(
        document.value.get("user_defined", {}),
        lambda *setting: document.where(("user_defined", *setting)),
    )
    return {name: document.value[name] for name in _SECTIONS if name in document.value}


class _PluginsOnDemand(dict[str, Any]):
    """Connection plugins by name, each imported when it is asked for.

    Nornir's auto_register imports all of them, NAPALM and Netmiko too: most of a second.
    """

    _loading = RLock()
    """Threads that ask at the same time do not all look through what is installed."""

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        with self._loading:
            return super().__contains__(name) or self._load(str(name))

    def __getitem__(self, name: str) -> Any:
        if name in self:
            return super().__getitem__(name)
        raise KeyError(name)

    def _load(self, name: str) -> bool:
        for found in metadata.entry_points(group="nornir.plugins.connections", name=name):
            super().__setitem__(name, found.load())
            return True
        return False
