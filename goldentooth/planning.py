"""From what was read of the hosts to a plan: looks up what the comparison alone cannot tell."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from secrets import token_hex
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from goldentooth.adoption import HostAdoption, Taken, adopt_host
from goldentooth.applied import KEY, Baseline, BaselineError, read_record
from goldentooth.deployment import CONFIRMED, UNCHANGED, Options, Outcome
from goldentooth.drift import DriftState, HostDrift, read_collected
from goldentooth.errors import DeploymentError
from goldentooth.host.words import Refusal, deployment_name
from goldentooth.journal import Journal, Writer, operator
from goldentooth.plan import (
    FORMAT,
    HostPlan,
    Scope,
    Sources,
    plan_host,
    plan_return,
    rotated_secrets,
)
from goldentooth.report.plan import DeployReport, Plan
from goldentooth.report.table import counted
from goldentooth.rollout import Fleet, Rollout, finish, lock_command, new_key, new_name
from goldentooth.survey import collect_command
from goldentooth.transports import Command, HostFile
from goldentooth.transports.files import parse_files

if TYPE_CHECKING:
    from goldentooth.artifact import Artifact
    from goldentooth.project import Project
    from goldentooth.secrets import Filler
    from goldentooth.survey import HostSurvey


_ADOPT_SECONDS = 60
"""Seconds that a host's lock lasts, should the adoption break off."""


def plan_hosts(
    project: Project,
    surveys: Mapping[str, HostSurvey],
    scope: Scope,
    started: datetime,
    clock: float,
    *,
    secrets: Filler | None,
) -> Plan:
    """Return the plan for hosts that have been surveyed.

    Without ``secrets`` they are looked up as far as they can be; the plan says if not.

    Raises:
        SecretError: if one of ``secrets`` cannot be had.
    """
    from goldentooth.secrets import SecretError, Secrets

    filler, notes = secrets or Secrets(project.folder), list[str]()

    def rotated(artifacts: Iterable[Artifact], baseline: Baseline | None) -> frozenset[str]:
        if notes:
            return frozenset()
        try:
            return rotated_secrets(artifacts, baseline, filler.fill)
        except SecretError as error:
            if secrets is not None:
                raise
            notes.append(
                f"secrets are not looked up ({error.reference}: {error.problem}): what has"
                " another value now is not in this plan"
            )
            return frozenset()

    pristine = _pristine(project.fleet(), surveys)
    chosen = project.services(scope.services)
    plans = []
    for host, survey in surveys.items():
        if survey.router is not None:
            from goldentooth.opnsense.standing import plan_router  # only for such a router

            plans.append(plan_router(host, survey.drift, survey.router, overwrite=scope.overwrite))
            continue
        baseline = _baseline(host, survey)
        artifacts = {artifact.path: artifact for artifact in survey.artifacts}
        files = survey.collected.files if survey.collected else {}
        sources = Sources(
            artifacts,
            files,
            baseline,
            pristine.get(host, frozenset()),
            rotated(survey.artifacts, baseline),
            _key(survey),
            _base(survey),
        )
        node = project.network.nodes[host]
        plans.append(
            plan_host(
                project.network, node, chosen, survey.drift, sources, overwrite=scope.overwrite
            )
        )
    broke_off = tuple(e.deployment for e in project.journal.entries() if e.is_open)
    return Plan(tuple(plans), started, monotonic() - clock, broke_off, tuple(notes), scope)


def _baseline(host: str, survey: HostSurvey) -> Baseline | None:
    if survey.collected is None:
        return None
    try:
        return read_collected(host, survey.collected)
    except BaselineError:
        return None  # the survey has said so


def _key(survey: HostSurvey) -> bytes:
    """Return the host's key for keyed hashes; nothing if it has none."""
    return survey.collected.record.get(KEY, b"") if survey.collected else b""


def _base(survey: HostSurvey) -> str:
    """Return the folder of the host's record; nothing if it has none."""
    return survey.collected.state.applied if survey.collected else ""


def _pristine(fleet: Fleet, surveys: Mapping[str, HostSurvey]) -> dict[str, frozenset[str]]:
    """Ask the hosts without a record which files in the way are their packages' own."""
    unknown = {
        host: [
            item.subject
            for item in survey.drift.in_state(DriftState.NO_BASELINE)
            if survey.collected and item.subject in survey.collected.files
        ]
        for host, survey in surveys.items()
    }
    commands = {
        host: [Command("@pristine", "".join(f"{path}\n" for path in paths).encode())]
        for host, paths in unknown.items()
        if paths
    }
    if not commands:
        return {}
    steps = fleet.step(commands)
    fleet.hang_up()
    return {
        host: frozenset(step.answers[0].pristine) for host, step in steps.items() if step.is_done
    }


def deploy(
    project: Project,
    plan: Callable[[], Plan],
    options: Options,
    secrets: Filler,
    journal: Journal,
    *,
    say: Callable[[str], None],
    what: Mapping[str, Any],
) -> DeployReport:
    """Finish what broke off, plan, and bring the plan about.

    Raises:
        DeploymentError: if another deployment is under way, or something is in the plan's way.
    """
    started, clock = datetime.now(UTC), monotonic()
    fleet = project.fleet(say)
    with journal.held() as writer:
        finished = _finish_broken_off(journal, fleet, writer, say)
        made = plan()
        _refuse_blocked(made, options)
        if made.is_empty and not made.unknown:
            outcomes = tuple(Outcome(host.host, UNCHANGED) for host in made.hosts)
            return DeployReport("", outcomes, started, monotonic() - clock, finished=finished)
        rollout = Rollout(fleet, made.hosts, options, secrets, by=operator())
        outcomes, stopped = rollout.run(writer, what)
        fleet.hang_up()
    return DeployReport(
        rollout.name,
        outcomes,
        started,
        monotonic() - clock,
        stopped,
        finished,
        rollout.failing,
    )


def _finish_broken_off(
    journal: Journal, fleet: Fleet, writer: Writer, say: Callable[[str], None]
) -> dict[str, dict[str, str]]:
    finished = {}
    for entry in journal.entries():
        if entry.is_open:
            say(f"deployment {entry.deployment} of {entry.began.at} broke off: finishing it")
            finished[entry.deployment] = finish(entry, fleet, writer, operator())
            for host, outcome in finished[entry.deployment].items():
                say(f"{host}: {outcome}")
    fleet.hang_up()
    return finished


def _refuse_blocked(plan: Plan, options: Options) -> None:
    if plan.blocked:
        lines = (
            f"    {host.host}: {item.state.value} {item.subject}"
            for host in plan.blocked
            for item in host.blocked
        )
        raise DeploymentError(
            "nothing was changed: the hosts differ from what was last applied there\n"
            + "\n".join(lines)
            + "\n    look with `drift`; then --overwrite-drift (what is there is kept in the"
            " back-up), or `adopt` it, or leave the host out"
        )
    if len(plan.unknown) > options.max_failures:
        lines = (f"    {host.host}: {host.unknown.reason}" for host in plan.unknown if host.unknown)
        raise DeploymentError(
            f"nothing was changed: {len(plan.unknown)} of {len(plan.hosts)} hosts cannot be read,"
            f" {options.max_failures} may (--max-failures)\n" + "\n".join(lines)
        )


class _SavedHost(msgspec.Struct):
    host: str


class _Saved(msgspec.Struct):
    """What has to be there in a saved plan."""

    format: str
    scope: Scope
    hosts: list[_SavedHost]


@dataclass(frozen=True)
class SavedPlan:
    """A plan as it was saved: what for, and each host's part, as :meth:`Plan.to_dict` has them."""

    scope: Scope
    hosts: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, saved: Any) -> SavedPlan:
        """Return the plan in what was read from a file, or in a plan's ``to_dict()``.

        Raises:
            DeploymentError: if it is none of this format.
        """
        try:
            known = msgspec.convert(saved, _Saved)
        except msgspec.ValidationError as error:
            raise DeploymentError(
                f"this is not a saved plan: {error}\n    make one with `deploy --out`"
            ) from None
        if known.format != FORMAT:
            raise DeploymentError(
                f"the saved plan's format is not {FORMAT}\n    make it again with `deploy --out`"
            )
        parts = json.loads(json.dumps(saved["hosts"]))
        return cls(known.scope, {part["host"]: part for part in parts})

    def refuse_other(self, plan: Plan) -> None:
        """Refuse a plan that is not this one.

        Raises:
            DeploymentError: if a host's part is another by now.
        """
        now = SavedPlan.of(plan.to_dict()).hosts
        moved = [name for name in {**self.hosts, **now} if self.hosts.get(name) != now.get(name)]
        if moved:
            raise DeploymentError(
                f"nothing was changed: the plan was made for another state of {', '.join(moved)}\n"
                "    plan again, look at it, and commit that"
            )


def adoptions(surveys: Mapping[str, HostSurvey]) -> tuple[HostAdoption, ...]:
    """Return what can be taken for applied on hosts that have been surveyed."""
    found = []
    for host, survey in surveys.items():
        if survey.router is not None:
            found.append(HostAdoption(host, _router_objects(survey.drift), router=survey.router))
            continue
        baseline = _baseline(host, survey)
        collected = survey.collected
        found.append(
            adopt_host(
                survey.drift,
                {artifact.path: artifact for artifact in survey.artifacts},
                collected.files if collected else {},
                baseline,
                _key(survey) or new_key(),
                base=_base(survey),
            )
        )
    return tuple(found)


def adopt(fleet: Fleet, found: Sequence[HostAdoption]) -> dict[str, str]:
    """Write the hosts' records; return why not, by host, where it failed."""
    name, by, holder = new_name(), operator(), token_hex(16)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    for host in found:
        if host.router is not None and fleet.router is not None:
            from tasks.opnsense import adopt_router

            adopt_router(fleet.router, host.router, name, by)
    commands = {
        host.host: [
            lock_command(name, holder, _ADOPT_SECONDS, by),
            Command(f"@adopt {name} {holder}", host.packed(name, at, by)),
            Command(f"@unlock {name} {holder}"),
        ]
        for host in found
        if host.router is None
    }
    steps = fleet.step(commands) if commands else {}
    fleet.hang_up()
    return {host: step.reason for host, step in steps.items() if not step.is_done}


def _router_objects(drift: HostDrift) -> tuple[Taken, ...]:
    """Return the router's objects that are not as they were applied."""
    return tuple(
        Taken(item.subject, item.state, item.diff)
        for item in drift.items
        if item.state is not DriftState.IN_SYNC
    )


def plan_rollback(
    project: Project, surveys: Mapping[str, HostSurvey], to: int, started: datetime, clock: float
) -> Plan:
    """Return what brings hosts back to what was applied: the last (0) or one of those before.

    Raises:
        DeploymentError: if a host keeps no record so old.
    """
    fleet = project.fleet()
    reached = {host: survey for host, survey in surveys.items() if survey.collected}
    sources = dict.fromkeys(reached, "applied")
    if to:
        sources = _deployments_before(fleet, reached, to)
    records = _records(fleet, sources)
    plans = []
    for host, survey in surveys.items():
        if survey.router is not None:
            plans.append(_plan_router_return(project, survey, to))
            continue
        if survey.collected is None:
            plans.append(HostPlan(host, unknown=survey.drift))
            continue
        target, files = records[host]
        plans.append(
            plan_return(
                project.network,
                project.network.nodes[host],
                project.services(),
                target,
                Sources(
                    {artifact.path: artifact for artifact in survey.artifacts},
                    {**survey.collected.files, **files},
                    _baseline(host, survey),
                    key=_key(survey),
                    base=_base(survey),
                ),
                source=sources[host],
            )
        )
    fleet.hang_up()
    return Plan(tuple(plans), started, monotonic() - clock)


def _plan_router_return(project: Project, survey: HostSurvey, to: int) -> HostPlan:
    """Return what brings an OPNsense router to what was applied, or before its deployments."""
    from goldentooth.opnsense.standing import judge_router, plan_router
    from tasks.opnsense import survey_applied, survey_return

    router = project.network.router.name
    if survey.router is None:
        return HostPlan(router)
    if not to:
        last = survey_applied(project.router_access(), survey.router)
        return plan_router(router, judge_router(router, last), last, overwrite=True)
    entries = project.journal.entries()
    done = [e.deployment for e in entries if e.hosts.get(router) == CONFIRMED]
    if len(done) < to:
        told = counted(len(done), "deployment")
        raise DeploymentError(f"{router} had {told} from here, so it cannot go back {to}")
    back = survey_return(project.router_access(), survey.router, done[-to])
    return plan_router(router, judge_router(router, back), back, overwrite=True)


def _deployments_before(fleet: Fleet, hosts: Iterable[str], to: int) -> dict[str, str]:
    """Return the deployment before which the wanted state was applied, by host.

    Their order is the host's own: it numbers them.
    """
    sources = {}
    for host, step in fleet.step({host: [Command("@history")] for host in hosts}).items():
        if not step.is_done:
            raise DeploymentError(f"{host}: {step.reason}")
        kept = [
            str(each.get("name"))
            for each in step.answers[0].deployments
            if str(each.get("state")) in {"confirmed", "adopted"} and not each.get("same")
        ]
        if len(kept) < to:
            raise DeploymentError(
                f"{host} keeps {counted(len(kept), 'deployment')}, so it cannot go back {to}"
            )
        try:
            sources[host] = deployment_name(kept[-to])
        except Refusal as refusal:
            raise DeploymentError(f"{host}: {refusal.text}") from None
    return sources


def _records(
    fleet: Fleet, sources: Mapping[str, str]
) -> dict[str, tuple[Baseline, Mapping[str, HostFile | None]]]:
    """Read what hosts keep, and what stands now where that would go."""
    targets = {}
    for host, step in fleet.records(sources).items():
        if not step.is_done:
            raise DeploymentError(f"{host}: {step.reason}")
        try:
            targets[host] = read_record(host, step.outputs[0].stdout)
        except BaselineError as error:
            raise DeploymentError(f"{host}: {error}") from None
    collects = {host: [collect_command(target.files)] for host, target in targets.items()}
    found: dict[str, tuple[Baseline, Mapping[str, HostFile | None]]] = {}
    for host, step in fleet.gather(collects).items():
        if not step.is_done:
            raise DeploymentError(f"{host}: {step.reason}")
        found[host] = (targets[host], parse_files(step.outputs[0]))
    return found
