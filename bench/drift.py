#!/usr/bin/env python3
"""Compare ways to look at the same hosts for the same files, side by side, on a twin. Needs root.

    bench/drift.py                          the shipped network
    bench/drift.py --hosts 100 --only goldentooth-net,asyncssh

Each run is a whole process, begun cold, on the operator's machine of a twin of its own; the
contenders take turns (A B C A B C). Before that each has to find the one file that was changed by
hand, and nothing else. All but goldentooth-net read the files alone: it reads running state, owner,
mode and the record of what was applied as well, and renders what is intended first. Nothing here is
a test: no figure is right or wrong.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contenders import BENCH, COMPARE, COMPETITORS, CONSOLE, version_of

from goldentooth import open_project
from goldentooth.twin import Twin, remove_twin

FORMAT = "goldentooth-net/bench-drift/1"
NAME = "benchdrift"
ROOT = BENCH.parent
EDITED = "/etc/sysctl.d/60-goldentooth.conf"


@dataclass(frozen=True)
class Contender:
    """One way to look: its command for a site, and what tells that it found the edit."""

    name: str
    what: str
    command: Callable[[Path], Sequence[str | Path]]
    most_hosts: int = 1000
    missing: str = ""


def _goldentooth(scratch: Path) -> Sequence[str | Path]:
    return (CONSOLE, "drift", "--config", (scratch / "config").read_text())


def _script(name: str) -> Callable[[Path], Sequence[str | Path]]:
    return lambda scratch: (sys.executable, COMPETITORS / name, scratch / "files.json")


def _ansible(scratch: Path) -> Sequence[str | Path]:
    options = ("--check", "--diff", "--forks", "20", "--inventory", scratch / "ansible.json")
    settings = scratch / "ansible.cfg"  # empty, so that nobody's own settings count
    settings.touch()
    environment = (f"ANSIBLE_CONFIG={settings}", "ANSIBLE_PIPELINING=True")
    playbook = COMPETITORS / "drift_playbook.yaml"
    return ("/usr/bin/env", *environment, COMPARE / "ansible-playbook", *options, playbook)


ALL = (
    Contender("asyncssh", "a bare loop, one exec a host: the floor", _script("drift_bare.py")),
    Contender("goldentooth-net", "this project: drift", _goldentooth),
    Contender(
        "netmiko",
        "Nornir and Netmiko, a command a file, 20 threads",
        _script("drift_netmiko.py"),
        most_hosts=100,
    ),
    Contender(
        "ansible",
        f"ansible-core {version_of('ansible-core')}, --check --diff, 20 forks, pipelining",
        _ansible,
        most_hosts=20,
        missing="" if (COMPARE / "ansible-playbook").exists() else "see bench/requirements.txt",
    ),
)


def write_inputs(config: Path, scratch: Path) -> int:
    """Write what the contenders start from; return how many files there are."""
    project = open_project(config)
    report = project.render(build=scratch / "build")
    if report.has_failed:
        sys.exit(report.table())
    manifest = json.loads((scratch / "build/manifest.json").read_bytes())
    hosts: dict[str, dict[str, Any]] = {}
    for entry in manifest["artifacts"]:
        if entry["scope"] == "host" and not entry["secrets"]:
            address = str(project.network.nodes[entry["host"]].address)
            host = hosts.setdefault(
                entry["host"], {"name": entry["host"], "address": address, "files": {}}
            )
            host["files"][entry["path"]] = str(scratch / "build" / entry["location"])
    (scratch / "files.json").write_text(json.dumps(list(hosts.values())))
    (scratch / "config").write_text(str(config))
    python = {"ansible_python_interpreter": "/usr/bin/python3", "ansible_user": "root"}
    inventory = {
        name: {"ansible_host": host["address"], "files": host["files"], **python}
        for name, host in hosts.items()
    }
    (scratch / "ansible.json").write_text(json.dumps({"all": {"hosts": inventory}}))
    return sum(len(host["files"]) for host in hosts.values())


def run(twin: Twin, command: Sequence[str | Path], scratch: Path) -> tuple[dict[str, Any], str]:
    """Run ``command`` as the operator; return what it took and what it printed."""
    report = scratch / "took.json"
    stopwatch = (sys.executable, "-I", "-S", BENCH / "stopwatch.py", report)
    done = twin.run([str(word) for word in (*stopwatch, *command)])
    if done.returncode not in {0, 1} or b"Traceback" in done.stderr:
        sys.exit(f"{command[0]}: {done.stdout.decode()}{done.stderr.decode()}")
    took: dict[str, Any] = json.loads(report.read_bytes())
    return took, done.stdout.decode()


def prove(twin: Twin, contenders: Sequence[Contender], scratch: Path) -> None:
    """Change a file on a host by hand; all contenders must name it, and no other."""
    host = json.loads((scratch / "files.json").read_bytes())[0]["name"]
    twin.exec(host, ["cp", "-p", EDITED, "/root/kept"])
    twin.exec(host, ["sh", "-c", f"echo 'net.ipv4.tcp_syncookies = 0' >>{EDITED}"])
    try:
        for contender in contenders:
            _, text = run(twin, contender.command(scratch), scratch)
            if EDITED not in text or host not in text:
                sys.exit(f"{contender.name} does not find {EDITED} on {host}:\n{text}")
    finally:
        twin.exec(host, ["cp", "-p", "/root/kept", EDITED])


def measure(size: int | None, chosen: Sequence[Contender], runs: int) -> dict[str, Any]:
    """Measure all contenders on one network; None is the shipped one."""
    with tempfile.TemporaryDirectory(prefix="bench-drift-") as folder:
        scratch, config = Path(folder), ROOT / "config.yaml"
        if size is not None:
            site = scratch / "site"
            command = [sys.executable, BENCH / "site.py", str(size), "--output", site]
            subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)
            config = site / "config.yaml"
        files = write_inputs(config, scratch)
        network = open_project(config).network
        able = [one for one in chosen if not one.missing and len(network.nodes) <= one.most_hosts]
        try:
            twin = Twin.up(network, scratch / "build", name=NAME, timeout=180)
            prove(twin, able, scratch)
            took: dict[str, list[dict[str, Any]]] = {one.name: [] for one in able}
            for turn in range(runs + 1):
                for one in able:
                    figures, _ = run(twin, one.command(scratch), scratch)
                    if turn:
                        took[one.name].append(figures)
        finally:
            remove_twin(NAME)
    return {"hosts": len(network.nodes), "files": files, "contenders": took}


def print_table(found: dict[str, Any]) -> None:
    """Print one network's figures."""
    print(f"\n{found['hosts']} hosts, {found['files']} files")
    header = ("", "median s", "fastest", "CPU s", "peak MB", "x floor")
    print(f"{header[0]:18}" + "".join(f"{title:>10}" for title in header[1:]))
    median = {
        name: statistics.median(one["seconds"] for one in took)
        for name, took in found["contenders"].items()
    }
    floor = median.get("asyncssh")
    for name, took in sorted(found["contenders"].items(), key=lambda item: median[item[0]]):
        figures = (
            f"{median[name]:.2f}",
            f"{min(one['seconds'] for one in took):.2f}",
            f"{statistics.median(one['cpu_seconds'] for one in took):.2f}",
            f"{max(one['peak_bytes'] for one in took) / 1e6:.0f}",
            f"{median[name] / floor:.2f}" if floor else "-",
        )
        print(f"{name:18}" + "".join(f"{figure:>10}" for figure in figures))


def main() -> None:
    """Measure, print, and write JSON if asked."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="\n".join(f"{one.name:16} {one.missing or one.what}" for one in ALL),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [one.name for one in ALL]
    parser.add_argument("--hosts", type=int, metavar="N", help="a synthetic site of this size")
    parser.add_argument("--runs", type=int, default=7, metavar="N", help="timed runs (default: 7)")
    parser.add_argument(
        "--only", type=lambda text: text.split(","), default=names, metavar="NAME,…"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(names)}")
    chosen = [one for one in ALL if one.name in arguments.only]
    found = measure(arguments.hosts, chosen, arguments.runs)
    print_table(found)
    if arguments.json:
        arguments.json.write_text(json.dumps({"format": FORMAT, **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
