"""YAML, of one or several documents: kubeadm's files and Kubernetes' manifests.

Of a mapping the order is nothing, of a list it is. Scalars are kept as they are written, with
their type: readers of YAML 1.1 and 1.2 agree on no more (`yes`, `0o17`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_KUBEADM = ("kubeadm.k8s.io/", "kubelet.config.k8s.io/", "kubeproxy.config.k8s.io/")
_TAG = "tag:yaml.org,2002:"
_DEEPEST = 100
_MOST_NODES = 100_000
_LONGEST_KEY = 4096
_LARGEST = 32 * 1024 * 1024
"""Characters of all lines."""


def canonical(text: str) -> tuple[str, ...]:
    r"""Return a line a scalar: where it stands, and what it is.

    The documents of kubeadm are sorted by their kind, as it takes them in any order. What is not
    YAML, what is an alias in itself, and what is too deep or too large to be compared in its
    parts, stays as it is.

    >>> canonical("b: [x, '1']\na: 1  # one")
    ('---', '.a: 1', '.b[0]: "x"', '.b[1]: "1"')
    """
    import yaml  # a tenth of a second that only YAML is worth

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        _refuse_deep(text, yaml, loader)
        walk = _Walk(yaml)
        documents = [walk.flat(node) for node in yaml.compose_all(text, loader)]
    except (yaml.YAMLError, UnicodeError, ValueError):
        return ("not YAML:", *text.splitlines(keepends=True))
    if len(documents) == len({_kind(lines) for lines in documents} - {None}):
        documents.sort(key=lambda lines: str(_kind(lines)))
    return tuple(line for lines in documents for line in ("---", *lines))


def _refuse_deep(text: str, yaml: Any, loader: Any) -> None:
    """Look at the events alone, which come one by one: nodes are made by recursion."""
    starts = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
    ends = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
    depth = 0
    for event in yaml.parse(text, loader):
        depth += isinstance(event, starts) - isinstance(event, ends)
        if depth > _DEEPEST:
            raise ValueError("too deep")


class _Walk:
    """Walks documents, within bounds for all of them: aliases of aliases have no end."""

    def __init__(self, yaml: Any) -> None:
        self.yaml = yaml
        self.nodes = 0
        self.characters = 0

    def flat(self, node: Any) -> tuple[str, ...]:
        lines = []
        for line in self._lines(node, "", 0):
            self.characters += len(line)
            if self.characters > _LARGEST:
                raise ValueError("too large")
            lines.append(line)
        return tuple(lines)

    def _lines(self, node: Any, path: str, depth: int) -> Iterator[str]:
        self.nodes += 1
        if depth > _DEEPEST or self.nodes > _MOST_NODES:
            raise ValueError("too deep, or too much")
        if isinstance(node, self.yaml.ScalarNode):
            yield f"{path}: {_scalar(node)}"
            return
        is_mapping = isinstance(node, self.yaml.MappingNode)
        tag = _tag(node, "map" if is_mapping else "seq")
        if tag or not node.value:
            yield f"{path}: {tag}{'{}' if is_mapping else '[]'}"
        if not is_mapping:
            for index, item in enumerate(node.value):
                yield from self._lines(item, f"{path}[{index}]", depth + 1)
            return
        entries = [(self._key(key, depth), value) for key, value in node.value]
        for key, value in sorted(entries, key=lambda entry: entry[0]):
            yield from self._lines(value, f"{path}.{key}", depth + 1)

    def _key(self, node: Any, depth: int) -> str:
        key = self._whole_key(node, depth)
        if len(key) > _LONGEST_KEY:  # it stands in every line below it
            raise ValueError("too long")
        return key

    def _whole_key(self, node: Any, depth: int) -> str:
        if not isinstance(node, self.yaml.ScalarNode):
            return json.dumps(list(self._lines(node, "", depth + 1)))
        plain = node.tag == f"{_TAG}str" and node.value.replace("-", "").replace("_", "").isalnum()
        return str(node.value) if plain else _scalar(node)


def _scalar(node: Any) -> str:
    if node.tag == f"{_TAG}str":
        return json.dumps(node.value, ensure_ascii=False)
    if node.tag == f"{_TAG}null":
        return "null"
    return f"{_tag(node, 'int', 'bool')}{node.value}"


def _tag(node: Any, *understood: str) -> str:
    name = node.tag.removeprefix(_TAG)
    return "" if name in understood else f"!{name} "


def _kind(lines: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the version and kind of a document of kubeadm."""
    found = tuple(line for line in lines if line.startswith((".apiVersion: ", ".kind: ")))
    ours = len(found) == 2 and found[0].removeprefix('.apiVersion: "').startswith(_KUBEADM)
    return found if ours else None
