"""FRR's configuration: frr.conf, and what `show running-config` gives back of it (FRR 8.4).

FRR reads commands one after the other, and forgets in which order they came: what is kept is a
slot for each thing that can be set. So lines are put into slots here too; the last one wins, and
slots are sorted. Defaults that FRR leaves out of the running configuration are left out, and what
FRR adds to it about itself (its version, its host's name).

A neighbor that is spoken of before it is made is refused by FRR: the line has no effect, and is
shown as ``refused``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from goldentooth.compare.frr_slots import (
    LISTS,
    UNSET,
    Slot,
    in_turn,
    is_default,
    is_of_family,
    slot,
)
from goldentooth.compare.frr_words import commands, is_address, split

_IPV4 = "address-family ipv4 unicast"

_TOP = re.compile(
    r"(router|interface|vrf|key chain|nexthop-group|pbr-map|l2vpn|pseudowire) "
    r"|route-map \S+ (permit|deny) \d+$|(bfd|rpki|segment-routing|line vty|mpls ldp)$"
)
"""Lines that begin a block wherever they stand."""

_TOP_LINE = re.compile(
    r"(no )?((ip|ipv6) (prefix-list|forwarding|nht|protocol|route) |access-list |frr |log |debug "
    r"|hostname |service |route-map \S+ optimization"
    r"|bgp (as-path|community-list|large-community-list|extcommunity-list|route-map) )"
)
"""Lines that no block has, so that they end the one before them."""

_INNER = {
    "router bgp ": re.compile(r"address-family |vrf-policy |bmp targets |segment-routing srv6"),
    "address-family l2vpn": re.compile(r"vni "),
    "bfd": re.compile(r"(peer|profile) "),
    "interface ": re.compile(r"link-params"),
    "key chain ": re.compile(r"key "),
    "segment-routing": re.compile(r"traffic-eng|srv6"),
    "traffic-eng": re.compile(r"segment-list |policy |pcep"),
    "srv6": re.compile(r"locators"),
    "locators": re.compile(r"locator "),
    "mpls ldp": re.compile(r"address-family "),
}
"""By what a block begins with, the lines that begin one in it."""

_EMPTY_IS_NOTHING = re.compile(r"interface |line vty|bfd|address-family ")
_VERSION = re.compile(r"^[ \t]*frr version ", re.MULTILINE)

Block = tuple[str, ...]


def canonical(text: str) -> tuple[str, ...]:
    r"""Return the blocks, each once with its lines sorted, indented by one blank a level.

    >>> canonical("router bgp 1\n neighbor G peer-group\n bgp router-id 1.1.1.1\n!\nend")
    ('router bgp 1', ' bgp router-id 1.1.1.1', ' neighbor G peer-group')
    """
    configuration = _Configuration()
    is_written_by_frr = _VERSION.search(text)
    for block, words in _lines(text):
        # zebra writes down what the kernel does, whoever told it to
        if not (is_written_by_frr and words == ["no", "ipv6", "forwarding"]):
            configuration.read(block, words)
    return tuple(configuration.written())


def _lines(text: str) -> Iterator[tuple[Block, list[str]]]:
    """Give the words of each line with the blocks that it is in; none for a block's beginning."""
    block: Block = ()
    has_left = False
    for raw in text.split("\n"):
        if not (words := split(raw)):
            continue
        if has_left:
            yield (), ["unread:", *words]
        elif words[0] == "end":
            block = ()
        elif words[0] in {"exit", "quit"}:
            has_left = not block  # vtysh leaves the configuration, and refuses what follows
            block = block[:-1]
        elif words[0].startswith("exit-"):
            block = block[:-1] if _is_end(words[0], block) else block
        elif (entered := _entered(block, " ".join(words))) is not None:
            block = entered
            yield block, words[2:3] if words[0] == "route-map" else []
        else:
            block = _left(block, words)
            yield block, words


def _is_end(word: str, block: Block) -> bool:
    """Tell whether ``exit-vrf`` and the like end the block: each ends but its own."""
    kind = word.removeprefix("exit-")
    return bool(block) and (block[-1].startswith(kind) or kind not in {"address-family", "vrf"})


def _entered(block: Block, line: str) -> Block | None:
    """Return the blocks that ``line`` enters from ``block``, or None."""
    for depth in range(len(block), 0, -1):
        for beginning, pattern in _INNER.items():
            if block[depth - 1].startswith(beginning) and pattern.match(line):
                opener = re.sub(r"^(address-family ipv[46])$", r"\1 unicast", line)
                return (*block[:depth], opener)
    # an entry of a route-map is one whether it permits or denies
    entry = re.sub(r"^(route-map \S+) (?:permit|deny) ", r"\1 ", line)
    return (entry,) if _TOP.match(line) else None


def _left(block: Block, words: list[str]) -> Block:
    """Return the blocks that a line is in which belongs to an outer one, as vtysh finds out."""
    if _TOP_LINE.match(f"{' '.join(words)} "):
        return block[:1] if "route" in words[:3] and block[:1] and block[0][:4] == "vrf " else ()
    own = words[1:] if words[0] == "no" else words
    in_family = len(block) == 2 and block[1].startswith("address-family ")
    if in_family and own[:1] == ["neighbor"] and not is_of_family(own):
        return block[:1]
    return block


class _Configuration:
    """What FRR would hold after the lines that it was given."""

    def __init__(self) -> None:
        self._blocks: dict[Block, dict[Slot, str]] = {(): {}}
        self._routers: dict[str, _Router] = {}
        self._highest: dict[str, int] = {}
        """The number of each list's last entry."""

    def read(self, block: Block, words: list[str]) -> None:
        """Take in one line of ``block``."""
        self._blocks.setdefault(block, {})
        for command in commands(words) if words else ():
            self._set(*self._placed(block, command))

    def _placed(self, block: Block, words: list[str]) -> tuple[Block, list[str]]:
        """Return where a command ends up, and what it is there."""
        if len(block) == 1 and block[0].startswith("router bgp ") and is_of_family(words):
            return (*block, _IPV4), words
        at = words.index("vrf") if not block and words[1:2] == ["route"] and "vrf" in words else 0
        if at and at + 1 < len(words):
            return (f"vrf {words[at + 1]}",), words[:at] + words[at + 2 :]
        return block, words

    def _set(self, block: Block, words: list[str]) -> None:
        if block and block[0].startswith("router bgp "):
            router = self._routers.setdefault(block[0], _Router())
            if router.keeps(block[1:], words):
                return
            words = ["refused:", *words] if router.refuses(words) else words
        line = self._numbered(" ".join(words))
        slots = self._blocks.setdefault(block, {})
        name = slot(line, len(slots))
        before = slots.get(name, "")
        if unset := UNSET.fullmatch(line):
            if line.startswith("no redistribute "):
                for option in [each for each in slots if each[: len(name)] == name]:
                    del slots[option]
            elif f"{before} ".startswith(f"{unset['what']} "):
                del slots[name]
            elif before:  # another value than is set: whether FRR minds depends on the command
                slots[(*name, f"{len(slots):06}")] = line
            return
        if _repeats(slots, line):
            return
        slots.pop(name, None)
        slots[name] = line

    def _numbered(self, line: str) -> str:
        """Return the entry of a list with the number that FRR gives it."""
        if not (found := LISTS.fullmatch(line)):
            return line
        highest = self._highest.get(found["list"], 0)
        number = int(found["seq"] or highest // 5 * 5 + 5)
        self._highest[found["list"]] = max(highest, number)
        return f"{found['list']} seq {number} {found['entry']}"

    def written(self) -> Iterator[str]:
        """Give all lines, sorted."""
        for name, router in self._routers.items():
            for family, line in router.activations():
                slots = self._blocks.setdefault((name, family), {})
                slots[tuple(line.split(" "))] = line
        yield from self._block((), "")

    def _block(self, block: Block, indent: str) -> Iterator[str]:
        router = self._routers.get(block[0]) if block else None
        slots = enumerate(self._blocks.get(block, {}).items())
        for _, line in sorted((in_turn(name, place), line) for place, (name, line) in slots):
            if not is_default(line) and not (router and router.is_implied(line)):
                yield f"{indent}{line}"
        depth = len(block)
        inner = {other[: depth + 1] for other in self._blocks if other[:depth] == block} - {block}
        for child in sorted(inner):
            lines = list(self._block(child, f"{indent} "))
            if lines or not _EMPTY_IS_NOTHING.match(child[-1]):
                yield f"{indent}{child[-1]}"
                yield from lines


def _repeats(slots: dict[Slot, str], line: str) -> bool:
    """Tell whether a list has an entry already, by whatever number: it is not taken again."""
    found = LISTS.fullmatch(line)
    if not found:
        return False
    same = re.compile(rf"{re.escape(found['list'])} seq \d+ {re.escape(found['entry'])}")
    return any(same.fullmatch(other) for other in slots.values())


class _Router:
    """The neighbors of a BGP router: which there are, and in which address families."""

    def __init__(self) -> None:
        self._has_as: dict[str, bool] = {}
        """By name, for each neighbor and peer group: whether its AS is known."""
        self._group: dict[str, str] = {}
        self._internal: set[str] = set()
        self._by_default: dict[str, bool] = {_IPV4: True}
        self._active: dict[tuple[str, str], bool] = {}

    def keeps(self, family: Block, words: list[str]) -> bool:
        """Take in a command on the activation of a neighbor that is there; else return False."""
        own = words[1:] if words[0] == "no" else words
        if own[:2] == ["bgp", "default"] and own[2:] and own[2].endswith("-unicast"):
            name = f"address-family {own[2].replace('-', ' ')}"
            self._by_default[name] = words[0] != "no"
            return False
        if not family or own[2:] != ["activate"] or own[1] not in self._has_as:
            return False
        self._activate(family[0], own[1], is_active=words[0] != "no")
        return True

    def _activate(self, family: str, name: str, *, is_active: bool) -> None:
        if self._active.get((family, name), False) == is_active:
            return
        self._active[family, name] = is_active
        for member, group in self._group.items():
            if group == name:
                self._active[family, member] = is_active

    def refuses(self, words: list[str]) -> bool:
        """Tell whether a command is about a neighbor or group that is not there yet."""
        if words[:3] == ["bgp", "listen", "range"] and words[4:5] == ["peer-group"]:
            return words[-1] not in self._has_as
        if words[0] != "neighbor" or len(words) < 3:
            return False
        name, attribute, value = words[1], words[2], words[3:]
        if attribute == "peer-group" and value:
            return not self._join(name, value[0])
        makes = attribute in {"interface", "peer-group"}
        makes = makes or (attribute == "remote-as" and is_address(name))
        if makes and name not in self._has_as:
            self._has_as[name] = False
            for family, by_default in self._by_default.items():
                self._active[family, name] = by_default
        if attribute == "remote-as":
            if self._has_groups_as(name):
                return True
            if name not in self._has_as:
                return True
            self._has_as[name] = True
            (self._internal.add if value == ["internal"] else self._internal.discard)(name)
        return name not in self._has_as

    def _join(self, name: str, group: str) -> bool:
        """Make a neighbor a member, if an AS is known and it is in no other group; tell whether."""
        if group not in self._has_as or self._group.get(name, group) != group:
            return False
        if not (self._has_as[group] or name in self._has_as):
            return False
        self._has_as[name] = True
        self._group[name] = group
        for family in {family for family, _ in self._active}:
            self._active[family, name] = self._active.get((family, group), False)
        return True

    def _has_groups_as(self, name: str) -> bool:
        return self._has_as.get(self._group.get(name, ""), False)

    def activations(self) -> Iterator[tuple[str, str]]:
        """Give each address family and what FRR says in it on who is active and who is not."""
        for (family, name), is_active in self._active.items():
            group = self._group.get(name)
            usual = self._by_default.get(family, False)
            if is_active != (self._active.get((family, group), False) if group else usual):
                yield family, f"{'' if is_active else 'no '}neighbor {name} activate"

    def is_implied(self, line: str) -> bool:
        """Tell whether a line says what a neighbor is anyway."""
        words = line.split(" ")
        if words[0] == "neighbor" and words[2:3] == ["remote-as"]:
            return self._has_groups_as(words[1])  # it gave way to the group's when it joined
        is_multihop = words[0] == "neighbor" and words[2:3] == ["ebgp-multihop"]
        return is_multihop and words[1] in self._internal  # FRR shows it of its own accord
