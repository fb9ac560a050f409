"""Every mistake in the facts is named: where it stands, what it is, what would be right."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from goldentooth import facts
from goldentooth.errors import FactsError, Problem
from goldentooth.inventory import GoldentoothInventory, read_network
from goldentooth.model import Sources
from goldentooth.validation import did_you_mean, example_of
from goldentooth.yamlfile import Document, KeyPath, parse_document, shown

if TYPE_CHECKING:
    from tests.conftest import Shipped

INVENTORY = Path(__file__).parents[2] / "inventory"
TEXTS = {name: (INVENTORY / f"{name}.yaml").read_text() for name in ("hosts", "groups", "defaults")}


def documents(**changed: str) -> dict[str, Document]:
    """Return the shipped files as read, some of them changed."""
    return {
        name: parse_document(changed.get(name, text).encode(), f"{name}.yaml")
        for name, text in TEXTS.items()
    }


def problems(**changed: str) -> tuple[Problem, ...]:
    with pytest.raises(FactsError) as caught:
        read_network(Sources(**documents(**changed)))
    return caught.value.problems


# -- every fact of the shipped inventory, broken in turn -----------------------------------

SHIPPED = documents()
FACTS = [(name, path) for name, document in SHIPPED.items() for path in document.marks if path]


FREE_KEYS = {"node_labels", "services"}


def value_at(name: str, path: KeyPath) -> object:
    value: object = SHIPPED[name].value
    for part in path:
        value = value[part]  # type: ignore[index]  # the path was made from it
    return value


def is_name(name: str, path: KeyPath) -> bool:
    """Tell whether the key at ``path`` is chosen freely: a host, a group or a label."""
    return (
        isinstance(path[-1], int)
        or len(path) == (name != "defaults")
        or bool(FREE_KEYS & {*path[:-1]})
    )


def replaced(name: str, path: KeyPath, value: str) -> str:
    """Return the file's text with ``value`` in place of all that stands at ``path``."""
    lines = TEXTS[name].split("\n")
    _, _, line, column = SHIPPED[name].marks[path]
    old = value_at(name, path)
    if isinstance(old, dict):
        line, column = SHIPPED[name].marks[path][:2]
        inner = [m[0] for p, m in SHIPPED[name].marks.items() if p[: len(path)] == path]
        lines[line - 1 : max(inner)] = [f"{' ' * (column - 1)}{path[-1]}: {value}"]
        return "\n".join(lines)
    before, rest = lines[line - 1][: column - 1], lines[line - 1][column - 1 :]
    after = re.sub(r'^(?:\[[^\]]*\]|"[^"]*"|[^],]*)', "", rest) if old is not None else ""
    lines[line - 1] = f"{before} {value}{after}"
    return "\n".join(lines)


SCALARS = [
    (name, path) for name, path in FACTS if not isinstance(value_at(name, path), (dict, list))
]
WHOLE = [(name, path) for name, path in FACTS if isinstance(value_at(name, path), (dict, list))]


def test_there_are_facts_to_break() -> None:
    assert len(SCALARS) > 90
    assert len(WHOLE) > 40


@pytest.mark.parametrize("value", [r'"\x01"', "{x: 1}", "[[]]", "no", "1.5", "-1", "'a\"; #{{'"])
@pytest.mark.parametrize(("name", "path"), SCALARS, ids=str)
def test_a_broken_fact_is_named_where_it_stands(name: str, path: KeyPath, value: str) -> None:
    if path[-1] == "hardware" and value.startswith("'"):
        value = '"\\n"'  # punctuation is right in a text for people
    line = SHIPPED[name].marks[path][2]
    found = problems(**{name: replaced(name, path, value)})
    assert (f"{name}.yaml", line) in {problem.where[:2] for problem in found if problem.where}
    assert all(problem.message and problem.remedy for problem in found)


@pytest.mark.parametrize("value", ["17", "text", '""', "[{}]", "[1]", "[[]]", "{no such key: 1}"])
@pytest.mark.parametrize(("name", "path"), WHOLE, ids=str)
def test_something_else_in_place_of_a_section_is_named_where_it_stands(
    name: str, path: KeyPath, value: str
) -> None:
    if path[-1] in FREE_KEYS and value == "{no such key: 1}":
        value = "{'no name': 1}"
    line = SHIPPED[name].marks[path][0]
    found = problems(**{name: replaced(name, path, value)})
    assert (f"{name}.yaml", line) in {problem.where[:2] for problem in found if problem.where}
    assert all(problem.message for problem in found)


@pytest.mark.parametrize(
    ("name", "path"), [(name, path) for name, path in FACTS if not is_name(name, path)], ids=str
)
def test_a_mistyped_key_is_named_with_the_one_that_was_meant(name: str, path: KeyPath) -> None:
    line, column, *_ = SHIPPED[name].marks[path]
    lines = TEXTS[name].split("\n")
    start = lines[line - 1][: column - 1]
    lines[line - 1] = f"{start}{path[-1]}x{lines[line - 1][len(start) + len(str(path[-1])) :]}"
    found = {problem.where: problem for problem in problems(**{name: "\n".join(lines)})}
    problem = found[(f"{name}.yaml", line, column)]
    assert problem.message.endswith(f"unknown key '{path[-1]}x'")
    assert problem.remedy == f"did you mean {path[-1]}?"


@pytest.mark.parametrize(
    ("name", "path"),
    [(name, path) for name, path in FACTS if len(path) == 1 and name != "defaults"],
    ids=str,
)
@pytest.mark.parametrize("key", ["'a b'", '"a\\nb"', "A", "''", "a" * 64, "1", "no", "'-'"])
def test_a_bad_host_or_group_name_is_named_where_it_stands(
    name: str, path: KeyPath, key: str
) -> None:
    line, *_ = SHIPPED[name].marks[path]
    lines = TEXTS[name].split("\n")
    lines[line - 1] = lines[line - 1].replace(str(path[0]), key, 1)
    where = {problem.where for problem in problems(**{name: "\n".join(lines)})}
    assert (f"{name}.yaml", line, 1) in where


# -- the form of a message -----------------------------------------------------------------


def test_a_message_is_file_line_column_host_fact_value_and_what_it_is_not(
    shipped: Shipped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shipped.folder.parent)
    fenn = "fenn:\n   hostname: 10.4.0.300\n   groups: [worker]\n"
    shipped.write("hosts", TEXTS["hosts"].split("allyrion:")[0] + "#\n" * 50)
    lines = shipped.path("hosts").read_text().split("\n")[:39]
    shipped.write("hosts", "\n".join(lines) + "\n" + fenn)
    names = ("hosts", "groups", "defaults", "discovered")
    plugin = GoldentoothInventory(*(f"inventory/{name}.yaml" for name in names))
    with pytest.raises(FactsError) as caught:
        plugin.load()
    assert str(caught.value) == (
        "inventory/hosts.yaml:41:14: fenn: hostname '10.4.0.300' is not an IPv4 address\n"
        "    write four numbers from 0 to 255, as in 10.4.0.11"
    )


MARK = "▸"


def edited(text: str, old: str, new: str) -> tuple[str, str]:
    """Replace ``old``; return the text and ``line:column`` of the mark that was in ``new``."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    before, _, after = text.replace(old, new).partition(MARK)
    return before + after, f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


# file, what is replaced, by what (▸ is where the mistake is), the message, part of the remedy
MESSAGES = [
    # unknown keys
    ("hosts", "[gpu, worker]\n", "[gpu, worker]\n  ▸prot: 22\n",
     "velaryon: unknown key 'prot'", "did you mean port?"),
    ("hosts", "architecture: amd64", "▸architectur: amd64",
     "velaryon: unknown key 'architectur'", "did you mean architecture?"),
    ("hosts", "architecture: amd64", "▸bgp: {}",
     "velaryon: unknown key 'bgp'", "known here: accept, "),
    ("groups", "platform: opnsense", "▸platfrom: opnsense",
     "router: unknown key 'platfrom'", "did you mean platform?"),
    ("groups", "wireless_interface", "▸wireles_interface",
     "raspberry_pi: unknown key 'wireles_interface'", "did you mean wireless_interface?"),
    ("defaults", "router_asn: 64500", "router_asn: 64500\n    ▸router_as: 1",
     "bgp: unknown key 'router_as'", "did you mean router_asn?"),
    ("defaults", "fall: 3", "▸fal: 3",
     "haproxy: check: unknown key 'fal'", "did you mean fall?"),
    ("defaults", "  haproxy:", "  ▸xxxxxxx:",
     "unknown key 'xxxxxxx'", "known here: accept, access, architecture, "),
    # wrong types
    ("defaults", "api_port: 6443", 'api_port: ▸"6443"',
     "kubernetes: api_port '6443' is not a whole number",
     "write a number from 1 to 65535, without quotes"),
    ("defaults", "api_port: 6443", "api_port: ▸65536",
     "kubernetes: api_port 65536 is out of range", "write a number from 1 to 65535"),
    ("defaults", "api_port: 6443", "api_port: ▸true",
     "kubernetes: api_port true is not a whole number", "write a number"),
    ("defaults", "hold: 180", "hold: ▸1.5",
     "bgp: hold 1.5 is not a whole number", "write a number from 0 to 65535"),
    ("defaults", "hold: 180", "hold:▸",
     "bgp: hold (empty) is not a whole number", "write a number"),
    ("defaults", "stable-1.32", "▸1.32",
     "kubernetes: version 1.32 is not text", "write it in quotes"),
    ("defaults", "stable-1.32", '▸"1.32"',
     "kubernetes: version '1.32' is not a Kubernetes version",
     "a label such as stable-1.32, or a release such as v1.32.4"),
    ("defaults", "interval: 2s", "interval: ▸2",
     "haproxy: check: interval 2 is not text", "write it in quotes"),
    ("defaults", "interval: 2s", "interval: ▸[2s]",
     "haproxy: check: interval (a list) is not text", "write it in quotes"),
    ("defaults", "balance: roundrobin", "balance: ▸roundrobbin",
     "haproxy: balance 'roundrobbin' is not one of the choices", "write roundrobin"),
    ("defaults", "maximum_paths: 64", "accept_prefixes: [▸pool]",
     "bgp: accept_prefixes 'pool' is not an IPv4 network", "write address/"),
    ("defaults", "maximum_paths: 64", "accept_prefixes: ▸pol",
     "bgp: accept_prefixes 'pol' is not one of the choices", "write pool"),
    ("defaults", "  bgp:\n", "  calico: {node_mesh: ▸1}\n  bgp:\n",
     "calico: node_mesh 1 is neither true nor false", "write true or false, without quotes"),
    ("defaults", "  bgp:\n", "  metallb: ▸[]\n  bgp:\n",
     "metallb (a list) is not a mapping", "write `key: value` lines"),
    ("hosts", "[gpu, worker]", "▸worker",
     "velaryon: groups 'worker' is not a list", "write `- value` lines or [a, b]"),
    ("hosts", "[gpu, worker]", "[gpu, ▸Worker]",
     "velaryon: groups 'Worker' is not a group name", "as in control_plane"),
    # addresses
    ("defaults", "10.4.0.0/20", "▸10.4.0.1/20",
     "infrastructure: cidr '10.4.0.1/20' has host bits set", "the network is 10.4.0.0/20"),
    ("defaults", "10.4.0.0/20", "▸10.4.0.0",
     "infrastructure: cidr '10.4.0.0' is not an IPv4 network",
     "write address/prefix length, as in 10.4.0.0/20"),
    ("defaults", "10.4.11.0-10.4.15.254", "▸10.4.15.254-10.4.11.0",
     "load_balancer: pool '10.4.15.254-10.4.11.0' runs backwards",
     "the lower address comes first"),
    ("defaults", "10.4.11.0-10.4.15.254", "▸10.4.11.0 - 10.4.15.254",
     "load_balancer: pool '10.4.11.0 - 10.4.15.254' is not an address range",
     "write first-last without blanks, or CIDR"),
    ("hosts", "10.4.0.15", "▸fenn.goldentooth.net",
     "fenn: hostname 'fenn.goldentooth.net' is not an IPv4 address", "write four numbers"),
    ("hosts", "architecture: amd64", 'mac: ▸"dc-a6-32-00-00-0b"',
     "velaryon: mac 'dc-a6-32-00-00-0b' is not a MAC address", "six hexadecimal pairs in quotes"),
    ("hosts", "architecture: amd64", "mac: ▸10:20:30:40:50:59",
     "velaryon: mac: 10:20:30:40:50:59 is read differently by different YAML readers",
     'write "10:20:30:40:50:59" in quotes'),
    # words that are no name of an interface
    *(
        ("hosts", "architecture: amd64", f"{fact}: ▸{word}",
         f"velaryon: {fact} '{word}' is not an interface name", remedy)
        for fact, words, remedy in (
            ("interface", ("all", "default", "lo", "none"), "as in eth0; or auto, for what was"),
            ("wireless_interface", ("all", "auto", "default", "lo", "none"),
             "leave it away where there is none (auto is for `interface` of the facts)"),
        )
        for word in words
    ),
    # blanks that say nothing
    ("hosts", "architecture: amd64", 'accept: [{rule: ADDR001, reason: ▸"  "}]',
     "velaryon: accept: reason '  ' is not one line of text", "write words"),
    ("hosts", "hardware: x86-64 with a GPU", 'hardware: ▸"\u00a0"',
     "velaryon: hardware '\\xa0' is not one line of text", "write words"),
    # missing
    ("hosts", "fenn:\n  hostname: 10.4.0.15", "▸fenn:",
     "fenn: hostname is missing", "its address on the infrastructure network"),
    ("hosts", "velaryon:\n  hostname: 10.4.0.30\n  groups: [gpu, worker]\n",
     "▸velaryon:\n  hostname: 10.4.0.30\n", "velaryon: groups is missing", "its roles"),
    ("hosts", "[gpu, worker]", "▸[]",
     "velaryon: groups (a list) is empty", "name at least one"),
    ("defaults", "bgp:\n    router_asn: 64500\n", "▸bgp:\n",
     "bgp: router_asn is missing", "AS number of the router"),
    # references between hosts and groups
    ("hosts", "[gpu, worker]", "[gpu, ▸wroker]",
     "velaryon: group 'wroker' is not declared in groups.yaml", "did you mean worker?"),
    ("groups", "control_plane:\n  groups: [k8s]", "control_plane:\n  groups: [▸k8]",
     "control_plane: group 'k8' is not declared in groups.yaml", "did you mean k8s?"),
    ("groups", "groups: [nomad_client]", "groups: ▸[k8s]",
     "k8s: is part of itself, through its groups", "remove one of the groups in the circle"),
    # what only the whole can show
    ("hosts", "groups: [router]", "groups: ▸[router, worker]",
     "router: is a router and a Kubernetes node", "are different hosts"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "old", "new", "message", "remedy"), MESSAGES, ids=[case[3] for case in MESSAGES]
)
def test_a_mistake_is_told_where_it_is_and_with_its_remedy(
    *, name: str, old: str, new: str, message: str, remedy: str
) -> None:
    text, place = edited(TEXTS[name], old, new)
    (problem,) = problems(**{name: text})
    assert str(problem).split("\n")[0] == f"{name}.yaml:{place}: {message}"
    assert remedy in problem.remedy


def test_a_second_router_is_told_at_the_second(shipped: Shipped) -> None:
    shipped.edit("hosts", "[raspberry_pi_8gb, haproxy, nfs, prometheus, controller]", "[router]")
    text, place = edited(TEXTS["hosts"], "groups: [router]", "groups: ▸[router]")
    assert shipped.report == [f"hosts.yaml:{place}: router: a second router beside allyrion"]
    assert text == TEXTS["hosts"]


def test_a_network_without_a_router_is_refused(shipped: Shipped) -> None:
    shipped.edit("hosts", "[router]", "[loki]")
    assert shipped.report == ["hosts.yaml:1:1: no host is in the group router"]


def test_kubernetes_without_a_control_plane_is_refused(shipped: Shipped) -> None:
    shipped.write("hosts", TEXTS["hosts"].replace("control_plane]", "worker]"))
    assert shipped.report == ["hosts.yaml:1:1: no host is in the group control_plane"]


def test_a_circle_of_groups_is_told_for_each_of_them(shipped: Shipped) -> None:
    shipped.edit("groups", "nomad_client: {}\n", "nomad_client:\n  groups: [worker]\n")
    assert [problem.message for problem in shipped.problems] == [
        "k8s: is part of itself, through its groups",
        "worker: is part of itself, through its groups",
        "nomad_client: is part of itself, through its groups",
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "---\n"])
def test_an_empty_hosts_file_says_that_it_holds_none(shipped: Shipped, text: str) -> None:
    assert shipped.write("hosts", text).report == ["hosts.yaml:1:1: holds no hosts"]


def test_empty_defaults_say_what_is_missing(shipped: Shipped) -> None:
    assert shipped.write("defaults", "").report == ["defaults.yaml:1:1: data is missing"]
    assert shipped.write("defaults", "data: {}").report == [
        f"defaults.yaml:1:1: {section} is missing"
        for section in ("bgp", "domains", "infrastructure", "kubernetes", "load_balancer")
    ]


def pasted(problem: Problem) -> str:
    """Return the YAML of a remedy."""
    line = re.search(r"`(.*)`", problem.remedy)
    return line[1] if line else problem.remedy.partition("\n")[2]


def test_what_is_missing_can_be_pasted_from_the_remedy(shipped: Shipped) -> None:
    """In defaults.yaml from nothing, section by section and fact by fact."""
    (problem,) = shipped.write("defaults", "").problems
    shipped.write("defaults", pasted(problem))
    assert shipped.network.bgp.router_asn == 64512
    sections = [pasted(problem) for problem in shipped.write("defaults", "data: {}").problems]
    text = "data:\n" + "".join(f"  {line}\n" for line in sections)
    assert shipped.write("defaults", text).network.kubernetes.version == "v1.32.4"
    text = f"data: {{{', '.join([*sections[1:], 'bgp: {}'])}}}"
    facts = [pasted(problem) for problem in shipped.write("defaults", text).problems]
    text = text.replace("bgp: {}", f"bgp: {{{', '.join(facts)}}}")
    assert shipped.write("defaults", text).network.bgp.cluster_asn == 64513


def test_an_inventory_can_be_begun_from_the_remedies(shipped: Shipped) -> None:
    for name in ("hosts", "defaults"):
        shipped.path(name).unlink()
    defaults, hosts = shipped.problems
    shipped.write("hosts", pasted(hosts)).write("defaults", pasted(defaults))
    assert shipped.report == [
        "hosts.yaml:1:1: no host is in the group control_plane",
        "hosts.yaml:1:1: no host is in the group router",
    ]


# -- all at once ---------------------------------------------------------------------------


ALL_AT_ONCE = {
    "defaults": [
        (
            "keepalive: 60",
            "keepalive: 60\n    ▸keepalive: 9",
            "bgp: key 'keepalive' is given twice",
        ),
        ("api_port: 6443", "api_port: ▸0x192B", "kubernetes: api_port: 0x192B is read differently"),
        ("rise: 2", "rise: ▸0", "haproxy: check: rise 0 is out of range"),
    ],
    "groups": [
        ("arm64", "▸arm65", "raspberry_pi: architecture 'arm65' is not one of the choices"),
        ("groups: [nomad_client]", "groups: ▸[k8s]", "k8s: is part of itself"),
    ],
    "hosts": [
        ("10.4.0.15", "▸10.4.0.300", "fenn: hostname '10.4.0.300' is not an IPv4 address"),
        ("worker, loki", "▸9, loki", "inchfield: groups 9 is not text"),
        ("[gpu, worker]", "[gpu, ▸wroker]", "velaryon: group 'wroker' is not declared"),
        (
            "architecture: amd64",
            "architecture: ▸no",
            "velaryon: architecture: no is read differently",
        ),
    ],
}


def test_all_mistakes_of_all_files_are_in_one_report_in_file_order(shipped: Shipped) -> None:
    expected = []
    for name, edits in ALL_AT_ONCE.items():
        text = TEXTS[name]
        for old, new, message in edits:  # from top to bottom: what was found stays where it is
            text, place = edited(text, old, new)
            expected.append(f"{name}.yaml:{place}: {message}")
        shipped.write(name, text)
    shipped.write("discovered", "fenn: {interfce: eth1}\n")
    expected.insert(3, "discovered.yaml:1:8: fenn: unknown key 'interfce'")
    report = shipped.report
    assert [line[: len(start)] for line, start in zip(report, expected, strict=True)] == expected


def test_a_file_that_cannot_be_read_does_not_hide_the_mistakes_of_the_others(
    shipped: Shipped,
) -> None:
    shipped.write("groups", "a: [\n")
    shipped.edit("hosts", "10.4.0.15", "10.4.0.300")
    shipped.edit("defaults", "hold: 180", "hold: -1")
    defaults, groups, hosts = shipped.report
    assert defaults.endswith(": bgp: hold -1 is out of range")
    assert groups.startswith("groups.yaml:2:1: YAML syntax: ")
    assert hosts.endswith(": fenn: hostname '10.4.0.300' is not an IPv4 address")


# -- what a message shows ------------------------------------------------------------------

SECRETS = [
    pytest.param(name, path, id=".".join(map(str, path)))
    for name, path in [
        ("hosts", ("velaryon", "password")),
        ("hosts", ("velaryon", "connection_options", "ssh", "password")),
        ("groups", ("raspberry_pi", "password")),
        ("defaults", ("password",)),
        ("defaults", ("data", "bgp", "password")),
        ("defaults", ("data", "kubernetes", "bootstrap_token")),
        ("defaults", ("data", "kubernetes", "certificate_key")),
        ("defaults", ("data", "kubernetes", "ca_cert_hash")),
    ]
]
WRONG_SECRETS = [
    *("'hunter2 with blanks'", '"hunter2\\n"', "'hunter2;'", "[hunter2]", "{hunter2: 1}"),
    *("{hunter2: {hunter2: 2}}", "'${cloud:hunter2}'", "0x42", "*hunter2", "&hunter2 a"),
    *("!hunter2 a", "{hunter2: 1, hunter2: 2}", "66.66", "6666", f"'{'hunter2' * 200}'"),
]


@pytest.mark.parametrize("value", WRONG_SECRETS)
@pytest.mark.parametrize(("name", "path"), SECRETS)
def test_a_secret_is_never_shown(name: str, path: tuple[str, ...], value: str) -> None:
    *sections, key = path
    text = TEXTS[name]
    if name == "defaults" and sections:
        text = re.sub(rf"^    {key}: .*\n", "", text, flags=re.MULTILINE)
        anchor = f"  {sections[-1]}:\n"
        text = text.replace(anchor, f"{anchor}    {key}: {value}\n")
    elif name == "defaults":
        text += f"{key}: {value}\n"
    else:
        inner = "".join(f"{section}: {{" for section in sections[1:])
        entry = f"{inner}{key}: {value}{'}' * inner.count('{')}"
        text = text.replace(f"\n{sections[0]}:\n", f"\n{sections[0]}:\n  {entry}\n")
    found = problems(**{name: text})
    report = str(FactsError(found))
    assert key in report or "(hidden)" in report or "not used in facts" in report
    assert not re.search(r"hunter2|0x42|66\.66|6666", report)


@pytest.mark.parametrize("key", ['"fenn\\n\\e[2Jx"', '"' + "x" * 5000 + '"', '"é\\u202e"'])
@pytest.mark.parametrize("name", ["hosts", "groups", "defaults"])
def test_a_message_is_one_short_printable_line_whatever_a_key_holds(name: str, key: str) -> None:
    wrong = f"{key}: {{{key}: 1, groups: [{key}, k9s], data: {{{key}: {{{key}: x}}}}}}\n"
    found = problems(**{name: TEXTS[name] + wrong})
    assert found
    for problem in found:
        assert problem.message.isprintable()
        assert problem.remedy.isprintable()
        assert len(problem.message) < 400


@pytest.mark.parametrize("fact", ["balance", "hold", "interval", "pool", "version", "api_port"])
def test_a_giant_value_is_not_shown_whole(fact: str) -> None:
    line = re.compile(rf"^( +{fact}): .*", re.MULTILINE)
    (problem,) = problems(defaults=line.sub(rf"\1: {'x' * 1_000_000}", TEXTS["defaults"]))
    assert len(str(problem)) < 400


def test_the_nearest_known_word_is_offered_else_all() -> None:
    assert did_you_mean("wroker", ["worker", "nfs"]) == "did you mean worker?"
    assert did_you_mean("qqq", ["worker", "nfs"]) == "known here: nfs, worker"
    assert did_you_mean("qqq", []) == "known here: nothing"


def test_what_is_shown_is_printable_and_short() -> None:
    assert shown("fenn") == "fenn"
    assert shown("a\nb\x1b") == "a\\nb\\x1b"
    assert len(shown("x" * 1000)) < 80
    assert len(shown("\x1b" * 1000)) < 80


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(facts).values()
        if isinstance(kind, type) and issubclass(kind, facts.Facts)
    ],
    ids=lambda kind: kind.__name__,
)
def test_every_fact_that_must_be_there_has_an_example(kind: type[facts.Facts]) -> None:
    assert example_of("section", kind)


@pytest.mark.parametrize(
    "url",
    [
        "https://u:pCANARY@10.4.0.1",
        "https://u:pCAN/ARY@x@10.4.0.1/api",
        "https://tokenCANARY@10.4.0.1",
        "u:pCANARY@10.4.0.1",
        "http:/u:pCANARY@10.4.0.1",
    ],
)
def test_an_address_is_shown_without_the_user_in_it(url: str) -> None:
    before = "    load_balancer_route: none"
    api = f"{before}\n    opnsense_api: {{url: '{url}'}}"
    (problem,) = problems(groups=TEXTS["groups"].replace(before, api))
    assert "(hidden)@" in str(problem)
    assert "CAN" not in str(problem)
    assert "ARY" not in str(problem)
    assert "10.4.0.1" in str(problem)
