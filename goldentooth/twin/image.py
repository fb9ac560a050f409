"""What a host's root file system is made of.

Three layers, top first: the host's own (its artifacts, name, keys; in memory, kept while it
is powered off), one that all hosts of a twin share, and the machine's root file system, which
is only read. The shared layer hides what is the machine's own: its units, keys, logs, cron,
home folders. Nothing is started but what is listed here or follows from a host's artifacts.
"""

from __future__ import annotations

import stat
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from secrets import token_hex

import msgspec

from goldentooth import applied
from goldentooth.artifact import Artifact
from goldentooth.host.state import ADOPTED, STATE_FILE, Deployment, HostState, record_folder
from goldentooth.model import Network, Node
from goldentooth.needs import Needs, together
from goldentooth.services import Service, all_services
from goldentooth.twin.accounts import Accounts
from goldentooth.twin.errors import TwinError
from goldentooth.twin.layer import Layer
from goldentooth.twin.stand_in_secrets import fill

UNITS_OF_EVERY_HOST = ("ssh.service", "prometheus-node-exporter.service")

_VENDOR_UNITS = "/usr/lib/systemd/system"
_LOCAL_UNITS = "/etc/systemd/system"

_BOOT = {
    "sysinit.target.wants": (
        "systemd-journald.service",
        "systemd-sysctl.service",
        "systemd-tmpfiles-setup.service",
    ),
    "sockets.target.wants": (
        "dbus.socket",
        "systemd-journald.socket",
        "systemd-journald-dev-log.socket",
    ),
    "multi-user.target.wants": (),
    "timers.target.wants": (),
    "local-fs.target.wants": (),
    "graphical.target.wants": (),
}
"""All that systemd starts by itself; what else Debian starts takes time and does nothing here."""

_EMPTY_FOLDERS = (
    _LOCAL_UNITS,
    "/usr/lib/systemd/system-generators",
    "/etc/systemd/system-generators",
    "/etc/systemd/network",
    "/etc/systemd/journald.conf.d",
    "/etc/systemd/system.conf.d",
    "/etc/network/interfaces.d",
    "/etc/sysctl.d",
    "/etc/tmpfiles.d",
    "/etc/ssh",
    "/etc/cron.d",
    "/etc/kubernetes",
    "/var/spool/cron",
    "/var/lib/systemd",
    "/var/lib/goldentooth",
    "/var/log",
    "/root",
    "/home",
    "/srv",
    "/mnt",
    "/media",
)
_HIDDEN_FILES = ("/usr/sbin/policy-rc.d", "/etc/crontab", "/etc/ld.so.preload")

_JOURNALD = """[Journal]
Storage=volatile
RuntimeMaxUse=16M
RuntimeMaxFileSize=2M
RateLimitIntervalSec=0
ForwardToSyslog=no
ForwardToWall=no
ReadKMsg=no
Audit=no
"""
_TMPFILES_FOLDER = "/usr/lib/tmpfiles.d"


@dataclass(frozen=True)
class PlacedFile:
    """One artifact of the build folder, and how it lies on its host."""

    host: str
    service: str
    path: str
    source: Path
    owner: str
    mode: int
    is_stand_in: bool

    def artifact(self, format: str) -> Artifact:  # noqa: A002  # the artifact's own name for it
        """Return the artifact that it is; ``format`` is how its versions are compared."""
        text = self.source.read_text(encoding="utf-8")
        return Artifact(
            self.host, self.service, self.path, text, self.owner, self.mode, format=format
        )


class _ManifestEntry(msgspec.Struct):
    host: str
    service: str
    scope: str
    path: str
    location: str
    owner: str
    mode: str


class _Manifest(msgspec.Struct):
    artifacts: list[_ManifestEntry]


def read_artifacts(build: Path) -> dict[str, list[PlacedFile]]:
    """Return what ``goldentooth-net render`` made for each host, stand-ins for the twin included.

    Raises:
        TwinError: if ``build`` holds no manifest that can be read.
    """
    try:
        manifest = msgspec.json.decode((build / "manifest.json").read_bytes(), type=_Manifest)
    except FileNotFoundError:
        raise TwinError(
            f"{build} holds no rendered artifacts", "run goldentooth-net render first"
        ) from None
    except msgspec.DecodeError as error:
        raise TwinError(f"{build}/manifest.json: {error}", "render again") from None
    files: dict[str, list[PlacedFile]] = {}
    for entry in manifest.artifacts:
        if entry.scope in {"host", "twin"}:
            files.setdefault(entry.host, []).append(
                PlacedFile(
                    entry.host,
                    entry.service,
                    entry.path,
                    build / entry.location,
                    entry.owner,
                    int(entry.mode, 8),
                    is_stand_in=entry.scope == "twin",
                )
            )
    return files


def units_of(network: Network, node: Node, files: Iterable[PlacedFile]) -> tuple[str, ...]:
    """Return the units that run on ``node``: those of the services with a file there, and all's."""
    present = {file.service for file in files}
    units = [
        unit
        for service in _services_on(network, node)
        if service.name in present
        for unit in service.units(network, node)
    ]
    return (*units, *UNITS_OF_EVERY_HOST)


def needs_of(network: Network, node: Node) -> Needs:
    """Return what the services of ``node`` need there, whether or not they have a file there."""
    return together(service.needs(network, node) for service in _services_on(network, node))


def _services_on(network: Network, node: Node) -> list[Service]:
    return [service for service in all_services() if node in service.hosts(network)]


def make_shared_layer(
    top: Path, network: Network, authorized_key: str, tmpfiles: Iterable[str]
) -> Layer:
    """Make the layer that all hosts share; ``tmpfiles`` names what makes folders at boot."""
    layer = Layer(top)
    for folder in _EMPTY_FOLDERS:
        if Path(folder).is_dir():
            layer.empty(folder)
    for path in _HIDDEN_FILES:
        if Path(path).exists():
            layer.hide(path)
    _limit_boot(layer, tmpfiles)
    _keep_log_folders(layer)
    sshd_config = Path("/usr/share/openssh/sshd_config").read_text()
    layer.write("/etc/ssh/sshd_config", sshd_config)
    layer.empty("/etc/ssh/sshd_config.d")
    layer.write("/root/.ssh/authorized_keys", authorized_key, mode=0o600)
    (layer.top / "root/.ssh").chmod(0o700)
    layer.write("/etc/systemd/journald.conf", _JOURNALD)
    layer.write("/etc/systemd/system.conf", "[Manager]\n")
    layer.write("/etc/fstab", "")
    layer.write("/etc/network/interfaces", _INTERFACES)
    layer.write(
        "/etc/resolv.conf",
        f"search {network.domains.nodes}\nnameserver {network.router.address}\n",
    )
    return layer


_INTERFACES = """source /etc/network/interfaces.d/*

auto lo
iface lo inet loopback
"""


def name_host(layer: Layer, twin: str, node: Node) -> None:
    """Give the host its names."""
    layer.write("/etc/hostname", f"{node.name}\n")
    layer.write("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {node.name}\n")
    machine_id = uuid.uuid5(uuid.NAMESPACE_DNS, f"{node.name}.{twin}.twin.invalid").hex
    layer.write("/etc/machine-id", f"{machine_id}\n", mode=0o444)


def place_files(
    layer: Layer, files: Iterable[PlacedFile], accounts: Accounts, specimens: Mapping[str, str]
) -> None:
    """Put a host's artifacts in their places, with ``specimens`` in place of secrets.

    Raises:
        TwinError: if one is not in the build folder, or its owner is nobody on the host.
    """
    for file in files:
        try:
            owner = accounts.ids(file.owner)
            content = fill(file.source.read_bytes(), specimens)
            layer.write(file.path, content, mode=file.mode, owner=owner)
        except LookupError as error:
            raise TwinError(
                f"{file.host}: {file.path} is to belong to {file.owner}: {error.args[0]}",
                "install the Debian package that makes this user, or let its service need it",
            ) from None
        except OSError as error:
            raise TwinError(f"{file.host}: {file.path}: {error.strerror}", "render again") from None


def record_applied(  # noqa: PLR0917  # what it is made of
    layer: Layer,
    network: Network,
    node: Node,
    files: Iterable[PlacedFile],
    at: datetime,
    specimens: Mapping[str, str],
) -> None:
    """Leave on the host that ``files`` were applied to it ``at`` this time, stand-ins aside."""
    formats = {
        draft.path: draft.format
        for service in _services_on(network, node)
        for draft in service.drafts(network, node)
    }
    pairs = [
        (file.artifact(formats.get(file.path, "plain")), fill(file.source.read_bytes(), specimens))
        for file in files
        if not file.is_stand_in
    ]
    record = applied.record_files(
        node.name,
        pairs,
        token_hex(32).encode(),
        deployment="twin",
        at=at.isoformat(timespec="seconds"),
        by="twin up",
    )
    state = HostState()
    made = Deployment("twin", 1, "twin up", at.isoformat(timespec="seconds"))
    made.state, made.record = ADOPTED, record_folder("twin")
    state.number, state.applied, state.deployments = 1, made.record, [made]
    layer.folder(applied.FOLDER, mode=applied.FOLDER_MODE)
    for path, content in record.items():
        place = path.replace(applied.APPLIED, f"{applied.FOLDER}/{made.record}", 1)
        layer.write(place, content, mode=applied.FILE_MODE)
    layer.write(f"{applied.FOLDER}/{STATE_FILE}", state.to_bytes(), mode=applied.FILE_MODE)


def add_accounts(layer: Layer, accounts: Accounts, authorized_key: str) -> None:
    """Let the users that ``accounts`` has made log in with the key."""
    for path, text in accounts.files().items():
        known = Path(path).stat()
        owner = (known.st_uid, known.st_gid)
        layer.write(path, text, mode=stat.S_IMODE(known.st_mode), owner=owner)
    for name, number in accounts.made.items():
        owner = (number, number)
        layer.folder(f"/home/{name}", mode=0o755, owner=owner)
        layer.folder(f"/home/{name}/.ssh", mode=0o700, owner=owner)
        keys = f"/home/{name}/.ssh/authorized_keys"
        layer.write(keys, authorized_key, mode=0o600, owner=owner)


def enable(layer: Layer, unit: str) -> None:
    """Make the links that ``systemctl enable`` makes for ``unit``.

    Raises:
        TwinError: if it is neither among the host's artifacts nor installed on this machine.
    """
    own = layer.top / f"{_LOCAL_UNITS}/{unit}".lstrip("/")
    file = own if own.exists() else Path(_VENDOR_UNITS, unit)
    if not file.exists():
        raise TwinError(
            f"{unit} is neither installed on this machine nor an artifact of the host",
            f"install the Debian package that has it, or render {_LOCAL_UNITS}/{unit}",
        )
    target = f"{_LOCAL_UNITS}/{unit}" if own.exists() else str(file)
    for kind, names in _install_section(file).items():
        for name in names:
            wants = name if kind == "alias" else f"{name}.wants/{unit}"
            layer.link(f"{_LOCAL_UNITS}/{wants}", target)


def add_unit(layer: Layer, name: str, text: str, wanted_by: str | None) -> None:
    """Put a unit of the twin's own into ``layer``, and enable it if it is ``wanted_by`` one."""
    layer.write(f"{_LOCAL_UNITS}/{name}", text)
    if wanted_by:
        layer.link(f"{_LOCAL_UNITS}/{wanted_by}.wants/{name}", f"{_LOCAL_UNITS}/{name}")


def _limit_boot(layer: Layer, tmpfiles: Iterable[str]) -> None:
    for folder, units in _BOOT.items():
        layer.empty(f"{_VENDOR_UNITS}/{folder}")
        for unit in units:
            layer.link(f"{_VENDOR_UNITS}/{folder}/{unit}", f"../{unit}")
    layer.link(f"{_LOCAL_UNITS}/default.target", f"{_VENDOR_UNITS}/multi-user.target")
    # `udevadm settle` waits for a daemon that a container does not have
    layer.link(f"{_LOCAL_UNITS}/ifupdown-pre.service", "/dev/null")
    layer.empty(_TMPFILES_FOLDER)
    for name in tmpfiles:
        source = Path(_TMPFILES_FOLDER, f"{name}.conf")
        if source.exists():
            layer.write(f"{_TMPFILES_FOLDER}/{name}.conf", source.read_bytes())


def _keep_log_folders(layer: Layer) -> None:
    """Daemons expect their log folders; a journal folder would make the journal persistent."""
    for folder in Path("/var/log").iterdir():
        if folder.is_dir() and folder.name != "journal":
            layer.empty(str(folder))


@cache
def _install_section(path: Path) -> Mapping[str, tuple[str, ...]]:
    wanted: dict[str, list[str]] = {"wanted_by": [], "alias": []}
    section = path.read_text().partition("[Install]")[2]
    for line in section.splitlines():
        key, _, value = line.partition("=")
        if key in {"WantedBy", "Alias"}:
            wanted["alias" if key == "Alias" else "wanted_by"] += value.split()
    return {kind: tuple(names) for kind, names in wanted.items()}
