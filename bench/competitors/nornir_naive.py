"""Nornir as its tutorials write it: InitNornir, SimpleInventory, template_file with a path.

    nornir_naive.py SITE TEMPLATES KUBEADM_TEMPLATES OUTPUT

It starts from the same inventory files as goldentooth-net. `template_file` with `path=`
makes a new Jinja environment in each call.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, summarize_address_range
from pathlib import Path
from typing import Any

from nornir import InitNornir
from nornir.core import Nornir
from nornir.core.inventory import Host
from nornir.core.task import Result, Task
from nornir_jinja2.plugins.tasks import template_file

PROXY_AND_CLUSTER = {
    "dns_domain": "cluster.local",
    "api_port": 6443,
    "cri_socket": "unix:///run/containerd/containerd.sock",
    "proxy_mode": "iptables",
    "maximum_pods": 110,
}
TIMERS = {"keepalive": 60, "hold": 180, "connect_retry": 10, "password": None}
HAPROXY = {
    "balance": "roundrobin",
    "check": {"interval": "2s", "fall": 3, "rise": 2},
    "timeouts": {"connect": "1s", "client": "4h", "server": "4h", "tunnel": None},
    "maximum_connections": 4096,
    "metrics_port": 8405,
    "stats": None,
}


@dataclass
class Site:
    """What the tasks of all hosts share."""

    templates: str
    kubeadm_templates: str
    output: Path
    facts: dict[str, Any]
    router: Host
    nodes: list[Host]
    control_planes: list[Host]
    balancers: list[Host]
    prefixes: list[IPv4Network]
    pool_size: int


def read_site(nornir: Nornir, templates: str, kubeadm_templates: str, output: Path) -> Site:
    """Derive what follows from the inventory as a whole."""
    facts = dict(nornir.inventory.defaults.data)
    facts["bgp"] = {**TIMERS, **facts["bgp"]}
    facts["haproxy"] = {**HAPROXY, **facts.get("haproxy", {})}
    facts["kubernetes"] = {**PROXY_AND_CLUSTER, **facts["kubernetes"]}
    first, last = (IPv4Address(end) for end in facts["load_balancer"]["pool"].split("-"))
    return Site(
        templates,
        kubeadm_templates,
        output,
        facts,
        router=_in_group(nornir, "router")[0],
        nodes=_in_group(nornir, "k8s"),
        control_planes=_in_group(nornir, "control_plane"),
        balancers=_in_group(nornir, "haproxy"),
        prefixes=list(
            summarize_address_range(
                first - (int(first) & 0xFF == 1), last + (int(last) & 0xFF == 254)
            )
        ),
        pool_size=int(last) - int(first) + 1,
    )


def _in_group(nornir: Nornir, group: str) -> list[Host]:
    return list(
        nornir.filter(
            filter_func=lambda host: host.has_parent_group(group)
        ).inventory.hosts.values()
    )


def render_host(task: Task, site: Site) -> Result:
    """Render all files of one host."""
    host = task.host
    top = host.name
    if host.has_parent_group("router"):
        top = f"_twin/{host.name}"
        context = {
            "bgp": {"bfd": None, **site.facts["bgp"]},
            "router": _view(host),
            "neighbors": [_view(node) for node in site.nodes],
            "accepted_prefixes": site.prefixes,
            "maximum_prefix": site.pool_size,
        }
        _write(task, site, "frr/router.conf.j2", f"{host.name}/etc/frr/frr.conf", **context)
        _write(task, site, "frr/daemons.j2", f"{host.name}/etc/frr/daemons", bfd=False)
    if host.has_parent_group("k8s"):
        twin = f"_twin/{host.name}"
        context = {
            "bgp": {"bfd": None, **site.facts["bgp"]},
            "router": _view(site.router),
            "node": _view(host),
            "pool": site.prefixes,
        }
        _write(task, site, "frr/speaker.conf.j2", f"{twin}/etc/frr/frr.conf", **context)
        _write(task, site, "frr/daemons.j2", f"{twin}/etc/frr/daemons", bfd=False)
        _write_kubeadm(task, site)
    if host.has_parent_group("haproxy"):
        context = {
            "node": _view(host),
            "haproxy": site.facts["haproxy"],
            "api_port": site.facts["kubernetes"]["api_port"],
            "servers": [_view(node) for node in site.control_planes],
        }
        _write(task, site, "haproxy/haproxy.cfg.j2", f"{top}/etc/haproxy/haproxy.cfg", **context)
    _write_routes(task, site, top)
    return Result(host=host)


def _write_kubeadm(task: Task, site: Site) -> None:
    host = task.host
    kubernetes, domains = site.facts["kubernetes"], site.facts["domains"]
    balancer = (site.balancers or site.control_planes)[0]
    named = [balancer, *site.control_planes]
    addresses = sorted(IPv4Address(node.hostname or "") for node in named)
    names = [name for node in named for name in (node.name, f"{node.name}.{domains['nodes']}")]
    labels = host.get("node_labels") or {}
    _write(
        task,
        site,
        "kubeadm/kubeadm.yaml.j2",
        f"{host.name}/etc/kubernetes/kubeadm.yaml",
        node=_view(host),
        node_labels=",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        is_first=host.name == site.control_planes[0].name,
        is_control_plane=host.has_parent_group("control_plane"),
        kubernetes=kubernetes,
        domains=domains,
        endpoint=f"{balancer.hostname}:{kubernetes['api_port']}",
        cert_sans=[*map(str, addresses), *sorted(names)],
    )


def _write_routes(task: Task, site: Site, top: str) -> None:
    host = task.host
    is_router = host.has_parent_group("router")
    wireless = host.get("wireless_interface")
    destination = site.facts["load_balancer"]["cidr"]
    hop = "" if host.get("load_balancer_route") == "on-link" else f"via {site.router.hostname} "
    route = f"{destination} {hop}dev {host['interface']}"
    _write(
        task,
        site,
        "routes/interface.cfg.j2",
        f"{top}/etc/network/interfaces.d/{host['interface']}.cfg",
        node=_view(host),
        prefix_length=IPv4Network(site.facts["infrastructure"]["cidr"]).prefixlen,
        gateway=None if is_router else site.router.hostname,
        routes=[] if is_router else [{"text": route, "why": "load-balancer addresses"}],
        wireless=wireless,
    )
    if wireless:
        path = f"{top}/etc/network/interfaces.d/{wireless}.cfg"
        _write(task, site, "routes/wireless.cfg.j2", path, node=_view(host))
    settings = {}
    if host.has_parent_group("k8s"):
        settings["net.ipv4.ip_forward"] = (1, "pods are routed, not bridged")
    if host.get("load_balancer_route", "via-router") == "via-router" and not is_router:
        for name in ("all", host["interface"]):
            key = f"net.ipv4.conf.{name}.accept_redirects"
            settings[key] = (0, "the router chooses the next hop for each flow anew")
    if is_router:
        for name in ("all", host["interface"]):
            key = f"net.ipv4.conf.{name}.send_redirects"
            settings[key] = (0, "hosts on the segment are not to go past it")
        settings["net.ipv4.ip_forward"] = (1, "it is a router")
        settings["net.ipv4.fib_multipath_hash_policy"] = (
            1,
            "spread by flow (addresses and ports), not by address pair",
        )
    if settings:
        path = f"{top}/etc/sysctl.d/60-goldentooth.conf"
        _write(task, site, "routes/sysctl.conf.j2", path, settings=settings)


def _write(task: Task, site: Site, template: str, location: str, **context: Any) -> None:
    folder = site.kubeadm_templates if template.startswith("kubeadm/") else site.templates
    filled = task.run(template_file, template=template, path=folder, **context)
    path = site.output / location
    path.parent.mkdir(parents=True, exist_ok=True)
    text = filled[0].result
    path.write_text(text if text.endswith("\n") else f"{text}\n")  # the environment drops it


def _view(host: Host) -> dict[str, Any]:
    return {
        "name": host.name,
        "address": host.hostname,
        "interface": host["interface"],
        "facts": {"wireless_interface": host.get("wireless_interface")},
    }


def main() -> None:
    """Render the site."""
    folder, templates, kubeadm_templates, output = sys.argv[1:]
    files = Path(folder) / "inventory"
    nornir = InitNornir(
        inventory={
            "plugin": "SimpleInventory",
            "options": {
                "host_file": str(files / "hosts.yaml"),
                "group_file": str(files / "groups.yaml"),
                "defaults_file": str(files / "defaults.yaml"),
            },
        },
        runner={"plugin": "threaded", "options": {"num_workers": 20}},
        logging={"enabled": False},
    )
    site = read_site(nornir, templates, kubeadm_templates, Path(output))
    outcome = nornir.run(render_host, site=site)
    if outcome.failed:
        sys.exit(f"failed: {', '.join(outcome.failed_hosts)}: {outcome.failed_hosts}")


if __name__ == "__main__":
    main()
