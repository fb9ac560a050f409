"""Where deployments are played: the command line on a twin, with a service made for the play.

`main` runs on the operator's machine. For every line of input it forks a process that is the
command line in everything but two things: its only service is the one of ``toy.json``, if there is
one in the current folder, and it stops where it is told to. Forking saves Python's start each time.
"""
# ruff: noqa: ARG002  # the interface of a service

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

from goldentooth.activation import Activation
from goldentooth.artifact import Draft, Judge
from goldentooth.check import Check, Outcome, Output, passes
from goldentooth.model import Network, Node
from goldentooth.needs import Needs
from goldentooth.observation import Observation
from goldentooth.transports import Command

_OTHERS = (
    *("goldentooth.twin", "goldentooth.transports.cli", "goldentooth.transports.napalm_shell"),
    *("runbooks.__main__", "tasks.napalm"),
)
"""Modules that no deployment imports."""


class Toy:
    """The service of ``toy.json``: hosts, files, activate, units, checks, quorum."""

    name = "toy"
    title = "toy"

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec

    def hosts(self, network: Network) -> tuple[Node, ...]:
        return tuple(network.nodes[name] for name in self.spec["hosts"])

    def needs(self, network: Network, node: Node) -> Needs:
        return Needs(())

    def drafts(self, network: Network, node: Node) -> Iterator[Draft]:
        for path, file in self.spec["files"].items():
            if node.name in file.get("hosts", self.spec["hosts"]):
                yield Draft(
                    path,
                    text=file["text"],
                    owner=file.get("owner", "root:root"),
                    mode=int(file.get("mode", "644"), 8),
                    judge=Judge("toy", tuple(file["judge"])) if "judge" in file else None,
                )

    def activate(self, network: Network, node: Node) -> tuple[Activation, ...]:
        return tuple(Activation(command) for command in self.spec["activate"])

    def disturbs(self, path: str, before: str, after: str) -> tuple[str, ...]:
        return ()

    def units(self, network: Network, node: Node) -> tuple[str, ...]:
        return tuple(self.spec["units"])

    def checks(self, network: Network, node: Node) -> Iterator[Check]:
        for command in self.spec["checks"]:
            yield Holds(node.name, node.name, command)

    def observe(self, network: Network, node: Node) -> tuple[Observation, ...]:
        return ()

    def folders(self, network: Network, node: Node) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True)
class Holds(Check):
    """Passes: the command ends with 0. Fails: it does not."""

    kind = "toy.holds"
    subject: str
    host: str
    command: str
    expected = "it holds"

    def reads(self) -> tuple[str, ...]:
        return (self.command,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        status = outputs[self.command].status
        return passes(status == 0, f"exit status {status}")


class Stops:
    """Points of a deployment at which it is killed, or waits until it may go on.

    A point is ``before`` or ``after`` a line of the journal (``activated fenn``), a round trip
    (``@arm``, ``checks``) or a write to the router's API (``write 1``); a kill can also be some
    tenths of a second ``within`` a round trip. ``shells`` are lines for this machine's shell, by
    point. At ``interrupt`` Ctrl-C is pressed.
    """

    def __init__(
        self,
        folder: Path,
        kill: str,
        waits: list[str],
        shells: dict[str, str],
        interrupt: str = "",
    ) -> None:
        self._folder, self._kill, self._waits, self._shells = folder, kill, waits, shells
        self._interrupt, self._writes = interrupt, 0
        self._log = (folder / "points").open("a")

    def at(self, point: str) -> None:
        self._log.write(f"{point}\n")
        self._log.flush()
        if point in self._shells:
            subprocess.run(["sh", "-c", self._shells[point]], check=True)
        if point == self._kill:
            os.kill(os.getpid(), signal.SIGKILL)
        if point == self._interrupt:
            self._interrupt = ""
            os.kill(os.getpid(), signal.SIGINT)
        if point in self._waits:
            self._waits.remove(point)
            waiting = self._folder / "waiting"
            waiting.write_text(point)
            while waiting.exists():
                time.sleep(0.01)

    def around(self, name: str, act: Callable[[], Any]) -> Any:
        self.at(f"before {name}")
        if self._kill == f"within {name}":
            threading.Timer(
                1.0 if name == "@arm" else 0.1, os.kill, (os.getpid(), signal.SIGKILL)
            ).start()
        done = act()
        self.at(f"after {name}")
        return done

    def put(self) -> None:
        """Put them into the program."""
        from goldentooth.journal import Writer
        from goldentooth.rollout import Fleet
        from goldentooth.transports.opnsense import OpnsenseTransport

        write, step, stage, verify = Writer.write, Fleet.step, Fleet.stage, Fleet.verify
        write_call = OpnsenseTransport._write

        def stopped_write(
            writer: Writer, deployment: str, event: str, host: str = "", **detail: Any
        ) -> None:
            name = f"{event} {host}".strip()
            self.around(name, lambda: write(writer, deployment, event, host, **detail))

        def stopped_step(fleet: Fleet, hosts: Mapping[str, Sequence[Command]]) -> Any:
            verb = next(iter(hosts.values()))[0].line.split()[0]
            return self.around(verb, lambda: step(fleet, hosts))

        def stopped_call(router: OpnsenseTransport, call: Any) -> Any:
            self._writes += 1
            return self.around(f"write {self._writes}", lambda: write_call(router, call))

        OpnsenseTransport._write = stopped_call
        Writer.write = stopped_write
        Fleet.step = stopped_step
        Fleet.stage = lambda fleet, stagings: self.around("@stage", lambda: stage(fleet, stagings))
        Fleet.verify = lambda fleet, *about: self.around("checks", lambda: verify(fleet, *about))


def play(request: dict[str, Any]) -> None:
    """Be the command line; the exit status is the answer."""
    folder = Path(request["folder"])
    os.chdir(folder)
    os.environ.update(request["environment"])
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    import goldentooth.project
    from runbooks.cli import main as command_line

    if (folder / "toy.json").exists():
        toy = Toy(json.loads((folder / "toy.json").read_text()))
        goldentooth.project.all_services = lambda: (toy,)
        quorum = toy.spec.get("quorum")
        Holds.quorum = Fraction(quorum) if quorum else None
    _set_clock(int(os.environ.get("DRILL_DAYS", "0")))
    stops = ("kill", "waits", "shells", "interrupt")
    Stops(folder, *(request[each] for each in stops)).put()
    os._exit(_flushed(command_line(request["argv"])))


def _set_clock(days: int) -> None:
    """Let this controller's clock be so many days off, as far as a deployment looks at it."""
    import goldentooth.rollout

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(days=days)

    goldentooth.rollout.datetime = Clock


def _flushed(status: int) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    return status


def main() -> None:
    import goldentooth
    import runbooks
    import tasks

    for package in (goldentooth, tasks, runbooks):  # before the fork
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(_OTHERS):
                import_module(module.name)

    for line in sys.stdin:
        request = json.loads(line)
        if os.fork() == 0:
            player = os.fork()
            if player == 0:
                play(request)
            _, status = os.waitpid(player, 0)
            answer = Path(request["folder"]) / "answer"
            (answer.with_suffix(".new")).write_text(str(os.waitstatus_to_exitcode(status)))
            (answer.with_suffix(".new")).rename(answer)
            os._exit(0)


if __name__ == "__main__":
    main()
