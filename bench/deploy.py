#!/usr/bin/env python3
"""Measure a deployment on the twin, beside Ansible's template and handlers. Needs root.

    bench/deploy.py            three runs of each
    bench/deploy.py --runs 5

On the shipped network, up on a twin: `drift` and `deploy` with nothing to do; then a change of one
line on all 14 hosts, canary first and batches of five, committed, verified and confirmed. Ansible
(serial: [1, 5], forks 20, pipelining, no facts gathered) is given rendered files and puts one line
more into the same ones; its handlers do what the activations do. It backs nothing up, looks at
nothing from outside and cannot get back.

Every figure is of a whole process, begun cold. Nothing here is a test: no figure is right or wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
ANSIBLE = BENCH / ".venv-compare" / "bin" / "ansible-playbook"
NAME = "benchdeploy"
CALL = ("env", f"PYTHONPATH={ROOT}", sys.executable, "-m", "runbooks")
SERVICES = ("--service", "frr", "--service", "routes")
FRR_CONF, INTERFACE = "/etc/frr/frr.conf", "/etc/network/interfaces.d/eth0.cfg"

PLAYBOOK = f"""
- hosts: all
  gather_facts: false
  serial: [1, 5, 5, 5]
  tasks:
    - ansible.builtin.template:
        src: "{{{{ source }}}}"
        dest: "{{{{ target }}}}"
        mode: "{{{{ mode }}}}"
        owner: "{{{{ owner }}}}"
        group: "{{{{ owner }}}}"
      notify: "{{{{ handler }}}}"
  handlers:
    - name: reload frr
      ansible.builtin.command: /usr/lib/frr/frr-reload.py --reload {FRR_CONF}
    - name: set routes
      ansible.builtin.shell: sed -n 's/^ *up *\\(ip -4 route replace .*\\)/\\1/p' {INTERFACE} | sh
"""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=3, help="of each (default: 3)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures there")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-deploy-") as folder:
        found = _measure(Path(folder), arguments.runs)
    floor = statistics.median(found["deploy, a line on 14 hosts"])
    for name, seconds in found.items():
        median = statistics.median(seconds)
        print(f"{name:<36}{median:>8.2f} s{min(seconds):>8.2f} s{median / floor:>8.2f} x")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2) + "\n")


def _measure(folder: Path, runs: int) -> dict[str, list[float]]:
    for name in ("config.yaml", "inventory", "templates"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    groups = folder / "inventory/groups.yaml"  # a router with files, so that all hosts have some
    groups.write_text(groups.read_text().replace("platform: opnsense", "platform: linux"))
    _run(folder, *CALL, "twin", "up", "--name", NAME, "--timeout", "180")
    try:
        return _in_turns(folder, runs)
    finally:
        _run(folder, *CALL, "twin", "down", "--name", NAME)


def _in_turns(folder: Path, runs: int) -> dict[str, list[float]]:
    def play(*arguments: str) -> None:
        _run(folder, *CALL, "twin", "run", "--name", NAME, "--", *arguments)

    def deploy(*arguments: str) -> None:
        play(*CALL, "deploy", *SERVICES, *arguments)

    def ansible() -> None:
        play(
            "env", f"ANSIBLE_CONFIG={folder}/ansible.cfg", str(ANSIBLE), "-i", "hosts.json", "p.yml"
        )

    kinds: dict[str, tuple[Callable[[int], None], Callable[[], None]]] = {
        "drift, nothing": (lambda _: None, lambda: play(*CALL, "drift", *SERVICES)),
        "deploy, nothing to do": (lambda _: None, deploy),
        "deploy, a line on 14 hosts": (
            lambda number: _add_line(folder, number),
            lambda: deploy("--commit", "--serial", "5"),
        ),
    }
    if ANSIBLE.exists():
        _run(folder, *CALL, "render")
        kinds["ansible, a line on 14 hosts"] = (lambda n: _prepare_ansible(folder, n), ansible)
    deploy("--commit", "--overwrite-drift")
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(runs):
        for name, (prepare, act) in kinds.items():
            prepare(number)
            started = time.monotonic()
            act()
            found[name].append(time.monotonic() - started)
        deploy("--commit", "--overwrite-drift")  # over what Ansible has done
    return found


def _add_line(folder: Path, number: int) -> None:
    for name in ("frr/router.conf.j2", "routes/interface.cfg.j2"):
        text = (ROOT / "templates" / name).read_text()
        (folder / "templates" / name).write_text(_with_line(text, number))


def _with_line(text: str, number: int) -> str:
    """Return a file with a line more that means something, but disturbs nothing."""
    if text.startswith("!"):
        return text.replace("!\n", f"!\nip prefix-list BENCH seq 5 permit 192.0.2.{number}/32\n", 1)
    return text.rstrip("\n") + f"\n    up   : line {number}\n"


def _prepare_ansible(folder: Path, number: int) -> None:
    hosts = {}
    for place in sorted((folder / "build").iterdir()):
        if not place.is_dir() or place.name.startswith("_"):
            continue
        is_router = (place / FRR_CONF[1:]).exists()
        path = FRR_CONF if is_router else INTERFACE
        source = folder / f"{place.name}.j2"
        text = (place / path[1:]).read_text().replace("${env:BGP_PASSWORD}", "")
        source.write_text(_with_line(text, 100 + number))
        hosts[place.name] = {
            "source": str(source),
            "target": path,
            "owner": "frr" if is_router else "root",
            "mode": "0640" if is_router else "0644",
            "handler": "reload frr" if is_router else "set routes",
            "ansible_python_interpreter": "/usr/bin/python3",
        }
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}))
    (folder / "p.yml").write_text(PLAYBOOK)
    (folder / "ansible.cfg").write_text("[defaults]\nforks = 20\n[connection]\npipelining = true\n")


def _run(folder: Path, *command: str) -> None:
    environment = {**os.environ, "BGP_PASSWORD": os.environ.get("BGP_PASSWORD", "bench")}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
