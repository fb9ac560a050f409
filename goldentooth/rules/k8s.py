"""K8S: what kubeadm, the API server and Calico accept, and what will not do for long."""

from __future__ import annotations

from collections.abc import Iterator

from goldentooth.model import Network
from goldentooth.rules import Severity, Violation, rule

KUBELET_LABELS = {
    *("beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type", "beta.kubernetes.io/os"),
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    *("kubernetes.io/arch", "kubernetes.io/hostname", "kubernetes.io/os"),
    "node.kubernetes.io/instance-type",
    *("topology.kubernetes.io/region", "topology.kubernetes.io/zone"),
}
KUBELET_NAMESPACES = ("kubelet.kubernetes.io", "node.kubernetes.io")
"""With :data:`KUBELET_LABELS` all that a kubelet may set in Kubernetes' own namespaces
(k8s.io/kubelet, pkg/apis/well_known_labels.go, as of 1.32)."""

NODE_MASK = 24
"""Prefix length of the pod network that the controller manager sets aside for a node."""


@rule(
    "K8S001",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            kubernetes:
              cert_sans: [api.lab.example.net]
        """,
    passes="""
        defaults:
          data:
            kubernetes:
              cert_sans: [api.lab.example.net, 10.20.0.5, lb1.nodes.lab.example.net]
        """,
)
def endpoint_not_in_sans(network: Network) -> Iterator[Violation]:
    """The API's certificate is not made out for its endpoint.

    Why:
        Clients compare the name that they called with the certificate, and refuse. kubeadm
        adds the controlPlaneEndpoint, each control plane's own name and its address by
        itself, but no other name of the load balancer.

    Do:
        Leave kubernetes.cert_sans away: the names follow from the facts then. Or add the
        missing ones.

    Source:
        RFC 6125 §6; kubeadm v1beta4 reference, APIServer `certSANs`.
    """
    endpoint, names = network.endpoint, set(network.cert_sans)
    wanted = (str(endpoint.address), network.fqdn(endpoint.node))
    missing = [name for name in wanted if name not in names]
    if missing:
        yield Violation(
            "kubernetes.cert_sans",
            f"the certificate lacks {' and '.join(missing)}, the API's endpoint",
            network.where("kubernetes.cert_sans"),
        )


@rule(
    "K8S002",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            kubernetes:
              pod_cidr: 10.244.0.0/23  # 8 blocks of 64; 5 nodes with 110 pods need 10
        """,
    passes="""
        defaults:
          data:
            kubernetes:
              pod_cidr: 10.244.0.0/22
        """,
)
def pod_range_too_small(network: Network) -> Iterator[Violation]:
    """The pod range has too few blocks for full nodes.

    Why:
        A node takes addresses in blocks. When none is left it borrows single addresses from
        another node's block, one more route each on every node; when all are used, pods stay
        in ContainerCreating.

    Do:
        Widen kubernetes.pod_cidr, or choose a calico.block_size that fits
        kubernetes.maximum_pods better.

    Source:
        Calico, IPPool `blockSize` and Change IP pool block size.
    """
    kubernetes, block = network.kubernetes, network.calico.block_size
    if kubernetes.pod_cidr.prefixlen > block:
        return  # K8S003
    blocks = 2 ** (block - kubernetes.pod_cidr.prefixlen)
    per_node = -(-kubernetes.maximum_pods // 2 ** (32 - block))
    nodes = len(network.kubernetes_nodes)
    if blocks < nodes * per_node:
        yield Violation(
            "kubernetes.pod_cidr",
            f"{kubernetes.pod_cidr} has {blocks} blocks of /{block};"
            f" {nodes} nodes with {kubernetes.maximum_pods} pods need {nodes * per_node}",
            network.where("kubernetes.pod_cidr"),
        )


@rule(
    "K8S003",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            calico: {block_size: 20}
            kubernetes:
              pod_cidr: 10.244.0.0/21
        """,
    passes="""
        defaults:
          data:
            calico: {block_size: 26}
            kubernetes:
              pod_cidr: 10.244.0.0/21
        """,
)
def pod_range_below_block(network: Network) -> Iterator[Violation]:
    """The pod range is smaller than one block.

    Why:
        Calico refuses such an IP pool, and no pod gets an address.

    Do:
        Widen kubernetes.pod_cidr, or make the blocks smaller: a larger calico.block_size.

    Source:
        Calico, IPPool `blockSize` (at most the size of the pool).
    """
    pod_cidr, block = network.kubernetes.pod_cidr, network.calico.block_size
    if pod_cidr.prefixlen > block:
        yield Violation(
            "kubernetes.pod_cidr",
            f"{pod_cidr} is smaller than a block of /{block}",
            network.where("kubernetes.pod_cidr"),
        )


@rule(
    "K8S004",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            kubernetes:
              pod_cidr: 10.244.2.0/25
              maximum_pods: 16
            calico: {block_size: 28}
        """,
    passes="""
        defaults:
          data:
            kubernetes:
              pod_cidr: 10.244.2.0/24
              maximum_pods: 16
            calico: {block_size: 28}
        """,
)
def pod_range_and_node_mask(network: Network) -> Iterator[Violation]:
    """Kubeadm refuses the pod range.

    Why:
        The controller manager sets a /24 of it aside for each node, whether Calico uses that
        or not. The range must hold one at least, and be at most 16 bits wider.

    Do:
        Choose a range between /8 and /24.

    Source:
        kubeadm, ClusterConfiguration `networking.podSubnet` and its validation;
        kube-controller-manager `--node-cidr-mask-size-ipv4` (24).
    """
    pod_cidr = network.kubernetes.pod_cidr
    if not NODE_MASK - 16 <= pod_cidr.prefixlen <= NODE_MASK:
        yield Violation(
            "kubernetes.pod_cidr",
            f"{pod_cidr} does not go with a /{NODE_MASK} for each node: `kubeadm init` refuses it",
            network.where("kubernetes.pod_cidr"),
        )


@rule(
    "K8S005",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            kubernetes:
              service_cidr: 100.64.0.0/11
        """,
    passes="""
        defaults:
          data:
            kubernetes:
              service_cidr: 10.96.0.0/12
        """,
)
def service_range_too_large(network: Network) -> Iterator[Violation]:
    """The service range is larger than a /12.

    Why:
        The API server keeps a bitmap of it and refuses one of more than 20 bits; kubeadm
        refuses first.

    Do:
        Choose a range between /12 and /28.

    Source:
        kube-apiserver `--service-cluster-ip-range` (at most 20 bits); kubeadm,
        `networking.serviceSubnet` and its validation.
    """
    cidr = network.kubernetes.service_cidr
    if cidr.prefixlen < 12:
        yield Violation(
            "kubernetes.service_cidr",
            f"{cidr} has {32 - cidr.prefixlen} bits, and 20 are allowed",
            network.where("kubernetes.service_cidr"),
        )


@rule(
    "K8S006",
    Severity.ERROR,
    fails="""
        defaults:
          data:
            kubernetes:
              service_cidr: 10.96.0.0/29
        """,
    passes="""
        defaults:
          data:
            kubernetes:
              service_cidr: 10.96.0.0/24
        """,
)
def service_range_too_small(network: Network) -> Iterator[Violation]:
    """The service range has fewer than ten addresses.

    Why:
        Cluster DNS gets the tenth address of the range, so there must be one.

    Do:
        Choose a /28 or, to have room for services too, a /20.

    Source:
        kubeadm, `networking.serviceSubnet` and its validation.
    """
    cidr = network.kubernetes.service_cidr
    if cidr.num_addresses < 10:
        yield Violation(
            "kubernetes.service_cidr",
            f"{cidr} has {cidr.num_addresses} address{'es' * (cidr.num_addresses != 1)};"
            " cluster DNS wants the tenth",
            network.where("kubernetes.service_cidr"),
        )


@rule(
    "K8S007",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            kubernetes: {version: stable-1.32}
        """,
    passes="""
        defaults:
          data:
            kubernetes: {version: v1.32.4}
        """,
)
def moving_version(network: Network) -> Iterator[Violation]:
    """The Kubernetes version is a label that moves.

    Why:
        kubeadm asks the internet what the label means today. Control planes that join weeks
        apart get different releases, and without the internet none is found.

    Do:
        Write the release: `kubeadm version`, or https://dl.k8s.io/release/stable-1.32.txt.

    Source:
        kubeadm v1beta4 reference, ClusterConfiguration `kubernetesVersion`; kubeadm init,
        `--kubernetes-version`.
    """
    version = network.kubernetes.version
    if not version.startswith("v"):
        yield Violation(
            "kubernetes.version",
            f"{version} is a label: it can mean another release tomorrow",
            network.where("kubernetes.version"),
        )


@rule(
    "K8S008",
    Severity.WARNING,
    fails="""
        hosts:
          lb2: {groups: [haproxy, gpu]}
        groups:
          gpu: {data: {node_labels: {node.example.net/gpu: "true"}}}
        """,
    passes="""
        hosts:
          node2: {groups: [worker, gpu]}
        groups:
          gpu: {data: {node_labels: {node.example.net/gpu: "true"}}}
        """,
)
def label_without_kubelet(network: Network) -> Iterator[Violation]:
    """A host has a GPU role, labels or taints of a Kubernetes node, and is none.

    Why:
        The kubelet registers labels and taints, and none runs there: what should be
        scheduled on the GPU stays Pending.

    Do:
        Put the host in the group worker too, or take the role or the labels away.

    Source:
        kubelet, `--node-labels` and `--register-with-taints`.
    """
    defaults = network.sources.defaults.file
    for node in network.nodes.values():
        if node.is_kubernetes_node:
            continue
        stated = (
            ("node_labels", node.facts.node_labels),
            ("node_taints", node.facts.node_taints),
        )
        own = [
            fact
            for fact, value in stated
            if value and network.where_node(node, fact).file != defaults
        ]
        if own or "gpu" in node.roles:
            what = " and ".join(fact.replace("_", " ") for fact in own) or "the role gpu"
            yield Violation(
                node.name,
                f"has {what}, but runs no kubelet",
                network.where_node(node, own[0] if own else "groups"),
            )


@rule(
    "K8S009",
    Severity.ERROR,
    fails="""
        hosts:
          cp3: {groups: [control_plane, worker]}
        """,
    passes="""
        hosts:
          cp3: {groups: [control_plane]}
        """,
)
def two_kinds_of_node(network: Network) -> Iterator[Violation]:
    """A host is a control plane and a worker.

    Why:
        kubeadm joins a node as one of the two; this one is built as a control plane, and
        what the group worker says of it comes to nothing.

    Do:
        Keep one of the groups. To let pods run on a control plane, remove its taint.

    Source:
        kubeadm v1beta4 reference, JoinConfiguration `controlPlane`.
    """
    for node in network.control_planes:
        if "worker" in node.roles:
            yield Violation(
                node.name,
                "in control_plane and in worker",
                network.where_node(node, "groups"),
            )


@rule(
    "K8S010",
    Severity.WARNING,
    fails="""
        hosts:
          node1: null
          node2: null
        groups:
          worker: null
        """,
    passes="""
        hosts:
          node1: {hostname: 10.20.0.21, groups: [worker]}
        """,
)
def no_worker(network: Network) -> Iterator[Violation]:
    """No Kubernetes node takes ordinary pods.

    Why:
        kubeadm taints control planes NoSchedule. Without a worker everything but the
        cluster's own pods stays Pending.

    Do:
        Put a host in the group worker.

    Source:
        kubeadm v1beta4 reference, NodeRegistrationOptions `taints`.
    """
    if not network.workers:
        yield Violation(
            "groups.control_plane",
            "all Kubernetes nodes are control planes",
            network.where_node(network.control_planes[-1], "groups"),
        )


@rule(
    "K8S011",
    Severity.WARNING,
    fails="""
        defaults:
          data:
            kubernetes: {dns_domain: lab.example.net}
        """,
    passes="""
        defaults:
          data:
            kubernetes: {dns_domain: cluster.local}
        """,
)
def cluster_dns_hides_domain(network: Network) -> Iterator[Violation]:
    """The domain of cluster DNS holds a domain of the network.

    Why:
        CoreDNS answers for its whole domain. Inside pods the names of hosts and services
        below it do not exist, though they do everywhere else.

    Do:
        Keep cluster.local, or take a domain beside the others.

    Source:
        CoreDNS, kubernetes plugin (authoritative for its zones).
    """
    own = network.kubernetes.dns_domain
    domains = network.domains
    hidden = [
        domain
        for domain in (domains.cluster, domains.nodes, domains.services)
        if f".{domain}".endswith(f".{own}")
    ]
    if hidden:
        yield Violation(
            "kubernetes.dns_domain",
            f"{own} hides {', '.join(hidden)} from pods",
            network.where("kubernetes.dns_domain"),
        )


@rule(
    "K8S012",
    Severity.INFO,
    fails="""
        defaults:
          data:
            kubernetes: {maximum_pods: 250}
        """,
    passes="""
        defaults:
          data:
            kubernetes: {maximum_pods: 110}
        """,
)
def many_pods(network: Network) -> Iterator[Violation]:
    """A node may run more pods than Kubernetes is tested with.

    Why:
        Up to 110 pods a node are what the project tests and promises. Beyond, the kubelet
        itself needs memory and time that a small machine lacks.

    Do:
        Set kubernetes.maximum_pods to 110 or less, or leave it away.

    Source:
        Kubernetes, Considerations for large clusters.
    """
    pods = network.kubernetes.maximum_pods
    if pods > 110:
        yield Violation(
            "kubernetes.maximum_pods",
            f"{pods} pods on one node; 110 are tested",
            network.where("kubernetes.maximum_pods"),
        )


@rule(
    "K8S013",
    Severity.ERROR,
    fails="""
        hosts:
          node1:
            data:
              node_labels: {node-role.kubernetes.io/worker: ""}
        """,
    passes="""
        hosts:
          node1:
            data:
              node_labels: {node.kubernetes.io/pool: edge, lab.example.net/rack: one}
        """,
)
def label_that_kubelet_refuses(network: Network) -> Iterator[Violation]:
    """A node label is in a namespace that Kubernetes keeps for itself.

    Why:
        The kubelet checks its labels first of all, and does not start: the node never joins.
        In kubernetes.io and k8s.io it may set what begins with kubelet.kubernetes.io/ or
        node.kubernetes.io/, and a few well-known names; roles are not among them.

    Do:
        Take a domain of your own, or node.kubernetes.io/NAME. For a role, label the node
        when it has joined: `kubectl label node NAME node-role.kubernetes.io/ROLE=`.

    Source:
        kubelet, `--node-labels`; Kubernetes, NodeRestriction admission; KEP-279, Bounding
        Self-Labeling Kubelets.
    """
    for node in network.kubernetes_nodes:
        refused = sorted(filter(_is_refused_by_kubelet, node.facts.node_labels))
        if refused:
            yield Violation(
                node.name,
                f"its kubelet will not start with {', '.join(refused)}",
                network.where_node(node, "node_labels"),
            )


def _is_refused_by_kubelet(label: str) -> bool:
    namespace = label.rpartition("/")[0]
    if label in KUBELET_LABELS or _is_within(namespace, *KUBELET_NAMESPACES):
        return False
    return _is_within(namespace, "kubernetes.io", "k8s.io")


def _is_within(namespace: str, *domains: str) -> bool:
    return any(f".{namespace}".endswith(f".{domain}") for domain in domains)
