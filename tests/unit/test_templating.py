"""Compiled templates are kept where nobody else may write, and nothing depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import Environment, UndefinedError

from goldentooth.templating import cache_folder, environment


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates/hello.j2").write_text("hello {{ name }}\n")
    return tmp_path / "templates"


def hello(folder: Path) -> str:
    return environment(folder).get_template("hello.j2").render(name="you")


def test_a_template_is_compiled_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hello(folder) == "hello you\n"
    (kept,) = (folder.parent / "cache/goldentooth-net").iterdir()
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(Environment, "compile", None)
    assert hello(folder) == "hello you\n"


def test_a_template_that_was_changed_is_compiled_anew(folder: Path) -> None:
    assert hello(folder) == "hello you\n"
    (folder / "hello.j2").write_text("good bye {{ name }}\n")
    assert hello(folder) == "good bye you\n"


@pytest.mark.parametrize("keep", [0, 4, 30, 60])
@pytest.mark.parametrize("junk", [b"", b"\0", b"junk" * 9, b"\x80\x04N."])
def test_a_damaged_one_is_compiled_anew(folder: Path, keep: int, junk: bytes) -> None:
    assert hello(folder) == "hello you\n"
    (kept,) = (folder.parent / "cache/goldentooth-net").iterdir()
    kept.write_bytes(kept.read_bytes()[:keep] + junk)
    assert hello(folder) == "hello you\n"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720])
def test_where_others_may_write_nothing_is_taken(folder: Path, mode: int) -> None:
    place = folder.parent / "cache/goldentooth-net"
    place.mkdir(parents=True)
    place.chmod(mode)
    assert cache_folder() is None
    assert hello(folder) == "hello you\n"
    assert not list(place.iterdir())


def test_without_a_place_it_is_done_without(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder.parent / "cache").write_text("a file")
    assert cache_folder() is None
    assert hello(folder) == "hello you\n"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", str(folder.parent / "home"))
    assert cache_folder() == folder.parent / "home/.cache/goldentooth-net"


def test_an_undefined_name_is_an_error(folder: Path) -> None:
    template = environment(folder).get_template("hello.j2")
    with pytest.raises(UndefinedError):
        template.render()
