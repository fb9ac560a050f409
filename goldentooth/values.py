"""The kinds of value a fact can have, each with the form it must have and how to say so.

A fact is data, not syntax: every text type here refuses what the grammars of FRR,
HAProxy, ifupdown and YAML could read as more than a word.
"""

from __future__ import annotations

import ipaddress
import re
from functools import cached_property, total_ordering
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any

from msgspec import Meta


@total_ordering
class AddressRange:
    """All IPv4 addresses from ``first`` to ``last``, both included.

    >>> AddressRange.parse("10.4.11.0-10.4.15.254").size
    1279
    >>> AddressRange.parse("10.4.11.0/30")
    AddressRange('10.4.11.0-10.4.11.3')
    """

    # Not a dataclass: msgspec would take that for a mapping of its fields.
    def __init__(self, first: IPv4Address, last: IPv4Address) -> None:
        self._ends = first, last

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AddressRange) and self._ends == other._ends

    def __lt__(self, other: AddressRange) -> bool:
        return self._ends < other._ends

    def __hash__(self) -> int:
        return hash(self._ends)

    def __repr__(self) -> str:
        return f"AddressRange({str(self)!r})"

    @property
    def first(self) -> IPv4Address:
        """The lowest address."""
        return self._ends[0]

    @property
    def last(self) -> IPv4Address:
        """The highest address."""
        return self._ends[1]

    @classmethod
    def parse(cls, text: str) -> AddressRange:
        """Parse ``a-b`` or CIDR notation, the two forms MetalLB takes.

        Raises:
            ValueError: for any other text, or a range that runs backwards.
        """
        if "/" in text:
            network = IPv4Network(text)
            return cls(network[0], network[-1])
        first, last = (IPv4Address(end) for end in text.split("-"))
        if last < first:
            raise ValueError("runs backwards")
        return cls(first, last)

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def __contains__(self, address: object) -> bool:
        return isinstance(address, IPv4Address) and self.first <= address <= self.last

    @property
    def size(self) -> int:
        """How many addresses there are."""
        return int(self.last) - int(self.first) + 1

    def overlaps(self, other: AddressRange | IPv4Network) -> bool:
        """Tell whether any address is in both."""
        first, last = (
            (other.first, other.last) if isinstance(other, AddressRange) else (other[0], other[-1])
        )
        return self.first <= last and first <= self.last

    @cached_property
    def cover(self) -> tuple[IPv4Network, ...]:
        """The fewest prefixes that hold the range, in order.

        A range that by custom leaves out the .0 that begins or the .255 that ends a /24
        is covered with it: no speaker announces that address, and one prefix says what
        would take many.

        >>> [str(prefix) for prefix in AddressRange.parse("10.4.11.0-10.4.15.254").cover]
        ['10.4.11.0/24', '10.4.12.0/22']
        >>> AddressRange.parse("10.4.11.1-10.4.11.1").cover
        (IPv4Network('10.4.11.1/32'),)
        """
        exact = tuple(ipaddress.summarize_address_range(self.first, self.last))
        first = self.first - (int(self.first) & 0xFF == 1)
        last = self.last + (int(self.last) & 0xFF == 254)
        rounded = tuple(ipaddress.summarize_address_range(first, last))
        return min(exact, rounded, key=len)  # of equals the exact one


def _text(
    pattern: str, says: str, remedy: str, *, longest: int = 253, secret: bool = False
) -> Meta:
    return Meta(
        # not \\Z, which JSON Schema does not know: `$` alone would let a final newline pass
        pattern=rf"^(?:{pattern})$(?!\n)",
        max_length=longest,
        extra={"says": says, "remedy": remedy, "secret": secret},
    )


_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_NAME_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"

HostName = Annotated[
    str,
    _text(
        _LABEL,
        "is not a host name",
        "RFC 1123: lower-case letters, digits and hyphens, as in fenn",
        longest=63,
    ),
]
DomainName = Annotated[
    str,
    _text(
        rf"{_LABEL}(?:\.{_LABEL})*",
        "is not a domain name",
        "lower-case labels joined by dots, as in nodes.goldentooth.net",
    ),
]
NameOrAddress = Annotated[
    str,
    _text(
        # no top-level domain is a number: what ends in one is an address, or meant to be
        rf"(?:{_LABEL}\.)*(?![0-9]+$){_LABEL}|{_OCTET}(?:\.{_OCTET}){{3}}",
        "is neither a domain name nor an IPv4 address",
        "as in api.goldentooth.net or 10.4.0.10",
    ),
]
RuleId = Annotated[str, _text(r"[A-Z]+[0-9]{3}", "is not the id of a rule", "as in BGP001")]
RoleName = Annotated[
    str,
    _text(
        r"[a-z][a-z0-9_]*",
        "is not a group name",
        "lower-case letters, digits and underscores, as in control_plane",
        longest=63,
    ),
]
# what ifupdown and the kernel's sysctls take for others than one interface is no name of one
_INTERFACE = r"(?!(?:{taken})$)[A-Za-z][A-Za-z0-9_.-]*"
_INTERFACE_FORM = "letters, digits, '.', '_' and '-', at most 15, as in {example};"

InterfaceName = Annotated[
    str,
    _text(
        _INTERFACE.format(taken="all|auto|default|lo|none"),
        "is not an interface name",
        f"{_INTERFACE_FORM.format(example='wlan0')} leave it away where there is none"
        " (auto is for `interface` of the facts)",
        longest=15,
    ),
]
InterfaceChoice = Annotated[
    str,
    _text(
        _INTERFACE.format(taken="all|default|lo|none"),
        "is not an interface name",
        f"{_INTERFACE_FORM.format(example='eth0')} or auto, for what was discovered",
        longest=15,
    ),
]
MacAddress = Annotated[
    str,
    _text(
        r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}",
        "is not a MAC address",
        'six hexadecimal pairs in quotes, as in "dc:a6:32:00:00:0b"',
    ),
]
Phrase = Annotated[
    str,
    _text(
        r"(?=.*\S)[^\x00-\x1f\x7f-\x9f\u2028\u2029]+",
        "is not one line of text",
        "write words, without line breaks or control characters",
        longest=500,
    ),
]
Login = Annotated[
    str,
    _text(r"[A-Za-z_][A-Za-z0-9_.-]*", "is not a user name", "as in ansible", longest=32),
]
OrdinaryUser = Annotated[
    str,
    _text(
        r"(?!root$)[a-z_][a-z0-9_-]*",
        "is not a user beside root",
        "as in goldentooth: small letters, digits, - and _",
        longest=32,
    ),
]
Calendar = Annotated[
    str,
    _text(
        r"[A-Za-z0-9][A-Za-z0-9:./-]*",
        "is not a calendar expression of one word",
        "systemd.time(7), as in hourly, 03:00 or 00..23:00/15 (every 15 minutes)",
        longest=100,
    ),
]
Folder = Annotated[
    str,
    _text(
        r"(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)+",
        "is not a folder's absolute path",
        "without blanks, as in /srv/goldentooth/network",
        longest=200,
    ),
]
Platform = Annotated[
    str, _text(r"[a-z][a-z0-9_]*", "is not a platform", "linux or opnsense", longest=32)
]
LabelName = Annotated[
    str,
    _text(
        rf"(?:{_LABEL}(?:\.{_LABEL})*/)?{_NAME_PART}",
        "is not a Kubernetes label name",
        "as in node.goldentooth.net/gpu",
        longest=317,
    ),
]
LabelValue = Annotated[
    str,
    _text(
        rf"(?:{_NAME_PART})?",
        "is not a Kubernetes label value",
        "letters, digits, '-', '_' and '.', in quotes where it looks like a number: \"true\"",
        longest=63,
    ),
]
Taint = Annotated[
    str,
    _text(
        rf"(?:{_LABEL}(?:\.{_LABEL})*/)?{_NAME_PART}(?:=(?:{_NAME_PART})?)?"
        r":(?:NoSchedule|PreferNoSchedule|NoExecute)",
        "is not a Kubernetes taint",
        "name[=value]:NoSchedule|PreferNoSchedule|NoExecute",
        longest=400,
    ),
]
KubernetesVersion = Annotated[
    str,
    _text(
        r"(?:(?:stable|latest)(?:-[0-9]+(?:\.[0-9]+)?)?|v[0-9]+\.[0-9]+\.[0-9]+)",
        "is not a Kubernetes version",
        "a label such as stable-1.32, or a release such as v1.32.4",
    ),
]
SocketUrl = Annotated[
    str,
    _text(
        r"unix:///[A-Za-z0-9_./-]+",
        "is not a socket address",
        "as in unix:///run/containerd/containerd.sock",
    ),
]
HttpsUrl = Annotated[
    str,
    _text(
        rf"https://(?:{_LABEL}(?:\.{_LABEL})*|{_OCTET}(?:\.{_OCTET}){{3}})(?::[0-9]{{1,5}})?",
        "is not an https address",
        "https://host or https://host:port, without a path, as in https://10.4.0.1",
    ),
]
FilePath = Annotated[
    str,
    _text(
        r"[A-Za-z0-9_./-]+",
        "is not a file's path",
        "absolute, or from the project's folder on, as in certificates/router.crt",
        longest=500,
    ),
]
Duration = Annotated[
    str,
    _text(
        # HAProxy counts in 31 bits of milliseconds: 24.8 days (configuration manual §2.5)
        r"[1-9][0-9]{0,8}ms|[1-9][0-9]{0,5}s|[1-9][0-9]{0,3}m"
        r"|(?:[1-9][0-9]?|[1-4][0-9]{2})h|(?:[1-9]|1[0-9]|2[0-4])d",
        "is not a duration",
        "a number and a unit (ms, s, m, h, d), as in 10s, 24d at most",
    ),
]
SECRET_REFERENCE = re.compile(
    r"\$\{(?:env:[A-Za-z_][A-Za-z0-9_]*|(?:file|vault):[A-Za-z0-9_./#-]+)\}"
)
"""A reference to a secret: ``${env:NAME}``, ``${file:path}`` or ``${vault:path#field}``."""

Secret = Annotated[
    str,
    _text(
        # of literals only those that no grammar reads as more than a word
        rf"{SECRET_REFERENCE.pattern}|[A-Za-z0-9._:/+=-]+",
        "cannot be a secret",
        "write a reference: ${env:NAME}, ${file:path} or ${vault:path#field}",
        longest=1000,
        secret=True,
    ),
]
Port = Annotated[int, Meta(ge=1, le=65535)]
Asn = Annotated[int, Meta(ge=1, le=4294967294)]
Seconds = Annotated[int, Meta(ge=0, le=65535)]

MOST_PREFIXES = 4294967295
"""The largest bound on prefixes that FRR takes (manual, BGP, `maximum-prefix`)."""


def seconds(duration: str) -> float:
    """Return a :data:`Duration` in seconds.

    >>> seconds("1500ms"), seconds("4h")
    (1.5, 14400.0)
    """
    number, unit = re.fullmatch(r"([0-9]+)([a-z]+)", duration).groups()  # type: ignore[union-attr]  # the type's own form
    return int(number) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}[unit]


_CUSTOM = {
    IPv4Address: (
        "is not an IPv4 address",
        "write four numbers from 0 to 255, as in 10.4.0.11",
        {"type": "string", "format": "ipv4"},
    ),
    IPv4Network: (
        "is not an IPv4 network",
        "write address/prefix length, as in 10.4.0.0/20",
        {"type": "string", "pattern": r"^[0-9.]+/[0-9]{1,2}$"},
    ),
    AddressRange: (
        "is not an address range",
        "write first-last without blanks, or CIDR: 10.4.11.0-10.4.15.254",
        {"type": "string", "pattern": r"^[0-9.]+(-[0-9.]+|/[0-9]{1,2})$"},
    ),
}


class WrongKindError(ValueError):
    """A value of the wrong form: ``says`` what it is not, ``remedy`` what would be right."""

    def __init__(self, says: str, remedy: str) -> None:
        super().__init__(says)
        self.says, self.remedy = says, remedy


def parse_custom(kind: type, value: Any) -> Any:
    """Make an address, a network or a range of ``value``: the decode hook of msgspec.

    Raises:
        WrongKindError: if ``value`` is anything else.
    """
    says, remedy, schema = _CUSTOM[kind]
    if isinstance(value, str) and re.fullmatch(schema.get("pattern", ".*"), value):
        try:
            if kind is AddressRange:
                return AddressRange.parse(value)
            return kind(value)
        except ValueError as error:
            if "host bits" in str(error):
                says = "has host bits set"
                remedy = f"the network is {ipaddress.ip_interface(value).network}"
            elif "backwards" in str(error):
                says, remedy = "runs backwards", "the lower address comes first"
    raise WrongKindError(says, remedy)


def custom_schema(kind: type) -> dict[str, Any]:
    """Return the JSON Schema of an address, a network or a range."""
    return _CUSTOM[kind][2]
