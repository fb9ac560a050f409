"""What must be so on a twin that is up: units active, and the services' own live checks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import msgspec

from goldentooth.check import Check, CheckResult, State, judge_all, reads_of
from goldentooth.errors import TransportError
from goldentooth.model import Network, Node
from goldentooth.services import Service, all_services
from goldentooth.transports.bounds import Bounds
from goldentooth.transports.program import Answer, Call, ProgramTransport
from goldentooth.twin.errors import Shortfall, TwinError
from goldentooth.twin.machine import Machine
from goldentooth.twin.state import CheckRecord, Record
from goldentooth.values import parse_custom

LOG_LINES = 12


@dataclass(frozen=True)
class HostState:
    """What a live check sees of a host, and whether that is as the facts say."""

    is_right: bool
    seen: str


class Expectation(Protocol):
    """Something that can be looked at again and again until it is so."""

    def look(self) -> list[Shortfall]:
        """Return what is not as it should be; nothing if all is."""


@dataclass(frozen=True)
class HostVerified:
    """Every unit of a host is active, and every live check that is read there passes."""

    machine: Machine
    checks: tuple[CheckRecord, ...]

    def look(self) -> list[Shortfall]:
        """Return the units that are not active; once all are, the checks that do not pass."""
        if not self.machine.is_running:
            return [Shortfall(self.machine.name, "power", "powered off")]
        inactive = [
            Shortfall(self.machine.name, f"unit[{unit}]", seen, unit)
            for unit, seen in unit_states(self.machine).items()
            if seen != "active"
        ]
        return inactive or (list(self._failed_checks()) if self.checks else [])

    def _failed_checks(self) -> Iterable[Shortfall]:
        try:
            results = read_checks(self.machine, self.checks)
        except (TwinError, TransportError) as error:
            yield Shortfall(self.machine.name, "checks", str(error))
            return
        for record, result in results:
            if result.outcome.state is not State.PASSED:
                seen = f"expected {result.check.expected}; seen: {result.outcome.seen}"
                yield Shortfall(self.machine.name, result.check.id, seen, record.unit, record.node)


_BOUNDS = Bounds(command_seconds=5)


def read_checks(
    machine: Machine, records: Iterable[CheckRecord]
) -> list[tuple[CheckRecord, CheckResult]]:
    """Make the live checks ``records``, which are read on ``machine``.

    Raises:
        TwinError: if the machine is off or does not answer.
        TransportError: if it ended before anything was read.
    """
    records = tuple(records)
    checks = [(record.service, restore_check(record)) for record in records]
    commands = reads_of(checks)

    def call(call: Call) -> Answer:
        done = machine.run(["/bin/sh", "-c", call.line], stdin=call.stdin)
        return Answer(done.stdout, done.stderr)

    transport = ProgramTransport(call, "root", _BOUNDS)
    outputs = dict(zip(commands, transport.gather(commands), strict=True))
    return list(zip(records, judge_all(checks, outputs), strict=True))


def host_states(record: Record, machines: Mapping[str, Machine]) -> dict[str, dict[str, HostState]]:
    """Return what live checks see of each host, by the title of their column and by host."""
    telling = [check for check in record.checks if _kind_of(check).column]
    states: dict[str, dict[str, HostState]] = {_kind_of(check).column: {} for check in telling}
    for check in map(restore_check, telling):
        states[check.column][check.subject] = HostState(
            is_right=False, seen=f"{check.host} does not say"
        )
    for host in dict.fromkeys(check.host for check in telling):
        if machines[host].is_running:
            with contextlib.suppress(TwinError, TransportError):
                mine = (check for check in telling if check.host == host)
                for _, result in read_checks(machines[host], mine):
                    passed = result.outcome.state is State.PASSED
                    seen = HostState(is_right=passed, seen=result.outcome.seen)
                    states[result.check.column][result.check.subject] = seen
    return states


@dataclass(frozen=True)
class SshAnswers:
    """Every one of ``hosts`` greets who comes from ``machine`` to its SSH port."""

    machine: Machine
    hosts: tuple[Machine, ...]

    def look(self) -> list[Shortfall]:
        """Return the hosts that do not."""
        addresses = {host.record.address: host for host in self.hosts}
        done = self.machine.run(["bash", "-c", _GREETINGS, "bash", *addresses])
        greeted = set(done.stdout.decode().split())
        return [
            Shortfall(host.name, "ssh", f"no greeting from {address}", "ssh.service")
            for address, host in addresses.items()
            if address not in greeted
        ]


_GREETINGS = """
for address; do
    timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/22" && read -r line <&3 &&
        [[ $line == SSH-* ]] && echo "$0"' "$address" 2>/dev/null &
done
wait
"""


def expectations(record: Record, machines: Mapping[str, Machine]) -> list[Expectation]:
    """Return all that must be so on the twin of ``record``."""
    hosts = tuple(machine for machine in machines.values() if machine.record.boots)
    if record.bare:
        operator = next(machine for machine in machines.values() if not machine.record.boots)
        return [*(HostVerified(host, ()) for host in hosts), SshAnswers(operator, hosts)]
    return [
        HostVerified(host, tuple(check for check in record.checks if check.host == host.name))
        for host in hosts
    ]


def record_check(service: Service, check: Check, network: Network, node: Node) -> CheckRecord:
    """Return a live check about ``node`` as another process can read it."""
    facts = msgspec.to_builtins(check, enc_hook=str)
    units = service.units(network, node)
    unit = units[0] if units else None
    return CheckRecord(service.name, check.kind, check.host, facts, node.name, unit)


def restore_check(record: CheckRecord) -> Check:
    """Return the live check of which ``record`` was made."""
    check: Check = msgspec.convert(
        record.facts, type=_kind_of(record), dec_hook=parse_custom, strict=False
    )
    return check


def _kind_of(record: CheckRecord) -> type[Check]:
    return _check_kinds()[record.kind]


@cache
def _check_kinds() -> Mapping[str, type[Check]]:
    all_services()  # which define them
    waiting, kinds = [Check], {}
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if hasattr(kind, "kind"):
            kinds[kind.kind] = kind
    return kinds


def unit_states(machine: Machine) -> dict[str, str]:
    """Return the state of each of the host's units: ``active``, or what systemd says instead."""
    units = machine.record.units
    fields = "--property=Id,ActiveState,SubState,Result,LoadState"
    text = machine.run(["systemctl", "show", fields, "--", *units]).stdout.decode()
    states: dict[str, str] = {}
    for block in text.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if values.get("ActiveState") == "active":
            states[values["Id"]] = "active"
        elif "Id" in values:
            details = (values["SubState"], values["Result"], values["LoadState"])
            states[values["Id"]] = f"{values['ActiveState']} ({', '.join(details)})"
    return {unit: states.get(unit, "systemd does not answer yet") for unit in units}


def with_logs(shortfalls: Iterable[Shortfall], machines: Mapping[str, Machine]) -> list[Shortfall]:
    """Return ``shortfalls``, each with the last log lines of the unit that it is about."""
    return [
        replace(fall, log=_log_of(fall, machines[fall.node or fall.host])) for fall in shortfalls
    ]


def _log_of(shortfall: Shortfall, machine: Machine) -> str:
    if not machine.is_running:
        return "\n".join(machine.console.read_text(errors="replace").splitlines()[-LOG_LINES:])
    selection = ["--unit", shortfall.unit] if shortfall.unit else []
    count = f"--lines={LOG_LINES}"
    done = machine.run(["journalctl", "--no-pager", "--output=short-iso", count, *selection])
    return done.stdout.decode(errors="replace").strip()
