"""annet's generators for a site: one for each kind of file, each file whole (`Entire`).

It starts from the contexts as derived before, as the bare renderer does, and uses one Jinja
environment. annet's own storage holds the names of the hosts. The environment variables
BENCH_CONTEXTS and BENCH_TEMPLATES say where the contexts and the templates are.
"""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cache
from typing import Any

from annet.generators import BaseGenerator, Entire
from annet.storage import Device, Storage
from bare import fill, make_environment, read_contexts
from jinja2 import Environment


@cache
def _environment() -> Environment:
    return make_environment(os.environ["BENCH_TEMPLATES"].split(os.pathsep))


@cache
def _contexts() -> tuple[list[Any], dict[str, dict[str, dict[str, Any]]]]:
    """Return the shared values, and the files keyed by host and template."""
    values, entries = read_contexts(os.environ["BENCH_CONTEXTS"])
    files: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for entry in entries:
        files[entry["host"]][entry["template"]] = entry
    return values, files


class OneTemplate(Entire):
    """The file that one template makes, of which a host has one or none."""

    template: str

    def path(self, device: Device) -> str | None:
        """Return where the file goes; None if the host has none."""
        entry = _contexts()[1][device.hostname].get(self.template)
        return f"/{entry['location']}" if entry else None

    def run(self, device: Device) -> str:
        """Return the file's text."""
        values, files = _contexts()
        return fill(_environment(), values, files[device.hostname][self.template])


def get_generators(storage: Storage) -> list[BaseGenerator]:
    """Return a generator for each template."""
    templates = sorted({template for files in _contexts()[1].values() for template in files})
    kinds = [type(name, (OneTemplate,), {"template": name}) for name in templates]
    return [kind(storage) for kind in kinds]
