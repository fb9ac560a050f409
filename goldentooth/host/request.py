"""A request to the program on a host: how it is written, and read by a parser that refuses.

A line ``2 MARK WAY COUNT``; for each command a line ``SECONDS LINES BYTES``, its text in so many
lines, so many bytes for it to read, and ``end``. WAY is ``run`` (one after the other) or ``gather``
(side by side: commands that only read).

The answer is raw bytes between lines that begin with MARK, which no output holds by chance:
``start 2``; of each command, when it has ended, ``out INDEX``, ``err INDEX`` and
``end INDEX STATUS``, with ``late`` (its time was over) or ``refused`` (it is not in root's list);
``done``, or ``broken`` and a word that says why there is no more.
"""

from __future__ import annotations

from goldentooth.host.words import Refusal, number, shown, utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

PROTOCOL = "2"
RUN, GATHER = "run", "gather"

_MARK = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-")
_LONGEST_MARK = 64
_MOST_COMMANDS = 1000
_MOST_SECONDS = 86_399  # and a fraction
_MOST_LINES = 1000
_LONGEST_TEXT = 120_000  # what one argument of a program may hold is 128 KiB
_MOST_INPUT = 128 * 1024 * 1024


class Asked:
    """A command as it is asked for: its time in seconds, its text, what it reads."""

    __slots__ = ("line", "seconds", "stdin")

    def __init__(self, seconds: float, line: str, stdin: bytes = b"") -> None:
        self.seconds = seconds
        self.line = line
        self.stdin = stdin


class Ended:
    """How a command ended, and what it said; ``ending`` is the protocol's word for it, if any."""

    __slots__ = ("ending", "status", "stderr", "stdout")

    def __init__(self, status: int, stdout: bytes, stderr: bytes = b"", ending: str = "") -> None:
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        self.ending = ending


class Head:
    """The first line of a request, of which only ``mark`` is known to be one."""

    __slots__ = ("count", "mark", "version", "way")

    def __init__(self, version: str, mark: str, way: str, count: str) -> None:
        self.version = version
        self.mark = mark
        self.way = way
        self.count = count


def write_request(mark: str, way: str, commands: Sequence[Asked]) -> bytes:
    """Return what asks for ``commands``."""
    parts = [f"{PROTOCOL} {mark} {way} {len(commands)}\n".encode()]
    for asked in commands:
        seconds = min(max(asked.seconds, 0.001), _MOST_SECONDS)
        bound = f"{seconds:.3f}".rstrip("0").rstrip(".")
        lines = asked.line.count("\n") + 1
        header = f"{bound} {lines} {len(asked.stdin)}\n{asked.line}\n"
        parts += [header.encode(), asked.stdin, b"end\n"]
    return b"".join(parts)


def read_head(stream: BinaryIO) -> Head:
    """Read the first line of a request.

    Raises:
        Refusal: if it has no mark, so that there is no way to answer.
    """
    words = _line(stream, 200).split(" ")
    if len(words) != 4 or not 1 <= len(words[1]) <= _LONGEST_MARK or not _MARK.issuperset(words[1]):
        raise Refusal("malformed", "not a request")
    return Head(*words)


def read_commands(stream: BinaryIO, head: Head) -> list[Asked]:
    """Read the rest of a request: all of its commands.

    Raises:
        Refusal: if anything in it is not as it must be, or it breaks off.
    """
    if head.version != PROTOCOL or head.way not in {RUN, GATHER}:
        raise Refusal("malformed", f"not a way: {shown(head.way)}")
    commands: list[Asked] = []
    left = _MOST_INPUT
    for _ in range(_plain_number(head.count, _MOST_COMMANDS)):
        asked = _command(stream, left)
        left -= len(asked.stdin)
        commands.append(asked)
    return commands


def _command(stream: BinaryIO, most: int) -> Asked:
    words = _line(stream, 100).split(" ")
    if len(words) != 3:
        raise Refusal("malformed", f"not seconds, lines and bytes: {shown(' '.join(words))}")
    seconds = _seconds(words[0])
    text = _text(stream, _plain_number(words[1], _MOST_LINES))
    size = _plain_number(words[2], most)
    stdin = stream.read(size)
    if len(stdin) < size:
        raise Refusal("cut-off", "the request breaks off")
    if _line(stream, 100) != "end":
        raise Refusal("malformed", "a command does not end where it should")
    return Asked(seconds, text, stdin)


def _text(stream: BinaryIO, lines: int) -> str:
    parts: list[str] = []
    left = _LONGEST_TEXT
    for _ in range(lines):
        parts.append(_line(stream, left))
        left -= len(parts[-1].encode()) + 1
    text = "\n".join(parts)
    if not text.strip() or "\0" in text:
        raise Refusal("malformed", "not a command")
    return text


def _line(stream: BinaryIO, most: int) -> str:
    """Read a line of up to ``most`` bytes; return it without its end."""
    found = stream.readline(max(most, 0) + 1)
    if not found.endswith(b"\n"):
        if len(found) > most:
            raise Refusal("malformed", "a line is too long")
        raise Refusal("cut-off", "the request breaks off")
    return utf8(found[:-1])


def _plain_number(word: str, most: int) -> int:
    if len(word) > 1 and word[0] == "0":
        raise Refusal("malformed", f"not a number: {shown(word)}")
    return number(word, most)


def _seconds(word: str) -> float:
    """Return the seconds that ``word`` is: up to three digits may follow a dot."""
    whole, dot, fraction = word.partition(".")
    seconds = float(_plain_number(whole, _MOST_SECONDS))
    if dot:
        if not 1 <= len(fraction) <= 3:
            raise Refusal("malformed", f"not a number of seconds: {shown(word)}")
        seconds += number(fraction, 999) / 10 ** len(fraction)
    if not seconds:
        raise Refusal("malformed", f"not a number of seconds: {shown(word)}")
    return seconds
