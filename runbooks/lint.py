"""Check the facts against the rules."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import add_output, add_selectors, make_parser

    parser = make_parser(
        "lint",
        "Checks the facts against the rules; nothing is read from any host.\n"
        "Exit status 1 if there is a finding that the inventory does not accept.",
        (
            ("lint", "every finding, with file, line and what to do"),
            ("lint --rule BGP --rule ROUTE001", "only a topic, only a rule"),
            ("lint --host fenn", "only what is about that host itself"),
            ("lint --explain BGP001", "why a rule is there, and what to do"),
            ("lint --list", "every rule in a line"),
            ("lint --format sarif --output lint.sarif", "for code review"),
        ),
    )
    parser.add_argument(
        "--rule",
        dest="rules",
        metavar="ID",
        action="append",
        default=[],
        help="only this rule or topic (may be repeated)",
    )
    add_selectors(parser, "host", "group")
    parser.add_argument("--explain", metavar="ID", help="explain a rule")
    parser.add_argument("--list", action="store_true", help="list the rules")
    add_output(parser, ("table", "json", "junit", "sarif"))
    return parser


def run(arguments: Namespace) -> int:
    """Lint and report; exit 1 if anything is found that is not accepted."""
    from goldentooth.report.findings import FORMATS, explain, format_findings
    from goldentooth.report.table import format_table
    from goldentooth.rules import find_rule, select_rules
    from runbooks.options import has_colour, write_output, write_result

    colour = has_colour(arguments)
    if arguments.explain:
        write_output(arguments, explain(find_rule(arguments.explain), colour=colour))
        return 0
    rules = select_rules(arguments.rules)
    if arguments.list:
        rows = [(rule.id, rule.severity.value, rule.title) for rule in rules]
        write_output(arguments, format_table(("rule", "severity", "what"), rows))
        return 0
    from goldentooth import open_project

    findings = open_project(arguments.config).lint(
        only=arguments.rules, hosts=arguments.hosts, groups=arguments.groups
    )
    write_result(
        arguments,
        {
            form: partial(format_findings, findings, form, rules=rules, colour=colour)
            for form in FORMATS
        },
    )
    return 1 if any(not finding.is_accepted for finding in findings) else 0


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
