"""Compare what is intended, what was applied and what is live, on every host."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import add_output, add_selectors, add_workers, make_parser

    parser = make_parser(
        "drift",
        "Reads every host once, in parallel, over SSH, and compares files and running state with\n"
        "what was last applied and with what the facts say now. Nothing is changed on any host.",
        (
            ("drift", "every host"),
            ("drift --host fenn --service routes", "one host, one service"),
            ("drift --format json", "for machines"),
        ),
    )
    add_selectors(parser)
    add_workers(parser)
    add_output(parser)
    return parser


def run(arguments: Namespace) -> int:
    """Compare and report; exit 1 if something differs, 2 if something could not be told."""
    from goldentooth import open_project
    from runbooks.options import to_json, write_output
    from runbooks.progress import Progress

    project = open_project(arguments.config)
    report = project.drift(
        hosts=arguments.hosts,
        groups=arguments.groups,
        services=arguments.services,
        workers=arguments.workers,
        processors=[Progress()],
    )
    write_output(arguments, to_json(report.to_dict()))
    return report.status


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
