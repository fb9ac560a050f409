"""Each fault does what it says, and is gone when it is healed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from goldentooth.model import Network
from goldentooth.twin import FAULTS, Twin, TwinError, cgroup
from goldentooth.twin.sessions import sessions_of
from tests.twin.claims.observation import on_all

FENN = "10.4.0.15"
API = "https://10.4.0.10:6443/healthz"


def _ping(twin: Twin, address: str) -> bool:
    return twin.run(["ping", "-c", "1", "-W", "1", address]).returncode == 0


def _shell(twin: Twin, host: str, command: str) -> str:
    done = twin.exec(host, ["sh", "-c", command])
    return (done.stdout + done.stderr).decode().strip()


def _eventually(is_so: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def test_a_pulled_cable_is_a_lost_carrier(twin: Twin) -> None:
    twin.break_("link", "fenn")

    assert "NO-CARRIER" in _shell(twin, "fenn", "ip link show eth0")
    assert not _ping(twin, FENN)

    twin.heal()
    assert _ping(twin, FENN)


def test_packets_are_lost_one_way(twin: Twin) -> None:
    with twin.capture("fenn", expression="icmp", interface="eth0") as capture:
        twin.break_("drop", "fenn", direction="out", peer="operator")
        assert not _ping(twin, FENN)
        time.sleep(0.1)
    requests = [line for line in capture.lines() if "echo request" in line]
    capture.file.unlink()

    assert requests
    assert "0% packet loss" in _shell(twin, "allyrion", f"ping -c 1 -W 1 {FENN}")
    twin.heal()
    assert _ping(twin, FENN)


def test_an_edit_through_a_link_stays_on_the_host(twin: Twin, tmp_path: Path) -> None:
    outside = tmp_path / "file"
    outside.write_text("this machine's\n")
    _shell(
        twin, "jast", f"mkdir -p {tmp_path}; echo theirs > {outside}; ln -s {outside} /root/link"
    )

    twin.break_("edit", "jast", path="/root/link", append="mine")

    assert outside.read_text() == "this machine's\n"
    assert _shell(twin, "jast", f"cat {outside}; rm /root/link") == "theirs\nmine"


def test_a_share_of_packets_is_lost(twin: Twin) -> None:
    twin.break_("drop", "fenn", percent="50", peer="operator")

    done = twin.run(["ping", "-q", "-c", "60", "-i", "0.01", "-W", "1", FENN])
    lost = 60 - int(done.stdout.decode().split(" received")[0].split(", ")[-1])
    assert 10 < lost < 50


def test_a_killed_daemon_is_started_again_by_its_supervisor(twin: Twin) -> None:
    before = _shell(twin, "fenn", "pidof bgpd")
    twin.break_("kill", "fenn", process="bgpd")

    assert _eventually(lambda: _shell(twin, "fenn", "pidof bgpd") not in {"", before})


def test_a_killed_unit_is_started_by_heal(twin: Twin) -> None:
    twin.break_("kill", "jast", unit="ssh.service")

    twin.heal()
    assert _shell(twin, "jast", "systemctl is-active ssh.service") == "active"


def test_a_stopped_daemon_withdraws_its_routes(twin: Twin) -> None:
    twin.break_("stop", "fenn", unit="frr.service")

    route = "ip -json route show 10.4.11.5"
    hops = json.loads(_shell(twin, "router", route))[0]["nexthops"]
    assert FENN not in {hop["gateway"] for hop in hops}
    missed = {fall.subject for fall in twin.verify()}
    assert {"unit[frr.service]", "bgp.session[fenn]", "bgp.route[10.4.11.5/32]"} == missed


def test_a_frozen_daemon_holds_its_session_and_answers_nothing(twin: Twin) -> None:
    twin.break_("freeze", "fenn", unit="frr.service", process="bgpd")

    assert sessions_of(twin.machine("router"))[FENN].is_established
    with pytest.raises(TwinError, match="still running"):
        twin.exec("fenn", ["vtysh", "-c", "show bgp summary"], timeout=1)


def test_a_host_without_power_says_no_goodbye(twin: Twin) -> None:
    twin.break_("power", "fenn")

    assert not _ping(twin, FENN)
    assert sessions_of(twin.machine("router"))[FENN].is_established  # until the hold time
    with pytest.raises(TwinError, match="fenn is powered off"):
        twin.exec("fenn", ["true"])
    assert twin.status().hosts[list(twin.machines).index("fenn")].power == "off"


def test_a_host_keeps_its_disk_across_a_boot(twin: Twin) -> None:
    _shell(twin, "fenn", "echo kept > /root/file; echo lost > /run/file")
    boot = _shell(twin, "fenn", "cat /proc/sys/kernel/random/boot_id")

    twin.break_("power", "fenn")
    twin.heal()

    assert _shell(twin, "fenn", "cat /root/file; rm /root/file; ls /run/file").startswith(
        "kept\nls:"
    )
    assert _shell(twin, "fenn", "cat /proc/sys/kernel/random/boot_id") != boot
    assert "10.4.11.0/24 dev eth0" in _shell(twin, "fenn", "ip route")


def test_the_router_comes_back_with_its_outside_leg(twin: Twin) -> None:
    twin.break_("power", "router")
    assert not _ping(twin, "10.4.0.1")

    twin.heal()

    done = twin.exec("client", ["curl", "-sk", "--max-time", "5", API])
    assert done.stdout == b"ok"


def test_the_api_answers_with_one_control_plane_left(twin: Twin) -> None:
    for host in ("bettley", "cargyll"):
        twin.break_("stop", host, unit="stand-in-api.service")

    assert twin.run(["curl", "-sk", "--retry", "3", "--max-time", "20", API]).stdout == b"ok"


def test_a_full_disk_takes_nothing_more(twin: Twin) -> None:
    twin.break_("disk", "fenn")

    assert "No space left" in _shell(twin, "fenn", "head -c 100000 /dev/zero > /root/zeros")
    assert _shell(twin, "fenn", "echo 1 > /run/file && cat /run/file") == "1"
    twin.heal()
    assert _shell(twin, "fenn", "head -c 100000 /dev/zero > /root/zeros; rm /root/zeros") == ""


def test_a_read_only_disk_is_not_written_to(twin: Twin) -> None:
    twin.break_("readonly", "fenn")

    assert "Read-only file system" in _shell(twin, "fenn", "touch /etc/frr/x")
    twin.heal()
    assert _shell(twin, "fenn", "touch /etc/frr/x && rm /etc/frr/x") == ""


def test_a_disk_that_is_written_to_cannot_become_read_only(twin: Twin) -> None:
    _shell(twin, "jast", "systemd-run --unit=writer sh -c 'exec sleep 100 > /root/held'")
    assert _eventually(lambda: _shell(twin, "jast", "cat /root/held") == "")

    with pytest.raises(TwinError, match="sleep: /root/held"):
        twin.break_("readonly", "jast")
    _shell(twin, "jast", "systemctl stop writer; rm /root/held")
    assert twin.faults == []


def test_the_clock_jumps_for_one_host_only(twin: Twin) -> None:
    twin.break_("clock", "fenn", offset="+2h")

    ahead = int(_shell(twin, "fenn", "date +%s")) - int(_shell(twin, "jast", "date +%s"))
    over_ssh = int(twin.run(["ssh", "fenn", "date", "+%s"]).stdout) - time.time()
    assert ahead == pytest.approx(7200, abs=5)
    assert over_ssh == pytest.approx(7200, abs=5)

    twin.heal()
    assert int(_shell(twin, "fenn", "date +%s")) == pytest.approx(time.time(), abs=5)
    assert int(twin.run(["ssh", "fenn", "date", "+%s"]).stdout) == pytest.approx(time.time(), abs=5)


def test_a_changed_host_key_is_refused(twin: Twin) -> None:
    twin.break_("hostkey", "fenn")

    done = twin.run(["ssh", "-o", "BatchMode=yes", "fenn", "true"])
    assert done.returncode == 255
    assert b"REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stderr

    twin.heal()
    assert twin.run(["ssh", "-o", "BatchMode=yes", "fenn", "true"]).returncode == 0


def test_a_hand_edit_is_undone_to_the_byte(twin: Twin) -> None:
    path = "/etc/frr/frr.conf"
    look = f"sha256sum {path}; stat -c '%U %a' {path}"
    before = _shell(twin, "fenn", look)

    twin.break_("edit", "fenn", path=path, replace="timers 60 180", by="timers 3 9")
    assert "timers 3 9" in _shell(twin, "fenn", f"cat {path}")

    twin.heal()
    assert _shell(twin, "fenn", look) == before


def test_a_wrong_asn_is_refused_by_the_router(twin: Twin) -> None:
    twin.break_("asn", "fenn")

    refused = "Bad Peer AS"
    assert _eventually(lambda: refused in twin.logs("router", "frr.service", lines=50))
    assert not sessions_of(twin.machine("router"))[FENN].is_established


def test_a_leaked_pod_prefix_gets_out_and_is_refused(twin: Twin) -> None:
    router = twin.machine("router")
    told = f"vtysh -c 'show bgp neighbors {FENN} json'"
    before = _updates(_shell(twin, "router", told))

    twin.break_("leak", "fenn")

    # the filter has judged it once the router has counted the update that brought it
    assert _eventually(lambda: _updates(_shell(twin, "router", told)) > before)
    sent = "vtysh -c 'show bgp ipv4 unicast neighbors 10.4.0.1 advertised-routes'"
    assert _eventually(lambda: "192.168.66.0/24" in _shell(twin, "fenn", sent))
    assert "192.168.66.0/24" not in _shell(twin, "router", "ip route")
    assert _eventually(lambda: "10.4.11.5" in _shell(twin, "fenn", sent))
    assert sessions_of(router)[FENN].is_established

    twin.heal()
    assert "192.168.66.0/24" not in _shell(twin, "fenn", "vtysh -c 'show running-config'")
    assert "TWIN-LEAK" not in _shell(twin, "fenn", "vtysh -c 'show running-config'")


def _updates(neighbor: str) -> int:
    """Return how many updates the router has had from fenn."""
    return int(json.loads(neighbor)[FENN]["messageStats"]["updatesRecv"])


def test_a_slow_host_is_slow(twin: Twin) -> None:
    work = "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done"

    twin.break_("slow", "fenn", percent="5")
    timed = _shell(twin, "fenn", f"bash -c 'TIMEFORMAT=\"%R %U %S\"; time sh -c \"$1\"' - '{work}'")

    real, user, system = map(float, timed.split())
    assert real > 5 * (user + system), timed  # 20 times but for the burst that it may have at once
    assert _throttled("fenn", twin) > 0


def _throttled(host: str, twin: Twin) -> int:
    """Return in how many periods the kernel has held the host back (cgroups: cpu.stat)."""
    group = cgroup.controlled(twin.machine(host).group, "cpu")
    assert group is not None
    counts = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
    return int(counts["nr_throttled"])


def test_faults_are_listed_and_healed_one_by_one(twin: Twin) -> None:
    twin.break_("link", "jast")
    twin.break_("edit", "fenn")

    assert list(map(str, Twin.attach(twin.name).faults)) == ["link jast", "edit fenn"]
    assert [fault.kind for fault in twin.heal(host="fenn")] == ["edit"]
    assert [fault.kind for fault in twin.faults] == ["link"]


def test_a_fault_on_a_host_that_has_lost_its_power_since_is_healed(twin: Twin) -> None:
    twin.break_("freeze", "fenn", process="bgpd")
    twin.break_("edit", "fenn")
    twin.break_("power", "fenn")

    twin.heal()

    assert "edited by hand" not in _shell(twin, "fenn", "cat /etc/network/interfaces.d/eth0.cfg")


def test_what_cannot_be_injected_is_said_so_and_changes_nothing(twin: Twin) -> None:
    with pytest.raises(TwinError, match="knows no color"):
        twin.break_("link", "fenn", color="red")
    with pytest.raises(TwinError, match="there is no fault 'flood'"):
        twin.break_("flood", "fenn")
    with pytest.raises(TwinError, match="percent cannot be '0'"):
        twin.break_("drop", "fenn", percent="0")
    for kind in ("power", "link"):
        with pytest.raises(TwinError, match="operator is not a host"):
            twin.break_(kind, "operator")
    for offset in ("1h", "+1w", "+3651d", "-99999999999999s", "+٣h"):
        with pytest.raises(TwinError, match=r"offset cannot be .*\n +as in \+2h"):
            twin.break_("clock", "fenn", offset=offset)

    assert twin.faults == []


@pytest.mark.parametrize("kind", FAULTS)
def test_every_fault_says_what_it_does(kind: str) -> None:
    fault = FAULTS[kind]

    assert fault.kind == kind
    assert fault.summary
    assert all(fault.options.values())


def test_nothing_is_left_of_a_healed_fault(twin: Twin) -> None:
    before = {path.name for path in Path("/tmp").glob("*twin*")}
    for kind in ("drop", "clock", "leak"):
        twin.break_(kind, "fenn")
    twin.heal()

    assert "goldentooth" not in _shell(twin, "fenn", "nft list ruleset; ls /run /etc/ssh/*.d")
    assert {path.name for path in Path("/tmp").glob("*twin*")} <= before


@pytest.mark.parametrize("kind", ["leak", "readonly", "edit", "hostkey", "asn"])
def test_a_fault_is_healed_on_a_host_that_lost_its_power_since(twin: Twin, kind: str) -> None:
    path = "/etc/network/interfaces.d/eth0.cfg"
    before = twin.exec("fenn", ["cat", path]).stdout
    twin.break_(kind, "fenn")
    twin.break_("power", "fenn")

    twin.heal()

    assert twin.faults == []
    assert twin.exec("fenn", ["cat", path]).stdout == before


def test_heal_boots_a_host_that_switched_itself_off(twin: Twin) -> None:
    twin.exec("fenn", ["systemctl", "--no-block", "poweroff"])
    deadline = time.monotonic() + 20
    while twin.machine("fenn").is_running and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not twin.machine("fenn").is_running

    twin.heal()

    assert twin.verify() == []


PAIRS = (
    ("disk", "readonly"),
    ("readonly", "hostkey"),
    ("disk", "edit"),
    ("edit", "power"),
    ("power", "readonly"),
    ("stop", "clock"),
)
"""Two faults on one host that share something: its disk, its power, its daemon."""


def _traces(twin: Twin, host: str) -> list[str]:
    """Return what faults change on a host: its files, its disk, what FRR runs, units, links."""
    commands = (
        "sha256sum /etc/network/interfaces.d/eth0.cfg /etc/ssh/ssh_host_ed25519_key*",
        "ls -A /etc/ssh/sshd_config.d /run/systemd/system; stat -fc '%b' /",
        "touch /root/writable && rm /root/writable; cat /sys/class/net/eth0/carrier",
        "systemctl is-active ssh frr haproxy prometheus-node-exporter",
        "vtysh -c 'show running-config' 2>/dev/null | grep -v '^!'",
    )
    return _shell(twin, host, ";".join(commands)).splitlines()


def test_two_faults_on_one_host_are_healed_in_any_order(twin: Twin, network: Network) -> None:
    nodes = [node.name for node in network.bgp_neighbors]
    orders = [order for pair in PAIRS for order in (pair, pair[::-1])]
    cases = dict(zip(nodes, orders, strict=True))
    before = on_all(cases, lambda host: _traces(twin, host))
    for host, pair in cases.items():
        for kind in sorted(pair, key=_hindering):
            twin.break_(kind, host)

    for host, pair in cases.items():
        for kind in pair:
            assert [fault.kind for fault in twin.heal(kind, host)] == [kind]

    assert twin.faults == []
    assert on_all(cases, lambda host: _traces(twin, host)) == before


def _hindering(kind: str) -> bool:
    """Tell whether a fault can only be injected last: the others need a host that works."""
    return kind in {"power", "stop"}
