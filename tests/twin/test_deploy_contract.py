"""What `deploy` promises beside getting back: on a bare twin, from the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest

from goldentooth.applied import FOLDER
from goldentooth.model import Network
from tests.sites import ROOT
from tests.twin.deploy_drill import ONE, TWO, Drill, bare_stage

pytestmark = pytest.mark.root

A, B = "fenn", "gardener"
CANARY = "canary-8c1f04"
OTHER = "canary-5b22d7"


@pytest.fixture(scope="module")
def whole(
    network: Network, artifacts: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Drill]:
    with bare_stage(network, artifacts, A, B) as stage:
        drill = Drill(stage, tmp_path_factory.mktemp("contract") / "site", [A, B])
        assert drill.commit().status == 0
        yield drill


@pytest.fixture
def drill(whole: Drill) -> Drill:
    """Return the play, everything as intended on both hosts."""
    whole.plain()
    done = whole.commit("--overwrite-drift")
    assert done.status == 0, done
    assert whole.looks() == dict.fromkeys(whole.hosts, whole.new_look())
    return whole


def _schema(name: str) -> dict[str, object]:
    schema: dict[str, object] = json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text())
    return schema


SELECTED = ("--host", A, "--host", B)


def test_the_plans_status_is_as_diffs(drill: Drill) -> None:
    assert drill.run("deploy", *SELECTED).status == 0
    drill.change()
    assert drill.run("deploy", *SELECTED).status == 1
    drill.spec["hosts"].append("jast")  # which is not there
    drill.write()
    assert drill.run("deploy", *SELECTED, "--host", "jast").status == 2
    drill.spec["hosts"].pop()
    drill.write()
    plan = json.loads(drill.run("deploy", *SELECTED, "--format", "json").stdout)
    jsonschema.validate(plan, _schema("plan"))
    assert plan["counts"]["change"] == 4


def test_a_plan_alone_changes_nothing(drill: Drill) -> None:
    before = drill.shell(A, "find /etc /var/lib/goldentooth -newer /proc/1 -type f | xargs md5sum")
    drill.change()

    assert drill.run("deploy", *SELECTED).status == 1

    after = drill.shell(A, "find /etc /var/lib/goldentooth -newer /proc/1 -type f | xargs md5sum")
    assert before == after


def test_a_saved_plan_is_applied_exactly_or_refused(drill: Drill) -> None:
    drill.change()
    old = drill.looks()
    assert drill.run("deploy", *SELECTED, "--out", "plan.json").status == 1
    jsonschema.validate(json.loads((drill.folder / "plan.json").read_text()), _schema("plan"))

    drill.shell(B, f"chmod 600 {ONE}")
    done = drill.commit("--plan", "plan.json")
    assert done.status == 2
    assert f"the plan was made for another state of {B}\n" in done.stderr
    drill.shell(B, f"chmod 644 {ONE}")
    assert drill.looks() == old

    done = drill.commit("--plan", "plan.json")
    assert done.outcomes == {A: "confirmed", B: "confirmed"}
    assert drill.commit("--plan", "plan.json").status == 2  # it is done
    assert drill.looks() == dict.fromkeys(drill.hosts, drill.new_look())


@pytest.mark.parametrize("kept", ["", "{}", "[]", "nothing"])
def test_what_is_no_saved_plan_is_refused(drill: Drill, kept: str) -> None:
    (drill.folder / "plan.json").write_text(kept)

    done = drill.commit("--plan", "plan.json")

    assert done.status == 2
    assert "Traceback" not in done.stderr


def test_drift_is_not_overwritten_but_on_demand_and_then_kept(drill: Drill) -> None:
    drill.shell(A, f"echo by hand >{ONE}; chmod 600 {ONE}; chown nobody:nogroup {ONE}")
    drill.change()
    old = drill.looks()

    done = drill.commit()
    assert done.status == 2
    assert "nothing was changed: the hosts differ from what was last applied" in done.stderr
    assert f"{A}: conflict {ONE}" in done.stderr
    assert drill.looks() == old

    assert drill.commit("--overwrite-drift").status == 0
    assert drill.looks() == dict.fromkeys(drill.hosts, drill.new_look())
    newest = f"{FOLDER}/deployments/{drill.state(A).deployments[-1].name}"
    kept = drill.shell(A, f"cd {newest}/before/files; cat .{ONE}; stat -c '%U:%G %a' .{ONE}")
    assert kept == "by hand\nnobody:nogroup 600\n"


def test_only_what_was_ours_is_removed(drill: Drill) -> None:
    drill.shell(A, "echo theirs >/etc/toy/theirs.conf.dist")
    del drill.spec["files"][TWO]
    drill.change()

    assert drill.commit().status == 0

    assert drill.shell(A, "ls /etc/toy") == "one.conf\ntheirs.conf.dist\n"
    assert list(drill.look(A).record) == [ONE]
    drill.shell(A, "rm /etc/toy/theirs.conf.dist")


def test_a_link_is_replaced_and_its_target_left(drill: Drill) -> None:
    drill.shell(A, f"echo target >/etc/target; ln -sf /etc/target {ONE}")
    drill.change()

    assert drill.commit("--overwrite-drift").status == 0

    assert drill.shell(A, f"cat /etc/target; readlink {ONE}") == "target\n"
    assert drill.look(A) == drill.new_look()


def test_owner_and_mode_are_as_stated(drill: Drill) -> None:
    drill.spec["files"][ONE] |= {"owner": "nobody:nogroup", "mode": "640"}
    drill.write()

    assert drill.commit().status == 0

    assert drill.look(A).files[ONE].startswith("nobody:nogroup 640 ")
    drill.spec["files"][ONE] |= {"owner": "root:root", "mode": "600"}
    drill.write()
    assert drill.commit().status == 0
    assert drill.look(A).files[ONE].startswith("root:root 600 ")


def test_back_and_forth_is_byte_for_byte(drill: Drill) -> None:
    before = drill.looks()
    kept = (drill.folder / "toy.json").read_text()
    drill.spec["files"] |= {"/etc/toy/deep/er/new": {"text": "new\n"}}
    del drill.spec["files"][TWO]
    drill.change()
    assert drill.commit().status == 0
    assert drill.looks() != before

    (drill.folder / "toy.json").write_text(kept)
    assert drill.commit().status == 0

    assert drill.looks() == before
    assert drill.run("drift", *SELECTED).status == 0


# -- back to earlier deployments --------------------------------------------------------


def test_rollback_to_what_was_applied_and_before(drill: Drill) -> None:
    first = drill.looks()
    drill.change()
    assert drill.commit().status == 0
    second = drill.looks()
    drill.shell(A, f"echo by hand >>{ONE}; rm {TWO}")

    assert drill.run("rollback", *SELECTED).status == 1
    assert drill.run("rollback", *SELECTED, "--commit").status == 0
    assert drill.looks() == second
    assert drill.run("rollback", *SELECTED).status == 0

    assert drill.run("rollback", "--to", "1", *SELECTED, "--commit").status == 0
    assert drill.looks() == first
    assert drill.run("drift", *SELECTED).status == 1  # what the facts say is pending
    assert drill.run("deploy", *SELECTED).status == 1
    done = drill.run("rollback", "--to", "90", *SELECTED)
    assert done.status == 2
    assert "so it cannot go back 90" in done.stderr


def test_an_adopted_state_can_be_gone_back_from(drill: Drill) -> None:
    before = drill.look(A)
    drill.shell(A, f"echo by hand >>{ONE}")
    assert drill.run("adopt", "--host", A, "--yes").status == 0
    assert drill.run("drift", "--host", A).status == 1  # what was adopted is not what is intended

    done = drill.run("rollback", "--to", "1", "--host", A, "--commit")

    assert done.status == 0, done
    assert drill.look(A).files == before.files
    assert drill.run("rollback", "--to", "1", *SELECTED).status == 1


def test_adopt_is_refused_while_somebody_deploys(
    drill: Drill, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Drill(drill.stage, tmp_path_factory.mktemp("other") / "site", [A, B])
    other.spec = drill.spec
    drill.change()
    other.write()
    drill.start_commit("before @arm")
    drill.wait_for("before @arm")
    drill.shell(B, f"echo by hand >>{ONE}")

    done = other.run("adopt", "--host", B, "--yes")

    drill.go_on()
    drill.end()
    assert done.status == 2
    assert "held by root@operator since" in done.stdout + done.stderr


def test_a_saved_plan_says_itself_what_it_is_for(drill: Drill) -> None:
    drill.change()
    assert drill.run("deploy", "--host", A, "--out", "plan.json").status == 1
    refused = drill.run("deploy", "--plan", "plan.json", "--commit", "--host", B)
    assert (refused.status, "says itself what it is for" in refused.stderr) == (2, True)

    done = drill.run("deploy", "--plan", "plan.json", "--commit", "--format", "json")

    assert (done.status, done.outcomes) == (0, {A: "confirmed"})
    drill.shell(B, f"echo by hand >>{ONE}")
    overwriting = ("deploy", "--host", B, "--overwrite-drift", "--out", "plan.json")
    assert drill.run(*overwriting).status == 1
    done = drill.run("deploy", "--plan", "plan.json", "--commit", "--format", "json")
    assert (done.status, done.outcomes) == (0, {B: "confirmed"})
    refused = drill.run("deploy", "--commit", "--out", "other.json")
    assert (refused.status, "one after the other" in refused.stderr) == (2, True)


def test_a_rollback_goes_about_it_as_a_deployment_does(drill: Drill) -> None:
    drill.change()
    assert drill.commit().status == 0
    options = ("--canary", B, "--serial", "1", "--confirm-within", "9", "--max-failures", "1")

    done = drill.run("rollback", "--to", "1", "--commit", *SELECTED, *options)

    assert done.status == 0, done
    assert f"canary 1 of 2: {B}" in done.stderr
    refused = drill.run("rollback", "--canary", "jast", *SELECTED)
    assert (refused.status, "--canary jast: it is not among" in refused.stderr) == (2, True)


def test_history_says_who_when_what_and_what_became_of_it(drill: Drill) -> None:
    drill.change()
    assert drill.commit().status == 0

    done = drill.run("history", "--format", "json")

    assert done.status == 0
    history = json.loads(done.stdout)
    jsonschema.validate(history, _schema("history"))
    last = history["deployments"][-1]
    assert last["by"] == "root@operator"
    assert last["what"] == {"hosts": [A, B]}
    assert last["hosts"] == {A: "confirmed", B: "confirmed"}
    kept = [each.name for each in drill.state(A).deployments]
    assert last["deployment"] == kept[-1]
    assert len(kept) <= 11

    table = drill.run("history", "last").stdout
    assert re.search(rf"^{A} +confirmed ", table, re.MULTILINE)
    assert re.search(rf"^{B} +confirmed ", table, re.MULTILINE)
    assert f"deployment {last['deployment']} by root@operator" in table
    one = drill.run("history", last["deployment"], "--host", A).stdout
    assert B not in one
    unknown = drill.run("history", "20260101T000000-0000")
    assert (unknown.status, "no deployment" in unknown.stderr) == (2, True)


# -- secrets ----------------------------------------------------------------------------


def _everything_here(drill: Drill) -> str:
    files = (path for path in drill.folder.rglob("*") if path.is_file())
    return "".join(path.read_text(errors="replace") for path in files)


def test_a_secret_is_on_the_host_and_nowhere_else(drill: Drill) -> None:
    secret = {"text": "token ${env:TOY_SECRET}\n", "mode": "600"}
    drill.spec["files"]["/etc/toy/secret"] = secret
    drill.write()
    env = {"TOY_SECRET": CANARY}
    shown = drill.run("deploy", *SELECTED, "--out", "plan.json", env=env)
    assert shown.status == 1

    done = drill.commit("--plan", "plan.json", env=env)

    assert done.status == 0, done
    assert drill.shell(A, "cat /etc/toy/secret") == f"token {CANARY}\n"
    for told in (shown, done, drill.run("history"), drill.run("drift", *SELECTED, env=env)):
        assert CANARY not in told.stdout + told.stderr
    assert CANARY not in _everything_here(drill)
    record = f"{FOLDER}/{drill.state(A).applied}"
    shown = drill.shell(A, f"cat {record}/manifest.json {FOLDER}/state.json; ls -R {FOLDER}")
    assert '"/etc/toy/secret"' in shown
    assert CANARY not in shown
    holding = drill.shell(A, f"grep -rl {CANARY} /etc /var /run /root /usr/local 2>/dev/null")
    assert "/etc/toy/secret" in holding
    for path in holding.split():
        assert drill.shell(A, f"stat -c '%U:%G %a' {path}") == "root:root 600\n", path
    assert CANARY not in drill.shell(A, "journalctl --no-pager; ps axeww")

    assert drill.run("deploy", *SELECTED, env=env).status == 0
    rotated = drill.run("deploy", "--commit", *SELECTED, env={"TOY_SECRET": OTHER})
    assert rotated.status == 0
    assert drill.shell(A, "cat /etc/toy/secret") == f"token {OTHER}\n"
    assert CANARY not in rotated.stdout + rotated.stderr
    assert OTHER not in rotated.stdout + rotated.stderr

    del drill.spec["files"]["/etc/toy/secret"]
    drill.write()
    for argv in (["deploy"], ["drift"], ["deploy", "--commit"]):
        told = drill.run(*argv, *SELECTED)
        assert OTHER not in told.stdout + told.stderr, argv
    assert drill.shell(A, "cat /etc/toy/secret 2>/dev/null") == ""
    assert OTHER not in _everything_here(drill)


@pytest.mark.parametrize("by", ["judge", "activation"])
def test_who_quotes_a_secret_is_not_quoted(drill: Drill, by: str) -> None:
    file = {"text": "token ${env:TOY_SECRET}\n", "mode": "600"}
    drill.spec["files"]["/etc/toy/secret"] = file
    if by == "judge":
        file["judge"] = ["sh", "-c", "'cat", "{file}", ">&2;", "false'"]  # type: ignore[assignment]
    else:
        drill.spec["activate"] = ["cat /etc/toy/secret >&2; exit 1"]
    drill.write()

    done = drill.commit(env={"TOY_SECRET": CANARY})

    assert done.status == 2
    assert "token (secret)" in done.stdout
    assert CANARY not in done.stdout + done.stderr + _everything_here(drill)
    assert drill.shell(A, "cat /etc/toy/secret 2>/dev/null") == ""


def test_a_plan_shows_a_rotated_secret_if_it_can_be_looked_up(drill: Drill) -> None:
    drill.spec["files"][ONE] = {"text": "token ${env:TOY_SECRET}\n", "mode": "600"}
    drill.write()
    first, second = {"TOY_SECRET": CANARY}, {"TOY_SECRET": OTHER}
    assert drill.commit("--overwrite-drift", env=first).status == 0

    assert drill.run("deploy", *SELECTED, env=first).status == 0
    done = drill.run("deploy", *SELECTED, "--out", "plan.json", env=second)
    assert done.status == 1
    assert "the value of a secret has changed" in done.stdout
    assert OTHER not in done.stdout + (drill.folder / "plan.json").read_text()
    done = drill.run("deploy", "--plan", "plan.json", "--commit", env=second)
    assert done.status == 0, done

    done = drill.run("deploy", *SELECTED)
    assert done.status == 0
    assert "note: secrets are not looked up (${env:TOY_SECRET}: is not set)" in done.stdout


def test_an_earlier_secret_is_not_quoted_either(drill: Drill) -> None:
    pin = "/run/pin"
    secret = {"text": "neighbor 10.4.0.1 password ${env:TOY_SECRET}\n", "mode": "600"}
    drill.spec["files"]["/etc/toy/secret"] = secret
    keep = f"""test ! -s {pin} || cmp -s {pin} /etc/toy/secret ||
        {{ echo cannot replace $(cat {pin}) >&2; exit 1; }}; cp /etc/toy/secret {pin}"""
    drill.spec["activate"] = [*drill.spec["activate"], " ".join(keep.split())]
    drill.change()
    assert drill.commit("--overwrite-drift", env={"TOY_SECRET": CANARY}).status == 0

    done = drill.commit(env={"TOY_SECRET": OTHER})
    back = drill.run("rollback", "--to", "1", "--commit", *SELECTED, env={"TOY_SECRET": OTHER})

    assert set(done.outcomes.values()) == {"rolled back", "untouched"}
    assert "cannot replace" in done.stderr
    for text in (done.stdout, done.stderr, back.stdout, back.stderr, _everything_here(drill)):
        assert CANARY not in text
        assert OTHER not in text
    drill.shell(A, f"rm {pin}")
    drill.shell(B, f"rm {pin}")


def test_a_removed_file_with_a_secret_is_shown_without_words(drill: Drill) -> None:
    drill.spec["files"]["/etc/toy/users"] = {"text": "admin ${env:TOY_SECRET}\n", "mode": "600"}
    drill.write()
    assert drill.commit(env={"TOY_SECRET": CANARY}).status == 0
    drill.spec["files"].pop("/etc/toy/users")
    drill.write()

    plan = drill.run("deploy", *SELECTED, "--out", "plan.json")
    drift = drill.run("drift", *SELECTED)

    assert "-<secret>" in plan.stdout
    assert drill.commit().status == 0
    back = drill.run("rollback", "--to", "1", *SELECTED)
    assert "+<secret>" in back.stdout
    for text in (plan.stdout, drift.stdout, back.stdout, _everything_here(drill)):
        assert CANARY not in text


def test_a_secret_that_cannot_be_had_stops_it_before_anything(drill: Drill) -> None:
    drill.spec["files"]["/etc/toy/secret"] = {"text": "token ${env:TOY_NOWHERE}\n", "mode": "600"}
    drill.change()
    old = drill.looks()

    done = drill.commit()

    assert done.status == 2
    assert "${env:TOY_NOWHERE}" in done.stderr
    assert "Traceback" not in done.stderr
    assert drill.looks() == old


# -- words ------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["deploy", "rollback", "history", "adopt"])
def test_help_has_examples(drill: Drill, verb: str) -> None:
    done = drill.run(verb, "--help")

    assert done.status == 0
    assert re.search(rf"goldentooth-net {verb}", done.stdout)


@pytest.mark.parametrize(
    "argv",
    [
        ["--serial", "0"],
        ["--serial", "101%"],
        ["--serial", "x"],
        ["--confirm-within", "4"],
        ["--max-failures", "-1"],
        ["--canary", "nobody"],
        ["--plan", "nowhere.json", "--commit"],
        ["--plan", "plan.json"],
    ],
)
def test_what_is_asked_wrongly_is_said(drill: Drill, argv: list[str]) -> None:
    done = drill.run("deploy", *argv, "--host", A)

    assert done.status == 2
    assert done.stderr
    assert "Traceback" not in done.stderr
