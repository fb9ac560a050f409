"""Bring hosts back to what was applied to them: the last time, or earlier."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goldentooth.report.plan import DeployReport, Plan


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import add_output, add_rollout, add_selectors, add_workers, make_parser

    parser = make_parser(
        "rollback",
        "Shows what would bring hosts back to what was last applied to them, or to what was\n"
        "applied before that; the hosts keep it themselves. With --commit it is done, in the way\n"
        "and with the safety of `deploy`. The facts stay as they are: what they say is pending.",
        (
            ("rollback --host fenn", "what would undo changes by hand on fenn"),
            ("rollback --to 1 --commit", "every host to before its last deployment"),
            ("rollback --to 1 --commit --canary fenn --serial 2", "fenn first, then two at a time"),
        ),
    )
    add_selectors(parser, "host", "group")
    add_workers(parser)
    parser.add_argument(
        "--to", metavar="N", type=_number, default=0, help="how many deployments back (0)"
    )
    parser.add_argument("--commit", action="store_true", help="do it")
    add_rollout(parser)
    add_output(parser)
    return parser


def run(arguments: Namespace) -> int:
    """Plan, or plan and do it; exit 1 if the plan is not empty, 2 if a host did not come along."""
    from goldentooth import open_project
    from goldentooth.text import to_json
    from runbooks.options import has_colour, rollout_options, write_result
    from runbooks.progress import Progress, say

    project = open_project(arguments.config)
    chosen = {"hosts": arguments.hosts, "groups": arguments.groups}
    among = project.select(arguments.hosts, arguments.groups).inventory.hosts
    options = rollout_options(arguments, among)
    report: Plan | DeployReport
    if arguments.commit:
        report = project.rollback(arguments.to, **chosen, options=options, say=say)
    else:
        report = project.plan_rollback(
            arguments.to, **chosen, workers=arguments.workers, processors=[Progress()]
        )
    forms = {
        "table": lambda: report.table(colour=has_colour(arguments)),
        "json": lambda: to_json(report.to_dict()),
    }
    write_result(arguments, forms)
    return report.status


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) > 100:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    return int(text)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
