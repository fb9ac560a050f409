"""Eleven ways in which a host or its controller once lied, each drilled on a real host."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldentooth.applied import FOLDER
from goldentooth.host.state import ACTIVATED, CONFIRMED, GOING_BACK
from goldentooth.model import Network
from goldentooth.twin import Twin
from tests.namespaces import eventually
from tests.twin.deploy_drill import ACTIVATE, ONE, Drill, Stage, bare_stage

pytestmark = pytest.mark.root

HOST = "fenn"


@pytest.fixture(scope="module")
def stage(network: Network, artifacts: Path) -> Iterator[Stage]:
    with bare_stage(network, artifacts, HOST) as stage:
        yield stage


@pytest.fixture(scope="module")
def only(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Drill:
    drill = Drill(stage, tmp_path_factory.mktemp("promises") / "site", [HOST])
    assert drill.commit().status == 0
    return drill


@pytest.fixture
def drill(only: Drill) -> Iterator[Drill]:
    """Return the play at rest; what a test leaves is put in order after it."""
    yield only
    only.release()
    only.twin.heal()
    eventually(lambda: not only.look(HOST).is_armed, 120)
    only.plain()
    done = only.commit("--overwrite-drift")
    assert done.status == 0, done
    assert only.look(HOST) == only.new_look()


@pytest.fixture
def twin(stage: Stage) -> Twin:
    return stage.twin


def test_the_owner_of_a_folder_does_not_have_root_write_elsewhere(drill: Drill) -> None:
    """A daemon that swaps temporary files for links, as fast as it can, in a folder of its own."""
    drill.shell(HOST, "chown nobody:nogroup /etc/toy; chmod 750 /etc/toy; echo mine >/etc/target")
    drill.shell(HOST, "cp -p /etc/target /etc/target.before")
    drill.twin.exec(HOST, ["tee", "/usr/local/bin/swap"], stdin=SWAPPER)
    drill.shell(HOST, "systemd-run --quiet --unit=swapper --uid=nobody python3 /usr/local/bin/swap")
    try:
        for _ in range(3):
            drill.change()
            drill.spec["activate"] = ["false"]  # the way back writes as well
            drill.write()
            drill.commit("--overwrite-drift")
            drill.plain()
            drill.commit("--overwrite-drift")
    finally:
        drill.shell(HOST, "systemctl stop swapper; chown -R root:root /etc/toy; chmod 755 /etc/toy")
    same = "cmp /etc/target /etc/target.before && stat -c '%U %a' /etc/target"
    assert drill.shell(HOST, same) == "root 644\n"
    assert drill.shell(HOST, "cat /tmp/swapped").strip()
    drill.shell(HOST, "find /etc/toy -type l -delete; find /etc/toy -name '.*' -delete")


SWAPPER = b"""
import os
count = 0
log = os.open("/tmp/swapped", os.O_WRONLY | os.O_CREAT, 0o644)
while True:
    for name in os.listdir("/etc/toy"):
        if name.startswith("."):
            try:
                os.unlink(f"/etc/toy/{name}")
                os.symlink("/etc/target", f"/etc/toy/{name}")
                count += 1
            except OSError:
                pass
    os.pwrite(log, str(count).encode(), 0)
"""


def test_nothing_is_confirmed_once_the_way_back_has_begun(drill: Drill) -> None:
    old = drill.look(HOST)
    back = f"grep -q 'version {drill.version}$' {ONE} && sleep 3"
    drill.spec["activate"] = [ACTIVATE, f"{back}; true"]
    drill.change()
    drill.start_commit("before @confirm")
    drill.wait_for("before @confirm")
    eventually(lambda: drill.state(HOST).deployments[-1].state == GOING_BACK, 30)
    drill.go_on()

    done = drill.end()

    assert done.outcomes == {HOST: "rolled back"}
    assert done.status == 2
    eventually(lambda: not drill.look(HOST).is_armed, 30)
    assert drill.look(HOST) == old


def test_a_first_try_at_boot_that_fails_is_made_good_by_a_later_one(
    drill: Drill, twin: Twin
) -> None:
    old = drill.look(HOST)
    drill.change()
    argv = ["--confirm-within", "600"]
    assert drill.commit(*argv, kill=f"after activated {HOST}").status == -9
    plan = f"{FOLDER}/deployments/{drill.state(HOST).deployments[-1].name}/plan.json"
    drill.shell(HOST, f"mv {plan} {plan}.away; sync")

    twin.break_("power", HOST)
    twin.heal("power", HOST)

    eventually(lambda: bool(drill.state(HOST).deployments[-1].failing), 30)
    assert drill.look(HOST).files != old.files
    drift = drill.run("drift", "--host", HOST)
    assert drift.status == 1
    assert "armed; the way back fails since 20" in drift.stdout
    drill.shell(HOST, f"mv {plan}.away {plan}")
    eventually(lambda: not drill.look(HOST).is_armed, 30)
    assert drill.look(HOST) == old  # what runs, too: nothing makes it live at boot
    assert f"{HOST}: rolled back" in drill.commit(kill="before begin").stderr


def test_a_name_that_is_taken_does_not_stop_the_way_back(drill: Drill) -> None:
    old = drill.look(HOST)
    names = [".goldentooth-back", ".goldentooth-new", f".{ONE.rpartition('/')[2]}.new"]
    drill.shell(HOST, "".join(f"mkdir -p /etc/toy/{name}/deep;" for name in names))
    drill.spec["activate"] = [f"grep -q 'version {drill.version}$' {ONE}", ACTIVATE]
    drill.change()

    assert drill.commit().outcomes == {HOST: "rolled back"}

    assert drill.look(HOST) == old
    drill.shell(HOST, "".join(f"rm -r /etc/toy/{name};" for name in names))


def test_the_hosts_own_order_decides_what_is_the_last_but_one(drill: Drill) -> None:
    """One controller's clock is three days behind."""
    for days in ("0", "-3", "0"):
        drill.change()
        assert drill.commit(env={"DRILL_DAYS": days}).status == 0
    before = {ONE: f"{ONE} version {drill.version - 1}\n"}
    names = [each.name for each in drill.state(HOST).deployments[-3:]]
    assert sorted(names) != names

    assert drill.run("rollback", "--to", "1", "--commit", "--host", HOST).status == 0

    assert drill.shell(HOST, f"cat {ONE}") == before[ONE]


def test_an_edit_inside_the_window_is_kept_and_named(drill: Drill) -> None:
    old = drill.look(HOST)
    drill.change()
    drill.start_commit("after @arm")
    drill.wait_for("after @arm")
    drill.shell(HOST, f"echo by hand >{ONE}")
    eventually(lambda: not drill.look(HOST).is_armed, 30)
    drill.go_on()

    done = drill.end()

    assert done.outcomes == {HOST: "rolled back"}
    (kept,) = drill.state(HOST).deployments[-1].kept
    assert drill.shell(HOST, f"cat {kept}") == "by hand\n"
    assert f"an edit is kept in {kept}" in done.reasons[HOST]
    assert drill.look(HOST) == old
    assert f"an edit is kept in {kept}" in drill.run("drift", "--host", HOST).stdout


def test_a_host_that_is_armed_without_a_timer_goes_back_when_it_is_asked(
    drill: Drill, stage: Stage, tmp_path: Path
) -> None:
    old = drill.look(HOST)
    other = Drill(stage, tmp_path / "other", [HOST])
    drill.change()
    argv = ["--confirm-within", "5"]
    assert drill.commit(*argv, kill=f"after activated {HOST}").status == -9
    drill.shell(HOST, "systemctl stop goldentooth-rollback.timer")
    _let_the_lock_run_out(drill)
    time.sleep(6)
    assert drill.look(HOST).is_armed

    refused = other.commit("--overwrite-drift")

    assert refused.outcomes == {HOST: "refused"}
    assert "armed: " in refused.reasons[HOST]
    eventually(lambda: not drill.look(HOST).is_armed, 30)
    assert drill.look(HOST) == old
    drill.commit(kill="before begin")  # it hears what became of it


def _let_the_lock_run_out(drill: Drill) -> None:
    state = f"{FOLDER}/state.json"
    script = (
        f"import json; s = json.load(open('{state}')); s['lock']['until'] = 0;"
        f" open('{state}', 'w').write(json.dumps(s, indent=1) + chr(10))"
    )
    drill.twin.exec(HOST, ["python3", "-c", script])


def test_a_state_folder_that_is_removed_in_the_window_is_not_called_untouched(
    drill: Drill,
) -> None:
    drill.change()
    drill.start_commit("after @arm")
    drill.wait_for("after @arm")
    drill.shell(HOST, f"rm -r {FOLDER}")
    drill.go_on()

    done = drill.end()

    assert done.status == 2
    assert done.outcomes == {HOST: "unknown"}
    assert "its state's folder was removed" in done.reasons[HOST]
    drift = drill.run("drift", "--host", HOST, "--format", "json")
    assert {item["state"] for item in json.loads(drift.stdout)["hosts"][0]["items"]} == {
        "no baseline"
    }
    drill.shell(HOST, "systemctl stop goldentooth-rollback.timer goldentooth-rollback.service")


def test_a_state_folder_removed_under_a_dead_operator_is_not_called_untouched(
    drill: Drill,
) -> None:
    drill.change()
    assert drill.commit(kill=f"after activated {HOST}").status == -9
    drill.shell(HOST, f"rm -r {FOLDER}")

    told = drill.commit(kill="before begin").stderr

    assert f"{HOST}: unknown: the host has no record of it" in told


def test_a_copied_project_takes_nothing_back(drill: Drill, stage: Stage, tmp_path: Path) -> None:
    drill.change()
    drill.start_commit("before @confirm", argv=["--confirm-within", "60"])
    drill.wait_for("before @confirm")
    assert drill.state(HOST).deployments[-1].state == ACTIVATED
    copy = Drill(stage, tmp_path / "copy", [HOST])
    shutil.copytree(drill.folder / "journal", copy.folder / "journal")

    done = copy.commit("--overwrite-drift")

    assert done.outcomes == {HOST: "refused"}
    assert "held by root@operator" in done.stderr
    drill.go_on()
    assert drill.end().outcomes == {HOST: "confirmed"}
    assert drill.state(HOST).deployments[-1].state == CONFIRMED
    assert drill.look(HOST) == drill.new_look()


HOSTILE = "\\033[2J\\033]0;owned\\007\\nfenn: in sync\\n\\342\\200\\256"


def test_no_word_of_a_host_steers_a_terminal(drill: Drill) -> None:
    drill.spec["activate"] = [f"printf '{HOSTILE}' >&2; exit 7"]
    drill.change()
    refused = drill.run("deploy", "--commit", "--host", HOST, "--confirm-within", "5")
    shown = [refused, drill.run("history", "last"), drill.run("drift", "--host", HOST)]
    shown += [drill.run("history", "--format", "json")]

    for done in shown:
        text = done.stdout + done.stderr
        assert not [c for c in text if not c.isprintable() and c not in "\n\t"], done
        assert "\nfenn: in sync" not in text


@pytest.mark.long
def test_an_activation_that_hangs_is_described_with_the_time_that_it_takes(
    drill: Drill,
) -> None:
    drill.spec["activate"] = [ACTIVATE, "sleep 100"]
    drill.change()
    old = drill.look(HOST)

    done = drill.commit()

    assert done.outcomes == {HOST: "unknown"}
    assert "it begins to go back 5 s after it was armed" in done.reasons[HOST]
    assert "each of its 2 activations may take 60 s on the way" in done.reasons[HOST]
    eventually(lambda: not drill.look(HOST).is_armed, 90)
    assert drill.look(HOST) == old
    assert "no end within 60 s" in drill.told_of_return(HOST)
    assert f"{HOST}: rolled back" in drill.commit(kill="before begin").stderr
