"""Many commands in one exchange with the program on a host: what is sent, what is answered. Pure.

The program (:mod:`goldentooth.host`) answers each command when it ends, as raw bytes between
lines that begin with a mark that no output holds by chance. So outputs come through to the
byte, a login shell that prints something first does no harm, and of an answer that breaks off
everything is known that had been said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from goldentooth.check import Output
from goldentooth.errors import PrivilegeError, TransportError, UnreachableError, UsageError
from goldentooth.host import INSTALLED, sent_program
from goldentooth.transports import Command

AS_USER = f"exec env LC_ALL=C sudo -n {INSTALLED}"
"""What a user other than root execs."""

OUTPUT_LIMIT = 64 * 1024 * 1024
"""Bytes of standard output that are kept of one command."""

EVERY_LIMIT = 2 * OUTPUT_LIMIT
"""Bytes that a host may answer in one exchange."""

_PROTOCOL = b"1"
LATE, MISSING = 124, 125
"""Exit statuses as timeout(1) has them: its time was over; it was not run."""


def as_root(*, aside: bool = False) -> tuple[str, bytes]:
    """Return what root execs, and the program, which it reads first: for reads if ``aside``."""
    text = sent_program(reads_only=aside).encode()
    return f"exec /bin/sh -c 'program=$(head -c {len(text)}) && eval \"$program\"'", text


def request_bytes(commands: Sequence[Command], mark: str, *, aside: bool, seconds: float) -> bytes:
    """Return what asks for ``commands``, each for ``seconds`` at the most if it says nothing else.

    With ``aside`` they run side by side.

    Raises:
        UsageError: if one cannot be a command.
    """
    way = "gather" if aside else "run"
    parts = [f"{_PROTOCOL.decode()} {mark} {way} {len(commands)}\n".encode()]
    for command in commands:
        if not command.line.strip() or "\0" in command.line:
            raise UsageError(f"{command.line!r} is not a command")
        bound = f"{command.seconds or seconds:g}"
        lines = command.line.count("\n") + 1
        header = f"{bound} {lines} {len(command.stdin)}\n{command.line}\n"
        parts += [header.encode(), command.stdin, b"end\n"]
    return b"".join(parts)


def ending(mark: str) -> bytes:
    """Return how an answer ends that is whole."""
    return f"\n{mark} done\n".encode()


def parse_answer(printed: bytes, count: int, mark: str) -> tuple[Output, ...] | None:
    """Return the outputs of ``count`` commands; None if the program did not begin to answer.

    Those that were not answered are ``is_missing``.

    Raises:
        TransportError: if the program says that it cannot work there.
    """
    _, *said = (b"\n" + printed).split(f"\n{mark} ".encode())
    if not said:
        return None
    if said[0].split()[:2] != [b"start", _PROTOCOL]:
        raise PrivilegeError(
            f"{INSTALLED} on the host is of another version: deploy the access service to it"
        )
    outputs = [Output(b"", status=MISSING, is_missing=True)] * count
    stdout = stderr = b""
    for part in said[1:]:
        header, _, body = part.partition(b"\n")
        match header.split():
            case [b"out", _]:
                stdout = body
            case [b"err", _]:
                stderr = body
            case [b"end", index, status, *ending]:
                outputs[int(index)] = _output(stdout, stderr, int(status), ending)
                stdout = stderr = b""
            case [b"broken", *reason]:
                raise TransportError(b" ".join(reason).decode(errors="replace"))
    return tuple(outputs)


def _output(stdout: bytes, stderr: bytes, status: int, ending: Sequence[bytes]) -> Output:
    is_late = b"late" in ending
    return Output(
        stdout[:OUTPUT_LIMIT],
        stderr,
        LATE if is_late else status,
        is_truncated=len(stdout) > OUTPUT_LIMIT,
        is_late=is_late,
        is_refused=b"refused" in ending,
    )


def explain_silence(said: bytes, user: str) -> TransportError:
    """Return what it means that the program did not begin, from what was said instead."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines()]
    lines = [line for line in lines if line]
    complaint = lines[-1] if lines else "nothing was said"
    told = "\n".join(lines)
    if f"{INSTALLED}: command not found" in told:
        return PrivilegeError(
            f"{INSTALLED} is not on the host: deploy the access service as root first"
        )
    if re.search("sudo: not found|sudo: command not found|.sudo.: No such file", told):
        return PrivilegeError(
            f"there is no sudo on the host, and {user} is not root:"
            " install sudo, or connect as root"
        )
    if re.search("password is required|terminal is required|not in the sudoers", told):
        return PrivilegeError(
            f"sudo refuses {user} ({complaint}): deploy the access service as root first,"
            " with `access: {user: …}` in the facts naming this user"
        )
    if re.search("is not allowed to |may not run sudo", told):
        return PrivilegeError(
            f"sudo does not let {user} run {INSTALLED}: deploy the access service as root first"
        )
    return UnreachableError(f"the host's login shell does not run commands: {complaint}")
