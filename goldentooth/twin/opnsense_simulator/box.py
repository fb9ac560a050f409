"""The box beside FRR: its interfaces, and ping jobs as OPNsense's ping.py keeps them."""

from __future__ import annotations

import json
import platform
import re
import signal
import ssl
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

VERSION = "26.1"
_ARCHITECTURES = {"x86_64": "amd64"}
_PROGRESS = re.compile(r"(\d+)/(\d+) packets")
"""What Linux' ping says on SIGQUIT, as FreeBSD's does on SIGINFO: received, then sent."""


class Box:
    """This host; ``interface`` is the one that is assigned, as LAN."""

    def __init__(self, interface: str = "eth0") -> None:
        self.interface = interface
        self._jobs: dict[str, dict[str, Any]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = TemporaryDirectory(prefix="opnsense-ping-")

    @property
    def versions(self) -> list[str]:
        """Product, kernel and TLS library."""
        machine = platform.machine()
        return [
            f"OPNsense-simulator {VERSION}-{_ARCHITECTURES.get(machine, machine)}",
            f"{platform.system()} {platform.release()}",
            ssl.OPENSSL_VERSION,
        ]

    def description(self, device: str) -> str:
        """Return what an interface is called; nothing if it is not assigned."""
        return "LAN" if device == self.interface else ""

    def interfaces(self) -> list[dict[str, Any]]:
        """Return the rows of Interfaces: Overview."""
        routes: dict[str, list[str]] = {}
        for route in _ip("-4", "route", "show"):
            if "dev" in route:
                routes.setdefault(route["dev"], []).append(route["dst"])
        return [
            self._interface(link, routes.get(link["ifname"], []))
            for link in _ip("address", "show")
            if "ifname" in link
        ]

    def _interface(self, link: dict[str, Any], routes: list[str]) -> dict[str, Any]:
        device = link["ifname"]
        flags = [flag.lower() for flag in link.get("flags", [])]
        addresses = {
            name: [
                {"ipaddr": a["local"], "subnetbits": a["prefixlen"], "tunnel": False}
                for a in link.get("addr_info", [])
                if a["family"] == family
            ]
            for name, family in (("ipv4", "inet"), ("ipv6", "inet6"))
        }
        row: dict[str, Any] = {
            "flags": flags,
            "capabilities": [],
            "options": [],
            "macaddr": link.get("address", "00:00:00:00:00:00"),
            **addresses,
            "supported_media": [],
            "is_physical": link.get("link_type") == "ether",
            "device": device,
            "mtu": str(link.get("mtu", "")),
            **({"routes": routes} if routes else {}),
            "status": "up" if "up" in flags else "down",
        }
        if device != self.interface:
            return {**row, "identifier": "", "description": "Unassigned Interface"}
        for name, found in addresses.items():
            del row[name]
            if found:
                row[name] = [{"ipaddr": f"{a['ipaddr']}/{a['subnetbits']}"} for a in found]
        first = row.get("ipv4", [])
        return {
            **row,
            "config": {"if": device, "descr": "LAN", "enable": "1", "identifier": "lan"},
            "identifier": "lan",
            "description": "LAN",
            "enabled": True,
            "link_type": "static",
            "link_typev6": "none",
            "addr4": first[0]["ipaddr"] if first else "",
            "addr6": "",
            "vlan_tag": None,
            "gateways": [],
        }

    # -- ping ----------------------------------------------------------------------------

    def add_job(self, job: str, settings: dict[str, Any]) -> None:
        """Keep a ping job; it does not run yet."""
        self._jobs[job] = settings

    def start_job(self, job: str) -> dict[str, Any]:
        """Start to ping; nothing is answered for a job that is not there."""
        if job not in self._jobs:
            return {}
        if self._is_running(job):
            pid = self._running[job].pid
            return {"status": "failed", "status_msg": f"already active (pids: {pid})"}
        settings = self._jobs[job]
        options = ["-i", settings["interval"]] if settings.get("interval") else []
        with self._log(job).open("wb") as log:
            self._running[job] = subprocess.Popen(
                ["ping", "-n", "-c", "86400", *options, settings["hostname"]],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return {"status": "ok"}

    def stop_job(self, job: str) -> dict[str, Any]:
        """Stop to ping."""
        if job not in self._jobs:
            return {}
        was_running = self._is_running(job)
        if process := self._running.pop(job, None):
            process.kill()
            process.wait()
        return {"status": "ok", "stopped_processes": int(was_running)}

    def remove_job(self, job: str) -> dict[str, Any]:
        """Stop to ping, and forget the job."""
        stopped = self.stop_job(job)
        self._jobs.pop(job, None)
        self._log(job).unlink(missing_ok=True)
        return stopped

    def jobs(self) -> list[dict[str, Any]]:
        """Return all ping jobs with what has become of their requests."""
        for job in filter(self._is_running, self._jobs):
            if _minds(self._running[job].pid, signal.SIGQUIT):
                self._running[job].send_signal(signal.SIGQUIT)
        time.sleep(0.02 if self._running else 0)
        return [
            {
                **settings,
                "id": job,
                "status": "running" if self._is_running(job) else "stopped",
                **_progress(self._log(job)),
            }
            for job, settings in self._jobs.items()
        ]

    def _is_running(self, job: str) -> bool:
        return job in self._running and self._running[job].poll() is None

    def _log(self, job: str) -> Path:
        return Path(self._folder.name) / f"{job}.log"


def _minds(pid: int, number: int) -> bool:
    """Tell whether a process has got as far as to handle a signal that would end it before."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt:"))[7:], 16)
    return bool(caught >> (number - 1) & 1)


def _progress(log: Path) -> dict[str, Any]:
    stats: dict[str, Any] = dict.fromkeys(("loss", "send", "received", "min", "max", "avg"))
    stats |= {"std-dev": None, "last_error": None}
    text = log.read_text(errors="replace") if log.exists() else ""
    if found := _PROGRESS.findall(text):
        received, sent = map(int, found[-1])
        loss = (sent - received) / sent * 100 if sent else 0
        stats |= {"received": received, "send": sent, "loss": f"{loss:0.2f} %"}
    errors = [line[6:] for line in text.splitlines() if line.startswith("ping: ")]
    return stats | ({"last_error": errors[-1]} if errors else {})


def _ip(*arguments: str) -> Any:
    done = subprocess.run(
        ["ip", "-j", *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return json.loads(done.stdout or "[]")
