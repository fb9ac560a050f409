"""The project as a library: for runbooks, notebooks and other people's Nornir scripts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from nornir import InitNornir
from nornir.core.configuration import Config
from nornir.core.task import AggregatedResult, Result, Task

import goldentooth
from goldentooth import Network, Project, open_project
from goldentooth.configuration import find_config
from goldentooth.errors import FactsError, UsageError
from goldentooth.schema import inventory_schemas
from tests.sites import Site


@pytest.fixture
def project(site: Site) -> Project:
    return site.project()


def interface_of(task: Task) -> Result:
    return Result(host=task.host, result=f"{task.host['interface']} {task.host.hostname}")


def test_the_nearest_config_upwards_is_opened(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site.folder / "templates/frr")
    assert open_project().folder == site.folder
    assert find_config() == site.config


def test_no_config_is_said_with_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=rf"no config.yaml here or above {tmp_path}"):
        open_project()


def test_mistakes_in_the_facts_are_raised_all_at_once(site: Site) -> None:
    site.edit("inventory/hosts.yaml", "hostname: 10.4.0.15", "hostname: 10.4.0.300")
    site.edit("inventory/defaults.yaml", "hold: 180", "hold: soon")
    with pytest.raises(FactsError) as caught:
        site.project()
    assert len(caught.value.problems) == 2


def test_the_network_is_typed_and_complete(project: Project) -> None:
    assert isinstance(project.network, Network)
    assert project.network.router.name == "router"
    assert len(project.network.nodes) == len(project.nornir.inventory.hosts) == 14


def test_things_say_what_they_are(project: Project, site: Site) -> None:
    assert repr(project) == f"Project({str(site.folder)!r}: 14 hosts)"
    assert repr(project.build) == f"BuildFolder({str(site.build)!r})"
    assert repr(project.network) == "Network(14 hosts, 12 in Kubernetes, API at 10.4.0.10:6443)"
    assert repr(project.network.only(["fenn"])) == "Network(2 hosts, 1 in Kubernetes)"
    report = project.render()
    assert repr(report) == report.table()
    assert repr(report).splitlines()[0].split() == [
        *("host", "artifacts", "bytes", "changed", "failed", "judge")
    ]
    assert len(repr(report.hosts[0])) < 200
    assert repr(project.nornir.inventory.hosts["fenn"]) == "Host: fenn"


def test_a_finding_is_a_line_that_says_it_all(project: Project) -> None:
    (finding,) = project.lint(only=["ROUTE001"])
    assert repr(finding) == (
        f"ROUTE001 error {finding.where} load_balancer.cidr: {finding.message}"
    )
    assert str(finding.where).endswith("inventory/defaults.yaml:20:11")
    accepted = replace(finding, accepted="known")
    assert repr(accepted) == f"{finding!r} (accepted: known)"


def test_lint_of_some_hosts_is_what_is_about_them(site: Site) -> None:
    for host in ("fenn", "jast"):
        mac = f'\n{host}:\n  data: {{mac: "dc:a6:32:00:00:0b"}}\n'
        site.edit("inventory/hosts.yaml", f"\n{host}:\n", mac)
    project = site.project()
    (finding,) = project.lint(hosts=["jast"])
    assert (finding.rule, finding.subject) == ("ADDR004", "jast")
    assert project.lint(groups=["step_ca"]) == (finding,)
    assert project.lint(hosts=["bettley"]) == ()
    with pytest.raises(UsageError, match="did you mean fenn"):
        project.lint(hosts=["fen"])


def test_lint_gives_findings_with_their_place(project: Project) -> None:
    findings = project.lint()
    assert findings
    assert all(finding.where.line for finding in findings)


def test_render_reports_every_host(project: Project, site: Site) -> None:
    report = project.render(hosts=["fenn", "router"])
    assert [host.host for host in report.hosts] == ["fenn", "router"]
    assert report.status == 0
    assert (site.build / "_twin/router/etc/frr/frr.conf").exists()
    text = next(a.text for a in report.hosts[1].artifacts if a.path == "/etc/frr/frr.conf")
    assert (site.build / "_twin/router/etc/frr/frr.conf").read_text() == text


def test_a_host_whose_interface_is_unknown_is_named_once(site: Site) -> None:
    site.edit("inventory/hosts.yaml", "architecture: amd64", "interface: auto")
    table = site.project().render(check=True).table()
    assert "\nvelaryon: " in table
    assert "hosts.yaml:59:16: interface is auto, and was not discovered\n    pin it in" in table
    assert table.count("velaryon: ") == 2  # and in what is to be pasted


def test_a_custom_task_runs_over_the_projects_nornir(project: Project) -> None:
    result = project.nornir.run(interface_of)
    assert isinstance(result, AggregatedResult)
    assert result["fenn"][0].result == "eth0 10.4.0.15"
    assert len(result) == 14


def test_facts_of_groups_and_defaults_are_read_through_the_host(project: Project) -> None:
    host = project.nornir.inventory.hosts["fenn"]
    assert host["architecture"] == "arm64"  # a group's group
    assert host["load_balancer_route"] == "on-link"  # a group
    assert host["bgp"]["hold"] == 180  # the defaults
    assert host.platform == "linux"
    assert project.nornir.inventory.hosts["router"].platform == "opnsense"
    with pytest.raises(KeyError):
        host["no such fact"]


def test_nornirs_own_filters_work(project: Project) -> None:
    from nornir.core.filter import F

    planes = project.nornir.filter(F(has_parent_group="control_plane"))
    assert list(planes.inventory.hosts) == ["bettley", "cargyll", "dalt"]
    assert list(project.nornir.filter(name="fenn").inventory.hosts) == ["fenn"]


def test_hosts_that_failed_a_task_of_ones_own_are_rendered_and_stay_failed(
    project: Project,
) -> None:
    def fails(task: Task) -> Result:
        raise ValueError(task.host.name)

    project.nornir.filter(name="fenn").run(fails, raise_on_error=False)
    report = project.render()
    assert len(report.hosts) == 14
    assert not report.has_failed
    assert project.nornir.data.failed_hosts == {"fenn"}


def test_a_render_that_failed_does_not_bar_its_host_from_the_next(
    site: Site, project: Project
) -> None:
    template = site.folder / "templates/haproxy/haproxy.cfg.j2"
    good = template.read_text()
    template.write_text("{{ nobody }}\n")
    assert project.render().status == 2
    template.write_text(good)
    assert site.project().render().status == 0
    assert project.nornir.data.failed_hosts == set()


def test_init_nornir_gives_the_same_inventory(
    site: Site, monkeypatch: pytest.MonkeyPatch, project: Project
) -> None:
    """Through the entry point, as any Nornir script would."""
    monkeypatch.chdir(site.folder)
    nornir = InitNornir(config_file="config.yaml")
    assert list(nornir.inventory.hosts) == list(project.nornir.inventory.hosts)
    for name, host in nornir.inventory.hosts.items():
        assert host.dict() == project.nornir.inventory.hosts[name].dict()
    assert nornir.run(interface_of)["router"][0].result == "eth0 10.4.0.1"


def test_a_processor_sees_every_host(project: Project) -> None:
    class Seen:
        def __init__(self) -> None:
            self.hosts: set[str] = set()

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *_: None  # the other five methods of a processor

        def task_instance_completed(self, *arguments: object) -> None:
            self.hosts.add(str(arguments[1]))

    seen = Seen()
    project.render(processors=[seen])
    assert len(seen.hosts) == 14


def test_the_runner_of_the_configuration_is_used(site: Site) -> None:
    site.edit("config.yaml", "plugin: threaded", "plugin: serial")
    site.edit("config.yaml", "    num_workers: 20\n", "    {}\n")
    project = site.project()
    assert type(project.nornir.runner).__name__ == "SerialRunner"
    assert project.render().status == 0


def test_render_works_in_a_thread(project: Project) -> None:
    """A notebook or a server: only the main thread can have a signal handler."""
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(project.render().status))
    thread.start()
    thread.join(30)
    assert statuses == [0]


def test_render_leaves_the_signal_handler_as_it_was(project: Project) -> None:
    import signal

    before = signal.getsignal(signal.SIGINT)
    project.render()
    assert signal.getsignal(signal.SIGINT) is before


def test_opening_a_project_does_not_write_a_log(site: Site) -> None:
    site.project().render(check=True)
    assert not (site.folder / "nornir.log").exists()
    assert isinstance(site.project().config, Config)


def test_the_packages_names_are_there_and_others_are_not() -> None:
    assert goldentooth.open_project is open_project
    with pytest.raises(AttributeError, match="no attribute 'open_projekt'"):
        goldentooth.open_projekt  # noqa: B018


def test_the_inventory_has_a_schema_that_the_shipped_files_keep_to() -> None:
    import jsonschema
    import yaml

    from tests.sites import ROOT

    for name, schema in inventory_schemas().items():
        jsonschema.Draft202012Validator.check_schema(schema)
        facts = yaml.safe_load((ROOT / f"inventory/{name}.yaml").read_text())
        jsonschema.Draft202012Validator(schema).validate(facts)
        broken = {**facts, "nobody": {"hostnam": 1}}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate(broken)


@pytest.fixture(autouse=True)
def _no_leftover_connections() -> Iterator[None]:
    yield
    assert threading.active_count() < 30
