"""JSON from elsewhere is read in time and memory that its size bounds, or refused in a line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldentooth.bounded import DEEPEST, MalformedError, load_json
from goldentooth.check import (
    Check,
    Outcome,
    Output,
    State,
    UnreadableError,
    judge_all,
    parse_json,
    passes,
)
from goldentooth.discovery import ADDRESSES, ROUTES, read_host
from goldentooth.history import DriftHistory
from goldentooth.https import Reply
from goldentooth.opnsense.standing import read_applied
from goldentooth.secrets import SecretError, _fields
from napalm_frr.answers import read_values

HOSTILE = {
    "deep": "[" * 100_000,
    "deep, and closed": "[" * 100_000 + "]" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "one level too deep": "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
    "many digits": "9" * 1_000_000,
    "digits that Python would take": "9" * 4000,
    "a fraction of many digits": "0." + "1" * 1_000_000,
    "a huge exponent": "1e999999",
    "below it": '{"a": [-1e400]}',
    "NaN": "[NaN]",
    "Infinity": "[-Infinity]",
    "many values": "[" + "0," * 3_000_000 + "0]",
    "many arrays": "[" + "[]," * 3_000_000 + "[]]",
    "many quotes": '"' * 20_000_000,
    "an escape without end": '"' + '\\"' * 5_000_000,
}
ALSO = {
    "nothing": "",
    "text": "% Unknown command",
    "a string without end": '["a',
    "a control character": '["\x1b"]',
}


@pytest.mark.parametrize("text", (HOSTILE | ALSO).values(), ids=(HOSTILE | ALSO).keys())
@pytest.mark.parametrize("form", [str, str.encode], ids=["text", "bytes"])
def test_what_is_hostile_is_refused_in_a_line_and_at_once(
    text: str, form: Callable[[str], str | bytes]
) -> None:
    began = time.monotonic()
    with pytest.raises(MalformedError) as refused:
        load_json(form(text))
    assert time.monotonic() - began < 2
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 100


@pytest.mark.parametrize("data", [b"\xff", b'["\xed\xa0\x80"]', "[1]".encode("utf-16")])
def test_what_is_not_utf_8_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        load_json(data)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters() | st.sampled_from('\\"[]{},')),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values)
def test_what_is_json_is_read_as_python_does(value: Any) -> None:
    text = json.dumps(value)
    assert load_json(text) == json.loads(text)
    assert load_json(text.encode()) == json.loads(text)


def test_brackets_in_strings_are_no_levels() -> None:
    text = json.dumps(["[{" * 500, '\\"[[' * 500, "\\" * 501])
    assert load_json(text) == json.loads(text)
    at_the_end = "[" * DEEPEST + '"[["' + "]" * DEEPEST
    assert load_json(at_the_end) == json.loads(at_the_end)


def test_a_large_answer_is_read() -> None:
    rows = [{"prefix": f"10.{n}", "nexthops": [{"ip": "10.4.0.1"}]} for n in range(50_000)]
    began = time.monotonic()
    assert load_json(json.dumps(rows)) == rows
    assert time.monotonic() - began < 3


# -- where it is read ------------------------------------------------------------------------


class Reads(Check):
    """Passes if the host prints JSON."""

    kind = "test.json"
    subject, host, expected = "", "fenn", "JSON"

    def reads(self) -> tuple[str, ...]:
        return ("show json",)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        return passes(parse_json(outputs, "show json"), "it")


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_host_that_answers_it_is_unknown_to_a_check(text: str) -> None:
    (result,) = judge_all([("test", Reads())], {"show json": Output(text.encode())})
    assert result.outcome.state is State.UNKNOWN
    assert result.outcome.seen.startswith("`show json` did not print JSON that can be read: ")


@pytest.mark.parametrize("command", [ADDRESSES, ROUTES])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_host_that_answers_it_cannot_be_discovered(text: str, command: str) -> None:
    from ipaddress import IPv4Network

    outputs = {
        "uname -nrm": Output(b"fenn 6.1 x86_64\n"),
        ADDRESSES: Output(b"[]"),
        ROUTES: Output(b"[]"),
        command: Output(text.encode()),
    }
    with pytest.raises(UnreadableError, match="did not print JSON"):
        read_host(outputs, IPv4Network("10.4.0.0/20"), "10.4.0.15")


def test_a_vault_that_answers_it_is_an_error_that_names_the_reference() -> None:
    for text in HOSTILE.values():
        with pytest.raises(SecretError, match="is none of KV version 2"):
            _fields("${vault:a/b#c}", Reply(200, text.encode(), ""))


def test_a_report_that_somebody_has_made_such_is_left_out(tmp_path: Path) -> None:
    for number, text in enumerate(HOSTILE.values()):
        when = datetime(2026, 3, 4, 3, 0, number, tzinfo=UTC)
        (tmp_path / f"{when:%Y%m%dT%H%M%S.%fZ}.json").write_text(text)
    assert list(DriftHistory(tmp_path).reports()) == []


def test_a_record_that_somebody_has_made_such_is_damaged() -> None:
    for text in HOSTILE.values():
        with pytest.raises(ValueError, match=r"^it |JSON"):
            read_applied(text.encode(), "router")


# -- NAPALM's driver, which stands alone -------------------------------------------------------


@pytest.mark.parametrize("text", (HOSTILE | {"many answers": "1 " * 1_000_000}).values())
def test_the_driver_refuses_it_as_well(text: str) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"deep|large|number|values|Expect|JSON|Unterminated"):
        read_values(text)
    assert time.monotonic() - began < 2


@given(st.lists(values, max_size=5))
def test_the_driver_reads_one_value_after_another(several: list[Any]) -> None:
    assert read_values("\n ".join(map(json.dumps, several))) == several
