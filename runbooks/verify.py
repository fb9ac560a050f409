"""Check that the live network is what the facts say."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldentooth.check import Check
    from goldentooth.compliance import Compliance
    from goldentooth.project import Project

LIST_FORMAT = "goldentooth-net/checks/1"


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import add_output, add_selectors, add_workers, make_parser

    parser = make_parser(
        "verify",
        "Reads every host once, in parallel, and judges the live checks that follow from the\n"
        "facts: over SSH, an OPNsense router through its API. Nothing is changed on any host.",
        (
            ("verify", "all checks"),
            ("verify --host fenn", "what is about fenn, wherever it is read"),
            ("verify --service haproxy --format json", "for machines"),
            ("verify --napalm", "NAPALM's validation of FRR, too"),
            ("verify --format prometheus --output /var/lib/prometheus/node-exporter/net.prom", ""),
        ),
    )
    add_selectors(parser)
    add_workers(parser)
    parser.add_argument(
        "--napalm",
        action="store_true",
        help="let NAPALM validate FRR, too: where it is deployed, or on the hosts that are named",
    )
    parser.add_argument("--list", action="store_true", help="list the checks, read nothing")
    add_output(parser, ("table", "json", "junit", "prometheus"))
    return parser


def run(arguments: Namespace) -> int:
    """Verify and report; exit 1 if a check failed, 2 if one could not be made."""
    from goldentooth import open_project
    from goldentooth.text import to_json
    from runbooks.options import has_colour, write_result
    from runbooks.progress import Progress

    project = open_project(arguments.config)
    chosen = {"hosts": arguments.hosts, "groups": arguments.groups, "services": arguments.services}
    compliance = _compliance(project, arguments) if arguments.napalm else {}
    if arguments.list:
        checks = project.checks(**chosen)
        checks += tuple(("napalm", check) for each in compliance.values() for check in each)
        listed = [_to_dict(service, check) for service, check in checks]
        lines = (f"{check.id} on {check.host}: {check.expected}" for _, check in checks)
        write_result(
            arguments,
            {
                "table": lambda: "\n".join(lines),
                "json": lambda: to_json({"format": LIST_FORMAT, "checks": listed}),
            },
        )
        return 0
    how: dict[str, Any] = {"workers": arguments.workers, "processors": [Progress()]}
    report = project.verify(**chosen, **how)
    if compliance:
        from tasks.napalm import validate_hosts

        started = monotonic()
        results = validate_hosts(project, compliance, **how)
        report = report.extended(results, monotonic() - started)
    write_result(
        arguments,
        {
            "table": lambda: report.table(colour=has_colour(arguments)),
            "json": lambda: to_json(report.to_dict()),
            "junit": report.junit,
            "prometheus": report.prometheus,
        },
    )
    return report.status


def _to_dict(service: str, check: Check) -> dict[str, Any]:
    return {
        "id": check.id,
        "kind": check.kind,
        "subject": check.subject,
        "host": check.host,
        "service": service,
        "expected": check.expected,
        "reads": list(check.reads()),
    }


def _compliance(project: Project, arguments: Namespace) -> dict[str, tuple[Compliance, ...]]:
    """Return what NAPALM is to find, by host."""
    from tasks.napalm import checks_of

    return checks_of(project, hosts=arguments.hosts, groups=arguments.groups)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
