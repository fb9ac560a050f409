"""An archive from a host is read within what was received, or refused in a line."""

from __future__ import annotations

import io
import tarfile
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldentooth.check import Output, UnreadableError
from goldentooth.transports.archive import MOST_MEMBERS
from goldentooth.transports.files import parse_files

BLOCK = tarfile.BLOCKSIZE
END = bytes(2 * BLOCK)


def member(name: str = "/a", content: bytes = b"", **fields: Any) -> bytes:
    """Return a header that says ``fields``, and ``content`` after it."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    padded = content + bytes(-len(content) % BLOCK)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape") + padded


def patched(header: bytes, at: int, value: bytes) -> bytes:
    """Return ``header`` with ``value`` at an offset, and a checksum that is right."""
    changed = bytearray(header[:at] + value + header[at + len(value) :])
    changed[148:156] = b" " * 8
    changed[148:156] = b"%06o\0 " % sum(changed[:BLOCK])
    return bytes(changed)


def pax(**said: str) -> bytes:
    records = b""
    for key, value in said.items():
        record = f" {key.replace('__', '.')}={value}\n".encode(errors="surrogateescape")
        length = len(record) + 2
        length += len(str(length)) - 2
        while len(str(length)) + len(record) != length:
            length = len(str(length)) + len(record)
        records += str(length).encode() + record
    return member("x", records, type=b"x")


def sized(size: bytes, name: str = "/a") -> bytes:
    return patched(member(name), 124, size)


SPARSE_OLD = patched(
    patched(member("/a", type=b"S"), 386, b"%011o\0%011o\0" % (2**31 - 512, 512)),
    483,
    b"%011o\0" % 2**31,
)

HOSTILE = {
    "old sparse": SPARSE_OLD + END,
    "pax sparse 1.0": pax(GNU__sparse__major="1", GNU__sparse__realsize=str(2**31))
    + member()
    + END,
    "pax sparse 0.1": pax(GNU__sparse__size=str(2**31), GNU__sparse__map="0,1") + member() + END,
    "pax sparse 0.0": pax(GNU__sparse__numblocks="1") + member() + END,
    "larger than received": sized(b"%011o\0" % 2**30) + END,
    "larger, as pax says": pax(size=str(2**40)) + member() + END,
    "size below zero": sized(b"\xff" * 12) + END,
    "size below zero, as pax says": pax(size="-512") + member() + END,
    "size without end": pax(size="9" * 5000) + member() + END,
    "size that is no number": sized(b"0x10       \0") + END,
    "size of 88 bits": sized(b"\x80" + b"\xff" * 11) + END,
    "time without end": pax(mtime="9" * 5000) + member() + END,
    "time that is none": pax(mtime="nan") + member() + END,
    "time of 88 bits": patched(member(), 136, b"\x80" + b"\xff" * 11) + END,
    "headers that lead to headers": b"".join(pax(path="x") for _ in range(5000)) + member() + END,
    "other headers in a chain": b"".join(pax(**{f"k{n}": "x"}) for n in range(5000)) + member(),
    "long names in a chain": member("l", b"x\0", type=b"L") * 5000 + member() + END,
    "a header without end": member("x", b"9" * 70_000, type=b"x") + member() + END,
    "a record longer than its header": member("x", b"999 path=x\n", type=b"x") + member() + END,
    "a record of length zero": member("x", b"0 path=x\n", type=b"x") + member() + END,
    "a record shorter than its length": member("x", b"3 path=x\n", type=b"x") + member() + END,
    "a global header": member("g", b"10 path=x\n", type=b"g") + member() + END,
    "many members": member() * (MOST_MEMBERS + 1) + END,
    "a link to nothing": member("/b", type=tarfile.LNKTYPE, linkname="/a") + END,
    "links to a large file": member("/a", bytes(1024 * 1024))
    + b"".join(member(f"/l{n}", type=tarfile.LNKTYPE, linkname="/a") for n in range(100))
    + END,
    "volumes": member("v", type=b"V") + END,
    "not whole": member("/a", b"x" * 600)[:-BLOCK],
    "a wrong checksum": member()[:-1] + b"x" + END,
}


@contextmanager
def bounded(seconds: float, mebibytes: int) -> Iterator[None]:
    tracemalloc.start()
    began = time.monotonic()
    try:
        yield
        took, (_, peak) = time.monotonic() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert took < seconds
    assert peak < mebibytes * 1024 * 1024


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_archive_is_refused_at_once_and_in_little_memory(data: bytes) -> None:
    with bounded(10, 64), pytest.raises(UnreadableError) as refused:
        parse_files(Output(data))
    assert str(refused.value).startswith("the files were not read: ")
    assert str(refused.value).isprintable()


@given(st.binary(max_size=2000), st.integers(0, BLOCK - 1), st.binary(min_size=1, max_size=20))
def test_whatever_is_answered_is_read_or_refused(rest: bytes, at: int, value: bytes) -> None:
    header = patched(member("/a", b"content"), min(at, BLOCK - len(value)), value)
    for data in (rest, header + END, header + rest, pax(path="/é") + rest):
        files = {}
        with suppress(UnreadableError):
            files = parse_files(Output(data))
        assert sum(len(file.content) for file in files.values()) <= len(data)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_what_tar_writes_is_read_as_python_reads_it(form: int) -> None:
    place = io.BytesIO()
    names = ["/etc/frr/frr.conf", "/é", "/with blank", "/deep/" + "n" * 80]
    if form != tarfile.USTAR_FORMAT:
        names += ["/long/" + "n" * 200, "/" + "d/" * 200 + "x"]
    with tarfile.open(fileobj=place, mode="w", format=form) as tar:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = number * 300, 0o640, 1_700_000_000 + number
            info.uname, info.gname = "frr", "frrvty"
            tar.addfile(info, io.BytesIO(b"x" * info.size))
        folder, link, hard = (tarfile.TarInfo(name) for name in ("/folder", "/link", "/hard"))
        folder.type, link.type, hard.type = tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
        link.linkname, hard.linkname = "/" + "t" * 90, "/with blank"
        for info in (folder, link, hard):
            tar.addfile(info)
    files = parse_files(Output(place.getvalue()))
    place.seek(0)
    with tarfile.open(fileobj=place) as tar:
        for info in tar:
            file = files[info.name]
            body = tar.extractfile(info) if info.isreg() or info.islnk() else None
            assert file.content == (body.read() if body else b"")
            assert (file.mode, file.mtime) == (info.mode, float(info.mtime))
            assert file.owner == f"{info.uname or info.uid}:{info.gname or info.gid}"
            assert file.target == (info.linkname if info.issym() else "")
    assert {file.kind for file in files.values()} == {"file", "folder", "link"}
    assert len(files) == len(names) + 3


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=7))
def test_a_name_is_one_printable_line_and_not_that_of_another_file(name: str) -> None:
    said = f"/etc/frr/{name}x"
    files = parse_files(Output(pax(path=said) + member(uname=name) + END))
    (file,) = files.values()
    assert file.path.isprintable()
    assert file.owner.isprintable()
    assert file.path == said or not said.isprintable()


@pytest.mark.parametrize(
    "name", ["/etc/frr/frr.conf\n", "/etc/frr/frr.conf\x1b[2K", "/etc/frr/frr.conf\u200b"]
)
def test_a_name_that_looks_like_an_intended_one_is_another(name: str) -> None:
    (path,) = parse_files(Output(member(name, b"x") + END))
    assert path.startswith("/etc/frr/frr.conf\\")


def test_what_tar_complains_of_is_one_printable_line() -> None:
    said = b"tar: /a\x1b[2J: Cannot open: Permission\x9b denied\n"
    (file,) = parse_files(Output(END, said, 2)).values()
    assert (file.path, file.unreadable) == ("/a\\x1b[2J", "Cannot open: Permission\\x9b denied")
    with pytest.raises(UnreadableError) as refused:
        parse_files(Output(END, b"tar: \x1b[2J\n", 2))
    assert str(refused.value).isprintable()
