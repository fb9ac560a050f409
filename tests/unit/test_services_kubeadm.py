"""kubeadm's file: the right documents for each role, and no field that v1beta4 does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from goldentooth.model import Network, Node
from goldentooth.services.kubeadm import PATH, SERVICE
from goldentooth.values import SECRET_REFERENCE
from tests.sites import Site

ANY: Any = object()
ARGUMENTS = [{"name": ANY, "value": ANY}]
REGISTRATION = {
    "name": ANY,
    "criSocket": ANY,
    "taints": [{"key": ANY, "value": ANY, "effect": ANY}],
    "kubeletExtraArgs": ARGUMENTS,
}
ENDPOINT = {"advertiseAddress": ANY, "bindPort": ANY}
FIELDS: dict[str, Any] = {
    # kubeadm Configuration (v1beta4) reference
    "InitConfiguration": {
        "bootstrapTokens": [
            {"token": ANY, "description": ANY, "ttl": ANY, "usages": [ANY], "groups": [ANY]}
        ],
        "localAPIEndpoint": ENDPOINT,
        "nodeRegistration": REGISTRATION,
        "certificateKey": ANY,
        "skipPhases": [ANY],
        "timeouts": ANY,
    },
    "ClusterConfiguration": {
        "clusterName": ANY,
        "kubernetesVersion": ANY,
        "controlPlaneEndpoint": ANY,
        "networking": {"serviceSubnet": ANY, "podSubnet": ANY, "dnsDomain": ANY},
        "apiServer": {"certSANs": [ANY], "extraArgs": ARGUMENTS, "extraVolumes": [ANY]},
        "controllerManager": {"extraArgs": ARGUMENTS, "extraVolumes": [ANY]},
        "scheduler": {"extraArgs": ARGUMENTS, "extraVolumes": [ANY]},
        "etcd": ANY,
        "certificatesDir": ANY,
        "imageRepository": ANY,
        "featureGates": ANY,
        "encryptionAlgorithm": ANY,
    },
    "JoinConfiguration": {
        "discovery": {
            "bootstrapToken": {
                "token": ANY,
                "apiServerEndpoint": ANY,
                "caCertHashes": [ANY],
                "unsafeSkipCAVerification": ANY,
            },
            "file": ANY,
            "tlsBootstrapToken": ANY,
        },
        "controlPlane": {"localAPIEndpoint": ENDPOINT, "certificateKey": ANY},
        "nodeRegistration": REGISTRATION,
        "caCertPath": ANY,
    },
    # kubelet.config.k8s.io/v1beta1 and kubeproxy.config.k8s.io/v1alpha1, as far as used
    "KubeletConfiguration": {"cgroupDriver": ANY, "maxPods": ANY},
    "KubeProxyConfiguration": {"mode": ANY, "clusterCIDR": ANY, "ipvs": {"strictARP": ANY}},
}
API_VERSIONS = {
    "InitConfiguration": "kubeadm.k8s.io/v1beta4",
    "ClusterConfiguration": "kubeadm.k8s.io/v1beta4",
    "JoinConfiguration": "kubeadm.k8s.io/v1beta4",
    "KubeletConfiguration": "kubelet.config.k8s.io/v1beta1",
    "KubeProxyConfiguration": "kubeproxy.config.k8s.io/v1alpha1",
}


def text_of(network: Network, host: str) -> str:
    (draft,) = SERVICE.drafts(network, network.nodes[host])
    assert draft.path == PATH
    assert draft.text is not None
    return draft.text


def documents(network: Network, host: str) -> dict[str, dict[str, Any]]:
    """Return the documents of a host as a strict reader has them, keyed by kind."""
    found = list(yaml.safe_load_all(text_of(network, host)))
    assert len({document["kind"] for document in found}) == len(found)
    return {document["kind"]: document for document in found}


def unknown_fields(value: Any, known: Any, path: str = "") -> Iterator[str]:
    """Yield every field of ``value`` that is not in ``known``, or has another shape there."""
    if known is ANY:
        return
    if not isinstance(value, type(known)):
        yield f"{path} is a {type(value).__name__}"
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in known:
                yield from unknown_fields(inner, known[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    else:
        for index, inner in enumerate(value):
            yield from unknown_fields(inner, known[0], f"{path}[{index}]")


def misfits(network: Network) -> list[str]:
    """Return every field of every document that kubeadm would not know."""
    found = []
    for node in network.kubernetes_nodes:
        for kind, document in documents(network, node.name).items():
            fields = {"apiVersion": ANY, "kind": ANY, **FIELDS[kind]}
            found += [f"{node}: {kind}{path}" for path in unknown_fields(document, fields)]
    return found


def test_each_role_has_its_documents(network: Network) -> None:
    for node in network.kubernetes_nodes:
        kinds = list(documents(network, node.name))
        if node is network.control_planes[0]:
            assert kinds == [
                "InitConfiguration",
                "ClusterConfiguration",
                "KubeletConfiguration",
                "KubeProxyConfiguration",
            ]
        else:
            assert kinds == ["JoinConfiguration"]


def test_only_control_planes_join_as_such(network: Network) -> None:
    joining = [node for node in network.kubernetes_nodes if node is not network.control_planes[0]]
    as_control_planes = [
        node
        for node in joining
        if "controlPlane" in documents(network, node.name)["JoinConfiguration"]
    ]
    assert as_control_planes == list(network.control_planes[1:])


def test_hosts_outside_of_kubernetes_have_no_file(network: Network) -> None:
    assert {node.name for node in SERVICE.hosts(network)}.isdisjoint({"allyrion", "router"})


def test_api_versions_are_those_of_the_kinds(network: Network) -> None:
    for node in network.kubernetes_nodes:
        for kind, document in documents(network, node.name).items():
            assert document["apiVersion"] == API_VERSIONS[kind]


def test_every_field_is_one_that_v1beta4_has(network: Network) -> None:
    assert misfits(network) == []


def test_every_field_is_one_that_v1beta4_has_with_all_facts_stated(site: Site) -> None:
    old = "    architecture: amd64\n"
    taints = '    node_taints: ["nvidia.com/gpu=present:NoSchedule", "lonely:NoExecute"]\n'
    site.edit("inventory/hosts.yaml", old, old + taints)
    site.add_fact("kubernetes", "proxy_mode: ipvs")
    network = site.project().network
    assert misfits(network) == []
    proxy = documents(network, "bettley")["KubeProxyConfiguration"]
    assert proxy["ipvs"] == {"strictARP": True}
    registration = documents(network, "velaryon")["JoinConfiguration"]["nodeRegistration"]
    assert registration["taints"] == [
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
        {"key": "lonely", "effect": "NoExecute"},
    ]


def test_taints_of_a_control_plane_are_beside_kubeadms_own(site: Site) -> None:
    """Kubeadm adds it only where no taint is stated."""
    own = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}
    site.edit(
        "inventory/groups.yaml",
        "control_plane:\n  groups: [k8s]\n",
        "control_plane:\n  groups: [k8s]\n  data: {node_taints: ['slow:PreferNoSchedule']}\n",
    )
    network = site.project().network
    for node in network.control_planes:
        slow = {"key": "slow", "effect": "PreferNoSchedule"}
        assert registration(network, node)["taints"] == [own, slow]
    assert "taints" not in registration(network, network.workers[0])


def test_kubeadms_own_taint_is_not_there_twice(site: Site) -> None:
    taint = "node-role.kubernetes.io/control-plane:NoSchedule"
    site.edit(
        "inventory/groups.yaml",
        "control_plane:\n  groups: [k8s]\n",
        f"control_plane:\n  groups: [k8s]\n  data: {{node_taints: ['{taint}']}}\n",
    )
    network = site.project().network
    assert len(registration(network, network.control_planes[0])["taints"]) == 1


def test_without_taints_in_the_facts_kubeadm_is_left_to_add_its_own(network: Network) -> None:
    assert not any("taints" in registration(network, node) for node in network.kubernetes_nodes)


def test_the_field_table_would_notice_a_map_of_arguments() -> None:
    """The form of v1beta3, which v1beta4 refuses."""
    old = {"nodeRegistration": {"kubeletExtraArgs": {"node-ip": "10.4.0.11"}}, "apiServr": {}}
    fields = {**FIELDS["JoinConfiguration"], **FIELDS["ClusterConfiguration"]}
    assert list(unknown_fields(old, fields)) == [
        ".nodeRegistration.kubeletExtraArgs is a dict",
        ".apiServr",
    ]


def registration(network: Network, node: Node) -> dict[str, Any]:
    found = documents(network, node.name)
    first = found.get("InitConfiguration") or found["JoinConfiguration"]
    return first["nodeRegistration"]


def arguments(network: Network, node: Node) -> dict[str, str]:
    return {item["name"]: item["value"] for item in registration(network, node)["kubeletExtraArgs"]}


def test_every_kubelet_is_pinned_to_the_nodes_own_address(network: Network) -> None:
    for node in network.kubernetes_nodes:
        assert registration(network, node)["name"] == node.name
        assert arguments(network, node)["node-ip"] == str(node.address)


def test_control_planes_advertise_their_own_address(network: Network) -> None:
    for node in network.control_planes:
        found = documents(network, node.name)
        own = found.get("InitConfiguration") or found["JoinConfiguration"]["controlPlane"]
        assert own["localAPIEndpoint"] == {"advertiseAddress": str(node.address), "bindPort": 6443}


def test_only_gpu_nodes_register_the_label(network: Network) -> None:
    labelled = [
        node for node in network.kubernetes_nodes if "node-labels" in arguments(network, node)
    ]
    assert labelled == list(network.in_role("gpu"))
    (node,) = labelled
    assert arguments(network, node)["node-labels"] == "node.goldentooth.net/gpu=true"


def test_the_certificate_holds_the_endpoint_and_every_control_plane(network: Network) -> None:
    sans = documents(network, "bettley")["ClusterConfiguration"]["apiServer"]["certSANs"]
    for node in (network.endpoint.node, *network.control_planes):
        assert {str(node.address), node.name, network.fqdn(node)} <= set(sans)
    assert len(sans) == len(set(sans))


def test_networks_and_endpoint_are_the_facts(network: Network) -> None:
    found = documents(network, "bettley")
    cluster = found["ClusterConfiguration"]
    assert cluster["controlPlaneEndpoint"] == "10.4.0.10:6443"
    assert cluster["networking"] == {
        "serviceSubnet": "172.16.0.0/20",
        "podSubnet": "192.168.0.0/16",
        "dnsDomain": "cluster.local",
    }
    assert found["KubeProxyConfiguration"]["clusterCIDR"] == "192.168.0.0/16"
    join = documents(network, "fenn")["JoinConfiguration"]["discovery"]["bootstrapToken"]
    assert join["apiServerEndpoint"] == "10.4.0.10:6443"


def test_secrets_are_references_and_the_ca_is_verified(network: Network) -> None:
    init = documents(network, "bettley")["InitConfiguration"]
    join = documents(network, "cargyll")["JoinConfiguration"]
    token = join["discovery"]["bootstrapToken"]
    secrets = (
        init["bootstrapTokens"][0]["token"],
        init["certificateKey"],
        join["controlPlane"]["certificateKey"],
        token["token"],
        *token["caCertHashes"],
    )
    assert all(SECRET_REFERENCE.fullmatch(secret) for secret in secrets)
    for node in network.kubernetes_nodes:
        assert "unsafeSkipCAVerification" not in text_of(network, node.name)


def test_the_file_is_roots_alone(network: Network) -> None:
    for node in network.kubernetes_nodes:
        (draft,) = SERVICE.drafts(network, node)
        assert (draft.mode, draft.owner) == (0o600, "root:root")


@pytest.mark.parametrize("word", ["1e3", "0o17", "y", "n", "no", "0x1f", "017", "12e03", "null"])
def test_a_name_that_looks_like_something_else_stays_text(site: Site, word: str) -> None:
    """kubeadm's reader takes 1e3 for a number and y for true; a node's name must be text."""
    site.edit("inventory/hosts.yaml", "fenn:\n", f'"{word}":\n')
    assert f"\n  name: '{word}'\n" in text_of(site.project().network, word)
