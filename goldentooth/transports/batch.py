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
from goldentooth.host import INSTALLED, OLDEST_PYTHON, reading_program, sent_program
from goldentooth.host.process import ENVIRONMENT
from goldentooth.host.request import GATHER, PROTOCOL, RUN, Asked, write_request
from goldentooth.transports import Command

AS_USER = f"exec env LC_ALL=C sudo -n {INSTALLED}"
"""What a user other than root execs."""

OUTPUT_LIMIT = 64 * 1024 * 1024
"""Bytes of standard output that are kept of one command."""

EVERY_LIMIT = 2 * OUTPUT_LIMIT
"""Bytes that a host may answer in one exchange."""

LATE, MISSING = 124, 125
"""Exit statuses as timeout(1) has them: its time was over; it was not run."""

_NUMBER = re.compile(rb"[0-9]{1,6}")
_OLDEST = ".".join(map(str, OLDEST_PYTHON))
_NO_PYTHON = "python3 is not on the host: install it (apt-get install python3)"
_BROKEN = {
    b"no-python": _NO_PYTHON,
    b"old-python": f"the host's python3 is older than {_OLDEST}: install a newer Debian release",
    b"part-python": "the host's python3 lacks a part: install all of it (apt-get install python3)",
    b"no-room": "no folder in memory (/run, /dev/shm) can be written on the host",
    b"full": "the host has no room in memory for the answers: /run or /dev/shm is full",
    b"cut-off": "the request broke off before the host had all of it",
    b"malformed": "the host's program refuses the request as malformed",
    b"internal": "the host's program failed: this is a mistake in it",
}
"""Why there is no more of an answer: the protocol's words."""


def as_root(mark: str, *, aside: bool) -> tuple[str, bytes]:
    """Return what root execs, and the program, which it reads first: for reads if ``aside``.

    Of what changes something the host is told ``mark``, to say that it has no Python for it.
    """
    fixed = " ".join(f"{name}={value}" for name, value in ENVIRONMENT.items())
    if aside:
        text = reading_program().encode()
        run = f'program=$(head -c {len(text)}) && eval "$program"'
        return f"exec env -i {fixed} /bin/sh -c '{run}'", text
    text = sent_program().encode()
    broken = f"{mark} start {PROTOCOL}\\n\\n{mark} broken"
    load = ";".join(
        (
            "import os,sys",
            f'sys.version_info<{OLDEST_PYTHON}and sys.exit(os.write(1,b"{broken} old-python\\n"))',
            "sent=bytearray()",
            f'any(map(sent.extend,iter(lambda:os.read(0,{len(text)}-len(sent)),b"")))',
            'exec(compile(sent,"goldentooth-host","exec"))',
        )
    )
    quoted = load.replace("\\", "\\\\").replace('"', '\\"')
    run = (
        f'command -v python3 >/dev/null || {{ printf "{broken} no-python\\n"; exit 1; }}; '
        f'exec python3 -I -S -c "{quoted}"'
    )
    return f"exec env -i {fixed} /bin/sh -c '{run}'", text


def request_bytes(commands: Sequence[Command], mark: str, *, aside: bool, seconds: float) -> bytes:
    """Return what asks for ``commands``, each for ``seconds`` at the most if it says nothing else.

    With ``aside`` they run side by side.

    Raises:
        UsageError: if one cannot be a command.
    """
    for command in commands:
        if not command.line.strip() or "\0" in command.line:
            raise UsageError(f"{command.line!r} is not a command")
    asked = [Asked(each.seconds or seconds, each.line, each.stdin) for each in commands]
    return write_request(mark, GATHER if aside else RUN, asked)


def ending(mark: str) -> bytes:
    """Return how an answer ends that is whole."""
    return f"\n{mark} done\n".encode()


def parse_answer(printed: bytes, count: int, mark: str) -> tuple[Output, ...] | None:
    """Return the outputs of ``count`` commands; None if the program did not begin to answer.

    Those that were not answered are ``is_missing``.

    Raises:
        TransportError: if the program says that it cannot work there, or what it answers makes
            no sense.
    """
    _, *said = (b"\n" + printed).split(f"\n{mark} ".encode())
    if not said:
        return None
    if said[0].split()[:2] != [b"start", PROTOCOL.encode()]:
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
                at = _number(index, count - 1)
                outputs[at] = _output(stdout, stderr, _number(status, 255), ending)
                stdout = stderr = b""
            case [b"broken", reason]:
                raise TransportError(_BROKEN.get(reason, "the host's program gave up"))
    return tuple(outputs)


def _number(word: bytes, most: int) -> int:
    """Return the number that a host sent.

    Raises:
        TransportError: if it is not one from 0 to ``most``.
    """
    if not _NUMBER.fullmatch(word) or int(word) > most:
        raise TransportError("what the host's program answers makes no sense")
    return int(word)


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
    if re.search(f"unable to execute {re.escape(INSTALLED)}: No such file", told):
        return PrivilegeError(_NO_PYTHON)  # the program is there: what runs it is not
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
