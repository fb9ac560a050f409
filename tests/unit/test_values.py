"""Every kind of fact has one form, and nothing in it can become syntax."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, summarize_address_range
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from goldentooth import facts, values
from goldentooth.values import AddressRange, WrongKindError, parse_custom, seconds

# -- no fact can become syntax -------------------------------------------------------------

FILES = (facts.HostsFile, facts.GroupsFile, facts.DefaultsEntry, facts.DiscoveredFile)
FREE = {
    # Nornir's names of connection plugins and their own arguments: never part of an artifact
    "connection_options.<key>",
    "connection_options.<value>.extras.<key>",
}
SYNTAX = [
    *("a\nb", "a\n", "\na", "a\r", "a\rb", "a\x00", "a\x1b[2Ja", "a\x7f", "a\x85b", "a\u2028b"),
    *('a"b', "a'b", '"', "a;b", "a#b", "a #b", "#", "{{ a }}", "{{", "a{% b %}", "`a`", "a`"),
    *("$(a)", "$a", "${a}", "${env:A}b", "a|b", "a&b", "a>b", "a<b", "a b", " a", "a ", "a\\b"),
    *("a\tb", "!a", "a!b", "a*b", "?a", "[a]", "(a)", "a,b", "a%b", "a^b", "~a", "é", "\uff11"),
]
LINE_BREAKS_AND_CONTROLS = [text for text in SYNTAX if not text.isprintable() and text != "\uff11"]


def texts(kind: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the type of everything that is text in ``kind``, however deep."""
    plain = typing.get_args(kind)[0] if typing.get_origin(kind) is typing.Annotated else kind
    origin, inner = typing.get_origin(plain), typing.get_args(plain)
    if origin is typing.Annotated:
        yield from texts(plain, name)
    elif isinstance(plain, type) and issubclass(plain, msgspec.Struct):
        for field, hint in typing.get_type_hints(plain, include_extras=True).items():
            yield from texts(hint, f"{name}.{field}".lstrip("."))
    elif origin is dict:
        yield from texts(inner[0], f"{name}.<key>".lstrip("."))
        yield from texts(inner[1], f"{name}.<value>".lstrip("."))
    elif origin is tuple:
        yield from texts(inner[0], f"{name}.<item>")
    elif origin in (typing.Union, types.UnionType):
        for member in inner:
            yield from texts(member, name)
    elif plain in (str, IPv4Address, IPv4Network, AddressRange) or origin is typing.Literal:
        yield name, kind
    else:
        assert plain in (int, bool, type(None)) or (plain is Any and "extras" in name), (name, kind)


def is_phrase(kind: Any) -> bool:
    (mark,) = typing.get_args(facts.Phrase)[1:]
    return mark in typing.get_args(kind)


# by name and type: one name may take text of two kinds
TEXTS = {
    (name.removeprefix("<value>."), str(kind)): kind for file in FILES for name, kind in texts(file)
}
BOUND = [
    pytest.param(kind, id=name)
    for (name, _), kind in TEXTS.items()
    if name not in FREE and not is_phrase(kind)
]
PHRASES = {name for (name, _), kind in TEXTS.items() if is_phrase(kind)}


def test_the_walk_finds_the_facts() -> None:
    names = {name for name, _ in TEXTS}
    assert {
        "hostname",
        "groups.<item>",
        "data.mac",
        "data.node_labels.<key>",
        "data.node_labels.<value>",
        "data.bgp.accept_prefixes",
        "data.bgp.accept_prefixes.<item>",
        "data.bgp.password",
        "data.kubernetes.version",
        "data.haproxy.timeouts.client",
    } <= names


@pytest.mark.parametrize("text", SYNTAX, ids=ascii)
@pytest.mark.parametrize("kind", BOUND)
def test_no_fact_can_become_syntax(kind: Any, text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, kind, dec_hook=parse_custom)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=12))
@pytest.mark.parametrize("kind", BOUND)
def test_whatever_a_fact_holds_is_one_plain_word(kind: Any, text: str) -> None:
    try:
        msgspec.convert(text, kind, dec_hook=parse_custom)
    except msgspec.ValidationError:
        return
    assert text.isascii()
    assert not set(text) - set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/:=+"
    )


def test_only_what_people_read_may_hold_punctuation() -> None:
    seen_on_hosts = {"architecture", "kernel", "<key>", "<value>"}  # discovered.yaml: never used
    for_people = {"hardware", "reason", "subject"}
    assert {name.rpartition(".")[2] for name in PHRASES} == for_people | seen_on_hosts


@pytest.mark.parametrize("text", LINE_BREAKS_AND_CONTROLS, ids=ascii)
def test_a_phrase_is_one_line_of_visible_text(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, facts.Phrase)


def test_a_phrase_may_hold_visible_punctuation() -> None:
    assert msgspec.convert('Pi 4B; 8 GB, "rev. 1.4" #2 é', facts.Phrase)


# -- forms ---------------------------------------------------------------------------------

FORMS = [
    (
        values.HostName,
        ["fenn", "n1", "a-b", "x" * 63],
        ["", "-a", "a-", "A", "a.b", "a_b", "x" * 64],
    ),
    (
        values.DomainName,
        ["goldentooth.net", "local", "x" * 63 + ".net"],
        ["", ".net", "a..b", "a.", "A.net", "x" * 64 + ".net", "a." * 126 + "ab"],
    ),
    (
        values.NameOrAddress,
        ["10.4.0.10", "255.255.255.255", "api.goldentooth.net", "fenn", "1a", "4.a"],
        ["10.4.0.300", "10.4.0", "1.2.3.4.5", "10", "01.2.3.4", "10.4.0.10/20", "-a"],
    ),
    (values.RuleId, ["BGP001"], ["bgp001", "BGP1", "BGP0001", "001"]),
    (values.RoleName, ["control_plane", "k8s"], ["", "8s", "a-b", "A", "_a"]),
    (
        values.InterfaceName,
        ["eth0", "autonet", "br-lan.10", "loop"],
        ["", "0eth", "a" * 16, "eth 0", "eth/0", "auto", "all", "default", "lo", "none"],
    ),
    (values.InterfaceChoice, ["eth0", "auto"], ["eth 0", "all", "default", "lo", "none"]),
    (
        values.MacAddress,
        ["dc:a6:32:00:00:0b", "DC:A6:32:00:00:0B"],
        ["dc-a6-32-00-00-0b", "dc:a6:32:00:00", "dca63200000b", "gg:a6:32:00:00:0b"],
    ),
    (values.Login, ["ansible", "_a"], ["", "0a", "a b", "a" * 33]),
    (
        values.LabelName,
        ["gpu", "node.goldentooth.net/gpu"],
        ["", "/gpu", "a/", "a/b/c", "A.b/c", "-a"],
    ),
    (values.LabelValue, ["", "true", "a.b_c-D"], ["-a", "a-", "a/b", "a" * 64]),
    (
        values.Taint,
        ["gpu:NoSchedule", "a.b/gpu=true:NoExecute", "gpu=:PreferNoSchedule"],
        ["gpu", "gpu:Never", "gpu=true", ":NoSchedule"],
    ),
    (
        values.KubernetesVersion,
        ["stable-1.32", "stable", "latest-1", "v1.32.4"],
        ["1.32", "v1.32", "1.32.4", "stable-v1.32", "stable-", "v1.32.4-rc.0"],
    ),
    (
        values.SocketUrl,
        ["unix:///run/a.sock"],
        ["/run/a.sock", "unix://run", "tcp:///x", "unix:///"],
    ),
    (
        values.Duration,
        ["1ms", "999999999ms", "2s", "999999s", "9999m", "1h", "499h", "1d", "19d", "24d"],
        ["0s", "2", "s", "-1s", "1.5s", "01s", "2 s", "1w", "1000000s", "10000m", "500h", "25d"],
    ),
    (
        values.Secret,
        [
            "${env:A_1}",
            "${file:a/b.txt}",
            "${vault:kubeadm/join#token}",
            "sha256:0aF",
            "ab.cd-ef==",
        ],
        ["", "${env:}", "${env:1}", "${cloud:x}", "${vault:a b}", "${env:A}${env:B}", "a$b", "{a}"],
    ),
    (values.Port, [1, 65535], [0, 65536, -1, "6443", 1.0, True, None]),
    (values.Asn, [1, 64500, 4294967294], [0, 4294967295, "64500", 1.5]),
    (
        IPv4Address,
        ["10.4.0.11"],
        ["", "10.4.0.300", "10.4.0", "010.4.0.1", "::1", "10.4.0.1/20", 1, None],
    ),
    (
        IPv4Network,
        ["10.4.0.0/20", "0.0.0.0/0", "10.4.0.1/32"],
        [
            "10.4.0.0",
            "10.4.0.1/20",
            "10.4.0.0/33",
            "10.4.0.0/255.255.240.0",
            "10.4.0.0/020",
            "::/0",
        ],
    ),
    (
        AddressRange,
        ["10.4.11.0-10.4.15.254", "10.4.11.0/24", "10.4.0.1-10.4.0.1"],
        [
            "10.4.11.0",
            "10.4.11.0 - 10.4.15.254",
            "10.4.15.0-10.4.11.0",
            "10.4.11.1/24",
            "1.1.1.1-2-3",
        ],
    ),
]


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, good, _ in FORMS for value in good], ids=repr
)
def test_a_value_of_the_right_form_is_taken(kind: Any, value: object) -> None:
    assert str(msgspec.convert(value, kind, dec_hook=parse_custom)).startswith(str(value)[:4])


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, _, bad in FORMS for value in bad], ids=repr
)
def test_a_value_of_another_form_is_refused(kind: Any, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(value, kind, dec_hook=parse_custom)


def test_host_bits_are_answered_with_the_network() -> None:
    with pytest.raises(WrongKindError) as caught:
        parse_custom(IPv4Network, "10.4.0.1/20")
    assert (caught.value.says, caught.value.remedy) == (
        "has host bits set",
        "the network is 10.4.0.0/20",
    )


def test_a_range_that_runs_backwards_is_called_so() -> None:
    with pytest.raises(WrongKindError, match="runs backwards"):
        parse_custom(AddressRange, "10.4.15.0-10.4.11.0")


@pytest.mark.parametrize(
    ("duration", "length"), [("1500ms", 1.5), ("2s", 2), ("3m", 180), ("4h", 14400), ("1d", 86400)]
)
def test_a_duration_is_counted_in_seconds(duration: str, length: float) -> None:
    assert seconds(duration) == length


# -- address ranges ------------------------------------------------------------------------

ADDRESSES = st.integers(0, 2**32 - 1)
# ends near the borders of a /24, where the rule of the cover bites
BORDERS = st.builds(
    lambda block, end: min(max(block * 256 + end, 0), 2**32 - 1),
    st.integers(0, 2**24 - 1),
    st.sampled_from([-2, -1, 0, 1, 2, 127, 128, 253, 254, 255]),
)
RANGES = st.builds(
    lambda one, other: AddressRange(IPv4Address(min(one, other)), IPv4Address(max(one, other))),
    ADDRESSES | BORDERS,
    ADDRESSES | BORDERS,
) | st.builds(
    lambda first, length: AddressRange(
        IPv4Address(first), IPv4Address(min(first + length, 2**32 - 1))
    ),
    BORDERS,
    st.integers(0, 1024),
)
POOL = AddressRange.parse("10.4.11.0-10.4.15.254")


def test_the_pool_of_the_design_is_covered_by_two_prefixes() -> None:
    assert POOL.cover == (IPv4Network("10.4.11.0/24"), IPv4Network("10.4.12.0/22"))


@settings(max_examples=300, deadline=None)
@given(RANGES)
@example(AddressRange.parse("0.0.0.0-255.255.255.255"))
@example(AddressRange.parse("0.0.0.1-255.255.255.254"))
@example(AddressRange.parse("10.0.0.1-10.0.0.1"))
@example(AddressRange.parse("10.0.0.254-10.0.0.254"))
def test_the_cover_holds_the_range_and_at_most_one_address_more_at_each_end(
    pool: AddressRange,
) -> None:
    first, last = pool.cover[0][0], pool.cover[-1][-1]
    for before, after in zip(pool.cover, pool.cover[1:], strict=False):
        assert int(before[-1]) + 1 == int(after[0])  # in order, no gap, no overlap
    assert first == pool.first or (int(first) % 256 == 0 and int(pool.first) == int(first) + 1)
    assert last == pool.last or (int(last) % 256 == 255 and int(pool.last) == int(last) - 1)


@settings(max_examples=300, deadline=None)
@given(RANGES)
@example(AddressRange.parse("10.0.0.1-10.0.0.2"))
def test_the_cover_is_the_shortest_and_exact_unless_rounding_shortens_it(
    pool: AddressRange,
) -> None:
    def prefixes(first: int, last: int) -> int:
        ends = IPv4Address(int(pool.first) - first), IPv4Address(int(pool.last) + last)
        return len(list(summarize_address_range(*ends)))

    below, above = int(pool.first) % 256 == 1, int(pool.last) % 256 == 254
    lengths = [prefixes(x, y) for x in range(below + 1) for y in range(above + 1)]
    assert len(pool.cover) == min(lengths)
    is_exact = (pool.cover[0][0], pool.cover[-1][-1]) == (pool.first, pool.last)
    assert is_exact == (min(lengths) == prefixes(0, 0))


@settings(max_examples=100, deadline=None)
@given(RANGES, RANGES)
def test_two_ranges_overlap_if_an_address_is_in_both(
    one: AddressRange, other: AddressRange
) -> None:
    shared = max(one.first, other.first) <= min(one.last, other.last)
    assert one.overlaps(other) == other.overlaps(one) == shared


@settings(max_examples=100, deadline=None)
@given(RANGES)
def test_a_range_is_read_back_from_its_text(pool: AddressRange) -> None:
    again = AddressRange.parse(str(pool))
    assert again == pool
    assert hash(again) == hash(pool)
    assert pool.size == int(pool.last) - int(pool.first) + 1
    assert pool.first in pool
    assert pool.last in pool


@settings(max_examples=100, deadline=None)
@given(RANGES)
def test_the_addresses_beside_a_range_are_not_in_it(pool: AddressRange) -> None:
    assume(int(pool.first) > 0)
    assume(int(pool.last) < 2**32 - 1)
    assert pool.first - 1 not in pool
    assert pool.last + 1 not in pool


def test_a_range_overlaps_a_network_that_it_touches() -> None:
    assert POOL.overlaps(IPv4Network("10.4.15.254/32"))
    assert not POOL.overlaps(IPv4Network("10.4.15.255/32"))
    assert not POOL.overlaps(IPv4Network("10.4.10.0/24"))


def test_ranges_are_ordered_by_their_first_address() -> None:
    ranges = [
        AddressRange.parse(text) for text in ("10.0.0.2-10.0.0.3", "9.0.0.0/8", "10.0.0.2/32")
    ]
    assert [str(each) for each in sorted(ranges)] == [
        "9.0.0.0-9.255.255.255",
        "10.0.0.2-10.0.0.2",
        "10.0.0.2-10.0.0.3",
    ]


def test_a_range_does_not_change() -> None:
    with pytest.raises(AttributeError):
        POOL.first = POOL.last  # type: ignore[misc]  # that it cannot be is the point
