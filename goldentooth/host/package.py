"""Several files as one run of bytes: what a controller and a host send each other.

A line `goldentooth-package 1 COUNT`; for each file a line `SIZE PATH` and its bytes. Paths are
relative, each occurs once, and the end is where the last file ends.
"""

from __future__ import annotations

from collections.abc import Mapping

from goldentooth.host.words import Refusal, number, relative_path, utf8

_HEADER = "goldentooth-package 1"
_MOST_FILES = 10_000
_LONGEST = 128 * 1024 * 1024


def pack(members: Mapping[str, bytes]) -> bytes:
    """Return the package of ``members``, contents by relative path."""
    parts = [f"{_HEADER} {len(members)}\n".encode()]
    for path, content in members.items():
        parts += [f"{len(content)} {path}\n".encode(), content]
    return b"".join(parts)


def unpack(data: bytes) -> dict[str, bytes]:
    """Return the contents in a package, by relative path.

    Raises:
        Refusal: if it is not a whole package, or something follows it.
    """
    head, at = _line(data, 0)
    if head[: len(_HEADER) + 1] != f"{_HEADER} ":
        raise Refusal("malformed", "not a package")
    members: dict[str, bytes] = {}
    for _ in range(number(head[len(_HEADER) + 1 :], _MOST_FILES)):
        line, at = _line(data, at)
        word, blank, path = line.partition(" ")
        size = number(word, _LONGEST)
        if blank != " " or relative_path(path) in members or len(data) - at < size:
            raise Refusal("malformed", "the package is cut off, or names a file twice")
        members[path] = data[at : at + size]
        at += size
    if at != len(data):
        raise Refusal("malformed", "something follows the package")
    return members


def _line(data: bytes, start: int) -> tuple[str, int]:
    end = data.find(b"\n", start, start + 8192)
    if end < 0:
        raise Refusal("malformed", "the package is cut off")
    return utf8(data[start:end]), end + 1
