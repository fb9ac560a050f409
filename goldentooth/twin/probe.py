"""What this machine must be able to do to carry a twin, and what it lacks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from goldentooth.needs import Package
from goldentooth.twin import cgroup
from goldentooth.twin.errors import MachineError
from goldentooth.twin.programs import ENVIRONMENT

PACKAGES = (
    Package("systemd", "/lib/systemd/systemd", "the hosts' init", ("systemd-tmp", "tmp", "var")),
    Package("systemd-container", "/usr/bin/systemd-nspawn", "boots the hosts"),
    Package("dbus", "/usr/bin/dbus-daemon", "systemd's tools on the hosts", ("dbus",)),
    Package("iproute2", "/usr/sbin/ip", "links and namespaces"),
    Package("util-linux", "/usr/bin/nsenter", "enters the hosts"),
    Package("openssh-server", "/usr/sbin/sshd", "sshd on every host", ("sshd",)),
    Package("openssh-client", "/usr/bin/ssh-keygen", "keys of hosts and operator"),
    Package("openssl", "/usr/bin/openssl", "the API stand-in's certificate"),
    Package("python3-minimal", "/usr/bin/python3", "the stand-ins for API and services"),
    Package("nftables", "/usr/sbin/nft", "nobody answers ARP for a service address; packet loss"),
    Package("prometheus-node-exporter", "/usr/bin/prometheus-node-exporter", "metrics of hosts"),
)
"""What every twin needs; what its hosts need besides, their services say."""

OPTIONAL_PACKAGES = (
    Package("tcpdump", "/usr/bin/tcpdump", "capture"),
    Package("faketime", "/usr/bin/faketime", "the fault clock"),
    Package("bsdutils", "/usr/bin/script", "shell"),
    Package("traceroute", "/usr/bin/traceroute", "the NAPALM driver's traceroute"),
)
"""What one command or fault needs, and says so when it is called."""

_ROOT_FOLDERS = ("/etc", "/usr", "/var")

_KERNEL_FEATURES = """
try() { feature=$1; shift; "$@" >/dev/null 2>&1 || echo "$feature"; }
mount -n -t tmpfs tmpfs /tmp && cd /tmp && mkdir upper work root || echo 'mount (tmpfs)'
try 'overlay file system on tmpfs (CONFIG_OVERLAY_FS, CONFIG_TMPFS_XATTR)' \
    mount -n -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
try 'veth links (CONFIG_VETH)' ip link add probe0 type veth peer name probe1
try 'bridges (CONFIG_BRIDGE)' ip link add probe2 type bridge
try 'nftables for ARP (CONFIG_NF_TABLES_ARP)' nft add table arp probe
"""


def check_machine(packages: Iterable[Package] = ()) -> None:
    """Make sure that this machine can carry a twin whose hosts need ``packages``.

    Raises:
        MachineError: naming everything that is missing, with the remedy.
    """
    if os.geteuid() != 0:
        raise MachineError(
            "a twin needs root: it makes namespaces and mounts",
            "run it with sudo; it touches none of the machine's own links, units or files",
        )
    missing = missing_packages(packages)
    if missing:
        raise MachineError(
            "Debian packages are missing: "
            + ", ".join(f"{package.name} ({package.purpose})" for package in missing),
            "apt-get install " + " ".join(package.name for package in missing),
        )
    lacking = [*_lacking_mounts(), *_lacking_kernel_features()]
    if lacking:
        raise MachineError(
            "this machine cannot carry a twin; it lacks: " + "; ".join(lacking),
            "a virtual machine with Debian 12 and its own kernel has all of it"
            " (a container must be privileged, with its cgroup file system writable)",
        )


def missing_packages(packages: Iterable[Package] = ()) -> list[Package]:
    """Return what is not installed of ``packages`` and of what every twin needs."""
    wanted = {package.name: package for package in (*PACKAGES, *packages)}
    return [package for package in wanted.values() if not Path(package.program).exists()]


def need_program(name: str) -> None:
    """Make sure that an optional package is there.

    Raises:
        MachineError: if it is not, with the command that installs it.
    """
    package = next(package for package in OPTIONAL_PACKAGES if package.name == name)
    if not Path(package.program).exists():
        raise MachineError(f"{package.purpose} needs the package {name}", f"apt-get install {name}")


def _lacking_mounts() -> Iterable[str]:
    if not {"systemd", "unified"} & cgroup.hierarchies().keys():
        yield "control groups that systemd can use (cgroup v2, or v1 with name=systemd)"
    elif not all(os.access(mount, os.W_OK) for mount in cgroup.hierarchies().values()):
        yield "write access to /sys/fs/cgroup"
    device = Path("/").stat().st_dev
    for folder in _ROOT_FOLDERS:
        if Path(folder).stat().st_dev != device:
            yield f"{folder} on the root file system (hosts boot from an overlay of /)"


def _lacking_kernel_features() -> list[str]:
    """Try the features in namespaces of their own, of which nothing stays."""
    command = ["unshare", "--mount", "--net", "--uts", "--ipc", "--pid", "--fork"]
    probe = subprocess.run(
        [*command, "sh", "-c", _KERNEL_FEATURES],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    if probe.returncode and not probe.stdout:
        return [f"namespaces ({probe.stderr.strip()})"]
    return probe.stdout.splitlines()
