"""One contract for every way to a host, on real hosts: what is promised, and what goes wrong.

Login shells there are slow and noisy, sshd greets with a banner, and it logs every exec.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Any

import pytest

from goldentooth.check import Output
from goldentooth.errors import (
    AuthenticationError,
    GoldentoothError,
    HostKeyError,
    InexactError,
    PrivilegeError,
    TransportError,
    UnreachableError,
)
from goldentooth.host import ALLOWED, INSTALLED
from goldentooth.transports import Command, File, HostFile
from goldentooth.twin import Twin
from goldentooth.twin.keys import HostKeys
from goldentooth.twin.machine import Machine
from tests.namespaces import eventually

HOST, ADDRESS = "fenn", "10.4.0.15"
JUMP = "10.4.0.11"
USER = "goldentooth"
HOME = Path("/run/home/.ssh")
WORKER = Path(__file__).with_name("transport_worker.py")

BYTES = {
    "printf abc": b"abc",
    "printf 'abc\\n\\n'": b"abc\n\n",
    "printf 'a  \\n\\tb  '": b"a  \n\tb  ",
    "printf 'a\\0b'": b"a\0b",
    "printf '\\377\\376'": b"\xff\xfe",
    "printf 'a\\r\\nb\\033[1m'": b"a\r\nb\x1b[1m",
    "printf 'né'": "né".encode(),
    "true": b"",
}
HANG = "echo begun; sleep 30"
FAIL = "echo out; echo err >&2; exit 3"
LARGE = "head -c 5000000 /dev/zero | tr '\\0' 'a' | fold -w 70"
OPTIONS = ("-o", "LogLevel=QUIET")


class Worker:
    """A process of :mod:`tests.twin.transport_worker`, started by ``command``."""

    def __init__(self, command: list[str], **environment: str) -> None:
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": str(WORKER.parents[2]), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.root = Path(f"/proc/{self._process.pid}/root")

    def ask(self, requests: list[Any]) -> list[Any]:
        assert self._process.stdin
        assert self._process.stdout
        pickle.dump(requests, self._process.stdin)
        self._process.stdin.flush()
        return list(pickle.load(self._process.stdout))  # noqa: S301  # from the worker

    def end(self) -> None:
        self._process.communicate(timeout=30)


@dataclass(frozen=True)
class Way:
    """One transport to the host."""

    worker: Worker
    plugin: str
    user: str | None = "root"
    platform: str | None = None
    extras: dict[str, Any] = field(default_factory=dict)
    root: Path = Path("/nowhere")
    """Where its files are, as seen from here."""

    @property
    def srv(self) -> Path:
        return self.root / "srv"

    @property
    def is_exact(self) -> bool:
        return self.plugin != "goldentooth_cli"

    def request(self, *calls: tuple[str, Any], hostname: str = ADDRESS, **extras: Any) -> Any:
        options = {
            "hostname": hostname,
            "username": self.user,
            "platform": self.platform,
            "extras": {**self.extras, **extras},
        }
        return (self.plugin, options, [(method, (given,)) for method, given in calls])

    def ask(self, *calls: tuple[str, Any], **extras: Any) -> list[Any]:
        (answer,) = self.worker.ask([self.request(*calls, **extras)])
        if isinstance(answer, GoldentoothError):
            raise answer
        return list(answer)

    def gather(self, *commands: str | Command, **extras: Any) -> tuple[Output, ...]:
        (outputs,) = self.ask(("gather", commands), **extras)
        return tuple(outputs)

    def run(self, *commands: str | Command, **extras: Any) -> tuple[Output, ...]:
        (outputs,) = self.ask(("run", commands), **extras)
        return tuple(outputs)

    def read(self, *paths: str) -> dict[str, HostFile | None]:
        (files,) = self.ask(("read", paths))
        return dict(files)

    def write(self, *files: File) -> None:
        self.ask(("write", files))


@contextmanager
def edited(machine: Machine, path: str, text: str) -> Iterator[None]:
    """Append ``text`` to a file of ``machine`` inside the block."""
    before = machine.path(path).read_bytes() if machine.path(path).exists() else None
    with machine.path(path).open("a") as file:
        file.write(text)
    yield
    if before is None:  # the path is another one if the host was off meanwhile
        machine.path(path).unlink()
    else:
        machine.path(path).write_bytes(before)


@pytest.fixture(scope="module")
def operator(shared_twin: Twin) -> Iterator[Worker]:
    command = shared_twin.machine("operator").command([sys.executable, str(WORKER)])
    worker = Worker(command, HOME=str(HOME.parent))
    yield worker
    worker.end()


@pytest.fixture(scope="module")
def here() -> Iterator[Worker]:
    """Return a worker on this machine itself, with a small disk of its own at /srv."""
    disk = 'mount -t tmpfs -o size=16m,mode=755 tmpfs /srv && exec "$@"'
    argv = ["sh", "-c", disk, "sh", sys.executable, str(WORKER)]
    worker = Worker(["unshare", "--mount", "--propagation", "private", *argv])
    yield worker
    worker.end()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a certificate authority, its certificate for a user and a new key."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("authority", "user", "stranger"):
        make_key(folder / name)
    sign("-s", folder / "authority", "-I", "ada", "-n", "root", folder / "user.pub")
    return folder


def make_key(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)


def sign(*arguments: str | Path) -> None:
    subprocess.run(["ssh-keygen", "-q", *arguments], check=True)


@pytest.fixture(scope="module")
def host(shared_twin: Twin, keys: Path) -> Iterator[Machine]:
    """Return the host, with noisy logins, a banner, a certificate, and what the tests may run."""
    machine = shared_twin.machine(HOST)
    public = machine.path(f"{HostKeys.PATH}.pub").read_text()
    (keys / "host.pub").write_text(public)
    sign("-s", keys / "authority", "-I", HOST, "-h", "-n", ADDRESS, keys / "host.pub")
    files = {
        "/etc/ssh/certificate.pub": (keys / "host-cert.pub").read_text(),
        "/etc/ssh/authority.pub": (keys / "authority.pub").read_text(),
        "/etc/ssh/banner": "All access is logged.\n" * 20,
    }
    for path, text in files.items():
        machine.path(path).write_text(text)
    server = (
        "LogLevel VERBOSE\nBanner /etc/ssh/banner\nMaxStartups 100\n"
        "HostCertificate /etc/ssh/certificate.pub\nTrustedUserCAKeys /etc/ssh/authority.pub\n"
    )
    noise = "echo welcome; echo beware >&2; sleep 0.2; printf '\\nmark-0 end 0 0\\n'\n"
    commands = [*BYTES, HANG, FAIL, LARGE, "echo fine", "id -u", "sleep 1"]
    written = [
        *(f"@file {path} root:daemon 0640" for path in CONTENTS),
        "@file /srv/file root:root 0644",
    ]
    lines = [*commands, "@path /srv/", *written, "@read /etc/hostname"]
    allowed = "".join(f"{line}\n" for line in lines)
    with (
        edited(machine, "/etc/ssh/sshd_config", server),
        edited(machine, "/root/.bashrc", noise),
        edited(machine, f"/home/{USER}/.bashrc", noise),
        edited(machine, ALLOWED, allowed),
    ):
        machine.check(["systemctl", "reload", "ssh.service"])
        yield machine
    machine.check(["systemctl", "reload", "ssh.service"])
    for path in files:
        machine.path(path).unlink()


@pytest.fixture(scope="module")
def ways(operator: Worker, here: Worker, host: Machine, keys: Path) -> dict[str, Way]:
    config = keys / "config"
    config.write_text(f"Host {ADDRESS}\n  ProxyJump root@{JUMP}\n")
    root, jump = host.path("/"), {"config": [str(config)]}
    return {
        "ssh": Way(operator, "goldentooth_ssh", root=root),
        "sudo": Way(operator, "goldentooth_ssh", USER, root=root),
        "jump": Way(operator, "goldentooth_ssh", extras=jump, root=root),
        "cli": Way(operator, "goldentooth_cli", platform="linux"),
        "local": Way(here, "goldentooth_local", root=here.root),
    }


@pytest.fixture(params=["ssh", "sudo", "jump", "cli", "local"])
def way(ways: dict[str, Way], request: pytest.FixtureRequest) -> Way:
    return ways[request.param]


@pytest.fixture(params=["ssh", "sudo", "jump", "local"])
def exact(ways: dict[str, Way], request: pytest.FixtureRequest) -> Way:
    return ways[request.param]


@pytest.fixture(params=["ssh", "jump", "cli"])
def remote(ways: dict[str, Way], request: pytest.FixtureRequest) -> Way:
    return ways[request.param]


# -- what every way promises -------------------------------------------------------------


@pytest.mark.parametrize("method", ["run", "gather"])
def test_output_is_carried_to_the_byte_or_refused(way: Way, method: str) -> None:
    (outputs,) = way.ask((method, tuple(BYTES)))
    for output, wanted in zip(outputs, BYTES.values(), strict=True):
        if way.is_exact or not output.is_refused:
            assert output == Output(wanted)
    refused = [output.stderr for output in outputs if output.is_refused]
    assert len(refused) == (0 if way.is_exact else 2)


def test_five_megabytes_come_through(way: Way) -> None:
    wanted = "".join("a" * 70 + "\n" for _ in range(71428)).encode() + b"a" * 40
    assert way.gather(LARGE) == (Output(wanted),)


def test_exit_status_and_errors_are_told(way: Way) -> None:
    failed, fine = way.run(FAIL, "echo fine")
    assert failed.status == 3
    assert fine == Output(b"fine\n")
    if way.is_exact:
        assert failed == Output(b"out\n", b"err\n", 3)
    else:
        assert failed.stdout == b"out\nerr\n"


@pytest.mark.parametrize("method", ["run", "gather"])
def test_a_command_that_hangs_costs_only_itself(way: Way, method: str) -> None:
    (outputs,) = way.ask((method, (HANG, "echo fine")), command_seconds=1)
    assert (outputs[0].is_late, outputs[0].status) == (True, 124)
    assert outputs[1] == Output(b"fine\n")
    if way.is_exact:
        assert outputs[0].stdout == b"begun\n"


def test_what_was_answered_is_kept_when_the_time_of_the_host_is_over(way: Way) -> None:
    begun = time.monotonic()
    fine, hung = way.gather("echo fine", Command(HANG, seconds=25), host_seconds=2)
    assert fine == Output(b"fine\n")
    assert hung.is_missing or hung.is_late
    assert time.monotonic() - begun < 40


def test_everything_is_done_as_root(way: Way) -> None:
    assert way.run("id -u") == (Output(b"0\n"),)


# -- files -------------------------------------------------------------------------------

CONTENTS = {
    "/srv/no newline": b"abc",
    "/srv/nul": b"a\0b\n",
    "/srv/latin": b"\xff\xfe\n",
    "/srv/large": bytes(range(256)) * 20000,
    "/srv/empty": b"",
    "/srv/deep/down/it's \\here": b"x\n",
}


def test_files_are_written_and_read_to_the_byte(exact: Way) -> None:
    begun = time.time()
    exact.write(*(File(path, text, "root:daemon", 0o640) for path, text in CONTENTS.items()))
    files = exact.read(*CONTENTS, "/srv/absent", "/srv/deep/", "/srv/nothing/")
    for path, text in CONTENTS.items():
        file = files[path]
        assert file
        assert (file.content, file.owner, file.mode, file.kind) == (
            text,
            "root:daemon",
            0o640,
            "file",
        )
        assert abs(file.mtime - begun) < 60
        assert (exact.root / path[1:]).read_bytes() == text
    assert files["/srv/absent"] is None
    assert files["/srv/nothing"] is None
    assert files["/srv/deep/down"].kind == "folder"  # type: ignore[union-attr]
    assert {path for path in files if path.startswith("/srv/deep")} == {
        "/srv/deep",
        "/srv/deep/down",
        "/srv/deep/down/it's \\here",
    }
    empty(exact)


def empty(way: Way) -> None:
    subprocess.run(["sh", "-c", 'rm -r "$0"/*', way.srv], check=True)


def test_links_are_seen_as_links_and_hard_links_as_files(exact: Way) -> None:
    (exact.srv / "a").write_text("x\n")
    (exact.srv / "b").hardlink_to(exact.srv / "a")
    (exact.srv / "c").symlink_to("a")
    os.mkfifo(exact.srv / "d")
    files = exact.read("/srv/")
    assert [(files[f"/srv/{name}"].kind, files[f"/srv/{name}"].content) for name in "abcd"] == [  # type: ignore[union-attr]
        ("file", b"x\n"),
        ("file", b"x\n"),
        ("link", b""),
        ("other", b""),
    ]
    assert files["/srv/c"].target == "a"  # type: ignore[union-attr]
    empty(exact)


def test_a_terminal_does_not_carry_files(ways: dict[str, Way]) -> None:
    with pytest.raises(InexactError, match="use goldentooth_ssh"):
        ways["cli"].read("/etc/hostname")
    with pytest.raises(InexactError, match="use goldentooth_ssh"):
        ways["cli"].write(File("/srv/x", b""))
    (output,) = ways["cli"].run(Command("cat", b"input"))
    assert output.is_refused


def test_a_write_to_a_full_disk_leaves_the_file_and_reads_go_on(
    twin: Twin, ways: dict[str, Way]
) -> None:
    for name in ("ssh", "local"):
        ways[name].write(File("/srv/file", b"before\n"))
    twin.break_("disk", HOST)
    ways["local"].run("cat /dev/zero >/srv/filling")
    for name in ("ssh", "sudo", "jump", "local"):
        with pytest.raises(TransportError, match=r"/srv/file cannot be written: .*No space left"):
            ways[name].write(File("/srv/file", b"after\n" * 100_000))
        file = ways[name].read("/srv/file")["/srv/file"]
        assert file
        assert file.content == b"before\n"
        assert {path.name for path in ways[name].srv.iterdir()} <= {"file", "filling"}
    twin.heal()
    empty(ways["ssh"])
    empty(ways["local"])


# -- keys --------------------------------------------------------------------------------


def known(keys: Path, name: str, *lines: str) -> dict[str, str]:
    (keys / name).write_text("".join(f"{line.strip()}\n" for line in lines))
    return {"known_hosts": str(keys / name)}


def test_a_host_with_another_key_is_not_spoken_to(twin: Twin, ways: dict[str, Way]) -> None:
    twin.break_("hostkey", HOST)
    for name in ("ssh", "sudo", "jump", "cli"):
        with pytest.raises(HostKeyError, match="not spoken to"):
            ways[name].run("echo fine")


def test_a_host_that_nobody_knows_is_not_spoken_to(remote: Way, keys: Path) -> None:
    with pytest.raises(HostKeyError, match="not spoken to"):
        remote.run("echo fine", **known(keys, "nobody", ""))


def test_a_revoked_key_is_not_trusted(ways: dict[str, Way], keys: Path) -> None:
    key = f"{ADDRESS} {(keys / 'host.pub').read_text()}"
    for name in ("ssh", "cli"):
        assert ways[name].run("echo fine", **known(keys, "good", key)) == (Output(b"fine\n"),)
        with pytest.raises(HostKeyError, match="not spoken to"):
            ways[name].run("echo fine", **known(keys, "revoked", key, f"@revoked {key}"))


def test_a_host_is_known_by_its_certificate(ways: dict[str, Way], keys: Path) -> None:
    authority = (keys / "authority.pub").read_text()
    certified = known(keys, "certified", f"@cert-authority 10.4.0.* {authority}")
    assert ways["ssh"].run("echo fine", **certified) == (Output(b"fine\n"),)
    stranger = (keys / "stranger.pub").read_text()
    with pytest.raises(HostKeyError):
        ways["ssh"].run("echo fine", **known(keys, "other", f"@cert-authority * {stranger}"))
    with pytest.raises(HostKeyError, match="certificates are not understood"):
        ways["cli"].run("echo fine", **certified)


def test_a_revoked_authority_is_not_trusted(ways: dict[str, Way], keys: Path) -> None:
    authority = (keys / "authority.pub").read_text()
    lines = (f"@cert-authority * {authority}", f"@revoked * {authority}")
    with pytest.raises(HostKeyError):
        ways["ssh"].run("echo fine", **known(keys, "revoked-authority", *lines))


def test_a_user_whom_the_host_does_not_know_is_refused(ways: dict[str, Way], keys: Path) -> None:
    only = {"client_keys": [str(keys / "stranger")], "agent_path": None}
    with pytest.raises(AuthenticationError, match="check the key, the agent and the user name"):
        ways["ssh"].run("echo fine", **only)
    for name in ("ssh", "cli"):
        with pytest.raises(AuthenticationError, match="check the key, the agent and the user name"):
            replace(ways[name], user="daemon").run("echo fine")


def test_a_key_that_is_named_lets_in(ways: dict[str, Way]) -> None:
    own = {"client_keys": [str(HOME / "id_ed25519")], "agent_path": None}
    assert ways["ssh"].run("echo fine", **own) == (Output(b"fine\n"),)


def test_a_user_certificate_lets_in(ways: dict[str, Way], keys: Path) -> None:
    pair = {"client_keys": [(str(keys / "user"), str(keys / "user-cert.pub"))], "agent_path": None}
    assert ways["ssh"].run("echo fine", **pair) == (Output(b"fine\n"),)
    without = {"client_keys": [(str(keys / "user"), None)], "agent_path": None}
    with pytest.raises(AuthenticationError):
        ways["ssh"].run("echo fine", **without)


def test_the_agent_lets_in(ways: dict[str, Way], keys: Path, shared_twin: Twin) -> None:
    socket = keys / "agent"
    only_agent = {"client_keys": [str(keys / "stranger")], "agent_path": str(socket)}
    with running("ssh-agent", "-D", "-a", str(socket)):
        eventually(socket.exists)
        with pytest.raises(AuthenticationError):
            ways["ssh"].run("echo fine", **only_agent)
        add = f"SSH_AUTH_SOCK={quote(str(socket))} ssh-add -q {HOME}/id_ed25519"
        done = shared_twin.run(["sh", "-c", add])
        assert done.returncode == 0, done.stderr
        assert ways["ssh"].run("echo fine", **only_agent) == (Output(b"fine\n"),)


@contextmanager
def running(*argv: str) -> Iterator[None]:
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def test_the_configuration_of_ssh_is_followed(ways: dict[str, Way], keys: Path) -> None:
    config = keys / "alias"
    config.write_text(
        f"Host short\n  HostName {ADDRESS}\n  User {USER}\n  IdentityFile {HOME}/id_ed25519\n"
    )
    alias = Way(ways["ssh"].worker, "goldentooth_ssh", None, extras={"config": [str(config)]})
    assert alias.run("id -u", hostname="short") == (Output(b"0\n"),)


def test_a_jump_host_is_jumped_through(ways: dict[str, Way], host: Machine) -> None:
    since = now(host)
    assert ways["jump"].run("echo fine") == (Output(b"fine\n"),)
    assert re.search(rf"Accepted publickey for root from {JUMP} ", log_since(host, since))


# -- sudo --------------------------------------------------------------------------------


def test_what_is_not_in_the_list_is_not_done(ways: dict[str, Way]) -> None:
    refused, fine = ways["sudo"].gather("cat /etc/shadow", "echo fine")
    assert refused.is_refused
    assert refused.stdout == b""
    assert "deploy the access service" in refused.complaint
    assert fine == Output(b"fine\n")
    for path in ("/etc/shadow", "/srv/../etc/shadow", "/srvx", "/srv"):
        why = "not in /etc/goldentooth/allowed|not the absolute path"
        with pytest.raises(TransportError, match=rf"not read: .*({why})"):
            ways["sudo"].read(path)
    for path in ("/etc/hostname", ALLOWED, INSTALLED):
        with pytest.raises(TransportError, match="not in /etc/goldentooth/allowed"):
            ways["sudo"].write(File(path, b"x"))
    assert ways["sudo"].read("/etc/hostname")["/etc/hostname"]


@pytest.mark.parametrize("arguments", ["sh -c id", f"{INSTALLED} rollback x", "-u daemon id"])
def test_sudo_itself_allows_nothing_else(host: Machine, arguments: str) -> None:
    command = f"sudo -n {arguments}"
    done = host.run(["su", "-s", "/bin/sh", "-c", command, USER])
    assert done.returncode != 0
    assert b"password is required" in done.stderr or b"not allowed" in done.stderr


def test_why_sudo_does_not_help_is_told_apart(ways: dict[str, Way], host: Machine) -> None:
    rules, program = host.path("/etc/sudoers.d/goldentooth"), host.path(INSTALLED)
    texts = rules.read_bytes(), program.read_bytes()
    try:
        rules.unlink()
        with pytest.raises(PrivilegeError, match=r"sudo refuses goldentooth .*deploy the access"):
            ways["sudo"].run("echo fine")
        rules.write_bytes(texts[0])
        rules.chmod(0o440)
        program.unlink()
        with pytest.raises(PrivilegeError, match="is not on the host: deploy the access service"):
            ways["sudo"].run("echo fine")
        program.write_bytes(texts[1].replace(b'\nPROTOCOL = "2"\n', b'\nPROTOCOL = "0"\n'))
        program.chmod(0o755)
        with pytest.raises(PrivilegeError, match="another version"):
            ways["sudo"].run("echo fine")
        host.path("/usr/bin/sudo").rename(host.path("/usr/bin/sudo.away"))
        with pytest.raises(PrivilegeError, match="no sudo on the host"):
            ways["sudo"].run("echo fine")
    finally:
        away = host.path("/usr/bin/sudo.away")
        if away.exists():
            away.rename(host.path("/usr/bin/sudo"))
        for place, text, mode in ((rules, texts[0], 0o440), (program, texts[1], 0o755)):
            place.write_bytes(text)
            place.chmod(mode)
    assert ways["sudo"].run("echo fine") == (Output(b"fine\n"),)


def test_a_login_that_runs_nothing_is_said_to_be(ways: dict[str, Way], host: Machine) -> None:
    host.check(["usermod", "-s", "/usr/sbin/nologin", USER])
    try:
        with pytest.raises(UnreachableError, match="not available"):
            ways["sudo"].run("echo fine")
    finally:
        host.check(["usermod", "-s", "/bin/bash", USER])


# -- many, and few -----------------------------------------------------------------------


def test_a_host_is_read_with_one_handshake_and_one_exec(
    ways: dict[str, Way], host: Machine
) -> None:
    for name, user in (("ssh", "root"), ("sudo", USER)):
        since = now(host)
        ways[name].gather(*BYTES, "echo fine", "id -u")
        log = log_since(host, since)
        assert log.count("Connection from 10.4.0.") == 1
        assert log.count(f"Accepted publickey for {user} ") == 1
        assert log.count("Starting session: ") == log.count("Starting session: command") == 1


def now(host: Machine) -> str:
    time.sleep(0.05)  # what came before has been written
    return host.check(["date", "+%s.%N"]).strip()


def log_since(host: Machine, since: str) -> str:
    host.check(["journalctl", "--sync"])
    return host.check(["journalctl", "-u", "ssh.service", "-o", "cat", f"--since=@{since}"])


def test_fifty_hosts_are_read_at_once(ways: dict[str, Way], shared_twin: Twin) -> None:
    hosts = [machine for machine in shared_twin.machines.values() if machine.record.boots]
    chosen = [hosts[index % len(hosts)] for index in range(50)]
    command = "uname -n; head -c 100000 /dev/zero"
    answers = ways["ssh"].worker.ask(
        [
            ways["ssh"].request(("gather", (command, "true")), hostname=machine.record.address)
            for machine in chosen
        ]
    )
    for machine, answer in zip(chosen, answers, strict=True):
        assert not isinstance(answer, GoldentoothError), answer
        assert answer[0][0] == Output(f"{machine.name}\n".encode() + bytes(100_000))


# -- a host that dies --------------------------------------------------------------------


def test_a_host_that_dies_mid_read_costs_seconds_and_what_it_said_is_kept(
    twin: Twin, ways: dict[str, Way]
) -> None:
    names = ("ssh", "jump", "cli")
    commands = ("echo fine", Command("sleep 40", seconds=40))
    bounds = {"silence_seconds": 2, "host_seconds": 50}
    requests = [
        ways[name].request(
            ("gather", commands if name != "cli" else ("echo fine", "sleep 40")),
            **{**bounds, **({"command_seconds": 4} if name == "cli" else {})},
        )
        for name in names
    ]
    answers: list[Any] = []
    begun = time.monotonic()
    _meanwhile(lambda: answers.extend(ways["ssh"].worker.ask(requests)), 2.5, twin)
    assert time.monotonic() - begun < 30
    for name, answer in zip(names, answers, strict=True):
        assert not isinstance(answer, GoldentoothError), f"{name}: {answer}"
        ((fine, lost),) = answer
        assert fine == Output(b"fine\n"), name
        assert lost.is_missing, name


def _meanwhile(work: Callable[[], object], seconds: float, twin: Twin) -> None:
    from threading import Thread

    thread = Thread(target=work)
    thread.start()
    time.sleep(seconds)
    twin.break_("power", HOST)
    thread.join(60)
    assert not thread.is_alive()


def test_a_host_that_is_off_is_unreachable_in_its_time(twin: Twin, ways: dict[str, Way]) -> None:
    twin.break_("power", HOST)
    for name in ("ssh", "sudo", "cli"):
        begun = time.monotonic()
        with pytest.raises(UnreachableError):
            ways[name].gather("echo fine", connect_seconds=1)
        assert time.monotonic() - begun < 15
