"""No way out of the program carries what steers a terminal, whatever a host has called a file."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
import unicodedata
import xml.etree.ElementTree as ET
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldentooth.check import Check, Outcome, Output, failed, judge_all
from goldentooth.drift import DriftState, HostDrift, Item
from goldentooth.history import history_table
from goldentooth.notify import Hooks
from goldentooth.report.drift import DriftReport
from goldentooth.report.history import history_table as deployments
from goldentooth.report.junit import Case, junit_xml
from goldentooth.report.plan import DeployReport
from goldentooth.report.prometheus import Gauge, metrics_text
from goldentooth.report.table import format_table
from goldentooth.text import hung, one_line, paint, printable, readable, to_json
from runbooks.cli import main
from runbooks.options import Target, write_result
from runbooks.output import PrintableStream, printable_streams
from tests.drift_reports import STARTED

ROOT = Path(__file__).parents[2]

HOSTILE = "a\x1b[2J\x9b1mb\rc\u202etxt.exe\u200b\x00\x7f\x85\u2028\udcff\ud800"

texts = st.text(
    st.one_of(
        st.characters(),
        st.characters(categories=("Cc", "Cf", "Cs", "Zl", "Zp")),
        st.sampled_from("\n\r\t\x1b\x9b\u202e[m0:{}\\\"'&<>"),
    ),
    max_size=30,
)


def is_harmless(text: str) -> bool:
    return all(letter in "\n\t" or letter.isprintable() for letter in text)


def hostile_report(text: str) -> DriftReport:
    item = Item("frr", f"/etc/frr/{text}", DriftState.UNMANAGED, text, f"--- a\n+++ b\n+{text}\n")
    whole = HostDrift("jast", (), DriftState.UNREACHABLE, text)
    return DriftReport((HostDrift("fenn", (item,), notes=(text,)), whole), STARTED, 1.0)


# -- text --------------------------------------------------------------------------------


@given(texts)
def test_what_is_printable_steers_nothing_and_is_so_when_it_is_asked_again(text: str) -> None:
    shown = printable(text)
    assert is_harmless(shown)
    assert printable(shown) == shown
    assert one_line(text).isprintable()


@pytest.mark.parametrize("category", ["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"])
def test_no_character_of_a_category_that_is_not_seen_is_left(category: str) -> None:
    letters = (chr(number) for number in range(0x110000))
    found = "".join(x for x in letters if unicodedata.category(x) == category and x not in "\n\t")
    assert is_harmless(printable(found))
    assert "\n" not in one_line(found + "\n")


@given(texts, st.booleans())
def test_only_what_is_painted_has_a_colour(text: str, colour: bool) -> None:
    shown = readable(f"{paint(text, 'red')}{text}", colour=colour)
    start, end = ("\x1b[31m", "\x1b[0m") if colour else ("", "")
    assert shown == f"{start}{printable(text)}{end}{printable(text)}"


def test_a_host_that_writes_a_mark_of_another_run_gets_no_colour() -> None:
    mark = paint("x", "red").partition("x")[0]
    drawn = re.search("[0-9a-f]{16}", mark)
    assert drawn
    forged = mark.replace(drawn[0], "0" * 16)
    assert "\x1b" not in readable(paint(forged, "bold"), colour=True).removeprefix(
        "\x1b[1m"
    ).removesuffix("\x1b[0m")


@given(texts)
def test_json_says_the_same_and_holds_nothing_that_steers(text: str) -> None:
    made = to_json({text: [text]})
    assert is_harmless(made)
    assert json.loads(made) == json.loads(json.dumps({text: [text]}))


@given(texts, texts)
def test_a_row_of_a_table_is_one_line(one: str, other: str) -> None:
    assert len(format_table(("host", "why"), [(one, other)]).split("\n")) == 2


@given(texts)
def test_no_line_of_a_message_can_pass_for_a_line_of_its_own(text: str) -> None:
    _, *more = hung(text).split("\n")
    assert all(line.startswith("    ") for line in more)


# -- where it comes in ---------------------------------------------------------------------


@given(st.binary(max_size=60))
def test_a_complaint_is_one_printable_line(said: bytes) -> None:
    assert Output(b"", said, 1).complaint.isprintable()


def test_a_complaint_is_not_shown_at_length() -> None:
    assert len(Output(b"", b"x" * 10_000_000, 1).complaint) < 1000


class Echo(Check):
    """Passes if the host says nothing."""

    kind = "test.echo"
    subject, host, expected = "", "fenn", "nothing"

    def reads(self) -> tuple[str, ...]:
        return ("echo",)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        return failed(outputs["echo"].text)


@given(st.binary(max_size=60))
def test_what_a_check_has_seen_is_one_printable_line(said: bytes) -> None:
    (result,) = judge_all([("test", Echo())], {"echo": Output(said)})
    assert result.outcome.seen.isprintable()


# -- the ways out ----------------------------------------------------------------------------


@given(texts)
def test_no_way_out_carries_what_steers_a_terminal(text: str) -> None:
    report = hostile_report(text)
    deployed = DeployReport(text, (), STARTED, 1.0, stopped=text)
    for made in (
        report.table(),
        report.table(colour=True),
        deployed.table(),
        history_table([report]),
    ):
        stream = io.StringIO()
        PrintableStream(stream).write(made)  # stdout, stderr, and what cron mails
        assert is_harmless(stream.getvalue())
    for made in (repr(report), report.html(), report.junit(), report.prometheus()):
        assert is_harmless(made)
    assert is_harmless(to_json(report.to_dict()))


@pytest.mark.parametrize("form", ["table", "json", "junit", "html"])
def test_a_file_that_is_written_steers_no_terminal(tmp_path: Path, form: str) -> None:
    report = hostile_report(HOSTILE)
    forms = {
        "table": lambda: report.table(colour=True),
        "json": lambda: to_json(report.to_dict()),
        "junit": report.junit,
        "html": report.html,
    }
    target = tmp_path / "report"
    write_result(Namespace(format=form, outputs=[Target(str(target))], default_format=form), forms)
    written = target.read_text(encoding="utf-8")
    assert is_harmless(written)
    assert "\\x1b[2J" in written or "\\u001b[2J" in written


@given(texts)
def test_junit_is_xml_whatever_is_in_it(text: str) -> None:
    made = junit_xml("x", [(text, [Case(text, text, "failure", text, text)])])
    assert is_harmless(made)
    case = ET.fromstring(made).find(".//testcase")  # noqa: S314  # its own
    assert case is not None
    assert case.get("name") == printable(text)


@given(texts)
def test_a_metric_is_one_line_whatever_is_in_a_label(text: str) -> None:
    made = metrics_text([Gauge("up", "Up.", (({"host": text}, 1),))])
    assert len(made.splitlines()) == 3
    assert re.fullmatch(r'up\{host="(?:[^"\\\n]|\\[\\"n])*"\} 1', made.splitlines()[2])


def test_a_hook_gets_what_steers_no_terminal(tmp_path: Path) -> None:
    hooks = Hooks.of({"notify": {"command": ["sh", "-c", "cat > got"]}})
    assert hooks.tell(hostile_report(HOSTILE).to_dict(), tmp_path) == ()
    assert is_harmless((tmp_path / "got").read_text(encoding="utf-8"))


def test_a_hook_s_complaint_is_one_printable_line(tmp_path: Path) -> None:
    hooks = Hooks.of({"notify": {"command": ["sh", "-c", r"printf 'a\033[2Jb\r' >&2; exit 1"]}})
    (line,) = hooks.tell({}, tmp_path)
    assert line.isprintable()


def test_a_table_without_deployments_is_text() -> None:
    assert is_harmless(readable(deployments([])))


# -- streams ---------------------------------------------------------------------------------


def test_whoever_prints_prints_what_steers_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: list[str]) -> int:
        sys.stdout.write(HOSTILE)
        sys.stderr.write(HOSTILE)
        raise RuntimeError(HOSTILE)

    monkeypatch.setattr("runbooks.cli._run", run)
    assert main(["lint", "--debug"]) == 2
    captured = capsys.readouterr()
    assert is_harmless(captured.out)
    assert is_harmless(captured.err)
    assert "\\x1b[2J" in captured.out
    assert "RuntimeError: a\\x1b[2J" in captured.err


def test_argparse_prints_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lint", "--\x1b[2J"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_streams_are_wrapped_once_and_given_back() -> None:
    before = sys.stdout, sys.stderr
    with printable_streams():
        outer = sys.stdout
        with printable_streams():
            assert sys.stdout is outer
        assert isinstance(outer, PrintableStream)
    assert (sys.stdout, sys.stderr) == before


PRINT = f"""
from goldentooth.text import paint
from runbooks.output import printable_streams
with printable_streams():
    print(paint('drift', 'red'), ascii_ := {HOSTILE!r})
"""


@pytest.mark.parametrize(
    ("environment", "has_colour"),
    [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)],
)
def test_a_terminal_gets_our_colours_and_none_of_a_host(
    environment: dict[str, str], has_colour: bool
) -> None:
    ours, theirs = pty.openpty()
    base = {"PATH": os.environ["PATH"], "TERM": "xterm", "PYTHONUTF8": "1"}
    done = subprocess.Popen(
        [sys.executable, "-c", PRINT], stdout=theirs, cwd=ROOT, env=base | environment
    )
    os.close(theirs)
    assert done.wait() == 0
    got = os.read(ours, 65536).decode()
    os.close(ours)
    assert got.startswith("\x1b[31mdrift\x1b[0m a\\x1b[2J" if has_colour else "drift a\\x1b[2J")
    assert got.count("\x1b") == (2 if has_colour else 0)


PAST = re.compile(r"sys\.__std|\.buffer\b|os\.write\([12]\b|/dev/(?:tty|std|fd)|\\x1b|\\033|\\e\[")


def test_nothing_prints_past_the_streams() -> None:
    allowed = {
        "goldentooth/text.py": "the one place that makes colours",
        "goldentooth/twin": "programs of the twin's machines",
        "goldentooth/host": "the program on the host",
        "goldentooth/transports/batch.py": "begins that program",
    }
    files = [
        file
        for folder in ("goldentooth", "runbooks", "tasks")
        for file in (ROOT / folder).rglob("*.py")
    ]
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in files
        if not str(file.relative_to(ROOT)).startswith(tuple(allowed))
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if PAST.search(line) and "#" not in line.partition("/dev/")[0]
    ]
    assert found == []


def test_what_prints_on_its_own_is_a_program_that_wraps_its_streams() -> None:
    """Libraries print nothing; each program of runbooks goes through main or wraps its streams."""
    printing = re.compile(r"^\s*(?:print\(|sys\.std(?:out|err)\.write)", re.MULTILINE)
    for folder in ("goldentooth", "tasks", "napalm_frr"):
        for file in (ROOT / folder).rglob("*.py"):
            if not {"twin", "host"} & set(file.relative_to(ROOT).parts):
                text = re.sub(r'(?s)r?""".*?"""', "", file.read_text(encoding="utf-8"))
                assert not printing.search(text), file
    for file in (ROOT / "runbooks").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        if "__main__" in text:
            assert "runbooks.cli import main" in text or "with printable_streams()" in text, file
