"""Drift as a page: what it comes to, hosts by services, and every difference."""

from __future__ import annotations

from collections.abc import Iterator

from goldentooth.drift import DriftState, HostDrift, Item
from goldentooth.report.drift import DriftReport, state_status
from goldentooth.report.html import Html, element, fragment, page, table
from goldentooth.report.table import diff_line_kind


def drift_page(report: DriftReport) -> str:
    """Return a page of its own."""
    matrix = element(
        "div",
        _matrix(report),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label="hosts and services",
    )
    return page(
        f"Drift: {report.summary}",
        element("h1", "Drift"),
        *_head(report),
        element("h2", "Hosts and services"),
        matrix,
        *_differences(report),
        *_notes(report),
    )


def drift_fragment(report: DriftReport) -> str:
    """Return the same for a notebook."""
    return fragment(*_head(report), _matrix(report), *_differences(report), *_notes(report))


def _head(report: DriftReport) -> Iterator[Html]:
    when = f"{report.started:%Y-%m-%d %H:%M:%S} UTC, {report.seconds:.1f} s"
    yield element("p", element("strong", report.summary))
    yield element("p", when, class_="muted")
    chips = (
        element("li", _chip(state, f"{count} {state.value}"))
        for state, count in report.counts.items()
    )
    yield element("ul", *chips, class_="counts")


def _matrix(report: DriftReport) -> Html:
    services = sorted({item.service for host in report.hosts for item in host.items})
    rows = (
        (_host_cell(host), _whole(host), *(_cell(host, service) for service in services))
        for host in report.hosts
    )
    return table(("host", "as a whole", *services), rows)


def _host_cell(host: HostDrift) -> Html | str:
    return element("a", host.host, href=f"#{_anchor(host)}") if host.status else host.host


def _whole(host: HostDrift) -> Html:
    state = host.state or max(
        (item.state for item in host.items), key=state_status, default=DriftState.IN_SYNC
    )
    return _chip(state, state.value)


def _cell(host: HostDrift, service: str) -> Html:
    items = [item for item in host.items if item.service == service]
    if not items:
        return element("span", "–", class_="muted", title="has nothing of it, or was not read")
    bad = [item for item in items if item.state is not DriftState.IN_SYNC]
    if not bad:
        hidden = element("span", " in sync", class_="hidden")
        return _chip(DriftState.IN_SYNC, Html(f"✓ {len(items)}{hidden}"))
    states = dict.fromkeys(item.state for item in sorted(bad, key=_item_severity, reverse=True))
    return Html(
        " ".join(
            _chip(state, f"{sum(item.state is state for item in bad)} {state.value}")
            for state in states
        )
    )


def _differences(report: DriftReport) -> Iterator[Html]:
    bad = [host for host in report.hosts if host.status]
    if not bad:
        return
    yield element("h2", "What is not in sync")
    for host in bad:
        yield element("section", *_host(host), id=_anchor(host))


def _notes(report: DriftReport) -> Iterator[Html]:
    noted = [(host.host, note) for host in report.hosts for note in host.notes]
    if noted:
        yield element("h2", "Notes")
        yield element(
            "ul", *(element("li", element("strong", host), f": {note}") for host, note in noted)
        )


def _host(host: HostDrift) -> Iterator[Html]:
    yield element("h3", host.host)
    if host.baseline:
        yield element("div", f"last applied: {host.baseline}", class_="muted")
    if host.state:
        yield element("div", _chip(host.state, host.state.value), " ", host.reason, class_="entry")
    for item in host.items:
        if item.state is not DriftState.IN_SYNC:
            yield _item(item)


def _item(item: Item) -> Html:
    head = (
        _chip(item.state, item.state.value),
        " ",
        element("strong", f"{item.service}: {item.subject}"),
        f" {item.detail}" if item.detail else "",
    )
    if not item.diff:
        return element("div", *head, class_="entry")
    return element("details", element("summary", *head), diff_html(item.diff))


def diff_html(diff: str) -> Html:
    """Return a unified diff, a line an element, told apart by more than colour: its sign."""
    lines = diff.removesuffix("\n").split("\n")
    shown = (element("span", line or " ", class_=diff_line_kind(line)) for line in lines)
    return element("pre", element("code", *shown), tabindex=0)


def _chip(state: DriftState, text: str) -> Html:
    kind = ("good", "bad", "unknown")[state_status(state)]
    return element("span", text, class_=f"chip {kind}")


def _item_severity(item: Item) -> int:
    return state_status(item.state)


def _anchor(host: HostDrift) -> str:
    return f"host-{host.host}"
