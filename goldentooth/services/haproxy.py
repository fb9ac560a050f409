"""HAProxy in front of the Kubernetes API: one address, every control plane behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from goldentooth.artifact import Draft, Judge
from goldentooth.check import Check, Outcome, Output, failed, passes, succeeded
from goldentooth.model import Network, Node
from goldentooth.services.kubeadm import healthz_command, judge_healthz

HAPROXY = Judge("haproxy", ("haproxy", "-c", "-q", "-f", "{file}"), package="haproxy")
"""HAProxy's own check; `-q` keeps warnings, drops the word that all is well."""


class Haproxy:
    """The API's load balancer."""

    name = "haproxy"
    title = "HAProxy: the API's endpoint"

    def hosts(self, network: Network) -> tuple[Node, ...]:
        """Return the load balancers."""
        return network.load_balancers

    def drafts(self, network: Network, node: Node) -> Iterator[Draft]:
        """Yield haproxy.cfg."""
        yield Draft(
            "/etc/haproxy/haproxy.cfg",
            "haproxy/haproxy.cfg.j2",
            {
                "node": node,
                "haproxy": network.haproxy,
                "api_port": network.kubernetes.api_port,
                "servers": network.control_planes,
            },
            judge=HAPROXY,
            format="haproxy",
        )

    def activate(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return a reload: the old process serves its connections to their end."""
        return ("systemctl reload haproxy.service",)

    def units(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return HAProxy's unit."""
        return ("haproxy.service",)

    def checks(self, network: Network, node: Node) -> Iterator[Check]:
        """Yield every server's state, the exporter, and the endpoint itself."""
        metrics = (
            f"curl -sS --max-time 5 http://{node.address}:{network.haproxy.metrics_port}/metrics"
        )
        yield HaproxyMetrics(node.name, node.name, metrics)
        for server in network.control_planes:
            yield HaproxyBackend(server.name, node.name, metrics)
        if network.control_planes:
            yield ApiEndpoint(node.name, node.name, f"{node.address}:{network.kubernetes.api_port}")


@dataclass(frozen=True)
class HaproxyMetrics(Check):
    """The Prometheus exporter in HAProxy.

    Passes: it answers with HAProxy's metrics.
    Fails: it does not answer, or with something else.
    """

    kind = "haproxy.metrics"
    subject: str
    host: str
    command: str

    @property
    def expected(self) -> str:
        """That metrics are answered."""
        return "metrics are answered"

    def reads(self) -> tuple[str, ...]:
        """The exporter's page."""
        return (self.command,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Look for HAProxy's own process metric."""
        output = outputs[self.command]
        if output.status != 0:
            return failed(output.complaint)
        lines = output.text.splitlines()
        good = any(line.startswith("haproxy_process_uptime_seconds ") for line in lines)
        return passes(good, f"{len(lines)} lines" + ("" if good else ", none of HAProxy's"))


@dataclass(frozen=True)
class HaproxyBackend(Check):
    """One control plane, as HAProxy sees it.

    Passes: its health check is UP.
    Fails: it is DOWN, in maintenance, or not among the servers.
    """

    kind = "haproxy.backend"
    subject: str
    host: str
    command: str

    @property
    def expected(self) -> str:
        """The server's state."""
        return "UP"

    def reads(self) -> tuple[str, ...]:
        """The exporter's page."""
        return (self.command,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Find the state whose metric is 1."""
        pattern = (
            rf'^haproxy_server_status\{{proxy="control-planes",server="{self.subject}",'
            r'state="([A-Z]+)"\} 1$'
        )
        state = re.search(pattern, succeeded(outputs, self.command).text, re.MULTILINE)
        return passes(state and state[1] == "UP", state[1] if state else "not among the servers")


@dataclass(frozen=True)
class ApiEndpoint(Check):
    """The Kubernetes API, through its endpoint.

    Passes: it answers /healthz with ok. The certificate is not judged here.
    Fails: nobody answers, or with something else.
    """

    kind = "api.endpoint"
    subject: str
    host: str
    endpoint: str

    @property
    def expected(self) -> str:
        """The answer of /healthz."""
        return f"https://{self.endpoint}/healthz says ok"

    def reads(self) -> tuple[str, ...]:
        """The answer of /healthz."""
        return (healthz_command(self.endpoint),)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Judge the answer."""
        return judge_healthz(outputs[self.reads()[0]])


SERVICE = Haproxy()
