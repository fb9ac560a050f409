"""Findings that the inventory accepts, and acceptances that accept nothing.

``accept:`` stands in defaults.yaml for the whole network, or at a host or a group for
findings about that host or the group's hosts. It names a rule and, where it is meant for
some findings only, a subject (``fnmatch`` pattern). Acceptances themselves cannot be
accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from goldentooth.errors import Location, UsageError
from goldentooth.facts import Acceptance
from goldentooth.model import Network, Node
from goldentooth.rules import (
    Finding,
    Severity,
    Violation,
    all_rules,
    find_rule,
    rule,
)
from goldentooth.validation import did_you_mean
from goldentooth.yamlfile import Document, KeyPath


def accept_findings(network: Network, findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield ``findings``, those that the inventory accepts with the reason it gives.

    What a host or its group says goes before what the whole network says.
    """
    index = _Index(_standing(network))
    for finding in findings:
        matches = [] if finding.rule.startswith("ACC") else index.matches(finding)
        yield replace(finding, accepted=matches[0].acceptance.reason) if matches else finding


@rule(
    "ACC001",
    Severity.WARNING,
    fails="""
        hosts:
          lb1:
            data:
              accept:
                - {rule: ROUTE003, reason: it reaches load-balancer addresses another way}
        """,
    passes="""
        hosts:
          lb1:
            data:
              load_balancer_route: on-link
              accept:
                - {rule: ROUTE003, reason: it reaches load-balancer addresses another way}
        """,
)
def acceptance_without_finding(network: Network) -> Iterator[Violation]:
    """An acceptance matches no finding.

    Why:
        What it was written for is gone, or its subject is misspelt. Left where it is, it
        hides the next finding of the kind, which nobody has looked at.

    Do:
        Remove it, or correct its rule or subject.

    Source:
        How this lint works: an acceptance is a decision about something that is there.
    """
    known = {each.id for each in all_rules()}
    standing = [item for item in _standing(network) if item.acceptance.rule in known]
    index = _Index(standing)
    matched: set[int] = set()
    for identifier in {item.acceptance.rule for item in standing}:
        if not identifier.startswith("ACC"):
            for finding in find_rule(identifier).check(network):
                matched |= {id(item) for item in index.matches(finding)}
    for item in standing:
        if id(item) not in matched:
            about = f" about {item.acceptance.subject}" if item.acceptance.subject else ""
            yield Violation(
                item.subject,
                f"there is no finding {item.acceptance.rule}{about} to accept",
                item.where,
            )


@rule(
    "ACC002",
    Severity.ERROR,
    fails="""
        hosts:
          lb1:
            data:
              accept:
                - {rule: ROUTE999, reason: known}
        """,
    passes="""
        hosts:
          lb1:
            data:
              load_balancer_route: on-link
              accept:
                - {rule: ROUTE003, reason: known}
        """,
)
def acceptance_of_unknown_rule(network: Network) -> Iterator[Violation]:
    """An acceptance names a rule that does not exist.

    Why:
        It accepts nothing, and the finding that it was meant for is still open.

    Do:
        Write the id as lint prints it.

    Source:
        The rules themselves: `goldentooth-net lint --explain ID`.
    """
    for item in _standing(network):
        identifier = item.acceptance.rule
        try:
            find_rule(identifier)
        except UsageError:
            known = did_you_mean(identifier, (each.id for each in all_rules()))
            yield Violation(item.subject, f"no rule is called {identifier}", item.where, known)


@dataclass(frozen=True)
class _Standing:
    """An acceptance where it stands; ``hosts`` is None if it holds for the whole network."""

    acceptance: Acceptance
    subject: str
    where: Location
    hosts: set[str] | None = field(default=None)


class _Index:
    """Finds the acceptances of a finding without looking at all of them."""

    def __init__(self, standing: Iterable[_Standing]) -> None:
        self._by_rule: dict[tuple[str, str | None], list[_Standing]] = {}
        for item in standing:
            for host in [None] if item.hosts is None else item.hosts:
                self._by_rule.setdefault((item.acceptance.rule, host), []).append(item)

    def matches(self, finding: Finding) -> list[_Standing]:
        """Return what accepts ``finding``, the nearest first."""
        candidates = (
            *self._by_rule.get((finding.rule, finding.subject), ()),
            *self._by_rule.get((finding.rule, None), ()),
        )
        return [
            item
            for item in candidates
            if item.acceptance.subject is None
            or fnmatchcase(finding.subject, item.acceptance.subject)
        ]


def _standing(network: Network) -> list[_Standing]:
    """Return every acceptance once, with the hosts that it holds for."""
    result: dict[Location, _Standing] = {
        where: _Standing(acceptance, "accept", where) for acceptance, where in network.accepted
    }
    for group, entry in network.sources.groups.value.items():
        raw = ((entry or {}).get("data") or {}).get("accept") or ()
        for index, acceptance in enumerate(raw):
            where = network.sources.groups.where((group, "data", "accept", index))
            result[where] = _Standing(Acceptance(**acceptance), f"groups.{group}", where, set())
    for node in network.nodes.values():
        if not node.facts.accept:
            continue
        document, path, subject = _stated(network, node)
        for index, item in enumerate(node.facts.accept):
            where = document.where((*path, index))
            standing = result.setdefault(where, _Standing(item, subject, where, set()))
            if standing.hosts is not None:
                standing.hosts.add(node.name)
    return list(result.values())


def _stated(network: Network, node: Node) -> tuple[Document, KeyPath, str]:
    """Return where the ``accept`` that holds for ``node`` is stated: at it or at a group."""
    for role in node.roles:
        path = (role, "data", "accept")
        at_host = (node.name, "data", "accept") in network.sources.hosts.marks
        if not at_host and path in network.sources.groups.marks:
            return network.sources.groups, path, f"groups.{role}"
    return network.sources.hosts, (node.name, "data", "accept"), node.name
