"""BGP sessions on the twin, as its FRR daemons see them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping

from goldentooth.check import Output, UnreadableError
from goldentooth.services.frr import SESSIONS, BgpSession, Session, read_sessions
from goldentooth.twin.errors import TwinError
from goldentooth.twin.expectations import restore_check
from goldentooth.twin.machine import Machine
from goldentooth.twin.state import Record


def sessions_of(machine: Machine) -> dict[str, Session]:
    """Return the BGP sessions of ``machine``, by the neighbor's address; none without bgpd.

    Raises:
        TwinError: if the machine is off or its daemon does not answer.
    """
    done = machine.run(["sh", "-c", SESSIONS], timeout=10)
    try:
        return read_sessions(Output(done.stdout, done.stderr, done.returncode)) or {}
    except UnreadableError as error:
        raise TwinError(f"{machine.name}: {error}") from None


def reset_sessions(record: Record, machines: Mapping[str, Machine], hosts: Iterable[str]) -> None:
    """Reset the sessions of ``hosts`` that one side takes for Established and the other does not.

    A neighbor that comes back is refused for as long as the other side believes in the old
    session: up to the hold time (RFC 4271 §6.8).
    """
    touched = set(hosts)
    for session in _expected(record):
        node = session.subject
        ends = {node, session.host}
        if ends & touched and all(machines[end].is_running for end in ends):
            there = _patiently(machines[session.host]).get(session.neighbor)
            mine = _patiently(machines[node]).values()
            on_router = there is not None and there.is_established
            on_node = bool(mine) and all(each.is_established for each in mine)
            if on_router and not on_node:
                machines[session.host].run(["vtysh", "-c", f"clear bgp {session.neighbor}"])
            if on_node and not on_router:
                machines[node].run(["vtysh", "-c", "clear bgp *"])


def _expected(record: Record) -> list[BgpSession]:
    """Return the sessions that there should be, from the checks that look at them."""
    checks = (restore_check(check) for check in record.checks if check.kind == BgpSession.kind)
    return [check for check in checks if isinstance(check, BgpSession)]


def _patiently(machine: Machine) -> dict[str, Session]:
    """Return the sessions of a host once its daemon answers; none if that does not run."""
    for _ in range(20):
        if machine.run(["systemctl", "is-active", "--quiet", _UNIT]).returncode:
            break
        with contextlib.suppress(TwinError):
            if sessions := sessions_of(machine):
                return sessions
        time.sleep(0.1)
    return {}


_UNIT = "frr.service"
