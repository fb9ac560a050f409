"""Links, addresses, neighbors, VRFs, VLANs: from what `ip -json` and zebra say to NAPALM's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from napalm.base.helpers import mac

Json = Mapping[str, Any]

LINKS = "ip -json -details -statistics link show"
ADDRESSES = "ip -json address show"
ARP = "ip -json -4 -statistics neighbor show"
NDP = "ip -json -6 -statistics neighbor show"
BRIDGE_VLANS = "bridge -json vlan show"
ZEBRA = "show interface vrf all json"
"""For vtysh: speeds, descriptions, when links came and went."""

GLOBAL_VRFS = ("default", "global")

_UNKNOWN_SPEED = 4294967295
"""What zebra has for -1, which the kernel says of a link without carrier."""


def interfaces(links: Iterable[Json], zebra: Json, now: str) -> dict[str, Any]:
    """Return NAPALM's interfaces; ``now`` is the host's local time as zebra writes times."""
    return {
        link["ifname"]: {
            "is_up": "LOWER_UP" in link["flags"] and link["operstate"] in {"UP", "UNKNOWN"},
            "is_enabled": "UP" in link["flags"],
            "description": _description(link, zebra.get(link["ifname"], {})),
            "last_flapped": _since_flap(zebra.get(link["ifname"], {}), now),
            "speed": _speed(zebra.get(link["ifname"], {})),
            "mtu": link["mtu"],
            "mac_address": _mac(link),
        }
        for link in links
    }


def _description(link: Json, known: Json) -> str:
    return str(known.get("description") or link.get("ifalias") or "")


def _speed(known: Json) -> float:
    """Return Mbit/s; -1 where the kernel knows none, as of loopbacks and links that are down."""
    speed = known.get("speed", 0)
    return -1.0 if speed in {0, _UNKNOWN_SPEED} else float(speed)


def _since_flap(known: Json, now: str) -> float:
    """Return the seconds since the link came or went last; -1 if it has not since zebra runs."""
    changes = [known[key] for key in ("lastLinkUp", "lastLinkDown") if known.get(key)]
    if not changes:
        return -1.0
    last = max(_time(change) for change in changes)
    return max(0.0, (_time(now) - last).total_seconds())


def _time(text: str) -> datetime:
    """Read zebra's times: 2026/11/23 21:27:25.87, in the host's time zone, which it leaves out."""
    return datetime.strptime(text[:19], "%Y/%m/%d %H:%M:%S")  # noqa: DTZ007


def _mac(link: Json) -> str:
    address = link.get("address", "")
    return mac(address) if address.count(":") == 5 else ""


def addresses(links: Iterable[Json]) -> dict[str, Any]:
    """Return NAPALM's addresses of each interface that has one."""
    found: dict[str, Any] = {}
    for link in links:
        for address in link["addr_info"]:
            family = {"inet": "ipv4", "inet6": "ipv6"}.get(address["family"])
            if family and "local" in address:
                of_family = found.setdefault(link["ifname"], {}).setdefault(family, {})
                of_family[address["local"]] = {"prefix_length": address["prefixlen"]}
    return found


def counters(links: Iterable[Json]) -> dict[str, Any]:
    """Return NAPALM's counters; -1 for what Linux does not count.

    It tells multicast from the rest on the way in only, and broadcast not at all: so what goes
    out counts as unicast, and so do broadcasts that come in.
    """
    return {link["ifname"]: _counters(link["stats64"]) for link in links if "stats64" in link}


def _counters(stats: Json) -> dict[str, int]:
    received, sent = stats["rx"], stats["tx"]
    return {
        "tx_errors": sent["errors"],
        "rx_errors": received["errors"],
        "tx_discards": sent["dropped"],
        "rx_discards": received["dropped"],
        "tx_octets": sent["bytes"],
        "rx_octets": received["bytes"],
        "tx_unicast_packets": sent["packets"],
        "rx_unicast_packets": received["packets"] - received["multicast"],
        "tx_multicast_packets": -1,
        "rx_multicast_packets": received["multicast"],
        "tx_broadcast_packets": -1,
        "rx_broadcast_packets": -1,
    }


def neighbors(entries: Iterable[Json], links: Iterable[Json], vrf: str = "") -> list[Any]:
    """Return NAPALM's ARP or IPv6 neighbor entries; of one VRF, or of all.

    ``age`` is the seconds since the address was last known to be right, -1 if it is permanent.
    """
    vrfs = vrf_of_each(links)
    return [
        {
            "interface": entry["dev"],
            "mac": mac(entry["lladdr"]),
            "ip": entry["dst"],
            "age": -1.0 if "PERMANENT" in entry["state"] else float(entry.get("confirmed", -1)),
            "state": entry["state"][0],
        }
        for entry in entries
        if entry.get("lladdr", "").count(":") == 5
        and (not vrf or vrfs.get(entry["dev"]) == ("default" if vrf in GLOBAL_VRFS else vrf))
    ]


def vrf_of_each(links: Iterable[Json]) -> dict[str, str]:
    """Return the VRF of each interface; ``default`` for those in none."""
    links = list(links)
    by_name = {link["ifname"]: link for link in links}

    def find(link: Json) -> str:
        if _kind(link) == "vrf":
            return str(link["ifname"])
        master = by_name.get(link.get("master", ""))
        return find(master) if master else "default"  # a bridge may be in a VRF itself

    return {name: find(link) for name, link in by_name.items()}


def network_instances(links: Sequence[Json], distinguishers: Mapping[str, str]) -> dict[str, Any]:
    """Return NAPALM's network instances: ``default`` and every VRF."""
    vrfs = vrf_of_each(links)
    names = ["default", *(link["ifname"] for link in links if _kind(link) == "vrf")]
    return {
        name: {
            "name": name,
            "type": "DEFAULT_INSTANCE" if name == "default" else "L3VRF",
            "state": {"route_distinguisher": distinguishers.get(name, "")},
            "interfaces": {
                "interface": {
                    each: {} for each, vrf in vrfs.items() if vrf == name and each != name
                }
            },
        }
        for name in names
    }


def vlans(links: Iterable[Json], bridge: Iterable[Json]) -> dict[int, Any]:
    """Return NAPALM's VLANs: of VLAN interfaces, and of bridges that tell VLANs apart."""
    links = list(links)
    filtering = {
        link["ifname"]
        for link in links
        if _kind(link) == "bridge" and link["linkinfo"]["info_data"].get("vlan_filtering")
    }
    members = {link["ifname"] for link in links if link.get("master") in filtering} | filtering
    found: dict[int, dict[str, Any]] = {}
    for link in links:
        if _kind(link) == "vlan":
            number = link["linkinfo"]["info_data"]["id"]
            vlan = found.setdefault(number, {"name": link["ifname"], "interfaces": []})
            vlan["interfaces"].append(link.get("link", ""))
    for port in bridge:
        for each in port["vlans"] if port["ifname"] in members else ():
            for number in range(each["vlan"], each.get("vlanEnd", each["vlan"]) + 1):
                vlan = found.setdefault(number, {"name": f"VLAN{number}", "interfaces": []})
                if port["ifname"] not in {*vlan["interfaces"], *filtering}:
                    vlan["interfaces"].append(port["ifname"])
    return dict(sorted(found.items()))


def _kind(link: Json) -> str:
    return str(link.get("linkinfo", {}).get("info_kind", ""))
