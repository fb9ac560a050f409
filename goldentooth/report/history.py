"""Deployments, from the journal, for people."""

from __future__ import annotations

from collections.abc import Container, Iterable

from goldentooth.journal import Entry, Event
from goldentooth.report.table import format_table


def history_table(entries: Iterable[Entry], hosts: Container[str] | None = None) -> str:
    """Return one line a deployment, newest last; of ``hosts`` alone, if they are given."""
    rows = [
        (
            entry.deployment,
            _when(entry.began),
            entry.began.detail.get("by", ""),
            _what(entry),
            _outcomes(entry, hosts),
            entry.result,
        )
        for entry in entries
    ]
    if not rows:
        return "nothing has been deployed from here"
    return format_table(("deployment", "at (UTC)", "by", "what", "hosts", "result"), rows)


def deployment_table(entry: Entry, hosts: Container[str] | None = None) -> str:
    """Return what became of each host of one deployment: when, what, and why."""
    last = {event.host: event for event in entry.events if event.host}
    rows = [
        (host, event.event, _when(event), str(event.detail.get("reason", "")))
        for host, event in last.items()
        if hosts is None or host in hosts
    ]
    by = entry.began.detail.get("by", "")
    told = f"deployment {entry.deployment} by {by}, {_when(entry.began)}: {entry.result}"
    return "\n".join((format_table(("host", "outcome", "at (UTC)", "why"), rows), "", told))


def _when(event: Event) -> str:
    return event.at[:19].replace("T", " ")


def _what(entry: Entry) -> str:
    chosen = entry.began.detail.get("what", {})
    told = (f"{key} {' '.join(map(str, value))}" for key, value in chosen.items() if value)
    return ", ".join(told) or "all"


def _outcomes(entry: Entry, hosts: Container[str] | None) -> str:
    """Return how many hosts ended in which way; by name, but for the way of most."""
    by_event: dict[str, list[str]] = {}
    for host, event in entry.hosts.items():
        if hosts is None or host in hosts:
            by_event.setdefault(event, []).append(host)
    ordered = sorted(by_event.items(), key=lambda item: -len(item[1]))
    told = [f"{len(names)} {event}" for event, names in ordered[:1]]
    told += [f"{event}: {' '.join(names)}" for event, names in ordered[1:]]
    return "; ".join(told) or "-"
