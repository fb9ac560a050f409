"""The network as the facts have it, in the views that people ask for.

Each view is plain data, a dict for machines; :func:`to_text` makes it a table for people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from goldentooth.artifact import Draft
from goldentooth.errors import RenderError, UsageError
from goldentooth.model import Network, Node
from goldentooth.report.table import format_table
from goldentooth.services import Service, all_services
from goldentooth.validation import did_you_mean
from goldentooth.values import SECRET_REFERENCE

FORMAT = "goldentooth-net/show/1"

View = dict[str, Any]
T = TypeVar("T")


def show_hosts(network: Network) -> View:
    """Return every host: address, roles, hardware."""
    return {
        "hosts": [
            {
                "host": node.name,
                "address": str(node.address),
                "hardware": node.facts.hardware,
                "architecture": node.facts.architecture,
                "roles": list(node.roles),
            }
            for node in network.nodes.values()
        ]
    }


def show_host(network: Network, name: str) -> View:
    """Return all that holds for one host, each fact with the place where it is stated.

    Raises:
        UsageError: if there is no such host.
    """
    node = _node(network, name)
    stated = {
        "address": ("hostname", str(node.address)),
        "roles": ("groups", list(node.roles)),
        **{name: (name, value) for name, value in _settings(network, node).items()},
        **{key: (key, getattr(node.facts, key)) for key in node.facts.__struct_fields__},
    }
    del stated["accept"]
    facts = [
        {"fact": key, "value": value, "where": str(network.where_node(node, fact))}
        for key, (fact, value) in stated.items()
        if value not in (None, {}, (), [])
    ]
    view = show_artifacts(network, nodes=(node,))
    return {"host": name, "name": network.fqdn(node), "facts": facts, **view}


def _node(network: Network, name: str) -> Node:
    if name not in network.nodes:
        raise UsageError(f"host {name!r} is not known: {did_you_mean(name, network.nodes)}")
    return network.nodes[name]


def show_compliance(network: Network, name: str) -> View:
    """Return what NAPALM validates on one host: its compliance file as data.

    Raises:
        UsageError: if there is no such host, or it does not run FRR.
    """
    from goldentooth.compliance import compliance

    found = compliance(network, _node(network, name))
    if not found:
        raise UsageError(f"{name} does not run FRR: there is nothing for NAPALM to validate")
    return {"host": name, "compliance": found}


def compliance_yaml(view: View) -> str:
    """Return the file that NAPALM takes."""
    import yaml

    return str(yaml.safe_dump(view["compliance"], sort_keys=False)).rstrip()


def _settings(network: Network, node: Node) -> View:
    """Return how Nornir reaches ``node``; of connection options the plugins, never what is said."""
    stated = {
        name: next(iter(network.sources.settings(node, name)), None)
        for name in ("platform", "port", "username", "password")
    }
    if stated["password"] is not None:
        stated["password"] = _password(stated["password"])
    options = network.sources.settings(node, "connection_options")
    return {**stated, "connection_options": list(dict.fromkeys(p for o in options for p in o))}


def show_addresses(network: Network) -> View:
    """Return every range and every single address, in numerical order."""
    ranges = (
        ("infrastructure", network.infrastructure.cidr),
        ("DHCP", network.infrastructure.dhcp_range),
        ("load balancer, routed", network.load_balancer.cidr),
        ("load balancer, pool", network.load_balancer.pool),
        ("services (cluster IPs)", network.kubernetes.service_cidr),
        ("pods", network.kubernetes.pod_cidr),
    )
    return {
        "ranges": [{"range": str(value), "use": use} for use, value in ranges if value],
        "addresses": [
            {"address": str(node.address), "host": node.name, "name": network.fqdn(node)}
            for node in sorted(network.nodes.values(), key=lambda node: node.address)
        ],
    }


def show_bgp(network: Network) -> View:
    """Return the router's sessions and its policy."""
    bgp, accepted = network.bgp, network.accepted_prefixes
    return {
        "router": {
            "host": network.router.name,
            "address": str(network.router.address),
            "asn": bgp.router_asn,
            "timers": f"keepalive {bgp.keepalive} s, hold {bgp.hold} s",
            "accepts": ["anything"] if accepted is None else [f"{p} le 32" for p in accepted],
            "announces": [],
            "maximum_prefix": _maximum_prefix(network),
            "maximum_paths": bgp.maximum_paths,
            "password": _password(bgp.password),
        },
        "neighbors": [
            {"neighbor": str(node.address), "host": node.name, "asn": bgp.cluster_asn}
            for node in network.bgp_neighbors
        ],
    }


def _maximum_prefix(network: Network) -> int | None:
    """Return how many routes of a neighbor are taken; os-frr has no such setting."""
    return None if network.router.is_opnsense else network.maximum_prefix


def _password(secret: str | None) -> str:
    if not secret:
        return "none"
    return "by reference" if SECRET_REFERENCE.fullmatch(secret) else "written out (not shown)"


def show_routes(network: Network) -> View:
    """Return the routes that hosts have of their own, and the commands that make them so now."""
    known, unknown = _by_host(network.nodes.values(), network.routes)
    return {
        "routes": [
            {
                "host": node.name,
                "destination": str(route.destination),
                "via": str(route.via) if route.via else "on-link",
                "interface": route.interface,
                "command": f"ip -4 route replace {route}",
            }
            for node, route in known
        ],
        **unknown,
    }


def show_haproxy(network: Network) -> View:
    """Return the API's endpoint and what is behind it."""
    check, timeouts = network.haproxy.check, network.haproxy.timeouts
    return {
        "endpoint": {
            "address": str(network.endpoint),
            "hosts": [node.name for node in network.load_balancers],
            "balance": network.haproxy.balance,
            "check": f"every {check.interval}, fall {check.fall}, rise {check.rise}",
            "timeouts": f"connect {timeouts.connect}, client {timeouts.client},"
            f" server {timeouts.server}",
            "metrics_port": network.haproxy.metrics_port,
        },
        "servers": [
            {"server": node.name, "address": f"{node.address}:{network.kubernetes.api_port}"}
            for node in network.control_planes
        ],
    }


def show_artifacts(network: Network, nodes: Sequence[Node] | None = None) -> View:
    """Return every file that is intended, with the service that wants it."""
    chosen = tuple(network.nodes.values()) if nodes is None else tuple(nodes)
    placed = [
        (service, {node.name for node in service.hosts(network)}) for service in all_services()
    ]

    def drafts(node: Node) -> list[tuple[Service, Draft]]:
        found = (
            (service, draft)
            for service, hosts in placed
            if node.name in hosts
            for draft in service.drafts(network, node)
        )
        return sorted(found, key=lambda item: item[1].path)

    known, unknown = _by_host(chosen, drafts)
    return {
        "artifacts": [
            {
                "host": node.name,
                "path": draft.path,
                "service": service.name,
                "scope": draft.scope.value,
                "owner": draft.owner,
                "mode": f"{draft.mode:04o}",
                "judge": draft.judge.name if draft.judge else None,
            }
            for node, (service, draft) in known
        ],
        **unknown,
    }


def _by_host(
    nodes: Iterable[Node], items: Callable[[Node], Iterable[T]]
) -> tuple[list[tuple[Node, T]], View]:
    """Return the items of every node, and, if there are any, the nodes they cannot be had of."""
    known: list[tuple[Node, T]] = []
    unknown = []
    for node in nodes:
        try:
            known.extend((node, item) for item in tuple(items(node)))
        except RenderError as error:
            unknown.append({"host": node.name, "reason": str(error)})
    return known, {"unknown": unknown} if unknown else {}


VIEWS: Mapping[str, Callable[[Network], View]] = {
    "hosts": show_hosts,
    "addresses": show_addresses,
    "bgp": show_bgp,
    "routes": show_routes,
    "haproxy": show_haproxy,
    "artifacts": show_artifacts,
}
"""The views of the whole network, by name; :func:`show_host` is the one of a single host."""


def to_text(view: View) -> str:
    """Return a view for people: lists as tables, mappings as lines, in their order."""
    parts = []
    for name, value in view.items():
        if isinstance(value, dict):
            parts.append(format_table((name, ""), [(k, _cell(v)) for k, v in value.items()]))
        elif isinstance(value, list):
            parts.append(_rows_to_text(name, value))
        else:
            parts.append(f"{name}: {value}")
    return "\n\n".join(parts)


def _rows_to_text(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return f"no {name}"
    header = list(rows[0])
    return format_table(header, [[_cell(row[key]) for key in header] for row in rows])


def _cell(value: Any) -> str:
    if value is None or value == []:
        return "-"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return " ".join(str(value).split())
