"""Compare what is intended, what was applied and what is live, on every host."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from goldentooth.history import DriftHistory
    from goldentooth.notify import Hooks
    from goldentooth.project import Project
    from goldentooth.report.drift import DriftReport

FORMATS = ("table", "json", "junit", "prometheus", "html")
SCHEDULED_SECONDS = 900.0


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import (
        add_output,
        add_selectors,
        add_workers,
        make_parser,
        seconds_argument,
    )

    parser = make_parser(
        "drift",
        "Reads every host once, in parallel, over SSH, and compares files and running state with\n"
        "what was last applied and with what the facts say now. Nothing is changed on any host.",
        (
            ("drift", "every host"),
            ("drift --host fenn --service routes", "one host, one service"),
            ("drift --output drift.html --output prometheus=/run/drift.prom", "several at once"),
            ("drift --scheduled --quiet", "for cron: see docs/cron.md"),
            ("drift --history", "when hosts left sync and came back"),
        ),
    )
    add_selectors(parser)
    add_workers(parser)
    add_output(parser, FORMATS)
    parser.add_argument("--quiet", action="store_true", help="print nothing if all is in sync")
    unwatched = parser.add_argument_group("runs that nobody watches")
    unwatched.add_argument(
        "--scheduled",
        action="store_true",
        help="one run at a time; keep the report, log a line, notify of changes",
    )
    unwatched.add_argument(
        "--wait", action="store_true", help="wait for a scheduled run that is under way"
    )
    unwatched.add_argument(
        "--timeout",
        metavar="S",
        type=seconds_argument,
        help=f"seconds for all of it (default: no end; {SCHEDULED_SECONDS:.0f} if scheduled)",
    )
    unwatched.add_argument(
        "--history", action="store_true", help="read no host: show what scheduled runs have seen"
    )
    return parser


def run(arguments: Namespace) -> int:
    """Compare and report; exit 1 if something differs, 2 if something could not be told."""
    from contextlib import nullcontext

    from goldentooth import open_project
    from runbooks.scheduled import deadline

    _refuse_contradictions(arguments)
    limit = arguments.timeout or (SCHEDULED_SECONDS if arguments.scheduled else None)
    with deadline("drift", limit) if limit else nullcontext():
        if arguments.scheduled:
            return _run_scheduled(arguments, limit or SCHEDULED_SECONDS)
        project = open_project(arguments.config)
        if arguments.history:
            return _show_history(arguments, project.drift_history)
        report = _look(arguments, project)
        _write(arguments, report)
        return report.status


def _refuse_contradictions(arguments: Namespace) -> None:
    from goldentooth.errors import UsageError

    if arguments.scheduled and arguments.history:
        raise UsageError("--scheduled makes a run, --history shows earlier ones: name one")
    if arguments.wait and not arguments.scheduled:
        raise UsageError("--wait is for --scheduled: other runs do not keep each other out")
    if arguments.scheduled and (arguments.hosts or arguments.groups or arguments.services):
        raise UsageError(
            "a scheduled run is of the whole network: what it does not look at would seem to\n"
            "    have come back into sync; leave --host, --group and --service away"
        )


def _look(arguments: Namespace, project: Project) -> DriftReport:
    from runbooks.progress import Progress

    return project.drift(
        hosts=arguments.hosts,
        groups=arguments.groups,
        services=arguments.services,
        workers=arguments.workers,
        processors=[Progress()],
    )


def _write(arguments: Namespace, report: DriftReport, last_success: datetime | None = None) -> None:
    """Write the report; where a file cannot be written, what was found is printed all the same."""
    from goldentooth.errors import OutputError
    from goldentooth.text import to_json
    from runbooks.options import has_colour, write_result

    if arguments.quiet and not report.status and not arguments.outputs:
        return
    if arguments.quiet and report.status and arguments.outputs:
        print(report.table())  # for the mail of cron, which sends what is printed
    try:
        write_result(
            arguments,
            {
                "table": lambda: report.table(colour=has_colour(arguments)),
                "json": lambda: to_json(report.to_dict()),
                "junit": report.junit,
                "prometheus": lambda: report.prometheus(last_success),
                "html": report.html,
            },
        )
    except OutputError:
        if arguments.outputs and not arguments.quiet:
            print(report.table())
        raise


def _show_history(arguments: Namespace, history: DriftHistory) -> int:
    from goldentooth.history import history_table, history_to_dict
    from goldentooth.text import to_json
    from runbooks.options import write_result

    reports = tuple(history.reports())
    write_result(
        arguments,
        {
            "table": lambda: history_table(reports),
            "json": lambda: to_json(history_to_dict(reports)),
        },
    )
    return 0


def _run_scheduled(arguments: Namespace, limit: float) -> int:
    from goldentooth import open_project
    from goldentooth.errors import GoldentoothError
    from runbooks.scheduled import log

    try:
        return _run_alone(arguments, open_project(arguments.config), limit)
    except GoldentoothError as error:
        log(f"drift: {str(error).splitlines()[0]}", 2)
        raise


def _run_alone(arguments: Namespace, project: Project, limit: float) -> int:
    """Make one run, while no other does; what cannot be kept or told does not stop it."""
    from contextlib import ExitStack
    from functools import partial

    from goldentooth.errors import OutputError
    from runbooks.scheduled import log

    history, hooks, problems = project.drift_history, project.hooks, []
    with ExitStack() as stack:
        try:
            stack.enter_context(history.alone(wait_seconds=limit if arguments.wait else 0))
        except OutputError as error:
            problems.append(str(error))
        before, last_success = history.last(), history.last_success()
        report = _look(arguments, project)
        log(f"drift: {report.summary} in {report.seconds:.1f} s", report.status)
        for keep in (
            partial(_write, arguments, report, last_success),
            partial(history.add, report),
        ):
            try:
                keep()
            except OutputError as error:
                problems.append(str(error))
        for failure in _notify(hooks, project.folder, before, report):
            log(f"drift: {failure}", 1)
            print(failure, file=sys.stderr)
    if problems:
        log(f"drift: {problems[0].splitlines()[0]}", 2)
        raise OutputError("\n".join(dict.fromkeys(problems)))
    return report.status


def _notify(
    hooks: Hooks, folder: Path, before: DriftReport | None, report: DriftReport
) -> tuple[str, ...]:
    """Tell the hooks what has changed since the run before; return a line for each that failed."""
    from goldentooth.history import changes
    from goldentooth.notify import FORMAT

    found = [change.to_dict() for change in changes((report,), before)]
    if not found:
        return ()
    return hooks.tell({"format": FORMAT, "changes": found, "report": report.to_dict()}, folder)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
