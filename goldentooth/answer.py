"""What a host's program answers to a verb of a deployment: words of a protocol, never sentences.

What is decided is decided on ``state`` and ``reason``; ``text`` is for people. All of it comes from
the host, so it is bounded and made printable here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from goldentooth.check import Output
from goldentooth.text import one_line

LATE, NO_ANSWER, NOT_PERMITTED = "late", "no-answer", "not-permitted"

_LARGEST = 1024 * 1024
_LONGEST_TEXT = 2000


@dataclass(frozen=True)
class Answer:
    """One verb's answer: whether it was done, and how its deployment stands on the host.

    ``state`` is a word of :mod:`goldentooth.host.state`; empty if the host did not say. ``why`` is
    why it went back, ``kept`` where edits are kept that the way back found.
    """

    is_done: bool
    state: str = ""
    reason: str = ""
    text: str = ""
    why: str = ""
    unlive: str = ""
    kept: tuple[str, ...] = ()
    deployments: tuple[Mapping[str, Any], ...] = ()
    pristine: tuple[str, ...] = ()

    @property
    def notes(self) -> str:
        """What a person has to know of it beside its state."""
        parts = [f"not live again: {self.unlive}"] if self.unlive else []
        parts += [f"an edit is kept in {path}" for path in self.kept]
        return "; ".join(parts)


class _Answered(msgspec.Struct):
    done: bool
    state: str = ""
    reason: str = ""
    text: str = ""
    why: str = ""
    unlive: str = ""
    kept: list[str] = []
    deployments: list[dict[str, Any]] = []
    pristine: list[str] = []


def read_answer(output: Output) -> Answer:
    """Return the answer in the output of a verb; one that says why there is none, if there is none.

    A program that was ended, or is not permitted, answers nothing.
    """
    if output.is_late:
        return Answer(is_done=False, reason=LATE, text="no end in its time")
    if output.is_refused:
        return Answer(is_done=False, reason=NOT_PERMITTED, text=_bounded(output.complaint))
    try:
        found = msgspec.json.decode(output.stdout[:_LARGEST], type=_Answered)
    except (msgspec.MsgspecError, RecursionError):
        return Answer(is_done=False, reason=NO_ANSWER, text=_bounded(output.complaint))
    return Answer(
        found.done,
        _bounded(found.state),
        _bounded(found.reason),
        _bounded(found.text),
        _bounded(found.why),
        _bounded(found.unlive),
        _lines(found.kept),
        tuple(found.deployments),
        tuple(found.pristine),
    )


def _lines(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(_bounded(text) for text in texts[:100])


def _bounded(text: str) -> str:
    return one_line(text[:_LONGEST_TEXT])
