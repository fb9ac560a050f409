"""What leaves the program for a person: the one place that makes it printable.

Whoever prints, prints through here: this program, argparse, a warning, a traceback, a library.
The command line puts a :class:`PrintableStream` in the place of stdout and of stderr.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TextIO, cast

from goldentooth.text import readable


class PrintableStream:
    """A stream on which nothing can steer a terminal, but for the colours that ``paint`` marks."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        """What is written to: for a program that must move the cursor itself."""

    def write(self, text: str) -> int:
        """Write what a person may get of ``text``; colours only to a terminal that takes them."""
        self.stream.write(readable(text, colour=takes_colour(self.stream)))
        return len(text)

    def flush(self) -> None:
        """Flush."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Tell whether it is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Return its file descriptor."""
        return self.stream.fileno()

    @property
    def encoding(self) -> str:
        """Its encoding."""
        return self.stream.encoding


@contextmanager
def printable_streams() -> Iterator[None]:
    """Have all that is printed within go through :class:`PrintableStream`."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _printable(sys.stdout), _printable(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def takes_colour(stream: TextIO) -> bool:
    """Tell whether ``stream`` is a terminal that takes colour (no-color.org)."""
    is_wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return is_wanted and stream.isatty()


def _printable(stream: TextIO) -> TextIO:
    if stream is None or isinstance(stream, PrintableStream):  # none: a closed descriptor
        return stream
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # a locale that has no "…"
    return cast("TextIO", PrintableStream(stream))
