"""What goes wrong under a deployment; each host is fully old or fully new after it, and says which.

Every host has a project folder of its own here, so deployments to all of them run side by side.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldentooth import open_project
from goldentooth.errors import DeploymentError
from goldentooth.model import Network
from goldentooth.twin import Twin
from tests.namespaces import eventually
from tests.twin.deploy_drill import ACTIVATE, CHECK, LIVE, ONE, TWO, Drill, Look, Stage, bare_stage

pytestmark = pytest.mark.root

HOSTS = ("fenn", "gardener", "harlton", "inchfield", "jast", "karstark")
AT_BOOT = f"""[Service]
Type=oneshot
ExecStart=/bin/sh -c '{ACTIVATE}'
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(scope="module")
def stage(network: Network, artifacts: Path) -> Iterator[Stage]:
    with bare_stage(network, artifacts, *HOSTS) as stage:
        yield stage


@pytest.fixture(scope="module")
def every(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Drill]:
    """Return a play for each host, which a first deployment has been made to."""
    folder = tmp_path_factory.mktemp("faults")
    drills = {host: Drill(stage, folder / host, [host]) for host in HOSTS}
    for drill in drills.values():
        drill.start_commit()
    for drill in drills.values():
        assert drill.end().status == 0, drill.end()
    return drills


@pytest.fixture
def drills(every: dict[str, Drill], stage: Stage) -> Iterator[dict[str, Drill]]:
    """Return the plays, all of them at rest; what a test leaves is put in order after it."""
    yield every
    for drill in every.values():
        drill.release()
    stage.twin.heal()
    for drill in every.values():
        eventually(lambda drill=drill: not drill.look(drill.host).is_armed, 30)
        drill.plain()
        drill.start_commit(argv=["--overwrite-drift"])
    for host, drill in every.items():
        assert drill.end().status == 0, drill.end()
        assert drill.look(host) == drill.new_look()


@pytest.fixture
def drill(drills: dict[str, Drill]) -> Drill:
    return drills["fenn"]


@pytest.fixture
def twin(stage: Stage) -> Twin:
    return stage.twin


def _at_rest(drill: Drill) -> Look:
    """Return how its host looks once nothing is armed there any more."""
    eventually(lambda: not drill.look(drill.host).is_armed, 30)
    return drill.look(drill.host)


# -- the way to the host ----------------------------------------------------------------

CUTS = {
    "fenn": ("before @stage", "refused", "old"),
    "gardener": ("before @arm", "unknown", "old"),
    "harlton": ("after @arm", "unknown", "old"),
    "inchfield": ("before @confirm", "unknown", "old"),
    "jast": ("before @confirm", "unknown", "new"),  # it heard, and its answer was lost
}


LOSE_ANSWER = """cat >/usr/local/sbin/systemctl <<'END' && chmod 755 /usr/local/sbin/systemctl
#!/bin/sh
[ "$1" != stop ] ||
    nft 'table inet lost { chain out { type filter hook output priority 0; drop; }; }'
exec /usr/bin/systemctl "$@"
END
"""
"""The host falls silent as it stops the switch: it has confirmed, and nobody hears of it."""

FIND_WORDS = "rm -f /usr/local/sbin/systemctl; nft delete table inet lost"


def test_a_link_that_is_cut_at_any_step(drills: dict[str, Drill], twin: Twin) -> None:
    cut = {host: drills[host] for host in CUTS}
    old = {host: drill.look(host) for host, drill in cut.items()}
    for host, drill in cut.items():
        drill.change()
        drill.start_commit(CUTS[host][0])
    for host, drill in cut.items():
        drill.wait_for(CUTS[host][0])
        if host == "jast":
            drill.shell(host, LOSE_ANSWER)
        else:
            twin.break_("link", host)
        drill.go_on()

    assert {host: drill.end().outcomes[host] for host, drill in cut.items()} == {
        host: word for host, (_, word, _) in CUTS.items()
    }
    for host, drill in cut.items():
        wanted = old[host] if CUTS[host][2] == "old" else drill.new_look()
        assert _at_rest(drill) == wanted, host
    cut["jast"].shell("jast", FIND_WORDS)
    twin.heal()
    for drill in cut.values():
        drill.start_commit()
    told = {host: drill.end().stderr for host, drill in cut.items()}
    assert "broke off" not in told["fenn"]  # it had been known to be as it was
    assert "gardener: aborted" in told["gardener"]
    assert "harlton: rolled back" in told["harlton"]
    assert "inchfield: rolled back" in told["inchfield"]
    assert "jast: confirmed" in told["jast"]


NO_SSH = """nft 'table inet toy { chain in {
    type filter hook input priority 0; tcp dport 22 drop; }; }'"""
SSH = "nft delete table inet toy 2>/dev/null || :"
NO_ROUTE = "ip route add blackhole 10.4.0.0/20; ip route del 10.4.0.0/20 dev eth0"
ROUTE = """ip route del blackhole 10.4.0.0/20 2>/dev/null
ip route replace 10.4.0.0/20 dev eth0 proto kernel scope link src 10.4.0.17"""
CUTTING = {
    "fenn": ("ip link set eth0 down", "ip link set eth0 up"),
    "gardener": (NO_SSH, SSH),
    "harlton": (NO_ROUTE, ROUTE),
}
"""What a change does that nobody wants, and what stood there before it."""


def test_a_change_that_cuts_the_operators_own_path(drills: dict[str, Drill], twin: Twin) -> None:
    cut = {host: drills[host] for host in CUTTING}
    for host, drill in cut.items():
        drill.spec["files"]["/etc/toy/net"] = {"text": CUTTING[host][1]}
        drill.spec["activate"] = ["sh /etc/toy/net", ACTIVATE]
        drill.change()
        drill.start_commit()
    assert {drill.end().status for drill in cut.values()} == {0}
    old = {host: drill.look(host) for host, drill in cut.items()}
    began = time.monotonic()
    for host, drill in cut.items():
        drill.spec["files"]["/etc/toy/net"]["text"] = CUTTING[host][0]
        drill.change()
        drill.start_commit()

    outcomes = {drill.end().outcomes[host] for host, drill in cut.items()}

    assert outcomes <= {"unknown", "rolled back"}  # as the switch was before the operator or not
    assert {host: _at_rest(drill) for host, drill in cut.items()} == old
    assert time.monotonic() - began < 40
    for host, drill in cut.items():
        drift = drill.run("drift", "--host", host)
        assert drift.status == 1  # it is reached, and says so
        assert f"rolled back  {host}" in drift.stdout


def test_an_activation_that_hangs_does_not_outlive_the_switch(drill: Drill) -> None:
    old = drill.look(drill.host)
    drill.spec["activate"] = [ACTIVATE, f"grep -q 'version {drill.version}$' {ONE} || sleep 50"]
    drill.change()
    began = time.monotonic()

    done = drill.commit()

    assert done.outcomes == {drill.host: "rolled back"}
    assert time.monotonic() - began < 40
    assert drill.look(drill.host) == old
    assert drill.shell(drill.host, "pgrep -x sleep") == ""


# -- the host ---------------------------------------------------------------------------


def test_a_power_cut_between_swap_and_confirmation(drill: Drill, twin: Twin) -> None:
    host = drill.host
    twin.exec(host, ["tee", "/etc/systemd/system/toy.service"], stdin=AT_BOOT.encode())
    drill.shell(host, "systemctl enable --now toy.service && sync")
    old = drill.look(host)
    drill.change()
    drill.start_commit("after @arm")
    drill.wait_for("after @arm")
    assert drill.look(host).files != old.files

    twin.break_("power", host)
    twin.heal("power", host)

    eventually(lambda: drill.shell(host, f"test -e {LIVE} && echo there") == "there\n", 30)
    assert drill.look(host) == old
    eventually(lambda: "restarted before it was confirmed" in drill.told_of_return(host), 30)
    drill.go_on()
    assert drill.end().outcomes == {host: "rolled back"}
    assert drill.look(host) == old
    left = drill.shell(host, "ls /etc/systemd/system /etc/systemd/system/sysinit.target.wants")
    assert "goldentooth" not in left


def test_a_power_cut_after_confirmation_changes_nothing(drill: Drill, twin: Twin) -> None:
    host = drill.host
    drill.change()
    drill.start_commit("after @confirm")
    drill.wait_for("after @confirm")

    twin.break_("power", host)
    twin.heal("power", host)

    drill.go_on()
    assert drill.end().outcomes == {host: "confirmed"}
    drill.shell(host, ACTIVATE)
    assert drill.look(host) == drill.new_look()


BIG = "/etc/toy/big"


@pytest.mark.parametrize(
    ("point", "free", "outcome", "told"),
    [
        pytest.param("before @stage", 0, "refused", "full or read-only", id="at stage"),
        pytest.param("before @stage", 1_400_000, "refused", "full or read-only", id="at back-up"),
        pytest.param("before @arm", 0, "refused", "full or read-only", id="at arming"),
        pytest.param("before @arm", 200_000, "rolled back", "No space left", id="at swap"),
        pytest.param("before @confirm", 0, "confirmed", "", id="at confirmation"),
    ],
)
def test_a_full_disk(drill: Drill, point: str, free: int, outcome: str, told: str) -> None:
    host, twin = drill.host, drill.twin
    drill.spec["files"][BIG] = {"text": "o" * 500_000}
    drill.change()
    assert drill.commit().status == 0
    old = drill.look(host)
    drill.spec["files"][BIG]["text"] = "n" * 500_000
    drill.change()
    drill.start_commit(point)
    drill.wait_for(point)
    twin.break_("disk", host, free=str(free))
    drill.go_on()

    done = drill.end()

    assert done.outcomes[host] == outcome, done
    assert told in done.reasons[host]
    assert _at_rest(drill) == (drill.new_look() if outcome == "confirmed" else old)
    twin.heal()
    drill.change()
    assert drill.commit().outcomes == {host: "confirmed"}
    assert drill.look(host) == drill.new_look()


@pytest.mark.parametrize("point", ["before @stage", "before @arm", "before @confirm"])
def test_a_disk_that_turns_read_only(drill: Drill, twin: Twin, point: str) -> None:
    host = drill.host
    old = drill.look(host)
    drill.change()
    drill.start_commit(point)
    drill.wait_for(point)
    twin.break_("readonly", host)
    drill.go_on()

    done = drill.end()

    assert done.status == 2
    assert "ead-only" in done.stdout
    twin.heal()  # then the switch, which has tried all the time, comes through
    assert _at_rest(drill) == old
    assert drill.commit().outcomes == {host: "confirmed"}


def test_a_clock_that_jumps_while_armed(drill: Drill, twin: Twin) -> None:
    host = drill.host
    old = drill.look(host)
    drill.change()
    drill.start_commit("after @arm")
    drill.wait_for("after @arm")
    began = time.monotonic()

    twin.break_("clock", host, offset="+2h", units="ssh.service")

    assert drill.look(host).is_armed or time.monotonic() - began > 4
    assert _at_rest(drill) == old
    drill.go_on()
    assert drill.end().outcomes == {host: "rolled back"}


# -- the change -------------------------------------------------------------------------


def _refused(drill: Drill) -> str:
    """Deploy what the host refuses or takes back; return why."""
    old = drill.look(drill.host)
    drill.change()
    done = drill.commit()
    assert done.status == 2
    assert drill.look(drill.host) == old
    return f"{done.outcomes[drill.host]}: {done.reasons[drill.host]}"


def test_a_judge_that_says_no(drill: Drill) -> None:
    drill.spec["files"][TWO]["judge"] = ["grep", "--", "nowhere", "{file}"]

    assert _refused(drill) == f"refused: grep rejects {TWO}: exit status 1"


def test_a_judge_that_is_not_there_is_told(drill: Drill) -> None:
    drill.spec["files"][TWO]["judge"] = ["no-such-judge", "{file}"]
    drill.change()

    done = drill.commit()

    assert done.outcomes == {drill.host: "confirmed"}
    assert f"{drill.host}: no-such-judge is not installed there" in done.stderr


def test_an_activation_that_fails(drill: Drill) -> None:
    drill.spec["activate"] = [ACTIVATE, f"grep -q 'version {drill.version}$' {ONE} || exit 3"]

    assert "failed: exit status 3" in _refused(drill)


def test_an_activation_that_fails_both_ways(drill: Drill) -> None:
    drill.spec["activate"] = [ACTIVATE, "exit 3"]

    assert _refused(drill).startswith("rolled back: ")
    assert "`exit 3` failed: exit status 3" in drill.told_of_return(drill.host).partition("; ")[2]
    drift = drill.run("drift", "--host", drill.host)
    assert "not all of it could be made live again" in drift.stdout


def test_an_activation_that_does_not_do_it(drill: Drill) -> None:
    drill.spec["activate"] = [f"grep -q 'version {drill.version}$' {ONE} || exit 0; {ACTIVATE}"]

    assert "toy.holds[fenn]: expected it holds; seen exit status 1" in _refused(drill)


def test_an_owner_that_is_not_there(drill: Drill) -> None:
    drill.spec["files"][TWO]["owner"] = "nobody:nowhere"

    assert "there is no nobody:nowhere on this host" in _refused(drill)


@pytest.mark.parametrize("edit", ["echo mine >>{}", "echo mine >/tmp/e; mv /tmp/e {}", "rm {}"])
@pytest.mark.parametrize("point", ["before @stage", "before @arm"])
def test_a_hand_edit_between_plan_and_swap(drill: Drill, point: str, edit: str) -> None:
    host = drill.host
    drill.change()
    drill.start_commit(point)
    drill.wait_for(point)
    drill.shell(host, edit.format(TWO))
    edited = drill.look(host)
    drill.go_on()

    done = drill.end()

    assert done.outcomes[host] in {"refused", "rolled back"}
    assert f"{TWO} has changed since the plan was made" in done.reasons[host]
    assert drill.look(host) == edited


def test_a_large_file(drill: Drill) -> None:
    drill.spec["files"]["/etc/toy/large"] = {"text": "0123456789abcde\n" * 655_360}
    drill.change()

    assert drill.commit().outcomes == {drill.host: "confirmed"}
    assert drill.look(drill.host) == drill.new_look()
    assert drill.run("drift", "--host", drill.host).status == 0
    assert drill.run("deploy", "--host", drill.host).status == 0


def test_fifty_small_files(drill: Drill) -> None:
    small = {f"/etc/toy/small/{number}": {"text": f"{number}\n"} for number in range(50)}
    drill.spec["files"] |= small
    drill.change()

    assert drill.commit().outcomes == {drill.host: "confirmed"}
    assert drill.look(drill.host) == drill.new_look()

    old = drill.look(drill.host)
    for file in small.values():
        file["text"] += "more\n"
    drill.spec["activate"] = ["exit 1"]
    drill.write()
    assert drill.commit().outcomes == {drill.host: "rolled back"}
    assert drill.look(drill.host) == old


# -- two operators ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "told"),
    [(point, "held by root@operator since ") for point in ("before @arm", "after @arm")],
)
def test_two_operators_from_two_folders(
    drill: Drill, stage: Stage, tmp_path: Path, point: str, told: str
) -> None:
    other = Drill(stage, tmp_path / "other", drill.hosts)
    drill.change()
    other.change()
    drill.start_commit(point)
    drill.wait_for(point)

    second = other.commit("--overwrite-drift")

    assert second.outcomes == {drill.host: "refused"}
    assert told in second.reasons[drill.host]
    drill.go_on()
    assert drill.end().outcomes == {drill.host: "confirmed"}
    assert drill.look(drill.host) == drill.new_look()


def test_two_operators_from_one_folder(drill: Drill) -> None:
    drill.change()
    drill.start_commit("after @arm")
    drill.wait_for("after @arm")

    project = open_project(drill.site.config)
    with pytest.raises(DeploymentError) as refused:
        project.deploy()

    assert "another deployment is under way from here by root@operator since" in str(refused.value)
    drill.go_on()
    assert drill.end().outcomes == {drill.host: "confirmed"}


# -- the fleet --------------------------------------------------------------------------


def test_half_of_the_fleet_is_off(stage: Stage, drills: dict[str, Drill], tmp_path: Path) -> None:
    off, on = HOSTS[:3], HOSTS[3:]
    fleet = Drill(stage, tmp_path / "fleet", HOSTS)
    old = fleet.looks()
    for host in off:
        stage.twin.break_("link", host)
    fleet.change()

    done = fleet.commit("--overwrite-drift")
    assert done.status == 2
    assert "nothing was changed: 3 of 6 hosts cannot be read, 0 may" in done.stderr
    assert fleet.looks() == old

    done = fleet.commit("--overwrite-drift", "--max-failures", "3")
    assert done.status == 2
    assert done.outcomes == {**dict.fromkeys(off, "refused"), **dict.fromkeys(on, "confirmed")}
    new = fleet.new_look()
    assert fleet.looks() == {host: old[host] if host in off else new for host in HOSTS}


def test_a_failed_batch_goes_back_and_the_rest_is_untouched(
    stage: Stage, drills: dict[str, Drill], tmp_path: Path
) -> None:
    fleet = Drill(stage, tmp_path / "fleet", HOSTS)
    old = fleet.looks()
    fleet.change()
    fleet.spec["activate"] = [f"test $(hostname) != {HOSTS[2]} || exit 1", ACTIVATE]
    fleet.write()

    done = fleet.commit("--overwrite-drift", "--serial", "2", "--canary", HOSTS[5])

    confirmed, back, untouched = (HOSTS[5], *HOSTS[:2]), HOSTS[2:4], HOSTS[4:5]
    assert done.outcomes == {
        **dict.fromkeys(confirmed, "confirmed"),
        **dict.fromkeys(back, "rolled back"),
        **dict.fromkeys(untouched, "untouched"),
    }
    new = fleet.new_look()
    assert fleet.looks() == {host: new if host in confirmed else old[host] for host in HOSTS}
    assert json.loads(done.stdout)["stopped"].startswith(f"{HOSTS[2]}: `test ")


def test_a_good_host_is_left_alone_while_its_quorum_cannot_miss_it(
    stage: Stage, drills: dict[str, Drill], tmp_path: Path
) -> None:
    fleet = Drill(stage, tmp_path / "fleet", HOSTS)
    bad, good = HOSTS[3], tuple(host for host in HOSTS if host != HOSTS[3])
    fleet.spec["quorum"] = "5/6"
    fleet.spec["checks"] = [f"test $(hostname) != {bad} && {CHECK}"]
    fleet.change()
    old = fleet.looks()

    done = fleet.commit("--overwrite-drift")

    assert done.outcomes == {bad: "confirmed", **dict.fromkeys(good, "untouched")}
    told = "toy.holds: 5 of 6 are good, 5 must be while one is changed"
    assert told in json.loads(done.stdout)["stopped"]
    new = fleet.new_look()
    assert fleet.looks() == {host: new if host == bad else old[host] for host in HOSTS}

    assert fleet.commit("--overwrite-drift", "--below-quorum").outcomes == dict.fromkeys(
        good, "confirmed"
    )


def test_what_was_missing_from_a_quorum_is_mended_first_and_then_the_others(
    stage: Stage, drills: dict[str, Drill], tmp_path: Path
) -> None:
    fleet = Drill(stage, tmp_path / "fleet", HOSTS)
    fleet.spec["quorum"] = "5/6"
    fleet.change()
    fleet.shell(HOSTS[3], f"rm {LIVE}")

    done = fleet.commit("--overwrite-drift")

    assert done.outcomes == dict.fromkeys(HOSTS, "confirmed")
    assert f"canary 1 of 6: {HOSTS[3]}" in done.stderr


def test_what_a_change_breaks_elsewhere_takes_it_back(
    stage: Stage, drills: dict[str, Drill], tmp_path: Path, network: Network
) -> None:
    fleet = Drill(stage, tmp_path / "fleet", HOSTS[:2])
    fleet.change()
    old, other = fleet.look(HOSTS[0]), network.nodes[HOSTS[1]].address

    done = fleet.commit("--overwrite-drift", shells={"after @arm": f"ssh {other} rm {LIVE}"})

    assert done.outcomes == {HOSTS[0]: "rolled back", HOSTS[1]: "untouched"}
    assert f"toy.holds[{HOSTS[1]}]" in done.reasons[HOSTS[0]]
    assert fleet.look(HOSTS[0]) == old


def test_a_host_that_is_lost_while_others_stop_is_cleared_by_the_next_run(
    stage: Stage, drills: dict[str, Drill], tmp_path: Path
) -> None:
    canary, lost = HOSTS[:2]
    fleet = Drill(stage, tmp_path / "fleet", (canary, lost))
    fleet.change()
    fleet.spec["activate"] = ["false"]
    fleet.write()

    fleet.start_commit("before @arm", argv=["--overwrite-drift", "--canary", canary])
    fleet.wait_for("before @arm")
    stage.twin.break_("link", lost)
    fleet.go_on()

    assert fleet.end().outcomes == {canary: "rolled back", lost: "untouched"}
    assert fleet.run("history").status == 1  # there is something to finish
    stage.twin.heal()
    assert fleet.state(lost).lock is not None
    fleet.plain()
    done = fleet.commit("--overwrite-drift")
    assert done.outcomes == dict.fromkeys((canary, lost), "confirmed")
    assert f"{lost}: aborted" in done.stderr
    assert fleet.run("history").status == 0


@pytest.mark.parametrize("loss", ["activation", "link"])
def test_a_failure_that_is_let_pass_takes_nobody_with_it(
    stage: Stage, drills: dict[str, Drill], tmp_path: Path, loss: str
) -> None:
    failing, others = HOSTS[1], tuple(host for host in HOSTS if host != HOSTS[1])
    fleet = Drill(stage, tmp_path / "fleet", HOSTS)
    fleet.change()
    old = fleet.look(failing)
    if loss == "activation":
        fleet.spec["activate"] = [f"test $(hostname) != {failing}", ACTIVATE]
        fleet.write()
    argv = ["--overwrite-drift", "--max-failures", "1", "--canary", HOSTS[0], "--serial", "3"]
    argv += ["--confirm-within", "15"]

    fleet.start_commit(f"before arming {failing}", argv=argv)
    fleet.wait_for(f"before arming {failing}")
    if loss == "link":
        stage.twin.break_("link", failing)
    fleet.go_on()

    done, word = fleet.end(), {"activation": "rolled back", "link": "unknown"}[loss]
    assert done.outcomes == {**dict.fromkeys(others, "confirmed"), failing: word}, done
    stage.twin.heal()
    eventually(lambda: not fleet.look(failing).is_armed, 30)
    assert fleet.look(failing) == old
    assert {host: fleet.look(host) for host in others} == dict.fromkeys(others, fleet.new_look())
    if loss == "link":  # the next run knows of it
        assert fleet.commit("--overwrite-drift").outcomes == {failing: "confirmed"}


def test_a_folder_in_the_way_is_told_and_stays(drill: Drill) -> None:
    drill.spec["files"]["/etc/toy/new"] = {"text": "new\n"}
    drill.change()
    old = drill.look(drill.host)
    drill.start_commit("before @arm")
    drill.wait_for("before @arm")
    drill.shell(drill.host, "mkdir /etc/toy/new")
    drill.go_on()

    assert drill.end().outcomes == {drill.host: "rolled back"}

    assert _at_rest(drill) == old
    assert "new" in drill.shell(drill.host, "ls /etc/toy").split()
    drill.shell(drill.host, "rmdir /etc/toy/new")


def test_a_record_that_was_removed_is_made_anew_and_can_be_read(drill: Drill) -> None:
    env = {"TOY_SECRET": "canary-abc123xyz"}
    drill.spec["files"]["/etc/toy/secret"] = {"text": "x ${env:TOY_SECRET}\n", "mode": "600"}
    drill.change()
    assert drill.commit(env=env).status == 0
    drill.shell(drill.host, "rm -r /var/lib/goldentooth/*")

    assert drill.commit("--overwrite-drift", env=env).status == 0

    done = drill.run("drift", "--host", drill.host)
    assert done.status == 0, done
    drill.spec["files"].pop("/etc/toy/secret")
    drill.change()
    assert drill.commit().status == 0


@pytest.mark.parametrize(
    ("point", "word"), [("before verified", "rolled back"), ("before confirmed", "confirmed")]
)
def test_a_journal_that_cannot_be_written_ends_with_every_host_told_of(
    stage: Stage, drills: dict[str, Drill], tmp_path: Path, point: str, word: str
) -> None:
    first, second, third = HOSTS[:3]
    fleet = Drill(stage, tmp_path / "fleet", (first, second, third))
    fleet.change()
    old = fleet.look(second)
    journal = fleet.folder / "journal/journal.jsonl"
    full = f"trap '' XFSZ; n=$(stat -c %s {journal}); prlimit --pid $PPID --fsize=$n:"

    done = fleet.commit(
        *("--overwrite-drift", "--canary", first),
        shells={f"{point} {second}": full},
    )

    assert done.status == 2
    assert done.outcomes == {first: "confirmed", second: word, third: word}
    assert "the journal could not be written" in json.loads(done.stdout)["stopped"]
    assert fleet.look(second) == (old if word == "rolled back" else fleet.new_look())
    assert fleet.commit("--overwrite-drift").status == 0
    assert fleet.looks() == dict.fromkeys(fleet.hosts, fleet.new_look())


def test_an_interruption_while_it_stages_leaves_nothing_behind(drill: Drill) -> None:
    drill.change()
    old = drill.look(drill.host)

    done = drill.commit(shells={"after @stage": "kill -INT $PPID"})

    assert done.status == 130
    assert f"{drill.host}: untouched" in done.stderr
    assert drill.look(drill.host) == old
    assert "staged" not in drill.shell(drill.host, "ls /var/lib/goldentooth").split()
    assert drill.state(drill.host).lock is None


def test_a_canary_that_is_refused_stops_it(
    stage: Stage, drills: dict[str, Drill], tmp_path: Path
) -> None:
    fleet = Drill(stage, tmp_path / "fleet", HOSTS[:3])
    fleet.change()
    old = fleet.looks()
    stage.twin.break_("link", HOSTS[0])

    done = fleet.commit("--overwrite-drift", "--canary", HOSTS[0], "--max-failures", "1")

    assert done.outcomes == {HOSTS[0]: "refused", **dict.fromkeys(HOSTS[1:3], "untouched")}
    assert f"the canary {HOSTS[0]} is refused" in json.loads(done.stdout)["stopped"]
    stage.twin.heal()
    assert fleet.looks() == old
