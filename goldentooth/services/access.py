"""Access: what a user other than root may do on a host, for this project and nothing else.

sudo lets that user run one program, without arguments and without a password. The program reads
a request whole, and does what stands in root's list to the letter: the reads of every live check
and observation there, what makes files live, and the files themselves. Its own files are only read:
who could write the list could do anything, so access is deployed as root.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from goldentooth.activation import Activation
from goldentooth.artifact import Draft, Judge, Scope
from goldentooth.check import Check, Outcome, Output, passes
from goldentooth.discovery import host_commands
from goldentooth.errors import RenderError
from goldentooth.host import ALLOWED, INSTALLED, installed_program, judge_line
from goldentooth.model import Network, Node
from goldentooth.needs import Needs, Package
from goldentooth.observation import Observation, observations
from goldentooth.services import Service, all_services

VISUDO = Judge("visudo", ("visudo", "-c", "-q", "-f", "{file}"), package="sudo")
"""sudo's own check; a file that it refuses would lock every user of sudo out."""

SUDOERS = "/etc/sudoers.d/goldentooth"
_OWN_PATHS = (ALLOWED, SUDOERS, INSTALLED)
_NEEDS = (
    Package("sudo", "/usr/bin/sudo", "access as another user than root"),
    Package("python3", "/usr/bin/python3", "the program that sudo allows"),
)


class Access:
    """The user that reads and deploys, on every host that is reached over SSH."""

    name = "access"
    title = "Access: sudo for one program and one list"

    def hosts(self, network: Network) -> tuple[Node, ...]:
        """Return every Linux host, if the facts name a user."""
        if network.access is None:
            return ()
        return tuple(node for node in network.nodes.values() if node.platform == "linux")

    def needs(self, network: Network, node: Node) -> Needs:  # noqa: ARG002  # the interface
        """Return sudo, what runs the program, and the user."""
        return Needs(_NEEDS, (_user(network),))

    def drafts(self, network: Network, node: Node) -> Iterator[Draft]:
        """Yield the program, its list and what lets the user run it."""
        names = {"user": _user(network), "program": INSTALLED, "allowed": ALLOWED}
        yield Draft(INSTALLED, text=installed_program(), mode=0o755)
        yield Draft(SUDOERS, "access/sudoers.j2", names, mode=0o440, judge=VISUDO)
        lists = {
            "reads": _one_line_each(_reads(network, node)),
            "judges": _one_line_each(_judges(network, node)),
            "activations": _one_line_each(_activations(network, node)),
            "paths": sorted(_paths(network, node)),
            "files": sorted(_files(network, node)),
            "own_paths": _OWN_PATHS,
            "units": _units(network, node),
        }
        yield Draft(ALLOWED, "access/allowed.j2", {**names, **lists})

    def activate(self, network: Network, node: Node) -> tuple[Activation, ...]:  # noqa: ARG002  # the interface
        """Return nothing: sudo and the program read their files every time."""
        return ()

    def disturbs(self, path: str, before: str, after: str) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return nothing: nobody is thrown out."""
        return ()

    def units(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return none: nothing of it runs."""
        return ()

    def checks(self, network: Network, node: Node) -> Iterator[Check]:
        """Yield that sudo really lets the user run the program."""
        yield SudoRule(node.name, node.name, _user(network))

    def observe(self, network: Network, node: Node) -> Iterator[Observation]:  # noqa: ARG002  # the interface
        """Return none: files are all there is."""
        return iter(())

    def folders(self, network: Network, node: Node) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return none: others may use /etc/sudoers.d too."""
        return ()


@dataclass(frozen=True)
class SudoRule(Check):
    """What sudo makes of its files for the user.

    Passes: it would run the program as root.
    Fails: it would not; the user is not there, or another rule takes it back.
    """

    kind = "access.sudo"
    subject: str
    host: str
    user: str

    @property
    def expected(self) -> str:
        """Who may run what."""
        return f"{self.user} may run {INSTALLED}"

    def reads(self) -> tuple[str, ...]:
        """What sudo says to root of the user."""
        return (f"sudo -n -l -U {self.user} {INSTALLED}",)

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Look for the program: sudo prints it if it would run it (sudo(8), -l)."""
        output = outputs[self.reads()[0]]
        may = output.status == 0 and output.text.strip() == INSTALLED
        return passes(may, "it may" if may else f"it may not: {output.complaint}")


def _user(network: Network) -> str:
    assert network.access is not None  # noqa: S101  # it has no hosts otherwise
    return network.access.user


@lru_cache(maxsize=4)
def _placed(network: Network) -> dict[str, tuple[Service, ...]]:
    """Return the services of each host, by its name."""
    placed: dict[str, list[Service]] = {name: [] for name in network.nodes}
    for service in all_services():
        for node in service.hosts(network):
            placed[node.name].append(service)
    return {name: tuple(services) for name, services in placed.items()}


@lru_cache(maxsize=4)
def _checked(network: Network) -> dict[str, list[str]]:
    """Return what live checks read on each host, by its name.

    A check about one host may be read on another, so all are looked at, once a network.
    """
    reads: dict[str, list[str]] = {name: [] for name in network.nodes}
    for name, services in _placed(network).items():
        for service in services:
            with suppress(RenderError):  # an undiscovered host says so itself
                for check in service.checks(network, network.nodes[name]):
                    reads[check.host] += check.reads()
    return reads


def _reads(network: Network, node: Node) -> Iterator[str]:
    """Yield the commands that are read on a host: for live checks, for drift, to discover it."""
    yield from _checked(network)[node.name]
    services = _placed(network)[node.name]
    for service in services:
        is_deployed = bool(_paths_of(service, network, node))
        for observation in observations(service, network, node, is_deployed=is_deployed):
            yield from observation.reads()
    yield from host_commands(network, node, services)


def _activations(network: Network, node: Node) -> Iterator[str]:
    for service in _placed(network)[node.name]:
        if _paths_of(service, network, node):
            yield from (each.command for each in service.activate(network, node))


def _judges(network: Network, node: Node) -> Iterator[str]:
    for service in _placed(network)[node.name]:
        for draft in _drafts_of(service, network, node):
            if draft.judge is not None:
                yield judge_line(draft.path, draft.judge)


def _paths(network: Network, node: Node) -> Iterator[str]:
    for service in _placed(network)[node.name]:
        yield from _paths_of(service, network, node)
        yield from (f"{folder}/" for folder in service.folders(network, node))


def _files(network: Network, node: Node) -> Iterator[str]:
    """Yield path, owner and mode of what is written, as a deployment's plan has them."""
    for service in _placed(network)[node.name]:
        for draft in _drafts_of(service, network, node):
            yield f"{draft.path} {draft.owner} {draft.mode:04o}"


def _units(network: Network, node: Node) -> tuple[str, ...]:
    units = (
        unit
        for service in _placed(network)[node.name]
        if _paths_of(service, network, node)
        for unit in service.units(network, node)
    )
    return tuple(dict.fromkeys(units))


def _paths_of(service: Service, network: Network, node: Node) -> tuple[str, ...]:
    return tuple(draft.path for draft in _drafts_of(service, network, node))


def _drafts_of(service: Service, network: Network, node: Node) -> tuple[Draft, ...]:
    """Return the files of a service on a host; what is there for the twin only is not read."""
    if service is SERVICE:
        return ()
    drafts = service.drafts(network, node)
    return tuple(draft for draft in drafts if draft.scope is Scope.HOST)


def _one_line_each(commands: Iterable[str]) -> list[str]:
    """Return the commands as lines of the list, in order, each once."""
    return [line for line in dict.fromkeys(commands) if "\n" not in line]


SERVICE = Access()
