"""The program that a host runs for this project, in POSIX sh.

``batch.sh`` answers many commands in one go; the verbs that read files are in ``read.sh``, those
of a deployment in ``deploy.sh``; ``base.sh`` is what they share.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from goldentooth.artifact import Judge

INSTALLED = "/usr/local/sbin/goldentooth-host"
"""Where the program is for users other than root."""

STATE = "/var/lib/goldentooth"
"""The folder that the program keeps a host's record, lock and back-ups in."""

ALLOWED = "/etc/goldentooth/allowed"
"""Root's list of what the installed program does: one command a line, to the letter."""


@cache
def _text(*names: str) -> str:
    folder = Path(__file__).parent
    return "".join((folder / f"{name}.sh").read_text() for name in names)


def program() -> str:
    """Return the program's text, which ends with nothing run: call ``main``."""
    return _text("base", "batch", "read", "deploy")


def judge_line(path: str, judge: Judge) -> str:
    """Return the command line with which ``judge`` looks at the file for ``path``, staged there."""
    stem = path.rpartition("/")[2].rpartition(".")[0]
    return " ".join(
        word.format(file=f"{STATE}/staged{path}", stem=stem, scratch=f"{STATE}/scratch")
        for word in judge.command
    )


def sent_program(*, reads_only: bool = False) -> str:
    """Return the program as it is sent to a host for root, who may do anything anyway.

    With ``reads_only`` it has no verb that changes something: half of what drift takes on a host
    is shells that read their program.
    """
    text = _text("base", "batch", "read") if reads_only else program()
    return f'{text}\nmain "$@"\n'


def installed_program() -> str:
    """Return the program as a file of the host, which does only what root's list has."""
    tail = f'allowed={ALLOWED}\ninstalled={INSTALLED}\nprogram=$(cat "$installed")\nmain "$@"\n'
    return f"#!/bin/sh\n{program()}\n{tail}"


@cache
def deployment_program() -> str:
    """Return what a host keeps to go back by itself: ``sh program rollback …``."""
    verbs = _text("base", "deploy")
    return f'{verbs}\nname=$1\nshift\n"verb_$name" "$@"\n'
