"""The API behind HAProxy: what answers while control planes die one after the other."""

from __future__ import annotations

import csv
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import pytest

from goldentooth.twin import Twin
from tests.twin.claims.observation import Answers, Measured, Requests, ask_haproxy, wait_until

pytestmark = pytest.mark.root

API_UNIT = "stand-in-api.service"
ORDER = ("bettley", "dalt", "cargyll")
"""The first loses its power; on the others the API server ends."""


@dataclass(frozen=True)
class Sample:
    """How HAProxy sees one server (`show stat`: status, check_status, check_health)."""

    at: float
    server: str
    status: str
    check: str
    health: int


@dataclass(frozen=True)
class Outage:
    """All three control planes have died, one after the other, and come back.

    ``died`` and ``noticed`` (HAProxy says DOWN) by server, and ``healed``, in seconds of the
    clock; ``answers`` to a request every 50 ms all the while.
    """

    died: dict[str, float]
    noticed: dict[str, float]
    healed: float
    back: float
    samples: tuple[Sample, ...]
    answers: Answers

    def of(self, server: str) -> list[Sample]:
        """Return the samples of ``server``, those alike in a row only once."""
        found: list[Sample] = []
        for sample in self.samples:
            if sample.server == server and (
                not found or (found[-1].status, found[-1].health) != (sample.status, sample.health)
            ):
                found.append(sample)
        return found

    def dead_from(self, count: int) -> tuple[float, float]:
        """Return from when to when HAProxy knew that ``count`` of the three are dead."""
        start = self.noticed[ORDER[count - 1]]
        return start + 0.1, self.died[ORDER[count]] if count < 3 else self.healed


@pytest.fixture(scope="module")
def outage(shared_twin: Twin) -> Outage:
    """Let the control planes die one after the other and come back, once for all tests here."""
    twin, end = shared_twin, Event()
    died: dict[str, float] = {}
    noticed: dict[str, float] = {}
    with ThreadPoolExecutor(1) as pool:
        sampling = pool.submit(_sample, twin, end)
        try:
            with Requests(
                twin,
                host="operator",
                address="10.4.0.10",
                port=6443,
                interval=0.05,
                limit=7,
                tls=True,
            ) as requests:
                for server in ORDER:
                    time.sleep(1.5)
                    died[server] = time.time()
                    if server == ORDER[0]:
                        twin.break_("power", server)
                    else:
                        twin.break_("stop", server, unit=API_UNIT)
                    wait_until(lambda name=server: _states(twin)[name].startswith("DOWN"), 30)
                    noticed[server] = time.time()
                time.sleep(1.5)
                healed = time.time()
                twin.heal()
                back = time.time()
                time.sleep(0.7)
        finally:
            end.set()
            twin.heal()
    return Outage(died, noticed, healed, back, tuple(sampling.result()), requests.answers())


@pytest.mark.parametrize("dead", [1, 2])
def test_the_api_answers_with_one_and_two_of_three_control_planes_dead(
    outage: Outage, dead: int, measured: Measured
) -> None:
    last = ORDER[dead - 1]
    detecting = outage.answers.between(outage.died[last], outage.noticed[last])
    took = outage.noticed[last] - outage.died[last]
    settled = outage.answers.between(*outage.dead_from(dead))
    measured(f"{last} dead, DOWN after {took:.1f} s: until then {detecting}\nthen {settled}")

    # one that is refused is tried on another server at once; one that hears nothing waits for
    # HAProxy's connect time-out, and goes elsewhere; only what the dead one was just answering
    # is lost with it
    assert len(detecting.lost) <= (1 if dead == 2 else 2)
    assert len(settled.all) >= 5
    assert not settled.lost
    assert settled.by.keys() == set(ORDER[dead:])
    assert detecting.by.keys() >= set(ORDER[dead:])
    assert took < 15


def test_the_api_does_not_answer_with_all_control_planes_dead(
    outage: Outage, measured: Measured
) -> None:
    alone = outage.answers.between(*outage.dead_from(3))
    measured(alone)

    assert len(alone.all) >= 3
    assert len(alone.lost) == len(alone.all)


def test_the_api_recovers_with_its_control_planes(outage: Outage, measured: Measured) -> None:
    healing = outage.answers.between(outage.healed, outage.back)
    after = outage.answers.between(outage.back)
    first = next(answer for answer in healing.all if answer.is_good)
    measured(f"first answer {first.at - outage.healed:.1f} s after the healing began; then {after}")

    assert not after.lost
    assert after.by.keys() == set(ORDER)


def test_a_server_is_down_after_three_failed_checks_and_up_after_two_good_ones(
    outage: Outage, measured: Measured
) -> None:
    seen = outage.of("dalt")
    for sample in seen:
        measured(f"{sample.at - seen[0].at:6.2f} s  {sample.status:<9} health {sample.health}")
    levels = [sample.health for sample in seen]
    down = next(sample for sample in seen if sample.status == "DOWN")
    first_failure = next(sample for sample in seen if sample.health == 3)
    first_success = next(sample for sample in seen if sample.health == 1)
    up = next(sample for sample in seen if sample.at > first_success.at)

    # rise + fall - 1 = 4 is best; below rise = 2 a server is DOWN (management guide, 9.1)
    assert levels == [4, 3, 2, 0, 1, 4]
    assert down.at - first_failure.at == pytest.approx(4, abs=1)  # two more checks, 2 s each
    assert up.at - first_success.at == pytest.approx(2, abs=1)
    assert up.status == "UP"


def _sample(twin: Twin, end: Event) -> list[Sample]:
    samples = []
    while not end.is_set():
        samples += [
            Sample(
                time.time(),
                row["svname"],
                row["status"].split()[0],
                row["check_status"],
                int(row["check_health"]),
            )
            for row in _servers(twin)
        ]
        time.sleep(0.1)
    return samples


def _states(twin: Twin) -> dict[str, str]:
    return {row["svname"]: row["status"] for row in _servers(twin)}


def _servers(twin: Twin) -> list[dict[str, str]]:
    """Return HAProxy's line of each server, from its runtime socket."""
    answer = ask_haproxy(twin, "show stat")
    rows = csv.DictReader(answer.removeprefix("# ").splitlines())
    return [row for row in rows if row["pxname"] == "control-planes" and row["addr"]]
