"""SSH to one host: shell commands in, their output byte for byte out, all in one exec.

The driver's methods are synchronous, asyncssh is not: one event loop in one thread serves all
connections of the process. Of the SSH libraries for Python it is the one that verifies host
certificates (``@cert-authority`` in known_hosts) and reads ``~/.ssh/config`` and jump hosts.
"""

from __future__ import annotations

import asyncio
import atexit
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock, Thread
from typing import Any, Protocol, TypeVar

import asyncssh
from napalm.base.exceptions import (
    CommandErrorException,
    CommandTimeoutException,
    ConnectAuthError,
    ConnectionClosedException,
    ConnectionException,
    ConnectTimeoutError,
)

T = TypeVar("T")

_PATH = "PATH=$PATH:/usr/local/bin:/usr/local/sbin:/usr/sbin:/sbin LC_ALL=C; export PATH LC_ALL"


@dataclass(frozen=True)
class Output:
    """What one command gave, as text, and its exit status."""

    stdout: str
    stderr: str = ""
    status: int = 0

    @property
    def complaint(self) -> str:
        """Why it failed: all that it said, or its status."""
        said = f"{self.stdout}\n{self.stderr}".split("\n")
        return "\n".join(line for line in said if line.strip()) or f"exit status {self.status}"


class Shell(Protocol):
    """What runs shell commands on the host."""

    def run(self, commands: Sequence[str], *, timeout: float | None = None) -> list[Output]:
        """Run commands one after another; return their outputs in order."""

    def close(self) -> None:
        """Hang up."""


class Ssh:
    """An open connection.

    Arguments:
        hostname: name, address or alias of the SSH configuration.
        username: None leaves it to the SSH configuration.
        password: None leaves it to keys and agent.
        timeout: seconds for connecting unless the options say otherwise, and for each
            :meth:`run` unless it says so.
        options: NAPALM's ``optional_args``; README.md lists those that are used.
    """

    def __init__(
        self,
        hostname: str,
        username: str | None,
        password: str | None,
        timeout: float,
        options: Mapping[str, Any],
    ) -> None:
        self._hostname = hostname
        self._timeout = timeout
        self._shell = "exec sudo -n sh" if options.get("use_sudo") else "exec sh"
        arguments = _arguments(username, password, options)
        seconds = options.get("connect_timeout", timeout)
        self._client = _wait(_connect(hostname, seconds, arguments), seconds + 1)

    @property
    def is_open(self) -> bool:
        """Whether the connection is, as far as is known without asking the host."""
        return not self._client.is_closed()

    def run(self, commands: Sequence[str], *, timeout: float | None = None) -> list[Output]:
        """Run shell commands one after another, in one exec; return their outputs in order.

        Raises:
            ConnectionClosedException: if the connection is gone, or breaks meanwhile.
            CommandTimeoutException: if not all have ended after ``timeout`` seconds.
            CommandErrorException: if the host does not let the user run a shell.
        """
        seconds = timeout or self._timeout
        mark = f"napalm-frr-{secrets.token_hex(16)}"
        stdout, stderr = _wait(self._exec(_script(commands, mark), seconds), seconds + 5)
        outputs = split_outputs(stdout, stderr, mark)
        if len(outputs) != len(commands):
            said = " ".join(f"{stderr} {stdout}".split()) or "no answer"
            raise CommandErrorException(f"{self._hostname}: `{self._shell}`: {said}")
        return outputs

    def close(self) -> None:
        """Hang up; does not wait for the host."""
        _loop().call_soon_threadsafe(self._client.abort)

    async def _exec(self, script: str, seconds: float) -> tuple[str, str]:
        """Give ``script`` to a shell on the host; return what it printed to both streams."""
        try:
            done = await self._client.run(
                self._shell, input=script.encode(), timeout=seconds, encoding=None
            )
        except (asyncssh.TimeoutError, TimeoutError) as error:
            raise CommandTimeoutException(
                f"{self._hostname}: no end within {seconds:g} s"
            ) from error
        except (asyncssh.Error, OSError) as error:
            raise ConnectionClosedException(
                f"{self._hostname}: the connection is gone: {_reason(error)}"
            ) from error
        stdout, stderr = done.stdout or b"", done.stderr or b""
        assert isinstance(stdout, bytes) and isinstance(stderr, bytes)  # noqa: S101, PT018
        return stdout.decode(errors="replace"), stderr.decode(errors="replace")


def _script(commands: Sequence[str], mark: str) -> str:
    """Return a POSIX shell script that ends each command's output with a line of ``mark``.

    What a login shell prints by itself comes before the first mark.
    """
    begin = f"printf '\\n%s\\n' {mark}; printf '\\n%s\\n' {mark} >&2"
    end = f"printf '\\n%s %d\\n' {mark} $?; printf '\\n%s\\n' {mark} >&2"
    # The whole is read before the first command is started: none of them can swallow the rest.
    body = "\n".join(f"(\n{command}\n) </dev/null\n{end}" for command in commands)
    return f"{{\n{_PATH}\n{begin}\n{body}\nexit 0\n}}\n"


def split_outputs(stdout: str, stderr: str, mark: str) -> list[Output]:
    r"""Take the two streams of a script apart again, into one output a command.

    >>> split_outputs("motd\nM\nup\n\nM 0\n\nM 1\n", "\nM\n\nM\nno such file\n\nM\n", "M")
    [Output(stdout='up\n', stderr='', status=0), Output(stdout='', stderr='no such file\n', status=1)]
    """  # noqa: E501
    outputs = []
    errors = stderr.split(f"\n{mark}\n")[1:]
    _, _, rest = f"\n{stdout}".partition(f"\n{mark}\n")
    for error in errors:
        text, found, rest = rest.partition(f"\n{mark} ")
        if not found:
            break
        status, _, rest = rest.partition("\n")
        outputs.append(Output(text, error, int(status)))
    return outputs


def _arguments(
    username: str | None, password: str | None, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what :func:`asyncssh.connect` is told; all else is as ssh(1) has it."""
    given = {
        "username": username,
        "password": password,
        "port": options.get("port"),
        "passphrase": options.get("passphrase"),
    }
    arguments = {key: value for key, value in given.items() if value}
    arguments["keepalive_interval"] = options.get("keepalive", 15)
    if key_file := options.get("key_file"):
        arguments["client_keys"] = [str(Path(key_file).expanduser())]
    if known_hosts := options.get("known_hosts"):
        arguments["known_hosts"] = str(Path(known_hosts).expanduser())
    if config := options.get("ssh_config_file"):  # nornir-napalm names one that may not be there
        path = Path(config).expanduser()
        arguments["config"] = [str(path)] if path.exists() else []
    return arguments


async def _connect(
    hostname: str, seconds: float, arguments: Mapping[str, Any]
) -> asyncssh.SSHClientConnection:
    try:
        async with asyncio.timeout(seconds):
            options = await asyncssh.SSHClientConnectionOptions.construct(
                host=hostname, **arguments
            )
            if options.known_hosts is None:  # `UserKnownHostsFile none` in the configuration
                raise ConnectionException(
                    f"{hostname}: its key would not be checked: name a known_hosts file"
                )
            return await asyncssh.connect(hostname, options=options)
    except asyncssh.HostKeyNotVerifiable as error:
        raise ConnectionException(
            f"{hostname}: the host key is not the known one ({_reason(error)});"
            " if it was changed on purpose, replace it in known_hosts"
        ) from error
    except asyncssh.PermissionDenied as error:
        raise ConnectAuthError(f"{hostname}: the user is refused: {_reason(error)}") from error
    except TimeoutError as error:
        raise ConnectTimeoutError(f"{hostname}: no answer within {seconds:g} s") from error
    except (asyncssh.Error, asyncssh.ConfigParseError, asyncssh.KeyImportError, OSError) as error:
        raise ConnectionException(f"{hostname}: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
    return " ".join(str(text).split()) or type(error).__name__


def _wait(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """Run ``work`` on the loop and wait for it, ``seconds`` at the most."""
    future = asyncio.run_coroutine_threadsafe(work, _loop())
    try:
        return future.result(seconds)
    except FutureTimeoutError:
        future.cancel()
        raise CommandTimeoutException(f"no end within {seconds:g} s") from None


_lock = Lock()


def _loop() -> asyncio.AbstractEventLoop:
    """Return the one event loop, which runs in a thread of its own until the program ends."""
    with _lock:  # a cache alone lets two threads make one each
        return _start_loop()


@cache
def _start_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="napalm-frr", daemon=True)
    thread.start()
    atexit.register(_end_loop, loop, thread)
    return loop


def _end_loop(loop: asyncio.AbstractEventLoop, thread: Thread) -> None:
    """End the loop before the interpreter ends: a thread that outlives it may crash."""
    loop.call_soon_threadsafe(loop.stop)
    thread.join(2)
