"""Live checks: what to read on a host, and how to judge what was read. Pure.

A check is a small frozen dataclass. Its docstring says what passes and what fails, and is
what the documentation shows; :meth:`Check.reads` are the commands whose output it wants;
:meth:`Check.judge` looks at nothing else.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from fractions import Fraction
from typing import Any, ClassVar

from goldentooth.bounded import MalformedError, load_json
from goldentooth.text import one_line, short_line


@dataclass(frozen=True)
class Output:
    """What one command gave: bytes as they were, and its exit status."""

    stdout: bytes
    stderr: bytes = b""
    status: int = 0
    is_truncated: bool = False
    is_late: bool = False
    """It was ended because its time was over; what it had printed by then is there."""
    is_missing: bool = False
    """The host broke off before it answered this."""
    is_refused: bool = False
    """It may not be run there, or cannot be carried this way; standard error says why."""

    @property
    def text(self) -> str:
        """Standard output as text; what is not UTF-8 is replaced."""
        return self.stdout.decode(errors="replace")

    @property
    def complaint(self) -> str:
        """Why it failed, in one printable line: the last of its standard error, or its status."""
        if self.is_missing:
            return "the host broke off before it answered this"
        if self.is_late:
            return "no end in its time"
        lines = self.stderr.decode(errors="replace").strip().splitlines()
        return short_line(lines[-1]) if lines else f"exit status {self.status}"


class UnreadableError(Exception):
    """A command's output is not what it should be; the message says how."""


class State(Enum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """It could not be told: the host is not reachable or its answer is unreadable."""


@dataclass(frozen=True)
class Outcome:
    """A check's state, with what was seen."""

    state: State
    seen: str


def passed(seen: str) -> Outcome:
    """Return that it is as the facts say."""
    return Outcome(State.PASSED, seen)


def failed(seen: str) -> Outcome:
    """Return that it is not as the facts say."""
    return Outcome(State.FAILED, seen)


def passes(good: object, seen: str) -> Outcome:
    """Return PASSED if ``good``, else FAILED."""
    return passed(seen) if good else failed(seen)


class Check(ABC):
    """One live truth about ``subject``, read on ``host``."""

    kind: ClassVar[str]
    """As in ``bgp.session``; with the subject in brackets it is the check's id."""
    quorum: ClassVar[Fraction | None] = None
    """The share of all checks of this kind that must stay good while hosts are changed."""
    column: ClassVar[str] = ""
    """Its title where hosts are lines, if it tells how the host of that name is."""

    subject: str
    host: str

    @property
    def id(self) -> str:
        """As in ``bgp.session[fenn]``."""
        return f"{self.kind}[{self.subject}]" if self.subject else self.kind

    @property
    @abstractmethod
    def expected(self) -> str:
        """What the facts say, in a few words."""

    @abstractmethod
    def reads(self) -> tuple[str, ...]:
        """Return the commands to run on ``host``; the same command is run once for all checks."""

    @abstractmethod
    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        """Judge ``outputs``, which are keyed by command.

        Raises:
            UnreadableError: if an output cannot be understood.
        """


def parse_json(outputs: Mapping[str, Output], command: str) -> Any:
    """Return the JSON that ``command`` printed.

    Raises:
        UnreadableError: if it failed or printed something else.
    """
    output = succeeded(outputs, command)
    try:
        return load_json(output.stdout)
    except MalformedError as error:
        raise UnreadableError(f"`{command}` did not print JSON that can be read: {error}") from None


def succeeded(outputs: Mapping[str, Output], command: str) -> Output:
    """Return the output of ``command``.

    Raises:
        UnreadableError: if it failed or printed more than is read.
    """
    output = outputs[command]
    if output.status != 0:
        raise UnreadableError(f"`{command}`: {output.complaint}")
    if output.is_truncated:
        raise UnreadableError(f"`{command}` printed too much")
    return output


@dataclass(frozen=True)
class CheckResult:
    """A check and what became of it."""

    check: Check
    service: str
    outcome: Outcome

    def to_dict(self) -> dict[str, str]:
        """Return it as JSON takes it."""
        return {
            "id": self.check.id,
            "kind": self.check.kind,
            "subject": self.check.subject,
            "host": self.check.host,
            "service": self.service,
            "state": self.outcome.state.value,
            "expected": self.check.expected,
            "seen": self.outcome.seen,
        }


def reads_of(checks: Iterable[tuple[str, Check]]) -> tuple[str, ...]:
    """Return the commands that every (service name, check) wants, each once."""
    return tuple(dict.fromkeys(read for _, check in checks for read in check.reads()))


def judge_all(
    checks: Iterable[tuple[str, Check]], outputs: Mapping[str, Output]
) -> tuple[CheckResult, ...]:
    """Judge every (service name, check) on what was read."""
    return tuple(CheckResult(check, service, _judge(check, outputs)) for service, check in checks)


def unknown_all(checks: Iterable[tuple[str, Check]], reason: str) -> tuple[CheckResult, ...]:
    """Return every (service name, check) as unknown, for one reason."""
    outcome = Outcome(State.UNKNOWN, reason)
    return tuple(CheckResult(check, service, outcome) for service, check in checks)


def _judge(check: Check, outputs: Mapping[str, Output]) -> Outcome:
    for read in check.reads():
        output = outputs[read]
        if output.is_late or output.is_missing or output.is_refused:
            return Outcome(State.UNKNOWN, f"`{read}`: {output.complaint}")
    try:
        outcome = check.judge(outputs)
    except UnreadableError as error:
        outcome = Outcome(State.UNKNOWN, str(error))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        outcome = Outcome(State.UNKNOWN, f"unexpected output: {type(error).__name__}: {error}")
    return replace(outcome, seen=one_line(outcome.seen))  # it holds the host's own words
