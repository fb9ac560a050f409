"""A project: the folder with config.yaml, opened for a runbook, a notebook or the command line.

>>> from goldentooth import open_project            # doctest: +SKIP
>>> project = open_project()                        # doctest: +SKIP
>>> project.render()                                # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from inspect import signature
from operator import attrgetter
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any

from nornir.core import Nornir
from nornir.core.plugins.inventory import InventoryPluginRegister
from nornir.core.plugins.runners import RunnersPluginRegister
from nornir.core.state import GlobalState
from nornir.plugins.runners import SerialRunner, ThreadedRunner

from goldentooth.artifact import Artifact, Scope, diff_texts
from goldentooth.build import BuildFolder
from goldentooth.check import Check
from goldentooth.configuration import PLUGIN, RIGHT, find_config, read_config
from goldentooth.errors import GoldentoothError, OutputError, Problem, RenderError, UsageError
from goldentooth.fleet import make_checks, prepared, run_for_all, stop_on_interrupt
from goldentooth.inventory import FactsInventory, GoldentoothInventory
from goldentooth.model import Network
from goldentooth.report.render import HostRender, RenderReport
from goldentooth.services import Service, all_services
from goldentooth.validation import did_you_mean, shown_value
from goldentooth.values import SECRET_REFERENCE
from goldentooth.yamlfile import display_path, read_document

if TYPE_CHECKING:
    from jinja2 import Environment
    from nornir.core.processor import Processor

    from goldentooth.adoption import HostAdoption
    from goldentooth.deployment import Options
    from goldentooth.drift import HostIntent
    from goldentooth.history import DriftHistory
    from goldentooth.journal import Journal
    from goldentooth.notify import Hooks
    from goldentooth.planning import SavedPlan
    from goldentooth.rehearsal import Rehearsal
    from goldentooth.report.checks import VerifyReport
    from goldentooth.report.discovery import DiscoveryReport
    from goldentooth.report.drift import DriftReport
    from goldentooth.report.findings import Findings
    from goldentooth.report.plan import DeployReport, Plan
    from goldentooth.rollout import Fleet
    from goldentooth.secrets import Filler
    from goldentooth.survey import HostSurvey
    from tasks.opnsense import RouterAccess

_PLUGIN_OPTIONS = tuple(signature(GoldentoothInventory).parameters)

RENDERED_SECRETS = (
    "bgp.password",
    "kubernetes.bootstrap_token",
    "kubernetes.certificate_key",
    "kubernetes.ca_cert_hash",
)
"""The network-wide facts that are secrets; every one of them is in some artifact."""


def open_project(config: str | Path | None = None) -> Project:
    """Open the project of ``config``, or of the nearest config.yaml from here upwards.

    Raises:
        UsageError: if there is no such file or Nornir cannot use it.
        FactsError: if the inventory has mistakes.
    """
    return Project(find_config(config))


class Project:
    """A network's folder, opened: its facts, its Nornir, and what can be done with them."""

    def __init__(self, config_file: Path) -> None:
        self.config_file = config_file
        self.folder = config_file.parent
        self.config = read_config(config_file)
        self.nornir = Nornir(
            inventory=self._load_inventory(),
            runner=self._runner(),
            config=self.config,
            data=GlobalState(),
        )

    def __repr__(self) -> str:
        return f"Project({str(self.folder)!r}: {len(self.network.nodes)} hosts)"

    @property
    def network(self) -> Network:
        """The typed network that the inventory describes."""
        inventory = self.nornir.inventory
        assert isinstance(inventory, FactsInventory)  # noqa: S101  # by construction
        return inventory.network

    @cached_property
    def templates(self) -> Environment:
        """The one template environment of all hosts: undefined names are errors."""
        from goldentooth.templating import environment

        return environment(self._path("templates", "templates"))

    @property
    def build(self) -> BuildFolder:
        """The folder that render writes."""
        return BuildFolder(self._path("build", "build"))

    @property
    def drift_history(self) -> DriftHistory:
        """The folder that keeps the reports of scheduled drift runs.

        Raises:
            UsageError: if config.yaml sets it wrongly.
        """
        from goldentooth.history import DriftHistory

        keep = self.config.user_defined.get("history_kept", 500)
        if not isinstance(keep, int) or isinstance(keep, bool) or keep < 1:
            raise self._mistake(
                f"user_defined: history_kept {shown_value(keep)} is not a number from 1 up"
            )
        return DriftHistory(self._path("history", "history"), keep)

    @property
    def hooks(self) -> Hooks:
        """Whom scheduled drift runs tell of changes.

        Raises:
            UsageError: if config.yaml names them wrongly.
        """
        from goldentooth.notify import Hooks

        return Hooks.of(self.config.user_defined, display_path(self.config_file))

    def select(self, hosts: Sequence[str] = (), groups: Sequence[str] = ()) -> Nornir:
        """Return a Nornir of the hosts that are named or in one of the groups; all by default.

        Raises:
            UsageError: if a name is not known, or no host is left.
        """
        known = self.network
        for name in hosts:
            if name not in known.nodes:
                raise UsageError(f"host {name!r} is not known: {did_you_mean(name, known.nodes)}")
        for name in groups:
            if name not in known.groups:
                raise UsageError(f"group {name!r} is not known: {did_you_mean(name, known.groups)}")
        if not hosts and not groups:
            return self.nornir
        chosen = {*hosts, *(node.name for group in groups for node in known.in_role(group))}
        if not chosen:
            raise UsageError(f"no host is selected: nobody is in {', '.join(groups)}")
        return self.nornir.filter(filter_func=lambda host: host.name in chosen)

    def services(self, names: Sequence[str] = ()) -> tuple[Service, ...]:
        """Return the services of these names, or all.

        Raises:
            UsageError: if a name is not known.
        """
        known = {service.name: service for service in all_services()}
        for name in names:
            if name not in known:
                raise UsageError(f"service {name!r} is not known: {did_you_mean(name, known)}")
        return tuple(service for name, service in known.items() if not names or name in names)

    def lint(
        self,
        *,
        only: Sequence[str] = (),
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
    ) -> Findings:
        """Return what the rules find in the facts; ``only`` names rules or topics.

        With ``hosts`` or ``groups`` what they find about the selected hosts themselves.

        Raises:
            UsageError: if the selection is empty or names what is not there.
        """
        from goldentooth.report.findings import Findings
        from goldentooth.rules import check_network

        chosen = self.select(hosts, groups).inventory.hosts
        findings = check_network(self.network, only)
        if not hosts and not groups:
            return Findings(findings)
        return Findings(finding for finding in findings if finding.subject in chosen)

    def render(
        self,
        *,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
        services: Sequence[str] = (),
        check: bool = False,
        validate: bool = False,
        workers: int | None = None,
        build: str | Path | None = None,
        processors: Iterable[Processor] = (),
    ) -> RenderReport:
        """Make every artifact of the selected hosts and services, in parallel.

        The build folder is swapped in whole, and only if no host failed. With ``check``
        nothing is written; with ``validate`` the native judges rule on every file.

        Raises:
            UsageError: if the selection is empty or names what is not there.
            RenderError: if a secret is written out in the facts.
            OutputError: if the build folder cannot be written; it is then as it was.
        """
        from tasks.render import JudgeJob, judge_host  # tasks are built on the library

        chosen_services = self.services(services)
        nornir = prepared(self.select(hosts, groups), workers, processors)
        folder = BuildFolder(Path(build).absolute()) if build else self.build
        place = folder.scratch() if check else folder.staging()
        with place as staging, stop_on_interrupt() as stop:
            rendered = tuple(map(folder.compare, self._made(nornir, chosen_services, stop)))
            if validate or not check:
                for host in rendered:
                    if stop.is_set():
                        raise KeyboardInterrupt
                    staging.write(*host.artifacts)
            if validate:
                staged = {host.host: host for host in rendered}
                judging = JudgeJob(staged, staging.path, stop)
                outcome = run_for_all(nornir, judge_host, stop, name="judge", job=judging)
                rendered = tuple(_host_render(name, outcome[name]) for name in staged)
            chosen = set(nornir.inventory.hosts)
            unknown = {host.host for host in rendered if host.failure}
            names = {service.name for service in chosen_services}
            made = {a.location: a.entry() for host in rendered for a in host.artifacts}
            replaced = {
                location
                for location, entry in staging.earlier.items()
                if (entry["host"] in chosen or entry["host"] not in self.network.nodes)
                and (entry["service"] in names or not services)
            }
            removed = sorted(
                location
                for location in replaced - made.keys()
                if staging.earlier[location]["host"] not in unknown
            )
            if not (made or removed or unknown):
                raise UsageError(
                    f"nothing is selected: {', '.join(sorted(names))} has no artifact on"
                    f" {', '.join(sorted(chosen))}"
                )
            report = RenderReport(
                rendered,
                {name: diff_texts(folder.read(name), None, name) for name in removed},
                str(folder),
                check,
            )
            if not check and not report.has_failed and not stop.is_set():
                kept = {
                    location: entry
                    for location, entry in staging.earlier.items()
                    if location not in replaced
                }
                for location in kept:
                    staging.keep(location)
                staging.swap_in({**kept, **made})
        return report

    def _made(
        self, nornir: Nornir, services: Sequence[Service], stop: Event
    ) -> tuple[HostRender, ...]:
        """Make every artifact of ``services`` for the hosts of ``nornir``, in memory."""
        from tasks.render import RenderJob, render_host

        _refuse_literal_secrets(self.network)
        placed = tuple(
            (service, frozenset(node.name for node in service.hosts(self.network)))
            for service in services
        )
        job = RenderJob(self.network, placed, self.templates, stop)
        outcome = run_for_all(nornir, render_host, stop, name="render", job=job)
        return tuple(_host_render(name, outcome[name]) for name in nornir.inventory.hosts)

    def checks(
        self,
        *,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
        services: Sequence[str] = (),
    ) -> tuple[tuple[str, Check], ...]:
        """Return the live checks about the selected hosts, each with its service's name.

        Raises:
            UsageError: if the selection is empty or names what is not there.
        """
        chosen = self.select(hosts, groups).inventory.hosts
        checks = tuple(
            (service, check)
            for host, service, check in self._all_checks(services)
            if host in chosen
        )
        if not checks:
            raise UsageError("no live check is about these hosts and services")
        return checks

    def verify(
        self,
        *,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
        services: Sequence[str] = (),
        workers: int | None = None,
        processors: Iterable[Processor] = (),
    ) -> VerifyReport:
        """Read the hosts once, in parallel, and judge the live checks that follow from the facts.

        Raises:
            UsageError: if the selection is empty or names what is not there.
        """
        from goldentooth.report.checks import VerifyReport

        started = monotonic()
        checks = self.checks(hosts=hosts, groups=groups, services=services)
        nornir = prepared(self.nornir, workers, processors)
        with stop_on_interrupt() as stop:
            results = make_checks(nornir, checks, stop, self._deadline())
        nornir.close_connections(on_failed=True)
        return VerifyReport(results, monotonic() - started)

    def drift(
        self,
        *,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
        services: Sequence[str] = (),
        workers: int | None = None,
        processors: Iterable[Processor] = (),
    ) -> DriftReport:
        """Read the hosts once, in parallel; compare intended, last applied and live.

        Raises:
            UsageError: if the selection is empty or names what is not there.
            RenderError: if what is intended cannot be made.
        """
        started, clock = datetime.now(UTC), monotonic()
        surveys = self.survey(
            hosts=hosts, groups=groups, services=services, workers=workers, processors=processors
        )
        from goldentooth.report.drift import DriftReport  # not before hosts are connected to
        from goldentooth.survey import as_drift

        return DriftReport(as_drift(surveys), started, monotonic() - clock)

    def survey(
        self,
        *,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
        services: Sequence[str] = (),
        workers: int | None = None,
        processors: Iterable[Processor] = (),
    ) -> Mapping[str, HostSurvey]:
        """Read the hosts once, in parallel; return how each stands and what was read, by name.

        Raises:
            UsageError: if the selection is empty or names what is not there.
            RenderError: if what is intended cannot be made.
        """
        from concurrent.futures import ThreadPoolExecutor

        from tasks.collect import collect_host
        from tasks.connection import load_transport

        chosen = self.services(services)
        nornir = prepared(self.select(hosts, groups), workers)
        router = self.router_access if self._has_router(nornir, chosen) else None
        placed = {node for service in chosen for node in service.hosts(self.network)}
        has_way = {node.name for node in placed if router or not node.is_opnsense}
        read = nornir.filter(filter_func=lambda host: host.name in has_way)
        if not read.inventory.hosts:
            raise UsageError("nothing is deployed to these hosts by these services")

        def intend() -> Mapping[str, HostIntent]:
            from goldentooth.survey import host_intents

            return host_intents(self.network, chosen, self._made(nornir, chosen, stop))

        with stop_on_interrupt() as stop, ThreadPoolExecutor(1) as aside:
            load_transport()  # first of all: then the hosts have to do while there is rendering
            intents = aside.submit(intend)
            outcome = run_for_all(
                prepared(read, None, processors),
                collect_host,
                stop,
                name="drift",
                intents=intents,
                router=router,
                deadline=self._deadline(),
            )
            intents.result()
        nornir.close_connections(on_failed=True)
        from goldentooth.survey import surveyed

        return {name: surveyed(name, outcome[name]) for name in read.inventory.hosts}

    def router_access(self) -> RouterAccess:
        """Return what it takes to speak to an OPNsense router."""
        from goldentooth.secrets import Secrets
        from goldentooth.transports.bounds import Bounds
        from tasks.opnsense import RouterAccess

        folder = self._state_elsewhere() or self.journal.path.parent
        record = folder / "routers" / f"{self.network.router.name}.json"
        bounds = Bounds.of(self.config.user_defined)
        return RouterAccess(self.network, self.folder, record, bounds, Secrets(self.folder))

    def _has_router(self, nornir: Nornir, chosen: Sequence[Service]) -> bool:
        """Whether the router is an OPNsense box and among what is chosen."""
        router = self.network.router
        return (
            router.is_opnsense
            and router.name in nornir.inventory.hosts
            and any(service.name == "opnsense" for service in chosen)
        )

    def discover(
        self,
        *,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
        workers: int | None = None,
        processors: Iterable[Processor] = (),
    ) -> DiscoveryReport:
        """Ask the hosts what they are, in parallel; hold that against the facts.

        Raises:
            UsageError: if the selection is empty or names what is not there.
        """
        from goldentooth.discovery import appliance_commands, host_commands
        from goldentooth.report.discovery import DiscoveryReport, HostDiscovery
        from tasks.discover import discover_host

        clock = monotonic()
        commands = {
            node.name: appliance_commands()
            if node.is_opnsense
            else host_commands(
                self.network,
                node,
                (service for service in self.services() if node in service.hosts(self.network)),
            )
            for node in self.network.nodes.values()
        }
        nornir = prepared(self.select(hosts, groups), workers, processors)
        with stop_on_interrupt() as stop:
            job = {"network": self.network, "commands": commands}
            outcome = run_for_all(nornir, discover_host, stop, name="discover", **job)
        nornir.close_connections(on_failed=True)
        found = tuple(
            HostDiscovery(name, failure=f"unexpected {results[0].exception!r}")
            if results.failed
            else results[0].result
            for name, results in outcome.items()
        )
        return DiscoveryReport(found, monotonic() - clock)

    def write_discovered(self, report: DiscoveryReport) -> Path:
        """Put what was seen into discovered.yaml, beside what it holds of other hosts.

        Raises:
            OutputError: if it cannot be written; it is then as it was.
        """
        from goldentooth.wholefile import replace_file

        setting = "discovered_file"
        options = self.config.inventory.options
        value = options.get(setting, f"inventory/{setting.removesuffix('_file')}.yaml")
        path = self._file(f"inventory: options: {setting}", value)
        before = read_document(path).value if path.exists() else {}
        try:
            replace_file(path, report.discovered(before))
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{display_path(path)} cannot be written: {reason}") from error
        return path

    def plan(
        self,
        *,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
        services: Sequence[str] = (),
        overwrite: bool = False,
        secrets: Filler | None = None,
        workers: int | None = None,
        processors: Iterable[Processor] = (),
    ) -> Plan:
        """Read the hosts and return what a deployment would change; see :mod:`goldentooth.plan`.

        A secret that has another value now is a change: ``secrets`` are the project's own by
        default, as far as they can be had; the plan says so if they cannot.

        Raises:
            UsageError: if the selection is empty or names what is not there.
            RenderError: if what is intended cannot be made.
            SecretError: if one of the given ``secrets`` cannot be had.
        """
        from goldentooth.plan import Scope
        from goldentooth.planning import plan_hosts

        started, clock = datetime.now(UTC), monotonic()
        surveys = self.survey(
            hosts=hosts, groups=groups, services=services, workers=workers, processors=processors
        )
        scope = Scope(hosts, groups, services, overwrite)
        return plan_hosts(self, surveys, scope, started, clock, secrets=secrets)

    def deploy(
        self,
        *,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
        services: Sequence[str] = (),
        overwrite: bool = False,
        options: Options | None = None,
        expected: SavedPlan | None = None,
        workers: int | None = None,
        say: Callable[[str], None] = lambda _: None,
        secrets: Filler | None = None,
        journal: Journal | None = None,
    ) -> DeployReport:
        """Bring the hosts to what is intended; each gets back by itself if that goes wrong.

        ``expected`` is a plan: nothing else than that is done. ``say`` is given
        a line whenever something has been reached. ``secrets`` and ``journal`` are the
        project's own by default.

        Raises:
            DeploymentError: if it cannot begin; nothing has been changed.
        """
        from goldentooth.deployment import Options
        from goldentooth.planning import deploy
        from goldentooth.secrets import Secrets

        filler = secrets or Secrets(self.folder)
        chosen: dict[str, Any] = {"hosts": hosts, "groups": groups, "services": services}

        def plan() -> Plan:
            made = self.plan(**chosen, overwrite=overwrite, secrets=filler, workers=workers)
            if expected is not None:
                expected.refuse_other(made)
            return made

        what = {key: list(value) for key, value in chosen.items() if value}
        kept = journal or self.journal
        return deploy(self, plan, options or Options(), filler, kept, say=say, what=what)

    def rehearse(
        self,
        *,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
        services: Sequence[str] = (),
        overwrite: bool = False,
        options: Options | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Rehearsal:
        """Deploy on a twin in today's applied state, try faults there, count what is lost.

        Raises:
            DeploymentError: if a host's state cannot be read.
            TwinError: if this machine cannot carry a twin.
        """
        from goldentooth.deployment import Options
        from goldentooth.rehearsal import rehearse

        chosen = {"hosts": hosts, "groups": groups, "services": services}
        surveys = self.survey()
        return rehearse(self, surveys, chosen, options or Options(), overwrite=overwrite, say=say)

    def digest(self) -> str:
        """Return a hash of what people write: configuration, facts and templates."""
        options = self.config.inventory.options
        stated = [
            self._file(f"inventory: options: {key}", value)
            for key, value in options.items()
            if key in _PLUGIN_OPTIONS
        ]
        templates = sorted(self._path("templates", "templates").rglob("*.j2"))
        return sha256(
            b"".join(
                sha256(path.read_bytes() if path.is_file() else b"").digest()
                for path in (self.config_file, *stated, *templates)
            )
        ).hexdigest()

    def stand_in_artifacts(self) -> tuple[Artifact, ...]:
        """Return the artifacts that are for the twin only."""
        with stop_on_interrupt() as stop:
            renders = self._made(self.nornir, self.services(), stop)
        return tuple(a for render in renders for a in render.artifacts if a.scope is Scope.TWIN)

    def plan_rollback(
        self,
        to: int = 0,
        *,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
        workers: int | None = None,
        processors: Iterable[Processor] = (),
    ) -> Plan:
        """Return what brings hosts back to what was last applied, or ``to`` deployments before.

        Raises:
            DeploymentError: if a host keeps no record so old.
        """
        from goldentooth.planning import plan_rollback

        started, clock = datetime.now(UTC), monotonic()
        surveys = self.survey(hosts=hosts, groups=groups, workers=workers, processors=processors)
        return plan_rollback(self, surveys, to, started, clock)

    def rollback(
        self,
        to: int = 0,
        *,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
        options: Options | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> DeployReport:
        """Bring hosts back as :meth:`plan_rollback` says, as safely as a deployment."""
        from goldentooth.deployment import Options
        from goldentooth.planning import deploy
        from goldentooth.secrets import Secrets

        return deploy(
            self,
            lambda: self.plan_rollback(to, hosts=hosts, groups=groups),
            options or Options(),
            Secrets(self.folder),
            self.journal,
            say=say,
            what={"rollback": [to], "hosts": list(hosts), "groups": list(groups)},
        )

    def adoptable(
        self,
        *,
        hosts: Sequence[str] = (),
        groups: Sequence[str] = (),
        services: Sequence[str] = (),
        workers: int | None = None,
        processors: Iterable[Processor] = (),
    ) -> tuple[HostAdoption, ...]:
        """Read the hosts and return what :meth:`adopt` would take for applied there."""
        from goldentooth.planning import adoptions

        return adoptions(
            self.survey(
                hosts=hosts,
                groups=groups,
                services=services,
                workers=workers,
                processors=processors,
            )
        )

    def adopt(self, adoptions: Sequence[HostAdoption]) -> dict[str, str]:
        """Make what was found the hosts' records; return why not, by host, where it failed."""
        from goldentooth.planning import adopt

        return adopt(self.fleet(), adoptions)

    @property
    def journal(self) -> Journal:
        """What is remembered of deployments from here."""
        from goldentooth.journal import Journal

        elsewhere = self._state_elsewhere()
        if elsewhere is None:
            return Journal(self._path("journal", "journal"))
        return Journal(elsewhere / sha256(str(self.folder).encode()).hexdigest()[:16])

    def _state_elsewhere(self) -> Path | None:
        """Return the folder that the environment names for journals and records, if any."""
        from goldentooth.journal import STATE_VARIABLE

        named = os.environ.get(STATE_VARIABLE)
        return Path(named) if named and "journal" not in self.config.user_defined else None

    def fleet(self, say: Callable[[str], None] = lambda _: None) -> Fleet:
        """Return all hosts with all live checks, for a deployment to act through."""
        from goldentooth.rollout import Fleet

        router = self.router_access() if self.network.router.is_opnsense else None
        return Fleet(self.network, self.nornir, tuple(self._all_checks()), say, router)

    def _all_checks(self, services: Sequence[str] = ()) -> Iterator[tuple[str, str, Check]]:
        """Yield (host that it is about, service name, check) for every live check."""
        for service in self.services(services):
            for node in service.hosts(self.network):
                for check in service.checks(self.network, node):
                    yield node.name, service.name, check

    def _deadline(self) -> float:
        """Return when a run that begins now has had its time, in seconds of ``monotonic``."""
        from goldentooth.transports.bounds import Bounds

        return monotonic() + Bounds.of(self.config.user_defined).run_seconds

    def _path(self, setting: str, default: str) -> Path:
        value = self.config.user_defined.get(setting, default)
        return self._file(f"user_defined: {setting}", value)

    def _file(self, setting: str, value: object) -> Path:
        """Return a path of config.yaml, which is relative to its folder."""
        if not isinstance(value, str) or not value.strip():
            raise self._mistake(
                f"{setting} {shown_value(value)} is not a path\n"
                "    write one as text, relative to this file's folder"
            )
        return self.folder / Path(value).expanduser()

    def _load_inventory(self) -> FactsInventory:
        name = self.config.inventory.plugin
        known: dict[str, Callable[..., Any]] = {PLUGIN: GoldentoothInventory}
        options = dict(self.config.inventory.options)
        for key, value in options.items():
            if key in _PLUGIN_OPTIONS:
                options[key] = str(self._file(f"inventory: options: {key}", value))
        plugin = self._plugin("inventory", name, known, InventoryPluginRegister, options)
        try:
            inventory = plugin.load()
        except GoldentoothError:
            raise
        except Exception as error:  # whatever another plugin comes upon
            said = " ".join(str(error).split()) or "it does not load"
            raise self._mistake(f"inventory plugin {name}: {said}\n    {RIGHT}") from error
        if not isinstance(inventory, FactsInventory):
            message = f"inventory plugin {name} does not give a network's facts"
            raise self._mistake(f"{message}\n    {RIGHT}")
        return inventory

    def _runner(self) -> Any:
        known: dict[str, Callable[..., Any]] = {"threaded": ThreadedRunner, "serial": SerialRunner}
        name, options = self.config.runner.plugin, self.config.runner.options
        workers = options.get("num_workers", 1)
        if not isinstance(workers, int) or workers < 1:
            raise self._mistake(f"runner: num_workers {workers!r} is not a number from 1 up")
        return self._plugin("runner", name, known, RunnersPluginRegister, options)

    def _plugin(
        self,
        kind: str,
        name: str,
        known: dict[str, Callable[..., Any]],
        register: Any,
        options: dict[str, Any],
    ) -> Any:
        """Make a plugin; those in ``known`` without a look at what else is installed."""
        if name not in known:
            register.auto_register()
            known = {**known, **register.available}
            if name not in known:
                raise self._mistake(
                    f"{kind} plugin {name!r} is not known: {did_you_mean(name, known)}"
                )
        parameters = signature(known[name]).parameters
        takes_all = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        for key in () if takes_all else options.keys() - parameters:
            near = did_you_mean(str(key), parameters)
            raise self._mistake(f"{kind}: options: unknown key {key!r}: {near}")
        try:
            return known[name](**options)
        except TypeError as error:
            raise self._mistake(f"{kind} {name}: {error}") from error

    def _mistake(self, message: str) -> UsageError:
        return UsageError(f"{display_path(self.config_file)}: {message}")


def _host_render(name: str, results: Any) -> HostRender:
    render = results[0].result
    if isinstance(render, HostRender):
        return render
    failure = f"unexpected {results[0].exception!r}; --debug shows where"
    return HostRender(name, failure=failure, traceback=render)


def _refuse_literal_secrets(network: Network) -> None:
    """Raise a RenderError that says where secrets are written out, never what they are."""
    literal = [
        Problem(
            f"{fact} is written out: it would be in the build folder for all to read",
            network.where(fact),
            "write a reference: ${env:NAME}, ${file:path} or ${vault:path#field}",
        )
        for fact in RENDERED_SECRETS
        if (value := attrgetter(fact)(network)) and not SECRET_REFERENCE.fullmatch(value)
    ]
    if literal:
        raise RenderError("\n".join(map(str, literal)))
