"""A secret is found, put in its place, and never shown."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from goldentooth.secrets import REDACTED, SecretError, Secrets, SecretText, redact
from tests.certificates import TestAuthority

CANARY = "canary-4f1c"
TOKEN = "canary-token-77"


def secrets(folder: Path, **environ: str) -> Secrets:
    return Secrets(folder, environ)


def refusal(found: Secrets, reference: str) -> SecretError:
    with pytest.raises(SecretError) as caught:
        found.resolve(reference)
    return caught.value


# -- the environment and files ---------------------------------------------------------------


def test_a_variable_is_found(tmp_path: Path) -> None:
    assert secrets(tmp_path, KEY=CANARY).resolve("${env:KEY}") == CANARY


def test_a_variable_that_is_not_set_says_which_to_set(tmp_path: Path) -> None:
    error = refusal(secrets(tmp_path), "${env:KEY}")
    assert str(error) == "${env:KEY}: is not set\n    set the variable KEY"


def test_a_file_is_relative_to_the_project_and_loses_one_final_newline(tmp_path: Path) -> None:
    path = tmp_path / "keys/api"
    path.parent.mkdir()
    path.write_text(f"{CANARY}\n")
    path.chmod(0o600)
    assert secrets(tmp_path).resolve("${file:keys/api}") == CANARY
    assert secrets(Path("/")).resolve(f"${{file:{path}}}") == CANARY


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666])
def test_a_file_that_everyone_can_use_is_refused_with_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "api"
    path.write_text(CANARY)
    path.chmod(mode)
    error = refusal(secrets(tmp_path), "${file:api}")
    assert f"(mode {mode:04o})" in str(error)
    assert f"chmod 600 {path}" in str(error)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400])
def test_a_file_of_owner_and_group_is_taken(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "api"
    path.write_text(CANARY)
    path.chmod(mode)
    assert secrets(tmp_path).resolve("${file:api}") == CANARY


def test_a_file_that_is_not_there_says_where_it_was_looked_for(tmp_path: Path) -> None:
    error = refusal(secrets(tmp_path), "${file:api}")
    assert "No such file" in str(error)
    assert str(tmp_path / "api") in str(error)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * 70000])
def test_a_file_that_is_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "api"
    path.write_bytes(content)
    path.chmod(0o600)
    refusal(secrets(tmp_path), "${file:api}")


@pytest.mark.parametrize("value", ["a\nb", "a\n\n", "a\x00b", "a\tb", "a\x1b[2J", "a\u2028b", ""])
def test_a_value_that_is_no_line_of_text_is_refused_unseen(tmp_path: Path, value: str) -> None:
    error = refusal(secrets(tmp_path, KEY=value), "${env:KEY}")
    assert "${env:KEY}" in str(error)
    assert not value or value not in str(error)


def test_a_literal_is_refused_and_not_shown(tmp_path: Path) -> None:
    assert CANARY not in str(refusal(secrets(tmp_path), CANARY))


# -- in an artifact --------------------------------------------------------------------------


def test_every_reference_of_a_text_is_filled_in(tmp_path: Path) -> None:
    found = secrets(tmp_path, A="one", B="two")
    assert found.fill("${env:A} ${env:B} ${env:A}\n$HOME ${HOME}") == "one two one\n$HOME ${HOME}"


SYNTAX = ['a"b', "a'b", "a b", "a#b", "a;b", "a{b", "a}b", "a\\b", "a`b", "!a", "é", "&a", "*a"]


@pytest.mark.parametrize("value", SYNTAX)
def test_a_value_that_could_become_syntax_is_not_filled_in(tmp_path: Path, value: str) -> None:
    found = secrets(tmp_path, KEY=value)
    with pytest.raises(SecretError, match="could become syntax") as caught:
        found.fill("password ${env:KEY}")
    assert value not in str(caught.value)


def test_a_value_is_not_looked_through_for_references(tmp_path: Path) -> None:
    with pytest.raises(SecretError):
        secrets(tmp_path, A="${env:B}", B="x").fill("${env:A}")


# -- Vault -----------------------------------------------------------------------------------


class Vault:
    """Answers as the KV engine does, version 2: `data` in `data`. A stand-in, over real TLS."""

    def __init__(self, authority: TestAuthority, *, days: int = 1) -> None:
        self.asked: list[tuple[str, str | None, str | None]] = []
        self.fields: dict[str, dict[str, Any]] = {}
        self.status: int | None = None
        vault = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = self.headers
                found = vault.fields.get(self.path)
                namespace = headers["X-Vault-Namespace"]
                vault.asked.append((self.path, headers["X-Vault-Token"], namespace))
                status = vault.status or (200 if found is not None else 404)
                self.send_response(status)
                self.end_headers()
                body = {"data": {"data": found}} if status == 200 else {"errors": [CANARY]}
                self.wfile.write(json.dumps(body).encode())

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = authority.server_context("127.0.0.1", days=days)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self.server.server_port}"

    def environ(self, authority: TestAuthority) -> dict[str, str]:
        return {
            "VAULT_ADDR": self.address,
            "VAULT_TOKEN": TOKEN,
            "VAULT_CACERT": str(authority.certificate),
        }


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority(tmp_path)


@pytest.fixture
def vault(authority: TestAuthority) -> Iterator[Vault]:
    vault = Vault(authority)
    vault.fields["/v1/kubeadm/data/join/now"] = {"token": CANARY, "key": "k", "number": 7}
    yield vault
    vault.server.shutdown()
    vault.server.server_close()


def test_the_fields_of_one_secret_are_read_at_once(
    vault: Vault, authority: TestAuthority, tmp_path: Path
) -> None:
    found = Secrets(tmp_path, {**vault.environ(authority), "VAULT_NAMESPACE": "team"})
    assert found.resolve("${vault:kubeadm/join/now#token}") == CANARY
    assert found.resolve("${vault:kubeadm/join/now#key}") == "k"
    assert vault.asked == [("/v1/kubeadm/data/join/now", TOKEN, "team")]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"VAULT_ADDR": "http://127.0.0.1:1"}, "not https"),
        ({"VAULT_ADDR": ""}, "not known"),
        ({"VAULT_ADDR": "https://[::1"}, "not https"),
        ({"VAULT_ADDR": "https://h x"}, "cannot be asked"),
        ({"VAULT_ADDR": "https://[fe80::abcd]"}, "cannot be asked"),
        ({"VAULT_TOKEN": f"{TOKEN}\nX: y"}, "cannot be asked"),
        ({"VAULT_TOKEN": f"é{TOKEN}\nX: y"}, "cannot be asked"),
        ({"VAULT_TOKEN": ""}, "no token"),
        ({"VAULT_CACERT": "/none"}, "VAULT_CACERT is not a readable certificate"),
        ({"VAULT_CACERT": ""}, "cannot be asked"),
        ({"VAULT_ADDR": "https://127.0.0.1:1"}, "cannot be asked"),
    ],
)
def test_vault_that_cannot_be_trusted_or_reached_is_not_asked(
    vault: Vault, authority: TestAuthority, tmp_path: Path, change: dict[str, str], says: str
) -> None:
    found = Secrets(tmp_path, {**vault.environ(authority), **change})
    error = refusal(found, "${vault:kubeadm/join/now#token}")
    assert says in str(error)
    assert TOKEN not in str(error)
    assert vault.asked == []


def test_vault_with_an_expired_certificate_is_not_told_the_token(
    authority: TestAuthority, tmp_path: Path
) -> None:
    vault = Vault(authority, days=-1)
    found = Secrets(tmp_path, vault.environ(authority))
    assert "certificate has expired" in str(refusal(found, "${vault:kubeadm/join/now#token}"))
    assert vault.asked == []
    vault.server.shutdown()
    vault.server.server_close()


@pytest.mark.parametrize(
    ("status", "says"),
    [(403, "has no right"), (404, "no such secret"), (503, "unseal"), (500, "Vault's log")],
)
def test_what_vault_refuses_has_a_remedy(
    vault: Vault, authority: TestAuthority, tmp_path: Path, status: int, says: str
) -> None:
    vault.status = status
    found = Secrets(tmp_path, vault.environ(authority))
    error = refusal(found, "${vault:kubeadm/join/now#token}")
    assert f"status {status}" in str(error)
    assert says in str(error)
    assert CANARY not in str(error)


def test_a_field_that_is_missing_or_no_text_names_those_that_are_there(
    vault: Vault, authority: TestAuthority, tmp_path: Path
) -> None:
    found = Secrets(tmp_path, vault.environ(authority))
    missing = refusal(found, "${vault:kubeadm/join/now#tokn}")
    assert "its fields are: key, number, token" in str(missing)
    assert "is not text" in str(refusal(found, "${vault:kubeadm/join/now#number}"))


PLACES = ["kubeadm/join", "kubeadm#x", "kubeadm/../sys#x", "kubeadm/join#a#b", "kubeadm//join#a"]


@pytest.mark.parametrize("place", PLACES)
def test_a_place_in_vault_that_is_no_place_is_refused(tmp_path: Path, place: str) -> None:
    error = refusal(secrets(tmp_path), f"${{vault:{place}}}")
    assert "mount/path#field" in str(error)


# -- never shown -----------------------------------------------------------------------------


def test_no_repr_shows_a_value(tmp_path: Path) -> None:
    found = secrets(tmp_path, KEY=CANARY)
    shown = [found, found.resolve("${env:KEY}"), found.fill("password ${env:KEY}"), found.values]
    assert CANARY not in repr(shown) + f"{shown[0]} {shown[1]!r}"


def test_no_traceback_shows_a_value(tmp_path: Path) -> None:
    found = secrets(tmp_path, KEY=f"{CANARY}\n{CANARY}")
    try:
        found.fill("${env:KEY}")
    except SecretError as error:
        shown = "".join(traceback.TracebackException.from_exception(error).format())
    assert CANARY not in shown


def test_redacted_text_holds_a_value_in_no_form() -> None:
    value = 'can"ary/+é'
    forms = ['can"ary/+é', 'can\\"ary/+\\u00e9', "can%22ary%2F%2B%C3%A9"]
    assert redact(" ".join(forms), [value]) == " ".join([REDACTED] * 3)


def test_a_value_inside_another_leaves_no_rest() -> None:
    assert redact("abcdef abc", ["abc", "abcdef", ""]) == f"{REDACTED} {REDACTED}"


def test_a_secret_text_is_a_string_like_any_other() -> None:
    assert f"{SecretText('a')}b" == "ab"
    assert json.dumps(SecretText("a")) == '"a"'
