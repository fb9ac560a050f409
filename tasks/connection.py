"""The way to the host of a task, as long as the run has time for it."""

from __future__ import annotations

from time import monotonic
from typing import cast

from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.task import Task

from goldentooth.errors import TooSlowError
from goldentooth.transports import Transport
from goldentooth.transports.api_access import CONNECTION as API_CONNECTION
from goldentooth.transports.api_access import access_of

CONNECTION = "goldentooth_ssh"
APPLIANCES = {"opnsense"}
"""Platforms that are spoken to through an API, not over SSH."""


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
    host, configuration = task.host, task.nornir.config
    if host.platform not in APPLIANCES:
        return cast("Transport", host.get_connection(CONNECTION, configuration))
    if API_CONNECTION not in host.connections:
        access = access_of(
            host.name, host.hostname or "", host.get("opnsense_api"), host.get("mac")
        )
        stated = host.get_connection_parameters(API_CONNECTION).extras or {}
        host.open_connection(API_CONNECTION, configuration, extras={**access, **stated})
    return cast("Transport", host.connections[API_CONNECTION].connection)
