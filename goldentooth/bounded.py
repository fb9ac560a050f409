"""JSON from elsewhere, read in time and memory that its size bounds. Pure.

A host, a router or a server may answer with anything: brackets nested a million deep, a number
of a million digits, a number that is none. :func:`load_json` refuses that with one kind of error,
and what it returns can be walked, compared and printed without another look.
"""

from __future__ import annotations

import json
from array import array
from itertools import accumulate
from typing import Any

DEEPEST = 100
"""Levels of arrays and objects within each other."""

LARGEST = 128 * 1024 * 1024
"""Characters in all."""

_MOST_VALUES = 2_000_000
_LONGEST_NUMBER = 64
_STEPS = bytes({0x5B: 1, 0x7B: 1, 0x5D: 0xFF, 0x7D: 0xFF}.get(byte, 0) for byte in range(256))
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class MalformedError(ValueError):
    """This is not JSON, or not such as is read here; the message is one line."""


def load_json(data: bytes | bytearray | str) -> Any:
    """Return the value of the JSON text ``data``; of bytes, in UTF-8 (RFC 8259 §8.1).

    Raises:
        MalformedError: if it is not JSON, too large, nested too deeply, or holds a number that is
            too long or not finite.

    >>> load_json(b'{"prefixes": 12}')
    {'prefixes': 12}
    >>> load_json("[" * 100_000)
    Traceback (most recent call last):
    goldentooth.bounded.MalformedError: it is nested more than 100 levels deep
    """
    if len(data) > LARGEST:
        raise MalformedError(f"it is larger than {LARGEST >> 20} MiB")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        _refuse_boundless(text)
        return _DECODER.decode(text)
    except MalformedError:
        raise
    except UnicodeDecodeError as error:
        raise MalformedError(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise MalformedError(f"line {error.lineno}, column {error.colno} is not JSON") from None


def _refuse_boundless(text: str) -> None:
    """Refuse what would make a reader recurse or fill the memory; each step is linear in C."""
    if text.count("[") + text.count("{") <= DEEPEST and len(text) < _MOST_VALUES:
        return
    if text.count('"') > 4 * _MOST_VALUES:
        raise MalformedError(f"it holds more than {_MOST_VALUES} values")
    # without what is escaped every second part between quotes is outside of strings
    bare = text.replace("\\\\", "").replace('\\"', "").split('"')[::2]
    outside = "".join(bare).encode("ascii", errors="replace")
    brackets = outside.translate(_STEPS, _NO_BRACKETS)
    if outside.count(b",") + len(brackets) > _MOST_VALUES:
        raise MalformedError(f"it holds more than {_MOST_VALUES} values")
    if max(accumulate(array("b", brackets)), default=0) > DEEPEST:
        raise MalformedError(f"it is nested more than {DEEPEST} levels deep")


def _integer(text: str) -> int:
    return int(_number(text))


def _float(text: str) -> float:
    value = float(_number(text))
    if value in {float("inf"), float("-inf")}:
        raise MalformedError("it holds a number that is too large")
    return value


def _number(text: str) -> str:
    if len(text) > _LONGEST_NUMBER:
        raise MalformedError(f"it holds a number of more than {_LONGEST_NUMBER} characters")
    return text


def _constant(text: str) -> Any:
    raise MalformedError(f"it holds {text}, which is not a number of JSON")


_DECODER = json.JSONDecoder(parse_int=_integer, parse_float=_float, parse_constant=_constant)
