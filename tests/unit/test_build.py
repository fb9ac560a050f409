"""The build folder: whole or as it was, whatever happens."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from goldentooth import build as build_module
from goldentooth.artifact import Artifact
from goldentooth.build import BuildFolder
from goldentooth.errors import OutputError
from tests.sites import contents


def artifact(text: str, host: str = "fenn") -> Artifact:
    return Artifact(host, "greeting", "/etc/motd", text)


def render(folder: Path, *artifacts: Artifact) -> None:
    with BuildFolder(folder).staging() as staging:
        for made in artifacts:
            staging.write(made)
        staging.swap_in({made.location: made.entry() for made in artifacts})


def fail_while_staging(folder: Path) -> None:
    with BuildFolder(folder).staging() as staging:
        staging.write(artifact("two\n"))
        raise ValueError("as a render might")


def beside(folder: Path) -> set[str]:
    """Return what is beside ``folder``, but for the lock."""
    return {path.name for path in folder.parent.iterdir()} - {folder.name, f".{folder.name}.lock"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "around/build"


def test_what_was_staged_is_there_with_its_manifest(folder: Path) -> None:
    render(folder, artifact("one\n"))
    assert (folder / "fenn/etc/motd").read_text() == "one\n"
    assert set(BuildFolder(folder).entries()) == {"fenn/etc/motd"}
    assert beside(folder) == set()


def test_what_is_not_staged_again_disappears(folder: Path) -> None:
    render(folder, artifact("one\n"), artifact("two\n", host="dalt"))
    render(folder, artifact("one\n"))
    assert set(contents(folder)) == {"fenn/etc/motd", "manifest.json"}


def test_an_error_while_staging_leaves_the_build_as_it_was(folder: Path) -> None:
    render(folder, artifact("one\n"))
    before = contents(folder)
    with pytest.raises(ValueError, match="as a render might"):
        fail_while_staging(folder)
    assert contents(folder) == before
    assert beside(folder) == set()


def test_staging_without_swapping_in_leaves_no_build(folder: Path) -> None:
    with BuildFolder(folder).staging() as staging:
        staging.write(artifact("one\n"))
    assert not folder.exists()
    assert beside(folder) == set()


def test_a_scratch_folder_leaves_nothing_beside_the_build(folder: Path) -> None:
    render(folder, artifact("one\n"))
    (folder.parent / ".build.lock").unlink()
    with BuildFolder(folder).scratch() as staging:
        staging.write(artifact("two\n"))
        assert not staging.path.is_relative_to(folder.parent)
        with pytest.raises(ValueError, match="only for comparing"):
            staging.swap_in({})
    assert not staging.path.exists()
    assert {path.name for path in folder.parent.iterdir()} == {"build"}


def test_two_at_the_same_time_are_refused(folder: Path) -> None:
    other = BuildFolder(folder)
    with (
        BuildFolder(folder).staging(),
        pytest.raises(OutputError, match="another render is writing"),
        other.staging(),
    ):
        pass
    render(folder, artifact("one\n"))  # and then it is free again


def test_what_a_killed_render_left_is_cleared_away(folder: Path) -> None:
    render(folder, artifact("one\n"))
    left = folder.parent / ".build-staging"
    (left / "fenn").mkdir(parents=True)
    (left / "fenn/half").write_text("ha")
    render(folder, artifact("two\n"))
    assert beside(folder) == set()
    assert set(contents(folder)) == {"fenn/etc/motd", "manifest.json"}


def test_folders_with_a_similar_name_are_not_touched(folder: Path) -> None:
    """They could be somebody's own, or another render's: `--build build-2`."""
    folder.parent.mkdir()
    for name in (".build-cache", ".build-2-staging", ".buildx", "build-2"):
        (folder.parent / name).mkdir()
        (folder.parent / name / "mine").write_text("mine")
    render(folder, artifact("one\n"))
    assert beside(folder) == {".build-cache", ".build-2-staging", ".buildx", "build-2"}
    assert (folder.parent / ".build-cache/mine").read_text() == "mine"


# -- where the kernel cannot exchange two folders ----------------------------------------


@pytest.fixture
def _no_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_module, "_exchange", lambda *_: False)


@pytest.mark.usefixtures("_no_exchange")
def test_without_exchange_the_build_is_renamed_aside(folder: Path) -> None:
    render(folder, artifact("one\n"))
    render(folder, artifact("two\n"))
    assert (folder / "fenn/etc/motd").read_text() == "two\n"
    assert beside(folder) == set()


@pytest.mark.usefixtures("_no_exchange")
def test_a_build_that_was_between_two_names_comes_back(folder: Path) -> None:
    render(folder, artifact("one\n"))
    folder.rename(folder.parent / ".build-earlier")  # killed right here
    with BuildFolder(folder).staging() as staging:
        assert (folder / "fenn/etc/motd").read_text() == "one\n"
        assert set(staging.earlier) == {"fenn/etc/motd"}


def test_an_exchange_that_fails_is_reported_and_changes_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(one: Path, other: Path) -> bool:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(other))

    render(folder, artifact("one\n"))
    before = contents(folder)
    monkeypatch.setattr(build_module, "_exchange", fail)
    with pytest.raises(OutputError, match=r"busy; .* is as it was"):
        render(folder, artifact("two\n"))
    assert contents(folder) == before
    assert beside(folder) == set()


# -- what is not ours --------------------------------------------------------------------


def refused(folder: Path, match: str) -> None:
    around = {path.name for path in folder.parent.iterdir()}
    before = contents(folder) if folder.is_dir() else folder.read_bytes()
    with pytest.raises(OutputError, match=match) as caught:
        render(folder, artifact("one\n"))
    assert (contents(folder) if folder.is_dir() else folder.read_bytes()) == before
    assert {path.name for path in folder.parent.iterdir()} == around  # not even a lock
    assert "Traceback" not in str(caught.value)


def test_a_users_own_folder_is_refused(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    refused(folder, "was not made by render; name another folder")


def test_a_users_own_manifest_is_refused_and_nobody_is_told_to_remove_it(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"name": "a browser extension"}')
    refused(folder, "name another folder with --build, or remove .* if it is an earlier build")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"text"',
        '{"format": "goldentooth-net/manifest/0", "artifacts": []}',
        '{"format": "goldentooth-net/manifest/1"}',
        '{"format": "goldentooth-net/manifest/1", "artifacts": [1]}',
        '{"format": "goldentooth-net/manifest/1", "artifacts": {"a": 1}}',
        '{"format": "goldentooth-net/manifest/1", "artifacts": [{"location": "a"}]}',
        "\x00\xff",
    ],
)
def test_a_corrupt_manifest_is_refused(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(text)
    refused(folder, "is not a manifest as render writes it")


@pytest.mark.parametrize("location", ["../outside", "/etc/motd", "a/../../b"])
def test_a_manifest_that_points_outside_is_refused(folder: Path, location: str) -> None:
    render(folder, artifact("one\n"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["artifacts"][0]["location"] = location
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder.parent / ".build.lock").unlink()
    refused(folder, "is not a manifest as render writes it")


def test_a_file_in_its_place_is_refused(folder: Path) -> None:
    folder.parent.mkdir()
    folder.write_text("a note")
    refused(folder, "is not a folder")


def test_an_empty_folder_is_taken(folder: Path) -> None:
    folder.mkdir(parents=True)
    render(folder, artifact("one\n"))
    assert (folder / "fenn/etc/motd").exists()


def test_a_symbolic_link_stays_and_what_it_leads_to_is_written(
    folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "elsewhere/target"
    target.parent.mkdir()
    folder.parent.mkdir()
    folder.symlink_to(target)
    for text in ("one\n", "two\n"):
        render(folder, artifact(text))
        assert folder.is_symlink()
        assert (target / "fenn/etc/motd").read_text() == text
        assert beside(folder) == beside(target) == set()


def test_a_symbolic_link_to_a_users_own_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "mine").write_text("mine")
    folder.parent.mkdir()
    folder.symlink_to(target)
    refused(folder, "was not made by render")


def test_a_link_to_itself_is_an_error_and_not_a_loop(folder: Path) -> None:
    folder.parent.mkdir()
    folder.symlink_to(folder)
    with pytest.raises(OutputError, match="cannot be read"):
        render(folder, artifact("one\n"))


# -- keeping a part ----------------------------------------------------------------------


def keep(folder: Path, location: str) -> None:
    with BuildFolder(folder).staging() as staging:
        staging.keep(location)
        staging.swap_in({location: staging.earlier[location]})


def test_a_part_is_kept_byte_for_byte(folder: Path) -> None:
    render(folder, artifact("one\r\n\x0c größer"))
    before = contents(folder)
    keep(folder, "fenn/etc/motd")
    assert contents(folder) == before


def test_a_part_that_is_gone_cannot_be_kept(folder: Path) -> None:
    render(folder, artifact("one\n"))
    (folder / "fenn/etc/motd").unlink()
    with pytest.raises(OutputError, match="motd is missing: render everything once"):
        keep(folder, "fenn/etc/motd")


def test_a_part_that_was_changed_by_hand_is_not_kept_as_if_it_were_intended(folder: Path) -> None:
    render(folder, artifact("one\n"))
    (folder / "fenn/etc/motd").write_text("two\n")
    with pytest.raises(OutputError, match="motd was changed by hand"):
        keep(folder, "fenn/etc/motd")
