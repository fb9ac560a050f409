"""What was deployed from here: when, by whom, what, and what became of it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goldentooth.journal import Entry


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import add_output, add_selectors, make_parser

    parser = make_parser(
        "history",
        "Lists the deployments that were made from this folder, newest last, from the journal\n"
        "here; of one, what became of each host, when and why. Nothing is read from any host.",
        (
            ("history", "every deployment"),
            ("history 20261127T100000-1f3a", "one of them, host by host"),
            ("history last", "the newest, host by host"),
            ("history --host fenn", "those that touched fenn"),
            ("history --format json", "for machines"),
        ),
    )
    parser.add_argument(
        "deployment", metavar="DEPLOYMENT", nargs="?", help="its name, or `last`: host by host"
    )
    add_selectors(parser, "host")
    add_output(parser)
    return parser


def run(arguments: Namespace) -> int:
    """List; exit 1 if a deployment broke off and is not finished."""
    from goldentooth import open_project
    from goldentooth.journal import FORMAT
    from goldentooth.report.history import deployment_table, history_table
    from goldentooth.text import to_json
    from runbooks.options import write_result

    project = open_project(arguments.config)
    wanted = set(project.select(arguments.hosts).inventory.hosts) if arguments.hosts else None
    entries = [
        entry
        for entry in project.journal.entries()
        if wanted is None or wanted & entry.hosts.keys()
    ]
    if arguments.deployment:
        entries = _only(entries, arguments.deployment)
    listed = {"format": FORMAT, "deployments": [entry.to_dict() for entry in entries]}

    def table() -> str:
        if arguments.deployment:
            return deployment_table(entries[0], wanted)
        return history_table(entries, wanted)

    forms = {"table": table, "json": lambda: to_json(listed)}
    write_result(arguments, forms)
    return 1 if any(entry.is_open for entry in entries) else 0


def _only(entries: Sequence[Entry], name: str) -> list[Entry]:
    from goldentooth.errors import UsageError
    from goldentooth.validation import did_you_mean

    names = [entry.deployment for entry in entries]
    found = entries[-1:] if name == "last" else [e for e in entries if e.deployment == name]
    if not found:
        remedy = did_you_mean(name, names) if names else "nothing has been deployed from here"
        raise UsageError(f"no deployment {name!r} is in the journal: {remedy}")
    return list(found)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
