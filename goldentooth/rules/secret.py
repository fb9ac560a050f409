"""SEC: secrets in the inventory."""

from __future__ import annotations

import re
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
_HARMLESS_EXTRAS = {
    # Netmiko, BaseConnection
    *("alt_key_file", "default_enter", "device_type", "encoding", "key_file", "response_return"),
    *("session_log", "session_log_file_mode", "ssh_config_file", "host", "ip", "username"),
    # NAPALM, optional arguments
    *("canonical_int", "dest_file_system", "eos_transport", "junos_config_database"),
    *("merge_cfg", "nxos_protocol", "path", "profile", "rollback_cfg", "ssh_config", "transport"),
    # asyncssh.connect
    *("agent_path", "client_host", "client_keys", "compression_algs", "config", "encryption_algs"),
    *("family", "host_key_alias", "kex_algs", "known_hosts", "local_addr", "mac_algs"),
    *("preferred_auth", "proxy_command", "server_host_key_algs", "signature_algs", "tunnel"),
    # HTTP clients
    *("base_url", "verify"),
}
"""Arguments of connection plugins that are text and no secret; in lists, each item."""

_SECRET_NAME = re.compile(
    r"(?:.*_)?(?:pass(?:word|phrase|code)?|pwd|pin|psk|secret|token)", re.IGNORECASE
)
"""An argument's name of which even a number can be a secret."""

_SECRET_TEXT = re.compile(r"-----BEGIN |//[^/@\s]*:[^/@\s]*@")
"""A private key, or a password in a URL: a secret under whatever name."""


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
        secret: it is known. Of the extras of a connection's options every text is taken for a
        secret but those under names that are known to be harmless, as device_type: what a
        plugin calls its secrets is the plugin's business. Where one is none, accept the
        finding.

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
            inner = _possible_secrets(value, found) if pattern is _EXTRAS else [(found, value)]
            for here, text in inner:
                if not SECRET_REFERENCE.fullmatch(str(text)):
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


def _possible_secrets(value: Any, found: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every text below ``value`` that is not known to be harmless, and some numbers."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _possible_secrets(inner, (*found, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _possible_secrets(inner, (*found, index))
    else:
        name = next(part for part in reversed(found) if isinstance(part, str))
        if _may_be_secret(name, value):
            yield found, value


def _may_be_secret(name: str, value: Any) -> bool:
    if isinstance(value, str):
        is_harmless = name in _HARMLESS_EXTRAS and not _SECRET_TEXT.search(value)
        return bool(value) and not is_harmless
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and bool(_SECRET_NAME.fullmatch(name))


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
