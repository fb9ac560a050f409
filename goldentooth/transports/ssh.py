"""Exec over SSH with asyncssh: all reads of a host in one exec, byte for byte.

Registered with Nornir as connection ``goldentooth_ssh``. Host keys are always checked, against
the user's known_hosts; ``~/.ssh/config``, the agent and jump hosts work as with ssh(1).
One event loop in one thread serves all of Nornir's worker threads.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import cache
from shlex import quote
from threading import Lock, Thread
from typing import Any, TypeVar

import asyncssh
from nornir.core.configuration import Config

from goldentooth.check import Output
from goldentooth.errors import (
    AuthenticationError,
    HostKeyError,
    TooSlowError,
    TransportError,
    UnreachableError,
)
from goldentooth.transports import File
from goldentooth.transports.batch import SHELL, batch_script, parse_batch, write_command

T = TypeVar("T")

CONNECT_SECONDS = 10.0
COMMAND_SECONDS = 10
HOST_SECONDS = 60.0

_NOT_THERE = 66
"""Exit status of a read for a file that does not exist (EX_NOINPUT of sysexits.h)."""


class SshConnection:
    """Nornir connection plugin: ``host.get_connection("goldentooth_ssh", config)``.

    Connection options (``extras``): ``connect_seconds``, ``command_seconds``, ``host_seconds``,
    and whatever :func:`asyncssh.connect` takes (``known_hosts=None`` is refused).
    """

    def open(  # noqa: PLR0917  # Nornir's interface
        self,
        hostname: str | None,
        username: str | None,
        password: str | None,
        port: int | None,
        platform: str | None,  # noqa: ARG002  # Nornir's interface
        extras: dict[str, Any] | None = None,
        configuration: Config | None = None,  # noqa: ARG002  # Nornir's interface
    ) -> None:
        """Connect.

        Raises:
            TransportError: the kind says whether the host, its key or the user is the matter.
        """
        options = dict(extras or {})
        seconds = float(options.pop("connect_seconds", CONNECT_SECONDS))
        command_seconds = int(options.pop("command_seconds", COMMAND_SECONDS))
        host_seconds = float(options.pop("host_seconds", HOST_SECONDS))
        if "options" in options:
            raise HostKeyError("options made elsewhere could leave host keys unchecked")
        given = {"username": username, "password": password, "port": port}
        options.update({key: value for key, value in given.items() if value is not None})
        connecting = _connect(hostname or "", seconds, options)
        client = _wait(connecting, seconds + 1)
        self.connection = SshTransport(client, command_seconds, host_seconds)

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


class SshTransport:
    """A :class:`~goldentooth.transports.Transport` over one SSH connection."""

    def __init__(
        self, client: asyncssh.SSHClientConnection, command_seconds: int, host_seconds: float
    ) -> None:
        self._client = client
        self._command_seconds = command_seconds
        self._host_seconds = host_seconds

    def run(self, commands: Sequence[str]) -> tuple[Output, ...]:
        """Run shell commands in one exec; see :class:`~goldentooth.transports.Transport`."""
        mark = f"mark-{secrets.token_hex(12)}"
        script = batch_script(commands, mark, seconds=self._command_seconds)
        printed = _wait(self._exec(script.encode()), self._host_seconds + 1)
        return parse_batch(printed, len(commands), mark)

    def read(self, paths: Sequence[str]) -> Mapping[str, bytes | None]:
        """Read files in one exec; see :class:`~goldentooth.transports.Transport`."""
        commands = [
            f"if [ -e {quote(path)} ]; then exec cat -- {quote(path)}; else exit {_NOT_THERE}; fi"
            for path in paths
        ]
        contents: dict[str, bytes | None] = {}
        for path, output in zip(paths, self.run(commands), strict=True):
            if output.status not in (0, _NOT_THERE) or output.is_truncated:
                reason = "it is too large" if output.is_truncated else output.complaint
                raise TransportError(f"{path} cannot be read: {reason}")
            contents[path] = output.stdout if output.status == 0 else None
        return contents

    def write(self, files: Sequence[File]) -> None:
        """Write files in one exec; see :class:`~goldentooth.transports.Transport`."""
        commands = [write_command(f.path, f.content, f.owner, f.mode) for f in files]
        for file, output in zip(files, self.run(commands), strict=True):
            if output.status != 0:
                raise TransportError(f"{file.path} cannot be written: {output.complaint}")

    def close(self) -> None:
        """Hang up."""
        _loop().call_soon_threadsafe(self._client.abort)

    async def _exec(self, script: bytes) -> bytes:
        try:
            done = await self._client.run(
                SHELL, input=script, encoding=None, timeout=self._host_seconds
            )
        except asyncssh.TimeoutError as error:
            raise TooSlowError(f"no end within {self._host_seconds:.0f} s") from error
        except (asyncssh.Error, OSError) as error:
            raise UnreachableError(f"the connection broke: {_reason(error)}") from error
        printed = done.stdout or b""
        return printed if isinstance(printed, bytes) else printed.encode()


async def _connect(
    hostname: str, seconds: float, options: Mapping[str, Any]
) -> asyncssh.SSHClientConnection:
    try:
        async with asyncio.timeout(seconds):
            await _refuse_unchecked_keys(hostname, options)
            return await asyncssh.connect(hostname, **options)
    except asyncssh.HostKeyNotVerifiable as error:
        raise HostKeyError(
            f"the host key is not the known one ({_reason(error)}); it is not spoken to."
            " If the key was changed on purpose, replace it in known_hosts"
        ) from error
    except asyncssh.PermissionDenied as error:
        raise AuthenticationError(
            f"the user is refused ({_reason(error)}); check the key, the agent and the user name"
        ) from error
    except (asyncssh.ConfigParseError, asyncssh.KeyImportError) as error:
        raise TransportError(f"the SSH configuration or key cannot be used: {error}") from error
    except TimeoutError as error:
        raise UnreachableError(f"no answer within {seconds:.0f} s") from error
    except (asyncssh.Error, OSError) as error:
        raise UnreachableError(_reason(error)) from error


async def _refuse_unchecked_keys(hostname: str, options: Mapping[str, Any]) -> None:
    """Refuse what leaves host keys unchecked: ``known_hosts`` None, however that came about.

    ``UserKnownHostsFile none`` in ``~/.ssh/config`` has that effect in asyncssh.
    """
    effective = await asyncssh.SSHClientConnectionOptions.construct(host=hostname, **options)
    if effective.known_hosts is None:
        raise HostKeyError(
            "host keys would not be checked (known_hosts: None, or `UserKnownHostsFile none` in"
            " the SSH configuration): name a known_hosts file"
        )


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
    return " ".join(str(text).split()) or type(error).__name__


def _wait(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Run ``work`` on the shared loop and wait for it, ``seconds`` at the most."""
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result(seconds)
    except FutureTimeoutError:
        future.cancel()
        raise TooSlowError(f"no end within {seconds:.0f} s") from None


_loop_lock = Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """Return the one event loop, which runs in a thread of its own until the program ends."""
    with _loop_lock:  # a cache alone lets two threads make one each
        return _start_loop()


@cache
def _start_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, name="goldentooth-ssh", daemon=True).start()
    return loop
