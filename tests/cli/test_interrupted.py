"""A render that is stopped, refused the disk, or not alone: the build is whole or as it was."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.namespaces import eventually, needs_root
from tests.sites import Site, contents

HOSTS = 1200
NOBODY = 65534


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a site whose render takes a while, rendered once."""
    folder = tmp_path_factory.mktemp("large") / "site"
    site = Site(folder)
    hosts = ["router:\n  hostname: 10.0.0.1\n  groups: [router]\n"]
    for number in range(2, HOSTS):
        role = "control_plane" if number < 5 else "worker"
        hosts.append(
            f"n{number}:\n  hostname: 10.0.{number >> 8}.{number & 255}\n  groups: [{role}]\n"
        )
    site.write("inventory/hosts.yaml", "".join(hosts))
    site.edit("inventory/defaults.yaml", "cidr: 10.4.0.0/20", "cidr: 10.0.0.0/16")
    done = site.run("render", "--service", "routes")
    assert done.returncode == 0, done.stderr
    return folder


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "runbooks", "render", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def staged(folder: Path) -> int:
    """Return how many hosts have been staged."""
    with contextlib.suppress(OSError):
        return len(list((folder / ".build-staging").iterdir()))
    return 0


def left_over(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {
        *("build", "config.yaml", "inventory", "templates", ".build.lock")
    }


def of_children() -> float:
    """Return the processor time in seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def so_far(process: subprocess.Popen[str]) -> float:
    """Return the processor time in seconds that ``process`` has taken until now."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def whole_effort(large: Path) -> float:
    """Return the processor time in seconds of a render that nobody interrupts."""
    before = of_children()
    process = start(large, "--build", "../whole")
    process.communicate(timeout=120)
    assert process.returncode == 0
    shutil.rmtree(large.parent / "whole")
    return of_children() - before


@pytest.mark.parametrize(("after", "share"), [(0, 0.5), (1, 0.9), (200, 0.9), (900, 1.2)])
def test_ctrl_c_is_prompt_and_leaves_the_build_as_it_was(
    large: Path, whole_effort: float, after: int, share: float
) -> None:
    """Prompt is told by processor time, which other load on the machine hardly changes.

    Before files are written the rest is not done; later all that was written is removed.
    """
    before = contents(large / "build")
    ended = of_children()
    process = start(large)
    began = (large / ".build-staging").exists
    eventually(lambda: (began() and staged(large) >= after) or process.poll() is not None)
    assert process.poll() is None, "it was over before it could be interrupted"
    until_then = so_far(process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert of_children() - ended - until_then < whole_effort * share
    assert (process.returncode, stdout, stderr) == (130, "", "interrupted\n")
    assert contents(large / "build") == before
    assert left_over(large) == set()


def test_ctrl_c_does_not_wait_for_a_judge_that_hangs(site: Site, tmp_path: Path) -> None:
    judge = tmp_path / "haproxy"
    judge.write_text(f"#!/bin/sh\necho >{tmp_path}/began; sleep 300\n")
    judge.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "runbooks", "render", "--validate", "--service", "haproxy"],
        cwd=site.folder,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stderr=subprocess.PIPE,
        text=True,
    )
    eventually((tmp_path / "began").exists)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)  # the judge takes five times that
    assert (process.returncode, stderr) == (130, "interrupted\n")
    assert left_over(site.folder) == set()


def test_after_sigkill_the_next_render_is_fine_and_clears_up(large: Path) -> None:
    before = contents(large / "build")
    process = start(large)
    eventually(lambda: staged(large) >= 200)
    process.kill()
    process.communicate(timeout=20)
    assert contents(large / "build") == before
    assert left_over(large) == {".build-staging"}
    done = start(large, "--service", "routes")
    done.communicate(timeout=60)
    assert done.returncode == 0
    assert contents(large / "build") == before
    assert left_over(large) == set()


def test_of_two_renders_at_the_same_time_one_is_refused(large: Path) -> None:
    first = start(large, "--service", "routes")
    eventually(lambda: staged(large) >= 1)
    second = start(large, "--service", "routes")
    stdout, stderr = second.communicate(timeout=60)
    assert (second.returncode, stdout) == (2, "")
    assert stderr == "another render is writing build: wait for it\n"
    first.communicate(timeout=60)
    assert first.returncode == 0


def test_check_can_run_while_a_render_writes(large: Path) -> None:
    first = start(large, "--service", "routes")
    eventually(lambda: staged(large) >= 1)
    second = start(large, "--service", "routes", "--check", "--host", "n7")
    second.communicate(timeout=60)
    assert second.returncode == 0
    first.communicate(timeout=60)
    assert first.returncode == 0


def test_a_reader_sees_the_old_build_or_the_new_one_and_never_a_mixture(site: Site) -> None:
    """The folder is exchanged in one step."""
    site.project().render()
    old = (site.build / "manifest.json").read_bytes()
    site.edit("inventory/defaults.yaml", "hold: 180", "hold: 90")
    process = start(site.folder)
    seen = set()
    while process.poll() is None:
        seen.add((site.build / "manifest.json").read_bytes())  # it is there at every moment
    process.communicate()
    assert process.returncode == 0
    assert seen <= {old, (site.build / "manifest.json").read_bytes()}


# -- disks -------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Give a file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mount is not permitted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@needs_root
def test_a_full_disk_is_2_and_leaves_the_build_as_it_was(site: Site, disk: Path) -> None:
    site.run("render", "--build", str(disk / "build"), "--host", "router")
    before = contents(disk / "build")
    assert before
    (disk / "other").write_bytes(b"x" * (256 * 1024 - 40 * 1024))
    done = site.run("render", "--build", str(disk / "build"))
    assert done.returncode == 2
    assert "no space left on device" in (done.stdout + done.stderr).lower()
    assert "Traceback" not in done.stdout + done.stderr
    assert contents(disk / "build") == before
    assert {path.name for path in disk.iterdir()} == {"build", "other", ".build.lock"}


@needs_root
def test_no_room_for_the_manifest_is_no_build(site: Site, disk: Path) -> None:
    """Whichever file is the one too many, the earlier build stays."""
    build = disk / "build"
    site.run("render", "--build", str(build), "--host", "router")
    before = contents(build)
    refused = 0
    for free in range(4, 60, 8):
        (disk / "other").write_bytes(b"")
        used = sum(path.stat().st_blocks * 512 for path in disk.rglob("*"))
        (disk / "other").write_bytes(b"x" * (256 * 1024 - used - free * 1024))
        done = site.run("render", "--build", str(build), "--host", "router", "--host", "fenn")
        assert "Traceback" not in done.stdout + done.stderr
        if done.returncode == 0:
            break
        refused += 1
        assert done.returncode == 2
        assert contents(build) == before
    assert refused


@needs_root
def test_a_read_only_disk_is_2_and_check_still_works_there(site: Site, disk: Path) -> None:
    build = str(disk / "build")
    site.run("render", "--build", build, "--host", "router")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done = site.run("render", "--build", build, "--host", "router")
    assert done.returncode == 2
    assert "read-only file system" in done.stderr
    assert "is as it was" in done.stderr
    assert "Traceback" not in done.stderr
    assert site.run("render", "--build", build, "--host", "router", "--check").returncode == 0


@needs_root
def test_a_folder_that_one_may_not_write_is_2(site: Site) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("setpriv is absent: apt-get install util-linux")
    for folder in (site.folder, *site.folder.parents):
        if folder == Path("/tmp"):
            break
        folder.chmod(folder.stat().st_mode | 0o055)
    user = [setpriv, f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    command = [*user, sys.executable, "-m", "runbooks", "render"]
    done = subprocess.run(command, cwd=site.folder, capture_output=True, text=True, check=False)
    if "No module named" in done.stderr or "not permitted" in done.stderr:
        pytest.skip("the program itself cannot be read by others here")
    assert (done.returncode, done.stdout) == (2, "")
    assert "build.lock cannot be written: permission denied; build is as it was" in done.stderr
    assert not site.build.exists()
    elsewhere = subprocess.run(
        [*command, "--check"], cwd=site.folder, capture_output=True, text=True, check=False
    )
    assert elsewhere.returncode == 1
