"""A transport as the shell of NAPALM's driver for FRR: where a host is not spoken to over SSH."""

from __future__ import annotations

from collections.abc import Sequence

from napalm.base.exceptions import CommandErrorException, ConnectionException

from goldentooth import check
from goldentooth.errors import TransportError
from goldentooth.transports import Transport
from napalm_frr.frr import FRRDriver
from napalm_frr.ssh import Output


class TransportShell:
    """The driver's commands, answered by a transport."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def run(self, commands: Sequence[str], *, timeout: float | None = None) -> list[Output]:  # noqa: ARG002  # the transport has its own bounds
        """Run commands.

        Raises:
            ConnectionException: if the host cannot be spoken to.
            CommandErrorException: if it does not answer one, with the reason.
        """
        try:
            return [_output(each) for each in self._transport.gather(commands)]
        except TransportError as error:
            raise ConnectionException(str(error)) from error

    def close(self) -> None:
        """Leave the transport to whoever has opened it."""


def driver_over(transport: Transport, hostname: str) -> FRRDriver:
    """Return NAPALM's driver, speaking through an open transport."""
    driver = FRRDriver(hostname, "", "")
    driver.device = TransportShell(transport)
    return driver


def _output(output: check.Output) -> Output:
    if output.is_refused or output.is_late or output.is_missing:
        raise CommandErrorException(output.complaint)
    return Output(output.text, output.stderr.decode(errors="replace"), output.status)
