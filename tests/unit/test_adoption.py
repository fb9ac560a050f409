"""What a host has becomes what was last applied to it; no file is touched."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from goldentooth.adoption import HostAdoption, adopt_host
from goldentooth.applied import APPLIED, KEY, read_baseline, record_files
from goldentooth.artifact import Artifact
from goldentooth.drift import Collected, DriftState, HostIntent, judge_host
from goldentooth.host.package import unpack
from goldentooth.transports import HostFile

PATH, OTHER = "/etc/toy", "/etc/other"
CANARY = "canary-7713"
NEW_KEY = b"n" * 64


def adopted(
    intended: str,
    live: HostFile | None,
    record: Mapping[str, bytes] | None = None,
) -> tuple[HostIntent, HostAdoption]:
    """Return what is taken over of fenn, of which ``record`` is remembered."""
    artifact = Artifact("fenn", "toy", PATH, intended)
    intent = HostIntent("fenn", (artifact,), (), (), frozenset({"toy"}))
    files = {PATH: live}
    collected = Collected(files, record or {}, {})
    baseline = read_baseline("fenn", record) if record else None
    drift = judge_host(intent, collected)
    return intent, adopt_host(drift, {PATH: artifact}, files, baseline, NEW_KEY)


def remembered(text: str) -> dict[str, bytes]:
    pairs = [
        (Artifact("fenn", "toy", PATH, text), text.encode()),
        (Artifact("fenn", "other", OTHER, "kept\n"), b"kept\n"),
    ]
    return record_files("fenn", pairs, NEW_KEY, deployment="0", at="2026", by="ada")


def record_of(adoption: HostAdoption) -> dict[str, bytes]:
    """Return the record that the host makes of what it is sent."""
    members = unpack(adoption.packed("1", "2026", "ada"))
    record = {
        name.replace("record", APPLIED, 1): content
        for name, content in members.items()
        if name.startswith("record/")
    }
    return {**record, KEY: members["key"]}


@pytest.mark.parametrize(
    ("text", "record", "state"),
    [
        pytest.param("by hand\n", None, DriftState.NO_BASELINE, id="nothing is remembered"),
        pytest.param("by hand\n", remembered("old\n"), DriftState.CONFLICT, id="both moved"),
        pytest.param("by hand\n", remembered("new\n"), DriftState.DRIFT, id="host moved"),
    ],
)
def test_what_is_there_is_the_baseline_then(
    text: str, record: dict[str, bytes] | None, state: DriftState
) -> None:
    live = HostFile(PATH, text.encode(), "nobody:nogroup", 0o600)

    intent, adoption = adopted("new\n", live, record)

    assert [(each.path, each.state) for each in adoption.taken] == [(PATH, state)]
    after = judge_host(intent, Collected({PATH: live}, record_of(adoption), {}))
    (item,) = after.items
    # owner and mode are not the intended ones, so it is pending whatever the text is
    assert item.state is DriftState.PENDING
    assert after.state is None


@pytest.mark.parametrize("record", [None, remembered("old\n")])
def test_what_is_as_intended_is_in_sync_then(record: dict[str, bytes] | None) -> None:
    live = HostFile(PATH, b"new\n")
    intent, adoption = adopted("new\n", live, record)

    after = judge_host(intent, Collected({PATH: live}, record_of(adoption), {}))

    assert {item.state for item in after.items} == {DriftState.IN_SYNC}


def test_what_is_pending_is_not_taken() -> None:
    _, adoption = adopted("new\n", HostFile(PATH, b"old\n"), remembered("old\n"))

    assert adoption.taken == ()
    assert adoption.reason == ""


def test_what_is_gone_is_no_longer_remembered_and_the_rest_is() -> None:
    _, adoption = adopted("old\n", None, remembered("old\n"))

    assert [each.state for each in adoption.taken] == [DriftState.MISSING]
    record = read_baseline("fenn", record_of(adoption))
    assert record is not None
    assert record.files.keys() == {OTHER}


def test_a_link_is_not_taken() -> None:
    link = HostFile(PATH, kind="link", target="/elsewhere")

    _, adoption = adopted("new\n", link, remembered("old\n"))

    assert adoption.taken == ()
    assert adoption.reason == f"{PATH}: not a plain file"


@pytest.mark.parametrize("record", [None, remembered("old\n")])
def test_a_file_that_cannot_be_read_is_not_taken_for_an_empty_one(
    record: dict[str, bytes] | None,
) -> None:
    unread = HostFile(PATH, unreadable="Read error: Input/output error")

    _, adoption = adopted("new\n", unread, record)

    assert adoption.taken == ()
    assert adoption.files == {}
    assert adoption.reason == f"unreadable: {PATH}: Read error: Input/output error"


def test_a_damaged_record_is_replaced() -> None:
    live = HostFile(PATH, b"by hand\n")
    artifact = Artifact("fenn", "toy", PATH, "new\n")
    intent = HostIntent("fenn", (artifact,), (), (), frozenset({"toy"}))
    damaged = {**remembered("old\n"), f"{APPLIED}/manifest.json": b"{"}
    drift = judge_host(intent, Collected({PATH: live}, damaged, {}))
    assert drift.state is DriftState.BAD_BASELINE

    adoption = adopt_host(drift, {PATH: artifact}, {PATH: live}, None, NEW_KEY)

    assert read_baseline("fenn", record_of(adoption)) is not None


def test_a_secret_is_neither_shown_nor_hashed() -> None:
    live = HostFile(PATH, f"password {CANARY}\n".encode(), mode=0o600)

    _, adoption = adopted("password ${env:PASSWORD}\n", live)

    manifest = record_of(adoption)[f"{APPLIED}/manifest.json"].decode()
    (line,) = json.loads(manifest)["artifacts"]
    assert line["secrets"] == ["${env:PASSWORD}"]
    assert line["keyed"]
    assert CANARY not in manifest + adoption.table() + json.dumps(adoption.to_dict())
    assert CANARY not in repr(adoption)


def test_a_secret_that_was_moved_is_not_shown() -> None:
    wanted = "password ${env:PASSWORD}\nlog syslog\nname fenn\n"
    known = Artifact("fenn", "toy", PATH, wanted)
    applied = [(known, f"password {CANARY}\nlog syslog\nname fenn\n".encode())]
    record = record_files("fenn", applied, NEW_KEY, deployment="0", at="2026", by="ada")

    _, adoption = adopted(
        wanted, HostFile(PATH, f"log syslog\nname fenn-{CANARY}\n".encode()), record
    )

    assert "+name fenn-<secret>" in adoption.table()
    assert CANARY not in adoption.table() + json.dumps(adoption.to_dict())
