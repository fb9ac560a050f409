"""The batch script, run by the machine's own sh."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldentooth.check import Output
from goldentooth.errors import UnreachableError
from goldentooth.transports.batch import batch_script, parse_batch, write_command

MARK = "mark-0123456789abcdef"


def run(*commands: str, seconds: int = 10, noise: str = "") -> tuple[Output, ...]:
    script = noise + batch_script(commands, MARK, seconds=seconds)
    done = subprocess.run(
        ["/bin/sh", "-s"], input=script.encode(), stdout=subprocess.PIPE, check=True
    )
    return parse_batch(done.stdout, len(commands), MARK)


@pytest.mark.parametrize(
    ("command", "stdout"),
    [
        ("printf abc", b"abc"),
        ("printf 'abc\\n\\n'", b"abc\n\n"),
        ("printf 'a\\0b'", b"a\0b"),
        ("printf '\\377\\376'", b"\xff\xfe"),
        ("true", b""),
        ("echo 'it'\\''s'", b"it's\n"),
    ],
)
def test_output_comes_through_to_the_byte(command: str, stdout: bytes) -> None:
    (output,) = run(command)
    assert output == Output(stdout)


def test_status_and_errors_are_kept_apart_from_output() -> None:
    failed, fine = run("echo out; echo err >&2; exit 3", "echo fine")
    assert failed == Output(b"out\n", b"err\n", 3)
    assert fine == Output(b"fine\n")


def test_a_large_output_and_large_errors_do_not_mix() -> None:
    (output,) = run("head -c 5000000 /dev/zero; head -c 60000 /dev/zero | tr '\\0' e >&2; exit 4")
    assert output.stdout == bytes(5_000_000)
    assert output.stderr == b"e" * 60_000
    assert output.status == 4


def test_endless_output_is_bounded_and_said_to_be() -> None:
    (output,) = run("cat /dev/zero")
    assert output.is_truncated
    assert len(output.stdout) == 16 * 1024 * 1024


def test_a_command_that_hangs_is_ended_and_the_next_one_runs() -> None:
    hung, fine = run("sleep 60", "echo fine", seconds=1)
    assert hung.status == 124
    assert fine.stdout == b"fine\n"


def test_a_command_cannot_read_the_script() -> None:
    eaten, fine = run("cat", "echo fine")
    assert eaten == Output(b"")
    assert fine.stdout == b"fine\n"


def test_what_a_login_shell_says_first_is_not_read() -> None:
    (output,) = run("echo fine", noise="echo Welcome to Debian\n")
    assert output.stdout == b"fine\n"


def test_an_answer_that_breaks_off_is_an_error() -> None:
    script = batch_script(("echo one", "kill -9 $PPID"), MARK)
    done = subprocess.run(
        ["/bin/sh", "-s"], input=script.encode(), stdout=subprocess.PIPE, check=False
    )
    with pytest.raises(UnreachableError, match="broke off after"):
        parse_batch(done.stdout[:-20], 2, MARK)


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=300), st.text(st.characters(exclude_characters="\0"), max_size=30))
def test_a_file_is_written_to_the_byte_whatever_its_name(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    folder = tmp_path_factory.mktemp("write")
    path = f"{folder}/deep/{name.replace('/', '_').encode(errors='ignore').decode()[:20]}x"
    (output,) = run(write_command(path, content, f"{_me()}", 0o640))
    assert output.status == 0, output.stderr
    assert Path(path).read_bytes() == content
    assert subprocess.check_output(["stat", "-c", "%a", path]).strip() == b"640"
    assert len(subprocess.check_output(["ls", "-A", f"{folder}/deep"]).splitlines()) >= 1


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = f"{tmp_path}/file"
    (first,) = run(write_command(path, b"old", _me(), 0o644))
    (second,) = run(write_command(path, b"new", "no-such-user", 0o644))
    assert first.status == 0
    assert second.status != 0
    assert Path(path).read_bytes() == b"old"
    assert subprocess.check_output(["ls", "-A", str(tmp_path)]) == b"file\n"


def _me() -> str:
    return subprocess.check_output(["sh", "-c", "echo $(id -un):$(id -gn)"], text=True).strip()
