"""Drift for people and machines."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from goldentooth.drift import DriftState, HostDrift, Item

FORMAT = "goldentooth-net/drift/1"


@dataclass(frozen=True)
class DriftReport:
    """Every selected host, in inventory order; ``started`` in UTC."""

    hosts: tuple[HostDrift, ...]
    started: datetime
    seconds: float

    @property
    def status(self) -> int:
        """Exit status: 2 something could not be told, 1 something differs, else 0."""
        return max((host.status for host in self.hosts), default=0)

    def count(self, state: DriftState) -> int:
        """Return how many items and hosts are in ``state``."""
        return sum(len(host.in_state(state)) + (host.state is state) for host in self.hosts)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; the format is versioned."""
        return {
            "format": FORMAT,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "status": self.status,
            "counts": {state.value: self.count(state) for state in DriftState},
            "hosts": [_host(host) for host in self.hosts],
        }


def _host(host: HostDrift) -> dict[str, Any]:
    return {
        "host": host.host,
        "status": host.status,
        "state": host.state.value if host.state else None,
        "reason": host.reason,
        "baseline": host.baseline,
        "items": [_item(item) for item in host.items],
    }


def _item(item: Item) -> dict[str, Any]:
    return {
        "service": item.service,
        "subject": item.subject,
        "state": item.state.value,
        "detail": item.detail,
        "diff": item.diff,
    }
