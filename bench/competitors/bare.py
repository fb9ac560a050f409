"""The floor: Jinja2 and JSON, nothing else.

    bare.py CONTEXTS TEMPLATES... OUTPUT

Everything has been derived before (contexts.py). One environment, each template compiled
once, no inventory, no checks, no manifest, no comparison with what was there.
"""

# ruff: noqa: PTH103, PTH120, PTH123
# The floor uses no more than it must: pathlib takes time.

import json
import os
import sys
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


class Prefix(str):
    """A network's text that knows its prefix length, as the templates ask for it."""

    __slots__ = ()

    @property
    def prefixlen(self) -> int:
        """The number behind the slash."""
        return int(self.partition("/")[2])


def read_contexts(path: str) -> tuple[list[Any], list[dict[str, Any]]]:
    """Return the shared values, and what each file is made of."""
    with open(path, encoding="utf-8") as file:
        data = json.load(file)
    values = data["values"]
    for index in data["prefix_lists"]:
        values[index] = [Prefix(text) for text in values[index]]
    return values, data["files"]


def make_environment(folders: list[str]) -> Environment:
    """Return an environment that writes what the project's own does."""
    return Environment(
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


def fill(environment: Environment, values: list[Any], entry: dict[str, Any]) -> str:
    """Return the text of one file."""
    shared = {name: values[index] for name, index in entry["shared"].items()}
    return environment.get_template(entry["template"]).render(**shared, **entry["own"])


def main() -> None:
    """Render every file."""
    contexts, *folders, output = sys.argv[1:]
    values, entries = read_contexts(contexts)
    environment = make_environment(folders)
    made = set()
    for entry in entries:
        path = f"{output}/{entry['location']}"
        folder = os.path.dirname(path)
        if folder not in made:
            os.makedirs(folder, exist_ok=True)
            made.add(folder)
        with open(path, "w", encoding="utf-8") as file:
            file.write(fill(environment, values, entry))


if __name__ == "__main__":
    main()
