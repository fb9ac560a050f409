"""The way to the host of a task, as long as the run has time for it."""

from __future__ import annotations

from time import monotonic
from typing import cast

from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.task import Task

from goldentooth.errors import TooSlowError
from goldentooth.transports import Transport
from goldentooth.transports.api_access import CONNECTION as API_CONNECTION

CONNECTION = "goldentooth_ssh"
CONNECTIONS = {"opnsense": API_CONNECTION}
"""What a platform is spoken to by, if not over SSH."""


def load_transport() -> None:
    """Import what connects, which takes longer than to connect."""
    ConnectionPluginRegister.get_plugin(CONNECTION)


def transport_of(task: Task, deadline: float | None = None) -> Transport:
    """Return the open connection to ``task.host``; it is opened if need be.

    Raises:
        TooSlowError: if ``deadline`` has passed, in seconds of :func:`time.monotonic`: the run's
            time was over before this host's turn.
        TransportError: if the host cannot be spoken to.
    """
    if deadline is not None and monotonic() > deadline:
        raise TooSlowError(
            "its turn did not come within the run's time\n"
            "    allow more (user_defined: transport: run_seconds), or more --workers"
        )
    connection = CONNECTIONS.get(task.host.platform or "", CONNECTION)
    return cast("Transport", task.host.get_connection(connection, task.nornir.config))
