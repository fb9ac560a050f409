"""A twin touches nothing of this machine, and nothing of it is left, however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from goldentooth.model import Network
from goldentooth.needs import Package
from goldentooth.twin import (
    MachineError,
    NoSuchTwinError,
    NotVerifiedError,
    Twin,
    TwinError,
    list_twins,
    probe,
    remove_twin,
    state,
)
from goldentooth.twin.machine import MARK

pytestmark = pytest.mark.root

SMALL = ["router", "allyrion", "bettley"]
NO_BGP = ["allyrion", "bettley"]
"""Up in two seconds: nobody waits for a session."""

UP = """
import sys
from pathlib import Path
from goldentooth import open_project
from goldentooth.twin import Twin

network = open_project(sys.argv[1]).network
print("starting", flush=True)
Twin.up(network, Path(sys.argv[2]), name=sys.argv[3], hosts=sys.argv[4].split(","))
print("up", flush=True)
sys.stdin.read()
"""

CONFIG = Path(__file__).parents[2] / "config.yaml"


def traces(name: str) -> list[str]:
    """Return all that there is of the twin ``name`` on this machine."""
    found = [f"mount {line}" for line in _lines("/proc/self/mountinfo") if f"twin/{name}" in line]
    namespaces = Path("/run/netns")
    if namespaces.is_dir():
        found += [f"namespace {ns.name}" for ns in namespaces.iterdir() if f"gt-{name}" in ns.name]
    for folder, folders, _ in os.walk("/sys/fs/cgroup"):
        if folder.endswith("/goldentooth-twin") and name in folders:
            found.append(f"group {folder}/{name}")
    folder = Path("/run/goldentooth-twin")
    found += [f"file {path}" for path in folder.glob(f"{name}*")]
    mark = f"{MARK}={name}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(f"process {process.name} {(process / 'comm').read_text().strip()}")
        except OSError:
            continue
    return found


def machine_state() -> dict[str, object]:
    """Return what of this machine a twin must leave alone."""
    return {
        "links": _command("ip", "-o", "link"),
        "addresses": _command("ip", "-o", "address"),
        "routes": _command("ip", "route", "show", "table", "all"),
        "rules": _command("nft", "list", "ruleset"),
        "forwarding": _lines("/proc/sys/net/ipv4/ip_forward"),
        "host name": _command("hostname"),
        "mounts": [
            line.split()[4] for line in _lines("/proc/self/mountinfo") if "gold" not in line
        ],
        "groups": sorted(map(str, Path("/sys/fs/cgroup").glob("*/*/"))),
        "runtime": sorted(map(str, Path("/run").glob("*"))),
        "systemd": sorted(map(str, Path("/run/systemd").glob("*"))),
        "units": sorted(map(str, Path("/etc/systemd").rglob("*"))),
        "journals": sorted(map(str, Path("/var/log").glob("journal/*"))),
        "ssh": sorted(map(str, Path("/etc/ssh").rglob("*"))),
        "inotify": _lines("/proc/sys/fs/inotify/max_user_instances"),
    }


def test_a_twin_changes_nothing_of_this_machine(
    network: Network, artifacts: Path, twin_name: str
) -> None:
    before = machine_state()
    twin = Twin.up(network, artifacts, name=twin_name, hosts=SMALL)
    during = machine_state()
    assert traces(twin_name)

    twin.down()

    after = machine_state()
    for seen in (during, after):
        assert _without(seen, WHILE_UP) == _without(before, WHILE_UP)
    assert traces(twin_name) == []


@pytest.mark.alone
def test_the_last_twin_leaves_this_machine_as_the_first_found_it(
    network: Network, artifacts: Path, twin_name: str
) -> None:
    if list_twins():
        pytest.skip("another twin is up, and may change what this test compares")
    before = machine_state()
    Twin.up(network, artifacts, name=twin_name, hosts=["allyrion"]).down()

    assert machine_state() == before


WHILE_UP = {"mounts", "groups", "runtime", "systemd", "inotify"}
"""What is different while any twin is up, be it another test's."""


def _without(state: dict[str, object], keys: set[str]) -> dict[str, object]:
    return {key: value for key, value in state.items() if key not in keys}


def test_taking_down_is_quick(network: Network, artifacts: Path, twin_name: str) -> None:
    twin = Twin.up(network, artifacts, name=twin_name, hosts=NO_BGP)
    started = time.monotonic()

    twin.down()

    assert time.monotonic() - started < 2


@pytest.mark.parametrize("moment", [0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.8, 1.2, 2.0])
def test_a_twin_whose_maker_is_killed_is_removed(
    artifacts: Path, twin_name: str, moment: float
) -> None:
    maker = _start_maker(artifacts, twin_name)
    time.sleep(moment)
    maker.send_signal(signal.SIGKILL)
    maker.wait()

    remove_twin(twin_name)

    assert traces(twin_name) == []
    time.sleep(0.1)
    assert traces(twin_name) == []


def test_a_lock_alone_that_a_killed_maker_left_is_removed(twin_name: str) -> None:
    state.ROOT.mkdir(exist_ok=True)
    state.lock_file(twin_name).write_text("4194304")

    remove_twin(twin_name)

    assert traces(twin_name) == []


def test_an_interrupted_maker_leaves_nothing(artifacts: Path, twin_name: str) -> None:
    maker = _start_maker(artifacts, twin_name)
    time.sleep(0.6)
    maker.send_signal(signal.SIGINT)
    maker.wait(20)

    assert traces(twin_name) == []


def test_a_twin_outlives_its_maker(artifacts: Path, twin_name: str) -> None:
    maker = _start_maker(artifacts, twin_name)
    assert maker.stdout is not None
    assert maker.stdout.readline() == b"up\n"
    maker.kill()
    maker.wait()

    twin = Twin.attach(twin_name)

    assert twin.verify() == []
    assert twin_name in list_twins()


def test_two_twins_run_side_by_side(network: Network, artifacts: Path, twin_name: str) -> None:
    other = f"{twin_name}b"
    try:
        first = Twin.up(network, artifacts, name=twin_name, hosts=NO_BGP)
        second = Twin.up(network, artifacts, name=other, hosts=NO_BGP)
        first.exec("bettley", ["touch", "/root/first"])
        first.break_("power", "allyrion")

        assert second.verify() == []
        assert second.exec("bettley", ["ls", "/root"]).stdout == b""
        first.down()
        assert second.verify() == []
        assert second.run(["ssh", "bettley", "hostname"]).stdout == b"bettley\n"
    finally:
        remove_twin(other)
    assert traces(twin_name) == []
    assert traces(other) == []


def test_removing_what_is_not_there_is_no_error() -> None:
    assert remove_twin("nosuchtwin") is False


def test_a_twin_of_that_name_is_not_made_twice(
    network: Network, artifacts: Path, twin_name: str
) -> None:
    twin = Twin.up(network, artifacts, name=twin_name, hosts=["allyrion"])

    with pytest.raises(TwinError, match="already"):
        Twin.up(network, artifacts, name=twin_name, hosts=["allyrion"])
    assert twin.exec("allyrion", ["true"]).returncode == 0


def test_attaching_to_nothing_says_so() -> None:
    with pytest.raises(NoSuchTwinError, match="there is no twin nosuchtwin"):
        Twin.attach("nosuchtwin")


def test_what_does_not_come_up_is_named_with_its_own_log(
    network: Network, artifacts: Path, twin_name: str, tmp_path: Path
) -> None:
    broken = _copy_with(artifacts, tmp_path, "allyrion/etc/haproxy/haproxy.cfg", "nonsense\n")

    with pytest.raises(NotVerifiedError) as caught:
        Twin.up(network, broken, name=twin_name, hosts=["allyrion"], timeout=3)

    assert "allyrion: unit[haproxy.service]" in str(caught.value)
    assert "unknown keyword 'nonsense'" in str(caught.value)
    assert Twin.attach(twin_name).exec("allyrion", ["hostname"]).stdout == b"allyrion\n"


def test_a_twin_that_cannot_be_made_leaves_nothing(
    network: Network, artifacts: Path, twin_name: str, tmp_path: Path
) -> None:
    manifest = (artifacts / "manifest.json").read_text()
    broken = _copy_with(artifacts, tmp_path, "manifest.json", "")
    (broken / "manifest.json").write_text(manifest.replace("frr:frr", "nobodyhere:frr"))

    with pytest.raises(TwinError, match="is to belong to nobodyhere:frr"):
        Twin.up(network, broken, name=twin_name, hosts=SMALL)
    assert traces(twin_name) == []


def test_missing_packages_are_named_with_the_command_that_installs_them() -> None:
    absent = Package("frr", "/nowhere/bgpd", "BGP")

    with pytest.raises(MachineError, match=r"frr \(BGP\)\n +apt-get install frr"):
        probe.check_machine([absent])
    assert probe.missing_packages() == []


def test_it_runs_on_cgroup_version_2_alone(artifacts: Path, twin_name: str) -> None:
    if not Path("/sys/fs/cgroup/unified").is_dir():
        pytest.skip("this machine has version 2 alone: all other tests show it")
    script = UP.replace("sys.stdin.read()", "")
    command = "umount --recursive /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    python = " ".join(
        [sys.executable, "-c", '"$0"', str(CONFIG), str(artifacts), twin_name, ",".join(SMALL)]
    )
    remove = f"{sys.executable} -c 'from goldentooth.twin import *; remove_twin(\"{twin_name}\")'"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{command} && {python}; {remove}", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.stdout.splitlines() == ["starting", "up"], done.stderr
    assert traces(twin_name) == []


def _start_maker(artifacts: Path, name: str) -> subprocess.Popen[bytes]:
    arguments = [str(CONFIG), str(artifacts), name, ",".join(SMALL)]
    maker = subprocess.Popen(
        [sys.executable, "-c", UP, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert maker.stdout is not None
    assert maker.stdout.readline() == b"starting\n"
    return maker


def _copy_with(artifacts: Path, folder: Path, name: str, text: str) -> Path:
    copy = folder / "build"
    subprocess.run(["cp", "-r", artifacts, copy], check=True)
    (copy / name).write_text(text)
    return copy


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _command(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return re.sub(r"(valid|preferred)_lft \w+", "", done.stdout)
