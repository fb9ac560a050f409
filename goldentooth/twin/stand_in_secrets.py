"""What is on the twin in place of secrets: well-formed specimens, and a Vault that gives them.

The operator's machine finds them as it would find the real ones: in Vault, in the environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from goldentooth.facts import OpnsenseApi
from goldentooth.model import Network, Node
from goldentooth.services import all_services
from goldentooth.values import SECRET_REFERENCE

VAULT_UNIT = "stand-in-vault.service"
VAULT_PORT = 8200

_ANSWERS = "/usr/lib/goldentooth-twin/vault"
_UNKNOWN = "specimen"

_VAULT = """[Unit]
Description=Stand-in for Vault: specimens of secrets
After=network.target

[Service]
ExecStart=/usr/bin/python3 -I -S {server} {port} {certificate} {key} {answers}
Restart=on-failure
"""


def specimens(network: Network) -> dict[str, str]:
    """Return a value for every reference to a secret that artifacts hold, by reference."""
    found: dict[str, str] = {}
    for service in all_services():
        for node in service.hosts(network):
            for draft in service.drafts(network, node):
                found |= draft.specimens
    if network.bgp.password:
        found.setdefault(network.bgp.password, _UNKNOWN)
    return found | api_credentials(network)


def fill(content: bytes, values: Mapping[str, str]) -> bytes:
    """Return a file's ``content`` with specimens in place of references; binary as it is."""
    text = content.decode(errors="surrogateescape")
    filled = SECRET_REFERENCE.sub(lambda found: values.get(found[0], _UNKNOWN), text)
    return filled.encode(errors="surrogateescape")


def vault_host(network: Network) -> Node | None:
    """Return the host that stands in for Vault: the first that has its role."""
    return next(iter(network.in_role("vault_server")), None)


def vault_files(values: Mapping[str, str]) -> dict[str, bytes]:
    """Return what Vault answers (KV version 2, read), as files by path on its host."""
    secrets: dict[str, dict[str, str]] = {}
    for reference, value in values.items():
        kind, _, place = reference[2:-1].partition(":")
        if kind == "vault":
            path, _, key = place.partition("#")
            secrets.setdefault(path.strip("/"), {})[key] = value
    files = {}
    for path, data in secrets.items():
        mount, _, inner = path.partition("/")
        answer = {"data": {"data": data, "metadata": {"version": 1}}}
        files[f"{_ANSWERS}/v1/{mount}/data/{inner}"] = json.dumps(answer).encode()
    return files


def vault_unit(server: str, certificate: str, key: str) -> str:
    """Return the unit's text; ``server`` is the stand-ins' program."""
    return _VAULT.format(
        server=server, port=VAULT_PORT, certificate=certificate, key=key, answers=_ANSWERS
    )


def operator_environment(network: Network, authority: str) -> dict[str, str]:
    """Return what the operator's environment has of secrets; ``authority`` is the CA's path."""
    environment = {
        place: value
        for reference, value in specimens(network).items()
        for kind, _, place in (reference[2:-1].partition(":"),)
        if kind == "env"
    }
    if network.router.is_opnsense:
        environment["SSL_CERT_FILE"] = authority  # its CA, as the network's own would be trusted
    host = vault_host(network)
    if host is None:
        return environment
    address = f"https://{host.address}:{VAULT_PORT}"
    vault = {"VAULT_ADDR": address, "VAULT_TOKEN": _UNKNOWN, "VAULT_CACERT": authority}
    return environment | vault


def api_credentials(network: Network) -> dict[str, str]:
    """Return key and secret of an OPNsense router's API, by their references in the facts."""
    if not network.router.is_opnsense:
        return {}
    api = network.router.facts.opnsense_api or OpnsenseApi()
    return {api.key: "specimen-key", api.secret: "specimen-secret"}
