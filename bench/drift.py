#!/usr/bin/env python3
"""Compare ways to look at the same hosts for the same files, side by side, on a twin. Needs root.

    bench/drift.py                          the shipped network
    bench/drift.py --hosts 100 --only goldentooth-net,asyncssh

Each run is a whole process, begun cold, on the operator's machine of a twin of its own; the
contenders take turns (A B C A B C). Before that each has to find the one file that was changed by
hand, and nothing else. asyncssh, Netmiko and Ansible look at the files alone. goldentooth-net
renders what is intended, and reads running state, owner, mode and the record of what was applied as
well; asyncssh-same-reads reads all that, too, but looks at the files only. An OPNsense router has
no files and is nobody's but goldentooth-net's, which asks it through its API: `same hosts` is
goldentooth-net without it. What the hosts themselves spend is counted by their control groups;
some of it is what they do anyway. Nothing here is a test: no figure is right or wrong.
"""

from __future__ import annotations

import argparse
import json
import os
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
from goldentooth.applied import FOLDER
from goldentooth.survey import host_intents
from goldentooth.twin import Twin, remove_twin
from goldentooth.twin.cgroup import TOP, hierarchies
from goldentooth.twin.plan import OPERATOR

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


def _same_hosts(scratch: Path) -> Sequence[str | Path]:
    hosts = json.loads((scratch / "files.json").read_bytes())
    return (*_goldentooth(scratch), *(word for host in hosts for word in ("--host", host["name"])))


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
    Contender(
        "asyncssh-same-reads",
        "a bare loop, one exec a host for all that drift reads: the floor of that",
        _script("drift_same_reads.py"),
    ),
    Contender("goldentooth-net", "this project: drift", _goldentooth),
    Contender("same hosts", "this project: drift of the hosts that have files", _same_hosts),
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
    intents = host_intents(project.network, project.services(), report.hosts)
    hosts: dict[str, dict[str, Any]] = {}
    for entry in manifest["artifacts"]:
        if entry["scope"] == "host" and not entry["secrets"]:
            address = str(project.network.nodes[entry["host"]].address)
            intent = intents[entry["host"]]
            record = (f"{FOLDER}/state.json", f"{FOLDER}/deployments/twin/record")
            reads = {"paths": [*intent.paths, *record], "reads": intent.commands}
            host = hosts.setdefault(
                entry["host"], {"name": entry["host"], "address": address, "files": {}, **reads}
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
    before = spent_by_hosts(twin)
    done = twin.run([str(word) for word in (*stopwatch, *command)])
    spent = spent_by_hosts(twin) - before
    if done.returncode not in {0, 1} or b"Traceback" in done.stderr:
        sys.exit(f"{command[0]}: {done.stdout.decode()}{done.stderr.decode()}")
    took: dict[str, Any] = json.loads(report.read_bytes())
    took["hosts_cpu_seconds"] = spent
    return took, done.stdout.decode()


def spent_by_hosts(twin: Twin) -> float:
    """Return the processor time of all hosts since they were booted, in seconds.

    The operator's machine, which the contenders run on, is none of them. 0 where the kernel has
    no control groups of version 2, which count it whether or not anything is limited by them.
    """
    groups = hierarchies().get("unified", Path("/nowhere")) / TOP / NAME
    found = (groups / name / "cpu.stat" for name in twin.machines if name != OPERATOR)
    lines = (file.read_text().split() for file in found if file.exists())
    return sum(int(line[line.index("usage_usec") + 1]) for line in lines) / 1e6


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
        if not network.router.is_opnsense:
            able = [one for one in able if one.command is not _same_hosts]  # it would be once more
        try:
            twin = Twin.up(network, scratch / "build", name=NAME, timeout=600)
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
    header = ("", "median s", "fastest", "CPU s", "hosts' CPU", "peak MB", "x floor", "x reads")
    print(f"{header[0]:20}" + "".join(f"{title:>10}" for title in header[1:]))
    median = {
        name: statistics.median(one["seconds"] for one in took)
        for name, took in found["contenders"].items()
    }
    floor, reads = median.get("asyncssh"), median.get("asyncssh-same-reads")
    for name, took in sorted(found["contenders"].items(), key=lambda item: median[item[0]]):
        figures = (
            f"{median[name]:.2f}",
            f"{min(one['seconds'] for one in took):.2f}",
            f"{statistics.median(one['cpu_seconds'] for one in took):.2f}",
            f"{statistics.median(one['hosts_cpu_seconds'] for one in took):.2f}",
            f"{max(one['peak_bytes'] for one in took) / 1e6:.0f}",
            f"{median[name] / floor:.2f}" if floor else "-",
            f"{median[name] / reads:.2f}" if reads else "-",
        )
        print(f"{name:20}" + "".join(f"{figure:>10}" for figure in figures))


def main() -> None:
    """Measure, print, and write JSON if asked."""
    for name in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"):
        os.environ.pop(name, None)  # compiled modules are kept, as they are for nearly everybody
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="\n".join(f"{one.name:20} {one.missing or one.what}" for one in ALL),
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
