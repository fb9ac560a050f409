"""Show the network as the facts have it."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldentooth.project import Project

VIEWS = {
    "hosts": "every host: address, roles, hardware",
    "host": "all that holds for one host, and where each fact stands",
    "addresses": "ranges and addresses, in order",
    "bgp": "the router's sessions and policy",
    "routes": "routes that hosts have of their own",
    "haproxy": "the API's endpoint and its servers",
    "artifacts": "every file that is intended",
    "compliance": "what NAPALM validates on one host that runs FRR",
}
OF_ONE_HOST = ("host", "compliance")


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import add_output, make_parser

    parser = make_parser(
        "show",
        "Shows what follows from the facts; nothing is read from any host but with --live.\n\n"
        + "\n".join(f"  {view:<10} {about}" for view, about in VIEWS.items()),
        (
            ("show hosts", "who is there"),
            ("show host fenn", "one host; each fact with file and line"),
            ("show bgp --format json", "for machines"),
            ("show bgp --live", "the sessions as they are, read through NAPALM"),
            ("show compliance router", "what NAPALM validates on a host, as its YAML"),
        ),
    )
    parser.add_argument("view", choices=tuple(VIEWS), metavar="VIEW", help="one of the above")
    parser.add_argument("name", nargs="?", metavar="NAME", help="the host, for the views of one")
    parser.add_argument(
        "--live",
        action="store_true",
        help="what is so right now beside it (bgp, routes): reads the hosts",
    )
    add_output(parser)
    return parser


def run(arguments: Namespace) -> int:
    """Show the view; 0 if it can be shown, 2 if --live could not read any host."""
    from goldentooth import open_project
    from goldentooth.errors import UsageError
    from goldentooth.report import show
    from goldentooth.text import to_json
    from runbooks.options import write_result

    if (arguments.view in OF_ONE_HOST) != (arguments.name is not None):
        views = " or ".join(f"`show {view}`" for view in OF_ONE_HOST)
        raise UsageError(f"{views} takes one host's name, the other views take none")
    if arguments.live and arguments.view not in {"bgp", "routes"}:
        raise UsageError("--live is for `show bgp` and `show routes`")
    project = open_project(arguments.config)
    name, status = arguments.view, 0
    if arguments.live:
        name, view, status = _live(project, arguments.view)
    elif arguments.view == "host":
        view = show.show_host(project.network, arguments.name)
    elif arguments.view == "compliance":
        view = show.show_compliance(project.network, arguments.name)
    else:
        view = show.VIEWS[arguments.view](project.network)
    to_text = show.compliance_yaml if arguments.view == "compliance" else show.to_text
    write_result(
        arguments,
        {
            "table": lambda: to_text(view),
            "json": lambda: to_json({"format": show.FORMAT, "view": name, **view}),
        },
    )
    return status


def _live(project: Project, view: str) -> tuple[str, dict[str, Any], int]:
    """Read the hosts; return the view's name and data, and the exit status."""
    from goldentooth.report import live
    from tasks.napalm import read_hosts
    from tasks.read import read_commands

    reads, make = {
        "bgp": (live.bgp_reads, live.bgp_view),
        "routes": (live.routes_reads, live.routes_view),
    }[view]
    answers = read_hosts(project, reads(project.network))
    if view == "routes":
        answers |= read_commands(project, live.kernel_reads(project.network))
    is_any_read = any(not each.status for found in answers.values() for each in found.values())
    return f"{view} --live", make(project.network, answers), 0 if is_any_read else 2


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
