"""NAPALM's NetworkDriver for FRR."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from shlex import quote
from typing import Any

from napalm.base import NetworkDriver
from napalm.base import constants as c
from napalm.base.exceptions import (
    CommandErrorException,
    CommitError,
    ConnectionClosedException,
    LockError,
    MergeConfigException,
    ReplaceConfigException,
)

from napalm_frr import bgp, candidate, interfaces, probes, routes
from napalm_frr.answers import read_values
from napalm_frr.candidate import Candidate, Scripts, as_diff
from napalm_frr.sanitize import without_secrets
from napalm_frr.ssh import Output, Shell, Ssh

RUNNING = "show running-config no-header"
STARTUP = "cat /etc/frr/frr.conf 2>/dev/null || cat /etc/frr/*d.conf"
"""The integrated configuration, or, where there is none, the daemons' own."""

_VERSION = re.compile(r"^FRRouting (\S+)", re.MULTILINE)
_IS_DOWN = ("is not running", "failed to connect to any daemons")
_REFUSED = re.compile(
    r"^% ?(?:Unknown command|Ambiguous|Command incomplete|There is no)", re.MULTILINE
)

_HARDWARE = """
for file in /sys/class/dmi/id/product_name /proc/device-tree/model; do
    [ -r $file ] && tr -d '\\0' <$file && exit
done; :"""
_SERIAL = """
for file in /sys/class/dmi/id/product_serial /proc/device-tree/serial-number; do
    [ -r $file ] && tr -d '\\0' <$file && exit
done; :"""
_NAMES = "uname -n; timeout 3 hostname -f || :"


class FRRDriver(NetworkDriver):  # type: ignore[misc]  # napalm has no type information
    """FRR on a Linux host, over SSH and vtysh.

    README.md lists the ``optional_args``. Where NAPALM wants what neither FRR nor Linux knows,
    numbers are -1 and texts empty.
    """

    platform = "frr"

    def __init__(
        self,
        hostname: str,
        username: str,
        password: str,
        timeout: int = 60,
        optional_args: dict[str, Any] | None = None,
    ) -> None:
        self.hostname = hostname
        self.username = username
        self.password = password
        self.timeout = timeout
        self.optional_args = optional_args or {}
        self.vtysh = self.optional_args.get("vtysh_path", "vtysh")
        self.scripts = Scripts(
            self.vtysh, self.optional_args.get("frr_reload_path", Scripts.frr_reload)
        )
        self.device: Shell | None = None
        self.candidate: Candidate | None = None

    def __del__(self) -> None:
        # NAPALM's own asks the host whether it is alive, which at exit nobody can answer
        if getattr(self, "device", None):
            self.close()

    # -- the connection ----------------------------------------------------------------

    def open(self) -> None:
        """Connect.

        Raises:
            ConnectionException: the host does not answer, or its key is not the known one.
            ConnectAuthError: it refuses the user.
        """
        self.device = Ssh(
            self.hostname, self.username, self.password, self.timeout, self.optional_args
        )

    def close(self) -> None:
        """Hang up, and forget the candidate. A pending commit stays pending on the host."""
        if self.device:
            self.device.close()
        self.device = self.candidate = None

    def is_alive(self) -> dict[str, bool]:
        """Tell whether FRR answers over the connection."""
        try:
            answers = self._run(f"{quote(self.vtysh)} -c 'show version'")[0].status == 0
        except (ConnectionClosedException, CommandErrorException):
            answers = False
        return {"is_alive": answers}

    def _run(self, *commands: str, timeout: float | None = None) -> list[Output]:
        """Run shell commands in one exec."""
        if self.device is None:
            raise ConnectionClosedException(f"{self.hostname}: not open: call open() first")
        return self.device.run(commands, timeout=timeout)

    def _shows(self, command: str) -> str:
        return f"{quote(self.vtysh)} -c {quote(command)}"

    # -- who and what it is ------------------------------------------------------------

    def get_facts(self) -> dict[str, Any]:
        """Return NAPALM's facts; ``model`` and ``serial_number`` are the machine's."""
        version, uptime, names, model, serial, links = self._run(
            self._shows("show version"),
            "cat /proc/uptime",
            _NAMES,
            _HARDWARE,
            _SERIAL,
            interfaces.LINKS,
        )
        found = _VERSION.search(version.stdout)
        hostname, *rest = names.stdout.split()
        return {
            "vendor": "FRRouting",
            "os_version": found[1] if found else "Unknown",
            "uptime": float(uptime.stdout.split()[0]),
            "hostname": hostname,
            "fqdn": rest[0] if rest else hostname,
            "model": model.stdout.strip() or "Unknown",
            "serial_number": serial.stdout.strip() or "Unknown",
            "interface_list": [link["ifname"] for link in _parse(links, [])],
        }

    # -- links and addresses -----------------------------------------------------------

    def get_interfaces(self) -> dict[str, Any]:
        """Return NAPALM's interfaces: ``speed`` in Mbit/s, ``last_flapped`` seconds ago."""
        links, zebra, now = self._run(
            interfaces.LINKS, self._shows(interfaces.ZEBRA), "date '+%Y/%m/%d %H:%M:%S'"
        )
        known = _merged(_parse_all(zebra))
        return interfaces.interfaces(_parse(links, []), known, now.stdout.strip())

    def get_interfaces_ip(self) -> dict[str, Any]:
        """Return NAPALM's addresses."""
        (output,) = self._run(interfaces.ADDRESSES)
        return interfaces.addresses(_parse(output, []))

    def get_interfaces_counters(self) -> dict[str, Any]:
        """Return NAPALM's counters."""
        (output,) = self._run(interfaces.LINKS)
        return interfaces.counters(_parse(output, []))

    def get_arp_table(self, vrf: str = "") -> list[Any]:
        """Return NAPALM's ARP entries, of one VRF or of all."""
        entries, links = self._run(interfaces.ARP, interfaces.LINKS)
        found = interfaces.neighbors(_parse(entries, []), _parse(links, []), vrf)
        return [{key: each[key] for key in each if key != "state"} for each in found]

    def get_ipv6_neighbors_table(self) -> list[Any]:
        """Return NAPALM's IPv6 neighbors."""
        entries, links = self._run(interfaces.NDP, interfaces.LINKS)
        return interfaces.neighbors(_parse(entries, []), _parse(links, []))

    def get_network_instances(self, name: str = "") -> dict[str, Any]:
        """Return NAPALM's network instances: ``default`` and every VRF, or the one of a name."""
        links, running = self._run(interfaces.LINKS, self._shows(RUNNING))
        configured = bgp.read_bgp(_text(running))
        distinguishers = {vrf: block.distinguisher for vrf, block in configured.items()}
        found = interfaces.network_instances(_parse(links, []), distinguishers)
        return {key: value for key, value in found.items() if name in {"", key}}

    def get_vlans(self) -> dict[int, Any]:
        """Return NAPALM's VLANs: of VLAN interfaces, and of bridges that filter by VLAN."""
        links, bridge = self._run(interfaces.LINKS, interfaces.BRIDGE_VLANS)
        return interfaces.vlans(_parse(links, []), _parse(bridge, []))

    # -- BGP and routes ----------------------------------------------------------------

    def get_bgp_neighbors(self) -> dict[str, Any]:
        """Return NAPALM's BGP neighbors; empty where no BGP is configured or bgpd is down."""
        instances, peers = self._run(self._shows(bgp.INSTANCES), self._shows(bgp.NEIGHBORS))
        return bgp.neighbors(_parse(instances, {}), _parse(peers, {}))

    def get_bgp_neighbors_detail(self, neighbor_address: str = "") -> dict[str, Any]:
        """Return NAPALM's details of all BGP neighbors, or of one."""
        peers, running = self._run(self._shows(bgp.NEIGHBORS), self._shows(RUNNING))
        return bgp.neighbors_detail(_parse(peers, {}), _text(running), neighbor_address)

    def get_bgp_config(self, group: str = "", neighbor: str = "") -> dict[str, Any]:
        """Return NAPALM's BGP configuration, of the default VRF."""
        (running,) = self._run(self._shows(RUNNING))
        return bgp.configuration(_text(running), group, neighbor)

    def get_route_to(
        self,
        destination: str = "",
        protocol: str = "",
        longer: bool = False,  # noqa: FBT001, FBT002  # NAPALM's
    ) -> dict[str, Any]:
        """Return NAPALM's routes: to a prefix, the one that an address takes, or all.

        ``longer`` adds those inside the prefix; ``protocol`` is as FRR names it.

        Raises:
            CommandErrorException: if ``destination`` is neither address nor prefix.
        """
        asked = routes.commands(destination, longer=longer)
        *shown, summary, clock = self._run(
            *map(self._shows, asked), self._shows(bgp.SUMMARY), "date +%s"
        )
        tables = [table for output in shown for table in _parse_all(output)]
        chosen = routes.select(tables, protocol)
        wanted = routes.path_commands(chosen)
        told = self._run(*map(self._shows, wanted.values())) if wanted else []
        paths = {key: _parse(output, {}) for key, output in zip(wanted, told, strict=True)}
        return routes.routes_to(chosen, paths, _parse(summary, {}), float(clock.stdout))

    # -- commands ----------------------------------------------------------------------

    def cli(self, commands: list[str], encoding: str = "text") -> dict[str, Any]:
        """Run vtysh commands; with encoding ``json`` each is asked for JSON, and parsed.

        Raises:
            CommandErrorException: if FRR refuses one.
            NotImplementedError: if the encoding is neither.
        """
        if encoding not in {"text", "json"}:
            raise NotImplementedError(f"encoding {encoding!r}: there are text and json")
        if isinstance(commands, str):
            raise TypeError("commands is a list")
        suffix = " json" if encoding == "json" else ""
        asked = [
            command if not suffix or command.endswith(suffix) else command + suffix
            for command in commands
        ]
        outputs = self._run(*map(self._shows, asked))
        for command, output in zip(asked, outputs, strict=True):
            if output.status or _REFUSED.search(output.stdout):
                raise CommandErrorException(f"{self.hostname}: {command}: {output.complaint}")
        return {
            command: _parse(output, {}) if suffix else output.stdout
            for command, output in zip(commands, outputs, strict=True)
        }

    def ping(  # noqa: PLR0917  # NAPALM's interface
        self,
        destination: str,
        source: str = c.PING_SOURCE,
        ttl: int = c.PING_TTL,
        timeout: int = c.PING_TIMEOUT,
        size: int = c.PING_SIZE,
        count: int = c.PING_COUNT,
        vrf: str = c.PING_VRF,
        source_interface: str = c.PING_SOURCE_INTERFACE,
    ) -> dict[str, Any]:
        """Send echo requests from the host; times are ms, ``packet_loss`` a number of packets."""
        command = probes.ping_command(
            destination,
            source or source_interface or "",
            ttl=ttl,
            timeout=timeout,
            size=size,
            count=count,
            vrf=vrf or "",
        )
        seconds = count * (probes.INTERVAL + timeout) + 10
        (output,) = self._run(command, timeout=max(seconds, self.timeout))
        if output.status == probes.NOT_FOUND:
            return probes.missing("ping", self.hostname)
        return probes.read_ping(output.stdout, output.complaint)

    def traceroute(
        self,
        destination: str,
        source: str = c.TRACEROUTE_SOURCE,
        ttl: int = c.TRACEROUTE_TTL,
        timeout: int = c.TRACEROUTE_TIMEOUT,
        vrf: str = c.TRACEROUTE_VRF,
    ) -> dict[str, Any]:
        """Trace a route from the host; times are ms, names are not looked up."""
        command = probes.traceroute_command(
            destination, source or "", ttl=ttl, timeout=timeout, vrf=vrf or ""
        )
        seconds = 3 * ttl * timeout / 16 + 10  # it sends 16 at a time
        (output,) = self._run(command, timeout=max(seconds, self.timeout))
        if output.status == probes.NOT_FOUND:
            return probes.missing("traceroute", self.hostname)
        return probes.read_traceroute(output.stdout, output.complaint)

    # -- configuration -----------------------------------------------------------------

    def get_config(
        self,
        retrieve: str = "all",
        full: bool = False,  # noqa: ARG002, FBT001, FBT002  # NAPALM's interface
        sanitized: bool = False,  # noqa: FBT001, FBT002  # NAPALM's interface
        format: str = "text",  # noqa: A002  # NAPALM's interface
    ) -> dict[str, str]:
        """Return NAPALM's configurations; ``full`` changes nothing: FRR has no such view.

        Raises:
            NotImplementedError: if ``format`` is not text.
        """
        if format != "text":
            raise NotImplementedError(f"format {format!r}: there is text")
        asked = {
            name: command
            for name, command in (("running", self._shows(RUNNING)), ("startup", STARTUP))
            if retrieve in {"all", name}
        }
        outputs = self._run(*asked.values()) if asked else []
        found = dict.fromkeys(("running", "startup", "candidate"), "")
        found |= {name: _text(output) for name, output in zip(asked, outputs, strict=True)}
        if self.candidate and retrieve in {"all", "candidate"}:
            found["candidate"] = self.candidate.text
        return {key: without_secrets(text) if sanitized else text for key, text in found.items()}

    def load_replace_candidate(
        self, filename: str | None = None, config: str | None = None
    ) -> None:
        """Take a whole configuration for candidate.

        Raises:
            ReplaceConfigException: if there is none, or FRR does not understand it.
        """
        self._load(filename, config, ReplaceConfigException, is_replacement=True)

    def load_merge_candidate(self, filename: str | None = None, config: str | None = None) -> None:
        """Take lines of configuration for candidate, to be added to what runs.

        Raises:
            MergeConfigException: if there are none, or FRR does not understand them.
        """
        self._load(filename, config, MergeConfigException, is_replacement=False)

    def _load(
        self,
        filename: str | None,
        config: str | None,
        failure: type[Exception],
        *,
        is_replacement: bool,
    ) -> None:
        try:
            text = Path(filename).read_text() if filename else config
        except (OSError, UnicodeDecodeError) as error:
            raise failure(f"{filename}: {error}") from error
        if not text or not text.strip():
            raise failure("no configuration: give filename or config")
        loaded = Candidate(text, is_replacement)
        (output,) = self._run(self.scripts.check(loaded))
        if output.status:
            raise failure(f"{self.hostname}: {output.complaint}")
        self.candidate = loaded

    def compare_config(self) -> str:
        """Return what a commit would change as a diff; empty if nothing, or without candidate.

        Of a replacement it is what frr-reload would delete and add. Of a merge it is what is
        not there yet; a line ``no …`` stays in it if FRR does not show it.

        Raises:
            CommandErrorException: if frr-reload cannot tell.
        """
        if self.candidate is None:
            return ""
        (output,) = self._run(self.scripts.compare(self.candidate))
        if output.status:
            raise CommandErrorException(f"{self.hostname}: {output.complaint}")
        return as_diff(output.stdout)

    def commit_config(self, message: str = "", revert_in: int | None = None) -> None:
        """Apply the candidate, and write it to the startup configuration.

        With ``revert_in`` the host takes it back by itself after so many seconds unless
        :meth:`confirm_commit` comes before; the startup configuration is written then only.

        Raises:
            CommitError: if there is no candidate, another commit waits to be confirmed, or FRR
                refuses: then all that had been applied has been taken back.
            LockError: if somebody else commits right now.
        """
        if self.candidate is None:
            raise CommitError("there is no candidate: load one first")
        if revert_in is not None and revert_in < 1:
            raise CommitError(f"revert_in is {revert_in}: it is seconds, from 1 up")
        self._change(self.scripts.commit(self.candidate, message, revert_in))
        self.candidate = None

    def confirm_commit(self) -> None:
        """Make the pending commit final, and write it to the startup configuration.

        Raises:
            CommitError: if none is pending; it may have been taken back already.
        """
        self._change(self.scripts.confirm())

    def has_pending_commit(self) -> bool:
        """Tell whether a commit waits to be confirmed, whoever made it."""
        return self._run(self.scripts.pending())[0].status == 0

    def discard_config(self) -> None:
        """Forget the candidate."""
        self.candidate = None

    def rollback(self) -> None:
        """Bring back what ran before the last commit that came about; twice is as good as once.

        Raises:
            CommitError: if nothing was ever committed, or FRR refuses.
        """
        self._change(self.scripts.rollback())
        self.candidate = None

    def _change(self, script: str) -> None:
        (output,) = self._run(script)
        if output.status == candidate.LOCKED:
            raise LockError(f"{self.hostname}: somebody else changes the configuration right now")
        if output.status:
            what = _REASONS.get(output.status, "")
            raise CommitError(": ".join(filter(None, (self.hostname, what, output.complaint))))


_REASONS = {
    candidate.NOTHING_BEFORE: "nothing to roll back to: no commit was made",
    candidate.NOTHING_PENDING: "no commit waits to be confirmed; it may have been taken back",
    candidate.ALREADY_PENDING: "a commit waits to be confirmed: confirm it or roll it back first",
    candidate.NOT_ARMED: "systemd-run cannot arm revert_in, so nothing was changed",
    candidate.TAKEN_BACK: "FRR refuses the configuration, and what was applied is taken back",
}


def _text(output: Output) -> str:
    """Return what a command printed.

    Raises:
        CommandErrorException: if it failed.
    """
    if output.status:
        raise CommandErrorException(output.complaint)
    return output.stdout


def _parse(output: Output, empty: Any) -> Any:
    """Return the JSON that a command printed, or ``empty`` where the daemon does not run.

    Raises:
        CommandErrorException: if it failed otherwise, or printed something else.
    """
    values = _parse_all(output)
    return values[0] if values else empty


def _parse_all(output: Output) -> list[Any]:
    """Return every JSON value that a command printed: FRR prints one a VRF at times."""
    if any(words in output.stdout + output.stderr for words in _IS_DOWN):
        return []
    text = _text(output).strip()
    try:
        return read_values(text)
    except ValueError as error:
        raise CommandErrorException(f"this is not JSON: {text[:200]!r} ({error})") from error


def _merged(values: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {key: value for each in values for key, value in each.items()}
