"""A system that is new in ``services/`` is on the twin, without a line of the twin changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldentooth.twin import Twin, remove_twin
from tests.sites import ROOT, Site

pytestmark = pytest.mark.root

TOY = '''"""toy: a daemon of a user of its own."""

from dataclasses import dataclass

from goldentooth.artifact import Draft
from goldentooth.check import Check, passes
from goldentooth.needs import Needs, Package

UNIT = """[Service]
User=ada
ExecStart=/usr/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""


class Toy:
    name = "toy"
    title = "toy"

    def hosts(self, network):
        return network.load_balancers

    def needs(self, network, node):
        return Needs((Package("toy", PROGRAM, "play", tmpfiles=("x11",)),), users=("ada",))

    def drafts(self, network, node):
        yield Draft("/etc/systemd/system/toy.service", text=UNIT)
        yield Draft("/etc/toy.conf", text="toy\\n", owner="ada:ada", mode=0o600)

    def units(self, network, node):
        return ("toy.service",)

    def checks(self, network, node):
        yield Plays(node.name, node.name)

    def activate(self, network, node):
        return ()

    def observe(self, network, node):
        return ()

    def folders(self, network, node):
        return ()


@dataclass(frozen=True)
class Plays(Check):
    """Passes: ada plays. Fails: nobody does."""

    kind = "toy.plays"
    column = "toy"
    subject: str
    host: str
    expected = "ada plays"

    def reads(self):
        return ("pgrep -u ada -a sleep", "cat /etc/toy.conf")

    def judge(self, outputs):
        played = outputs[self.reads()[0]].status == 0
        return passes(played, "plays" if played else "idles")


SERVICE = Toy()
'''


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a copy of the project and its code, with one service more."""
    site = Site(tmp_path / "project")
    for folder in ("goldentooth", "runbooks", "tasks"):
        shutil.copytree(
            ROOT / folder, site.folder / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    return site


@pytest.fixture
def name() -> Iterator[str]:
    name = f"toy{os.getpid()}"
    yield name
    remove_twin(name)


def _net(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return site.run(*arguments, env={"PYTHONPATH": str(site.folder)})


def test_its_units_files_users_and_checks_are_on_the_twin(site: Site, name: str) -> None:
    site.write("goldentooth/services/toy.py", TOY.replace("PROGRAM", '"/usr/bin/true"'))

    done = _net(site, "twin", "up", "--name", name, "--host", "allyrion", "--host", "bettley")

    assert done.returncode == 0, done.stderr
    status = json.loads(_net(site, "twin", "status", "--name", name, "--format", "json").stdout)
    units = {host["name"]: host["units"] for host in status["hosts"]}
    assert units["allyrion"]["toy.service"] == "active"
    assert "toy.service" not in units["bettley"]
    assert status["states"]["toy"] == {"allyrion": {"is_right": True, "seen": "plays"}}
    twin = Twin.attach(name)
    user = twin.run(["ssh", "-o", "BatchMode=yes", "ada@allyrion", "id -un; cat /etc/toy.conf"])
    assert user.stdout == b"ada\ntoy\n", user.stderr
    assert twin.exec("allyrion", ["test", "-d", "/tmp/.X11-unix"]).returncode == 0
    assert twin.exec("bettley", ["id", "ada"]).returncode == 1


def test_its_package_is_missed_by_name(site: Site, name: str) -> None:
    site.write("goldentooth/services/toy.py", TOY.replace("PROGRAM", '"/nowhere/toy"'))

    done = _net(site, "twin", "up", "--name", name, "--host", "allyrion")

    assert done.returncode == 2
    assert done.stderr.endswith("missing: toy (play)\n    apt-get install toy\n")
    assert "\ntoy\n" in _net(site, "twin", "packages").stdout
    assert _net(site, "twin", "up", "--host", "bettley", "--name", name).returncode == 0
