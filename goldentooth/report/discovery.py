"""What hosts are, for people, machines and discovered.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from goldentooth.discovery import Mismatch, Seen
from goldentooth.report.table import counted, format_table
from goldentooth.text import hung, one_line, paint, readable

FORMAT = "goldentooth-net/discover/1"

_HEADER = """\
# What `goldentooth-net discover --write` saw. Read it, then commit it.
# Where the facts say `interface: auto`, the interface here is taken.
"""


@dataclass(frozen=True)
class HostDiscovery:
    """One host as it is, and which of its facts are not so; ``failure`` says why not known."""

    host: str
    seen: Seen | None = None
    mismatches: tuple[Mismatch, ...] = field(default=(), repr=False)
    failure: str = ""


@dataclass(frozen=True)
class DiscoveryReport:
    """Every selected host, in inventory order."""

    hosts: tuple[HostDiscovery, ...]
    seconds: float

    def __repr__(self) -> str:
        return readable(self.table())

    @property
    def mismatches(self) -> tuple[Mismatch, ...]:
        """Every fact that is not so."""
        return tuple(mismatch for host in self.hosts for mismatch in host.mismatches)

    @property
    def status(self) -> int:
        """Exit status: 2 a host could not be asked, 1 a fact is not so, else 0."""
        if any(host.failure for host in self.hosts):
            return 2
        return 1 if self.mismatches else 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; the format is versioned."""
        return {
            "format": FORMAT,
            "seconds": round(self.seconds, 3),
            "status": self.status,
            "hosts": [
                {
                    "host": host.host,
                    "failure": host.failure,
                    "seen": host.seen.entry() if host.seen else None,
                    "mismatches": [mismatch.to_dict() for mismatch in host.mismatches],
                }
                for host in self.hosts
            ],
        }

    def table(self, *, colour: bool = False) -> str:
        """Return one line a host, then every fact that is not so."""
        rows = [_row(host) for host in self.hosts]
        header = ("host", "interface", "mac", "architecture", "kernel", "also up", "packages")
        lines = [format_table(header, rows), ""]
        lines += [paint(one_line(str(mismatch)), "red", on=colour) for mismatch in self.mismatches]
        lines += [
            paint(f"{host.host}: {hung(host.failure)}", "yellow", on=colour)
            for host in self.hosts
            if host.failure
        ]
        count = counted(len(self.mismatches), "fact")
        told = f"{counted(len(self.hosts), 'host')}: {count} not so"
        return "\n".join((*lines, paint(told, "red" if self.status else "green", on=colour)))

    def discovered(self, before: Mapping[str, Any]) -> str:
        """Return discovered.yaml: what it held, with what was seen now in its place."""
        import yaml

        seen = {host.host: host.seen.entry() for host in self.hosts if host.seen}
        return _HEADER + yaml.safe_dump(dict(before) | seen, sort_keys=True)


def _row(host: HostDiscovery) -> tuple[str, ...]:
    seen = host.seen
    if seen is None:
        return (host.host, "?", "?", "?", "?", "?", "?")
    up = ", ".join(name for name, is_up in seen.others.items() if is_up) or "-"
    packages = ", ".join(f"{name} {version}" for name, version in sorted(seen.versions.items()))
    return (
        host.host,
        seen.interface or "-",
        seen.mac or "-",
        seen.architecture,
        seen.kernel,
        up,
        packages or "-",
    )
