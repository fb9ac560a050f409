"""The program that a host runs for this project: what changes something in Python, reads in sh.

It is shipped as one file: for root it is sent over the connection, for another user it is installed
beside root's list. Its modules (all here but this one) import nothing but light modules of the
standard library and each other, and run on Python 3.9 or later, without site-packages. ``read.sh``
is the reading half, which for root goes without the rest.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from goldentooth.artifact import Judge
from goldentooth.host.words import STATE_FOLDER

INSTALLED = "/usr/local/sbin/goldentooth-host"
"""Where the program is for users other than root."""

STATE = STATE_FOLDER
"""The folder that the program keeps a host's record, lock and back-ups in."""

ALLOWED = "/etc/goldentooth/allowed"
"""Root's list of what the installed program does: one command a line, to the letter."""

OLDEST_PYTHON = (3, 9)
"""The Python that a host needs at least (Debian 11)."""

_START = "start"


def judge_line(path: str, judge: Judge) -> str:
    """Return the command line with which ``judge`` looks at the file for ``path``, staged there."""
    stem = path.rpartition("/")[2].rpartition(".")[0]
    return " ".join(
        word.format(file=f"{STATE}/staged{path}", stem=stem, scratch=f"{STATE}/scratch")
        for word in judge.command
    )


@cache
def module_texts() -> dict[str, str]:
    """Return the texts of the program's modules, by name; ``start`` is run first."""
    places = sorted(Path(__file__).parent.glob("*.py"))
    return {place.stem: place.read_text() for place in places if place.stem != "__init__"}


@cache
def reading_program() -> str:
    """Return the reading half, in sh, as it is sent to a host for root."""
    text = (Path(__file__).parent / "read.sh").read_text()
    return f'{text}\nmain "$@"\n'


@cache
def sent_program() -> str:
    """Return the program as it is sent to a host for root, who may do anything anyway."""
    return bundle(module_texts(), "")


@cache
def installed_program() -> str:
    """Return the program as a file of the host, which does only what root's list has."""
    return f"#!/usr/bin/python3 -IS\n{bundle(module_texts(), ALLOWED)}"


def bundle(modules: dict[str, str], allowed: str) -> str:
    """Return one file of ``modules`` and the reading half; ``allowed`` is where root's list is."""
    texts = "".join(
        f"        'goldentooth.host.{name}': {_quoted(text)},\n"
        for name, text in modules.items()
        if name != _START
    )
    call = (
        "raise SystemExit(\n    start(\n        {\n"
        f"{texts}        }},\n        {_quoted(reading_program())},\n"
        f"        {allowed!r},\n        globals().get('sent'),\n    )\n)\n"
    )
    return f"{modules[_START]}\n\n{call}"


def _quoted(text: str) -> str:
    """Return ``text`` as a literal that is read as easily as the text."""
    return f"r'''{text}'''" if "'''" not in text and text.endswith("\n") else repr(text)
