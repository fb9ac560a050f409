"""The OPNsense router of a twin: Debian with FRR, and the API simulator in front of it.

The simulator's store begins as if the facts had been applied, and FRR runs what the plugin makes of
that from the first moment on. On a bare twin the store is empty and FRR does not run.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goldentooth.model import Network, Node
from goldentooth.opnsense import intended_state, with_secrets
from goldentooth.opnsense.models import TABLE
from goldentooth.opnsense.standing import Recorded, applied_bytes
from goldentooth.twin.accounts import Accounts
from goldentooth.twin.image import add_unit
from goldentooth.twin.keys import Authority
from goldentooth.twin.layer import Layer
from goldentooth.twin.machine import Machine
from goldentooth.twin.opnsense_simulator import frr, store
from goldentooth.twin.opnsense_simulator.models import Models
from goldentooth.twin.stand_in_secrets import api_credentials, fill

SIMULATOR_UNIT = "opnsense-simulator.service"
FAULTS = "/run/opnsense-simulator/faults.json"
"""On the router: what is to go wrong (see ``opnsense_simulator/server.py``)."""

LIMITED_KEY = "specimen-limited-key"
"""A key whose user may only ask who the router is."""

_PROGRAM = "/usr/lib/goldentooth-twin/opnsense"
_FOLDER = "/var/lib/opnsense-simulator"

_UNIT = f"""[Unit]
Description=Simulator of the OPNsense API
After=network.target frr.service

[Service]
ExecStart=/usr/bin/python3 -I {_PROGRAM} {_FOLDER}/settings.json
RuntimeDirectory=opnsense-simulator
Restart=on-failure
"""
_MAIN = "from opnsense_simulator.server import main\n\nmain()\n"


def is_simulated(node: Node) -> bool:
    """Tell whether ``node`` is an OPNsense router, which the twin can only simulate."""
    return node.is_router and node.is_opnsense


def add_simulator(
    layer: Layer,
    network: Network,
    node: Node,
    authority: Authority,
    specimens: Mapping[str, str] | None,
) -> None:
    """Put the simulator on the router ``node``, with what it has saved and what FRR runs.

    ``specimens`` are the values of secrets, by reference; None on a bare twin.
    """
    source = Path(frr.__file__).parent
    for file in sorted(source.glob("*.py")):
        layer.write(f"{_PROGRAM}/opnsense_simulator/{file.name}", file.read_bytes())
    layer.write(f"{_PROGRAM}/__main__.py", _MAIN)
    layer.write(f"{_PROGRAM}/models.json", TABLE.read_bytes())
    names = (str(node.address), node.name, network.fqdn(node))
    settings: dict[str, Any] = {
        "port": 443,
        "host_name": network.fqdn(node),
        "interface": node.interface,
        "models": f"{_PROGRAM}/models.json",
        "store": f"{_FOLDER}/config.json",
        "faults": FAULTS,
    }
    for name, days in (("", 3650), ("expired_", -1)):
        certificate, private = authority.issue(f"{name}router", names, days=days)
        settings[f"{name}certificate"] = f"{_FOLDER}/{name}router.crt"
        settings[f"{name}key"] = f"{_FOLDER}/{name}router.key"
        layer.write(settings[f"{name}certificate"], certificate)
        layer.write(settings[f"{name}key"], private, mode=0o600)
    key, secret = api_credentials(network).values()
    limited = {"secret": secret, "allowed": ["api/diagnostics/system/"]}
    settings["users"] = {key: {"secret": secret}, LIMITED_KEY: limited}
    layer.write(f"{_FOLDER}/settings.json", json.dumps(settings, indent=1), mode=0o600)
    saved = saved_configuration(network, specimens)
    layer.write(f"{_FOLDER}/config.json", json.dumps({"config": saved}), mode=0o600)
    if specimens is not None:
        owner = Accounts().ids("frr:frr")
        for path, text in (
            (frr.CONFIGURATION, frr.configuration(saved)),
            (frr.DAEMONS, frr.daemons(saved)),
        ):
            layer.write(str(path), text, mode=0o640, owner=owner)
    add_unit(layer, SIMULATOR_UNIT, _UNIT, "multi-user.target")


def saved_configuration(network: Network, specimens: Mapping[str, str] | None) -> store.Config:
    """Return what the simulator has saved: nothing, or all that is intended."""
    saved: dict[str, dict[str, Any]] = {}
    if specimens is not None:
        values = specimens
        intended = with_secrets(
            intended_state(network), lambda text: fill(text.encode(), values).decode()
        )
        for model, settings in intended.settings.items():
            saved[model] = {"fields": dict(settings), "lists": {}}
        for item in intended.items.values():
            lists = saved.setdefault(item.kind.model, {"fields": {}, "lists": {}})["lists"]
            lists.setdefault(item.kind.path, {})[item.uuid] = dict(item.values)
    return store.complete(Models(TABLE), saved)


def set_faults(router: Machine, faults: Mapping[str, Any] | None) -> None:
    """Let the simulator on ``router`` go wrong in these ways; None heals it."""
    if faults is None:
        router.check(["rm", "-f", FAULTS])
        return
    script = f"cat >{FAULTS}.new && mv {FAULTS}.new {FAULTS}"
    router.run(["sh", "-c", script], stdin=json.dumps(faults).encode()).check_returncode()


def router_record(network: Network, values: Mapping[str, str]) -> dict[str, bytes]:
    """Return what the operator has on record as applied to the router, by path in its folder.

    With the key of the hashes in it.
    """
    if not network.router.is_opnsense:
        return {}
    name = network.router.name
    at = datetime.now(UTC).isoformat(timespec="seconds")
    intended = with_secrets(
        intended_state(network), lambda text: fill(text.encode(), values).decode()
    )
    key = secrets.token_hex(32).encode()
    record = applied_bytes(intended, Recorded(name, "twin", at, "twin up"), key)
    return {f"routers/{name}.json": record, f"routers/{name}.key": key}
