"""Write what the templates of a project are filled with, as JSON: half the work, done before.

    contexts.py CONFIG OUTPUT

The bare renderer, annet and Ansible start from this file; goldentooth-net and Nornir start
from the inventory. A value that several files share stands once, in ``values``:

    {"values": [...], "prefix_lists": [index, ...],
     "files": [{"host", "path", "location", "template", "own": {...}, "shared": {name: index}}]}
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from msgspec import Struct

from goldentooth import Network, Node, open_project
from goldentooth.artifact import Draft

KUBEADM = "kubeadm/kubeadm.yaml.j2"
_SIMPLE = (str, int, bool, type(None))


class Values:
    """The values that files share, each plain and once."""

    def __init__(self) -> None:
        self.plain: list[Any] = []
        self.prefix_lists: list[int] = []
        self._index: dict[int, int] = {}
        self._kept: list[object] = []  # an id is only good while its object lives

    def index(self, value: object) -> int:
        """Return where ``value`` stands."""
        if id(value) not in self._index:
            self._index[id(value)] = len(self.plain)
            self._kept.append(value)
            if isinstance(value, tuple) and value and isinstance(value[0], IPv4Network):
                self.prefix_lists.append(len(self.plain))
            self.plain.append(_plain(value))
        return self._index[id(value)]


def read_contexts(config: Path) -> dict[str, Any]:
    """Return the contexts of all files of the project of ``config``."""
    project = open_project(config)
    values = Values()
    files = [
        _file(values, service.name, node, draft, project.network)
        for service in project.services()
        for node in service.hosts(project.network)
        for draft in service.drafts(project.network, node)
    ]
    return {"values": values.plain, "prefix_lists": values.prefix_lists, "files": files}


def _file(
    values: Values, service: str, node: Node, draft: Draft, network: Network
) -> dict[str, Any]:
    template, context = draft.template, draft.context
    if service == "kubeadm":  # built as data there, from a template here
        template, context = KUBEADM, _kubeadm(network, node)
    elif template is None:
        raise ValueError(f"{service}: {draft.path} has no template, so give it one here")
    shared = {
        name: values.index(value)
        for name, value in context.items()
        if not isinstance(value, (*_SIMPLE, IPv4Address, dict))
    }
    return {
        "host": node.name,
        "path": draft.path,
        "location": draft.finished(service, node.name, "").location,
        "template": template,
        "own": {name: _plain(value) for name, value in context.items() if name not in shared},
        "shared": shared,
    }


def _kubeadm(network: Network, node: Node) -> dict[str, Any]:
    labels = node.facts.node_labels
    return {
        "node": node,
        "node_labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "is_first": node is network.control_planes[0],
        "is_control_plane": node.is_control_plane,
        "kubernetes": network.kubernetes,
        "domains": network.domains,
        "endpoint": str(network.endpoint),
        "cert_sans": network.cert_sans,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, _SIMPLE):
        return value
    if isinstance(value, Node):
        return {
            "name": value.name,
            "address": str(value.address),
            "interface": value.interface,
            "facts": {
                "wireless_interface": value.facts.wireless_interface,
            },
        }
    if isinstance(value, Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(inner) for inner in value]
    return str(value)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(read_contexts(Path(sys.argv[1]))))
