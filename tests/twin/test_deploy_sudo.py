"""Deploying as a user who may do nothing but what root's list has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldentooth.model import Network
from tests.namespaces import eventually
from tests.sites import ROOT
from tests.twin.deploy_drill import Done, Drill, bare_stage

pytestmark = pytest.mark.root

HOST = "fenn"
SYSCTL = "/etc/sysctl.d/60-goldentooth.conf"


@pytest.fixture(scope="module")
def drill(
    network: Network, artifacts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Drill]:
    """Return a play on a host that root has deployed access to; from then on as its user."""
    with bare_stage(network, artifacts, HOST) as stage:
        drill = Drill(stage, tmp_path_factory.mktemp("sudo") / "site", [HOST])
        done = command_line(drill, "deploy", "--commit", "--service", "access")
        assert done.status == 0, done
        drill.site.edit(
            "inventory/hosts.yaml", f"\n{HOST}:\n", f"\n{HOST}:\n  username: goldentooth\n"
        )
        yield drill


def command_line(drill: Drill, verb: str, *argv: str) -> Done:
    """Run the command line as it is, without a toy."""
    call = ["env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "runbooks", verb, "--host", HOST]
    done = drill.twin.run([*call, *argv], cwd=drill.folder)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def test_the_user_deploys_and_reads(drill: Drill) -> None:
    done = command_line(drill, "deploy", "--commit", "--service", "routes")

    assert done.status == 0, done
    assert "1 confirmed" in done.stdout
    assert "net.ipv4.ip_forward = 1" in drill.shell(HOST, f"cat {SYSCTL}")
    by = drill.shell(HOST, "journalctl --no-pager -t sudo -o cat | grep COMMAND | sort -u")
    assert {line.partition("COMMAND=")[2] for line in by.splitlines()} == {
        "/usr/local/sbin/goldentooth-host"
    }
    assert command_line(drill, "deploy", "--service", "routes").status == 0


def test_the_switch_works_for_the_user(drill: Drill) -> None:
    files = drill.spec["files"] = {SYSCTL: {"text": "net.ipv4.ip_forward = 1\n# other\n"}}
    drill.spec |= {"activate": [f"@sysctl {SYSCTL}"], "checks": []}
    drill.write()
    before = drill.shell(HOST, f"cat {SYSCTL}")
    assert drill.commit("--overwrite-drift", kill=f"after activated {HOST}").status == -9
    assert drill.shell(HOST, f"cat {SYSCTL}") == files[SYSCTL]["text"]

    eventually(lambda: drill.shell(HOST, f"cat {SYSCTL}") == before, 30)

    eventually(lambda: not drill.look(HOST).is_armed)
    assert "not confirmed" in drill.shell(HOST, "cat /var/lib/goldentooth/rolled-back")


ALLOWED = "/etc/goldentooth/allowed"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        pytest.param(
            {"files": {"/etc/cron.d/toy": {"text": "x\n"}}},
            f"/etc/cron.d/toy is not among the paths of {ALLOWED}",
            id="path",
        ),
        pytest.param(
            {"files": {ALLOWED: {"text": "@path /etc/shadow\n"}}},
            f"{ALLOWED} is not among the paths",
            id="the list itself",
        ),
        pytest.param({"activate": ["id >/root/was-here"]}, "is not in", id="activation"),
        pytest.param({"units": ["cron.service"]}, "cron.service is not among", id="unit"),
        pytest.param(
            {"files": {SYSCTL: {"text": "y\n", "judge": ["touch", "/root/was-here"]}}},
            "not in /etc/goldentooth/allowed on this host",
            id="judge",
        ),
    ],
)
def test_anything_else_is_refused(drill: Drill, spec: dict[str, object], told: str) -> None:
    plain = {"files": {SYSCTL: {"text": "x\n"}}, "activate": [f"@sysctl {SYSCTL}"], "checks": []}
    drill.spec |= {"units": [], **plain, **spec}
    drill.write()
    state = "cat /etc/goldentooth/allowed /etc/sysctl.d/*; ls -a /root /etc/cron.d"
    before = drill.shell(HOST, state)

    done = drill.commit("--overwrite-drift")

    assert done.status == 2
    assert told in done.stdout + done.stderr
    assert drill.shell(HOST, state) == before


@pytest.mark.parametrize(
    "line",
    ["sh -c id", "/usr/local/sbin/goldentooth-host rollback x", "-u root -s", "cat /etc/shadow"],
)
def test_sudo_lets_the_user_run_nothing_else(drill: Drill, line: str) -> None:
    done = drill.twin.run(["ssh", "-o", "BatchMode=yes", f"goldentooth@{HOST}", f"sudo -n {line}"])

    assert done.returncode != 0
    assert b"uid=0" not in done.stdout
