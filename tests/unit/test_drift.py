"""Who moved: intended, last applied and live held against each other."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from goldentooth.applied import record_files
from goldentooth.artifact import Artifact
from goldentooth.check import Output
from goldentooth.compare.secrets import HIDDEN
from goldentooth.drift import Collected, DriftState, HostDrift, HostIntent, judge_host
from goldentooth.services.frr import FRR_CONF, FrrRunning, FrrSessions
from goldentooth.transports import HostFile

PATH = "/etc/network/interfaces.d/eth0.cfg"
SECRET_PATH = "/etc/kubernetes/kubeadm.yaml"
REFERENCE = "${env:TOKEN}"
KEY = b"k" * 32

OLD, NEW, OTHER = ("auto eth0\n", "auto eth0\n# new\niface eth0 inet manual\n", "auto eth1\n")


def artifact(text: str, path: str = PATH, mode: int = 0o644) -> Artifact:
    return Artifact("fenn", "routes", path, text, mode=mode, format="interfaces")


def stands(
    intended: str | None, applied: str | None, live: str | None, *, owner: str = "root:root"
) -> HostDrift:
    artifacts = () if intended is None else (artifact(intended),)
    record = {}
    if applied is not None:
        known = artifact(applied)
        record = record_files(
            "fenn", [(known, known.content)], KEY, deployment="1", at="2026-01-01", by="ops"
        )
    file = None if live is None else HostFile(PATH, live.encode(), owner)
    intent = HostIntent("fenn", artifacts, services=frozenset({"routes"}))
    return judge_host(intent, Collected({PATH: file}, record, {}))


@pytest.mark.parametrize(
    ("intended", "applied", "live", "state"),
    [
        (OLD, OLD, OLD, DriftState.IN_SYNC),
        (OLD, OLD, "# mine\nauto  eth0\n", DriftState.IN_SYNC),
        (OLD, OLD, OTHER, DriftState.DRIFT),
        (NEW, OLD, OLD, DriftState.PENDING),
        (NEW, OLD, NEW, DriftState.CONVERGED),
        (NEW, OLD, OTHER, DriftState.CONFLICT),
        (OLD, OLD, None, DriftState.MISSING),
        (NEW, OLD, None, DriftState.MISSING),
        (None, OLD, OLD, DriftState.PENDING),
        (None, OLD, OTHER, DriftState.CONFLICT),
        (None, OLD, None, DriftState.CONVERGED),
        (OLD, None, None, DriftState.MISSING),
        (OLD, None, OLD, DriftState.NO_BASELINE),
        (OLD, None, OTHER, DriftState.NO_BASELINE),
    ],
)
def test_every_line_of_the_table(
    intended: str | None, applied: str | None, live: str | None, state: DriftState
) -> None:
    (item,) = stands(intended, applied, live).items
    assert item.state is state


def test_a_new_file_is_pending_and_a_foreign_one_in_its_place_is_a_conflict() -> None:
    known = artifact("x", path="/etc/known")
    record = record_files("fenn", [(known, b"x")], KEY, deployment="1", at="", by="")
    for live, state in ((None, DriftState.PENDING), (OTHER, DriftState.CONFLICT)):
        file = HostFile(PATH, live.encode()) if live else None
        files = {PATH: file, "/etc/known": HostFile("/etc/known", b"x")}
        intent = HostIntent("fenn", (artifact(OLD), known), services=frozenset({"routes"}))
        found = judge_host(intent, Collected(files, record, {}))
        assert {item.subject: item.state for item in found.items}[PATH] is state


def test_another_owner_is_drift_though_the_text_is_the_same() -> None:
    (item,) = stands(OLD, OLD, OLD, owner="ada:ada").items
    assert (item.state, item.detail) == (DriftState.DRIFT, "owner ada:ada, not root:root")


def test_a_link_in_the_place_of_a_file_is_drift() -> None:
    known = artifact(OLD)
    record = record_files("fenn", [(known, known.content)], KEY, deployment="1", at="", by="")
    files = {PATH: HostFile(PATH, kind="link", target="/tmp/x")}
    intent = HostIntent("fenn", (known,), services=frozenset({"routes"}))
    (item,) = judge_host(intent, Collected(files, record, {})).items
    assert (item.state, item.detail) == (DriftState.DRIFT, "it is a link")


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize("intended", [True, False])
def test_a_file_that_cannot_be_read_is_no_drift(*, remembered: bool, intended: bool) -> None:
    known = artifact(OLD)
    record = record_files("fenn", [(known, known.content)], KEY, deployment="1", at="", by="")
    files = {PATH: HostFile(PATH, unreadable="Cannot open: Permission denied")}
    artifacts = (known,) if intended else ()
    folders = (("routes", PATH.rpartition("/")[0]),)
    intent = HostIntent("fenn", artifacts, (), folders, frozenset({"routes"}))
    found = judge_host(intent, Collected(files, record if remembered else {}, {}))
    (item,) = found.items
    unmanaged = not remembered and not intended
    assert item.state is (DriftState.UNMANAGED if unmanaged else DriftState.UNREADABLE)
    assert found.status == (1 if unmanaged else 2)
    assert item.detail.endswith("it cannot be read: Cannot open: Permission denied")
    assert item.diff == ""


@pytest.mark.parametrize(
    ("live", "state"), [("canary", DriftState.IN_SYNC), ("else", DriftState.DRIFT)]
)
def test_a_secret_is_compared_by_its_keyed_hash_and_never_shown(
    live: str, state: DriftState
) -> None:
    known = Artifact("fenn", "kubeadm", SECRET_PATH, f"token: {REFERENCE}\n", mode=0o600)
    applied = [(known, b"token: canary\n")]
    record = record_files("fenn", applied, KEY, deployment="1", at="", by="")
    file = HostFile(SECRET_PATH, f"token: {live}\n".encode(), mode=0o600)
    intent = HostIntent("fenn", (known,), services=frozenset({"kubeadm"}))
    (item,) = judge_host(intent, Collected({SECRET_PATH: file}, record, {})).items
    assert item.state is state
    assert "canary" not in item.diff + item.detail
    assert "else" not in item.diff + item.detail
    if state is DriftState.DRIFT:
        assert item.detail == "the value of a secret differs"


# -- a secret that was moved ----------------------------------------------------------------

CANARY = "HUNTERcanary99"
ROUTER = Path(__file__).parents[1] / "golden/build/_twin/router/etc/frr/frr.conf"
BEFORE_PASSWORD = " neighbor CLUSTER timers connect 10\n"


def moved(*, running: bool, unmanaged: bool = False, live: bool = False) -> HostDrift:
    """Return how a router stands whose session's password was taken for a description."""
    text = ROUTER.read_text()
    assert BEFORE_PASSWORD in text
    text = text.replace(
        BEFORE_PASSWORD, f"{BEFORE_PASSWORD} neighbor CLUSTER password ${{env:BGPPW}}\n"
    )
    known = Artifact("router", "frr", FRR_CONF, text, mode=0o640, format="frr")
    filled = text.replace("${env:BGPPW}", CANARY)
    changed = filled.replace(f" neighbor CLUSTER password {CANARY}\n", "").replace(
        "description dalt\n", f"description dalt-{CANARY}\n"
    )
    record = record_files("router", [(known, filled.encode())], KEY, deployment="1", at="", by="")
    files: dict[str, HostFile | None] = {
        FRR_CONF: HostFile(FRR_CONF, (changed if live else filled).encode(), mode=0o640)
    }
    if unmanaged:
        files["/etc/toy/notes"] = HostFile("/etc/toy/notes", f"it was {CANARY}\n".encode())
    runs = changed if running else filled
    printed = f"Building configuration...\n\nCurrent configuration:\n!\n{runs}end\n"
    (read,) = FrrRunning().reads()
    intent = HostIntent(
        "router",
        (known,),
        (("frr", FrrRunning()),),
        (("toy", "/etc/toy"),),
        frozenset({"frr", "toy"}),
    )
    return judge_host(intent, Collected(files, record, {read: Output(printed.encode())}))


NAMES = (("10.4.0.11", "bettley"), ("10.4.0.13", "dalt"))


def summary(**changes: dict[str, object] | None) -> Output:
    """Return what bgpd says of the neighbors of the router's file, but for ``changes``."""
    peers: dict[str, dict[str, object]] = {
        address: {"state": "Established", "remoteAs": 64501, "peerUptime": "01:02:03"}
        for address in re.findall(r"neighbor (\S+) peer-group CLUSTER", ROUTER.read_text())
    }
    for name, change in changes.items():
        address = {known: address for address, known in NAMES}.get(name, name)
        peers[address] = {**peers.get(address, {"peerUptime": "never"}), **(change or {})}
        if change is None:
            del peers[address]
    return Output(json.dumps({"as": 64500, "peers": peers}).encode())


def neighbors(output: Output) -> HostDrift:
    known = Artifact("router", "frr", FRR_CONF, ROUTER.read_text(), mode=0o640, format="frr")
    record = record_files("router", [(known, known.content)], KEY, deployment="1", at="", by="")
    sessions = FrrSessions(NAMES)
    intent = HostIntent("router", (known,), (("frr", sessions),), (), frozenset({"frr"}))
    files = {FRR_CONF: HostFile(FRR_CONF, known.content, mode=0o640)}
    return judge_host(intent, Collected(files, record, {sessions.reads()[0]: output}))


@pytest.mark.parametrize(
    "said", [b"bgpd is not running\n", b"Exiting: failed to connect to any daemons.\n"]
)
def test_where_bgpd_does_not_run_the_running_configuration_says_so(said: bytes) -> None:
    assert (neighbors(Output(b"", said, 1)).items[-1].state, neighbors(Output(b"{}")).status) == (
        DriftState.IN_SYNC,
        1,
    )


def test_sessions_that_are_up_are_no_word_worth() -> None:
    found = neighbors(summary())
    assert (found.status, found.notes) == (0, ())


def test_a_session_that_is_not_up_is_a_note_and_no_drift() -> None:
    found = neighbors(summary(dalt={"state": "Active"}, bettley={"state": "Idle"}))
    assert found.status == 0
    assert found.notes == ("2 of 12 BGP sessions not Established: bettley Idle, dalt Active",)


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        (
            {"dalt": {"state": "Idle (Admin)"}},
            ["-10.4.0.13 AS 64501", "+10.4.0.13 AS 64501 shut down"],
        ),
        ({"dalt": {"remoteAs": 64999}}, ["-10.4.0.13 AS 64501", "+10.4.0.13 AS 64999"]),
        ({"dalt": None}, ["-10.4.0.13 AS 64501"]),
        ({"10.4.0.99": {"state": "Active", "remoteAs": 1}}, ["+10.4.0.99 AS 1"]),
    ],
)
def test_another_neighbor_or_one_that_was_shut_down_is_drift(
    changes: dict[str, dict[str, object] | None], lines: list[str]
) -> None:
    found = neighbors(summary(**changes))
    (item,) = [item for item in found.items if item.state is DriftState.DRIFT]
    assert item.subject == "FRR's neighbors"
    assert [
        line
        for line in item.diff.splitlines()
        if line[:1] in {"+", "-"} and line[:3] not in {"+++", "---"}
    ] == lines


@pytest.mark.parametrize(
    "output",
    [
        Output(b"junk"),
        Output(b"[]"),
        Output(b"", b"no", 1),
        Output(b'{"peers": {"10.4.0.11": {"state": 3}}}'),
    ],
)
def test_a_summary_that_is_none_is_unreadable(output: Output) -> None:
    found = neighbors(output)
    (item,) = [item for item in found.items if item.state is not DriftState.IN_SYNC]
    assert item.state is DriftState.UNREADABLE
    assert found.notes == ()


@pytest.mark.parametrize(
    "place",
    [{"running": True}, {"running": False, "live": True}, {"running": False, "unmanaged": True}],
)
def test_a_secret_is_hidden_wherever_it_was_moved_to(place: dict[str, bool]) -> None:
    found = moved(**place)
    (item,) = [item for item in found.items if item.state is not DriftState.IN_SYNC]
    assert CANARY not in item.diff + item.detail
    added = [line for line in item.diff.splitlines() if line[:1] == "+" and line[:3] != "+++"]
    if "unmanaged" in place:
        assert added == [f"+it was {HIDDEN}"]
    else:
        (line,) = added  # no innocent word is taken for a secret
        assert line.endswith(f" description dalt-{HIDDEN}")
        assert "neighbor CLUSTER password ${env:BGPPW}" in item.diff


def test_what_runs_with_the_secret_of_the_file_is_in_sync() -> None:
    assert moved(running=False).status == 0


def test_a_file_of_another_service_is_left_alone_where_one_is_selected() -> None:
    known = artifact(OLD)
    record = record_files("fenn", [(known, known.content)], KEY, deployment="1", at="", by="")
    intent = HostIntent("fenn", (), services=frozenset({"haproxy"}))
    found = judge_host(intent, Collected({PATH: HostFile(PATH, b"x")}, record, {}))
    assert found.items == ()
    assert found.status == 0


def test_anothers_record_is_not_trusted() -> None:
    known = artifact(OLD)
    record = record_files("jast", [(known, known.content)], KEY, deployment="1", at="", by="")
    intent = HostIntent("fenn", (known,), services=frozenset({"routes"}))
    found = judge_host(intent, Collected({PATH: HostFile(PATH, b"auto eth0\n")}, record, {}))
    assert (found.state, found.status) == (DriftState.BAD_BASELINE, 2)
    assert "'jast'" in found.reason
