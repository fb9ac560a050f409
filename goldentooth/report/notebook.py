"""What a notebook shows: tables of networks, findings, renders and checks; rows for frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from goldentooth.report.drift_page import diff_html
from goldentooth.report.html import Html, element, fragment, table
from goldentooth.report.table import counted

if TYPE_CHECKING:
    from goldentooth.model import Network
    from goldentooth.report.checks import VerifyReport
    from goldentooth.report.plan import DeployReport, Plan
    from goldentooth.report.render import RenderReport
    from goldentooth.rules import Finding

HOST_COLUMNS = ("host", "address", "roles", "interface", "hardware", "architecture")
FINDING_COLUMNS = ("rule", "severity", "subject", "message", "remedy", "where", "accepted")
RENDER_COLUMNS = ("host", "service", "path", "owner", "mode", "bytes", "changed")
PLAN_COLUMNS = ("host", "action", "service", "path", "detail")
DEPLOY_COLUMNS = ("host", "outcome", "why")
CHECK_COLUMNS = ("host", "service", "check", "state", "expected", "seen")


def host_rows(network: Network) -> Iterator[tuple[str | None, ...]]:
    """Yield a row of :data:`HOST_COLUMNS` for each host."""
    for node in network.nodes.values():
        facts = node.facts
        roles = ", ".join(node.roles)
        address, interface = str(node.address), facts.interface
        yield node.name, address, roles, interface, facts.hardware, facts.architecture


def network_html(network: Network) -> str:
    """Return the hosts as a table."""
    rows = (tuple(cell or "–" for cell in row) for row in host_rows(network))
    return fragment(table(HOST_COLUMNS, rows, caption=repr(network)))


def finding_rows(findings: Iterable[Finding]) -> Iterator[tuple[str | None, ...]]:
    """Yield a row of :data:`FINDING_COLUMNS` for each finding."""
    for found in findings:
        where = f"{found.where.file}:{found.where.line}"
        severity, accepted = found.severity.value, found.accepted
        yield found.rule, severity, found.subject, found.message, found.remedy, where, accepted


def findings_html(findings: Sequence[Finding]) -> str:
    """Return a line a finding, with what to do; those that are accepted with the reason."""
    rows = (
        (
            found.rule,
            _chip("accepted" if found.is_accepted else found.severity.value),
            found.subject,
            found.message,
            f"accepted: {found.accepted}" if found.is_accepted else found.remedy,
            f"{found.where.file}:{found.where.line}",
        )
        for found in findings
    )
    header = ("rule", "severity", "subject", "finding", "what to do", "where")
    return fragment(table(header, rows, caption=counted(len(findings), "finding")))


def render_rows(report: RenderReport) -> Iterator[tuple[object, ...]]:
    """Yield a row of :data:`RENDER_COLUMNS` for each artifact."""
    for host in report.hosts:
        for made in host.artifacts:
            changed = made.location in host.before
            size, mode = len(made.content), f"{made.mode:04o}"
            yield host.host, made.service, made.path, made.owner, mode, size, changed


def render_html(report: RenderReport) -> str:
    """Return a line a host, then what failed and what has changed."""
    rows = (
        (
            host.host,
            len(host.artifacts),
            host.size,
            len(host.before),
            _chip("failed") if host.has_failed else "–",
            ", ".join(f"{judge} {ruling}" for judge, ruling in host.judges.items()) or "–",
        )
        for host in report.hosts
    )
    header = ("host", "artifacts", "bytes", "changed", "failed", "judge")
    failures = (
        element("pre", f"{host.host}: {reason}")
        for host in report.hosts
        for reason in (*filter(None, [host.failure]), *host.rejections)
    )
    diffs = (
        element("details", element("summary", location), diff_html(diff))
        for host in report.hosts
        for location, diff in host.diffs.items()
    )
    caption = report.table().rpartition("\n")[2]
    return fragment(table(header, rows, caption=caption), *failures, *diffs)


def check_rows(report: VerifyReport) -> Iterator[tuple[str, ...]]:
    """Yield a row of :data:`CHECK_COLUMNS` for each live check."""
    for result in report.results:
        check, outcome = result.check, result.outcome
        state, seen = outcome.state.value, outcome.seen
        yield check.host, result.service, check.id, state, check.expected, seen


def checks_html(report: VerifyReport) -> str:
    """Return a line for every check that did not pass, and how many did."""
    rows = (
        (check, host, _chip(state), expected, seen)
        for host, _, check, state, expected, seen in check_rows(report)
        if state != "passed"
    )
    caption = report.table().rpartition("\n")[2]
    return fragment(table(("check", "host", "state", "expected", "seen"), rows, caption=caption))


def plan_rows(plan: Plan) -> Iterator[tuple[str, ...]]:
    """Yield a row of :data:`PLAN_COLUMNS` for each change, and for what is in its way."""
    for host in plan.hosts:
        for change in host.changes:
            yield host.host, change.action.value, change.service, change.path, change.detail
        for item in host.blocked:
            yield host.host, item.state.value, item.service, item.subject, item.detail
        if host.unknown:
            yield host.host, "unknown", "", "", host.unknown.reason


def plan_html(plan: Plan) -> str:
    """Return every change, what it does to what runs, and the diffs."""
    rows = (
        (host, _chip(action), service, path, detail)
        for host, action, service, path, detail in plan_rows(plan)
    )
    diffs = (
        element("details", element("summary", f"{host.host} {name}"), diff_html(diff))
        for host in plan.hosts
        for name, diff in (
            *((change.path, change.diff) for change in host.changes),
            *((item.subject, item.diff) for item in host.blocked),
        )
        if diff
    )
    acts = (
        element("div", f"{host.host}: {each.kind}: {each.command}", class_="muted")
        for host in plan.hosts
        for each in host.activations
    )
    caption = plan.table().rpartition("\n")[2]
    return fragment(table(PLAN_COLUMNS, rows, caption=caption), *acts, *diffs)


def deploy_rows(report: DeployReport) -> Iterator[tuple[str, ...]]:
    """Yield a row of :data:`DEPLOY_COLUMNS` for each host."""
    for outcome in report.outcomes:
        yield outcome.host, outcome.word, outcome.reason


def deploy_html(report: DeployReport) -> str:
    """Return a line a host, and a count."""
    caption = report.table().rpartition("\n")[2]
    return fragment(table(DEPLOY_COLUMNS, deploy_rows(report), caption=caption))


_KINDS = {
    **dict.fromkeys(("error", "failed", "drift", "conflict", "remove"), "bad"),
    **dict.fromkeys(("warning", "unknown", "change", "no baseline"), "unknown"),
}


def _chip(word: str) -> Html:
    return element("span", word, class_=f"chip {_KINDS.get(word, 'good')}")
