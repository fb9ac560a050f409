"""FRR's commands word by word: the form in which FRR gives them back (FRR 8.4)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

Words = list[str]

_WORD = re.compile(r"[^ \t\r\v\f]+")
_TEXTS = {"description", "remark", "password", "banner", "message", "key-string"}
"""What is followed by a text of its own, in which an address is none."""

_COMMUNITY = re.compile(r"\d{1,10}:\d{1,10}", re.ASCII)
_AGGREGATE_ORDER = ("as-set", "summary-only")
_SHORTER = {
    tuple(given.split(" ")): tuple(shown.split(" "))
    for given, shown in (
        ("bgp bestpath as-path multipath-relax no-as-set", "bgp bestpath as-path multipath-relax"),
        ("bgp dampening 15", "bgp dampening"),
        ("bgp dampening 15 750 2000 60", "bgp dampening"),
        ("bgp max-med administrative 4294967294", "bgp max-med administrative"),
    )
}
"""Commands whose values are the defaults of their shorter form."""

_COMMUNITIES = {
    **{kind: (kind,) for kind in ("standard", "extended", "large")},
    "both": ("standard", "extended"),
    "all": ("standard", "extended", "large"),
}


def split(line: str) -> Words:
    """Return the words of a line, none for a comment."""
    words = _WORD.findall(line)
    return [] if words and words[0][0] in "!#" else words


def commands(words: Words) -> Iterator[Words]:
    """Give the commands that a line is as much as, each as FRR gives it back."""
    if _TEXTS.isdisjoint(words):
        words = [_address(word) for word in words]
    negation = words[:1] if words[0] == "no" and len(words) > 1 else []
    own = words[len(negation) :]
    own = list(_SHORTER.get(tuple(own), own))
    for beginning, rewritten in _REWRITTEN.items():
        if f"{' '.join(own[:4])} ".startswith(beginning):
            yield from (negation + command for command in rewritten(own))
            return
    if own[0] == "neighbor" and len(own) > 2:
        yield from (negation + command for command in _neighbor(own))
    else:
        yield negation + own


def _address(word: str) -> str:
    if ":" not in word:
        return word
    try:
        return str(IPv6Address(word))
    except ValueError:
        return word


def is_address(word: str) -> bool:
    """Tell whether a word is an address, of either version."""
    try:
        return bool(ip_address(word).version)
    except ValueError:
        return False


def _prefix(word: str) -> str:
    """Return a prefix without host bits."""
    if "/" not in word:
        return word
    try:
        return str(ip_network(word, strict=False))
    except ValueError:
        return word


def _is_mask(word: str) -> bool:
    return is_address(word) and ":" not in word


def _with_prefix(words: Words) -> Words:
    """Return ``words``, of which the first is a prefix, or an address with a mask after it."""
    rest, prefix = words[1:], words[0]
    if "/" not in prefix and rest and _is_mask(rest[0]):
        prefix, rest = f"{prefix}/{rest[0]}", rest[1:]
    return [_prefix(prefix), *rest]


def _network(words: Words) -> Iterator[Words]:
    rest = words[1:2] + words[3:] if words[2:3] == ["mask"] else words[1:]
    if rest and "/" not in rest[0] and not (rest[1:] and _is_mask(rest[1])):
        rest = [_classful(rest[0]), *rest[1:]]
    yield ["network", *(_with_prefix(rest) if rest else [])]


def _classful(address: str) -> str:
    """Return an address alone as BGP's `network` takes it: with the length of its class."""
    if not _is_mask(address):
        return address
    first = int(IPv4Address(address)) >> 24
    return f"{address}/{8 if first < 128 else 16 if first < 192 else 24}"


def _aggregate(words: Words) -> Iterator[Words]:
    prefix, *options = _with_prefix(words[1:]) if words[1:] else [""]
    flags = [flag for flag in _AGGREGATE_ORDER if flag in options]
    yield [words[0], prefix, *flags, *(word for word in options if word not in flags)]


def _route(words: Words) -> Iterator[Words]:
    """Give a static route: no host bits, tag before distance, no distance of 1."""
    prefix, *target = _with_prefix(words[2:]) if words[2:] else [""]
    way: Words = []
    tag: Words = []
    distance: Words = []
    remaining = iter(target)
    for word in remaining:
        if word == "tag":
            tag = [word, next(remaining, "")]
        elif word in _ROUTE_VALUES:
            way += [word, next(remaining, "")]
        elif word.isdigit():
            distance = [word] if word != "1" else []
        else:
            way.append("Null0" if word.lower() == "null0" else word)
    yield [*words[:2], prefix, *way, *tag, *distance]


_ROUTE_VALUES = {"label", "color", "nexthop-vrf", "table", "vrf"}


def _entry(words: Words) -> Iterator[Words]:
    """Give an entry of a list: no host bits, `ge` before `le`."""
    at = next((at for at, word in enumerate(words) if word in {"permit", "deny"}), len(words))
    matched = words[at + 1 :]
    if matched:
        bounds = matched[1:]
        if bounds[:1] == ["le"] and bounds[2:3] == ["ge"]:
            bounds = bounds[2:4] + bounds[:2] + bounds[4:]
        matched = [_prefix(matched[0]), *bounds]
    yield [*words[: at + 1], *matched]


def _communities(words: Words) -> Iterator[Words]:
    """Give what lists communities with them sorted: FRR holds a set."""
    are = [bool(_COMMUNITY.fullmatch(word)) for word in words]
    first = are.index(True) if True in are else len(words)
    last = first + sum(are)
    communities = sorted(set(words[first:last]), key=lambda word: word.split(":"))
    yield [*words[:first], *communities, *words[last:]] if all(are[first:last]) else words


def _redistribute(words: Words) -> Iterator[Words]:
    """Give what is redistributed, and each option: they add up over several lines."""
    at = 3 if words[2:3] and words[2].isdigit() else 2  # an instance, a table
    what, options = words[:at], words[at:]
    yield what
    for name, value in zip(options[::2], [*options[1::2], ""], strict=False):
        yield [*what, name, *filter(None, [value])]


def _each(count: int) -> Callable[[Words], Iterator[Words]]:
    """Return what gives one command for each word after the first ``count``."""

    def given(words: Words) -> Iterator[Words]:
        for word in words[count:]:
            yield [*words[:count], word]

    return given


def _cluster(words: Words) -> Iterator[Words]:
    number = words[2] if len(words) > 2 else ""
    is_number = number.isdigit() and int(number) < 2**32
    yield [*words[:2], str(IPv4Address(int(number))) if is_number else number]


def _listen_range(words: Words) -> Iterator[Words]:
    yield [*words[:3], *(_with_prefix(words[3:]) if words[3:] else [])]


def _timers(words: Words) -> Iterator[Words]:
    """Give the timers of BGP with a keepalive of a third of the hold time at most."""
    *before, keepalive, hold = words
    if keepalive.isdigit() and hold.isdigit() and int(hold):
        keepalive = str(min(int(keepalive), int(hold) // 3))
    yield [*before, keepalive, hold]


_REWRITTEN: Mapping[str, Callable[[Words], Iterator[Words]]] = {
    "network ": _network,
    "aggregate-address ": _aggregate,
    "redistribute ": _redistribute,
    "ip route ": _route,
    "ipv6 route ": _route,
    "ip prefix-list ": _entry,
    "ipv6 prefix-list ": _entry,
    "access-list ": _entry,
    "ipv6 access-list ": _entry,
    "bgp bestpath med ": _each(3),
    "bgp community-list standard ": _communities,
    "set community ": _communities,
    "bgp cluster-id ": _cluster,
    "bgp confederation peers ": _each(3),
    "bgp listen range ": _listen_range,
    "timers bgp ": _timers,
}
"""By how a command begins, what gives it as FRR does; text that follows `remark` may change too."""


def _neighbor(words: Words) -> Iterator[Words]:
    who, attribute, value = words[:2], words[2], words[3:]
    if attribute == "interface" and value:
        flags = [word for word in value if word == "v6only"]
        yield [*who, attribute, *flags]
        if value != flags:
            yield [*who, *value[len(flags) :]]
    elif attribute == "send-community" and len(value) < 2:
        for kind in _COMMUNITIES.get(value[0] if value else "standard", tuple(value)):
            yield [*who, attribute, kind]
    elif attribute == "timers" and len(value) == 2:
        yield from _timers(words)
    elif attribute == "bfd":
        yield [*who, attribute]
        if value and value != ["3", "300", "300"]:
            yield words
    else:
        yield [*who, *_VALUES.get((attribute, *value), (attribute, *_value(attribute, value)))]


_VALUES = {
    ("ebgp-multihop",): ("ebgp-multihop", "255"),
    ("next-hop-self", "all"): ("next-hop-self", "force"),
    ("allowas-in", "3"): ("allowas-in",),
    ("attribute-unchanged",): ("attribute-unchanged", "as-path", "next-hop", "med"),
}


def _value(attribute: str, value: Words) -> Words:
    if attribute == "maximum-prefix" and value[1:2] == ["75"]:
        return [value[0], *value[2:]]
    if attribute == "shutdown" and value[:1] == ["rtt"] and len(value) == 2:
        return [*value, "count", "1"]
    return value
