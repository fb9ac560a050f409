"""The machine itself as a host; what all transports share is tested on the twin."""

from __future__ import annotations

import os
import pwd
import time
from pathlib import Path

import pytest

from goldentooth.check import Output
from goldentooth.errors import GoldentoothError, UsageError
from goldentooth.transports import Command
from goldentooth.transports.local import LocalConnection
from tests.namespaces import eventually, needs_root


def connect(username: str | None = None, **extras: object) -> LocalConnection:
    connection = LocalConnection()
    connection.open("127.0.0.1", username, None, None, "linux", extras=extras)
    return connection


@needs_root
def test_commands_run_here() -> None:
    outputs = connect().connection.gather(["uname -n", Command("cat", b"given")])
    assert outputs == (Output(f"{os.uname().nodename}\n".encode()), Output(b"given"))


@needs_root
def test_a_call_that_takes_too_long_is_left_and_ends_by_itself(tmp_path: Path) -> None:
    before = set(Path("/run").glob("goldentooth.*"))
    begun = time.monotonic()
    fine, hung = connect(host_seconds=1).connection.gather(
        ["echo fine", Command(f"sleep 2; touch {tmp_path}/ended; sleep 30", seconds=3)]
    )
    assert fine == Output(b"fine\n")
    assert hung.is_missing
    assert time.monotonic() - begun < 10
    eventually((tmp_path / "ended").exists)
    eventually(lambda: not set(Path("/run").glob("goldentooth.*")) - before)


def test_another_user_s_work_is_not_done_as_this_one() -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    connect(me)
    with pytest.raises(UsageError, match=f"runs as {me}, and the host's username is ada"):
        connect("ada")


def test_an_option_that_does_nothing_is_refused() -> None:
    with pytest.raises(GoldentoothError, match="takes no option 'known_hosts'"):
        connect(known_hosts="x")
