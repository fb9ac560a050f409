"""The watch: a timer that looks for drift from the controllers, and alerts on what it sees.

Both are files like all others: who stops the timer, or softens a rule, has drifted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from goldentooth.activation import Activation
from goldentooth.artifact import Draft, Judge
from goldentooth.check import Check, Outcome, Output, passes, succeeded
from goldentooth.model import Network, Node
from goldentooth.needs import Needs, Package
from goldentooth.observation import Difference, Observation, Seen, Verdict

PROMTOOL = Judge("promtool", ("promtool", "check", "rules", "{file}"), package="prometheus")
"""Prometheus' own check of rules."""

SYSTEMD = Judge(
    "systemd-analyze",
    ("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "{file}"),
    package="systemd",
)
"""systemd's own check; the service that the timer starts is another file."""

UNITS = "/etc/systemd/system"
TIMER = "goldentooth-drift.timer"
TIMER_PATH = f"{UNITS}/{TIMER}"
DRIFT_SERVICE = "goldentooth-drift.service"
SERVICE_PATH = f"{UNITS}/{DRIFT_SERVICE}"
RULES_PATH = "/etc/prometheus/rules/goldentooth-drift.yml"
METRICS_FOLDER = "/var/lib/prometheus/node-exporter"
"""Where Debian's node exporter looks for metrics of others."""

_EXPORTER = Package(
    "prometheus-node-exporter", "/usr/bin/prometheus-node-exporter", "metrics of drift"
)


class Watch:
    """Drift, looked for by the clock."""

    name = "watch"
    title = "The watch: a timer for drift, and alerts"

    def hosts(self, network: Network) -> tuple[Node, ...]:
        """Return the controllers and Prometheus' hosts, if the facts name a time."""
        if network.schedule is None:
            return ()
        chosen = {*network.in_role("controller"), *network.in_role("prometheus")}
        return tuple(node for node in network.nodes.values() if node in chosen)

    def needs(self, network: Network, node: Node) -> Needs:
        """Return the exporter that carries the metrics, on a controller."""
        return Needs((_EXPORTER,)) if _is_controller(network, node) else Needs()

    def drafts(self, network: Network, node: Node) -> Iterator[Draft]:
        """Yield timer and service on a controller, the rules on Prometheus' hosts."""
        assert network.schedule is not None  # noqa: S101  # it has no hosts otherwise
        schedule = network.schedule
        if _is_controller(network, node):
            names = {
                "project": schedule.project,
                "metrics_folder": METRICS_FOLDER,
                "metrics": f"{METRICS_FOLDER}/goldentooth_drift.prom",
                "page": f"{schedule.project}/drift.html",
            }
            yield Draft(SERVICE_PATH, "watch/drift.service.j2", names)
            yield Draft(
                TIMER_PATH, "watch/drift.timer.j2", {"calendar": schedule.drift}, judge=SYSTEMD
            )
        if node in network.in_role("prometheus"):
            yield Draft(RULES_PATH, "watch/rules.yml.j2", judge=PROMTOOL, format="yaml")

    def activate(self, network: Network, node: Node) -> tuple[Activation, ...]:  # noqa: ARG002  # the interface
        """Return what has systemd and Prometheus read their files again."""
        timer = (
            f"systemctl daemon-reload && if test -e {TIMER_PATH}; then"
            f" systemctl enable --quiet {TIMER} && systemctl restart {TIMER}; else"
            f" systemctl stop {TIMER}; rm -f {UNITS}/timers.target.wants/{TIMER}; fi"
        )
        unit = "prometheus.service"
        rules = f"! systemctl is-active --quiet {unit} || systemctl reload {unit}"
        return (Activation(timer, (TIMER_PATH, SERVICE_PATH)), Activation(rules, (RULES_PATH,)))

    def disturbs(self, path: str, before: str, after: str) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return nothing: a run that is under way goes on to its end."""
        return ()

    def units(self, network: Network, node: Node) -> tuple[str, ...]:
        """Return the timer, on a controller."""
        return (TIMER,) if _is_controller(network, node) else ()

    def checks(self, network: Network, node: Node) -> Iterator[Check]:
        """Yield that the timer waits, on a controller."""
        if _is_controller(network, node):
            yield DriftTimer(node.name, node.name)

    def observe(self, network: Network, node: Node) -> Iterator[Observation]:
        """Yield the units as systemd has read them, on a controller."""
        if _is_controller(network, node):
            yield UnitsLoaded()

    def folders(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return none: others have units and rules too."""
        return ()


_STATE = f"systemctl is-active {TIMER}"
_LOADED = f"systemctl show --property=Id,UnitFileState,NeedDaemonReload {TIMER} {DRIFT_SERVICE}"


@dataclass(frozen=True)
class UnitsLoaded(Observation):
    """The units as systemd has read them: it does so when it is told, not when a file changes."""

    subject = "systemd's units for drift"

    def reads(self) -> tuple[str, ...]:
        """Their properties, a block each (systemctl(1), show)."""
        return (_LOADED,)

    def compare(self, seen: Seen) -> Difference | None:
        """Compare with units that were read since, and a timer that is started at boot."""
        if TIMER_PATH not in seen.expected:
            return None
        blocks = succeeded(seen.outputs, _LOADED).text.strip().split("\n\n")
        units = [dict(line.split("=", 1) for line in block.splitlines()) for block in blocks]
        runs = tuple(f"{unit['Id']} {unit['UnitFileState']}" for unit in units)
        wanted = (f"{TIMER} enabled", f"{DRIFT_SERVICE} static")
        if wanted != runs:
            words = ", ".join(now for want, now in zip(wanted, runs, strict=True) if want != now)
            return Difference(Verdict.DRIFT, words, wanted, runs)
        old = [unit["Id"] for unit in units if unit["NeedDaemonReload"] != "no"]
        if not old:
            return None
        detail = f"{', '.join(old)} is older than its file: systemctl daemon-reload"
        return Difference(Verdict.NOT_LOADED, detail)


@dataclass(frozen=True)
class DriftTimer(Check):
    """The timer that looks for drift.

    Passes: it is active, and so waits for its next time.
    Fails: it was stopped, or is not there.
    """

    kind = "watch.timer"
    subject: str
    host: str

    @property
    def expected(self) -> str:
        """The timer's state."""
        return f"{TIMER} is active"

    def reads(self) -> tuple[str, ...]:
        """What systemd says of it in a word."""
        return (_STATE,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Look for its state, which is said with a status of its own."""
        state = outputs[_STATE].text.strip()
        return passes(state == "active", state or outputs[_STATE].complaint)


def _is_controller(network: Network, node: Node) -> bool:
    return node in network.in_role("controller")


SERVICE = Watch()
