"""Deploying as a user who may do nothing but what root's list has."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldentooth.host import INSTALLED
from goldentooth.model import Network
from goldentooth.plan import archive
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


# -- requests that are none of ours ------------------------------------------------------


def ask(drill: Drill, *commands: tuple[str, bytes]) -> str:
    """Send the host's program a request as anybody could write one, as the user; return all."""
    request = f"1 MARK run {len(commands)}\n".encode()
    for line, data in commands:
        request += f"20 1 {len(data)}\n{line}\n".encode() + data + b"end\n"
    call = ["ssh", "-o", "BatchMode=yes", f"goldentooth@{HOST}", f"sudo -n {INSTALLED}"]
    done = drill.twin.run(call, stdin=request)
    return (done.stdout + done.stderr).decode(errors="replace")


EVIL = {
    "plan": b"put\t/etc/cron.d/evil\troot:root\t0644\tany\n",
    "new/etc/cron.d/evil": b"# evil\n",
    "activate": b"id >/root/was-here\n",
    "units": b"",
    "program": b"id >/root/by-the-switch\n",
}
RECORD = {"record/manifest.json": b"{}", "key": b"k" * 64, "about": b"x\ty\n"}
STEPS = tuple((f"@{verb} evil", b"") for verb in ("backup", "arm", "swap", "activate"))


def deploying(verb: str, members: dict[str, bytes]) -> tuple[tuple[str, bytes], ...]:
    steps = tuple((f"{line} 5" if "arm" in line else line, data) for line, data in STEPS)
    return (("@lock evil me 60", b""), (f"@{verb} evil", archive({**RECORD, **members})), *steps)


@pytest.mark.parametrize("verb", ["stage", "adopt"])
@pytest.mark.parametrize(
    "more", [{}, {"state": b"backed-up\n"}, {"before/plan": b""}, {"state": b"armed\n"}]
)
def test_a_forged_deployment_is_refused(drill: Drill, verb: str, more: dict[str, bytes]) -> None:
    said = ask(drill, *deploying(verb, {**EVIL, **more}))

    assert "unexpected: " in said or "is not among the paths of" in said, said
    time.sleep(1)
    there = drill.shell(HOST, "ls /root /etc/cron.d; ls /var/lib/goldentooth/deployments")
    assert "was-here" not in there
    assert "by-the-switch" not in there
    assert "evil" not in there
    ask(drill, ("@unlock evil", b""))


@pytest.mark.parametrize(
    ("owner", "mode"), [("root:root", "4755"), ("root:root", "0666"), ("goldentooth:root", "0644")]
)
def test_whose_a_file_is_and_its_mode_are_in_the_list(drill: Drill, owner: str, mode: str) -> None:
    line = f"put\t{SYSCTL}\t{owner}\t{mode}\tany\n".encode()
    before = drill.shell(HOST, f"stat -c '%U %a' {SYSCTL}; cat {SYSCTL}")
    members = {"plan": line, f"new{SYSCTL}": b"x", "activate": b"", "units": b"", "program": b""}

    said = ask(drill, *deploying("stage", members))

    assert f"{SYSCTL} as {owner} with mode {mode} is not in" in said
    header = f"{SYSCTL}\n{owner}\n{mode}\n".encode()
    assert "not in" in ask(drill, ("@write", header + b"x"), ("@unlock evil", b""))
    assert drill.shell(HOST, f"stat -c '%U %a' {SYSCTL}; cat {SYSCTL}") == before


def test_a_forged_record_does_not_open_other_files(drill: Drill) -> None:
    drill.shell(HOST, "echo PRIVATE >/root/private; chmod 600 /root/private")
    forged = archive({**RECORD, "record/files/root/private": b"x"})

    said = ask(drill, ("@lock evil me 60", b""), ("@adopt evil", forged), ("@collect", b""))

    assert "/root/private is not among the paths" in said
    assert "PRIVATE" not in said
    assert "PRIVATE" not in ask(drill, ("@collect /root/private", b""), ("@unlock evil", b""))


@pytest.mark.parametrize("verb", ["sysctl", "routes", "put", "disarm", "run_lines", "forget"])
def test_what_is_no_request_cannot_be_asked_for(drill: Drill, verb: str) -> None:
    drill.shell(HOST, "echo net.ipv4.conf.all.log_martians=1 >/tmp/evil; chmod 644 /tmp/evil")

    said = ask(drill, (f"@{verb} /tmp/evil", b""))

    assert f"this host's program has no @{verb}" in said
    assert "= 0" in drill.shell(HOST, "sysctl net.ipv4.conf.all.log_martians")


@pytest.mark.parametrize(
    "line",
    ["sh -c id", "/usr/local/sbin/goldentooth-host rollback x", "-u root -s", "cat /etc/shadow"],
)
def test_sudo_lets_the_user_run_nothing_else(drill: Drill, line: str) -> None:
    done = drill.twin.run(["ssh", "-o", "BatchMode=yes", f"goldentooth@{HOST}", f"sudo -n {line}"])

    assert done.returncode != 0
    assert b"uid=0" not in done.stdout
