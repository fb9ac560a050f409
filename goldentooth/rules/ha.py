"""HA: what is there once only, and how soon its loss is noticed."""

from __future__ import annotations

from collections.abc import Iterator

from goldentooth.model import Network
from goldentooth.rules import Severity, Violation, rule
from goldentooth.values import seconds

STREAM_SILENCE = 3600.0
"""Seconds for which a stream of the API may be silent and must not be cut."""

SLOW_CHECK = 10.0
"""Seconds for which a dead API server may still be given connections."""

_QUORUMS = ("consul_server", "nomad_server", "vault_server")


@rule(
    "HA001",
    Severity.WARNING,
    fails="""
        hosts:
          cp3: {groups: [worker]}
        """,
    passes="""
        hosts:
          cp3: {groups: [control_plane]}
        """,
)
def even_control_planes(network: Network) -> Iterator[Violation]:
    """There is an even number of control planes.

    Why:
        etcd needs more than half of its members. Of two, none may fail, of four, one: the
        last one adds a machine that can fail, and nothing that may.

    Do:
        Run one control plane less or one more: 3 or 5.

    Source:
        etcd, FAQ, “Why an odd number of cluster members?”.
    """
    count = len(network.control_planes)
    if count % 2 == 0:
        yield Violation(
            "groups.control_plane",
            f"{count} control planes: {count // 2 + 1} of them must be up,"
            f" so {count - count // 2 - 1} may fail",
            network.where_node(network.control_planes[-1], "groups"),
        )


@rule(
    "HA002",
    Severity.WARNING,
    fails="""
        hosts:
          cp2: {groups: [worker]}
          cp3: {groups: [worker]}
        """,
    passes="""
        hosts:
          cp2: {groups: [control_plane]}
          cp3: {groups: [control_plane]}
        """,
)
def single_control_plane(network: Network) -> Iterator[Violation]:
    """There is one control plane only.

    Why:
        While it is down nothing is scheduled, moved or repaired; if its disk dies, the
        cluster's state is gone with it.

    Do:
        Put two more hosts in the group control_plane.

    Source:
        kubeadm, Creating Highly Available Clusters; etcd, FAQ, “What is failure tolerance?”.
    """
    if len(network.control_planes) == 1:
        node = network.control_planes[0]
        yield Violation(
            node.name,
            "the only control plane: etcd has one copy",
            network.where_node(node, "groups"),
        )


@rule(
    "HA003",
    Severity.WARNING,
    fails="""
        hosts:
          lb2: null
        defaults:
          data:
            accept:
              - {rule: HA005, reason: a second router is not worth it here}
        """,
    passes="""
        hosts:
          lb2: {hostname: 10.20.0.6, groups: [haproxy]}
        """,
)
def single_load_balancer(network: Network) -> Iterator[Violation]:
    """There is one load balancer in front of the API only.

    Why:
        When it is down no kubelet, controller or kubectl reaches the API, however many
        control planes are up. Running pods go on; nothing that fails is replaced.

    Do:
        Put a second host in the group haproxy, with an address that moves between the two
        (VRRP), or accept it with a plan for its replacement.

    Source:
        kubeadm, Options for Software Load Balancing (keepalived and haproxy).
    """
    if len(network.load_balancers) == 1:
        node = network.load_balancers[0]
        yield Violation(
            node.name,
            f"the only load balancer: without it nobody reaches the API ({network.endpoint})",
            network.where_node(node, "groups"),
        )


@rule(
    "HA004",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            accept:
              - {rule: HA005, reason: a second router is not worth it here}
        """,
    passes="""
        defaults:
          data:
            accept:
              - {rule: HA004, reason: keepalived moves 10.20.0.5 between lb1 and lb2}
              - {rule: HA005, reason: a second router is not worth it here}
        """,
)
def endpoint_of_one_host(network: Network) -> Iterator[Violation]:
    """The API endpoint is the address of one of several hosts.

    Why:
        The others could serve, but no client knows them: the endpoint's address is written
        in every kubeconfig.

    Do:
        Let the address move (VRRP), and accept the finding with how it moves. Without a load
        balancer, put a host in the group haproxy.

    Source:
        kubeadm v1beta4 reference, ClusterConfiguration `controlPlaneEndpoint`; kubeadm,
        Options for Software Load Balancing.
    """
    serving = network.load_balancers or network.control_planes
    if len(serving) > 1:
        kind = "load balancers" if network.load_balancers else "control planes"
        node = network.endpoint.node
        yield Violation(
            node.name,
            f"the API endpoint {network.endpoint} is the address of {node},"
            f" one of {len(serving)} {kind}",
            network.where_node(node, "hostname"),
        )


@rule(
    "HA005",
    Severity.INFO,
    fails="""
        defaults:
          data:
            accept:
              - {rule: HA004, reason: clients are moved to lb2 by hand}
        """,
    passes="""
        defaults:
          data:
            accept:
              - {rule: HA004, reason: clients are moved to lb2 by hand}
              - {rule: HA005, reason: a spare is configured and on the shelf}
        """,
)
def single_router(network: Network) -> Iterator[Violation]:
    """All load-balancer addresses depend on one router.

    Why:
        Every session ends at it, and every host's route leads to it. While it is down no
        load-balancer address is reachable from outside the cluster, and neither is the rest
        of the world.

    Do:
        Keep a spare with its configuration, or a second router with a shared address; then
        accept the finding and say which.

    Source:
        RFC 5798 §1 (VRRP); OPNsense manual, High Availability.
    """
    router = network.router
    yield Violation(
        router.name,
        f"the only router: all {len(network.bgp_neighbors)} BGP sessions end at it",
        network.where_node(router, "groups"),
    )


@rule(
    "HA006",
    Severity.ERROR,
    fails="""
        hosts:
          cp1: {groups: [control_plane, haproxy]}
        """,
    passes="""
        hosts:
          cp1: {groups: [control_plane]}
        """,
)
def load_balancer_on_control_plane(network: Network) -> Iterator[Violation]:
    """A load balancer runs on a control plane.

    Why:
        Both want the API's port on the same machine. Whichever starts second does not.

    Do:
        Run HAProxy on a host that is no control plane.

    Source:
        kubeadm v1beta4 reference, LocalAPIEndpoint `bindPort`; bind(2), EADDRINUSE.
    """
    for node in network.load_balancers:
        if node.is_control_plane:
            yield Violation(
                node.name,
                f"HAProxy and the API server both want port {network.kubernetes.api_port}",
                network.where_node(node, "groups"),
            )


@rule(
    "HA007",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            haproxy: {metrics_port: 6443}
        """,
    passes="""
        defaults:
          data:
            haproxy: {metrics_port: 8405}
        """,
)
def port_taken_twice(network: Network) -> Iterator[Violation]:
    """Two of the load balancer's frontends have the same port.

    Why:
        HAProxy does not start with two frontends on one port, or, where the kernel lets
        both bind, every other connection reaches the wrong one.

    Do:
        Give each a port of its own: 6443 for the API, 8405 for metrics, 8404 for the page.

    Source:
        HAProxy configuration manual §4.2 `bind`; socket(7), SO_REUSEPORT.
    """
    ports = {
        "kubernetes.api_port": network.kubernetes.api_port,
        "haproxy.metrics_port": network.haproxy.metrics_port,
    }
    if network.haproxy.stats:
        ports["haproxy.stats.port"] = network.haproxy.stats.port
    first: dict[int, str] = {}
    for fact, port in ports.items():
        other = first.setdefault(port, fact)
        if other != fact:
            yield Violation(
                fact, f"port {port} is also {other} ({network.where(other)})", network.where(fact)
            )


@rule(
    "HA008",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            haproxy:
              timeouts: {client: 30s, server: 30s}
        """,
    passes="""
        defaults:
          data:
            haproxy:
              timeouts: {client: 30s, server: 30s, tunnel: 4h}
        """,
)
def streams_cut(network: Network) -> Iterator[Violation]:
    """The load balancer cuts streams of the API that are silent for a while.

    Why:
        exec, port-forward, attach and logs -f are one connection each, and silent while
        nobody types or logs. HAProxy closes it after the shorter of client and server
        timeout; a tunnel timeout takes the place of both.

    Do:
        Set haproxy.timeouts.tunnel, or client and server, to 1h or more.

    Source:
        HAProxy configuration manual §4.2 `timeout tunnel`; kubelet configuration,
        `streamingConnectionIdleTimeout` (4h by default).
    """
    timeouts = network.haproxy.timeouts
    deciding = (
        {"tunnel": timeouts.tunnel}
        if timeouts.tunnel
        else {"client": timeouts.client, "server": timeouts.server}
    )
    for name, duration in deciding.items():
        if seconds(duration) < STREAM_SILENCE:
            fact = f"haproxy.timeouts.{name}"
            yield Violation(
                fact, f"a stream that is silent for {duration} is cut", network.where(fact)
            )


@rule(
    "HA009",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            haproxy:
              check: {interval: 10s, fall: 3}
        """,
    passes="""
        defaults:
          data:
            haproxy:
              check: {interval: 2s, fall: 3}
        """,
)
def slow_server_check(network: Network) -> Iterator[Violation]:
    """The load balancer notices a dead API server late.

    Why:
        Until enough checks have failed the server still gets its share of new connections,
        and each of those is tried in vain, up to the connect timeout, before it is tried on
        another server.

    Do:
        Lower haproxy.check.interval or fall: 2s and 3 notice within 6 seconds.

    Source:
        HAProxy configuration manual §5.2 `inter`, `fall`; §4.2 `retries`, `option redispatch`.
    """
    check = network.haproxy.check
    late = seconds(check.interval) * check.fall
    if late > SLOW_CHECK:
        yield Violation(
            "haproxy.check.interval",
            f"{check.fall} failed checks at {check.interval} apart: a dead API server is"
            f" noticed after {late:g} s",
            network.where("haproxy.check.interval"),
        )


@rule(
    "HA010",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            haproxy:
              check: {fall: 1}
        """,
    passes="""
        defaults:
          data:
            haproxy:
              check: {fall: 3}
        """,
)
def nervous_server_check(network: Network) -> Iterator[Violation]:
    """One failed check takes an API server out.

    Why:
        A single lost segment, or a busy moment of a small machine, is enough. If it hits all
        servers at once there is no API, though all of them are well.

    Do:
        Set haproxy.check.fall to 2 or 3.

    Source:
        HAProxy configuration manual §5.2 `fall` (3 by default).
    """
    if network.haproxy.check.fall == 1:
        yield Violation(
            "haproxy.check.fall",
            "one failed check takes an API server out",
            network.where("haproxy.check.fall"),
        )


@rule(
    "HA011",
    Severity.WARNING,
    fails="""
        hosts:
          node1: {groups: [worker, vault_server]}
          node2: {groups: [worker, vault_server]}
        groups:
          vault_server: {}
        """,
    passes="""
        hosts:
          cp3: {groups: [control_plane, vault_server]}
          node1: {groups: [worker, vault_server]}
          node2: {groups: [worker, vault_server]}
        groups:
          vault_server: {}
        """,
)
def even_quorum(network: Network) -> Iterator[Violation]:
    """There is an even number of Consul, Nomad or Vault servers.

    Why:
        They agree by Raft and need more than half of the servers. The even one adds a
        machine that can fail, and none that may.

    Do:
        Run 3 or 5.

    Source:
        Consul, Consensus Protocol, deployment table; Nomad, Consensus Protocol; Vault,
        Integrated Storage.
    """
    for role in _QUORUMS:
        count = len(network.in_role(role))
        if count and count % 2 == 0:
            yield Violation(
                f"groups.{role}",
                f"{count} servers: {count // 2 + 1} of them must be up,"
                f" so {count - count // 2 - 1} may fail",
                network.where_group(role),
            )
