"""Packets as they pass on a machine of the twin."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from goldentooth.twin import probe
from goldentooth.twin.errors import TwinError
from goldentooth.twin.machine import Machine
from goldentooth.twin.programs import ENVIRONMENT

# Packets are written as they come: the kernel would keep some back until its buffer is full.
_WRITE = ("--immediate-mode", "--packet-buffered", "-nn", "-w", "-")


_FILTERS = "filters are as in pcap-filter(7); `ip link` on the host lists its interfaces"


class Capture:
    """A running tcpdump(8); leave the block, or call :meth:`stop`, to end it.

    ``file`` is the pcap file that it writes: the one given, or a temporary one.
    """

    def __init__(
        self, machine: Machine, expression: str, interface: str, file: Path | None = None
    ) -> None:
        probe.need_program("tcpdump")
        filtered = ["tcpdump", "-i", interface, "-d", *expression.split()]
        accepted = machine.run(filtered)
        if accepted.returncode:
            raise TwinError(f"{machine.name}: {accepted.stderr.decode().strip()}", _FILTERS)
        self.file = file or Path(tempfile.mkstemp(prefix=f"{machine.name}-", suffix=".pcap")[1])
        command = ["tcpdump", "-i", interface, *_WRITE, *expression.split()]
        with self.file.open("wb") as packets:
            self._process = subprocess.Popen(
                machine.command(command),
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=packets,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        self._wait_until_listening(machine.name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> Path:
        """End it and return the file, complete."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)  # nsenter(1) passes nothing on
            self._process.communicate()
        return self.file

    def lines(self) -> list[str]:
        """End it and return the packets as tcpdump prints them, one a line."""
        command = ["tcpdump", "-nn", "-tt", "-r", str(self.stop())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.splitlines()

    def _wait_until_listening(self, host: str) -> None:
        said = b""
        stream = self._process.stderr
        while stream and (line := stream.readline()):
            said += line
            if b"listening on" in line:
                return
        raise TwinError(f"{host}: tcpdump: {said.decode().strip()}")
