"""A plan and what became of it, for people and machines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from goldentooth.deployment import CONFIRMED, UNCHANGED, Outcome
from goldentooth.plan import FORMAT, Action, HostPlan, Scope
from goldentooth.report.table import counted, format_table, paint_diff
from goldentooth.text import hung, one_line, paint, readable

DEPLOY_FORMAT = "goldentooth-net/deploy/1"

_SHOWN = 5
"""Failing checks that are named in a table."""

_SIGNS = {
    Action.CREATE: ("+", "green"),
    Action.CHANGE: ("~", "yellow"),
    Action.REMOVE: ("-", "red"),
    Action.RECORD: ("=", "dim"),
    Action.LOAD: (">", "blue"),
}

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Plan:
    """What a deployment would do, host by host, in inventory order; ``started`` in UTC."""

    hosts: tuple[HostPlan, ...]
    started: datetime
    seconds: float
    broke_off: tuple[str, ...] = ()
    """Earlier deployments from here that have no end: the next --commit finishes them first."""
    notes: tuple[str, ...] = ()
    """What a person should know of it: what could not be looked at."""
    scope: Scope = field(default_factory=Scope)
    """What was planned for."""

    def __repr__(self) -> str:
        return readable(self.table())

    def _repr_html_(self) -> str:
        from goldentooth.report.notebook import plan_html

        return plan_html(self)

    def to_frame(self) -> DataFrame:
        """Return a pandas frame, a row a change or what is in the way.

        Raises:
            UsageError: if pandas is not installed.
        """
        from goldentooth.report.frames import make_frame
        from goldentooth.report.notebook import PLAN_COLUMNS, plan_rows

        return make_frame(PLAN_COLUMNS, plan_rows(self))

    @property
    def blocked(self) -> tuple[HostPlan, ...]:
        """The hosts on which something stands against it."""
        return tuple(host for host in self.hosts if host.blocked)

    @property
    def unknown(self) -> tuple[HostPlan, ...]:
        """The hosts that could not be read."""
        return tuple(host for host in self.hosts if host.unknown is not None)

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be done."""
        return all(host.is_empty for host in self.hosts)

    @property
    def counts(self) -> Counter[Action]:
        """How many files each action is for."""
        return Counter(change.action for host in self.hosts for change in host.changes)

    @property
    def status(self) -> int:
        """Exit status: 2 a host could not be read, 1 there is something to do or in the way."""
        if self.unknown:
            return 2
        return 0 if self.is_empty and not self.blocked else 1

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; the format is versioned."""
        return {
            "format": FORMAT,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "status": self.status,
            "counts": {action.value: self.counts[action] for action in Action},
            "broke_off": list(self.broke_off),
            "notes": list(self.notes),
            "scope": self.scope.to_dict(),
            "hosts": [host.to_dict() for host in self.hosts],
        }

    def table(self, *, colour: bool = False) -> str:
        """Return every change with its diff, what it disturbs, and a count."""
        lines: list[str] = []
        for host in self.hosts:
            lines += _host_lines(host, colour=colour)
        for name in self.broke_off:
            told = f"deployment {name} broke off: --commit finishes it first"
            lines.append(paint(told, "yellow", on=colour))
        lines += [paint(hung(f"note: {note}"), "yellow", on=colour) for note in self.notes]
        return "\n".join((*lines, paint(self._count(), "bold", on=colour)))

    def _count(self) -> str:
        words = [
            f"{self.counts[action]} to {action.value}" for action in Action if self.counts[action]
        ]
        changed = sum(not host.is_empty for host in self.hosts)
        if not words:
            words = ["nothing to do"]
        total = f"{', '.join(words)}, on {changed} of {counted(len(self.hosts), 'host')}"
        if self.blocked:
            items = sum(len(host.blocked) for host in self.blocked)
            total += f"; {items} in the way (--overwrite-drift, or adopt)"
        if self.unknown:
            total += f"; {len(self.unknown)} not reached"
        return total


def _host_lines(host: HostPlan, *, colour: bool) -> Iterator[str]:
    if host.unknown is not None:
        state = host.unknown.state.value if host.unknown.state else "unknown"
        yield paint(hung(f"{host.host}: {state}: {host.unknown.reason}"), "red", on=colour)
        yield ""
        return
    if host.is_empty and not host.blocked and not host.notes:
        return
    yield paint(host.host, "bold", on=colour)
    for change in host.changes:
        sign, hue = _SIGNS[change.action]
        detail = f" ({one_line(change.detail)})" if change.detail else ""
        yield paint(
            f"  {sign} {change.action.value} {change.path} [{change.service}]{detail}",
            hue,
            on=colour,
        )
        if change.action not in {Action.RECORD, Action.LOAD}:
            yield from paint_diff(change.diff, colour=colour, indent="      ")
    for item in host.blocked:
        detail = f" ({one_line(item.detail)})" if item.detail else ""
        words = f"  ! {item.state.value} {item.subject} [{item.service}]{detail}"
        yield paint(words, "red", on=colour)
        yield from paint_diff(item.diff, colour=colour, indent="      ")
    for activation in host.activations:
        yield f"  {activation.kind}: {activation.command}"
    yield from (hung(f"  note: {note}") for note in host.notes)
    if host.router is not None:
        yield from (f"    {told}" for told in host.disturbs)
    if host.activations:
        yield from (f"    {told}" for told in host.disturbs or _undisturbed(host))
    yield ""


def _undisturbed(host: HostPlan) -> tuple[str, ...]:
    """Say that nothing is disturbed, where the change of every file was looked at."""
    is_known = not host.source and all(c.action is not Action.LOAD for c in host.changes)
    return ("no session is touched",) if is_known else ()


@dataclass(frozen=True)
class DeployReport:
    """What became of each host; ``started`` in UTC, ``stopped`` says why it ended early."""

    deployment: str
    outcomes: tuple[Outcome, ...]
    started: datetime
    seconds: float
    stopped: str = ""
    finished: dict[str, dict[str, str]] = field(default_factory=dict)
    """Earlier deployments that had broken off, and what became of their hosts."""
    failing: tuple[str, ...] = ()
    """Live checks, by id, that did not pass when all was last looked at."""

    def __repr__(self) -> str:
        return readable(self.table())

    def _repr_html_(self) -> str:
        from goldentooth.report.notebook import deploy_html

        return deploy_html(self)

    def to_frame(self) -> DataFrame:
        """Return a pandas frame, a row a host.

        Raises:
            UsageError: if pandas is not installed.
        """
        from goldentooth.report.frames import make_frame
        from goldentooth.report.notebook import DEPLOY_COLUMNS, deploy_rows

        return make_frame(DEPLOY_COLUMNS, deploy_rows(self))

    @property
    def status(self) -> int:
        """Exit status: 0 if every host is as planned and it came to its end, else 2."""
        good = {CONFIRMED, UNCHANGED}
        is_good = all(outcome.word in good for outcome in self.outcomes)
        return 0 if is_good and not self.stopped else 2

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; the format is versioned."""
        return {
            "format": DEPLOY_FORMAT,
            "deployment": self.deployment,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "status": self.status,
            "stopped": self.stopped,
            "finished": self.finished,
            "failing": list(self.failing),
            "hosts": [
                {"host": each.host, "outcome": each.word, "reason": each.reason}
                for each in self.outcomes
            ],
        }

    def table(self, *, colour: bool = False) -> str:
        """Return one line a host, and a count."""
        rows = [(each.host, each.word, each.reason) for each in self.outcomes]
        counts = Counter(each.word for each in self.outcomes)
        words = ", ".join(f"{count} {word}" for word, count in counts.items())
        hue = "red" if self.status else "green"
        lines = [format_table(("host", "outcome", "why"), rows), ""] if rows else []
        if self.stopped:
            lines.append(paint(hung(f"stopped: {self.stopped}"), "red", on=colour))
        if self.failing:
            shown = ", ".join(self.failing[:_SHOWN]) + (", …" if self.failing[_SHOWN:] else "")
            told = f"{counted(len(self.failing), 'live check')} did not pass yet: {shown}"
            lines.append(paint(f"note: {told}; look with `verify`", "yellow", on=colour))
        name = f"deployment {self.deployment}: " if self.deployment else ""
        lines.append(
            paint(f"{name}{words or 'nothing to do'} in {self.seconds:.1f} s", hue, on=colour)
        )
        return "\n".join(lines)
