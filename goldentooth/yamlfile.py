"""YAML files whose every value knows its line, read through libyaml.

Only the YAML on which all readers agree is accepted. A plain scalar that YAML 1.1
and YAML 1.2 read differently (``no``, ``010``, ``12:30``), a duplicate key, an
anchor, a tag or a second document is a problem with a remedy, never a surprise.
Sources: YAML 1.1 type repository (bool, int, float, timestamp); YAML 1.2.2 §10.3.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

import yaml

from goldentooth.errors import Location, Problem

KeyPath = tuple[str | int, ...]
"""How a value is reached from the top of its file: ``("fenn", "data", "interface")``."""

_DEPTH_LIMIT = 32
_DEEPEST = 100
"""Levels after which a file is not read further: libyaml's time grows with their square."""

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_BLOCKS = ("|", ">")
_HASTY_COMMENT = re.compile(r"[|>][-+0-9]*#")
_NUMBER_STARTS = "+-.0123456789"
_YAML_1_1_WORDS = {
    "=",
    "<<",
    *(
        spelling
        for word in ("y", "n", "yes", "no", "on", "off")
        for spelling in (word, word.capitalize(), word.upper())
    ),
}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_NUMBER_LIKE = re.compile(  # linear in the length of the text: no two parts take the same digits
    r"""[-+]?(?: 0[box][0-9a-fA-F_]+                                                # 0x1F
        | [0-9_]+(?::[0-5]?[0-9])*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?   # 010  1_000  12:30  1e3
        | \.[0-9_]+(?:[eE][-+]?[0-9]+)?                                            # .5
        | \.(?:inf|Inf|INF|nan|NaN|NAN) )
    """,
    re.VERBOSE,
)
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?")
_NOT_TEXT = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|"
    r"(?<!\n)\r(?!\n)|^(?! *#)[^\n\t]*\t",
    re.MULTILINE,
)
"""What readers take for white space, a line's end or nothing, each as it likes; a tab counts
outside lines of comment."""
_SECRET_NAME = re.compile("pass|secret|token|key|hash|credential", re.IGNORECASE)
_SHOWN_LENGTH = 60
_NAME_LENGTH = 76
_NOT_A_KEY = "?"


@dataclass
class Document:
    """One file as read: ``value`` is the mapping at its top (empty if the file is empty).

    ``marks`` gives, per key path, (key line, key column, value line, value column),
    counted from 1. ``is_complete`` tells whether the file could be read to its end; where it
    could not, ``value`` is empty and nothing more can be said about it.
    """

    file: str
    value: dict[str, Any] = field(default_factory=dict)
    marks: dict[KeyPath, tuple[int, int, int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    is_complete: bool = True

    def where(self, path: KeyPath, *, key: bool = False) -> Location:
        """Return the place of the value (or of its key) at ``path``.

        Where ``path`` does not stand in the file, the nearest thing above it that does.
        """
        while path and path not in self.marks:
            path, key = path[:-1], True
        mark = self.marks.get(path, (1, 1, 1, 1))
        return Location(self.file, *(mark[:2] if key else mark[2:]))


def read_document(path: Path, *, example: str = "") -> Document:
    """Read ``path``; every mistake is in ``problems``, none is raised.

    ``example`` is YAML that the file could hold: the remedy where there is no such file.
    """
    file = display_path(path)
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "make it a file that you may read, or name another one in config.yaml"
        if isinstance(error, FileNotFoundError):
            remedy = "write it, or name another one in config.yaml"
            remedy += f"; it could begin with\n{example}" if example else ""
        problem = Problem(f"cannot be read: {reason.lower()}", Location(file, 1, 1), remedy)
        return Document(file, problems=[problem], is_complete=False)
    return parse_document(content, file)


def parse_document(content: bytes, file: str) -> Document:
    """Make a document of ``content``, which is what ``file`` holds; as :func:`read_document`.

    >>> parse_document(b"bgp: {hold: 9}", "defaults.yaml").where(("bgp", "hold"))
    Location(file='defaults.yaml', line=1, column=13)
    """
    document = Document(file)
    text = _decode(content, document)
    if text is None:
        document.is_complete = False
    else:
        _Reader(document).read(text)
    return document


def subject_of(path: KeyPath) -> str:
    """Return what stands at ``path``, as messages begin: ``fenn: bgp: ``.

    What stands below a secret is not named: it could be the secret.

    >>> subject_of(("fenn", "data", "accept", 0, "reason"))
    'fenn: accept: reason: '
    """
    parts = []
    for part in path:
        if isinstance(part, str) and part not in ("data", _NOT_A_KEY):
            parts.append(f"{shown(part)}: ")
        if isinstance(part, str) and _SECRET_NAME.search(part):
            break
    return "".join(parts)


def shown(value: Any) -> str:
    """Return a name or a value as a message may show it: on one line, printable, not at length."""
    text = str(value)[: _NAME_LENGTH + 1]
    if not text.isprintable():
        text = repr(text)[1:-1]
    return text if len(text) <= _NAME_LENGTH else f"{text[:_NAME_LENGTH]}…"


def display_path(path: Path) -> str:
    """Return ``path`` as a person would type it: relative to the working directory if below it."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def _decode(content: bytes, document: Document) -> str | None:
    """Return the text of a file, or None and a problem where it is not plain text in UTF-8."""
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        message = f"byte 0x{content[error.start]:02x} is not UTF-8"
        remedy = "save the file as UTF-8"
    else:
        odd = _NOT_TEXT.search(text)
        if odd is None:
            return text
        before = text[: odd.end() - 1]
        if odd[0][-1] == "\t":
            message, remedy = "a tab is not used in facts", "write spaces"
        else:
            message = f"character U+{ord(odd[0]):04X} is not used in facts"
            remedy = "remove it; line ends are LF or CRLF"
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    document.problems.append(Problem(message, Location(document.file, line, column), remedy))
    return None


class _TooDeepError(Exception):
    """What is skipped has too many levels to look for its end."""


class _Reader:
    """Builds a document's value and marks from libyaml's events."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.events: Iterator[Any] = iter(())
        self.text = ""
        self.brackets = 0  # how many are open here

    def read(self, text: str) -> None:
        self.text = text
        try:
            self.events = iter(yaml.parse(text, Loader=yaml.CSafeLoader))
            for event in self.events:
                if type(event) is yaml.DocumentStartEvent:
                    self._read_top(next(self.events))
                    next(self.events)  # the end of the document
                    break
            for event in self.events:
                if type(event) is yaml.DocumentStartEvent:
                    message = "a second YAML document begins"
                    self._problem(event, (), message, "one file, one document")
                    break
        except yaml.MarkedYAMLError as error:
            self.document.problems.append(_syntax_problem(error, self.document.file))
            self.document.is_complete = False
        except _TooDeepError:  # a problem says already where it begins
            self.document.is_complete = False

    def _read_top(self, event: Any) -> None:
        if type(event) is yaml.MappingStartEvent:
            self.document.marks[()] = (1, 1, 1, 1)
            self.document.value = self._node((), event)
        elif (
            type(event) is yaml.ScalarEvent
            and event.implicit[0]
            and event.anchor is None
            and _CONSTANTS.get(event.value, "") is None
        ):
            return
        else:
            self._problem(event, (), "the file is not a mapping", "write `key: value` lines")
            self._node((), event)
            self.document.is_complete = False

    def _node(self, path: KeyPath, event: Any) -> Any:
        kind = type(event)
        if kind is yaml.AliasEvent:
            self._problem(
                event,
                path,
                f"alias {_shown('*' + event.anchor, path)} is not used in facts",
                "state a shared fact once, in a group or in the defaults",
            )
            return None
        if event.anchor is not None or event.tag is not None:
            self._check_plain_node(path, event)
        if kind is yaml.ScalarEvent:
            return self._scalar(path, event)
        if len(path) >= _DEPTH_LIMIT:
            self._problem(event, path[:1], "nested too deeply", f"at most {_DEPTH_LIMIT} levels")
            self._skip()
            return None
        self.brackets += bool(event.flow_style)
        value = self._mapping(path) if kind is yaml.MappingStartEvent else self._list(path)
        self.brackets -= bool(event.flow_style)
        return value

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        marks = self.document.marks
        events = self.events
        for event in events:
            kind = type(event)
            if kind is yaml.MappingEndEvent:
                break
            if kind is not yaml.ScalarEvent:
                self._problem(event, path, "a key is not plain text", "write `key: value`")
                if kind is not yaml.AliasEvent:
                    self._skip()
                self._node((*path, _NOT_A_KEY), next(events))
                continue
            key = event.value
            if event.anchor is not None or event.tag is not None:
                self._check_plain_node(path, event)
            if key == "<<":
                self._problem(
                    event,
                    path,
                    "merge key << is not used in facts",
                    "state a shared fact once, in a group or in the defaults",
                )
            elif event.implicit[0] and (key in _CONSTANTS or self._is_ambiguous(key)):
                text = _shown(key, path)
                self._problem(
                    event, path, f"key {text} is not text to YAML", f'write "{text}" in quotes'
                )
            here = (*path, key)
            value_event = next(events)
            at, value_at = event.start_mark, value_event.start_mark
            if key in result:
                first = marks[here][0]
                self._problem(
                    event,
                    path,
                    f"key {_shown(repr(key), path)} is given twice, first in line {first}",
                    "keep one of them",
                )
                self._node((*path, _NOT_A_KEY, key), value_event)
                continue
            marks[here] = (at.line + 1, at.column + 1, value_at.line + 1, value_at.column + 1)
            result[key] = self._node(here, value_event)
        return result

    def _list(self, path: KeyPath) -> list[Any]:
        result: list[Any] = []
        for event in self.events:
            if type(event) is yaml.SequenceEndEvent:
                break
            here = (*path, len(result))
            at = event.start_mark
            self.document.marks[here] = (at.line + 1, at.column + 1) * 2
            result.append(self._node(here, event))
        return result

    def _scalar(self, path: KeyPath, event: Any) -> Any:
        text: str = event.value
        if not event.implicit[0]:  # quoted or a block: text, whatever it looks like
            if event.style in _BLOCKS and _HASTY_COMMENT.match(self.text, event.start_mark.index):
                message = f"a comment follows {event.style} without a blank"
                self._problem(event, path, message, "leave a blank before #")
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if text[0] in _NUMBER_STARTS:
            if _INT.fullmatch(text) and len(text) < 20:
                return int(text)
            if _FLOAT.fullmatch(text) and isfinite(float(text)):
                return float(text)
        if self._is_ambiguous(text):
            plain = _shown(text, path)
            self._problem(
                event,
                path,
                f"{plain} is read differently by different YAML readers",
                f'write "{plain}" in quotes if it is text, else the plain value'
                " (10, 0.5, true, false)",
            )
        return text

    def _is_ambiguous(self, text: str) -> bool:
        """Tell whether a plain scalar is no text, or not this text, to some reader of YAML."""
        if text in _YAML_1_1_WORDS:
            return True
        if self.brackets and "?" in text:  # ends the scalar for PyYAML, not for libyaml
            return True
        return text[0] in _NUMBER_STARTS and bool(
            _NUMBER_LIKE.fullmatch(text) or _TIMESTAMP.fullmatch(text)
        )

    def _check_plain_node(self, path: KeyPath, event: Any) -> None:
        if event.anchor is not None:
            self._problem(
                event,
                path,
                f"anchor {_shown('&' + event.anchor, path)} is not used in facts",
                "state a shared fact once, in a group or in the defaults",
            )
        if event.tag is not None:
            self._problem(
                event,
                path,
                f"tag {_shown(event.tag, path)} is not used in facts",
                "write the plain value",
            )

    def _skip(self) -> None:
        depth = 1
        while depth:
            kind = type(next(self.events))
            if kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
                depth += 1
                if depth > _DEEPEST:
                    raise _TooDeepError
            elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
                depth -= 1

    def _problem(self, event: Any, path: KeyPath, message: str, remedy: str) -> None:
        mark = event.start_mark
        where = Location(self.document.file, mark.line + 1, mark.column + 1)
        self.document.problems.append(Problem(subject_of(path) + message, where, remedy))


def _shown(text: str, path: KeyPath) -> str:
    """Return ``text`` as a message may show it: not where it could be a secret, never at length."""
    if any(isinstance(part, str) and _SECRET_NAME.search(part) for part in path):
        return "(hidden)"
    return text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…"


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    problem, mark = error.problem or "not YAML", error.problem_mark
    if error.context_mark and (mark is None or "end of stream" in problem):
        mark = error.context_mark  # what was begun says more than where the file ends
    where = Location(file, mark.line + 1, mark.column + 1) if mark else Location(file, 1, 1)
    context = f" ({error.context})" if error.context else ""
    remedy = "is a colon, a quote or the indentation missing or too much?"
    return Problem(f"YAML syntax: {problem}{context}", where, remedy)
