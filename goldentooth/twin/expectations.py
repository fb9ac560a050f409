"""What must be so on a twin that is up: units active, and the services' own live checks."""

from __future__ import annotations

import csv
import json
import re
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

import msgspec

from goldentooth.check import Check, State, judge_all, reads_of
from goldentooth.errors import UnreachableError
from goldentooth.model import Network, Node
from goldentooth.services import Service, all_services
from goldentooth.transports.batch import batch_script, parse_batch
from goldentooth.twin.errors import Shortfall, TwinError
from goldentooth.twin.machine import Machine
from goldentooth.twin.state import CheckRecord, Record
from goldentooth.values import parse_custom

LOG_LINES = 12


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
        return inactive or list(self._failed_checks())

    def _failed_checks(self) -> Iterable[Shortfall]:
        checks = [(record.service, restore_check(record)) for record in self.checks]
        records = {check.id: record for record, (_, check) in zip(self.checks, checks, strict=True)}
        commands = reads_of(checks)
        script = batch_script(commands, _MARK, seconds=_CHECK_SECONDS)
        try:
            done = self.machine.run(["/bin/sh", "-s"], stdin=script.encode())
            outputs = dict(
                zip(commands, parse_batch(done.stdout, len(commands), _MARK), strict=True)
            )
        except (TwinError, UnreachableError) as error:
            yield Shortfall(self.machine.name, "checks", str(error))
            return
        for result in judge_all(checks, outputs):
            if result.outcome.state is not State.PASSED:
                seen = f"expected {result.check.expected}; seen: {result.outcome.seen}"
                name = result.check.id
                record = records[name]
                yield Shortfall(self.machine.name, name, seen, record.unit, record.node)


_MARK = "goldentooth-twin-check"
_CHECK_SECONDS = 5


def expectations(record: Record, machines: Mapping[str, Machine]) -> list[Expectation]:
    """Return all that must be so on the twin of ``record``."""
    return [
        HostVerified(machine, tuple(check for check in record.checks if check.host == machine.name))
        for machine in machines.values()
        if machine.record.boots
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
        record.facts, type=_check_kinds()[record.kind], dec_hook=parse_custom, strict=False
    )
    return check


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


def session_states(router: Machine) -> dict[str, str]:
    """Return the state of each of the router's BGP sessions, by neighbor address."""
    text = router.check(["vtysh", "-c", "show bgp ipv4 unicast summary json"])
    try:
        summary = json.loads(text)
    except json.JSONDecodeError:
        raise TwinError(f"{router.name}: vtysh: {text.strip()}") from None
    peers = summary.get("peers") or summary.get("ipv4Unicast", {}).get("peers", {})
    return {address: peer["state"] for address, peer in peers.items()}


def backend_states(machine: Machine, admin_socket: str) -> dict[str, str]:
    """Return status and last check of each HAProxy server, by address and port.

    As in ``show stat`` (HAProxy management guide §9.1): ``UP L4OK``, ``DOWN L4CON`` …
    """
    answer = ask_haproxy(machine, admin_socket, "show stat")
    rows = csv.DictReader(answer.removeprefix("# ").splitlines())
    return {row["addr"]: f"{row['status']} {row['check_status']}" for row in rows if row["addr"]}


def ask_haproxy(machine: Machine, admin_socket: str, command: str) -> str:
    """Return what HAProxy's runtime API answers to ``command``.

    Raises:
        OSError: if nothing listens there.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(machine.path(admin_socket)))
        connection.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def find_admin_socket(haproxy_cfg: str) -> str | None:
    """Return the path of the runtime API's socket, as haproxy.cfg says.

    >>> find_admin_socket("stats socket /run/haproxy/admin.sock mode 660")
    '/run/haproxy/admin.sock'
    """
    found = re.search(r"^\s*stats\s+socket\s+(/\S+)", haproxy_cfg, re.MULTILINE)
    return found[1] if found else None


def reset_sessions(record: Record, machines: Mapping[str, Machine], hosts: Iterable[str]) -> None:
    """Reset the sessions of ``hosts`` that one side takes for Established and the other does not.

    A neighbor that comes back is refused for as long as the other side believes in the old
    session: up to the hold time (RFC 4271 §6.8).
    """
    touched = set(hosts)
    if record.router is None or not touched or not machines[record.router].is_running:
        return
    router = machines[record.router]
    seen = _patiently(router)
    for address, node in record.sessions.items():
        if {node, record.router} & touched and machines[node].is_running:
            on_router = seen.get(address) == "Established"
            on_node = set(_patiently(machines[node]).values()) == {"Established"}
            if on_router and not on_node:
                router.run(["vtysh", "-c", f"clear bgp {address}"])
            if on_node and not on_router:
                machines[node].run(["vtysh", "-c", "clear bgp *"])


def _patiently(machine: Machine) -> dict[str, str]:
    """Return the states of a host's sessions, once its daemon answers; none if it does not."""
    for _ in range(20):
        try:
            return session_states(machine)
        except TwinError:
            time.sleep(0.1)
    return {}


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
