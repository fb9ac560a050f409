"""BGP: from bgpd's JSON, and from the running configuration, to NAPALM's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]

INSTANCES = "show bgp vrfs json"
NEIGHBORS = "show bgp vrf all neighbors json"
SUMMARY = "show bgp vrf all summary json"

_FAMILIES = {"ipv4Unicast": "ipv4", "ipv6Unicast": "ipv6"}


def vrf_name(name: str) -> str:
    """Return NAPALM's name of a VRF."""
    return "global" if name == "default" else name


def neighbors(instances: Json, by_vrf: Json) -> dict[str, Any]:
    """Return NAPALM's BGP neighbors by VRF; nothing where no BGP is configured.

    bgpd counts prefixes after its policy has let them in: how many were received before is not
    known, so it is -1.
    """
    return {
        vrf_name(vrf): {
            "router_id": instance["routerId"],
            "peers": {address: _neighbor(peer) for address, peer in peers_of(by_vrf.get(vrf, {}))},
        }
        for vrf, instance in instances.get("vrfs", {}).items()
    }


def peers_of(vrf: Json) -> Iterator[tuple[str, Json]]:
    """Yield each neighbor of a VRF, by its address or interface."""
    for address, peer in vrf.items():
        if isinstance(peer, dict) and "remoteAs" in peer:
            yield address, peer


def _neighbor(peer: Json) -> dict[str, Any]:
    is_up = peer["bgpState"] == "Established"
    families = peer.get("addressFamilyInfo", {})
    return {
        "local_as": peer["localAs"],
        "remote_as": peer["remoteAs"],
        "remote_id": peer.get("remoteRouterId", ""),
        "is_up": is_up,
        "is_enabled": not peer.get("adminShutDown", False),
        "description": peer.get("nbrDesc", ""),
        "uptime": peer["bgpTimerUpMsec"] // 1000 if is_up else -1,
        "address_family": {
            _FAMILIES.get(name, name): {
                "sent_prefixes": family.get("sentPrefixCounter", -1) if is_up else -1,
                "accepted_prefixes": family.get("acceptedPrefixCounter", -1) if is_up else -1,
                "received_prefixes": -1,
            }
            for name, family in families.items()
        },
    }


def neighbors_detail(by_vrf: Json, running: str, address: str = "") -> dict[str, Any]:
    """Return NAPALM's details of all neighbors, or of one: by VRF and AS number."""
    configurations = read_bgp(running)
    found: dict[str, Any] = {}
    for vrf, peers in by_vrf.items():
        block = configurations.get(vrf, BgpConfiguration(0))
        by_as: dict[int, list[Any]] = {}
        for name, peer in peers_of(peers):
            if address in {"", name}:
                by_as.setdefault(peer["remoteAs"], []).append(_detail(vrf, name, peer, block))
        if by_as:
            found[vrf_name(vrf)] = by_as
    return found


def _detail(vrf: str, address: str, peer: Json, block: BgpConfiguration) -> dict[str, Any]:
    families = list(peer.get("addressFamilyInfo", {}).values())
    messages = peer["messageStats"]
    is_up = peer["bgpState"] == "Established"
    return {
        "up": is_up,
        "local_as": peer["localAs"],
        "remote_as": peer["remoteAs"],
        "router_id": peer.get("localRouterId", ""),
        "local_address": peer.get("hostLocal", ""),
        "routing_table": vrf_name(vrf),
        "local_address_configured": "updateSource" in peer,
        "local_port": peer.get("portLocal", -1),
        "remote_address": address,
        "remote_port": peer.get("portForeign", -1),
        "multihop": peer.get("externalBgpNbrMaxHopsAway", 1) > 1,
        "multipath": block.maximum_paths != 1,
        "remove_private_as": any(key.startswith("privateAsNums") for f in families for key in f),
        "import_policy": _first(families, "routeMapForIncomingAdvertisements"),
        "export_policy": _first(families, "routeMapForOutgoingAdvertisements"),
        "input_messages": messages["totalRecv"],
        "output_messages": messages["totalSent"],
        "input_updates": messages["updatesRecv"],
        "output_updates": messages["updatesSent"],
        "messages_queued_out": messages["depthOutq"],
        "connection_state": peer["bgpState"],
        "previous_connection_state": "",
        "last_event": peer.get("lastResetDueTo", ""),
        "suppress_4byte_as": False,
        "local_as_prepend": _prepends_local_as(block, address),
        "holdtime": peer["bgpTimerHoldTimeMsecs"] // 1000,
        "configured_holdtime": peer["bgpTimerConfiguredHoldTimeMsecs"] // 1000,
        "keepalive": peer["bgpTimerKeepAliveIntervalMsecs"] // 1000,
        "configured_keepalive": peer["bgpTimerConfiguredKeepAliveIntervalMsecs"] // 1000,
        "active_prefix_count": -1,
        "received_prefix_count": -1,
        "accepted_prefix_count": _total(families, "acceptedPrefixCounter") if is_up else -1,
        "suppressed_prefix_count": -1,
        "advertised_prefix_count": _total(families, "sentPrefixCounter") if is_up else -1,
        "flap_count": peer["connectionsDropped"],
    }


def _prepends_local_as(block: BgpConfiguration, name: str) -> bool:
    """Tell whether `neighbor … local-as` of it or its group stands, without `no-prepend`."""
    stated = _finder(block, name, *(block.find(name, "peer-group") or ()))("local-as")
    return stated is not None and "no-prepend" not in stated


def _first(families: Iterable[Json], key: str) -> str:
    return next((str(family[key]) for family in families if key in family), "")


def _total(families: Iterable[Json], key: str) -> int:
    counts = [family[key] for family in families if key in family]
    return sum(counts) if counts else -1


# -- the configuration, which has no JSON --------------------------------------------------


@dataclass
class BgpConfiguration:
    """One `router bgp` block: lines of each neighbor or group, by its name, families included."""

    asn: int
    maximum_paths: int = 0
    """0 where the configuration leaves it to FRR, which then uses as many as it was built for."""
    distinguisher: str = ""
    lines: dict[str, list[tuple[str, tuple[str, ...]]]] = field(default_factory=dict)
    """(family, words after the name); the family is empty outside `address-family`."""

    @property
    def groups(self) -> list[str]:
        """The names of peer groups."""
        return [name for name in self.lines if self.find(name, "peer-group") == ()]

    def find(self, name: str, *words: str) -> tuple[str, ...] | None:
        """Return what follows ``words`` at the neighbor ``name``; None if no line has them."""
        for _, line in self.lines.get(name, ()):
            if line[: len(words)] == words:
                return line[len(words) :]
        return None


def read_bgp(running: str) -> dict[str, BgpConfiguration]:
    """Return the `router bgp` blocks of a running configuration by VRF."""
    found: dict[str, BgpConfiguration] = {}
    block: BgpConfiguration | None = None
    family = ""
    for line in running.splitlines():
        words = tuple(line.split())
        if words[:2] == ("router", "bgp"):
            vrf = words[4] if words[3:4] in {("vrf",), ("view",)} else "default"
            block = found[vrf] = BgpConfiguration(_asn(words[2]))
            family = ""
        elif line[:1] not in {" ", "!"}:
            block = None
        elif block is not None:
            if words[:1] == ("address-family",):
                family = " ".join(words[1:3])
            elif words == ("exit-address-family",):
                family = ""
            _take(block, family, words)
    return found


def _take(block: BgpConfiguration, family: str, words: tuple[str, ...]) -> None:
    if words[:1] == ("neighbor",):
        block.lines.setdefault(words[1], []).append((family, words[2:]))
    elif words[:1] == ("maximum-paths",) and words[1] != "ibgp":
        block.maximum_paths = int(words[1])
    elif words[:3] == ("rd", "vpn", "export"):
        block.distinguisher = words[3]


def _asn(text: str) -> int:
    """Read an AS number, plain or with a dot (RFC 5396)."""
    high, dot, low = text.partition(".")
    return int(high) * 65536 + int(low) if dot else int(high)


def configuration(running: str, group: str = "", neighbor: str = "") -> dict[str, Any]:
    """Return NAPALM's BGP configuration of the default VRF; group ``_`` is no group.

    A neighbor has what its group gives it. An AS that is only said to be ``external`` is 0.
    """
    block = read_bgp(running).get("default")
    if block is None:
        return {}
    groups = block.groups
    found = {name: _group(block, name) for name in ["_", *groups]}
    for name in block.lines:
        membership = block.find(name, "peer-group")
        member_of = membership[0] if membership else "_"
        if name not in groups and member_of in found and neighbor in {"", name}:
            found[member_of]["neighbors"][name] = _configured_neighbor(block, name, member_of)
    if group:
        return {group: found[group]} if group in found else {}
    if neighbor:
        return {name: each for name, each in found.items() if each["neighbors"]}
    return found


def _group(block: BgpConfiguration, name: str) -> dict[str, Any]:
    has = _finder(block, name)
    remote_as = _remote_as(block, has)
    return {
        "type": _type(block, remote_as, has),
        "description": _text(has("description")),
        "apply_groups": [],
        "multihop_ttl": _number(has("ebgp-multihop")),
        "multipath": block.maximum_paths != 1,
        "local_address": _word(has("update-source")),
        "local_as": _local_as(block, has),
        "remote_as": remote_as,
        "import_policy": _policy(block, name, "in"),
        "export_policy": _policy(block, name, "out"),
        "remove_private_as": has("remove-private-AS") is not None,
        "prefix_limit": _prefix_limit(block, name),
        "neighbors": {},
    }


def _type(block: BgpConfiguration, remote_as: int, has: Finder) -> str:
    if not has("remote-as"):
        return ""
    return "internal" if remote_as == block.asn else "external"


def _configured_neighbor(block: BgpConfiguration, name: str, group: str) -> dict[str, Any]:
    has = _finder(block, name, group)
    return {
        "description": _text(has("description")),
        "import_policy": _policy(block, name, "in") or _policy(block, group, "in"),
        "export_policy": _policy(block, name, "out") or _policy(block, group, "out"),
        "local_address": _word(has("update-source")),
        "authentication_key": _text(has("password")),
        "nhs": has("next-hop-self") is not None,
        "route_reflector_client": has("route-reflector-client") is not None,
        "local_as": _local_as(block, has),
        "remote_as": _remote_as(block, has),
        "prefix_limit": _prefix_limit(block, name) or _prefix_limit(block, group),
    }


Finder = Callable[..., tuple[str, ...] | None]


def _finder(block: BgpConfiguration, *names: str) -> Finder:
    """Return a function that looks for words at the neighbor, then at its group."""

    def find(*words: str) -> tuple[str, ...] | None:
        found = (block.find(name, *words) for name in names)
        return next((each for each in found if each is not None), None)

    return find


def _remote_as(block: BgpConfiguration, has: Finder) -> int:
    stated = has("remote-as") or has("interface", "remote-as") or has("interface", "v6only")
    value = stated[-1] if stated else ""
    if value == "internal":
        return block.asn
    return _asn(value) if value.replace(".", "").isdigit() else 0


def _local_as(block: BgpConfiguration, has: Finder) -> int:
    stated = has("local-as")
    return _asn(stated[0]) if stated else block.asn


def _policy(block: BgpConfiguration, name: str, direction: str) -> str:
    """Return the route map of a direction, IPv4 unicast first."""
    found = {
        family: words[1]
        for family, words in block.lines.get(name, ())
        if words[:1] == ("route-map",) and words[2:] == (direction,)
    }
    return found.get("ipv4 unicast") or next(iter(found.values()), "")


def _prefix_limit(block: BgpConfiguration, name: str) -> dict[str, Any]:
    """Return limits in NAPALM's form: ``{"inet": {"unicast": {"limit": …, "teardown": …}}}``."""
    limits: dict[str, Any] = {}
    for family, words in block.lines.get(name, ()):
        if words[:1] == ("maximum-prefix",):
            afi, _, safi = (family or "ipv4 unicast").partition(" ")
            limits.setdefault({"ipv4": "inet", "ipv6": "inet6"}.get(afi, afi), {})[safi] = {
                "limit": int(words[1]),
                "teardown": {
                    "threshold": int(words[2]) if words[2:3] and words[2].isdigit() else 75,
                    "timeout": _number(_after(words, "restart")),
                },
            }
    return limits


def _after(words: tuple[str, ...], word: str) -> tuple[str, ...] | None:
    return words[words.index(word) + 1 :] if word in words else None


def _text(words: tuple[str, ...] | None) -> str:
    return " ".join(words or ())


def _word(words: tuple[str, ...] | None) -> str:
    return words[0] if words else ""


def _number(words: tuple[str, ...] | None) -> int:
    return int(words[0]) if words and words[0].isdigit() else 0
