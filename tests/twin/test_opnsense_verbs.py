"""The OPNsense router under the verbs of every host: drift, deploy, adopt, rollback."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldentooth.model import Network
from goldentooth.opnsense import intended_state
from goldentooth.opnsense.models import NEIGHBOR
from goldentooth.opnsense.state import own_uuid
from goldentooth.twin import Twin
from goldentooth.twin.opnsense import set_faults
from tests.twin.conftest import PROJECT
from tests.twin.test_opnsense import curl, sessions, wait_for

FENN = "neighbor 10.4.0.15"


class Operator:
    """A copy of the project, used on the operator's machine for the router alone."""

    def __init__(self, twin: Twin, folder: Path) -> None:
        self.twin, self.folder = twin, folder

    def run(self, verb: str, *arguments: str) -> tuple[int, dict[str, Any], str]:
        command = ["env", f"PYTHONPATH={PROJECT}", sys.executable, "-m", "runbooks", verb]
        config = ["--config", str(self.folder / "config.yaml"), "--host", "router"]
        done = self.twin.run([*command, *arguments, *config, "--format", "json"], cwd=PROJECT)
        said = done.stdout.decode()
        report = json.loads(said[said.index("{") :]) if "{" in said else {}
        return done.returncode, report, done.stderr.decode()

    def drift(self) -> tuple[int, dict[str, str]]:
        status, report, said = self.run("drift")
        assert report, said
        items = {i["subject"]: i["state"] for i in report["hosts"][0]["items"]}
        return status, {name: state for name, state in items.items() if state != "in sync"}

    def edit(self, before: str, after: str) -> None:
        path = self.folder / "inventory/defaults.yaml"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))


@pytest.fixture
def operator(twin: Twin, tmp_path: Path) -> Operator:
    for name in ("inventory", "templates"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    shutil.copy(PROJECT / "config.yaml", tmp_path)
    return Operator(twin, tmp_path)


Ask = Callable[[str, Any], Any]


@pytest.fixture
def ask(twin: Twin, network: Network) -> Ask:
    def post(path: str, body: Any) -> Any:
        status, answer = curl(twin, network, "POST", f"quagga/bgp/{path}", body)
        assert status == 200
        return answer

    return post


def fenn(network: Network) -> str:
    return own_uuid(intended_state(network).mark, NEIGHBOR, "10.4.0.15")


def test_a_twin_from_rendered_files_has_its_router_on_record(operator: Operator) -> None:
    assert operator.drift() == (0, {})
    status, plan, _ = operator.run("deploy")
    assert (status, plan["hosts"][0]["changes"]) == (0, [])


def test_a_hand_edit_is_drift_and_is_not_overwritten_silently(
    operator: Operator, ask: Ask, network: Network
) -> None:
    ask(f"setNeighbor/{fenn(network)}", {"neighbor": {"keepalive": "77"}})
    status, report, _ = operator.run("drift")
    (item,) = (i for i in report["hosts"][0]["items"] if i["subject"] == FENN)
    assert (status, item["state"], item["detail"]) == (1, "drift", "keepalive")
    assert "+ keepalive: 77" in item["diff"]
    status, _, said = operator.run("deploy", "--commit")
    assert (status, FENN in said) == (2, True)
    status, report, said = operator.run("deploy", "--commit", "--overwrite-drift")
    assert status == 0, said
    assert report["hosts"][0]["outcome"] == "confirmed"
    assert operator.drift() == (0, {})


def test_rollback_takes_back_a_hand_edit(operator: Operator, twin: Twin, network: Network) -> None:
    uuid = fenn(network)
    for path, body in (
        (f"bgp/setNeighbor/{uuid}", {"neighbor": {"keepalive": "7"}}),
        ("service/reconfigure", {}),
    ):
        curl(twin, network, "POST", f"quagga/{path}", body)
    assert operator.drift() == (1, {FENN: "drift"})
    status, plan, said = operator.run("rollback")
    assert (status, [c["path"] for c in plan["hosts"][0]["changes"]]) == (1, [FENN]), said
    status, report, said = operator.run("rollback", "--commit")
    assert (status, report["hosts"][0]["outcome"]) == (0, "confirmed"), said
    assert operator.drift() == (0, {})
    assert operator.run("rollback")[1]["hosts"][0]["changes"] == []


def test_changed_facts_are_pending_deployed_and_rolled_back(
    operator: Operator, twin: Twin, network: Network
) -> None:
    operator.edit("hold: 180", "hold: 120")
    status, found = operator.drift()
    assert (status, set(found.values())) == (1, {"pending"})
    assert len(found) == len(network.bgp_neighbors)
    status, report, said = operator.run("deploy", "--commit")
    assert status == 0, (report, said)
    assert operator.drift() == (0, {})
    status, plan, said = operator.run("rollback", "--to", "1")
    assert status == 1, said
    assert len(plan["hosts"][0]["changes"]) == len(network.bgp_neighbors)
    assert operator.run("rollback", "--to", "1", "--commit")[0] == 0
    assert set(operator.drift()[1].values()) == {"pending"}  # the facts are as they were changed
    operator.edit("hold: 120", "hold: 180")
    assert operator.drift() == (0, {})
    assert wait_for(lambda: set(sessions(twin).values()) == {"Established"})


def test_what_is_not_ours_is_named_and_left_alone(
    operator: Operator, ask: Ask, network: Network
) -> None:
    made = ask("addNeighbor", {"neighbor": {"address": "10.4.0.99", "remoteas": "64999"}})
    try:
        assert operator.drift() == (0, {})
        _, plan, _ = operator.run("deploy")
        (host,) = plan["hosts"]
        assert (host["changes"], [n for n in host["notes"] if "10.4.0.99" in n] != []) == ([], True)
    finally:
        ask(f"delNeighbor/{made['uuid']}", {})


def test_without_a_look_at_the_sessions_nothing_is_changed(operator: Operator, twin: Twin) -> None:
    """Where the key may not read what the checks are about, nobody could say what is lost."""
    operator.edit("hold: 180", "hold: 120")
    denied = ["quagga/diagnostics/bgp", "quagga/diagnostics/search", "diagnostics/ping"]
    set_faults(twin.machine("router"), {"denied": denied})
    try:
        status, report, said = operator.run("deploy", "--commit")
    finally:
        set_faults(twin.machine("router"), None)
    assert status == 2, said
    assert report["hosts"][0]["outcome"] == "refused"
    assert "none of its live checks can be made" in report["hosts"][0]["reason"]
    assert set(operator.drift()[1].values()) == {"pending"}


def test_what_is_there_can_be_adopted(operator: Operator, ask: Ask, network: Network) -> None:
    ask(f"setNeighbor/{fenn(network)}", {"neighbor": {"keepalive": "77"}})
    assert operator.run("adopt", "--yes")[0] == 0
    status, found = operator.drift()
    assert (status, found[FENN]) == (1, "pending")
    assert operator.run("deploy", "--commit")[0] == 0
    assert operator.drift() == (0, {})
