"""A transport for every way that carries bytes both ways to a program on the host."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from goldentooth.answer import read_answer
from goldentooth.check import Output, UnreadableError
from goldentooth.errors import TransportError, UnreachableError
from goldentooth.transports import Command, File, HostFile
from goldentooth.transports.batch import (
    AS_USER,
    as_root,
    ending,
    explain_silence,
    parse_answer,
    request_bytes,
)
from goldentooth.transports.bounds import Bounds
from goldentooth.transports.files import files_command, parse_files, write_command


@dataclass(frozen=True)
class Call:
    """What to execute on the host, what it reads, and when it has ended.

    ``seconds`` bound all of it; ``end`` is how its standard output ends.
    """

    line: str
    stdin: bytes
    end: bytes
    seconds: float


@dataclass(frozen=True)
class Answer:
    """What a call printed until it ended, or until ``failure`` broke it off."""

    stdout: bytes
    stderr: bytes
    failure: TransportError | None = None


class ProgramTransport:
    """A :class:`~goldentooth.transports.Transport` through the program on the host.

    ``call`` executes on the host, as ``user``; what ends the connection is ``close``.
    """

    def __init__(
        self,
        call: Callable[[Call], Answer],
        user: str,
        bounds: Bounds,
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self._call = call
        self._user = user
        self._bounds = bounds
        self.close = close

    def run(self, commands: Sequence[str | Command]) -> tuple[Output, ...]:
        """Run commands in order; see :class:`~goldentooth.transports.Transport`."""
        outputs, failure = self._exchange(commands, aside=False)
        answered = sum(not output.is_missing for output in outputs)
        if answered < len(outputs):
            reason = f"{failure}; " if failure else ""
            raise UnreachableError(
                f"{reason}the answer broke off after {answered} of {len(outputs)} commands"
            ) from failure
        return outputs

    def gather(self, commands: Sequence[str | Command]) -> tuple[Output, ...]:
        """Run reads side by side; see :class:`~goldentooth.transports.Transport`."""
        outputs, failure = self._exchange(commands, aside=True)
        if outputs and all(output.is_missing for output in outputs):
            raise failure or UnreachableError("the connection broke before anything was answered")
        return outputs

    def read(self, paths: Sequence[str]) -> Mapping[str, HostFile | None]:
        """Read files in one exchange; see :class:`~goldentooth.transports.Transport`."""
        (output,) = self.gather([files_command(paths)])
        try:
            found = parse_files(output)
        except UnreadableError as error:
            raise TransportError(str(error)) from error
        for file in found.values():
            if file.unreadable:
                raise TransportError(f"{file.path} cannot be read: {file.unreadable}")
        absent = (path.rstrip("/") or "/" for path in paths)
        return {**dict.fromkeys(absent), **found}

    def write(self, files: Sequence[File]) -> None:
        """Write files in one exchange; see :class:`~goldentooth.transports.Transport`."""
        for file, output in zip(files, self.run(list(map(write_command, files))), strict=True):
            answer = read_answer(output)
            if not answer.is_done:
                raise TransportError(f"{file.path} cannot be written: {answer.text}")

    def _exchange(
        self, lines: Sequence[str | Command], *, aside: bool
    ) -> tuple[tuple[Output, ...], TransportError | None]:
        """Return the outputs, and what broke the exchange off before its end, if anything did."""
        commands = [Command(line) if isinstance(line, str) else line for line in lines]
        if not commands:
            return (), None
        mark = f"mark-{secrets.token_hex(12)}"
        line, program = as_root(mark, aside=aside) if self._user == "root" else (AS_USER, b"")
        request = request_bytes(commands, mark, aside=aside, seconds=self._bounds.command_seconds)
        # what changes something is not left half done for the bound of a read
        asked = 0 if aside else sum(command.seconds or 0 for command in commands)
        seconds = max(self._bounds.host_seconds, asked)
        answer = self._call(Call(line, program + request, ending(mark), seconds))
        outputs = parse_answer(answer.stdout, len(commands), mark)
        if outputs is None:
            raise answer.failure or explain_silence(
                answer.stdout + b"\n" + answer.stderr, self._user
            )
        return outputs, answer.failure
