"""The watch: timer, service and alert rules, before systemd's and Prometheus' own judges."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from goldentooth.check import Output
from goldentooth.errors import FactsError
from goldentooth.model import Network
from goldentooth.observation import Seen, Verdict
from goldentooth.services.watch import SERVICE, TIMER_PATH, DriftTimer, UnitsLoaded
from runbooks.drift import parser
from tests.namespaces import needs, run_judge
from tests.sites import Site

UNITS = "allyrion/etc/systemd/system"
RULES = "allyrion/etc/prometheus/rules/goldentooth-drift.yml"
needs_promtool = needs("promtool", "prometheus")


def setting(text: str, key: str) -> list[str]:
    return [line.partition("=")[2] for line in text.splitlines() if line.startswith(f"{key}=")]


# -- where it is -------------------------------------------------------------------------


def test_the_timer_is_where_the_project_runs_and_the_rules_where_prometheus_is(
    site: Site, network: Network
) -> None:
    assert [node.name for node in SERVICE.hosts(network)] == ["allyrion"]
    site.edit("inventory/hosts.yaml", "worker, loki]", "worker, loki, controller]")
    site.text(RULES)
    moved = site.build / "inchfield/etc"
    assert (moved / "systemd/system/goldentooth-drift.timer").exists()
    assert not (moved / "prometheus").exists()


def test_without_a_schedule_there_is_no_watch(site: Site) -> None:
    text = (site.folder / "inventory/defaults.yaml").read_text()
    schedule = text.index("\n  schedule:\n")
    site.write("inventory/defaults.yaml", text[:schedule] + "\n")
    assert SERVICE.hosts(site.project().network) == ()


# -- units -------------------------------------------------------------------------------


def test_the_service_runs_a_command_that_is_there(site: Site) -> None:
    text = site.text(f"{UNITS}/goldentooth-drift.service")
    ((command),) = setting(text, "ExecStart")
    program, verb, *words = shlex.split(command)
    assert program == "/srv/goldentooth/network/.venv/bin/goldentooth-net"
    assert verb == "drift"
    arguments = parser().parse_args(words)
    assert arguments.scheduled
    assert [target.implied for target in arguments.outputs] == ["html", "prometheus"]


def test_every_file_of_a_run_is_in_a_folder_that_the_service_may_write(site: Site) -> None:
    text = site.text(f"{UNITS}/goldentooth-drift.service")
    (writable,) = (line.split() for line in setting(text, "ReadWritePaths"))
    (command,) = setting(text, "ExecStart")
    arguments = parser().parse_args(shlex.split(command)[2:])
    for target in arguments.outputs:
        assert any(target.path.startswith(f"{folder}/") for folder in writable)


def test_systemd_ends_a_run_only_after_it_would_have_ended_itself(site: Site) -> None:
    from runbooks.drift import SCHEDULED_SECONDS

    (limit,) = setting(site.text(f"{UNITS}/goldentooth-drift.service"), "TimeoutStartSec")
    assert int(limit) > SCHEDULED_SECONDS


@needs("systemd-analyze", "systemd")
def test_systemd_accepts_both_units(site: Site, tmp_path: Path) -> None:
    for name in ("goldentooth-drift.service", "goldentooth-drift.timer"):
        text = site.text(f"{UNITS}/{name}")
        # the project is not on this machine, and systemd looks for the program
        program = "/srv/goldentooth/network/.venv/bin/goldentooth-net"
        (tmp_path / name).write_text(text.replace(program, "/bin/true"))
    for name in ("goldentooth-drift.service", "goldentooth-drift.timer"):
        done = run_judge("systemd-analyze", "verify", "--man=no", tmp_path / name)
        assert (done.returncode, done.stdout) == (0, "")


@needs("systemd-analyze", "systemd")
def test_a_time_that_is_none_is_rejected_by_the_judge(site: Site) -> None:
    site.edit("inventory/defaults.yaml", "drift: 00..23:00/15", "drift: sometimes")
    report = site.project().render(validate=True, services=["watch"])
    (verdict,) = report.hosts[0].rejections
    assert "Failed to parse calendar specification" in verdict.output


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("drift: 00..23:00/15", 'drift: "hourly\\nExecStart=x"', "is not a calendar expression"),
        ("drift: 00..23:00/15", 'drift: "*:0/15"', "is not a calendar expression"),
        ("/srv/goldentooth/network", "goldentooth/network", "is not a folder's absolute path"),
        ("/srv/goldentooth/network", "'/srv/a b'", "is not a folder's absolute path"),
        ("/srv/goldentooth/network", "/srv/../etc", "is not a folder's absolute path"),
        ("    project:", "    projct:", "unknown key 'projct'"),
    ],
)
def test_what_would_be_more_than_a_value_is_refused(
    site: Site, old: str, new: str, says: str
) -> None:
    site.edit("inventory/defaults.yaml", old, new)
    with pytest.raises(FactsError, match=says):
        site.project()


# -- what systemd says of them -----------------------------------------------------------


def units(enabled: str = "enabled", timer_old: str = "no", service_old: str = "no") -> Seen:
    text = (
        f"Id=goldentooth-drift.timer\nUnitFileState={enabled}\nNeedDaemonReload={timer_old}\n\n"
        f"Id=goldentooth-drift.service\nUnitFileState=static\nNeedDaemonReload={service_old}\n"
    )
    return Seen({TIMER_PATH: ""}, {}, {UnitsLoaded().reads()[0]: Output(text.encode())})


def test_units_that_were_read_since_they_were_written_are_in_sync() -> None:
    assert UnitsLoaded().compare(units()) is None


@pytest.mark.parametrize(
    ("seen", "verdict", "detail"),
    [
        (units(enabled="disabled"), Verdict.DRIFT, "goldentooth-drift.timer disabled"),
        (units(enabled="masked", timer_old="yes"), Verdict.DRIFT, "goldentooth-drift.timer masked"),
        (units(timer_old="yes"), Verdict.NOT_LOADED, "goldentooth-drift.timer is older"),
        (units(service_old="yes"), Verdict.NOT_LOADED, "goldentooth-drift.service is older"),
    ],
)
def test_a_timer_that_is_not_enabled_and_a_unit_that_is_old_are_named(
    seen: Seen, verdict: Verdict, detail: str
) -> None:
    difference = UnitsLoaded().compare(seen)
    assert difference
    assert difference.verdict is verdict
    assert difference.detail.startswith(detail)


@pytest.mark.parametrize(
    ("said", "status", "state"),
    [(b"active\n", 0, "passed"), (b"inactive\n", 3, "failed"), (b"", 1, "failed")],
)
def test_the_check_passes_for_an_active_timer_only(said: bytes, status: int, state: str) -> None:
    check = DriftTimer("allyrion", "allyrion")
    assert check.judge({check.reads()[0]: Output(said, status=status)}).state.value == state


# -- alerts ------------------------------------------------------------------------------


@needs_promtool
def test_prometheus_accepts_the_rules_without_a_word(site: Site) -> None:
    site.text(RULES)
    done = run_judge("promtool", "check", "rules", site.build / RULES)
    assert done.returncode == 0
    assert "SUCCESS: 4 rules found" in done.stdout
    assert "lint" not in done.stdout


CLOCK = "goldentooth_drift_last_success_timestamp_seconds"
DRIFT = 'goldentooth_drift_artifacts{host="fenn", service="routes"}'
STATUS = 'goldentooth_drift_host_status{host="jast"}'
DAY = 1440


def fired(site: Site, alert: str, minute: int, series: dict[str, str]) -> bool:
    """Tell whether ``alert`` fires in Prometheus' own evaluation, ``minute`` into ``series``."""
    site.text(RULES)
    case = {
        "rule_files": [str(site.build / RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": name, "values": values} for name, values in series.items()
                ],
                "alert_rule_test": [
                    {"eval_time": f"{minute}m", "alertname": alert, "exp_alerts": []}
                ],
            }
        ],
    }
    file = site.folder / "case.yml"
    file.write_text(yaml.safe_dump(case))
    done = subprocess.run(
        ["promtool", "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 or f"alertname: {alert}, time: " in done.stderr, (
        done.stdout + done.stderr
    )
    return done.returncode != 0


@needs_promtool
def test_drift_is_an_alert_after_an_hour_and_not_before(site: Site) -> None:
    series = {DRIFT: "0x10 1x90"}
    assert not fired(site, "NetworkDrift", 70, series)
    assert fired(site, "NetworkDrift", 72, series)
    assert not fired(site, "NetworkDrift", 72, {DRIFT: "0x10 1x50 0x40"})


@needs_promtool
def test_drift_that_is_no_services_is_an_alert_of_the_host(site: Site) -> None:
    status, none = 'goldentooth_drift_host_status{host="fenn"}', {DRIFT: "0x90"}
    assert not fired(site, "NetworkHostDrift", 30, {status: "1x90", **none})
    assert fired(site, "NetworkHostDrift", 61, {status: "1x90", **none})
    assert not fired(site, "NetworkHostDrift", 61, {status: "1x90", DRIFT: "1x90"})
    assert not fired(site, "NetworkHostDrift", 61, {status: "0x90", **none})


@needs_promtool
def test_a_host_that_nobody_can_tell_is_an_alert_after_an_hour(site: Site) -> None:
    assert not fired(site, "NetworkDriftUnknown", 30, {STATUS: "2x90"})
    assert fired(site, "NetworkDriftUnknown", 61, {STATUS: "2x90"})
    assert not fired(site, "NetworkDriftUnknown", 61, {STATUS: "1x90"})


@needs_promtool
def test_a_day_without_a_success_is_an_alert(site: Site) -> None:
    """Time begins at 0 there: a success at 0 is a day old after 1,440 minutes."""
    success = {CLOCK: f"0x{2 * DAY}"}
    assert not fired(site, "NetworkDriftUnwatched", DAY, success)
    assert fired(site, "NetworkDriftUnwatched", DAY + 32, success)


@needs_promtool
def test_a_watch_that_leaves_no_trace_is_an_alert(site: Site) -> None:
    gone = {CLOCK: f"0+60x60 _x{3 * DAY}"}
    assert not fired(site, "NetworkDriftUnwatched", DAY, gone)
    assert fired(site, "NetworkDriftUnwatched", DAY + 60 + 35, gone)
    assert fired(site, "NetworkDriftUnwatched", 31, {DRIFT: "0x90"})
