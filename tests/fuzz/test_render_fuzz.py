"""Made-up networks: each is a clear error, or configuration that the daemons' checkers take."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import Environment

from goldentooth.artifact import Draft
from goldentooth.errors import FactsError, RenderError
from goldentooth.inventory import read_network
from goldentooth.model import Network, Sources
from goldentooth.services import frr, haproxy, kubeadm, routes
from goldentooth.yamlfile import parse_document
from tests.namespaces import needs, run_judge
from tests.sites import ROOT, open_project

JUDGED = 220
Facts = dict[str, Any]

fuzz = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

# -- networks ----------------------------------------------------------------------------

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
names = st.one_of(labels, st.sampled_from(["y", "no", "1e3", "0x1f", "null", "exit", "end", "a-b"]))
domains = st.lists(labels, min_size=1, max_size=3).map(".".join)
label_names = st.from_regex(
    r"([a-z]{1,5}\.[a-z]{2}/)?[A-Za-z][A-Za-z0-9._-]{0,8}[a-z]", fullmatch=True
)
label_values = st.from_regex(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?)?", fullmatch=True)
taints = st.builds(
    "{}={}:{}".format,
    label_names,
    label_values,
    st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"]),
)
interfaces = st.from_regex(r"[a-z][a-z0-9._-]{0,14}", fullmatch=True).filter(
    lambda name: name not in {"auto", "lo", "wlan0"}
)
durations = st.one_of(
    st.builds("{}s".format, st.integers(1, 999999)),
    st.builds("{}ms".format, st.integers(1, 999999999)),
    st.builds("{}m".format, st.integers(1, 9999)),
    st.builds("{}h".format, st.integers(1, 499)),
    st.builds("{}d".format, st.integers(1, 24)),
)
asns = st.one_of(st.integers(1, 65535), st.integers(65536, 4294967294))
ports = st.integers(1, 65535)
references = st.sampled_from(["${env:TOKEN}", "${file:/run/secrets/x}", "${vault:kv/a/b#c}"])
phrases = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), min_size=1)


@st.composite
def cidrs(draw: st.DrawFn, shortest: int = 8, longest: int = 32) -> str:
    length = draw(st.integers(shortest, longest))
    number = draw(st.integers(1 << 24, (224 << 24) - 1))
    return str(IPv4Network((number >> (32 - length) << (32 - length), length)))


@st.composite
def pools(draw: st.DrawFn) -> str:
    if draw(st.booleans()):
        return draw(cidrs(16, 32))
    first = draw(st.integers(1 << 24, (223 << 24) - 1))
    return f"{IPv4Address(first)}-{IPv4Address(first + draw(st.integers(0, 5000)))}"


def some(required: Facts, **optional: st.SearchStrategy[Any]) -> st.SearchStrategy[Facts]:
    """Return mappings with all of ``required`` and any of ``optional``."""
    return st.fixed_dictionaries(required, optional=optional)


network_facts = some(
    {
        "domains": st.fixed_dictionaries(
            {"cluster": domains, "nodes": domains, "services": domains}
        ),
        "infrastructure": some({"cidr": cidrs(8, 29)}, dhcp_range=pools()),
        "load_balancer": some(
            {"cidr": cidrs(), "pool": pools()}, avoid_buggy_addresses=st.booleans()
        ),
        "bgp": some(
            {"router_asn": asns, "cluster_asn": asns},
            keepalive=st.integers(0, 65535),
            hold=st.integers(0, 65535),
            connect_retry=st.integers(1, 65535),
            maximum_paths=st.integers(1, 128),
            maximum_prefix=st.integers(0, 4294967295),
            accept_prefixes=st.one_of(
                st.sampled_from(["pool", "any"]), st.lists(cidrs(1, 32), max_size=4)
            ),
            password=references,
        ),
        "kubernetes": some(
            {
                "version": st.sampled_from(["stable-1.32", "v1.32.4", "latest"]),
                "service_cidr": cidrs(),
                "pod_cidr": cidrs(),
            },
            api_port=ports,
            dns_domain=domains,
            proxy_mode=st.sampled_from(["iptables", "ipvs", "nftables"]),
            maximum_pods=st.integers(1, 1000),
            bootstrap_token=references,
        ),
    },
    haproxy=some(
        {},
        balance=st.sampled_from(["roundrobin", "leastconn", "source"]),
        check=some({}, interval=durations, fall=st.integers(1, 100), rise=st.integers(1, 100)),
        timeouts=some({}, connect=durations, client=durations, server=durations, tunnel=durations),
        maximum_connections=st.integers(1, 1000000),
        metrics_port=ports,
        stats=some({}, port=ports),
    ),
    interface=interfaces,
)
node_facts = some(
    {},
    interface=interfaces,
    wireless_interface=st.just("wlan0"),
    hardware=phrases,
    architecture=st.sampled_from(["arm64", "amd64"]),
    load_balancer_route=st.sampled_from(["on-link", "via-router", "none"]),
    node_labels=st.dictionaries(label_names, label_values, max_size=3),
    node_taints=st.lists(taints, max_size=3),
)
GROUPS: Facts = {
    "router": None,
    "haproxy": None,
    "k8s": None,
    "control_plane": {"groups": ["k8s"]},
    "worker": {"groups": ["k8s"]},
}


@st.composite
def inventories(draw: st.DrawFn) -> tuple[Facts, Facts, Facts]:
    """Return hosts, groups and defaults of a network that is right in form."""
    facts = draw(network_facts)
    segment = IPv4Network(facts["infrastructure"]["cidr"])
    roles = [["router"], ["control_plane"]]
    roles += draw(
        st.lists(
            st.sampled_from([["control_plane"], ["worker"], ["haproxy"], ["worker", "haproxy"]]),
            max_size=min(12, segment.num_addresses - 4),
        )
    )
    unique = draw(st.lists(names, min_size=len(roles), max_size=len(roles), unique=True))
    hosts = {
        name: {
            "hostname": str(segment[index + 1]),
            "groups": groups,
            **draw(some({}, data=node_facts, platform=st.sampled_from(["linux", "opnsense"]))),
        }
        for index, (name, groups) in enumerate(zip(unique, roles, strict=True))
    }
    return hosts, GROUPS, {"data": facts}


def read(inventory: tuple[Facts, Facts, Facts]) -> Network:
    """Return the network of an inventory that is written as files would be."""
    texts = [json.dumps(part, ensure_ascii=False).encode() for part in inventory]
    documents = [
        parse_document(text, f"{name}.yaml")
        for text, name in zip(texts, ("hosts", "groups", "defaults"), strict=True)
    ]
    return read_network(Sources(*documents))


# -- what is made of them ----------------------------------------------------------------


@pytest.fixture(scope="module")
def templates() -> Environment:
    return open_project(ROOT / "config.yaml").templates


def filled(templates: Environment, draft: Draft) -> str:
    if draft.text is not None:
        return draft.text
    return templates.get_template(draft.template).render(**draft.context)


def texts(templates: Environment, network: Network) -> Iterator[tuple[str, str]]:
    """Yield (judge or service, text) of every file whose form is checked."""
    speakers = [node for node in network.bgp_neighbors[:1] if not node.is_router]
    for node in (network.router, *speakers):
        for draft in frr.SERVICE.drafts(network, node):
            if draft.judge:
                yield "vtysh", filled(templates, draft)
    for node in network.load_balancers[:1]:
        for draft in haproxy.SERVICE.drafts(network, node):
            yield "haproxy", filled(templates, draft)
    for node in network.nodes.values():
        for draft in routes.SERVICE.drafts(network, node):
            yield "routes", filled(templates, draft)
    for node in network.kubernetes_nodes:
        for draft in kubeadm.SERVICE.drafts(network, node):
            yield "kubeadm", filled(templates, draft)


def complaint(judge: str, text: str, folder: Path) -> str:
    """Return what is wrong with ``text``; nothing if it is accepted."""
    if judge == "kubeadm":
        documents = list(yaml.safe_load_all(text))
        return "" if all(document["kind"] for document in documents) else "no kind"
    if judge == "routes":
        return "" if text.replace("\n", "").isprintable() else "unprintable"
    file = folder / "file.cfg"
    file.write_text(text)
    commands = {"vtysh": ("vtysh", "-C", "-f", file), "haproxy": ("haproxy", "-c", "-f", file)}
    done = run_judge(*commands[judge])
    return "" if done.returncode == 0 else f"{judge}: {done.stdout}\n{text}"


@needs("vtysh", "frr")
@needs("haproxy", "haproxy")
@settings(fuzz, max_examples=JUDGED)
@given(inventory=inventories())
def test_what_is_right_in_form_is_rendered_and_accepted(
    inventory: tuple[Facts, Facts, Facts], templates: Environment
) -> None:
    network = read(inventory)
    with tempfile.TemporaryDirectory() as folder:
        for judge, text in texts(templates, network):
            assert complaint(judge, text, Path(folder)) == ""


# -- and of those that are wrong somewhere -----------------------------------------------

wrong = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(["a\nb", 'a"b', "a;b", "a # b", "{{ 7 * 7 }}", "{% if %}", "$(x)", "a b", "ß"]),
    st.lists(st.integers(0, 9), max_size=2),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in ``value``."""
    if path:
        yield path
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield from places(inner, (*path, key))


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[Facts, Facts, Facts]:
    """Return an inventory in which a few values, anywhere, are replaced by something else."""
    parts = json.loads(json.dumps(draw(inventories())))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(parts))[3:]))
        if len(path) < 2:
            continue
        holder = parts
        try:
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = draw(wrong)
        except (KeyError, IndexError, TypeError):  # an earlier replacement took it away
            continue
    return tuple(parts)


def refuse_unclear(error: FactsError) -> None:
    """Raise an assertion error unless every problem has its place and can be printed."""
    assert error.problems
    for problem in error.problems:
        assert problem.where is not None
        assert problem.where.file in {"hosts.yaml", "groups.yaml", "defaults.yaml"}
        assert all(line.isprintable() for line in str(problem).splitlines())


@needs("vtysh", "frr")
@needs("haproxy", "haproxy")
@settings(fuzz, max_examples=300)
@given(inventory=spoiled())
def test_what_is_wrong_is_a_clear_error_or_harmless(
    inventory: tuple[Facts, Facts, Facts], templates: Environment
) -> None:
    try:
        network = read(inventory)
        made = list(texts(templates, network))
    except FactsError as error:
        refuse_unclear(error)
        return
    except RenderError as error:  # an interface that is auto
        if "discover" not in str(error):
            raise
        return
    with tempfile.TemporaryDirectory() as folder:
        for judge, text in made:
            assert complaint(judge, text, Path(folder)) == ""
