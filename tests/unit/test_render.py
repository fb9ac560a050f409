"""Rendering a whole network: the same bytes every time, all of it or nothing, and no syntax
made of data."""

from __future__ import annotations

import os
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from goldentooth.errors import FactsError, OutputError, RenderError, UsageError
from goldentooth.facts import NetworkFacts
from goldentooth.project import RENDERED_SECRETS
from tests.sites import Site, contents


def state(folder: Path) -> dict[str, tuple[int, int]]:
    """Return inode and time of change of everything in ``folder``, itself included."""
    found = {".": folder.stat(), **{str(p): p.stat() for p in folder.rglob("*")}}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}


# -- the same bytes ----------------------------------------------------------------------


def test_two_runs_give_the_same_bytes(site: Site) -> None:
    site.project().render()
    before = contents(site.build)
    report = site.project().render()
    assert contents(site.build) == before
    assert not report.has_changed


def test_one_worker_and_twenty_give_the_same_bytes(site: Site) -> None:
    one, twenty = site.folder / "one", site.folder / "twenty"
    site.project().render(build=one, workers=1)
    site.project().render(build=twenty, workers=20)
    assert contents(one) == contents(twenty)
    assert len(contents(one)) > 70


def test_nothing_depends_on_the_order_of_hashes(site: Site) -> None:
    made = []
    for seed in ("1", "2"):
        build = f"build-{seed}"
        done = site.run("render", "--build", build, env={"PYTHONHASHSEED": seed})
        assert done.returncode == 0, done.stderr
        made.append(contents(site.folder / build))
    assert made[0] == made[1]


def test_a_time_stamp_of_the_host_machine_is_in_no_artifact(site: Site) -> None:
    site.project().render()
    everything = b"\n".join(contents(site.build).values())
    assert str(site.folder).encode() not in everything
    assert os.uname().nodename.encode() not in everything


# -- check -------------------------------------------------------------------------------


def test_check_writes_nothing(site: Site) -> None:
    site.project().render()
    before = state(site.folder)
    assert site.project().render(check=True).status == 0
    site.edit("inventory/defaults.yaml", "hold: 180", "hold: 90")
    before = state(site.folder)
    assert site.project().render(check=True).status == 1
    assert state(site.folder) == before


def test_check_without_a_build_finds_everything_new_and_makes_none(site: Site) -> None:
    before = state(site.folder)
    report = site.project().render(check=True)
    assert report.status == 1
    assert "--- /dev/null\n+++ b/_twin/router/etc/frr/frr.conf\n" in report.diff()
    assert state(site.folder) == before


def test_check_shows_exactly_what_would_change(site: Site) -> None:
    site.project().render()
    site.edit("inventory/defaults.yaml", "hold: 180", "hold: 90")
    report = site.project().render(check=True, hosts=["router"])
    assert (
        "--- a/_twin/router/etc/frr/frr.conf\n+++ b/_twin/router/etc/frr/frr.conf\n"
        in report.diff()
    )
    changed = [line for line in report.diff().splitlines() if line[0] in "+-"][2:]
    assert changed == ["- neighbor CLUSTER timers 60 180", "+ neighbor CLUSTER timers 60 90"]


def test_check_sees_a_file_that_was_changed_or_removed_by_hand(site: Site) -> None:
    site.project().render()
    (site.build / "fenn/etc/network/interfaces.d/eth0.cfg").write_text("mine\n")
    (site.build / "dalt/etc/kubernetes/kubeadm.yaml").unlink()
    report = site.project().render(check=True)
    assert report.status == 1
    assert [host.host for host in report.hosts if host.diffs] == ["dalt", "fenn"]
    assert site.project().render().status == 0
    assert site.project().render(check=True).status == 0


def test_check_sees_what_would_be_removed(site: Site) -> None:
    site.project().render()
    site.edit("inventory/groups.yaml", "    wireless_interface: wlan0\n", "")
    report = site.project().render(check=True)
    assert report.status == 1
    assert "fenn/etc/network/interfaces.d/wlan0.cfg" in report.removed
    assert "+++ /dev/null\n" in report.diff()


def test_check_with_a_failing_host_is_a_failure(site: Site) -> None:
    site.project().render()
    site.write("templates/haproxy/haproxy.cfg.j2", "{{ nobody }}\n")
    assert site.project().render(check=True).status == 2


# -- a part ------------------------------------------------------------------------------


def test_a_part_leaves_the_rest_of_the_build_and_of_the_manifest(site: Site) -> None:
    site.project().render()
    before = contents(site.build)
    site.edit("inventory/defaults.yaml", "hold: 180", "hold: 90")
    report = site.project().render(hosts=["router"], services=["frr"])
    after = contents(site.build)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"_twin/router/etc/frr/frr.conf", "manifest.json"}
    assert after.keys() == before.keys()
    assert [host.host for host in report.hosts] == ["router"]
    entries = site.project().build.entries()
    assert len(entries) == len(after) - 1
    assert site.project().render(check=True).status == 1  # the speakers' timers are still due


def test_a_group_selects_its_members(site: Site) -> None:
    report = site.project().render(groups=["control_plane"], hosts=["velaryon"])
    assert [host.host for host in report.hosts] == ["bettley", "cargyll", "dalt", "velaryon"]
    assert {path.name for path in site.build.iterdir()} == {
        *("_twin", "bettley", "cargyll", "dalt", "velaryon", "manifest.json")
    }


def test_a_removed_hosts_files_disappear(site: Site) -> None:
    site.project().render()
    old = "lipps:\n  hostname: 10.4.0.21\n  groups: [raspberry_pi_4gb, worker]\n\n"
    site.edit("inventory/hosts.yaml", old, "")
    report = site.project().render()
    assert not (site.build / "lipps").exists()
    assert not (site.build / "_twin/lipps").exists()
    assert any(location.startswith("lipps/") for location in report.removed)
    assert "10.4.0.21" not in (site.build / "_twin/router/etc/frr/frr.conf").read_text()


def test_a_role_that_a_host_lost_takes_its_files_away(site: Site) -> None:
    site.project().render()
    old = "groups: [raspberry_pi_8gb, haproxy, nfs, prometheus, controller]"
    site.edit("inventory/hosts.yaml", old, "groups: [raspberry_pi_8gb, nfs, prometheus]")
    site.project().render(hosts=["allyrion"], services=["haproxy"])
    assert not (site.build / "allyrion/etc/haproxy").exists()
    assert (site.build / "allyrion/etc/network/interfaces.d/eth0.cfg").exists()


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"hosts": ["fen"]}, "host 'fen' is not known: did you mean fenn?"),
        ({"groups": ["workers"]}, "group 'workers' is not known: did you mean worker?"),
        ({"services": ["hapoxy"]}, "service 'hapoxy' is not known: did you mean haproxy?"),
        ({"hosts": ["fenn"], "services": ["haproxy"]}, "nothing is selected: haproxy has no"),
    ],
)
def test_an_empty_or_unknown_selection_is_refused(
    site: Site, selection: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        site.project().render(**selection)
    assert str(caught.value).startswith(message)
    assert not site.build.exists()


def test_a_group_without_members_is_refused(site: Site) -> None:
    site.edit("inventory/groups.yaml", "\nstep_ca: {}\n", "\nstep_ca: {}\nspare: {}\n")
    with pytest.raises(UsageError, match="nobody is in spare"):
        site.project().render(groups=["spare"])


# -- templates ---------------------------------------------------------------------------

HAPROXY = "templates/haproxy/haproxy.cfg.j2"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("global\n\n    maxconn {{ haproxy.maxconn }}\n", 3, "has no attribute 'maxconn'"),
        ("global\n{{ nobody }}\n", 2, "'nobody' is undefined"),
        ("global\n{% for server in servers %}\n", 2, "Unexpected end of template"),
        ("{{ servers[0].address / 0 }}\n", 1, "unsupported operand"),
        ("a\nb\n{{ 'x' | nonsense }}\n", 3, "No filter named 'nonsense'"),
        ("{% include 'haproxy/part.j2' %}\n", 1, "there is no template haproxy/part.j2"),
    ],
)
def test_a_broken_template_is_named_with_its_line_and_the_host(
    site: Site, text: str, line: int, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site.folder)
    site.write(HAPROXY, text)
    report = site.project().render()
    assert report.status == 2
    failures = {host.host: host.failure for host in report.hosts if host.failure}
    assert list(failures) == ["allyrion"]
    assert failures["allyrion"].startswith(f"{HAPROXY}:{line}: ")
    assert message in failures["allyrion"]
    assert f"allyrion: {HAPROXY}:{line}: " in report.table()
    assert not site.build.exists()


def test_an_unknown_name_in_an_included_template_is_named_where_it_stands(site: Site) -> None:
    site.write(HAPROXY, "{% include 'haproxy/part.j2' %}\n")
    site.write("templates/haproxy/part.j2", "\n\n{{ nobody }}\n")
    report = site.project().render(hosts=["allyrion"])
    assert "templates/haproxy/part.j2:3: 'nobody' is undefined" in report.hosts[0].failure


def test_a_missing_template_is_named(site: Site) -> None:
    (site.folder / HAPROXY).unlink()
    report = site.project().render()
    failure = next(host.failure for host in report.hosts if host.failure)
    assert "templates/haproxy/haproxy.cfg.j2:1: there is no template" in failure


def test_templates_elsewhere_are_named_where_they_are(site: Site) -> None:
    (site.folder / "templates").rename(site.folder / "sources")
    site.edit("config.yaml", "templates: templates", "templates: sources")
    site.write("sources/haproxy/haproxy.cfg.j2", "{{ nobody }}\n")
    report = site.project().render(hosts=["allyrion"])
    assert f"{site.folder}/sources/haproxy/haproxy.cfg.j2:1: " in report.hosts[0].failure


def test_one_failing_host_does_not_hide_the_others(site: Site) -> None:
    site.project().render()
    before = contents(site.build)
    site.write(HAPROXY, "{{ nobody }}\n")
    site.edit("inventory/defaults.yaml", "hold: 180", "hold: 90")
    report = site.project().render()
    assert [host.host for host in report.hosts if host.has_failed] == ["allyrion"]
    assert len(report.hosts) == 14
    assert all(host.artifacts for host in report.hosts if not host.has_failed)
    made = sum(len(host.artifacts) for host in report.hosts)
    assert f"14 hosts, {made} artifacts, " in report.table()
    assert ", 1 failed; " in report.table()
    assert "allyrion" not in report.diff()  # its files are not known, rather than not intended
    assert contents(site.build) == before


def test_a_mistake_of_the_program_fails_its_host_only(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from goldentooth.services.haproxy import Haproxy

    def drafts(self: object, network: object, node: object) -> Iterator[Any]:
        raise KeyError("oh dear")

    monkeypatch.setattr(Haproxy, "drafts", drafts)
    report = site.project().render()
    failed = [host for host in report.hosts if host.has_failed]
    assert [host.host for host in failed] == ["allyrion"]
    assert "KeyError('oh dear')" in failed[0].failure
    assert "Traceback" not in report.table()
    assert "Traceback" in failed[0].traceback


def test_two_artifacts_at_one_place_are_a_failure_and_not_a_coin_toss(site: Site) -> None:
    old = "    wireless_interface: wlan0\n"
    site.edit("inventory/groups.yaml", old, "    wireless_interface: eth0\n")
    report = site.project().render(hosts=["fenn"])
    assert report.status == 2
    assert "eth0.cfg" in report.hosts[0].failure


# -- data is not syntax ------------------------------------------------------------------

SPECIAL = {
    "newline": "\n",
    "carriage return": "\r",
    "quote": '"',
    "apostrophe": "'",
    "hash": " #",
    "semicolon": ";",
    "exclamation": "!",
    "template": "{{ 7 * 6 }}",
    "statement": "{% raw %}",
    "NUL": "\0",
    "substitution": "$(reboot)",
    "backquote": "`reboot`",
    "pipe": "|",
    "blank": " x",
    "line separator": "\u2028",
    "trailing newline": "\n",
}
TEXT_FACTS: dict[str, tuple[str, ...]] = {
    # every fact of a text type, by file, with the artifacts that it reaches
    "hosts fenn": ("hosts.yaml", "fenn:\n", "{}:\n"),
    "hosts groups": ("hosts.yaml", "groups: [gpu, worker]", "groups: [gpu, {}]"),
    "interface": ("defaults.yaml", "  interface: eth0\n", "  interface: {}\n"),
    "wireless_interface": ("groups.yaml", "wireless_interface: wlan0", "wireless_interface: {}"),
    "node_labels name": ("groups.yaml", "node.goldentooth.net/gpu:", "{}:"),
    "node_labels value": ("groups.yaml", 'gpu: "true"', "gpu: {}"),
    "node_taints": (
        "groups.yaml",
        "    node_labels:\n",
        "    node_taints: [{}]\n    node_labels:\n",
    ),
    "domains.cluster": ("defaults.yaml", "cluster: goldentooth.net", "cluster: {}"),
    "domains.nodes": ("defaults.yaml", "nodes: nodes.goldentooth.net", "nodes: {}"),
    "infrastructure.cidr": ("defaults.yaml", "cidr: 10.4.0.0/20", "cidr: {}"),
    "load_balancer.cidr": ("defaults.yaml", "cidr: 10.4.11.0/24", "cidr: {}"),
    "load_balancer.pool": ("defaults.yaml", "pool: 10.4.11.0-10.4.15.254", "pool: {}"),
    "hostname": ("hosts.yaml", "hostname: 10.4.0.15", "hostname: {}"),
    "bgp.router_asn": ("defaults.yaml", "router_asn: 64500", "router_asn: {}"),
    "bgp.keepalive": ("defaults.yaml", "keepalive: 60", "keepalive: {}"),
    "bgp.maximum_paths": ("defaults.yaml", "maximum_paths: 64", "maximum_paths: {}"),
    "bgp.accept_prefixes": ("defaults.yaml", "  bgp:\n", "  bgp:\n    accept_prefixes: [{}]\n"),
    "bgp.password": ("defaults.yaml", "  bgp:\n", "  bgp:\n    password: {}\n"),
    "kubernetes.version": ("defaults.yaml", "version: stable-1.32", "version: {}"),
    "kubernetes.service_cidr": ("defaults.yaml", "service_cidr: 172.16.0.0/20", "service_cidr: {}"),
    "kubernetes.pod_cidr": ("defaults.yaml", "pod_cidr: 192.168.0.0/16", "pod_cidr: {}"),
    "kubernetes.dns_domain": (
        "defaults.yaml",
        "  kubernetes:\n",
        "  kubernetes:\n    dns_domain: {}\n",
    ),
    "kubernetes.cert_sans": (
        "defaults.yaml",
        "  kubernetes:\n",
        "  kubernetes:\n    cert_sans: [{}]\n",
    ),
    "kubernetes.cri_socket": (
        "defaults.yaml",
        "  kubernetes:\n",
        "  kubernetes:\n    cri_socket: {}\n",
    ),
    "kubernetes.proxy_mode": (
        "defaults.yaml",
        "  kubernetes:\n",
        "  kubernetes:\n    proxy_mode: {}\n",
    ),
    "kubernetes.api_port": ("defaults.yaml", "api_port: 6443", "api_port: {}"),
    "kubernetes.bootstrap_token": (
        "defaults.yaml",
        "bootstrap_token: ${vault:kubeadm/join#token}",
        "bootstrap_token: {}",
    ),
    "haproxy.balance": ("defaults.yaml", "balance: roundrobin", "balance: {}"),
    "haproxy.check.interval": ("defaults.yaml", "interval: 2s", "interval: {}"),
    "haproxy.check.fall": ("defaults.yaml", "fall: 3", "fall: {}"),
    "haproxy.timeouts.client": ("defaults.yaml", "client: 4h", "client: {}"),
    "haproxy.metrics_port": ("defaults.yaml", "metrics_port: 8405", "metrics_port: {}"),
}
GOOD = {
    "hosts groups": "worker",
    "node_labels name": "node.goldentooth.net/gpu",
    "node_taints": "key=value:NoSchedule",
    "bgp.accept_prefixes": "10.4.11.0/24",
    "bgp.password": "${env:PASSWORD}",
    "kubernetes.dns_domain": "cluster.local",
    "kubernetes.cert_sans": "api.goldentooth.net",
    "kubernetes.cri_socket": "unix:///run/x.sock",
    "kubernetes.proxy_mode": "ipvs",
}


def quoted(text: str) -> str:
    """Return ``text`` as a YAML scalar that stands for exactly it."""
    import json

    return json.dumps(text, ensure_ascii=True)


@pytest.mark.parametrize("fact", TEXT_FACTS)
def test_a_fact_cannot_become_syntax(site: Site, fact: str) -> None:
    """Every fact that reaches an artifact, with each character that means something there."""
    name, old, new = TEXT_FACTS[fact]
    original = (site.folder / "inventory" / name).read_text()
    assert original.count(old) == 1
    plain = GOOD.get(fact) or old.strip().removesuffix(":").rpartition(": ")[2].strip('"')
    for what, special in SPECIAL.items():
        for value in (plain + special, special + plain, plain[:2] + special + plain[2:]):
            text = original.replace(old, new.replace("{}", quoted(value)))
            (site.folder / "inventory" / name).write_text(text)
            with pytest.raises((FactsError, RenderError)) as caught:
                site.project().render()
            assert "inventory/" in str(caught.value), what
            assert "\0" not in str(caught.value)
    assert not site.build.exists()


def test_phrases_for_people_reach_no_artifact(site: Site) -> None:
    """The one kind of text that may hold anything on a line."""
    site.project().render()
    before = contents(site.build)
    wild = quoted("x; reboot # {{ 7 * 6 }} $(reboot) \"'")
    old = "    hardware: x86-64 with a GPU\n"
    site.edit("inventory/hosts.yaml", old, f"    hardware: {wild}\n")
    site.project().render()
    assert contents(site.build) == before


# -- secrets -----------------------------------------------------------------------------

CANARY = "canary0123456789.abcdefghijklmnop"


def literal(site: Site, fact: str) -> Site:
    section, _, name = fact.partition(".")
    defaults = (site.folder / "inventory/defaults.yaml").read_text()
    kept = [line for line in defaults.splitlines() if not line.startswith(f"    {name}:")]
    site.write("inventory/defaults.yaml", "\n".join(kept) + "\n")
    return site.add_fact(section, f"{name}: {CANARY}")


@pytest.mark.parametrize("fact", RENDERED_SECRETS)
def test_a_literal_secret_is_refused_and_nowhere_shown(site: Site, fact: str) -> None:
    literal(site, fact)
    with pytest.raises(RenderError) as caught:
        site.project().render()
    assert "inventory/defaults.yaml:" in str(caught.value)
    assert f"{fact} is written out" in str(caught.value)
    assert CANARY not in str(caught.value)
    assert not site.build.exists()


@pytest.mark.parametrize("options", [(), ("--debug",), ("--format", "json"), ("--check",)])
def test_no_output_and_no_file_holds_a_literal_secret(
    site: Site, options: tuple[str, ...], tmp_path: Path
) -> None:
    for fact in RENDERED_SECRETS:
        literal(site, fact)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = site.run("render", "--validate", *options, env={"TMPDIR": str(temporary)})
    assert done.returncode == 2
    assert done.stderr.count("is written out") >= 4
    assert CANARY not in done.stdout + done.stderr
    (site.folder / "inventory/defaults.yaml").unlink()
    everything = b"".join([*contents(site.folder).values(), *contents(temporary).values()])
    assert CANARY.encode() not in everything


@pytest.mark.parametrize("value", ["${env:A}${env:B}", "x${env:A}", "${env:A}x", "${shell:id}"])
def test_only_a_whole_reference_is_a_reference(site: Site, value: str) -> None:
    site.add_fact("bgp", f"password: {quoted(value)}")
    with pytest.raises((FactsError, RenderError)) as caught:
        site.project().render()
    assert "password" in str(caught.value)


def test_every_secret_of_the_facts_is_watched() -> None:
    def secrets(kind: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
        for name, hint in typing.get_type_hints(kind, include_extras=True).items():
            yield from of(hint, (*path, name))

    def of(hint: Any, path: tuple[str, ...]) -> Iterator[str]:
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            yield from secrets(hint, path)
            return
        for item in typing.get_args(hint):
            if isinstance(item, msgspec.Meta) and (item.extra or {}).get("secret"):
                yield ".".join(path)
            else:
                yield from of(item, path)

    never_rendered = {"opnsense_api.key", "opnsense_api.secret"}  # resolving one refuses a literal
    assert set(secrets(NetworkFacts)) == {*RENDERED_SECRETS, *never_rendered}


# -- where it cannot be written ----------------------------------------------------------


def test_a_users_own_folder_is_refused_and_untouched(site: Site) -> None:
    site.write("build/thesis.tex", "years of work")
    before = state(site.folder)
    with pytest.raises(OutputError, match="was not made by render"):
        site.project().render()
    assert state(site.folder) == before


def test_the_projects_own_folders_cannot_be_the_build(site: Site) -> None:
    for name in (".", "inventory", "templates"):
        with pytest.raises(OutputError, match="was not made by render"):
            site.project().render(build=site.folder / name)
    assert (site.folder / "inventory/hosts.yaml").exists()


def test_a_build_that_the_configuration_puts_elsewhere_is_made_there(
    site: Site, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere/made"
    site.edit("config.yaml", "build: build", f"build: {elsewhere}")
    report = site.project().render()
    assert report.status == 0
    assert (elsewhere / "manifest.json").exists()
    assert f"-> {elsewhere}/" in report.table()


def test_a_path_that_is_wanted_twice_is_said_to_be(site: Site) -> None:
    site.edit("inventory/defaults.yaml", "interface: eth0", "interface: wlan0")
    report = site.project().render(hosts=["fenn"])
    assert report.status == 2
    assert "wlan0.cfg is wanted twice, by routes and routes" in repr(report)
