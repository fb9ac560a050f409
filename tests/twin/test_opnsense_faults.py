"""Whatever fails while the router is changed: it ends old or new, or it is said what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from goldentooth.opnsense import intended_state
from goldentooth.opnsense.models import NEIGHBOR
from goldentooth.opnsense.state import own_uuid
from tests.namespaces import eventually
from tests.twin.router_drill import HOSTS, RouterDrill, router_drill
from tests.twin.test_opnsense import curl, sessions

pytestmark = pytest.mark.root

CALLS = 8
"""Of a turn from one intent to the other: changes of lists, maps, neighbors, names, reconfigure."""
BETTLEY = "10.4.0.11"


@pytest.fixture(scope="module")
def shared_drill(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RouterDrill]:
    with router_drill(tmp_path_factory.mktemp("router") / "site") as drill:
        yield drill


@pytest.fixture
def drill(shared_drill: RouterDrill) -> Iterator[RouterDrill]:
    yield shared_drill
    shared_drill.release()
    shared_drill.break_()


def is_unchanged(drill: RouterDrill, before: tuple[Any, str]) -> bool:
    """Tell whether the router is what it was: saved, and running."""
    saved, runs = drill.router()
    assert saved == before[0]
    assert runs == before[1]
    return True


def neighbor_path(drill: RouterDrill, verb: str = "set") -> str:
    mark = intended_state(drill.site.project().network).mark
    return f"quagga/bgp/{verb}Neighbor/{own_uuid(mark, NEIGHBOR, BETTLEY)}"


def edit_by_hand(drill: RouterDrill, **fields: str) -> None:
    network = drill.site.project().network
    answer = curl(drill.twin, network, "POST", neighbor_path(drill), {"neighbor": fields})
    assert answer == (200, {"result": "saved"})


def test_the_calls_are_all_calls(drill: RouterDrill) -> None:
    for _ in range(2):
        drill.turn()
        done = drill.settle()
        assert done.outcomes == {"router": "confirmed"}
        assert drill.is_in_sync()
        writes = [point for point in drill.points if point.startswith("before write")]
        assert len(writes) in {0, CALLS}


@pytest.mark.parametrize("number", range(1, CALLS + 1))
def test_a_failure_at_any_call_ends_old_and_the_next_run_makes_it_new(
    drill: RouterDrill, number: int
) -> None:
    before = drill.router()
    drill.turn()
    drill.break_(fail_at=number)

    done = drill.commit()

    assert done.outcomes == {"router": "rolled back"}
    reason = done.reasons["router"]
    assert "status 500" in reason
    assert reason.count("not done:") == max(0, CALLS - 2 - (number - 1))
    assert f"{number - 1} saved on the router" in reason or not 1 < number <= CALLS - 2
    assert is_unchanged(drill, before)
    drill.break_()
    assert drill.settle().outcomes == {"router": "confirmed"}
    assert number not in {1, CALLS} or drill.is_in_sync()


@pytest.mark.parametrize("number", [1, CALLS - 3, CALLS])
def test_a_connection_cut_after_a_write_ends_old(drill: RouterDrill, number: int) -> None:
    before = drill.router()
    drill.turn()
    drill.break_(cut_at=number)

    done = drill.commit()

    assert done.outcomes == {"router": "rolled back"}
    assert "it is not known whether the router has made it" in done.reasons["router"]
    assert is_unchanged(drill, before)
    drill.break_()
    drill.settle()


def test_an_answer_that_comes_too_late_ends_old(drill: RouterDrill) -> None:
    before = drill.router()
    drill.turn()
    drill.break_(late_at=3, late=3)

    done = drill.commit()

    assert done.outcomes == {"router": "rolled back"}
    assert "no answer in time" in done.reasons["router"]
    assert is_unchanged(drill, before)
    drill.break_()
    drill.settle()


def test_what_cannot_be_put_back_is_told_and_put_back_by_the_next_run(drill: RouterDrill) -> None:
    before = drill.router()
    drill.turn()
    drill.start_commit("before write 3")
    drill.wait_for("before write 3")
    drill.break_(fail_all=True)
    drill.go_on()

    done = drill.end()

    assert done.outcomes == {"router": "unknown"}
    reason = done.reasons["router"]
    assert "2 saved on the router, and not live" in reason
    assert (reason.count("not done:"), "it did not go back" in reason) == (CALLS - 4 + 2, True)
    drill.break_()
    told = drill.commit(kill="before begin").stderr
    assert "router: rolled back" in told
    assert is_unchanged(drill, before)
    drill.settle()


def test_an_edit_between_plan_and_write_stops_it_and_stays(drill: RouterDrill) -> None:
    drill.turn()
    drill.start_commit("before changing through the API router")
    drill.wait_for("before changing through the API router")
    edit_by_hand(drill, keepalive="77")
    before = drill.router()
    drill.go_on()

    done = drill.end()

    assert done.outcomes == {"router": "refused"}
    assert "the router has been changed since the plan was drawn up" in done.reasons["router"]
    assert is_unchanged(drill, before)
    assert drill.commit().status == 2, "what somebody has changed is not overwritten unseen"
    assert drill.commit("--overwrite-drift").status == 0
    assert drill.run("drift", "--host", "router").status == 0


def test_an_edit_while_it_is_written_is_not_made_live_and_stays(drill: RouterDrill) -> None:
    before = drill.router()
    drill.turn()
    values = {"neighbor": {"keepalive": "77"}}
    drill.break_(edit_at=3, edit={"path": neighbor_path(drill), "values": values})

    done = drill.commit()

    assert done.outcomes == {"router": "rolled back"}
    reason = done.reasons["router"]
    assert f"somebody else has changed the router at the same time (neighbor {BETTLEY}" in reason
    drill.break_()
    saved = drill.router()[0]
    (edited,) = (
        each
        for each in saved["bgp"]["lists"]["neighbors.neighbor"].values()
        if each["address"] == BETTLEY
    )
    assert edited["keepalive"] == "77", "what is not ours to put back stays"
    edit_by_hand(drill, keepalive="60")
    assert is_unchanged(drill, (before[0], drill.router()[1]))
    drill.settle()


def test_with_an_expired_certificate_nothing_is_done(drill: RouterDrill) -> None:
    before = drill.router()
    drill.turn()
    drill.break_(expired=True)

    done = drill.commit()

    assert done.status == 2
    assert "certificate has expired" in done.stdout + done.stderr
    drill.break_()
    assert is_unchanged(drill, before)
    drill.settle()


def test_a_certificate_that_expires_meanwhile_is_told_and_made_good(drill: RouterDrill) -> None:
    before = drill.router()
    drill.turn()
    drill.start_commit("before write 3")
    drill.wait_for("before write 3")
    restart_simulator(drill)  # whoever is connected has seen a good one
    drill.break_(expired=True)
    drill.go_on()

    done = drill.end()

    assert done.outcomes == {"router": "unknown"}
    assert "certificate has expired" in done.reasons["router"]
    drill.break_()
    assert "router: rolled back" in drill.commit(kill="before begin").stderr
    assert is_unchanged(drill, before)
    drill.settle()


def restart_simulator(drill: RouterDrill) -> None:
    drill.twin.machine("router").check(["systemctl", "restart", "opnsense-simulator.service"])
    argv = ["curl", "--silent", "--insecure", "https://10.4.0.1/"]
    assert eventually(lambda: drill.twin.run(argv).returncode == 0, 10)


def test_a_model_without_a_field_that_the_facts_need_is_too_old(drill: RouterDrill) -> None:
    before = drill.router()
    drill.turn()
    drill.break_(drop=["neighbor.holddown"])

    done = drill.commit()

    assert done.status == 2
    assert "update the plugin" in done.stdout + done.stderr
    drill.break_()
    assert is_unchanged(drill, before)


def test_a_model_with_fields_that_are_not_known_is_named(drill: RouterDrill) -> None:
    drill.intend("A")
    drill.settle()
    drill.intend("B")
    drill.break_(add=["neighbor.quantum"])
    plan = drill.run("deploy", "--host", "router")
    assert "bgp.neighbors.neighbor.quantum" in plan.stdout
    assert drill.commit().outcomes == {"router": "confirmed"}


def test_another_box_is_not_touched(drill: RouterDrill) -> None:
    settings = "/var/lib/opnsense-simulator/settings.json"
    before = drill.router()
    drill.turn()
    drill.shell("router", f"sed -i.kept 's/router.nodes/firewall.nodes/' {settings}")
    restart_simulator(drill)
    try:
        done = drill.commit()
    finally:
        drill.shell("router", f"mv {settings}.kept {settings}")
        restart_simulator(drill)

    assert done.status == 2
    assert "calls itself firewall.nodes.goldentooth.net" in done.stdout + done.stderr
    assert is_unchanged(drill, before)
    drill.settle()


def test_a_box_of_another_hardware_address_is_not_touched(drill: RouterDrill) -> None:
    before = drill.router()
    drill.turn()
    hosts = drill.folder / "inventory/hosts.yaml"
    text = hosts.read_text()
    hosts.write_text(
        text.replace(
            "  hostname: 10.4.0.1\n", "  hostname: 10.4.0.1\n  data: {mac: '02:00:00:00:00:99'}\n"
        )
    )
    done = drill.commit()
    hosts.write_text(text)

    assert done.status == 2
    assert "has no interface with 02:00:00:00:00:99" in done.stdout + done.stderr
    assert is_unchanged(drill, before)
    drill.settle()


def test_what_costs_a_session_goes_back(drill: RouterDrill) -> None:
    drill.intend("A")
    drill.settle()
    assert eventually(lambda: set(sessions(drill.twin).values()) == {"Established"}, 60)
    before = drill.router()
    defaults = drill.folder / "inventory/defaults.yaml"
    text = defaults.read_text()
    password = 'password: "${env:BGP_PASSWORD}"'  # which no neighbor has
    defaults.write_text(text.replace("\n  bgp:\n", f"\n  bgp:\n    {password}\n"))
    done = drill.commit(env={"BGP_PASSWORD": "canary-password"})
    defaults.write_text(text)

    assert done.outcomes == {"router": "rolled back"}
    assert "bgp.session" in done.reasons["router"]
    assert "canary" not in done.stdout + done.stderr
    assert is_unchanged(drill, before)
    assert eventually(lambda: set(sessions(drill.twin).values()) == {"Established"}, 60)
    drill.settle()


# -- the operator's process ends ------------------------------------------------------------


JOURNAL = [
    "begin",
    "changing through the API router",
    "verified router",
    "confirmed router",
    "end",
]
POINTS = [
    *(f"after {line}" for line in JOURNAL),
    *(f"before {line}" for line in JOURNAL[1:]),
    *(f"{when} write {number}" for number in (1, CALLS - 2, CALLS) for when in ("before", "after")),
]


def test_the_lines_are_all_lines(drill: RouterDrill) -> None:
    drill.turn()
    drill.commit()
    lines = [point[7:] for point in drill.points if point.startswith("before ")]
    assert [
        line for line in lines if line.split()[0] not in {"write", "checks", "@stage"}
    ] == JOURNAL


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_change_is_ended_by_the_next_run(drill: RouterDrill, point: str) -> None:
    old = drill.router()
    drill.turn()
    assert drill.commit(kill=point).status == -9

    told = drill.commit(kill="before begin").stderr  # what it finishes, and no more

    is_new = "confirmed" in drill.events()
    if is_new:
        assert drill.run("drift", "--host", "router").status == 0, "it is on record as applied"
        assert drill.router()[0] != old[0]
    else:
        assert is_unchanged(drill, old)
        drifted = json.loads(drill.run("drift", "--host", "router", "--format", "json").stdout)
        states = {item["state"] for item in drifted["hosts"][0]["items"]}
        assert states <= {"in sync", "pending"}, "nothing is put down to the router"
    assert is_new == (point in NEW)
    assert ("broke off" in told) == (point != "after end")
    drill.settle()


NEW = {
    *("after verified router", "before confirmed router", "after confirmed router"),
    *("before end", "after end"),
}


def test_ctrl_c_before_the_first_write_leaves_it_untouched(drill: RouterDrill) -> None:
    old = drill.router()
    drill.turn()

    done = drill.commit(interrupt="after changing through the API router")

    assert done.status == 130
    assert is_unchanged(drill, old)
    assert drill.events()[-1] == "aborted"
    assert "broke off" not in drill.settle().stderr, "nothing is left to the next run"


@pytest.mark.parametrize(
    "point",
    [
        *(f"{when} write {n}" for n in (1, CALLS - 2, CALLS) for when in ("before", "after")),
        "before verified router",
    ],
)
def test_ctrl_c_puts_it_back_at_once(drill: RouterDrill, point: str) -> None:
    old = drill.router()
    drill.turn()

    done = drill.commit(interrupt=point)

    assert done.status == 130
    assert is_unchanged(drill, old)
    assert drill.events()[-2:] == ["failed", "rolled back"]
    assert "rolled back: broken off: KeyboardInterrupt" in done.stderr
    assert "broke off" not in drill.settle().stderr, "nothing is left to the next run"


def test_ctrl_c_after_the_verdict_leaves_it_new(drill: RouterDrill) -> None:
    drill.turn()
    assert drill.commit(interrupt="before confirmed router").status == 130
    told = drill.commit(kill="before begin").stderr
    assert "router: confirmed" in told
    assert drill.run("drift", "--host", "router").status == 0


def test_200_neighbors_are_made_and_a_few_taken_back(drill: RouterDrill) -> None:
    drill.intend("A")
    drill.settle()
    extra = {
        f"extra{n}": {"hostname": f"10.4.2.{n}", "groups": ["raspberry_pi_8gb", "worker"]}
        for n in range(1, 201)
    }
    hosts = drill.folder / "inventory/hosts.yaml"
    text = hosts.read_text()
    hosts.write_text(text + yaml.safe_dump(extra))
    assert drill.commit("--confirm-within", "120").outcomes == {"router": "confirmed"}
    assert len(sessions(drill.twin)) == len(HOSTS) - 1 + len(extra)
    assert drill.run("drift", "--host", "router").status == 0
    kept = {name: entry for name, entry in extra.items() if len(name) > len("extra9")}
    hosts.write_text(text + yaml.safe_dump(kept))
    assert drill.settle().outcomes == {"router": "confirmed"}
    assert len(sessions(drill.twin)) == len(HOSTS) - 1 + 191
