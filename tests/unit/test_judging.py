"""The native judges: who is absent, who hangs, who says no."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Timer
from typing import Any

import pytest

from goldentooth import judging
from goldentooth.artifact import Artifact, Judge
from goldentooth.judging import Ruling, Verdict, judge_artifact
from goldentooth.services.kubeadm import KUBEADM
from tests.sites import Site, contents


@pytest.fixture(autouse=True)
def _look_anew() -> Iterator[None]:
    judging._find.cache_clear()
    yield
    judging._find.cache_clear()


@pytest.fixture
def only_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Judge]:
    """Return a function that installs a judge in the only folder of the PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(judging, "_EXTRA_FOLDERS", ())

    def install(name: str, script: str) -> Judge:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return Judge(name, (name, "{file}", "{stem}", "{scratch}"))

    return install


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "eth0.cfg"
    path.write_text("text\n")
    return path


def judge_file(
    judge: Judge, file: Path, location: str, stop: Event | None = None, **artifact: Any
) -> Verdict:
    host, _, path = location.partition("/")
    wanted = Artifact(host, "x", f"/{path}" if path else "", **({"text": "text\n"} | artifact))
    return judge_artifact(wanted, judge, file, stop)


def test_a_judge_that_is_not_installed_has_not_accepted(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(judging, "_EXTRA_FOLDERS", ())
    for name in ("vtysh", "haproxy", "ifup", "sh"):
        verdict = judge_file(Judge(name, (name, "{file}")), file, "x")
        assert verdict.ruling is Ruling.NOT_INSTALLED


def test_an_empty_path_does_not_mean_the_working_directory(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "some-judge"
    trap.write_text("#!/bin/sh\nexit 0\n")
    trap.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for path in ("", "/nowhere:", ":/nowhere"):
        monkeypatch.setenv("PATH", path)
        judging._find.cache_clear()
        verdict = judge_file(Judge("some-judge", ("some-judge",)), file, "x")
        assert verdict.ruling is Ruling.NOT_INSTALLED


def test_checkers_are_found_in_folders_that_only_root_looks_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not os.access("/usr/sbin/haproxy", os.X_OK):
        pytest.skip("haproxy is absent: apt-get install haproxy")
    monkeypatch.setenv("PATH", "/usr/bin")
    assert judging._find("haproxy") == "/usr/sbin/haproxy"


def test_a_judge_is_given_the_file_its_stem_and_an_empty_folder(
    only_here: Callable[[str, str], Judge], file: Path
) -> None:
    judge = only_here("nosy", 'cat "$1"; echo "$2"; ls -A "$3"; test -d "$3" && exit 3')
    verdict = judge_file(judge, file, "x")
    assert verdict.ruling is Ruling.REJECTED
    assert verdict.output == "text\neth0"


def test_a_rejection_names_the_artifact_and_not_the_staged_copy(
    only_here: Callable[[str, str], Judge], file: Path
) -> None:
    judge = only_here("stern", 'echo "$1:3: unknown word" >&2; exit 1')
    verdict = judge_file(judge, file, "fenn/etc/x")
    assert str(verdict) == "stern: rejected: fenn/etc/x\nfenn/etc/x:3: unknown word"


def test_a_rejection_without_a_word_says_its_status(
    only_here: Callable[[str, str], Judge], file: Path
) -> None:
    assert judge_file(only_here("mute", "exit 4"), file, "x").output == "exit status 4"


def test_a_judge_sees_well_formed_specimens_and_not_references(
    only_here: Callable[[str, str], Judge], file: Path
) -> None:
    """As kubeadm does, which refuses a token that is not of its form."""
    strict = only_here(
        "strict", """grep -qx 'token: abcdef.0123456789abcdef' "$1" && ! grep '[$]' "$1" """
    )
    text = "token: ${vault:kubeadm/join#token}\nother: ${env:OTHER}\n"
    specimens = {"${vault:kubeadm/join#token}": "abcdef.0123456789abcdef"}
    file.write_text(text)
    good = judge_file(strict, file, "fenn/etc/x", text=text, specimens=specimens)
    bad = judge_file(strict, file, "fenn/etc/x", text=text)
    assert (good.ruling, bad.ruling) == (Ruling.ACCEPTED, Ruling.REJECTED)
    assert file.read_text() == text


def test_a_judge_that_cannot_be_run_has_not_accepted(
    only_here: Callable[[str, str], Judge], file: Path, tmp_path: Path
) -> None:
    judge = only_here("odd", "")
    (tmp_path / "bin/odd").write_bytes(b"\x7fELF, or so it says")
    verdict = judge_file(judge, file, "x")
    assert verdict.ruling is Ruling.REJECTED
    assert "cannot be run" in verdict.output


def test_a_judge_that_hangs_is_ended_with_all_that_it_started(
    only_here: Callable[[str, str], Judge],
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its child holds the same output open: to wait for that would be to wait for ever."""
    monkeypatch.setattr(judging, "SECONDS", 0.5)
    judge = only_here("slow", f"sleep 300 & echo $! >{tmp_path}/child; wait")
    began = time.monotonic()
    verdict = judge_file(judge, file, "x")
    assert time.monotonic() - began < 5
    assert verdict.ruling is Ruling.REJECTED
    assert "no answer within" in verdict.output
    child = int((tmp_path / "child").read_text())
    assert _is_gone(child)


def test_a_judge_does_not_hold_up_a_run_that_is_over(
    only_here: Callable[[str, str], Judge], file: Path
) -> None:
    stop = Event()
    Timer(0.3, stop.set).start()
    began = time.monotonic()
    verdict = judge_file(only_here("slow", "sleep 300"), file, "x", stop)
    assert time.monotonic() - began < 5
    assert verdict.ruling is Ruling.REJECTED


def _is_gone(pid: int) -> bool:
    for _ in range(50):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":  # ended; whoever adopted it has not looked yet
            return True
        time.sleep(0.02)
    return False


# -- in a render -------------------------------------------------------------------------


def test_an_absent_kubeadm_is_reported_as_absent_everywhere(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(judging, "_EXTRA_FOLDERS", ())
    report = site.project().render(services=["kubeadm"], validate=True)
    assert report.judges == {KUBEADM.name: {"not installed": 12}}
    assert {host.judges.get("kubeadm") for host in report.hosts if host.artifacts} == {
        "not installed"
    }
    assert report.status == 0
    assert "judge kubeadm: 12 not installed" in report.table()
    assert "accepted" not in report.table()
    assert "accepted" not in str(report.to_dict())


def test_a_file_that_is_rejected_fails_its_host_and_leaves_the_build_alone(
    site: Site, only_here: Callable[[str, str], Judge]
) -> None:
    site.project().render()
    before = contents(site.build)
    only_here("haproxy", 'echo "line 7: no"; exit 1')
    site.edit("inventory/defaults.yaml", "hold: 180", "hold: 90")
    report = site.project().render(validate=True)
    assert report.status == 2
    assert [host.host for host in report.hosts if host.has_failed] == ["allyrion"]
    table = report.table()
    assert "allyrion: haproxy: rejected: allyrion/etc/haproxy/haproxy.cfg\nline 7: no" in table
    assert "build/ is as it was" in table
    assert contents(site.build) == before


def test_nobody_is_asked_unless_validate_is(
    site: Site, only_here: Callable[[str, str], Judge]
) -> None:
    only_here("haproxy", "exit 1")
    report = site.project().render()
    assert report.status == 0
    assert report.judges == {}
