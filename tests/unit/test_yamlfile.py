"""Only YAML that every reader reads alike is accepted, and every value knows its place."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import pytest
import ruamel.yaml
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from goldentooth.yamlfile import Document, parse_document, read_document


def parse(text: str | bytes) -> Document:
    return parse_document(text if isinstance(text, bytes) else text.encode(), "facts.yaml")


def report(text: str | bytes) -> list[str]:
    return [str(problem).replace("\n    ", " | ") for problem in parse(text).problems]


def same(one: Any, other: Any) -> bool:
    """Equal in value and in type, all the way down."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other))


def assert_refused_or_read_alike(text: str) -> None:
    document = parse(text)
    if document.problems:
        return
    content = text.removeprefix("\ufeff")
    for value in (yaml.safe_load(content), ruamel.yaml.YAML(typ="safe").load(content)):
        assert same(document.value, value or {}), (text, document.value, value)


# -- one meaning ---------------------------------------------------------------------------

NASTY = [
    *("no", "on", "yes", "off", "y", "n", "Y", "NO", "On", "oN", "true", "True", "tRUE", "false"),
    *("null", "Null", "NULL", "nULL", "~", "", "~x", "none", "None"),
    *("0", "-0", "+0", "00", "010", "-010", "+010", "08", "0o10", "0x1F", "0b1", "0x", "0b2", "0_"),
    *("10", "+10", "-10", "1_000", "-_1", "+_1", "_1", "1_", "9" * 19, "9" * 20, "-" + "9" * 30),
    *("12:30", "1:2:3", "-1:30", "1:60", "1:5.5", "10:20:30:40:50:59", "dc:a6:32:00:00:0b"),
    *("1.5", "-1.5", "+1.5", "1.", "-1.", ".5", "-.5", "+.5", "01.5", "1_0.5", "1.5_0", "._1", "."),
    *("1e3", "1E3", "1e+3", "1.5e3", "1.5e+3", "1.5E-3", "1.e+3", ".5e3", "1e", "e3", "1.0e+999"),
    *(".inf", "-.inf", "+.Inf", ".nan", ".NaN", "+.nan", "..", "...", "-.", "1.2.3", "10.4.0.0/20"),
    *("2001-01-01", "2001-1-1", "2001-01-01T10:00:00Z", "2001-01-01 10:00:00 +1", "2001-01"),
    *(
        "=",
        "<<",
        "==",
        "!",
        "[!]",
        "{!: a}",
        "! 12",
        "!!str 12",
        "!x y",
        "&a b",
        "*a",
        "%x",
        "@x",
        "`x`",
        "?x",
        "-x",
    ),
    *(":x", "x:", "x:y", "x: y", "x #y", "x#y", "#x", "[x", "x]", "{x: y}", "[1, no]", "{no: 1}"),
    *("'x", "'x'", "'it''s'", '"x\\ty"', '"\\x85"', '"\\u2028"', '"\\/"', '"\\e"', '"\\ud83d"'),
    *("|\n  x\n  y", ">-\n  x\n  y", "x\n  y", "x\ty", "\tx", "'x\ty'", "x\n\n  y", "|2\n    x"),
    *(
        "x\x85y",
        "x\u2028y",
        "x\ufeffy",
        "x\x00",
        "x\x07",
        "x\x7f",
        "x\ry",
        "x\r\n",
        "é",
        "\U0001f600",
    ),
    *("[a?b]", "{?a}", "{a:1}", '{"a":1}', "[:x]", "[x:]", "[a, ]", "[,]", "- x", "? x", "|", ">"),
]


@pytest.mark.parametrize("scalar", NASTY, ids=ascii)
@pytest.mark.parametrize(
    "form",
    [
        "a: {}\n",
        "{}: a\n",
        "a: {{b: {}}}\n",
        "a: [{}]\n",
        "a:\n  - {}\n",
        "%YAML 1.1\n---\na: {}\n",
        '"a": "{}"\n',
        "a: '{}'\n",
        "? {}\n: a\n",
    ],
)
def test_a_nasty_scalar_is_refused_or_read_as_all_readers_do(scalar: str, form: str) -> None:
    assert_refused_or_read_alike(form.format(scalar))


PIECES = st.one_of(
    st.sampled_from(NASTY),
    st.sampled_from([*"abno019_+-.:,[]{}#&*!|>'\"%@` \n\t\r=<?~exOTZ", "\n  ", ": ", "- "]),
    st.characters(codec="utf-8"),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
@example("'x': |#")
@example("é: >-2#\n    a")
def test_whatever_is_accepted_means_the_same_to_all_readers(text: str) -> None:
    assert_refused_or_read_alike(text)


@settings(max_examples=400, deadline=None)
@given(st.text("0123456789_+-.:eExobTZ aAfFnNiI", min_size=1, max_size=12))
@example("-_1")
@example("0o7_")
def test_a_plain_scalar_that_looks_like_a_number_means_the_same_to_all_readers(text: str) -> None:
    assert_refused_or_read_alike(f"a: {text}\n")
    assert_refused_or_read_alike(f"{text}: a\n")


KEYS = st.text(max_size=8).filter(lambda key: key != "<<")
TEXTS = st.recursive(
    st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, TEXTS, max_size=4))
def test_text_in_quotes_is_that_text(value: dict[str, Any]) -> None:
    document = parse(yaml.safe_dump(value, default_style='"', sort_keys=False))
    assert document.problems == []
    assert same(document.value, value)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60))
@example(b"\xef\xbb\xbf\xef\xbb\xbf")
@example(b"a: 1\xc2")
def test_any_bytes_give_a_document(content: bytes) -> None:
    document = parse(content)
    assert isinstance(document.value, dict)
    for problem in document.problems:
        assert problem.where is not None
        assert problem.where.line >= 1
        assert problem.where.column >= 1


# -- what is accepted ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# only a comment\n", "---\n", "---\n...\n", "~\n", "null", "\ufeff", "{}"]
)
def test_an_empty_file_is_an_empty_mapping(text: str) -> None:
    document = parse(text)
    assert (document.value, document.problems) == ({}, [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 6443", 6443),
        ("a: -1", -1),
        ("a: 0.5", 0.5),
        ("a: true", True),
        ("a:", None),
        ('a: "010"', "010"),
        ("a: 'no'", "no"),
        ("a: 10.4.0.10", "10.4.0.10"),
        ("a: dc:a6:32:00:00:0b", "dc:a6:32:00:00:0b"),
        ("a: stable-1.32", "stable-1.32"),
        ("a: 10.4.0.0/20", "10.4.0.0/20"),
        ("a: 2s", "2s"),
        ("a: ${vault:x/y#z}", "${vault:x/y#z}"),
        ("a: [b, c]", ["b", "c"]),
        ("a: why?", "why?"),
        ("#\ttabs\n  #\ttabs\na: 1", 1),
    ],
)
def test_ordinary_facts_are_read(text: str, value: object) -> None:
    document = parse(text)
    assert document.problems == []
    assert same(document.value, {"a": value})


def test_crlf_line_ends_read_as_lf() -> None:
    document = parse("a:\r\n  b: 1\r\nc: d\r\n")
    assert (document.value, document.problems) == ({"a": {"b": 1}, "c": "d"}, [])
    assert document.where(("c",)) == ("facts.yaml", 3, 4)


def test_a_byte_order_mark_is_no_text_and_moves_nothing() -> None:
    document = parse(b"\xef\xbb\xbfa: 1\n")
    assert (document.value, document.problems) == ({"a": 1}, [])
    assert document.where(("a",), key=True) == ("facts.yaml", 1, 1)


# -- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "plain",
    [
        *("no", "No", "NO", "yes", "on", "ON", "off", "y", "n", "N"),
        *("010", "0o10", "0x1F", "0b1", "1_000", "-_1", "12:30", "10:20:30:40:50:59"),
        *("1e3", ".5", "1.", ".inf", "-.inf", ".nan", "2001-01-01", "2001-1-1 10:00:00", "9" * 20),
        *("=", "<<"),
    ],
)
def test_what_readers_read_differently_is_refused_with_the_remedy(plain: str) -> None:
    (line,) = report(f"# facts\na:\n  b: {plain}\n")
    assert line == (
        f"facts.yaml:3:6: a: b: {plain} is read differently by different YAML readers"
        f' | write "{plain}" in quotes if it is text, else the plain value (10, 0.5, true, false)'
    )
    (item,) = report(f"a: [x, {plain}]")
    assert item.startswith(f"facts.yaml:1:8: a: {plain} is read differently")
    assert report(f'a: "{plain}"') == []


@pytest.mark.parametrize("plain", ["no", "y", "010", "12:30", "1", "1.5", "1e3", "true", "~", "="])
def test_a_key_that_is_not_text_to_every_reader_is_refused(plain: str) -> None:
    assert report(f"a:\n  {plain}: b") == [
        f'facts.yaml:2:3: a: key {plain} is not text to YAML | write "{plain}" in quotes'
    ]
    assert report(f'a:\n  "{plain}": b') == []


SHARED = "state a shared fact once, in a group or in the defaults"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\na: 2", "2:1: key 'a' is given twice, first in line 1 | keep one of them"),
        ("a:\n  b: 1\n  c: 2\n  b: 3", "4:3: a: key 'b' is given twice, first in line 2"),
        ("{a: 1, a: 1}", "1:8: key 'a' is given twice, first in line 1 | keep one of them"),
        ('a: 1\n"a": 2', "2:1: key 'a' is given twice, first in line 1 | keep one of them"),
        ("a:\n\tb: 1", "2:1: a tab is not used in facts | write spaces"),
        ("a: 'é'\tb", "1:7: a tab is not used in facts | write spaces"),
        ("a: &x 1", f"1:4: a: anchor &x is not used in facts | {SHARED}"),
        ("a: &x {b: 1}", f"1:4: a: anchor &x is not used in facts | {SHARED}"),
        ("&x a: 1", f"1:1: anchor &x is not used in facts | {SHARED}"),
        ("a: *x", f"1:4: a: alias *x is not used in facts | {SHARED}"),
        ("<<: {a: 1}", f"1:1: merge key << is not used in facts | {SHARED}"),
        ("a: !x b", "1:4: a: tag !x is not used in facts | write the plain value"),
        ("a: !!python/none b", "1:4: a: tag tag:yaml.org,2002:python/none is not used in facts"),
        ("a: ! b", "1:4: a: tag ! is not used in facts | write the plain value"),
        ("a: [b?c]", "1:5: a: b?c is read differently by different YAML readers"),
        ("a: !!int '1'", "1:4: a: tag tag:yaml.org,2002:int is not used in facts"),
        ("? {a: 1}\n: b", "1:3: a key is not plain text | write `key: value`"),
        ("? [a]\n: b", "1:3: a key is not plain text | write `key: value`"),
        ("a: 1\n---\nb: 2", "2:1: a second YAML document begins | one file, one document"),
        ("- a\n- b", "1:1: the file is not a mapping | write `key: value` lines"),
        ("just text", "1:1: the file is not a mapping | write `key: value` lines"),
        ("false", "1:1: the file is not a mapping | write `key: value` lines"),
        (b"a: 1\nb: caf\xe9", "2:7: byte 0xe9 is not UTF-8 | save the file as UTF-8"),
        ("a: é".encode() + b"\xe9", "1:5: byte 0xe9 is not UTF-8 | save the file as UTF-8"),
        ("a: 1".encode("utf-16"), "1:1: byte 0xff is not UTF-8 | save the file as UTF-8"),
        ("é: é\nb: é\x00", "2:5: character U+0000 is not used in facts"),
        ("a: 1".encode("utf-16-le"), "1:2: character U+0000 is not used in facts"),
        ("a: b\x1bc", "1:5: character U+001B is not used in facts"),
        ("a: b\x85c", "1:5: character U+0085 is not used in facts"),
        ("a: b\u2028c", "1:5: character U+2028 is not used in facts"),
        ("a: b\ufeffc", "1:5: character U+FEFF is not used in facts"),
        ("a: b\rc: d", "1:5: character U+000D is not used in facts"),
    ],
    ids=ascii,
)
def test_a_trap_is_refused_where_it_stands(text: str | bytes, expected: str) -> None:
    first, *rest = report(text)
    assert first.startswith(f"facts.yaml:{expected}")
    assert rest == []


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a: 1\nb: 'never closed\nc: 2\n", 2, 4),
        ('a: 1\nb: "never closed\nc: 2\n', 2, 4),
        ("a: 1\nb: c: d\n", 2, 5),
        ("a: 1\n  b: 2\n", 2, 4),
        ("a:\n  b: 1\n c: 2\n", 3, 2),
        ("a: @x\n", 1, 4),
        ("a: 1\nb\nc: 2\n", 3, 1),
        ("a: }\n", 1, 4),
    ],
)
def test_a_syntax_error_is_reported_where_it_stands(text: str, line: int, column: int) -> None:
    document = parse(text)
    (problem,) = document.problems
    assert problem.where == ("facts.yaml", line, column)
    assert problem.message.startswith("YAML syntax: ")
    assert "colon, a quote or the indentation" in problem.remedy
    assert (document.value, document.is_complete) == ({}, False)


def test_all_problems_of_a_file_are_reported_at_once() -> None:
    text = "a: no\nb: 010\nc:\n  d: &x 1\n  d: 2\n  <<: {}\n"
    lines = [problem.where.line for problem in parse(text).problems if problem.where]
    assert lines == [1, 2, 4, 5, 6]


@pytest.mark.parametrize("value", ["0777", "*hunter2", "&hunter2 x", "!hunter2", "{hunter2: no}"])
@pytest.mark.parametrize("key", ["password", "bootstrap_token", "certificate_key", "ca_cert_hash"])
def test_what_could_be_a_secret_is_not_shown(key: str, value: str) -> None:
    found = report(f"{key}: {value}")
    assert found
    assert not any("hunter2" in line or "0777" in line for line in found)


# -- size and depth ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000,
        "a: " + "[" * 10_000,
        "a: " + "{a: " * 10_000,
        "a: " + "[" * 900 + "]" * 900,
        "".join(f"{' ' * level}a:\n" for level in range(900)),
        "a:\n" + "- " * 900 + "b",
    ],
    ids=["top", "lists", "mappings", "closed", "block", "dashes"],
)
def test_deep_nesting_is_refused(text: str) -> None:
    assert any("nested too deeply" in line or "YAML syntax" in line for line in report(text))


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{a: "])
@pytest.mark.parametrize("place", ["", "fenn: ", "fenn: {data: ", "? "])
def test_levels_without_end_are_refused_at_once_with_their_place(place: str, opening: str) -> None:
    began = time.monotonic()
    document = parse_document(f"{place}{opening * 100_000}x".encode(), "hosts.yaml")
    assert time.monotonic() - began < 1
    assert not document.is_complete
    assert document.value == {}
    problem = document.problems[-1]
    assert problem.where is not None
    assert problem.where.line == 1
    assert problem.remedy


def test_numbers_without_end_are_refused() -> None:
    for text in ("9" * 1_000_000, "9" * 400 + ".5", "1.0e+999", "-1.0e+999"):
        (problem,) = parse_document(f"a: {text}".encode(), "hosts.yaml").problems
        assert "is read differently by different YAML readers" in problem.message


def test_thirty_levels_are_read() -> None:
    document = parse("a: " + "[" * 30 + "]" * 30)
    assert document.problems == []


@pytest.mark.parametrize(
    "scalar",
    [
        "x" * 5_000_000,
        "1" * 5_000_000,
        "1" * 5_000_000 + "x",
        "1:2" * 500_000 + "x",
        "1_" * 500_000,
    ],
    ids=["text", "digits", "digits-and-x", "colons", "underscores"],
)
def test_a_giant_scalar_takes_no_time_and_gives_no_giant_message(scalar: str) -> None:
    started = time.monotonic()
    messages = report(f"a: {scalar}\n")
    assert time.monotonic() - started < 5
    assert all(len(message) < 500 for message in messages)


# -- the file itself -----------------------------------------------------------------------


def test_a_missing_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (problem,) = read_document(Path("inventory/hosts.yaml")).problems
    assert str(problem) == (
        "inventory/hosts.yaml:1:1: cannot be read: no such file or directory\n"
        "    write it, or name another one in config.yaml"
    )


def test_a_folder_in_place_of_a_file_says_so(tmp_path: Path) -> None:
    (problem,) = read_document(tmp_path).problems
    assert str(problem) == (
        f"{tmp_path}:1:1: cannot be read: is a directory\n"
        "    make it a file that you may read, or name another one in config.yaml"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yaml"
    path.touch(mode=0o000)
    (problem,) = read_document(path).problems
    assert problem.message == "cannot be read: permission denied"


@pytest.mark.parametrize("name", ["x" * 300, "nul\0", "loop"])
def test_a_path_that_cannot_be_opened_is_a_problem(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    document = read_document(tmp_path / name)
    (problem,) = document.problems
    assert problem.message.startswith("cannot be read: ")
    assert not document.is_complete


def test_a_file_below_the_working_directory_is_named_as_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_document(Path("a/b.yaml")).file == "a/b.yaml"
    assert read_document(tmp_path / "b.yaml").file == "b.yaml"
    assert read_document(Path("/etc/none.yaml")).file == "/etc/none.yaml"


# -- where things stand --------------------------------------------------------------------


def test_every_value_and_key_knows_its_place() -> None:
    document = parse("a:\n  b: [x,  y]\n  'c':\n    - d: 1\n")
    assert document.where(("a", "b")) == ("facts.yaml", 2, 6)
    assert document.where(("a", "b"), key=True) == ("facts.yaml", 2, 3)
    assert document.where(("a", "b", 1)) == ("facts.yaml", 2, 11)
    assert document.where(("a", "c", 0, "d")) == ("facts.yaml", 4, 10)


def test_what_is_not_there_is_placed_at_the_nearest_key_above() -> None:
    document = parse("a:\n  b:\n    c: 1\n")
    assert document.where(("a", "b", "x", "y")) == ("facts.yaml", 2, 3)
    assert document.where(("z",)) == ("facts.yaml", 1, 1)
