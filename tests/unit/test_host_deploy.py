"""The host's half of a deployment, in a folder of this machine that is its file system.

systemd is not asked here: what the switch does by itself is tried on the twin; every interleaving
is tried in tests/model.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from goldentooth.host.files import Workbench
from goldentooth.host.machine import Machine
from goldentooth.host.package import pack, unpack
from goldentooth.host.state import read_state
from goldentooth.host.verbs import RETRY, VERBS, switch
from goldentooth.host.words import Refusal
from tests.namespaces import needs_root

ADA, BOB = "a" * 32, "b" * 32
"""Two controllers."""

FILE = "/etc/toy/a"


class Folder(Machine):
    """A machine whose file system is a folder; what it calls is noted, and done."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder
        self.program = "# this program\n"
        self.seconds = 1000.0
        self.start = "first"
        self.called: list[str] = []
        self.fails: dict[str, str] = {}
        """What begins a call that fails, and what is said then."""
        self.does: dict[str, Callable[[], None]] = {}

    def uptime(self) -> float:
        return self.seconds

    def boot(self) -> str:
        return self.start

    def wait(self, seconds: float) -> None:
        self.seconds += seconds

    def end_step(self, step: str) -> None:
        self.called.append(f"end {step.split(maxsplit=1)[0] == str(os.getpid())}")

    def call(self, words: Sequence[str], *_: object, **__: object) -> tuple[int, str]:
        line = " ".join(words)
        self.called.append(line)
        for start, act in self.does.items():
            if line.startswith(start):
                act()
        for start, said in self.fails.items():
            if line.startswith(start):
                return 1, said
        if "show --property" in line:
            return 0, "ActiveState=active\nUnitFileState=enabled"
        return 0, ""


class Host:
    """What a controller sees of a machine."""

    def __init__(self, machine: Folder, holder: str = ADA) -> None:
        self.machine = machine
        self.holder = holder

    def path(self, path: str) -> Path:
        return self.machine.folder / path.lstrip("/")

    @property
    def state(self) -> Path:
        return self.path("/var/lib/goldentooth")

    def call(self, verb: str, *words: str, data: bytes = b"") -> dict[str, Any]:
        """Call a verb as it is sent; return what it answers."""
        try:
            asked = VERBS[verb].read(list(words), data)
            answered = VERBS[verb].act(self.machine, asked)
        except Refusal as refusal:
            return {"done": False, "reason": refusal.reason, "text": refusal.text, **refusal.facts}
        found: dict[str, Any] = json.loads(answered)
        return found

    def did(self, verb: str, *words: str, data: bytes = b"") -> dict[str, Any]:
        answered = self.call(verb, *words, data=data)
        assert answered["done"], answered
        return answered

    def lock(self, name: str, seconds: str = "60", by: str = "ada@here") -> dict[str, Any]:
        return self.call("lock", name, self.holder, seconds, by)

    def staged(
        self, name: str, files: Mapping[str, str], new: Mapping[str, str], **more: Any
    ) -> None:
        """Lock and stage; ``files`` has what is expected by file, ``new`` the texts."""
        assert self.lock(name)["done"]
        self.did("stage", name, self.holder, data=self.packed(files, new, **more))

    def packed(
        self,
        files: Mapping[str, str],
        new: Mapping[str, str],
        *,
        owner: str = "root:root",
        **more: Any,
    ) -> bytes:
        lines = [
            ["put", path, owner, "0640", expected]
            if path in new
            else ["remove", path, "", "", expected]
            for path, expected in files.items()
        ]
        state = self.state / "state.json"
        base = read_state(state.read_bytes()).applied if state.exists() else ""
        described = {
            "by": "ada@here",
            "plan": lines,
            "activate": ["make it live"],
            "units": [],
            "carried": [],
            "source": "",
            "base": base,
            **more,
        }
        members = {f"new{path}": text.encode() for path, text in new.items()}
        if not described["source"]:
            members |= {"record/manifest.json": f"{sorted(new.items())}".encode(), "key": b"k"}
        return pack({"deployment.json": json.dumps(described).encode(), **members})

    def changed(
        self, name: str, files: Mapping[str, str], new: Mapping[str, str], **more: Any
    ) -> None:
        self.staged(name, files, new, **more)
        self.did("arm", name, self.holder, "30")
        self.did("swap", name, self.holder)

    def live(
        self, name: str, files: Mapping[str, str], new: Mapping[str, str], **more: Any
    ) -> None:
        self.changed(name, files, new, **more)
        self.did("activate", name, self.holder)

    def confirmed(self, name: str, text: str) -> None:
        self.live(name, {FILE: "any"}, {FILE: text})
        self.did("confirm", name, self.holder)

    def back(self, name: str, why: str = "why") -> dict[str, Any]:
        return self.call("rollback", name, self.holder, data=why.encode())

    def look(self) -> dict[str, str]:
        root = self.path("/etc/toy")
        return {
            str(path.relative_to(root)): "folder"
            if path.is_dir()
            else f"-> {path.readlink()}"
            if path.is_symlink()
            else path.read_text()
            for path in root.rglob("*")
        }


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for folder in ("etc/toy", "etc/systemd/system", "var/lib"):
        (tmp_path / folder).mkdir(parents=True)
    tmp_path.chmod(0o755)
    return Host(Folder(tmp_path))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# -- the lock ---------------------------------------------------------------------------


def test_the_second_is_told_who_has_the_lock_since_when(host: Host) -> None:
    assert host.lock("one")["done"]

    answered = Host(host.machine, BOB).lock("two", by="bob@there")

    assert answered["reason"] == "held"
    assert answered["text"].startswith("held by ada@here since 20")
    assert "(one), for " in answered["text"]
    assert (
        Host(host.machine, BOB).call("stage", "two", BOB, data=host.packed({}, {}))["reason"]
        == "held"
    )


def test_a_lock_expires_by_the_hosts_own_time(host: Host) -> None:
    assert host.lock("one")["done"]
    host.machine.seconds += 61

    assert Host(host.machine, BOB).lock("two")["done"]
    assert host.call("stage", "one", ADA, data=host.packed({}, {}))["reason"] == "held"


def test_a_lock_does_not_outlive_a_restart(host: Host) -> None:
    assert host.lock("one", "600")["done"]
    host.machine.start = "second"

    assert Host(host.machine, BOB).lock("two")["done"]


def test_only_its_holder_gives_a_lock_back(host: Host) -> None:
    other = Host(host.machine, BOB)
    assert host.lock("one")["done"]

    other.did("unlock", "one", BOB)
    host.did("unlock", "two", ADA)
    assert other.lock("two")["reason"] == "held"
    host.did("unlock", "one", ADA)
    assert other.lock("two")["done"]


def test_a_copy_of_the_journal_is_another_controller(host: Host) -> None:
    """It knows the deployment's name, and takes nothing back and confirms nothing."""
    copy = Host(host.machine, BOB)
    host.live("one", {FILE: "absent"}, {FILE: "new"})

    assert copy.lock("one")["reason"] == "held"
    assert copy.back("one")["reason"] == "held"
    assert copy.call("confirm", "one", BOB)["reason"] == "held"
    assert copy.call("abort", "one", BOB)["done"] is False
    assert host.did("confirm", "one", ADA)["state"] == "confirmed"
    assert host.look() == {"a": "new"}


def test_the_same_controller_goes_on_where_it_was_ended(host: Host) -> None:
    host.live("one", {FILE: "absent"}, {FILE: "new"})

    assert host.lock("one")["done"]
    assert host.back("one")["state"] == "back"


def test_whose_the_armed_deployment_is_is_reported(host: Host) -> None:
    host.changed("one", {FILE: "absent"}, {FILE: "new"})
    host.machine.seconds += 1000  # the lock has run out

    answered = Host(host.machine, BOB).lock("two", by="bob@there")

    assert (answered["reason"], answered["state"]) == ("armed", "swapped")
    assert answered["text"].startswith("armed: one of ada@here, since 20")


def test_who_finds_a_host_armed_without_a_timer_starts_it(host: Host) -> None:
    host.changed("one", {FILE: "absent"}, {FILE: "new"})
    host.machine.seconds += 1000
    host.machine.fails["systemctl is-active"] = "inactive"
    host.machine.called.clear()

    answered = Host(host.machine, BOB).lock("two")

    assert not answered["done"]
    assert any("systemd-run" in line and "--on-active=1 " in line for line in host.machine.called)


@pytest.mark.parametrize("name", ["", ".", "../x", "a b", "a/b", "$(id)", "x" * 65, "é", "-x"])
def test_a_name_is_a_plain_word(host: Host, name: str) -> None:
    for verb in ("stage", "swap", "activate", "confirm", "rollback", "abort", "unlock"):
        assert host.call(verb, name, ADA)["reason"] == "malformed", verb
    assert host.call("lock", name, ADA, "1", "x")["reason"] == "malformed"
    assert host.call("arm", name, ADA, "1")["reason"] == "malformed"
    assert not host.state.exists()


# -- before -----------------------------------------------------------------------------


def test_what_is_staged_is_roots_alone(host: Host) -> None:
    host.staged("one", {FILE: "absent"}, {FILE: "secret"})

    staged = [path for path in (host.state / "deployments").rglob("*") if not path.is_symlink()]
    assert {path.name for path in staged} >= {"new", "a", "plan.json", "key", "before"}
    for path in (host.state, *staged):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_file_that_has_moved_since_the_plan_is_refused(host: Host) -> None:
    host.path(FILE).write_text("by hand")
    assert host.lock("one")["done"]

    answered = host.call(
        "stage", "one", ADA, data=host.packed({FILE: digest("as planned")}, {FILE: "new"})
    )

    assert (answered["reason"], answered["path"]) == ("moved", FILE)
    assert not list((host.state).glob("incoming.*"))


def test_a_plan_from_another_record_is_refused(host: Host) -> None:
    packed = host.packed({FILE: "any"}, {FILE: "mine"})
    host.confirmed("other", "theirs")
    assert host.lock("one")["done"]

    assert host.call("stage", "one", ADA, data=packed)["reason"] == "moved"


@pytest.mark.parametrize("cut", [0, 10, 100, 400, -1])
def test_a_package_that_breaks_off_leaves_nothing(host: Host, cut: int) -> None:
    assert host.lock("one")["done"]
    packed = host.packed({FILE: "absent"}, {FILE: "x" * 5000})

    assert host.call("stage", "one", ADA, data=packed[:cut])["reason"] == "malformed"

    assert not (host.state / "deployments").exists()
    assert host.call("arm", "one", ADA, "30")["reason"] == "wrong-state"


def test_what_follows_a_package_is_refused(host: Host) -> None:
    assert host.lock("one")["done"]

    answered = host.call("stage", "one", ADA, data=host.packed({}, {}) + b"x")

    assert answered["reason"] == "malformed"


@pytest.mark.parametrize(
    "changes",
    [
        {"plan": [["put", "/etc/../x", "root:root", "0644", "any"]]},
        {"plan": [["put", "etc/x", "root:root", "0644", "any"]]},
        {"plan": [["put", "/etc/x\n", "root:root", "0644", "any"]]},
        {"plan": [["put", "/etc/x", "root", "0644", "any"]]},
        {"plan": [["put", "/etc/x", "root:root", "644", "any"]]},
        {"plan": [["put", "/etc/x", "root:root", "0644", "PATH=0"]]},
        {"plan": [["move", "/etc/x", "", "", "any"]]},
        {"plan": [["remove", "/etc/x", "", "", "any"]] * 2},
        {"plan": [["remove", "/etc/x", "", ""]]},
        {"plan": {"a": 1}},
        {"activate": ["id\nid"]},
        {"activate": [""]},
        {"units": ["--now x"]},
        {"units": [7]},
        {"by": "x\x1b[2J"},
        {"source": "../applied"},
        {"carried": ["/etc/.."]},
        {"more": "x"},
    ],
)
def test_a_request_of_another_form_is_refused_before_anything_is_done(
    host: Host, changes: dict[str, Any]
) -> None:
    described = {
        "by": "x",
        "plan": [],
        "activate": [],
        "units": [],
        "carried": [],
        "source": "",
        "base": "",
        **changes,
    }
    packed = pack(
        {
            "deployment.json": json.dumps(described).encode(),
            "record/manifest.json": b"{}",
            "key": b"k",
        }
    )

    assert host.call("stage", "one", ADA, data=packed)["reason"] == "malformed"
    assert not host.state.exists()


@pytest.mark.parametrize(
    "described", [b"", b"[]", b"[" * 100_000, b'{"by": ' + b"9" * 100_000 + b"}", b"\xff", b"null"]
)
def test_json_of_another_form_is_refused(host: Host, described: bytes) -> None:
    packed = pack({"deployment.json": described})

    assert host.call("stage", "one", ADA, data=packed)["reason"] == "malformed"


def test_who_is_refused_does_not_remove_what_another_has_staged(host: Host) -> None:
    host.staged("one", {FILE: "absent"}, {FILE: "new"})
    other = Host(host.machine, BOB)
    assert not other.lock("two")["done"]

    other.call("abort", "two", BOB)

    assert (host.state / "staged").resolve() == host.state / "deployments/one/new"
    assert (host.state / "scratch").is_dir()


def test_what_is_staged_and_aborted_has_not_changed_for_its_daemon(host: Host) -> None:
    host.path(FILE).write_text("old\n")
    before = host.path(FILE).stat()

    host.staged("d1", {FILE: digest("old\n")}, {FILE: "new\n"})
    kept = host.state / f"deployments/d1/before/files{FILE}"
    assert kept.read_text() == "old\n"
    assert kept.stat().st_mtime_ns == before.st_mtime_ns
    host.did("abort", "d1", ADA)

    assert host.path(FILE).stat().st_ctime_ns == before.st_ctime_ns
    assert not list((host.state / "deployments").iterdir())
    assert not (host.state / "staged").is_symlink()


def test_nothing_is_swapped_that_is_not_armed(host: Host) -> None:
    host.staged("one", {FILE: "absent"}, {FILE: "new"})

    answered = host.call("swap", "one", ADA)

    assert (answered["reason"], answered["state"]) == ("wrong-state", "staged")
    assert not host.path(FILE).exists()


def test_without_a_switch_nothing_is_armed(host: Host) -> None:
    host.staged("one", {FILE: "absent"}, {FILE: "new"})
    host.machine.fails["systemd-run"] = "Failed to start transient timer unit: Connection timed out"

    answered = host.call("arm", "one", ADA, "30")

    assert answered["reason"] == "no-switch"
    assert read_state((host.state / "state.json").read_bytes()).switched is None
    assert not list(host.path("/etc/systemd/system").rglob("*.service"))


# -- the change -------------------------------------------------------------------------


def test_files_come_with_mode_in_folders_of_their_own(host: Host) -> None:
    host.changed("one", {"/etc/toy/deep/er/a": "absent"}, {"/etc/toy/deep/er/a": "new"})

    there = host.path("/etc/toy/deep/er/a")
    assert there.read_text() == "new"
    assert oct(there.stat().st_mode) == "0o100640"
    assert oct(there.parent.stat().st_mode) == oct(there.parents[1].stat().st_mode) == "0o40755"
    assert [path.name for path in there.parent.iterdir()] == ["a"]


def test_a_link_is_replaced_not_followed_and_comes_back(host: Host) -> None:
    elsewhere = host.path("/etc/elsewhere")
    elsewhere.write_text("untouched")
    host.path(FILE).symlink_to("/etc/elsewhere")
    host.changed("one", {FILE: "link"}, {FILE: "new"})
    assert not host.path(FILE).is_symlink()
    assert (host.path(FILE).read_text(), elsewhere.read_text()) == ("new", "untouched")

    assert host.back("one")["state"] == "back"

    assert str(host.path(FILE).readlink()) == "/etc/elsewhere"
    assert elsewhere.read_text() == "untouched"


@pytest.mark.parametrize("name", ["user.label", "security.selinux"])
def test_extended_attributes_stay(host: Host, name: str) -> None:
    label = b"system_u:object_r:etc_t:s0"
    host.path(FILE).write_text("old")
    try:
        os.setxattr(host.path(FILE), name, label)
    except OSError:
        pytest.skip(f"this user or file system cannot set {name}")
    host.changed("one", {FILE: digest("old")}, {FILE: "new"})

    assert os.getxattr(host.path(FILE), name) == label
    assert host.back("one")["state"] == "back"
    assert os.getxattr(host.path(FILE), name) == label


def test_an_owner_that_is_not_there_is_refused_before_anything_changes(host: Host) -> None:
    assert host.lock("one")["done"]

    answered = host.call(
        "stage",
        "one",
        ADA,
        data=host.packed({FILE: "absent"}, {FILE: "new"}, owner="no-such:group"),
    )

    assert (answered["reason"], answered["path"]) == ("no-user", FILE)
    assert host.look() == {}
    assert not list(host.path("/etc").glob(".goldentooth*"))


def test_a_folder_that_is_a_link_of_roots_is_followed(host: Host) -> None:
    host.path("/srv/toy").mkdir(parents=True)
    host.path("/etc/linked").symlink_to("../srv/toy")

    host.changed("one", {"/etc/linked/a": "absent"}, {"/etc/linked/a": "new"})

    assert host.path("/srv/toy/a").read_text() == "new"


@pytest.fixture
def daemons(host: Host) -> Path:
    """Return a folder that belongs to a daemon's user, as /etc/frr does."""
    folder = host.path("/etc/daemon")
    folder.mkdir(mode=0o750)
    os.chown(folder, 12345, 12345)
    return folder


@needs_root
def test_no_link_in_a_daemons_folder_is_followed(host: Host, daemons: Path) -> None:
    host.path("/etc/target").write_text("root's own")
    (daemons / "sub").symlink_to("../toy")
    os.chown(daemons / "sub", 12345, 12345, follow_symlinks=False)

    assert host.lock("one")["done"]
    answered = host.call(
        "stage",
        "one",
        ADA,
        data=host.packed({"/etc/daemon/sub/a": "absent"}, {"/etc/daemon/sub/a": "x"}),
    )

    assert answered["reason"] == "unsafe-folder"
    assert host.look() == {}


@needs_root
def test_what_is_written_for_a_daemon_is_never_in_its_hands_before_it_is_whole(
    host: Host, daemons: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Swapping the temporary file for a link cannot be won: it is in a folder of root's."""
    made = []
    real = Workbench.__init__

    def noted(bench: Workbench, machine: Machine, near: Any) -> None:
        real(bench, machine, near)
        made.append((near.path, os.fstat(bench.descriptor)))

    monkeypatch.setattr(Workbench, "__init__", noted)
    (daemons / "a").write_text("old")

    host.changed(
        "one", {"/etc/daemon/a": digest("old")}, {"/etc/daemon/a": "new"}, owner="root:root"
    )
    assert host.back("one")["state"] == "back"

    assert [path for path, _ in made if not path.startswith("/etc/systemd")] == ["/etc", "/etc"]
    assert all(status.st_uid == 0 and status.st_mode & 0o077 == 0 for _, status in made)
    assert (daemons / "a").read_text() == "old"


@needs_root
@pytest.mark.parametrize("kind", ["file", "folder", "link", "pipe"])
def test_what_a_folders_owner_puts_in_the_way_does_not_stop_the_way_back(
    host: Host, daemons: Path, kind: str
) -> None:
    (daemons / "a").write_text("old")
    host.changed("one", {"/etc/daemon/a": digest("old")}, {"/etc/daemon/a": "new"})
    (daemons / "a").unlink()
    for name in ("a", ".goldentooth-back", ".a.new"):
        if kind == "folder":
            (daemons / name).mkdir()
            (daemons / name / "deep").write_text("x")
        elif kind == "link":
            (daemons / name).symlink_to("/etc/target")
        elif kind == "pipe":
            os.mkfifo(daemons / name)
        else:
            (daemons / name).write_text("in the way")

    answered = host.back("one")

    assert answered["state"] == "back"
    assert (daemons / "a").read_text() == "old"
    assert len(answered["kept"]) == 1
    kept = host.path(answered["kept"][0])
    assert kept.is_symlink() or kept.exists()


def test_the_folder_of_the_state_has_to_be_roots_alone(host: Host) -> None:
    host.state.mkdir()
    host.state.chmod(0o755)

    assert host.lock("one")["reason"] == "unsafe-folder"


# -- and back ---------------------------------------------------------------------------

OLD = {"changed": "old", "removed": "old"}


def _before_and_after(host: Host) -> None:
    for name, text in OLD.items():
        host.path(f"/etc/toy/{name}").write_text(text)
    created = "/etc/toy/new/folder/created"
    plan = {"/etc/toy/changed": digest("old"), "/etc/toy/removed": digest("old"), created: "absent"}
    host.live("one", plan, {"/etc/toy/changed": "new", created: "new"})
    assert host.look().keys() == {"changed", "new", "new/folder", "new/folder/created"}


def test_everything_comes_back_and_new_folders_go(host: Host) -> None:
    _before_and_after(host)

    assert host.back("one")["state"] == "back"

    assert host.look() == OLD
    assert host.back("one", "again") == {"done": True, "state": "back", "why": "why"}
    assert not (host.state / "deployments/one/new").exists()


def test_what_was_not_swapped_has_not_changed_for_its_daemon_on_the_way_back(host: Host) -> None:
    host.path(FILE).write_text("old\n")
    before = host.path(FILE).stat()
    host.staged(
        "one", {"/etc/toy/b": "absent", FILE: digest("old\n")}, {"/etc/toy/b": "x", FILE: "n"}
    )
    host.did("arm", "one", ADA, "30")
    (host.state / f"deployments/one/new{FILE}").unlink()
    assert host.call("swap", "one", ADA)["reason"] == "damaged"

    assert host.back("one")["state"] == "back"

    assert host.path(FILE).stat().st_ctime_ns == before.st_ctime_ns
    assert host.path(FILE).stat().st_ino == before.st_ino


def test_the_way_back_makes_the_old_live_in_whichever_try(host: Host) -> None:
    _before_and_after(host)
    host.path("/etc/toy").chmod(0o000)
    host.machine.trusted = {0, os.geteuid()}
    host.machine.start = "second"
    plan = host.state / "deployments/one/plan.json"
    hidden = plan.rename(plan.with_suffix(".away"))
    host.path("/etc/toy").chmod(0o755)

    assert switch(host.machine, ["one", "early"]) == RETRY
    state = read_state((host.state / "state.json").read_bytes()).switched
    assert state is not None
    assert (state.state, bool(state.failing)) == ("going-back", True)
    hidden.rename(plan)
    host.machine.called.clear()
    assert switch(host.machine, ["one", "late"]) == 0

    assert host.look() == OLD
    assert "/bin/sh -c make it live" in host.machine.called


def test_the_try_before_the_network_puts_files_back_and_the_late_one_makes_them_live(
    host: Host,
) -> None:
    _before_and_after(host)
    host.machine.start = "second"
    host.machine.called.clear()

    assert switch(host.machine, ["one", "early"]) == 0
    assert host.look() == OLD
    assert "/bin/sh -c make it live" not in host.machine.called
    assert host.call("confirm", "one", ADA)["state"] == "going-back"
    assert switch(host.machine, ["one", "late"]) == 0

    assert "/bin/sh -c make it live" in host.machine.called
    assert host.back("one")["state"] == "back"
    assert not list(host.path("/etc/systemd/system").rglob("*.service"))


def test_once_it_is_going_back_nothing_is_confirmed(host: Host) -> None:
    _before_and_after(host)
    host.machine.does["/bin/sh -c make it live"] = lambda: answers.append(
        read_state((host.state / "state.json").read_bytes()).switched.state  # type: ignore[union-attr]
    )
    answers: list[str] = []

    assert switch(host.machine, ["one", "timer"]) == 0

    assert answers == ["going-back"]
    answered = host.call("confirm", "one", ADA)
    assert (answered["done"], answered["state"]) == (False, "back")
    assert host.look() == OLD


def test_what_is_swapped_and_not_yet_live_is_not_confirmed(host: Host) -> None:
    host.changed("one", {FILE: "absent"}, {FILE: "new"})

    answered = host.call("confirm", "one", ADA)

    assert (answered["reason"], answered["state"]) == ("wrong-state", "swapped")


def test_what_could_not_be_made_live_again_is_reported(host: Host) -> None:
    _before_and_after(host)
    host.machine.fails["/bin/sh"] = "no such daemon"

    answered = host.back("one")

    assert answered["state"] == "back"
    assert "no such daemon" in answered["unlive"]
    assert host.machine.called.count("/bin/sh -c make it live") == 3  # once forward, twice back


def test_the_reason_is_kept_and_is_one_printable_line(host: Host) -> None:
    _before_and_after(host)

    answered = host.back("one", "bgp.session[fenn]: \x1b[2Jseen\nboot")

    assert answered["why"] == "bgp.session[fenn]:  [2Jseen boot"


def test_an_edit_in_the_window_is_kept_and_named(host: Host) -> None:
    _before_and_after(host)
    host.path("/etc/toy/changed").write_text("by hand")
    host.path("/etc/toy/removed").write_text("by a package")

    answered = host.back("one")

    assert host.look() == OLD
    assert {host.path(path).read_text() for path in answered["kept"]} == {"by hand", "by a package"}
    assert all(
        path.startswith("/var/lib/goldentooth/deployments/one/") for path in answered["kept"]
    )


def test_an_edit_that_stopped_the_swap_is_left_alone(host: Host) -> None:
    host.path(FILE).write_text("old")
    host.staged("one", {FILE: digest("old")}, {FILE: "new"})
    host.did("arm", "one", ADA, "30")
    host.path(FILE).write_text("by hand")
    assert host.call("swap", "one", ADA)["reason"] == "moved"

    assert host.back("one")["state"] == "back"

    assert host.path(FILE).read_text() == "by hand"


def test_what_is_confirmed_is_the_record_and_cannot_go_back(host: Host) -> None:
    _before_and_after(host)

    assert host.did("confirm", "one", ADA)["state"] == "confirmed"

    applied = host.state / read_state((host.state / "state.json").read_bytes()).applied
    assert "created" in (applied / "manifest.json").read_text()
    answered = host.back("one", "late")
    assert (answered["done"], answered["state"]) == (False, "confirmed")
    assert host.path("/etc/toy/changed").read_text() == "new"
    assert not list(host.path("/etc/systemd/system").rglob("*.service"))


def test_a_second_confirmation_ends_where_the_first_did(host: Host) -> None:
    _before_and_after(host)

    assert host.did("confirm", "one", ADA) == host.did("confirm", "one", ADA)


def test_what_goes_off_late_finds_nothing_to_do(host: Host) -> None:
    _before_and_after(host)
    host.did("confirm", "one", ADA)

    for caller in ("timer", "early", "late"):
        assert switch(host.machine, ["one", caller]) == 0
        assert switch(host.machine, ["unknown", caller]) == 0
    assert host.path("/etc/toy/changed").read_text() == "new"


def test_a_swap_after_its_time_is_refused(host: Host) -> None:
    host.staged("one", {FILE: "absent"}, {FILE: "new"})
    host.did("arm", "one", ADA, "30")
    host.machine.seconds += 31

    assert host.call("swap", "one", ADA)["reason"] == "too-late"
    assert not host.path(FILE).exists()


def test_the_state_folder_removed_in_the_window_is_no_deployment(host: Host) -> None:
    import shutil

    _before_and_after(host)
    shutil.rmtree(host.state)

    for verb in ("confirm", "swap", "activate"):
        assert host.call(verb, "one", ADA)["state"] == "none"
    assert host.back("one")["state"] == "none"


# -- what is kept -------------------------------------------------------------------------


def test_the_order_of_deployments_is_the_hosts_own(host: Host) -> None:
    """Their names begin with the time at a controller; one controller is three days behind."""
    for name in ("20260104T000000-aaaa", "20260101T000000-bbbb", "20260103T000000-cccc"):
        host.confirmed(name, name)

    listed = [each["name"] for each in host.did("history")["deployments"]]

    assert listed == ["20260104T000000-aaaa", "20260101T000000-bbbb", "20260103T000000-cccc"]
    record = _record(host, "20260103T000000-cccc")
    assert record[f"files{FILE}"] == b"20260101T000000-bbbb"


def _record(host: Host, name: str) -> dict[str, bytes]:
    verb = VERBS["record"]
    return unpack(verb.act(host.machine, verb.read([name], b"")))


def test_the_last_ten_deployments_are_kept(host: Host) -> None:
    for number in range(14):
        host.confirmed(f"d{99 - number}", str(number))

    kept = [each["name"] for each in host.did("history")["deployments"]]

    assert kept == [f"d{99 - number}" for number in range(4, 14)]
    # the record before the oldest that is kept is still there to go back to
    assert _record(host, "d95")[f"files{FILE}"] == b"3"
    folders = {path.name for path in (host.state / "deployments").iterdir()}
    assert folders == {*kept, "d96"}


def test_what_was_taken_back_pushes_out_nothing_that_one_can_go_back_to(host: Host) -> None:
    host.confirmed("good", "1")
    for number in range(12):
        host.changed(f"b{number}", {FILE: "any"}, {FILE: "2"})
        assert host.back(f"b{number}")["state"] == "back"

    kept = [each["name"] for each in host.did("history")["deployments"]]

    assert kept == ["good", *(f"b{number}" for number in range(2, 12))]


def test_what_is_kept_goes_in_again_without_being_sent(host: Host) -> None:
    host.confirmed("one", "first")
    host.confirmed("two", "second")

    lines = [["put", FILE, "root:root", "0640", digest("second")]]
    host.live("three", {}, {}, source="two", plan=lines)
    host.did("confirm", "three", ADA)

    assert host.path(FILE).read_text() == "first"
    last = host.did("history")["deployments"][-1]
    assert last["record"] == "deployments/one/record"
    assert not last["same"]


def test_the_record_takes_over_what_is_not_deployed_now(host: Host) -> None:
    host.live("one", {FILE: "any", "/etc/toy/b": "any"}, {FILE: "a", "/etc/toy/b": "b"})
    host.did("confirm", "one", ADA)

    host.live("two", {FILE: "any"}, {FILE: "a2"}, carried=["/etc/toy/b"])
    host.did("confirm", "two", ADA)

    record = _record(host, "applied")
    assert (record[f"files{FILE}"], record["files/etc/toy/b"]) == (b"a2", b"b")


def test_a_record_cannot_take_over_what_is_not_in_it(host: Host) -> None:
    assert host.lock("one")["done"]
    packed = host.packed({}, {}, carried=["/root/private"])

    assert host.call("stage", "one", ADA, data=packed)["reason"] == "no-record"


def test_adopting_touches_no_file_and_is_the_record(host: Host) -> None:
    host.path(FILE).write_text("there")
    before = host.path(FILE).stat()
    assert host.lock("one")["done"]

    assert host.did("adopt", "one", ADA, data=host.packed({}, {}))["state"] == "adopted"

    assert host.path(FILE).stat() == before
    assert "manifest.json" in _record(host, "applied")


def test_a_damaged_state_is_reported_and_nothing_is_done(host: Host) -> None:
    host.confirmed("one", "first")
    (host.state / "state.json").write_bytes(b'{"format": 1')

    answered = host.lock("two")

    assert answered["reason"] == "damaged"
    assert (host.state / "state.json").read_bytes() == b'{"format": 1'


def test_one_at_a_time(host: Host) -> None:
    import fcntl

    host.changed("one", {FILE: "absent"}, {FILE: "new"})
    with (host.state / "mutex").open("r+") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        assert host.call("activate", "one", ADA)["reason"] == "busy"
    assert host.call("activate", "one", ADA)["done"]
