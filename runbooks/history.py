"""What was deployed from here: when, by whom, what, and what became of it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import add_output, add_selectors, make_parser

    parser = make_parser(
        "history",
        "Lists the deployments that were made from this folder, newest last, from the journal\n"
        "here. Nothing is read from any host.",
        (
            ("history", "every deployment"),
            ("history --host fenn", "those that touched fenn"),
            ("history --format json", "for machines"),
        ),
    )
    add_selectors(parser, "host")
    add_output(parser)
    return parser


def run(arguments: Namespace) -> int:
    """List; exit 1 if a deployment broke off and is not finished."""
    from goldentooth import open_project
    from goldentooth.journal import FORMAT
    from goldentooth.report.history import history_table
    from runbooks.options import to_json, write_result

    project = open_project(arguments.config)
    wanted = set(project.select(arguments.hosts).inventory.hosts) if arguments.hosts else None
    entries = [
        entry
        for entry in project.journal.entries()
        if wanted is None or wanted & entry.hosts.keys()
    ]
    listed = {"format": FORMAT, "deployments": [entry.to_dict() for entry in entries]}
    forms = {"table": lambda: history_table(entries), "json": lambda: to_json(listed)}
    write_result(arguments, forms)
    return 1 if any(entry.is_open for entry in entries) else 0


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
