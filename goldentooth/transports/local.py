"""The machine itself: for the host that the operator, a container or a cron job runs on.

Registered with Nornir as connection ``goldentooth_local``. The same program as over SSH, the
same rules: root's commands are run as they are, another user's go through sudo and root's list.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from typing import Any

from nornir.core.configuration import Config

from goldentooth.errors import TooSlowError, TransportError, UsageError
from goldentooth.transports.bounds import take_bounds
from goldentooth.transports.program import Answer, Call, ProgramTransport


class LocalConnection:
    """Nornir connection plugin: ``host.get_connection("goldentooth_local", config)``.

    Connection options (``extras``): the bounds (:class:`~goldentooth.transports.bounds.Bounds`).
    """

    def open(  # noqa: PLR0917  # Nornir's interface
        self,
        hostname: str | None,  # noqa: ARG002  # Nornir's interface
        username: str | None,
        password: str | None,  # noqa: ARG002  # Nornir's interface
        port: int | None,  # noqa: ARG002  # Nornir's interface
        platform: str | None,  # noqa: ARG002  # Nornir's interface
        extras: dict[str, Any] | None = None,
        configuration: Config | None = None,
    ) -> None:
        """Look who one is; there is nothing to connect to.

        Raises:
            UsageError: if the host is to be another user's, or an option is not known.
        """
        options = dict(extras or {})
        bounds = take_bounds(options, configuration)
        if options:
            raise UsageError(f"goldentooth_local takes no option {min(options)!r}")
        user = pwd.getpwuid(os.geteuid()).pw_name
        if username not in {None, user}:
            raise UsageError(
                f"goldentooth_local runs as {user}, and the host's username is {username}:"
                f" run as {username}, or leave the username away"
            )
        self.connection = ProgramTransport(_call, user, bounds)

    def close(self) -> None:
        """Do nothing: every call has ended."""


def _call(call: Call) -> Answer:
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", call.line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the operator's program alone
        )
    except OSError as error:
        return Answer(b"", b"", TransportError(f"/bin/sh cannot be run: {error.strerror}"))
    try:
        return Answer(*process.communicate(call.stdin, call.seconds))
    except subprocess.TimeoutExpired as late:
        # nobody listens any more: the program finds that out, and each command has its own end
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()
        failure = TooSlowError(f"no end within {call.seconds:g} s")
        return Answer(late.output or b"", late.stderr or b"", failure)
