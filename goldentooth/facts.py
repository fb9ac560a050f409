"""The facts as a person writes them: the shape of hosts.yaml, groups.yaml and defaults.yaml.

These types say which keys there are, what each may hold, and what it is for; the JSON
Schema for editors is made from them. What follows *from* the facts is in
:mod:`goldentooth.model`.
"""

# No `from __future__ import annotations`: msgspec would have to evaluate every hint again.

from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from goldentooth.values import (
    MOST_PREFIXES,
    AddressRange,
    Asn,
    Calendar,
    DomainName,
    Duration,
    FilePath,
    Folder,
    HostName,
    HttpsUrl,
    InterfaceChoice,
    InterfaceName,
    KubernetesVersion,
    LabelName,
    LabelValue,
    Login,
    MacAddress,
    NameOrAddress,
    OrdinaryUser,
    Phrase,
    Platform,
    Port,
    RoleName,
    RuleId,
    Seconds,
    Secret,
    SocketUrl,
    Taint,
)


class Facts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all sections have in common: no unknown key, no silent conversion, no change."""


class Acceptance(Facts, frozen=True, kw_only=True):
    """A lint finding that is known and kept, with the reason."""

    rule: Annotated[RuleId, Meta(description="id of the rule, as in BGP001", examples=["BGP001"])]
    subject: Annotated[
        Phrase | None,
        Meta(description="what the finding is about, as lint prints it; all of the rule if absent"),
    ] = None
    reason: Annotated[Phrase, Meta(description="why it is kept", examples=["known, and kept"])]


class OpnsenseApi(Facts, frozen=True, kw_only=True):
    """How an OPNsense router's API is reached; its certificate is always checked."""

    url: Annotated[
        HttpsUrl | None, Meta(description="where it is; https and the host's address if absent")
    ] = None
    key: Annotated[Secret, Meta(description="API key, by reference")] = "${env:OPNSENSE_KEY}"
    secret: Annotated[Secret, Meta(description="API secret, by reference")] = (
        "${env:OPNSENSE_SECRET}"
    )
    ca: Annotated[
        FilePath | None,
        Meta(
            description="certificates that the router's is checked against;"
            " those that this machine trusts if absent"
        ),
    ] = None


class StaticRoute(Facts, frozen=True, kw_only=True):
    """One route of a host's own, beside those that follow from its role."""

    to: Annotated[IPv4Network, Meta(description="the destination", examples=["198.51.100.0/24"])]
    via: Annotated[
        IPv4Address, Meta(description="the next hop, on the segment", examples=["10.4.0.40"])
    ]


class NodeFacts(Facts, frozen=True, kw_only=True):
    """Facts of one machine; a group or the defaults may state them for many."""

    interface: Annotated[
        InterfaceChoice,
        Meta(
            description="the interface on the infrastructure network;"
            " auto: as inventory/discovered.yaml has it"
        ),
    ] = "eth0"
    mac: Annotated[MacAddress | None, Meta(description="hardware address of that interface")] = None
    wireless_interface: Annotated[
        InterfaceName | None,
        Meta(description="a second interface on the same segment, which is kept down"),
    ] = None
    hardware: Annotated[Phrase | None, Meta(description="make and model, for people")] = None
    architecture: Annotated[
        Literal["arm64", "amd64"] | None,
        Meta(description="processor architecture, as Debian names it"),
    ] = None
    load_balancer_route: Annotated[
        Literal["on-link", "via-router", "none"],
        Meta(
            description="how this host reaches load-balancer addresses:"
            " straight onto the segment, through the router, or by no route of its own"
        ),
    ] = "via-router"
    static_routes: Annotated[
        tuple[StaticRoute, ...],
        Meta(description="routes of this host beside those that follow from its role"),
    ] = ()
    opnsense_api: Annotated[
        OpnsenseApi | None,
        Meta(description="the router's API, for platform opnsense; defaults if absent"),
    ] = None
    node_labels: Annotated[
        dict[LabelName, LabelValue],
        Meta(description="labels that the kubelet registers its node with"),
    ] = {}
    node_taints: Annotated[
        tuple[Taint, ...], Meta(description="taints that the kubelet registers its node with")
    ] = ()
    accept: Annotated[
        tuple[Acceptance, ...], Meta(description="lint findings that are known and kept")
    ] = ()


class Domains(Facts, frozen=True, kw_only=True):
    """DNS domains of the network."""

    cluster: Annotated[
        DomainName, Meta(description="the domain that the others are in", examples=["example.net"])
    ]
    nodes: Annotated[
        DomainName, Meta(description="holds a name for every host", examples=["nodes.example.net"])
    ]
    services: Annotated[
        DomainName,
        Meta(description="holds a name for every service", examples=["services.example.net"]),
    ]


class Infrastructure(Facts, frozen=True, kw_only=True):
    """The one layer-2 segment that all hosts are on."""

    cidr: Annotated[
        IPv4Network, Meta(description="the segment's network", examples=["10.4.0.0/20"])
    ]
    dhcp_range: Annotated[
        AddressRange | None, Meta(description="addresses that DHCP hands out")
    ] = None


class LoadBalancer(Facts, frozen=True, kw_only=True):
    """Addresses for services of type LoadBalancer, announced over BGP."""

    cidr: Annotated[
        IPv4Network, Meta(description="what the hosts have a route for", examples=["10.4.11.0/24"])
    ]
    pool: Annotated[
        AddressRange,
        Meta(
            description="what MetalLB may give away: first-last or CIDR",
            examples=["10.4.11.1-10.4.11.254"],
        ),
    ]
    services: Annotated[
        dict[HostName, IPv4Address],
        Meta(description="addresses that are given to named services, which live checks look for"),
    ] = {}
    avoid_buggy_addresses: Annotated[
        bool, Meta(description="leave out addresses that end in .0 or .255 (MetalLB avoidBuggyIPs)")
    ] = False


Milliseconds = Annotated[int, Meta(ge=10, le=60000)]


class Bfd(Facts, frozen=True, kw_only=True):
    """BFD beside the sessions: a dead neighbor is noticed within a second (RFC 5880)."""

    transmit_interval: Annotated[
        Milliseconds, Meta(description="milliseconds between packets that are sent")
    ] = 300
    receive_interval: Annotated[
        Milliseconds, Meta(description="milliseconds between packets that can be received")
    ] = 300
    detect_multiplier: Annotated[
        Annotated[int, Meta(ge=2, le=255)],
        Meta(description="packets that may be missing until the neighbor is lost"),
    ] = 3


class Bgp(Facts, frozen=True, kw_only=True):
    """Sessions between the router and every Kubernetes node."""

    router_asn: Annotated[Asn, Meta(description="AS number of the router", examples=[64512])]
    cluster_asn: Annotated[
        Asn, Meta(description="AS number of all Kubernetes nodes", examples=[64513])
    ]
    keepalive: Annotated[Seconds, Meta(description="seconds between keepalives")] = 60
    hold: Annotated[Seconds, Meta(description="seconds until a silent neighbor is lost")] = 180
    connect_retry: Annotated[
        Annotated[int, Meta(ge=1, le=65535)],
        Meta(description="seconds between attempts to connect"),
    ] = 10
    maximum_paths: Annotated[
        Annotated[int, Meta(ge=1, le=128)],
        Meta(description="next hops that one route may have at the same time"),
    ] = 64
    accept_prefixes: Annotated[
        Literal["pool", "any"] | tuple[IPv4Network, ...],
        Meta(
            description="what the router takes from the nodes: the pool's exact cover, anything,"
            " or these networks and all inside them"
        ),
    ] = "pool"
    maximum_prefix: Annotated[
        Annotated[int, Meta(ge=0, le=MOST_PREFIXES)] | None,
        Meta(
            description="accepted routes that a neighbor may send; one that sends more loses"
            " its session for 5 minutes; 0: no bound;"
            " absent: as many as the pool has addresses"
        ),
    ] = None
    password: Annotated[
        Secret | None, Meta(description="TCP MD5 password of all sessions, by reference")
    ] = None
    bfd: Annotated[
        Bfd | None,
        Meta(description="BFD on the router and its neighbors; none if absent", examples=[{}]),
    ] = None


class Kubernetes(Facts, frozen=True, kw_only=True):
    """The cluster that kubeadm builds."""

    version: Annotated[
        KubernetesVersion,
        Meta(description="a label (stable-1.32) or a release (v1.32.4)", examples=["v1.32.4"]),
    ]
    service_cidr: Annotated[IPv4Network, Meta(description="cluster IPs", examples=["10.96.0.0/16"])]
    pod_cidr: Annotated[IPv4Network, Meta(description="pod addresses", examples=["10.244.0.0/16"])]
    dns_domain: Annotated[DomainName, Meta(description="domain of cluster DNS")] = "cluster.local"
    api_port: Annotated[
        Port, Meta(description="port of the API, on control planes and endpoint")
    ] = 6443
    cert_sans: Annotated[
        tuple[NameOrAddress, ...] | None,
        Meta(description="instead of the names and addresses that follow from the facts"),
    ] = None
    cri_socket: Annotated[SocketUrl, Meta(description="the container runtime's socket")] = (
        "unix:///run/containerd/containerd.sock"
    )
    proxy_mode: Annotated[
        Literal["iptables", "ipvs", "nftables"],
        Meta(description="how kube-proxy programs the kernel"),
    ] = "iptables"
    maximum_pods: Annotated[
        Annotated[int, Meta(ge=1, le=1000)], Meta(description="pods on one node (kubelet maxPods)")
    ] = 110
    bootstrap_token: Annotated[
        Secret, Meta(description="token that nodes join with, by reference")
    ] = "${env:KUBEADM_TOKEN}"
    certificate_key: Annotated[
        Secret, Meta(description="key that control planes share certificates with, by reference")
    ] = "${env:KUBEADM_CERTIFICATE_KEY}"
    ca_cert_hash: Annotated[
        Secret,
        Meta(description="hash of the CA that joining nodes expect (sha256:…), by reference"),
    ] = "${env:KUBEADM_CA_CERT_HASH}"


class Calico(Facts, frozen=True, kw_only=True):
    """The pod network."""

    node_mesh: Annotated[bool, Meta(description="every node peers with every other over BGP")] = (
        True
    )
    peer_with_router: Annotated[
        bool, Meta(description="BIRD on every node peers with the router")
    ] = False
    block_size: Annotated[
        Annotated[int, Meta(ge=20, le=32)],
        Meta(description="prefix length of the blocks of pod addresses that a node takes"),
    ] = 26


class Metallb(Facts, frozen=True, kw_only=True):
    """What announces load-balancer addresses."""

    peer_with_router: Annotated[bool, Meta(description="its speakers peer with the router")] = True


class HealthCheck(Facts, frozen=True, kw_only=True):
    """How HAProxy decides that a server is up."""

    interval: Annotated[Duration, Meta(description="time between checks")] = "2s"
    fall: Annotated[
        Annotated[int, Meta(ge=1, le=100)], Meta(description="failed checks until a server is down")
    ] = 3
    rise: Annotated[
        Annotated[int, Meta(ge=1, le=100)], Meta(description="good checks until it is up again")
    ] = 2


class Timeouts(Facts, frozen=True, kw_only=True):
    """HAProxy's timeouts; API streams (watch, exec, logs) are long and often silent."""

    connect: Annotated[Duration, Meta(description="to open a connection to a server")] = "1s"
    client: Annotated[Duration, Meta(description="silence on the client's side")] = "4h"
    server: Annotated[Duration, Meta(description="silence on the server's side")] = "4h"
    tunnel: Annotated[
        Duration | None,
        Meta(description="silence on an established stream, instead of client and server"),
    ] = None


class Stats(Facts, frozen=True, kw_only=True):
    """HAProxy's statistics page, for people."""

    port: Annotated[Port, Meta(description="port of the page")] = 8404


class Haproxy(Facts, frozen=True, kw_only=True):
    """The load balancer in front of the API."""

    balance: Annotated[
        Literal["roundrobin", "leastconn", "source"], Meta(description="how a server is chosen")
    ] = "roundrobin"
    check: Annotated[HealthCheck, Meta(description="health checks")] = HealthCheck()
    timeouts: Annotated[Timeouts, Meta(description="timeouts")] = Timeouts()
    maximum_connections: Annotated[
        Annotated[int, Meta(ge=1, le=1000000)], Meta(description="connections in all (maxconn)")
    ] = 4096
    metrics_port: Annotated[Port, Meta(description="port of the Prometheus exporter")] = 8405
    stats: Annotated[Stats | None, Meta(description="the statistics page; none if absent")] = None


class Access(Facts, frozen=True, kw_only=True):
    """Who reads and deploys the hosts, if that is not root."""

    user: Annotated[
        OrdinaryUser,
        Meta(
            description="may run this project's program on every Linux host, by sudo",
            examples=["goldentooth"],
        ),
    ]


class Schedule(Facts, frozen=True, kw_only=True):
    """What the controllers do by themselves."""

    drift: Annotated[
        Calendar,
        Meta(description="when drift is looked for (systemd.time(7))", examples=["00..23:00/15"]),
    ]
    project: Annotated[
        Folder,
        Meta(
            description="where this project is on a controller, with its .venv",
            examples=["/srv/goldentooth/network"],
        ),
    ]


class NetworkFacts(NodeFacts, frozen=True, kw_only=True):
    """`data` of defaults.yaml: what is true of the whole network."""

    domains: Domains
    infrastructure: Infrastructure
    load_balancer: LoadBalancer
    bgp: Bgp
    kubernetes: Kubernetes
    calico: Calico = Calico()
    metallb: Metallb = Metallb()
    haproxy: Haproxy = Haproxy()
    access: Access | None = None
    schedule: Schedule | None = None


class ConnectionEntry(Facts, frozen=True, kw_only=True):
    """Nornir's connection options for one connection plugin."""

    hostname: NameOrAddress | None = None
    port: Port | None = None
    username: Login | None = None
    password: Secret | None = None
    platform: Platform | None = None
    extras: dict[str, Any] | None = None


class Entry(Facts, frozen=True, kw_only=True):
    """What Nornir knows of a host, a group or the defaults."""

    port: Annotated[Port | None, Meta(description="SSH port")] = None
    username: Annotated[Login | None, Meta(description="SSH user")] = None
    password: Annotated[Secret | None, Meta(description="by reference only")] = None
    platform: Annotated[Platform | None, Meta(description="linux or opnsense")] = None
    connection_options: Annotated[
        dict[str, ConnectionEntry],
        Meta(description="options of Nornir's connection plugins, by plugin"),
    ] = {}


class GroupEntry(Entry, frozen=True, kw_only=True):
    """One group: a role, and what is true of it."""

    groups: Annotated[
        tuple[RoleName, ...], Meta(description="the groups that this one is part of")
    ] = ()
    data: NodeFacts = NodeFacts()


class HostEntry(Entry, frozen=True, kw_only=True):
    """One host: its address, its roles, and what is true of it alone."""

    hostname: Annotated[
        IPv4Address,
        Meta(description="its address on the infrastructure network", examples=["10.4.0.11"]),
    ]
    groups: Annotated[
        Annotated[tuple[RoleName, ...], Meta(min_length=1)],
        Meta(description="its roles", examples=[["worker"]]),
    ]
    data: NodeFacts = NodeFacts()


class DefaultsEntry(Entry, frozen=True, kw_only=True):
    """defaults.yaml: what is true of every host and of the whole network."""

    data: NetworkFacts


class DiscoveredEntry(Facts, frozen=True, kw_only=True):
    """What was seen on one host: discovered.yaml. Only the interface is taken from it."""

    interface: InterfaceName | None = None
    mac: MacAddress | None = None
    architecture: Phrase | None = None
    kernel: Phrase | None = None
    interfaces_up: tuple[InterfaceName, ...] = ()
    versions: dict[Phrase, Phrase] = {}


HostsFile = dict[HostName, HostEntry]
GroupsFile = dict[RoleName, GroupEntry | None]
DiscoveredFile = dict[HostName, DiscoveredEntry]
