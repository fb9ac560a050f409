"""Show what would be changed on the hosts; with --commit, change it, each host safe to get back."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldentooth.planning import SavedPlan
    from goldentooth.rehearsal import Rehearsal
    from goldentooth.report.plan import DeployReport, Plan


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import (
        add_output,
        add_rollout,
        add_selectors,
        add_workers,
        make_parser,
        path_argument,
    )

    parser = make_parser(
        "deploy",
        "Shows what would be changed on every host, why, and what that disturbs. With --commit it\n"
        "is done: staged, judged by the daemon's own checker, backed up, swapped in, looked at\n"
        "from outside, and confirmed; a host that is not confirmed in time goes back by itself.",
        (
            ("deploy", "the plan; nothing is changed"),
            ("deploy --host fenn --service routes", "the plan for one host and service"),
            ("deploy --out plan.json", "keep the plan, to be applied as it is"),
            ("deploy --plan plan.json --commit", "apply exactly that plan"),
            ("deploy --rehearse", "on a twin, with faults; nothing is changed"),
            ("deploy --commit --canary fenn --serial 25%", "fenn first, then a quarter at a time"),
        ),
    )
    add_selectors(parser)
    add_workers(parser)
    parser.add_argument("--commit", action="store_true", help="do it")
    parser.add_argument(
        "--overwrite-drift",
        action="store_true",
        help="overwrite what was changed on a host; its version is kept in the back-up there",
    )
    parser.add_argument(
        "--rehearse",
        action="store_true",
        help="try it on a twin in today's state, with faults; --commit goes on if it passed",
    )
    parser.add_argument("--out", metavar="FILE", type=path_argument, help="save the plan there")
    parser.add_argument(
        "--plan",
        metavar="FILE",
        type=path_argument,
        help="do exactly what was saved there, for the hosts that it was made for, or refuse",
    )
    add_rollout(parser)
    add_output(parser)
    return parser


def run(arguments: Namespace) -> int:
    """Plan, or plan and deploy; exit 1 if the plan is not empty, 2 if a host did not come along."""
    from goldentooth import open_project
    from goldentooth.errors import UsageError
    from goldentooth.plan import Scope
    from goldentooth.planning import SavedPlan
    from goldentooth.text import to_json
    from runbooks.options import rollout_options, write_file
    from runbooks.progress import Progress, say

    project = open_project(arguments.config)
    if arguments.plan and not arguments.commit:
        raise UsageError("--plan is for --commit; `deploy` alone makes a new plan")
    if arguments.out and (arguments.commit or arguments.rehearse):
        does = "--commit carries one out" if arguments.commit else "--rehearse tries one"
        raise UsageError(f"--out saves a plan; {does}: one after the other")
    expected = _read_plan(arguments) if arguments.plan else None
    scope = (
        expected.scope
        if expected
        else Scope(arguments.hosts, arguments.groups, arguments.services, arguments.overwrite_drift)
    )
    chosen: dict[str, Any] = {**scope.selection, "overwrite": scope.overwrite}
    options = rollout_options(arguments, project.select(scope.hosts, scope.groups).inventory.hosts)
    if arguments.rehearse:
        if arguments.commit and expected is None:  # what is done after it is what was rehearsed
            expected = SavedPlan.of(project.plan(**chosen).to_dict())
        rehearsal = project.rehearse(**chosen, options=options, say=say)
        if not arguments.commit or not rehearsal.has_passed:
            _write(arguments, rehearsal)
            return rehearsal.status
        say(rehearsal.table())
    if arguments.commit:
        report = project.deploy(
            **chosen, options=options, expected=expected, workers=arguments.workers, say=say
        )
        _write(arguments, report)
        return report.status
    plan = project.plan(**chosen, workers=arguments.workers, processors=[Progress()])
    if arguments.out:
        write_file(arguments.out, to_json(plan.to_dict()))
    _write(arguments, plan)
    return plan.status


def _read_plan(arguments: Namespace) -> SavedPlan:
    """Return the saved plan, which says itself what it is for."""
    from goldentooth.bounded import load_json
    from goldentooth.errors import DeploymentError, UsageError
    from goldentooth.plan import Scope
    from goldentooth.planning import SavedPlan

    file = arguments.plan
    try:
        saved = SavedPlan.of(load_json(Path(file).read_bytes()))
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {(error.strerror or str(error)).lower()}"
        ) from error
    except ValueError as error:
        raise UsageError(f"{file} is not a saved plan: {error}") from error
    except DeploymentError as error:
        raise UsageError(f"{file}: {error}") from error
    said = Scope(arguments.hosts, arguments.groups, arguments.services).selection
    if (said and said != saved.scope.selection) or (
        arguments.overwrite_drift and not saved.scope.overwrite
    ):
        raise UsageError(
            f"{file} says itself what it is for: leave out --host, --group, --service and"
            " --overwrite-drift"
        )
    return saved


def _write(arguments: Namespace, report: Plan | DeployReport | Rehearsal) -> None:
    from goldentooth.text import to_json
    from runbooks.options import has_colour, write_result

    forms = {
        "table": lambda: report.table(colour=has_colour(arguments)),
        "json": lambda: to_json(report.to_dict()),
    }
    write_result(arguments, forms)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
