"""Drift by the clock and in a notebook, on the twin: what cron, systemd and a person see."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest

from goldentooth.twin import Twin
from goldentooth.twin.state import read_environment
from tests.sites import ROOT, Site

NOTEBOOK = ROOT / "notebooks/network.ipynb"
ROUTE = "10.4.11.0/24"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a project of the test's own: its history and its metrics are there."""
    return Site(tmp_path / "site")


def scheduled(twin: Twin, site: Site) -> subprocess.CompletedProcess[bytes]:
    """Run what docs/cron.md has cron run, with no more environment than cron gives."""
    program = [sys.executable, str(ROOT / "runbooks/drift.py"), "--config", str(site.config)]
    options = ["--scheduled", "--quiet", "--output", f"prometheus={site.folder}/drift.prom"]
    environment = ["env", "-i", "PATH=/usr/bin:/bin", "HOME=/run/home", "LOGNAME=root"]
    secrets = (f"{name}={value}" for name, value in read_environment(twin.name).items())
    return twin.run([*environment, *secrets, *program, *options])  # as lines of the crontab


def metric(site: Site, name: str) -> float:
    lines = (site.folder / "drift.prom").read_text().splitlines()
    return float(next(line.rpartition(" ")[2] for line in lines if line.startswith(name)))


@contextmanager
def hand_edits(twin: Twin) -> Iterator[None]:
    """Change two hosts by hand, and take it back."""
    config = "/etc/haproxy/haproxy.cfg"
    twin.exec("fenn", ["ip", "route", "del", ROUTE])
    twin.exec("allyrion", ["cp", "-p", config, "/root/kept"])
    twin.exec("allyrion", ["sed", "-i", "s/10.4.0.11:6443/10.4.0.99:6443/", config])
    try:
        yield
    finally:
        twin.exec("fenn", ["ip", "route", "replace", ROUTE, "dev", "eth0"])
        twin.exec("allyrion", ["cp", "-p", "/root/kept", config])
        twin.exec("allyrion", ["systemctl", "reload", "haproxy"])


def test_a_network_in_sync_is_no_word_and_a_success(twin: Twin, site: Site) -> None:
    done = scheduled(twin, site)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    began = metric(site, "goldentooth_drift_last_run_timestamp_seconds")
    assert metric(site, "goldentooth_drift_last_success_timestamp_seconds") == began
    assert metric(site, 'goldentooth_drift_artifacts{host="fenn",service="routes"}') == 0


def test_the_crontab_line_names_what_has_drifted_and_who_is_gone(twin: Twin, site: Site) -> None:
    with hand_edits(twin):
        done = scheduled(twin, site)
        assert (done.returncode, done.stderr) == (1, b"")
        assert metric(site, 'goldentooth_drift_artifacts{host="fenn",service="routes"}') == 1
        success = metric(site, "goldentooth_drift_last_success_timestamp_seconds")
        twin.break_("power", "jast")
        assert scheduled(twin, site).returncode == 2
    assert metric(site, 'goldentooth_drift_host_status{host="jast"}') == 2
    assert metric(site, "goldentooth_drift_last_success_timestamp_seconds") == success
    twin.heal("power", "jast")
    assert scheduled(twin, site).returncode == 0
    shown = site.run("drift", "--history", "--format", "json")
    changes = [
        (change["host"], [each["state"] for each in change["now"]])
        for change in json.loads(shown.stdout)["changes"]
    ]
    assert sorted(host for host, _ in changes[:2]) == ["allyrion", "fenn"]
    assert changes[2] == ("jast", ["unreachable"])
    assert sorted(changes[3:]) == [("allyrion", []), ("fenn", []), ("jast", [])]


# -- the timer that the facts make -------------------------------------------------------


def timer_drift(twin: Twin, site: Site) -> list[dict[str, str]]:
    done = twin.run(
        [
            *(sys.executable, str(ROOT / "runbooks/drift.py"), "--config", str(site.config)),
            *("--host", "allyrion", "--service", "watch", "--format", "json"),
        ]
    )
    items: list[dict[str, str]] = json.loads(done.stdout)["hosts"][0]["items"]
    return [item for item in items if item["state"] != "in sync"]


def test_the_timer_waits_and_what_it_starts_is_there(twin: Twin) -> None:
    shown = twin.exec("allyrion", ["systemctl", "list-timers", "--output=json"]).stdout
    timers = {timer["unit"]: timer for timer in json.loads(shown)}
    timer = timers["goldentooth-drift.timer"]
    assert timer["activates"] == "goldentooth-drift.service"
    assert timer["next"]


def test_without_the_project_in_its_place_nothing_is_run_and_nothing_fails(twin: Twin) -> None:
    unit = "goldentooth-drift.service"
    assert twin.exec("allyrion", ["systemctl", "start", unit]).returncode == 0
    shown = twin.exec("allyrion", ["systemctl", "show", "--property=ConditionResult,Result", unit])
    assert set(shown.stdout.decode().split()) == {"ConditionResult=no", "Result=success"}


def test_who_stops_the_timer_has_drifted(twin: Twin, site: Site) -> None:
    assert timer_drift(twin, site) == []
    twin.exec("allyrion", ["systemctl", "stop", "goldentooth-drift.timer"])
    try:
        (item,) = timer_drift(twin, site)
    finally:
        twin.exec("allyrion", ["systemctl", "start", "goldentooth-drift.timer"])
    assert (item["subject"], item["state"]) == ("units of watch", "drift")
    assert item["detail"] == "goldentooth-drift.timer inactive"


def test_a_unit_that_systemd_has_not_read_again_is_not_loaded(twin: Twin, site: Site) -> None:
    touch = ["touch", "--date=+1 second", "/etc/systemd/system/goldentooth-drift.service"]
    twin.exec("allyrion", touch)
    (item,) = timer_drift(twin, site)
    assert (item["subject"], item["state"]) == ("systemd's units for drift", "not loaded")
    assert item["detail"].startswith("goldentooth-drift.service is older than its file")
    twin.exec("allyrion", ["systemctl", "daemon-reload"])
    assert timer_drift(twin, site) == []


def test_who_softens_an_alert_has_drifted(twin: Twin, site: Site) -> None:
    rules = "/etc/prometheus/rules/goldentooth-drift.yml"
    twin.exec("allyrion", ["sed", "-i.kept", "s/for: 1h/for: 100h/", rules])
    try:
        (item,) = timer_drift(twin, site)
    finally:
        twin.exec("allyrion", ["mv", f"{rules}.kept", rules])
    assert (item["subject"], item["state"]) == (rules, "drift")
    assert "+        for: 100h\n" in item["diff"]


# -- the notebook ------------------------------------------------------------------------


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook: nbformat.NotebookNode) -> str:
    """Return the plain text that the cells have put out."""
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    return "\n".join(
        output.text if output.output_type == "stream" else output.data["text/plain"]
        for output in outputs
    )


def tells_the_story(notebook: nbformat.NotebookNode) -> None:
    text = shown(notebook)
    healthy, _, after = text.partition("14 hosts: in sync\n")
    assert " passed, 0 failed, 0 unknown" in healthy
    assert "\ndrift  allyrion haproxy: /etc/haproxy/haproxy.cfg\n" in after
    assert "\n    +    server bettley 10.4.0.99:6443\n" in after
    assert "\ndrift  fenn routes: the kernel's routes\n" in after
    assert "2 in the way (--overwrite-drift, or adopt)" in after
    assert ": 2 confirmed in " in after
    assert text.rstrip().endswith("14 hosts: in sync")


def test_what_is_saved_in_the_notebook_was_made_by_running_it_in_order() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert str(ROOT) not in NOTEBOOK.read_text()
    tells_the_story(notebook)


def test_the_notebook_does_what_it_shows(twin: Twin, site: Site) -> None:
    folder = site.folder / "notebooks"
    folder.mkdir()
    shutil.copy(NOTEBOOK, folder)
    program = [sys.executable, str(ROOT / "notebooks/execute.py"), str(folder / NOTEBOOK.name)]
    done = twin.run(["env", f"PYTHONPATH={ROOT}", *program], cwd=site.folder)
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    made, saved = (nbformat.read(path, as_version=4) for path in (folder / NOTEBOOK.name, NOTEBOOK))
    tells_the_story(made)
    for ours, theirs in zip(code_cells(made), code_cells(saved), strict=True):
        kinds = [
            [sorted(output.get("data", {"stream": ""})) for output in cell.outputs]
            for cell in (ours, theirs)
        ]
        assert kinds[0] == kinds[1]
