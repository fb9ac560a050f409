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
SERVICE_PATH = f"{UNITS}/goldentooth-drift.service"
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
                "page": f"{schedule.project}/history/drift.html",
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
        """Yield the timer as systemd has it, on a controller."""
        if _is_controller(network, node):
            yield TimerState()

    def folders(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return none: others have units and rules too."""
        return ()


_SHOW = f"systemctl show --property=ActiveState,UnitFileState,NeedDaemonReload {TIMER}"


@dataclass(frozen=True)
class TimerState(Observation):
    """The timer as systemd has it: anybody can stop it, and its file stays the same."""

    subject = "the timer for drift"

    def reads(self) -> tuple[str, ...]:
        """The timer's properties (systemctl(1), show)."""
        return (_SHOW,)

    def compare(self, seen: Seen) -> Difference | None:
        """Compare with a timer that waits, is started at boot, and is the file that is there."""
        if TIMER_PATH not in seen.expected:
            return None
        runs = tuple(sorted(succeeded(seen.outputs, _SHOW).text.split()))
        wanted = ("ActiveState=active", "NeedDaemonReload=no", "UnitFileState=enabled")
        if wanted == runs:
            return None
        words = ", ".join(now for want, now in zip(wanted, runs, strict=True) if want != now)
        is_old = words == "NeedDaemonReload=yes"
        return Difference(Verdict.NOT_LOADED if is_old else Verdict.DRIFT, words, wanted, runs)


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
        """The timer's properties."""
        return (_SHOW,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Look for its state."""
        lines = succeeded(outputs, _SHOW).text.splitlines()
        state = next((line for line in lines if line.startswith("ActiveState=")), "no state")
        return passes(state == "ActiveState=active", state.removeprefix("ActiveState="))


def _is_controller(network: Network, node: Node) -> bool:
    return node in network.in_role("controller")


SERVICE = Watch()
