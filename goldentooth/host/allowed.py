"""Root's list: what the program does for a user other than root, a thing a line, to the letter.

A line is a command that may be run, or names something: ``@path P`` (a file that is read and
written; with a slash at its end a folder, whose files are read), ``@read P`` (a file that is only
read), ``@file P OWNER MODE`` (how one is written) and ``@unit U``.
"""

from __future__ import annotations

import os
import stat

from goldentooth.host.words import Refusal, absolute_path, shown, utf8

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_LARGEST_LIST = 16 * 1024 * 1024
_MOST_PATHS = 10_000


def read_list(place: str) -> frozenset[str]:
    """Return the lines of the list at ``place``; none if it is not root's alone, or not there."""
    try:
        file = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return frozenset()
    try:
        status = os.fstat(file)
        is_own = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if not is_own or status.st_mode & 0o022:
            return frozenset()
        with open(file, "rb", closefd=False) as stream:
            text = stream.read(_LARGEST_LIST).decode("utf-8", "replace")
    finally:
        os.close(file)
    return frozenset(line for line in text.split("\n") if line.strip() and line[0] != "#")


def missing(listed: frozenset[str], needed: Iterable[str | tuple[str, ...]]) -> str | None:
    """Return the first of ``needed`` that is not listed; of a tuple one line is enough."""
    for need in needed:
        lines = (need,) if isinstance(need, str) else need
        if listed.isdisjoint(lines):
            return lines[0]
    return None


def read_paths(stdin: bytes) -> list[str]:
    """Return the paths in what a reading verb is given, one a line; a folder's ends in a slash.

    Raises:
        Refusal: if one is not an absolute path without `.`, `..` and empty parts.
    """
    paths = utf8(stdin).split("\n")
    if paths.pop() or len(paths) > _MOST_PATHS:
        raise Refusal("malformed", "not a list of paths, a line each")
    for path in paths:
        absolute_path(path[:-1] if path.endswith("/") and path != "/" else path)
    return paths


def unreadable(listed: frozenset[str], paths: Iterable[str]) -> str | None:
    """Return the first of ``paths`` that is not listed to be read, nor in a folder that is."""
    return next((path for path in paths if not _may_read(listed, path)), None)


def _may_read(listed: frozenset[str], path: str) -> bool:
    if not listed.isdisjoint((f"@path {path}", f"@read {path}")):
        return True
    above = path.rstrip("/")
    while above := above.rpartition("/")[0]:
        if f"@path {above}/" in listed:
            return not _leads_away(above, path)
    return False


def _leads_away(folder: str, path: str) -> bool:
    """Tell whether a link in ``folder`` lies on the way to ``path``: it may lead anywhere."""
    for part in path[len(folder) + 1 :].split("/")[:-1]:
        folder = f"{folder}/{part}"
        if os.path.islink(folder):
            return True
    return False


def not_listed(line: str, place: str) -> str:
    """Return what a person is told of something that is not in the list at ``place``."""
    what = line if line.isprintable() and len(line) <= 500 else shown(line)
    return f"{what} is not in {place} on this host: deploy the access service, or connect as root"
