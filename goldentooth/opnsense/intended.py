"""From the network to what its OPNsense router is to have. Pure; no fact is written a second time.

FRR is to behave as ``templates/frr/router.conf.j2`` makes it. What the plugin's models cannot
express is said (:attr:`~goldentooth.opnsense.state.Intended.limits`); where it differs without
effect:

- os-frr always writes ``no bgp ebgp-requires-policy``; every neighbor has a route map in and out.
- Its peer groups are not used: they have no timers, password, BFD or description, and os-frr writes
  a neighbor's lines before its membership, so that FRR must know its AS by itself. What is left
  for a group are two route maps, which every neighbor names itself.
- ``hostname`` is the router's own, not FRR's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from goldentooth.errors import FactsError, Problem
from goldentooth.facts import Bfd
from goldentooth.model import Network, Node
from goldentooth.opnsense.models import (
    BFD_PEER,
    HOST_OVERRIDE,
    NEIGHBOR,
    PREFIX_LIST,
    ROUTE_MAP,
    SENSITIVE,
    STATIC_ROUTE,
    Kind,
    Values,
    fields_of,
)
from goldentooth.opnsense.state import Intended, Item, make_item, own_mark, own_uuid

MADE = "Made from inventory/ by goldentooth-net; changes here are drift."
IN, OUT = "CLUSTER-IN", "CLUSTER-OUT"

_Facts = Mapping[str, str]


def intended_state(network: Network) -> Intended:
    """Return what the router of ``network`` is to have; secrets are references still.

    Raises:
        FactsError: if a model cannot hold what the facts say, naming the fact and its place.
    """
    maker = _Maker(network, own_mark(network.domains.cluster))
    items = tuple(maker.items())
    settings, origins = maker.settings(items)
    intended = Intended(
        settings=settings,
        items={item.uuid: item for item in items},
        mark=maker.mark,
        origins=origins,
        limits=tuple(_limits(network)),
    )
    if problems := list(_refusals(network, intended)):
        raise FactsError(problems)
    return intended


def with_secrets(intended: Intended, fill: Callable[[str], str]) -> Intended:
    """Return ``intended`` with values in place of references (:meth:`Secrets.fill`)."""
    return replace(
        intended,
        items={
            uuid: replace(
                item,
                values={
                    name: fill(value) if name in SENSITIVE else value
                    for name, value in item.values.items()
                },
            )
            for uuid, item in intended.items.items()
        },
    )


@dataclass(frozen=True)
class _Maker:
    """Makes the objects; each field's fact is named by its path, as ``Network.where`` takes it."""

    network: Network
    mark: str

    def items(self) -> Iterable[Item]:
        lists = list(self.prefix_lists())
        maps = [self.route_map_in(lists), self.route_map_out()]
        yield from (*lists, *maps)
        yield from (self.neighbor(node) for node in self.network.bgp_neighbors)
        if bfd := self.network.bgp.bfd:
            yield from (self.bfd_peer(node, bfd) for node in self.network.bgp_neighbors)
        yield from self.static_routes()
        yield from (self.host_override(node) for node in self.network.nodes.values())

    def settings(
        self, items: Iterable[Item]
    ) -> tuple[dict[str, Values], dict[tuple[str, str], str]]:
        """Return the settings that are managed, and the facts that they follow from.

        What the router announces to others (``networks`` and what goes with it) is not managed.
        """
        bgp = self.network.bgp
        unmanaged = {"networks", "networkimportcheck", "maximumpathsibgp"}
        defaults = {name: field.normal(field.default) for name, field in fields_of("bgp").items()}
        settings: dict[str, Values] = {
            "general": {
                "enabled": "1",
                "profile": "traditional",
                "manual_config": "0",
                "enablesyslog": "1",
                "sysloglevel": "informational",
            },
            "bgp": {name: text for name, text in defaults.items() if name not in unmanaged}
            | {
                "enabled": "1",
                "asnumber": str(bgp.router_asn),
                "routerid": str(self.network.router.address),
                "logneighborchanges": "1",
                "maximumpaths": str(bgp.maximum_paths),
            },
        }
        if any(item.kind == STATIC_ROUTE for item in items):
            settings["static"] = {"enabled": "1"}
        if bgp.bfd:
            settings["bfd"] = {"enabled": "1"}
        origins = {
            ("bfd", "enabled"): self.fact("bgp.bfd"),
            ("bgp", "asnumber"): self.fact("bgp.router_asn"),
            ("bgp", "routerid"): self.fact_of(self.network.router, "hostname"),
            ("bgp", "maximumpaths"): self.fact("bgp.maximum_paths"),
        }
        return settings, origins

    def prefix_lists(self) -> Iterable[Item]:
        origin = {"network": self.fact("bgp.accept_prefixes")}
        for number, prefix in enumerate(self.network.accepted_prefixes or (), start=1):
            longer = " le 32" if prefix.prefixlen < 32 else ""
            stated = {
                "name": IN,
                "seqnumber": str(5 * number),
                "action": "permit",
                "network": f"{prefix}{longer}",
                "description": MADE,
            }
            yield make_item(self.mark, PREFIX_LIST, stated, origin)

    def route_map_in(self, lists: Iterable[Item]) -> Item:
        stated = {
            "name": IN,
            "id": "10",
            "action": "permit",
            "match2": ",".join(item.uuid for item in lists),
            "description": MADE,
        }
        return make_item(self.mark, ROUTE_MAP, stated, {"match2": self.fact("bgp.accept_prefixes")})

    def route_map_out(self) -> Item:
        stated = {"name": OUT, "id": "10", "action": "deny", "description": MADE}
        return make_item(self.mark, ROUTE_MAP, stated, {})

    def neighbor(self, node: Node) -> Item:
        bgp = self.network.bgp
        stated = {
            "address": str(node.address),
            "description": node.name,
            "remoteas": str(bgp.cluster_asn),
            "keepalive": str(bgp.keepalive),
            "holddown": str(bgp.hold),
            "connecttimer": str(bgp.connect_retry),
            "linkedRoutemapIn": self.reference(ROUTE_MAP, f"{IN}:10"),
            "linkedRoutemapOut": self.reference(ROUTE_MAP, f"{OUT}:10"),
        }
        origins = {
            "address": self.fact_of(node, "hostname"),
            "remoteas": self.fact("bgp.cluster_asn"),
            "keepalive": self.fact("bgp.keepalive"),
            "holddown": self.fact("bgp.hold"),
            "connecttimer": self.fact("bgp.connect_retry"),
        }
        if bgp.bfd:
            stated["bfd"], origins["bfd"] = "1", self.fact("bgp.bfd")
        if bgp.password:
            # the model takes a password only with the address that the session is from
            stated |= {"password": bgp.password, "localip": str(self.network.router.address)}
            origins |= {"password": self.fact("bgp.password")}
        return make_item(self.mark, NEIGHBOR, stated, origins)

    def bfd_peer(self, node: Node, bfd: Bfd) -> Item:
        stated = {
            "address": str(node.address),
            "description": node.name,
            "transmit_interval": str(bfd.transmit_interval),
            "receive_interval": str(bfd.receive_interval),
            "detect_multiplier": str(bfd.detect_multiplier),
        }
        intervals = ("transmit_interval", "receive_interval", "detect_multiplier")
        origins = {name: self.fact(f"bgp.bfd.{name}") for name in intervals}
        return make_item(
            self.mark, BFD_PEER, stated, origins | {"address": self.fact_of(node, "hostname")}
        )

    def static_routes(self) -> Iterable[Item]:
        router = self.network.router
        fact = self.fact_of(router, "static_routes")
        for route in self.network.routes(router):
            stated = {"network": str(route.destination), "gateway": str(route.via)}
            origins = {"network": fact, "gateway": fact}
            yield make_item(self.mark, STATIC_ROUTE, stated, origins)

    def host_override(self, node: Node) -> Item:
        stated = {
            "hostname": node.name,
            "domain": self.network.domains.nodes,
            "rr": "A",
            "server": str(node.address),
            "description": MADE,
        }
        origins = {
            "server": self.fact_of(node, "hostname"),
            "domain": self.fact("domains.nodes"),
        }
        return make_item(self.mark, HOST_OVERRIDE, stated, origins)

    def reference(self, kind: Kind, name: str) -> str:
        return own_uuid(self.mark, kind, name)

    def fact(self, path: str) -> str:
        return f"{path} ({self.network.where(path)})"

    def fact_of(self, node: Node, name: str) -> str:
        return f"{name} of {node} ({self.network.where_node(node, name)})"


def _limits(network: Network) -> Iterable[str]:
    if network.maximum_prefix:
        yield (
            f"bgp.maximum_prefix ({network.maximum_prefix}): os-frr has no such setting;"
            " a neighbor that sends more routes keeps its session"
        )


def _refusals(network: Network, intended: Intended) -> Iterable[Problem]:
    """Yield what a model would not take, each once, where the fact stands."""
    seen = set()
    for item in intended.items.values():
        for name, value in item.values.items():
            reason = item.kind.fields[name].refusal(value)
            origin = item.origins.get(name, "")
            if reason and (origin, name) not in seen:
                seen.add((origin, name))
                yield _refusal(network, f"{item.kind.title}'s {name}", value, reason, origin)
    for model, values in intended.settings.items():
        for name, value in values.items():
            if reason := fields_of(model)[name].refusal(value):
                origin = intended.origins.get((model, name), "")
                yield _refusal(network, f"{model} setting {name}", value, reason, origin)


def _refusal(network: Network, what: str, value: str, reason: str, origin: str) -> Problem:
    path = origin.partition(" (")[0]
    where = network.where(path) if path and " of " not in path else None
    return Problem(
        f"{path or what}: {value!r} cannot be the {what} of os-frr: it {reason}",
        where,
        "change the fact, or manage the router as platform: linux",
    )
