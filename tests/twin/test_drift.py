"""Every state of drift, made for real on the twin, and reported by name."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from goldentooth.model import Network
from goldentooth.twin import Twin
from tests.twin.conftest import PROJECT

ETH0 = "/etc/network/interfaces.d/eth0.cfg"
HAPROXY = "/etc/haproxy/haproxy.cfg"
PROGRAM = [sys.executable, "-m", "runbooks"]


class Operator:
    """A copy of the project on the operator's machine, whose facts a test may change."""

    def __init__(self, twin: Twin, folder: Path) -> None:
        self.twin, self.folder = twin, folder

    def run(self, *arguments: str) -> tuple[int, str]:
        environment = ["env", f"PYTHONPATH={PROJECT}"]
        config = ["--config", str(self.folder / "config.yaml")]
        done = self.twin.run([*environment, *PROGRAM, *arguments, *config], cwd=PROJECT)
        return done.returncode, (done.stdout + done.stderr).decode()

    def drift(self, *arguments: str) -> tuple[int, dict[tuple[str, str], str]]:
        """Return the exit status, and the states that are not in sync by host and subject."""
        status, text = self.run("drift", "--format", "json", *arguments)
        report: dict[str, Any] = json.loads(text[text.index("{") :])
        found = {
            (host["host"], item["subject"]): item["state"]
            for host in report["hosts"]
            for item in host["items"]
            if item["state"] != "in sync"
        }
        found |= {(host["host"], ""): host["state"] for host in report["hosts"] if host["state"]}
        return status, found

    def edit(self, file: str, before: str, after: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))


@pytest.fixture
def operator(twin: Twin, tmp_path: Path) -> Operator:
    folder = tmp_path / "project"
    for name in ("inventory", "templates"):
        shutil.copytree(PROJECT / name, folder / name)
    shutil.copy(PROJECT / "config.yaml", folder)
    return Operator(twin, folder)


@pytest.fixture
def shell(twin: Twin) -> Callable[[str, str], str]:
    def run(host: str, script: str) -> str:
        done = twin.exec(host, ["sh", "-ec", script])
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    return run


@pytest.fixture
def kept(twin: Twin) -> Iterator[Callable[[str, str], None]]:
    """Keep a file of a host to the byte, with owner, mode and time; it is put back after."""
    files: list[tuple[str, str]] = []

    def keep(host: str, path: str) -> None:
        assert twin.exec(host, ["cp", "-a", path, f"{path}.kept-by-test"]).returncode == 0
        twin.exec(host, ["sh", "-c", f"mv {path}.kept-by-test /run/"])
        files.append((host, path))

    yield keep
    for host, path in files:
        name = path.rpartition("/")[2]
        assert twin.exec(host, ["mv", f"/run/{name}.kept-by-test", path]).returncode == 0
        if path == HAPROXY:
            assert twin.exec(host, ["systemctl", "reload", "haproxy.service"]).returncode == 0


Shell = Callable[[str, str], str]
Keep = Callable[[str, str], None]


def test_a_network_as_applied_is_in_sync(operator: Operator) -> None:
    assert operator.drift() == (0, {})


@pytest.mark.parametrize("verb", ["drift", "verify"])
def test_every_host_is_read_with_one_handshake_and_one_exec(
    operator: Operator, shell: Shell, network: Network, verb: str
) -> None:
    hosts = [name for name, node in network.nodes.items() if not node.is_opnsense]
    server = "/etc/ssh/sshd_config"
    for host in hosts:
        shell(host, f"sed -i '1i LogLevel VERBOSE' {server} && systemctl reload ssh.service")
    since = {host: shell(host, "sleep 0.05; date +%s.%N").strip() for host in hosts}
    status, text = operator.run(verb)
    assert status == 0, text
    for host in hosts:
        unit = f"journalctl --sync && journalctl -u ssh.service -o cat --since=@{since[host]}"
        log = shell(host, unit)
        assert log.count("Connection from ") == 1, host
        assert log.count("Accepted publickey for ") == 1, host
        assert log.count("Starting session: ") == log.count("Starting session: command") == 1, host
        shell(host, f"sed -i '/^LogLevel VERBOSE$/d' {server} && systemctl reload ssh.service")


def test_a_hand_edit_is_drift(operator: Operator, shell: Shell, kept: Keep) -> None:
    kept("allyrion", HAPROXY)
    shell("allyrion", f"sed -i 's/maxconn .*/maxconn 17/' {HAPROXY}")
    status, found = operator.drift("--host", "allyrion")
    assert (status, found["allyrion", HAPROXY]) == (1, "drift")
    _, text = operator.run("drift", "--host", "allyrion")
    assert "maxconn 17" in text


def test_a_harmless_edit_is_none(operator: Operator, shell: Shell, kept: Keep) -> None:
    kept("fenn", ETH0)
    shell("fenn", f"sed -i 's/^    /  \\t/; 1i # a word of mine' {ETH0}")
    assert operator.drift("--host", "fenn") == (0, {})


def test_another_owner_or_mode_is_drift(operator: Operator, shell: Shell, kept: Keep) -> None:
    kept("fenn", ETH0)
    shell("fenn", f"chmod 0666 {ETH0}")
    status, found = operator.drift("--host", "fenn")
    assert (status, found["fenn", ETH0]) == (1, "drift")


def test_changed_facts_are_pending(operator: Operator) -> None:
    operator.edit("inventory/defaults.yaml", "client: 4h", "client: 5h")
    assert operator.drift("--host", "allyrion") == (1, {("allyrion", HAPROXY): "pending"})


def test_both_changed_alike_have_converged(operator: Operator, shell: Shell, kept: Keep) -> None:
    kept("allyrion", HAPROXY)
    operator.edit("inventory/defaults.yaml", "client: 4h", "client: 5h")
    shell("allyrion", f"sed -i 's/timeout client 4h/timeout client 5h/' {HAPROXY}")
    _, found = operator.drift("--host", "allyrion")
    assert found["allyrion", HAPROXY] == "converged"


def test_both_changed_differently_are_in_conflict(
    operator: Operator, shell: Shell, kept: Keep
) -> None:
    kept("allyrion", HAPROXY)
    operator.edit("inventory/defaults.yaml", "client: 4h", "client: 5h")
    shell("allyrion", f"sed -i 's/timeout client 4h/timeout client 6h/' {HAPROXY}")
    _, found = operator.drift("--host", "allyrion")
    assert found["allyrion", HAPROXY] == "conflict"


def test_a_deleted_file_is_missing(operator: Operator, shell: Shell, kept: Keep) -> None:
    kept("fenn", ETH0)
    shell("fenn", f"rm {ETH0}")
    assert operator.drift("--host", "fenn") == (1, {("fenn", ETH0): "missing"})


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("/proc/sys/net/ipv4/route/flush", "Permission denied"),
        ("/proc/1/mem", "Input/output error"),
    ],
)
def test_a_file_that_cannot_be_read_is_neither_drift_nor_adopted_nor_overwritten(
    operator: Operator, shell: Shell, source: str, why: str
) -> None:
    record = "cat /var/lib/goldentooth/deployments/twin/record/manifest.json"
    before = shell("allyrion", record)
    shell("allyrion", f"mount --bind {source} {HAPROXY}")
    try:
        status, found = operator.drift("--host", "allyrion")
        assert (status, found["allyrion", HAPROXY]) == (2, "unreadable")
        _, text = operator.run("drift", "--host", "allyrion")
        assert why in text
        for verb in (["adopt", "--yes"], ["deploy", "--commit", "--overwrite-drift"]):
            status, text = operator.run(*verb, "--host", "allyrion")
            assert status == 2, text
            assert HAPROXY in text
    finally:
        shell("allyrion", f"umount {HAPROXY}")
    assert shell("allyrion", record) == before


def test_a_foreign_file_in_an_owned_folder_is_unmanaged(operator: Operator, shell: Shell) -> None:
    foreign = "/etc/network/interfaces.d/mine"
    shell("fenn", f"echo 'iface eth1 inet manual' >{foreign}")
    try:
        assert operator.drift("--host", "fenn") == (1, {("fenn", foreign): "unmanaged"})
    finally:
        shell("fenn", f"rm {foreign}")


def test_a_route_that_is_gone_is_drift(operator: Operator, shell: Shell) -> None:
    shell("fenn", "ip route del 10.4.11.0/24")
    try:
        status, found = operator.drift("--host", "fenn")
    finally:
        shell("fenn", "ip route add 10.4.11.0/24 dev eth0")
    assert (status, found) == (1, {("fenn", "the kernel's routes"): "drift"})


ROUTES, ADDRESSES = "the kernel's routes", "the kernel's addresses and links"


@pytest.mark.parametrize(
    ("change", "back", "subject"),
    [
        ("ip addr add 10.4.0.10/32 dev lo", "ip addr del 10.4.0.10/32 dev lo", ADDRESSES),
        (
            "ip link set wlan0 up; ip addr add 10.4.0.99/20 dev wlan0",
            "ip addr del 10.4.0.99/20 dev wlan0; ip link set wlan0 down",
            ADDRESSES,
        ),
        ("ip link set wlan0 up", "ip link set wlan0 down", ADDRESSES),
        ("ip route add blackhole 10.4.0.11/32", "ip route del blackhole 10.4.0.11/32", ROUTES),
        ("ip route add 10.4.0.12/32 via 10.4.0.77", "ip route del 10.4.0.12/32", ROUTES),
        (
            "ip route add default via 10.4.0.77 metric 1 proto dhcp",
            "ip route del default via 10.4.0.77 metric 1",
            ROUTES,
        ),
        (
            "systemctl -q disable networking.service",
            "systemctl -q enable networking.service",
            "units of routes at boot",
        ),
    ],
)
def test_what_the_kernel_or_the_next_boot_has_beside_the_files_is_drift(
    operator: Operator, shell: Shell, change: str, back: str, subject: str
) -> None:
    shell("fenn", change)
    try:
        status, found = operator.drift("--host", "fenn")
    finally:
        shell("fenn", back)
    assert (status, found) == (1, {("fenn", subject): "drift"})


def test_addresses_and_routes_of_others_are_no_drift(operator: Operator, shell: Shell) -> None:
    shell(
        "fenn",
        "ip link add kube-ipvs0 type veth peer docker0; ip link set docker0 up;"
        " ip addr add 10.4.11.7/32 dev kube-ipvs0;"
        " ip addr add 172.17.0.1/16 dev docker0;"
        " ip route add 10.244.7.0/26 via 10.4.0.12 proto bird;"
        " ip route add blackhole 10.244.5.0/26 proto bird",
    )
    try:
        assert operator.drift("--host", "fenn") == (0, {})
    finally:
        shell(
            "fenn",
            "ip link del kube-ipvs0; ip route del 10.244.7.0/26;"
            " ip route del blackhole 10.244.5.0/26",
        )


def test_a_disabled_load_balancer_is_drift(operator: Operator, shell: Shell) -> None:
    shell("allyrion", "systemctl -q disable haproxy.service")
    try:
        status, found = operator.drift("--host", "allyrion")
    finally:
        shell("allyrion", "systemctl -q enable haproxy.service")
    assert (status, found) == (1, {("allyrion", "units of haproxy at boot"): "drift"})


def test_a_setting_that_was_changed_is_drift(operator: Operator, shell: Shell) -> None:
    shell("fenn", "sysctl -qw net.ipv4.ip_forward=0")
    try:
        _, found = operator.drift("--host", "fenn")
    finally:
        shell("fenn", "sysctl -qw net.ipv4.ip_forward=1")
    assert found == {("fenn", "the kernel's settings"): "drift"}


def test_a_file_that_was_restored_without_a_reload_is_not_loaded(
    operator: Operator, shell: Shell, kept: Keep
) -> None:
    kept("allyrion", HAPROXY)
    shell("allyrion", f"touch -d '+1 hour' {HAPROXY}")
    _, found = operator.drift("--host", "allyrion")
    assert found == {("allyrion", "HAProxy's process"): "not loaded"}


@pytest.mark.parametrize("restore", ["mv {0}.old {0}", "cp -p {0}.old {0} && rm {0}.old"])
def test_a_file_that_was_put_back_under_a_process_with_another_one_is_not_loaded(
    operator: Operator, shell: Shell, restore: str
) -> None:
    edit = f"sed -i 's/server 4h/server 7s/; s/:8405/:8499/' {HAPROXY}"
    listens = "for i in $(seq 50); do ss -ltn | grep -q :{} && exit; sleep 0.1; done; exit 1"
    shell("allyrion", f"cp -p {HAPROXY} {HAPROXY}.old; {edit}; systemctl reload haproxy.service")
    shell("allyrion", listens.format(8499))
    shell("allyrion", restore.format(HAPROXY))
    try:
        assert operator.drift("--host", "allyrion") == (
            1,
            {("allyrion", "HAProxy's process"): "not loaded"},
        )
    finally:
        shell("allyrion", "systemctl reload haproxy.service")
        shell("allyrion", listens.format(8405))
    assert operator.drift("--host", "allyrion") == (0, {})


def test_a_server_in_maintenance_is_drift(operator: Operator, shell: Shell) -> None:
    ask = (
        "python3 -c 'import socket,sys; s = socket.socket(socket.AF_UNIX);"
        ' s.connect("/run/haproxy/admin.sock"); s.sendall(sys.argv[1].encode() + b"\\n");'
        " s.recv(999)' 'set server control-planes/dalt state {}'"
    )
    shell("allyrion", ask.format("maint"))
    try:
        _, found = operator.drift("--host", "allyrion")
    finally:
        shell("allyrion", ask.format("ready"))
    assert found == {("allyrion", "HAProxy's servers"): "drift"}


def test_a_stopped_daemon_is_named(operator: Operator, twin: Twin) -> None:
    twin.break_("stop", "allyrion", unit="haproxy.service")
    status, found = operator.drift("--host", "allyrion")
    assert status == 1
    assert found["allyrion", "units of haproxy"] == "drift"


def test_a_session_that_is_down_is_a_note_and_no_drift(operator: Operator, shell: Shell) -> None:
    shell("jast", "systemctl stop frr.service")
    try:
        assert operator.drift("--service", "opnsense") == (0, {})
        _, text = operator.run("drift", "--service", "opnsense")
        assert re.search(
            r"note  router\n    1 of 12 BGP sessions not Established: jast \w+\n", text
        )
    finally:
        shell("jast", "systemctl start frr.service")


def test_a_host_that_is_off_is_unreachable_and_the_others_are_still_told(
    operator: Operator, shell: Shell, kept: Keep, twin: Twin
) -> None:
    kept("allyrion", HAPROXY)
    shell("allyrion", f"sed -i 's/maxconn .*/maxconn 17/' {HAPROXY}")
    twin.break_("power", "jast")
    status, found = operator.drift()
    assert status == 2
    assert found["jast", ""] == "unreachable"
    assert found["allyrion", HAPROXY] == "drift"


def test_a_host_with_another_key_is_not_spoken_to(operator: Operator, twin: Twin) -> None:
    twin.break_("hostkey", "jast")
    status, found = operator.drift("--host", "jast", "--host", "fenn")
    assert (status, found) == (2, {("jast", ""): "wrong key"})


def test_a_damaged_baseline_is_not_trusted_nor_overwritten(
    operator: Operator, shell: Shell, kept: Keep
) -> None:
    manifest = "/var/lib/goldentooth/deployments/twin/record/manifest.json"
    kept("fenn", manifest)
    shell("fenn", f"echo '{{}}' >{manifest}")
    status, found = operator.drift("--host", "fenn")
    assert (status, found["fenn", ""]) == (2, "bad baseline")
    status, text = operator.run("deploy", "--host", "fenn", "--commit")
    assert status == 2, text
    assert shell("fenn", f"cat {manifest}") == "{}\n"


def test_without_a_baseline_nobody_can_say_who_moved_until_it_is_adopted(
    operator: Operator, shell: Shell
) -> None:
    shell("fenn", "mv /var/lib/goldentooth /var/lib/kept-by-test")
    try:
        status, found = operator.drift("--host", "fenn")
        assert status == 1
        assert set(found.values()) == {"no baseline"}
        assert operator.run("adopt", "--host", "fenn")[0] == 1  # nobody is there to agree
        assert operator.drift("--host", "fenn")[1] == found
        assert operator.run("adopt", "--host", "fenn", "--yes")[0] == 0
        assert operator.drift("--host", "fenn") == (0, {})
    finally:
        shell("fenn", "rm -rf /var/lib/goldentooth; mv /var/lib/kept-by-test /var/lib/goldentooth")


def test_discover_sees_the_interfaces_of_every_host(operator: Operator) -> None:
    status, text = operator.run("discover", "--format", "json", "--write")
    report = json.loads(text[text.index("{") : text.rindex("}") + 1])
    assert status in {0, 1}  # the machine's architecture is not the Raspberry Pis'
    assert {host["seen"]["interface"] for host in report["hosts"]} == {"eth0"}
    written = (operator.folder / "inventory/discovered.yaml").read_text()
    assert "fenn:\n  architecture: " in written
    assert operator.run("lint")[0] in {0, 1}  # it reads back
