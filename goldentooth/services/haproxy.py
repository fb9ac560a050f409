"""HAProxy in front of the Kubernetes API: one address, every control plane behind it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

from goldentooth.activation import Activation
from goldentooth.artifact import Draft, Judge
from goldentooth.check import Check, Outcome, Output, UnreadableError, failed, passes, succeeded
from goldentooth.model import Network, Node
from goldentooth.needs import CURL, Needs, Package
from goldentooth.observation import Difference, Observation, Seen, UnitsEnabled, Verdict
from goldentooth.services.kubeadm import healthz_command, judge_healthz

HAPROXY = Judge("haproxy", ("haproxy", "-c", "-q", "-f", "{file}"), package="haproxy")
"""HAProxy's own check; `-q` keeps warnings, drops the word that all is well."""


HAPROXY_CFG = "/etc/haproxy/haproxy.cfg"
_SOCKET = "/run/haproxy/admin.sock"
_PACKAGE = Package("haproxy", "/usr/sbin/haproxy", "the API's load balancer", tmpfiles=("haproxy",))


class Haproxy:
    """The API's load balancer."""

    name = "haproxy"
    title = "HAProxy: the API's endpoint"

    def hosts(self, network: Network) -> tuple[Node, ...]:
        """Return the load balancers."""
        return network.load_balancers

    def needs(self, network: Network, node: Node) -> Needs:  # noqa: ARG002  # the interface
        """Return HAProxy, and what its checks use."""
        return Needs((_PACKAGE, CURL))

    def drafts(self, network: Network, node: Node) -> Iterator[Draft]:
        """Yield haproxy.cfg."""
        yield Draft(
            HAPROXY_CFG,
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

    def activate(self, network: Network, node: Node) -> tuple[Activation, ...]:  # noqa: ARG002  # the interface
        """Return a reload: the old process serves its connections to their end."""
        unit = "haproxy.service"
        return (
            Activation(f"systemctl enable --quiet {unit} && systemctl reload-or-restart {unit}"),
        )

    def disturbs(self, path: str, before: str, after: str) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return nothing: listening sockets are handed over, connections end in their own time."""
        return ()

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

    def observe(self, network: Network, node: Node) -> Iterator[Observation]:  # noqa: ARG002  # the interface
        """Yield whether the file has been loaded, the servers as the process has them, the boot."""
        yield UnitsEnabled(self.name, ("haproxy.service",))
        yield HaproxyLoaded()
        yield HaproxyServers()

    def folders(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return none: HAProxy is told of one file only."""
        return ()


_ASK = (
    "python3 -ISc 'import os, socket, time; s = socket.socket(socket.AF_UNIX); s.settimeout(5);"
    f' s.connect("{_SOCKET}"); s.sendall(b"show servers state;show info\\n");'
    ' told = "".join(iter(lambda: s.recv(65536).decode(), ""));'
    ' process = "/proc/" + told.split("\\nPid: ")[1].split()[0];'
    ' ticks = int(open(process + "/stat").read().rpartition(")")[2].split()[19]);'
    " boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME);"
    f' files = filter(os.path.exists, ["{HAPROXY_CFG}"]);'
    " changed = max((os.stat(path).st_ctime for path in files), default=0);"
    ' print(told + "Process_started:", boot + ticks / os.sysconf("SC_CLK_TCK"));'
    ' print("File_changed:", changed)\''
)
"""The servers' state and what the process says of itself, with a blank line after each (management
guide); then when it started, from proc(5), and when its file last changed.

By the time of the inode's change: the file's own time goes along with `mv`, `cp -p` and `rsync`.
Seconds since 1970, both.
"""
_SERVER_LINE = re.compile(r"^\s+server\s+(\S+)\s+([\d.]+):(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class HaproxyLoaded(Observation):
    """Whether the process that serves has read the file that is there."""

    subject = "HAProxy's process"

    def reads(self) -> tuple[str, ...]:
        """What the process says of itself on its socket."""
        return (_ASK,)

    def compare(self, seen: Seen) -> Difference | None:
        """Compare the time of its start with that of the file's last change."""
        if _is_silent(seen.outputs[_ASK]):
            return Difference(Verdict.DRIFT, "nobody answers at its socket")
        info = dict(line.split(": ", 1) for line in _told(seen)[1].splitlines() if ": " in line)
        late = float(info["File_changed"]) - float(info["Process_started"])
        if late <= 0:
            return None
        return Difference(
            Verdict.NOT_LOADED, f"it started {late:.2f} s before the file was written: reload it"
        )


@dataclass(frozen=True)
class HaproxyServers(Observation):
    """The servers as the process has them: its socket can change them without the file."""

    subject = "HAProxy's servers"

    def reads(self) -> tuple[str, ...]:
        """The servers' state, from the process's socket."""
        return (_ASK,)

    def compare(self, seen: Seen) -> Difference | None:
        """Compare names, addresses, weights and administrative states."""
        if HAPROXY_CFG not in seen.expected or _is_silent(seen.outputs[_ASK]):
            return None
        wanted = tuple(
            f"{name} {address}:{port} ready"
            for name, address, port in sorted(_SERVER_LINE.findall(seen.expected[HAPROXY_CFG]))
        )
        told = _told(seen)[0].splitlines()
        _, columns, *rows = (line.removeprefix("# ").split() for line in told)
        servers = (dict(zip(columns, row, strict=False)) for row in rows)
        runs = tuple(sorted(map(_server, servers)))
        if wanted == runs:
            return None
        return Difference(Verdict.DRIFT, "changed through its socket", wanted, runs)


def _told(seen: Seen) -> tuple[str, str]:
    """Return the servers' state, and what the process says of itself.

    Raises:
        UnreadableError: if it says neither.
    """
    output = seen.outputs[_ASK]
    if output.status:
        raise UnreadableError(f"{_SOCKET} does not answer: {output.complaint}")
    servers, _, info = succeeded(seen.outputs, _ASK).text.partition("\n\n")
    return servers, info


def _is_silent(output: Output) -> bool:
    """Tell whether no process listens at the socket."""
    told = output.stderr
    return b"ConnectionRefusedError" in told or b"FileNotFoundError" in told


def _server(state: Mapping[str, str]) -> str:
    """Return a server in a line; administrative state 0 is as the file has it."""
    words = [state["srv_name"], f"{state['srv_addr']}:{state['srv_port']}"]
    if state["srv_uweight"] != state["srv_iweight"]:
        words.append(f"weight {state['srv_uweight']}")
    admin = int(state["srv_admin_state"])
    # 0x01 forced maintenance, 0x08 forced drain: what a person sets on the socket
    forced = "maintenance" if admin & 0x01 else "drain" if admin & 0x08 else "ready"
    return " ".join((*words, forced))


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
    quorum = Fraction(2, 3)
    column = "backend"
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
