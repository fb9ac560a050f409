"""Who is compared: how each is prepared for a site, run, and where it puts its files.

What is prepared is not timed. Each starts from what it would start from in real use
(goldentooth-net and Nornir: the inventory) or from more than that (the others: contexts
that have been derived already, which is in their favour).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BENCH = Path(__file__).resolve().parent
PROJECT = BENCH.parent
COMPETITORS = BENCH / "competitors"
TEMPLATES = (str(PROJECT / "templates"), str(COMPETITORS / "templates"))
COMPARE = BENCH / ".venv-compare" / "bin"
CONSOLE = Path(sys.executable).with_name("goldentooth-net")


@dataclass(frozen=True)
class Site:
    """One site to render, and a folder for what a contender needs beside it."""

    folder: Path
    contexts: Path
    scratch: Path
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One command, and the folder that it writes."""

    command: tuple[str, ...]
    output: Path
    environment: Mapping[str, str] = field(default_factory=dict)


def _same(relative: str) -> str | None:
    return relative


@dataclass(frozen=True)
class Contender:
    """One way to make the files.

    ``location`` turns a path in its output into the location in ``build/``; None leaves
    the file out. ``wants_folders``: it makes files, not folders. ``missing`` says why it
    cannot run here.
    """

    name: str
    what: str
    prepare: Callable[[Site], Run]
    most_hosts: int = 10_000
    location: Callable[[str], str | None] = _same
    wants_folders: bool = False
    missing: str = ""


def _goldentooth(site: Site) -> Run:
    config = str(site.folder / "config.yaml")
    command: tuple[str, ...] = (str(CONSOLE), "render", "--config", config)
    if not CONSOLE.exists():
        call = f"from goldentooth import open_project; print(open_project({config!r}).render())"
        command = (sys.executable, "-c", call)
    return Run(command, site.folder / "build")


def _bare(site: Site) -> Run:
    output = site.scratch / "bare"
    script = str(COMPETITORS / "bare.py")
    return Run((sys.executable, script, str(site.contexts), *TEMPLATES, str(output)), output)


def _nornir(site: Site) -> Run:
    output = site.scratch / "nornir"
    script = str(COMPETITORS / "nornir_naive.py")
    python = str(COMPARE / "python")
    return Run((python, script, str(site.folder), *TEMPLATES, str(output)), output)


def _annet(site: Site) -> Run:
    output = site.scratch / "annet"
    storage = site.scratch / "annet-storage.yaml"
    storage.write_text(
        "devices:\n" + "".join(f"- {{fqdn: {host}, vendor: pc}}\n" for host in site.hosts)
    )
    context = site.scratch / "annet-context.yaml"
    context.write_text(
        json.dumps(
            {
                "generators": {"bench": ["annet_site"]},
                "storage": {"bench": {"adapter": "file", "params": {"path": str(storage)}}},
                "context": {"bench": {"generators": "bench", "storage": "bench"}},
                "selected_context": "bench",
            }
        )
    )
    options = ("--no-acl", "--expand-path", "--dest-force-create-dir", "--dest", f"{output}/")
    return Run(
        (str(COMPARE / "annet"), "gen", *options, *site.hosts),
        output,
        {
            "ANN_CONTEXT_CONFIG_PATH": str(context),
            "BENCH_CONTEXTS": str(site.contexts),
            "BENCH_TEMPLATES": os.pathsep.join(TEMPLATES),
            "PYTHONPATH": str(COMPETITORS),
        },
    )


def _annet_location(relative: str) -> str | None:
    """Return the location of ``<host>.cfg/<location>``; a host's own .cfg is left out."""
    _, _, location = relative.partition("/")
    return location if "/" in location else None


def _ansible(site: Site) -> Run:
    output = site.scratch / "ansible"
    folder = site.scratch / "ansible-templates"
    for templates in TEMPLATES:
        shutil.copytree(templates, folder, dirs_exist_ok=True)
    for template in folder.rglob("*.j2"):  # Ansible's values are plain text
        text = re.sub(r"(\w+)\.prefixlen", r"(\1.split('/')[1] | int)", template.read_text())
        template.write_text(text)
    inventory = site.scratch / "ansible-inventory.json"
    contexts = json.loads(site.contexts.read_bytes())
    shared = {"template_folder": str(folder), "build_folder": str(output)}
    hosts = _ansible_hosts(contexts)
    inventory.write_text(json.dumps({"all": {"vars": shared, "hosts": hosts}}))
    defaults = site.scratch / "ansible.cfg"  # empty, so that nobody's own settings count
    defaults.touch()
    playbook = str(COMPETITORS / "playbook.yaml")
    return Run(
        (str(COMPARE / "ansible-playbook"), "--inventory", str(inventory), playbook),
        output,
        {"ANSIBLE_CONFIG": str(defaults)},
    )


def _ansible_hosts(contexts: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the variables of every host: the contexts of all its files, and the files."""
    hosts: dict[str, dict[str, Any]] = {}
    for entry in contexts["files"]:
        variables = hosts.setdefault(entry["host"], {"files": []})
        variables["files"].append({key: entry[key] for key in ("template", "location")})
        shared = {name: contexts["values"][index] for name, index in entry["shared"].items()}
        for name, value in {**shared, **entry["own"]}.items():
            if variables.setdefault(name, value) != value:
                raise ValueError(f"{entry['location']}: {name} differs between two files")
    for variables in hosts.values():
        variables["ansible_python_interpreter"] = str(COMPARE / "python")
    return hosts


def prepare_folders(site: Site, output: Path) -> None:
    """Make the empty folders of all files, which Ansible's template module does not."""
    for entry in json.loads(site.contexts.read_bytes())["files"]:
        (output / entry["location"]).parent.mkdir(parents=True, exist_ok=True)


def _installed(program: str) -> str:
    """Return why ``program`` cannot be run, or nothing."""
    return "" if (COMPARE / program).exists() else "not installed: see bench/requirements.txt"


def version_of(package: str) -> str:
    """Return the version of a package in the comparison's environment, or nothing."""
    if not (COMPARE / "python").exists():
        return ""
    call = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run(
        [COMPARE / "python", "-c", call], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


GOLDENTOOTH = Contender("goldentooth-net", "this project: facts to files", _goldentooth)
BARE = Contender("bare", "Jinja2 + JSON of derived contexts: the floor", _bare)

ALL = (
    GOLDENTOOTH,
    BARE,
    Contender(
        "nornir",
        f"nornir {version_of('nornir')}: InitNornir, SimpleInventory, template_file with path=",
        _nornir,
        most_hosts=1000,
        missing=_installed("python"),
    ),
    Contender(
        "annet",
        f"annet {version_of('annet')}, Entire generators, one Jinja environment",
        _annet,
        location=_annet_location,
        missing=_installed("annet"),
    ),
    Contender(
        "ansible",
        f"ansible-core {version_of('ansible-core')}, template module, local connection",
        _ansible,
        most_hosts=20,
        wants_folders=True,
        missing=_installed("ansible-playbook"),
    ),
)
