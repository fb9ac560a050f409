"""Deploying as a user who may do nothing but what root's list has."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goldentooth.host import INSTALLED
from goldentooth.host.package import pack
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
    assert "not confirmed" in drill.told_of_return(HOST)


ALLOWED = "/etc/goldentooth/allowed"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        pytest.param(
            {"files": {"/etc/cron.d/toy": {"text": "x\n"}}},
            f"/etc/cron.d/toy is not in {ALLOWED}",
            id="path",
        ),
        pytest.param(
            {"files": {ALLOWED: {"text": "@path /etc/shadow\n"}}},
            f"@path {ALLOWED} is not in {ALLOWED}",
            id="the list itself",
        ),
        pytest.param({"activate": ["id >/root/was-here"]}, "is not in", id="activation"),
        pytest.param(
            {"units": ["cron.service"]}, f"@unit cron.service is not in {ALLOWED}", id="unit"
        ),
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

ME = "e" * 32


def ask(drill: Drill, *commands: tuple[str, bytes], way: str = "run") -> str:
    """Send the host's program a request as anybody could write one, as the user; return all."""
    request = f"2 mark-0 {way} {len(commands)}\n".encode()
    for line, data in commands:
        request += f"20 1 {len(data)}\n{line}\n".encode() + data + b"end\n"
    return send(drill, request)


def send(drill: Drill, request: bytes) -> str:
    call = ["ssh", "-o", "BatchMode=yes", f"goldentooth@{HOST}", f"sudo -n {INSTALLED}"]
    done = drill.twin.run(call, stdin=request)
    return (done.stdout + done.stderr).decode(errors="replace")


EVIL: dict[str, Any] = {
    "plan": [["put", "/etc/cron.d/evil", "root:root", "0644", "any"]],
    "activate": ["id >/root/was-here"],
}
STEPS = tuple((f"@{verb} evil {ME}", b"") for verb in ("arm", "swap", "activate"))


def forged(members: dict[str, bytes] | None = None, **described: Any) -> bytes:
    """Return a package with what no controller of ours would send."""
    whole = {"by": "me", "plan": [], "activate": [], "units": [], "carried": [], "source": ""}
    whole |= {"base": "", **described}
    put = {line[1]: b"# evil\n" for line in whole["plan"] if line[0] == "put"}
    return pack(
        {
            "deployment.json": json.dumps(whole).encode(),
            "record/manifest.json": b"{}",
            "key": b"k" * 64,
            **{f"new{path}": content for path, content in put.items()},
            **(members or {}),
        }
    )


def deploying(verb: str, package: bytes) -> tuple[tuple[str, bytes], ...]:
    steps = tuple((f"{line} 5" if "arm" in line else line, data) for line, data in STEPS)
    return ((f"@lock evil {ME} 60 me", b""), (f"@{verb} evil {ME}", package), *steps)


@pytest.mark.parametrize("verb", ["stage", "adopt"])
@pytest.mark.parametrize(
    "more",
    [
        pytest.param({}, id="plan"),
        pytest.param({"members": {"state": b"armed"}}, id="state"),
        pytest.param({"members": {"program": b"id >/root/by-the-switch"}}, id="program"),
        pytest.param({"members": {"before/files/etc/cron.d/evil": b"x"}}, id="before"),
        pytest.param({"members": {"../../../../../etc/cron.d/evil": b"x"}}, id="climbs"),
    ],
)
def test_a_forged_deployment_is_refused(drill: Drill, verb: str, more: dict[str, Any]) -> None:
    said = ask(drill, *deploying(verb, forged(**EVIL, **more)))

    assert " refused" in said or '"reason": "malformed"' in said, said
    time.sleep(1)
    there = drill.shell(HOST, "ls /root /etc/cron.d; ls /var/lib/goldentooth/deployments")
    assert "was-here" not in there
    assert "by-the-switch" not in there
    assert "evil" not in there
    ask(drill, (f"@unlock evil {ME}", b""))


@pytest.mark.parametrize(
    ("owner", "mode"), [("root:root", "4755"), ("root:root", "0666"), ("goldentooth:root", "0644")]
)
def test_whose_a_file_is_and_its_mode_are_in_the_list(drill: Drill, owner: str, mode: str) -> None:
    before = drill.shell(HOST, f"stat -c '%U %a' {SYSCTL}; cat {SYSCTL}")
    package = forged(plan=[["put", SYSCTL, owner, mode, "any"]])

    said = ask(drill, *deploying("stage", package))

    assert f"@file {SYSCTL} {owner} {mode}" in said
    header = f"{SYSCTL}\n{owner}\n{mode}\n".encode()
    assert " refused" in ask(drill, ("@write", header + b"x"), (f"@unlock evil {ME}", b""))
    assert drill.shell(HOST, f"stat -c '%U %a' {SYSCTL}; cat {SYSCTL}") == before


def test_a_forged_record_does_not_open_other_files(drill: Drill) -> None:
    drill.shell(HOST, "echo PRIVATE >/root/private; chmod 600 /root/private")
    sent = forged({"record/files/root/private": b"x"})
    carried = forged(carried=["/root/private"])

    for package in (sent, carried):
        said = ask(drill, (f"@lock evil {ME} 60 me", b""), (f"@adopt evil {ME}", package))
        assert " refused" in said or "no-record" in said or "moved" in said, said
        assert "PRIVATE" not in said
        assert "PRIVATE" not in ask(drill, ("@collect", b""), way="gather")
    for line in (b"/root/private\n", b"/etc/sysctl.d/../../root/private\n"):
        assert "PRIVATE" not in ask(drill, ("@collect", line), way="gather")
        assert "PRIVATE" not in ask(drill, ("@files", line), way="gather")
    ask(drill, (f"@unlock evil {ME}", b""))


HOSTILE = ("PATH=0", "a[$(id>/tmp/evil)]", "x (state=0)", "08", "9" * 30, "-1", "", "1;id")


@pytest.mark.parametrize("word", HOSTILE)
@pytest.mark.parametrize("way", ["run", "gather"])
def test_a_number_that_is_none_is_not_evaluated(drill: Drill, way: str, word: str) -> None:
    """dash assigns inside `$((…))`: a received PATH=0 ran a program of the caller's folder."""
    drill.shell(
        HOST, "rm -f /tmp/evil; printf '#!/bin/sh\\nid >/tmp/evil\\n' >/home/goldentooth/id"
    )
    drill.shell(
        HOST, "chmod 755 /home/goldentooth/id; cp /home/goldentooth/id /home/goldentooth/cat"
    )
    heads = (
        f"2 mark-0 {way} {word}\n20 1 0\ntrue\nend\n",
        f"2 mark-0 {way} 1\n{word} 1 0\ntrue\nend\n",
        f"2 mark-0 {way} 1\n20 {word} 0\ntrue\nend\n",
        f"2 mark-0 {way} 1\n20 1 {word}\ntrue\nend\n",
        f"{word} mark-0 {way} 1\n20 1 0\ntrue\nend\n",
    )
    for request in heads:
        assert " end 0 0" not in send(drill, request.encode()), request
    locks = (f"@lock evil {ME} {word} me", f"@lock evil {ME} 60 {word}", f"@arm evil {ME} {word}")
    for line in locks:
        ask(drill, (line, b""), (f"@unlock evil {ME}", b""))
    assert "No such file" in drill.shell(HOST, "ls /tmp/evil")
    assert drill.shell(HOST, "find /etc/sudoers.d /etc/cron.d -newer /home/goldentooth/cat") == ""


@pytest.mark.parametrize("owner", ["x (state=0)", "x\tPATH=0", "$(id >/tmp/evil)", "`id`"])
def test_a_locks_owner_is_a_word_and_no_more(drill: Drill, owner: str) -> None:
    drill.shell(HOST, "rm -f /tmp/evil")

    ask(drill, (f"@lock evil {ME} 60 {owner}", b""))
    said = ask(drill, (f"@lock other {'f' * 32} 60 me", b""), (f"@unlock evil {ME}", b""))

    assert "No such file" in drill.shell(HOST, "ls /tmp/evil")
    assert "Traceback" not in said


@pytest.mark.parametrize("verb", ["sysctl", "routes", "put", "disarm", "run_lines", "forget"])
def test_what_is_no_request_cannot_be_asked_for(drill: Drill, verb: str) -> None:
    drill.shell(HOST, "echo net.ipv4.conf.all.log_martians=1 >/tmp/evil; chmod 644 /tmp/evil")

    said = ask(drill, (f"@{verb} /tmp/evil", b""))

    assert " end 0 " in said
    assert '"done": true' not in said
    assert "= 0" in drill.shell(HOST, "sysctl net.ipv4.conf.all.log_martians")


@pytest.mark.parametrize(
    "line",
    ["sh -c id", "/usr/local/sbin/goldentooth-host rollback x", "-u root -s", "cat /etc/shadow"],
)
def test_sudo_lets_the_user_run_nothing_else(drill: Drill, line: str) -> None:
    done = drill.twin.run(["ssh", "-o", "BatchMode=yes", f"goldentooth@{HOST}", f"sudo -n {line}"])

    assert done.returncode != 0
    assert b"uid=0" not in done.stdout
