"""The host's half of a deployment, in a folder of this machine.

systemd is not asked here: what the switch does by itself is tried on the twin.
"""

from __future__ import annotations

import getpass
import grp
import io
import os
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from goldentooth.host import deployment_program
from goldentooth.plan import archive

OWNER = f"{getpass.getuser()}:{grp.getgrgid(os.getgid()).gr_name}"


@dataclass(frozen=True)
class Host:
    """A folder that a host's state and files are in."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def path(self, name: str) -> Path:
        return self.folder / "etc" / name

    def call(self, verb: str, *words: str, stdin: bytes = b"") -> tuple[int, str]:
        """Run a verb; return its status and what it complained of."""
        done = subprocess.run(
            ["sh", "-c", deployment_program(), "program", verb, *words],
            input=stdin,
            capture_output=True,
            env={
                "PATH": f"{self.folder}/bin:{os.environ['PATH']}:/usr/sbin:/sbin",
                "GOLDENTOOTH_STATE": str(self.state),
            },
            check=False,
            timeout=60,
        )
        return done.returncode, (done.stdout + done.stderr).decode()

    def did(self, verb: str, *words: str, stdin: bytes = b"") -> str:
        status, said = self.call(verb, *words, stdin=stdin)
        assert status == 0, said
        return said

    def staged(self, name: str, plan: Mapping[str, str], new: Mapping[str, str]) -> None:
        """Lock, stage and back up; ``plan`` has the expected hash by file, ``new`` the texts."""
        self.did("lock", name, "ada@here", "60")
        assert self.call("stage", name, stdin=self.packed(plan, new))[0] == 0
        self.did("backup", name)

    def packed(self, plan: Mapping[str, str], new: Mapping[str, str]) -> bytes:
        lines = [
            f"put\t{self.path(path)}\t{OWNER}\t0640\t{expected}\n"
            if path in new
            else f"remove\t{self.path(path)}\t-\t-\t{expected}\n"
            for path, expected in plan.items()
        ]
        return archive(
            {
                **{f"new{self.path(path)}": text.encode() for path, text in new.items()},
                "plan": "".join(lines).encode(),
                "activate": b"",
                "units": b"",
                "about": b"2026-01-01T00:00:00+00:00\tada@here\n",
                "program": b"",
                "key": b"k",
                "record/manifest.json": f"{sorted(new.items())}".encode(),
            }
        )

    def armed(self, name: str) -> None:
        """Arm by hand, without the switch."""
        (self.state / "armed").symlink_to(f"deployments/{name}")
        (self.state / f"deployments/{name}/state").write_text("armed\n")
        (self.state / f"deployments/{name}/taken-back").write_text("was taken back\n")

    def changed(self, name: str, plan: Mapping[str, str], new: Mapping[str, str]) -> None:
        self.staged(name, plan, new)
        self.armed(name)
        self.did("swap", name)


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for program in ("systemctl", "logger"):
        stub = tmp_path / "bin" / program
        stub.parent.mkdir(exist_ok=True)
        stub.write_text("#!/bin/sh\nexit 0\n")
        stub.chmod(0o755)
    (tmp_path / "etc").mkdir()
    return Host(tmp_path)


def _hash(text: str) -> str:
    done = subprocess.run(["sha256sum"], input=text, capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


# -- the lock ---------------------------------------------------------------------------


def test_the_second_is_told_who_has_the_lock_since_when(host: Host) -> None:
    host.did("lock", "one", "ada@here", "60")

    status, said = host.call("lock", "two", "bob@there", "60")

    assert status == 75
    assert said.startswith("held by ada@here since 20")
    assert "(one), for " in said
    assert host.call("stage", "two")[0] == 75


def test_a_lock_expires_by_the_time_that_it_was_taken_for(host: Host) -> None:
    host.did("lock", "one", "ada@here", "0")

    host.did("lock", "two", "bob@there", "60")


def test_a_lock_does_not_outlive_a_restart(host: Host) -> None:
    host.did("lock", "one", "ada@here", "600")
    lock = host.state / "lock"
    lock.write_text(lock.read_text().replace(Path(BOOT).read_text().strip(), "an-earlier-boot"))

    host.did("lock", "two", "bob@there", "60")


BOOT = "/proc/sys/kernel/random/boot_id"


def test_only_its_holder_gives_a_lock_back(host: Host) -> None:
    host.did("lock", "one", "ada@here", "60")

    host.did("unlock", "two")
    assert host.call("lock", "two", "bob@there", "60")[0] == 75
    host.did("unlock", "one")
    host.did("lock", "two", "bob@there", "60")


def test_a_lock_that_was_cut_off_in_writing_is_nobodys(host: Host) -> None:
    host.did("lock", "one", "ada@here", "60")
    (host.state / "lock").write_text("one\tada")

    host.did("lock", "two", "bob@there", "60")


def test_who_is_armed_is_told_with_whose_it_is(host: Host) -> None:
    host.changed("one", {"a": "absent"}, {"a": "new"})

    status, said = host.call("lock", "two", "bob@there", "60")

    assert status == 76
    assert said.startswith("armed: one of ada@here, since 2026-01-01T00:00:00+00:00;")


@pytest.mark.parametrize("name", ["", ".", "../x", "a b", "a/b", "$(id)"])
def test_a_name_is_a_plain_word(host: Host, name: str) -> None:
    for verb in ("lock", "stage", "backup", "arm", "swap", "activate", "confirm", "rollback"):
        assert host.call(verb, name)[0] == 64, verb


# -- before -----------------------------------------------------------------------------


def test_what_is_staged_is_roots_alone(host: Host) -> None:
    host.staged("one", {"a": "absent"}, {"a": "secret"})

    staged = [path for path in (host.state / "deployments").rglob("*") if not path.is_symlink()]
    assert {path.name for path in staged} >= {"new", "a", "plan", "key", "before"}
    for path in (host.state, *staged):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_file_that_has_moved_since_the_plan_is_refused(host: Host) -> None:
    host.path("a").write_text("by hand")
    host.did("lock", "one", "ada@here", "60")
    packed = host.packed({"a": _hash("as planned")}, {"a": "new"})
    assert host.call("stage", "one", stdin=packed)[0] == 0

    status, said = host.call("backup", "one")

    assert (status, said) == (73, f"{host.path('a')} has changed since the plan was made\n")


@pytest.mark.parametrize("cut", [0, 100, 1024, 4000])
def test_an_archive_that_breaks_off_leaves_nothing(host: Host, cut: int) -> None:
    host.did("lock", "one", "ada@here", "60")
    packed = host.packed({"a": "absent"}, {"a": "x" * 5000})

    assert host.call("stage", "one", stdin=packed[:cut])[0] != 0

    assert not (host.state / "deployments/one").exists()
    assert host.call("backup", "one")[0] != 0


def test_whoever_is_refused_does_not_clear_away_what_another_has_staged(host: Host) -> None:
    host.staged("one", {"a": "absent"}, {"a": "new"})
    assert host.call("lock", "two", "bob@there", "60")[0] == 75

    host.did("abort", "two")

    assert (host.state / "staged").resolve() == host.state / "deployments/one/new"
    assert (host.state / "scratch").is_dir()


def test_what_is_backed_up_and_aborted_has_not_changed_for_its_daemon(host: Host) -> None:
    host.path("a").write_text("old\n")
    before = host.path("a").stat()

    host.staged("d1", {"a": _hash("old\n")}, {"a": "new\n"})
    kept = host.state / f"deployments/d1/before/files{host.path('a')}"
    assert kept.read_text() == "old\n"
    assert kept.stat().st_mtime_ns == before.st_mtime_ns
    host.did("abort", "d1")

    assert host.path("a").stat().st_ctime_ns == before.st_ctime_ns


def test_what_is_aborted_is_gone(host: Host) -> None:
    host.staged("one", {"a": "absent"}, {"a": "new"})

    host.did("abort", "one")

    assert not list((host.state / "deployments").iterdir())
    assert not (host.state / "staged").is_symlink()


def test_what_is_confirmed_keeps_its_back_up_when_it_is_cleared_away(host: Host) -> None:
    host.path("a").write_text("old")
    host.changed("one", {"a": _hash("old")}, {"a": "new"})
    host.did("confirm", "one")

    host.did("abort", "one")

    kept = host.state / f"deployments/one/before/files{host.path('a')}"
    assert kept.read_text() == "old"


def test_nothing_is_swapped_that_is_not_armed(host: Host) -> None:
    host.staged("one", {"a": "absent"}, {"a": "new"})

    assert host.call("swap", "one") == (70, "one is not armed\n")
    assert not host.path("a").exists()


# -- the change -------------------------------------------------------------------------


def test_files_come_with_owner_and_mode_in_folders_of_their_own(host: Host) -> None:
    host.changed("one", {"deep/er/a": "absent"}, {"deep/er/a": "new"})

    there = host.path("deep/er/a")
    assert there.read_text() == "new"
    assert oct(there.stat().st_mode) == "0o100640"
    assert oct(there.parent.stat().st_mode) == oct(there.parents[1].stat().st_mode) == "0o40755"
    assert [path.name for path in there.parent.iterdir()] == ["a"]


def test_a_link_is_replaced_not_followed_and_comes_back(host: Host) -> None:
    elsewhere = host.path("elsewhere")
    elsewhere.write_text("untouched")
    host.path("a").symlink_to(elsewhere)
    host.changed("one", {"a": "link"}, {"a": "new"})
    assert not host.path("a").is_symlink()
    assert (host.path("a").read_text(), elsewhere.read_text()) == ("new", "untouched")

    host.did("rollback", "one", "why")

    assert host.path("a").readlink() == elsewhere
    assert elsewhere.read_text() == "untouched"


@pytest.mark.parametrize("name", ["user.label", "security.selinux"])
def test_extended_attributes_stay(host: Host, name: str) -> None:
    label = b"system_u:object_r:etc_t:s0"
    host.path("a").write_text("old")
    try:
        os.setxattr(host.path("a"), name, label)
    except OSError:
        pytest.skip(f"this user or file system cannot set {name}")
    host.changed("one", {"a": _hash("old")}, {"a": "new"})

    assert os.getxattr(host.path("a"), name) == label
    host.did("rollback", "one", "why")
    assert os.getxattr(host.path("a"), name) == label


def test_a_swap_that_fails_leaves_no_file_of_its_own(host: Host) -> None:
    host.staged("one", {"a": "absent", "b": "absent"}, {"a": "new", "b": "new"})
    host.armed("one")
    plan = host.state / "deployments/one/plan"
    first, second = plan.read_text().splitlines()
    plan.write_text(f"{first}\n{second.replace(OWNER, 'no:body')}\n")

    assert host.call("swap", "one")[0] == 74
    assert [path.name for path in host.path("").iterdir()] == ["a"]

    host.did("rollback", "one", "why")
    assert not list(host.path("").iterdir())


# -- and back ---------------------------------------------------------------------------

OLD = {"changed": "old", "removed": "old"}


def _before_and_after(host: Host) -> Callable[[], dict[str, str]]:
    for name, text in OLD.items():
        host.path(name).write_text(text)
    plan = {"changed": _hash("old"), "removed": _hash("old"), "new/folder/created": "absent"}
    host.changed("one", plan, {"changed": "new", "new/folder/created": "new"})

    def look() -> dict[str, str]:
        root = host.path("")
        return {
            str(path.relative_to(root)): path.read_text() if path.is_file() else "folder"
            for path in root.rglob("*")
        }

    assert look().keys() == {"changed", "new", "new/folder", "new/folder/created"}
    return look


def test_everything_comes_back_and_new_folders_go(host: Host) -> None:
    look = _before_and_after(host)

    host.did("rollback", "one", "why")

    assert look() == OLD
    assert "was taken back at" in (host.state / "rolled-back").read_text()
    assert not (host.state / "armed").is_symlink()
    assert host.call("rollback", "one", "again")[0] == 70


def test_what_was_not_swapped_has_not_changed_for_its_daemon_on_the_way_back(host: Host) -> None:
    host.path("a").write_text("old\n")
    before = host.path("a").stat()
    host.staged("one", {"a": _hash("old\n")}, {"a": "new\n"})
    host.armed("one")
    (host.state / "deployments/one/state").write_text("swapping\n")

    host.did("rollback", "one", "why")

    assert host.path("a").stat().st_ctime_ns == before.st_ctime_ns
    assert host.path("a").stat().st_ino == before.st_ino


@pytest.mark.parametrize("calls", range(1, 15))
def test_a_way_back_that_was_broken_off_is_gone_to_its_end(host: Host, calls: int) -> None:
    look = _before_and_after(host)
    for program in BREAKING:
        stub = host.folder / "bin" / program
        stub.write_text(BREAKS_OFF.format(program=program, count=host.folder / "count", at=calls))
        stub.chmod(0o755)
    assert host.call("rollback", "one", "why")[0] == -9

    for program in BREAKING:
        (host.folder / "bin" / program).unlink()
    status, said = host.call("rollback", "one", "why")

    assert status == 0 or "was taken back" in said
    assert look() == OLD
    assert not (host.state / "armed").is_symlink()
    assert "was taken back" in (host.state / "rolled-back").read_text()


BREAKING = ("cp", "mv", "rm", "ln", "rmdir", "sync")
BREAKS_OFF = """#!/bin/sh
echo >>{count}
[ "$(wc -l <{count})" -lt {at} ] || kill -9 $PPID
PATH=/usr/bin:/bin exec {program} "$@"
"""


def test_the_way_back_takes_its_reason_from_either_side(host: Host) -> None:
    _before_and_after(host)

    host.did("rollback", "one", stdin=b"bgp.session[fenn]: seen boot\n")

    assert (host.state / "rolled-back").read_text().endswith(": bgp.session[fenn]: seen boot\n")


def test_an_edit_that_stopped_the_swap_is_left_alone(host: Host) -> None:
    host.path("a").write_text("old")
    host.staged("one", {"a": _hash("old")}, {"a": "new"})
    host.armed("one")
    host.path("edit").write_text("by hand")
    host.path("edit").rename(host.path("a"))
    assert host.call("swap", "one")[0] == 73

    host.did("rollback", "one", "why")

    assert host.path("a").read_text() == "by hand"


def test_what_is_confirmed_is_the_record_and_cannot_go_back(host: Host) -> None:
    _before_and_after(host)

    host.did("confirm", "one")

    assert "created" in (host.state / "applied/manifest.json").read_text()
    status, said = host.call("rollback", "one", "late")
    assert (status, said) == (70, "one is not armed: confirmed\n")
    assert host.path("changed").read_text() == "new"


def test_what_went_back_cannot_be_confirmed(host: Host) -> None:
    look = _before_and_after(host)
    host.did("rollback", "one", "not confirmed within 5 s")

    status, said = host.call("confirm", "one")

    assert status == 70
    assert "was taken back at" in said
    assert look() == OLD
    assert not (host.state / "applied").exists()


def test_the_last_ten_deployments_are_kept(host: Host) -> None:
    for number in range(12):
        name = f"d{number:02}"
        host.changed(name, {"a": "any"}, {"a": str(number)})
        host.did("confirm", name)
        host.did("unlock", name)
        os.utime(host.state / "deployments" / name, (number, number))

    kept = [line.split("\t")[0] for line in host.did("history").splitlines()]

    assert len(kept) <= 11
    assert kept[-1] == "d11"
    assert "d00" not in kept


@pytest.mark.parametrize("name", ["state", "program", "new/etc/x", "record/manifest.json", "told"])
def test_a_link_in_the_archive_is_refused(host: Host, name: str) -> None:
    aim = host.path("aim")
    aim.write_text("untouched")
    packed = io.BytesIO(host.packed({"a": "absent"}, {"a": "new"}))
    with tarfile.open(fileobj=packed, mode="a") as tar:
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, str(aim)
        tar.addfile(link)
    host.did("lock", "one", "ada@here", "60")

    status, said = host.call("stage", "one", stdin=packed.getvalue())

    assert status != 0
    assert "not a plain file" in said
    assert aim.read_text() == "untouched"
    assert not (host.state / "deployments/one").exists()


def test_a_deployment_is_not_forgotten_as_it_is_confirmed(host: Host) -> None:
    for number in range(12):  # the controller's clock is behind what is kept
        kept = host.state / f"deployments/20270101T0000{number:02}-aaaa"
        kept.mkdir(parents=True)
        (kept / "state").write_text("confirmed\n" if number % 2 else "deployment was taken back\n")
    host.changed("20260101T000000-bbbb", {"a": "absent"}, {"a": "new"})

    host.did("confirm", "20260101T000000-bbbb")

    left = {path.name for path in (host.state / "deployments").iterdir()}
    assert "20260101T000000-bbbb" in left
    assert len(left) == 13  # six that one can go back to, and six others


def test_what_was_taken_back_pushes_out_nothing_that_one_can_go_back_to(host: Host) -> None:
    for number in range(30):
        kept = host.state / f"deployments/20250101T0000{number:02}-aaaa"
        kept.mkdir(parents=True)
        (kept / "state").write_text("deployment was taken back\n" if number else "confirmed\n")
    host.changed("20260101T000000-bbbb", {"a": "absent"}, {"a": "new"})

    host.did("confirm", "20260101T000000-bbbb")

    left = {path.name for path in (host.state / "deployments").iterdir()}
    assert "20250101T000000-aaaa" in left
    assert len(left) == 11


def test_a_folder_in_the_place_of_a_new_file_stays_and_does_not_stop_the_way_back(
    host: Host,
) -> None:
    host.staged("one", {"a": "absent", "b": "absent"}, {"a": "new", "b": "new"})
    host.armed("one")
    host.path("b").mkdir()

    assert host.call("swap", "one")[0] != 0

    host.did("rollback", "one", "why")
    assert host.path("b").is_dir()
    assert not host.path("a").exists()


def test_a_record_that_was_left_under_its_old_name_is_found_again(host: Host) -> None:
    host.changed("one", {"a": "absent"}, {"a": "new"})
    host.did("confirm", "one")
    host.did("unlock", "one")
    record = (host.state / "applied/manifest.json").read_bytes()
    (host.state / "applied").rename(host.state / "applied.old")

    host.did("lock", "two", "ada@here", "60")

    assert (host.state / "applied/manifest.json").read_bytes() == record
