"""Drift as Nornir's and Netmiko's tutorials write it: a connection a host, a command a file.

    drift_netmiko.py FILES

Threads as many as goldentooth-net has. Netmiko trims blanks at the end of what it reads, so both
sides are compared without.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nornir.core import Nornir
from nornir.core.inventory import ConnectionOptions, Defaults, Groups, Host, Hosts, Inventory
from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.task import Result, Task
from nornir.plugins.runners import ThreadedRunner
from nornir_netmiko.connections import Netmiko
from nornir_netmiko.tasks import netmiko_send_command

WORKERS = 20


def look(task: Task) -> Result:
    """Return the host's files that differ."""
    different = []
    for path, source in task.host["files"].items():
        live = task.run(netmiko_send_command, command_string=f"cat {path}").result
        if live.strip() != Path(source).read_text().strip():
            different.append(f"{task.host.name} {path}")
    return Result(task.host, result=different)


def main() -> None:
    """Look at every host."""
    ConnectionPluginRegister.register("netmiko", Netmiko)
    hosts = Hosts()
    for host in json.loads(Path(sys.argv[1]).read_bytes()):
        hosts[host["name"]] = Host(
            host["name"],
            hostname=host["address"],
            username="root",
            platform="linux",
            data={"files": host["files"]},
            defaults=Defaults(),
        )
        hosts[host["name"]].connection_options = _options()
    inventory = Inventory(hosts, Groups(), Defaults())
    found = Nornir(inventory, runner=ThreadedRunner(WORKERS)).run(look)
    found.raise_on_error()
    for line in sorted(line for result in found.values() for line in result[0].result):
        print(line)


def _options() -> dict[str, ConnectionOptions]:
    key = str(Path("~/.ssh/id_ed25519").expanduser())
    extras = {"use_keys": True, "key_file": key, "ssh_strict": True, "system_host_keys": True}
    return {"netmiko": ConnectionOptions(extras=extras)}


main()
