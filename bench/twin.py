#!/usr/bin/env python3
"""Measure the twin: up and verified, memory, down. Needs root.

    bench/twin.py                      the shipped network, then 100 hosts
    bench/twin.py --hosts 50 --runs 3  a synthetic site (bench/site.py)

Every figure is of a whole process, begun cold. Nothing here is a test: no figure is right or
wrong.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BENCH = Path(__file__).parent
ROOT = BENCH.parent
CONSOLE = Path(sys.executable).with_name("goldentooth-net")
NAME = "bench"
MIB = 1024 * 1024


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hosts", type=int, help="a synthetic site of this size only")
    parser.add_argument("--runs", type=int, default=3, help="of each size (default: 3)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    sizes = [arguments.hosts] if arguments.hosts else [None, 100]
    found = [measure(size, arguments.runs) for size in sizes]
    header = ("hosts", "runs", "up s", "fastest", "MiB", "MiB/host", "down s")
    print("".join(f"{title:>10}" for title in header))
    for row in found:
        up, down = row["up_seconds"], row["down_seconds"]
        mebibytes = row["memory"] / MIB
        figures = (
            f"{row['hosts']}",
            f"{len(up)}",
            f"{statistics.median(up):.1f}",
            f"{min(up):.1f}",
            f"{mebibytes:.0f}",
            f"{mebibytes / row['hosts']:.1f}",
            f"{statistics.median(down):.2f}",
        )
        print("".join(f"{figure:>10}" for figure in figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def measure(size: int | None, runs: int) -> dict[str, Any]:
    """Bring a twin up and down ``runs`` times; None is the shipped network."""
    with tempfile.TemporaryDirectory(prefix="bench-twin-") as folder:
        config = ROOT / "config.yaml"
        if size is not None:
            site = Path(folder) / "site"
            command = [sys.executable, BENCH / "site.py", str(size), "--output", site]
            subprocess.run([*map(str, command)], check=True, stdout=subprocess.DEVNULL)
            config = site / "config.yaml"
        up, down, memory, hosts = [], [], 0, 0
        for _ in range(runs):
            try:
                up.append(_timed("twin", "up", "--name", NAME, "--timeout", "180", config=config))
                status = json.loads(_output("twin", "status", "--name", NAME, "--format", "json"))
                memory = max(memory, status["memory"] or 0)
                hosts = sum(bool(host["units"]) for host in status["hosts"])
            finally:
                down.append(_timed("twin", "down", "--name", NAME))
        return {"hosts": hosts, "up_seconds": up, "down_seconds": down, "memory": memory}


def _timed(*arguments: str, config: Path | None = None) -> float:
    started = time.monotonic()
    _output(*arguments, config=config)
    return time.monotonic() - started


def _output(*arguments: str, config: Path | None = None) -> str:
    verb, *rest = arguments
    chosen = ["--config", str(config)] if config else []
    command = [str(CONSOLE), verb, *chosen, *rest]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
