"""The options that verbs share, and where output goes."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goldentooth.errors import OutputError, UsageError
from goldentooth.text import readable
from goldentooth.wholefile import replace_file
from runbooks.cli import PROGRAM
from runbooks.output import takes_colour

if TYPE_CHECKING:
    from goldentooth.deployment import Options


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


def add_rollout(parser: ArgumentParser) -> None:
    """Add how a deployment goes about it: what :func:`rollout_options` reads."""
    group = parser.add_argument_group("how hosts are changed (with --commit)")
    group.add_argument("--canary", metavar="HOST", help="the host that goes first")
    group.add_argument(
        "--serial", metavar="N", type=_serial, default="5", help="hosts at a time: N or N%% (5)"
    )
    group.add_argument(
        "--max-failures", metavar="N", type=_failures, default=0, help="hosts that may fail (0)"
    )
    group.add_argument(
        "--confirm-within",
        metavar="S",
        type=_confirm_seconds,
        default=60,
        help="seconds after which an unconfirmed host goes back (60)",
    )
    group.add_argument(
        "--below-quorum",
        action="store_true",
        help="change hosts even if too few of their kind are good: it may be the last one",
    )


def rollout_options(arguments: Namespace, selected: Iterable[str]) -> Options:
    """Return what :func:`add_rollout` has read.

    Raises:
        UsageError: if the canary is not among the ``selected`` hosts.
    """
    from goldentooth.deployment import Options

    if arguments.canary and arguments.canary not in selected:
        raise UsageError(f"--canary {arguments.canary}: it is not among the selected hosts")
    return Options(
        arguments.serial,
        arguments.canary,
        arguments.max_failures,
        arguments.confirm_within,
        arguments.below_quorum,
    )


_ENDINGS = {
    ".txt": "table",
    ".json": "json",
    ".xml": "junit",
    ".prom": "prometheus",
    ".html": "html",
    ".sarif": "sarif",
}
"""What a file's ending says of its format."""


@dataclass(frozen=True)
class Target:
    """A file to write a result to, the format that was said, and the one of its ending."""

    path: str
    stated: str | None = None
    implied: str | None = None


def add_output(parser: ArgumentParser, formats: Sequence[str] = ("table", "json")) -> None:
    """Add --format, of which the first is the default, and --output, which may be repeated."""
    parser.add_argument("--format", choices=formats, help=f"default: {formats[0]}")
    endings = ", ".join(ending for ending, form in _ENDINGS.items() if form in formats)
    parser.add_argument(
        "--output",
        dest="outputs",
        metavar="[FORMAT=]FILE",
        action="append",
        default=[],
        type=lambda text: _target(text, formats),
        help=f"write there instead of stdout (-); may be repeated; without FORMAT and --format"
        f" the file's ending tells ({endings})",
    )
    parser.set_defaults(default_format=formats[0])


def _target(text: str, formats: Sequence[str]) -> Target:
    prefix, equals, path = text.partition("=")
    if equals and prefix in formats:
        return Target(path_argument(path), stated=prefix)
    if equals and prefix.isalpha():
        from goldentooth.validation import did_you_mean

        raise ArgumentTypeError(
            f"{prefix!r} is not a format: {did_you_mean(prefix, formats)};"
            f" a file of that name is ./{text}"
        )
    form = _ENDINGS.get(Path(text).suffix)
    return Target(path_argument(text), implied=form if form in formats else None)


def write_result(arguments: Namespace, forms: Mapping[str, Callable[[], str]]) -> None:
    """Write a verb's result, which ``forms`` make by format: to each --output, or to stdout.

    Raises:
        UsageError: if a format was asked for that is not among ``forms``; nothing is written.
        OutputError: if a file could not be written, which is then as it was; the others are.
    """
    for form in (arguments.format, *(target.stated for target in arguments.outputs)):
        if form and form not in forms:
            raise UsageError(f"this cannot be had as {form}: {' and '.join(forms)} can")
    if not arguments.outputs:
        _write_stdout(forms[arguments.format or arguments.default_format]())
        return
    failures = []
    for target in arguments.outputs:
        implied = target.implied if target.implied in forms else None
        form = target.stated or arguments.format or implied or arguments.default_format
        try:
            if target.path == "-":
                _write_stdout(forms[form]())
            else:
                write_file(target.path, forms[form]())
        except OutputError as error:
            failures.append(str(error))
    if failures:
        raise OutputError("\n".join(failures))


def write_output(arguments: Namespace, text: str) -> None:
    """Write a result that has one form only, whole or not at all, to --output or stdout."""
    forms = dict.fromkeys(_ENDINGS.values(), lambda: text)
    write_result(arguments, forms)


def _write_stdout(text: str) -> None:
    if sys.stdout is None:
        raise OutputError("stdout is closed: use --output")
    sys.stdout.write(_ended(text))


def write_file(path: str, text: str) -> None:
    """Write what a person may get of ``text`` to ``path``, whole or not at all.

    Raises:
        OutputError: if it cannot be written; what was there is unchanged.
    """
    target, text = Path(path), readable(_ended(text))
    try:
        if target.exists() and not target.is_file():  # /dev/stdout, a pipe: nothing to replace
            target.write_text(text, encoding="utf-8")
        else:
            replace_file(target.resolve(), text)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{path} cannot be written: {reason}") from error


def _ended(text: str) -> str:
    return text if text.endswith("\n") or not text else f"{text}\n"


def has_colour(arguments: Namespace) -> bool:
    """Tell whether output goes to a terminal that takes colour."""
    return not arguments.outputs and takes_colour(sys.stdout)


def path_argument(text: str) -> str:
    """Return ``text`` if it can be a path: an empty variable of a script's is none.

    Raises:
        ArgumentTypeError: if it is blank.
    """
    if not text.strip():
        raise ArgumentTypeError(f"{text!r} is not a path")
    return text


def seconds_argument(text: str) -> float:
    """Return ``text`` as seconds.

    Raises:
        ArgumentTypeError: if it is no number over 0, up to a day.
    """
    if re.fullmatch(r"\d{1,5}(\.\d+)?", text) and 0 < float(text) <= 86400:
        return float(text)
    raise ArgumentTypeError(f"{text!r} is not a number of seconds over 0, up to 86400")


def _serial(text: str) -> str:
    number = text.removesuffix("%")
    most = 100 if text.endswith("%") else 1000
    if not number.isdecimal() or not 0 < int(number) <= most:
        raise ArgumentTypeError(f"{text!r} is not a number of hosts, or a share such as 25%")
    return text


def _failures(text: str) -> int:
    if not text.isdecimal() or int(text) > 1000:
        raise ArgumentTypeError(f"{text!r} is not a number from 0 to 1000")
    return int(text)


def _confirm_seconds(text: str) -> int:
    if not text.isdecimal() or not 5 <= int(text) <= 3600:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 5 to 3600")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1000:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return int(text)
