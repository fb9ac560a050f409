"""Network namespaces for tests that run real daemons; nothing outside of them is touched."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

_NUMBERS = itertools.count(1)

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("ip"), reason="needs root and iproute2: namespaces"
)


def needs(program: str, package: str) -> pytest.MarkDecorator:
    """Return a mark that skips a test, and says what to install, where ``program`` is absent."""
    folders = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/lib/frr"
    missing = shutil.which(program, path=folders) is None
    return pytest.mark.skipif(missing, reason=f"{program} is absent: apt-get install {package}")


class Namespace:
    """A network namespace, with the processes that were started in it."""

    def __init__(self) -> None:
        self.name = f"gt{os.getpid()}-{next(_NUMBERS)}"
        self.processes: list[subprocess.Popen[str]] = []
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.run("ip", "link", "set", "lo", "up")

    def run(
        self, *command: str, check: bool = True, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, *command],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            **options,
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
        return done

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a program in it, which ends with it."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.processes.append(process)
        return process

    def routes(self) -> set[str]:
        """Return the IPv4 routes of the main table."""
        return {line.strip() for line in self.run("ip", "-4", "route").stdout.splitlines()}

    def remove(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            if process.poll() is None:
                process.kill()
                process.wait(5)
        subprocess.run(["ip", "netns", "delete", self.name], check=False)


@contextlib.contextmanager
def namespaces(count: int) -> Iterator[list[Namespace]]:
    """Give ``count`` namespaces, which are gone afterwards with all that runs in them."""
    made: list[Namespace] = []
    try:
        for _ in range(count):
            made.append(Namespace())  # noqa: PERF401  # so that each one is removed
        yield made
    finally:
        for namespace in made:
            namespace.remove()


def eventually(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Return what ``holds`` returns as soon as it is true; fail after ``seconds``."""
    end = time.monotonic() + seconds
    while not (result := holds()):
        assert time.monotonic() < end, f"{holds} did not come true within {seconds} s"
        time.sleep(0.05)
    return result


def run_judge(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a daemon's checker."""
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    return subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
        env=environment,
    )
