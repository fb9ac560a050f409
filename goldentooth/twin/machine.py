"""One machine of a twin: a host that boots its own systemd, or a mere namespace.

A host is a container of systemd-nspawn(1) over an overlay. All that starts it goes on in a
mount namespace of its own: the machine's mount table and ``/run/systemd`` are not touched,
and what was mounted goes when the last process of the host does.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from goldentooth.twin import cgroup, state
from goldentooth.twin.errors import TwinError
from goldentooth.twin.programs import ENVIRONMENT
from goldentooth.twin.state import MachineRecord

MARK = "GOLDENTOOTH_TWIN"
"""Environment variable of every process that starts a machine: its value is the twin's name."""

DENIED_CAPABILITIES = (
    "sys_time",
    "sys_module",
    "sys_rawio",
    "sys_pacct",
    "syslog",
    "mac_admin",
    "mac_override",
    "wake_alarm",
    "block_suspend",
)
"""What root on a twin's machine may not: this would reach the machine that carries it, whose
clock and kernel all share (capabilities(7))."""

READY = "ready"
"""What a machine that does not boot prints once it is set up."""

# Copies of twins' mounts would keep their memory for as long as this machine runs.
_LEAVE_MOUNTS = (
    'for twin in /run/goldentooth-twin/*/; do umount -n --lazy "$twin" 2>/dev/null || :; done'
)

_JOIN_GROUPS = 'for group in $GROUPS_TO_JOIN; do echo $$ > "$group/cgroup.procs" || exit; done\n'

_BOOT = f"""
{_JOIN_GROUPS}
exec unshare --mount --propagation slave sh -c '
mount -n -t tmpfs -o mode=755 tmpfs /run/systemd && mkdir /run/systemd/root &&
mount -n -t overlay overlay -o "lowerdir=$SHARED:/,upperdir=$DISK/upper,workdir=$DISK/work" \\
    /run/systemd/root || exit
{_LEAVE_MOUNTS}
exec systemd-nspawn --quiet --directory=/run/systemd/root --boot --machine="$HOST_NAME" \\
    --register=no --keep-unit --settings=no --notify-ready=yes \\
    --network-namespace-path="/run/netns/$NETNS" --capability=CAP_NET_ADMIN \\
    --tmpfs=/var/tmp:mode=1777 --link-journal=no --resolv-conf=off --timezone=off --console=pipe'
"""

_WITHOUT = "--bounding-set=" + ",".join(f"-{name}" for name in DENIED_CAPABILITIES)

_NAMESPACE = f"""
{_JOIN_GROUPS}
exec setpriv {_WITHOUT} nsenter --net="/run/netns/$NETNS" \\
    unshare --mount --propagation slave --uts --ipc --pid --fork --kill-child sh -c '
set -e
hostname "$HOST_NAME"
mount -n -t proc proc /proc
mount -n --bind /proc/sys /proc/sys
mount -n --bind /proc/sys/net /proc/sys/net
mount -n -o remount,bind,ro /proc/sys
mount -n -t sysfs -o ro sysfs /sys
mount -n -t overlay overlay -o "lowerdir=/etc,upperdir=$DISK/upper/etc,workdir=$DISK/work" /etc
mount -n -t tmpfs -o mode=755 tmpfs /run/systemd
mkdir /run/systemd/lock /run/systemd/home
mount -n --bind "$DISK/upper/home" /run/systemd/home
{_LEAVE_MOUNTS}
mount -n --move /run/systemd /run
echo {READY}
exec env -i sh -c "while :; do sleep 1000000; done"'
"""


class Machine:
    """One machine, as its record says it is; running or powered off."""

    def __init__(self, twin: str, record: MachineRecord) -> None:
        self.twin = twin
        self.record = record
        self.name = record.name
        self.netns = state.namespace(twin, record.name)
        self.group = f"{twin}/{record.name}"
        self.disk = state.folder(twin) / "disks" / record.name
        self.console = state.folder(twin) / "consoles" / record.name
        """The file with all that it printed while it booted last."""
        self._pid_file = state.folder(twin) / "processes" / record.name
        self._init: int | None = None

    def __repr__(self) -> str:
        return f"Machine({self.twin!r}, {self.name!r})"

    # -- power -------------------------------------------------------------------------

    def start(self, notify: str | None = None) -> subprocess.Popen[bytes]:
        """Start it; its namespace is there, wired.

        A host that boots says READY=1 to the socket ``notify`` once systemd has nothing left
        to start, whether or not all of it succeeded (sd_notify(3)).
        """
        cgroup.create(self.group)
        groups = " ".join(map(str, cgroup.groups(self.group)))
        environment = {
            **ENVIRONMENT,
            MARK: self.twin,
            "GROUPS_TO_JOIN": groups,
            "NETNS": self.netns,
            "HOST_NAME": self.name,
            "DISK": str(self.disk),
            "SHARED": str(state.folder(self.twin) / "shared"),
            "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
            "SYSTEMD_NSPAWN_LOCK": "0",
        }
        if notify:
            environment["NOTIFY_SOCKET"] = notify
        for file in (self.console, self._pid_file):
            file.parent.mkdir(exist_ok=True)
        with self.console.open("wb") as console:
            process = subprocess.Popen(
                ["sh", "-c", _BOOT if self.record.boots else _NAMESPACE],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pid_file.write_text(str(process.pid))
        return process

    def kill(self) -> None:
        """End all its processes at once. Its disk stays as it is."""
        cgroup.kill(self.group)
        self._init = None

    @property
    def is_running(self) -> bool:
        """Whether it has an init process."""
        return self._find_init() is not None

    @property
    def init(self) -> int:
        """The process id, on the machine outside, of its process 1.

        Raises:
            TwinError: if it is powered off.
        """
        pid = self._find_init()
        if pid is None:
            raise TwinError(
                f"{self.name} is powered off", f"switch it on: twin heal --name {self.twin}"
            )
        return pid

    # -- commands ----------------------------------------------------------------------

    def command(self, argv: Sequence[str], *, cwd: str | None = None) -> list[str]:
        """Return the arguments that run ``argv`` inside, in all its namespaces."""
        groups = " ".join(str(group / cgroup.COMMANDS) for group in cgroup.groups(self.group))
        where = "/" if cwd is None else cwd
        return [
            *("sh", "-c", _ENTER, "sh", groups, str(self.init), where),
            *argv,
        ]

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | None = None,
        timeout: float | None = 60,
        environment: Mapping[str, str] = ENVIRONMENT,
        cwd: str | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run ``argv`` inside to its end; it and its children are killed after ``timeout`` seconds.

        Raises:
            TwinError: if the machine is off, or the command took longer than ``timeout``.
        """
        process = subprocess.Popen(
            self.command(argv, cwd=cwd),
            env=dict(environment),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            output, errors = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            raise TwinError(
                f"{self.name}: {' '.join(argv)}: still running after {timeout} s"
            ) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.communicate()
        return subprocess.CompletedProcess(list(argv), process.returncode, output, errors)

    def check(self, argv: Sequence[str], *, timeout: float = 60) -> str:
        """Run ``argv`` inside and return what it printed.

        Raises:
            TwinError: if it fails, with what it said, or takes longer than ``timeout`` seconds.
        """
        done = self.run(argv, timeout=timeout)
        if done.returncode:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise TwinError(f"{self.name}: {' '.join(argv)}: {said}")
        return done.stdout.decode(errors="replace")

    def path(self, path: str) -> Path:
        """Return the path, on the machine outside, of the file ``path`` inside.

        A symbolic link in it would be followed outside: :meth:`resolve` first what may hold one.
        """
        return Path(f"/proc/{self.init}/root{path}")

    def resolve(self, path: str) -> str | None:
        """Return the absolute path of an existing ``path`` without symbolic links; None if none."""
        done = self.run(["readlink", "--canonicalize-existing", "--", path])
        return done.stdout.decode().rstrip("\n") if done.returncode == 0 else None

    def disk_path(self, path: str) -> Path:
        """Return where ``path``, which the host has written, is while it is on or off."""
        return self.path(path) if self.is_running else self.disk / "upper" / path.lstrip("/")

    # -- what it uses ------------------------------------------------------------------

    @property
    def memory(self) -> int | None:
        """Bytes of memory that it uses, its disk included; None if nobody counts."""
        group = cgroup.controlled(self.group, "memory")
        if group is None:
            return None
        for name in ("memory.current", "memory.usage_in_bytes"):
            if (group / name).exists():
                return int((group / name).read_text())
        return None

    # -- its first process -------------------------------------------------------------

    def _find_init(self) -> int | None:
        if self._init is not None and _is_init(self._init):
            return self._init
        self._init = next(filter(_is_init, self._candidates()), None)
        return self._init

    def _candidates(self) -> Iterable[int]:
        """Yield the children of the process that started it."""
        try:
            pid = int(self._pid_file.read_text())
            started_with = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return
        if f"{MARK}={self.twin}".encode() in started_with:
            yield from map(int, children.split())


_ENTER = f"""
for group in $1; do echo $$ > "$group/cgroup.procs" || exit; done
pid=$2 where=$3; shift 3
exec setpriv {_WITHOUT} nsenter --target "$pid" --mount --uts --ipc --net --pid --cgroup -- \
    sh -c 'cd "$0" && exec "$@"' "$where" "$@"
"""


def _is_init(pid: int) -> bool:
    """Tell whether ``pid`` is process 1 of a namespace just below this one."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    ids = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    return len(ids) > 1 and ids[-1] == "1" and "\nState:\tZ" not in status
