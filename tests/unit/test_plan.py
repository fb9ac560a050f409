"""What a deployment would do, from how the hosts stand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from goldentooth.applied import Baseline, read_baseline, record_files
from goldentooth.artifact import Artifact, Judge
from goldentooth.drift import Collected, DriftState, HostDrift, HostIntent, judge_host
from goldentooth.errors import DeploymentError
from goldentooth.host.package import unpack
from goldentooth.model import Network
from goldentooth.plan import (
    Action,
    HostPlan,
    Sources,
    judge_commands,
    plan_host,
    plan_return,
    rotated_secrets,
    stage_package,
)
from goldentooth.planning import SavedPlan
from goldentooth.report.plan import DeployReport, Plan
from goldentooth.services.frr import FRR_CONF, FRR_DAEMONS
from goldentooth.services.frr import SERVICE as FRR
from goldentooth.services.haproxy import HAPROXY_CFG
from goldentooth.services.haproxy import SERVICE as HAPROXY
from goldentooth.transports import HostFile

SCHEMAS = Path(__file__).parents[2] / "docs/schemas"
CANARY = "canary-value-8431"
KEY = b"k" * 64
STARTED = datetime(2026, 1, 1, tzinfo=UTC)


def intended(text: str, path: str = HAPROXY_CFG, host: str = "allyrion", **more: Any) -> Artifact:
    service = "frr" if path.startswith("/etc/frr") else "haproxy"
    return Artifact(host, service, path, text, **more)


def filled(text: str) -> str:
    return text.replace("${env:PASSWORD}", CANARY)


def record(*artifacts: Artifact) -> dict[str, bytes]:
    pairs = [(artifact, filled(artifact.text).encode()) for artifact in artifacts]
    return record_files("allyrion", pairs, KEY, deployment="0", at="2026", by="ada")


def planned(
    network: Network,
    wanted: Iterable[Artifact],
    live: Mapping[str, str],
    applied: Iterable[Artifact] | None = (),
    **options: Any,
) -> HostPlan:
    """Return the plan of allyrion; ``applied`` is None where nothing is remembered."""
    wanted = tuple(wanted)
    kept = {} if applied is None else record(*applied)
    files: dict[str, HostFile | None] = {
        path: HostFile(path, text.encode()) for path, text in live.items()
    }
    intent = HostIntent("allyrion", wanted, (), (), frozenset({"haproxy", "frr"}))
    drift = judge_host(intent, Collected(files, kept, {}))
    baseline = read_baseline("allyrion", kept)
    pristine = options.pop("pristine", frozenset())
    by_path = {artifact.path: artifact for artifact in wanted}
    rotated = rotated_secrets(wanted, baseline, filled)
    sources = Sources(by_path, files, baseline, pristine, rotated)
    node = network.nodes["allyrion"]
    return plan_host(network, node, (HAPROXY, FRR), drift, sources, **options)


def actions(plan: HostPlan) -> dict[str, str]:
    return {change.path: change.action.value for change in plan.changes}


OLD, NEW = intended("old\n"), intended("new\n")
HAND = "by hand\n"


@pytest.mark.parametrize(
    ("wanted", "live", "applied", "action"),
    [
        pytest.param([OLD], {HAPROXY_CFG: "old\n"}, [OLD], {}, id="in sync"),
        pytest.param([NEW], {HAPROXY_CFG: "old\n"}, [OLD], {HAPROXY_CFG: "change"}, id="pending"),
        pytest.param([OLD], {}, [OLD], {HAPROXY_CFG: "create"}, id="deleted by hand"),
        pytest.param([OLD], {}, [], {HAPROXY_CFG: "create"}, id="new"),
        pytest.param([], {HAPROXY_CFG: "old\n"}, [OLD], {HAPROXY_CFG: "remove"}, id="unwanted"),
        pytest.param([], {}, [OLD], {HAPROXY_CFG: "record"}, id="unwanted and gone"),
        pytest.param([NEW], {HAPROXY_CFG: "new\n"}, [OLD], {HAPROXY_CFG: "record"}, id="converged"),
        pytest.param([OLD], {}, None, {HAPROXY_CFG: "create"}, id="first"),
        pytest.param([OLD], {HAPROXY_CFG: "old\n"}, None, {HAPROXY_CFG: "record"}, id="as it is"),
        pytest.param([], {HAPROXY_CFG: HAND}, [], {}, id="not ours"),
    ],
)
def test_what_happens_to_a_file(
    network: Network,
    wanted: list[Artifact],
    live: dict[str, str],
    applied: list[Artifact] | None,
    action: dict[str, str],
) -> None:
    plan = planned(network, wanted, live, applied)

    assert actions(plan) == action
    assert plan.blocked == ()


@pytest.mark.parametrize(
    ("wanted", "applied", "state"),
    [
        pytest.param([OLD], [OLD], DriftState.DRIFT, id="changed by hand"),
        pytest.param([NEW], [OLD], DriftState.CONFLICT, id="changed by both"),
        pytest.param([], [OLD], DriftState.CONFLICT, id="unwanted, changed by hand"),
        pytest.param([NEW], None, DriftState.NO_BASELINE, id="nobody knows whose"),
    ],
)
def test_what_was_changed_by_hand_stands_in_the_way(
    network: Network, wanted: list[Artifact], applied: list[Artifact] | None, state: DriftState
) -> None:
    live = {HAPROXY_CFG: HAND}

    plan = planned(network, wanted, live, applied)
    assert actions(plan) == {}
    assert [item.state for item in plan.blocked] == [state]

    plan = planned(network, wanted, live, applied, overwrite=True)
    assert actions(plan) == {HAPROXY_CFG: "change" if wanted else "remove"}
    assert plan.blocked == ()
    assert plan.changes[0].expected == hashlib.sha256(HAND.encode()).hexdigest()


def test_what_a_package_put_there_is_nobodys_work(network: Network) -> None:
    pristine = frozenset({HAPROXY_CFG})

    plan = planned(network, [NEW], {HAPROXY_CFG: HAND}, None, pristine=pristine)

    assert actions(plan) == {HAPROXY_CFG: "change"}


def test_a_host_that_cannot_be_read_has_no_changes(network: Network) -> None:
    drift = HostDrift("allyrion", state=DriftState.UNREACHABLE, reason="no answer")

    plan = plan_host(network, network.nodes["allyrion"], (HAPROXY,), drift, Sources({}, {}, None))

    assert plan.unknown is drift
    assert Plan((plan,), STARTED, 0.0).status == 2


def test_only_what_changed_is_activated(network: Network) -> None:
    conf, daemons = intended("a\n", FRR_CONF), intended("bgpd=yes\n", FRR_DAEMONS)
    live = {FRR_CONF: "b\n", FRR_DAEMONS: "bgpd=yes\n"}
    was = intended("b\n", FRR_CONF)
    node = network.router
    assert [each.kind for each in FRR.activate(network, node)] == ["restart", "reload"]
    plan = planned(network, [conf, daemons], live, [was, daemons])

    assert actions(plan) == {FRR_CONF: "change"}
    assert plan.activations == ()  # allyrion has no FRR: nothing of it is made live there
    changed = planned(network, [NEW], {HAPROXY_CFG: "old\n"}, [OLD])
    assert [each.kind for each in changed.activations] == ["reload"]
    assert changed.units == ("haproxy.service",)


def test_a_record_alone_activates_nothing(network: Network) -> None:
    plan = planned(network, [NEW], {HAPROXY_CFG: "new\n"}, [OLD])

    assert (plan.activations, plan.touched) == ((), ())


# -- secrets ----------------------------------------------------------------------------

SECRET = intended("key ${env:PASSWORD}\n", mode=0o600)
SECRET_LIVE = HostFile(HAPROXY_CFG, f"key {CANARY}\n".encode(), mode=0o600)


def test_another_value_of_a_secret_is_a_change(network: Network) -> None:
    baseline = read_baseline("allyrion", record(SECRET))

    assert rotated_secrets([SECRET], baseline, filled) == frozenset()
    assert rotated_secrets([SECRET], baseline, lambda _: "key other\n") == {HAPROXY_CFG}


@pytest.mark.parametrize("wanted", [[intended("key ${env:PASSWORD}\nmore\n")], [NEW], []])
def test_a_saved_plan_has_no_secret_and_no_hash_of_one(
    network: Network, wanted: list[Artifact]
) -> None:
    live = {HAPROXY_CFG: f"key {CANARY}\n"}
    was = intended("key ${env:PASSWORD}\n")

    plan = planned(network, wanted, live, [was])

    text = json.dumps(plan.to_dict()) + repr(plan) + Plan((plan,), STARTED, 0.0).table()
    assert actions(plan)
    assert CANARY not in text
    assert hashlib.sha256(live[HAPROXY_CFG].encode()).hexdigest() not in text


# -- what goes to the host --------------------------------------------------------------


def unpacked(plan: HostPlan, **options: Any) -> dict[str, bytes]:
    return unpack(stage_package(plan, KEY, filled, deployment="1", at="2026", by="ada", **options))


def described(members: dict[str, bytes]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(members["deployment.json"])
    return found


def test_the_archive_has_what_the_host_needs(network: Network) -> None:
    gone = intended("gone\n", "/etc/gone")
    plan = planned(network, [SECRET], {"/etc/gone": "gone\n"}, [gone])

    members = unpacked(plan)

    gone_hash = hashlib.sha256(b"gone\n").hexdigest()
    sent = described(members)
    assert sent["plan"] == [
        ["put", HAPROXY_CFG, "root:root", "0600", "absent"],
        ["remove", "/etc/gone", "", "", gone_hash],
    ]
    assert members[f"new{HAPROXY_CFG}"] == f"key {CANARY}\n".encode()
    assert "new/etc/gone" not in members
    assert sent["units"] == ["haproxy.service"]
    assert any("reload-or-restart haproxy.service" in line for line in sent["activate"])
    assert CANARY.encode() not in members["record/manifest.json"]
    assert sent["carried"] == []
    assert not any(name.startswith("record/files") for name in members)
    lines = json.loads(members["record/manifest.json"])["artifacts"]
    assert [line["path"] for line in lines] == [HAPROXY_CFG]


def test_the_record_keeps_what_is_not_deployed_now(network: Network) -> None:
    other = Artifact("allyrion", "other", "/etc/other", "other\n")
    plan = planned(network, [NEW], {HAPROXY_CFG: "old\n", "/etc/other": "other\n"}, [OLD, other])

    assert actions(plan) == {HAPROXY_CFG: "change"}
    assert described(unpacked(plan))["carried"] == ["/etc/other"]


def test_judges_look_at_the_staged_file(network: Network) -> None:
    judge = Judge("ifup", ("ifup", "--interfaces={file}", "--state-dir={scratch}", "{stem}"))
    plan = planned(network, [intended("x\n", "/etc/eth0.cfg", judge=judge)], {}, None)

    staged = "/var/lib/goldentooth/staged/etc/eth0.cfg"
    assert judge_commands(plan) == {
        "/etc/eth0.cfg": f"ifup --interfaces={staged} --state-dir=/var/lib/goldentooth/scratch eth0"
    }


# -- a saved plan -----------------------------------------------------------------------


def saved(plan: HostPlan) -> tuple[Plan, dict[str, Any]]:
    whole = Plan((plan,), STARTED, 1.0)
    return whole, json.loads(json.dumps(whole.to_dict()))


def test_the_same_plan_is_taken(network: Network) -> None:
    whole, kept = saved(planned(network, [NEW], {HAPROXY_CFG: "old\n"}, [OLD]))

    SavedPlan.of(kept).refuse_other(whole)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(([NEW], {HAPROXY_CFG: HAND}, [OLD]), id="host moved"),
        pytest.param(([intended("newer\n")], {HAPROXY_CFG: "old\n"}, [OLD]), id="facts moved"),
        pytest.param(([NEW], {HAPROXY_CFG: "new\n"}, [NEW]), id="done meanwhile"),
    ],
)
def test_another_plan_names_the_host_that_moved(network: Network, other: Any) -> None:
    _, kept = saved(planned(network, [NEW], {HAPROXY_CFG: "old\n"}, [OLD]))
    now, _ = saved(planned(network, *other))

    with pytest.raises(DeploymentError, match="another state of allyrion"):
        SavedPlan.of(kept).refuse_other(now)


@pytest.mark.parametrize(
    "kept",
    [
        {},
        5,
        None,
        {"hosts": []},
        {"format": "other/1", "scope": {}, "hosts": []},
        {"format": "goldentooth-net/plan/1", "scope": {}, "hosts": [1]},
    ],
)
def test_what_is_no_plan_is_refused(network: Network, kept: dict[str, Any]) -> None:
    whole, _ = saved(planned(network, [NEW], {HAPROXY_CFG: "old\n"}, [OLD]))

    with pytest.raises(DeploymentError, match="plan"):
        SavedPlan.of(kept).refuse_other(whole)


# -- back -------------------------------------------------------------------------------


def back_to(*artifacts: Artifact) -> Baseline:
    baseline = read_baseline("allyrion", record(*artifacts))
    assert baseline is not None
    return baseline


def test_the_way_back_puts_removes_and_leaves(network: Network) -> None:
    more = intended("more\n", "/etc/more")
    same = intended("same\n", "/etc/same")
    files: dict[str, HostFile | None] = {
        HAPROXY_CFG: HostFile(HAPROXY_CFG, b"new\n"),
        "/etc/more": HostFile("/etc/more", b"more\n"),
        "/etc/same": HostFile("/etc/same", b"same\n"),
    }
    sources = Sources({}, files, back_to(NEW, more, same))
    node = network.nodes["allyrion"]

    plan = plan_return(network, node, (HAPROXY,), back_to(OLD, same), sources, source="d1")

    assert actions(plan) == {HAPROXY_CFG: "change", "/etc/more": "remove"}
    assert [each.kind for each in plan.activations] == ["reload"]
    members = unpacked(plan)
    assert described(members)["source"] == "d1"
    assert not [name for name in members if name.startswith(("new", "record"))]


def test_nothing_has_to_go_back(network: Network) -> None:
    files: dict[str, HostFile | None] = {HAPROXY_CFG: HostFile(HAPROXY_CFG, b"old\n")}
    node = network.nodes["allyrion"]

    plan = plan_return(
        network, node, (HAPROXY,), back_to(OLD), Sources({}, files, back_to(OLD)), source="applied"
    )

    assert plan.is_empty


def test_a_file_that_cannot_be_read_is_in_the_way_forth_and_back(network: Network) -> None:
    unread = HostFile(HAPROXY_CFG, unreadable="Cannot open: Permission denied")
    files: dict[str, HostFile | None] = {HAPROXY_CFG: unread}
    intent = HostIntent("allyrion", (NEW,), (), (), frozenset({"haproxy"}))
    drift = judge_host(intent, Collected(files, record(OLD), {}))
    sources = Sources({HAPROXY_CFG: NEW}, files, back_to(OLD))
    node = network.nodes["allyrion"]

    forth = plan_host(network, node, (HAPROXY,), drift, sources, overwrite=True)
    back = plan_return(network, node, (HAPROXY,), back_to(OLD), sources, source="d1")

    for plan in (forth, back):
        (item,) = plan.blocked
        assert (item.subject, item.state) == (HAPROXY_CFG, DriftState.UNREADABLE)
    assert forth.is_empty


# -- reports ----------------------------------------------------------------------------


def test_the_plan_says_what_is_disturbed_and_counts(network: Network) -> None:
    plan = planned(network, [NEW], {HAPROXY_CFG: "old\n"}, [OLD])

    table = Plan((plan,), STARTED, 0.0).table()

    assert f"  ~ change {HAPROXY_CFG} [haproxy]" in table
    assert "      -old\n      +new" in table
    assert "    no session is touched" in table
    assert table.endswith("\n1 to change, on 1 of 1 host")


@pytest.mark.parametrize(
    ("plan_args", "status"),
    [
        (([OLD], {HAPROXY_CFG: "old\n"}, [OLD]), 0),
        (([NEW], {HAPROXY_CFG: "old\n"}, [OLD]), 1),
        (([OLD], {HAPROXY_CFG: HAND}, [OLD]), 1),
    ],
)
def test_the_status_is_as_diffs(network: Network, plan_args: Any, status: int) -> None:
    assert Plan((planned(network, *plan_args),), STARTED, 0.0).status == status


def _schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.schema.json").read_text())


def test_the_documented_formats_hold(network: Network) -> None:
    from goldentooth.deployment import Outcome

    blocked = planned(network, [NEW], {HAPROXY_CFG: HAND}, [OLD])
    unknown = HostPlan(
        "fenn", unknown=HostDrift("fenn", state=DriftState.UNREACHABLE, reason="no answer")
    )
    for each in (planned(network, [NEW], {HAPROXY_CFG: "old\n"}, [OLD]), blocked, unknown):
        jsonschema.validate(saved(each)[1], _schema("plan"))
    outcomes = (Outcome("fenn", "confirmed"), Outcome("jast", "unknown", "lost"))
    report = DeployReport("d", outcomes, STARTED, 1.0, finished={"c": {"fenn": "rolled back"}})
    jsonschema.validate(report.to_dict(), _schema("deploy"))
    assert {action.value for action in Action} == set(_schema("plan")["$defs"]["action"]["enum"])


# -- what is not quoted -----------------------------------------------------------------


def test_a_secret_that_a_host_has_without_a_record_is_not_quoted(network: Network) -> None:
    new = intended("password ${env:PASSWORD}\nlog stdout\n")
    plan = planned(network, [new], {HAPROXY_CFG: "password hunter2old\nlog stdout\n"})

    assert plan.hidden == {"hunter2old"}


def test_words_that_any_intended_file_has_in_the_open_are_quoted(network: Network) -> None:
    secret = intended("password ${env:PASSWORD}\n")
    other = intended("frontend fenn\n", FRR_CONF)
    live = {HAPROXY_CFG: "password hunter2old\nfrontend fenn\n"}

    assert planned(network, [secret, other], live).hidden == {"hunter2old"}


def test_a_secret_that_was_moved_in_a_file_is_not_in_the_plan(network: Network) -> None:
    old = intended("password ${env:PASSWORD}\ndescription dalt\n")
    live = {HAPROXY_CFG: f"password another-one\nlink to dalt-{CANARY} and more\n"}

    plan = planned(network, [old], live, [old], overwrite=True)

    assert actions(plan) == {HAPROXY_CFG: "change"}
    assert CANARY not in json.dumps(Plan((plan,), STARTED, 1.0).to_dict())
    assert "another-one" not in plan.changes[0].diff
