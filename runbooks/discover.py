"""Read off the hosts what they are, and say which facts are not so."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import add_output, add_selectors, add_workers, make_parser

    parser = make_parser(
        "discover",
        "Reads interfaces (the primary one is that of the route to the infrastructure network),\n"
        "hardware addresses, kernel, architecture and versions off every host and compares them\n"
        "with the facts: over SSH, an OPNsense router through its API. Nothing is changed.",
        (
            ("discover", "every host"),
            ("discover --host fenn --format json", "one host, for machines"),
            ("discover --write", "keep it in inventory/discovered.yaml, to be reviewed"),
        ),
    )
    add_selectors(parser, "host", "group")
    add_workers(parser)
    parser.add_argument(
        "--write", action="store_true", help="write what was seen to inventory/discovered.yaml"
    )
    add_output(parser)
    return parser


def run(arguments: Namespace) -> int:
    """Discover and report; exit 1 if a fact is not so, 2 if a host could not be asked."""
    from goldentooth import open_project
    from goldentooth.text import to_json
    from runbooks.options import has_colour, write_result
    from runbooks.progress import Progress, say

    project = open_project(arguments.config)
    report = project.discover(
        hosts=arguments.hosts,
        groups=arguments.groups,
        workers=arguments.workers,
        processors=[Progress()],
    )
    forms = {
        "table": lambda: report.table(colour=has_colour(arguments)),
        "json": lambda: to_json(report.to_dict()),
    }
    write_result(arguments, forms)
    if arguments.write:
        say(f"written: {project.write_discovered(report)}")
    return report.status


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
