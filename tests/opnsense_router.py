"""The OPNsense simulator in this process, over real TLS, for tests without a twin.

FRR is not there: :class:`WrittenRouting` stands for it, which runs what is written, to the letter.
What real FRR makes of it is the twin's to show (``tests/twin/test_opnsense.py``).
"""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

from goldentooth.opnsense.models import TABLE
from goldentooth.transports.bounds import Bounds
from goldentooth.transports.opnsense import OpnsenseTransport
from goldentooth.twin.opnsense_simulator.frr import configuration
from goldentooth.twin.opnsense_simulator.server import Simulator
from goldentooth.twin.opnsense_simulator.store import Config
from tests.certificates import TestAuthority

KEY, SECRET = "canary-key-5e1d", "canary-secret-81f0"
LIMITED = "limited-key"
QUICK = Bounds(connect_seconds=5, command_seconds=5, host_seconds=20)


@dataclass
class WrittenRouting:
    """Runs what is written; counts how often it is told to."""

    running: str = ""
    applied: int = 0
    shown: dict[str, Any] = field(default_factory=dict)
    """What FRR answers to a show command, as JSON or, for what has none, as text."""

    def apply(self, config: Config) -> None:
        self.applied += 1
        self.running = configuration(config)

    def status(self) -> str:
        return "running"

    def control(self, verb: str) -> None:
        pass

    def show(self, command: str) -> str:
        return self.running if command == "running-config" else str(self.shown.get(command, ""))

    def show_json(self, command: str) -> Any:
        return self.shown.get(command, [])


@dataclass
class SimulatedRouter:
    """One simulator, served on a free port of the loopback."""

    folder: Path
    host_name: str = "router.nodes.goldentooth.net"
    routing: WrittenRouting = field(default_factory=WrittenRouting)

    def __post_init__(self) -> None:
        self.authority = TestAuthority(self.folder)
        good, good_key = self.authority.issue("127.0.0.1")
        expired, expired_key = self.authority.issue("127.0.0.1", days=-1)
        settings = {
            "address": "127.0.0.1",
            "port": 0,
            "host_name": self.host_name,
            "interface": "lo",
            "models": str(TABLE),
            "store": str(self.folder / "store.json"),
            "faults": str(self.faults_file),
            "certificate": str(good),
            "key": str(good_key),
            "expired_certificate": str(expired),
            "expired_key": str(expired_key),
            "users": {
                KEY: {"secret": SECRET},
                LIMITED: {"secret": SECRET, "allowed": ["api/diagnostics/", "api/unbound/"]},
            },
        }
        self.simulator = Simulator(settings, self.routing)
        serve = self.simulator.server.serve_forever
        Thread(target=serve, args=(0.01,), daemon=True).start()

    @property
    def faults_file(self) -> Path:
        return self.folder / "faults.json"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.simulator.server.server_address[1]}"

    @property
    def config(self) -> Config:
        """What is saved, without the history."""
        return self.simulator.api.store.config

    def break_(self, **faults: Any) -> None:
        new = self.faults_file.with_suffix(".new")
        new.write_text(json.dumps(faults))
        new.replace(self.faults_file)

    def heal(self) -> None:
        self.faults_file.unlink(missing_ok=True)

    def stop(self) -> None:
        self.simulator.server.shutdown()
        self.simulator.server.server_close()

    def transport(self, **changes: Any) -> OpnsenseTransport:
        options: dict[str, Any] = {
            "url": self.url,
            "key": KEY,
            "secret": SECRET,
            "ca": self.authority.certificate,
            "host_name": "router",
            "bounds": QUICK,
        }
        return OpnsenseTransport(**(options | changes))

    def ask(self, method: str, path: str, body: Any = None, *, key: str = KEY) -> tuple[int, Any]:
        """Ask by hand, as curl would: status and JSON."""
        return ask(self.url, self.authority.certificate, method, path, body, key=key)


def ask(
    url: str, ca: Path, method: str, path: str, body: Any = None, *, key: str = KEY
) -> tuple[int, Any]:
    """Ask an API by hand, with no client of ours: status and JSON."""
    login = base64.b64encode(f"{key}:{SECRET}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310  # https
        f"{url}/api/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {login}"}
        | ({} if body is None else {"Content-Type": "application/json"}),
    )
    trust = ssl.create_default_context(cafile=str(ca))
    handler = urllib.request.HTTPSHandler(context=trust)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), handler)
    try:
        with opener.open(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())
