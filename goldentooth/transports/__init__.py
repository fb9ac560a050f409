"""Ways to a host, behind one small interface."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from goldentooth.check import Output


@dataclass(frozen=True)
class File:
    """A file to be written: absolute path, bytes, ``user:group`` and mode."""

    path: str
    content: bytes
    owner: str = "root:root"
    mode: int = 0o644


class Transport(Protocol):
    """What a connection to a host can do. Every wait in it is bounded."""

    def run(self, commands: Sequence[str]) -> tuple[Output, ...]:
        """Run shell commands, one after the other, in one round trip.

        A command that fails does not stop the next ones.

        Raises:
            TransportError: if the host could not be spoken to.
        """

    def read(self, paths: Sequence[str]) -> Mapping[str, bytes | None]:
        """Return files, to the byte, in one round trip; None for a file that is not there.

        Raises:
            TransportError: if the host could not be spoken to, or a file not be read.
        """

    def write(self, files: Sequence[File]) -> None:
        """Write files in one round trip, each whole or not at all.

        Raises:
            TransportError: if the host could not be spoken to, or a file not be written.
        """
