"""A deployment: one plan, brought to its hosts in batches, each of which can get back by itself.

Per host: lock, stage, judge, back up; then arm the dead-man's switch, swap, activate; then look
from outside over a new connection; then confirm, or go back. The order of hosts, and how many
at a time, follow from what may not be lost: see :func:`batches`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from goldentooth.check import Check, CheckResult, State

if TYPE_CHECKING:
    from goldentooth.model import Network
    from goldentooth.plan import HostPlan


@dataclass(frozen=True)
class Options:
    """How a deployment goes about it.

    ``serial`` is how many hosts at a time: a number or a share of all, as ``25%``.
    ``confirm_within`` is when the dead-man's switch fires, in seconds.
    """

    serial: str = "5"
    canary: str | None = None
    max_failures: int = 0
    confirm_within: int = 60

    def size(self, hosts: int) -> int:
        """Return how many of ``hosts`` go at a time.

        >>> Options(serial="25%").size(14), Options(serial="5").size(14)
        (3, 5)
        """
        if self.serial.endswith("%"):
            return max(1, hosts * int(self.serial[:-1]) // 100)
        return int(self.serial)


@dataclass(frozen=True)
class Outcome:
    """What became of one host, in a word of :data:`WORDS`, and why."""

    host: str
    word: str
    reason: str = ""


CONFIRMED = "confirmed"
ROLLED_BACK = "rolled back"
REFUSED = "refused"
UNTOUCHED = "untouched"
UNKNOWN = "unknown"
UNCHANGED = "nothing to do"

WORDS = {
    CONFIRMED: "the new state is live, and recorded as applied",
    ROLLED_BACK: "the old state is live again",
    REFUSED: "the host could not or would not; it is as it was",
    UNTOUCHED: "its turn did not come; it is as it was",
    UNKNOWN: "contact was lost: it confirms or goes back by itself, the next run says which",
    UNCHANGED: "it was as planned already",
}


@dataclass(frozen=True)
class Health:
    """What the live checks said before, by id: what was good is to stay good."""

    good: frozenset[str]

    @classmethod
    def of(cls, results: Iterable[CheckResult]) -> Health:
        """Return what is good in ``results``."""
        return cls(frozenset(r.check.id for r in results if r.outcome.state is State.PASSED))

    def lost(self, results: Iterable[CheckResult]) -> tuple[CheckResult, ...]:
        """Return the checks that were good and are not."""
        return tuple(
            result
            for result in results
            if result.check.id in self.good and result.outcome.state is not State.PASSED
        )


def batches(
    network: Network,
    plans: Sequence[HostPlan],
    checks: Iterable[Check],
    options: Options,
) -> tuple[tuple[str, ...], ...]:
    """Return the hosts with changes, in the order and groups in which they are changed.

    First the canary: the one that is named, else the first host that others do not depend on.
    Then the others; of those that share a quorum (:attr:`Check.quorum`) never more at a time
    than can be missed. Load balancers, then the router, last and one at a time: what is wrong
    with the facts is seen before it is everybody's.
    """
    hosts = [plan.host for plan in plans if not plan.is_empty]
    balancers = {node.name for node in network.load_balancers}
    last = [name for name in hosts if name in balancers]
    last += [name for name in hosts if network.nodes[name].is_router and name not in last]
    others = sorted(
        (name for name in hosts if name not in last),
        key=lambda name: network.nodes[name].is_control_plane,
    )
    canary = [name for name in (options.canary, *others[:1], *hosts[:1]) if name in hosts][:1]
    quiet = {plan.host for plan in plans if not plan.activations}
    quorums = [quorum for quorum in _quorums(checks) if quorum.members]
    rest = [name for name in others if name not in canary]
    groups = _grouped(rest, options.size(len(hosts)), quorums, quiet)
    singles = [(name,) for name in last if name not in canary]
    return (*((name,) for name in canary), *groups, *singles)


@dataclass(frozen=True)
class Quorum:
    """Hosts of which ``spare`` can be missed at a time."""

    kind: str
    members: frozenset[str]
    spare: int


def _quorums(checks: Iterable[Check]) -> tuple[Quorum, ...]:
    members: dict[tuple[str, Fraction], set[str]] = {}
    for check in checks:
        if check.quorum is not None:
            members.setdefault((check.kind, check.quorum), set()).add(check.subject)
    return tuple(
        Quorum(kind, frozenset(names), max(1, len(names) - ceil(len(names) * share)))
        for (kind, share), names in members.items()
    )


def _grouped(
    hosts: Sequence[str], size: int, quorums: Sequence[Quorum], quiet: set[str]
) -> list[tuple[str, ...]]:
    """Part ``hosts`` into as few groups as size and quorums allow."""
    groups: list[list[str]] = []
    for host in hosts:
        room = (group for group in groups if _fits(host, group, size, quorums, quiet))
        group = next(room, None)
        if group is None:
            groups.append([host])
        else:
            group.append(host)
    return [tuple(group) for group in groups]


def _fits(
    host: str, group: list[str], size: int, quorums: Sequence[Quorum], quiet: set[str]
) -> bool:
    if len(group) >= size:
        return False
    return all(
        host not in quorum.members
        or host in quiet
        or len((quorum.members & set(group)) - quiet) < quorum.spare
        for quorum in quorums
    )


def short_of_quorum(results: Iterable[CheckResult]) -> dict[str, str]:
    """Return the kinds of checks whose quorum ``results`` do not reach, each with how far."""
    by_kind: dict[tuple[str, Fraction], list[CheckResult]] = {}
    for result in results:
        if result.check.quorum is not None:
            by_kind.setdefault((result.check.kind, result.check.quorum), []).append(result)
    short = {}
    for (kind, share), found in by_kind.items():
        good = sum(result.outcome.state is State.PASSED for result in found)
        needed = ceil(len(found) * share)
        if good < needed:
            short[kind] = f"{kind}: {good} of {len(found)} are good, {needed} must be"
    return short


@dataclass
class Board:
    """Where things stand, host by host, while a deployment is under way."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def set(self, host: str, word: str, reason: str = "") -> None:
        """Note what became of ``host``."""
        self.outcomes[host] = Outcome(host, word, reason)

    def failures(self) -> int:
        """Return how many hosts did not come through."""
        bad = {ROLLED_BACK, REFUSED, UNKNOWN}
        return sum(outcome.word in bad for outcome in self.outcomes.values())

    def in_order(self, hosts: Iterable[str]) -> tuple[Outcome, ...]:
        """Return the outcomes of ``hosts``; untouched where nothing is noted."""
        return tuple(self.outcomes.get(host, Outcome(host, UNTOUCHED)) for host in hosts)


def blame(lost: Iterable[CheckResult], batch: Iterable[str]) -> Mapping[str, str]:
    """Return for the hosts of ``batch`` what they have lost; all, if it is nobody's in it."""
    batch = tuple(batch)
    reasons: dict[str, list[str]] = {}
    for result in lost:
        told = f"{result.check.id}: expected {result.check.expected}; seen {result.outcome.seen}"
        mine = [name for name in batch if name in {result.check.subject, result.check.host}]
        for name in mine or batch:
            reasons.setdefault(name, []).append(told)
    return {name: "; ".join(told) for name, told in reasons.items()}
