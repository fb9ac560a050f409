"""The operator's process is killed at every step; the next run says what it found, and ends it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldentooth.model import Network
from tests.namespaces import eventually
from tests.twin.deploy_drill import ACTIVATE, Drill, bare_stage

pytestmark = pytest.mark.root

A, B = "fenn", "gardener"
CHANGE = [
    "arming {}",
    "@arm",
    "activated {}",
    "checks",
    "verified {}",
    "confirming {}",
    "@confirm",
    "confirmed {}",
]
STEPS = [
    "begin",
    f"staging {A}",
    f"staging {B}",
    "@stage",
    f"staged {A}",
    f"staged {B}",
    "checks",
    *(step.format(A) for step in CHANGE),
    *(step.format(B) for step in CHANGE),
    "end",
]
"""Every line of the journal and every round trip of a deployment to two hosts, in order."""

JOURNAL = [step for step in STEPS if step[0] != "@" and step != "checks"]
ANSWERS = [f"staged {A}", *(f"{event} {A}" for event in ("activated", "verified", "confirmed"))]
POINTS = [
    *(f"after {step}" for step in JOURNAL),
    *(f"before {step}" for step in ANSWERS),  # the host has done it, the journal has not got it
    *(f"within {step}" for step in ("@stage", "@arm", "@confirm")),
]


@pytest.fixture(scope="module")
def drill(
    network: Network, artifacts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Drill]:
    with bare_stage(network, artifacts, A, B) as stage:
        drill = Drill(stage, tmp_path_factory.mktemp("killed") / "site", [A, B])
        assert drill.commit().status == 0
        yield drill


def test_the_steps_are_all_steps(drill: Drill) -> None:
    drill.change()

    assert drill.commit().status == 0

    assert [point[7:] for point in drill.points if point.startswith("before ")] == STEPS
    assert drill.looks() == dict.fromkeys(drill.hosts, drill.new_look())


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_deployment_is_ended_by_the_next_run(drill: Drill, point: str) -> None:
    old = drill.looks()
    drill.plain(activate=[ACTIVATE, "sleep 2"] if point == "within @arm" else [ACTIVATE])
    assert drill.commit(kill=point).status == -9

    told = drill.commit(kill="before begin").stderr  # what it finishes, and no more

    new = drill.new_look()
    assert drill.looks() == {
        host: new if _is_new(drill, host, told) else old[host] for host in drill.hosts
    }
    assert ("broke off" in told) == (point not in {"after end", "before begin"})
    for host in drill.hosts:
        assert drill.state(host).lock is None


def _is_new(drill: Drill, host: str, told: str) -> bool:
    """Tell what was said of the host, by the next run or before in the journal."""
    found = re.findall(rf"^{host}: (.*)$", told, re.MULTILINE)
    if found:
        assert found[0] in {"confirmed", "rolled back", "aborted"}
        return found[0] == "confirmed"
    lines = (drill.folder / "journal/journal.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    mine = [each for each in events if each["deployment"] == events[-1]["deployment"]]
    return "confirmed" in {each["event"] for each in mine if each.get("host") == host}


NOT_CONFIRMED = "not confirmed within 5 s"


@pytest.mark.parametrize("point", ["within @arm", f"after activated {A}", f"after verified {A}"])
def test_if_nobody_comes_the_host_goes_back_in_time(drill: Drill, point: str) -> None:
    old = drill.looks()
    drill.plain(activate=[ACTIVATE, "sleep 2"])
    assert drill.commit(kill=point).status == -9

    eventually(lambda: NOT_CONFIRMED in drill.told_of_return(A), 30)

    eventually(lambda: not drill.look(A).is_armed, 5)
    assert drill.looks() == old
    assert "was taken back" in drill.shell(A, "journalctl -t goldentooth -n 1 -o cat")
    drift = drill.run("drift", "--host", A)
    assert drift.status == 1
    assert "rolled back" in drift.stdout
    told = drill.commit()
    assert f"{A}: rolled back" in told.stderr
    assert drill.looks() == dict.fromkeys(drill.hosts, drill.new_look())
    assert drill.run("drift", "--host", A).status == 0
