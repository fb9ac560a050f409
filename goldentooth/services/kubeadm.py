"""kubeadm configuration, one kind for each role, built as data.

API version v1beta4, which kubeadm 1.31 and later read (kubeadm Configuration v1beta4
reference). In it every ``extraArgs`` is a list of name and value, no longer a map.
Tokens, keys and hashes are references; they are filled in on the way to the host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from io import StringIO
from typing import Any

import yaml

from goldentooth.activation import Activation
from goldentooth.artifact import Draft, Judge
from goldentooth.check import Check, Outcome, Output, failed, passes
from goldentooth.facts import Kubernetes
from goldentooth.model import Network, Node
from goldentooth.needs import CURL, Needs
from goldentooth.observation import Observation
from goldentooth.values import SECRET_REFERENCE

KUBEADM = Judge("kubeadm", ("kubeadm", "config", "validate", "--config", "{file}"))
"""kubeadm's own check. Debian does not package kubeadm."""

PATH = "/etc/kubernetes/kubeadm.yaml"

CONTROL_PLANE_TAINT = "node-role.kubernetes.io/control-plane:NoSchedule"
"""What kubeadm taints control planes with (v1beta4 reference, NodeRegistrationOptions `taints`)."""

_API_VERSION = "kubeadm.k8s.io/v1beta4"
_HEADER = "# Made from inventory/ by goldentooth-net; changes here are drift.\n"

Document = dict[str, Any]


class Kubeadm:
    """How each node becomes part of the Kubernetes cluster."""

    name = "kubeadm"
    title = "kubeadm: how each node initialises or joins the cluster"

    def hosts(self, network: Network) -> tuple[Node, ...]:
        """Return the Kubernetes nodes."""
        return network.kubernetes_nodes

    def needs(self, network: Network, node: Node) -> Needs:  # noqa: ARG002  # the interface
        """Return what the checks use: Debian has no kubeadm, and a person runs it."""
        return Needs((CURL,))

    def drafts(self, network: Network, node: Node) -> Iterator[Draft]:
        """Yield kubeadm.yaml: root's alone, since secrets are filled into it."""
        own = _to_yaml(*own_documents(network, node))
        is_first = node is network.control_planes[0]
        text = f"{_HEADER}{own}---\n{_cluster_yaml(network)}" if is_first else _HEADER + own
        yield Draft(
            PATH,
            text=text,
            mode=0o600,
            judge=KUBEADM,
            specimens=_specimens(network.kubernetes),
            format="yaml",
        )

    def activate(self, network: Network, node: Node) -> tuple[Activation, ...]:  # noqa: ARG002  # the interface
        """Return nothing: the file is placed, and a person runs kubeadm."""
        return ()

    def disturbs(self, path: str, before: str, after: str) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return nothing: nobody reads the file by itself."""
        return ()

    def units(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return nothing: the kubelet's unit is kubeadm's business."""
        return ()

    def observe(self, network: Network, node: Node) -> tuple[Observation, ...]:  # noqa: ARG002  # the interface
        """Return none: what kubeadm made of the file is the cluster's own business."""
        return ()

    def folders(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return none."""
        return ()

    def checks(self, network: Network, node: Node) -> Iterator[Check]:
        """Yield each control plane's own API server."""
        if node.is_control_plane:
            yield ApiServer(node.name, node.name, f"{node.address}:{network.kubernetes.api_port}")


@dataclass(frozen=True)
class ApiServer(Check):
    """One control plane's own API server, asked on that host.

    Passes: it answers /healthz with ok. The certificate is not judged here.
    Fails: nobody answers, or with something else.
    """

    kind = "api.server"
    subject: str
    host: str
    address: str

    @property
    def expected(self) -> str:
        """The answer of /healthz."""
        return f"https://{self.address}/healthz says ok"

    def reads(self) -> tuple[str, ...]:
        """The answer of /healthz."""
        return (healthz_command(self.address),)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Judge the answer."""
        return judge_healthz(outputs[self.reads()[0]])


def healthz_command(address: str) -> str:
    """Return the command that asks the API at ``address`` (``host:port``) how it is."""
    return f"curl -sSk --max-time 5 https://{address}/healthz"


def judge_healthz(output: Output) -> Outcome:
    """Judge what :func:`healthz_command` printed."""
    if output.status != 0:
        return failed(output.complaint)
    answer = output.text.strip()
    return passes(answer == "ok", answer[:80] or "an empty answer")


def own_documents(network: Network, node: Node) -> tuple[Document, ...]:
    """Return the documents that are about ``node`` itself.

    InitConfiguration for the first control plane, JoinConfiguration for all others, with
    ``controlPlane`` for the other control planes.
    """
    kubernetes = network.kubernetes
    registration = _node_registration(network, node)
    local_endpoint = {"advertiseAddress": str(node.address), "bindPort": kubernetes.api_port}
    if node is network.control_planes[0]:
        return (
            {
                "apiVersion": _API_VERSION,
                "kind": "InitConfiguration",
                "bootstrapTokens": [
                    {
                        "token": kubernetes.bootstrap_token,
                        "description": "nodes of the inventory join with it",
                        "ttl": "24h0m0s",
                        "usages": ["signing", "authentication"],
                        "groups": ["system:bootstrappers:kubeadm:default-node-token"],
                    }
                ],
                "certificateKey": kubernetes.certificate_key,
                "localAPIEndpoint": local_endpoint,
                "nodeRegistration": registration,
            },
        )
    join: Document = {
        "apiVersion": _API_VERSION,
        "kind": "JoinConfiguration",
        "discovery": {
            "bootstrapToken": {
                "apiServerEndpoint": str(network.endpoint),
                "token": kubernetes.bootstrap_token,
                "caCertHashes": [kubernetes.ca_cert_hash],
            }
        },
        "nodeRegistration": registration,
    }
    if node.is_control_plane:
        join["controlPlane"] = {
            "certificateKey": kubernetes.certificate_key,
            "localAPIEndpoint": local_endpoint,
        }
    return (join,)


def cluster_documents(network: Network) -> tuple[Document, ...]:
    """Return the documents that are about the cluster; kubeadm reads them at init only."""
    kubernetes = network.kubernetes
    proxy: Document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": kubernetes.proxy_mode,
        "clusterCIDR": str(kubernetes.pod_cidr),
    }
    if kubernetes.proxy_mode == "ipvs":
        proxy["ipvs"] = {"strictARP": True}
    return (
        {
            "apiVersion": _API_VERSION,
            "kind": "ClusterConfiguration",
            "clusterName": network.domains.cluster,
            "kubernetesVersion": kubernetes.version,
            "controlPlaneEndpoint": str(network.endpoint),
            "networking": {
                "serviceSubnet": str(kubernetes.service_cidr),
                "podSubnet": str(kubernetes.pod_cidr),
                "dnsDomain": kubernetes.dns_domain,
            },
            "apiServer": {"certSANs": list(network.cert_sans)},
        },
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "cgroupDriver": "systemd",
            "maxPods": kubernetes.maximum_pods,
        },
        proxy,
    )


def _specimens(kubernetes: Kubernetes) -> dict[str, str]:
    """Return a well-formed value for each secret: kubeadm judges their form, too."""
    return {
        kubernetes.bootstrap_token: "abcdef.0123456789abcdef",
        kubernetes.certificate_key: "0" * 64,
        kubernetes.ca_cert_hash: "sha256:" + "0" * 64,
    }


def _node_registration(network: Network, node: Node) -> Document:
    """Return the node's registration; its address is pinned, since it may have two interfaces."""
    arguments = [{"name": "node-ip", "value": str(node.address)}]
    if node.facts.node_labels:
        labels = ",".join(f"{key}={value}" for key, value in sorted(node.facts.node_labels.items()))
        arguments.append({"name": "node-labels", "value": labels})
    registration: Document = {
        "name": node.name,
        "criSocket": network.kubernetes.cri_socket,
        "kubeletExtraArgs": arguments,
    }
    if node.facts.node_taints:
        # kubeadm adds its own taint only where none are stated
        own = (CONTROL_PLANE_TAINT,) if node.is_control_plane else ()
        stated = dict.fromkeys((*own, *node.facts.node_taints))
        registration["taints"] = [_taint(text) for text in stated]
    return registration


def _taint(text: str) -> Document:
    """Return a taint as kubeadm takes it.

    >>> _taint("nvidia.com/gpu=present:NoSchedule")
    {'key': 'nvidia.com/gpu', 'value': 'present', 'effect': 'NoSchedule'}
    """
    name, effect = text.rsplit(":", 1)
    key, _, value = name.partition("=")
    return {"key": key, **({"value": value} if value else {}), "effect": effect}


@lru_cache(maxsize=1)
def _cluster_yaml(network: Network) -> str:
    return _to_yaml(*cluster_documents(network))


class _Dumper(yaml.CSafeDumper):
    """Quotes also the words that kubeadm's YAML reader, unlike PyYAML, takes for something else."""


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?\.?[0-9][0-9_.]*[eE][-+]?[0-9]+$|[-+]?0[oO][0-7_]+$|[-+]?[0-9]+\.$"),
    list("-+.0123456789"),
)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))
_RESOLVER = _Dumper(StringIO())


def _to_yaml(*documents: Document) -> str:
    """Return ``documents`` in block style, keys in their order, no line wrapped.

    PyYAML's way from a value to the events that libyaml writes is general, and most of the time.
    """
    text: str = yaml.emit(_stream(documents), Dumper=_Dumper, width=1000)
    return text


def _stream(documents: Iterable[Document]) -> Iterator[yaml.Event]:
    yield yaml.StreamStartEvent()
    for document in documents:
        yield yaml.DocumentStartEvent(explicit=False)
        yield from _events(document)
        yield yaml.DocumentEndEvent(explicit=False)
    yield yaml.StreamEndEvent()


def _events(value: Any) -> Iterator[yaml.Event]:
    match value:
        case Mapping():
            yield yaml.MappingStartEvent(None, None, implicit=True, flow_style=not value)
            for key, inner in value.items():
                yield from _events(key)
                yield from _events(inner)
            yield yaml.MappingEndEvent()
        case list() | tuple():
            yield yaml.SequenceStartEvent(None, None, implicit=True, flow_style=not value)
            for inner in value:
                yield from _events(inner)
            yield yaml.SequenceEndEvent()
        case str():
            yield yaml.ScalarEvent(None, None, (_reads_as_text(value), True), value)
        case _:
            plain = str(value).lower() if isinstance(value, bool) else str(value)
            yield yaml.ScalarEvent(None, None, (True, False), plain)


@cache
def _reads_as_text(text: str) -> bool:
    """Whether a YAML reader takes ``text`` for text, without quotes.

    What stands for a reference is not known yet: a key of digits would be taken for a number.
    """
    if SECRET_REFERENCE.search(text):
        return False
    tag: str = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]  # PyYAML's stubs
    return tag == "tag:yaml.org,2002:str"


SERVICE = Kubeadm()
