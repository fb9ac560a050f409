"""Deployments, from the journal, for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from goldentooth.journal import Entry
from goldentooth.report.table import format_table


def history_table(entries: Iterable[Entry]) -> str:
    """Return one line a deployment, newest last."""
    rows = [
        (
            entry.deployment,
            entry.began.at[:19].replace("T", " "),
            entry.began.detail.get("by", ""),
            _what(entry),
            _hosts(entry),
            entry.result,
        )
        for entry in entries
    ]
    if not rows:
        return "nothing has been deployed from here"
    return format_table(("deployment", "at (UTC)", "by", "what", "hosts", "result"), rows)


def _what(entry: Entry) -> str:
    chosen = entry.began.detail.get("what", {})
    return ", ".join(f"{key} {' '.join(map(str, value))}" for key, value in chosen.items()) or "all"


def _hosts(entry: Entry) -> str:
    counts = Counter(entry.hosts.values())
    return ", ".join(f"{count} {event}" for event, count in counts.items()) or "-"
