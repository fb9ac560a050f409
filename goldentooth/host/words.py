"""What may be received: numbers, names, paths and requests, read by one parser that refuses.

Nothing received is ever evaluated: it matches a form to its end, within its limits, or is refused.
"""

from __future__ import annotations

import os

STATE_FOLDER = "/var/lib/goldentooth"

_DIGITS = frozenset("0123456789")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_NAME = _LETTERS | _DIGITS | frozenset(".-")
_HEX = frozenset("0123456789abcdef")
_ACCOUNT = _LETTERS | _DIGITS | frozenset("._-")
_UNIT = _NAME | frozenset(":_@\\")
_LONGEST_PATH = 4000
_LONGEST_LINE = 100_000


class Refusal(Exception):  # noqa: N818  # the host's own word for it: nothing went wrong
    """What the program does not do: ``reason`` is a word of the protocol, ``text`` is for people.

    ``facts`` are further fields of the answer.
    """

    def __init__(self, reason: str, text: str, **facts: object) -> None:
        super().__init__(text)
        self.reason = reason
        self.text = text
        self.facts = facts


def number(word: str, most: int) -> int:
    """Return the whole number that ``word`` is, from 0 to ``most``.

    Raises:
        Refusal: if it is anything else.
    """
    if not word or len(word) > 12 or not _DIGITS.issuperset(word) or int(word) > most:
        raise Refusal("malformed", f"not a number from 0 to {most}: {shown(word)}")
    return int(word)


def deployment_name(word: str) -> str:
    """Return ``word`` if it can be the name of a deployment: letters, digits, dots, hyphens.

    Raises:
        Refusal: if it cannot.
    """
    if not word or len(word) > 64 or word[0] in ".-" or not _NAME.issuperset(word):
        raise Refusal("malformed", f"not the name of a deployment: {shown(word)}")
    return word


def holder_name(word: str) -> str:
    """Return ``word`` if it can say which controller holds a lock: 16 to 64 hexadecimal digits.

    Raises:
        Refusal: if it cannot.
    """
    if not 16 <= len(word) <= 64 or not _HEX.issuperset(word):
        raise Refusal("malformed", f"not the name of a controller: {shown(word)}")
    return word


def one_line(text: str, most: int = 200) -> str:
    """Return ``text`` if it is one printable line of up to ``most`` characters.

    Raises:
        Refusal: if it is not.
    """
    if len(text) > most or not text.isprintable():
        raise Refusal("malformed", f"not one printable line: {shown(text)}")
    return text


def command_line(text: str) -> str:
    """Return ``text`` if it can be a line of a plan: printable or tabs, without a line break.

    Raises:
        Refusal: if it cannot.
    """
    if not text.strip() or len(text) > _LONGEST_LINE or not text.replace("\t", " ").isprintable():
        raise Refusal("malformed", f"not a command: {shown(text)}")
    return text


def absolute_path(text: str) -> str:
    """Return ``text`` if it is the absolute path of a file, without `.`, `..` or empty parts.

    Raises:
        Refusal: if it is not.
    """
    parts = text.split("/")
    is_path = (
        len(text) <= _LONGEST_PATH
        and text.startswith("/")
        and text.isprintable()
        and not {"", ".", ".."}.intersection(parts[1:])
        and all(len(os.fsencode(part)) <= 255 for part in parts)
    )
    if not is_path:
        raise Refusal("malformed", f"not the absolute path of a file: {shown(text)}")
    return text


def relative_path(text: str) -> str:
    """Return ``text`` if it is a path below a folder.

    Raises:
        Refusal: if it is not.
    """
    return absolute_path(f"/{text}")[1:]


def owner_name(text: str) -> tuple[str, str]:
    """Return user and group in ``user:group``.

    Raises:
        Refusal: if it is not of that form.
    """
    user, colon, group = text.partition(":")
    names = (user, group)
    if colon != ":" or any(not n or len(n) > 64 or not _ACCOUNT.issuperset(n) for n in names):
        raise Refusal("malformed", f"not user:group: {shown(text)}")
    return user, group


def file_mode(text: str) -> int:
    """Return the permissions that ``text``, four octal digits, stands for.

    Raises:
        Refusal: if it does not.
    """
    if len(text) != 4 or not frozenset("01234567").issuperset(text):
        raise Refusal("malformed", f"not a mode of four octal digits: {shown(text)}")
    return int(text, 8)


def unit_name(text: str) -> str:
    """Return ``text`` if it can be the name of a systemd unit (systemd.unit(5)).

    Raises:
        Refusal: if it cannot.
    """
    if not text or len(text) > 255 or text[0] in "-." or not _UNIT.issuperset(text):
        raise Refusal("malformed", f"not the name of a unit: {shown(text)}")
    return text


def short_text(text: str, most: int = 600) -> str:
    """Return so much of ``text`` as takes ``most`` bytes in JSON at the most."""
    if len(ascii(text)) <= most:
        return text
    while len(ascii(text)) > most:
        text = text[: len(text) * 3 // 4]
    return f"{text}…"


def utf8(data: bytes) -> str:
    """Return the text in ``data``.

    Raises:
        Refusal: if it is not UTF-8.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal("malformed", f"not UTF-8: {shown(data[:80].decode('latin-1'))}") from None


def shown(text: str) -> str:
    """Return ``text`` as a message may hold it: printable, in ASCII, not too long."""
    return ascii(text if len(text) <= 80 else f"{text[:80]}…")
