"""Running the daemons' own checkers on staged files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from threading import Event
from time import monotonic

from goldentooth.artifact import Artifact, Judge

SECONDS = 30.0
"""How long one judge may take for one file."""

_PATIENCE = 0.2
"""Seconds between two looks at whether the run is over early."""

_EXTRA_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


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


def judge_artifact(
    artifact: Artifact, judge: Judge, file: Path, stop: Event | None = None
) -> Verdict:
    """Run ``judge`` on ``artifact``, staged as ``file``; one that is not installed says nothing.

    References to secrets are not what the daemon will read: where there are any, a copy is
    judged in which well-formed specimens stand for the secrets. A judge that does not answer
    within :data:`SECONDS`, or before ``stop`` is set, is ended with all that it started, and
    has not accepted.
    """
    location = artifact.location
    program = _find(judge.command[0])
    if program is None:
        return Verdict(judge, location, Ruling.NOT_INSTALLED)
    try:
        with tempfile.TemporaryDirectory(prefix="judge-") as folder:
            scratch = Path(folder, "scratch")
            scratch.mkdir()
            if artifact.secrets:
                file = Path(folder, file.name)
                file.write_text(artifact.specimen_text)
            arguments = [
                part.format(file=file, stem=file.stem, scratch=scratch)
                for part in judge.command[1:]
            ]
            status, output = _run([program, *arguments], stop or Event())
    except OSError as error:
        return Verdict(judge, location, Ruling.REJECTED, f"{program} cannot be run: {error}")
    if status == 0:
        return Verdict(judge, location, Ruling.ACCEPTED)
    output = output.replace(str(file), location).strip()
    return Verdict(judge, location, Ruling.REJECTED, output or f"exit status {status}")


def _run(command: list[str], stop: Event) -> tuple[int | None, str]:
    """Return exit status and output; no status if it had to be ended."""
    deadline = monotonic() + SECONDS
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        while True:
            try:
                output, _ = process.communicate(timeout=_PATIENCE)
            except subprocess.TimeoutExpired:
                if monotonic() < deadline and not stop.is_set():
                    continue
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                return None, f"no answer within {SECONDS:.0f} s"
            return process.returncode, output.decode(errors="replace")


@cache
def _find(program: str) -> str | None:
    """Return where ``program`` is; checkers are often in folders that only root looks in."""
    folders = (*os.environ.get("PATH", "").split(os.pathsep), *_EXTRA_FOLDERS)
    return shutil.which(program, path=os.pathsep.join(filter(None, folders)))
