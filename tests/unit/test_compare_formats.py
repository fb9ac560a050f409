"""What FRR, ifupdown, sysctl and YAML make of a text says what is a difference."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from goldentooth.compare import FORMATS, canonical, same_meaning, unified
from tests.namespaces import needs, run_judge

BUILD = Path(__file__).parents[1] / "golden/build"


def chance_of(name: str) -> random.Random:
    return random.Random(name)  # noqa: S311  # the same choices on every run


def changed_number_or_word(text: str, chance: random.Random) -> str:
    """Return ``text`` with another number or one more letter in a word that is no comment's."""
    found = re.finditer(r"(?m)^[ \t]*#.*|[\w.:/-]+", text)
    word = chance.choice([match for match in found if "#" not in match[0]])
    number = re.search(r"\d+", word[0])
    at, end = number.span() if number else (len(word[0]), len(word[0]))
    new = str(int(number[0]) + 1) if number else "x"
    return text[: word.start() + at] + new + text[word.start() + end :]


# -- FRR: what FRR 8.4 was seen to do, tests/twin/test_compare_frr.py looks for more ---------

GROUPS = """\
router bgp 1
 neighbor A peer-group
 neighbor A remote-as 2
 neighbor B peer-group
 neighbor B remote-as 3
"""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # a neighbor is made first, and stays in its first group
        ("neighbor 10.0.0.1 remote-as 2\n neighbor 10.0.0.1 passive",
         "neighbor 10.0.0.1 passive\n neighbor 10.0.0.1 remote-as 2"),
        ("neighbor 10.0.0.1 peer-group A\n neighbor 10.0.0.1 peer-group B",
         "neighbor 10.0.0.1 peer-group B\n neighbor 10.0.0.1 peer-group A"),
        ("bgp router-id 1.1.1.1\n bgp router-id 2.2.2.2",
         "bgp router-id 2.2.2.2\n bgp router-id 1.1.1.1"),
        ("maximum-paths 2", "maximum-paths ibgp 2"),
        ("redistribute static metric 9",
         "redistribute static metric 9\n redistribute static route-map X"),
        ("exit\nexit\nip prefix-list X permit any", "exit\nip prefix-list X permit any"),
        ("no bgp default ipv4-unicast\n neighbor 10.0.0.1 remote-as 2",
         "neighbor 10.0.0.1 remote-as 2\n no bgp default ipv4-unicast"),
    ],
)  # fmt: skip
def test_what_frr_takes_in_turn_is_a_difference(one: str, other: str) -> None:
    assert not same_meaning("frr", f"{GROUPS} {one}\n", f"{GROUPS} {other}\n")


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("frr version 8.4.4", "", True),
        ("frr version 7.3", "", False),
        ("frr defaults traditional", "", True),
        ("frr defaults datacenter", "", False),
        ("frr version 8.4.4\nno ipv6 forwarding", "", True),
        ("no ipv6 forwarding", "", False),
        ("frr version 8.4.4\nno ip forwarding", "", False),
        ("log syslog informational", "", False),
    ],
)
def test_what_frr_says_of_itself_is_no_difference(one: str, other: str, is_same: bool) -> None:
    assert same_meaning("frr", f"{one}\n", f"{other}\n") is is_same


# -- interfaces ---------------------------------------------------------------------------

INTERFACES = """\
auto lo eth0
allow-hotplug wlan0
iface lo inet loopback

iface eth0 inet static
    address 10.4.0.10/20
    gateway 10.4.0.1
    mtu 1400
    # load-balancer addresses
    up   ip -4 route replace 10.4.11.0/24 via 10.4.0.1 \\
        dev eth0
    post-up echo "two  blanks"
    down true
    pre-down echo gone
iface eth0 inet6 manual
    up true
iface wlan0 inet manual
    pre-up false
"""


def ifquery(text: str, file: Path) -> list[list[str]]:
    """Return what ifupdown reads: what is brought up in which order, and each interface."""
    file.write_text(text)
    base = ("ifquery", "-i", str(file))
    queries = [("--list",), ("--list", "--allow", "hotplug"), ("lo",), ("eth0",), ("wlan0",)]
    answers = []
    for query in queries:
        lines = run_judge(*base, *query).stdout.split("\n")
        commands = [line for line in lines if re.match(r"(pre-)?(up|down): ", line)]
        others = sorted(line for line in lines if line not in commands)
        listed = "--list" in query
        answers.append(lines if listed else [*sorted(commands, key=lambda each: each[:4]), *others])
    return answers


@needs("ifquery", "ifupdown")
def test_what_ifupdown_reads_alike_is_no_difference_and_nothing_else(tmp_path: Path) -> None:
    chance = chance_of("interfaces")
    before = ifquery(INTERFACES, tmp_path / "interfaces")
    seen = {True: 0, False: 0}
    for _ in range(60):
        other = INTERFACES
        for _ in range(chance.randint(1, 2)):
            other = another_order(other, chance)
        if chance.random() < 0.3:
            other = changed_number_or_word(other, chance)
        is_alike = ifquery(other, tmp_path / "interfaces") == before
        if not is_alike:
            assert not same_meaning("interfaces", INTERFACES, other), other
        elif other.split() != INTERFACES.split():
            assert same_meaning("interfaces", INTERFACES, other), other
        seen[is_alike] += 1
    assert min(seen.values()) >= 10


def another_order(text: str, chance: random.Random) -> str:
    """Return ``text`` with two lines of one stanza swapped, a comment, or other blanks."""
    lines = text.split("\n")
    at = chance.randrange(len(lines) - 1)
    both = lines[at : at + 2]
    joined = any(line.endswith("\\") for line in lines[max(at - 1, 0) : at + 2])
    if all(line[:1] == " " for line in both) and not joined:
        lines[at : at + 2] = both[::-1]
    elif not joined and lines[at][:1] != " ":
        lines.insert(at, chance.choice(("", "# a comment \\", "   # another")))
    elif not joined:
        lines[at] = f"\t{lines[at].strip()}  "
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("auto eth0", "allow-hotplug eth0"),
        ("auto eth0 eth1", "auto eth1 eth0"),
        ("iface a inet manual\n up x\n up y", "iface a inet manual\n up y\n up x"),
        (
            "iface a inet manual\n up x\niface a inet manual\n up y",
            "iface a inet manual\n up y\niface a inet manual\n up x",
        ),
        ("source a\nauto eth0", "auto eth0\nsource a"),
        ("iface a inet manual\n up x  y", "iface a inet manual\n up x y"),
        ("iface a inet manual\n up x # y", "iface a inet manual\n up x"),
        ("iface a inet manual\n up x\\\n y", "iface a inet manual\n up x"),
        ("iface a inet manual\n mtu 1\n mtu 2", "iface a inet manual\n mtu 2\n mtu 1"),
    ],
)
def test_a_difference_to_ifupdown_is_one(one: str, other: str) -> None:
    assert not same_meaning("interfaces", one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("auto eth0 eth1", "auto eth0\nauto eth1"),
        ("auto eth0", "allow-auto eth0"),
        ("auto a\niface a inet manual", "iface a inet manual\nauto a"),
        ("iface a inet manual\n up x", "iface a inet manual\n post-up x"),
        ("iface a inet manual\n up x\\\n y", "iface a inet manual\n  up x y"),
        ("iface a inet manual\niface b inet manual", "iface b inet manual\niface a inet manual"),
    ],
)
def test_no_difference_to_ifupdown_is_none(one: str, other: str) -> None:
    assert same_meaning("interfaces", one, other)


# -- sysctl -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("net.ipv4.ip_forward = 1", "net/ipv4/ip_forward=1 # no comment", False),
        ("net.ipv4.ip_forward = 1", "; a comment\n  net/ipv4/ip_forward=1\n# one", True),
        ("net.ipv4.conf.eth0/5.rp_filter=1", "net/ipv4/conf/eth0.5/rp_filter = 1", True),
        ("net.ipv4.conf.eth0.5.rp_filter=1", "net/ipv4/conf/eth0.5/rp_filter = 1", False),
        ("vm.swappiness=1\nvm.swappiness=5", "vm.swappiness=5", True),
        ("vm.swappiness=1\nvm.swappiness=5", "vm.swappiness=5\nvm.swappiness=1", False),
        ("-vm.swappiness=1", "vm.swappiness=1", False),
        ("- vm.swappiness=1", "-vm.swappiness=1", True),
        ("-net.ipv4.conf.*.rp_filter", "net.ipv4.conf.*.rp_filter", False),
        ("vm.swappiness=", "", False),
        ("a=1\nb=1", "b=1\na=1", False),
        ("kernel.core_pattern=|/x  %p", "kernel.core_pattern=|/x %p", False),
    ],
)
def test_parameters_of_the_kernel(one: str, other: str, is_same: bool) -> None:
    assert same_meaning("sysctl", one, other) is is_same


# -- YAML ---------------------------------------------------------------------------------

KUBEADM = (BUILD / "bettley/etc/kubernetes/kubeadm.yaml").read_text()


def test_every_changed_scalar_of_kubeadm_is_a_difference() -> None:
    chance = chance_of("kubeadm")
    others = {changed_number_or_word(KUBEADM, chance) for _ in range(400)} - {KUBEADM}
    assert len(others) >= 100
    for other in others:
        assert not same_meaning("yaml", KUBEADM, other), unified("plain", KUBEADM, other, "x")


def test_another_way_to_write_the_same_is_none() -> None:
    import yaml

    documents = list(yaml.safe_load_all(KUBEADM))
    for style in ("'", '"', None):
        for is_flow in (True, False):
            other = yaml.safe_dump_all(
                documents[::-1], default_style=style, default_flow_style=is_flow, sort_keys=True
            )
            if style:  # a quoted number is a string, but PyYAML says then what it was
                assert "!!int" in other
            assert same_meaning("yaml", KUBEADM, other)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("a: &x [1, 2]\nb: *x", "b: [1, 2]\na: [1, 2]", True),
        ("a: b # why", "'a': \"b\"\n", True),
        ("a: |\n  x\n", 'a: "x\\n"', True),
        ("a:", "a: null", True),
        ("---\na: 1", "a: 1", True),
        ("a: [1, 2]", "a: [2, 1]", False),
        ("a: 1", "a: '1'", False),
        ("a: 'yes'", "a: yes", False),
        ("a: yes", "a: true", False),
        ("a: 1.0", "a: 1.00", False),
        ("a: []", "a: {}", False),
        ("a: []", "a:", False),
        ("a: []", "{}", False),
        ("a.b: 1", "a:\n  b: 1", False),
        ("a[0]: 1", "a: [1]", False),
        ("? [a, b]\n: 1", "'[a, b]': 1", False),
        ("a: !x 1", "a: 1", False),
        ("kind: A\n---\nkind: B", "kind: B\n---\nkind: A", False),
        ("a: 1\na: 2", "a: 2\na: 1", False),
        ("a: [", "a: ['", False),
        ("a: *x", "a: *y", False),
        ("a: '\n'", "a: ' '", True),
    ],
)
def test_yaml(one: str, other: str, is_same: bool) -> None:
    assert same_meaning("yaml", one, other) is is_same


def test_aliases_of_aliases_do_not_fill_the_memory() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    bomb = "\n".join(["l0: &l0 x", *levels])
    assert canonical("yaml", bomb)[0] == "not YAML:"


@pytest.mark.parametrize(
    "text",
    [
        *(opening * 100_000 for opening in ("[", "{a: ", "- ", "? ")),
        "[" * 100_000 + "]" * 100_000,
        "k0: &k0 x\n"
        + "".join(f"k{n}: &k{n} {{? *k{n - 1} : 1, ? [*k{n - 1}] : 2}}\n" for n in range(1, 40)),
        "{? " * 60 + "x" + " : 1}" * 60,
        f"a: &a {'x' * 1_000_000}\nb: [{','.join(['*a'] * 90_000)}]",
        f'"{"k" * 1_000_000}": [{",".join(["a"] * 90_000)}]',
        "&a [*a]",
    ],
    ids=["[", "{", "-", "?", "closed", "keys of keys", "deep keys", "copies", "long key", "itself"],
)
def test_yaml_without_end_is_not_taken_apart(text: str) -> None:
    began = time.monotonic()
    assert canonical("yaml", text)[0] == "not YAML:"
    assert time.monotonic() - began < 2


# -- all ----------------------------------------------------------------------------------


@pytest.mark.parametrize("format", [*FORMATS, "something new"])
def test_garbage_is_compared_and_shown_too(format: str) -> None:  # noqa: A002
    chance = chance_of(format)
    signs = [
        *("\n", " ", "no ", "\\", "'", '"', "-", "#", "!", "$", "neighbor ", "ip route ", "vrf "),
        *("router bgp 1\n", "exit\n", "\udc80", "\0", "[", "{", ":", "&a", "*a", "iface ", "="),
    ]
    for _ in range(300):
        text = "".join(chance.choices(signs, k=chance.randint(0, 30)))
        assert same_meaning(format, text, f"{text}") is True
        assert "+++ b/file" in unified(format, text, f"{text}x", "/file")


@pytest.mark.parametrize("format", ["plain", "something new"])
def test_in_a_format_that_is_not_known_every_byte_counts(format: str) -> None:  # noqa: A002
    for other in ("a\nb", "a \nb\n", "a\n\nb\n", "a\r\nb\n", "b\na\n", "a\x0bb\n"):
        assert not same_meaning(format, "a\nb\n", other)


def test_only_what_means_something_is_shown_where_that_is_less() -> None:
    before = "router bgp 1\n bgp router-id 1.1.1.1\n timers bgp 5 15\n"
    after = "! by hand\nrouter bgp 1\n timers bgp 6 18\n bgp router-id 1.1.1.1\n!\n"
    assert unified("frr", before, after, "/etc/frr/frr.conf").split("\n") == [
        "--- a/etc/frr/frr.conf",
        "+++ b/etc/frr/frr.conf",
        "@@ -1,3 +1,3 @@",
        " router bgp 1",
        "  bgp router-id 1.1.1.1",
        "- timers bgp 5 15",
        "+ timers bgp 6 18",
        "",
    ]


def test_what_differs_but_means_the_same_is_shown_as_it_is() -> None:
    assert "+# why" in unified("sysctl", "a=1\n", "# why\na=1\n", "x")
    assert unified("sysctl", "a=1\n", "a=1\n", "x") == ""
    assert "+++ /dev/null" in unified("sysctl", "a=1\n", None, "x")


def test_nothing_slow_is_imported() -> None:
    code = (
        "import sys; from goldentooth.compare import same_meaning;"
        "same_meaning('frr', 'a', 'b'); sys.exit('yaml' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
