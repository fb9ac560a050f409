"""FRR's configuration, as frr.conf has it and as `show running-config` gives it back (FRR 8.4).

FRR reads commands one after the other, and forgets in which order they came: what is kept is a
slot for each thing that can be set. So lines are put into slots here too; the last one wins, and
slots are sorted. Lines whose slot is not known keep their order among those that begin alike.
Defaults that FRR leaves out of the running configuration are left out, and what FRR adds to it
about itself (its version, its host's name).

A neighbor that is spoken of before it is made is refused by FRR: the line has no effect, and is
shown as ``refused``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_network

_WORD = re.compile(r"[^ \t\r\v\f]+")
_DEFAULT_FAMILY = "address-family ipv4 unicast"

_TOP = re.compile(
    r"(router|interface|vrf|key chain|nexthop-group|pbr-map|mpls ldp|l2vpn|pseudowire) "
    r"|route-map \S+ (permit|deny) \d+$|(bfd|rpki|segment-routing|line vty|mpls ldp)$"
)
"""Lines that begin a block wherever they stand."""

_TOP_LINE = re.compile(
    r"(no )?((ip|ipv6) (prefix-list|access-list|forwarding|nht|protocol) |access-list |frr |log "
    r"|hostname |service |bgp (as-path|community-list|large-community-list|extcommunity-list"
    r"|route-map) |ip (community-list|as-path) |route-map \S+ optimization|debug )"
)
"""Lines that no block has, so that they end the one before them."""

_INNER = {
    "router bgp": re.compile(r"address-family |vrf-policy |bmp targets |segment-routing srv6"),
    "address-family": re.compile(r"vni "),
    "bfd": re.compile(r"(peer|profile) "),
    "interface": re.compile(r"link-params"),
    "key chain": re.compile(r"key "),
    "segment-routing": re.compile(r"traffic-eng|srv6"),
    "traffic-eng": re.compile(r"segment-list |policy |pcep"),
    "srv6": re.compile(r"locators"),
    "locators": re.compile(r"locator "),
    "mpls ldp": re.compile(r"address-family "),
}
"""By what a block begins with, the lines that begin one in it."""

_FAMILY_ATTRIBUTES = {
    *("activate", "addpath-tx-all-paths", "addpath-tx-bestpath-per-AS", "allowas-in"),
    *("as-override", "attribute-unchanged", "default-originate", "distribute-list"),
    *("filter-list", "maximum-prefix", "maximum-prefix-out", "next-hop-self", "nexthop-local"),
    *("prefix-list", "remove-private-AS", "route-map", "route-reflector-client"),
    *("route-server-client", "send-community", "soft-reconfiguration", "unsuppress-map", "weight"),
}
"""What a neighbor has in an address family; set outside of one, it is IPv4 unicast's."""

_FAMILY_LINES = {
    *("aggregate-address", "distance", "maximum-paths", "network", "redistribute", "table-map"),
}

_SLOT_WORDS = {
    **dict.fromkeys(("coalesce-time", "hostname", "domainname", "read-quanta", "router-id"), 1),
    **dict.fromkeys(("update-delay", "write-quanta", "call", "description", "on-match"), 1),
    **dict.fromkeys(("detect-multiplier", "echo-interval", "minimum-ttl", "profile"), 1),
    **dict.fromkeys(("receive-interval", "transmit-interval", "shutdown", "passive-mode"), 1),
    **dict.fromkeys(("echo-mode", "bandwidth", "link-detect", "vni", "table-map"), 1),
    **dict.fromkeys(("aggregate-address", "network", "redistribute", "timers", "log"), 2),
    **dict.fromkeys(("frr", "service", "distance"), 2),
    "bgp": 2,
    "bgp bestpath": 3,
    "bgp default": 3,
    "bgp graceful-restart": 3,
    "bgp listen": 3,
    "bgp listen range": 4,
    "bgp max-med": 3,
    "bgp route-map": 3,
    "ip nht": 3,
    "ip router-id": 2,
    "ip forwarding": 2,
    "ipv6 forwarding": 2,
    "maximum-paths": 1,
    "maximum-paths ibgp": 2,
    "redistribute ospf": 3,
    "redistribute table": 3,
    "match": 2,
    "match ip": 4,
    "match ipv6": 4,
    "match extcommunity": 2,
    "set": 2,
    "set as-path": 3,
    "set comm-list": 2,
    "set extcommunity": 3,
    "set ip": 3,
    "set ipv6": 4,
    "neighbor": 3,
}
"""By how a line begins, how many words name what it sets; the rest is its value."""

_MANY = re.compile(
    r"(bgp (confederation peers|community-list|large-community-list|extcommunity-list|as-path) "
    r"|(ip|ipv6) (route|prefix-list|access-list|mroute|protocol) |access-list |debug "
    r"|neighbor \S+ (bfd|capability|timers|send-community)|match ip(v6)? next-hop "
    r"|area |passive-interface )"
)
"""What can be there several times, in any order: each line is a slot of its own."""

_IN_ORDER = re.compile(r"neighbor \S+ (send-community|bfd \d)|bgp confederation peers ")
"""Of those, what depends on what was said before."""

_LISTS = re.compile(
    r"(?P<list>(?:ip|ipv6) prefix-list \S+|(?:ip |ipv6 )?access-list \S+"
    r"|bgp (?:(?:community|large-community|extcommunity)-list (?:standard|expanded) \S+"
    r"|as-path access-list \S+))"
    r"(?: seq (?P<seq>\d+))? (?P<entry>(?:permit|deny) .*)"
)

_DEFAULTS = re.compile(
    r"frr defaults traditional|hostname .*|(no )?service integrated-vtysh-config"
    r"|(ip|ipv6) forwarding|log syslog debugging|no log syslog"
    r"|bgp (ebgp-requires-policy|default ipv4-unicast|network import-check|suppress-duplicates"
    r"|fast-external-failover|client-to-client reflection|default local-preference 100"
    r"|listen limit 100|graceful-restart (restart-time 120|stalepath-time 360))"
    r"|no bgp (log-neighbor-changes|always-compare-med|deterministic-med|default show-hostname"
    r"|reject-as-sets|bestpath compare-routerid|bestpath as-path multipath-relax"
    r"|graceful-restart|route-reflector allow-outbound-policy|default ipv6-unicast)"
    r"|timers bgp 60 180|read-quanta 10|write-quanta 64|distance bgp 20 200 200"
    r"|neighbor \S+ (port 179|send-community( both)?)|no neighbor \S+ (shutdown|passive)"
    r"|detect-multiplier 3|(receive|transmit)-interval 300|minimum-ttl 254"
    r"|no (shutdown|passive-mode|echo-mode)|link-detect"
)
"""What FRR does anyway, and does not show; or shows although nobody said it."""

_EMPTY_IS_NOTHING = re.compile(r"(interface .*|line vty|bfd|address-family .*|key chain .*)$")
_VERSION = re.compile(r"frr version (\d+)\.(\d+)")
_LAST_CHANGE_OF_DEFAULTS = (8, 3)
"""Since which version's file FRR 8.4 reads all with its own defaults (bgpd: FRR_CFG_DEFAULT)."""

Block = tuple[str, ...]


def canonical(text: str) -> tuple[str, ...]:
    r"""Return the blocks, each once with its lines sorted, indented by one blank a level.

    >>> canonical("router bgp 1\n neighbor G peer-group\n bgp router-id 1.1.1.1\n!\nend")
    ('router bgp 1', ' bgp router-id 1.1.1.1', ' neighbor G peer-group')
    """
    configuration = _Configuration()
    by_frr = any(_VERSION.match(line) for line in text.split("\n"))
    for block, line in _lines(text):
        # zebra shows what the kernel does, whoever told it to
        if not (by_frr and line == "no ipv6 forwarding"):
            configuration.read(block, line)
    return tuple(configuration.written())


# -- blocks ------------------------------------------------------------------------------


def _lines(text: str) -> Iterator[tuple[Block, str]]:
    """Give each line with the blocks that it is in; a block's own first line is empty in it."""
    block: Block = ()
    for raw in text.split("\n"):
        words = _WORD.findall(raw)
        if not words or words[0][0] in "!#":
            continue
        line = " ".join(words)
        if words[0] == "end":
            block = ()
        elif words[0] in {"exit", "quit"} or words[0].startswith("exit-"):
            block = block[:-1]
        elif (inner := _entered(block, line)) is not None:
            block = inner
            yield block, ""
        else:
            block = () if _TOP_LINE.match(line) else block
            yield block, line


def _entered(block: Block, line: str) -> Block | None:
    """Return the blocks that ``line`` enters from ``block``, or None."""
    for depth in range(len(block), 0, -1):
        opener = block[depth - 1]
        for beginning, pattern in _INNER.items():
            if opener.startswith(beginning) and pattern.match(line):
                return (*block[:depth], _opener(line))
    return (_opener(line),) if _TOP.match(line) else None


def _opener(line: str) -> str:
    words = line.split(" ")
    if words[0] == "address-family" and len(words) == 2 and words[1] in {"ipv4", "ipv6"}:
        words.append("unicast")
    return " ".join(words)


# -- slots -------------------------------------------------------------------------------

_Slot = tuple[str, ...]


class _Configuration:
    """What FRR would hold after the lines that it was given."""

    def __init__(self) -> None:
        self._blocks: dict[Block, dict[_Slot, str]] = {(): {}}
        self._peers: dict[tuple[str, str], bool] = {}
        """By router and name of the peer or group: whether its AS is known."""
        self._sequences: dict[str, int] = {}

    def read(self, block: Block, line: str) -> None:
        """Take in one line of ``block``."""
        self._blocks.setdefault(block, {})
        if not line:
            return
        words = _normal(line.split(" "))
        block = self._home(block, words)
        line = self._numbered(" ".join(words))
        if self._is_refused(block, words):
            line = f"refused: {line}"
        slots = self._blocks.setdefault(block, {})
        slot = _slot(line, len(slots))
        slots.pop(slot, None)
        slots[slot] = line

    def _home(self, block: Block, words: list[str]) -> Block:
        """Return the block that a line ends up in: some of a router are its first family's."""
        if len(block) == 1 and block[0].startswith("router bgp "):
            return (*block, _DEFAULT_FAMILY) if _is_of_family(words) else block
        if not block and words[1:2] == ["route"] and "vrf" in words[:-1]:
            at = words.index("vrf")
            name = words[at + 1]
            del words[at : at + 2]
            return (f"vrf {name}",)
        return block

    def _numbered(self, line: str) -> str:
        """Return the entry of a list with the number that FRR gives it."""
        found = _LISTS.fullmatch(line)
        if not found:
            return line
        highest = self._sequences.get(found["list"], 0)
        number = int(found["seq"] or highest // 5 * 5 + 5)
        self._sequences[found["list"]] = max(highest, number)
        return f"{found['list']} seq {number} {found['entry']}"

    def _is_refused(self, block: Block, words: list[str]) -> bool:
        """Tell whether a neighbor's line comes before what makes the neighbor."""
        if (
            words[0] != "neighbor"
            or len(words) < 3
            or not block
            or not block[0].startswith("router bgp ")
        ):
            return False
        key = (block[0], words[1])
        making = words[2:]
        if making[0] == "interface":
            making = making[1:]
            self._peers.setdefault(key, False)
            making = making[1:] if making[:1] == ["v6only"] else making
        if making[:1] == ["remote-as"]:
            self._peers[key] = True
        elif making == ["peer-group"]:
            self._peers.setdefault(key, False)
        elif making[:1] == ["peer-group"] and len(making) == 2:
            group = self._peers.get((block[0], making[1]))
            if group is None or not (group or key in self._peers):
                return True
            self._peers[key] = True
        return key not in self._peers

    def written(self) -> Iterator[str]:
        """Give all lines, sorted."""
        yield from self._block((), "")

    def _block(self, block: Block, indent: str) -> Iterator[str]:
        slots = self._blocks.get(block, {})
        for _, line in sorted(slots.items()):
            if not _is_default(line, slots):
                yield f"{indent}{line}"
        inner = sorted(
            {other[: len(block) + 1] for other in self._blocks if other[: len(block)] == block}
            - {block}
        )
        for child in inner:
            lines = list(self._block(child, f"{indent} "))
            if lines or not _EMPTY_IS_NOTHING.match(child[-1]):
                yield f"{indent}{child[-1]}"
                yield from lines


def _is_of_family(words: list[str]) -> bool:
    own = words[1:] if words[0] == "no" and len(words) > 1 else words
    if own[0] == "neighbor" and len(own) > 2:
        return own[2] in _FAMILY_ATTRIBUTES or own[2:4] == ["capability", "orf"]
    return own[0] in _FAMILY_LINES or own[:2] == ["bgp", "dampening"]


def _slot(line: str, number: int) -> _Slot:
    """Return the name of what a line sets."""
    positive = line.removeprefix("refused: ").removeprefix("no ")
    words = positive.split(" ")
    if found := _LISTS.fullmatch(positive):
        return (found["list"], f"{int(found['seq']):010}")
    if _IN_ORDER.match(positive):
        return (*words[:3], f"{number:06}")
    if words[0] == "neighbor" and len(words) > 2:
        return _neighbor_slot(words)
    if _MANY.match(positive):
        return tuple(words)
    for length in (3, 2, 1):
        if count := _SLOT_WORDS.get(" ".join(words[:length])):
            return tuple(words[:count])
    return (*words[:2], f"{number:06}")


def _neighbor_slot(words: list[str]) -> _Slot:
    attribute = words[2]
    if attribute in {"distribute-list", "filter-list", "prefix-list", "route-map"}:
        return (*words[:3], words[-1])
    if attribute == "timers":
        return (*words[:3], "connect" if words[3:4] == ["connect"] else "")
    if attribute in {"bfd", "capability"}:
        return (*words[:3], *words[3:4])
    if attribute == "peer-group":
        return (*words[:3], "member" if len(words) > 3 else "")
    return tuple(words[:3])


def _is_default(line: str, slots: dict[_Slot, str]) -> bool:
    if _DEFAULTS.fullmatch(line):
        return True
    if version := _VERSION.match(line):
        return (int(version[1]), int(version[2])) >= _LAST_CHANGE_OF_DEFAULTS
    words = line.split(" ")
    if words[0] == "neighbor" and words[2:3] == ["ebgp-multihop"]:
        return slots.get(("neighbor", words[1], "remote-as"), "").endswith(" internal")
    return False


# -- words -------------------------------------------------------------------------------


def _normal(words: list[str]) -> list[str]:
    """Return a line's words as FRR gives them back."""
    if not _is_text(words):
        words = [_normal_address(word) for word in words]
    own = words[1:] if words[0] == "no" else words
    before = words[: len(words) - len(own)]
    return before + _normal_line(own)


def _is_text(words: Iterable[str]) -> bool:
    return not {"description", "remark", "password", "banner", "message"}.isdisjoint(words)


def _normal_address(word: str) -> str:
    if ":" not in word:
        return word
    try:
        return str(IPv6Address(word))
    except ValueError:
        return word


def _normal_line(words: list[str]) -> list[str]:
    for beginning, normal in _NORMAL.items():
        if " ".join(words[:3]).startswith(beginning):
            return normal(words)
    return words


def _normal_network(words: list[str], *, classful: bool = False) -> list[str]:
    """Return the prefix without host bits; a mask, or the class of an address, as its length."""
    rest, prefix = words[1:], words[0]
    if rest[:1] == ["mask"] and len(rest) > 1:
        prefix, rest = f"{prefix}/{rest[1]}", rest[2:]
    elif "/" not in prefix and rest and _is_mask(rest[0]):
        prefix, rest = f"{prefix}/{rest[0]}", rest[1:]
    elif "/" not in prefix and classful:
        prefix = _classful(prefix)
    return [_network(prefix), *rest]


def _is_mask(word: str) -> bool:
    try:
        return bool(IPv4Address(word))
    except ValueError:
        return False


def _network(prefix: str) -> str:
    if "/" not in prefix:
        return prefix
    try:
        return str(ip_network(prefix, strict=False))
    except ValueError:
        return prefix


def _classful(address: str) -> str:
    try:
        first = int(IPv4Address(address)) >> 24
    except ValueError:
        return address
    return f"{address}/{8 if first < 128 else 16 if first < 192 else 24}"


def _normal_route(words: list[str]) -> list[str]:
    """Return a static route: no host bits, tag before distance, no distance of 1."""
    head, target = words[:2], _normal_network(words[2:])
    rest, tail, distance = [], [], []
    at = 1
    while at < len(target):
        word = target[at]
        if word == "tag":
            tail += target[at : at + 2]
            at += 1
        elif word.isdigit():
            distance = [word] if word != "1" else []
        else:
            rest.append("Null0" if word.lower() == "null0" else word)
        at += 1
    return [*head, target[0], *rest, *tail, *distance]


def _normal_entry(words: list[str]) -> list[str]:
    """Return an entry of a list: no host bits, `ge` before `le`."""
    for at, word in enumerate(words):
        if word in {"permit", "deny"} and at + 1 < len(words):
            bounds = words[at + 2 :]
            if bounds[:1] == ["le"] and bounds[2:3] == ["ge"]:
                bounds = bounds[2:4] + bounds[:2]
            return [*words[: at + 1], _network(words[at + 1]), *bounds]
    return words


def _normal_neighbor(words: list[str]) -> list[str]:
    attribute, value = words[2:3], words[3:]
    if attribute == ["maximum-prefix"] and value[1:2] == ["75"]:
        value = [value[0], *value[2:]]
    if attribute == ["allowas-in"] and value == ["3"]:
        value = []
    return [*words[:2], *attribute, *value]


def _normal_med(words: list[str]) -> list[str]:
    return [*words[:3], *sorted(words[3:])]


_NORMAL: Mapping[str, Callable[[list[str]], list[str]]] = {
    "network ": lambda words: [words[0], *_normal_network(words[1:], classful=True)],
    "aggregate-address ": lambda words: [words[0], *_normal_network(words[1:])],
    "ip route ": _normal_route,
    "ipv6 route ": _normal_route,
    "ip prefix-list ": _normal_entry,
    "ipv6 prefix-list ": _normal_entry,
    "access-list ": _normal_entry,
    "ipv6 access-list ": _normal_entry,
    "neighbor ": _normal_neighbor,
    "bgp bestpath med": _normal_med,
}
