r"""Text that a person reads, whoever wrote it: what steers a terminal is shown, not done. Pure.

A host answers with what it likes. No way out of the program carries a character that moves a
cursor, changes a colour, hides text or reverses it, except the colours that :func:`paint` marks:
:func:`readable` alone turns its marks into what a terminal understands. The marks hold a number
that every process draws anew, so no text from elsewhere can hold one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import Any

_CODES = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "bold": "1", "dim": "2"}

_MARK = f"\0{os.urandom(8).hex()}:"
"""What begins a mark of :func:`paint`."""

_LONGEST_LINE = 500
"""Characters of a host's words that are shown in one line."""


def paint(text: str, colour: str, *, on: bool = True) -> str:
    """Return ``text`` with marks for a colour, or as it is if colour is not ``on``.

    :func:`readable` makes of the marks what a terminal understands.
    """
    return f"{_mark(_CODES[colour])}{text}{_mark('0')}" if on else text


def readable(text: str, *, colour: bool = False) -> str:
    r"""Return ``text`` as a person may get it, on a terminal, in a file, in a mail.

    With ``colour`` what was painted has its colour; all else is :func:`printable`.

    >>> readable(f"{paint('drift', 'red')} on \x1b[2Jfenn", colour=True)
    '\x1b[31mdrift\x1b[0m on \\x1b[2Jfenn'
    >>> readable(f"{paint('drift', 'red')} on \x1b[2Jfenn")
    'drift on \\x1b[2Jfenn'
    """
    if _MARK not in text:
        return printable(text)
    parts = re.split(f"{re.escape(_MARK)}([0-9]+)\0", text)
    parts[::2] = map(printable, parts[::2])
    parts[1::2] = (f"\x1b[{code}m" if colour else "" for code in parts[1::2])
    return "".join(parts)


def printable(text: str) -> str:
    r"""Return ``text`` with every character escaped that is not seen, except line breaks and tabs.

    Those are control characters, and what Unicode has to reverse, join or hide text (category Cf).

    >>> printable("\x1b[2Jgone\tby"), printable("\u202etxt.exe"), printable("caf\xe9 \udcff")
    ('\\x1b[2Jgone\tby', '\\u202etxt.exe', 'café \\xff')
    """
    return _escaped(text, "\n\t")


def one_line(text: str) -> str:
    r"""Return ``text`` as :func:`printable` does, and line breaks and tabs escaped as well.

    >>> one_line("name\nof a file")
    'name\\nof a file'
    """
    return _escaped(text, "")


def short_line(text: str) -> str:
    """Return the words of a host or a server as :func:`one_line` does, not at length."""
    shown = one_line(text[: _LONGEST_LINE + 1])
    return shown if len(shown) <= _LONGEST_LINE else f"{shown[:_LONGEST_LINE]}…"


def joined_lines(text: str) -> str:
    r"""Return a message of several lines in one, for a cell of a table.

    >>> joined_lines("no answer\n    is it on?")
    'no answer is it on?'
    """
    return one_line(" ".join(line.strip() for line in text.split("\n")) if "\n" in text else text)


def hung(text: str) -> str:
    r"""Return a message whose further lines are indented: none can pass for a line of its own.

    >>> hung("refused\nfenn: in sync\n    look there")
    'refused\n    fenn: in sync\n    look there'
    """
    first, *more = text.split("\n")
    if not more:
        return text
    return "\n".join((first, *(_indented(line) for line in more if line.strip())))


def to_json(value: Any, *, indent: int | None = 2) -> str:
    r"""Return ``value`` as JSON in which all that :func:`printable` escapes is escaped, too.

    >>> print(to_json({"name": "\x9b2J \u202e é"}, indent=None))
    {"name": "\u009b2J \u202e é"}
    """
    import json

    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return text.translate({ord(letter): _json_escape(letter) for letter in _hidden(text, "\n")})


def _indented(line: str) -> str:
    return line if line.startswith("    ") else f"    {line}"


def _mark(code: str) -> str:
    return f"{_MARK}{code}\0"


def _escaped(text: str, kept: str) -> str:
    if text.isprintable():
        return text
    return text.translate({ord(letter): _escape(letter) for letter in _hidden(text, kept)})


def _hidden(text: str, kept: str) -> Iterable[str]:
    return (letter for letter in set(text) if not letter.isprintable() and letter not in kept)


def _escape(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":  # a byte that is not UTF-8, see PEP 383
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def _json_escape(letter: str) -> str:
    units = letter.encode("utf-16-be", errors="surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
