"""What is sent to the program on a host, changed here and there: `make fuzz` looks longer."""

from __future__ import annotations

import importlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import fuzz_host

SEEDS = fuzz_host.seeds()


@pytest.fixture(autouse=True, scope="module")
def _prepared() -> None:
    fuzz_host.prepare()


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed[:20].decode())
def test_what_fuzzing_begins_with_is_taken(seed: bytes) -> None:
    assert fuzz_host.one_input(seed) is True


@settings(max_examples=1500)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8), st.integers(0, 8)), max_size=4),
)
def test_what_is_sent_is_read_or_refused(
    data: bytes, changes: list[tuple[float, bytes, int]]
) -> None:
    for where, inserted, dropped in changes:
        at = 1 + int(where * (len(data) - 1))
        data = data[:at] + inserted + data[at + dropped :]
    fuzz_host.one_input(data)


@pytest.mark.parametrize(
    "act",
    [
        lambda: open("/etc/hostname").close(),  # noqa: PTH123
        lambda: importlib.import_module("os").system("true"),
        lambda: importlib.import_module("os").mkdir("/"),
        lambda: eval("1"),  # noqa: S307
    ],
)
def test_an_act_in_what_only_reads_would_be_seen(
    act: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(act)
    monkeypatch.setitem(fuzz_host.ATTEMPTS, b"x", lambda _: act())
    with pytest.raises(AssertionError, match="in what only reads"):
        fuzz_host.one_input(b"x")
