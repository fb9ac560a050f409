"""Running state: what a daemon or the kernel does now, held against the files. Pure.

An observation is what a check is, for drift: :meth:`Observation.reads` are commands,
:meth:`Observation.compare` looks at nothing but what they printed and the host's files.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from goldentooth.check import Output
from goldentooth.transports import HostFile


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

    subject: ClassVar[str]
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
