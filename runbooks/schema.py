"""Write the JSON Schema of the inventory's files, which editors use to complete and check."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

FOLDER = Path("inventory/schema")


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import add_output, make_parser

    parser = make_parser(
        "schema",
        f"Writes {FOLDER}/{{hosts,groups,defaults}}.schema.json, which the first line of each\n"
        "inventory file names (yaml-language-server).",
        (
            ("schema", "write all three"),
            ("schema --check", "write nothing; exit 1 if one is out of date"),
            ("schema --print hosts", "print one"),
        ),
    )
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument("--print", choices=("hosts", "groups", "defaults"), help="print one")
    add_output(parser, ("json",))
    return parser


def run(arguments: Namespace) -> int:
    """Write, print or compare the schemas."""
    from goldentooth.schema import inventory_schemas
    from goldentooth.text import to_json
    from runbooks.options import write_output

    schemas = {name: to_json(schema) + "\n" for name, schema in inventory_schemas().items()}
    if arguments.print:
        write_output(arguments, schemas[arguments.print])
        return 0
    folder = _project_folder(arguments) / FOLDER
    stale = []
    for name, text in schemas.items():
        file = folder / f"{name}.schema.json"
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(file)
            if not arguments.check:
                folder.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
    for file in stale:
        print(f"{file} {'is out of date' if arguments.check else 'written'}", file=sys.stderr)
    return 1 if stale and arguments.check else 0


def _project_folder(arguments: Namespace) -> Path:
    from goldentooth.configuration import find_config

    return find_config(arguments.config).parent


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
