"""Making a twin: folder, links, disks, machines, in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from goldentooth.journal import STATE_VARIABLE
from goldentooth.model import Network
from goldentooth.twin import cgroup, limits, mounts, power, segment, state
from goldentooth.twin.accounts import Accounts
from goldentooth.twin.errors import TwinError
from goldentooth.twin.image import (
    PlacedFile,
    add_accounts,
    enable,
    make_shared_layer,
    name_host,
    needs_of,
    place_files,
    record_applied,
    units_of,
)
from goldentooth.twin.keys import Authority, HostKeys
from goldentooth.twin.layer import Layer
from goldentooth.twin.machine import Machine
from goldentooth.twin.opnsense import add_simulator, is_simulated, router_record
from goldentooth.twin.plan import OPERATOR
from goldentooth.twin.power import Progress
from goldentooth.twin.probe import PACKAGES
from goldentooth.twin.stand_in_secrets import operator_environment, specimens, vault_host
from goldentooth.twin.stand_ins import add_address, add_server, add_stand_ins, has_interfaces
from goldentooth.twin.state import Record

HOME = "/run/home"
"""The home folder of operator and client, as they see it."""


class Construction:
    """All that it takes to make the twin of ``record``, once."""

    def __init__(
        self,
        record: Record,
        machines: Mapping[str, Machine],
        network: Network,
        files: Mapping[str, Sequence[PlacedFile]],
    ) -> None:
        self.record = record
        self.machines = machines
        self.hosts = [machine for machine in machines.values() if machine.record.boots]
        self.network = network
        self.files = files
        self.folder = state.folder(record.name)
        self.keys = HostKeys(self.folder / "keys")
        self.authority = Authority(self.folder / "keys")
        self.specimens = specimens(network)

    def run(self, progress: Progress) -> None:
        """Make everything, from nothing, and boot the hosts.

        Raises:
            TwinError: if any of it fails; what has been made by then is still there.
        """
        self._make_folder()
        controllers = cgroup.delegate(self.record.name)
        told = limits.make_room(self.record.name, len(self.hosts), controllers)
        if told:
            progress(told)
        making_keys = self.keys.start(machine.name for machine in self.hosts)
        vault = vault_host(self.network)
        names = (*self.network.cert_sans, *([str(vault.address)] if vault else []))
        self.authority.make(self.record.name, names)
        segment.make_segment(self.record.name)
        power.lay_links(self.record.name, self.record.machines, self.record.machines)
        if making_keys.wait():
            raise TwinError("ssh-keygen cannot make keys")
        self._make_disks()
        progress(f"wired {len(self.hosts)} hosts")
        power.set_up(machine for machine in self.machines.values() if not machine.record.boots)
        power.boot(self.record.name, self.hosts, progress, timeout=60 + len(self.hosts))

    def _make_folder(self) -> None:
        taken = state.present_namespaces(self.record.name, self.record.machines)
        if taken:
            raise TwinError(
                f"network namespaces of these names are there, and no twin's: {', '.join(taken)}",
                "give the twin another --name, or remove them: ip netns delete NAME",
            )
        self.folder.mkdir(mode=0o700)
        mounts.mount_tmpfs(self.folder, "mode=700,size=100%")
        state.write_record(self.record)

    def _make_disks(self) -> None:
        authorized = self.keys.public(HostKeys.OPERATOR)
        packages = {
            package
            for machine in self.hosts
            for package in needs_of(self.network, self.network.nodes[machine.name]).packages
        }
        tmpfiles = sorted({name for each in (*PACKAGES, *packages) for name in each.tmpfiles})
        shared = make_shared_layer(self.folder / "shared", self.network, authorized, tmpfiles)
        add_server(shared)
        for machine in self.machines.values():
            machine.disk.mkdir(parents=True)
            mounts.mount_tmpfs(machine.disk, f"mode=755,size={self.record.disk_size}")
            for folder in ("upper", "work", "root"):
                (machine.disk / folder).mkdir()
            if machine.record.boots:
                self._fill_host(machine, shared)
            else:
                self._fill_namespace(machine)

    def _fill_host(self, machine: Machine, shared: Layer) -> None:
        node = self.network.nodes[machine.name]
        layer = Layer(machine.disk / "upper", shared.top)
        files = self.files.get(node.name, ())
        accounts = Accounts(needs_of(self.network, node).users)
        name_host(layer, self.record.name, node)
        add_accounts(layer, accounts, self.keys.public(HostKeys.OPERATOR))
        place_files(layer, files, accounts, self.specimens)
        for unit in units_of(self.network, node, files):
            enable(layer, unit)
        add_stand_ins(layer, self.network, node, self.authority)
        if is_simulated(node):
            known = None if self.record.bare else self.specimens
            add_simulator(layer, self.network, node, self.authority, known)
        if not self.record.bare:
            created = datetime.fromtimestamp(self.record.created, UTC)
            record_applied(layer, self.network, node, files, created, self.specimens)
        elif not has_interfaces(files):
            add_address(layer, self.network, node)
        layer.write(HostKeys.PATH, self.keys.private(node.name), mode=0o600)
        layer.write(f"{HostKeys.PATH}.pub", self.keys.public(node.name))

    def _fill_namespace(self, machine: Machine) -> None:
        """Lay an /etc of its own over the machine's, for one that shares all else with it."""
        layer = Layer(machine.disk / "upper")
        names = self._names()
        own = f"127.0.0.1 localhost\n{machine.record.address} {machine.name}\n"
        lines = [f"{address} {full_name} {name}\n" for name, full_name, address in names.values()]
        layer.write("/etc/hostname", f"{machine.name}\n")
        layer.write("/etc/hosts", own + "".join(lines))
        layer.write("/etc/resolv.conf", f"nameserver {self.network.router.address}\n")
        layer.write("/etc/passwd", _with_home(HOME))
        (layer.top / "home").mkdir(mode=0o700)
        if machine.name == OPERATOR:
            self._fill_home(layer, names)

    def _fill_home(self, layer: Layer, names: Mapping[str, Sequence[str]]) -> None:
        (layer.top / "home/.ssh").mkdir(mode=0o700)
        layer.write("/home/.ssh/id_ed25519", self.keys.private(HostKeys.OPERATOR), mode=0o600)
        layer.write("/home/.ssh/id_ed25519.pub", self.keys.public(HostKeys.OPERATOR))
        layer.write("/home/.ssh/known_hosts", self.keys.known_hosts(names))
        layer.write("/home/ca.crt", self.authority.certificate.read_bytes())
        environment = operator_environment(self.network, f"{HOME}/ca.crt")
        kept = {STATE_VARIABLE: f"{HOME}/state"}  # not the project's own, which is the network's
        state.write_environment(self.record.name, environment | kept)
        router = self.network.router.name
        if not self.record.bare and router in self.machines:
            for path, content in router_record(self.network, self.specimens).items():
                layer.write(f"/home/state/{path}", content, mode=0o600)

    def _names(self) -> dict[str, tuple[str, str, str]]:
        """Return short name, full name and address of every host that boots."""
        nodes = [self.network.nodes[machine.name] for machine in self.hosts]
        return {
            node.name: (node.name, self.network.fqdn(node), str(node.address)) for node in nodes
        }


def _with_home(home: str) -> str:
    """Return this machine's users, with another home folder for root."""
    users = [line.split(":") for line in Path("/etc/passwd").read_text().splitlines()]
    return "".join(
        ":".join([*user[:5], home if user[0] == "root" else user[5], user[6]]) + "\n"
        for user in users
    )
