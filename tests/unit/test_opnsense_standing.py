"""How the router stands, from the record of what was applied: whose a difference is.

The router is the simulator, in this process and over real TLS.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from goldentooth.drift import DriftState, Item
from goldentooth.errors import DeploymentError
from goldentooth.opnsense.models import NEIGHBOR
from goldentooth.opnsense.standing import RouterSurvey, plan_router
from goldentooth.opnsense.state import own_mark, own_uuid
from goldentooth.secrets import Secrets
from goldentooth.transports import opnsense
from tasks.opnsense import (
    RouterAccess,
    change_router,
    prepare_record,
    return_router,
    survey_applied,
    survey_return,
    survey_router,
    take_record,
)
from tests.opnsense_router import KEY, QUICK, SECRET, SimulatedRouter
from tests.sites import Site

OLD, NEW = "canary-old-4c", "canary-new-9d"


@dataclass
class Operator:
    """Somebody who surveys and deploys to a simulated router, and the record that is kept."""

    router: SimulatedRouter
    site: Site
    records: Path
    values: Mapping[str, str]

    def access(self, **values: str) -> RouterAccess:
        network = self.site.project().network
        known = {"OPNSENSE_KEY": KEY, "OPNSENSE_SECRET": SECRET, **self.values, **values}
        secrets = Secrets(self.site.folder, known)
        record = self.records / "router.json"
        return RouterAccess(network, self.site.folder, record, QUICK, secrets)

    def survey(self, **values: str) -> RouterSurvey:
        survey = survey_router(self.access(**values))
        assert survey.router is not None, survey.drift
        return survey.router

    def deviations(self, **values: str) -> tuple[Item, ...]:
        items = survey_router(self.access(**values)).drift.items
        return tuple(item for item in items if item.state is not DriftState.IN_SYNC)

    def blocked(self, **values: str) -> tuple[Item, ...]:
        survey = survey_router(self.access(**values))
        assert survey.router is not None
        return plan_router("router", survey.drift, survey.router, overwrite=False).blocked

    def deploy(self, name: str = "first", **values: str) -> None:
        access, survey = self.access(**values), self.survey(**values)
        step, _ = change_router(access, survey, name)
        assert step.is_done, step.reason
        prepare_record(access, survey, name, "somebody")
        take_record(access, name)

    def go_back(self, back: Callable[[RouterAccess, RouterSurvey], RouterSurvey]) -> RouterSurvey:
        """Make the router what ``back`` plans, as a deployment; return the plan's survey."""
        access = self.access()
        survey = back(access, self.survey())
        assert survey.drawn.obstacles == ()
        step, _ = change_router(access, survey, "back")
        assert step.is_done, step.reason
        prepare_record(access, survey, "back", "somebody")
        take_record(access, "back")
        return survey

    def edit(self, address: str, **values: str) -> None:
        uuid = own_uuid(own_mark("goldentooth.net"), NEIGHBOR, address)
        path = f"quagga/bgp/setNeighbor/{uuid}"
        assert self.router.ask("POST", path, {"neighbor": values}) == (200, {"result": "saved"})

    def reconfigure(self) -> None:
        self.router.ask("POST", "quagga/service/reconfigure", {})


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opnsense, "BACKOFF_SECONDS", 0.001)


@pytest.fixture
def make(site: Site, tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    made = []

    def make(**values: str) -> Operator:
        folder = tmp_path / "router"
        folder.mkdir()
        router = SimulatedRouter(folder)
        made.append(router)
        certificate = router.authority.certificate.read_bytes()
        (site.folder / "ca.crt").write_bytes(certificate)
        site.edit(
            "inventory/groups.yaml",
            "    load_balancer_route: none",
            f"    load_balancer_route: none\n    opnsense_api: {{url: '{router.url}', ca: ca.crt}}",
        )
        return Operator(router, site, tmp_path / "records", values)

    yield make
    for router in made:
        router.stop()


@pytest.fixture
def operator(make: Callable[..., Operator]) -> Operator:
    """Whose router has been given what the facts say, with a password."""
    operator = make(BGP=OLD)
    operator.site.add_fact("bgp", "password: ${env:BGP}")
    operator.deploy()
    return operator


def states(items: tuple[Item, ...]) -> set[DriftState]:
    return {item.state for item in items}


def test_after_a_deployment_all_is_in_sync(operator: Operator) -> None:
    assert operator.deviations() == ()


def test_a_rotated_secret_is_pending_and_deployed(operator: Operator) -> None:
    found = operator.deviations(BGP=NEW)
    assert len(found) == 12
    assert states(found) == {DriftState.PENDING}
    assert {item.detail for item in found} == {"the value of a secret has changed"}
    assert operator.blocked(BGP=NEW) == ()
    operator.deploy("second", BGP=NEW)
    assert operator.deviations(BGP=NEW) == ()
    assert NEW in operator.router.routing.running


def test_a_secret_that_was_changed_by_hand_is_drift(operator: Operator) -> None:
    operator.edit("10.4.0.15", password="handmade")
    operator.reconfigure()
    (item,) = operator.deviations()
    assert (item.subject, item.state) == ("neighbor 10.4.0.15", DriftState.DRIFT)
    assert operator.blocked() == (item,)


def test_a_secret_changed_on_both_sides_is_a_conflict(operator: Operator) -> None:
    operator.edit("10.4.0.15", password="handmade")
    operator.reconfigure()
    by_name = {item.subject: item.state for item in operator.deviations(BGP=NEW)}
    assert by_name.pop("neighbor 10.4.0.15") is DriftState.CONFLICT
    assert set(by_name.values()) == {DriftState.PENDING}


def test_a_password_that_the_facts_come_to_have_is_pending(make: Callable[..., Operator]) -> None:
    operator = make(BGP=OLD)
    operator.deploy()
    operator.site.add_fact("bgp", "password: ${env:BGP}")
    assert states(operator.deviations()) == {DriftState.PENDING}


@pytest.mark.parametrize("lost", ["key", "hashes"])
def test_without_hashes_or_their_key_nothing_is_known_of_secrets_alone(
    operator: Operator, lost: str
) -> None:
    record = operator.records / "router.json"
    if lost == "key":
        record.with_suffix(".key").unlink()
    else:
        applied: dict[str, Any] = json.loads(record.read_text())
        for values in applied["objects"].values():
            values.pop("password", None)
        record.write_text(json.dumps(applied))
    assert operator.deviations() == ()
    assert states(operator.deviations(BGP=NEW)) == {DriftState.DRIFT}
    operator.site.edit("inventory/defaults.yaml", "keepalive: 60", "keepalive: 50")
    assert states(operator.deviations(BGP=OLD)) == {DriftState.PENDING}


def test_no_secret_is_in_the_record_and_its_files_are_the_owners_alone(operator: Operator) -> None:
    files = [file for file in operator.records.iterdir() if file.is_file()]
    assert {"router.json", "router.key"} <= {file.name for file in files}
    for file in files:
        assert OLD not in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    objects = json.loads((operator.records / "router.json").read_text())["objects"]
    hashes = [values["password"] for name, values in objects.items() if "neighbor" in name]
    assert len(set(hashes)) == 12, "the same secret is not seen to be the same"


# -- back ------------------------------------------------------------------------------------


def test_rollback_puts_back_what_was_applied(operator: Operator) -> None:
    right = operator.router.routing.running
    operator.edit("10.4.0.15", keepalive="7", password="handmade")
    operator.reconfigure()
    operator.site.edit("inventory/defaults.yaml", "hold: 180", "hold: 120")  # is not what was
    survey = operator.go_back(survey_applied)
    assert [str(change) for change in survey.drawn.changes] == ["neighbor 10.4.0.15"]
    assert operator.router.routing.running == right
    assert states(operator.deviations()) == {DriftState.PENDING}, "the facts are newer"


def test_rollback_is_planned_from_the_record(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("OPNSENSE_KEY", KEY), ("OPNSENSE_SECRET", SECRET), ("BGP", OLD)):
        monkeypatch.setenv(name, value)
    project = operator.site.project()
    project.router_access().record.parent.parent.mkdir()
    operator.records.rename(project.router_access().record.parent)
    (host,) = project.plan_rollback(0, hosts=["router"]).hosts
    assert host.changes == ()
    operator.edit("10.4.0.15", keepalive="7")
    (host,) = project.plan_rollback(0, hosts=["router"]).hosts
    assert [(change.path, change.detail) for change in host.changes] == [
        ("neighbor 10.4.0.15", "keepalive")
    ]


def test_without_a_record_there_is_nothing_to_go_back_to(operator: Operator) -> None:
    (operator.records / "router.json").unlink()
    with pytest.raises(DeploymentError, match="nothing is on record as applied"):
        survey_applied(operator.access(), operator.survey())


def test_a_password_that_is_nowhere_any_more_is_said_to_stay(operator: Operator) -> None:
    operator.edit("10.4.0.15", keepalive="7", password="handmade")
    survey = survey_applied(operator.access(), operator.survey(BGP=NEW))
    assert survey.drawn.notes == (
        "neighbor 10.4.0.15: its password was not stored, and it stays as it is now",
    )
    (change,) = survey.drawn.changes
    assert [field.field for field in change.fields] == ["keepalive"]


def test_a_rotation_alone_cannot_be_rolled_back_and_is_not_said_to_be(operator: Operator) -> None:
    operator.deploy("second", BGP=NEW)
    back = survey_return(operator.access(), operator.survey(BGP=NEW), "second")
    assert len(back.drawn.obstacles) == 12
    assert "its password was not stored" in back.drawn.obstacles[0]


def test_what_goes_back_says_which_password_does_not(operator: Operator) -> None:
    operator.site.edit("inventory/defaults.yaml", "keepalive: 60", "keepalive: 50")
    operator.deploy("second", BGP=NEW)
    back = survey_return(operator.access(), operator.survey(BGP=NEW), "second")
    assert back.drawn.obstacles == ()
    assert len(back.drawn.changes) == len(back.drawn.notes) == 12
    step = return_router(operator.access(), "second")
    assert step.is_done
    assert "neighbor 10.4.0.15: its password was not stored" in step.reason
    assert "timers 60 180" in operator.router.routing.running
