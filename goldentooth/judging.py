"""Running the daemons' own checkers on staged files."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from goldentooth.artifact import Judge

SECONDS = 30.0
"""How long one judge may take for one file."""

_EXTRA_PATH = ":/usr/local/sbin:/usr/sbin:/sbin"


class Ruling(Enum):
    """What became of one file before one judge."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    NOT_INSTALLED = "not installed"


@dataclass(frozen=True)
class Verdict:
    """A judge's ruling on one artifact, with what the judge said."""

    judge: Judge
    location: str
    ruling: Ruling
    output: str = ""

    def __str__(self) -> str:
        text = f"{self.judge.name}: {self.ruling.value}: {self.location}"
        return f"{text}\n{self.output}" if self.output else text


def judge_file(judge: Judge, file: Path, location: str) -> Verdict:
    """Run ``judge`` on ``file``; a judge that is not installed says nothing about it."""
    program = _find(judge.command[0])
    if program is None:
        return Verdict(judge, location, Ruling.NOT_INSTALLED)
    with tempfile.TemporaryDirectory(prefix="judge-") as scratch:
        arguments = [
            part.format(file=file, stem=file.stem, scratch=scratch) for part in judge.command[1:]
        ]
        try:
            done = subprocess.run(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Verdict(judge, location, Ruling.REJECTED, f"no answer within {SECONDS:.0f} s")
    if done.returncode == 0:
        return Verdict(judge, location, Ruling.ACCEPTED)
    output = done.stdout.decode(errors="replace").replace(str(file), location).strip()
    return Verdict(judge, location, Ruling.REJECTED, output or f"exit status {done.returncode}")


@cache
def _find(program: str) -> str | None:
    """Return where ``program`` is; checkers are often in folders that only root looks in."""
    return shutil.which(program, path=os.environ.get("PATH", "") + _EXTRA_PATH)
