"""What the pages about drift list is all there is, and what they tell to write works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from goldentooth.drift import DriftState
from goldentooth.model import Network
from goldentooth.notify import FORMAT, Hooks
from goldentooth.services.watch import SERVICE
from runbooks.drift import FORMATS
from tests.drift_reports import STARTED, one_of_each
from tests.namespaces import namespaces, needs_root
from tests.sites import ROOT, Site

DRIFT = (ROOT / "docs/drift.md").read_text()
CRON = (ROOT / "docs/cron.md").read_text()


def first_column(page: str, heading: str) -> list[str]:
    """Return the first cells of the tables under a heading (all tables if it is empty)."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return [cell.strip("`*").partition("{")[0] for cell in cells]


def test_every_state_is_explained() -> None:
    cells = first_column(DRIFT, "What a state means, and what to do")
    assert [cell for cell in cells if cell != "state"] == [
        state.value for state in sorted(DriftState, key=lambda state: cells.index(state.value))
    ]


def test_every_format_and_metric_is_listed() -> None:
    cells = first_column(DRIFT, "Formats")
    metrics = re.findall(r"^# TYPE (\S+)", one_of_each().prometheus(STARTED), re.MULTILINE)
    assert cells == ["format", *FORMATS, "metric", *_in_order(metrics, cells)]


def _in_order(names: list[str], order: list[str]) -> list[str]:
    return sorted(names, key=order.index)


def test_every_alert_is_listed(network: Network) -> None:
    rules = yaml.safe_load((ROOT / "templates/watch/rules.yml.j2").read_text())
    alerts = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    assert first_column(CRON, "systemd, and alerts") == ["alert", *alerts]
    assert [node.name for node in SERVICE.hosts(network)]


def yaml_block(file: str) -> dict[str, object]:
    block = CRON.partition(f"```yaml\n# {file}\n")[2].partition("```")[0]
    document: dict[str, object] = yaml.safe_load(block)
    return document


def test_the_settings_of_the_page_are_taken(site: Site) -> None:
    settings = yaml_block("config.yaml")["user_defined"]
    assert isinstance(settings, dict)
    hooks = Hooks.of(settings)
    assert hooks.command[0] == "mail"
    assert hooks.webhook == "${file:/etc/goldentooth/hook}"
    assert FORMAT in CRON
    config = yaml.safe_load(site.config.read_text())
    config["user_defined"] |= settings
    site.config.write_text(yaml.safe_dump(config))
    assert site.project().drift_history.keep == 500


def test_the_schedule_of_the_page_is_the_shipped_one(network: Network) -> None:
    data = yaml_block("inventory/defaults.yaml")["data"]
    assert isinstance(data, dict)
    assert network.schedule is not None
    assert data["schedule"] == {
        "drift": network.schedule.drift,
        "project": network.schedule.project,
    }


@needs_root
def test_the_crontab_line_does_what_it_says_in_crons_environment(
    site: Site, tmp_path: Path
) -> None:
    """In a network without hosts; tests/twin has one with them."""
    (line,) = re.findall(r"^\*/15 \* \* \* \* root (.+)$", CRON, re.MULTILINE)
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    for old, new in (
        ("/srv/goldentooth/network/.venv/bin", str(Path(sys.executable).parent)),
        ("/srv/goldentooth/network", str(site.folder)),
        ("/var/lib/prometheus/node-exporter", str(metrics)),
    ):
        assert old in line
        line = line.replace(old, new)
    with namespaces(1) as (nowhere,):
        environment = ("env", "-i", "PATH=/usr/bin:/bin", "SHELL=/bin/sh", "LOGNAME=root")
        done = nowhere.run(*environment, "/bin/sh", "-c", line, check=False)
    assert (done.returncode, done.stderr) == (2, "")
    assert "unreachable" in done.stdout  # what cron mails
    assert "goldentooth_drift_host_status" in (metrics / "goldentooth_drift.prom").read_text()


@pytest.mark.parametrize("page", [DRIFT, CRON])
def test_the_options_that_a_page_names_are_there(page: str) -> None:
    command = [sys.executable, "-m", "runbooks", "drift", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    named = set(re.findall(r"`(--[a-z-]+)", page)) | set(
        re.findall(r"goldentooth-net drift.*?(--[a-z-]+)", page)
    )
    of_others = {"--overwrite-drift", "--unit"}
    assert named
    assert {option for option in named - of_others if option not in shown} == set()
