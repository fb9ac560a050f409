"""What the controller remembers of deployments: one JSON line an event, synced as it is written.

The process may be killed after any of them; what is missing at the end tells the next run what
it has to finish. Holding the journal keeps a second deployment from this folder away.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from getpass import getuser
from pathlib import Path
from socket import gethostname
from typing import Any

import msgspec

from goldentooth.errors import DeploymentError, OutputError
from goldentooth.text import to_json

FORMAT = "goldentooth-net/journal/1"
NAME = "journal.jsonl"
STATE_VARIABLE = "GOLDENTOOTH_STATE"
"""Names the folder for journal and records where config.yaml names none: on a twin its own."""

BEGIN, END = "begin", "end"
CHANGING = "changing through the API"
LEFT = "left"
FINAL = frozenset({"confirmed", "rolled back", "aborted", "refused", LEFT})
"""The last event of a host in a deployment: nothing of it is open there after one of these."""


def operator() -> str:
    """Return who deploys, as ``user@machine``."""
    return f"{getuser()}@{gethostname()}"


@dataclass(frozen=True)
class Event:
    """One line of the journal; ``host`` is empty for what concerns the whole deployment."""

    at: str
    deployment: str
    event: str
    host: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """One deployment, from its events."""

    deployment: str
    events: tuple[Event, ...]

    @property
    def began(self) -> Event:
        """Its first event."""
        return self.events[0]

    @property
    def has_ended(self) -> bool:
        """Whether it came to its end, in whatever way; else its process was ended."""
        return any(event.event == END for event in self.events)

    @property
    def is_open(self) -> bool:
        """Whether there is something to finish: it has no end, or contact to a host was lost."""
        return not self.has_ended or bool(self.open_hosts)

    @property
    def hosts(self) -> dict[str, str]:
        """The last event of each host, by its name."""
        return {event.host: event.event for event in self.events if event.host}

    @property
    def open_hosts(self) -> dict[str, str]:
        """The last event of each host on which something may be open."""
        return {host: event for host, event in self.hosts.items() if event not in FINAL}

    @property
    def result(self) -> str:
        """How it ended, in a few words."""
        ends = [event for event in self.events if event.event == END]
        return str(ends[-1].detail.get("result", "ended")) if ends else "broke off"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "deployment": self.deployment,
            "at": self.began.at,
            "by": self.began.detail.get("by", ""),
            "what": self.began.detail.get("what", {}),
            "result": self.result,
            "hosts": self.hosts,
        }


class Journal:
    """The journal in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def entries(self) -> tuple[Entry, ...]:
        """Return every deployment, oldest first; a line that was cut off counts as not written."""
        events: dict[str, list[Event]] = {}
        for event in self._events():
            events.setdefault(event.deployment, []).append(event)
        return tuple(Entry(name, tuple(found)) for name, found in events.items())

    def _events(self) -> Iterator[Event]:
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return
        except OSError as error:
            raise OutputError(f"{self.path} cannot be read: {error.strerror}") from error
        for line in lines:
            try:
                yield msgspec.json.decode(line, type=Event)
            except msgspec.DecodeError:
                continue

    @contextmanager
    def held(self) -> Iterator[Writer]:
        """Hold the journal, so that no other process here deploys meanwhile; write to it.

        Raises:
            DeploymentError: if another process holds it, with who and since when.
            OutputError: if it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise OutputError(f"{self.path} cannot be written: {error.strerror}") from error
        with os.fdopen(descriptor, "rb+", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise DeploymentError(self._who_holds()) from None
            self._say_who_holds()
            number = file.fileno()
            yield Writer(number, _holder_of(number), needs_newline=self._ends_cut_off())

    @property
    def _holder(self) -> Path:
        return self.path.with_name("holder")

    def _say_who_holds(self) -> None:
        at = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self._holder.write_text(f"by {operator()} since {at}\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{self._holder} cannot be written: {error.strerror}") from error

    def _who_holds(self) -> str:
        try:
            who = self._holder.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            who = ""
        return (
            f"another deployment is under way from here{' ' if who else ''}{who}\n"
            f"    wait for it to end ({self.path})"
        )

    def _ends_cut_off(self) -> bool:
        content = self.path.read_bytes()
        return bool(content) and not content.endswith(b"\n")


def _holder_of(journal: int) -> str:
    """Return which journal this is: a copy of it, here or on another machine, is another one."""
    status = os.fstat(journal)
    try:
        machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        machine = gethostname()
    words = f"{machine} {status.st_dev} {status.st_ino}"
    return hashlib.sha256(words.encode()).hexdigest()[:32]


class Writer:
    """Writes events, each synced before the next thing is done."""

    def __init__(self, descriptor: int, holder: str, *, needs_newline: bool) -> None:
        self._descriptor = descriptor
        self.holder = holder
        """What tells this journal from every other, a copy of it included: hosts' locks name it."""
        self._prefix = b"\n" if needs_newline else b""

    def write(self, deployment: str, event: str, host: str = "", **detail: Any) -> None:
        """Append one event.

        Raises:
            OutputError: if it could not be written to the end.
        """
        fields = {
            "format": FORMAT,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "deployment": deployment,
            "event": event,
            **({"host": host} if host else {}),
            **({"detail": detail} if detail else {}),
        }
        line = self._prefix + to_json(fields, indent=None).encode() + b"\n"
        self._prefix = b""
        try:
            if os.write(self._descriptor, line) != len(line):
                self._prefix = b"\n"
                raise OutputError("the journal could not be written: no space left")
            os.fsync(self._descriptor)
        except OSError as error:
            raise OutputError(f"the journal could not be written: {error.strerror}") from error
