"""The small network that the rules' examples are told on, and nothing is wrong with.

An example is an excerpt of the facts, laid over :data:`REFERENCE` as a JSON merge patch
(RFC 7396): mappings are merged, everything else is replaced, ``null`` removes.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from goldentooth.errors import FactsError
from goldentooth.model import Network, Sources
from goldentooth.yamlfile import parse_document

REFERENCE = """\
hosts:
  router: {hostname: 10.20.0.1, groups: [router]}
  lb1: {hostname: 10.20.0.5, groups: [haproxy]}
  lb2: {hostname: 10.20.0.6, groups: [haproxy]}
  cp1: {hostname: 10.20.0.11, groups: [control_plane]}
  cp2: {hostname: 10.20.0.12, groups: [control_plane]}
  cp3: {hostname: 10.20.0.13, groups: [control_plane]}
  node1: {hostname: 10.20.0.21, groups: [worker]}
  node2: {hostname: 10.20.0.22, groups: [worker]}

groups:
  router: {data: {load_balancer_route: none}}
  haproxy: {}
  k8s: {data: {load_balancer_route: on-link}}
  control_plane: {groups: [k8s]}
  worker: {groups: [k8s]}

defaults:
  data:
    domains:
      cluster: lab.example.net
      nodes: nodes.lab.example.net
      services: services.lab.example.net
    infrastructure:
      cidr: 10.20.0.0/24
      dhcp_range: 10.20.0.100-10.20.0.199
    load_balancer:
      cidr: 10.20.8.0/24
      pool: 10.20.8.1-10.20.8.254
    bgp:
      router_asn: 64512
      cluster_asn: 64513
      keepalive: 3
      hold: 9
      password: ${env:BGP_PASSWORD}
    kubernetes:
      version: v1.32.4
      service_cidr: 10.96.0.0/16
      pod_cidr: 10.244.0.0/16
    accept:
      - {rule: HA004, reason: clients are moved to lb2 by hand}
      - {rule: HA005, reason: a second router is not worth it here}
"""
"""Facts of one router, two load balancers, three control planes and two workers."""


def example_network(excerpt: str = "") -> Network:
    """Return the reference network with ``excerpt`` laid over it.

    Raises:
        FactsError: if that is not a network that can be read.
    """
    # Not at the top: rules know no Nornir, and the reader of inventories does.
    from goldentooth.inventory import read_network

    facts = _merged(_reference(), _parsed(excerpt))
    documents = {
        name: parse_document(json.dumps(facts[name], indent=2).encode(), f"{name}.yaml")
        for name in ("hosts", "groups", "defaults")
    }
    return read_network(Sources(**documents))


@cache
def _reference() -> dict[str, Any]:
    return _parsed(REFERENCE)


def _parsed(text: str) -> dict[str, Any]:
    document = parse_document(text.encode(), "example.yaml")
    if document.problems:
        raise FactsError(document.problems)
    return document.value


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            under = result.get(key)
            result[key] = _merged(under if isinstance(under, dict) else {}, value)
        else:
            result[key] = value
    return result
