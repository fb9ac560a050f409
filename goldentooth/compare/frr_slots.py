"""What FRR's commands set: two of the same slot overwrite each other (FRR 8.4).

Only of what is known here the order is nothing. A command that is not keeps its place among
those that begin alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

Slot = tuple[str, ...]

LISTS = re.compile(
    r"(?P<list>ip(?:v6)? prefix-list \S+|(?:ipv6 )?access-list \S+"
    r"|bgp (?:(?:community|large-community|extcommunity)-list (?:standard|expanded) \S+"
    r"|as-path access-list \S+))"
    r"(?: seq (?P<seq>\d{1,10}))? (?P<entry>(?:permit|deny) .*)"
)
"""An entry of a list; without a number FRR gives it the next one."""

FAMILY_ATTRIBUTES = {
    *("activate", "addpath-tx-all-paths", "addpath-tx-bestpath-per-AS", "allowas-in"),
    *("as-override", "attribute-unchanged", "default-originate", "distribute-list"),
    *("filter-list", "maximum-prefix", "maximum-prefix-out", "next-hop-self", "nexthop-local"),
    *("prefix-list", "remove-private-AS", "route-map", "route-reflector-client"),
    *("route-server-client", "send-community", "soft-reconfiguration", "unsuppress-map", "weight"),
}
"""What a neighbor has in an address family; set outside of one, it is IPv4 unicast's."""

FAMILY_LINES = {
    *("aggregate-address", "distance", "maximum-paths", "network", "redistribute", "table-map"),
}

_SINGLE_ATTRIBUTES = {
    *("activate", "advertisement-interval", "allowas-in", "as-override", "attribute-unchanged"),
    *("default-originate", "description", "disable-connected-check", "dont-capability-negotiate"),
    *("ebgp-multihop", "enforce-first-as", "interface", "local-as", "maximum-prefix"),
    *("maximum-prefix-out", "override-capability", "passive", "password", "port", "remote-as"),
    *("route-reflector-client", "route-server-client", "sender-as-path-loop-detection"),
    *("shutdown", "soft-reconfiguration", "solo", "strict-capability-match", "tcp-mss"),
    *("ttl-security", "unsuppress-map", "update-source", "weight"),
}
_DIRECTED_ATTRIBUTES = {"distribute-list", "filter-list", "prefix-list", "route-map"}
_FLAG_ATTRIBUTES = {"capability", "next-hop-self", "send-community", "bfd", "timers"}

_COUNTS = {
    1: """bandwidth call coalesce-time description detect-multiplier domainname echo-interval
        echo-mode hostname link-detect maximum-paths minimum-ttl on-match passive-mode profile
        read-quanta receive-interval router-id shutdown table-map transmit-interval update-delay
        vni write-quanta""",
    2: """aggregate-address network timers/bgp distance/bgp log/syslog log/file
        log/stdout log/facility log/timestamp log/record-priority frr/version frr/defaults
        service/integrated-vtysh-config service/password-encryption service/advanced-vty
        ip/router-id ip/forwarding ipv6/forwarding maximum-paths/ibgp passive-interface
        bgp/router-id bgp/cluster-id bgp/log-neighbor-changes bgp/always-compare-med
        bgp/deterministic-med bgp/ebgp-requires-policy bgp/reject-as-sets bgp/minimum-holdtime
        bgp/fast-external-failover bgp/suppress-duplicates bgp/fast-convergence
        bgp/hard-administrative-reset bgp/graceful-shutdown bgp/dampening bgp/shutdown
        match/as-path match/community match/extcommunity match/interface match/large-community
        match/local-preference match/metric match/origin match/peer match/probability
        match/source-protocol match/tag set/aggregator set/atomic-aggregate set/community
        set/distance set/large-community set/local-preference set/metric set/origin
        set/originator-id set/src set/table set/tag set/weight""",
    3: """bgp/bestpath/compare-routerid bgp/client-to-client/reflection bgp/default/ipv4-unicast
        bgp/default/ipv6-unicast bgp/default/local-preference bgp/default/show-hostname
        bgp/default/show-nexthop-hostname bgp/default/subgroup-pkt-queue-max bgp/listen/limit
        bgp/graceful-restart/restart-time bgp/graceful-restart/stalepath-time
        bgp/graceful-restart/select-defer-time bgp/graceful-restart/rib-stale-time
        bgp/graceful-restart/notification bgp/graceful-restart/preserve-fw-state
        bgp/network/import-check bgp/route-map/delay-timer bgp/conditional-advertisement/timer
        bgp/route-reflector/allow-outbound-policy bgp/confederation/identifier
        ip/nht/resolve-via-default ip/protocol/- set/as-path/prepend set/as-path/exclude
        set/extcommunity/rt set/extcommunity/soo set/ip/next-hop""",
    4: """bgp/listen/range/- bgp/bestpath/med/- bgp/confederation/peers/-
        bgp/bestpath/as-path/multipath-relax bgp/bestpath/as-path/ignore
        bgp/bestpath/as-path/confed set/ipv6/next-hop/global set/ipv6/next-hop/local
        ip/prefix-list/-/description ipv6/prefix-list/-/description""",
}
_SETTINGS = {
    tuple(name.split("/")): count for count, names in _COUNTS.items() for name in names.split()
}
"""By how a command begins (a dash is any word), how many words name what it sets."""

_MATCHES = re.compile(r"match ip(v6)? (address|next-hop|route-source) ")
_MATCH_KINDS = {"prefix-list", "prefix-len", "address", "type"}

UNSET = re.compile(
    r"no (?P<what>(aggregate-address|call|description|match|maximum-paths|network|on-match"
    r"|redistribute|set|table-map|timers bgp|distance bgp|update-delay|coalesce-time|read-quanta"
    r"|write-quanta|bgp (router-id|cluster-id|always-compare-med|deterministic-med|dampening"
    r"|reject-as-sets|minimum-holdtime|bestpath|listen|default local-preference"
    r"|confederation|graceful-restart (restart-time|stalepath-time))"
    r"|neighbor \S+ (advertisement-interval|allowas-in|as-override|bfd|capability dynamic"
    r"|default-originate"
    r"|description|distribute-list|ebgp-multihop|filter-list|local-as|maximum-prefix"
    r"|next-hop-self|passive|password|port|prefix-list|route-map|route-reflector-client"
    r"|route-server-client|shutdown|soft-reconfiguration|timers|ttl-security|unsuppress-map"
    r"|update-source|weight))( .*)?)"
)
"""What takes a setting back, and then is as if nothing had been said."""

_DEFAULTS = re.compile(
    r"frr defaults traditional|hostname .*|(no )?service integrated-vtysh-config"
    r"|(ip|ipv6) forwarding"
    r"|bgp (ebgp-requires-policy|default (ipv4-unicast|local-preference 100"
    r"|subgroup-pkt-queue-max 40)|network import-check|suppress-duplicates"
    r"|fast-external-failover|client-to-client reflection|hard-administrative-reset"
    r"|listen limit 100|conditional-advertisement timer 60|graceful-restart (restart-time 120"
    r"|stalepath-time 360|select-defer-time 360|rib-stale-time 500|notification))"
    r"|no bgp (log-neighbor-changes|always-compare-med|deterministic-med|reject-as-sets"
    r"|default (show-hostname|show-nexthop-hostname|ipv6-unicast)|bestpath compare-routerid"
    r"|bestpath as-path multipath-relax|route-reflector allow-outbound-policy"
    r"|fast-convergence|graceful-shutdown)"
    r"|timers bgp 60 180|read-quanta 10|write-quanta 64|distance bgp 20 200 200"
    r"|maximum-paths 256"
    r"|neighbor \S+ (port 179|ebgp-multihop 1|send-community \w+)"
    r"|detect-multiplier 3|(receive|transmit)-interval 300|minimum-ttl 254"
    r"|no (shutdown|passive-mode|echo-mode)|link-detect"
)
_VERSION = re.compile(r"frr version (\d+)\.(\d+)")
_LAST_CHANGE_OF_DEFAULTS = (8, 3)
"""Since which version's file FRR 8.4 reads all with its own defaults (bgpd: FRR_CFG_DEFAULT)."""


def slot(line: str, number: int) -> Slot:
    """Return the name of what a line sets; ``number`` is its place, if that may matter."""
    positive = line.removeprefix("refused: ").removeprefix("no ")
    words = positive.split(" ")
    if found := LISTS.fullmatch(positive):
        return (found["list"], f"{int(found['seq'] or 0):010}")
    if words[0] == "neighbor" and len(words) > 2:
        return _neighbor(words, number)
    if words[1:2] == ["route"] and words[0] in {"ip", "ipv6"}:
        return _route(words)
    return _named(words) or (*words[:2], f"{number:06}")


def _named(words: list[str]) -> Slot:
    """Return the slot of a command that is known, else nothing."""
    if words in (["permit"], ["deny"]):
        return ("",)  # what an entry of a route-map does
    if words[0] == "debug":
        return tuple(words)
    if words[0] == "redistribute":
        return tuple(words[:-1] if words[-2] in {"metric", "route-map"} else words)
    if _MATCHES.match(" ".join(words)):
        return tuple(words[:4]) if words[3] in _MATCH_KINDS else (*words[:3], "")
    for length in range(min(len(words), 4), 0, -1):
        begins = tuple(words[:length])
        for known in (begins, (*begins[:-1], "-"), (*begins[:2], "-", *begins[3:])):
            if known in _SETTINGS:
                return tuple(words[: _SETTINGS[known]])
    return ()


_TOGETHER: Mapping[Slot, str] = {
    ("set", "as-path"): "as-path",
    ("set", "community"): "communities",
    ("set", "comm-list"): "communities",
    ("set", "large-community"): "large communities",
    ("set", "large-comm-list"): "large communities",
}
"""What changes the same attribute of a route, one after the other."""


def in_turn(name: Slot, place: int) -> Slot:
    """Return where the line of a slot goes that was set as the ``place``-th of its block."""
    if attribute := _TOGETHER.get(name[:2]):
        return ("set", attribute, f"{place:06}")
    return name


def _neighbor(words: list[str], number: int) -> Slot:
    who, attribute, value = words[:2], words[2], words[3:]
    if attribute in _SINGLE_ATTRIBUTES:
        return (*who, attribute)
    if attribute in _DIRECTED_ATTRIBUTES:
        return (*who, attribute, words[-1])
    if attribute == "peer-group":
        return (*who, attribute, "member" if value else "")
    if attribute in _FLAG_ATTRIBUTES and value[:1] != ["orf"]:
        return (*who, attribute, "" if value[:1] and value[0].isdigit() else " ".join(value[:1]))
    return (*who, attribute, f"{number:06}")


def _route(words: list[str]) -> Slot:
    """Return a static route without what does not tell it from another one."""
    named = list(words)
    for attribute in ("tag", "label", "color"):
        if attribute in named[3:-1]:
            at = named.index(attribute, 3)
            del named[at : at + 2]
    return tuple(word for word in named if word != "onlink")


def is_default(line: str) -> bool:
    """Tell whether FRR does so anyway and does not show it, or shows it unasked."""
    if version := _VERSION.match(line):
        return (int(version[1]), int(version[2])) >= _LAST_CHANGE_OF_DEFAULTS
    return _DEFAULTS.fullmatch(line) is not None


def is_of_family(words: list[str]) -> bool:
    """Tell whether a command of a BGP router belongs into one of its address families."""
    own = words[1:] if words[0] == "no" and len(words) > 1 else words
    if own[0] == "neighbor" and len(own) > 2:
        return own[2] in FAMILY_ATTRIBUTES or own[2:4] == ["capability", "orf"]
    return own[0] in FAMILY_LINES or own[:2] == ["bgp", "dampening"]
