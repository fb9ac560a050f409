"""The command line: finds the verb, runs its runbook, turns errors into messages.

Exit status, as diff(1): 0 nothing to report, 1 findings or differences, 2 it could not be
done; 130 after Ctrl-C. Data goes to stdout, everything else to stderr.
"""

from __future__ import annotations

import gc
import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

from runbooks.output import printable_streams

PROGRAM = "goldentooth-net"

VERBS = {
    "lint": "check the facts against the rules",
    "render": "make every host's configuration, in build/",
    "show": "the network as the facts have it",
    "twin": "the whole network as real Debian hosts on this machine",
    "verify": "check that the live network is what the facts say",
    "discover": "read off the hosts what they are, and say which facts are not so",
    "drift": "compare the hosts with what was applied and what is intended",
    "deploy": "show what would be changed on the hosts; with --commit, change it safely",
    "rollback": "bring hosts back to what was applied, last or earlier",
    "history": "what was deployed, when, by whom, and what became of it",
    "adopt": "take what is on hosts for what was applied there",
    "schema": "write the JSON Schema of the inventory, for editors",
}
"""Every verb with one line about it; the runbook is the module of that name."""

CANNOT = 2
INTERRUPTED = 130


class Runbook(Protocol):
    """What a module of this package gives the command line."""

    def parser(self) -> ArgumentParser:
        """Return the verb's argument parser."""

    def run(self, arguments: Namespace) -> int:
        """Do it and return the exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status. Never shows a traceback but to --debug."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    gc.disable()  # a tenth of a render, and what it would free goes with the process
    try:
        with printable_streams():
            return _status(arguments)
    finally:
        gc.freeze()  # or all there is would be looked through once more at the end


def _status(arguments: list[str]) -> int:
    try:
        status = _run(arguments)
        if sys.stdout:
            sys.stdout.flush()
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except SystemExit as end:  # argparse has said what it has to say
        return end.code if isinstance(end.code, int) else CANNOT
    except Exception as error:
        _drop_output()
        if "--debug" in arguments:
            import traceback

            print(traceback.format_exc(), end="", file=sys.stderr)
        if not isinstance(error, BrokenPipeError):
            _say(_message(error))
        return CANNOT
    return status


def _drop_output() -> None:
    """Forget what could not be written, or Python tries again at exit."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] not in VERBS:
        return _answer_without_verb(arguments)
    runbook: Runbook = import_module(f"runbooks.{arguments[0]}")
    return runbook.run(runbook.parser().parse_args(arguments[1:]))


def _answer_without_verb(arguments: list[str]) -> int:
    parser = _top_parser()
    if arguments and not arguments[0].startswith("-"):
        from difflib import get_close_matches

        near = get_close_matches(arguments[0], VERBS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"verbs: {', '.join(VERBS)}"
        parser.error(f"no verb {arguments[0]!r}: {hint}")
    given = parser.parse_args(arguments)
    if given.version:
        from importlib.metadata import version

        print(PROGRAM, version("goldentooth-network"))
        return 0
    parser.print_help(sys.stderr)
    return CANNOT


def _top_parser() -> ArgumentParser:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {about}" for verb, about in VERBS.items())
    parser = ArgumentParser(
        PROGRAM,
        usage=f"{PROGRAM} VERB [options]",
        description="A cluster's network as facts: linted, rendered, proven, deployed, watched.",
        epilog=f"verbs:\n{verbs}\n\n{PROGRAM} VERB --help tells more, with examples.\n"
        "exit status: 0 nothing to report, 1 findings or differences, 2 it could not be done",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    return parser


def _message(error: Exception) -> str:
    from goldentooth.errors import GoldentoothError

    if isinstance(error, GoldentoothError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        return (
            f"{PROGRAM}: {error.name} is not installed for {sys.executable}:"
            " run `make setup`, then use .venv/bin/goldentooth-net or .venv/bin/python"
        )
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else "output: "
        return f"{PROGRAM}: {place}{error.strerror.lower()}"
    return (
        f"{PROGRAM}: a mistake in this program: {type(error).__name__}: {error}\n"
        "    please report it with what --debug prints"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr)
