"""Which units systemd on a machine of the twin knows."""

from __future__ import annotations

from goldentooth.twin.machine import Machine


def is_unit(machine: Machine, name: str) -> bool:
    """Tell whether systemd on ``machine`` knows a unit ``name``; one of its aliases will do."""
    show = ["systemctl", "show", "--value", "--property=LoadState", "--", name]
    return machine.run(show).stdout.strip() not in {b"", b"not-found"}


def unit_names(machine: Machine) -> list[str]:
    """Return the names of the units that systemd on ``machine`` has loaded and that keep a log."""
    kinds = "--type=service,socket,timer"
    listed = machine.check(["systemctl", "list-units", "--all", "--plain", "--no-legend", kinds])
    rows = (line.split() for line in listed.splitlines())
    return [name for name, load, *_ in rows if load == "loaded"]
