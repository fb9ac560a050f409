"""The JSON that vtysh prints, read in time and memory that its size bounds.

This package stands alone, so it reads for itself what a router may answer: brackets nested a
million deep, numbers of a million digits, and a million values one after another.
"""

from __future__ import annotations

import json
import re
from array import array
from itertools import accumulate
from typing import Any

DEEPEST = 100
"""Levels of arrays and objects within each other."""

_LARGEST = 128 * 1024 * 1024
_MOST_VALUES = 2_000_000
_MOST_ANSWERS = 10_000
"""FRR prints one value a VRF at times."""
_LONGEST_NUMBER = 64
_STEPS = bytes({0x5B: 1, 0x7B: 1, 0x5D: 0xFF, 0x7D: 0xFF}.get(byte, 0) for byte in range(256))
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_BLANK = re.compile(r"[ \t\r\n]*")


def read_values(text: str) -> list[Any]:
    """Return every JSON value in ``text``, which stand one after another.

    Raises:
        ValueError: if something else stands there, too many, too large or too deep to be read.

    >>> read_values('{"vrfId": 0} {"vrfId": 1}')
    [{'vrfId': 0}, {'vrfId': 1}]
    """
    _refuse_boundless(text)
    values: list[Any] = []
    at = _after_blank(text, 0)
    while at < len(text):
        if len(values) == _MOST_ANSWERS:
            raise ValueError(f"more than {_MOST_ANSWERS} values")
        value, at = _DECODER.raw_decode(text, at)
        values.append(value)
        at = _after_blank(text, at)
    return values


def _after_blank(text: str, at: int) -> int:
    blank = _BLANK.match(text, at)
    return blank.end() if blank else at


def _refuse_boundless(text: str) -> None:
    """Refuse what would make a reader recurse or fill the memory; each step is linear in C."""
    if len(text) > _LARGEST or text.count('"') > 4 * _MOST_VALUES:
        raise ValueError("too large")
    # without what is escaped every second part between quotes is outside of strings
    bare = text.replace("\\\\", "").replace('\\"', "").split('"')[::2]
    outside = "".join(bare).encode("ascii", errors="replace")
    brackets = outside.translate(_STEPS, _NO_BRACKETS)
    if outside.count(b",") + len(brackets) > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES} values")
    if max(accumulate(array("b", brackets)), default=0) > DEEPEST:
        raise ValueError(f"nested more than {DEEPEST} levels deep")


def _number(text: str) -> str:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"a number of more than {_LONGEST_NUMBER} characters")
    return text


def _float(text: str) -> float:
    value = float(_number(text))
    if value in {float("inf"), float("-inf")}:
        raise ValueError("a number that is too large")
    return value


def _constant(text: str) -> Any:
    raise ValueError(f"{text} is not a number of JSON")


_DECODER = json.JSONDecoder(
    parse_int=lambda text: int(_number(text)), parse_float=_float, parse_constant=_constant
)
