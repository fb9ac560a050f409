"""The whole network as real Debian hosts on this machine."""

from __future__ import annotations

import os
import sys
from argparse import (
    REMAINDER,
    SUPPRESS,
    ArgumentParser,
    ArgumentTypeError,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goldentooth.twin import Twin

STATUS_FORMAT = "goldentooth-net/twin-status/1"
LIST_FORMAT = "goldentooth-net/twin-list/1"


class ActionParser(ArgumentParser):
    """A parser that takes options between and after words, too: ``capture fenn tcp --output f``.

    Of an action that runs a command only those before it: ``exec fenn --name lab -- ls -l``.
    """

    _is_inside = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does for one who mixes options and words."""
        if self._is_inside:
            return super().parse_known_args(args, namespace)
        if any(action.nargs == REMAINDER for action in self._actions):
            return super().parse_known_args(_name_first(args), namespace)
        self._is_inside = True  # it is called again, from within
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._is_inside = False


def _name_first(arguments: list[str]) -> list[str]:
    """Return ``arguments`` with a --name that stands right before ``--`` in front of all.

    >>> _name_first(["fenn", "--name", "lab", "--", "ls", "--name", "x"])
    ['--name', 'lab', 'fenn', '--', 'ls', '--name', 'x']
    """
    end = arguments.index("--") if "--" in arguments else 0
    if end >= 2 and arguments[end - 2] == "--name":
        return [*arguments[end - 2 : end], *arguments[: end - 2], *arguments[end:]]
    return arguments


def parser() -> ArgumentParser:
    """Return the verb's argument parser, with one of its own for each action."""
    from runbooks.options import make_parser

    parser = make_parser(
        "twin",
        "Boots every host of the inventory as a real Debian system on this machine, from its\n"
        "rendered artifacts and at its real address. Needs root; the machine's own network,\n"
        "units and files are not touched.",
        (
            ("twin up", "render, boot all hosts, wait until verified"),
            ("twin up --bare", "hosts as a first deployment meets them"),
            ("twin exec router -- vtysh -c 'show bgp summary'", "a command on a host"),
            ("twin run -- goldentooth-net verify", "a command on the operator's machine"),
            ("twin break power bettley", "cut a host's power; `twin break --help` lists faults"),
            ("twin heal", "take all faults back"),
            ("twin down", "remove it"),
        ),
    )
    actions = parser.add_subparsers(
        dest="action", metavar="ACTION", required=True, parser_class=ActionParser
    )
    _add_life(actions)
    _add_looks(actions)
    _add_work(actions)
    _add_faults(actions)
    return parser


def run(arguments: Namespace) -> int:
    """Do the action; a command's own exit status where it runs one, 128 + N for signal N."""
    from goldentooth.errors import UsageError

    if os.geteuid() != 0 and arguments.action not in _FOR_ANYONE:
        raise UsageError("the twin needs root, for namespaces and mounts: try again with sudo")
    status = _ACTIONS[arguments.action](arguments)
    return 128 - status if status < 0 else status


def _add_life(actions: Any) -> None:
    from runbooks.options import add_output

    up = _action(actions, "up", "render the facts, boot the hosts, wait until all is verified")
    up.add_argument(
        "--host",
        dest="hosts",
        metavar="HOST",
        action="append",
        help="only this host (may be repeated)",
    )
    up.add_argument(
        "--bare",
        action="store_true",
        help="with addresses, packages and SSH, but nothing of what is deployed",
    )
    up.add_argument(
        "--timeout", type=_seconds, default=60, metavar="S", help="seconds to wait (default: 60)"
    )
    _action(actions, "down", "remove a twin; one that is not there is no error")
    listing = _action(actions, "list", "name the twins on this machine", named=False)
    add_output(listing)
    _action(actions, "packages", "name the Debian packages that a twin needs", named=False)


def _add_looks(actions: Any) -> None:
    from runbooks.options import add_output

    status = _action(actions, "status", "hosts, units, sessions, backends, stand-ins, faults")
    add_output(status)
    logs = _action(actions, "logs", "a host's journal")
    logs.add_argument("host", metavar="HOST")
    logs.add_argument("unit", metavar="UNIT", nargs="?")
    logs.add_argument("--lines", type=_count, default=100, metavar="N", help="default: 100")
    capture = _action(actions, "capture", "record a host's packets (pcap) until Ctrl-C")
    capture.add_argument("host", metavar="HOST")
    capture.add_argument("expression", metavar="EXPRESSION", nargs="*", help="pcap-filter(7)")
    capture.add_argument("--interface", default="any", metavar="IF", help="default: any")
    capture.add_argument("--output", metavar="FILE", help="default: HOST.pcap")


def _add_work(actions: Any) -> None:
    execute = _action(actions, "exec", "run a command on a host, as root")
    execute.add_argument("host", metavar="HOST")
    execute.add_argument("command", nargs=REMAINDER, metavar="-- COMMAND")
    operator = _action(
        actions, "run", "run a command on the operator's machine, which reaches all by SSH"
    )
    operator.add_argument("command", nargs=REMAINDER, metavar="-- COMMAND")
    shell = _action(actions, "shell", "a shell on a host")
    shell.add_argument("host", metavar="HOST")


def _add_faults(actions: Any) -> None:
    from goldentooth.twin.faults import FAULTS

    width = max(map(len, FAULTS))
    lines = []
    for kind, fault in FAULTS.items():
        lines.append(f"  {kind:<{width}}  {fault.summary}")
        lines += [f"  {'':<{width}}    {key}=  {about}" for key, about in fault.options.items()]
        if fault.caveat:
            lines.append(f"  {'':<{width}}    ({fault.caveat})")
    fault_parser = _action(
        actions, "break", "inject a fault", epilog="faults:\n" + "\n".join(lines)
    )
    fault_parser.add_argument("kind", metavar="KIND", help="see below")
    fault_parser.add_argument("target", metavar="HOST")
    fault_parser.add_argument("options", metavar="KEY=VALUE", nargs="*")
    _action(actions, "heal", "take all faults back")


def _action(
    actions: Any, name: str, about: str, *, named: bool = True, epilog: str | None = None
) -> ArgumentParser:
    from runbooks.options import path_argument

    parser: ArgumentParser = actions.add_parser(
        name,
        help=about,
        description=about,
        epilog=epilog,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # before or after the action: what is not given here keeps what was given there
    parser.add_argument("--config", type=path_argument, default=SUPPRESS, help=SUPPRESS)
    parser.add_argument("--debug", action="store_true", default=SUPPRESS, help=SUPPRESS)
    if named:
        parser.add_argument(
            "--name", default="main", metavar="N", help="which twin (default: main)"
        )
    return parser


def _up(arguments: Namespace) -> int:
    from goldentooth import open_project
    from goldentooth.twin import Twin

    project = open_project(arguments.config)
    report = project.render()
    if report.has_failed:
        print(report.table(), file=sys.stderr)
        return report.status
    _end_as_interrupted()
    twin = Twin.up(
        project.network,
        project.build.path,
        name=arguments.name,
        hosts=arguments.hosts,
        bare=arguments.bare,
        progress=_say,
        timeout=arguments.timeout,
    )
    _say(f"twin {twin.name} is up and verified; `twin down` removes it")
    return 0


def _end_as_interrupted() -> None:
    """Let SIGTERM and SIGHUP unwind what is going on, as Ctrl-C does; the next one waits for it."""
    import signal

    def end(number: int, _: object) -> None:
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is signal.SIG_DFL:  # nohup(1) is respected
            signal.signal(each, end)


def _down(arguments: Namespace) -> int:
    from goldentooth.twin import remove_twin

    was_there = remove_twin(arguments.name)
    _say(f"twin {arguments.name} {'is removed' if was_there else 'was not there'}")
    return 0


def _list(arguments: Namespace) -> int:
    from goldentooth.report.twin import list_to_dict
    from goldentooth.text import to_json
    from goldentooth.twin import list_twins
    from runbooks.options import write_result

    names = list_twins()
    write_result(
        arguments,
        {
            "table": lambda: "\n".join(names),
            "json": lambda: to_json({"format": LIST_FORMAT, **list_to_dict(names)}),
        },
    )
    return 0


def _packages(arguments: Namespace) -> int:
    from goldentooth import open_project
    from goldentooth.twin import packages_of

    for package in packages_of(open_project(arguments.config).network):
        print(package.name)
    return 0


def _status(arguments: Namespace) -> int:
    from goldentooth.report.twin import status_table, status_to_dict
    from goldentooth.text import to_json
    from runbooks.options import has_colour, write_result

    status = _attach(arguments).status()
    write_result(
        arguments,
        {
            "table": lambda: status_table(status, colour=has_colour(arguments)),
            "json": lambda: to_json({"format": STATUS_FORMAT, **status_to_dict(status)}),
        },
    )
    return 0


def _logs(arguments: Namespace) -> int:
    text = _attach(arguments).logs(arguments.host, arguments.unit, lines=arguments.lines)
    sys.stdout.write(text)
    return 0


def _capture(arguments: Namespace) -> int:
    import signal

    file = Path(arguments.output or f"{arguments.host}.pcap")
    twin = _attach(arguments)
    expression = " ".join(arguments.expression)
    with twin.capture(
        arguments.host, expression=expression, interface=arguments.interface, file=file
    ):
        _say(f"recording to {file}; Ctrl-C ends it")
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


def _exec(arguments: Namespace) -> int:
    return _attach(arguments).call(arguments.host, _command(arguments))


def _run(arguments: Namespace) -> int:
    return _attach(arguments).call("operator", _command(arguments))


def _shell(arguments: Namespace) -> int:
    return _attach(arguments).shell(arguments.host)


def _break(arguments: Namespace) -> int:
    from goldentooth.errors import UsageError

    options = {}
    for option in arguments.options:
        key, equals, value = option.partition("=")
        if not equals:
            raise UsageError(f"{option!r} is not KEY=VALUE: `twin break --help` lists the keys")
        options[key] = value
    _say(str(_attach(arguments).break_(arguments.kind, arguments.target, **options)))
    return 0


def _heal(arguments: Namespace) -> int:
    healed = _attach(arguments).heal()
    for fault in healed:
        _say(f"healed: {fault}")
    if not healed:
        _say("there is nothing to heal")
    return 0


_ACTIONS: dict[str, Callable[[Namespace], int]] = {
    "up": _up,
    "down": _down,
    "list": _list,
    "packages": _packages,
    "status": _status,
    "logs": _logs,
    "capture": _capture,
    "exec": _exec,
    "run": _run,
    "shell": _shell,
    "break": _break,
    "heal": _heal,
}


_FOR_ANYONE = {"list", "packages"}


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return seconds


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return int(text)


def _attach(arguments: Namespace) -> Twin:
    from goldentooth.twin import Twin

    return Twin.attach(arguments.name)


def _command(arguments: Namespace) -> list[str]:
    from goldentooth.errors import UsageError

    command = [*arguments.command]
    if command[:1] == ["--"]:
        command.pop(0)
    if not command:
        raise UsageError("no command: write it after --")
    return command


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])
    from runbooks.cli import main

    raise SystemExit(main([Path(__file__).stem, *sys.argv[1:]]))
