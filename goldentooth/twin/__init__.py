"""The twin: the whole network as real Debian hosts on one machine.

    twin = Twin.up(network, Path("build"))
    twin.exec("router", ["vtysh", "-c", "show bgp summary"])
    twin.break_("power", "bettley")
    twin.heal()
    twin.down()

Every host of the inventory boots its own systemd from the rendered artifacts, in namespaces,
at its real address. Nothing of the machine that carries it is touched.
"""

from goldentooth.twin.capture import Capture
from goldentooth.twin.errors import (
    MachineError,
    NoSuchTwinError,
    NotVerifiedError,
    Shortfall,
    TwinError,
)
from goldentooth.twin.expectations import HostState
from goldentooth.twin.faults import FAULTS, Fault
from goldentooth.twin.probe import check_machine
from goldentooth.twin.removal import remove_twin
from goldentooth.twin.state import FaultRecord, StandIn
from goldentooth.twin.twin import HostStatus, Twin, TwinStatus, list_twins, packages_of

__all__ = [
    "FAULTS",
    "Capture",
    "Fault",
    "FaultRecord",
    "HostState",
    "HostStatus",
    "MachineError",
    "NoSuchTwinError",
    "NotVerifiedError",
    "Shortfall",
    "StandIn",
    "Twin",
    "TwinError",
    "TwinStatus",
    "check_machine",
    "list_twins",
    "packages_of",
    "remove_twin",
]
