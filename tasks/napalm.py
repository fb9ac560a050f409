"""Read FRR through NAPALM: nornir-napalm's connection, with the driver `napalm_frr`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nornir.core.task import Result, Task

from goldentooth.check import CheckResult, Output, judge_all, unknown_all
from goldentooth.compliance import SERVICE, Compliance, compliance_checks, is_frr_deployed
from goldentooth.errors import TransportError, UsageError
from goldentooth.fleet import prepared, run_for_all, stop_on_interrupt
from tasks.connection import APPLIANCES, transport_of

if TYPE_CHECKING:
    from nornir.core.processor import Processor

    from goldentooth.project import Project

CONNECTION = "napalm"
"""Connection options of this name (`extras`) are NAPALM's; README.md of napalm_frr lists them."""

_CONNECT_TIMEOUT, _TIMEOUT = 10, 30
"""Seconds to connect, and for one getter, unless the connection options say otherwise."""

Reads = Mapping[str, tuple[str, Mapping[str, Any]]]
"""A getter of NAPALM's and its arguments, by a name for the answer."""


def checks_of(
    project: Project, *, hosts: Sequence[str] = (), groups: Sequence[str] = ()
) -> dict[str, tuple[Compliance, ...]]:
    """Return what NAPALM is to find, by host: where FRR is deployed, or on the selected hosts.

    Raises:
        UsageError: if none of them runs FRR, or a name is not known.
    """
    network, is_selected = project.network, bool(hosts or groups)
    nodes = (network.nodes[name] for name in project.select(hosts, groups).inventory.hosts)
    found = {
        node.name: tuple(compliance_checks(network, node))
        for node in nodes
        if is_selected or is_frr_deployed(network, node)
    }
    found = {name: checks for name, checks in found.items() if checks}
    if not found:
        raise UsageError("--napalm: none of these hosts runs FRR")
    return found


def validate_hosts(
    project: Project,
    checks: Mapping[str, Sequence[Compliance]],
    *,
    workers: int | None = None,
    processors: Iterable[Processor] = (),
) -> tuple[CheckResult, ...]:
    """Let NAPALM validate ``checks``, which are by host, in parallel."""
    outcome = _run(
        project, validate_host, checks, workers=workers, processors=processors, checks=checks
    )
    return tuple(
        result
        for name, results in outcome.items()
        for result in (
            unknown_all(
                ((SERVICE, check) for check in checks[name]),
                f"unexpected {results[0].exception!r}",
            )
            if results.failed
            else results[0].result
        )
    )


def read_hosts(project: Project, reads: Mapping[str, Reads]) -> dict[str, dict[str, Output]]:
    """Ask NAPALM's getters about hosts, in parallel; return the answers by host and name."""
    outcome = _run(project, read_host, reads, reads=reads)
    return {
        name: dict.fromkeys(reads[name], _failure(results[0].exception))
        if results.failed
        else results[0].result
        for name, results in outcome.items()
    }


def _run(
    project: Project,
    task: Callable[..., Result],
    names: Iterable[str],
    *,
    workers: int | None = None,
    processors: Iterable[Processor] = (),
    **arguments: Any,
) -> Any:
    chosen = set(names)
    nornir = project.nornir.filter(filter_func=lambda host: host.name in chosen)
    nornir = prepared(nornir, workers, processors)
    with stop_on_interrupt() as stop:
        outcome = run_for_all(nornir, task, stop, name="napalm", **arguments)
    nornir.close_connections(on_failed=True)
    return outcome


def validate_host(task: Task, checks: Mapping[str, Sequence[Compliance]]) -> Result:
    """Let NAPALM validate what the facts say of ``task.host``, a getter after the other.

    Arguments:
        task: Nornir's.
        checks: by host name.

    Returns:
        A result whose ``result`` is a tuple of :class:`~goldentooth.check.CheckResult`. A getter
        that fails makes its own check unknown; a host that cannot be spoken to, all of them.
    """
    wanted = tuple((SERVICE, check) for check in checks[task.host.name])
    reads: Reads = {
        name: ("compliance_report", {"validation_source": [check.validation]})
        for _, check in wanted
        for name in check.reads()
    }
    return Result(host=task.host, result=judge_all(wanted, _answers(task, reads)))


def read_host(task: Task, reads: Mapping[str, Reads]) -> Result:
    """Ask NAPALM's getters about ``task.host``.

    Arguments:
        task: Nornir's.
        reads: by host name.

    Returns:
        A result whose ``result`` is an :class:`~goldentooth.check.Output` by name: JSON, or why
        there is none.
    """
    return Result(host=task.host, result=_answers(task, reads[task.host.name]))


def _answers(task: Task, reads: Reads) -> dict[str, Output]:
    """Return what the driver's methods give, as JSON; where one fails, why."""
    from napalm.base.exceptions import NapalmException

    def answer(method: str, arguments: Mapping[str, Any]) -> Output:
        try:
            return Output(json.dumps(getattr(driver, method)(**arguments)).encode())
        except NapalmException as error:
            return _failure(error)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            return _failure(f"unexpected answer: {type(error).__name__}: {error}")

    try:
        driver = _driver(task)
    except (NapalmException, TransportError) as error:
        return dict.fromkeys(reads, _failure(error))
    return {name: answer(*read) for name, read in reads.items()}


def _failure(reason: BaseException | str | None) -> Output:
    return Output(b"", " ".join(str(reason).split()).encode(errors="backslashreplace"), 1)


def _driver(task: Task) -> Any:
    """Return the open driver; whatever the host's platform, what is spoken to is FRR.

    An OPNsense router is spoken to through its API.
    """
    host = task.host
    if host.platform in APPLIANCES:
        from goldentooth.transports.napalm_shell import driver_over

        return driver_over(transport_of(task), host.name)
    if CONNECTION not in host.connections:
        extras = host.get_connection_parameters(CONNECTION).extras or {}
        options = {"connect_timeout": _CONNECT_TIMEOUT, **extras.get("optional_args", {})}
        host.open_connection(
            CONNECTION,
            configuration=task.nornir.config,
            platform="frr",
            extras={"timeout": _TIMEOUT, **extras, "optional_args": options},
        )
    return host.connections[CONNECTION].connection
