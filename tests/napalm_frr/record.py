"""Record what real FRR answers, for NAPALM's test suite.

    twin up --name record; python tests/napalm_frr/record.py record; twin down --name record

Needs root, a twin that nobody else uses, and traceroute(8) on this machine. It prepares the
twin's hosts for what the suite asks (1.0.4.0/24 by BGP, an answering 8.8.8.8), records each
command's answer under unit/mocked_data, and writes what the driver makes of it beside it as
expected_result.json: to be reviewed in the diff.

Some kernels have no VRFs and VLANs. What the suite wants to see of them is then put into the
recorded answers, in iproute2's form; those cases are named ``constructed``.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from napalm.base.test.double import BaseTestDouble

from goldentooth.twin import Twin
from napalm_frr import FRRDriver
from napalm_frr.ssh import Output, Ssh

MOCKED_DATA = Path(__file__).parent / "unit" / "mocked_data"
PREFIX = "1.0.4.0/24"

_ROUTER = f"""
ip prefix-list CLUSTER-IN seq 90 permit {PREFIX} le 32
"""
_SPEAKER = f"""
ip route {PREFIX} blackhole
ip route 1.0.4.128/25 blackhole
ip prefix-list SERVICES seq 90 permit {PREFIX} le 25
route-map SERVICES permit 5
 match ip address prefix-list SERVICES
 set community 64501:100 64501:200
 {{prepend}}
exit
router bgp 64501
 neighbor 10.4.0.99 remote-as 64500
 neighbor 10.4.0.99 password canary
 neighbor 10.4.0.99 shutdown
 address-family ipv4 unicast
  network {PREFIX}
  network 1.0.4.128/25
"""
_PREPENDED = "set as-path prepend 64501 64501"


def _filtered_configs(driver: FRRDriver) -> Any:
    """Ask for every configuration by itself, as the suite does; it looks at the last."""
    return [driver.get_config(retrieve=name) for name in ("running", "startup", "candidate")][-1]


Call = Callable[[FRRDriver], Any]
CASES: dict[str, tuple[tuple[str, str], Call]] = {
    "test_is_alive": (("router", "normal"), lambda d: d.is_alive()),
    "test_get_facts": (("router", "normal"), lambda d: d.get_facts()),
    "test_get_interfaces": (("router", "normal"), lambda d: d.get_interfaces()),
    "test_get_interfaces_counters": (
        ("router", "normal"),
        lambda d: d.get_interfaces_counters(),
    ),
    "test_get_interfaces_ip": (("router", "normal"), lambda d: d.get_interfaces_ip()),
    "test_get_bgp_neighbors": (("router", "normal"), lambda d: d.get_bgp_neighbors()),
    "test_get_bgp_neighbors_detail": (
        ("router", "normal"),
        lambda d: d.get_bgp_neighbors_detail(),
    ),
    "test_get_bgp_config": (("router", "normal"), lambda d: d.get_bgp_config()),
    "test_get_arp_table": (("router", "normal"), lambda d: d.get_arp_table()),
    "test_get_ipv6_neighbors_table": (
        ("router", "normal"),
        lambda d: d.get_ipv6_neighbors_table(),
    ),
    "test_get_route_to": (("router", "normal"), lambda d: d.get_route_to(PREFIX, "bgp")),
    "test_get_route_to_longer": (
        ("router", "normal"),
        lambda d: d.get_route_to(PREFIX, "bgp", longer=True),
    ),
    "test_get_config": (("fenn", "normal"), lambda d: d.get_config()),
    "test_get_config_filtered": (("fenn", "normal"), _filtered_configs),
    "test_get_config_sanitized": (
        ("fenn", "normal"),
        lambda d: d.get_config(sanitized=True),
    ),
    "test_get_config_sanitized_filtered": (
        ("fenn", "normal"),
        lambda d: {**d.get_config(sanitized=True), "candidate": ""},
    ),
    "test_get_network_instances": (("router", "normal"), lambda d: d.get_network_instances()),
    "test_ping": (("fenn", "normal"), lambda d: d.ping("8.8.8.8")),
    "test_traceroute": (("fenn", "normal"), lambda d: d.traceroute("8.8.8.8")),
    "test_get_arp_table_with_vrf": (
        ("router", "constructed"),
        lambda d: d.get_arp_table(vrf="TEST"),
    ),
    "test_get_vlans": (("router", "constructed"), lambda d: d.get_vlans()),
}


class RecordingHost:
    """Runs commands on a twin's host, and keeps their answers."""

    def __init__(self, twin: Twin, host: str, folder: Path) -> None:
        self._twin = twin
        self._host = host
        self._folder = folder
        self.is_constructed = folder.name == "constructed"

    def run(self, commands: Sequence[str], *, timeout: float | None = None) -> list[Output]:
        """Run each, write its answer to a file named for it, and return it."""
        return [self._run(command, timeout or 60) for command in commands]

    def _run(self, command: str, timeout: float) -> Output:
        done = self._twin.exec(self._host, ["sh", "-c", command], timeout=timeout)
        if done.returncode:
            raise SystemExit(f"{self._host}: {command}: {done.stderr.decode()}")
        text = done.stdout.decode()
        if self.is_constructed and command.startswith("ip ") and " link " in command:
            text = _with_vrf_and_vlan(text)
        (self._folder / f"{BaseTestDouble.sanitize_text(command)}.txt").write_text(text)
        return Output(text)

    def close(self) -> None:
        """There is nothing to close."""


def _with_vrf_and_vlan(text: str) -> str:
    links = json.loads(text)
    eth0 = next(link for link in links if link["ifname"] == "eth0")
    eth0["master"] = "TEST"
    vrf = {**eth0, "ifname": "TEST", "ifindex": 101, "linkinfo": {"info_kind": "vrf"}}
    del vrf["master"]
    vlan = {
        **eth0,
        "ifname": "eth0.20",
        "ifindex": 102,
        "link": "eth0",
        "linkinfo": {"info_kind": "vlan", "info_data": {"protocol": "802.1Q", "id": 20}},
    }
    return json.dumps([*links, vrf, vlan])


def prepare(twin: Twin) -> None:
    """Make the twin's hosts what the suite asks about."""
    _configure(twin, "router", _ROUTER)
    _configure(twin, "fenn", _SPEAKER.format(prepend=""))
    _configure(twin, "gardener", _SPEAKER.format(prepend=_PREPENDED))
    _shell(twin, "router", "ip route replace 8.8.8.8 via 203.0.113.10")
    _shell(twin, "router", "ip address replace 2001:db8::1/64 dev eth0 nodad")
    _shell(twin, "fenn", "ip address replace 2001:db8::15/64 dev eth0 nodad")
    _shell(twin, "client", "ip address replace 8.8.8.8/32 dev lo")
    _shell(twin, "fenn", "ping -c 1 2001:db8::1")
    program = shutil.which("traceroute")
    if not program:
        raise SystemExit("traceroute is not installed on this machine")
    twin.machine("fenn").path("/usr/local/bin/traceroute").write_bytes(Path(program).read_bytes())
    _shell(twin, "fenn", "chmod 755 /usr/local/bin/traceroute")
    _shell(twin, "router", f"until vtysh -c 'show ip route {PREFIX}' | grep -q bgp; do :; done")


def _configure(twin: Twin, host: str, lines: str) -> None:
    text = f"cat >/run/record.conf <<'END'\n{lines.strip()}\nEND\nvtysh -f /run/record.conf"
    _shell(twin, host, text)


def _shell(twin: Twin, host: str, script: str) -> None:
    done = twin.exec(host, ["sh", "-c", script])
    if done.returncode:
        raise SystemExit(f"{host}: {script}: {(done.stderr + done.stdout).decode()}")


def record(twin: Twin) -> None:
    """Record every case anew."""
    for test, ((host, name), call) in CASES.items():
        folder = MOCKED_DATA / test / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        driver = FRRDriver(host, "root", "")
        driver.device = cast("Ssh", RecordingHost(twin, host, folder))
        result = json.dumps(call(driver), indent=2) + "\n"
        (folder / "expected_result.json").write_text(result)


if __name__ == "__main__":
    found = Twin.attach(sys.argv[1])
    prepare(found)
    record(found)
