"""What the controller remembers of deployments, however they ended."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from goldentooth.errors import DeploymentError, OutputError
from goldentooth.journal import BEGIN, END, Entry, Journal, operator


def written(folder: Path, *events: tuple[str, str]) -> Entry:
    """Write events, each (event, host), of one deployment; read it back."""
    journal = Journal(folder)
    with journal.held() as writer:
        for event, host in events:
            writer.write("one", event, host)
    (entry,) = journal.entries()
    return entry


def test_events_read_back_in_order_with_what_was_told(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new")
    with journal.held() as writer:
        writer.write("one", BEGIN, by="ada@here", what={"hosts": ["fenn"]})
        writer.write("one", "failed", "fenn", reason="zürück \n")
        writer.write("one", END, result="done")

    (entry,) = journal.entries()

    assert [event.event for event in entry.events] == [BEGIN, "failed", END]
    assert entry.events[1].detail == {"reason": "zürück \n"}
    assert entry.began.detail["by"] == "ada@here"
    assert (entry.result, entry.has_ended) == ("done", True)


def test_a_deployment_without_an_end_broke_off(tmp_path: Path) -> None:
    entry = written(tmp_path, (BEGIN, ""), ("staged", "fenn"), ("confirmed", "jast"))

    assert entry.is_open
    assert entry.result == "broke off"
    assert entry.open_hosts == {"fenn": "staged"}


def test_a_host_that_contact_was_lost_to_keeps_it_open(tmp_path: Path) -> None:
    entry = written(tmp_path, (BEGIN, ""), ("unknown", "fenn"), (END, ""))

    assert entry.is_open
    assert entry.open_hosts == {"fenn": "unknown"}


def test_what_the_next_run_finishes_is_closed_and_its_result_stays(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with journal.held() as writer:
        writer.write("one", BEGIN)
        writer.write("one", "unknown", "fenn")
        writer.write("one", END, result="stopped: fenn")
    with journal.held() as writer:
        writer.write("one", "rolled back", "fenn")

    (entry,) = journal.entries()

    assert not entry.is_open
    assert entry.result == "stopped: fenn"
    assert entry.to_dict()["hosts"] == {"fenn": "rolled back"}


@pytest.mark.parametrize("cut", [1, 5, 40, -1])
def test_a_line_that_was_cut_off_counts_as_not_written(tmp_path: Path, cut: int) -> None:
    written(tmp_path, (BEGIN, ""), ("staged", "fenn"))
    path = Journal(tmp_path).path
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    path.write_bytes(whole[: first + cut] if cut > 0 else whole[:cut])
    events = [BEGIN, "staged"] if cut < 0 else [BEGIN]  # but for its line break it is whole

    with Journal(tmp_path).held() as writer:
        writer.write("one", END)

    (entry,) = Journal(tmp_path).entries()
    assert [event.event for event in entry.events] == [*events, END]


def test_lines_of_something_else_are_passed_over(tmp_path: Path) -> None:
    entry = written(tmp_path, (BEGIN, ""), (END, ""))
    with Journal(tmp_path).path.open("ab") as file:
        file.write(b'[]\n{"event": 1}\n\xff\xfe\nnull\n')
        file.write(b'{"at": "x", "deployment": 5, "event": [], "detail": 7}\n')

    assert Journal(tmp_path).entries() == (entry,)


def test_no_journal_is_no_deployments(tmp_path: Path) -> None:
    assert Journal(tmp_path / "none").entries() == ()


def test_the_second_is_told_who_deploys_since_when(tmp_path: Path) -> None:
    written(tmp_path, (BEGIN, ""), (END, ""))  # by somebody else, and over
    with (
        Journal(tmp_path).held(),
        pytest.raises(DeploymentError, match=f"from here by {operator()} since 20"),
        Journal(tmp_path).held(),
    ):
        pass


def test_it_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with Journal(tmp_path).held():
            pass


def test_it_is_its_owners_alone(tmp_path: Path) -> None:
    written(tmp_path, (BEGIN, ""))

    assert Journal(tmp_path).path.stat().st_mode & 0o777 == 0o600


def test_where_it_cannot_be_written_nothing_begins(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"), Journal(tmp_path / "file").held():
        pass


def test_a_line_that_does_not_fit_is_said_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with journal.held() as writer:
        writer.write("one", BEGIN)
        with _no_file_beyond(journal.path.stat().st_size + 20), pytest.raises(OutputError):
            writer.write("one", "staged", "fenn")
        writer.write("one", END)

    (entry,) = journal.entries()
    assert [event.event for event in entry.events] == [BEGIN, END]


@contextmanager
def _no_file_beyond(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_each_line_is_json_with_its_format(tmp_path: Path) -> None:
    written(tmp_path, (BEGIN, ""), ("staged", "fenn"))

    lines = [json.loads(line) for line in Journal(tmp_path).path.read_text().splitlines()]

    assert {line["format"] for line in lines} == {"goldentooth-net/journal/1"}
    assert [line.get("host") for line in lines] == [None, "fenn"]
