"""Exec over SSH with asyncssh: all reads of a host in one exec, byte for byte.

Registered with Nornir as connection ``goldentooth_ssh``. Host keys are always checked, against
the user's known_hosts; ``~/.ssh/config``, the agent and jump hosts work as with ssh(1).
One event loop in one thread serves all of Nornir's worker threads.
"""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import Coroutine, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from functools import cache
from threading import Lock, Thread
from typing import Any, TypeVar

import asyncssh
from nornir.core.configuration import Config

from goldentooth.errors import (
    AuthenticationError,
    HostKeyError,
    TooSlowError,
    TransportError,
    UnreachableError,
)
from goldentooth.transports.batch import EVERY_LIMIT
from goldentooth.transports.bounds import take_bounds
from goldentooth.transports.program import Answer, Call, ProgramTransport

T = TypeVar("T")

_KEEPALIVES = 3
"""Keepalives that may stay unanswered until a host is taken for dead."""


_END_SECONDS = 2.0


_MOST_HOPS = 8
"""Hosts on the way to a host that are looked at; ssh(1) has no such end, and loops."""


class SshConnection:
    """Nornir connection plugin: ``host.get_connection("goldentooth_ssh", config)``.

    Connection options (``extras``): the bounds (:class:`~goldentooth.transports.bounds.Bounds`),
    where a host needs others than config.yaml has, and whatever :func:`asyncssh.connect`
    takes (``known_hosts=None`` is refused).
    """

    def open(  # noqa: PLR0917  # Nornir's interface
        self,
        hostname: str | None,
        username: str | None,
        password: str | None,
        port: int | None,
        platform: str | None,  # noqa: ARG002  # Nornir's interface
        extras: dict[str, Any] | None = None,
        configuration: Config | None = None,
    ) -> None:
        """Connect.

        Raises:
            TransportError: the kind says whether the host, its key or the user is the matter.
            UsageError: if the bounds are not bounds.
        """
        options = dict(extras or {})
        bounds = take_bounds(options, configuration)
        if "options" in options:
            raise HostKeyError("options made elsewhere could leave host keys unchecked")
        given = {"username": username, "password": password, "port": port}
        options.update({key: value for key, value in given.items() if value is not None})
        interval = bounds.silence_seconds / (_KEEPALIVES + 1)
        options.setdefault("keepalive_interval", interval)
        options.setdefault("keepalive_count_max", _KEEPALIVES)
        connecting = _connect(hostname or "", bounds.connect_seconds, options)
        client = _wait(connecting, bounds.connect_seconds + 1)
        self.connection = ProgramTransport(
            lambda call: _wait(_exec(client, call), call.seconds + 5),
            client.get_extra_info("username"),
            bounds,
            lambda: _loop().call_soon_threadsafe(client.abort),
        )

    def close(self) -> None:
        """Hang up."""
        self.connection.close()


class _Listener(asyncssh.SSHClientSession[bytes]):
    """Keeps what a channel carries, until what was waited for has come or all has ended."""

    def __init__(self, end: bytes) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.ended = asyncio.get_running_loop().create_future()
        self._end = end

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Keep ``data``."""
        kept = self.stderr if datatype else self.stdout
        kept += data
        if len(kept) > EVERY_LIMIT:
            self._finish(TransportError(f"the host sends more than {EVERY_LIMIT >> 20} MiB"))
        elif kept.endswith(self._end):
            self._finish(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that nothing more will come."""
        self._finish(UnreachableError(f"the connection broke: {_reason(exc)}") if exc else None)

    def _finish(self, failure: TransportError | None) -> None:
        if not self.ended.done():
            self.ended.set_result(failure)


async def _exec(client: asyncssh.SSHClientConnection, call: Call) -> Answer:
    listener = _Listener(call.end)
    failure: TransportError | None
    channel = None
    try:
        async with asyncio.timeout(call.seconds):
            channel, _ = await client.create_session(lambda: listener, call.line, encoding=None)
            channel.write(call.stdin)
            channel.write_eof()
            failure = await listener.ended
    except TimeoutError:
        failure = TooSlowError(f"no end within {call.seconds:g} s")
    except (asyncssh.Error, OSError) as error:
        failure = UnreachableError(f"the connection broke: {_reason(error)}")
    finally:
        if channel:
            channel.close()
    return Answer(bytes(listener.stdout), bytes(listener.stderr), failure)


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
    except ValueError as error:  # of a line in known_hosts
        raise TransportError(f"known_hosts or an option cannot be read: {error}") from error
    except TimeoutError as error:
        raise UnreachableError(f"no answer within {seconds:g} s") from error
    except (asyncssh.Error, OSError) as error:
        raise UnreachableError(_reason(error)) from error


async def _refuse_unchecked_keys(hostname: str, options: Mapping[str, Any], hops: int = 0) -> None:
    """Refuse what leaves host keys unchecked: ``known_hosts`` None, however that came about.

    ``UserKnownHostsFile none`` in ``~/.ssh/config`` has that effect in asyncssh, for the host or
    for one that is on the way to it (ProxyJump).
    """
    # the file is read by asyncssh.connect unless it is told otherwise, by construct only if told
    read = {"config": (), **options, **_NO_KEYS}
    effective = await asyncssh.SSHClientConnectionOptions.construct(host=hostname, **read)
    if effective.known_hosts is None:
        raise HostKeyError(
            f"the host key of {hostname} would not be checked (known_hosts: None, or"
            " `UserKnownHostsFile none` in the SSH configuration): name a known_hosts file"
        )
    if isinstance(effective.tunnel, str) and hops < _MOST_HOPS:
        for hop in effective.tunnel.split(","):
            host = hop.rpartition("@")[2].rpartition(":")[0] or hop.rpartition("@")[2]
            await _refuse_unchecked_keys(host, {"config": read["config"]}, hops + 1)


_NO_KEYS = {"client_keys": None, "client_certs": (), "agent_path": None}
"""Options without the user's keys: to read those takes longer than to read the configuration."""


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
        raise TooSlowError(f"no end within {seconds:g} s") from None


_loop_lock = Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """Return the one event loop, which runs in a thread of its own until the program ends."""
    with _loop_lock:  # a cache alone lets two threads make one each
        return _start_loop()


@cache
def _start_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="goldentooth-ssh", daemon=True)
    thread.start()
    atexit.register(_end_loop, loop, thread)
    return loop


def _end_loop(loop: asyncio.AbstractEventLoop, thread: Thread) -> None:
    """End the loop before the interpreter ends: a thread that outlives it may crash."""
    loop.call_soon_threadsafe(loop.stop)
    thread.join(_END_SECONDS)
