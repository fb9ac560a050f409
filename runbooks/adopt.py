"""Take what is on hosts for what was last applied there, so that drift has a baseline."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path


def parser() -> ArgumentParser:
    """Return the verb's argument parser."""
    from runbooks.options import add_output, add_selectors, add_workers, make_parser

    parser = make_parser(
        "adopt",
        "Shows which files of each host differ from what was last applied there (all, where\n"
        "nothing is known of that), and takes them for applied. Only the host's record is\n"
        "written; no file changes. What differs from the facts is pending then.",
        (
            ("adopt --host fenn", "show, ask, then take over"),
            ("adopt --yes", "every host, without asking"),
        ),
    )
    add_selectors(parser)
    add_workers(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_output(parser)
    return parser


def run(arguments: Namespace) -> int:
    """Show, ask, adopt; exit 1 if there was something and it was not taken, 2 if it failed."""
    from goldentooth import open_project
    from goldentooth.adoption import FORMAT
    from goldentooth.text import to_json
    from runbooks.options import write_result
    from runbooks.progress import Progress, say

    project = open_project(arguments.config)
    found = project.adoptable(
        hosts=arguments.hosts,
        groups=arguments.groups,
        services=arguments.services,
        workers=arguments.workers,
        processors=[Progress()],
    )
    shown = [host for host in found if host.taken or host.reason]
    listed = {"format": FORMAT, "hosts": [host.to_dict() for host in found]}
    forms = {
        "table": lambda: "\n\n".join(host.table() for host in shown) or "nothing to adopt",
        "json": lambda: to_json(listed),
    }
    write_result(arguments, forms)
    wanted = [host for host in found if host.taken]
    failed = any(host.reason for host in found)
    if not wanted:
        return 2 if failed else 0
    if not arguments.yes and not _agrees(len(wanted)):
        say("nothing was adopted (--yes adopts without asking)")
        return 2 if failed else 1
    refusals = project.adopt(wanted)
    for host, reason in refusals.items():
        say(f"{host}: {reason}")
    say(f"{len(wanted) - len(refusals)} of {len(wanted)} hosts adopted")
    return 2 if failed or refusals else 0


def _agrees(hosts: int) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"Take this for applied on {hosts} hosts? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
