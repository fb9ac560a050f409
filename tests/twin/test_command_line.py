"""What the actions of ``goldentooth-net twin`` answer: exit status, output, and what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from goldentooth.twin import Twin, remove_twin
from runbooks.cli import main
from tests.sites import ROOT, Site
from tests.twin.claims.observation import wait_until

pytestmark = pytest.mark.root

HOSTS = ("--host", "allyrion", "--host", "bettley")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("command-line") / "site")


@pytest.fixture(scope="module")
def name(site: Site) -> Iterator[str]:
    """Return the name of a small twin that the command line has brought up."""
    name = f"cli{os.getpid()}"
    try:
        # as cron would: no folder of system programs in its PATH
        environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
        done = site.run("twin", "up", "--name", name, *HOSTS, env=environment)
        assert done.returncode == 0, done.stderr
        yield name
    finally:
        remove_twin(name)


@pytest.fixture
def other() -> Iterator[str]:
    """Return the name of a twin that is not up; nothing of it stays."""
    name = f"clib{os.getpid()}"
    yield name
    remove_twin(name)


def _json(site: Site, schema: str, *arguments: str) -> Any:
    done = site.run("twin", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    jsonschema.validate(value, json.loads((ROOT / f"docs/schemas/{schema}.json").read_text()))
    return value


def test_status_is_what_its_schema_says(site: Site, name: str) -> None:
    Twin.attach(name).break_("slow", "allyrion", percent="50")

    status = _json(site, "twin-status.schema", "status", "--name", name)

    Twin.attach(name).heal()
    assert [host["name"] for host in status["hosts"]] == ["allyrion", "bettley", "operator"]
    assert status["states"]["backend"] == {"bettley": {"is_right": True, "seen": "UP"}}
    assert status["faults"] == [
        {"id": 1, "kind": "slow", "host": "allyrion", "options": {"percent": "50"}}
    ]


def test_the_table_of_status_has_a_column_for_what_checks_see(site: Site, name: str) -> None:
    header, *lines = site.run("twin", "status", "--name", name).stdout.splitlines()

    assert header.split() == ["host", "address", "power", "units", "backend", "memory"]
    assert lines[1].split()[:2] == ["bettley", "10.4.0.11"]
    assert any(", 1 of 1 backend right, up " in line for line in lines)


def test_list_is_what_its_schema_says(site: Site, name: str, other: str) -> None:
    half_made = Path("/run/goldentooth-twin", other)
    half_made.mkdir()

    listed = _json(site, "twin-list.schema", "list")["twins"]

    mine = {twin.pop("name"): twin for twin in listed}
    assert mine[name]["hosts"] == ["allyrion", "bettley"]
    assert mine[other] == {"is_whole": False}
    assert f"{name}\n" in site.run("twin", "list").stdout


@pytest.mark.parametrize("place", [0, 1, 2])
def test_options_of_capture_stand_anywhere(
    site: Site, name: str, tmp_path: Path, place: int
) -> None:
    file = tmp_path / "packets"
    words = ["bettley", "icmp", "or", "arp"]
    options = ["--output", str(file), "--interface", "eth0", "--name", name]
    command = [*words[:place], *options, *words[place:]]
    process = subprocess.Popen(
        [sys.executable, "-m", "runbooks", "twin", "capture", *command],
        cwd=site.folder,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert b"recording to" in process.stderr.readline()

    Twin.attach(name).run(["ping", "-c", "1", "-W", "1", "10.4.0.11"])
    wait_until(lambda: b"ICMP echo reply" in _printed("tcpdump", "-nr", str(file)), 10)
    process.send_signal(signal.SIGINT)

    assert process.wait(10) == 0


def _printed(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, check=False).stdout


@pytest.mark.parametrize("words", ["--name {} allyrion -- {}", "allyrion --name {} -- {}"])
def test_what_follows_two_dashes_is_the_commands(site: Site, name: str, words: str) -> None:
    done = site.run("twin", "exec", *words.format(name, "echo --name x --").split())

    assert (done.returncode, done.stdout) == (0, "--name x --\n")


BAD_CALLS = {
    "a filter with a mistake": (
        ("capture", "bettley", "tcp", "prot", "80"),
        "bettley: tcpdump: ",
    ),
    "an interface that is not there": (
        ("capture", "bettley", "--interface", "eth7"),
        "bettley: tcpdump: eth7: No such device",
    ),
    "a unit that is not there": (
        ("logs", "allyrion", "haprxy"),
        "allyrion has no unit 'haprxy'\n    did you mean haproxy.service?\n",
    ),
    "a count of lines that is none": (
        ("logs", "allyrion", "--lines", "-3"),
        "argument --lines: '-3' is not a number from 1 up\n",
    ),
    "a time that is none": (("up", "--timeout", "-1"), "'-1' is not a number of seconds above 0"),
    "a time without end": (("up", "--timeout", "inf"), "'inf' is not a number of seconds above 0"),
    "a fault of what is no host": (
        ("break", "link", "operator"),
        "operator is not a host but a namespace beside them, and cannot be broken\n    break a",
    ),
}


@pytest.mark.parametrize("call", BAD_CALLS)
def test_a_bad_call_is_2_with_a_message_and_leaves_nothing(
    site: Site, name: str, tmp_path: Path, call: str
) -> None:
    (action, *rest), message = BAD_CALLS[call]
    environment = {"PYTHONPATH": str(ROOT)}
    config = str(site.config)

    done = site.run(
        "twin", action, "--config", config, "--name", name, *rest, cwd=tmp_path, env=environment
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_unit_that_has_said_nothing_is_no_mistake(site: Site, name: str) -> None:
    done = site.run("twin", "logs", "allyrion", "rescue", "--name", name)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("reached", ["wired", "booted 1"])
def test_an_up_that_is_ended_leaves_nothing(
    site: Site, other: str, number: signal.Signals, reached: str
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "runbooks", "twin", "up", "--name", other, *HOSTS],
        cwd=site.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while not process.stderr.readline().startswith(reached):
        assert process.poll() is None
    process.send_signal(number)

    assert process.wait(20) == 128 + number
    assert f"{other}\n" not in site.run("twin", "list").stdout
    namespaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert f"gt-{other}" not in namespaces


def test_a_foreign_namespace_of_a_similar_name_is_left_alone(site: Site, other: str) -> None:
    foreign = [f"gt-{other}-like", f"gt-{other}-allyrion"]
    sleepers = []
    try:
        for namespace in foreign:
            subprocess.run(["ip", "netns", "add", namespace], check=True)
            inside = ["ip", "netns", "exec", namespace, "sleep", "60"]
            sleepers.append(subprocess.Popen(inside))
        refused = site.run("twin", "up", "--name", other, *HOSTS)
        subprocess.run(["ip", "netns", "exec", foreign[1], "true"], check=True)
        subprocess.run(["ip", "netns", "delete", foreign.pop()], check=True)
        brought_up = site.run("twin", "up", "--name", other, *HOSTS)
        taken_down = site.run("twin", "down", "--name", other)
        time.sleep(0.1)
        namespaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True)
        alive = [sleeper.poll() is None for sleeper in sleepers]
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
        for namespace in foreign:
            subprocess.run(["ip", "netns", "delete", namespace], check=True)

    assert refused.returncode == 2
    assert f"no twin's: gt-{other}-allyrion" in refused.stderr
    assert (brought_up.returncode, taken_down.returncode) == (0, 0)
    assert f"gt-{other}-like" in namespaces.stdout
    assert alive == [True, True]


def test_naming_packages_and_twins_needs_no_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert main(["twin", "list"]) == 0
    assert main(["twin", "packages"]) == 0
    assert {"frr", "haproxy", "tcpdump"} <= set(capsys.readouterr().out.split())
    assert main(["twin", "status"]) == 2
    assert "the twin needs root" in capsys.readouterr().err
