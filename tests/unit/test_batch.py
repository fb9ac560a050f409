"""The host's program, run by the machine's own sh and Python, and what is made of its answers."""

from __future__ import annotations

import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldentooth.check import Output
from goldentooth.errors import PrivilegeError, TransportError, UnreachableError, UsageError
from goldentooth.transports import Command
from goldentooth.transports.batch import (
    OUTPUT_LIMIT,
    as_root,
    explain_silence,
    parse_answer,
    request_bytes,
)
from goldentooth.transports.files import parse_files
from tests.namespaces import needs_root

MARK = "mark-0123456789abcdef"
WAYS = pytest.mark.parametrize("aside", [False, True], ids=["run", "gather"])


def exchange(
    *commands: str | Command, aside: bool = False, seconds: float = 10, noise: str = ""
) -> bytes:
    whole = [Command(line) if isinstance(line, str) else line for line in commands]
    line, text = as_root(MARK, aside=aside)
    request = text + request_bytes(whole, MARK, aside=aside, seconds=seconds)
    done = subprocess.run(
        ["/bin/sh", "-c", noise + line], input=request, stdout=subprocess.PIPE, check=False
    )
    return done.stdout


def run(*commands: str | Command, aside: bool = False, **options: object) -> tuple[Output, ...]:
    printed = exchange(*commands, aside=aside, **options)  # type: ignore[arg-type]
    outputs = parse_answer(printed, len(commands), MARK)
    assert outputs is not None
    return outputs


@WAYS
@pytest.mark.parametrize(
    ("command", "stdout"),
    [
        ("printf abc", b"abc"),
        ("printf 'abc\\n\\n'", b"abc\n\n"),
        ("printf 'a\\0b'", b"a\0b"),
        ("printf '\\377\\376'", b"\xff\xfe"),
        ("true", b""),
        ("echo 'it'\\''s'", b"it's\n"),
        ("printf a\nprintf b\n", b"ab"),
        ("\nprintf c", b"c"),
        ("  printf '%s' \\\\", b"\\"),
    ],
)
def test_output_comes_through_to_the_byte(command: str, stdout: bytes, *, aside: bool) -> None:
    (output,) = run(command, aside=aside)
    assert output == Output(stdout)


@WAYS
def test_status_and_errors_are_kept_apart_from_output(*, aside: bool) -> None:
    failed, fine = run("echo out; echo err >&2; exit 3", "echo fine", aside=aside)
    assert failed == Output(b"out\n", b"err\n", 3)
    assert fine == Output(b"fine\n")


@WAYS
def test_what_the_shell_says_of_a_command_is_its_error(*, aside: bool) -> None:
    missing, wrong = run("no-such-command", "if", aside=aside)
    assert (missing.status, wrong.status) == (127, 2)
    assert b"no-such-command: not found" in missing.stderr
    assert b"Syntax error" in wrong.stderr


@WAYS
def test_a_large_output_and_large_errors_do_not_mix(*, aside: bool) -> None:
    command = "head -c 5000000 /dev/zero; head -c 60000 /dev/zero | tr '\\0' e >&2; exit 4"
    (output,) = run(command, aside=aside)
    assert output.stdout == bytes(5_000_000)
    assert output.stderr == b"e" * 60_000
    assert output.status == 4


@WAYS
def test_endless_output_is_bounded_and_said_to_be(*, aside: bool) -> None:
    endless, fine = run("cat /dev/zero", "echo fine", aside=aside, seconds=2)
    assert endless.is_truncated
    assert len(endless.stdout) == OUTPUT_LIMIT
    assert fine == Output(b"fine\n")


@WAYS
def test_a_command_that_hangs_is_ended_and_the_others_are_answered(*, aside: bool) -> None:
    hung, stubborn, fine = run(
        "echo begun; sleep 60", "trap '' TERM; sleep 60", "echo fine", aside=aside, seconds=1
    )
    assert hung == Output(b"begun\n", status=124, is_late=True)
    assert stubborn.is_late
    assert fine == Output(b"fine\n")


@WAYS
@pytest.mark.parametrize("others", range(5))  # the signal may come once or twice
def test_what_does_not_end_by_itself_is_killed_with_all_that_it_began(
    tmp_path: Path, others: int, *, aside: bool
) -> None:
    stubborn = f"trap '' TERM; echo $$ >{tmp_path}/a; sleep 61 & echo $! >{tmp_path}/b; wait; wait"
    outputs = run(stubborn, *["true"] * others, aside=aside, seconds=1)
    assert outputs[0].is_late
    begun = [int((tmp_path / name).read_text()) for name in "ab"]
    deadline = time.monotonic() + 5
    while any(map(_is_alive, begun)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(_is_alive, begun))


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@WAYS
def test_a_status_of_124_alone_is_not_late(*, aside: bool) -> None:
    (output,) = run("exit 124", aside=aside)
    assert output == Output(b"", status=124)


def test_reads_run_side_by_side() -> None:
    begun = time.monotonic()
    outputs = run(*["sleep 1"] * 20, aside=True)
    assert outputs == (Output(b""),) * 20
    assert time.monotonic() - begun < 10


def test_of_many_reads_each_has_its_own_answer_in_whatever_order_they_end() -> None:
    commands = [f"sleep 0.{7 * index % 10}; echo {index}" for index in range(30)]
    outputs = run(*commands, "exit 3", "echo no >&2", aside=True)
    wanted = [Output(f"{index}\n".encode()) for index in range(30)]
    assert outputs == (*wanted, Output(b"", status=3), Output(b"", b"no\n"))


def test_a_host_that_has_no_room_for_an_answer_says_so() -> None:
    fill = 'exec 3>&1; ln -s /dev/full "$(readlink /proc/self/fd/3 | sed s/out$/end/)"'
    with pytest.raises(TransportError, match="is full"):
        run("echo fine", fill, aside=True)


@WAYS
def test_a_command_that_ends_its_process_group_loses_no_word_of_the_others(*, aside: bool) -> None:
    killer, fine = run("sleep 0.5; kill -KILL 0", "echo fine", aside=aside)
    assert (killer.status, killer.is_late, killer.is_missing) == (137, False, False)
    assert fine == Output(b"fine\n")


@needs_root
@pytest.mark.parametrize(
    "commands",
    [
        ("head -c 9000000 /dev/zero", "echo fine"),
        ("yes >&2", "echo fine"),
        ("head -c 9000000 /dev/zero", "head -c 9000000 /dev/zero", "sleep 0.5; echo late"),
    ],
)
def test_a_host_without_memory_for_the_answer_says_so(commands: tuple[str, ...]) -> None:
    line, text = as_root(MARK, aside=True)
    request = text + request_bytes([*map(Command, commands)], MARK, aside=True, seconds=3)
    small = "mount -t tmpfs -o size=2m tmpfs /run && mount -t tmpfs -o ro tmpfs /dev/shm && "
    done = subprocess.run(
        ["unshare", "--mount", "/bin/sh", "-c", small + line],
        input=request,
        stdout=subprocess.PIPE,
        check=False,
    )
    with pytest.raises(TransportError, match="is full"):
        parse_answer(done.stdout, len(commands), MARK)


def test_an_answer_without_its_beginning_has_not_that_of_another() -> None:
    printed = f"{MARK} start 2\n\n{MARK} out 0\nmine\n{MARK} end 0 0 \n\n{MARK} end 1 0 \n".encode()
    assert parse_answer(printed, 2, MARK) == (Output(b"mine"), Output(b""))


def test_a_command_has_its_own_time() -> None:
    long, short = run(Command("sleep 1.5", seconds=5), Command("sleep 60", seconds=0.5), seconds=1)
    assert long == Output(b"")
    assert short.is_late


@WAYS
def test_a_command_reads_what_it_was_sent_and_no_more(*, aside: bool) -> None:
    sent = bytes(range(256)) * 5000
    eaten, given, fine = run("cat", Command("cat", sent), "echo fine", aside=aside)
    assert (eaten, given, fine) == (Output(b""), Output(sent), Output(b"fine\n"))


def test_commands_that_run_in_turn_do_so(tmp_path: Path) -> None:
    place = tmp_path / "order"
    run(*[f"echo {number} >>{place}" for number in range(20)])
    assert place.read_text().split() == [str(number) for number in range(20)]


def test_a_daemon_that_is_left_behind_does_not_hold_the_answer_up(tmp_path: Path) -> None:
    begun = time.monotonic()
    (output,) = run(f"sleep 30 & echo $! >{tmp_path}/pid; echo fine", seconds=1)
    assert output == Output(b"fine\n")
    assert time.monotonic() - begun < 20
    subprocess.run(["kill", (tmp_path / "pid").read_text().strip()], check=True)


@WAYS
def test_what_a_login_shell_says_first_is_not_read(*, aside: bool) -> None:
    (output,) = run("echo fine", aside=aside, noise="echo Welcome to Debian\n")
    assert output.stdout == b"fine\n"


@WAYS
@settings(max_examples=15)
@given(cut=st.floats(0, 1))
def test_of_an_answer_that_breaks_off_what_was_said_is_kept(cut: float, *, aside: bool) -> None:
    printed = _answer_of_three(aside=aside)
    outputs = parse_answer(printed[: int(cut * len(printed))], 3, MARK)
    for index, output in enumerate(outputs or ()):
        assert output.is_missing or output == Output(f"{index}\n".encode())
    assert parse_answer(printed, 3, MARK) == tuple(
        Output(f"{index}\n".encode()) for index in range(3)
    )


def _answer_of_three(
    *,
    aside: bool,
    known: dict[bool, bytes] = {},  # noqa: B006  # made once for all examples
) -> bytes:
    if aside not in known:
        known[aside] = exchange("echo 0", "echo 1", "echo 2", aside=aside)
    return known[aside]


def test_an_output_cannot_pass_for_another_ones_answer() -> None:
    (output,) = run(f"printf '\\nmark-guessed end 0 0\\n{MARK}x end 0 0\\n'")
    assert output.stdout == f"\nmark-guessed end 0 0\n{MARK}x end 0 0\n".encode()


def test_who_hangs_up_leaves_nothing_behind(tmp_path: Path) -> None:
    line, text = as_root(MARK, aside=True)
    commands = [Command(f"sleep 1; head -c 300000 /dev/zero; echo x >>{tmp_path}/ended")] * 12
    request = text + request_bytes(commands, MARK, aside=True, seconds=10)
    before = _folders()
    with subprocess.Popen(
        ["/bin/sh", "-c", line], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(request)
        process.stdin.close()
        process.stdout.readline()
        process.stdout.close()
        process.wait(20)
    deadline = time.monotonic() + 10
    while _folders() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _folders() - before


def _folders() -> set[Path]:
    return set(Path("/run").glob("goldentooth.*")) | set(Path("/dev/shm").glob("goldentooth.*"))


@pytest.mark.parametrize("line", ["", "  ", "a\0b"])
def test_what_cannot_be_a_command_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="not a command"):
        request_bytes([Command(line)], MARK, aside=False, seconds=1)


@WAYS
def test_an_unknown_verb_is_said_to_be(*, aside: bool) -> None:
    unknown, fine = run("@nothing here", "echo fine", aside=aside)
    assert unknown.status == 127
    assert b"has no @nothing" in unknown.stderr
    assert fine.status == 0


def test_another_version_of_the_program_is_said_to_be() -> None:
    for version in ("0", "1"):
        with pytest.raises(PrivilegeError, match="another version"):
            parse_answer(f"{MARK} start {version}\n".encode(), 1, MARK)


# -- answers that no program of ours gives -----------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        "end 1 0",
        "end -1 0",
        "end 0 -1",
        "end 0 256",
        "end 0 0x1",
        "end 9999999999999999999999999999 0",
        "end 0 1_0",
        "end \N{ARABIC-INDIC DIGIT ONE} 0",
        "end a 0",
        "end + 0",
    ],
)
def test_a_number_that_cannot_be_is_not_taken_for_one(words: str) -> None:
    with pytest.raises(TransportError, match="makes no sense"):
        parse_answer(f"{MARK} start 2\n\n{MARK} {words}\n".encode(), 1, MARK)


def test_of_a_reason_that_is_not_known_nothing_is_shown() -> None:
    with pytest.raises(TransportError, match="gave up") as caught:
        parse_answer(f"{MARK} start 2\n\n{MARK} broken \x1b[2J\n".encode(), 1, MARK)
    assert str(caught.value).isprintable()


WORDS = st.sampled_from(
    [b"start 2\n", b"out 0\n", b"err 1\n", b"end 0 0\n", b"end", b"broken", b"done\n", b" late\n"]
)


@settings(max_examples=500)
@given(
    st.lists(WORDS | st.binary(max_size=8) | st.integers(-9, 10**9).map(lambda n: b"%d " % n)),
    st.integers(0, 3),
)
def test_whatever_is_answered_is_outputs_or_an_error(parts: list[bytes], count: int) -> None:
    printed = b"".join(f"\n{MARK} ".encode() + part for part in [b"start 2\n", *parts])
    with suppress(TransportError):
        outputs = parse_answer(printed, count, MARK)
        assert outputs is not None
        assert len(outputs) == count
        assert all(0 <= output.status <= 255 for output in outputs)


@pytest.mark.parametrize(
    ("said", "kind", "remedy"),
    [
        ("sudo: a password is required", PrivilegeError, "deploy the access service"),
        ("sudo: a terminal is required to read the password", PrivilegeError, "naming this user"),
        ("sudo: /usr/local/sbin/goldentooth-host: command not found", PrivilegeError, "not on the"),
        (
            "sudo: unable to execute /usr/local/sbin/goldentooth-host: No such file or directory",
            PrivilegeError,
            "apt-get install python3",
        ),
        ("env: 'sudo': No such file or directory", PrivilegeError, "no sudo on the host"),
        (
            "Sorry, user ann is not allowed to execute '/usr/local/sbin/goldentooth-host' as root",
            PrivilegeError,
            "does not let ann run",
        ),
        ("This account is currently not available.", UnreachableError, "not available"),
        ("", UnreachableError, "nothing was said"),
    ],
)
def test_why_the_program_does_not_begin_is_told_apart(
    said: str, kind: type[TransportError], remedy: str
) -> None:
    error = explain_silence(f"warning: slow disk\n{said}\n".encode() if said else b"", "ann")
    assert type(error) is kind
    assert remedy in str(error)


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub/below").mkdir(parents=True)
    (folder / ".hidden-sub").mkdir()
    names = ["a", ".b", "..c", "...", "d e", "*", "-x", "line\nbreak", "é"]
    for name in names:
        (folder / name).write_text(name)
    (folder / "to-a-folder").symlink_to("sub")
    (folder / "to-nothing").symlink_to("nowhere")
    (folder / "to-a-file").symlink_to("a")
    commands = [
        Command("@collect", f"{folder}/\n".encode()),
        Command("@collect", f"{folder}/a\n{folder}/\n{tmp_path}/absent/\n".encode()),
    ]
    shown = [name.replace("\n", "\\n") for name in names]
    wanted = {f"{folder}/{name}" for name in (*shown, "to-a-folder", "to-nothing", "to-a-file")}
    for output in run(*commands, aside=True):
        found = parse_files(output)
        assert found.keys() == wanted
        assert {path for path, file in found.items() if file.kind == "link"} == {
            f"{folder}/{name}" for name in ("to-a-folder", "to-nothing", "to-a-file")
        }
        assert all(
            file.content.decode().replace("\n", "\\n") == path.rpartition("/")[2]
            for path, file in found.items()
            if file.kind == "file"
        )
