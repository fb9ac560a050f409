"""A file that is replaced is whole at any moment."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from goldentooth.wholefile import replace_file

SIZE = 3_000_000

WRITER = f"""
import itertools, sys
from pathlib import Path
from goldentooth.wholefile import replace_file
for letter in itertools.cycle("abcdef"):
    replace_file(Path(sys.argv[1]), letter * {SIZE})
    print(letter, flush=True)
"""


def test_a_writer_that_is_killed_leaves_the_file_before_or_the_one_after(tmp_path: Path) -> None:
    path = tmp_path / "report"
    for count in range(1, 6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout
        for _ in range(count):
            writer.stdout.readline()
            text = path.read_text()
            assert len(text) == SIZE
            assert len(set(text)) == 1
        writer.kill()
        writer.communicate()
        assert len(path.read_text()) == SIZE


def test_a_file_has_its_mode_and_no_neighbor(tmp_path: Path) -> None:
    for mode in (0o644, 0o600):
        replace_file(tmp_path / "report", "x", mode)
        assert stat.S_IMODE((tmp_path / "report").stat().st_mode) == mode
    assert [path.name for path in tmp_path.iterdir()] == ["report"]


def test_what_cannot_be_put_in_place_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        replace_file(tmp_path / "report", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
