"""The API's load balancer: its file, and the real HAProxy that runs from it."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldentooth.check import Output
from goldentooth.model import Network
from goldentooth.observation import Seen, Verdict
from goldentooth.services.haproxy import HaproxyLoaded
from tests.namespaces import Namespace, eventually, namespaces, needs, needs_root, run_judge
from tests.sites import Site

FILE = "allyrion/etc/haproxy/haproxy.cfg"
needs_haproxy = needs("haproxy", "haproxy")


def test_the_frontend_is_the_endpoint_of_the_facts(site: Site, network: Network) -> None:
    text = site.text(FILE)
    assert f"frontend kubernetes-api\n    bind {network.endpoint}\n" in text


def test_every_control_plane_is_a_server_and_nobody_else(site: Site, network: Network) -> None:
    servers = re.findall(r"^    server (\S+) (\S+)$", site.text(FILE), re.MULTILINE)
    assert servers == [(node.name, f"{node.address}:6443") for node in network.control_planes]


def test_the_port_of_the_api_is_stated_once(site: Site) -> None:
    text = site.edit("inventory/defaults.yaml", "api_port: 6443", "api_port: 7443").text(FILE)
    assert text.count(":7443\n") == 4
    assert "6443" not in text


def test_checks_and_balance_follow_the_facts(site: Site) -> None:
    text = site.text(FILE)
    assert "    balance roundrobin\n    option tcp-check\n" in text
    assert "    default-server check inter 2s fall 3 rise 2 tcp-ut 25s\n" in text


def test_idle_api_streams_are_kept_for_hours(site: Site) -> None:
    text = site.text(FILE)
    assert "    timeout client 4h\n    timeout server 4h\n" in text
    assert "timeout tunnel" not in text
    site.edit(
        "inventory/defaults.yaml", "      server: 4h\n", "      server: 4h\n      tunnel: 1d\n"
    )
    assert "    timeout tunnel 1d\n" in site.text(FILE)


def test_the_statistics_page_is_there_only_if_the_facts_ask(site: Site) -> None:
    assert "stats enable" not in site.text(FILE)
    site.add_fact("haproxy", "stats: {port: 9404}")
    assert "frontend statistics\n    mode http\n    bind 10.4.0.10:9404\n" in site.text(FILE)


@needs_haproxy
def test_haproxy_accepts_the_file(site: Site) -> None:
    site.add_fact("haproxy", "stats: {port: 9404}")
    site.project().render(services=["haproxy"])
    done = run_judge("haproxy", "-c", "-f", site.build / FILE)
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout


@needs_haproxy
@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("balance roundrobin", "balance roundrobbin"),
        ("default_backend control-planes", "default_backend nobody"),
        ("fall 3", "fall -3"),
    ],
)
def test_haproxy_rejects_a_broken_file(site: Site, tmp_path: Path, good: str, bad: str) -> None:
    text = site.text(FILE)
    assert good in text
    broken = tmp_path / "haproxy.cfg"
    broken.write_text(text.replace(good, bad))
    assert run_judge("haproxy", "-c", "-f", broken).returncode != 0


# -- what runs is what is in the file -----------------------------------------------------


@pytest.mark.parametrize(
    ("started", "changed", "is_loaded"),
    [
        ("1795804989.31", "1795804988.9", True),
        ("1795804989.31", "1795804989.30", True),
        ("1795804989.31", "1795804989.32", False),
        ("1795804989.31", "1795808589.0", False),
        ("1795804989.31", "0", True),  # it is missing, which is another finding
    ],
)
def test_a_file_that_changed_after_the_start_is_not_loaded_within_the_second_too(
    started: str, changed: str, *, is_loaded: bool
) -> None:
    loaded = HaproxyLoaded()
    (read,) = loaded.reads()
    printed = f"Name: HAProxy\nPid: 51\n\nProcess_started: {started}\nFile_changed: {changed}\n"
    difference = loaded.compare(Seen({}, {}, {read: Output(printed.encode())}))
    assert (difference is None) is is_loaded
    if difference:
        assert difference.verdict is Verdict.NOT_LOADED


# -- the real thing ----------------------------------------------------------------------

SERVER = """
import socketserver, sys

class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(sys.argv[1].encode())

socketserver.ThreadingTCPServer.allow_reuse_address = True
with socketserver.ThreadingTCPServer((sys.argv[2], 6443), Answer) as server:
    server.serve_forever()
"""
CLIENT = """
import socket, sys

with socket.create_connection((sys.argv[1], 6443), timeout=5) as connection:
    print(connection.makefile().read())
"""


@pytest.fixture
def running(site: Site) -> Iterator[Running]:
    """Run HAProxy from the rendered file, with the control planes, in one namespace."""
    site.edit("inventory/defaults.yaml", "interval: 2s", "interval: 100ms")
    site.add_fact("haproxy", "stats: {port: 9404}")
    site.project().render(services=["haproxy"])
    with namespaces(1) as (namespace,), tempfile.TemporaryDirectory() as folder:
        yield Running(namespace, site.build / FILE, Path(folder))


class Running:
    """HAProxy and its three servers."""

    def __init__(self, namespace: Namespace, config: Path, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder
        for number in range(10, 14):
            namespace.run("ip", "address", "add", f"10.4.0.{number}/32", "dev", "lo")
        self.servers = {
            name: namespace.start(sys.executable, "-c", SERVER, name, f"10.4.0.{number}")
            for name, number in (("bettley", 11), ("cargyll", 12), ("dalt", 13))
        }
        # only where it keeps its socket differs from the file that is deployed
        started = folder / "haproxy.cfg"
        text = config.read_text()
        assert text.count("/run/haproxy/") == 1
        started.write_text(text.replace("/run/haproxy/", f"{folder}/"))
        namespace.start("/usr/sbin/haproxy", "-db", "-f", str(started))
        eventually(lambda: {self.state(name) for name in self.servers} == {"UP"})

    def ask(self) -> str:
        """Return the name of the server that answers a client of the endpoint."""
        return self.namespace.run(sys.executable, "-c", CLIENT, "10.4.0.10").stdout.strip()

    def fetch(self, url: str) -> tuple[int, str]:
        program = (
            "import sys, urllib.request, urllib.error\n"
            "try: answer = urllib.request.urlopen(sys.argv[1], timeout=5)\n"
            "except urllib.error.HTTPError as error: answer = error\n"
            "print(answer.status); print(answer.read().decode())"
        )
        done = self.namespace.run(sys.executable, "-c", program, url, check=False)
        status, _, body = done.stdout.partition("\n")
        return int(status or 0), body

    def state(self, server: str) -> str | None:
        _, body = self.fetch("http://10.4.0.10:8405/metrics")
        pattern = (
            rf'^haproxy_server_status{{proxy="control-planes",server="{server}",state="(\w+)"}} 1$'
        )
        found = re.search(pattern, body, re.MULTILINE)
        return found[1] if found else None


@needs_root
@needs_haproxy
def test_connections_go_round_the_control_planes(running: Running) -> None:
    answers = [running.ask() for _ in range(6)]
    assert sorted(answers) == sorted([*running.servers] * 2)
    assert answers[:3] == answers[3:]


@needs_root
@needs_haproxy
def test_only_the_metrics_and_the_statistics_are_served(running: Running) -> None:
    status, body = running.fetch("http://10.4.0.10:8405/metrics")
    assert status == 200
    assert "\nhaproxy_process_uptime_seconds " in body
    assert running.fetch("http://10.4.0.10:8405/")[0] == 404
    status, body = running.fetch("http://10.4.0.10:9404/")
    assert status == 200
    assert "Statistics Report" in body


@needs_root
@needs_haproxy
def test_a_dead_control_plane_is_taken_out_and_taken_back(running: Running) -> None:
    dead = running.servers["cargyll"]
    dead.terminate()
    dead.wait(5)
    eventually(lambda: running.state("cargyll") == "DOWN", 10)
    assert {running.ask() for _ in range(4)} == {"bettley", "dalt"}
    running.servers["cargyll"] = running.namespace.start(
        sys.executable, "-c", SERVER, "cargyll", "10.4.0.12"
    )
    eventually(lambda: running.state("cargyll") == "UP", 10)
    assert "cargyll" in {running.ask() for _ in range(3)}


STREAM = """
import socket, sys

def say(text):
    with open(sys.argv[2], "a") as file:
        file.write(text + "\\n")

with socket.create_connection((sys.argv[1], 6443), timeout=30) as connection:
    say(connection.recv(100).decode())
    connection.recv(100)  # nothing comes: only its end is waited for
    say("ended")
"""


@needs_root
@needs_haproxy
def test_no_connection_is_lost_while_a_control_plane_dies(running: Running) -> None:
    """Not yet marked down, it is still chosen: such a connection is tried again elsewhere."""
    dead = running.servers["cargyll"]
    dead.terminate()
    dead.wait(5)
    answers = [running.ask() for _ in range(6)]
    assert set(answers) == {"bettley", "dalt"}


@needs_root
@needs_haproxy
def test_a_silent_stream_ends_when_its_server_is_gone(running: Running) -> None:
    """A host without power closes nothing: a watch on it would be silent for hours."""
    for server in running.servers.values():
        server.terminate()
        server.wait(5)
    running.namespace.start(sys.executable, "-c", SILENT, "10.4.0.12")
    eventually(lambda: running.state("cargyll") == "UP", 10)
    seen = running.folder / "stream"
    running.namespace.start(sys.executable, "-c", STREAM, "10.4.0.10", str(seen))
    eventually(lambda: seen.exists() and seen.read_text() == "hello\n")
    running.namespace.run("nft", "add", "table", "ip", "lost")
    chain = "{ type filter hook input priority 0; }"
    running.namespace.run("nft", "add", "chain", "ip", "lost", "input", chain)
    for match in (["daddr"], ["saddr"]):
        gone = ["ip", *match, "10.4.0.12", "drop"]
        running.namespace.run("nft", "add", "rule", "ip", "lost", "input", *gone)
    eventually(lambda: seen.read_text() == "hello\nended\n", 40)


SILENT = """
import socket, sys, threading

server = socket.create_server((sys.argv[1], 6443))
held = []
while True:
    connection, _ = server.accept()
    connection.sendall(b"hello")
    held.append(connection)
"""
