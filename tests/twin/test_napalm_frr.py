"""The NAPALM driver on real hosts: what it says is what FRR says, what it does FRR does."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

import napalm_frr
from goldentooth.model import Network
from goldentooth.twin import Twin

Drive = Callable[..., Any]

_FRR_CONF = "/etc/frr/frr.conf"
_MARK = "=== result "
_PROGRAM = """
import json, sys
from napalm import get_network_driver
import napalm.base.exceptions as errors

def caught(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except errors.NapalmException as error:
        return [type(error).__name__, str(error)]
    return None

with get_network_driver("frr")({host!r}, {user!r}, "", 60, {options!r}) as driver:
{code}
print({mark!r} + json.dumps(result))
"""


@pytest.fixture
def drive(twin: Twin) -> Drive:
    """Return a function that runs ``code`` with an open ``driver``, and returns its ``result``."""

    def run(
        host: str, code: str, *, user: str = "root", options: dict[str, Any] | None = None
    ) -> Any:
        body = indent(dedent(code), "    ")
        program = _PROGRAM.format(
            host=host, user=user, options=options or {}, code=body, mark=_MARK
        )
        done = twin.run([sys.executable, "-c", program], timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout.decode().split(_MARK)[1])

    return run


@pytest.fixture(params=["router", "fenn"])
def host(request: pytest.FixtureRequest, twin: Twin) -> Iterator[str]:
    """Return a host whose configuration a test may change: it is put back."""
    name = str(request.param)
    before = _file(twin, name)
    yield name
    script = f"""
        systemctl stop napalm-frr-revert.timer napalm-frr-revert.service
        cat >{_FRR_CONF} && /usr/lib/frr/frr-reload.py --reload {_FRR_CONF}
        rm -rf /var/lib/napalm-frr {_FRR_CONF}.sav
    """
    done = twin.exec(name, ["sh", "-c", script], stdin=before.encode())
    assert done.returncode == 0, done.stdout.decode()


def _file(twin: Twin, host: str) -> str:
    return twin.exec(host, ["cat", _FRR_CONF]).stdout.decode()


def _vtysh(twin: Twin, host: str, command: str) -> str:
    done = twin.exec(host, ["vtysh", "-c", command])
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def _running(twin: Twin, host: str) -> str:
    return _vtysh(twin, host, "show running-config no-header")


def _resets(twin: Twin, host: str) -> dict[str, tuple[str, int]]:
    """Return each session's state and how often it was lost."""
    peers = json.loads(_vtysh(twin, host, "show bgp ipv4 unicast summary json"))["peers"]
    return {address: (peer["state"], peer["connectionsDropped"]) for address, peer in peers.items()}


def _wait(reached: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(0.2)


# -- what it says ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["router", "fenn"])
def test_neighbors_are_those_of_vtysh(name: str, twin: Twin, drive: Drive) -> None:
    said = json.loads(_vtysh(twin, name, "show bgp ipv4 unicast summary json"))

    found = drive(name, "result = driver.get_bgp_neighbors()")

    peers = found["global"]["peers"]
    assert found["global"]["router_id"] == said["routerId"]
    assert peers.keys() == said["peers"].keys()
    for address, peer in said["peers"].items():
        assert peers[address]["is_up"] is (peer["state"] == "Established")
        assert peers[address]["remote_as"] == peer["remoteAs"]
        assert peers[address]["local_as"] == said["as"]
        assert peers[address]["description"] == peer["desc"]
        assert 0 <= peers[address]["uptime"] - peer["peerUptimeMsec"] // 1000 < 60
        families = peers[address]["address_family"]
        assert families["ipv4"]["accepted_prefixes"] == peer["pfxRcd"]
        assert families["ipv4"]["sent_prefixes"] == peer["pfxSnt"]


def test_details_of_a_neighbor_are_those_of_vtysh(twin: Twin, drive: Drive) -> None:
    said = json.loads(_vtysh(twin, "router", "show bgp neighbors 10.4.0.15 json"))["10.4.0.15"]

    found = drive("router", "result = driver.get_bgp_neighbors_detail('10.4.0.15')")

    assert found.keys() == {"global"}
    assert found["global"].keys() == {"64501"}
    (detail,) = found["global"]["64501"]
    assert detail["connection_state"] == said["bgpState"] == "Established"
    assert (detail["local_address"], detail["local_port"]) == (said["hostLocal"], said["portLocal"])
    assert detail["remote_port"] == said["portForeign"]
    assert detail["holdtime"] == said["bgpTimerHoldTimeMsecs"] / 1000
    assert detail["import_policy"] == "CLUSTER-IN"
    assert detail["flap_count"] == said["connectionsDropped"]
    assert detail["input_messages"] >= said["messageStats"]["totalRecv"]


def test_a_route_has_the_next_hops_of_zebra(twin: Twin, drive: Drive) -> None:
    said = json.loads(_vtysh(twin, "router", "show ip route 10.4.11.5/32 json"))
    hops = {hop["ip"] for route in said["10.4.11.5/32"] for hop in route["nexthops"] if hop["fib"]}
    assert len(hops) == 12

    found = drive(
        "router",
        """
        result = {
            "exact": driver.get_route_to("10.4.11.5/32", "bgp"),
            "address": driver.get_route_to("10.4.11.5"),
            "longer": driver.get_route_to("10.4.11.0/24", longer=True),
            "nothing": driver.get_route_to("10.99.0.0/16"),
            "all": sorted(driver.get_route_to()),
        }
        """,
    )

    for question in ("exact", "address", "longer"):
        routes = found[question]["10.4.11.5/32"]
        assert {route["next_hop"] for route in routes if route["current_active"]} == hops
        assert {route["protocol_attributes"]["as_path"] for route in routes} == {"64501"}
    assert found["nothing"] == {}
    table = [json.loads(_vtysh(twin, "router", f"show {ip} route json")) for ip in ("ip", "ipv6")]
    assert set(found["all"]) == {prefix for routes in table for prefix in routes}


@pytest.mark.parametrize("name", ["router", "velaryon"])
def test_links_addresses_and_arp_are_those_of_iproute2(name: str, twin: Twin, drive: Drive) -> None:
    found = drive(
        name,
        """
        result = {
            "ping": driver.ping("10.4.0.11", count=2),
            "links": driver.get_interfaces(),
            "addresses": driver.get_interfaces_ip(),
            "counters": driver.get_interfaces_counters(),
            "arp": driver.get_arp_table(),
            "facts": driver.get_facts(),
        }
        """,
    )

    links = {link["ifname"]: link for link in _json(twin, name, "ip -json -s address show")}
    assert found["links"].keys() == links.keys() == set(found["facts"]["interface_list"])
    for link, seen in links.items():
        assert found["links"][link]["mtu"] == seen["mtu"]
        assert found["links"][link]["is_enabled"] is ("UP" in seen["flags"])
        assert found["links"][link]["mac_address"] == seen["address"].upper()
        addresses = {
            (address, entry["prefix_length"])
            for family in found["addresses"].get(link, {}).values()
            for address, entry in family.items()
        }
        assert addresses == {(each["local"], each["prefixlen"]) for each in seen["addr_info"]}
        octets = seen["stats64"]["rx"]["bytes"]
        assert found["counters"][link]["rx_octets"] <= octets
    assert found["counters"]["eth0"]["rx_octets"] > 0
    arp = {entry["ip"]: entry["mac"] for entry in found["arp"]}
    bettley = twin.record.machines["bettley"].links[0]
    assert arp["10.4.0.11"] == bettley.mac.upper()
    assert found["ping"]["success"]["packet_loss"] == 0
    assert found["facts"]["hostname"] == name


def _json(twin: Twin, host: str, command: str) -> Any:
    return json.loads(twin.exec(host, command.split()).stdout)


def test_configurations_are_those_of_the_host(twin: Twin, drive: Drive) -> None:
    found = drive("fenn", "result = driver.get_config()")

    assert found["running"] == _running(twin, "fenn")
    assert found["startup"] == _file(twin, "fenn")
    assert found["candidate"] == ""


def test_a_route_is_traced_hop_by_hop(twin: Twin, drive: Drive) -> None:
    client = "203.0.113.10"
    found, failed = drive(
        "fenn",
        f"""
        names = ({client!r}, "no.such.host.invalid")
        result = [driver.traceroute(name, timeout=1) for name in names]
        """,
    )
    hops = {
        number: {probe["ip_address"] for probe in hop["probes"].values()}
        for number, hop in found["success"].items()
    }
    assert hops == {"1": {"10.4.0.1"}, "2": {client}}
    probes = [probe for hop in found["success"].values() for probe in hop["probes"].values()]
    assert len(probes) == 6
    assert all(0 < probe["rtt"] < 1000 for probe in probes)
    assert "no.such.host.invalid" in failed["error"]


def test_a_program_that_is_not_there_is_named(twin: Twin, drive: Drive) -> None:
    links = "traceroute traceroute.sbin"  # Debian's ways to the program, in /etc/alternatives
    away = f"mkdir /run/away && cd /etc/alternatives && mv {links} /run/away"
    assert twin.exec("fenn", ["sh", "-c", away]).returncode == 0
    try:
        found = drive("fenn", "result = driver.traceroute('10.4.0.1')")
    finally:
        back = f"cd /run/away && mv {links} /etc/alternatives && rmdir /run/away"
        assert twin.exec("fenn", ["sh", "-c", back]).returncode == 0
    assert found == {"error": "traceroute is not installed on fenn"}


def test_a_host_with_bgpd_down_has_no_neighbors(twin: Twin, drive: Drive) -> None:
    twin.exec("fenn", ["systemctl", "stop", "frr"])
    try:
        found = drive(
            "fenn", "result = [driver.get_bgp_neighbors(), driver.is_alive(), driver.get_facts()]"
        )
    finally:
        twin.exec("fenn", ["systemctl", "start", "frr"])
        twin.wait()

    assert found[:2] == [{}, {"is_alive": False}]
    assert found[2]["os_version"] == "Unknown"


def test_nornir_napalm_reads_through_it(twin: Twin, network: Network) -> None:
    program = """
import json
from nornir import InitNornir
from nornir_napalm.plugins.tasks import napalm_get

nornir = InitNornir(config_file="config.yaml", logging={"enabled": False})
nornir = nornir.filter(filter_func=lambda host: host.name in {"fenn", "router"})
for host in nornir.inventory.hosts.values():
    host.platform, host.username = "frr", "root"
found = nornir.run(napalm_get, getters=["bgp_neighbors"])
print(json.dumps({name: found[name][0].result["bgp_neighbors"] for name in found}))
"""
    done = twin.run([sys.executable, "-c", program])

    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    neighbors = {str(node.address) for node in network.bgp_neighbors}
    assert found["router"]["global"]["peers"].keys() == neighbors
    assert found["fenn"]["global"]["peers"].keys() == {"10.4.0.1"}


# -- what it does ------------------------------------------------------------------------

_MERGE = "ip prefix-list NAPALM seq 5 permit 10.9.0.0/16 le 24\n"


def test_a_merge_is_compared_committed_and_rolled_back(host: str, twin: Twin, drive: Drive) -> None:
    sessions, startup, running = _resets(twin, host), _file(twin, host), _running(twin, host)
    found = drive(
        host,
        f"""
        driver.load_merge_candidate(config={_MERGE!r})
        result = [driver.compare_config(), driver.get_config(retrieve="candidate")["candidate"]]
        """,
    )
    assert found == [f"+{_MERGE.strip()}", _MERGE]
    assert (_file(twin, host), _running(twin, host)) == (startup, running)

    drive(
        host,
        f"""
        driver.load_merge_candidate(config={_MERGE!r})
        driver.commit_config(message="it's a test")
        result = driver.compare_config()
        """,
    )
    assert _MERGE in _running(twin, host)
    assert _MERGE in _file(twin, host)

    # another process, as the operator's next command would be; twice is as good as once
    drive(host, "driver.rollback(); driver.rollback(); result = None")

    assert _running(twin, host) == running
    assert _MERGE not in _file(twin, host)
    assert _resets(twin, host) == sessions


def test_a_replacement_says_and_does_only_what_changes(host: str, twin: Twin, drive: Drive) -> None:
    sessions, running = _resets(twin, host), _running(twin, host)
    address = next(iter(sessions))
    old = next(line for line in running.splitlines() if f"{address} description" in line)
    new = f" neighbor {address} description by napalm"
    asn = next(line for line in running.splitlines() if line.startswith("router bgp"))

    diff, unchanged, after = drive(
        host,
        f"""
        driver.load_replace_candidate(config={running!r})
        unchanged = driver.compare_config()
        driver.load_replace_candidate(config={running.replace(old, new)!r})
        diff = driver.compare_config()
        driver.commit_config()
        driver.load_replace_candidate(config={running.replace(old, new)!r})
        result = [diff, unchanged, driver.compare_config()]
        """,
    )

    assert unchanged == after == ""
    assert diff.splitlines() == [f" {asn}", f"-{old}", f" {asn}", f"+{new}"]
    assert new in _running(twin, host)
    assert _resets(twin, host) == sessions


def test_what_nobody_confirms_is_taken_back_by_the_host(
    host: str, twin: Twin, drive: Drive
) -> None:
    sessions, startup, running = _resets(twin, host), _file(twin, host), _running(twin, host)

    pending, errors = drive(
        host,
        f"""
        driver.load_merge_candidate(config={_MERGE!r})
        driver.commit_config(revert_in=12)
        pending = driver.has_pending_commit()
        driver.load_merge_candidate(config="hostname other\\n")
        result = [pending, caught(driver.commit_config, revert_in=60)]
        """,
    )

    assert pending
    assert errors[0] == "CommitError"
    assert "waits to be confirmed" in errors[1]
    assert _MERGE in _running(twin, host)
    assert _file(twin, host) == startup  # a reboot would take it back, too
    # systemd's timers are up to a minute late unless they are told to be exact
    _wait(lambda: _running(twin, host) == running, seconds=30)
    assert _file(twin, host) == startup
    assert _resets(twin, host) == sessions
    after = drive(host, "result = [driver.has_pending_commit(), caught(driver.confirm_commit)]")
    assert after[0] is False
    assert after[1][0] == "CommitError"


def test_what_is_confirmed_stays(host: str, twin: Twin, drive: Drive) -> None:
    drive(
        host,
        f"""
        driver.load_merge_candidate(config={_MERGE!r})
        driver.commit_config(revert_in=20)
        result = None
        """,
    )
    assert _MERGE not in _file(twin, host)

    found = drive(
        host,
        "driver.confirm_commit(); "
        "result = [driver.has_pending_commit(), caught(driver.confirm_commit)]",
    )

    assert found[0] is False
    assert found[1][0] == "CommitError"
    assert _MERGE in _file(twin, host)
    units = twin.exec(host, ["systemctl", "list-timers", "--all", "--quiet"]).stdout.decode()
    assert "napalm" not in units  # nothing is left that could take it back


def test_a_pending_commit_is_rolled_back_at_once(host: str, twin: Twin, drive: Drive) -> None:
    startup, running = _file(twin, host), _running(twin, host)

    pending = drive(
        host,
        f"""
        driver.load_merge_candidate(config={_MERGE!r})
        driver.commit_config(revert_in=300)
        driver.rollback()
        result = driver.has_pending_commit()
        """,
    )

    assert pending is False
    assert _running(twin, host) == running
    assert _file(twin, host) == startup


@pytest.mark.parametrize("host", ["router"], indirect=True)
def test_the_example_of_the_readme_does_what_it_says(host: str, twin: Twin) -> None:
    readme = Path(napalm_frr.__file__).with_name("README.md").read_text()
    example = readme.split("```python\n")[1].split("```")[0]

    done = twin.run([sys.executable, "-c", example])

    assert done.returncode == 0, done.stderr.decode()
    assert b"+ip prefix-list LAB seq 5 permit 10.9.0.0/16" in done.stdout
    assert "ip prefix-list LAB seq 5 permit 10.9.0.0/16" in _file(twin, host)


def test_what_is_no_configuration_is_refused_when_loaded(twin: Twin, drive: Drive) -> None:
    merge, replace, nothing, missing, left = drive(
        "fenn",
        """
        bad = "router bgp 64501\\n neighbour 10.4.0.1 remote-as 64500\\n"
        result = [
            caught(driver.load_merge_candidate, config=bad),
            caught(driver.load_replace_candidate, config=bad),
            caught(driver.load_merge_candidate),
            caught(driver.load_merge_candidate, filename="/nonexistent"),
            driver.compare_config(),
        ]
        """,
    )

    assert merge[0] == "MergeConfigException"
    assert "line 2: % Unknown command" in merge[1]
    assert replace[0] == "ReplaceConfigException"
    assert nothing[0] == missing[0] == "MergeConfigException"
    assert left == ""


def test_what_frr_refuses_is_taken_back_at_once(host: str, twin: Twin, drive: Drive) -> None:
    sessions, startup, running = _resets(twin, host), _file(twin, host), _running(twin, host)

    refused = drive(
        host,
        f"""
        text = {_MERGE!r} + "router bgp 64999\\n neighbor 10.4.0.77 remote-as 64500\\n"
        driver.load_merge_candidate(config=text)
        result = [caught(driver.commit_config, revert_in=revert_in) for revert_in in (None, 300)]
        result.append(driver.has_pending_commit())
        """,
    )

    assert [error[0] for error in refused[:2]] == ["CommitError", "CommitError"]
    assert "AS is 6450" in refused[0][1]
    assert refused[2] is False
    assert (_file(twin, host), _running(twin, host)) == (startup, running)
    assert _resets(twin, host) == sessions


_WORSE = "router bgp 64999\n neighbor 10.4.0.77 remote-as 64500\n"


def _fail_to_arm(twin: Twin, host: str) -> None:
    script = "printf '#!/bin/sh\\nexit 1\\n' >/usr/local/bin/systemd-run"
    done = twin.exec(host, ["sh", "-c", f"{script} && chmod 755 /usr/local/bin/systemd-run"])
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("host", ["router"], indirect=True)
@pytest.mark.parametrize("kind", ["refused", "not armed", "not confirmed"])
def test_a_commit_that_came_to_nothing_leaves_the_way_back_from_the_one_before(
    host: str, kind: str, twin: Twin, drive: Drive
) -> None:
    running = _running(twin, host)
    text, revert_in = {
        "refused": (_WORSE, None),
        "not armed": ("hostname other\n", 300),
        "not confirmed": ("hostname other\n", 1),
    }[kind]
    if kind == "not armed":
        _fail_to_arm(twin, host)
    try:
        error = drive(
            host,
            f"""
            driver.load_merge_candidate(config={_MERGE!r})
            driver.commit_config()
            driver.load_merge_candidate(config={text!r})
            result = caught(driver.commit_config, revert_in={revert_in})
            """,
        )
    finally:
        twin.exec(host, ["rm", "-f", "/usr/local/bin/systemd-run"])
    assert (error is None) == (kind == "not confirmed")
    pending = "result = driver.has_pending_commit()"
    _wait(lambda: drive(host, pending) is False, seconds=30)
    assert _MERGE in _running(twin, host)

    drive(host, "driver.rollback(); result = None")

    assert _running(twin, host) == running
    assert _MERGE not in _file(twin, host)


def test_a_refused_first_commit_leaves_nothing_to_roll_back_to(host: str, drive: Drive) -> None:
    found = drive(
        host,
        f"""
        driver.load_merge_candidate(config={_WORSE!r})
        result = [caught(driver.commit_config), caught(driver.rollback)]
        """,
    )
    assert [error[0] for error in found] == ["CommitError", "CommitError"]
    assert "nothing to roll back to" in found[1][1]


def test_a_commit_needs_a_candidate_and_a_rollback_a_commit(twin: Twin, drive: Drive) -> None:
    found = drive("velaryon", "result = [caught(driver.commit_config), caught(driver.rollback)]")

    assert [error[0] for error in found] == ["CommitError", "CommitError"]


@pytest.fixture
def reader(twin: Twin) -> Iterator[str]:
    """Return a user on fenn who may read FRR, and run a shell as root by sudo."""
    name = "napalm"
    script = f"""
        useradd --create-home --shell /bin/sh --groups frrvty {name} &&
        mkdir -m 700 /home/{name}/.ssh && cat >/home/{name}/.ssh/authorized_keys &&
        chown -R {name}: /home/{name}/.ssh &&
        echo '{name} ALL=(root) NOPASSWD: /usr/bin/sh' >/etc/sudoers.d/{name}
    """
    key = twin.run(["sh", "-c", "cat ~/.ssh/id_ed25519.pub"]).stdout
    done = twin.exec("fenn", ["sh", "-c", script], stdin=key)
    assert done.returncode == 0, done.stderr.decode()
    yield name
    twin.exec("fenn", ["sh", "-c", f"rm /etc/sudoers.d/{name}; userdel --remove {name}"])


def test_a_member_of_frrvty_reads_and_does_not_configure(
    twin: Twin, drive: Drive, reader: str
) -> None:
    neighbors, refused = drive(
        "fenn",
        f"""
        neighbors = driver.get_bgp_neighbors()["global"]["peers"]
        driver.load_merge_candidate(config={_MERGE!r})
        result = [neighbors, caught(driver.commit_config)]
        """,
        user=reader,
    )

    assert neighbors["10.4.0.1"]["is_up"] is True
    assert refused[0] == "CommitError"
    assert "Permission denied" in refused[1]
    assert _MERGE not in _running(twin, "fenn")


@pytest.mark.parametrize("host", ["fenn"], indirect=True)
def test_with_sudo_a_user_configures(host: str, twin: Twin, drive: Drive, reader: str) -> None:
    drive(
        host,
        f"""
        driver.load_merge_candidate(config={_MERGE!r})
        driver.commit_config()
        result = None
        """,
        user=reader,
        options={"use_sudo": True},
    )

    assert _MERGE in _running(twin, host)


# -- who it speaks to --------------------------------------------------------------------


def test_another_host_key_is_refused(twin: Twin) -> None:
    twin.break_("hostkey", "fenn")

    assert _opening(twin, "fenn") == "ConnectionException"


def test_an_unknown_user_is_refused(twin: Twin) -> None:
    assert _opening(twin, "fenn", user="nobody") == "ConnectAuthError"


def test_another_key_of_the_user_is_refused(twin: Twin) -> None:
    twin.run(["sh", "-c", "ssh-keygen -q -t ed25519 -N '' -f ~/other"])

    assert _opening(twin, "fenn", options={"key_file": "~/other"}) == "ConnectAuthError"
    assert _opening(twin, "fenn", options={"key_file": "~/.ssh/id_ed25519"}) == ""


def test_only_the_known_hosts_that_are_named_are_known(twin: Twin) -> None:
    twin.run(["sh", "-c", "grep ^router ~/.ssh/known_hosts >~/known"])
    options = {"known_hosts": "~/known"}

    assert _opening(twin, "router", options=options) == ""
    assert _opening(twin, "fenn", options=options) == "ConnectionException"


def test_a_dead_host_is_no_hang(twin: Twin) -> None:
    assert _opening(twin, "10.4.0.99", timeout=2) in {"ConnectionException", "ConnectTimeoutError"}


def test_host_keys_are_checked_whatever_the_ssh_configuration_says(twin: Twin) -> None:
    options = {"ssh_config_file": "/run/home/lax"}
    lines = b"StrictHostKeyChecking no\nUserKnownHostsFile none\n"
    twin.run(["sh", "-c", "cat >/run/home/lax"], stdin=lines)

    assert _opening(twin, "fenn", options=options) == "ConnectionException"


def _opening(
    twin: Twin,
    host: str,
    user: str = "root",
    timeout: int = 20,
    options: dict[str, Any] | None = None,
) -> str:
    """Return the kind of error that opening ends in."""
    program = f"""
from napalm import get_network_driver
driver = get_network_driver("frr")({host!r}, {user!r}, "", {timeout}, {options or {}!r})
try:
    driver.open()
except Exception as error:
    print(type(error).__name__)
"""
    done = twin.run([sys.executable, "-c", program])
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()
