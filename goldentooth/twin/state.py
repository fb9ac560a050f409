"""What is known of a twin on disk, so that any process can find it, use it and remove it.

Everything is under ``/run/goldentooth-twin/<name>``, in memory. Its record is the first thing
that is made of a twin and the last that is removed, so one that was killed half-way through
anything is removed as well, and nothing that is not its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from goldentooth.twin import cgroup
from goldentooth.twin.errors import NoSuchTwinError, TwinError

ROOT = Path("/run/goldentooth-twin")
NAMESPACES = Path("/run/netns")
PREFIX = "gt-"

_NAME = re.compile(r"[a-z][a-z0-9]{0,15}")


class Link(msgspec.Struct, frozen=True):
    """One interface of a machine: its name inside, its MAC address, and what it leads to.

    ``to`` is :data:`SEGMENT`, or ``machine:interface`` of the other end.
    ``addresses`` (with prefix length) are set by the twin, not by the host itself.
    """

    name: str
    mac: str
    to: str
    addresses: tuple[str, ...] = ()


SEGMENT = "segment"


class MachineRecord(msgspec.Struct, frozen=True):
    """One machine of a twin as it was made.

    ``boots`` tells a host with its own systemd from a mere namespace (operator, client), whose
    ``routes`` are set by the twin, as ip-route(8) takes them.
    """

    name: str
    address: str
    boots: bool
    links: tuple[Link, ...]
    routes: tuple[str, ...] = ()
    units: tuple[str, ...] = ()


class StandIn(msgspec.Struct, frozen=True):
    """Something that is on the twin in place of the real thing."""

    name: str
    stands_for: str
    hosts: tuple[str, ...]


class CheckRecord(msgspec.Struct, frozen=True):
    """A live check of a service, on its way to another process.

    ``facts`` are the check's own fields; the log of ``unit`` on ``node``, which the check is
    about, tells more.
    """

    service: str
    kind: str
    host: str
    facts: dict[str, Any]
    node: str
    unit: str | None = None


class Record(msgspec.Struct, frozen=True):
    """A twin: its machines, and what is expected of them once they are up.

    ``checks`` are the services' own; a twin that is ``bare`` has nothing that they look at yet.
    """

    name: str
    created: float
    artifacts: str
    router: str | None
    machines: dict[str, MachineRecord]
    checks: tuple[CheckRecord, ...]
    stand_ins: tuple[StandIn, ...]
    disk_size: int
    bare: bool = False


class FaultRecord(msgspec.Struct, frozen=True):
    """A fault that is in force; ``undo`` is what taking it back needs."""

    id: int
    kind: str
    host: str
    options: dict[str, str]
    undo: dict[str, str]

    def __str__(self) -> str:
        details = "".join(f" {key}={value}" for key, value in self.options.items())
        return f"{self.kind} {self.host}{details}"


def check_name(name: str) -> str:
    """Return ``name`` if a twin can have it.

    Raises:
        TwinError: if it cannot; namespaces are named after twin and host, so there is no hyphen.
    """
    if not _NAME.fullmatch(name):
        raise TwinError(
            f"a twin cannot be named {name!r}",
            "a lower-case letter, then at most 15 lower-case letters or digits",
        )
    return name


def folder(name: str) -> Path:
    """Return where the twin's files are."""
    return ROOT / name


def namespace(name: str, machine: str = "") -> str:
    """Return the network namespace of ``machine``; that of the segment without one.

    >>> namespace("main", "fenn"), namespace("main")
    ('gt-main-fenn', 'gt-main')
    """
    return f"{PREFIX}{name}-{machine}" if machine else f"{PREFIX}{name}"


def namespaces(name: str) -> list[str]:
    """Return the twin's network namespaces that there are.

    They are those that its record says it makes; others with such a name are somebody else's.
    """
    try:
        text = (folder(name) / "record.json").read_bytes()
        machines = msgspec.json.decode(text, type=_Made).machines
    except (FileNotFoundError, msgspec.DecodeError):
        return []
    return present_namespaces(name, machines)


def present_namespaces(name: str, machines: Iterable[str]) -> list[str]:
    """Return which of the namespaces that a twin of ``machines`` has are there, whoever's."""
    wanted = [namespace(name), *(namespace(name, machine) for machine in machines)]
    return [each for each in wanted if (NAMESPACES / each).exists()]


class _Made(msgspec.Struct):
    """What of a record any version of this program can read."""

    machines: dict[str, Any]


def all_names() -> list[str]:
    """Return the names of all twins of which anything is there, half-made ones included."""
    found = cgroup.names()
    if ROOT.is_dir():
        found |= {entry.name for entry in ROOT.iterdir() if entry.is_dir()}
    return sorted(found)


def write_record(record: Record) -> None:
    """Keep what is known of a twin."""
    _write(folder(record.name) / "record.json", record)


def write_environment(name: str, environment: Mapping[str, str]) -> None:
    """Keep what commands of the operator find in their environment."""
    _write(folder(name) / "environment.json", environment)


def read_environment(name: str) -> dict[str, str]:
    """Return what commands of the operator find in their environment."""
    try:
        content = (folder(name) / "environment.json").read_bytes()
    except FileNotFoundError:
        return {}
    return msgspec.json.decode(content, type=dict[str, str])


def read_record(name: str) -> Record:
    """Return what is known of the twin ``name``.

    Raises:
        NoSuchTwinError: if it is not there or was left half-made.
    """
    try:
        return msgspec.json.decode((folder(name) / "record.json").read_bytes(), type=Record)
    except FileNotFoundError:
        half_made = name in all_names()
        raise NoSuchTwinError(
            f"twin {name} was left half-made" if half_made else f"there is no twin {name}",
            "remove it with twin down" if half_made else "bring it up with twin up",
        ) from None
    except msgspec.DecodeError:
        raise TwinError(
            f"twin {name} was made by another version of this program",
            f"remove it with twin down --name {name}",
        ) from None


def write_faults(name: str, faults: list[FaultRecord]) -> None:
    """Keep the list of faults in force."""
    _write(folder(name) / "faults.json", faults)


def read_faults(name: str) -> list[FaultRecord]:
    """Return the faults in force, oldest first."""
    try:
        text = (folder(name) / "faults.json").read_bytes()
    except FileNotFoundError:
        return []
    return msgspec.json.decode(text, type=list[FaultRecord])


def lock_file(name: str) -> Path:
    """Return the file that is there while the twin is made or removed; or was, and was killed."""
    return ROOT / f"{name}.lock"


@contextlib.contextmanager
def lock(name: str, seconds: float) -> Iterator[None]:
    """Hold the twin's lock: one process at a time makes, changes or removes it.

    The lock goes with the process that holds it, however that ends.

    Raises:
        TwinError: if another process holds it for longer than ``seconds``.
    """
    ROOT.mkdir(mode=0o755, exist_ok=True)
    path = lock_file(name)
    deadline = time.monotonic() + seconds
    while True:
        with path.open("a+") as file:
            if _locked(file.fileno()) and _still_there(path, file.fileno()):
                file.truncate(0)
                file.write(str(os.getpid()))
                file.flush()
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        if time.monotonic() > deadline:
            with contextlib.suppress(FileNotFoundError):
                holder = path.read_text()
                raise TwinError(
                    f"twin {name} is being made, changed or removed by process {holder}",
                    "wait for it, or end that process",
                )
        time.sleep(0.05)


def read_machine_wide() -> dict[str, Any]:
    """Return what twins have changed on the machine and must restore, under the top's lock."""
    try:
        found = msgspec.json.decode((ROOT / "machine.json").read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return {}
    return found


def write_machine_wide(changes: Mapping[str, Any]) -> None:
    """Keep what twins have changed on the machine."""
    _write(ROOT / "machine.json", changes)


def remove_machine_wide() -> None:
    """Forget what twins have changed on the machine: it is restored."""
    (ROOT / "machine.json").unlink(missing_ok=True)


def remove_root() -> None:
    """Remove the folder of all twins if none is left, and ip(8)'s own if it is empty."""
    with contextlib.suppress(OSError):
        ROOT.rmdir()


def _write(path: Path, value: Any) -> None:
    fresh = path.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(msgspec.json.encode(value))
    fresh.replace(path)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _still_there(path: Path, descriptor: int) -> bool:
    """Tell whether the locked file is the one that others would lock."""
    try:
        return path.stat().st_ino == os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return False
