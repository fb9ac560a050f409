"""Booting: start machines together and hear from each when it is done."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from goldentooth.twin import segment
from goldentooth.twin.errors import TwinError
from goldentooth.twin.machine import READY, Machine
from goldentooth.twin.state import SEGMENT, Link, MachineRecord, Record, namespaces

Progress = Callable[[str], None]

_CREDENTIALS = struct.Struct("3i")
"""struct ucred: process, user, group (unix(7))."""


def boot(twin: str, machines: Sequence[Machine], progress: Progress, timeout: float) -> None:
    """Boot ``machines`` and wait until systemd on each has nothing left to start.

    Whether what it started is well is another question
    (:mod:`goldentooth.twin.expectations`).

    Raises:
        TwinError: if a machine ends while it boots, or is not done after ``timeout`` seconds,
            with what it printed.
    """
    deadline = time.monotonic() + timeout
    with _notifications(twin) as (name, listener):
        booting = {machine.start(name).pid: machine for machine in machines}
        while booting:
            heard = _hear(listener, 0.25)
            for pid in heard & booting.keys():
                del booting[pid]
            if heard:
                progress(f"booted {len(machines) - len(booting)} of {len(machines)}")
                continue
            _raise_if_ended(booting)
            if time.monotonic() > deadline:
                raise TwinError("\n".join(_unfinished(machine) for machine in booting.values()))


def set_up(machines: Iterable[Machine], timeout: float = 10) -> None:
    """Start machines that do not boot, and wait until they are set up.

    Raises:
        TwinError: if one cannot be, with what it printed.
    """
    deadline = time.monotonic() + timeout
    started = [(machine, machine.start()) for machine in machines]
    for machine, process in started:
        while READY not in machine.console.read_text().splitlines():
            if process.poll() is not None or time.monotonic() > deadline:
                raise TwinError(_unfinished(machine))
            time.sleep(0.005)


def switch_off(machine: Machine) -> None:
    """Cut the power: processes and links are gone at once, the disk stays as it is."""
    wired = machine.netns in namespaces(machine.twin)
    if wired:
        # first, or the kernel would say goodbye for the processes that are killed
        segment.remove_links(machine.twin, machine.record)
    machine.kill()
    if wired:
        segment.remove_namespace(machine.twin, machine.record)


def switch_on(record: Record, machine: Machine, timeout: float = 60) -> None:
    """Boot a host from its disk as it was left, and wait until systemd has started all.

    Raises:
        TwinError: if it does not boot within ``timeout`` seconds.
    """
    if not machine.is_running:
        switch_off(machine)
        lay_links(record.name, record.machines, [machine.name])
        boot(record.name, [machine], lambda _: None, timeout)


def lay_links(twin: str, machines: Mapping[str, MachineRecord], new: Iterable[str]) -> None:
    """Wire the machines named ``new``, between themselves and with those that are there."""
    fresh = [machines[name] for name in new]
    segment.wire(twin, fresh)
    touched = {machine.name: machine for machine in fresh}
    for machine in fresh:
        for link, other, its_link in _direct_links(machine, machines):
            if other.name not in touched or machine.name < other.name:
                segment.join(twin, (machine, link), (other, its_link))
                touched[other.name] = other
    for machine in touched.values():
        segment.set_addresses(twin, machine)


def _direct_links(
    machine: MachineRecord, machines: Mapping[str, MachineRecord]
) -> Iterator[tuple[Link, MachineRecord, Link]]:
    for link in machine.links:
        if link.to != SEGMENT:
            name, _, interface = link.to.partition(":")
            other = machines[name]
            yield link, other, next(its for its in other.links if its.name == interface)


@contextlib.contextmanager
def _notifications(twin: str) -> Iterator[tuple[str, socket.socket]]:
    """Listen on an abstract socket (unix(7)) that says which process a message is from."""
    name = f"goldentooth-twin/{twin}/{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        listener.bind(f"\0{name}")
        yield f"@{name}", listener


def _hear(listener: socket.socket, seconds: float) -> set[int]:
    """Return the processes that have said READY=1, waiting at most ``seconds`` for the first."""
    ready: set[int] = set()
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while selector.select(0 if ready else seconds):
            text, ancillary, _, _ = listener.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
            for level, kind, data in ancillary:
                credentials = (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
                if credentials and b"READY=1" in text.split(b"\n"):
                    ready.add(_CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0])
    return ready


def _raise_if_ended(booting: Mapping[int, Machine]) -> None:
    for pid, machine in booting.items():
        try:
            ended, _ = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            ended = pid
        if ended:
            raise TwinError(_unfinished(machine))


def _unfinished(machine: Machine) -> str:
    printed = machine.console.read_text(errors="replace").strip()
    return f"{machine.name} does not boot: {printed[-2000:] or 'it printed nothing'}"
