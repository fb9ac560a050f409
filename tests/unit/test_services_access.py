"""What a user other than root may do on a host: the files, and that they say no more than that."""

from __future__ import annotations

from pathlib import Path

import pytest

from goldentooth.artifact import Scope
from goldentooth.check import Output, State, judge_all
from goldentooth.discovery import host_commands
from goldentooth.errors import FactsError
from goldentooth.host import ALLOWED, INSTALLED, installed_program, sent_program
from goldentooth.model import Network
from goldentooth.services import all_services
from goldentooth.services.access import SERVICE, SudoRule
from goldentooth.survey import observations
from tests.conftest import Shipped
from tests.namespaces import needs, run_judge
from tests.sites import Site

LIST = f"fenn{ALLOWED}"


def lines(site: Site, host: str = "fenn") -> list[str]:
    text = site.text(f"{host}{ALLOWED}")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_every_linux_host_has_it_and_the_router_has_not(network: Network) -> None:
    assert {node.name for node in SERVICE.hosts(network)} == network.nodes.keys() - {"router"}


def test_without_the_fact_it_is_nowhere(site: Site) -> None:
    site.edit("inventory/defaults.yaml", "  access:\n    user: goldentooth\n", "")
    assert SERVICE.hosts(site.project().network) == ()
    assert not site.project().render().has_failed


@pytest.mark.parametrize("user", ["root", "ALL", "%wheel", "a b", "ann, bob", "#0", '""'])
def test_a_user_that_sudo_would_read_otherwise_is_refused(shipped: Shipped, user: str) -> None:
    shipped.edit("defaults", "user: goldentooth", f"user: {user!r}")
    with pytest.raises(FactsError, match="not a user beside root"):
        shipped.load()


def test_every_read_of_every_check_on_the_host_is_listed(site: Site, network: Network) -> None:
    reads = {
        read
        for service in all_services()
        for node in service.hosts(network)
        for check in service.checks(network, node)
        if check.host == "allyrion"
        for read in check.reads()
    }
    assert len(reads) > 5
    assert reads <= set(lines(site, "allyrion"))


def test_every_read_of_what_is_observed_there_is_listed(site: Site, network: Network) -> None:
    for name in ("fenn", "allyrion"):
        node = network.nodes[name]
        present = [each for each in all_services() if node in each.hosts(network)]
        deployed = [
            each
            for each in present
            if any(draft.scope is Scope.HOST for draft in each.drafts(network, node))
        ]
        reads = {
            read
            for service in present
            for observation in observations(service, network, node, is_deployed=service in deployed)
            for read in observation.reads()
        }
        reads |= set(host_commands(network, node, present))
        assert len(reads) > 4
        assert reads <= set(lines(site, name))
    assert "systemctl is-active haproxy.service" in lines(site, "allyrion")


def test_what_makes_files_live_is_listed(site: Site) -> None:
    assert "@routes /etc/network/interfaces.d/eth0.cfg" in lines(site)


def test_files_that_are_deployed_are_listed_and_those_for_the_twin_are_not(site: Site) -> None:
    assert "@path /etc/network/interfaces.d/eth0.cfg" in lines(site)
    assert "@path /etc/network/interfaces.d/" in lines(site)
    assert not any("frr" in line for line in lines(site) if not line.startswith("dpkg-query "))


def test_nobody_can_write_a_longer_list_for_himself(site: Site, network: Network) -> None:
    own = {draft.path for draft in SERVICE.drafts(network, network.nodes["fenn"])}
    assert own == {ALLOWED, INSTALLED, "/etc/sudoers.d/goldentooth"}
    for path in own:
        assert f"@read {path}" in lines(site)
        assert f"@path {path}" not in lines(site)
    folders = {line for line in lines(site) if line.startswith("@path ") and line.endswith("/")}
    assert not [path for path in own for folder in folders if path.startswith(folder[6:])]


def test_the_program_is_the_one_that_is_sent_to_root_and_holds_to_the_list() -> None:
    text = installed_program()
    head, _, rest = text.partition("\n")
    assert head == "#!/usr/bin/python3 -IS"
    assert rest.count(f"{ALLOWED!r},\n") == 1
    assert rest.replace(f"{ALLOWED!r},\n", "'',\n") == sent_program()


def test_its_files_are_root_s_and_nobody_else_can_write_them(network: Network) -> None:
    modes = {
        draft.path: (draft.owner, draft.mode, draft.scope)
        for draft in SERVICE.drafts(network, network.nodes["fenn"])
    }
    assert modes == {
        INSTALLED: ("root:root", 0o755, Scope.HOST),
        ALLOWED: ("root:root", 0o644, Scope.HOST),
        "/etc/sudoers.d/goldentooth": ("root:root", 0o440, Scope.HOST),
    }


@needs("visudo", "sudo")
@pytest.mark.parametrize("user", ["goldentooth", "ann_b-2"])
def test_sudo_accepts_the_file(site: Site, tmp_path: Path, user: str) -> None:
    site.edit("inventory/defaults.yaml", "user: goldentooth", f"user: {user}")
    text = site.text("fenn/etc/sudoers.d/goldentooth")
    assert f'\n{user} ALL=(root) NOPASSWD: {INSTALLED} ""\n' in text
    done = run_judge("visudo", "-c", "-q", "-f", site.build / "fenn/etc/sudoers.d/goldentooth")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("output", "state"),
    [
        (Output(f"{INSTALLED}\n".encode()), State.PASSED),
        (Output(b"", b"sudo: unknown user goldentooth", 1), State.FAILED),
        (Output(b""), State.FAILED),
    ],
)
def test_what_sudo_says_of_the_user_is_judged(output: Output, state: State) -> None:
    check = SudoRule("fenn", "fenn", "goldentooth")
    (result,) = judge_all([("access", check)], {check.reads()[0]: output})
    assert result.outcome.state is state
