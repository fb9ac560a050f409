"""`deploy --rehearse`: the change on a twin of the hosts as they are, before it is theirs.

The controller needs both its own network and the hosts'; here it is this machine, with the
network of the first twin's operator.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from goldentooth.rehearsal import NAME
from goldentooth.twin import Twin, state
from goldentooth.twin.construction import HOME
from goldentooth.twin.plan import OPERATOR
from tests.twin.conftest import PROJECT

HAPROXY = "/etc/haproxy/haproxy.cfg"


class Controller:
    """A copy of the project, and the operator's keys and network."""

    def __init__(self, twin: Twin, folder: Path) -> None:
        self.twin, self.folder = twin, folder
        self.home = folder / "home"
        self.home.mkdir()
        keys = twin.run(["sh", "-c", "tar -C ~ --create ."]).stdout
        subprocess.run(["tar", "-C", str(self.home), "--extract"], input=keys, check=True)

    def run(self, *arguments: str) -> tuple[int, dict[str, Any], str]:
        netns = f"/run/netns/{self.twin.machine(OPERATOR).netns}"
        here = {"HOME": str(self.home), "PYTHONPATH": str(PROJECT)}
        found = state.read_environment(self.twin.name)
        secrets = {key: value.replace(HOME, str(self.home)) for key, value in found.items()}
        done = subprocess.run(
            [
                *("nsenter", f"--net={netns}", sys.executable, "-m", "runbooks", *arguments),
                *("--config", str(self.folder / "config.yaml"), "--format", "json"),
            ],
            env={**os.environ, **secrets, **here},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        said = done.stdout
        report = json.loads(said[said.index("{") :]) if "{" in said else {}
        return done.returncode, report, done.stderr


@pytest.fixture
def controller(twin: Twin, tmp_path: Path) -> Controller:
    for name in ("inventory", "templates"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    shutil.copy(PROJECT / "config.yaml", tmp_path)
    return Controller(twin, tmp_path)


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))


def on_host(twin: Twin) -> bytes:
    return twin.exec("allyrion", ["cat", HAPROXY]).stdout


def test_a_good_change_is_rehearsed_and_loses_nothing(controller: Controller, twin: Twin) -> None:
    before = on_host(twin)
    edit(controller.folder / "inventory/defaults.yaml", "client: 4h", "client: 5h")
    status, report, said = controller.run("deploy", "--rehearse", "--service", "haproxy")
    assert (status, report.get("passed")) == (0, True), said
    assert "1 confirmed" in report["trials"][0]["seen"]
    losses = {loss["traffic"]: (loss["sent"] > 0, loss["lost"]) for loss in report["losses"]}
    assert losses["requests to the API"] == (True, 0)
    assert on_host(twin) == before  # nothing but a rehearsal
    assert not any(name.startswith(NAME) for name in state.all_names())


def test_a_change_that_breaks_the_api_is_not_committed(controller: Controller, twin: Twin) -> None:
    before = on_host(twin)
    template = controller.folder / "templates/haproxy/haproxy.cfg.j2"
    edit(template, "{{ server.address }}:{{ api_port }}", "{{ server.address }}:1")
    arguments = ("--rehearse", "--commit", "--service", "haproxy", "--confirm-within", "10")
    status, report, said = controller.run("deploy", *arguments)
    assert (status, report.get("passed")) == (2, False), said
    assert "rolled back" in report["trials"][0]["seen"]
    assert on_host(twin) == before
