"""Secrets: from a reference in the facts to its value, in memory, on the way to a host.

``${env:NAME}`` is a variable of the environment, ``${file:path}`` a file (from the project's
folder on), ``${vault:mount/path#field}`` a field of a HashiCorp Vault secret (KV version 2;
the first part of the path is the engine's mount, as in ``vault kv get mount/path``).

A value is never shown: not by ``repr``, not in an error, which names the reference alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from ssl import SSLContext, create_default_context
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from goldentooth.bounded import load_json
from goldentooth.errors import GoldentoothError
from goldentooth.values import SECRET_REFERENCE

if TYPE_CHECKING:
    from goldentooth.https import Reply

REDACTED = "(secret)"
"""What stands in a text where a secret's value was."""

LONGEST = 64 * 1024
"""Bytes of the largest secret that is read."""

_VAULT_SECONDS = 10.0
_VAULT_LIMIT = 16 * 1024 * 1024
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_WORD = re.compile(r"[^\s\"'`,;:{}\[\]()=]+")
_SYNTAX = re.compile(r"[^A-Za-z0-9._:/+=@%,~^*()\[\]&|<>?!$-]")
"""What at least one grammar that a secret is put into reads as more than a part of a word."""


class SecretError(GoldentoothError):
    """A secret cannot be had, or cannot be used; names the reference, never the value."""

    def __init__(self, reference: str, problem: str, remedy: str) -> None:
        super().__init__(f"{reference}: {problem}\n    {remedy}")
        self.reference, self.problem, self.remedy = reference, problem, remedy


class SecretText(str):
    """A text that holds a secret: a string like any other, but for its ``repr``.

    >>> SecretText("hunter2"), SecretText("hunter2") == "hunter2"
    (SecretText((secret)), True)
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"SecretText({REDACTED})"


class Filler(Protocol):
    """What puts values in place of references."""

    @property
    def values(self) -> tuple[str, ...]:
        """Every value that was put in, for :func:`redact`."""

    def fill(self, text: str) -> str:
        """Return ``text`` with the value in place of every reference."""


class References:
    """In place of secrets where there are none to be had, on a twin: references stay."""

    values: tuple[str, ...] = ()

    def fill(self, text: str) -> str:
        """Return ``text`` as it is."""
        return text


class Secrets:
    """The values behind references; each is looked up once.

    ``folder`` is what relative paths of ``${file:…}`` start from; ``environ`` holds
    the variables of ``${env:…}`` and Vault's own: VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT and
    VAULT_NAMESPACE, as its command line takes them.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environ = os.environ if environ is None else environ
        self._values: dict[str, SecretText] = {}
        self._vault: dict[str, Mapping[str, Any]] = {}

    def __repr__(self) -> str:
        return f"Secrets({len(self._values)} looked up)"

    @property
    def values(self) -> tuple[SecretText, ...]:
        """Every value that was looked up, for :func:`redact`."""
        return tuple(self._values.values())

    def resolve(self, reference: str) -> SecretText:
        """Return the value of ``reference``, which is one whole reference.

        Raises:
            SecretError: if it is no reference, its value cannot be had or is empty, or holds a
                line break or a control character.
        """
        if reference not in self._values:
            if not SECRET_REFERENCE.fullmatch(reference):
                raise SecretError(
                    "a secret",
                    "is written out instead of referred to (not shown)",
                    "write ${env:NAME}, ${file:path} or ${vault:path#field}",
                )
            value = self._look_up(reference)
            _refuse_unusable(reference, value)
            self._values[reference] = SecretText(value)
        return self._values[reference]

    def fill(self, text: str) -> SecretText:
        """Return an artifact's ``text`` with the value in place of every reference.

        Raises:
            SecretError: as :meth:`resolve`, and if a value holds what could be syntax where it is
                put: a blank, quote, backslash, ``#``, ``;``, brace, or a letter beyond ASCII.
        """

        def value_in_text(found: re.Match[str]) -> str:
            value = self.resolve(found[0])
            if _SYNTAX.search(value) or value[0] in "!&*%@|>?-[":
                raise SecretError(
                    found[0],
                    "its value holds a character that could become syntax in a configuration",
                    "use letters, digits and ._:/+=- (not shown here)",
                )
            return value

        return SecretText(SECRET_REFERENCE.sub(value_in_text, text))

    def _look_up(self, reference: str) -> str:
        kind, _, place = reference[2:-1].partition(":")
        if kind == "env":
            return self._from_environment(reference, place)
        if kind == "file":
            return self._from_file(reference, place)
        return self._from_vault(reference, place)

    def _from_environment(self, reference: str, name: str) -> str:
        if name not in self._environ:
            raise SecretError(reference, "is not set", f"set the variable {name}")
        return self._environ[name]

    def _from_file(self, reference: str, place: str) -> str:
        path = self._folder / place
        try:
            with path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                if mode & 0o007:
                    raise SecretError(
                        reference,
                        f"anyone on this machine can use the file (mode {mode & 0o777:04o})",
                        f"chmod 600 {path}",
                    )
                content = file.read(LONGEST + 1)
        except OSError as error:
            raise SecretError(
                reference, f"cannot be read: {error.strerror}", f"write the secret to {path}"
            ) from None
        if len(content) > LONGEST:
            raise SecretError(reference, f"holds more than {LONGEST} bytes", f"see {path}")
        try:
            return content.decode().removesuffix("\n")
        except UnicodeDecodeError:
            raise SecretError(reference, "is not UTF-8 text", f"see {path}") from None

    def _from_vault(self, reference: str, place: str) -> str:
        path, _, field = place.partition("#")
        mount, _, inner = path.strip("/").partition("/")
        parts = (mount, *inner.split("/"))
        if not field or "#" in field or any(part in {"", ".", ".."} for part in parts):
            raise SecretError(
                reference,
                "does not say which field of which secret",
                "write ${vault:mount/path#field}, as in ${vault:kubeadm/join#token}",
            )
        if path not in self._vault:
            self._vault[path] = self._read_vault(reference, mount, inner)
        value = self._vault[path].get(field)
        if not isinstance(value, str):
            there = ", ".join(sorted(map(str, self._vault[path]))) or "none"
            problem = "is not text" if value is not None else f"the secret has no field {field!r}"
            raise SecretError(reference, problem, f"its fields are: {there}")
        return value

    def _read_vault(self, reference: str, mount: str, path: str) -> Mapping[str, Any]:
        """Read one secret (Vault API documentation, KV secrets engine version 2, read)."""
        from goldentooth.https import HttpsClient, HttpsError, is_https

        address, token = (
            self._environ.get(name, "").strip() for name in ("VAULT_ADDR", "VAULT_TOKEN")
        )
        if not is_https(address):
            raise SecretError(
                reference,
                "Vault's address is not known, or not https",
                "set VAULT_ADDR=https://host:8200",
            )
        if not token:
            raise SecretError(reference, "there is no token for Vault", "set VAULT_TOKEN")
        headers = {"X-Vault-Token": token, "X-Vault-Request": "true"}
        if namespace := self._environ.get("VAULT_NAMESPACE"):
            headers["X-Vault-Namespace"] = namespace
        try:
            with HttpsClient(address, self._trust(reference), headers, _VAULT_SECONDS) as client:
                answer = client.ask(
                    "GET",
                    f"/v1/{quote(mount)}/data/{quote(path)}",
                    silence_seconds=_VAULT_SECONDS,
                    seconds=_VAULT_SECONDS,
                    limit=_VAULT_LIMIT,
                )
        except (HttpsError, ValueError) as error:
            raise SecretError(
                reference,
                f"Vault at {address} cannot be asked: {redact(str(error), (token,))}",
                "check VAULT_ADDR, and VAULT_CACERT if its certificate is of a CA of your own",
            ) from None
        return _fields(reference, answer)

    def _trust(self, reference: str) -> SSLContext:
        authority = self._environ.get("VAULT_CACERT")
        try:
            return create_default_context(cafile=authority or None)
        except OSError as error:  # ssl.SSLError is one
            raise SecretError(
                reference,
                f"VAULT_CACERT is not a readable certificate: {error.strerror or error}",
                f"see {authority}",
            ) from None


def redact(text: str, values: Iterable[str]) -> str:
    """Return ``text`` without ``values``: as they are, as in JSON, and as in a URL.

    >>> redact("login with hunter2 failed", ["hunter2"])
    'login with (secret) failed'
    """
    forms = {
        form
        for value in values
        if value
        for form in (str(value), json.dumps(value)[1:-1], quote(value, safe=""))
    }
    for form in sorted(forms, key=lambda form: (-len(form), form)):
        text = text.replace(form, REDACTED)
    return text


def hide_words(text: str, words: Container[str]) -> str:
    """Return ``text`` without ``words``, where they stand whole; a part of a path is none.

    >>> hide_words("login with 'hunter2' in /etc/hunter2", {"hunter2"})
    "login with '(secret)' in /etc/hunter2"
    """
    return _WORD.sub(lambda found: REDACTED if found[0] in words else found[0], text)


def _refuse_unusable(reference: str, value: str) -> None:
    if not value:
        raise SecretError(reference, "is empty", "give it a value")
    if _UNPRINTABLE.search(value):
        raise SecretError(
            reference,
            "its value holds a line break or a control character",
            "a secret is one line of printable text (one newline at a file's end is left out)",
        )


def _fields(reference: str, answer: Reply) -> Mapping[str, Any]:
    """Return the fields of a secret from Vault's answer."""
    remedies = {
        403: "the token has no right to read it, or has expired: vault token lookup",
        404: "there is no such secret, or the engine at that mount is not KV version 2",
        503: "Vault is sealed: vault operator unseal",
    }
    status = answer.status
    if status != 200:
        remedy = remedies.get(status, "look into Vault's log")
        raise SecretError(reference, f"Vault answers with status {status}", remedy)
    try:
        fields = load_json(answer.content)["data"]["data"]
    except (ValueError, KeyError, TypeError):
        fields = None
    if not isinstance(fields, dict):
        raise SecretError(
            reference,
            "Vault's answer is none of KV version 2",
            "check the mount: vault secrets list -detailed",
        )
    return fields
