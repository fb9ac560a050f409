"""The simulator's HTTPS server: basic auth with key and secret, and faults on demand.

    opnsense_simulator CONFIGURATION

CONFIGURATION is a JSON file::

    {"port": 443, "host_name": "router.example.net", "models": "models.json",
     "store": "/conf/config.json", "faults": "/run/opnsense-simulator/faults.json",
     "certificate": "…", "key": "…", "expired_certificate": "…", "expired_key": "…",
     "users": {"API KEY": {"secret": "…", "name": "root", "allowed": ["api/"]}}}

The faults' file is looked at with every request; it may hold

- ``slow``: seconds that every answer takes longer
- ``fail_at``: the number of the write (from 1) that is answered with 500 and not made
- ``cut_at``: the number of the write after which the connection is cut instead of an answer
- ``fail_all``: every write is answered with 500
- ``late_at``, ``late``: the number of the write that is made, and answered so many seconds later
- ``edit_at``, ``edit``: the number of the write before which somebody makes another one through
  the web interface: ``{"path": "quagga/bgp/setNeighbor/…", "values": {…}}``
- ``expired``: the expired certificate is shown
- ``missing``: the plugin is not installed: its endpoints are not found
- ``denied``: how the paths begin that no key may use (``quagga/diagnostics/bgp``)
- ``naming``: ``camel`` or ``snake``: only this style of names is answered
- ``drop``, ``add``: fields (``neighbor.bfd_strict``) that ``get`` does not show, or shows beside
  what is known: the models of another version

A write is a POST to a ``set``, ``add``, ``del``, ``toggle`` or ``reconfigure``, but for ping jobs.
They are counted from the moment that the file was written.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .api import Api, Request, Routing
from .box import Box
from .frr import Frr
from .models import Models
from .store import Store

BODY_LIMIT = 1024 * 1024

_WRITE = re.compile(
    r"(?!diagnostics/).*/(?:set|add|del|toggle|reconfigure)[^/]*(?:/.*)?", re.IGNORECASE
)
_LOGIN = b"<html><title>Login | OPNsense (simulator)</title><body>No OPNsense: a simulator</body>"

Settings = dict[str, Any]


class Faults:
    """What is to go wrong, as the file says at this moment."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._writes = 0

    @property
    def now(self) -> dict[str, Any]:
        """All faults in force; none if there is no file."""
        try:
            found = self._path.stat()
            faults: dict[str, Any] = json.loads(self._path.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        if (found.st_mtime_ns, found.st_ino) != self._seen:
            self._seen, self._writes = (found.st_mtime_ns, found.st_ino), 0
        return faults

    def count(self) -> int:
        """Return the number of a write, from 1."""
        self._writes += 1
        return self._writes


class Simulator:
    """Server and controllers together; requests are answered one after the other."""

    def __init__(self, settings: Settings, routing: Routing) -> None:
        self.settings = settings
        store = Store(Models(Path(settings["models"])), Path(settings["store"]))
        box = Box(settings.get("interface", "eth0"))
        self.api = Api(store, routing, settings["host_name"], box)
        self.faults = Faults(Path(settings["faults"]))
        self.lock = Lock()
        self.contexts = {
            name: _context(settings[f"{name}certificate"], settings[f"{name}key"])
            for name in ("", "expired_")
        }
        simulator = self

        class Bound(_Handler):
            simulator = self

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def finish_request(self, request: Any, client_address: Any) -> None:
                name = "expired_" if simulator.faults.now.get("expired") else ""
                request.settimeout(60)
                try:
                    with simulator.contexts[name].wrap_socket(request, server_side=True) as secure:
                        Bound(secure, client_address, self)
                except OSError:
                    pass  # who does not trust the certificate, or goes away

        self.server = Server((settings.get("address", "0.0.0.0"), settings["port"]), Bound)  # noqa: S104  # as the real one

    def user(self, authorization: str | None) -> dict[str, Any] | None:
        """Return whose key and secret these are; None if nobody's."""
        try:
            _, _, encoded = (authorization or "").partition(" ")
            key, _, secret = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        user: dict[str, Any] | None = self.settings["users"].get(key)
        known = user["secret"] if user else ""
        return user if user and hmac.compare_digest(secret.encode(), known.encode()) else None

    def answer(self, request: Request) -> tuple[int, Any] | None:
        """Return status and JSON; None if the connection is to be cut."""
        with self.lock:
            faults = self.faults.now
            time.sleep(float(faults.get("slow", 0)))
            if _is_missing(faults, request.path):
                return 404, {"errorMessage": "Endpoint not found"}
            if request.path.lower().replace("_", "").startswith(tuple(faults.get("denied", ()))):
                return 403, {"status": 403, "message": "Forbidden"}
            number = 0
            if request.is_post and _WRITE.fullmatch(request.path):
                number = self.faults.count()
            if number and number == faults.get("edit_at"):
                edit = faults["edit"]
                self.api.answer(Request("POST", edit["path"], edit["values"], "admin@web"))
            if number and (faults.get("fail_all") or number == faults.get("fail_at")):
                return 500, {"errorMessage": "Unexpected error, check log for details"}
            status, body = self.api.answer(request)
            if number and number == faults.get("cut_at"):
                return None
            if number and number == faults.get("late_at"):
                time.sleep(float(faults["late"]))
            if faults.get("drop") or faults.get("add"):
                body = _other_version(body, faults.get("drop", ()), faults.get("add", ()))
            return status, body


class _Handler(BaseHTTPRequestHandler):
    simulator: Simulator
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one piece: else each answer waits for an acknowledgement
    server_version = "OPNsense-simulator"

    def do_GET(self) -> None:
        """Answer a read."""
        self._serve()

    def do_POST(self) -> None:
        """Answer a write."""
        self._serve()

    def _serve(self) -> None:
        address = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, BODY_LIMIT))
        if not address.path.startswith("/api/"):
            self._send(200, _LOGIN, "text/html")
            return
        user = self.simulator.user(self.headers.get("Authorization"))
        if user is None:
            self._send_json(401, {"status": 401, "message": "Authentication Failed"})
            return
        path = address.path.removeprefix("/api/")
        if not any(f"api/{path}".startswith(start) for start in user.get("allowed", ["api/"])):
            self._send_json(403, {"status": 403, "message": "Forbidden"})
            return
        values: dict[str, Any] = dict(parse_qsl(address.query))
        if "json" in (self.headers.get("Content-Type") or ""):
            if not body:
                self._send_json(400, {"status": 400, "message": "Invalid JSON syntax"})
                return
            values |= _posted(body)
        request = Request(self.command, path, values, user.get("name", "root"))
        answer = self.simulator.answer(request)
        if answer is None:
            self.close_connection = True
            return
        self._send_json(*answer)

    def _send_json(self, status: int, content: Any) -> None:
        self._send(status, json.dumps(content).encode(), "application/json; charset=UTF-8")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the base's name
        """Log the request line; never a header, which holds the key."""
        print(format % arguments, file=sys.stderr, flush=True)  # noqa: T201  # the unit's journal


def _posted(body: bytes) -> dict[str, Any]:
    """Return what PHP finds posted: nothing, if it is no JSON or no mapping."""
    try:
        given = json.loads(body)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}


def _is_missing(faults: dict[str, Any], path: str) -> bool:
    if faults.get("missing") and path.startswith("quagga/"):
        return True
    action = [*path.split("/"), "", "", ""][2]
    is_snake, is_camel = "_" in action, bool(re.search(r"[A-Z]", action))
    naming = faults.get("naming")
    return (naming == "camel" and is_snake) or (naming == "snake" and is_camel)


def _other_version(body: Any, drop: list[str], add: list[str]) -> Any:
    """Return what a router answers whose models have fewer fields, or more."""
    if isinstance(body, list):
        return [_other_version(inner, drop, add) for inner in body]
    if not isinstance(body, dict):
        return body
    changed = {}
    for key, value in body.items():
        inner = _other_version(value, drop, add)
        for item in inner.values() if key in _ITEMS and isinstance(inner, dict) else ():
            if isinstance(item, dict):
                for name in [n.partition(".")[2] for n in drop if n.startswith(f"{key}.")]:
                    item.pop(name, None)
                item |= {n.partition(".")[2]: "" for n in add if n.startswith(f"{key}.")}
        changed[key] = inner
    return changed


_ITEMS = {"neighbor", "prefixlist", "routemap", "peergroup", "route", "host"}


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def main() -> None:
    """Serve until ended."""
    settings = json.loads(Path(sys.argv[1]).read_text())
    Simulator(settings, Frr()).server.serve_forever()
