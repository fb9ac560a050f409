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
from pathlib import Path
from typing import Any

import yaml

from goldentooth.errors import Location, Problem

KeyPath = tuple[str | int, ...]
"""How a value is reached from the top of its file: ``("fenn", "data", "interface")``."""

_DEPTH_LIMIT = 32

_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_STARTS = "+-.0123456789"
_YAML_1_1_BOOL = {
    spelling
    for word in ("y", "n", "yes", "no", "on", "off")
    for spelling in (word, word.capitalize(), word.upper())
}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)\.[0-9]+(?:[eE][-+][0-9]+)?")
_NUMBER_LIKE = re.compile(
    r"""[-+]?(?: 0[0-9_]+ | 0[box][0-9a-fA-F_]+ | [0-9][0-9_]*        # 010  0x1F  1_000
        | [0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?                 # 12:30
        | (?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)(?:[eE][-+]?[0-9]+)?    # 1e3  .5  1.
        | \.(?:inf|Inf|INF|nan|NaN|NAN) )
    """,
    re.VERBOSE,
)
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?")


@dataclass
class Document:
    """One file as read: ``value`` is the mapping at its top (empty if the file is empty).

    ``marks`` gives, per key path, (key line, key column, value line, value column),
    counted from 1.
    """

    file: str
    value: dict[str, Any] = field(default_factory=dict)
    marks: dict[KeyPath, tuple[int, int, int, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def where(self, path: KeyPath, *, key: bool = False) -> Location:
        """Return the place of the value (or of its key) at ``path``.

        Where ``path`` does not stand in the file, the nearest thing above it that does.
        """
        while path and path not in self.marks:
            path, key = path[:-1], True
        mark = self.marks.get(path, (1, 1, 1, 1))
        return Location(self.file, *(mark[:2] if key else mark[2:]))


def read_document(path: Path) -> Document:
    """Read ``path``; every mistake is in ``problems``, none is raised."""
    file = display_path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        problem = Problem(f"cannot be read: {reason}", Location(file, 1, 1))
        return Document(file, problems=[problem])
    return parse_document(content, file)


def parse_document(content: bytes, file: str) -> Document:
    """Make a document of ``content``, which is what ``file`` holds; as :func:`read_document`.

    >>> parse_document(b"bgp: {hold: 9}", "defaults.yaml").where(("bgp", "hold"))
    Location(file='defaults.yaml', line=1, column=13)
    """
    document = Document(file)
    text = _decode(content, document)
    if text is not None:
        _Reader(document).read(text)
    return document


def display_path(path: Path) -> str:
    """Return ``path`` as a person would type it: relative to the working directory if below it."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def _decode(content: bytes, document: Document) -> str | None:
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = error.start - (before.rfind(b"\n") + 1) + 1
        byte = content[error.start]
        document.problems.append(
            Problem(
                f"byte 0x{byte:02x} is not UTF-8",
                Location(document.file, line, column),
                "save the file as UTF-8",
            )
        )
        return None


class _Reader:
    """Builds a document's value and marks from libyaml's events."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.events: Iterator[Any] = iter(())

    def read(self, text: str) -> None:
        try:
            self.events = iter(yaml.parse(text, Loader=yaml.CSafeLoader))
            for event in self.events:
                if type(event) is yaml.DocumentStartEvent:
                    self._read_top(next(self.events))
                    next(self.events)  # the end of the document
                    break
            for event in self.events:
                if type(event) is yaml.DocumentStartEvent:
                    self._problem(event, "a second YAML document begins", "one file, one document")
                    break
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = Location(self.document.file, mark.line + 1, mark.column + 1) if mark else None
            self.document.problems.append(Problem(*_syntax_problem(error, where)))
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            where = Location(
                self.document.file,
                before.count("\n") + 1,
                error.position - (before.rfind("\n") + 1) + 1,
            )
            character = error.character
            code = character if isinstance(character, int) else ord(character[:1] or "\0")
            self.document.problems.append(
                Problem(f"character U+{code:04X} is not allowed in YAML", where, "remove it")
            )

    def _read_top(self, event: Any) -> None:
        if type(event) is yaml.MappingStartEvent:
            self.document.marks[()] = (1, 1, 1, 1)
            self._check_plain_node(event)
            self.document.value = self._mapping(())
        elif (
            type(event) is yaml.ScalarEvent
            and event.implicit[0]
            and _CONSTANTS.get(event.value, "") is None
        ):
            return
        else:
            self._problem(event, "the file is not a mapping", "write `key: value` lines")
            self._node((), event)

    def _node(self, path: KeyPath, event: Any) -> Any:
        kind = type(event)
        if kind is yaml.AliasEvent:
            self._problem(
                event,
                f"alias *{event.anchor} is not used in facts",
                "state a shared fact once, in a group or in the defaults",
            )
            return None
        if event.anchor is not None or event.tag is not None:
            self._check_plain_node(event)
        if kind is yaml.ScalarEvent:
            return self._scalar(event)
        if len(path) >= _DEPTH_LIMIT:
            self._problem(event, "nested too deeply", f"at most {_DEPTH_LIMIT} levels")
            self._skip()
            return None
        return self._mapping(path) if kind is yaml.MappingStartEvent else self._list(path)

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        marks = self.document.marks
        events = self.events
        for event in events:
            kind = type(event)
            if kind is yaml.MappingEndEvent:
                break
            if kind is not yaml.ScalarEvent:
                self._problem(event, "a key is not plain text", "write `key: value`")
                if kind is not yaml.AliasEvent:
                    self._skip()
                self._node((*path, "?"), next(events))
                continue
            key = event.value
            if event.anchor is not None or event.tag is not None:
                self._check_plain_node(event)
            if event.implicit[0] and not isinstance(self._scalar(event, report=False), str):
                self._problem(event, f"key {key} is not text to YAML", f'write "{key}" in quotes')
            if key == "<<":
                self._problem(
                    event,
                    "merge key << is not used in facts",
                    "state a shared fact once, in a group or in the defaults",
                )
            here = (*path, key)
            value_event = next(events)
            at, value_at = event.start_mark, value_event.start_mark
            if key in result:
                first = marks[here][0]
                self._problem(
                    event, f"key {key!r} is given twice, first in line {first}", "keep one of them"
                )
                self._node((*path, "?", key), value_event)
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

    def _scalar(self, event: Any, *, report: bool = True) -> Any:
        text: str = event.value
        if not event.implicit[0]:  # quoted or a block: text, whatever it looks like
            return text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        if text[0] in _NUMBER_STARTS:
            if _INT.fullmatch(text) and len(text) < 20:
                return int(text)
            if _FLOAT.fullmatch(text):
                return float(text)
            ambiguous = bool(_NUMBER_LIKE.fullmatch(text) or _TIMESTAMP.fullmatch(text))
        else:
            ambiguous = text in _YAML_1_1_BOOL
        if report and ambiguous:
            self._problem(
                event,
                f"{text} is read differently by different YAML readers",
                f'write "{text}" in quotes if it is text, else the plain value'
                " (10, 0.5, true, false)",
            )
        return text

    def _check_plain_node(self, event: Any) -> None:
        if event.anchor is not None:
            self._problem(
                event,
                f"anchor &{event.anchor} is not used in facts",
                "state a shared fact once, in a group or in the defaults",
            )
        if event.tag is not None and event.tag != "!":
            self._problem(event, f"tag {event.tag} is not used in facts", "write the plain value")

    def _skip(self) -> None:
        depth = 1
        while depth:
            kind = type(next(self.events))
            if kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
                depth += 1
            elif kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
                depth -= 1

    def _problem(self, event: Any, message: str, remedy: str) -> None:
        mark = event.start_mark
        where = Location(self.document.file, mark.line + 1, mark.column + 1)
        self.document.problems.append(Problem(message, where, remedy))


def _syntax_problem(
    error: yaml.MarkedYAMLError, where: Location | None
) -> tuple[str, Location | None, str]:
    problem = error.problem or "not YAML"
    if "'\\t'" in problem or "\t" in problem:
        return "a tab is used for indentation", where, "indent with spaces"
    context = f" ({error.context})" if error.context else ""
    remedy = "is a colon, a quote or the indentation missing or too much?"
    return f"YAML syntax: {problem}{context}", where, remedy
