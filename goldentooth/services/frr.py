"""FRR: the router's side of every BGP session, and the twin's stand-in for the other side.

In production MetalLB's own speaker runs on the Kubernetes nodes; only on the twin does an
FRR of the host stand for it, so those files are in ``build/_twin/`` and never deployed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from ipaddress import IPv4Network
from typing import Any

from goldentooth.activation import Activation
from goldentooth.artifact import Draft, Judge, Scope
from goldentooth.check import (
    Check,
    Outcome,
    Output,
    UnreadableError,
    failed,
    parse_json,
    passed,
    passes,
    succeeded,
)
from goldentooth.model import Network, Node
from goldentooth.needs import Needs, Package
from goldentooth.observation import Difference, Observation, Seen, UnitsEnabled, Verdict

VTYSH = Judge("vtysh", ("vtysh", "-C", "-f", "{file}"), package="frr")
"""FRR's own syntax check; exit status 2 on an unknown command."""

FRR_CONF = "/etc/frr/frr.conf"
FRR_DAEMONS = "/etc/frr/daemons"
_NEEDS = Needs(
    (
        Package("frr", "/usr/lib/frr/bgpd", "BGP", tmpfiles=("frr",)),
        Package("frr-pythontools", "/usr/lib/frr/frr-reload.py", "reloading FRR"),
        Package("iputils-ping", "/usr/bin/ping", "the live checks of next hops"),
    )
)
_OWNER = "frr:frr"
_MODE = 0o640


class Frr:
    """BGP between the router and the Kubernetes nodes."""

    name = "frr"
    title = "FRR: BGP on the router (and the twin's speakers)"

    def hosts(self, network: Network) -> tuple[Node, ...]:
        """Return the router and its neighbors."""
        return (network.router, *network.bgp_neighbors)

    def needs(self, network: Network, node: Node) -> Needs:  # noqa: ARG002  # the interface
        """Return FRR, and what its checks use."""
        return _NEEDS

    def drafts(self, network: Network, node: Node) -> Iterator[Draft]:
        """Yield frr.conf and daemons; a neighbor's and an OPNsense router's are not deployed.

        The latter is there to be read and judged: os-frr writes the box's own from its models.
        """
        is_deployed = node.is_router and not node.is_opnsense
        scope = Scope.HOST if is_deployed else Scope.TWIN
        template = "frr/router.conf.j2" if node.is_router else "frr/speaker.conf.j2"
        context = _router(network) if node.is_router else _speaker(network, node)
        yield Draft(
            FRR_CONF,
            template,
            context,
            owner=_OWNER,
            mode=_MODE,
            scope=scope,
            judge=VTYSH,
            format="frr",
        )
        daemons = {"bfd": network.bgp.bfd}
        yield Draft(FRR_DAEMONS, "frr/daemons.j2", daemons, owner=_OWNER, mode=_MODE, scope=scope)

    def activate(self, network: Network, node: Node) -> tuple[Activation, ...]:  # noqa: ARG002  # the interface
        """Return a restart for another set of daemons, else frr-reload.

        frr-reload tells the daemons the difference only: sessions whose lines do not change stay
        Established.
        """
        unit = "frr.service"
        return (
            Activation(
                f"systemctl enable --quiet {unit} && systemctl restart {unit}",
                (FRR_DAEMONS,),
                kind="restart",
            ),
            Activation(
                f"systemctl is-active --quiet {unit} || systemctl start {unit};"
                f" /usr/lib/frr/frr-reload.py --reload {FRR_CONF}",
                (FRR_CONF,),
            ),
        )

    def disturbs(self, path: str, before: str, after: str) -> tuple[str, ...]:
        """Name the sessions that a change closes, opens or resets."""
        if path == FRR_DAEMONS:
            return ("FRR restarts: every session resets",)
        was, will = _sessions(before), _sessions(after)
        if was and will and _instance(before) != _instance(after):
            return ("every session resets: another AS or router id",)
        return (
            *(f"session {neighbor} closes" for neighbor in was if neighbor not in will),
            *(f"session {neighbor} opens" for neighbor in will if neighbor not in was),
            *(
                f"session {neighbor} resets"
                for neighbor in was
                if neighbor in will and was[neighbor] != will[neighbor]
            ),
        )

    def units(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return FRR's unit."""
        return ("frr.service",)

    def checks(self, network: Network, node: Node) -> Iterator[Check]:
        """Yield each neighbor's session, and what the router has learned from all of them."""
        router = network.router.name
        if not node.is_router:
            yield BgpSession(node.name, router, str(node.address), network.bgp.cluster_asn)
            yield BgpNextHop(node.name, router, str(node.address))
            if network.bgp.bfd:
                yield BfdSession(node.name, router, str(node.address))
            return
        for address in network.load_balancer.services.values():
            speakers = tuple(str(node.address) for node in network.bgp_neighbors)
            yield BgpRoute(f"{address}/32", router, speakers, network.bgp.maximum_paths)
        if network.accepted_prefixes is not None:
            yield BgpForeign("", router, network.accepted_prefixes)

    def observe(self, network: Network, node: Node) -> Iterator[Observation]:
        """Yield FRR's configuration and sessions, and its start, where its file is deployed."""
        if node.is_router and node.platform == "linux":
            yield UnitsEnabled(self.name, ("frr.service",))
            yield FrrRunning()
            yield FrrSessions(
                tuple((str(each.address), each.name) for each in network.bgp_neighbors)
            )

    def folders(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return none: /etc/frr holds files of FRR's own."""
        return ()


SESSIONS = "vtysh -c 'show bgp ipv4 unicast summary json'"
"""The command that :func:`read_sessions` understands."""
_ROUTES = "vtysh -c 'show ip route bgp json'"
_BFD = "vtysh -c 'show bfd peers json'"


@dataclass(frozen=True)
class Session:
    """One BGP session as a host sees it: state as FRR names it, the neighbor's AS, how long up."""

    state: str
    asn: int
    uptime: str

    @property
    def is_established(self) -> bool:
        """Whether routes are exchanged."""
        return self.state == "Established"


def read_sessions(output: Output) -> dict[str, Session] | None:
    """Return what :data:`SESSIONS` printed, by neighbor address; None if bgpd does not run.

    Raises:
        UnreadableError: if it failed or printed something else.
    """
    if _is_down(output) or b"bgpd is not running" in output.stderr + output.stdout:
        return None
    return sessions_of(parse_json({SESSIONS: output}, SESSIONS).get("peers", {}))


def sessions_of(peers: Mapping[str, Any]) -> dict[str, Session]:
    """Return the sessions, by neighbor address, of the ``peers`` of FRR's summary."""
    return {
        address: Session(peer["state"], peer["remoteAs"], peer["peerUptime"])
        for address, peer in peers.items()
    }


def session_notes(sessions: Mapping[str, Session], names: Mapping[str, str]) -> tuple[str, ...]:
    """Return a line about the sessions that are not Established; none if all are.

    ``names`` are the neighbors' by address. Nothing that is deployed here brings up a session whose
    other side is off; whether it should be up is for the check ``bgp.session`` to judge.
    """
    down = [
        f"{names.get(address, address)} {session.state}"
        for address, session in sessions.items()
        if not session.is_established
    ]
    if not down:
        return ()
    return (f"{len(down)} of {len(sessions)} BGP sessions not Established: {', '.join(down)}",)


@dataclass(frozen=True)
class BgpSession(Check):
    """The router's session with one neighbor.

    Passes: it is Established, with the neighbor's AS number from the facts.
    Fails: it is in any other state, with another AS, or the router does not know the neighbor.
    """

    kind = "bgp.session"
    quorum = Fraction(1, 2)
    column = "session"
    subject: str
    host: str
    neighbor: str
    asn: int

    @property
    def expected(self) -> str:
        """The session's state and AS."""
        return f"Established with {self.neighbor}, AS {self.asn}"

    def reads(self) -> tuple[str, ...]:
        """The router's BGP summary."""
        return (SESSIONS,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Judge the neighbor's line of the summary."""
        sessions = read_sessions(outputs[SESSIONS])
        if sessions is None:
            return failed("bgpd does not run on the router")
        session = sessions.get(self.neighbor)
        if session is None:
            return failed(f"{self.neighbor} is no neighbor of the router")
        up = f", up {session.uptime}" if session.is_established else ""
        good = session.is_established and session.asn == self.asn
        return passes(good, f"{session.state}, AS {session.asn}{up}")


@dataclass(frozen=True)
class BgpNextHop(Check):
    """A node, as the router can reach it right now.

    Passes: it answers a ping from the router.
    Fails: it does not. Its session may stay Established until the hold time ends, and so long
    the router sends it its share of the traffic.
    """

    kind = "bgp.nexthop"
    subject: str
    host: str
    address: str

    @property
    def expected(self) -> str:
        """Who answers."""
        return f"{self.address} answers"

    def reads(self) -> tuple[str, ...]:
        """One ping, which is waited for a second."""
        return (f"ping -n -c 1 -W 1 {self.address}",)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Judge ping's exit status: 1 is no answer, 2 another error (ping(8))."""
        output = outputs[self.reads()[0]]
        if output.status == 1:
            return failed("no answer within 1 s")
        succeeded(outputs, self.reads()[0])
        return passed("it answers")


@dataclass(frozen=True)
class BfdSession(Check):
    """The router's BFD session with one neighbor, where the facts have BFD.

    Passes: it is up.
    Fails: it is in any other state or not there. The BGP session may be Established all the same,
    if the other side does not speak BFD: then its hold time tells, and nothing else.
    """

    kind = "bgp.bfd"
    subject: str
    host: str
    neighbor: str
    expected = "up"

    def reads(self) -> tuple[str, ...]:
        """The router's BFD sessions."""
        return (_BFD,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Judge every session with the neighbor; there is one."""
        output = outputs[_BFD]
        if _is_down(output) or b"bfdd is not running" in output.stdout + output.stderr:
            return failed("bfdd does not run on the router")
        states = [p["status"] for p in parse_json(outputs, _BFD) if p["peer"] == self.neighbor]
        return passes(states == ["up"], ", ".join(states) or "no BFD session")


@dataclass(frozen=True)
class BgpRoute(Check):
    """One load-balancer address in the router's routing table.

    Passes: it is installed with every speaker as a next hop, and nobody else (with at most
    maximum-paths of them).
    Fails: it is not there, a speaker is missing, or somebody else announces it.
    """

    kind = "bgp.route"
    subject: str
    host: str
    speakers: tuple[str, ...]
    maximum_paths: int

    @property
    def expected(self) -> str:
        """The number of next hops."""
        return f"{min(len(self.speakers), self.maximum_paths)} next hops"

    def reads(self) -> tuple[str, ...]:
        """The routes that the router learned by BGP."""
        return (_ROUTES,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Compare the next hops that the kernel forwards to with the speakers."""
        if _is_down(outputs[_ROUTES]):
            return failed("zebra does not run on the router")
        routes = parse_json(outputs, _ROUTES).get(self.subject, [])
        hops = {hop["ip"] for route in routes for hop in route["nexthops"] if hop.get("fib")}
        missing, foreign = set(self.speakers) - hops, hops - set(self.speakers)
        seen = f"{len(hops)} next hops"
        if foreign:
            return failed(f"{seen}; not of speakers: {', '.join(sorted(foreign))}")
        if len(hops) < min(len(self.speakers), self.maximum_paths):
            return failed(f"{seen}; missing: {', '.join(sorted(missing))}")
        return passed(seen)


@dataclass(frozen=True)
class BgpForeign(Check):
    """Routes that the router has learned and should not have.

    Passes: every route learned by BGP is inside what the facts accept.
    Fails: another one is installed, such as a leaked pod network.
    """

    kind = "bgp.foreign"
    subject: str
    host: str
    accepted: tuple[IPv4Network, ...]

    @property
    def expected(self) -> str:
        """The prefixes that routes may be in."""
        return f"only routes in {', '.join(map(str, self.accepted))}"

    def reads(self) -> tuple[str, ...]:
        """The routes that the router learned by BGP."""
        return (_ROUTES,)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Name every route outside."""
        routes = parse_json(outputs, _ROUTES)
        foreign = [
            prefix
            for prefix in routes
            if not any(IPv4Network(prefix).subnet_of(accepted) for accepted in self.accepted)
        ]
        return passes(not foreign, ", ".join(foreign) or f"{len(routes)} routes, all accepted")


@dataclass(frozen=True)
class FrrRunning(Observation):
    """FRR's running configuration, which `vtysh` changes without the file."""

    subject = "FRR's running configuration"

    def reads(self) -> tuple[str, ...]:
        """What every daemon runs with."""
        return ("vtysh -c 'show running-config'",)

    def compare(self, seen: Seen) -> Difference | None:
        """Compare it with frr.conf in the form that FRR gives both."""
        if FRR_CONF not in seen.expected:
            return None
        from goldentooth.compare import canonical  # only drift needs it
        from goldentooth.compare.secrets import mask

        output = seen.outputs[self.reads()[0]]
        if _is_down(output):
            return Difference(Verdict.DRIFT, "no daemon of FRR runs")
        running = succeeded(seen.outputs, self.reads()[0]).text
        if "\nend" not in running:
            raise UnreadableError("the running configuration breaks off before its end")
        configuration = running.partition("Current configuration:\n")[2].rpartition("\nend")[0]
        wanted = seen.expected[FRR_CONF]
        expected = canonical("frr", wanted)
        runs = canonical("frr", mask(wanted, configuration))
        if expected == runs:
            return None
        return Difference(Verdict.DRIFT, "FRR runs with something else", expected, runs)


@dataclass(frozen=True)
class FrrSessions(Observation):
    """The neighbors as bgpd has them, each with its AS and whether somebody has shut it down."""

    subject = "FRR's neighbors"
    names: tuple[tuple[str, str], ...]
    """Address and name of each neighbor of the facts."""

    def reads(self) -> tuple[str, ...]:
        """The BGP summary."""
        return (SESSIONS,)

    def compare(self, seen: Seen) -> Difference | None:
        """Compare with the neighbors of frr.conf. Where no daemon runs, FrrRunning says so."""
        sessions = read_sessions(seen.outputs[SESSIONS])
        if FRR_CONF not in seen.expected or sessions is None:
            return None
        wanted = tuple(
            f"{address} AS {asn}" for address, asn in sorted(_neighbors(seen.expected[FRR_CONF]))
        )
        runs = tuple(
            f"{address} AS {session.asn}{' shut down' if 'Admin' in session.state else ''}"
            for address, session in sorted(sessions.items())
        )
        if wanted == runs:
            return None
        return Difference(Verdict.DRIFT, "bgpd has other neighbors", wanted, runs)

    def notes(self, seen: Seen) -> tuple[str, ...]:
        """Return the sessions that are not up."""
        return session_notes(read_sessions(seen.outputs[SESSIONS]) or {}, dict(self.names))


def _neighbors(configuration: str) -> Iterator[tuple[str, str]]:
    """Yield address and AS of each neighbor, which may have it from its peer group."""
    stated = _NEIGHBOR.findall(configuration)
    systems = {name: value for name, key, value in stated if key == "remote-as"}
    groups = {name: value for name, key, value in stated if key == "peer-group"}
    for name in dict.fromkeys(name for name, _, _ in stated):
        asn = systems.get(name) or systems.get(groups.get(name, ""))
        if asn and name not in groups.values():
            yield name, asn


_NEIGHBOR = re.compile(r"^ *neighbor (\S+) (remote-as|peer-group) (\S+)$", re.MULTILINE)


def _is_down(output: Output) -> bool:
    """Tell whether vtysh has found no daemon to ask."""
    return b"failed to connect to any daemons" in output.stderr + output.stdout


_RESETTING = ("remote-as", "local-as", "password", "ebgp-multihop", "update-source", "peer-group")
"""What FRR resets a session for (bgpd: peer_change_action, BGP_PEER_CHANGE_RESET)."""


def _sessions(configuration: str) -> dict[str, frozenset[str]]:
    """Return each session, by the neighbor's name, with the lines that reset it when they change.

    A neighbor has its peer group's lines too.
    """
    lines: dict[str, set[str]] = {}
    names, groups, members = {}, set(), {}
    for line in configuration.splitlines():
        words = line.split()
        if words[:1] != ["neighbor"] or len(words) < 3:
            continue
        neighbor, key, value = words[1], words[2], words[3:]
        own = lines.setdefault(neighbor, set())
        if key == "description":
            names[neighbor] = " ".join(value)
        elif key == "peer-group" and not value:
            groups.add(neighbor)
        elif key in _RESETTING:
            own.add(" ".join((key, *value)))
            if key == "peer-group":
                members[neighbor] = value[0]
    return {
        names.get(neighbor, neighbor): frozenset(own | lines.get(members.get(neighbor, ""), set()))
        for neighbor, own in lines.items()
        if neighbor not in groups
    }


def _instance(configuration: str) -> tuple[str, ...]:
    lines = (line.strip() for line in configuration.splitlines())
    return tuple(line for line in lines if line.startswith(("router bgp", "bgp router-id")))


def _router(network: Network) -> dict[str, Any]:
    return {
        "bgp": network.bgp,
        "router": network.router,
        "neighbors": network.bgp_neighbors,
        "accepted_prefixes": network.accepted_prefixes,
        "maximum_prefix": network.maximum_prefix,
    }


def _speaker(network: Network, node: Node) -> dict[str, Any]:
    return {
        "bgp": network.bgp,
        "router": network.router,
        "node": node,
        "pool": network.load_balancer.pool.cover,
    }


SERVICE = Frr()
