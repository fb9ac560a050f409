#!/usr/bin/env python3
"""Compare ways to make the same files from the same site, side by side.

    bench/render.py                          14, 100 and 1,000 hosts, everybody
    bench/render.py --hosts 1000,10000 --only goldentooth-net,bare

Each run is a whole process, begun cold but with its code and files in the page cache, and
writes into a folder that is not there yet. The contenders take turns (A B C A B C). Every
output is compared, byte for byte by SHA-256, with this project's; its manifest, which only
it writes, is left out. Nothing here is a test: no figure is right or wrong.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from contenders import ALL, BARE, BENCH, COMPETITORS, CONSOLE, Contender, Site, prepare_folders

FORMAT = "goldentooth-net/bench/1"
MANIFEST = "manifest.json"

_ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    # compiled modules are kept, as they are for everybody who does not forbid it
    if name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")
}


@dataclass
class Measurement:
    """What one contender took for one site; seconds and bytes."""

    name: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    same: bool = True
    """Every run wrote the same files as this project, to the byte."""

    def add(self, took: Mapping[str, Any]) -> None:
        """Add one run."""
        self.seconds.append(took["seconds"])
        self.cpu_seconds.append(took["cpu_seconds"])
        self.peak_bytes = max(self.peak_bytes, took["peak_bytes"])

    @property
    def median(self) -> float:
        """The median wall-clock time."""
        return statistics.median(self.seconds)

    def to_dict(self, floor: float | None) -> dict[str, Any]:
        """Return it as JSON takes it, with the ratio to the floor's median."""
        ratio = self.median / floor if floor else None
        return {**asdict(self), "median": self.median, "ratio": ratio}


@dataclass(frozen=True)
class Digest:
    """All files of one output: how many, how long, and one hash over locations and contents."""

    files: int
    bytes: int
    sha256: str


def time_run(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, Any]:
    """Run ``command`` to its end; return its seconds, cpu_seconds and peak_bytes.

    Raises:
        RuntimeError: if it fails, with what it said.
    """
    with tempfile.NamedTemporaryFile() as report:
        done = subprocess.run(
            [sys.executable, "-I", "-S", BENCH / "stopwatch.py", report.name, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**_ENVIRONMENT, **environment},
            check=False,
        )
        if done.returncode:
            said = done.stdout.decode(errors="replace")[-2000:]
            raise RuntimeError(f"{command[0]}: exit status {done.returncode}\n{said}")
        took: dict[str, Any] = json.load(report)
    return took


def digest_folder(folder: Path, location: Callable[[str], str | None]) -> Digest:
    """Return the digest of all files below ``folder``, whatever order they are in."""
    lines, size = [], 0
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)  # noqa: PTH118  # os.walk gives text
            where = location(os.path.relpath(path, folder))
            if where and where != MANIFEST:
                content = Path(path).read_bytes()
                size += len(content)
                lines.append(f"{hashlib.sha256(content).hexdigest()}  {where}\n")
    return Digest(len(lines), size, hashlib.sha256("".join(sorted(lines)).encode()).hexdigest())


def make_site(count: int, scratch: Path) -> Site:
    """Write a site of ``count`` hosts and its derived contexts."""
    folder, contexts = scratch / "site", scratch / "contexts.json"
    for script, *arguments in (
        (BENCH / "site.py", str(count), "--output", str(folder)),
        (COMPETITORS / "contexts.py", str(folder / "config.yaml"), str(contexts)),
    ):
        subprocess.run([sys.executable, script, *arguments], check=True, stdout=subprocess.DEVNULL)
    entries = json.loads(contexts.read_bytes())["files"]
    return Site(folder, contexts, scratch, tuple(sorted({entry["host"] for entry in entries})))


def compare(
    count: int, contenders: Sequence[Contender], runs: int, scratch: Path, *, again: bool
) -> dict[str, Any]:
    """Measure all ``contenders`` on one site, in turns; the round before the first warms up."""
    site = make_site(count, scratch)
    prepared = {contender.name: contender.prepare(site) for contender in contenders}
    measured = {contender.name: Measurement(contender.name) for contender in contenders}
    intended: Digest | None = None
    for turn in range(runs + 1):
        for contender in contenders:
            run = prepared[contender.name]
            _progress(f"{count} hosts, round {turn} of {runs}: {contender.name}")
            if run.output.exists() and not again:
                # Moved, not removed: ext4 looks for inodes that were not freed just now, so
                # that making files takes several times as long after as many removals.
                run.output.rename(scratch / f"{contender.name}-{turn}")
            if contender.wants_folders:
                prepare_folders(site, run.output)
            took = time_run(run.command, run.environment)
            made = digest_folder(run.output, contender.location)
            intended = intended or made
            measurement = measured[contender.name]
            measurement.same &= made == intended
            if turn:
                measurement.add(took)
    _progress("")
    floor = measured[BARE.name].median if BARE.name in measured else None
    return {
        "hosts": count,
        **asdict(intended or Digest(0, 0, "")),
        "contenders": [measurement.to_dict(floor) for measurement in measured.values()],
    }


def measure_starts(runs: int) -> list[dict[str, Any]]:
    """Measure how long it takes to begin: the interpreter alone, and `--help`."""
    commands = {"python -c pass": [sys.executable, "-c", "pass"]}
    commands["python -c 'import jinja2, json'"] = [sys.executable, "-c", "import jinja2, json"]
    if CONSOLE.exists():
        commands["goldentooth-net --help"] = [str(CONSOLE), "--help"]
        commands["goldentooth-net render --help"] = [str(CONSOLE), "render", "--help"]
    measured = {name: Measurement(name) for name in commands}
    for turn in range(runs + 1):
        for name, command in commands.items():
            took = time_run(command, {})
            if turn:
                measured[name].add(took)
    return [measurement.to_dict(None) for measurement in measured.values()]


def print_size(size: Mapping[str, Any]) -> None:
    """Print one site's table."""
    print(f"\n{size['hosts']} hosts, {size['files']} files, {size['bytes'] / 1e6:.2f} MB")
    print(f"files: sha256 {size['sha256'][:16]}…, the same for all but where it says otherwise")
    header = ("", "runs", "median s", "fastest", "CPU s", "x floor", "ms/host", "peak MB", "")
    rows = [
        (
            one["name"],
            str(len(one["seconds"])),
            f"{one['median']:.3f}",
            f"{min(one['seconds']):.3f}",
            f"{statistics.median(one['cpu_seconds']):.2f}",
            f"{one['ratio']:.2f}" if one["ratio"] else "-",
            f"{one['median'] / size['hosts'] * 1000:.2f}",
            f"{one['peak_bytes'] / 1e6:.0f}",
            "" if one["same"] else "OTHER FILES",
        )
        for one in sorted(size["contenders"], key=lambda one: one["median"])
    ]
    _print_table(header, rows)


def print_starts(starts: Iterable[Mapping[str, Any]]) -> None:
    """Print how long it takes to begin."""
    print("\ncold start")
    rows = [
        (one["name"], f"{one['median']:.3f}", f"{one['peak_bytes'] / 1e6:.0f}") for one in starts
    ]
    _print_table(("", "median s", "peak MB"), rows)


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        first, *rest = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join((first, *rest)).rstrip())


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _default_runs(hosts: int) -> int:
    return next((runs for most, runs in ((20, 9), (200, 7), (2000, 5)) if hosts <= most), 3)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="\n".join(f"{one.name:16} {one.what}" for one in ALL),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [one.name for one in ALL]
    parser.add_argument(
        "--hosts",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[14, 100, 1000],
        metavar="N,…",
        help="sizes of the sites (default 14,100,1000; at most 10000)",
    )
    parser.add_argument("--runs", type=int, metavar="N", help="timed runs each (default 9 to 3)")
    parser.add_argument(
        "--only",
        type=lambda text: text.split(","),
        default=names,
        metavar="NAME,…",
        help=f"of {', '.join(names)}",
    )
    parser.add_argument(
        "--again", action="store_true", help="leave the output of the run before in its place"
    )
    parser.add_argument(
        "--scratch",
        type=Path,
        metavar="DIR",
        help="where sites and outputs go (default: the system's temporary folder); a folder in"
        " memory such as /dev/shm leaves the disk's file system out of the figures",
    )
    parser.add_argument("--no-starts", action="store_true", help="do not measure cold starts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: not one of {', '.join(names)}")
    return arguments


def main() -> None:
    """Measure, print, and write JSON if asked."""
    arguments = _parse()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-", dir=arguments.scratch) as scratch:
            _measure_all(arguments, Path(scratch))
    except (RuntimeError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))


def _measure_all(arguments: argparse.Namespace, scratch: Path) -> None:
    chosen = [one for one in ALL if one.name in arguments.only]
    for contender in chosen:
        print(f"{contender.name:16} {contender.missing or contender.what}")
    result: dict[str, Any] = {
        "format": FORMAT,
        "machine": {
            "python": platform.python_version(),
            "system": platform.platform(terse=True),
            "processors": os.cpu_count(),
        },
        "again": arguments.again,
        "contenders": {one.name: one.missing or one.what for one in chosen},
        "sizes": [],
        "starts": [],
    }
    for count in arguments.hosts:
        able = [one for one in chosen if not one.missing and count <= one.most_hosts]
        for contender in chosen:
            if contender not in able and not contender.missing:
                print(f"{contender.name} is left out above {contender.most_hosts} hosts")
        folder = scratch / str(count)
        runs = arguments.runs or _default_runs(count)
        size = compare(count, able, runs, folder, again=arguments.again)
        result["sizes"].append(size)
        print_size(size)
    if not arguments.no_starts:
        result["starts"] = measure_starts(arguments.runs or 15)
        print_starts(result["starts"])
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
