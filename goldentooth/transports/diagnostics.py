"""An OPNsense router behind the interface of every host: its API answers FRR's show commands.

Registered with Nornir as connection ``goldentooth_opnsense``. There is no shell: what the API has
no answer to is refused. Two commands are the router's own: ``@api PATH`` gives the JSON of a read,
and a ping is a job of the router's, which is removed when it has been looked at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, TypeVar

from goldentooth.check import Output
from goldentooth.errors import (
    AuthenticationError,
    HostKeyError,
    TooSlowError,
    TransportError,
    UnreachableError,
)
from goldentooth.opnsense.diagnostics import PING, Job, NoAnswerError, Show, find_show, read_jobs
from goldentooth.secrets import SecretError, Secrets
from goldentooth.transports import Command, File, HostFile
from goldentooth.transports.api_access import FOLDER
from goldentooth.transports.bounds import take_bounds
from goldentooth.transports.opnsense import OpnsenseTransport

if TYPE_CHECKING:
    from nornir.core.configuration import Config

    from goldentooth.transports.bounds import Bounds

T = TypeVar("T")

API = "@api "
"""Begins a command that is a path of the API."""
READABLE = frozenset(
    {
        "diagnostics/system/systemInformation",
        "interfaces/overview/interfacesInfo",
        "core/firmware/info",
    }
)
"""What ``@api`` reads; none of it changes anything."""

PING_MARK = "goldentooth-net live check"
"""The description of ping jobs that are made here."""
_STALE_REQUESTS = 60
"""A job of ours that has sent so many, one a second, is one that a run has left when it died."""
_POLL_SECONDS = 0.25

_DOWN = b"failed to connect to any daemons: FRR does not answer the router's API\n"
"""In the words of vtysh, which the API leaves out."""


class OpnsenseConnection:
    """Nornir connection plugin: ``host.get_connection("goldentooth_opnsense", config)``.

    Connection options (``extras``): what
    :func:`~goldentooth.transports.api_access.access_of` gives, which
    :func:`tasks.connection.transport_of` takes from the host's facts, and the bounds.
    """

    def open(  # noqa: PLR0917  # Nornir's interface
        self,
        hostname: str | None,  # noqa: ARG002  # Nornir's interface
        username: str | None,  # noqa: ARG002  # Nornir's interface
        password: str | None,  # noqa: ARG002  # Nornir's interface
        port: int | None,  # noqa: ARG002  # Nornir's interface
        platform: str | None,  # noqa: ARG002  # Nornir's interface
        extras: dict[str, Any] | None = None,
        configuration: Config | None = None,
    ) -> None:
        """Get ready; nothing is asked of the router yet.

        Raises:
            TransportError: if its secrets cannot be had, or its CA not be read.
            UsageError: if the bounds are not bounds.
        """
        options = dict(extras or {})
        bounds = take_bounds(options, configuration)
        settings = configuration.user_defined if configuration else {}
        folder = Path(settings.get(FOLDER, "."))
        try:
            api = OpnsenseTransport.of(options, Secrets(folder), folder, bounds)
        except SecretError as error:
            raise TransportError(str(error)) from error
        self.connection = DiagnosticsTransport(api, bounds)

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


@dataclass
class DiagnosticsTransport:
    """The router, as far as its API can stand in for a shell that only reads."""

    api: OpnsenseTransport
    bounds: Bounds
    _answers: dict[str, Any] = field(default_factory=dict, repr=False)

    def close(self) -> None:
        """Hang up."""
        self.api.close()

    def run(self, commands: Sequence[str | Command]) -> tuple[Output, ...]:
        """Answer commands; none of them changes anything, so this is :meth:`gather`."""
        return self.gather(commands)

    def gather(self, commands: Sequence[str | Command]) -> tuple[Output, ...]:
        """Answer commands; what several of them are answered from is asked once.

        What the key may not ask, or the router not answer, makes an output ``is_refused`` with
        the reason; what there is no time for is ``is_late``.

        Raises:
            TransportError: if it cannot be spoken to, or is another box.
        """
        self.api.make_sure()
        self._answers = {}
        deadline = monotonic() + self.bounds.host_seconds
        lines = [each if isinstance(each, str) else each.line for each in commands]
        pings = self._ping([line for line in lines if PING.fullmatch(line)], deadline)
        return tuple(pings.get(line) or self._output(line, deadline) for line in lines)

    def read(self, paths: Sequence[str]) -> Mapping[str, HostFile | None]:
        """Refuse: the API hands out no files."""
        raise TransportError(f"{self.api}: no file can be read through the API ({paths[0]})")

    def write(self, files: Sequence[File]) -> None:
        """Refuse: the API takes no files; a deployment changes the router in its own terms."""
        raise TransportError(
            f"{self.api}: no file can be written through the API ({files[0].path})"
        )

    def _output(self, line: str, deadline: float) -> Output:
        if line == "date +%s":
            return Output(str(int(self.api.clock)).encode())
        show = _show(line)
        if show is None:
            return _refused(
                f"the router is spoken to through its API, which has no answer to `{line}`"
            )
        answer = self._answer(show, deadline)
        if isinstance(answer, Output):
            return answer
        try:
            return Output(show.printed(answer))
        except NoAnswerError:
            return Output(b"", _DOWN, 1)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            return _refused(f"{show.path} is not answered as it should be: {error}")

    def _answer(self, show: Show, deadline: float) -> Any:
        """Return the JSON of the API, asked for once; an output where there is none."""
        if show.path not in self._answers:
            if monotonic() > deadline:
                return Output(b"", is_late=True)
            self._answers[show.path] = _or_output(
                lambda: self.api.table(show.path) if show.is_table else self.api.get(show.path)
            )
        return self._answers[show.path]

    # -- ping ----------------------------------------------------------------------------

    def _ping(self, lines: Sequence[str], deadline: float) -> dict[str, Output]:
        """Let the router send echo requests, all addresses at the same time."""
        wanted = {line: found for line in lines if (found := PING.fullmatch(line))}
        jobs: dict[str, str] = {}

        def ping() -> dict[str, Job]:
            for line, asked in wanted.items():
                jobs[line] = self._start_ping(asked["address"])
            seconds = max(int(asked["seconds"]) for asked in wanted.values())
            return self._watch_pings(set(jobs.values()), min(deadline, monotonic() + seconds))

        try:
            seen = _or_output(ping) if wanted else {}
        finally:
            for job in jobs.values():
                self._remove_ping(job)
        if isinstance(seen, Output):
            return dict.fromkeys(wanted, seen)
        return {line: _ping_output(seen.get(job)) for line, job in jobs.items()}

    def _start_ping(self, address: str) -> str:
        settings = {"hostname": address, "fam": "ip", "description": PING_MARK}
        made = self.api.post("diagnostics/ping/set", {"ping": {"settings": settings}})
        if not isinstance(made, dict) or made.get("result") != "ok":
            raise TransportError(f"{self.api}: it takes no ping job for {address}: {made}")
        job = str(made["uuid"])
        started = self.api.post(f"diagnostics/ping/start/{job}")
        if not isinstance(started, dict) or started.get("status") != "ok":
            self._remove_ping(job)
            raise TransportError(f"{self.api}: it does not start to ping {address}: {started}")
        return job

    def _watch_pings(self, ids: set[str], deadline: float) -> dict[str, Job]:
        """Return the jobs when all have had an answer, or their time is over."""
        while True:
            is_over = monotonic() > deadline
            jobs = list(read_jobs(self.api.table("diagnostics/ping/searchJobs")))
            for job in jobs:
                if job.description == PING_MARK and job.sent > _STALE_REQUESTS:
                    self._remove_ping(job.id)
            seen = {job.id: job for job in jobs if job.id in ids}
            if is_over or all(job.received for job in seen.values()):
                return seen
            sleep(_POLL_SECONDS)

    def _remove_ping(self, job: str) -> None:
        with suppress(TransportError):  # the router ends it by itself; a later run removes it
            self.api.post(f"diagnostics/ping/remove/{job}")


def _show(line: str) -> Show | None:
    """Return where the answer to ``line`` is, if the API has one."""
    path = line.removeprefix(API)
    if path != line:
        is_table = path.endswith("interfacesInfo")
        return Show(path, json.dumps, is_table) if path in READABLE else None
    return find_show(line)


def _or_output(ask: Callable[[], T]) -> T | Output:
    """Return what is answered, or the output of a command that has no answer, with the reason.

    Raises:
        TransportError: if that is not for this one question, but for all.
    """
    try:
        return ask()
    except (AuthenticationError, HostKeyError, UnreachableError):
        raise
    except TooSlowError:
        return Output(b"", is_late=True)
    except (TransportError, ValueError, KeyError, TypeError) as error:
        return _refused(str(error))


def _ping_output(job: Job | None) -> Output:
    """Return a ping's end as ping(8) tells it: 0 an answer, 1 none, 2 another error."""
    if job is None:
        return _refused("the router has lost the ping job")
    if job.received:
        return Output(f"{job.received} of {job.sent} answered\n".encode())
    if job.error and not job.sent:
        return Output(b"", job.error.encode(), 2)
    return Output(b"", f"no answer: {job.error}".encode() if job.error else b"no answer", 1)


def _refused(reason: str) -> Output:
    return Output(b"", reason.partition("\n")[0].encode(), 1, is_refused=True)
