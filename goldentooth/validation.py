"""From values as read to typed facts, with every mistake named where it stands.

A good file is converted by msgspec in one call. Only when that call refuses is the
file walked, value by value, to find all that is wrong with it.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec

from goldentooth.errors import Problem
from goldentooth.values import WrongKindError, parse_custom
from goldentooth.yamlfile import Document, KeyPath, shown, subject_of

T = TypeVar("T")

_SHOWN_LENGTH = 76
_EXAMPLE_LENGTH = 100


def convert_document(document: Document, kind: type[T]) -> T | None:
    """Convert ``document.value`` to ``kind``; where that fails, add to ``document.problems``."""
    try:
        return msgspec.convert(document.value, kind, dec_hook=parse_custom)
    except msgspec.ValidationError as error:
        problems = list(_Walk(document).problems(document.value, kind, ()))
        known = {problem.where for problem in document.problems}
        document.problems.extend(
            problem
            for problem in problems or [Problem(str(error), document.where(()))]
            if problem.where not in known
        )
        return None


def did_you_mean(word: str, known: typing.Iterable[str]) -> str:
    """Return a remedy for an unknown ``word``: the nearest known one, or all there are.

    >>> did_you_mean("interfce", ["interface", "mac"])
    'did you mean interface?'
    """
    known = sorted(shown(each) for each in known)
    near = get_close_matches(shown(word), known, n=1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known) or 'nothing'}"


def shown_value(value: Any) -> str:
    """Return a value as YAML has it, in a few words, without the user in an address."""
    if value is None:
        return "(empty)"
    if isinstance(value, (dict, list)):
        return "(a list)" if isinstance(value, list) else "(a mapping)"
    if isinstance(value, bool):
        return str(value).lower()
    return _quoted(_USER.sub(r"\1(hidden)@", value)) if isinstance(value, str) else str(value)


_USER = re.compile(r"^(?=\S*[:/]\S*@)((?:[A-Za-z]+:/+)?)\S*@")
"""What stands before the host in an address: a user, and maybe a password."""


def example_of(key: str, kind: Any) -> str:
    """Return ``key`` with an example of ``kind``, as YAML: a line, or one for each long section.

    >>> from goldentooth.facts import Bgp
    >>> example_of("bgp", Bgp)
    'bgp: {router_asn: 64512, cluster_asn: 64513}'
    """
    line = f"{key}: {_example_value(kind)}"
    if len(line) <= _EXAMPLE_LENGTH:
        return line
    sections = (f"  {name}: {_example_value(hint)}" for name, hint in _required(kind))
    return "\n".join((f"{key}:", *sections))


class _Walk:
    """Finds all problems of one document, depth first, in the order of the file."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def problems(self, value: Any, kind: Any, path: KeyPath) -> Iterator[Problem]:
        plain, metas = _without_annotations(kind)
        origin = typing.get_origin(plain)
        if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
            yield from self._struct_problems(value, plain, path)
        elif origin is dict:
            key_kind, value_kind = typing.get_args(plain)
            if not isinstance(value, dict):
                yield self._problem(path, value, "is not a mapping", "write `key: value` lines")
                return
            for key, inner in value.items():
                yield from self._leaf_problems(key, key_kind, (*path, key), key=True)
                yield from self.problems(inner, value_kind, (*path, key))
        elif origin is tuple:
            if not isinstance(value, list):
                yield self._problem(path, value, "is not a list", "write `- value` lines or [a, b]")
                return
            if len(value) < max((meta.min_length or 0 for meta in metas), default=0):
                yield self._problem(path, value, "is empty", "name at least one")
            for index, inner in enumerate(value):
                yield from self.problems(inner, typing.get_args(plain)[0], (*path, index))
        elif origin in (typing.Union, types.UnionType):
            yield from self._union_problems(value, plain, path)
        else:
            yield from self._leaf_problems(value, kind, path)

    def _struct_problems(self, value: Any, kind: Any, path: KeyPath) -> Iterator[Problem]:
        if not isinstance(value, dict):
            yield self._problem(path, value, "is not a mapping", "write `key: value` lines")
            return
        hints = typing.get_type_hints(kind, include_extras=True)
        for key, inner in value.items():
            if key in hints:
                yield from self.problems(inner, hints[key], (*path, key))
            else:
                yield Problem(
                    f"{subject_of(path)}unknown key {_quoted(key)}",
                    self.document.where((*path, key), key=True),
                    did_you_mean(key, hints),
                )
        for key, hint in _required(kind):
            if key not in value:
                yield Problem(
                    f"{subject_of(path)}{key} is missing",
                    self.document.where(path, key=True),
                    _remedy_for_missing(key, hint),
                )

    def _union_problems(self, value: Any, kind: Any, path: KeyPath) -> Iterator[Problem]:
        members = [member for member in typing.get_args(kind) if member is not type(None)]
        if value is None and len(members) < len(typing.get_args(kind)):
            return
        shape: tuple[type, ...] = ()
        if isinstance(value, dict):
            shape = (dict, msgspec.Struct)
        elif isinstance(value, list):
            shape = (tuple,)
        for member in members:
            plain, _ = _without_annotations(member)
            base = typing.get_origin(plain) or plain
            if shape and isinstance(base, type) and issubclass(base, shape):
                yield from self.problems(value, member, path)
                return
        yield from self.problems(value, members[0], path)

    def _leaf_problems(
        self, value: Any, kind: Any, path: KeyPath, *, key: bool = False
    ) -> Iterator[Problem]:
        try:
            msgspec.convert(value, kind, dec_hook=parse_custom)
        except msgspec.ValidationError as error:
            cause = error.__cause__
            if isinstance(cause, WrongKindError):
                says, remedy, secret = cause.says, cause.remedy, False
            else:
                says, remedy, secret = _what_is_wrong(value, kind)
            yield self._problem(path, "(hidden)" if secret else value, says, remedy, key=key)

    def _problem(
        self, path: KeyPath, value: Any, says: str, remedy: str, *, key: bool = False
    ) -> Problem:
        owner = path
        while owner and isinstance(owner[-1], int):  # an item is told by its list's name
            owner = owner[:-1]
        name = "" if key else f"{_name(owner)} "
        return Problem(
            f"{subject_of(owner[:-1])}{name}{shown_value(value)} {says}",
            self.document.where(path, key=key),
            remedy,
        )


def _without_annotations(kind: Any) -> tuple[Any, list[msgspec.Meta]]:
    if typing.get_origin(kind) is typing.Annotated:
        plain, *rest = typing.get_args(kind)
        return plain, [meta for meta in rest if isinstance(meta, msgspec.Meta)]
    return kind, []


def _what_is_wrong(value: Any, kind: Any) -> tuple[str, str, bool]:
    """Return what ``value`` is not, what would be right, and whether it must not be shown."""
    plain, metas = _without_annotations(kind)
    worded = next((meta for meta in metas if meta.extra and "says" in meta.extra), None)
    if typing.get_origin(plain) is typing.Literal:
        choices = [str(choice) for choice in typing.get_args(plain)]
        near = get_close_matches(shown(value), choices, n=1)
        right = near[0] if near else f"one of: {', '.join(choices)}"
        return "is not one of the choices", f"write {right}", False
    if worded:
        return _wrong_text(value, worded)
    if plain is int:
        return *_wrong_number(value, metas), False
    if plain is bool:
        return "is neither true nor false", "write true or false, without quotes", False
    return "is not text", "write it in quotes", False


def _wrong_text(value: Any, meta: msgspec.Meta) -> tuple[str, str, bool]:
    extra = meta.extra or {}
    if isinstance(value, str) and meta.max_length and len(value) > meta.max_length:
        return f"is longer than {meta.max_length} characters", "shorten it", extra["secret"]
    if not isinstance(value, str) and value is not None:
        return "is not text", "write it in quotes", extra["secret"]
    return extra["says"], extra["remedy"], extra["secret"]


def _wrong_number(value: Any, metas: list[msgspec.Meta]) -> tuple[str, str]:
    bounds = next(((m.ge, m.le) for m in metas if m.ge is not None), None)
    right = f"write a number from {bounds[0]} to {bounds[1]}" if bounds else "write a number"
    if isinstance(value, int) and not isinstance(value, bool):
        return "is out of range", right
    quotes = ", without quotes" if isinstance(value, str) and value.isdigit() else ""
    return "is not a whole number", right + quotes


def _remedy_for_missing(key: str, kind: Any) -> str:
    example = example_of(key, kind)
    if "\n" in example:
        return f"write, with values of your own\n{example}"
    _, metas = _without_annotations(kind)
    about = next((meta.description for meta in metas if meta.description), "its values are yours")
    return f"write `{example}`: {about}"


def _example_value(kind: Any) -> str:
    """Return an example of ``kind`` in flow style; of a mapping what it cannot be without."""
    plain, metas = _without_annotations(kind)
    if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        inner = (f"{key}: {_example_value(hint)}" for key, hint in _required(plain))
        return f"{{{', '.join(inner)}}}"
    value = next(meta.examples[0] for meta in metas if meta.examples)
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)


def _required(kind: type[msgspec.Struct]) -> Iterator[tuple[str, Any]]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return ((f.name, hints[f.name]) for f in msgspec.structs.fields(kind) if f.required)


def _name(path: KeyPath) -> str:
    return shown(path[-1]) if path else "the file"


def _quoted(text: str) -> str:
    """Return ``text`` in quotes; its beginning, if it is long."""
    return repr(text) if len(text) <= _SHOWN_LENGTH else f"{repr(text[:_SHOWN_LENGTH])[:-1]}…'"
