"""Every rule finds what it says, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from goldentooth.errors import UsageError
from goldentooth.inventory import GoldentoothInventory
from goldentooth.model import Network
from goldentooth.rules import (
    TOPICS,
    Finding,
    Rule,
    Severity,
    all_rules,
    check_network,
    find_rule,
    select_rules,
)
from goldentooth.rules.example import example_network

ROOT = Path(__file__).parents[2]
each_rule = pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.id)

HA_ACCEPTED = """
      - {rule: HA004, reason: clients are moved to lb2 by hand}
      - {rule: HA005, reason: a second router is not worth it here}
"""


def open_findings(network: Network, *only: str) -> list[Finding]:
    return [finding for finding in check_network(network, only) if not finding.is_accepted]


def ids(findings: list[Finding]) -> set[str]:
    return {finding.rule for finding in findings}


@pytest.fixture(scope="module")
def shipped() -> Network:
    names = ("host", "group", "defaults", "discovered")
    files = ("hosts.yaml", "groups.yaml", "defaults.yaml", "none.yaml")
    arguments = {
        f"{name}_file": str(ROOT / "inventory" / file)
        for name, file in zip(names, files, strict=True)
    }
    return GoldentoothInventory(**arguments).load().network


# -- the rules themselves ----------------------------------------------------------------


@each_rule
def test_a_failing_example_breaks_that_rule_alone(rule: Rule) -> None:
    assert ids(open_findings(example_network(rule.fails))) == {rule.id}


@each_rule
def test_a_passing_example_is_clean(rule: Rule) -> None:
    assert open_findings(example_network(rule.passes)) == []


@each_rule
def test_a_rule_says_what_why_what_to_do_and_by_which_source(rule: Rule) -> None:
    for text in (rule.title, rule.why, rule.remedy, rule.source):
        assert text == text.strip()
        assert len(text) > 10
    assert rule.why.endswith((".", ")."))
    assert not rule.title.endswith(".")


@each_rule
def test_a_finding_says_where_and_what_to_do(rule: Rule) -> None:
    for finding in open_findings(example_network(rule.fails)):
        assert finding.where.file in {"hosts.yaml", "groups.yaml", "defaults.yaml"}
        assert finding.where.line >= 1
        assert finding.subject
        assert finding.message
        assert finding.remedy


def test_ids_are_a_topic_and_a_number_without_gaps() -> None:
    by_topic = {topic: [rule.id for rule in all_rules() if rule.topic == topic] for topic in TOPICS}
    assert sum(map(len, by_topic.values())) == len(all_rules()) >= 35
    for topic, identifiers in by_topic.items():
        assert identifiers == [f"{topic}{n:03}" for n in range(1, len(identifiers) + 1)]


def test_the_reference_network_is_clean() -> None:
    assert open_findings(example_network()) == []


# -- the shipped network -----------------------------------------------------------------


def test_the_shipped_network_has_the_weaknesses_of_the_design(shipped: Network) -> None:
    assert ids(open_findings(shipped)) == {
        "ADDR012",  # the pool is on the segment
        "ADDR013",  # .0 and .255 in the pool
        "BGP001",  # documentation AS numbers
        "BGP009",  # 180 s until a dead node is noticed
        "BGP016",  # no password
        "HA003",  # one load balancer
        "HA005",  # one router
        "K8S007",  # stable-1.32
        "ROUTE001",  # a /24 for a pool that ends in .15.254
    }


@pytest.mark.parametrize(
    ("identifier", "text"),
    [
        ("ROUTE001", "10.4.11.0/24"),
        ("ADDR012", "10.4.11.0-10.4.15.254"),
        ("BGP009", "180"),
        ("K8S007", "stable-1.32"),
        ("HA003", "[raspberry_pi_8gb, haproxy"),
    ],
)
def test_a_finding_points_at_the_very_fact(shipped: Network, identifier: str, text: str) -> None:
    (finding,) = open_findings(shipped, identifier)
    line = Path(finding.where.file).read_text().splitlines()[finding.where.line - 1]
    assert line[finding.where.column - 1 :].startswith(text)


def test_a_finding_about_an_absent_fact_points_at_its_section(shipped: Network) -> None:
    (finding,) = open_findings(shipped, "BGP016")
    line = Path(finding.where.file).read_text().splitlines()[finding.where.line - 1]
    assert line == "  bgp:"


def test_the_route_that_misses_the_pool_is_told_what_would_hold_it(shipped: Network) -> None:
    (finding,) = open_findings(shipped, "ROUTE001")
    assert "10.4.12.0-10.4.15.254 (1023 addresses)" in finding.message
    assert "10.4.8.0/21" in finding.remedy


# -- cases beyond the examples -----------------------------------------------------------


@pytest.mark.parametrize(
    ("identifier", "excerpt"),
    [
        ("ADDR003", "hosts: {node2: {hostname: 10.20.0.0}}"),
        ("ADDR005", 'hosts: {node1: {data: {mac: "00:00:00:00:00:00"}}}'),
        ("ADDR006", "defaults: {data: {kubernetes: {pod_cidr: 10.20.0.0/16}}}"),
        ("ADDR006", "defaults: {data: {kubernetes: {service_cidr: 10.20.8.0/24}}}"),
        ("ADDR007", "defaults: {data: {kubernetes: {pod_cidr: 172.16.0.0/14}}}"),
        ("BGP001", "defaults: {data: {bgp: {router_asn: 65551}}}"),
        ("BGP002", "defaults: {data: {bgp: {router_asn: 65535}}}"),
        ("BGP002", "defaults: {data: {bgp: {router_asn: 65552}}}"),
        ("BGP003", "defaults: {data: {bgp: {router_asn: 64495}}}"),
        ("BGP003", "defaults: {data: {bgp: {router_asn: 4199999999}}}"),
        ("BGP008", "defaults: {data: {bgp: {keepalive: 0, hold: 9}}}"),
        ("BGP009", "defaults: {data: {bgp: {keepalive: 0, hold: 0}}}"),
        ("BGP009", "defaults: {data: {bgp: {hold: 31}}}"),
        ("BGP012", "defaults: {data: {bgp: {accept_prefixes: []}}}"),
        ("BGP013", "defaults: {data: {bgp: {accept_prefixes: [0.0.0.0/0]}}}"),
        ("HA004", "hosts: {lb1: null, lb2: null}"),
        ("HA007", "defaults: {data: {haproxy: {stats: {port: 8405}}}}"),
        ("HA008", "defaults: {data: {haproxy: {timeouts: {tunnel: 59m}}}}"),
        ("HA008", "defaults: {data: {haproxy: {timeouts: {server: 59m}}}}"),
        ("K8S001", "defaults: {data: {kubernetes: {cert_sans: []}}}"),
        ("K8S004", "defaults: {data: {kubernetes: {pod_cidr: 100.0.0.0/7}}}"),
        ("K8S008", "hosts: {lb1: {data: {node_taints: ['a:NoSchedule']}}}"),
        ("K8S011", "defaults: {data: {kubernetes: {dns_domain: net}}}"),
        ("K8S013", "groups: {k8s: {data: {node_labels: {kubernetes.io/role: x}}}}"),
        ("K8S013", "hosts: {cp1: {data: {node_labels: {x.y.kubernetes.io/a: b}}}}"),
        ("K8S013", "hosts: {cp1: {data: {node_labels: {k8s.io/a: b}}}}"),
        ("K8S013", "hosts: {cp1: {data: {node_labels: {storage.k8s.io/a: b}}}}"),
        ("K8S013", "hosts: {cp1: {data: {node_labels: {node-restriction.kubernetes.io/a: b}}}}"),
        ("K8S013", "hosts: {cp1: {data: {node_labels: {kubernetes.io/instance-type: b}}}}"),
        ("NAME004", "hosts: {localhost: {hostname: 10.20.0.7, groups: [haproxy]}}"),
    ],
)
def test_it_is_found_too(identifier: str, excerpt: str) -> None:
    assert check_network(example_network(excerpt), [identifier])


@pytest.mark.parametrize(
    ("identifier", "excerpt"),
    [
        ("BGP002", "defaults: {data: {bgp: {router_asn: 4294967294}}}"),
        ("BGP003", "defaults: {data: {bgp: {router_asn: 65534}}}"),
        ("BGP009", "defaults: {data: {bgp: {hold: 30}}}"),
        ("BGP013", "defaults: {data: {load_balancer: {pool: 10.20.8.3-10.20.8.9}}}"),
        ("ADDR008", "defaults: {data: {kubernetes: {pod_cidr: 172.26.64.0/20}}}"),
        ("ADDR013", "defaults: {data: {load_balancer: {pool: 10.20.8.1-10.20.8.254}}}"),
        ("HA006", "hosts: {node1: {groups: [worker, haproxy]}}"),
        ("HA008", "defaults: {data: {haproxy: {timeouts: {client: 1h, server: 60m}}}}"),
        ("K8S005", "defaults: {data: {kubernetes: {service_cidr: 10.96.0.0/12}}}"),
        ("K8S006", "defaults: {data: {kubernetes: {service_cidr: 10.96.0.0/28}}}"),
        ("K8S008", "defaults: {data: {node_labels: {site: here}}}"),
        ("BGP015", "defaults: {data: {load_balancer: {pool: 0.0.0.0/0}}}"),
        ("K8S013", "hosts: {cp1: {data: {node_labels: {topology.kubernetes.io/zone: a}}}}"),
        ("K8S013", "hosts: {cp1: {data: {node_labels: {beta.kubernetes.io/instance-type: a}}}}"),
        ("K8S013", "hosts: {cp1: {data: {node_labels: {kubelet.kubernetes.io/a: b}}}}"),
        ("K8S013", "hosts: {cp1: {data: {node_labels: {x.node.kubernetes.io/a: b}}}}"),
        ("K8S013", "hosts: {cp1: {data: {node_labels: {notkubernetes.io/a: b, plain: c}}}}"),
        ("NAME001", "hosts: {router: {data: {interface: igc0}}}"),
        ("ROUTE003", "hosts: {router: {data: {load_balancer_route: on-link}}}"),
    ],
)
def test_it_is_left_alone(identifier: str, excerpt: str) -> None:
    assert check_network(example_network(excerpt), [identifier]) == ()


def test_calico_that_peers_with_the_router_may_announce_pods() -> None:
    excerpt = """
defaults:
  data:
    calico: {peer_with_router: true}
    metallb: {peer_with_router: false}
    bgp: {accept_prefixes: [10.20.8.0/24, 10.244.0.0/16]}
"""
    assert check_network(example_network(excerpt), ["BGP013"]) == ()


@pytest.mark.parametrize(
    ("excerpt", "subject"),
    [
        ("hosts: {node1: {password: CANARY}}", "node1"),
        ("groups: {k8s: {password: CANARY}}", "groups.k8s"),
        ("defaults: {password: CANARY}", "password"),
        ("defaults: {data: {bgp: {password: CANARY}}}", "bgp.password"),
        ("defaults: {data: {kubernetes: {bootstrap_token: CANARY}}}", "kubernetes.bootstrap_token"),
        ("hosts: {node1: {connection_options: {ssh: {password: CANARY}}}}", "node1"),
        ("hosts: {node1: {connection_options: {ssh: {extras: {secret: CANARY}}}}}", "node1"),
        (
            "groups: {k8s: {connection_options: {ssh: {extras: {deep: {secret: CANARY}}}}}}",
            "groups.k8s",
        ),
        *(
            (f"hosts: {{node1: {{connection_options: {{ssh: {{extras: {extras}}}}}}}}}", "node1")
            for extras in (
                "{enable: CANARY}",
                "{snmp_community: CANARY}",
                "{headers: {Authorization: Bearer CANARY}}",
                "{headers: {X-Api: CANARY}}",
                "{pkey: CANARY}",
                "{list: [CANARY]}",
                "{base_url: 'https://api:CANARY@10.4.0.1/'}",
                "{client_keys: ['-----BEGIN CANARY']}",
                "{pin: 1234}",
                "{enable_password: 1234}",
            )
        ),
    ],
)
def test_a_literal_secret_is_found_and_not_shown(excerpt: str, subject: str) -> None:
    (finding,) = check_network(example_network(excerpt), ["SEC001"])
    assert finding.subject == subject
    assert "CANARY" not in repr(finding)


def test_what_a_plugin_is_told_beside_secrets_is_left_alone() -> None:
    extras = (
        "{device_type: linux, key_file: ~/.ssh/id_ed25519, preferred_auth: [publickey],"
        " fast_cli: true, auth_timeout: 5, use_keys: false, none: null, blank: '',"
        " optional_args: {transport: ssh, secret: '${env:ENABLE}'}}"
    )
    excerpt = f"hosts: {{node1: {{connection_options: {{ssh: {{extras: {extras}}}}}}}}}"
    assert check_network(example_network(excerpt), ["SEC001"]) == ()


# -- acceptance --------------------------------------------------------------------------


def accepting(entries: str, rest: str = "") -> Network:
    return example_network(f"defaults:\n  data:\n{rest}    accept:{HA_ACCEPTED}{entries}")


def test_an_accepted_finding_stays_with_its_reason() -> None:
    entry = "      - {rule: BGP016, reason: the segment is trusted}\n"
    network = accepting(entry, "    bgp: {password: null}\n")
    (finding,) = check_network(network, ["BGP016"])
    assert finding.accepted == "the segment is trusted"
    assert open_findings(network) == []


def test_an_acceptance_may_name_its_subjects_by_a_pattern() -> None:
    entry = "      - {rule: BGP001, subject: '*.router_asn', reason: known}\n"
    network = accepting(entry, "    bgp: {router_asn: 64500, cluster_asn: 64501}\n")
    accepted = {finding.subject: finding.accepted for finding in check_network(network, ["BGP001"])}
    assert accepted == {"bgp.router_asn": "known", "bgp.cluster_asn": None}
    assert ids(open_findings(network)) == {"BGP001"}


ON_LINK = "load_balancer_route: on-link"
ACCEPT_ROUTE = "accept: [{rule: ROUTE003, reason: known}]"


def test_an_acceptance_at_a_host_holds_for_that_host_only() -> None:
    network = example_network(
        f"hosts: {{lb1: {{data: {{{ON_LINK}, {ACCEPT_ROUTE}}}}}, lb2: {{data: {{{ON_LINK}}}}}}}"
    )
    accepted = {finding.subject: finding.accepted for finding in check_network(network, ["ROUTE"])}
    assert accepted == {"lb1": "known", "lb2": None}


def test_an_acceptance_at_a_group_holds_for_its_hosts() -> None:
    network = example_network(
        f"groups: {{haproxy: {{data: {{{ACCEPT_ROUTE}}}}}}}\n"
        f"hosts: {{lb1: {{data: {{{ON_LINK}}}}}}}"
    )
    assert open_findings(network) == []


def test_an_acceptance_at_a_group_that_matches_nothing_is_one_finding_at_the_group() -> None:
    network = example_network(f"groups: {{k8s: {{data: {{{ACCEPT_ROUTE}}}}}}}")
    (finding,) = open_findings(network)
    assert (finding.rule, finding.subject) == ("ACC001", "groups.k8s")
    assert finding.where.file == "groups.yaml"


def test_an_acceptance_at_a_group_without_hosts_matches_nothing() -> None:
    network = example_network(f"groups: {{nfs: {{data: {{{ACCEPT_ROUTE}}}}}}}")
    assert ids(open_findings(network)) == {"ACC001", "NAME002"}


def test_an_acceptance_whose_subject_is_not_there_matches_nothing() -> None:
    entry = "      - {rule: BGP001, subject: bgp.router, reason: known}\n"
    network = accepting(entry, "    bgp: {router_asn: 64500}\n")
    assert ids(open_findings(network)) == {"ACC001", "BGP001"}


def test_an_acceptance_is_not_idle_because_only_other_rules_were_asked_for() -> None:
    assert check_network(example_network(), ["BGP"]) == ()
    assert check_network(example_network(), ["ACC"]) == ()


def test_an_idle_acceptance_cannot_be_accepted() -> None:
    network = accepting("      - {rule: ACC001, reason: never mind}\n")
    assert ids(open_findings(network)) == {"ACC001"}


def test_an_unknown_rule_is_corrected() -> None:
    (finding,) = open_findings(accepting("      - {rule: BGB001, reason: known}\n"))
    assert finding.rule == "ACC002"
    assert "did you mean BGP001?" in finding.remedy


# -- selection and order -----------------------------------------------------------------


def test_findings_come_worst_first_then_in_file_order(shipped: Network) -> None:
    keys = [(finding.severity.rank, finding.where) for finding in check_network(shipped)]
    assert keys == sorted(keys)
    assert [severity.rank for severity in Severity] == [0, 1, 2]


def test_rules_are_selected_by_id_and_topic_in_any_case() -> None:
    chosen = [rule.id for rule in select_rules(["acc", "bgp003"])]
    assert chosen == ["BGP003", "ACC001", "ACC002"]


def test_an_unknown_rule_or_topic_is_an_error_with_a_remedy() -> None:
    with pytest.raises(UsageError, match="did you mean BGP003"):
        find_rule("BGB003")
    with pytest.raises(UsageError, match="no rule is called 'DNS'"):
        select_rules(["DNS"])


def test_the_rules_need_no_nornir_and_load_when_asked_for() -> None:
    program = """
import sys, goldentooth.rules
early = [name for name in sys.modules if name.startswith("goldentooth.rules.")]
goldentooth.rules.all_rules()
late = [name for name in sys.modules if name.split(".")[0] in ("nornir", "jinja2", "rich")]
import json; print(json.dumps([early, late]))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert json.loads(run.stdout) == [[], []]


def test_the_work_grows_with_the_hosts_not_with_their_pairs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Counted in steps of the interpreter, so that a busy machine changes nothing."""

    def steps(hosts: int) -> int:
        facts = {
            f"h{n}": {
                "hostname": f"10.32.{n // 250}.{n % 250 + 1}",
                "groups": ["worker"],
                "data": {"accept": [{"rule": "ADDR002", "reason": "known"}]},
            }
            for n in range(hosts)
        }
        network = example_network(json.dumps({"hosts": facts}))
        count = 0

        def step(*_: object) -> None:
            nonlocal count
            count += 1

        sys.setprofile(step)
        try:
            assert len(check_network(network)) >= hosts
        finally:
            sys.setprofile(None)
        return count

    few, many = steps(200), steps(800)
    assert many < 6 * few
