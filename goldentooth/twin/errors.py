"""What can go wrong with a twin, each with what a person should do next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from goldentooth.errors import GoldentoothError


class TwinError(GoldentoothError):
    """The twin cannot do what was asked; ``remedy`` is what a person should do next."""

    def __init__(self, message: str, remedy: str = "") -> None:
        self.message = message
        self.remedy = remedy
        super().__init__(f"{message}\n    {remedy}" if remedy else message)


class NoSuchTwinError(TwinError):
    """There is no twin of that name."""


class MachineError(TwinError):
    """This machine lacks something that the twin needs; all that is missing is named."""


@dataclass(frozen=True)
class Shortfall:
    """One thing that should be so and is not.

    ``subject`` is named as a check is (``bgp.session[fenn]``), ``seen`` is what there is
    instead, ``log`` the last lines of ``unit`` on ``node`` (the host itself if None).
    """

    host: str
    subject: str
    seen: str
    unit: str | None = None
    node: str | None = None
    log: str = ""

    def __str__(self) -> str:
        lines = "".join(f"\n    {line}" for line in self.log.splitlines())
        return f"{self.host}: {self.subject}: {self.seen}{lines}"


class NotVerifiedError(TwinError):
    """The twin is up, but not all of it is as it should be; ``shortfalls`` says what."""

    def __init__(self, name: str, shortfalls: Iterable[Shortfall]) -> None:
        self.shortfalls = tuple(shortfalls)
        listed = "\n".join(map(str, self.shortfalls))
        super().__init__(
            f"twin {name}: {len(self.shortfalls)} of what should be up is not:\n{listed}",
            "it is left as it is, to look at; take it down when done",
        )
