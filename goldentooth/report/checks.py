"""Live checks for people and machines: table, JSON, JUnit, Prometheus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from goldentooth.check import CheckResult, State
from goldentooth.report.junit import Case, junit_xml
from goldentooth.report.prometheus import Gauge, metrics_text
from goldentooth.report.table import counted, format_table
from goldentooth.text import hung, paint, readable

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT = "goldentooth-net/verify/1"

_COLOURS = {State.PASSED: "green", State.FAILED: "red", State.UNKNOWN: "yellow"}


@dataclass(frozen=True)
class VerifyReport:
    """Every check that was made, by the host that it is about or was read on."""

    results: tuple[CheckResult, ...]
    seconds: float

    def __repr__(self) -> str:
        return readable(self.table())

    def _repr_html_(self) -> str:
        from goldentooth.report.notebook import checks_html

        return checks_html(self)

    def to_frame(self) -> DataFrame:
        """Return a pandas frame, a row a live check.

        Raises:
            UsageError: if pandas is not installed.
        """
        from goldentooth.report.frames import make_frame
        from goldentooth.report.notebook import CHECK_COLUMNS, check_rows

        return make_frame(CHECK_COLUMNS, check_rows(self))

    def extended(self, results: Iterable[CheckResult], seconds: float) -> VerifyReport:
        """Return a report with more results, which took ``seconds`` more."""
        return VerifyReport((*self.results, *results), self.seconds + seconds)

    def in_state(self, state: State) -> tuple[CheckResult, ...]:
        """Return the results in one state."""
        return tuple(result for result in self.results if result.outcome.state is state)

    @property
    def status(self) -> int:
        """Exit status: 2 something could not be told, 1 something failed, else 0."""
        if self.in_state(State.UNKNOWN):
            return 2
        return 1 if self.in_state(State.FAILED) else 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; the format is versioned."""
        return {
            "format": FORMAT,
            "seconds": round(self.seconds, 3),
            "counts": {state.value: len(self.in_state(state)) for state in State},
            "checks": [result.to_dict() for result in self.results],
        }

    def table(self, *, colour: bool = False) -> str:
        """Return one line a host, then every check that did not pass."""
        by_host = self._by_host()
        rows = [
            (host, *(sum(r.outcome.state is state for r in results) for state in State))
            for host, results in by_host.items()
        ]
        header = ("host", *(state.value for state in State))
        lines = format_table(header, rows, right=(1, 2, 3)).splitlines()
        lines[0] = paint(lines[0], "bold", on=colour)
        if self.status:
            lines += ["", *self._bad_lines(colour=colour)]
        worst = self.in_state(State.FAILED) or self.in_state(State.UNKNOWN)
        counts = ", ".join(f"{len(self.in_state(state))} {state.value}" for state in State)
        checks, hosts = counted(len(self.results), "check"), counted(len(by_host), "host")
        total = f"{checks} on {hosts}: {counts}"
        return "\n".join((*lines, "", paint(total, "red" if worst else "green", on=colour)))

    def _bad_lines(self, *, colour: bool) -> list[str]:
        """Return a line for every check that failed, and one for each reason not to know."""
        lines = [_line(result, colour=colour) for result in self.in_state(State.FAILED)]
        unknown: dict[tuple[str, str], list[str]] = {}
        for result in self.in_state(State.UNKNOWN):
            reason = (result.check.host, result.outcome.seen)
            unknown.setdefault(reason, []).append(result.check.id)
        for (host, seen), ids in unknown.items():
            word = paint("unknown", _COLOURS[State.UNKNOWN], on=colour)
            lines.append(f"{word} on {host}: {hung(seen)}\n    {', '.join(ids)}")
        return lines

    def junit(self) -> str:
        """Return JUnit's XML: a suite a host, a case a check."""
        return junit_xml(
            "goldentooth-net verify",
            ((host, map(_case, results)) for host, results in self._by_host().items()),
        )

    def prometheus(self) -> str:
        """Return metrics in the text format, for node exporter's textfile collector."""
        passed = (
            (_labels(result), int(result.outcome.state is State.PASSED)) for result in self.results
        )
        counts = (({"state": state.value}, len(self.in_state(state))) for state in State)
        return metrics_text(
            (
                Gauge(
                    "goldentooth_check_passed",
                    "Whether a live check passed (1), else 0.",
                    tuple(passed),
                ),
                Gauge("goldentooth_checks", "How many live checks are in a state.", tuple(counts)),
                Gauge(
                    "goldentooth_verify_duration_seconds",
                    "How long all live checks took.",
                    (({}, self.seconds),),
                ),
            )
        )

    def _by_host(self) -> Mapping[str, list[CheckResult]]:
        by_host: dict[str, list[CheckResult]] = {}
        for result in self.results:
            by_host.setdefault(result.check.host, []).append(result)
        return by_host


def _line(result: CheckResult, *, colour: bool) -> str:
    state = result.outcome.state
    word = paint(state.value, _COLOURS[state], on=colour)
    return f"{word} {result.check.id}: expected {result.check.expected}; seen {result.outcome.seen}"


def _case(result: CheckResult) -> Case:
    check, outcome = result.check, result.outcome
    if outcome.state is State.PASSED:
        return Case(result.service, check.id)
    problem: Literal["failure", "error"] = "failure" if outcome.state is State.FAILED else "error"
    message = f"expected {check.expected}; seen {outcome.seen}"
    return Case(result.service, check.id, problem, message)


def _labels(result: CheckResult) -> dict[str, str]:
    return {
        "check": result.check.kind,
        "host": result.check.host,
        "service": result.service,
        "subject": result.check.subject,
    }
