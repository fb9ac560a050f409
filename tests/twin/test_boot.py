"""A twin that is up is the network: real hosts at their addresses, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from goldentooth import applied
from goldentooth.model import Network
from goldentooth.twin import Twin, TwinError
from goldentooth.twin.machine import Machine
from goldentooth.twin.plan import OUTSIDE_CLIENT
from goldentooth.twin.sessions import sessions_of

Host = Callable[[str], Machine]

SERVICE = "http://10.4.11.5/"
API = "https://10.4.0.10:6443"


def _output(twin: Twin, machine: str, *argv: str) -> str:
    done = twin.exec(machine, argv)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_every_host_has_its_name_address_and_mac(twin: Twin) -> None:
    for name, machine in twin.record.machines.items():
        assert _output(twin, name, "hostname") == f"{name}\n"
        interface = machine.links[0]
        link = json.loads(_output(twin, name, "ip", "-json", "address", "show", interface.name))[0]
        assert link["address"] == interface.mac
        assert machine.address in [address["local"] for address in link["addr_info"]]


def test_wlan0_is_there_and_down(twin: Twin) -> None:
    link = json.loads(_output(twin, "fenn", "ip", "-json", "link", "show", "wlan0"))[0]

    assert link["operstate"] == "DOWN"
    assert "UP" not in link["flags"]


def test_all_twelve_nodes_are_established(twin: Twin, network: Network) -> None:
    sessions = sessions_of(twin.machine("router"))

    assert sessions.keys() == {str(node.address) for node in network.kubernetes_nodes}
    assert all(session.is_established for session in sessions.values())


def test_nothing_has_failed_and_nothing_is_on_a_timer(twin: Twin, network: Network) -> None:
    for host in network.nodes:
        assert _output(twin, host, "systemctl", "--failed", "--quiet", "--plain") == ""
        timers = _output(twin, host, "systemctl", "list-timers", "--quiet", "--all").splitlines()
        # but what this project deploys, and what takes an unconfirmed deployment back
        assert [line for line in timers if " goldentooth-" not in line] == []


def test_artifacts_have_their_owner_and_mode(twin: Twin, artifacts: Path) -> None:
    entries = json.loads((artifacts / "manifest.json").read_text())["artifacts"]
    own = [entry for entry in entries if entry["host"] in {"fenn", "router", "allyrion"}]

    assert own
    for entry in own:
        seen = _output(twin, entry["host"], "stat", "--format=%U:%G 0%a", entry["path"])
        assert seen == f"{entry['owner']} {entry['mode']}\n", entry["path"]


def test_what_it_came_up_from_is_recorded_as_applied(twin: Twin, artifacts: Path) -> None:
    for host in ("allyrion", "fenn", "router"):
        top = twin.machine(host).path(f"{applied.FOLDER}/deployments/twin/record")
        files = {
            f"{applied.APPLIED}/{file.relative_to(top)}": file.read_bytes()
            for file in top.rglob("*")
            if file.is_file()
        }
        baseline = applied.read_baseline(host, files)
        rendered = {f"/{file.relative_to(artifacts / host)}" for file in _files(artifacts / host)}
        assert baseline is not None
        assert baseline.files.keys() == rendered
        for path, file in baseline.files.items():
            assert file.holds(twin.machine(host).path(path).read_bytes(), baseline.key), path
        assert _output(twin, host, "stat", "--format=%U %a", applied.FOLDER) == "root 700\n"


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_folders_keep_the_owner_that_their_package_gave_them(twin: Twin) -> None:
    assert _output(twin, "fenn", "stat", "--format=%U", "/etc/frr") == "frr\n"


def test_routes_come_from_the_interface_artifact(twin: Twin) -> None:
    assert "10.4.11.0/24 dev eth0" in _output(twin, "fenn", "ip", "route")
    assert "10.4.11.0/24 via 10.4.0.1" in _output(twin, "allyrion", "ip", "route")


def test_kernel_parameters_come_from_the_sysctl_artifact(twin: Twin) -> None:
    key = "net.ipv4.fib_multipath_hash_policy"

    assert _output(twin, "router", "sysctl", "-n", key) == "1\n"


def test_a_service_address_has_a_next_hop_for_every_node(twin: Twin, network: Network) -> None:
    text = _output(twin, "router", "ip", "-json", "route", "show", "10.4.11.5")
    hops = {hop["gateway"] for hop in json.loads(text)[0]["nexthops"]}

    assert hops == {str(node.address) for node in network.kubernetes_nodes}


def test_a_client_beyond_the_router_is_spread_over_the_nodes(twin: Twin, network: Network) -> None:
    command = f"for i in $(seq 40); do curl -s --max-time 5 {SERVICE}; done"
    answers = _output(twin, "client", "sh", "-c", command).split()

    assert len(answers) == 40
    assert len(set(answers)) > 5
    assert set(answers) <= {node.name for node in network.kubernetes_nodes}


def test_nobody_answers_arp_for_a_service_address(twin: Twin) -> None:
    twin.exec("allyrion", ["ip", "route", "add", "10.4.11.5/32", "dev", "eth0"])
    try:
        done = twin.exec("allyrion", ["curl", "-s", "--max-time", "2", SERVICE])
        neighbor = _output(twin, "allyrion", "ip", "neighbor", "show", "10.4.11.5")
    finally:
        twin.exec("allyrion", ["ip", "route", "del", "10.4.11.5/32", "dev", "eth0"])

    assert done.returncode in {7, 28}
    assert "lladdr" not in neighbor


def test_the_api_answers_through_haproxy_on_every_control_plane(
    twin: Twin, network: Network
) -> None:
    names = {
        twin.run(["curl", "-s", "--cacert", "/run/home/ca.crt", API]).stdout.decode().strip()
        for _ in range(6)
    }
    health = twin.run(["curl", "-s", "--cacert", "/run/home/ca.crt", f"{API}/healthz"]).stdout

    assert names == {node.name for node in network.control_planes}
    assert health == b"ok"


def test_every_host_exports_its_metrics(twin: Twin, network: Network) -> None:
    for node in network.nodes.values():
        url = f"http://{node.address}:9100/metrics"
        metrics = twin.run(["curl", "-s", "--max-time", "10", url]).stdout.decode()
        assert f'nodename="{node.name}"' in metrics


def test_the_operator_reaches_every_host_by_ssh(twin: Twin, network: Network) -> None:
    for node in network.nodes.values():
        done = twin.run(["ssh", "-o", "BatchMode=yes", str(node.address), "hostname"])
        assert done.stdout == f"{node.name}\n".encode(), done.stderr
    assert twin.run(["ssh", "-o", "BatchMode=yes", "fenn", "hostname"]).stdout == b"fenn\n"


def test_the_operator_sees_the_project(twin: Twin) -> None:
    here = Path(__file__)

    assert twin.run(["cat", str(here)]).stdout == here.read_bytes()


def test_the_operator_keeps_the_exit_status_and_the_folder(twin: Twin, tmp_path: Path) -> None:
    done = twin.run(["sh", "-c", "pwd; exit 3"], cwd=tmp_path)

    assert (done.returncode, done.stdout.decode().strip()) == (3, str(tmp_path))


def test_a_command_is_given_its_input_byte_for_byte(twin: Twin) -> None:
    content = bytes(range(256)) * 100

    assert twin.exec("fenn", ["cat"], stdin=content).stdout == content


def test_a_command_that_takes_too_long_is_ended(twin: Twin, twin_host: Host) -> None:
    with pytest.raises(TwinError, match="still running after"):
        twin.exec("fenn", ["sleep", "12345"], timeout=0.3)
    time.sleep(0.1)

    assert twin_host("fenn").run(["pgrep", "-f", "sleep 12345"]).returncode == 1


def test_a_command_does_not_get_this_machines_environment(
    twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY", "1")

    assert "CANARY" not in _output(twin, "fenn", "env")


def test_hosts_hide_what_is_this_machines_own(twin: Twin) -> None:
    machine_key = Path("/etc/ssh/ssh_host_ed25519_key.pub")
    listing = _output(twin, "fenn", "sh", "-c", "ls -A /root /home /etc/ssh; ls /usr/sbin")

    assert "policy-rc.d" not in listing
    assert "ssh_host_rsa_key" not in listing
    if machine_key.exists():
        key = _output(twin, "fenn", "cat", str(machine_key))
        assert key != machine_key.read_text()


def test_hosts_have_machine_ids_of_their_own(twin: Twin, network: Network) -> None:
    ids = {_output(twin, host, "cat", "/etc/machine-id") for host in network.nodes}

    assert len(ids) == len(network.nodes)


def test_each_host_has_its_own_control_groups(twin: Twin) -> None:
    killed = twin.exec("fenn", ["systemctl", "kill", "--signal=HUP", "ssh.service"])

    assert killed.returncode == 0
    assert _output(twin, "jast", "systemctl", "is-active", "ssh.service") == "active\n"
    assert "sleep" not in _output(twin, "fenn", "systemd-cgls", "--no-pager")


@pytest.mark.parametrize("machine", ["fenn", "operator", "client"])
def test_nobody_on_a_twin_can_set_the_clock_or_the_kernel_of_this_machine(
    twin: Twin, machine: str
) -> None:
    clock = twin.exec(machine, ["sh", "-c", "date --set=@$(date +%s)"])
    kernel = twin.exec(machine, ["sh", "-c", "echo 0 > /proc/sys/kernel/panic"])

    assert clock.returncode != 0
    assert kernel.returncode != 0


def test_the_client_comes_from_outside(twin: Twin) -> None:
    assert str(OUTSIDE_CLIENT) in _output(twin, "client", "ip", "address")
    done = twin.exec("client", ["curl", "-sk", "--max-time", "5", f"{API}/healthz"])
    assert done.stdout == b"ok"


def test_a_timer_that_the_deployment_sets_goes_off(twin: Twin) -> None:
    command = "systemd-run --on-active=0.3 --timer-property=AccuracySec=10ms touch /run/went-off"
    _output(twin, "fenn", *command.split())
    time.sleep(1)

    assert twin.exec("fenn", ["test", "-e", "/run/went-off"]).returncode == 0


def test_frr_reloads_through_its_unit(twin: Twin) -> None:
    _output(twin, "fenn", "systemctl", "reload", "frr.service")

    assert _output(twin, "fenn", "systemctl", "is-active", "frr.service") == "active\n"


def test_logs_are_the_hosts_own(twin: Twin) -> None:
    log = twin.logs("allyrion", "haproxy.service")

    assert " allyrion haproxy[" in log
    assert " fenn " not in log


def test_a_capture_shows_the_packets(twin: Twin) -> None:
    with twin.capture("fenn", expression="icmp", interface="eth0") as capture:
        twin.run(["ping", "-c", "2", "-i", "0.1", "10.4.0.15"])
        time.sleep(0.1)
    lines = capture.lines()
    capture.file.unlink()

    assert sum("echo request" in line for line in lines) == 2
    assert sum("echo reply" in line for line in lines) == 2


def test_status_tells_hosts_sessions_backends_and_stand_ins(twin: Twin, network: Network) -> None:
    status = twin.status()

    assert {host.name for host in status.hosts} == set(twin.machines)
    assert all(state == "active" for host in status.hosts for state in host.units.values())
    assert status.states.keys() == {"session", "backend"}
    assert status.states["session"].keys() == {node.name for node in network.bgp_neighbors}
    assert status.states["backend"].keys() == {node.name for node in network.control_planes}
    assert all(state.is_right for states in status.states.values() for state in states.values())
    assert status.states["session"]["fenn"].seen.startswith("Established, AS 64501")
    assert "MetalLB's BGP speaker" in {stand_in.stands_for for stand_in in status.stand_ins}
    assert status.memory is None or status.memory < 700 * 1024 * 1024


def test_another_process_can_attach(twin: Twin) -> None:
    again = Twin.attach(twin.name)

    assert again.exec("fenn", ["hostname"]).stdout == b"fenn\n"


def test_a_machine_that_is_not_there_is_named(twin: Twin) -> None:
    with pytest.raises(TwinError, match="has no machine 'fen'"):
        twin.exec("fen", ["true"])
