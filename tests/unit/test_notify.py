"""Hooks that are told of changes: what they get, and that none of them can hold up a run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from goldentooth.errors import UsageError
from goldentooth.notify import Hooks
from tests.namespaces import eventually

DOCUMENT = {"format": "goldentooth-net/drift-change/1", "changes": ["é", "\udcff"], "report": {}}


def hooks(**settings: Any) -> Hooks:
    return Hooks.of({"notify": settings})


# -- a command ---------------------------------------------------------------------------


def test_a_command_gets_the_document_on_stdin_in_the_projects_folder(tmp_path: Path) -> None:
    assert hooks(command=["sh", "-c", "cat > got.json"]).tell(DOCUMENT, tmp_path) == ()
    got = json.loads((tmp_path / "got.json").read_text())
    assert got["format"] == DOCUMENT["format"]
    assert got["changes"][0] == "é"


def test_the_words_of_a_command_are_not_read_by_a_shell(tmp_path: Path) -> None:
    assert hooks(command=["touch", "$(touch a); b"]).tell(DOCUMENT, tmp_path) == ()
    assert [path.name for path in tmp_path.iterdir()] == ["$(touch a); b"]


@pytest.mark.parametrize(
    ("command", "failure"),
    [
        (["sh", "-c", "echo one >&2; echo why >&2; exit 3"], "exit status 3: why"),
        (["false"], "exit status 1: no word why"),
        (["./absent"], "no such file or directory"),
        (["true"], None),  # one that does not read is none that fails
    ],
)
def test_a_command_that_fails_is_a_line(
    tmp_path: Path, command: list[str], failure: str | None
) -> None:
    big = {**DOCUMENT, "report": "x" * 1_000_000}
    found = hooks(command=command).tell(big, tmp_path)
    assert found == ((f"notify: command {command[0]}: {failure}",) if failure else ())


def test_a_command_gets_no_variable_that_a_secret_could_be_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPNSENSE_SECRET", "VAULT_TOKEN", "GOLDENTOOTH_KEY", "https_proxy", "PYTHONPATH"):
        monkeypatch.setenv(name, "canary")
    for name in ("HOME", "LC_ALL", "TZ"):
        monkeypatch.setenv(name, "kept")
    assert hooks(command=["sh", "-c", "env > got"]).tell(DOCUMENT, tmp_path) == ()
    got = dict(line.split("=", 1) for line in (tmp_path / "got").read_text().splitlines())
    assert "canary" not in got.values()
    assert (got["HOME"], got["LC_ALL"], got["TZ"]) == ("kept", "kept", "kept")
    shells_own = {"PWD", "OLDPWD", "SHLVL", "_"}
    known = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"}
    assert all(name in known | shells_own or name.startswith("LC_") for name in got)


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    script = "(sleep 60; touch late) & echo $! > child; trap '' TERM; sleep 60"
    started = time.monotonic()
    (failure,) = hooks(command=["sh", "-c", script], seconds=0.5).tell(DOCUMENT, tmp_path)
    assert failure == "notify: command sh: not done within 0.5 s; ended"
    assert time.monotonic() - started < 20
    child = int((tmp_path / "child").read_text())
    eventually(lambda: not _is_alive(child))


def _is_alive(process: int) -> bool:
    status = Path(f"/proc/{process}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


# -- a webhook ---------------------------------------------------------------------------


class Server(ThreadingHTTPServer):
    """A receiver on this machine, which answers as it is told."""

    daemon_threads = True
    got: list[tuple[str, str, bytes]]
    status = 204
    location = ""
    drip: Event | None = None


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], body))
        while self.server.drip and not self.server.drip.wait(0.05):
            self.wfile.write(b"H")  # each byte is in time, the answer never ends
            self.wfile.flush()
        self.send_response(self.server.status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.got = []
    Thread(target=made.serve_forever, daemon=True).start()
    yield made
    if made.drip:
        made.drip.set()
    made.shutdown()
    made.server_close()


@pytest.fixture
def url(server: Server) -> Callable[[str], str]:
    return lambda path: f"http://127.0.0.1:{server.server_port}/{path}"


def test_a_webhook_gets_the_document(
    server: Server, url: Callable[[str], str], tmp_path: Path
) -> None:
    assert hooks(webhook=url("in")).tell(DOCUMENT, tmp_path) == ()
    ((path, kind, body),) = server.got
    assert (path, kind) == ("/in", "application/json")
    assert json.loads(body)["format"] == DOCUMENT["format"]


def test_a_webhook_by_reference_is_never_shown(
    server: Server,
    url: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.status = 500
    monkeypatch.setenv("HOOK", url("canary-token"))
    told = hooks(webhook="${env:HOOK}")
    (failure,) = told.tell(DOCUMENT, tmp_path)
    assert server.got[0][0] == "/canary-token"
    assert failure == "notify: webhook at 127.0.0.1: it answers 500"
    assert "canary" not in repr(told)
    monkeypatch.setenv("HOOK", "canary-no-url")
    (failure,) = told.tell(DOCUMENT, tmp_path)
    assert "is not a URL" in failure
    assert "canary" not in failure


def test_a_redirect_is_a_failure(server: Server, url: Callable[[str], str], tmp_path: Path) -> None:
    server.status, server.location = 302, url("other")
    (failure,) = hooks(webhook=url("in")).tell(DOCUMENT, tmp_path)
    assert failure.endswith("it answers 302")
    assert len(server.got) == 1


def test_a_server_that_drips_is_left(
    server: Server, url: Callable[[str], str], tmp_path: Path
) -> None:
    server.drip = Event()
    started = time.monotonic()
    (failure,) = hooks(webhook=url("in"), seconds=0.5).tell(DOCUMENT, tmp_path)
    assert failure == "notify: webhook at 127.0.0.1: no answer within 0.5 s"
    assert time.monotonic() - started < 20


def test_a_server_that_is_not_there_is_a_line(server: Server, tmp_path: Path) -> None:
    port = server.server_port
    server.shutdown()
    server.server_close()
    (failure,) = hooks(webhook=f"http://127.0.0.1:{port}/").tell(DOCUMENT, tmp_path)
    assert failure == "notify: webhook at 127.0.0.1: connection refused"


# -- what config.yaml may say ------------------------------------------------------------


def test_nobody_is_told_by_default(tmp_path: Path) -> None:
    assert Hooks.of({}).tell(DOCUMENT, tmp_path) == ()


@pytest.mark.parametrize(
    ("notify", "message"),
    [
        ("mail", "'mail' is not a mapping"),
        ({"comand": ["x"]}, "unknown key 'comand': did you mean command?"),
        ({"command": "mail root"}, "command 'mail root' is not a list of words"),
        ({"command": ["mail", 1]}, "is not a list of words"),
        ({"webhook": "canary"}, "webhook (not shown) is neither a URL nor a reference"),
        ({"webhook": "ftp://canary"}, "webhook (not shown) is neither a URL nor a reference"),
        ({"webhook": ["https://canary"]}, "webhook (not shown) is neither"),
        ({"seconds": 0}, "seconds 0 is not a number of seconds"),
        ({"seconds": True}, "is not a number of seconds"),
    ],
)
def test_hooks_that_are_written_wrongly_are_refused(notify: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Hooks.of({"notify": notify}, "config.yaml")
    assert str(caught.value).startswith("config.yaml: user_defined: notify")
    assert message in str(caught.value)
    assert "canary" not in str(caught.value)
