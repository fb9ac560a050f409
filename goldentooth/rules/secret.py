"""SEC: secrets in the inventory."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from functools import cache
from typing import Any

from msgspec import Meta, Struct

from goldentooth.facts import DefaultsEntry, GroupEntry, HostEntry
from goldentooth.model import Network
from goldentooth.rules import Severity, Violation, rule
from goldentooth.values import SECRET_REFERENCE
from goldentooth.yamlfile import Document, KeyPath

_ANY = "*"
_EXTRAS = ("connection_options", _ANY, "extras")
_SECRET_EXTRAS = {"api_key", "api_secret", "passphrase", "password", "secret", "token"}
"""What connection plugins (Netmiko, NAPALM, httpx) call a secret."""


@rule(
    "SEC001",
    Severity.ERROR,
    fails="""
        hosts:
          node1:
            password: hunter2
        """,
    passes="""
        hosts:
          node1:
            password: ${vault:hosts/node1#password}
        """,
)
def literal_secret(network: Network) -> Iterator[Violation]:
    """A secret is written out in the inventory.

    Why:
        The inventory is shared, committed and printed. Whoever reads the repository, today
        or its history in years, has the secret.

    Do:
        Write a reference: ${env:NAME}, ${file:path} or ${vault:path#field}. Then change the
        secret: it is known.

    Source:
        OWASP Secrets Management Cheat Sheet; CWE-798.
    """
    sources = network.sources
    for name, entry in sources.hosts.value.items():
        yield from _literals(sources.hosts, (name,), entry, HostEntry, name)
    for name, entry in sources.groups.value.items():
        yield from _literals(sources.groups, (name,), entry, GroupEntry, f"groups.{name}")
    yield from _literals(sources.defaults, (), sources.defaults.value, DefaultsEntry, "")


def _literals(
    document: Document, path: KeyPath, entry: Any, kind: type, subject: str
) -> Iterator[Violation]:
    """Yield the secrets of ``entry`` that are not references; never what they are."""
    for pattern in (*_secret_paths(kind), _EXTRAS):
        for found, value in _values(entry, pattern):
            inner = _secret_extras(value, found) if pattern is _EXTRAS else [(found, value)]
            for here, text in inner:
                if isinstance(text, str) and not SECRET_REFERENCE.fullmatch(text):
                    name = ".".join(map(str, here)).removeprefix("data.")
                    yield Violation(
                        subject or name,
                        f"{name} is written out (not shown)",
                        document.where((*path, *here)),
                    )


def _values(value: Any, pattern: KeyPath, found: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield what stands in ``value`` at ``pattern``, in which ``*`` is any key."""
    if not pattern:
        yield found, value
    elif isinstance(value, dict):
        for key in value if pattern[0] == _ANY else pattern[:1]:
            if key in value:
                yield from _values(value[key], pattern[1:], (*found, key))


def _secret_extras(value: Any, found: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in _SECRET_EXTRAS:
                yield (*found, key), inner
            yield from _secret_extras(inner, (*found, key))


@cache
def _secret_paths(kind: type) -> tuple[KeyPath, ...]:
    """Return where ``kind`` holds facts of the type :data:`goldentooth.values.Secret`."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return tuple((name, *rest) for name, hint in hints.items() for rest in _secret_paths_of(hint))


def _secret_paths_of(hint: Any) -> Iterator[KeyPath]:
    arguments = typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Struct):
        yield from _secret_paths(hint)
    elif typing.get_origin(hint) is dict:
        yield from ((_ANY, *rest) for rest in _secret_paths_of(arguments[1]))
    elif any(isinstance(item, Meta) and (item.extra or {}).get("secret") for item in arguments):
        yield ()
    else:
        for item in arguments:
            yield from _secret_paths_of(item)
