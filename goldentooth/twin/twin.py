"""The twin: every host of the network as a real Debian system on one machine."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from goldentooth.model import Network
from goldentooth.needs import together
from goldentooth.twin import limits, power, probe, state
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
            files = stand_ins_of(files)
        record = plan_twin(
            name,
            network=network,
            artifacts=artifacts,
            files=files,
            hosts=hosts,
            created=time.time(),
            bare=bare,
        )
        booted = [node for node in network.nodes.values() if node.name in record.machines]
        needs = together(needs_of(network, node) for node in booted)
        probe.check_machine(needs.packages)
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
        """Return the last ``lines`` of the host's journal; if it is off, its console."""
        machine = self.machine(host)
        if not machine.is_running or not machine.record.boots:
            return machine.console.read_text(errors="replace")
        selection = ["--unit", unit] if unit else []
        count = f"--lines={lines}"
        return machine.check(
            ["journalctl", "--no-pager", "--output=short-precise", count, *selection]
        )

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
        machine = self._bootable(host)
        with state.lock(self.name, seconds=30):
            faults = state.read_faults(self.name)
            number = max((known.id for known in faults), default=0) + 1
            target = Target(self.record, self.machines, machine, number)
            undo = fault.inject(target, options)
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
        with state.lock(self.name, seconds=30):
            for fault in _in_healing_order(state.read_faults(self.name)):
                if kind in {None, fault.kind} and host in {None, fault.host}:
                    target = Target(self.record, self.machines, self.machines[fault.host], fault.id)
                    try:
                        FAULTS[fault.kind].heal(target, fault.undo)
                    except TwinError as error:
                        failures.append(f"{fault}: {error.message}")
                        continue
                    left = [known for known in state.read_faults(self.name) if known != fault]
                    state.write_faults(self.name, left)
                    healed.append(fault)
            kept_off = {left.host for left in state.read_faults(self.name) if left.kind == "power"}
            for machine in self.machines.values():
                if machine.record.boots and host in {None, machine.name} - kept_off:
                    power.switch_on(self.record, machine)  # one that switched itself off
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

    def _bootable(self, host: str) -> Machine:
        machine = self.machine(host)
        if not machine.record.boots:
            raise TwinError(f"{host} is a mere namespace: it has no power to cut")
        return machine

    def _environment(self, host: str) -> dict[str, str]:
        if host in {OPERATOR, CLIENT}:
            return with_programs({**os.environ, "HOME": HOME})
        terminal = {"TERM": os.environ["TERM"]} if "TERM" in os.environ else {}
        clocks = [
            clock_environment(fault.undo["library"])
            for fault in state.read_faults(self.name)
            if (fault.kind, fault.host) == ("clock", host)
        ]
        return {**ENVIRONMENT, **terminal, **(clocks[0] if clocks else {})}


def _in_healing_order(faults: Sequence[FaultRecord]) -> list[FaultRecord]:
    """Return the last fault first; but disks before power, and power before what is on a host."""
    order = {"disk": 0, "readonly": 0, "power": 1}
    return sorted(faults, key=lambda fault: (order.get(fault.kind, 2), -fault.id))


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
