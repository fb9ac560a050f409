"""A play of deployments: a project of its own, the toy service's files, what hosts look like."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from goldentooth.applied import FOLDER
from goldentooth.host.state import BACK, STATE_FILE, SWITCHED, HostState, read_state
from goldentooth.model import Network
from goldentooth.twin import Twin, remove_twin
from tests.namespaces import eventually
from tests.sites import ROOT, Site

ONE, TWO = "/etc/toy/one.conf", "/etc/toy/two.conf"
LIVE = "/run/toy"
ACTIVATE = f"cat /etc/toy/*.conf >{LIVE}.new && mv {LIVE}.new {LIVE}"
CHECK = f"cat /etc/toy/*.conf | cmp - {LIVE}"


VERSIONS = count(1)
"""Of all plays: what one intends no other has put on a host already."""


@contextmanager
def bare_stage(network: Network, artifacts: Path, *hosts: str) -> Iterator[Stage]:
    """Give a stage on a bare twin of its own, of ``hosts`` alone."""
    name = f"play{os.getpid()}"
    try:
        stage = Stage(Twin.up(network, artifacts, name=name, hosts=hosts, bare=True))
        yield stage
        stage.close()
    finally:
        remove_twin(name)


class Stage:
    """The operator's machine, on which command lines are played; see ``deploy_stage``."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        operator = twin.machine("operator")
        self._server = subprocess.Popen(
            operator.command([sys.executable, "-m", "tests.twin.deploy_stage"], cwd=str(ROOT)),
            env={**twin._environment("operator"), "COLUMNS": "200"},
            stdin=subprocess.PIPE,
            text=True,
        )

    def ask(self, request: dict[str, Any]) -> None:
        assert self._server.stdin
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()

    def close(self) -> None:
        assert self._server.stdin
        self._server.stdin.close()
        self._server.wait(20)


@dataclass
class Done:
    """What became of a command line."""

    status: int
    stdout: str
    stderr: str

    @property
    def outcomes(self) -> dict[str, str]:
        """The word for each host with something to do, of a `--commit`."""
        assert self.stdout, self
        hosts = {host["host"]: host["outcome"] for host in json.loads(self.stdout)["hosts"]}
        return {host: word for host, word in hosts.items() if word != "nothing to do"}

    @property
    def reasons(self) -> dict[str, str]:
        """Why, by host, of a `--commit`."""
        return {host["host"]: host["reason"] for host in json.loads(self.stdout)["hosts"]}


@dataclass(frozen=True)
class Look:
    """All that a deployment may have changed on a host."""

    files: dict[str, str]
    """What `stat` and `sha256sum` say of every file of the toy's folders."""
    live: str
    record: dict[str, str]
    """Hash of every copy in the record, by path."""
    is_armed: bool


class Drill:
    """One project folder, from which deployments are made to hosts of the twin."""

    def __init__(self, stage: Stage, folder: Path, hosts: Iterable[str]) -> None:
        self.stage, self.twin = stage, stage.twin
        self.site = Site(folder)
        text = self.site.config.read_text()
        bounds = "  transport: {connect_seconds: 2, silence_seconds: 2}\n"
        self.site.config.write_text(text + bounds + "  journal: journal\n")
        self.hosts = tuple(hosts)
        self.version = 0
        self._is_running = False
        self.spec: dict[str, Any] = {}
        self.plain()

    @property
    def folder(self) -> Path:
        return self.site.folder

    # -- what is intended --------------------------------------------------------------

    def plain(self, **other: Any) -> None:
        """Intend the two plain files again; ``other`` parts of the toy as given."""
        self.spec = {
            "hosts": list(self.hosts),
            "files": {ONE: {"text": ""}, TWO: {"text": ""}},
            "activate": [ACTIVATE],
            "units": [],
            "checks": [CHECK],
            **other,
        }
        self.change()

    def change(self) -> None:
        """Intend the next version of the two files."""
        self.version = next(VERSIONS)
        for path in (ONE, TWO):
            if path in self.spec["files"]:
                self.spec["files"][path]["text"] = f"{path} version {self.version}\n"
        self.write()

    def write(self) -> None:
        (self.folder / "toy.json").write_text(json.dumps(self.spec))

    @property
    def intended(self) -> dict[str, str]:
        """The hash of every intended file, by path."""
        return {
            path: hashlib.sha256(file["text"].encode()).hexdigest()
            for path, file in self.spec["files"].items()
        }

    # -- what is done ------------------------------------------------------------------

    def start(
        self,
        *argv: str,
        kill: str = "",
        waits: Iterable[str] = (),
        shells: Mapping[str, str] | None = None,
        env: Mapping[str, str] | None = None,
        interrupt: str = "",
    ) -> None:
        """Start a command line; see ``deploy_stage.Stops``."""
        for name in ("answer", "waiting", "points"):
            (self.folder / name).unlink(missing_ok=True)
        self._is_running = True
        self.stage.ask(
            {
                "folder": str(self.folder),
                "argv": argv,
                "kill": kill,
                "waits": list(waits),
                "shells": dict(shells or {}),
                "environment": dict(env or {}),
                "interrupt": interrupt,
            }
        )

    def wait_for(self, point: str) -> None:
        """Wait until the command line waits at ``point``."""
        waiting, answer = self.folder / "waiting", self.folder / "answer"
        there = eventually(lambda: waiting.exists() or answer.exists(), 60)
        assert there
        assert not answer.exists(), self.end()
        eventually(lambda: waiting.read_text() == point)

    def go_on(self) -> None:
        (self.folder / "waiting").unlink()

    def end(self) -> Done:
        """Wait for the end of the command line."""
        answer = self.folder / "answer"
        eventually(answer.exists, 120)
        self._is_running = False
        texts = [(self.folder / name).read_text() for name in ("stdout", "stderr")]
        return Done(int(answer.read_text()), *texts)

    def release(self) -> None:
        """Let a command line that a failed test has left go its way."""
        while self._is_running and not (self.folder / "answer").exists():
            (self.folder / "waiting").unlink(missing_ok=True)
            time.sleep(0.1)

    def run(self, *argv: str, **stops: Any) -> Done:
        self.start(*argv, **stops)
        return self.end()

    def start_commit(self, *waits: str, argv: Iterable[str] = (), **stops: Any) -> None:
        """Start to deploy; it waits at each of ``waits``."""
        self.start(*self.committing, *argv, waits=waits, **stops)

    def commit(self, *argv: str, **stops: Any) -> Done:
        """Deploy, and read the report as JSON."""
        return self.run(*self.committing, *argv, **stops)

    @property
    def committing(self) -> tuple[str, ...]:
        hosts = (word for host in self.hosts for word in ("--host", host))
        return ("deploy", "--commit", "--confirm-within", "5", "--format", "json", *hosts)

    @property
    def points(self) -> list[str]:
        """The points that the last command line came by."""
        return (self.folder / "points").read_text().splitlines()

    @property
    def host(self) -> str:
        """The only host."""
        (host,) = self.hosts
        return host

    # -- how hosts are -----------------------------------------------------------------

    def shell(self, host: str, script: str) -> str:
        done = self.twin.exec(host, ["sh", "-c", script])
        return (done.stdout + done.stderr).decode(errors="replace")

    def state(self, host: str) -> HostState:
        """What the host's program knows of its deployments."""
        done = self.twin.exec(host, ["cat", f"{FOLDER}/{STATE_FILE}"])
        return read_state(done.stdout) if done.stdout else HostState()

    def told_of_return(self, host: str) -> str:
        """Why the host went back; nothing if its last deployment was not taken back."""
        last = self.state(host).last_end
        return f"{last.why}; {last.unlive}" if last and last.state == BACK else ""

    def look(self, host: str) -> Look:
        lines = self.shell(host, LOOK).splitlines()
        parts = [line.split("\t") for line in lines]
        return Look(
            {part[1]: " ".join(part[2:]) for part in parts if part[0] == "file"},
            next(part[1] for part in parts if part[0] == "live"),
            {part[1]: part[2] for part in parts if part[0] == "copy"},
            any(part[0] == "armed" for part in parts),
        )

    def looks(self) -> dict[str, Look]:
        return {host: self.look(host) for host in self.hosts}

    def new_look(self) -> Look:
        """Return how a host looks that is fully new."""
        files = self.spec["files"]
        live = "".join(files[path]["text"] for path in sorted(files) if path.endswith(".conf"))
        return Look(
            {
                path: f"{file.get('owner', 'root:root')} {file.get('mode', '644')}"
                f" {self.intended[path]}"
                for path, file in files.items()
            },
            hashlib.sha256(live.encode()).hexdigest(),
            self.intended,
            is_armed=False,
        )


LOOK = f"""
for path in $(find /etc/toy* -type f 2>/dev/null); do
    printf 'file\\t%s\\t%s\\t%s\\n' "$path" "$(stat -c '%U:%G %a' "$path")" \
        "$(sha256sum <"$path" | cut -d' ' -f1)"
done
printf 'live\\t%s\\n' "$(cat {LIVE} 2>/dev/null | sha256sum | cut -d' ' -f1)"
cd /var/lib/goldentooth 2>/dev/null &&
cd "$(sed -n 's/^ "applied": "\\(.*\\)",$/\\1/p' state.json)/files" 2>/dev/null &&
for path in $(find . -type f -path './etc/toy*'); do
    printf 'copy\\t%s\\t%s\\n' "${{path#.}}" "$(sha256sum <"$path" | cut -d' ' -f1)"
done
cd /etc
grep -Eq '"state": "({"|".join(SWITCHED)})"' /var/lib/goldentooth/state.json 2>/dev/null &&
    printf 'armed\\n'
systemctl --quiet is-active goldentooth-rollback.timer && printf 'armed\\n'
:
"""
