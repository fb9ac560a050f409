"""A deployment: one plan, brought to its hosts in batches, each of which can get back by itself.

Per host: lock, stage, judge, back up; then arm the dead-man's switch, swap, activate; then look
from outside over a new connection; then confirm, or go back. The order of hosts, and how many
at a time, follow from what may not be lost: see :func:`batches`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from goldentooth.check import CheckResult, State

if TYPE_CHECKING:
    from goldentooth.model import Network
    from goldentooth.plan import HostPlan


@dataclass(frozen=True)
class Options:
    """How a deployment goes about it.

    ``serial`` is how many hosts at a time: a number or a share of all, as ``25%``.
    ``confirm_within`` is when the dead-man's switch fires, in seconds. With ``below_quorum``
    hosts are changed even if too few others are good.
    """

    serial: str = "5"
    canary: str | None = None
    max_failures: int = 0
    confirm_within: int = 60
    below_quorum: bool = False

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

    def still(self, results: Iterable[CheckResult]) -> Health:
        """Return what of it is good in ``results``."""
        return Health(self.good & Health.of(results).good)

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
    results: Iterable[CheckResult],
    options: Options,
) -> tuple[tuple[str, ...], ...]:
    """Return the hosts with changes, in the order and groups in which they are changed.

    First the canary: the one that is named, else the first that others do not depend on and
    that has something to lose. Then those that are missing from a quorum already
    (:attr:`Check.quorum`, judged by ``results``), then the others; of a quorum never more at a
    time than can be missed. Load balancers, then the router, last and one at a time: what is
    wrong with the facts is seen before it is everybody's.
    """
    hosts = [plan.host for plan in plans if not plan.is_empty]
    quiet, quorums = quiet_hosts(plans), quorums_of(results)
    missing = {name for quorum in quorums for name in quorum.members - quorum.good}
    balancers = {node.name for node in network.load_balancers}
    last = [name for name in hosts if name in balancers]
    last += [name for name in hosts if network.nodes[name].is_router and name not in last]
    others = sorted(
        (name for name in hosts if name not in last),
        key=lambda name: network.nodes[name].is_control_plane,
    )
    ready = spared(others, quorums, quiet)
    telling = [name for name in ready if name not in missing]
    wanted = (options.canary, *telling[:1], *ready[:1], *others[:1], *hosts[:1])
    canary = [name for name in wanted if name in hosts][:1]
    rest = [name for name in others if name not in canary]
    rest.sort(key=lambda name: name not in missing)
    groups = _grouped(rest, options.size(len(hosts)), quorums, quiet)
    singles = [(name,) for name in last if name not in canary]
    return (*((name,) for name in canary), *groups, *singles)


def quiet_hosts(plans: Iterable[HostPlan]) -> frozenset[str]:
    """Return the hosts on which nothing is activated: no quorum misses them meanwhile."""
    return frozenset(plan.host for plan in plans if not plan.activations)


@dataclass(frozen=True)
class Quorum:
    """Hosts of which most must be good at any time, and those that are."""

    kind: str
    share: Fraction
    members: frozenset[str]
    good: frozenset[str]

    @property
    def needed(self) -> int:
        """How many must be good."""
        return ceil(len(self.members) * self.share)

    @property
    def spare(self) -> int:
        """How many can be missed while they are changed: one always, or it never could be."""
        return max(1, len(self.members) - self.needed)

    @property
    def room(self) -> int:
        """How many of the good ones can be missed now; none if it is below 1."""
        return self.spare - len(self.members - self.good)

    def __str__(self) -> str:
        return f"{self.kind}: {len(self.good)} of {len(self.members)} are good"


def quorums_of(results: Iterable[CheckResult]) -> tuple[Quorum, ...]:
    """Return every quorum of which ``results`` tell."""
    found: dict[tuple[str, Fraction], list[CheckResult]] = {}
    for result in results:
        if result.check.quorum is not None:
            found.setdefault((result.check.kind, result.check.quorum), []).append(result)
    return tuple(
        Quorum(
            kind,
            share,
            frozenset(result.check.subject for result in told),
            frozenset(r.check.subject for r in told if r.outcome.state is State.PASSED),
        )
        for (kind, share), told in found.items()
    )


def spared(
    hosts: Iterable[str], quorums: Sequence[Quorum], quiet: AbstractSet[str]
) -> tuple[str, ...]:
    """Return those of ``hosts`` that can all be changed now, even if each fails meanwhile.

    What is bad already can be missed; so can what stays up while it is changed (``quiet``).
    """
    chosen: list[str] = []
    for host in hosts:
        if host in quiet or all(
            host not in quorum.good or quorum.room > len(quorum.good.intersection(chosen) - quiet)
            for quorum in quorums
        ):
            chosen.append(host)
    return tuple(chosen)


def _grouped(
    hosts: Sequence[str], size: int, quorums: Sequence[Quorum], quiet: AbstractSet[str]
) -> list[tuple[str, ...]]:
    """Part ``hosts`` into as few groups as size and quorums allow, once all are good."""
    whole = [replace(quorum, good=quorum.members) for quorum in quorums]
    groups: list[tuple[str, ...]] = []
    for host in hosts:
        for number, group in enumerate(groups):
            grown = (*group, host)
            if len(grown) <= size and spared(grown, whole, quiet) == grown:
                groups[number] = grown
                break
        else:
            groups.append((host,))
    return groups


def short_of_quorum(results: Iterable[CheckResult]) -> dict[str, str]:
    """Return the kinds of checks whose quorum ``results`` do not reach, each with how far."""
    return {
        quorum.kind: f"{quorum}, {quorum.needed} must be"
        for quorum in quorums_of(results)
        if len(quorum.good) < quorum.needed
    }


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


def blame(lost: Iterable[CheckResult], batch: Iterable[str]) -> dict[str, str]:
    """Return for the hosts of ``batch`` what they have lost; all, if it is nobody's in it."""
    batch = tuple(batch)
    reasons: dict[str, list[str]] = {}
    for result in lost:
        told = f"{result.check.id}: expected {result.check.expected}; seen {result.outcome.seen}"
        mine = [name for name in batch if name in {result.check.subject, result.check.host}]
        for name in mine or batch:
            reasons.setdefault(name, []).append(told)
    return {name: "; ".join(told) for name, told in reasons.items()}
