"""The program on a host as it is shipped: what it takes and refuses before it does anything."""

from __future__ import annotations

import ast
import io
import marshal
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from goldentooth.check import Output
from goldentooth.errors import TransportError
from goldentooth.host import (
    ALLOWED,
    OLDEST_PYTHON,
    STATE,
    bundle,
    installed_program,
    module_texts,
    reading_program,
    sent_program,
)
from goldentooth.host.request import PROTOCOL, Head, read_commands, read_head
from goldentooth.host.start import KEPT
from goldentooth.host.words import Refusal
from goldentooth.transports import Command
from goldentooth.transports.batch import as_root, parse_answer, request_bytes
from goldentooth.transports.files import parse_files
from tests.namespaces import eventually

MARK = "mark-0123456789abcdef"
WAYS = pytest.mark.parametrize("aside", [False, True], ids=["run", "gather"])
PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))

STUB = '''
"""Verbs of this test alone."""
import os, time
from goldentooth.host.words import Refusal

class Verb:
    def __init__(self, act, *needs):
        self.act = act
        self.is_package = False
        self.needs = lambda request: needs

    def read(self, words, data):
        if words == ["bad"]:
            raise Refusal("malformed", "bad")
        return words

def touch(machine, words):
    os.close(os.open(words[0], os.O_CREAT, 0o644))
    return b"done"

def slow(machine, words):
    time.sleep(1)
    return touch(machine, words)

def refuse(machine, words):
    raise Refusal("held", "by another")

def fail(machine, words):
    return 1 // 0

VERBS = {
    "touch": Verb(touch, "@path /touched", ("@unit a", "@unit b")),
    "slow": Verb(slow),
    "refuse": Verb(refuse),
    "fail": Verb(fail),
    "program": Verb(lambda machine, words: machine.program.encode()),
}

def answer(refusal):
    return refusal.reason.encode()

def switch(machine, words):
    print(words, len(machine.program), os.getcwd(), sorted(os.environ))
    return 75
'''
MACHINE = """
class Machine:
    program = ""
"""
STUBS = {"verbs": STUB, "machine": MACHINE}


class Host:
    """A folder with the installed program and root's list in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.list = folder / "allowed"
        self.program = folder / "program"
        self.allow()

    def allow(self, *lines: str, **modules: str) -> None:
        self.list.write_text("".join(f"{line}\n" for line in lines))
        self.list.chmod(0o644)
        self.program.write_text(bundle({**module_texts(), **modules}, str(self.list)))

    def send(
        self, request: bytes, python: str = sys.executable
    ) -> subprocess.CompletedProcess[bytes]:
        argv = [python, "-I", "-S", str(self.program)]
        return subprocess.run(argv, input=request, capture_output=True, check=False, timeout=60)

    def ask(self, *commands: str | Command, aside: bool = False) -> tuple[Output, ...]:
        whole = [Command(line) if isinstance(line, str) else line for line in commands]
        request = request_bytes(whole, MARK, aside=aside, seconds=10)
        outputs = parse_answer(self.send(request).stdout, len(whole), MARK)
        assert outputs is not None
        return outputs


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def paths(*names: object) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()


# -- requests that are none --------------------------------------------------------------

HOSTILE = [
    "",
    "08",
    "-1",
    "+1",
    "0x1",
    "1" * 30,
    "PATH=0",
    "x (state=0)",
    "a[$(touch$IFS$RAN)]",
    "$(touch$IFS$RAN)",
    "`touch $RAN`",
    ";touch $RAN;",
    "*",
    "\\",
    "!",
    "(",
    "-f",
    "1e3",
    "1_0",
    "\N{ARABIC-INDIC DIGIT ONE}",
    "\x00",
    "\x1b[2J",
]
FIELDS = ("version", "mark", "way", "count", "seconds", "lines", "size")


def request_with(line: str, **fields: str) -> bytes:
    """Return a request for ``line``, with other words in place of those that would be right."""
    words = {
        "version": PROTOCOL,
        "mark": MARK,
        "way": "run",
        "count": "1",
        "seconds": "5",
        "lines": "1",
        "size": "0",
        **fields,
    }
    form = "{version} {mark} {way} {count}\n{seconds} {lines} {size}\n{line}\nend\n"
    return form.format(line=line, **words).encode()


def half(name: str, host: Host) -> list[str]:
    """Return the reading half, or the program as root is sent it, or as it is installed."""
    if name == "sh":
        return ["/bin/sh", "-c", f"program=$0{os.linesep}{reading_program()}", reading_program()]
    if name == "root":
        (host.folder / "sent").write_text(sent_program())
        return [sys.executable, "-I", "-S", str(host.folder / "sent")]
    return [sys.executable, "-I", "-S", str(host.program)]


def is_mark(word: str) -> bool:
    return word.isascii() and bool(word) and word.replace("-", "x").isalnum()


@pytest.mark.parametrize("name", ["sh", "root", "user"])
@pytest.mark.parametrize("field", FIELDS)
def test_a_word_that_is_not_of_its_form_does_nothing(host: Host, name: str, field: str) -> None:
    ran = host.folder / "ran"
    line = f"echo ran >>{ran}"
    host.allow(line)
    argv = half(name, host)
    way = "gather" if name == "sh" else "run"
    whole = request_with(line, way=way)
    assert subprocess.run(argv, input=whole, stdout=subprocess.DEVNULL, check=False).returncode == 0
    assert ran.read_text() == "ran\n", "the request is a good one but for that word"
    before = set(Path("/run").glob("goldentooth.*"))
    hostile = [word for word in HOSTILE if field != "mark" or not is_mark(word)]
    for word in hostile[:: 1 if name == "sh" else 3]:
        request = request_with(line, **{"way": way, field: word})
        done = subprocess.run(
            argv,
            input=request,
            capture_output=True,
            env={"RAN": str(ran), "PATH": os.environ["PATH"]},
            check=False,
            timeout=30,
        )
        assert done.returncode != 0, word
        assert not done.stdout.endswith(b"done\n"), word
        assert b"raceback" not in done.stderr
    assert ran.read_text() == "ran\n"
    eventually(lambda: not set(Path("/run").glob("goldentooth.*")) - before)


def test_both_halves_take_the_same_numbers() -> None:
    words = [*HOSTILE, "0", "1", "9", "86400", "86401", "0.5", "0.0", "00.5", "0.05", "86400.0"]
    words += ["1.2345", "1.", ".5", "1..5", "1.5.5", "999999999", "9999999999", "1.0a", "5.050"]
    words = [word for word in words if "\0" not in word]
    script = reading_program().replace('main "$@"', "") + (
        'for each; do if is_seconds "$each"; then echo yes; else echo no; fi; done'
    )
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *words], capture_output=True, text=True, check=True
    )
    for word, said in zip(words, done.stdout.split(), strict=True):
        request = io.BytesIO(request_with("true", seconds=word))
        try:
            read_commands(request, read_head(request))
        except Refusal:
            assert (word, said) == (word, "no")
        else:
            assert (word, said) == (word, "yes")


def test_the_reading_half_speaks_the_same_protocol() -> None:
    assert f"\nprotocol={PROTOCOL}\n" in reading_program()
    assert f"\nstate={STATE}\n" in reading_program()


@given(st.data())
@settings(max_examples=300)
def test_a_request_that_breaks_off_or_is_changed_anywhere_is_read_or_refused(
    data: st.DataObject,
) -> None:
    commands = [Command("echo a\necho b", b"x" * 20), Command("@files", b"/etc/hosts\n")]
    whole = request_bytes(commands, MARK, aside=False, seconds=1.5)
    at = data.draw(st.integers(0, len(whole) - 1))
    cut = io.BytesIO(whole[:at])
    with pytest.raises(Refusal):
        read_commands(cut, read_head(cut))
    changed = io.BytesIO(whole[:at] + data.draw(st.binary(max_size=3)) + whole[at + 1 :])
    with suppress(Refusal):
        asked = read_commands(changed, read_head(changed))
        assert len(asked) <= 1000
        assert all(0 < each.seconds < 86400 and each.line.strip() for each in asked)


@WAYS
@pytest.mark.parametrize("end", [b"", b"1 1 0\n", b"1 1 5\ntrue\nab", b"1 1 0\ntrue\n", b"x\n"])
def test_of_a_request_that_breaks_off_nothing_is_done(
    host: Host, end: bytes, *, aside: bool
) -> None:
    ran = host.folder / "ran"
    host.allow(f"touch {ran}")
    (first,) = [request_bytes([Command(f"touch {ran}")], MARK, aside=aside, seconds=5)]
    done = host.send(first.replace(b" 1\n", b" 2\n", 1) + end)
    assert done.returncode == 1
    with pytest.raises(TransportError, match=r"broke off|malformed"):
        parse_answer(done.stdout, 2, MARK)
    assert not ran.exists()


@pytest.mark.parametrize(
    "request_text",
    [
        request_with("true", count="1001"),
        request_with("true", size="134217729"),
        request_with("x" * 120_001),
        request_with("true", lines="1001"),
        request_with("true", seconds="86400"),
        request_with(" "),
        request_with("a\0b"),
        request_with("true", mark="m" * 65),
    ],
    ids=["count", "input", "text", "lines", "seconds", "nothing", "nul", "mark"],
)
def test_what_is_too_much_is_refused(request_text: bytes) -> None:
    stream = io.BytesIO(request_text)
    with pytest.raises(Refusal):
        read_commands(stream, read_head(stream))


def test_input_is_bounded_in_all() -> None:
    class Endless(io.BytesIO):
        """Has as many bytes as are asked for, and lines in turn."""

        lines: Iterator[bytes]

        def read(self, size: int | None = -1) -> bytes:
            return bytes(size or 0)

        def readline(self, _size: int | None = -1) -> bytes:
            return next(self.lines)

    stream = Endless()
    stream.lines = iter([b"5 1 67108864\n", b"true\n", b"end\n"] * 3)
    with pytest.raises(Refusal, match="not a number from 0 to 0"):
        read_commands(stream, Head(PROTOCOL, MARK, "run", "3"))


# -- root's list -------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize(
    "line",
    [
        "echo no",
        "echo yes; echo no",
        "echo yes\necho no",
        "echo yes\necho also",
        "echo ye*",
        "echo yes ",
        " echo yes",
        "# echo no",
        "*",
        "\\",
    ],
)
def test_what_is_not_listed_to_the_letter_is_not_run(host: Host, line: str, *, aside: bool) -> None:
    host.allow("echo yes", "echo also", "# echo no")
    refused, fine = host.ask(line, "echo yes", aside=aside)
    assert (refused.status, refused.is_refused, refused.stdout) == (126, True, b"")
    assert f"is not in {host.list} on this host: deploy the access" in refused.complaint
    assert fine == Output(b"yes\n")


@WAYS
def test_a_listed_command_is_given_nothing_to_read(host: Host, *, aside: bool) -> None:
    host.allow("sh")
    (output,) = host.ask(Command("sh", b"echo no"), aside=aside)
    assert (output.status, output.is_refused) == (126, True)


@WAYS
def test_without_a_list_nothing_is_run(host: Host, *, aside: bool) -> None:
    host.allow("echo yes")
    assert host.ask("echo yes", aside=aside) == (Output(b"yes\n"),)
    for mode in (0o664, 0o646):
        host.list.chmod(mode)
        assert host.ask("echo yes", aside=aside)[0].is_refused
    host.list.unlink()
    assert host.ask("echo yes", aside=aside)[0].is_refused
    host.list.mkdir()
    assert host.ask("echo yes", aside=aside)[0].is_refused


@WAYS
@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/etc/host",
        "/etc/hostnames",
        "/etc/hostname/",
        "/etc/*",
        "/etc/./hostname",
        "/etc//hostname",
        "/etc/../etc/hostname",
        "/",
        "no",
        "",
    ],
)
@pytest.mark.parametrize("verb", ["@files", "@collect"])
def test_a_path_that_is_not_listed_is_not_read(
    host: Host, verb: str, path: str, *, aside: bool
) -> None:
    host.allow("no", "# @read /etc/passwd", "@read /etc/hostname", "@path /etc/hosts")
    commands = [
        Command(verb, paths("/etc/hostname", path)),
        Command(verb, paths("/etc/hostname", "/etc/hosts")),
    ]
    refused, read = host.ask(*commands, aside=aside)
    assert (refused.status, refused.is_refused, refused.stdout) == (126, True, b"")
    assert parse_files(read).keys() >= {"/etc/hostname", "/etc/hosts"}


@WAYS
def test_below_a_folder_that_is_listed_a_link_leads_nowhere(host: Host, *, aside: bool) -> None:
    folder, secret = host.folder / "folder", host.folder / "secret"
    (folder / "sub").mkdir(parents=True)
    secret.mkdir()
    for place in (folder / "sub/file", secret / "file"):
        place.write_text("x")
    (folder / "link").symlink_to(secret)
    host.allow(f"@path {folder}/")
    asked = [f"{folder}/sub/file", f"{folder}/sub/", f"{folder}/link", f"{folder}/"]
    asked += [f"{folder}/link/file", f"{folder}/link/", f"{folder}x/", str(secret)]
    outputs = host.ask(*(Command("@files", paths(path)) for path in asked), aside=aside)
    assert [output.is_refused for output in outputs] == [False] * 4 + [True] * 4
    assert not any(f"{secret}/file" in parse_files(output) for output in outputs[:4])


@pytest.mark.parametrize("line", ["@refused", "@touch x", "@nothing", "@files /etc/shadow", "@"])
def test_side_by_side_only_reads_are_done(host: Host, line: str) -> None:
    host.allow(line, "echo yes", verbs="raise AssertionError")
    refused, fine = host.ask(line, "echo yes", aside=True)
    assert refused.is_refused
    assert "among its reads" in refused.complaint
    assert fine == Output(b"yes\n")


# -- verbs -------------------------------------------------------------------------------


def test_a_verb_acts_if_the_list_has_all_that_it_needs(host: Host) -> None:
    place = host.folder / "touched"
    for lines in (["@path /touched"], ["@unit a"], [], ["@path /touched*", "@unit b"]):
        host.allow(*lines, **STUBS)
        (output,) = host.ask(f"@touch {place}")
        assert (output.status, output.is_refused, output.stdout) == (126, True, b"not-listed")
        assert " is not in " in output.complaint
        assert not place.exists()
    host.allow("@path /touched", "@unit b", **STUBS)
    assert host.ask(f"@touch {place}") == (Output(b"done"),)
    assert place.exists()


def test_all_is_read_before_a_verb_acts(host: Host) -> None:
    place = host.folder / "touched"
    host.allow("@path /touched", "@unit a", **STUBS)
    request = request_bytes([Command(f"@touch {place}")] * 2, MARK, aside=False, seconds=5)
    host.send(request[:-1])
    assert not place.exists()


def test_a_verb_says_in_its_answer_why_it_is_not_done(host: Host) -> None:
    host.allow(**STUBS)
    refused, malformed, unknown = host.ask("@refuse", "@refuse bad", "@other x")
    assert refused == Output(b"held", status=1)
    assert malformed == Output(b"malformed", status=1)
    assert (unknown.status, unknown.stdout) == (127, b"")
    assert unknown.stderr == b"this host's program has no @other\n"


def test_a_mistake_in_a_verb_is_one_line(host: Host) -> None:
    host.allow(**STUBS)
    (output,) = host.ask("@fail")
    assert (output.status, output.stdout) == (70, b"internal")
    line = STUB.splitlines().index("    return 1 // 0") + 1
    place = f"in goldentooth.host.verbs at line {line}"
    assert output.stderr.decode() == f"internal error: ZeroDivisionError {place}\n"


def test_the_program_knows_its_own_text(host: Host) -> None:
    host.allow(**STUBS)
    (output,) = host.ask("@program")
    assert output.stdout.decode() == host.program.read_text()
    text = bundle({**module_texts(), **STUBS}, "")
    line, program = as_root(MARK, aside=False)
    request = request_bytes([Command("@program")], MARK, aside=False, seconds=5)
    done = subprocess.run(
        ["/bin/sh", "-c", line.replace(f"{len(program)}", f"{len(text.encode())}")],
        input=text.encode() + request,
        stdout=subprocess.PIPE,
        check=True,
    )
    outputs = parse_answer(done.stdout, 1, MARK)
    assert outputs
    assert outputs[0].stdout.decode() == text


def test_the_switch_calls_it_with_words(host: Host) -> None:
    host.allow(**STUBS)
    argv = [sys.executable, "-I", "-S", str(host.program)]
    done = subprocess.run([*argv, "switch", "x", "timer"], capture_output=True, check=False)
    assert done.returncode == 75
    environment = sorted(["PATH", "LC_ALL", "HOME"])
    text = host.program.read_text()
    assert done.stdout.decode() == f"{['x', 'timer']} {len(text)} / {environment}\n"
    assert subprocess.run([*argv, "stage", "x"], capture_output=True, check=False).returncode == 64


# -- what is found around it ---------------------------------------------------------------


@WAYS
def test_nothing_of_the_caller_s_is_around_a_command(host: Host, *, aside: bool) -> None:
    look = "env | sort; pwd; umask; ls -l /proc/self/fd | wc -l; cat"
    line, program = as_root(MARK, aside=aside)
    request = program + request_bytes([Command(look)], MARK, aside=aside, seconds=5)
    with (host.folder / "open").open("w") as file:
        done = subprocess.run(
            ["/bin/sh", "-c", line],
            input=request,
            stdout=subprocess.PIPE,
            env={**os.environ, "EVIL": "x", "PYTHONPATH": "/evil", "ENV": "/evil"},
            cwd=host.folder,
            umask=0,
            pass_fds=[] if aside else [file.fileno()],
            check=True,
        )
    outputs = parse_answer(done.stdout, 1, MARK)
    assert outputs
    *environment, folder, mask, files = outputs[0].text.split()
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert environment == ["HOME=/root", "LC_ALL=C", f"PATH={path}", "PWD=/"]
    assert (folder, mask) == ("/", "0022")
    assert files == "5"  # `total`, the three, and the listing's own


@WAYS
def test_what_sudo_hands_on_of_the_caller_is_left_behind(host: Host, *, aside: bool) -> None:
    look = (
        "grep -E 'Sig(Ign|Blk)' /proc/self/status; ulimit -f; ulimit -t; ulimit -n; yes | head -n 1"
    )
    host.allow(look)

    def spoil() -> None:
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGPIPE, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGTERM])
        for kind, limit in ((resource.RLIMIT_FSIZE, 10**6), (resource.RLIMIT_CPU, 50)):
            resource.setrlimit(kind, (limit, resource.getrlimit(kind)[1]))

    done = subprocess.run(
        [sys.executable, "-I", "-S", str(host.program)],
        input=request_bytes([Command(look)], MARK, aside=aside, seconds=5),
        stdout=subprocess.PIPE,
        preexec_fn=spoil,
        check=True,
    )
    outputs = parse_answer(done.stdout, 1, MARK)
    assert outputs
    ignored = [
        int(line.split()[1], 16) & (1 << 31) - 1 for line in outputs[0].text.splitlines()[:2]
    ]
    assert ignored == [0, 6 if aside else 0]  # sh: what runs in the background has no Ctrl-C
    limits = outputs[0].text.split()[4:]
    assert outputs[0].stderr == b""
    assert limits == ["131073" if aside else "unlimited", "unlimited", "1024", "y"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, None])
def test_what_is_under_way_ends_and_nothing_else_begins(
    host: Host, number: signal.Signals | None
) -> None:
    host.allow(**STUBS)
    names = [host.folder / name for name in "ab"]
    commands = [Command(f"@slow {name}") for name in names]
    request = request_bytes(commands, MARK, aside=False, seconds=10)
    with subprocess.Popen(
        [sys.executable, "-I", "-S", str(host.program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(request)
        process.stdin.close()
        process.stdout.readline()
        time.sleep(0.3)
        if number:
            process.send_signal(number)
        else:
            process.stdout.close()
        assert process.wait(20) == 1
    assert [name.exists() for name in names] == [True, False]


def test_a_group_of_its_own_does_not_save_a_process_from_the_end(host: Host) -> None:
    place = host.folder / "pid"
    line = f"trap '' TERM; timeout 60 sh -c 'echo $$ >{place}; exec sleep 60'; true"
    host.allow(line)
    (output,) = parse_answer(  # type: ignore[misc]
        host.send(request_bytes([Command(line)], MARK, aside=False, seconds=1)).stdout, 1, MARK
    )
    assert output.is_late
    process = Path("/proc") / place.read_text().strip()
    eventually(lambda: not process.exists())


# -- Python on the host --------------------------------------------------------------------


def ask_with(line: str) -> tuple[Output, ...] | None:
    _, program = as_root(MARK, aside=False)
    commands = [Command("echo fine"), Command("@none")]
    request = program + request_bytes(commands, MARK, aside=False, seconds=5)
    done = subprocess.run(
        ["/bin/sh", "-c", line], input=request, stdout=subprocess.PIPE, check=False
    )
    return parse_answer(done.stdout, 2, MARK)


def test_a_host_without_python_is_refused_with_what_to_install(tmp_path: Path) -> None:
    line, _ = as_root(MARK, aside=False)
    with pytest.raises(TransportError, match="apt-get install python3"):
        ask_with(line.replace("PATH=", f"PATH={tmp_path} NOT="))


def test_a_host_with_an_old_python_is_refused_with_what_to_install(tmp_path: Path) -> None:
    line, _ = as_root(MARK, aside=False)
    with pytest.raises(TransportError, match=r"older than 3\.9: install"):
        ask_with(line.replace("(3, 9)", "(99, 0)"))
    for python in PYTHONS:
        (tmp_path / "python3").unlink(missing_ok=True)
        (tmp_path / "python3").symlink_to(python)
        version = tuple(map(int, python.parts[-3].split(".")))
        here = line.replace("PATH=", f"PATH={tmp_path}:")
        if version < OLDEST_PYTHON:
            with pytest.raises(TransportError, match=r"older than 3\.9: install"):
                ask_with(here)
        else:
            fine, unknown = ask_with(here) or ()
            assert fine == Output(b"fine\n")
            assert unknown.status == 127  # to know that, all modules are compiled


def test_a_host_with_half_of_python_is_refused_with_what_to_install(host: Host) -> None:
    host.allow(verbs="import json_is_in_another_package")  # as for python3-minimal
    request = request_bytes([Command("@lock")], MARK, aside=False, seconds=5)
    with pytest.raises(TransportError, match="apt-get install python3"):
        parse_answer(host.send(request).stdout, 1, MARK)


@pytest.mark.skipif(not shutil.which("/usr/bin/python3"), reason="Debian's own python3 is absent")
def test_the_installed_file_is_a_program(tmp_path: Path) -> None:
    listed, program = tmp_path / "allowed", tmp_path / "program"
    listed.write_text("echo yes\n")
    listed.chmod(0o644)
    program.write_text(installed_program().replace(repr(ALLOWED), repr(str(listed))))
    program.chmod(0o755)
    request = request_bytes([Command("echo yes")] * 2, MARK, aside=False, seconds=5)
    done = subprocess.run([str(program)], input=request, capture_output=True, check=True)
    assert parse_answer(done.stdout, 2, MARK) == (Output(b"yes\n"),) * 2


LIGHT = {
    "_signal",
    "collections.abc",
    "errno",
    "fcntl",
    "grp",
    "hashlib",
    "json",
    "marshal",
    "os",
    "pwd",
    "resource",
    "select",
    "signal",
    "stat",
    "sys",
    "time",
}


@pytest.mark.parametrize("name", module_texts())
def test_every_module_is_what_an_old_python_reads_and_imports_little(name: str) -> None:
    tree = ast.parse(module_texts()[name], feature_version=OLDEST_PYTHON)
    assert imported(tree.body) <= LIGHT | {"__future__"} | {
        f"goldentooth.host.{other}" for other in module_texts()
    }


def imported(body: Sequence[ast.stmt]) -> set[str]:
    """Return what is imported when the program runs, anywhere in ``body``."""
    found: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module or "")
    return found


def test_the_modules_are_shipped_to_the_letter() -> None:
    *_, call = ast.parse(sent_program()).body
    assert isinstance(call, ast.Raise)
    assert isinstance(call.exc, ast.Call)
    (start,) = call.exc.args
    assert isinstance(start, ast.Call)
    texts, reading, allowed, _ = start.args
    assert ast.literal_eval(texts) == {
        f"goldentooth.host.{name}": text for name, text in module_texts().items() if name != "start"
    }
    assert (ast.literal_eval(reading), ast.literal_eval(allowed)) == (reading_program(), "")
    assert sent_program().startswith(module_texts()["start"])


# -- what was compiled is kept -------------------------------------------------------------


def keeping(host: Host) -> Path:
    """Let the program keep what it compiles in a folder of the test; return that."""
    folder = host.folder / "kept"
    host.program.write_text(host.program.read_text().replace(KEPT, str(folder)))
    return folder


def other_code(folder: Path) -> bytes:
    """Return what is kept there, if a verb had been compiled of another text."""
    version, texts, codes = marshal.loads((folder / "compiled").read_bytes())  # noqa: S302
    other = STUB.replace('b"done"', 'b"other"')
    codes["goldentooth.host.verbs"] = compile(other, "goldentooth.host.verbs", "exec")
    return marshal.dumps((version, texts, codes))


@pytest.fixture
def kept(host: Host) -> Path:
    host.allow("@path /touched", "@unit a", **STUBS)
    folder = keeping(host)
    assert host.ask(f"@touch {host.folder}/x") == (Output(b"done"),)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [place.name for place in folder.iterdir()] == ["compiled"]
    (folder / "compiled").write_bytes(other_code(folder))
    return folder


def test_what_was_compiled_is_used_again(host: Host, kept: Path) -> None:
    assert kept.is_dir()
    assert host.ask(f"@touch {host.folder}/x") == (Output(b"other"),)


def test_what_was_compiled_of_another_text_is_not_used(host: Host, kept: Path) -> None:
    host.program.write_text(host.program.read_text().replace("by another", "by somebody"))
    for _ in range(2):
        assert host.ask(f"@touch {host.folder}/x") == (Output(b"done"),)


@pytest.mark.parametrize("mode", [0o770, 0o701, 0o755])
def test_what_others_could_have_kept_is_not_used(host: Host, kept: Path, mode: int) -> None:
    kept.chmod(mode)
    assert host.ask(f"@touch {host.folder}/x") == (Output(b"done"),)


def test_what_a_link_leads_to_is_not_used(host: Host, kept: Path) -> None:
    kept.rename(host.folder / "elsewhere")
    kept.symlink_to("elsewhere")
    assert host.ask(f"@touch {host.folder}/x") == (Output(b"done"),)


@pytest.mark.parametrize("content", [b"", b"garbage", marshal.dumps((1, 2)), marshal.dumps(None)])
def test_what_is_not_whole_is_made_anew(host: Host, kept: Path, content: bytes) -> None:
    (kept / "compiled").write_bytes(content)
    assert host.ask(f"@touch {host.folder}/x") == (Output(b"done"),)
    assert marshal.loads((kept / "compiled").read_bytes())[0] == sys.version  # noqa: S302


# -- the record --------------------------------------------------------------------------


def collected(state: Path, *asked: Path) -> set[str]:
    done = subprocess.run(
        ["/bin/sh", "-c", reading_program().replace(STATE, str(state)), "sh", "collect"],
        input=paths(*asked),
        capture_output=True,
        check=True,
    )
    return {path.removeprefix(f"{state}/") for path in parse_files(Output(done.stdout))}


def test_the_record_that_the_state_names_is_collected_with_the_files_of_it(tmp_path: Path) -> None:
    state, live = tmp_path / "state", tmp_path / "live.conf"
    record = state / "deployments/a-1.b/record"
    (record / "files").mkdir(parents=True)
    copy = record / "files" / str(live)[1:]
    copy.parent.mkdir(parents=True)
    for place in (copy, live, record / "manifest.json", record / "key", record / "other"):
        place.write_text("x")
    (state / "state.json").write_text(
        '{\n "number": 3,\n "applied": "deployments/a-1.b/record",\n "armed": null\n}\n'
    )
    name = "deployments/a-1.b/record"
    wanted = {"state.json", f"{name}/manifest.json", f"{name}/key", f"{name}/files{live}"}
    assert collected(state) == {*wanted, str(live)}
    assert collected(state, live) == {*wanted, str(live)}


@pytest.mark.parametrize(
    "line",
    [
        ' "applied": null,',
        ' "applied": "../other",',
        ' "applied": "deployments/../../other",',
        ' "applied": "/other",',
        ' "applied": "a b",',
        ' "applied": "$(touch ran)",',
        ' "applied": "",',
        '  "applied": "deployments/a/record",',
        ' "by": "x\\n \\"applied\\": \\"deployments/a/record\\"",',
        "",
    ],
)
def test_a_state_that_names_no_record_names_nothing_else(tmp_path: Path, line: str) -> None:
    for record in (tmp_path / "state/deployments/a/record", tmp_path / "other"):
        record.mkdir(parents=True)
        (record / "manifest.json").write_text("x")
    (tmp_path / "state/state.json").write_text(f"{{\n{line}\n}}\n")
    assert collected(tmp_path / "state") == {"state.json"}


def test_a_host_without_a_state_has_no_record(tmp_path: Path) -> None:
    assert collected(tmp_path / "state", Path("/etc/hostname")) == {"/etc/hostname"}
