"""What can go wrong, each with what a person should do next.

Every error that a user may see derives from :class:`GoldentoothError`; the
command line prints ``str(error)`` and never a traceback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from textwrap import indent
from typing import NamedTuple


class Location(NamedTuple):
    """A place in a file; ``line`` and ``column`` count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One mistake in the facts: where it stands, what it is, what would be right.

    >>> str(Problem("fenn: hostname '10.4.0.300' is not an IPv4 address",
    ...             where=Location("hosts.yaml", 41, 14)))
    "hosts.yaml:41:14: fenn: hostname '10.4.0.300' is not an IPv4 address"
    """

    message: str
    where: Location | None = None
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = indent(f"\n{self.remedy}", "    ") if self.remedy else ""
        return f"{place}{self.message}{remedy}"


class GoldentoothError(Exception):
    """The root of all errors that are meant for a person."""


class UsageError(GoldentoothError):
    """The call asks for something that is not there: a host, a format, a file."""


class FactsError(GoldentoothError):
    """The inventory cannot be used; ``problems`` holds every mistake found, in file order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        unknown = Location("", 0, 0)
        self.problems = tuple(sorted(problems, key=lambda p: (p.where or unknown, p.message)))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class RenderError(GoldentoothError):
    """A host's artifacts could not be made from good facts."""


class OutputError(GoldentoothError):
    """Results could not be written; what was there before is unchanged."""


class TransportError(GoldentoothError):
    """A host could not be spoken to; the other hosts are not affected."""


class UnreachableError(TransportError):
    """The host does not answer, or the connection broke."""


class HostKeyError(TransportError):
    """The host shows another key than is known; it is not spoken to."""


class AuthenticationError(TransportError):
    """The host answers, but refuses the user."""


class PrivilegeError(TransportError):
    """The host knows the user, but does not let it do what only root may."""


class InexactError(TransportError):
    """This way to the host cannot carry it to the byte."""


class TooSlowError(TransportError):
    """The host did not finish in the time that it was given."""


class DeploymentError(GoldentoothError):
    """A deployment cannot begin, or not go on; the message says where things stand."""
