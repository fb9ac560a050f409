"""The options that verbs share, and where output goes."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goldentooth.errors import OutputError
from runbooks.cli import PROGRAM


def make_parser(verb: str, description: str, examples: Sequence[tuple[str, str]]) -> ArgumentParser:
    """Return a verb's parser with the options that all have; ``examples`` are (command, why)."""
    width = max(len(command) for command, _ in examples)
    shown = "\n".join(f"  {PROGRAM} {command:<{width}}  # {why}" for command, why in examples)
    parser = ArgumentParser(
        f"{PROGRAM} {verb}",
        description=description,
        epilog=f"examples:\n{shown}",
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=path_argument,
        help="the project's config.yaml (default: nearest, upwards)",
    )
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    return parser


_SELECTORS = {
    "host": "only this host",
    "group": "only the hosts in this group",
    "service": "only this service",
}


def add_selectors(parser: ArgumentParser, *selectors: str) -> None:
    """Add --host, --group and --service, or those that are named."""
    chosen = parser.add_argument_group("selection (all by default; may be repeated)")
    for option in selectors or _SELECTORS:
        chosen.add_argument(
            f"--{option}",
            dest=f"{option}s",
            metavar=option.upper(),
            action="append",
            default=[],
            help=_SELECTORS[option],
        )


def add_workers(parser: ArgumentParser) -> None:
    """Add --workers."""
    parser.add_argument(
        "--workers", metavar="N", type=_positive, help="hosts at the same time (see config.yaml)"
    )


def add_output(parser: ArgumentParser, formats: Sequence[str] = ("table", "json")) -> None:
    """Add --format, of which the first is the default, and --output."""
    parser.add_argument(
        "--format", choices=formats, default=formats[0], help=f"default: {formats[0]}"
    )
    parser.add_argument(
        "--output", metavar="FILE", type=path_argument, help="write there instead of stdout"
    )


def write_output(arguments: Namespace, text: str) -> None:
    """Write a verb's result to --output, whole or not at all, or to stdout."""
    text = text if text.endswith("\n") or not text else f"{text}\n"
    if not arguments.output:
        if sys.stdout is None:
            raise OutputError("stdout is closed: use --output")
        sys.stdout.write(text)
        return
    write_file(arguments.output, text)


def write_file(name: str, text: str) -> None:
    """Write ``text`` to the file ``name``, whole or not at all.

    Raises:
        OutputError: if it cannot be written; what was there is unchanged.
    """
    target = Path(name)
    text = text if text.endswith("\n") or not text else f"{text}\n"
    try:
        if target.exists() and not target.is_file():  # /dev/stdout, a pipe: nothing to replace
            target.write_text(text, encoding="utf-8")
        else:
            _replace(target.resolve(), text)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{name} cannot be written: {reason}") from error


def _replace(target: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def to_json(value: Any) -> str:
    """Return ``value`` as JSON for machines and for eyes."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def has_colour(arguments: Namespace) -> bool:
    """Tell whether output goes to a terminal that takes colour (no-color.org)."""
    to_terminal = not arguments.output and sys.stdout.isatty()
    return to_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def path_argument(text: str) -> str:
    """Return ``text`` if it can be a path: an empty variable of a script's is none.

    Raises:
        ArgumentTypeError: if it is blank.
    """
    if not text.strip():
        raise ArgumentTypeError(f"{text!r} is not a path")
    return text


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1000:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)
