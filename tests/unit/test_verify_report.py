"""The outcome of live checks, for people and machines."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from pathlib import Path

import jsonschema
import pytest
from nornir.core.task import Result, Task

from goldentooth import open_project
from goldentooth.check import Check, CheckResult, Outcome, State, unknown_all
from goldentooth.report.checks import VerifyReport

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/schemas/verify.schema.json").read_text())


def report(*states: State, seen: str = "seen") -> VerifyReport:
    checks = open_project(ROOT / "config.yaml").checks(hosts=["fenn"], services=["frr", "routes"])
    results = tuple(
        CheckResult(check, service, Outcome(state, seen))
        for (service, check), state in zip(checks, states, strict=False)
    )
    assert len(results) == len(states)
    return VerifyReport(results, 1.5)


PASSED, FAILED, UNKNOWN = State.PASSED, State.FAILED, State.UNKNOWN


@pytest.mark.parametrize(
    ("states", "status"),
    [
        ((PASSED, PASSED), 0),
        ((PASSED, FAILED), 1),
        ((PASSED, UNKNOWN), 2),
        ((FAILED, UNKNOWN), 2),
    ],
)
def test_what_is_unknown_beats_what_failed(states: tuple[State, ...], status: int) -> None:
    assert report(*states).status == status


def test_json_is_of_its_schema() -> None:
    jsonschema.validate(report(PASSED, FAILED, UNKNOWN).to_dict(), SCHEMA)


def test_junit_tells_failures_from_errors() -> None:
    text = report(PASSED, FAILED, UNKNOWN, seen="\x1b[31mred\0").junit()
    suites = ET.fromstring(text)  # noqa: S314  # its own
    assert sum(int(suite.get("tests", "")) for suite in suites) == 3
    assert len(suites.findall(".//failure")) == 1
    assert len(suites.findall(".//error")) == 1


def test_metrics_say_one_for_passed_only_and_quote_what_was_seen() -> None:
    lines = report(PASSED, FAILED, UNKNOWN, seen='a "b"\n').prometheus().splitlines()
    values = [line.rpartition(" ")[2] for line in lines if line.startswith("goldentooth_check_p")]
    assert values == ["1", "0", "0"]
    assert not any(line.startswith(('"', "b")) for line in lines)


def test_a_host_that_is_unreachable_is_one_line_with_all_its_checks() -> None:
    table = report(UNKNOWN, UNKNOWN, UNKNOWN, seen="no answer within 10 s").table()
    (first, second) = (line for line in table.splitlines() if "no answer" in line)
    assert first == "unknown on router: no answer within 10 s"
    assert second == "unknown on fenn: no answer within 10 s"


def test_a_host_that_another_task_failed_on_is_verified_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its checks would be missing, and what is missing looks like a pass. No host is spoken to."""

    def answer(
        task: Task, checks: Mapping[str, Sequence[tuple[str, Check]]], deadline: float
    ) -> Result:
        return Result(host=task.host, result=unknown_all(checks[task.host.name], "not asked"))

    monkeypatch.setattr("tasks.verify.verify_host", answer)
    project = open_project(ROOT / "config.yaml")
    project.nornir.data.failed_hosts.add("fenn")
    made = {result.check.id for result in project.verify().results}
    assert made == {check.id for _, check in project.checks()}
    assert project.nornir.data.failed_hosts == {"fenn"}


def test_hosts_whose_turn_comes_after_the_runs_time_are_unknown_and_not_spoken_to() -> None:
    project = open_project(ROOT / "config.yaml")
    project.config.user_defined["transport"] = {"run_seconds": 1e-9}
    report = project.verify()
    assert report.status == 2
    assert {"run's time" in result.outcome.seen for result in report.results} == {True}
