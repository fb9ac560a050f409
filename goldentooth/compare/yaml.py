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
_LONGEST = 100_000


def canonical(text: str) -> tuple[str, ...]:
    r"""Return a line a scalar: where it stands, and what it is.

    The documents of kubeadm are sorted by their kind, as it takes them in any order. What is no
    YAML, or an alias in itself, stays as it is.

    >>> canonical("b: [x, '1']\na: 1  # one")
    ('---', '.a: 1', '.b[0]: "x"', '.b[1]: "1"')
    """
    import yaml  # a tenth of a second that only YAML is worth

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        documents = [_flat(node, yaml) for node in yaml.compose_all(text, loader)]
    except (yaml.YAMLError, UnicodeError, RecursionError, ValueError):
        return ("not YAML:", *text.splitlines(keepends=True))
    if len(documents) == len({_kind(lines) for lines in documents} - {None}):
        documents.sort(key=lambda lines: str(_kind(lines)))
    return tuple(line for lines in documents for line in ("---", *lines))


def _flat(node: Any, yaml: Any) -> tuple[str, ...]:
    lines = []
    for line in _lines(node, "", yaml, 0):
        lines.append(line)
        if len(lines) > _LONGEST:  # aliases of aliases
            raise ValueError("too long")
    return tuple(lines)


def _lines(node: Any, path: str, yaml: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise ValueError("too deep")
    if isinstance(node, yaml.ScalarNode):
        yield f"{path}: {_scalar(node)}"
        return
    is_mapping = isinstance(node, yaml.MappingNode)
    tag = _tag(node, "map" if is_mapping else "seq")
    if tag or not node.value:
        yield f"{path}: {tag}{'{}' if is_mapping else '[]'}"
    if not is_mapping:
        for index, item in enumerate(node.value):
            yield from _lines(item, f"{path}[{index}]", yaml, depth + 1)
        return
    entries = [(_key(key, yaml, depth), value) for key, value in node.value]
    for key, value in sorted(entries, key=lambda entry: entry[0]):
        yield from _lines(value, f"{path}.{key}", yaml, depth + 1)


def _key(node: Any, yaml: Any, depth: int) -> str:
    if not isinstance(node, yaml.ScalarNode):
        return json.dumps(list(_lines(node, "", yaml, depth + 1)))
    plain = node.tag == f"{_TAG}str" and node.value.replace("-", "").replace("_", "").isalnum()
    return node.value if plain else _scalar(node)


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
