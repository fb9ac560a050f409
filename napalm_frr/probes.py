"""ping(8) and traceroute(8) of Linux: their commands, and what they print, to NAPALM's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from shlex import quote
from typing import Any

_REPLY = re.compile(r"bytes from (\S+?):? icmp_seq=\d+ .*?time=([\d.]+) ms")
_SENT = re.compile(r"(\d+) packets transmitted, (\d+) received")
_TIMES = re.compile(r"= ([\d.]+)/([\d.]+)/([\d.]+)/([\d.]+) ms")

INTERVAL = 0.2
"""Seconds between echo requests: the least that ping lets everybody ask for."""


def ping_command(
    destination: str, source: str, *, ttl: int, timeout: int, size: int, count: int, vrf: str
) -> str:
    """Return the command; ``source`` is an address or an interface."""
    options = f"-n -c {count:d} -i {INTERVAL} -W {timeout:d} -s {size:d} -t {ttl:d}"
    return _command("ping", options, f"-I {quote(source)}" if source else "", destination, vrf)


def traceroute_command(destination: str, source: str, *, ttl: int, timeout: int, vrf: str) -> str:
    """Return the command; names are not looked up, which may take longer than the probes."""
    options = f"-n -m {ttl:d} -w {timeout:d}"
    return _command(
        "traceroute", options, f"-s {quote(source)}" if source else "", destination, vrf
    )


def _command(program: str, options: str, source: str, destination: str, vrf: str) -> str:
    within = f"ip vrf exec {quote(vrf)} " if vrf and vrf not in {"default", "global"} else ""
    words = (f"{within}{program} {options}", source, f"-- {quote(destination)}")
    return " ".join(word for word in words if word)


NOT_FOUND = 127
"""What a shell's status is for a program that is not there (POSIX, Shell Command Language)."""


def missing(program: str, host: str) -> dict[str, str]:
    """Return NAPALM's result where ``program`` is not installed."""
    return {"error": f"{program} is not installed on {host}"}


def read_ping(output: str, complaint: str) -> dict[str, Any]:
    """Return NAPALM's result: times in ms; an error if nothing was sent.

    Without any answer all times are 0, and ``packet_loss``, a number of packets, is all of them.
    """
    sent = _SENT.search(output)
    if not sent:
        return {"error": complaint}
    probes, received = map(int, sent.groups())
    times = _TIMES.search(output)
    least, average, most, deviation = map(float, times.groups() if times else "0000")
    return {
        "success": {
            "probes_sent": probes,
            "packet_loss": probes - received,
            "rtt_min": least,
            "rtt_max": most,
            "rtt_avg": average,
            "rtt_stddev": deviation,
            "results": [
                {"ip_address": address, "rtt": float(time)}
                for address, time in _REPLY.findall(output)
            ],
        }
    }


def read_traceroute(output: str, complaint: str) -> dict[str, Any]:
    r"""Return NAPALM's result: times in ms; a probe without an answer is ``*`` and takes 0.

    >>> read_traceroute("traceroute to 192.0.2.1\n 1  10.4.0.1  0.045 ms *  0.1 ms\n", "")[
    ...     "success"][1]["probes"][3]
    {'rtt': 0.1, 'ip_address': '10.4.0.1', 'host_name': '10.4.0.1'}
    """
    hops = re.findall(r"^ *(\d+) +(.+)$", output, re.MULTILINE)
    if not hops:
        return {"error": complaint}
    return {
        "success": {
            int(number): {"probes": dict(enumerate(_probes(line), start=1))}
            for number, line in hops
        }
    }


def _probes(line: str) -> Iterator[dict[str, Any]]:
    """Yield a hop's probes; an address stands only where it is another than before."""
    address = "*"
    words = re.findall(r"\*|[\d.]+ ms|[0-9A-Fa-f:.]+(?:%\w+)?", line)
    for word in words:
        if word == "*":
            yield {"rtt": 0.0, "ip_address": "*", "host_name": "*"}
        elif word.endswith(" ms"):
            rtt = float(word.removesuffix(" ms"))
            yield {"rtt": rtt, "ip_address": address, "host_name": address}
        else:
            address = word
