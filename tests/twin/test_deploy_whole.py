"""From hosts with nothing of ours to the whole network, and back to where it was."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldentooth.model import Network
from goldentooth.twin import Twin, remove_twin
from tests.namespaces import eventually
from tests.sites import ROOT, Site
from tests.twin.claims.observation import on_all

pytestmark = pytest.mark.root

OURS = (
    "find /etc /usr/local/sbin -xdev -type f -newer /proc/1 ! -name '.*' ! -name '*-'"
    " -printf '%p %u:%g %m ' -exec sha256sum {} + | sort; ip -4 route; sysctl -a 2>/dev/null |"
    " grep -e forward -e multipath -e redirects | sort"
)
"""What a deployment may have changed on a host since it booted."""


@pytest.fixture
def twin(network: Network, artifacts: Path) -> Iterator[Twin]:
    name = f"whole{os.getpid()}"
    try:
        yield Twin.up(network, artifacts, name=name, timeout=180, bare=True)
    finally:
        remove_twin(name)


def test_a_bare_network_comes_up_stays_in_sync_and_goes_back_byte_for_byte(
    twin: Twin, network: Network, tmp_path: Path
) -> None:
    site = Site(tmp_path / "site")

    def run(verb: str, *argv: str) -> subprocess.CompletedProcess[bytes]:
        call = [sys.executable, "-m", "runbooks", verb, "--config", str(site.config), *argv]
        return twin.run(["env", f"PYTHONPATH={ROOT}", *call])

    assert run("deploy").returncode == 1

    done = run("deploy", "--commit")
    assert done.returncode == 0, done
    assert b"14 confirmed" in done.stdout
    eventually(lambda: run("verify").returncode == 0, 60)
    drift = run("drift")
    assert drift.returncode == 0, drift

    before = on_all(network.nodes, lambda host: twin.exec(host, ["sh", "-c", OURS]).stdout)
    site.edit("inventory/defaults.yaml", "client: 4h", "client: 5h")
    site.edit("inventory/defaults.yaml", "maximum_paths: 64", "maximum_paths: 32")
    changed = run("deploy", "--commit")
    assert b"2 confirmed" in changed.stdout, changed
    assert b"maximum-paths 32" in twin.exec("router", ["vtysh", "-c", "show run"]).stdout
    site.edit("inventory/defaults.yaml", "client: 5h", "client: 4h")
    site.edit("inventory/defaults.yaml", "maximum_paths: 32", "maximum_paths: 64")
    assert run("deploy", "--commit").returncode == 0

    after = on_all(network.nodes, lambda host: twin.exec(host, ["sh", "-c", OURS]).stdout)
    assert after == before
    assert run("drift").returncode == 0
    assert run("deploy").returncode == 0
