"""The outcome of drift, for people and machines."""

from __future__ import annotations

import builtins
import json
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from goldentooth.drift import DriftState
from goldentooth.errors import UsageError
from goldentooth.report.drift import DriftReport
from goldentooth.text import readable
from tests.drift_reports import STARTED, drifted, in_sync, mixed, one_of_each, report, unreachable
from tests.namespaces import needs

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/schemas/drift.schema.json").read_text())


# -- table -------------------------------------------------------------------------------


def test_the_table_has_a_line_a_host_with_only_the_states_that_occur() -> None:
    lines = mixed().table().splitlines()
    assert lines[0].split("  ")[0] == "host"
    assert lines[0].split() == ["host", "in", "sync", "drift", "not", "loaded", "unreachable"]
    assert [line.split() for line in lines[1:4]] == [
        ["fenn", "2", "-", "-", "-"],
        ["allyrion", "2", "1", "1", "-"],
        ["jast", "0", "-", "-", "1"],
    ]


def test_the_table_names_what_is_not_in_sync_and_shows_its_lines() -> None:
    text = mixed().table()
    assert "\ndrift  allyrion haproxy: /etc/haproxy/haproxy.cfg\n    1 line changed\n" in text
    assert "\n    -    server bettley 10.4.0.11:6443 check\n" in text
    assert "\nunreachable  jast\n    no answer within 10 s; is it on?\n" in text
    assert text.endswith("\n3 hosts: 1 drift, 1 not loaded, 1 unreachable (allyrion, jast)")


def test_a_note_is_shown_and_makes_no_drift() -> None:
    note = "1 of 2 BGP sessions not Established: a Idle"
    noted = replace(in_sync("router", "frr"), notes=(note,))
    made = report(noted)
    assert made.status == 0
    assert f"\nnote  router\n    {note}\n" in made.table()
    assert made.table().endswith("\n1 host: in sync")
    assert made.to_dict()["hosts"][0]["notes"] == [note]


def test_a_report_that_was_kept_without_notes_is_read() -> None:
    document = mixed().to_dict()
    for host in document["hosts"]:
        del host["notes"]
    assert DriftReport.from_dict(document).summary == mixed().summary


def test_what_is_the_same_on_several_hosts_is_said_once() -> None:
    lines = report(drifted("allyrion"), unreachable("jast"), drifted("fenn")).table().splitlines()
    assert "drift  allyrion, fenn haproxy: /etc/haproxy/haproxy.cfg" in lines
    assert sum("@@ -12,3 +12,3 @@" in line for line in lines) == 1


def test_what_a_host_holds_cannot_steer_the_terminal() -> None:
    text = mixed().table()
    assert "\x1b" not in text
    assert "\x00" not in text
    assert r"\x1b[31mred\x00" in text


def test_the_table_is_the_same_without_its_colours() -> None:
    plain, coloured = mixed().table(), mixed().table(colour=True)
    assert coloured != plain
    assert readable(coloured) == plain


def test_all_in_sync_is_said_in_a_line() -> None:
    assert report(in_sync("fenn", "frr")).table().splitlines()[-1] == "1 host: in sync"


# -- JSON --------------------------------------------------------------------------------


def test_json_is_of_its_schema_in_every_state() -> None:
    document = one_of_each().to_dict()
    jsonschema.validate(document, SCHEMA)
    assert set(document["counts"]) == {state.value for state in DriftState}
    assert all(document["counts"].values())


def test_the_schema_knows_no_other_state() -> None:
    assert set(SCHEMA["$defs"]["state"]["enum"]) == {state.value for state in DriftState}


@pytest.mark.parametrize("made", [mixed(), one_of_each(), report()])
def test_a_report_comes_back_from_its_json(made: DriftReport) -> None:
    document = json.loads(json.dumps(made.to_dict()))
    assert DriftReport.from_dict(document) == made


@pytest.mark.parametrize(
    "change",
    [{"format": "goldentooth-net/drift/2"}, {"hosts": [{}]}, {"hosts": None}, {"started": "soon"}],
)
def test_what_is_no_report_is_a_value_error(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        DriftReport.from_dict({**mixed().to_dict(), **change})


# -- JUnit -------------------------------------------------------------------------------


def test_junit_tells_what_differs_from_what_could_not_be_told() -> None:
    suites = ET.fromstring(mixed().junit())  # noqa: S314  # its own
    counts = {
        suite.get("name"): tuple(suite.get(key) for key in ("tests", "failures", "errors"))
        for suite in suites
    }
    assert counts == {
        "fenn": ("2", "0", "0"),
        "allyrion": ("4", "2", "0"),
        "jast": ("1", "0", "1"),
    }
    failure = suites.find(".//failure")
    assert failure is not None
    assert failure.get("message") == "drift: 1 line changed"
    assert "+    server bettley 10.4.0.99:6443" in (failure.text or "")


# -- Prometheus --------------------------------------------------------------------------


def samples(text: str) -> dict[str, str]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: value for name, _, value in lines}


def test_metrics_count_what_is_not_in_sync_by_host_and_service() -> None:
    found = samples(mixed().prometheus())
    assert found['goldentooth_drift_artifacts{host="fenn",service="frr"}'] == "0"
    assert found['goldentooth_drift_artifacts{host="allyrion",service="haproxy"}'] == "1"
    state = 'goldentooth_drift_items{host="allyrion",service="routes",state="not loaded"}'
    assert found[state] == "1"
    assert found['goldentooth_drift_host_state{host="jast",state="unreachable"}'] == "1"
    assert found['goldentooth_drift_host_status{host="jast"}'] == "2"
    assert found["goldentooth_drift_duration_seconds"] == "1.250"


def test_a_run_that_could_not_tell_is_no_success_and_keeps_the_last_one() -> None:
    name = "goldentooth_drift_last_success_timestamp_seconds"
    earlier = datetime(2026, 3, 1, tzinfo=UTC)
    assert name not in samples(mixed().prometheus())
    assert samples(mixed().prometheus(earlier))[name] == f"{earlier.timestamp():.0f}"
    told = report(drifted("allyrion")).prometheus(earlier)
    assert samples(told)[name] == f"{STARTED.timestamp():.0f}"


@needs("promtool", "prometheus")
@pytest.mark.parametrize("made", [mixed(), one_of_each(), report(unreachable('a"\\b'))])
def test_promtool_has_nothing_to_say_of_the_metrics(made: DriftReport) -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=made.prometheus(STARTED),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# -- frames ------------------------------------------------------------------------------


def test_a_frame_has_a_row_an_item_and_one_for_a_host_that_is_gone() -> None:
    pytest.importorskip("pandas")
    frame = mixed().to_frame()
    assert list(frame.columns) == ["host", "service", "subject", "state", "detail"]
    assert len(frame) == 7
    assert frame[frame.host == "jast"].state.tolist() == ["unreachable"]
    assert list(report().to_frame().columns) == list(frame.columns)


def test_without_pandas_a_frame_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "pandas":
            raise ModuleNotFoundError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="pip install pandas"):
        mixed().to_frame()
