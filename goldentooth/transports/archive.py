"""The tar archive that a host answers, read within what was received. Pure.

A host may answer an archive that says it holds more than it does: a sparse file of 2 GiB in 10 KiB,
a size below zero, headers that lead to headers. Only what GNU tar writes of plain files is read,
in one pass; every other archive is refused. Source: tar(5), POSIX.1-2017 pax "Interchange Format".
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from tarfile import BLOCKSIZE, TarInfo

MOST_MEMBERS = 20_000
"""Files, links and folders in one answer."""

_LONGEST_HEADER = 64 * 1024
"""Bytes of a name, or of what pax says of a member."""
_MOST_SAID = 100
"""Things that pax may say of a member."""
_SLACK = 16 * 1024 * 1024
"""Bytes that hard links may stand for beyond what was received: each is its file once more."""

_FILES = {tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE}
_EMPTY = {tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE}
_LONG = {tarfile.GNUTYPE_LONGNAME: "path", tarfile.GNUTYPE_LONGLINK: "linkpath"}
_RECORD = re.compile(rb"([1-9][0-9]{0,5}) ")
_WHOLE = re.compile(r"[0-9]{1,15}")
_TIME = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{0,30})?")


class ArchiveError(ValueError):
    """The archive is refused; the message is one line that says why."""


@dataclass(frozen=True)
class Member:
    """One thing in an archive, its name as it stands there; ``content`` is a file's."""

    name: str
    type: bytes
    mode: int
    owner: str
    """As in ``user:group``; by number where there is no name."""
    mtime: float
    target: str = ""
    content: bytes = field(default=b"", repr=False)


def read_archive(data: bytes) -> Iterator[Member]:
    """Yield the members of the tar archive ``data``, in its order.

    Raises:
        ArchiveError: if it is not whole, or not one that is read here.
    """
    if not data:
        raise ArchiveError("there is no archive")
    files: dict[str, bytes] = {}
    total = 0
    for count, (header, said, body) in enumerate(_members(data)):
        if count >= MOST_MEMBERS:
            raise ArchiveError(f"it holds more than {MOST_MEMBERS} files")
        member = _member(header, said)
        if header.type == tarfile.LNKTYPE:
            if member.target not in files:
                raise ArchiveError("a link in it leads to a file that is not in it")
            body = files[member.target]  # noqa: PLW2901  # the same bytes once more
        total += len(body)
        if total > len(data) + _SLACK:
            raise ArchiveError("its files are larger in all than what was received")
        if header.type in _FILES:
            files[member.name] = body
        yield Member(
            member.name, header.type, member.mode, member.owner, member.mtime, member.target, body
        )


def _members(data: bytes) -> Iterator[tuple[TarInfo, Mapping[str, str], bytes]]:
    """Yield each member's header, what pax and GNU say of it besides, and its content."""
    at = 0
    said: dict[str, str] = {}
    while at < len(data):
        try:
            header = TarInfo.frombuf(data[at : at + BLOCKSIZE], "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            if not any(data[at : at + BLOCKSIZE]) and len(data) - at >= BLOCKSIZE and not said:
                return  # a block of zeros is the end
            raise ArchiveError("it is not a whole tar archive") from error
        at += BLOCKSIZE
        if header.type in _LONG or header.type == tarfile.XHDTYPE:
            body = _body(data, at, header.size)
            if len(body) > _LONGEST_HEADER:
                raise ArchiveError("a header in it is too long")
            more = _said_by_gnu(header, body) if header.type in _LONG else _said_by_pax(body)
            if not more or said.keys() & more.keys():
                raise ArchiveError("a header in it says nothing, or the same twice")
            said |= more
            if len(said) > _MOST_SAID:
                raise ArchiveError("it says too much of a file")
        else:
            _refuse_other(header)
            size = _number(said["size"]) if "size" in said else header.size
            body = _body(data, at, size) if header.type in _FILES else b""
            yield header, said, body
            said = {}
        at += -(-len(body) // BLOCKSIZE) * BLOCKSIZE
    if said:
        raise ArchiveError("it is not a whole tar archive")


def _refuse_other(header: TarInfo) -> None:
    if header.type == tarfile.GNUTYPE_SPARSE:
        raise ArchiveError("it holds a sparse file")
    if header.type not in _FILES | _EMPTY | {tarfile.LNKTYPE}:
        raise ArchiveError(f"it holds something of the unknown type {header.type!r}")


def _body(data: bytes, at: int, size: int) -> bytes:
    if not 0 <= size <= len(data) - at:
        raise ArchiveError("a file in it is larger than what was received")
    return data[at : at + size]


def _said_by_gnu(header: TarInfo, body: bytes) -> dict[str, str]:
    return {_LONG[header.type]: body.partition(b"\0")[0].decode(errors="surrogateescape")}


def _said_by_pax(body: bytes) -> dict[str, str]:
    said: dict[str, str] = {}
    at = 0
    while at < len(body) and body[at]:  # what follows is padding
        length = _RECORD.match(body, at)
        if length is None:
            raise ArchiveError("a header in it cannot be read")
        end = at + int(length[1])
        key, equals, value = body[length.end() : end - 1].partition(b"=")
        if end > len(body) or body[end - 1 : end] != b"\n" or not equals or end <= length.end():
            raise ArchiveError("a header in it cannot be read")
        if key.startswith(b"GNU.sparse."):
            raise ArchiveError("it holds a sparse file")
        said[key.decode(errors="replace")] = value.decode(errors="surrogateescape")
        at = end
    return said


def _member(header: TarInfo, said: Mapping[str, str]) -> Member:
    is_link = header.type in {tarfile.LNKTYPE, tarfile.SYMTYPE}
    user = said.get("uname", header.uname) or str(said.get("uid", header.uid))
    group = said.get("gname", header.gname) or str(said.get("gid", header.gid))
    name = said.get("path", header.name)
    return Member(
        name.rstrip("/") if len(name) > 1 else name,
        header.type,
        header.mode & 0o7777,
        f"{user}:{group}",
        _time(said.get("mtime"), header),
        said.get("linkpath", header.linkname) if is_link else "",
    )


def _time(text: str | None, header: TarInfo) -> float:
    if text is None:
        if abs(header.mtime) >= 10**15:
            raise ArchiveError("it holds a time that is none")
        return float(header.mtime)
    if not _TIME.fullmatch(text):
        raise ArchiveError("it holds a time that is none")
    return float(text)


def _number(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise ArchiveError("it holds a size that is none")
    return int(text)
