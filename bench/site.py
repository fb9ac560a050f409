#!/usr/bin/env python3
"""Write the project folder of a made-up site of N hosts, the same one for the same N.

    bench/site.py 1000 --output /tmp/site

Racks of 40 hosts; one router, one HAProxy, one to five control planes, the rest workers,
every thirteenth of them with a GPU. The templates are the project's own.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

FEWEST, MOST = 4, 10_000
HOSTS_PER_RACK = 40
GPU_EVERY = 13


def write_site(count: int, folder: Path, *, copy_templates: bool = False) -> None:
    """Write config.yaml and inventory/ of ``count`` hosts to ``folder``.

    The templates are the project's, by path, or a copy of them.

    Raises:
        ValueError: if the address plan has no room for ``count`` hosts, or they are too few.
    """
    if not FEWEST <= count <= MOST:
        raise ValueError(f"{count} hosts: from {FEWEST} to {MOST} can be made")
    (folder / "inventory").mkdir(parents=True, exist_ok=True)
    templates = "templates"
    if copy_templates:
        shutil.copytree(PROJECT / "templates", folder / "templates", dirs_exist_ok=True)
    else:
        templates = os.path.relpath(PROJECT / "templates", folder.resolve())
    for name, text in {
        "config.yaml": CONFIG.format(templates=templates),
        "inventory/defaults.yaml": DEFAULTS,
        "inventory/groups.yaml": GROUPS + "".join(_rack_groups(count)),
        "inventory/hosts.yaml": "\n".join(_hosts(count)),
    }.items():
        (folder / name).write_text(text)


def _rack_groups(count: int) -> Iterator[str]:
    for rack in range(_rack(count - 1) + 1):
        yield f"\nrack_{rack:03}: {{}}\n"


def _hosts(count: int) -> Iterator[str]:
    control_planes = 1 if count < 8 else 3 if count < 100 else 5
    for index in range(count):
        rack, slot = _rack(index), index % HOSTS_PER_RACK
        yield _host(
            f"r{rack:03}n{slot:02}",
            f"10.{rack >> 8}.{rack & 255}.{slot + 10}",
            (*_roles(index, control_planes), f"rack_{rack:03}"),
        )


def _host(name: str, address: str, groups: tuple[str, ...]) -> str:
    text = f"{name}:\n  hostname: {address}\n  groups: [{', '.join(groups)}]\n"
    if "gpu" in groups:
        text += "  data:\n    hardware: x86-64 with a GPU\n    architecture: amd64\n"
    return text


def _roles(index: int, control_planes: int) -> tuple[str, ...]:
    if index == 0:
        return ("router",)
    if index == 1:
        return ("raspberry_pi_8gb", "haproxy", "prometheus")
    if index < 2 + control_planes:
        return ("raspberry_pi_8gb", "control_plane")
    if index % GPU_EVERY == 0:
        return ("gpu", "worker")
    return ("raspberry_pi_8gb" if index % 3 else "raspberry_pi_4gb", "worker")


def _rack(index: int) -> int:
    return index // HOSTS_PER_RACK


CONFIG = """\
inventory:
  plugin: GoldentoothInventory
  options:
    host_file: inventory/hosts.yaml
    group_file: inventory/groups.yaml
    defaults_file: inventory/defaults.yaml
    discovered_file: inventory/discovered.yaml

runner:
  plugin: threaded
  options:
    num_workers: 20

logging:
  enabled: false

user_defined:
  templates: {templates}
  build: build
"""

DEFAULTS = """\
platform: linux

data:
  interface: eth0

  domains:
    cluster: example.net
    nodes: nodes.example.net
    services: services.example.net

  infrastructure:
    cidr: 10.0.0.0/12
    dhcp_range: 10.14.0.10-10.14.255.250

  load_balancer:
    cidr: 10.15.0.0/16
    pool: 10.15.0.1-10.15.239.254

  bgp:
    router_asn: 64512
    cluster_asn: 64513
    maximum_paths: 128
    password: ${env:BGP_PASSWORD}

  kubernetes:
    version: stable-1.32
    service_cidr: 172.20.0.0/16
    pod_cidr: 100.64.0.0/10
    bootstrap_token: ${vault:kubeadm/join#token}
    certificate_key: ${vault:kubeadm/join#certificate_key}
    ca_cert_hash: ${vault:kubeadm/join#ca_cert_hash}
"""

GROUPS = """\
raspberry_pi:
  data:
    architecture: arm64
    wireless_interface: wlan0

raspberry_pi_8gb:
  groups: [raspberry_pi]
  data:
    hardware: Raspberry Pi 4B 8 GB

raspberry_pi_4gb:
  groups: [raspberry_pi]
  data:
    hardware: Raspberry Pi 4B 4 GB

gpu:
  data:
    node_labels:
      node.example.net/gpu: "true"

router:
  platform: opnsense
  data:
    load_balancer_route: none

haproxy: {}

prometheus: {}

k8s:
  data:
    load_balancer_route: on-link

control_plane:
  groups: [k8s]

worker:
  groups: [k8s]
"""


def main() -> None:
    """Parse the command line and write the site."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("hosts", type=int, metavar="N", help=f"{FEWEST} to {MOST}")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: site-N")
    parser.add_argument(
        "--copy-templates", action="store_true", help="copy the templates, do not refer to them"
    )
    arguments = parser.parse_args()
    folder = arguments.output or Path(f"site-{arguments.hosts}")
    try:
        write_site(arguments.hosts, folder, copy_templates=arguments.copy_templates)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(folder)


if __name__ == "__main__":
    main()
