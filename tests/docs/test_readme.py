"""What the pages tell a reader to type is run as written, in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from goldentooth.rules import check_network
from tests.sites import ROOT, Site

PAGES = (
    "README.md",
    "docs/cron.md",
    "docs/drift.md",
    "docs/facts.md",
    "docs/services.md",
    "docs/twin.md",
)
LEFT_OUT = {
    "make": "it sets everything up anew; CI runs it",
    "goldentooth-net twin": "needs root; tests/twin boots it",
    "goldentooth-net drift": "needs hosts; tests/twin has them",
}
"""Commands that are not run here, by how they begin, and why."""


class Block(NamedTuple):
    """A fenced block of a page."""

    page: str
    language: str
    text: str


_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[Block]:
    fences = _FENCE.findall((ROOT / page).read_text())
    return [Block(page, kind, text) for kind, text in fences if kind == language]


def commands(block: Block) -> list[str]:
    """Return what is typed at the prompt of a user or of root."""
    return [line[2:] for line in block.text.splitlines() if line.startswith(("$ ", "# "))]


CONSOLES = [block for page in PAGES for block in blocks(page, "console")]
COMMANDS = [command for block in CONSOLES for command in commands(block)]
RUN = [
    pytest.param(block, command, id=f"{block.page}: {command.split('  #')[0]}")
    for block in CONSOLES
    if block.page != "docs/services.md"  # they need that page's service; see below
    for command in commands(block)
    if not command.startswith(tuple(LEFT_OUT))
]


@pytest.fixture
def copy(tmp_path: Path) -> Site:
    """Return a copy of the project with its code, and .venv as `make` would have it."""
    site = Site(tmp_path / "project")
    for folder in ("goldentooth", "runbooks", "tasks"):
        shutil.copytree(
            ROOT / folder, site.folder / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    (site.folder / ".venv").symlink_to(sys.prefix)
    return site


def typed(copy: Site, command: str) -> subprocess.CompletedProcess[str]:
    """Run ``command`` as a reader does who activated the virtual environment."""
    return subprocess.run(
        ["bash", "-c", f". .venv/bin/activate\n{command}"],
        cwd=copy.folder,
        env={**os.environ, "PYTHONPATH": str(copy.folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("block", "command"), RUN)
def test_a_command_does_what_the_page_says(copy: Site, block: Block, command: str) -> None:
    done = typed(copy, command)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    assert done.stdout or command.startswith(". ")


def test_there_are_commands_to_run_and_every_reason_to_leave_one_out_is_used() -> None:
    assert len(RUN) >= 7
    assert all(any(command.startswith(start) for command in COMMANDS) for start in LEFT_OUT)


@pytest.mark.parametrize("block", blocks("README.md", "python"))
def test_the_python_of_the_readme_runs(
    block: Block, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site.folder)
    exec(compile(block.text, block.page, "exec"), {})  # noqa: S102  # our own page
    assert (site.build / "manifest.json").exists()


@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_compiles(page: str) -> None:
    for block in blocks(page, "python"):
        compile(block.text, page, "exec")


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(page: str) -> None:
    links = re.findall(r"\]\(([^):#]+)\)", (ROOT / page).read_text())
    missing = {link for link in links if not ((ROOT / page).parent / link).exists()}
    assert not missing


# -- docs/facts.md -----------------------------------------------------------------------


def facts_blocks() -> dict[str, str]:
    """Return the YAML of facts.md, keyed by the file that it is for."""
    return {
        block.text.split("\n")[0].removeprefix("# "): block.text
        for block in blocks("docs/facts.md", "yaml")
    }


def test_the_worker_of_the_page_brings_its_files_and_a_neighbor(site: Site) -> None:
    project = site.project()
    before = {host.name for host in project.network.bgp_neighbors}
    path = site.folder / "inventory/hosts.yaml"
    path.write_text(f"{path.read_text()}\n{facts_blocks()['inventory/hosts.yaml']}")
    network = site.project().network
    assert {host.name for host in network.bgp_neighbors} - before == {"manderly"}
    assert "neighbor 10.4.0.22" in site.text("_twin/router/etc/frr/frr.conf")
    assert (site.build / "manderly/etc/kubernetes/kubeadm.yaml").exists()


def test_the_acceptance_of_the_page_accepts_a_finding(site: Site) -> None:
    accept = facts_blocks()["inventory/defaults.yaml"].split("data:\n")[1]
    site.edit("inventory/defaults.yaml", "\ndata:\n", f"\ndata:\n{accept}")
    network = site.project().network
    (finding,) = check_network(network, ["HA003"])
    assert finding.accepted == "one load balancer is enough at home"
    assert check_network(network, ["ACC"]) == ()


# -- docs/services.md --------------------------------------------------------------------


@pytest.fixture
def with_service(copy: Site) -> Site:
    """Return a project to which the service of services.md was added as the page says."""
    for language, comment in (("python", "# "), ("jinja", "{# ")):
        (block,) = blocks("docs/services.md", language)
        first, rest = block.text.split("\n", 1)
        copy.write(first.removeprefix(comment).removesuffix(" #}"), rest)
    return copy


def test_the_service_of_the_page_is_rendered_and_listed(with_service: Site) -> None:
    (console,) = blocks("docs/services.md", "console")
    render, verify = (typed(with_service, command) for command in commands(console))
    assert render.returncode == 0, render.stderr
    assert "\njudge chronyd: 13 " in render.stdout
    text = (with_service.build / "fenn/etc/chrony/chrony.conf").read_text()
    assert text.startswith("server 10.4.0.1 iburst\n")
    assert not (with_service.build / "router").exists()
    assert verify.returncode == 0, verify.stderr
    line = "clock.source[fenn] on fenn: the clock follows 10.4.0.1"
    assert line in verify.stdout.splitlines()
    assert len(verify.stdout.splitlines()) == 13


def test_the_check_of_the_page_judges_what_chronyc_prints(with_service: Site) -> None:
    program = """
from goldentooth.check import Output
from goldentooth.services.chrony import Synchronised
check = Synchronised("fenn", "fenn", "10.4.0.1")
for mode in "*-":
    line = f"^,{mode},10.4.0.1,2,6,377,31,0.000012,0.000013,0.0004\\n"
    print(check.judge({check.reads()[0]: Output(line.encode())}))
"""
    done = typed(with_service, f"python - <<'END'{program}END")
    assert done.returncode == 0, done.stderr
    good, bad = done.stdout.splitlines()
    assert "PASSED" in good
    assert "FAILED" in bad
    assert "follows nobody" in bad
