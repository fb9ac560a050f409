"""What is made of the archive that a host answers, and of what tar complains about."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from goldentooth.check import Output, UnreadableError
from goldentooth.errors import UsageError
from goldentooth.host import reading_program
from goldentooth.transports import File
from goldentooth.transports.batch import as_root, parse_answer, request_bytes
from goldentooth.transports.files import files_command, parse_files, write_command


def read(*paths: str) -> Output:
    """Read files of this machine as a host does."""
    command = files_command(paths)
    verb = command.line.removeprefix("@")
    done = subprocess.run(
        ["/bin/sh", "-c", reading_program(), "sh", verb],
        input=command.stdin,
        capture_output=True,
        check=False,
    )
    return Output(done.stdout, done.stderr, done.returncode)


def archive(**files: bytes) -> bytes:
    place = io.BytesIO()
    with tarfile.open(fileobj=place, mode="w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return place.getvalue()


def test_owner_mode_and_time_are_the_file_s_own(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"x")
    place.chmod(0o4751)
    os.utime(place, (1e9, 1234567890.25))
    file = parse_files(read(str(place)))[str(place)]
    assert (file.mode, file.mtime, file.kind) == (0o4751, 1234567890.25, "file")
    assert file.owner == f"{place.owner()}:{place.group()}"


def test_what_is_not_there_has_no_key(tmp_path: Path) -> None:
    assert parse_files(read(f"{tmp_path}/a", f"{tmp_path}/a/b", f"{tmp_path}/c/")) == {}


def test_names_that_a_shell_or_tar_would_take_otherwise_are_names(tmp_path: Path) -> None:
    names = ["a b", "$(x)", "*", "-C", "'", '"', "\\n", "é", "@x", ".hidden", "x:y"]
    for name in names:
        (tmp_path / name).write_text(name)
    one_by_one = parse_files(read(*(f"{tmp_path}/{name}" for name in names)))
    assert {path: file.content.decode() for path, file in one_by_one.items()} == {
        f"{tmp_path}/{name}": name for name in names
    }
    assert set(parse_files(read(f"{tmp_path}/"))) == {str(tmp_path), *one_by_one}


def test_a_file_that_cannot_be_read_is_told_by_name_and_the_others_are_read() -> None:
    output = Output(
        archive(a=b"a"),
        b"tar: /b: Cannot open: Permission denied\n"
        b"tar: /c: Cannot stat: No such file or directory\n"
        b"tar: Exiting with failure status due to previous errors\n",
        2,
    )
    files = parse_files(output)
    assert {path: file.unreadable for path, file in files.items()} == {
        "/a": "",
        "/b": "Cannot open: Permission denied",
    }


def test_a_file_that_changes_while_it_is_read_is_not_taken_for_whole() -> None:
    for said in ("file changed as we read it", "File shrank by 3 bytes; padding with zeros"):
        file = parse_files(Output(archive(a=b"torn"), f"tar: /a: {said}\n".encode(), 1))["/a"]
        assert (file.content, file.unreadable) == (b"", said)


@pytest.mark.parametrize(
    "output",
    [
        Output(b"", status=124, is_late=True),
        Output(b"", status=125, is_missing=True),
        Output(archive(a=b"a"), is_truncated=True),
        Output(archive(a=b"a" * 2000)[:700]),
        Output(b"garbage" * 100),
        Output(b"", b"tar: not found\n", 127),
        Output(archive(a=b"a"), b"tar: write error\n", 2),
        Output(archive(a=b"a"), status=137),
    ],
    ids=str,
)
def test_an_answer_that_is_not_whole_says_nothing_about_any_file(output: Output) -> None:
    with pytest.raises(UnreadableError):
        parse_files(output)


@pytest.mark.parametrize("path", ["relative", "", "/a\nb", "/a\0b"])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="is not a path on a host"):
        files_command([path])
    with pytest.raises(UsageError, match="is not a path on a host"):
        write_command(File(path, b""))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_bytes(b"old")
    assert _write(File(str(place), b"new", "no-such-user:root")) != 0
    assert place.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [place]


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert _write(File(f"{tmp_path}/folder", b"x", _me())) != 0
    assert list((tmp_path / "folder").iterdir()) == []


def test_a_file_is_in_place_with_its_mode_from_the_first_moment(tmp_path: Path) -> None:
    assert _write(File(f"{tmp_path}/file", b"x", _me(), 0o4750)) == 0
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o4750


def _me() -> str:
    return f"{os.geteuid()}:{os.getegid()}"


def _write(file: File) -> int:
    line, program = as_root("mark-0", aside=False)
    request = request_bytes([write_command(file)], "mark-0", aside=False, seconds=10)
    done = subprocess.run(
        ["/bin/sh", "-c", line], input=program + request, capture_output=True, check=False
    )
    outputs = parse_answer(done.stdout, 1, "mark-0")
    assert outputs is not None
    return outputs[0].status
