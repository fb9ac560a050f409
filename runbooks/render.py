"""Make every host's configuration from the facts."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import (
        add_output,
        add_selectors,
        add_workers,
        make_parser,
        path_argument,
    )

    parser = make_parser(
        "render",
        "Makes all artifacts of all hosts, in parallel, in build/<host>/<path on the host>.\n"
        "The folder is swapped in whole, and only if no host failed.",
        (
            ("render", "everything"),
            ("render --validate", "and let vtysh, haproxy, ifup … judge the files"),
            ("render --check", "write nothing; show what would change; exit 1 if anything"),
            ("render --host fenn --service frr", "a part; the rest of build/ is kept"),
        ),
    )
    add_selectors(parser)
    add_workers(parser)
    parser.add_argument("--check", action="store_true", help="write nothing, compare with build/")
    parser.add_argument("--validate", action="store_true", help="call the native judges")
    parser.add_argument("--build", metavar="DIR", type=path_argument, help="instead of build/")
    add_output(parser)
    return parser


def run(arguments: Namespace) -> int:
    """Render and report; exit 2 if a host failed, 1 if --check found differences."""
    from goldentooth import open_project
    from goldentooth.text import to_json
    from runbooks.options import has_colour, write_result
    from runbooks.progress import Progress

    project = open_project(arguments.config)
    report = project.render(
        hosts=arguments.hosts,
        groups=arguments.groups,
        services=arguments.services,
        check=arguments.check,
        validate=arguments.validate,
        workers=arguments.workers,
        build=arguments.build,
        processors=[Progress()],
    )
    if arguments.debug:
        for host in report.hosts:
            if host.traceback:
                print(host.traceback, file=sys.stderr)
    diff = report.diff() if arguments.check else ""
    write_result(
        arguments,
        {
            "table": lambda: diff + report.table(colour=has_colour(arguments)),
            "json": lambda: to_json(report.to_dict()),
        },
    )
    return report.status


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
