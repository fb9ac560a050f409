"""Every artifact of the shipped network, to the byte (`make golden` writes them anew)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from goldentooth import open_project
from goldentooth.artifact import diff_texts
from goldentooth.services import access

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "build"


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(autouse=True)
def short_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put one line in the place of the hosts' program: it is reviewed where it is written."""
    monkeypatch.setattr(access, "installed_program", lambda: "#!/bin/sh\n# goldentooth/host/\n")


def test_every_artifact_is_as_reviewed(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    build = tmp_path / "build"
    report = open_project(ROOT / "config.yaml").render(build=build)
    assert not report.has_failed, report
    if request.config.getoption("--regenerate", default=False):
        shutil.rmtree(GOLDEN, ignore_errors=True)
        shutil.copytree(build, GOLDEN)
    expected, made = files(GOLDEN), files(build)
    diff = "".join(
        diff_texts(expected.get(name), made.get(name), name)
        for name in sorted(expected.keys() | made.keys())
        if expected.get(name) != made.get(name)
    )
    assert diff == ""
