"""An interactive CLI, through nornir-netmiko: for what gives a prompt and nothing else.

Registered with Nornir as connection ``goldentooth_cli``. A terminal carries text: blanks at the
ends of lines, control characters and the difference between output and errors are lost on the
way, or may be. So files are neither read nor written, and an output that is not text is refused.
Host keys are checked as ssh(1) does, which Netmiko by itself does not.
"""

from __future__ import annotations

import re
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from time import monotonic
from typing import Any, NoReturn

from nornir.core.configuration import Config

from goldentooth.check import Output
from goldentooth.errors import (
    AuthenticationError,
    HostKeyError,
    InexactError,
    TooSlowError,
    UnreachableError,
    UsageError,
)
from goldentooth.transports import Command, File, HostFile
from goldentooth.transports.batch import LATE, MISSING
from goldentooth.transports.bounds import Bounds, take_bounds

_INSTEAD = "use goldentooth_ssh for this host"
_FIXED = ("ssh_strict", "system_host_keys", "alt_host_keys", "alt_key_file")
_BYTES = "iso-8859-1"
"""Every byte is one character of it, so that Netmiko, which works on text, loses none."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_COMPLAINT = re.compile(r"^%+ ?\S.*$", re.MULTILINE)
"""How a router's CLI says that it will not: FRR's and IOS's ``% Unknown command``."""

_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_SHELLS = ("linux", "linux_ssh")
_INTERRUPT = "\x03"


class CliConnection:
    """Nornir connection plugin: ``host.get_connection("goldentooth_cli", config)``.

    The platform is Netmiko's device type. Connection options (``extras``): the bounds
    (:class:`~goldentooth.transports.bounds.Bounds`), ``known_hosts`` (a file, if it is not the
    user's), and what Netmiko takes, but for what would leave host keys unchecked.
    """

    def open(  # noqa: PLR0917  # Nornir's interface
        self,
        hostname: str | None,
        username: str | None,
        password: str | None,
        port: int | None,
        platform: str | None,
        extras: dict[str, Any] | None = None,
        configuration: Config | None = None,
    ) -> None:
        """Connect, and wait for the prompt.

        Raises:
            TransportError: the kind says whether the host, its key or the user is the matter.
            UsageError: if the bounds are not bounds.
        """
        options = dict(extras or {})
        bounds = take_bounds(options, configuration)
        for name in _FIXED:
            if name in options:
                raise HostKeyError(f"{name} is not to be set: host keys are always checked")
        if (platform or "").endswith(("_telnet", "_serial")):
            raise HostKeyError(f"{platform} has no host keys to check: only SSH is spoken")
        keys = _known_keys(hostname or "", port or 22, options.pop("known_hosts", None))
        with tempfile.NamedTemporaryFile("w", suffix=".known_hosts") as file:
            file.write(keys)
            file.flush()
            settings = {
                **_own_key(password),
                "conn_timeout": bounds.connect_seconds,
                "banner_timeout": bounds.connect_seconds,
                "auth_timeout": bounds.connect_seconds,
                "encoding": _BYTES,
                **options,
                "ssh_strict": True,
                "alt_host_keys": True,
                "alt_key_file": file.name,
            }
            device = platform or "linux"
            self._plugin = _connect(
                (hostname, username, password, port, device), settings, configuration
            )
        self.connection = CliTransport(self._plugin.connection, bounds, device)

    def close(self) -> None:
        """Hang up."""
        self._plugin.close()


class CliTransport:
    """A :class:`~goldentooth.transports.Transport` that carries text only."""

    def __init__(self, device: Any, bounds: Bounds, kind: str) -> None:
        self._device = device
        self._bounds = bounds
        self._is_shell = kind in _SHELLS
        if self._is_shell:  # what Netmiko tidies away would be lost unseen
            device.ansi_escape_codes = False
            device.normalize_linefeeds = str

    def run(self, commands: Sequence[str | Command]) -> tuple[Output, ...]:
        """Run commands in order; see :class:`~goldentooth.transports.Transport`.

        Errors are among the output.
        """
        outputs = self._run_all(commands)
        answered = sum(not output.is_missing for output in outputs)
        if answered < len(outputs):
            raise UnreachableError(
                f"the answer broke off after {answered} of {len(outputs)} commands"
            )
        return outputs

    def gather(self, commands: Sequence[str | Command]) -> tuple[Output, ...]:
        """Run reads, one after the other here; see :class:`~goldentooth.transports.Transport`."""
        outputs = self._run_all(commands)
        if outputs and all(output.is_missing for output in outputs):
            raise UnreachableError("the connection broke before anything was answered")
        return outputs

    def read(self, paths: Sequence[str]) -> Mapping[str, HostFile | None]:  # noqa: ARG002  # the interface
        """Refuse: a terminal does not carry files.

        Raises:
            InexactError: always.
        """
        _refuse_files()

    def write(self, files: Sequence[File]) -> None:  # noqa: ARG002  # the interface
        """Refuse: a terminal does not carry files.

        Raises:
            InexactError: always.
        """
        _refuse_files()

    def _run_all(self, lines: Sequence[str | Command]) -> tuple[Output, ...]:
        commands = [Command(line) if isinstance(line, str) else line for line in lines]
        end = monotonic() + self._bounds.host_seconds
        outputs = []
        for command in commands:
            left = end - monotonic()
            output = self._run(command, left) if left > 0 else None
            if output is None:
                break
            outputs.append(output)
        missing = Output(b"", status=MISSING, is_missing=True)
        return (*outputs, *[missing] * (len(commands) - len(outputs)))

    def _run(self, command: Command, left: float) -> Output | None:
        """Run one command; None if the connection is gone."""
        if command.stdin or command.line.startswith("@"):
            return _refused("a CLI takes no input and knows no verbs")
        if _CONTROL.search(command.line) or "\n" in command.line:
            return _refused("a CLI takes one line of text")
        seconds = min(command.seconds or self._bounds.command_seconds, left)
        send = self._send_to_shell if self._is_shell else self._send
        try:
            return send(command.line, seconds)
        except TooSlowError:
            return Output(b"", status=LATE, is_late=True) if self._is_back() else None
        except (OSError, EOFError):
            return None

    def _send_to_shell(self, line: str, seconds: float) -> Output:
        """Let a shell say where the output begins and ends, and with which status.

        So a prompt is nothing special, nor is an output without an end of line. The marks are
        put together by the shell: its echo of the line does not hold them.
        """
        mark = secrets.token_hex(8)
        halves = f"{mark[:8]} {mark[8:]}"
        text = self._exchange(
            f"printf '%s%s\\n' {halves}; sh -c {quote(line)}; printf '\\n%s%s %d\\n' {halves} $?\n",
            rf"\n{mark} [0-9]+\r?\n",
            seconds,
        )
        body, _, status = text.partition(f"{mark}\n")[2].rpartition(f"\n{mark} ")
        return _output(body, int(status.split()[0]))

    def _send(self, line: str, seconds: float) -> Output:
        """Take what is between the echo and the next prompt for the output."""
        prompt = re.escape(self._device.base_prompt) + r"[^\n]*\Z"
        text = self._exchange(f"{line}\n", prompt, seconds)
        text = text.partition("\n")[2].rpartition("\n")[0]
        complaints = _COMPLAINT.findall(text)
        output = _output(f"{text}\n" if text else "", 1 if complaints else 0)
        return (
            replace(output, stderr="\n".join(complaints).encode(_BYTES)) if complaints else output
        )

    def _exchange(self, sent: str, end: str, seconds: float) -> str:
        from netmiko import ReadTimeout

        try:
            self._device.write_channel(sent.encode().decode(_BYTES))
            read = self._device.read_until_pattern(end, read_timeout=seconds)
        except ReadTimeout as error:
            raise TooSlowError(f"no end within {seconds:g} s") from error
        return str(read).replace("\r\n", "\n")  # the terminal's own doing

    def _is_back(self) -> bool:
        """Interrupt what runs; tell whether there is a prompt again."""
        try:
            self._device.write_channel(_INTERRUPT)
            self._device.read_until_pattern(
                re.escape(self._device.base_prompt), read_timeout=self._bounds.silence_seconds
            )
            self._device.clear_buffer()
        except Exception:  # Netmiko and paramiko raise what they come upon
            return False
        return True


def _output(text: str, status: int) -> Output:
    if odd := _CONTROL.search(text):
        return _refused(f"the output holds byte {ord(odd[0])}, which a terminal does not carry")
    return Output(text.encode(_BYTES), status=status)


def _refused(reason: str) -> Output:
    return Output(b"", f"{reason}: {_INSTEAD}".encode(), status=MISSING, is_refused=True)


def _refuse_files() -> NoReturn:
    raise InexactError(f"an interactive CLI does not carry files to the byte: {_INSTEAD}")


def _known_keys(hostname: str, port: int, known_hosts: str | None) -> str:
    """Return the host's keys, as lines of a known_hosts file that Netmiko understands.

    Netmiko by itself reads past ``@revoked``, and knows no patterns.

    Raises:
        HostKeyError: if none is known, or all that are known are revoked.
    """
    import asyncssh

    path = Path(known_hosts or "~/.ssh/known_hosts").expanduser()
    try:
        matched = asyncssh.match_known_hosts(
            str(path), hostname, hostname, None if port == 22 else port
        )
    except (OSError, ValueError) as error:
        raise HostKeyError(f"{path} cannot be read: {error}; host keys are in it") from error
    trusted, authorities, revoked = matched[:3]
    keys = [key for key in trusted if key not in revoked]
    if not keys:
        certificates = " (host certificates are not understood by Netmiko)" if authorities else ""
        raise HostKeyError(
            f"no key of {hostname} is known in {path}{certificates}; it is not spoken to."
            f" Add its key with ssh-keyscan once you have checked it, or {_INSTEAD}"
        )
    name = hostname if port == 22 else f"[{hostname}]:{port}"
    return "".join(f"{name} {key.export_public_key().decode().strip()}\n" for key in keys)


def _own_key(password: str | None) -> dict[str, Any]:
    """Return what lets the user in without a password: the agent, and the first of his keys."""
    folder = Path("~/.ssh").expanduser()
    keys = [folder / name for name in _KEYS if (folder / name).is_file()]
    if password is not None:
        return {}
    own = {"use_keys": True, "key_file": str(keys[0])} if keys else {}
    return {"allow_agent": True, **own}


def _connect(
    target: tuple[str | None, str | None, str | None, int | None, str],
    settings: dict[str, Any],
    configuration: Config | None,
) -> Any:
    from netmiko.exceptions import NetmikoAuthenticationException, NetmikoBaseException
    from nornir_netmiko.connections.netmiko import Netmiko
    from paramiko.ssh_exception import SSHException

    plugin = Netmiko()
    try:
        plugin.open(*target, extras=settings, configuration=configuration)
    except NetmikoAuthenticationException as error:
        raise AuthenticationError(
            f"the user is refused ({_first_line(error)});"
            " check the key, the agent and the user name"
        ) from error
    except (NetmikoBaseException, SSHException, OSError, EOFError, ValueError) as error:
        said = str(error)
        if re.search("not found in known_hosts|does not match", said):
            raise HostKeyError(
                "the host key is not the known one; it is not spoken to."
                " If the key was changed on purpose, replace it in known_hosts"
            ) from error
        if "device_type" in said:
            raise UsageError(
                f"platform {target[-1]!r} is no device type of Netmiko: set the platform of"
                " connection_options: goldentooth_cli, as in linux or cisco_ios"
            ) from error
        kind = UsageError if isinstance(error, ValueError) else UnreachableError
        raise kind(_first_line(error)) from error
    return plugin


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), "no answer")
