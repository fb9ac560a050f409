"""Ask one host what it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nornir.core.task import Result, Task

from goldentooth.check import UnreadableError
from goldentooth.discovery import mismatches, read_appliance, read_host
from goldentooth.errors import TransportError
from goldentooth.model import Network
from goldentooth.report.discovery import HostDiscovery
from tasks.connection import transport_of


def discover_host(task: Task, network: Network, commands: Mapping[str, Sequence[str]]) -> Result:
    """Put the commands of ``task.host`` in one go, and hold the answers against its facts.

    Returns:
        A result whose ``result`` is a :class:`~goldentooth.report.discovery.HostDiscovery`.
    """
    node = network.nodes[task.host.name]
    wanted = commands[node.name]
    try:
        transport = transport_of(task)
        outputs = dict(zip(wanted, transport.gather(wanted), strict=True))
        read = read_appliance if node.is_opnsense else read_host
        seen = read(outputs, network.infrastructure.cidr, str(node.address))
    except (TransportError, UnreadableError) as error:
        return Result(host=task.host, result=HostDiscovery(node.name, failure=str(error)))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        failure = f"unexpected answer: {type(error).__name__}: {error}"
        return Result(host=task.host, result=HostDiscovery(node.name, failure=failure))
    found = HostDiscovery(node.name, seen, mismatches(network, node, seen))
    return Result(host=task.host, result=found)
