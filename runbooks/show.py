"""Show the network as the facts have it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

VIEWS = {
    "hosts": "every host: address, roles, hardware",
    "host": "all that holds for one host, and where each fact stands",
    "addresses": "ranges and addresses, in order",
    "bgp": "the router's sessions and policy",
    "routes": "routes that hosts have of their own",
    "haproxy": "the API's endpoint and its servers",
    "artifacts": "every file that is intended",
}


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import add_output, make_parser

    parser = make_parser(
        "show",
        "Shows what follows from the facts; nothing is read from any host.\n\n"
        + "\n".join(f"  {view:<10} {about}" for view, about in VIEWS.items()),
        (
            ("show hosts", "who is there"),
            ("show host fenn", "one host; each fact with file and line"),
            ("show bgp --format json", "for machines"),
        ),
    )
    parser.add_argument("view", choices=tuple(VIEWS), metavar="VIEW", help="one of the above")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the host, for `show host`")
    add_output(parser)
    return parser


def run(arguments: Namespace) -> int:
    """Show the view; always 0 if it can be shown."""
    from goldentooth import open_project
    from goldentooth.errors import UsageError
    from goldentooth.report import show
    from runbooks.options import to_json, write_result

    if (arguments.view == "host") != (arguments.name is not None):
        raise UsageError("`show host` takes one host's name, the other views take none")
    network = open_project(arguments.config).network
    if arguments.view == "host":
        view = show.show_host(network, arguments.name)
    else:
        view = show.VIEWS[arguments.view](network)
    write_result(
        arguments,
        {
            "table": lambda: show.to_text(view),
            "json": lambda: to_json({"format": show.FORMAT, "view": arguments.view, **view}),
        },
    )
    return 0


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
