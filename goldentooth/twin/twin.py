"""The twin: every host of the network as a real Debian system on one machine."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from goldentooth.model import Network
from goldentooth.needs import Package, together
from goldentooth.twin import limits, probe, state
from goldentooth.twin.capture import Capture
from goldentooth.twin.construction import HOME, Construction
from goldentooth.twin.errors import NotVerifiedError, Shortfall, TwinError
from goldentooth.twin.expectations import (
    Expectation,
    HostState,
    expectations,
    host_states,
    unit_states,
    with_logs,
)
from goldentooth.twin.faults import FAULTS, Target, clock_environment, find_fault
from goldentooth.twin.image import needs_of, read_artifacts
from goldentooth.twin.machine import Machine
from goldentooth.twin.plan import CLIENT, OPERATOR, plan_twin, stand_ins_of
from goldentooth.twin.power import Progress
from goldentooth.twin.programs import ENVIRONMENT, with_programs
from goldentooth.twin.removal import remove_pieces, remove_twin
from goldentooth.twin.sessions import reset_sessions
from goldentooth.twin.state import FaultRecord, Record, StandIn
from goldentooth.twin.units import is_unit, unit_names
from goldentooth.validation import did_you_mean


@dataclass(frozen=True)
class HostStatus:
    """One machine as it is.

    ``power`` is ``on`` or ``off``, ``units`` their states by name, ``memory`` bytes with its
    disk (None if this machine does not count).
    """

    name: str
    address: str
    power: str
    units: Mapping[str, str]
    memory: int | None


@dataclass(frozen=True)
class TwinStatus:
    """A twin as it is.

    ``age`` in seconds, ``memory`` in bytes; ``states`` is what live checks see of a host, by
    what they look at (``session``, ``backend``) and by host.
    """

    name: str
    age: float
    memory: int | None
    hosts: tuple[HostStatus, ...]
    states: Mapping[str, Mapping[str, HostState]]
    stand_ins: tuple[StandIn, ...]
    faults: tuple[FaultRecord, ...]


class Twin:
    """A twin that is up. Make one with :meth:`up`, find one again with :meth:`attach`."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.name = record.name
        self.machines = {
            name: Machine(record.name, machine) for name, machine in record.machines.items()
        }

    def __repr__(self) -> str:
        return f"Twin({self.name!r}, {len(self.machines)} machines)"

    # -- from nothing to a twin, and back ----------------------------------------------

    @classmethod
    def up(
        cls,
        network: Network,
        artifacts: Path,
        *,
        name: str = "main",
        hosts: Iterable[str] | None = None,
        bare: bool = False,
        progress: Progress = lambda _: None,
        timeout: float = 60,
    ) -> Twin:
        """Bring up ``network``, or ``hosts`` of it, from the rendered ``artifacts``; verify it.

        ``bare`` leaves out all that is deployed: hosts have addresses, packages, SSH and what
        stands in for others' systems; that they answer SSH is what is verified.

        ``progress`` is given a line whenever something has been reached.

        Raises:
            MachineError: if this machine cannot carry a twin; nothing has been done.
            NotVerifiedError: if after ``timeout`` seconds something is not as it should be, with
                the logs of what is not; the twin is left up, to look at.
            TwinError: if it cannot be brought up; what had been made is removed.
        """
        state.check_name(name)
        files = read_artifacts(artifacts)
        if bare:
            files = stand_ins_of(network, files)
        record = plan_twin(
            name,
            network=network,
            artifacts=artifacts,
            files=files,
            hosts=hosts,
            created=time.time(),
            bare=bare,
        )
        probe.check_machine(_needed_packages(network, record.machines))
        with state.lock(name, seconds=1):
            if name in state.all_names():
                raise TwinError(f"there is a twin {name} already", f"twin down --name {name}")
            twin = cls(record)
            try:
                Construction(record, twin.machines, network, files).run(progress)
                twin.wait(timeout=timeout, progress=progress)
            except NotVerifiedError:
                raise
            except BaseException:
                remove_pieces(name)
                limits.restore()
                raise
        return twin

    @classmethod
    def attach(cls, name: str = "main") -> Twin:
        """Return the twin ``name`` that another process has brought up.

        Raises:
            NoSuchTwinError: if there is none.
        """
        return cls(state.read_record(state.check_name(name)))

    def down(self) -> None:
        """Remove it, with all that it has and is."""
        remove_twin(self.name)

    # -- how it is ---------------------------------------------------------------------

    def status(self) -> TwinStatus:
        """Look at every machine, and at what its services' live checks see of it."""
        with ThreadPoolExecutor(16) as pool:
            hosts = tuple(pool.map(_look_at, self.machines.values()))
        counted = [host.memory for host in hosts if host.memory is not None]
        return TwinStatus(
            name=self.name,
            age=time.time() - self.record.created,
            memory=sum(counted) if counted else None,
            hosts=hosts,
            states=host_states(self.record, self.machines),
            stand_ins=self.record.stand_ins,
            faults=tuple(state.read_faults(self.name)),
        )

    def verify(self) -> list[Shortfall]:
        """Return what is not as it should be, each with its log; nothing if all is."""
        left = _unmet(expectations(self.record, self.machines))
        return with_logs([fall for _, falls in left for fall in falls], self.machines)

    def wait(self, *, timeout: float = 60, progress: Progress = lambda _: None) -> None:
        """Wait until all is as it should be.

        Raises:
            NotVerifiedError: if it is not after ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        waiting = expectations(self.record, self.machines)
        total = len(waiting)
        while True:
            unmet = _unmet(waiting)
            if len(unmet) != len(waiting) or not unmet:
                progress(f"verified {total - len(unmet)} of {total}")
            if not unmet:
                return
            if time.monotonic() > deadline:
                falls = [fall for _, found in unmet for fall in found]
                raise NotVerifiedError(self.name, with_logs(falls, self.machines))
            waiting = [expectation for expectation, _ in unmet]
            time.sleep(0.2)

    # -- to work with it ---------------------------------------------------------------

    def machine(self, name: str) -> Machine:
        """Return the machine ``name``: a host, ``operator`` or ``client``.

        Raises:
            TwinError: if there is none.
        """
        try:
            return self.machines[name]
        except KeyError:
            there = ", ".join(self.machines)
            raise TwinError(
                f"twin {self.name} has no machine {name!r}", f"it has {there}"
            ) from None

    def exec(
        self,
        host: str,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout: float | None = 60,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``argv`` on ``host`` as root and return its status and output.

        Raises:
            TwinError: if the host is off, or it takes longer than ``timeout`` seconds.
        """
        return self.machine(host).run(
            argv, stdin=stdin, timeout=timeout, environment=self._environment(host)
        )

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout: float | None = 600,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``argv`` on the operator's machine, in ``cwd`` or the current folder."""
        return self.machine(OPERATOR).run(
            argv,
            stdin=stdin,
            timeout=timeout,
            environment=self._environment(OPERATOR),
            cwd=str(cwd or Path.cwd()),
        )

    def call(self, host: str, argv: Sequence[str]) -> int:
        """Run ``argv`` on ``host`` with this process's own terminal; return its exit status."""
        cwd = str(Path.cwd()) if host == OPERATOR else None
        command = self.machine(host).command(argv, cwd=cwd)
        return subprocess.call(command, env=self._environment(host))

    def shell(self, host: str) -> int:
        """Open a shell on ``host``, with a terminal of its own; return its exit status.

        Raises:
            MachineError: if the program that makes terminals is missing.
        """
        probe.need_program("bsdutils")
        return self.call(
            host, ["script", "--quiet", "--return", "--command", "bash --login", "/dev/null"]
        )

    def logs(self, host: str, unit: str | None = None, *, lines: int = 100) -> str:
        """Return the last ``lines`` of the host's journal; if it is off, its console.

        Raises:
            TwinError: if it has no such ``unit``, with the nearest that it has.
        """
        machine = self.machine(host)
        if not machine.is_running or not machine.record.boots:
            return machine.console.read_text(errors="replace")
        look = ["journalctl", "--no-pager", "--output=short-precise", "--quiet", f"--lines={lines}"]
        text = machine.check([*look, *(["--unit", unit] if unit else [])])
        if unit and not text and not is_unit(machine, unit):
            name = unit if "." in unit else f"{unit}.service"
            remedy = did_you_mean(name, unit_names(machine))
            raise TwinError(f"{host} has no unit {unit!r}", remedy)
        return text

    def capture(
        self, host: str, *, expression: str = "", interface: str = "any", file: Path | None = None
    ) -> Capture:
        """Record packets on ``host`` from now until the capture is stopped or its block left.

        ``expression`` is a pcap-filter(7), ``file`` where the packets go (pcap).
        """
        machine = self.machine(host)
        return Capture(machine, expression, interface, file)

    # -- faults ------------------------------------------------------------------------

    def break_(self, kind: str, host: str, **options: str) -> FaultRecord:
        """Inject the fault ``kind`` (:data:`~goldentooth.twin.faults.FAULTS`) on ``host``.

        Raises:
            TwinError: if there is no such fault or option, or it cannot be injected there.
        """
        fault = find_fault(kind, options)
        self._check_bootable(host)
        with state.lock(self.name, seconds=30):
            faults = state.read_faults(self.name)
            number = max((known.id for known in faults), default=0) + 1
            try:
                undo = fault.inject(self._target(host, number, faults), options)
            except OSError as error:
                raise TwinError(f"{kind} {host}: {error}") from None
            injected = FaultRecord(number, kind, host, options, undo)
            state.write_faults(self.name, [*faults, injected])
        return injected

    def heal(
        self, kind: str | None = None, host: str | None = None, *, timeout: float = 60
    ) -> list[FaultRecord]:
        """Take faults back, the last one first: all, or those of ``kind``, or on ``host``.

        BGP sessions that a fault has left half open are reset, which saves the hold time. If
        no fault is left, it waits until all is as it should be.

        Raises:
            NotVerifiedError: if it is not after ``timeout`` seconds.
            TwinError: if a fault cannot be taken back; all others have been.
        """
        healed, failures = [], []
        machines = self.machines if host is None else {host: self.machine(host)}
        with state.lock(self.name, seconds=30):
            for fault in _in_healing_order(state.read_faults(self.name)):
                if kind in {None, fault.kind} and fault.host in machines:
                    left = [known for known in state.read_faults(self.name) if known != fault]
                    target = self._target(fault.host, fault.id, left)
                    try:
                        FAULTS[fault.kind].heal(target, fault.undo)
                    except (TwinError, OSError) as error:
                        said = error.message if isinstance(error, TwinError) else str(error)
                        failures.append(f"{fault}: {said}")
                        continue
                    state.write_faults(self.name, left)
                    healed.append(fault)
            self._switch_on(machines)
        if failures:
            raise TwinError("\n".join(failures), f"the last resort: twin down --name {self.name}")
        reset_sessions(self.record, self.machines, {fault.host for fault in healed})
        if not state.read_faults(self.name):
            self.wait(timeout=timeout)
        return healed

    @property
    def faults(self) -> list[FaultRecord]:
        """The faults in force, oldest first."""
        return state.read_faults(self.name)

    def _target(self, host: str, number: int, faults: Iterable[FaultRecord]) -> Target:
        others = tuple(fault for fault in faults if fault.host == host and fault.id != number)
        return Target(self.record, self.machines, self.machines[host], number, others)

    def _switch_on(self, hosts: Iterable[str]) -> None:
        """Boot those of ``hosts`` that have switched themselves off."""
        faults = state.read_faults(self.name)
        kept_off = {fault.host for fault in faults if fault.kind == "power"}
        for host in set(hosts) - kept_off:
            machine = self.machines[host]
            if machine.record.boots and not machine.is_running:
                FAULTS["power"].heal(self._target(host, 0, faults), {})

    def _check_bootable(self, host: str) -> None:
        if not self.machine(host).record.boots:
            hosts = ", ".join(name for name, each in self.machines.items() if each.record.boots)
            raise TwinError(
                f"{host} is not a host but a namespace beside them, and cannot be broken",
                f"break a host instead: {hosts}",
            )

    def _environment(self, host: str) -> dict[str, str]:
        if host in {OPERATOR, CLIENT}:
            stand_ins = state.read_environment(self.name) if host == OPERATOR else {}
            return with_programs({**os.environ, **stand_ins, "HOME": HOME})
        terminal = {"TERM": os.environ["TERM"]} if "TERM" in os.environ else {}
        clocks = [
            clock_environment(fault.undo["library"])
            for fault in state.read_faults(self.name)
            if (fault.kind, fault.host) == ("clock", host)
        ]
        return {**ENVIRONMENT, **terminal, **(clocks[0] if clocks else {})}


def _in_healing_order(faults: Sequence[FaultRecord]) -> list[FaultRecord]:
    """Return the last fault first, but before it what would hinder to take others back."""
    order = {"slow": 0, "disk": 1, "readonly": 1, "power": 2}
    return sorted(faults, key=lambda fault: (order.get(fault.kind, 3), -fault.id))


def packages_of(network: Network) -> tuple[Package, ...]:
    """Return all Debian packages that a twin of ``network`` uses, faults and tools included."""
    needed = (*probe.PACKAGES, *_needed_packages(network, network.nodes), *probe.OPTIONAL_PACKAGES)
    return tuple({package.name: package for package in needed}.values())


def _needed_packages(network: Network, hosts: Container[str]) -> tuple[Package, ...]:
    nodes = (node for node in network.nodes.values() if node.name in hosts)
    return together(needs_of(network, node) for node in nodes).packages


def list_twins() -> list[str]:
    """Return the names of all twins on this machine, those that were left half-made included."""
    return state.all_names()


def _unmet(waiting: Iterable[Expectation]) -> list[tuple[Expectation, list[Shortfall]]]:
    """Look at all of ``waiting`` at the same time and return those that are not so, and why."""
    waiting = list(waiting)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda expectation: expectation.look(), waiting))
    return [
        (expectation, falls) for expectation, falls in zip(waiting, found, strict=True) if falls
    ]


def _look_at(machine: Machine) -> HostStatus:
    on = machine.is_running
    return HostStatus(
        name=machine.name,
        address=machine.record.address,
        power="on" if on else "off",
        units=unit_states(machine) if on and machine.record.units else {},
        memory=machine.memory,
    )
