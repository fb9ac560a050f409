"""What is in one range of addresses and not in others."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network

from goldentooth.values import AddressRange


def as_range(network: IPv4Network) -> AddressRange:
    """Return all addresses of ``network``, the first and the last included."""
    return AddressRange(network[0], network[-1])


def without(whole: AddressRange, parts: Iterable[IPv4Network]) -> list[AddressRange]:
    """Return what is left of ``whole`` when ``parts`` are taken out, in order.

    >>> without(AddressRange.parse("10.4.11.0-10.4.15.254"), [IPv4Network("10.4.11.0/24")])
    [AddressRange('10.4.12.0-10.4.15.254')]
    """
    left: list[AddressRange] = []
    start = int(whole.first)
    for part in sorted(parts):
        first, last = int(part[0]), int(part[-1])
        if first > int(whole.last):
            break
        if first > start:
            left.append(AddressRange(IPv4Address(start), IPv4Address(first - 1)))
        start = max(start, last + 1)
    if start <= int(whole.last):
        left.append(AddressRange(IPv4Address(start), whole.last))
    return left


def describe(ranges: list[AddressRange]) -> str:
    """Return ``ranges`` for a person, at most three: ``10.4.12.0-10.4.15.254 (1023)``.

    >>> describe(without(AddressRange.parse("10.4.11.0/29"), [IPv4Network("10.4.11.0/30")]))
    '10.4.11.4-10.4.11.7 (4 addresses)'
    """
    total = sum(item.size for item in ranges)
    shown = ", ".join(str(item.first) if item.size == 1 else str(item) for item in ranges[:3])
    more = ", …" if len(ranges) > 3 else ""
    return f"{shown}{more} ({total} address{'es' * (total != 1)})"
