"""Drift for people and machines: table, JSON, JUnit, Prometheus, HTML."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from goldentooth.drift import DriftState, HostDrift, Item
from goldentooth.report.table import counted, format_table, paint_diff
from goldentooth.text import one_line, paint, printable, readable

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldentooth.report.junit import Case
    from goldentooth.report.prometheus import Sample

FORMAT = "goldentooth-net/drift/1"


@dataclass(frozen=True)
class DriftReport:
    """Every selected host, in inventory order; ``started`` in UTC."""

    hosts: tuple[HostDrift, ...]
    started: datetime
    seconds: float

    def __repr__(self) -> str:
        return readable(self.table())

    def _repr_html_(self) -> str:
        from goldentooth.report.drift_page import drift_fragment

        return drift_fragment(self)

    @property
    def status(self) -> int:
        """Exit status: 2 something could not be told, 1 something differs, else 0."""
        return max((host.status for host in self.hosts), default=0)

    @property
    def counts(self) -> Mapping[DriftState, int]:
        """How many items, and hosts as a whole, are in each state that occurs, worst last."""
        found = Counter(item.state for host in self.hosts for item in host.items)
        found.update(host.state for host in self.hosts if host.state)
        return {state: found[state] for state in DriftState if found[state]}

    @property
    def summary(self) -> str:
        """All of it in a line: hosts, states, and which hosts are not in sync."""
        hosts = counted(len(self.hosts), "host")
        if not self.status:
            return f"{hosts}: in sync"
        counts = (
            f"{count} {state.value}"
            for state, count in self.counts.items()
            if state is not DriftState.IN_SYNC
        )
        named = ", ".join(host.host for host in self.hosts if host.status)
        return f"{hosts}: {', '.join(counts)} ({named})"

    # -- for machines --------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; the format is versioned."""
        counts = self.counts
        return {
            "format": FORMAT,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "status": self.status,
            "counts": {state.value: counts.get(state, 0) for state in DriftState},
            "hosts": [_host_to_dict(host) for host in self.hosts],
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> DriftReport:
        """Return the report that :meth:`to_dict` made ``document`` of.

        Raises:
            ValueError: if it is none, or of another version.
        """
        if document.get("format") != FORMAT:
            raise ValueError(f"format is {document.get('format')!r}, not {FORMAT!r}")
        try:
            hosts = tuple(map(_host_from_dict, document["hosts"]))
            started = datetime.fromisoformat(document["started"])
            return cls(hosts, started, float(document["seconds"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error

    def to_frame(self) -> DataFrame:
        """Return a pandas frame, a row an item; a host that could not be judged is one row.

        Raises:
            UsageError: if pandas is not installed.
        """
        from goldentooth.report.frames import make_frame

        columns = ("host", "service", "subject", "state", "detail")
        return make_frame(columns, (row for host in self.hosts for row in _frame_rows(host)))

    def junit(self) -> str:
        """Return JUnit's XML: a suite a host, a case an item."""
        from goldentooth.report.junit import junit_xml

        return junit_xml(
            "goldentooth-net drift", ((host.host, map(_case, _rows(host))) for host in self.hosts)
        )

    def prometheus(self, last_success: datetime | None = None) -> str:
        """Return metrics for node exporter's textfile collector.

        ``last_success`` is when a run could last tell how all hosts stand, if this one could not.
        """
        from goldentooth.report.prometheus import Gauge, metrics_text

        success = self.started if self.status < 2 else last_success
        return metrics_text(
            (
                Gauge(
                    "goldentooth_drift_items",
                    "How many files and running states of a service are in a state.",
                    tuple(sample for host in self.hosts for sample in _item_samples(host)),
                ),
                Gauge(
                    "goldentooth_drift_artifacts",
                    "How many files and running states of a service are not in sync.",
                    tuple(sample for host in self.hosts for sample in _artifact_samples(host)),
                ),
                Gauge(
                    "goldentooth_drift_host_state",
                    "1 for the state of a host that could not be judged as a whole.",
                    tuple(
                        ({"host": host.host, "state": host.state.value}, 1)
                        for host in self.hosts
                        if host.state
                    ),
                ),
                Gauge(
                    "goldentooth_drift_host_status",
                    "0 in sync, 1 something differs, 2 something could not be told.",
                    tuple(({"host": host.host}, host.status) for host in self.hosts),
                ),
                Gauge(
                    "goldentooth_drift_last_run_timestamp_seconds",
                    "When the last run began.",
                    (({}, int(self.started.timestamp())),),
                ),
                Gauge(
                    "goldentooth_drift_last_success_timestamp_seconds",
                    "When the last run began that could tell how every host stands.",
                    (({}, int(success.timestamp())),) if success else (),
                ),
                Gauge(
                    "goldentooth_drift_duration_seconds",
                    "How long the last run took.",
                    (({}, self.seconds),),
                ),
            )
        )

    # -- for people ----------------------------------------------------------------------

    def html(self) -> str:
        """Return a page that needs nothing but itself."""
        from goldentooth.report.drift_page import drift_page

        return drift_page(self)

    def table(self, *, colour: bool = False) -> str:
        """Return one line a host, then all that is not in sync with its diff, then a count."""
        states = [state for state in self.counts if state is not DriftState.IN_SYNC]
        header = ("host", DriftState.IN_SYNC.value, *(state.value for state in states))
        rows = [
            (host.host, *(_count(host, state) for state in (DriftState.IN_SYNC, *states)))
            for host in self.hosts
        ]
        lines = format_table(header, rows, right=range(1, len(header))).splitlines()
        lines[0] = paint(lines[0], "bold", on=colour)
        for index, host in enumerate(self.hosts, start=1):
            if host.status:
                lines[index] = paint(lines[index], _STATUS_COLOURS[host.status], on=colour)
        blocks = [_block(names, row, colour=colour) for row, names in self._bad().items()]
        blocks += [
            f"note  {paint(host.host, 'bold', on=colour)}\n    {one_line(note)}\n"
            for host in self.hosts
            for note in host.notes
        ]
        summary = paint(self.summary, _STATUS_COLOURS[self.status], on=colour)
        return "\n".join(("\n".join(lines), "", *blocks, summary))

    def _bad(self) -> dict[Item, list[str]]:
        """Return all that is not in sync, what is the same on several hosts once, with them."""
        bad: dict[Item, list[str]] = {}
        for host in self.hosts:
            for row in _rows(host):
                if row.state is not DriftState.IN_SYNC:
                    bad.setdefault(row, []).append(host.host)
        return bad


_STATUS_COLOURS = {0: "green", 1: "red", 2: "yellow"}


def state_status(state: DriftState) -> int:
    """Return the exit status that ``state`` alone makes."""
    return 2 if state.is_unknown else int(state is not DriftState.IN_SYNC)


def _rows(host: HostDrift) -> Iterator[Item]:
    """Yield the items of ``host``, and before them the state of the host as a whole, if any."""
    if host.state:
        yield Item("", "", host.state, host.reason)
    yield from host.items


def _count(host: HostDrift, state: DriftState) -> int | str:
    count = len(host.in_state(state)) + (host.state is state)
    return count or ("-" if state is not DriftState.IN_SYNC else 0)


def _block(hosts: Sequence[str], row: Item, *, colour: bool) -> str:
    """Return what is to be said of one that is not in sync on ``hosts``, and its diff."""
    word = paint(row.state.value, _STATUS_COLOURS[state_status(row.state)], on=colour)
    names = ", ".join(hosts)
    place = f"{names} {row.service}: {row.subject}" if row.subject else names
    head = f"{word}  {paint(one_line(place), 'bold', on=colour)}"
    detail = [f"    {printable(line)}" for line in row.detail.splitlines()]
    return "\n".join((head, *detail, *paint_diff(row.diff, colour=colour, indent="    "), ""))


def _case(row: Item) -> Case:
    from goldentooth.report.junit import Case

    group, name = row.service or "host", row.subject or "host"
    if row.state is DriftState.IN_SYNC:
        return Case(group, name)
    problem: Literal["failure", "error"] = "error" if row.state.is_unknown else "failure"
    message = f"{row.state.value}: {row.detail}" if row.detail else row.state.value
    return Case(group, name, problem, message, row.diff)


def _item_samples(host: HostDrift) -> Iterator[Sample]:
    found = Counter((item.service, item.state.value) for item in host.items)
    for (service, state), count in found.items():
        yield {"host": host.host, "service": service, "state": state}, count


def _artifact_samples(host: HostDrift) -> Iterator[Sample]:
    for service in dict.fromkeys(item.service for item in host.items):
        drifted = sum(
            item.service == service and item.state is not DriftState.IN_SYNC for item in host.items
        )
        yield {"host": host.host, "service": service}, drifted


def _frame_rows(host: HostDrift) -> Iterator[tuple[str, ...]]:
    for row in _rows(host):
        yield host.host, row.service, row.subject, row.state.value, row.detail


def _host_to_dict(host: HostDrift) -> dict[str, Any]:
    return {
        "host": host.host,
        "status": host.status,
        "state": host.state.value if host.state else None,
        "reason": host.reason,
        "baseline": host.baseline,
        "notes": list(host.notes),
        "items": [
            {
                "service": item.service,
                "subject": item.subject,
                "state": item.state.value,
                "detail": item.detail,
                "diff": item.diff,
            }
            for item in host.items
        ],
    }


def _host_from_dict(document: Mapping[str, Any]) -> HostDrift:
    return HostDrift(
        document["host"],
        tuple(
            Item(
                item["service"],
                item["subject"],
                DriftState(item["state"]),
                item["detail"],
                item["diff"],
            )
            for item in document["items"]
        ),
        DriftState(document["state"]) if document["state"] else None,
        document["reason"],
        document["baseline"],
        tuple(document.get("notes", ())),  # reports that were kept before there were any
    )
