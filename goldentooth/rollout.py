"""The course of a deployment over the fleet: steps on hosts, journal, verdicts, the way back."""

from __future__ import annotations

import secrets as randomness
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from goldentooth import deployment as words
from goldentooth.answer import Answer
from goldentooth.check import Check, CheckResult, State
from goldentooth.deployment import (
    Board,
    Health,
    Options,
    Outcome,
    batches,
    blame,
    quiet_hosts,
    quorums_of,
    short_of_quorum,
    spared,
)
from goldentooth.errors import DeploymentError, GoldentoothError, OutputError
from goldentooth.fleet import make_checks, run_for_all
from goldentooth.host.activation import LINE_SECONDS
from goldentooth.host.state import BACK, NONE, STAGED
from goldentooth.host.state import CONFIRMED as CONFIRMED_THERE
from goldentooth.journal import BEGIN, CHANGING, END, LEFT, Entry, Writer
from goldentooth.plan import HostPlan, judge_commands, stage_package
from goldentooth.secrets import hide_words, redact
from goldentooth.transports import Command
from goldentooth.transports.batch import OUTPUT_LIMIT

if TYPE_CHECKING:
    from nornir.core import Nornir

    from goldentooth.model import Network
    from goldentooth.opnsense.plan import Backup
    from goldentooth.opnsense.standing import RouterSurvey
    from goldentooth.secrets import Filler
    from tasks.deploy import Step
    from tasks.opnsense import RouterAccess

_LOCK_MARGIN = 300
"""Seconds that a host's lock outlives the time to confirm: the queue before and after."""

_STEP_SECONDS = 60.0
_WHY_BYTES = 1000
_LARGEST = OUTPUT_LIMIT // 2
"""Bytes that are sent to one host: live files and their copies must fit into one answer."""
_POLL_SECONDS = 0.5
_FRESH_SECONDS = 2.0
"""Seconds for which what was seen of all hosts counts as how they are."""
_PATIENCE_SECONDS = 15
"""Seconds that a quorum is waited for after a host has failed and gone back."""


def new_name() -> str:
    """Return a name for a deployment: the time in UTC, and what tells two of a second apart."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{randomness.token_hex(2)}"


def new_key() -> bytes:
    """Return a key for a host's keyed hashes."""
    return randomness.token_hex(32).encode()


@dataclass(frozen=True)
class Fleet:
    """What a rollout acts through: the hosts, their checks, and who is told."""

    network: Network
    nornir: Nornir
    checks: tuple[tuple[str, str, Check], ...]
    """(host that it is about, service, check)."""
    say: Callable[[str], None]
    router: RouterAccess | None = None
    """The way to a router that is changed through its API."""

    def step(self, hosts: Mapping[str, Sequence[Command]]) -> dict[str, Step]:
        """Run each host's commands, all hosts at the same time."""
        from tasks.deploy import run_step

        return self._run(run_step, hosts, commands=hosts)

    def stage(self, stagings: Mapping[str, Any]) -> dict[str, Step]:
        """Stage on each host, all at the same time."""
        from tasks.deploy import stage_host

        return self._run(stage_host, stagings, stagings=stagings)

    def records(self, sources: Mapping[str, str]) -> dict[str, Step]:
        """Ask each host for a record that it keeps, all at the same time."""
        from tasks.deploy import read_records

        return self._run(read_records, sources, sources=sources)

    def gather(self, hosts: Mapping[str, Sequence[Command]]) -> dict[str, Step]:
        """Run each host's reads side by side, all hosts at the same time."""
        from tasks.deploy import gather_step

        return self._run(gather_step, hosts, commands=hosts)

    def _run(self, task: Callable[..., Any], hosts: Iterable[str], **job: Any) -> dict[str, Step]:
        from tasks.deploy import Step

        chosen = set(hosts)
        nornir = self.nornir.filter(filter_func=lambda host: host.name in chosen)
        outcome = run_for_all(nornir, task, name="deploy", **job)
        steps = {}
        for name, results in outcome.items():
            step = results[0].result
            unexpected = f"unexpected {results[0].exception!r}"
            steps[name] = (
                step
                if isinstance(step, Step)
                else Step(is_done=False, reason=unexpected, is_lost=True)
            )
        return steps

    def verify(self) -> tuple[CheckResult, ...]:
        """Make every live check."""
        return make_checks(self.nornir, ((service, check) for _, service, check in self.checks))

    def look_at_quorums(self) -> tuple[CheckResult, ...]:
        """Make the checks that quorums are made of."""
        return make_checks(
            self.nornir,
            ((service, check) for _, service, check in self.checks if check.quorum is not None),
        )

    def is_appliance(self, host: str) -> bool:
        """Tell whether ``host`` is changed through an API, and runs no program of ours."""
        return self.router is not None and host == self.network.router.name

    def hang_up(self, hosts: Iterable[str] | None = None) -> None:
        """Close the connections to ``hosts``, or all: what follows comes over new ones."""
        chosen = self.nornir.inventory.hosts.keys() if hosts is None else set(hosts)
        nornir = self.nornir.filter(filter_func=lambda host: host.name in chosen)
        nornir.close_connections(on_failed=True)


class Rollout:
    """One deployment of ``plans`` on a fleet."""

    def __init__(
        self,
        fleet: Fleet,
        plans: Sequence[HostPlan],
        options: Options,
        secrets: Filler,
        *,
        by: str,
    ) -> None:
        self.name = new_name()
        self._fleet, self._options, self._secrets = fleet, options, secrets
        self._plans = {plan.host: plan for plan in plans}
        self._by = by
        nodes = fleet.network.nodes.values()
        public = {word for node in nodes for word in (node.name, str(node.address))}
        self._hidden = frozenset(word for plan in plans for word in plan.hidden) - public
        self._board = Board()
        self._health = self._health_at_first = Health(frozenset())
        self._is_ending = False
        self._holder = ""
        self._staged: set[str] = set()
        self._armed: set[str] = set()
        self._seen: tuple[CheckResult, ...] = ()
        self._whole: tuple[CheckResult, ...] = ()
        self._seen_at = 0.0
        self._short_at_first: set[str] = set()

    def run(self, journal: Writer, what: Mapping[str, Any]) -> tuple[tuple[Outcome, ...], str]:
        """Bring it about; return what became of each host, and why it stopped early if it did.

        Raises:
            KeyboardInterrupt: after everything that is not confirmed has been taken back.
        """
        self._journal, self._holder = journal, journal.holder
        journal.write(self.name, BEGIN, by=self._by, what=what, hosts=sorted(self._plans))
        try:
            stopped = self._deploy()
            self._note(END, result=stopped or "done")
        except OutputError as error:  # the journal: it is told here where things stand
            stopped = str(error)
            self._break_off(stopped)
        except BaseException as error:
            self._break_off(_broken_off(error))
            raise
        return self._board.in_order(self._plans), stopped

    def _break_off(self, reason: str) -> None:
        """Take back what is not confirmed; say what could not be, whatever else goes wrong."""
        self._is_ending = True
        try:
            self._take_back(dict.fromkeys(self._armed, reason), unarmed=words.UNTOUCHED)
            self._abort(reason)
        finally:
            for host in sorted(self._armed):
                self._show(host, words.UNKNOWN, f"armed: {self._when_it_goes_back(host)}")
            for host in sorted(self._staged - self._armed):
                self._show(host, words.UNTOUCHED, "still staged: the next run clears it away")
            self._note(END, result=reason)

    def _note(self, event: str, host: str = "", **detail: Any) -> None:
        """Write to the journal; on the way out it is no longer waited for a full disk."""
        with suppress(OutputError) if self._is_ending else nullcontext():
            self._journal.write(self.name, event, host, **detail)

    def _deploy(self) -> str:
        """Return why it stopped early, or nothing."""
        reason = self._prepare() or self._change_all()
        if reason:
            self._abort(reason)
        return reason

    @property
    def failing(self) -> tuple[str, ...]:
        """The live checks that did not pass when all was last looked at, the hosts' of it first."""
        changed = {host for host, plan in self._plans.items() if not plan.is_empty}
        bad = [r.check for r in self._whole if r.outcome.state is not State.PASSED]
        bad.sort(key=lambda check: not changed & {check.subject, check.host})
        return tuple(check.id for check in bad)

    def _verify(self) -> None:
        """Make every live check."""
        self._seen = self._whole = self._fleet.verify()
        self._seen_at = monotonic()

    def _prepare(self) -> str:
        """Stage on every host and look at all; return why nothing can be changed, or nothing."""
        for host, plan in self._plans.items():
            if plan.unknown is not None:
                self._board.set(host, words.REFUSED, plan.unknown.reason)
            elif plan.is_empty:
                self._board.set(host, words.UNCHANGED)
        changing = [host for host, plan in self._plans.items() if not plan.is_empty]
        if not self._too_many():
            self._stage([host for host in changing if self._plans[host].router is None])
        if reason := self._too_many():
            return reason
        self._verify()
        self._short_at_first = set(short_of_quorum(self._seen))
        self._refuse_blind(h for h in changing if h in self._staged or self._plans[h].router)
        return self._too_many()

    def _change_all(self) -> str:
        """Change what is not refused, group by group; return why it stopped, or nothing."""
        fleet = self._fleet
        self._health = self._health_at_first = Health.of(self._seen)
        outcomes = self._board.outcomes.values()
        refused = {outcome.host for outcome in outcomes if outcome.word == words.REFUSED}
        plans = [plan for plan in self._plans.values() if plan.host not in refused]
        waiting = list(batches(fleet.network, plans, self._seen, self._options))
        canary = self._options.canary
        if canary in refused:  # it was to show that the change is good
            return f"the canary {canary} is refused"
        if canary and waiting and waiting[0] != (canary,):
            fleet.say(f"{canary}: nothing to do, so {waiting[0][0]} goes first")
        number, reason = 0, ""
        while waiting and not reason:
            if number:
                self._look_again()
            number += 1
            group, reason = self._next(waiting, quiet_hosts(plans))
            if not reason:
                is_canary = number == 1 and len(group) == 1 and waiting
                kind = "canary" if is_canary else "batch"
                fleet.say(f"{kind} {number} of {number + len(waiting)}: {', '.join(group)}")
                reason = self._change(group)
        return reason

    def _look_again(self) -> None:
        """Look before the next batch; what has failed and was let pass is not its loss."""
        if self._board.failures():
            self._verify()
            self._health = self._health_at_first.still(self._seen)
        elif monotonic() - self._seen_at > _FRESH_SECONDS:
            self._seen = self._fleet.look_at_quorums()

    def _next(
        self, waiting: list[tuple[str, ...]], quiet: AbstractSet[str]
    ) -> tuple[tuple[str, ...], str]:
        """Take from ``waiting`` the hosts that can be changed now; or return why none can.

        No quorum may be missed, whatever becomes of them: those that it has no room for wait.
        """
        group = waiting.pop(0)
        if self._options.below_quorum:
            return group, ""
        until = monotonic() + (_PATIENCE_SECONDS if self._board.failures() else 0)
        now, why = self._sparable(group, quiet)
        while why and monotonic() < until:  # a host that went back may still be coming up
            sleep(_POLL_SECONDS)
            self._look_again()
            now, why = self._sparable(group, quiet)
        if why:
            return (), f"before {', '.join(group)}: {why}"
        if left := tuple(host for host in group if host not in now):
            waiting.insert(0, left)
        return now, ""

    def _sparable(
        self, group: Sequence[str], quiet: AbstractSet[str]
    ) -> tuple[tuple[str, ...], str]:
        """Return those of ``group`` that no quorum misses now; or why there are none."""
        short = [
            told
            for kind, told in short_of_quorum(self._seen).items()
            if kind not in self._short_at_first
        ]
        quorums = quorums_of(self._seen)
        now = spared(group, quorums, quiet)
        if not now:
            short += [
                f"{quorum}, {quorum.needed} must be while one is changed"
                for quorum in quorums
                if quorum.room < 1 and quorum.good.intersection(group)
            ]
        return now, "; ".join(dict.fromkeys(short))

    def _refuse_blind(self, hosts: Iterable[str]) -> None:
        """Refuse hosts of which no live check can be made: nobody could say what they lose."""
        for host in hosts:
            about = {c.id for name, _, c in self._fleet.checks if host in {name, c.host}}
            seen = [result for result in self._seen if result.check.id in about]
            if seen and all(result.outcome.state is State.UNKNOWN for result in seen):
                reason = f"none of its live checks can be made: {seen[0].outcome.seen}"
                self._board.set(host, words.REFUSED, self._shown(reason))
                self._abort_hosts({host} & self._staged, words.REFUSED, reason)

    def _too_many(self) -> str:
        failures = self._board.failures()
        if failures <= self._options.max_failures:
            return ""
        bad = {words.REFUSED, words.ROLLED_BACK, words.UNKNOWN}
        names = [o.host for o in self._board.outcomes.values() if o.word in bad]
        return f"{failures} failed ({', '.join(names)}), {self._options.max_failures} may"

    # -- one step of all hosts --------------------------------------------------------

    def _stage(self, hosts: Sequence[str]) -> None:
        from tasks.deploy import Staging

        at = datetime.now(UTC).isoformat(timespec="seconds")
        lifetime = self._options.confirm_within + _LOCK_MARGIN
        stagings = {}
        for host in hosts:
            plan = self._plans[host]
            packed = stage_package(
                plan,
                plan.key or new_key(),
                self._secrets.fill,
                deployment=self.name,
                at=at,
                by=self._by,
            )
            if len(packed) > _LARGEST:
                reason = f"its files and their copies are larger than {_LARGEST >> 20} MiB"
                self._board.set(host, words.REFUSED, f"{reason}: they could not be read back")
                continue
            prepare = (
                lock_command(self.name, self._holder, lifetime, self._by),
                Command(self._verb("stage"), packed, _STEP_SECONDS),
            )
            stagings[host] = Staging(prepare, judge_commands(plan))
            self._note("staging", host)
        self._staged.update(stagings)  # something of it may be there, whatever becomes of the call
        for host, step in self._fleet.stage(stagings).items():
            if step.is_done:
                self._note("staged", host)
                for judge in dict.fromkeys(step.absent):
                    self._fleet.say(f"{host}: {judge} is not installed there, so it has not judged")
            elif step.is_unreached:
                self._staged.discard(host)
                self._settle(host, words.REFUSED, step.reason)
            else:
                self._board.set(host, words.REFUSED, self._shown(step.reason))
                self._note("failed", host, reason=self._shown(step.reason))
        refused = {o.host for o in self._board.outcomes.values() if o.word == words.REFUSED}
        self._abort_hosts(self._staged & refused, words.REFUSED)

    def _change(self, group: Sequence[str]) -> str:
        """Change one group; return why everything stops, or nothing."""
        seconds = self._options.confirm_within
        deadline = monotonic() + max(seconds / 2, seconds - 15)
        if (survey := self._plans[group[0]].router) is not None:
            return self._change_router(group[0], survey, deadline)
        failed, lost = self._swap(group)
        good = [host for host in group if host not in failed | lost]
        if not self._is_beyond(failed | lost):
            self._take_back(failed)
            failed = self._watch(good, deadline, is_alone=len(good) == len(group))
            good = [host for host in good if host not in failed]
        if self._is_beyond(failed | lost):
            others = f"others of its batch failed: {', '.join(failed | lost)}"
            self._take_back({**failed, **dict.fromkeys(good, others)})
            self._take_back(lost)
            return "; ".join(f"{host}: {reason}" for host, reason in (failed | lost).items())
        self._confirm(good)
        self._take_back({**failed, **lost})  # last: who does not answer takes the others' time
        return self._too_many()

    def _swap(self, group: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Arm, swap and activate; return who has failed and who does not answer, each with why."""
        seconds = self._options.confirm_within
        commands = {}
        for host in group:
            self._note("arming", host)
            self._armed.add(host)
            commands[host] = [
                Command(f"{self._verb('arm')} {seconds}", seconds=_STEP_SECONDS),
                Command(self._verb("swap"), seconds=_STEP_SECONDS),
                Command(self._verb("activate"), seconds=_STEP_SECONDS),
            ]
        failed: dict[str, str] = {}
        lost: dict[str, str] = {}
        for host, step in self._fleet.step(commands).items():
            if step.is_done:
                self._note("activated", host)
            else:
                reason = self._shown(step.reason)
                (lost if step.is_lost else failed)[host] = reason
                self._note("failed", host, reason=reason)
        return failed, lost

    def _change_router(self, host: str, survey: RouterSurvey, deadline: float) -> str:
        """Change the router through its API; return why everything stops, or nothing.

        The box has no dead-man's switch: what goes back goes back from here.
        """
        from tasks.opnsense import change_router, prepare_record, take_record

        access = self._fleet.router
        if access is None:
            raise DeploymentError(f"{host}: there is no way to its API")
        backup: Backup | None = None
        try:
            self._note(CHANGING, host)
            backup = survey.drawn.backup
            step, backup = change_router(access, survey, self.name)
            if step.is_done:
                prepare_record(access, survey, self.name, self._by)
            lost = self._watch([host], deadline) if step.is_done else {host: step.reason}
        except BaseException as error:
            self._is_ending = True
            if backup is None:
                self._settle(host, words.UNTOUCHED, _broken_off(error))
            else:
                self._return_router(host, backup, _broken_off(error))
            raise
        if not lost:  # the journal says so: from here on the next run confirms it, too
            self._board.set(host, words.CONFIRMED)
            take_record(access, self.name)
            self._settle(host, words.CONFIRMED)
            return ""
        if backup is None:
            self._settle(host, words.REFUSED, step.reason)
        else:
            self._return_router(host, backup, lost[host])
        return self._too_many()

    def _return_router(self, host: str, backup: Backup, why: str) -> None:
        """Put back what was found on the router, at once."""
        from tasks.opnsense import return_router

        assert self._fleet.router is not None  # noqa: S101  # it was changed through it
        with suppress(OutputError):  # the next run puts it back once more, and finds it so
            self._note("failed", host, reason=self._shown(why))
        back = return_router(self._fleet.router, self.name, backup)
        if back.is_done:
            self._settle(host, words.ROLLED_BACK, why)
        else:
            self._settle(host, words.UNKNOWN, f"{why}; it did not go back: {back.reason}")

    def _is_beyond(self, failed: Mapping[str, str]) -> bool:
        return bool(failed) and self._board.failures() + len(failed) > self._options.max_failures

    def _watch(
        self, group: Sequence[str], deadline: float, *, is_alone: bool = True
    ) -> dict[str, str]:
        """Wait until what was good is good again; return who has lost what at the deadline.

        If others of the batch have failed (not ``is_alone``), what is not about ``group`` is
        put down to them.
        """
        if not group:
            return {}
        while True:
            self._fleet.hang_up(group)
            self._verify()
            lost = self._health.lost(self._seen)
            if not is_alone:
                lost = tuple(r for r in lost if {r.check.subject, r.check.host} & {*group})
            if not lost:
                for host in group:
                    self._note("verified", host)
                return {}
            if monotonic() > deadline:
                return blame(lost, group)
            sleep(_POLL_SECONDS)

    def _confirm(self, hosts: Sequence[str]) -> None:
        if not hosts:
            return
        for host in hosts:
            self._note("confirming", host)
        commands = {
            host: [
                Command(self._verb("confirm"), seconds=_STEP_SECONDS),
                Command(self._verb("unlock")),
            ]
            for host in hosts
        }
        unconfirmed = {}
        for host, step in self._fleet.step(commands).items():
            if step.is_lost:
                self._part_with(host)
                self._settle(host, words.UNKNOWN, step.reason)
            elif (ended := _ended(step.answers[0])) is not None:
                self._part_with(host)
                self._settle(host, *ended)
            else:
                unconfirmed[host] = f"it could not confirm: {step.answers[0].text}"
        self._take_back(unconfirmed)

    def _take_back(self, reasons: Mapping[str, str], *, unarmed: str = words.REFUSED) -> None:
        """Let hosts go back, all at the same time, each for its reason.

        ``unarmed`` is what is said of one that was not even armed.
        """
        if not reasons:
            return
        commands = {
            host: [
                Command(
                    self._verb("rollback"),
                    _reason_bytes(self._shown(why)),
                    self._back_seconds(host),
                ),
                Command(self._verb("abort")),
                Command(self._verb("unlock")),
            ]
            for host, why in reasons.items()
        }
        self._fleet.hang_up(reasons)
        for host, step in self._fleet.step(commands).items():
            why, was_armed = reasons[host], host in self._armed
            self._part_with(host)
            word, reason = self._after_return(host, step, why, unarmed, was_armed=was_armed)
            self._settle(host, word, reason)

    def _after_return(
        self, host: str, step: Step, why: str, unarmed: str, *, was_armed: bool
    ) -> tuple[str, str]:
        """Return what became of a host that was asked to go back, and why."""
        answer = Answer(is_done=False) if step.is_lost else step.answers[0]
        if (ended := _ended(answer)) is not None:
            return ended[0], "; ".join(filter(None, (why, answer.notes)))
        if answer.state == STAGED or (answer.state == NONE and not was_armed):
            return unarmed, why  # the switch was never on: nothing was swapped in
        if answer.state == NONE:
            return words.UNKNOWN, f"{why}; {_NO_RECORD}"
        said = step.reason if step.is_lost else answer.text
        return words.UNKNOWN, f"{why}; {said}: {self._when_it_goes_back(host)}"

    def _when_it_goes_back(self, host: str) -> str:
        """Return within which time a host that is armed goes back, whatever hangs there."""
        within = self._options.confirm_within
        lines = len(self._plans[host].activations)
        if not lines:
            return f"it goes back {within} s after it was armed"
        return (
            f"it begins to go back {within} s after it was armed; each of its"
            f" {lines} activations may take {LINE_SECONDS:.0f} s on the way"
        )

    def _back_seconds(self, host: str) -> float:
        """Return how long the way back may take."""
        return _STEP_SECONDS + LINE_SECONDS * len(self._plans[host].activations)

    def _verb(self, name: str) -> str:
        return f"@{name} {self.name} {self._holder}"

    def _part_with(self, host: str) -> None:
        self._armed.discard(host)
        self._staged.discard(host)

    def _abort(self, why: str) -> None:
        """Leave every host whose turn did not come as it was."""
        self._abort_hosts(self._staged - self._armed, words.UNTOUCHED, why)

    def _abort_hosts(self, hosts: Iterable[str], word: str, why: str = "") -> None:
        commands = {
            host: [Command(self._verb("abort")), Command(self._verb("unlock"))] for host in hosts
        }
        if not commands:
            return
        for host, step in self._fleet.step(commands).items():
            self._staged.discard(host)
            reason = self._board.outcomes[host].reason if host in self._board.outcomes else why
            if (
                step.is_lost
            ):  # what was staged and its lock are there still: the next run's to clear
                self._note("lost", host, reason=self._shown(step.reason))
                self._show(host, word, reason)
            else:
                self._settle(host, word, reason)

    def _settle(self, host: str, word: str, reason: str = "") -> None:
        self._show(host, word, reason)  # first: the journal may not let itself be written
        event = "aborted" if word in {words.UNTOUCHED, words.REFUSED} else word
        self._note(event, host, reason=self._shown(reason))

    def _show(self, host: str, word: str, reason: str) -> None:
        self._board.set(host, word, self._shown(reason))
        self._fleet.say(f"{host}: {word}" + (f": {self._shown(reason)}" if reason else ""))

    def _shown(self, text: str) -> str:
        return hide_words(redact(text, self._secrets.values), self._hidden)


def _broken_off(error: BaseException) -> str:
    said = f": {error}" if isinstance(error, GoldentoothError) else ""
    return f"broken off: {type(error).__name__}{said}"


def lock_command(deployment: str, holder: str, seconds: int, by: str) -> Command:
    """Return the command that takes a host's lock; ``holder`` is which journal deploys."""
    return Command(f"@lock {deployment} {holder} {seconds} {'_'.join(by.split())}")


def _reason_bytes(why: str) -> bytes:
    return why.encode()[:_WHY_BYTES].decode(errors="ignore").encode()


_NO_RECORD = "the host has no record of it: its state's folder was removed; look at the host"


def _ended(answer: Answer) -> tuple[str, str] | None:
    """Return the outcome of a deployment that has ended on its host, and why; else None."""
    if answer.state == CONFIRMED_THERE:
        return words.CONFIRMED, ""
    if answer.state == BACK:
        return words.ROLLED_BACK, "; ".join(filter(None, (answer.why or answer.text, answer.notes)))
    return None


def finish(entry: Entry, fleet: Fleet, journal: Writer, by: str) -> dict[str, str]:
    """Finish on its hosts what a deployment that broke off has left; return what, by host.

    What was verified is confirmed, whatever else is armed goes back; the rest is cleared away. A
    host's lock that another controller holds is honoured: a copy of this journal is another one.
    """
    commands = {
        host: _finishing(entry.deployment, event, journal.holder, by)
        for host, event in entry.open_hosts.items()
        if host in fleet.network.nodes and not fleet.is_appliance(host)
    }
    found = _finish_router(entry, fleet, journal)
    for host in entry.open_hosts.keys() - commands.keys() - found.keys():
        found[host] = Finished("no longer in the facts: left as it is", LEFT)
        journal.write(entry.deployment, LEFT, host)
    for host, step in (fleet.step(commands) if commands else {}).items():
        found[host] = _finished(step, entry.open_hosts[host])
        if found[host].event:
            journal.write(entry.deployment, found[host].event, host)
    if not entry.has_ended and all(each.event for each in found.values()):
        journal.write(entry.deployment, END, result="broke off; finished by the next run")
    return {host: each.text for host, each in found.items()}


def _finishing(deployment: str, event: str, holder: str, by: str) -> list[Command]:
    ending = (
        Command(f"@confirm {deployment} {holder}", seconds=_STEP_SECONDS)
        if event in _GOOD
        else Command(f"@rollback {deployment} {holder}", b"it broke off", _STEP_SECONDS)
    )
    return [
        lock_command(deployment, holder, _LOCK_MARGIN, by),
        ending,
        Command(f"@abort {deployment} {holder}"),
        Command(f"@unlock {deployment} {holder}"),
    ]


@dataclass(frozen=True)
class Finished:
    """What the next run found of a host; ``event`` is the journal's, empty if it is still open."""

    text: str
    event: str = ""


def _finish_router(entry: Entry, fleet: Fleet, journal: Writer) -> dict[str, Finished]:
    """Put back what a deployment that broke off has changed through the router's API."""
    found: dict[str, Finished] = {}
    for host, event in entry.open_hosts.items():
        if fleet.router is None or not fleet.is_appliance(host):
            continue
        from tasks.opnsense import return_router, take_record

        if event in _GOOD:
            take_record(fleet.router, entry.deployment)
            found[host] = Finished(words.CONFIRMED, words.CONFIRMED)
            journal.write(entry.deployment, words.CONFIRMED, host)
            continue
        step = return_router(fleet.router, entry.deployment)
        if step.is_lost:
            found[host] = Finished(f"not known: {step.reason}")
        else:
            ended = words.ROLLED_BACK if step.is_done else "aborted"
            journal.write(entry.deployment, ended, host)
            # what could not be put back of it, such as a password that nobody knows any more
            why = step.reason if step.is_done else ""
            found[host] = Finished("; ".join(filter(None, (ended, why))), ended)
    return found


_GOOD = {"verified", "confirming"}
_UNARMED = {"staging", "staged"}
"""Events after which the dead-man's switch of a host cannot have been on."""


def _finished(step: Step, event: str) -> Finished:
    """Return what the host's answers amount to: to the lock, and to the confirmation or return."""
    if step.is_lost:
        return Finished(f"not known: {step.reason}")
    lock, ending = step.answers[0], step.answers[1]
    ended = _ended(ending)
    if ended is not None:
        word, _ = ended
        return Finished("; ".join(filter(None, (word, ending.notes))), word)
    if not lock.is_done:
        return Finished(f"not known: {lock.text}")
    if ending.state == STAGED or (ending.state == NONE and event in _UNARMED):
        return Finished("aborted", "aborted")
    if ending.state == NONE:
        return Finished(f"unknown: {_NO_RECORD}", LEFT)
    return Finished(f"not known: {ending.text or ending.reason}")
