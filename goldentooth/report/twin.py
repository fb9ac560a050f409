"""How a twin is, for people and machines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import msgspec

from goldentooth.report.table import counted, format_table
from goldentooth.text import paint

if TYPE_CHECKING:
    from goldentooth.twin import HostState, TwinStatus

_MIB = 1024 * 1024


def status_to_dict(status: TwinStatus) -> dict[str, Any]:
    """Return the status as JSON takes it: ages in seconds, memory in bytes."""
    builtins: dict[str, Any] = msgspec.to_builtins(asdict(status))
    for fault in builtins["faults"]:
        del fault["undo"]  # what taking it back needs is nobody else's
    return builtins


def list_to_dict(names: Iterable[str]) -> dict[str, Any]:
    """Return the twins ``names`` as JSON takes them; of a half-made one only its name is known."""
    return {"twins": [_twin_to_dict(name) for name in names]}


def _twin_to_dict(name: str) -> dict[str, Any]:
    from goldentooth.twin import Twin, TwinError

    try:
        record = Twin.attach(name).record
    except (TwinError, OSError):
        return {"name": name, "is_whole": False}
    hosts = [machine.name for machine in record.machines.values() if machine.boots]
    facts = {"created": record.created, "bare": record.bare, "hosts": hosts}
    return {"name": name, "is_whole": True, **facts}


def status_table(status: TwinStatus, *, colour: bool = False) -> str:
    """Return a line a host, then what stands in for what, then the faults."""
    columns = status.states.values()
    rows = [
        (
            host.name,
            host.address,
            host.power,
            _units(host.units),
            *(states[host.name].seen if host.name in states else "-" for states in columns),
            "-" if host.memory is None else f"{host.memory / _MIB:.0f} MiB",
        )
        for host in status.hosts
    ]
    header = ("host", "address", "power", "units", *status.states, "memory")
    lines = format_table(header, rows, right=(len(header) - 1,)).splitlines()
    lines[0] = paint(lines[0], "bold", on=colour)
    memory = "" if status.memory is None else f", {status.memory / _MIB:.0f} MiB"
    total = (
        f"twin {status.name}: {counted(len(status.hosts), 'machine')}{memory},"
        f"{_right(status.states)} up {status.age:.0f} s"
    )
    parts = ["\n".join(lines), total]
    if status.stand_ins:
        stand_ins = (
            f"  {s.name} on {', '.join(s.hosts)}: {s.stands_for}" for s in status.stand_ins
        )
        parts.append("stand-ins:\n" + "\n".join(stand_ins))
    if status.faults:
        faults = "\n".join(f"  {fault}" for fault in status.faults)
        parts.append(paint(f"faults:\n{faults}", "yellow", on=colour))
    return "\n\n".join(parts)


def _units(units: Any) -> str:
    bad = [f"{unit} {state}" for unit, state in units.items() if state != "active"]
    return ", ".join(bad) or (f"{len(units)} active" if units else "-")


def _right(states: Mapping[str, Mapping[str, HostState]]) -> str:
    """Return how many of each are as the facts say."""
    return "".join(
        f" {sum(seen.is_right for seen in each.values())} of {counted(len(each), title)} right,"
        for title, each in states.items()
    )
