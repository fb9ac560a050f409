"""Lint: what is allowed by the facts' types and still wrong, or weak.

A rule is a documented function in the module of its topic, registered with :func:`rule`.
It takes the network, does no I/O and yields what offends it. The modules are imported only
when rules are asked for.

>>> find_rule("BGP001").title
'An AS number is reserved for documentation'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib import import_module
from inspect import cleandoc

from goldentooth.errors import Location, UsageError
from goldentooth.model import Network
from goldentooth.validation import did_you_mean

TOPICS = {
    "ADDR": "addr",
    "BGP": "bgp",
    "ROUTE": "route",
    "HA": "ha",
    "K8S": "k8s",
    "NAME": "name",
    "SEC": "secret",
    "ACC": "accept",
}
"""The module of each topic, in the order in which rules are listed."""


class Severity(StrEnum):
    """How bad a finding is, worst first.

    An error does not work, a warning works until something happens that will, and an
    info is worth knowing.
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return list(Severity).index(self)


@dataclass(frozen=True)
class Violation:
    """What a check saw: ``subject`` is a host's name or a fact's (``bgp.hold``).

    ``remedy`` stands in for the rule's own where the case allows to be more exact.
    """

    subject: str
    message: str
    where: Location
    remedy: str = ""


@dataclass(frozen=True)
class Finding:
    """A violation of a rule; ``accepted`` is the reason for which it is kept, if it is."""

    rule: str
    severity: Severity
    subject: str
    message: str
    where: Location
    remedy: str
    accepted: str | None = None

    def __repr__(self) -> str:
        kept = "" if self.accepted is None else f" (accepted: {self.accepted})"
        about = f"{self.subject}: {self.message}"
        return f"{self.rule} {self.severity.value} {self.where} {about}{kept}"

    @property
    def is_accepted(self) -> bool:
        """Whether the inventory says that it is known and kept."""
        return self.accepted is not None

    @property
    def _order(self) -> tuple[int, Location, str, str, str]:
        return self.severity.rank, self.where, self.rule, self.subject, self.message


Check = Callable[[Network], Iterator[Violation]]


@dataclass(frozen=True)
class Rule:
    """One rule: what it finds, why that is bad, what to do, and two examples.

    ``fails`` and ``passes`` are YAML excerpts for
    :func:`goldentooth.rules.example.example_network`.
    """

    id: str
    severity: Severity
    title: str
    why: str
    remedy: str
    source: str
    fails: str
    passes: str
    violations: Check = field(repr=False, compare=False)

    @property
    def topic(self) -> str:
        """The letters of the id: ``BGP`` of ``BGP003``."""
        return self.id.rstrip("0123456789")

    def check(self, network: Network) -> Iterator[Finding]:
        """Yield everything in ``network`` that breaks this rule, accepted or not."""
        for violation in self.violations(network):
            yield Finding(
                rule=self.id,
                severity=self.severity,
                subject=violation.subject,
                message=violation.message,
                where=violation.where,
                remedy=violation.remedy or self.remedy,
            )


def check_network(network: Network, only: Iterable[str] = ()) -> tuple[Finding, ...]:
    """Check ``network``, and return the findings sorted by severity, then by place.

    ``only`` names rules (``BGP003``) or topics (``BGP``); all rules if empty. Accepted
    findings are among the result, marked.

    Raises:
        UsageError: if ``only`` names what is not there.
    """
    rules = select_rules(only)
    accept_findings = import_module("goldentooth.rules.accept").accept_findings
    findings: Iterable[Finding] = accept_findings(
        network, [finding for rule in rules for finding in rule.check(network)]
    )
    return tuple(sorted(findings, key=lambda finding: finding._order))  # noqa: SLF001  # same module


@cache
def all_rules() -> tuple[Rule, ...]:
    """Return every rule, by topic and number."""
    for module in TOPICS.values():
        import_module(f"{__name__}.{module}")
    topics = list(TOPICS)
    return tuple(sorted(_rules.values(), key=lambda rule: (topics.index(rule.topic), rule.id)))


def find_rule(identifier: str) -> Rule:
    """Return the rule ``identifier``, in any case: ``find_rule("bgp003")``.

    Raises:
        UsageError: if there is none.
    """
    all_rules()
    try:
        return _rules[identifier.upper()]
    except KeyError:
        known = did_you_mean(identifier.upper(), _rules)
        raise UsageError(f"no rule is called {identifier!r}: {known}") from None


def select_rules(only: Iterable[str] = ()) -> tuple[Rule, ...]:
    """Return the rules that ``only`` names by id or by topic; all if it is empty.

    Raises:
        UsageError: if it names what is not there.
    """
    names = [name.upper() for name in only]
    if not names:
        return all_rules()
    wanted = {name for name in names if name in TOPICS}
    wanted |= {find_rule(name).id for name in names if name not in TOPICS}
    return tuple(rule for rule in all_rules() if wanted & {rule.id, rule.topic})


def rule(
    identifier: str, severity: Severity, *, fails: str, passes: str
) -> Callable[[Check], Check]:
    """Register a check under ``identifier``.

    Its docstring says what it finds in the first line, and has sections ``Why``, ``Do``
    and ``Source``; ``fails`` and ``passes`` are its examples.

    Raises:
        TypeError: if the id is taken, or a part of the docstring is missing.
    """

    def register(check: Check) -> Check:
        if identifier in _rules:
            raise TypeError(f"{identifier} is registered twice")
        title, sections = _parse_docstring(cleandoc(check.__doc__ or ""))
        missing = {"Why", "Do", "Source"} - set(sections)
        if missing or not title:
            raise TypeError(f"{identifier}: its docstring lacks {', '.join(sorted(missing))}")
        _rules[identifier] = Rule(
            id=identifier,
            severity=severity,
            title=title,
            why=sections["Why"],
            remedy=sections["Do"],
            source=sections["Source"],
            fails=cleandoc(fails),
            passes=cleandoc(passes),
            violations=check,
        )
        return check

    return register


_rules: dict[str, Rule] = {}


def _parse_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Return the first line without its full stop, and each section as one line of text."""
    title, *parts = re.split(r"^(Why|Do|Source):$", text, flags=re.MULTILINE)
    sections = {
        name: " ".join(body.split()) for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
    return title.strip().removesuffix("."), sections
