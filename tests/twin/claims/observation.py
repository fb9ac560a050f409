"""What the tests of the design's claims look at: kernel routes, daemons' own state, packets."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from goldentooth.twin import Twin

SERVICE = "10.4.11.5"
SERVICE_ADDRESS_UNIT = "stand-in-kube-proxy.service"

Seen = TypeVar("Seen")
Measured = Callable[..., None]
"""The fixture ``measured``: takes figures, one a line."""


def shell(twin: Twin, host: str, command: str) -> str:
    """Return what ``command`` prints on ``host``, where it must succeed."""
    done = twin.exec(host, ["sh", "-c", command])
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{host}: {command}: {said.decode()}"
    return done.stdout.decode()


def succeeds(twin: Twin, host: str, command: str) -> bool:
    """Tell whether ``command`` succeeds on ``host``."""
    return twin.exec(host, ["sh", "-c", command]).returncode == 0


def vtysh(twin: Twin, host: str, *lines: str) -> str:
    """Give FRR on ``host`` the commands ``lines``, and return what it says."""
    done = twin.exec(host, ["vtysh", *(part for line in lines for part in ("-c", line))])
    said = done.stdout.decode()
    assert done.returncode == 0, f"{host}: {said}{done.stderr.decode()}"
    assert "%" not in said, f"{host}: {said}"
    return said


def configure(twin: Twin, host: str, *lines: str) -> None:
    """Change the running configuration of FRR on ``host``."""
    vtysh(twin, host, "configure terminal", *lines)


def kernel_next_hops(twin: Twin, prefix: str) -> set[str]:
    """Return the addresses to which the router's kernel forwards what is for ``prefix``."""
    routes = json.loads(shell(twin, "router", f"ip -j -4 route show {prefix}") or "[]")
    return {
        hop["gateway"]
        for route in routes
        for hop in route.get("nexthops", [route])
        if "gateway" in hop
    }


def bgp_peers(twin: Twin, host: str) -> dict[str, Any]:
    """Return the BGP sessions of ``host`` as its daemon sees them, by neighbor address."""
    return json.loads(vtysh(twin, host, "show bgp ipv4 unicast summary json")).get("peers", {})


def ask_haproxy(twin: Twin, command: str) -> str:
    """Return what HAProxy's runtime API on allyrion answers to ``command``."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(twin.machine("allyrion").path("/run/haproxy/admin.sock")))
        connection.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def on_all(hosts: Iterable[str], look: Callable[[str], Seen]) -> dict[str, Seen]:
    """Return what ``look`` sees on each of ``hosts``, looked at together."""
    names = list(hosts)
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(names, pool.map(look, names), strict=True))


def wait_until(is_so: Callable[[], bool], seconds: float, pause: float = 0.02) -> float:
    """Wait until ``is_so``, at most ``seconds``, and return how many seconds it took."""
    start = time.monotonic()
    while not is_so():
        assert time.monotonic() - start < seconds, f"not so after {seconds} s"
        time.sleep(pause)
    return time.monotonic() - start


def packets(file: Path, *options: str) -> list[str]:
    """Return what tcpdump(8) prints of a capture, MAC addresses included; the file is removed."""
    command = ["tcpdump", "-nn", "-tt", "-e", *options, "-r", str(file)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    file.unlink()
    return lines


# -- steady probes -------------------------------------------------------------------------

_ASK = r"""
import asyncio, ssl, sys, threading, time

address, port, interval, limit, count, source = sys.argv[1:7]
tls = None
if sys.argv[7:] == ["tls"]:
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
told_to_end = threading.Event()

async def ask():
    start = time.time()
    try:
        async with asyncio.timeout(float(limit)):
            local = (source, 0) if source != "-" else None
            reader, writer = await asyncio.open_connection(
                address, int(port), ssl=tls, local_addr=local)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            answer = (await reader.read()).split() or [b"!closed"]
            writer.close()
            by = answer[-1].decode()
    except (OSError, TimeoutError) as error:
        by = "!" + type(error).__name__
    print(start, time.time() - start, by, flush=True)

async def main():
    tasks = []
    while not told_to_end.is_set() and (count == "0" or len(tasks) < int(count)):
        tasks.append(asyncio.create_task(ask()))
        await asyncio.sleep(float(interval))
    await asyncio.gather(*tasks)

threading.Thread(target=lambda: (sys.stdin.read(), told_to_end.set()), daemon=True).start()
asyncio.run(main())
"""


@dataclass(frozen=True)
class Answer:
    """One request: when it began (seconds of the clock), how long it took, who answered.

    ``by`` begins with ``!`` if nobody did, and then says why.
    """

    at: float
    took: float
    by: str

    @property
    def is_good(self) -> bool:
        """Whether a host answered."""
        return not self.by.startswith("!")


@dataclass(frozen=True)
class Answers:
    """The answers to a steady stream of requests, each a connection of its own."""

    all: tuple[Answer, ...]

    def between(self, start: float, end: float = float("inf")) -> Answers:
        """Return those of requests that began from ``start`` to ``end``."""
        return Answers(tuple(answer for answer in self.all if start <= answer.at < end))

    @property
    def lost(self) -> tuple[Answer, ...]:
        """The requests that nobody answered."""
        return tuple(answer for answer in self.all if not answer.is_good)

    @property
    def by(self) -> Counter[str]:
        """How many each host answered."""
        return Counter(answer.by for answer in self.all if answer.is_good)

    @property
    def outage(self) -> float:
        """Seconds from the beginning of the first lost request to that of the last."""
        return self.lost[-1].at - self.lost[0].at if self.lost else 0.0

    def __str__(self) -> str:
        why = Counter(answer.by[1:] for answer in self.lost)
        reasons = f" ({', '.join(f'{count} {kind}' for kind, count in why.items())})" if why else ""
        slowest = max((answer.took for answer in self.all if answer.is_good), default=0.0)
        return (
            f"{len(self.all)} requests, {len(self.lost)} lost{reasons} over"
            f" {self.outage * 1000:.0f} ms, slowest answer {slowest * 1000:.0f} ms"
        )


class Requests:
    """Requests at a steady pace from one machine of the twin, while the block runs.

    ``source`` is the address that they come from, ``limit`` the seconds after which a request
    counts as lost.
    """

    def __init__(
        self,
        twin: Twin,
        *,
        host: str = "client",
        address: str = SERVICE,
        port: int = 80,
        interval: float = 0.02,
        limit: float = 1,
        count: int = 0,
        source: str = "-",
        tls: bool = False,
    ) -> None:
        options = [address, port, interval, limit, count, source, *(["tls"] if tls else [])]
        script = ["/usr/bin/python3", "-I", "-S", "-c", _ASK, *map(str, options)]
        self._process = subprocess.Popen(
            twin.machine(host).command(script),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # what is read ahead is lost to communicate()
            start_new_session=True,
        )
        self._answers: Answers | None = None
        self._first = self._process.stdout.readline()  # it is at work from here on

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.answers()

    def wait(self) -> Answers:
        """Return the answers once all ``count`` are there."""
        self._process.wait()
        return self.answers()

    def answers(self) -> Answers:
        """End it and return all answers, in the order in which the requests began."""
        if self._answers is None:
            rest, _ = self._process.communicate()
            lines = [line.split() for line in (self._first + rest).decode().splitlines()]
            found = [Answer(float(at), float(took), by) for at, took, by in lines]
            self._answers = Answers(tuple(sorted(found, key=lambda answer: answer.at)))
        return self._answers


def ask(twin: Twin, count: int, **options: Any) -> Answers:
    """Ask ``count`` times, one request every 5 ms, and return the answers."""
    return Requests(twin, **{"interval": 0.005, **options}, count=count).wait()


class Ping:
    """Echo requests from the client to the service address, one every 10 ms."""

    INTERVAL = 0.01

    def __init__(self, twin: Twin) -> None:
        self._process = subprocess.Popen(
            twin.machine("client").command(["ping", "-n", "-D", "-i", str(self.INTERVAL), SERVICE]),
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._said = b""

    def __enter__(self) -> Self:
        self._said = self._process.stdout.readline()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            self._said += self._process.communicate()[0]

    @property
    def sent_and_received(self) -> tuple[int, int]:
        """How many packets, once the block is left."""
        counts = re.search(rb"(\d+) packets transmitted, (\d+) received", self._said)
        return int(counts[1]), int(counts[2])

    @property
    def silence(self) -> float:
        """Milliseconds of the longest time without an answer, once the block is left."""
        times = [float(at) for at in re.findall(rb"(?m)^\[([\d.]+)\].* bytes from", self._said)]
        return 1000 * max(after - before for before, after in itertools.pairwise(times))

    def __str__(self) -> str:
        sent, received = self.sent_and_received
        return (
            f"{sent} echo requests, {sent - received} lost, longest silence {self.silence:.0f} ms"
        )


def node_of_pings(twin: Twin) -> str:
    """Return the node to which the router sends the client's echo requests, from packets."""
    with twin.capture("router", expression="icmp[icmptype] = icmp-echo", interface="eth0") as seen:
        shell(twin, "client", f"ping -c 3 -i 0.01 {SERVICE}")
    macs = {line.split()[3].rstrip(",") for line in packets(seen.file)}
    assert len(macs) == 1, macs
    mac = macs.pop()
    return next(
        name for name, machine in twin.machines.items() if machine.record.links[0].mac == mac
    )
