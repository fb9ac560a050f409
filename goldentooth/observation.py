"""Running state: what a daemon or the kernel does now, held against the files. Pure.

An observation is what a check is, for drift: :meth:`Observation.reads` are commands,
:meth:`Observation.compare` looks at nothing but what they printed and the host's files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from goldentooth.check import Output, UnreadableError
from goldentooth.transports import HostFile

if TYPE_CHECKING:
    from goldentooth.model import Network, Node
    from goldentooth.services import Service


@dataclass(frozen=True)
class Seen:
    """What was read of one host.

    ``expected`` are the texts that should be in force (as last applied; as intended, where there
    is no baseline), ``files`` those that are there, both by path; ``outputs`` by command.
    """

    expected: Mapping[str, str]
    files: Mapping[str, HostFile | None]
    outputs: Mapping[str, Output]


class Verdict(Enum):
    """How a running state can differ."""

    DRIFT = "drift"
    """It is not what the files that were applied say."""
    NOT_LOADED = "not loaded"
    """The file is newer than what runs: it has not been read since it was written."""


@dataclass(frozen=True)
class Difference:
    """A running state that is not as it should be, with both sides as lines of text."""

    verdict: Verdict
    detail: str
    expected: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()


class Observation(ABC):
    """One running state on a host."""

    @property
    @abstractmethod
    def subject(self) -> str:
        """What it is, as a report names it: ``FRR's running configuration``."""

    @abstractmethod
    def reads(self) -> tuple[str, ...]:
        """Return the commands to run; the same command is run once for all observations."""

    @abstractmethod
    def compare(self, seen: Seen) -> Difference | None:
        """Return how it differs, or None if it does not.

        Raises:
            UnreadableError: if an output cannot be understood.
        """

    def notes(self, seen: Seen) -> tuple[str, ...]:  # noqa: ARG002  # the interface
        """Return what is worth to be known beside it, though nothing that is deployed mends it.

        Raises:
            UnreadableError: if an output cannot be understood.
        """
        return ()


@dataclass(frozen=True)
class _Units(Observation):
    """Whether the units of a service are in the one state that is wanted."""

    service: str
    units: tuple[str, ...]
    _wanted: ClassVar[str]
    """The state as systemctl names it; `systemctl is-STATE` asks for it."""
    _when: ClassVar[str] = ""
    _meaning: ClassVar[str] = ""

    @property
    def subject(self) -> str:
        """Whose units."""
        return f"units of {self.service}{self._when}"

    def reads(self) -> tuple[str, ...]:
        """The units' states, a line each (systemctl(1), is-active and is-enabled)."""
        return (f"systemctl is-{self._wanted} {' '.join(self.units)}",)

    def compare(self, seen: Seen) -> Difference | None:
        """Name those that are in another state."""
        (command,) = self.reads()
        states = seen.outputs[command].text.split()
        if len(states) != len(self.units):
            raise UnreadableError(f"`{command}`: {seen.outputs[command].complaint}")
        found = tuple(f"{unit} {state}" for unit, state in zip(self.units, states, strict=True))
        wanted = tuple(f"{unit} {self._wanted}" for unit in self.units)
        if found == wanted:
            return None
        told = ", ".join(line for line in found if not line.endswith(f" {self._wanted}"))
        return Difference(Verdict.DRIFT, f"{told}{self._meaning}", wanted, found)


class UnitsActive(_Units):
    """Whether the units of a service run."""

    _wanted = "active"


class UnitsEnabled(_Units):
    """Whether the units of a service start when the host next boots."""

    _wanted = "enabled"
    _when = " at boot"
    _meaning = ": it does not start at boot"


def observations(
    service: Service, network: Network, node: Node, *, is_deployed: bool
) -> Iterator[Observation]:
    """Yield what is read of a service on a host.

    Its units are ours to judge only if files of it ``is_deployed`` there: on Kubernetes nodes FRR
    is a stand-in of the twin's.
    """
    has_daemon = any(each.kind != "set" for each in service.activate(network, node))
    is_judged = is_deployed and node.platform == "linux" and has_daemon
    if is_judged and (units := service.units(network, node)):
        yield UnitsActive(service.name, units)
    yield from service.observe(network, node)
