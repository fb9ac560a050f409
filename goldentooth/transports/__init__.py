"""Ways to a host, behind one small interface.

Nothing here speaks to anybody: these are the words that all transports share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from goldentooth.check import Output


@dataclass(frozen=True)
class Command:
    """A line for the host's shell, or ``@verb words`` for the program there.

    ``stdin`` is what it reads; ``seconds`` bound it, where the configured bound is not right.
    """

    line: str
    stdin: bytes = b""
    seconds: float | None = None


@dataclass(frozen=True)
class File:
    """A file to be written: absolute path, bytes, ``user:group`` and mode."""

    path: str
    content: bytes
    owner: str = "root:root"
    mode: int = 0o644


@dataclass(frozen=True)
class HostFile:
    """What stands at a path of a host.

    ``owner`` is ``user:group``, ``mode`` as for chmod, ``mtime`` in seconds since 1970.
    ``kind`` is ``file``, ``link``, ``folder`` or ``other`` (a device, a socket); only a file
    has content, only a link a ``target``. ``unreadable`` says why a file's content is not known.
    """

    path: str
    content: bytes = b""
    owner: str = "root:root"
    mode: int = 0o644
    mtime: float = 0.0
    kind: str = "file"
    target: str = ""
    unreadable: str = ""


class Transport(Protocol):
    """What a connection to a host can do. Every wait in it is bounded."""

    def run(self, commands: Sequence[str | Command]) -> tuple[Output, ...]:
        """Run commands, one after the other, in one round trip.

        A command that fails does not stop the next ones.

        Raises:
            TransportError: if the host could not be spoken to, or broke off before the last
                command had ended.
        """

    def gather(self, commands: Sequence[str | Command]) -> tuple[Output, ...]:
        """Run commands that only read, side by side, in one round trip.

        One that hangs costs only itself: its output is ``is_late``. Those that the host did not
        come to answer, because it died or its time was over, are ``is_missing``.

        Raises:
            TransportError: if the host could not be spoken to, or answered nothing.
        """

    def read(self, paths: Sequence[str]) -> Mapping[str, HostFile | None]:
        """Return what stands at ``paths``, to the byte, in one round trip.

        A path with a slash at its end is a folder with everything in it: each has its own key.
        None stands for what is not there.

        Raises:
            TransportError: if the host could not be spoken to, or a file not be read.
        """

    def write(self, files: Sequence[File]) -> None:
        """Write files in one round trip, each whole or not at all.

        Raises:
            TransportError: if the host could not be spoken to, or a file not be written.
        """
