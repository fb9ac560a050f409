"""Deployments to the whole network while it works: connections held, sessions kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from goldentooth.model import Network
from goldentooth.twin import Twin, remove_twin
from tests.sites import ROOT, Site
from tests.twin.claims.observation import Requests

pytestmark = pytest.mark.root

API = {"address": "10.4.0.10", "port": 6443, "tls": True, "limit": 15}
HELD = 200
FENN = "10.4.0.15"

_HOLD = """
import asyncio, ssl, sys

count = int(sys.argv[1])
tls = ssl.create_default_context()
tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
told, open_ones = asyncio.Event(), 0

async def hold(slots):
    global open_ones
    async with slots:
        reader, writer = await asyncio.open_connection("10.4.0.10", 6443, ssl=tls)
        writer.write(b"GET /watch HTTP/1.0\\r\\n\\r\\n")
        await reader.readline()
    open_ones += 1
    if open_ones == count:
        print("open", flush=True)
    while not told.is_set():  # a line a second, without end
        if not await asyncio.wait_for(reader.read(1000), 15):
            return False
    return True

async def main():
    slots = asyncio.Semaphore(20)
    tasks = [asyncio.create_task(hold(slots)) for _ in range(count)]
    await asyncio.to_thread(sys.stdin.read)
    told.set()
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    print(sum(each is True for each in ended), flush=True)

asyncio.run(main())
"""


class Held:
    """Connections to the API through HAProxy that stay open while the block runs."""

    def __init__(self, twin: Twin) -> None:
        script = ["/usr/bin/python3", "-I", "-c", _HOLD, str(HELD)]
        self._process = subprocess.Popen(
            twin.machine("client").command(script),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == "open\n"
        self.unbroken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        said, _ = self._process.communicate(timeout=60)
        self.unbroken = int(said)


@pytest.fixture(scope="module")
def twin(network: Network, artifacts: Path) -> Iterator[Twin]:
    name = f"load{os.getpid()}"
    try:
        yield Twin.up(network, artifacts, name=name, timeout=180)
    finally:
        remove_twin(name)


@pytest.fixture
def site(twin: Twin, tmp_path: Path) -> Site:
    """Return a project whose network is what is applied; the twin is as that says."""
    site = Site(tmp_path / "site")
    # a router with FRR's own files: one with OPNsense is changed through its API
    site.edit("inventory/groups.yaml", "platform: opnsense", "platform: linux")
    done = deploy(twin, site)
    assert done.returncode == 0, done
    return site


def deploy(twin: Twin, site: Site, *argv: str) -> subprocess.CompletedProcess[bytes]:
    services = [word for name in ("frr", "haproxy", "routes") for word in ("--service", name)]
    call = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "runbooks", "deploy", "--commit"]
    call += [*services, "--format", "json", "--overwrite-drift"]
    env_site = ["--config", str(site.config)]
    return twin.run([*call, *env_site, *argv])


def outcomes(done: subprocess.CompletedProcess[bytes]) -> dict[str, str]:
    assert done.stdout, done
    hosts = json.loads(done.stdout)["hosts"]
    return {each["host"]: each["outcome"] for each in hosts if each["outcome"] != "nothing to do"}


def sessions(twin: Twin) -> dict[str, tuple[str, float]]:
    """Return each session's state, and since when (seconds of the clock), by neighbor."""
    summary = twin.exec("router", ["vtysh", "-c", "show bgp ipv4 unicast summary json"]).stdout
    now = time.time()
    return {
        address: (peer["state"], now - peer["peerUptimeMsec"] / 1000)
        for address, peer in json.loads(summary)["peers"].items()
    }


def unbroken(before: dict[str, tuple[str, float]], after: dict[str, tuple[str, float]]) -> set[str]:
    """Return the neighbors whose session has been up all the while."""
    return {
        address
        for address, (state, since) in after.items()
        if state == "Established" and abs(since - before[address][1]) < 2
    }


def test_no_connection_fails_during_a_change_of_haproxy(twin: Twin, site: Site) -> None:
    site.edit("inventory/defaults.yaml", "client: 4h", "client: 5h")

    with Held(twin) as held, Requests(twin, interval=0.05, **API) as requests:
        done = deploy(twin, site)

    assert outcomes(done) == {"allyrion": "confirmed"}
    assert "timeout client 5h" in twin.exec("allyrion", ["cat", CFG]).stdout.decode()
    assert len(requests.answers().all) > 20
    assert not requests.answers().lost, requests.answers()
    assert held.unbroken == HELD


CFG = "/etc/haproxy/haproxy.cfg"


def test_no_connection_fails_while_the_control_planes_change(twin: Twin, site: Site) -> None:
    template = site.folder / "templates/routes/sysctl.conf.j2"
    template.write_text(template.read_text() + "# one line more\n")

    with Held(twin) as held, Requests(twin, interval=0.05, **API) as requests:
        done = deploy(twin, site, "--group", "control_plane")

    assert outcomes(done) == dict.fromkeys(("bettley", "cargyll", "dalt"), "confirmed")
    assert not requests.answers().lost, requests.answers()
    assert held.unbroken == HELD


CHANGE = "{% if node.name == 'fenn' %} neighbor {{ node.address }} ebgp-multihop 2\n{% endif %}"
BREAK = "{% if node.name == 'fenn' %} neighbor {{ node.address }} password wrong\n{% endif %}"
LINE = " neighbor {{ node.address }} description {{ node.name }}\n"


def test_only_the_session_that_changes_is_reset(twin: Twin, site: Site) -> None:
    before = sessions(twin)
    site.edit("templates/frr/router.conf.j2", LINE, LINE + CHANGE)

    done = deploy(twin, site, "--host", "router")

    assert outcomes(done) == {"router": "confirmed"}
    after = sessions(twin)
    assert {state for state, _ in after.values()} == {"Established"}
    assert len(after) == 12
    assert unbroken(before, after) == before.keys() - {FENN}


def test_a_session_that_does_not_come_back_takes_the_change_back(twin: Twin, site: Site) -> None:
    before = sessions(twin)
    file = twin.exec("router", ["cat", "/etc/frr/frr.conf"]).stdout
    site.edit("templates/frr/router.conf.j2", LINE, LINE + BREAK)

    done = deploy(twin, site, "--host", "router", "--confirm-within", "12")

    assert outcomes(done) == {"router": "rolled back"}
    assert "bgp.session[fenn]" in json.loads(done.stdout)["stopped"]
    assert twin.exec("router", ["cat", "/etc/frr/frr.conf"]).stdout == file
    twin.wait(timeout=60)
    after = sessions(twin)
    assert {state for state, _ in after.values()} == {"Established"}
    assert unbroken(before, after) == before.keys() - {FENN}
