"""Whatever is done to the inventory: a network, or errors that say what is wrong."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from goldentooth.errors import FactsError
from goldentooth.inventory import nornir_inventory, read_network
from goldentooth.model import Network, Sources
from goldentooth.yamlfile import parse_document

INVENTORY = Path(__file__).parents[2] / "inventory"
NAMES = ("hosts", "groups", "defaults")
CONTENT = {name: (INVENTORY / f"{name}.yaml").read_bytes() for name in NAMES}
VALUES = {name: yaml.safe_load(content) for name, content in CONTENT.items()}


def assert_a_network_or_errors(content: dict[str, bytes]) -> bool:
    """Load ``content``; tell whether it is a network."""
    sources = Sources(
        **{name: parse_document(text, f"{name}.yaml") for name, text in content.items()}
    )
    result = network_or_errors(sources)
    if isinstance(result, FactsError):
        assert_all_are_placed(result, content)
        return False
    assert_all_can_be_asked(result)
    hosts, *_ = nornir_inventory(*(getattr(sources, name).value for name in NAMES))
    assert list(hosts) == list(result.nodes)
    return True


def network_or_errors(sources: Sources) -> Network | FactsError:
    try:
        return read_network(sources)
    except FactsError as error:
        return error


def assert_all_are_placed(error: FactsError, content: dict[str, bytes]) -> None:
    """Every problem names a place in one of the files, in one printable line."""
    assert error.problems
    for problem in error.problems:
        assert problem.message.isprintable()
        assert problem.where is not None
        text = content[problem.where.file.removesuffix(".yaml")]
        assert 1 <= problem.where.line <= text.count(b"\n") + 2
    assert list(error.problems) == sorted(error.problems, key=lambda problem: problem.where)


def assert_all_can_be_asked(network: Network) -> None:
    """Every derived fact of a network that was accepted has a value."""
    assert network.router.is_router
    assert network.endpoint.node.name in network.nodes
    assert set(network.control_planes) <= set(network.nodes.values())
    assert network.maximum_prefix >= 0
    assert network.accepted_prefixes is None or all(network.accepted_prefixes)
    assert network.cert_sans is not None
    for node in network.nodes.values():
        assert set(node.roles) <= set(network.groups)
        assert network.where_node(node, "interface").line >= 1
        if node.facts.interface != "auto":
            assert len(network.routes(node)) <= 1 + len(node.facts.static_routes)


def test_the_shipped_inventory_is_a_network() -> None:
    assert assert_a_network_or_errors(CONTENT)


# -- structure and values ------------------------------------------------------------------

SHIPPED_WORDS = sorted(
    {
        "router",
        "control_plane",
        "worker",
        "fenn",
        "k8s",
        "gpu",
        *VALUES["defaults"]["data"],
        *VALUES["defaults"]["data"]["bgp"],
        *VALUES["hosts"]["fenn"],
        "data",
        "connection_options",
        "accept",
        "node_labels",
        "node_taints",
        "extras",
        "auto",
        "any",
        "pool",
    }
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=10),
    st.sampled_from(SHIPPED_WORDS),
    st.sampled_from(["10.4.0.1", "10.4.0.0/20", "10.4.11.0-10.4.15.254", "0.0.0.0/0", "2s", "::1"]),
    st.sampled_from(
        ["0.0.0.0-255.255.255.255", "255.255.255.255", "${env:A}", "a\n", "\x00", "010"]
    ),
)
KEYS = st.sampled_from(SHIPPED_WORDS) | st.text(max_size=6)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
CHANGES = ("replace", "remove", "add", "rename", "copy")


def containers(value: Any) -> list[Any]:
    """Return every mapping and list in ``value`` that is not empty, itself first."""
    if not isinstance(value, (dict, list)) or not value:
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [value, *(found for each in inner for found in containers(each))]


def change(data: st.DataObject, files: dict[str, Any]) -> None:
    """Change something somewhere."""
    places = [place for name in NAMES for place in containers(files[name])]
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    kind = data.draw(st.sampled_from(CHANGES))
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    key = data.draw(st.sampled_from(keys))
    if kind == "remove":
        del place[key]
    elif kind == "rename" and isinstance(place, dict):
        place[data.draw(KEYS)] = place.pop(key)
    elif kind == "add" and isinstance(place, dict):
        place[data.draw(KEYS)] = data.draw(ANYTHING)
    elif kind == "copy":
        place[key] = copy.deepcopy(data.draw(st.sampled_from(places)))
    else:
        place[key] = data.draw(ANYTHING)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), changes=st.integers(1, 4))
def test_any_change_of_structure_or_value(data: st.DataObject, changes: int) -> None:
    files = copy.deepcopy(VALUES)
    for _ in range(changes):
        change(data, files)
    assert_a_network_or_errors(
        {name: yaml.dump(value, Dumper=PlainDumper).encode() for name, value in files.items()}
    )


class PlainDumper(yaml.SafeDumper):
    """Writes what stands twice twice, not as an anchor."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # the base class's signature
        return True


# -- text ----------------------------------------------------------------------------------

SNIPPETS = [
    *(b"\t", b"\r", b"\n", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xc2\x85", b"\xe2\x80\xa8", b" "),
    *(b":", b": ", b"- ", b"? ", b"#", b"'", b'"', b"[", b"]", b"{", b"}", b",", b"&a ", b"*a"),
    *(b"!", b"!!int ", b"<<: ", b"|", b">", b"%", b"@", b"`", b"---\n", b"...\n", b"no", b"~"),
    *(b"010", b"1e3", b"12:30", b"fenn:\n", b"groups: [k8s]\n", b"  data:\n", b"[" * 40),
]


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    edits=st.lists(
        st.tuples(
            st.floats(0, 1), st.integers(0, 30), st.sampled_from(SNIPPETS) | st.binary(max_size=4)
        ),
        min_size=1,
        max_size=4,
    ),
)
@example(name="hosts", edits=[(0.0, 10_000, b"")])
@example(name="groups", edits=[(0.0, 10_000, b"")])
@example(name="defaults", edits=[(0.0, 10_000, b"")])
def test_any_edit_of_the_text(name: str, edits: list[tuple[float, int, bytes]]) -> None:
    content = CONTENT[name]
    for where, removed, inserted in edits:
        start = int(where * len(content))
        content = content[:start] + inserted + content[start + removed :]
    assert_a_network_or_errors({**CONTENT, name: content})


@settings(max_examples=200, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=3),
)
def test_any_flipped_bit(name: str, flips: list[tuple[float, int]]) -> None:
    content = bytearray(CONTENT[name])
    for where, bit in flips:
        content[int(where * len(content))] ^= 1 << bit
    assert_a_network_or_errors({**CONTENT, name: bytes(content)})


@settings(max_examples=100, deadline=None)
@given(names=st.permutations(NAMES))
def test_the_files_in_one_another_s_place(names: list[str]) -> None:
    is_right = tuple(names) == NAMES
    content = {name: CONTENT[other] for name, other in zip(NAMES, names, strict=True)}
    assert assert_a_network_or_errors(content) == is_right
