"""What can go wrong on a twin on purpose, and how each is taken back.

A fault is injected on one host and remembered on disk, so any process can heal it. Each is the
real thing as far as a namespace allows; where it is not, its ``caveat`` says so.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from goldentooth.twin import cgroup, mounts, power, probe, segment, state
from goldentooth.twin.errors import MachineError, TwinError
from goldentooth.twin.keys import HostKeys
from goldentooth.twin.machine import Machine
from goldentooth.twin.state import SEGMENT, FaultRecord, Record

Options = Mapping[str, str]
Undo = dict[str, str]

_CLOCK = "/run/goldentooth-twin-clock"
_FAKETIME = "faketime/libfaketimeMT.so.1"


@dataclass(frozen=True)
class Target:
    """Where a fault is injected: a machine, and the twin that it is in.

    ``id`` is the fault's; ``others`` are the faults that are in force there beside it.
    """

    record: Record
    machines: Mapping[str, Machine]
    machine: Machine
    id: int
    others: tuple[FaultRecord, ...] = ()

    @property
    def main_unit(self) -> str:
        """The unit that the host is there for."""
        return self.machine.record.units[0]


class Fault(Protocol):
    """One kind of fault."""

    @property
    def kind(self) -> str:
        """Its name."""

    @property
    def summary(self) -> str:
        """What it does, one line."""

    @property
    def options(self) -> Options:
        """What it can be told, each with a line of help."""

    @property
    def caveat(self) -> str:
        """Where it is not quite the real thing; empty if it is."""

    def inject(self, target: Target, options: Options) -> Undo:
        """Do it and return what :meth:`heal` needs to take it back.

        Raises:
            TwinError: if it cannot be done there; then nothing has been changed.
        """

    def heal(self, target: Target, undo: Undo) -> None:
        """Take it back; a host that has been powered off since is left in peace."""


@dataclass(frozen=True)
class LinkDown:
    """The cable is pulled: the host sees no carrier."""

    kind: str = "link"
    summary: str = "pull the cable of a host"
    options: Options = field(default_factory=lambda: {"interface": "which one; default its first"})
    caveat: str = "a host that boots has all its cables plugged in"

    def inject(self, target: Target, options: Options) -> Undo:
        """Take the port of the segment down."""
        machine = target.machine.record
        wanted = options.get("interface", machine.links[0].name)
        for link in machine.links:
            if link.name == wanted and link.to == SEGMENT:
                port = segment.port(machine, link)
                segment.batch([f"link set {port} down"], state.namespace(target.record.name))
                return {"port": port}
        raise TwinError(f"{machine.name} has no interface {wanted!r} on the segment")

    def heal(self, target: Target, undo: Undo) -> None:
        """Take the port up again."""
        if _is_on(target):
            segment.batch([f"link set {undo['port']} up"], state.namespace(target.record.name))


@dataclass(frozen=True)
class Drop:
    """Packets get lost on their way into or out of the host, not the other way."""

    kind: str = "drop"
    summary: str = "lose packets one way"
    options: Options = field(
        default_factory=lambda: {
            "direction": "in or out; default in",
            "peer": "only those from or to this host or address; default all",
            "percent": "how many of a hundred; default 100",
        }
    )
    caveat: str = "IP only: ARP still gets through"

    def inject(self, target: Target, options: Options) -> Undo:
        """Add an nftables table to the host's namespace."""
        inwards = _one_of(options, "direction", ("in", "out")) == "in"
        percent = _number(options, "percent", 100, range(1, 101))
        table = f"goldentooth-twin-{target.id}"
        hook, device = ("prerouting", "iifname") if inwards else ("postrouting", "oifname")
        match = f'{device} != "lo"'
        if "peer" in options:
            match += f" ip {'saddr' if inwards else 'daddr'} {_address(target, options['peer'])}"
        if percent < 100:
            match += f" numgen random mod 100 < {percent}"
        chain = f"type filter hook {hook} priority -300; {match} counter drop;"
        target.machine.check(["nft", f"table inet {table} {{ chain loss {{ {chain} }}; }}"])
        return {"table": table}

    def heal(self, target: Target, undo: Undo) -> None:
        """Remove that table."""
        if _is_on(target):
            target.machine.run(["nft", "delete", "table", "inet", undo["table"]])


@dataclass(frozen=True)
class Kill:
    """A daemon is killed (SIGKILL): what supervises it on the host may start it again."""

    kind: str = "kill"
    summary: str = "kill a daemon"
    options: Options = field(
        default_factory=lambda: {
            "unit": "of which unit; default the host's first",
            "process": "only processes of this name, as in bgpd; default all of the unit",
        }
    )
    caveat: str = ""

    def inject(self, target: Target, options: Options) -> Undo:
        """Send SIGKILL."""
        return _signal(target, options, signal.SIGKILL)

    def heal(self, target: Target, undo: Undo) -> None:
        """Start the unit if it has not come back by itself."""
        _start(target, undo["unit"])


@dataclass(frozen=True)
class Stop:
    """A unit is stopped in good order, as an operator does."""

    kind: str = "stop"
    summary: str = "stop a unit"
    options: Options = field(
        default_factory=lambda: {"unit": "which one; default the host's first"}
    )
    caveat: str = ""

    def inject(self, target: Target, options: Options) -> Undo:
        """Stop it."""
        unit = options.get("unit", target.main_unit)
        # what hangs is killed by systemd after its own time, 90 s unless the unit says otherwise
        target.machine.check(["systemctl", "stop", unit], timeout=120)
        return {"unit": unit}

    def heal(self, target: Target, undo: Undo) -> None:
        """Start it."""
        _start(target, undo["unit"])


@dataclass(frozen=True)
class Freeze:
    """A daemon hangs: it is there, holds its sockets, and does nothing."""

    kind: str = "freeze"
    summary: str = "let a daemon hang"
    options: Options = field(
        default_factory=lambda: {
            "unit": "of which unit; default the host's first",
            "process": "only processes of this name, as in bgpd; default all of the unit",
        }
    )
    caveat: str = "a watchdog of systemd or of the daemon may end it after its time"

    def inject(self, target: Target, options: Options) -> Undo:
        """Send SIGSTOP."""
        return _signal(target, options, signal.SIGSTOP)

    def heal(self, target: Target, undo: Undo) -> None:
        """Send SIGCONT, and start the unit if it was ended meanwhile."""
        if _is_on(target):
            for pid in _processes(target, undo["unit"], undo["process"]):
                os.kill(pid, signal.SIGCONT)
        _start(target, undo["unit"])


@dataclass(frozen=True)
class PowerOff:
    """The power is cut: processes and links are gone at once, the disk stays as it is."""

    kind: str = "power"
    summary: str = "cut the power of a host"
    options: Options = field(default_factory=dict)
    caveat: str = ""

    def inject(self, target: Target, options: Options) -> Undo:  # noqa: ARG002  # it has none
        """Cut it."""
        power.switch_off(target.machine)
        return {}

    def heal(self, target: Target, undo: Undo) -> None:  # noqa: ARG002  # needs nothing
        """Boot the host."""
        with _past_the_disk(target):
            power.switch_on(target.record, target.machine)


@dataclass(frozen=True)
class DiskFull:
    """There is no space left on the host's disk."""

    kind: str = "disk"
    summary: str = "fill the disk of a host"
    options: Options = field(default_factory=lambda: {"free": "bytes that stay free; default 0"})
    caveat: str = "/run, /tmp and /var/tmp are file systems of their own and stay writable"

    def inject(self, target: Target, options: Options) -> Undo:
        """Shrink it to what is in it."""
        free = _number(options, "free", 0, range(target.record.disk_size))
        undo = {"size": str(_used(target) + free)}
        _set_disk(target, self.kind, undo)
        return undo

    def heal(self, target: Target, undo: Undo) -> None:  # noqa: ARG002  # needs nothing
        """Give it its size back."""
        _set_disk(target)


@dataclass(frozen=True)
class ReadOnly:
    """The host's disk can only be read, as ext4's is after an error."""

    kind: str = "readonly"
    summary: str = "make the disk of a host read-only"
    options: Options = field(default_factory=dict)
    caveat: str = "/run, /tmp and /var/tmp are file systems of their own and stay writable"

    def inject(self, target: Target, options: Options) -> Undo:  # noqa: ARG002  # it has none
        """Remount it."""
        _set_disk(target, self.kind, {})
        return {}

    def heal(self, target: Target, undo: Undo) -> None:  # noqa: ARG002  # needs nothing
        """Remount it writable."""
        _set_disk(target)


@dataclass(frozen=True)
class ClockJump:
    """The clock of the host's daemons, SSH sessions and commands jumps.

    Linux has one wall clock for all namespaces, so libfaketime stands between the programs and
    the kernel: the units are started again under it, at the right time; then the time jumps
    under them while they run, as it does when someone sets a clock. Monotonic time goes on.
    """

    kind: str = "clock"
    summary: str = "let the clock jump"
    options: Options = field(
        default_factory=lambda: {
            "offset": "how far, as in +2h, -30m, +10d, at most ten years; default +1h",
            "units": "of which units, joined by commas; default the host's daemons",
        }
    )
    caveat: str = (
        "the units are restarted once; the journal, timers and programs that ask the kernel"
        " directly (the node exporter and all else in Go) keep the right time"
    )

    def inject(self, target: Target, options: Options) -> Undo:
        """Start the units under libfaketime, then move their time."""
        offset = _offset(options)
        units = options["units"].split(",") if "units" in options else _daemons(target)
        library = _faketime_library()
        machine = target.machine
        clock = machine.path(_CLOCK)
        clock.write_text("+0\n")
        environment = clock_environment(library)
        drop_in = "[Service]\n" + "".join(
            f"Environment={name}={value}\n" for name, value in environment.items()
        )
        for unit in units:
            folder = machine.path(f"/run/systemd/system/{unit}.d")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "goldentooth-twin-clock.conf").write_text(drop_in)
        sessions = " ".join(f"{name}={value}" for name, value in environment.items())
        with _past_the_disk(target):
            machine.path(_SSHD_CLOCK).write_text(f"SetEnv {sessions}\n")
        machine.check(["systemctl", "daemon-reload"])
        _restart(machine, *units)
        clock.write_text(f"{offset}\n")
        return {"units": ",".join(units), "library": library}

    def heal(self, target: Target, undo: Undo) -> None:
        """Start the units on the kernel's clock again."""
        machine = target.machine
        with _past_the_disk(target):
            machine.disk_path(_SSHD_CLOCK).unlink(missing_ok=True)
        if not _is_on(target):
            return
        units = undo["units"].split(",")
        for unit in units:
            folder = machine.path(f"/run/systemd/system/{unit}.d")
            (folder / "goldentooth-twin-clock.conf").unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it is gone, or holds what others put there
                folder.rmdir()
        machine.path(_CLOCK).unlink(missing_ok=True)
        machine.check(["systemctl", "daemon-reload"])
        _restart(machine, *units)


@dataclass(frozen=True)
class HostKey:
    """The host shows an SSH key that nobody knows, as after a reinstall or on an attack."""

    kind: str = "hostkey"
    summary: str = "change the SSH host key"
    options: Options = field(default_factory=dict)
    caveat: str = ""

    def inject(self, target: Target, options: Options) -> Undo:  # noqa: ARG002  # it has none
        """Make a new one in place of the old."""
        path = HostKeys.PATH
        make = f"rm -f {path} {path}.pub && ssh-keygen -q -t ed25519 -N '' -f {path}"
        with _past_the_disk(target):
            target.machine.check(["sh", "-c", make])
        _restart(target.machine, "ssh.service")
        return {}

    def heal(self, target: Target, undo: Undo) -> None:  # noqa: ARG002  # the twin has the key
        """Put the known one back."""
        keys = HostKeys(state.folder(target.record.name) / "keys")
        machine = target.machine
        with _past_the_disk(target):
            machine.disk_path(HostKeys.PATH).write_bytes(keys.private(machine.name))
            machine.disk_path(f"{HostKeys.PATH}.pub").write_text(keys.public(machine.name))
        if _is_on(target):
            _restart(machine, "ssh.service")


@dataclass(frozen=True)
class HandEdit:
    """Someone edited a file on the host."""

    kind: str = "edit"
    summary: str = "edit a file by hand"
    options: Options = field(
        default_factory=lambda: {
            "path": "which file; default the configuration of its interface",
            "append": "a line to add at the end; default a comment",
            "replace": "a text to look for, with",
            "by": "the text that comes in its place",
        }
    )
    caveat: str = "the file changes, what runs does not"

    def inject(self, target: Target, options: Options) -> Undo:
        """Change the file in place."""
        first = target.machine.record.links[0].name
        wished = options.get("path", f"/etc/network/interfaces.d/{first}.cfg")
        path = target.machine.resolve(wished)
        file = target.machine.path(path or "/")
        if path is None or not file.is_file():
            raise TwinError(f"{target.machine.name} has no file {wished}")
        before = file.read_bytes()
        if "replace" in options:
            wanted = options["replace"].encode()
            if wanted not in before:
                raise TwinError(f"{target.machine.name}: {path} does not hold {wanted.decode()!r}")
            after = before.replace(wanted, options.get("by", "").encode())
        else:
            after = before + f"{options.get('append', '# edited by hand')}\n".encode()
        with _past_the_disk(target):
            file.write_bytes(after)
        return {"path": path, "before": base64.b64encode(before).decode()}

    def heal(self, target: Target, undo: Undo) -> None:
        """Write back what was in it."""
        with _past_the_disk(target):
            target.machine.disk_path(undo["path"]).write_bytes(base64.b64decode(undo["before"]))


@dataclass(frozen=True)
class WrongAsn:
    """A node opens its session with an AS number that the router does not expect."""

    kind: str = "asn"
    summary: str = "let a node use a wrong AS number"
    options: Options = field(default_factory=lambda: {"asn": "which one; default 65099"})
    caveat: str = "in the running configuration only; the session is reset"

    def inject(self, target: Target, options: Options) -> Undo:
        """Configure another local AS towards the router."""
        asn = _number(options, "asn", 65099, range(1, 2**32 - 1))
        local, router = _bgp(target)
        line = f"neighbor {router} local-as {asn} no-prepend replace-as"
        _configure(target.machine, f"router bgp {local}", line)
        _vtysh(target.machine, f"clear bgp {router}")
        return {"within": f"router bgp {local}", "line": line}

    def heal(self, target: Target, undo: Undo) -> None:
        """Remove it again; a daemon that was started anew has forgotten it."""
        if _is_on(target) and _holds(target, undo["line"].partition(" no-prepend")[0]):
            _configure(target.machine, undo["within"], f"no {undo['line']}")


@dataclass(frozen=True)
class RouteLeak:
    """A node announces a prefix that is none of the pool, past its own outbound policy."""

    kind: str = "leak"
    summary: str = "let a node announce a pod prefix"
    options: Options = field(
        default_factory=lambda: {"prefix": "which one; default 192.168.66.0/24"}
    )
    caveat: str = "in the running configuration only"

    def inject(self, target: Target, options: Options) -> Undo:
        """Originate the prefix and let everything out."""
        prefix = options.get("prefix", "192.168.66.0/24")
        local, router = _bgp(target)
        running = _vtysh(target.machine, "show running-config")
        policy = re.search(rf"neighbor {router} route-map (\S+) out", running)
        family = (f"router bgp {local}", "address-family ipv4 unicast")
        _configure(
            target.machine,
            f"ip route {prefix} Null0",
            "route-map TWIN-LEAK permit 10",
            "exit",
            *family,
            f"network {prefix}",
            f"neighbor {router} route-map TWIN-LEAK out",
        )
        before = f"neighbor {router} route-map {policy[1]} out" if policy else ""
        return {"prefix": prefix, "local": local, "router": router, "policy": before}

    def heal(self, target: Target, undo: Undo) -> None:
        """Take prefix and policy back; a daemon that was started anew has forgotten them."""
        if not _is_on(target) or not _holds(target, "route-map TWIN-LEAK"):
            return
        leak = f"neighbor {undo['router']} route-map TWIN-LEAK out"
        _configure(
            target.machine,
            f"router bgp {undo['local']}",
            "address-family ipv4 unicast",
            undo["policy"] or f"no {leak}",
            f"no network {undo['prefix']}",
            "exit",
            "exit",
            "no route-map TWIN-LEAK",
            f"no ip route {undo['prefix']} Null0",
        )


@dataclass(frozen=True)
class SlowHost:
    """The host gets only a share of one processor."""

    kind: str = "slow"
    summary: str = "make a host slow"
    options: Options = field(
        default_factory=lambda: {"percent": "of one processor that it gets; default 5"}
    )
    caveat: str = ""

    _PERIOD = 100_000

    def inject(self, target: Target, options: Options) -> Undo:
        """Set a quota in its control group."""
        percent = _number(options, "percent", 5, range(1, 101))
        self._set(target, str(self._PERIOD * percent // 100))
        return {}

    def heal(self, target: Target, undo: Undo) -> None:  # noqa: ARG002  # needs nothing
        """Take the quota off."""
        self._set(target, "")

    def _set(self, target: Target, quota: str) -> None:
        group = cgroup.controlled(target.machine.group, "cpu")
        if group is None:
            raise MachineError(
                "this machine's control groups cannot limit a host's processor time",
                "a kernel with CONFIG_CFS_BANDWIDTH and the cpu controller can",
            )
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text(f"{quota or 'max'} {self._PERIOD}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(self._PERIOD))
            (group / "cpu.cfs_quota_us").write_text(quota or "-1")


FAULTS: Mapping[str, Fault] = {
    fault.kind: fault
    for fault in (
        LinkDown(),
        Drop(),
        Kill(),
        Stop(),
        Freeze(),
        PowerOff(),
        DiskFull(),
        ReadOnly(),
        ClockJump(),
        HostKey(),
        HandEdit(),
        WrongAsn(),
        RouteLeak(),
        SlowHost(),
    )
}
"""All kinds of fault, by name."""


def find_fault(kind: str, options: Options) -> Fault:
    """Return the fault ``kind``.

    Raises:
        TwinError: if there is no such kind, or it does not know one of ``options``.
    """
    if kind not in FAULTS:
        raise TwinError(f"there is no fault {kind!r}", "there are " + ", ".join(FAULTS))
    unknown = sorted(options.keys() - FAULTS[kind].options.keys())
    if unknown:
        known = ", ".join(FAULTS[kind].options) or "nothing"
        raise TwinError(f"the fault {kind} knows no {', '.join(unknown)}", f"it takes {known}")
    return FAULTS[kind]


def clock_environment(library: str) -> dict[str, str]:
    """Return what makes a program take its time from the host's faked clock."""
    return {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": _CLOCK,
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


_SSHD_CLOCK = "/etc/ssh/sshd_config.d/goldentooth-twin-clock.conf"


def _is_on(target: Target) -> bool:
    return target.machine.is_running


def _start(target: Target, unit: str) -> None:
    if _is_on(target):
        target.machine.run(["systemctl", "reset-failed", unit])
        target.machine.check(["systemctl", "start", unit])


def _restart(machine: Machine, *units: str) -> None:
    """Start those of ``units`` anew that run, however often they have been of late."""
    machine.run(["systemctl", "reset-failed", *units])
    machine.check(["systemctl", "try-restart", *units])


def _signal(target: Target, options: Options, number: signal.Signals) -> Undo:
    unit = options.get("unit", target.main_unit)
    process = options.get("process", "")
    found = list(_processes(target, unit, process))
    if not found:
        what = f"process {process} of {unit}" if process else f"process of {unit}"
        raise TwinError(f"{target.machine.name} runs no {what}")
    for pid in found:
        os.kill(pid, number)
    return {"unit": unit, "process": process}


def _processes(target: Target, unit: str, name: str) -> Iterator[int]:
    """Yield the processes of ``unit``, as seen from outside; only those called ``name`` if any."""
    group = target.machine.check(["systemctl", "show", "--value", "--property=ControlGroup", unit])
    if group.strip():
        for pid in sorted(cgroup.processes(f"{target.machine.group}/payload{group.strip()}")):
            if not name or Path(f"/proc/{pid}/comm").read_text().strip() == name:
                yield pid


def _daemons(target: Target) -> list[str]:
    """Return the units with a process that goes through the C library for its time."""
    without = {"networking.service", "prometheus-node-exporter.service"}
    return [
        unit
        for unit in target.machine.record.units
        if unit not in without and not unit.startswith("stand-in-")
    ]


def _faketime_library() -> str:
    probe.need_program("faketime")
    found = next(Path("/usr/lib").glob(f"*/{_FAKETIME}"), None)
    if found is None:
        raise MachineError(f"{_FAKETIME} is not there", "apt-get install --reinstall faketime")
    return str(found)


def _bgp(target: Target) -> tuple[str, str]:
    """Return the host's own AS number and the address of its one BGP neighbor."""
    summary = json.loads(_vtysh(target.machine, "show bgp ipv4 unicast summary json"))
    peers = summary.get("peers", {})
    if len(peers) != 1:
        raise TwinError(
            f"{target.machine.name} has {len(peers)} BGP neighbors",
            "this fault is for a node, which has one",
        )
    return str(summary["as"]), next(iter(peers))


def _holds(target: Target, line: str) -> bool:
    """Tell whether the running configuration has ``line``; none has it if no daemon runs."""
    show = ["vtysh", "-c", "show running-config"]
    return line in target.machine.run(show, timeout=_VTYSH_SECONDS).stdout.decode()


_VTYSH_SECONDS = 10


def _configure(machine: Machine, *lines: str) -> None:
    said = _vtysh(machine, "configure terminal", *lines).strip()
    if "%" in said:
        raise TwinError(f"{machine.name}: vtysh: {said}")


def _vtysh(machine: Machine, *lines: str) -> str:
    commands = [part for line in lines for part in ("-c", line)]
    return machine.check(["vtysh", *commands], timeout=_VTYSH_SECONDS)


def _address(target: Target, peer: str) -> str:
    return target.machines[peer].record.address if peer in target.machines else peer


def _set_disk(target: Target, kind: str = "", undo: Options | None = None) -> None:
    """Let the disk be what the other faults there make of it, and one more of ``kind`` if given.

    Raises:
        TwinError: if it is to be read-only and something writes there; it is as it was.
    """
    faults = [(fault.kind, fault.undo) for fault in target.others] + [(kind, undo or {})]
    sizes = [int(undo["size"]) for kind, undo in faults if kind == "disk"]
    # never below what is in it by now, which the kernel refuses
    size = max(min(sizes, default=target.record.disk_size), _used(target))
    read_only = any(kind == "readonly" for kind, _ in faults)
    try:
        mounts.remount_tmpfs(target.machine.disk, f"size={size}", read_only=read_only)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        holders = ", ".join(_writers(target)) or "a process that has ended since"
        raise TwinError(
            f"{target.machine.name}: its disk is being written to by {holders}",
            "stop what writes there first",
        ) from None


@contextlib.contextmanager
def _past_the_disk(target: Target) -> Iterator[None]:
    """Let the disk be whole inside the block, whatever other faults make of it.

    Faults are not subject to one another: a key can be changed on a disk that is full.
    """
    if not {"disk", "readonly"} & {fault.kind for fault in target.others}:
        yield
        return
    mounts.remount_tmpfs(target.machine.disk, f"size={target.record.disk_size}")
    try:
        yield
    finally:
        _set_disk_again(target)


def _set_disk_again(target: Target) -> None:
    """Wait for what a host writes while it boots, at most ten seconds."""
    for _ in range(100):
        with contextlib.suppress(TwinError):
            return _set_disk(target)
        time.sleep(0.1)
    return _set_disk(target)


def _used(target: Target) -> int:
    """Return how many bytes of the disk are in use."""
    usage = os.statvfs(target.machine.disk)
    return (usage.f_blocks - usage.f_bfree) * usage.f_frsize


def _writers(target: Target) -> list[str]:
    """Return what is open or mapped to write on the host's disk: ``process: file``."""
    found = set()
    for pid in cgroup.processes(target.machine.group):
        with contextlib.suppress(OSError):
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            found |= {f"{name}: {path}" for path in (*_mapped(pid), *_open(pid))}
    return sorted(line for line in found if not _ELSEWHERE.search(line))


_ELSEWHERE = re.compile(r": (?!/)|: /(?:run|tmp|var/tmp|dev|proc|sys)\b")


def _mapped(pid: int) -> list[str]:
    maps = Path(f"/proc/{pid}/maps").read_text()
    return re.findall(r"^\S+ .w.s .*?(/.*)$", maps, re.MULTILINE)


def _open(pid: int) -> Iterator[str]:
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            flags = int(re.findall(r"flags:\s+([0-7]+)", info.read_text())[0], 8)
            if flags & (os.O_WRONLY | os.O_RDWR):
                yield str(Path(f"/proc/{pid}/fd/{info.name}").readlink())


def _one_of(options: Options, name: str, allowed: tuple[str, ...]) -> str:
    value = options.get(name, allowed[0])
    if value not in allowed:
        raise TwinError(f"{name} cannot be {value!r}", "it is " + " or ".join(allowed))
    return value


_YEARS = 10
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _offset(options: Options) -> str:
    """Return by how much a clock jumps, as libfaketime takes it."""
    offset = options.get("offset", "+1h")
    found = re.fullmatch(r"[+-]([0-9]+)([smhd]?)", offset, re.ASCII)
    if not found or int(found[1][:12]) * _UNITS[found[2] or "s"] > _YEARS * 365 * 86400:
        raise TwinError(
            f"offset cannot be {offset!r}",
            f"as in +2h, -30m, +10d; s, m, h, d; at most {_YEARS} years of 365 days either way",
        )
    return offset


def _number(options: Options, name: str, default: int, allowed: range) -> int:
    value = options.get(name, str(default))
    if not value.isdecimal() or int(value) not in allowed:
        raise TwinError(
            f"{name} cannot be {value!r}", f"a number from {allowed[0]} to {allowed[-1]}"
        )
    return int(value)
