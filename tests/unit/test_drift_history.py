"""Reports that are kept, and what they tell of hosts that left sync and came back."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from goldentooth.drift import DriftState, HostDrift, Item
from goldentooth.errors import OutputError
from goldentooth.history import (
    AlreadyRunningError,
    DriftHistory,
    changes,
    history_table,
    history_to_dict,
)
from goldentooth.report.drift import DriftReport
from tests.drift_reports import STARTED, drifted, in_sync, report, unreachable

MINUTE = timedelta(minutes=1)


def at(minute: int, *hosts: HostDrift) -> DriftReport:
    return report(*hosts, started=STARTED + minute * MINUTE)


STORY = (
    at(0, in_sync("allyrion", "haproxy"), in_sync("jast", "frr")),
    at(1, drifted("allyrion"), in_sync("jast", "frr")),
    at(2, drifted("allyrion"), unreachable("jast")),
    at(3, in_sync("allyrion", "haproxy"), unreachable("jast")),
)


def test_a_host_changes_when_it_leaves_sync_and_when_it_comes_back() -> None:
    found = [(change.at - STARTED, change.host, bool(change.now)) for change in changes(STORY)]
    assert found == [
        (1 * MINUTE, "allyrion", True),
        (2 * MINUTE, "jast", True),
        (3 * MINUTE, "allyrion", False),
    ]


def test_the_same_trouble_in_other_words_is_no_change() -> None:
    later = HostDrift("jast", (), DriftState.UNREACHABLE, "the connection broke")
    assert not list(changes((at(1, later),), before=at(0, unreachable("jast"))))


def test_other_trouble_of_the_same_host_is_a_change() -> None:
    more = HostDrift("jast", (Item("frr", "/etc/frr/daemons", DriftState.MISSING),))
    (change,) = changes((at(1, more),), before=at(0, unreachable("jast")))
    assert [str(each) for each in change.now] == ["missing: frr /etc/frr/daemons"]
    assert [str(each) for each in change.was or ()] == ["unreachable"]


def test_a_first_run_tells_of_what_is_not_in_sync_only() -> None:
    found = list(changes((at(0, in_sync("fenn", "frr"), unreachable("jast")),)))
    assert [(change.host, change.was) for change in found] == [("jast", None)]


def test_the_table_says_when_and_what_is_still_open() -> None:
    lines = history_table(STORY).splitlines()
    assert lines[1].split(maxsplit=4) == [
        "2026-03-04",
        "03:01:05",
        "UTC",
        "allyrion",
        "drift: haproxy /etc/haproxy/haproxy.cfg; not loaded: routes the kernel's routes",
    ]
    assert lines[3].endswith("allyrion  in sync")
    assert lines[-1] == (
        "4 runs, 2026-03-04 03:00:05 UTC to 2026-03-04 03:03:05 UTC;"
        " not in sync: jast since 2026-03-04 03:02:05 UTC"
    )


def test_the_document_has_every_run_and_change() -> None:
    document = history_to_dict(STORY)
    assert [run["status"] for run in document["runs"]] == [0, 1, 2, 2]
    assert len(document["changes"]) == 3


# -- the folder --------------------------------------------------------------------------


def test_reports_are_kept_as_they_were_for_their_owner_alone(tmp_path: Path) -> None:
    history = DriftHistory(tmp_path / "history")
    for each in STORY:
        history.add(each)
    assert tuple(history.reports()) == STORY
    assert history.last() == STORY[-1]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in history.folder.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(history.folder.stat().st_mode) == 0o700


def test_only_the_last_reports_are_kept_and_the_last_success(tmp_path: Path) -> None:
    history = DriftHistory(tmp_path, keep=2)
    for each in (*STORY, at(4, unreachable("jast")), at(5, unreachable("jast"))):
        history.add(each)
    minutes = [(each.started - STARTED) // MINUTE for each in history.reports()]
    assert minutes == [1, 4, 5]
    assert history.last_success() == STORY[1].started
    history.add(at(6, in_sync("jast", "frr")))
    minutes = [(each.started - STARTED) // MINUTE for each in history.reports()]
    assert minutes == [5, 6]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "goldentooth-net/drift/1"}'])
def test_what_is_no_report_is_passed_over(tmp_path: Path, content: str) -> None:
    history = DriftHistory(tmp_path)
    history.add(STORY[1])
    (tmp_path / "20991231T000000.000000Z.json").write_text(content)
    assert history.last() == STORY[1]
    assert history.last_success() == STORY[1].started
    assert len(tuple(history.reports())) == 1


def test_a_folder_that_is_not_there_yet_holds_nothing(tmp_path: Path) -> None:
    history = DriftHistory(tmp_path / "none")
    assert history.last() is None
    assert history.last_success() is None
    assert history_table(history.reports()).startswith("no run is kept yet")


def test_a_folder_that_cannot_be_made_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    history = DriftHistory(tmp_path / "file/history")
    with pytest.raises(OutputError, match=r"cannot be kept: not a directory\n.*history:"):
        history.add(STORY[0])


# -- one at a time -----------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from goldentooth.history import DriftHistory
with DriftHistory(Path(sys.argv[1])).alone():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    """Return another process that is in the middle of a run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_told_of_the_first(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    with (
        pytest.raises(AlreadyRunningError, match=rf"process {holder.pid}\)\n    --wait"),
        DriftHistory(tmp_path).alone(),
    ):
        pass
    holder.communicate("")
    with DriftHistory(tmp_path).alone():
        assert f"process {os.getpid()}" in (tmp_path / "lock").read_text()


def test_a_run_that_was_killed_keeps_nobody_out(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    holder.kill()
    holder.communicate()
    with DriftHistory(tmp_path).alone():
        pass


def test_a_run_that_waits_begins_when_the_other_ends(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with (
        pytest.raises(AlreadyRunningError),
        DriftHistory(tmp_path).alone(wait_seconds=0.5),
    ):
        pass
    assert holder.stdin
    holder.stdin.close()
    with DriftHistory(tmp_path).alone(wait_seconds=30):
        pass
    holder.wait(10)
