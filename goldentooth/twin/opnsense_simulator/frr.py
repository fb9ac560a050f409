"""frr.conf as os-frr makes it of its models, and the FRR that runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .models import Item
from .store import Config

CONFIGURATION = Path("/etc/frr/frr.conf")
DAEMONS = Path("/etc/frr/daemons")

_RELOAD = "/usr/lib/frr/frr-reload.py"
CONFIGD_SECONDS = 120.0
"""So long OPNsense waits for a command of its own; then it answers, and the command goes on."""


class Frr:
    """The FRR of this host."""

    def __init__(self) -> None:
        self._reloading: subprocess.Popen[str] | None = None

    def apply(self, config: Config) -> None:
        """Write its configuration and make it run that, as a reconfigure does.

        Raises:
            RuntimeError: if FRR refuses it.
        """
        if config["general"]["fields"]["enabled"] != "1":
            _run("systemctl", "stop", "frr.service")
            return
        if config["general"]["fields"]["manual_config"] != "1":
            _write(CONFIGURATION, configuration(config))
        started = "active" in _run("systemctl", "is-active", "frr.service", check=False).split()
        wanted = daemons(config)
        if not DAEMONS.exists() or DAEMONS.read_text() != wanted or not started:
            _write(DAEMONS, wanted)
            _run("systemctl", "enable", "--quiet", "frr.service")
            _run("systemctl", "restart", "frr.service")
        else:
            self._reload()

    def _reload(self) -> None:
        if self._reloading is not None:
            self._reloading.communicate()  # one after the other
        self._reloading = subprocess.Popen(
            [_RELOAD, "--reload", str(CONFIGURATION)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            said, _ = self._reloading.communicate(timeout=CONFIGD_SECONDS)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{_RELOAD}: no end yet") from None
        status, self._reloading = self._reloading.returncode, None
        if status:
            raise RuntimeError(f"{_RELOAD}: {' / '.join(said.strip().splitlines()[-5:])}")

    def status(self) -> str:
        """Return what is said of the service: running or stopped."""
        active = _run("systemctl", "is-active", "frr.service", check=False).strip()
        return "running" if active == "active" else "stopped"

    def control(self, verb: str) -> None:
        """Start, stop or restart it."""
        _run("systemctl", verb, "frr.service")

    def show(self, command: str) -> str:
        """Return what vtysh answers."""
        return _run("vtysh", "-c", f"show {command}", check=False)

    def show_json(self, command: str) -> Any:
        """Return what vtysh answers, as JSON; nothing if it is none."""
        try:
            return json.loads(self.show(f"{command} json"))
        except json.JSONDecodeError:
            return []


def configuration(config: Config) -> str:
    """Return frr.conf."""
    general = config["general"]["fields"]
    lines = [f"frr defaults {general['profile']}"]
    if general["enablesyslog"] == "1":
        lines.append(f"log syslog {general['sysloglevel']}")
    lines += ["ip forwarding", "ipv6 forwarding"]
    if config["bgp"]["fields"]["enabled"] == "1":
        lines += _bgp(config["bgp"])
    if config["bfd"]["fields"]["enabled"] == "1":
        lines += _bfd(config["bfd"])
    if config["static"]["fields"]["enabled"] == "1":
        lines += _static(config["static"])
    return "\n".join(lines) + "\n"


def daemons(config: Config) -> str:
    """Return Debian's /etc/frr/daemons with the daemons that are enabled.

    Of FreeBSD's it is told by rc.conf; zebra and staticd always run on Debian.
    """
    running = [f"{name}d={_yes(config, name)}\n" for name in ("bgp", "bfd")]
    options = (
        'vtysh_enable=yes\nzebra_options="  -A 127.0.0.1 -s 90000000"\n'
        'bgpd_options="   -A 127.0.0.1"\nbfdd_options="   -A 127.0.0.1"\n'
        'staticd_options="-A 127.0.0.1"\n'
    )
    return "".join(running) + options


def _yes(config: Config, model: str) -> str:
    return "yes" if config[model]["fields"]["enabled"] == "1" else "no"


def _bgp(bgp: dict[str, Any]) -> Iterator[str]:
    fields, lists = bgp["fields"], bgp["lists"]
    neighbors = _enabled(lists["neighbors.neighbor"])
    groups = _enabled(lists["peergroups.peergroup"])
    names = {uuid: item for items in lists.values() for uuid, item in items.items()}
    yield f"router bgp {fields['asnumber']}"
    if fields["logneighborchanges"] == "1":
        yield " bgp log-neighbor-changes"
    if fields["enforce_first_as"] == "0":
        yield " no bgp enforce-first-as"
    yield " no bgp default ipv4-unicast"
    yield " no bgp ebgp-requires-policy"
    yield f" {'' if fields['networkimportcheck'] == '1' else 'no '}bgp network import-check"
    if fields["graceful"] == "1":
        yield " bgp graceful-restart"
    yield from (f" bgp bestpath {each}" for each in fields["bestpath"].split(",") if each)
    if fields["routerid"]:
        yield f" bgp router-id {fields['routerid']}"
    if distance := fields["distance"]:
        yield f" distance bgp {distance} {distance} {distance}"
    for group in groups:
        yield from _peer_group(group, names)
    for neighbor in neighbors:
        yield from _neighbor(neighbor, names)
    for family in ("ipv4", "ipv6"):
        yield from _family(family, bgp, neighbors, names)
    yield from _policies(lists, names)


def _peer_group(group: Item, names: dict[str, Item]) -> Iterator[str]:
    start = f" neighbor {group['name']}"
    yield f"{start} peer-group"
    yield f"{start} remote-as {group['remote_as_mode'] or group['remoteas']}"
    if group["updatesource"]:
        yield f"{start} update-source {group['updatesource']}"
    if group["nexthopself"] == "1":
        yield f"{start} next-hop-self"
    if group["defaultoriginate"] == "1":
        yield f"{start} default-originate"
    yield from _linked(start, group, names)
    yield from (
        f" bgp listen range {prefix} peer-group {group['name']}"
        for prefix in group["listenranges"].split(",")
        if prefix
    )


_BEFORE = (
    ("localas", "local-as {}"),
    ("description", "description {}"),
    ("password", "password {}"),
    ("weight", "weight {}"),
)
_AFTER = (
    ("connecttimer", "timers connect {}"),
    ("attributeunchanged", "attribute-unchanged {}"),
)
_IN_FAMILY = (
    ("rrclient", "route-reflector-client"),
    ("soft_reconfiguration_inbound", "soft-reconfiguration inbound"),
    ("defaultoriginate", "default-originate"),
    ("asoverride", "as-override"),
)


def _neighbor(item: Item, names: dict[str, Item]) -> Iterator[str]:
    start = f" neighbor {item['address']}"
    if system := item["remote_as_mode"] or item["remoteas"]:
        yield f"{start} remote-as {system}"
    yield from (f"{start} {line.format(item[name])}" for name, line in _BEFORE if item[name])
    if item["bfd"] == "1":
        yield f"{start} bfd{' strict' if item['bfd_strict'] == '1' else ''}"
    if item["disable_connected_check"] == "1":
        yield f"{start} disable-connected-check"
    if item["updatesource"] and ":" not in item["address"]:
        yield f"{start} update-source {item['updatesource']}"
    if item["linklocalinterface"] and ":" in item["address"]:
        yield f"{start} interface {item['linklocalinterface']}"
    if item["multihop"] == "1":
        yield f"{start} ebgp-multihop 255"
    if item["keepalive"] and item["holddown"]:
        yield f"{start} timers {item['keepalive']} {item['holddown']}"
    yield from (f"{start} {line.format(item[name])}" for name, line in _AFTER if item[name])
    yield from (f"{start} capability {each}" for each in item["capabilities"].split(",") if each)
    if item["peergroup"]:
        yield f"{start} peer-group {names[item['peergroup']]['name']}"


def _family(
    family: str, bgp: dict[str, Any], neighbors: Iterable[Item], names: dict[str, Item]
) -> Iterator[str]:
    fields, lists = bgp["fields"], bgp["lists"]
    yield f" address-family {family} unicast"
    if fields["maximumpaths"]:
        yield f"  maximum-paths {fields['maximumpaths']}"
    if fields["maximumpathsibgp"]:
        yield f"  maximum-paths ibgp {fields['maximumpathsibgp']}"
    for item in _enabled(lists["redistributions.redistribution"]):
        chosen = item["linkedRoutemap"]
        policy = f" route-map {names[chosen]['name']}" if chosen else ""
        yield f"  redistribute {item['redistribute']}{policy}"
    for network in filter(None, fields["networks"].split(",")):
        if (":" in network) == (family == "ipv6"):
            yield f"  network {network}"
    for group in _enabled(lists["peergroups.peergroup"]):
        if family in group["family"].split(","):
            yield f"  neighbor {group['name']} activate"
    for item in neighbors:
        if item["multiprotocol"] == "1" or (":" in item["address"]) == (family == "ipv6"):
            yield from _activated(item, names)
    yield " exit-address-family"


def _activated(item: Item, names: dict[str, Item]) -> Iterator[str]:
    start = f"  neighbor {item['address']}"
    yield f"{start} activate"
    if item["nexthopself"] == "1":
        yield f"{start} next-hop-self{' all' if item['nexthopselfall'] == '1' else ''}"
    yield from (f"{start} {line}" for name, line in _IN_FAMILY if item[name] == "1")
    if item["removeprivateas"]:
        yield f"{start} {item['removeprivateas']}"
    if item["allowas_in"]:
        yield f"{start} allowas-in {item['allowas_in']}"
    yield from _linked(start, item, names)


def _linked(start: str, item: Item, names: dict[str, Item]) -> Iterator[str]:
    for name, line in (
        ("linkedPrefixlistIn", "prefix-list {} in"),
        ("linkedPrefixlistOut", "prefix-list {} out"),
        ("linkedRoutemapIn", "route-map {} in"),
        ("linkedRoutemapOut", "route-map {} out"),
    ):
        for uuid in filter(None, item[name].split(",")):
            if names.get(uuid, {}).get("enabled") == "1":
                yield f"{start} {line.format(names[uuid]['name'])}"


def _policies(lists: dict[str, Any], names: dict[str, Item]) -> Iterator[str]:
    for item in _sorted(lists["prefixlists.prefixlist"], "name", "seqnumber"):
        word = "ip" if item["version"] == "IPv4" else "ipv6"
        rule = f"seq {item['seqnumber']} {item['action']} {item['network']}"
        yield f"{word} prefix-list {item['name']} {rule}"
    for item in _sorted(lists["aspaths.aspath"], "number"):
        yield f"bgp as-path access-list {item['number']} {item['action']} {item['as']}"
    for item in _sorted(lists["communitylists.communitylist"], "number"):
        rule = f"seq {item['seqnumber']} {item['action']} {item['community']}"
        yield f"bgp community-list {item['number']} {rule}"
    for item in _sorted(lists["routemaps.routemap"], "name", "id"):
        yield f"route-map {item['name']} {item['action']} {item['id']}"
        yield from _route_map(item, names)


def _route_map(item: Item, names: dict[str, Item]) -> Iterator[str]:
    def chosen(field: str) -> list[Item]:
        return [names[uuid] for uuid in item[field].split(",") if uuid in names]

    lists = chosen("match2")
    yield from _once(f" match as-path {each['number']}" for each in chosen("match"))
    if item["set"]:
        yield f" set {item['set']}"
    for word, is_sixth in (("ip", False), ("ipv6", True)):
        yield from _once(
            f" match {word} address prefix-list {each['name']}"
            for each in lists
            if (":" in each["network"]) == is_sixth
        )
    yield from _once(f" match community {each['number']}" for each in chosen("match3"))


def _bfd(bfd: dict[str, Any]) -> Iterator[str]:
    yield "bfd"
    for item in _enabled(bfd["lists"]["neighbors.neighbor"]):
        peer = f" peer {item['address']}"
        if item["multihop"] == "1":
            peer += " multihop"
        if item["localaddress"]:
            peer += f" local-address {item['localaddress']}"
        if item["interfacename"]:
            peer += f" interface {item['interfacename']}"
        yield peer
        yield f"  detect-multiplier {item['detect_multiplier']}"
        yield f"  receive-interval {item['receive_interval']}"
        yield f"  transmit-interval {item['transmit_interval']}"


def _static(static: dict[str, Any]) -> Iterator[str]:
    for item in _enabled(static["lists"]["routes.route"]):
        word = "ipv6" if ":" in item["network"] else "ip"
        parts = (item["gateway"], item["interfacename"], "bfd" if item["bfd"] == "1" else "")
        yield " ".join([f"{word} route {item['network']}", *filter(None, parts)])


def _enabled(items: dict[str, Item]) -> list[Item]:
    return [item for item in items.values() if item["enabled"] == "1"]


def _sorted(items: dict[str, Item], *by: str) -> list[Item]:
    def key(item: Item) -> list[tuple[int, str]]:
        values = (item[name] for name in by)
        return [(int(value) if value.isdecimal() else 0, value) for value in values]

    return sorted(_enabled(items), key=key)


def _once(lines: Iterable[str]) -> Iterable[str]:
    return dict.fromkeys(lines)


def _write(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o640)
    shutil.chown(new, "frr", "frr")
    new.replace(path)


def _run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if check and done.returncode:
        last = (done.stdout + done.stderr).strip().splitlines()[-5:]
        raise RuntimeError(f"{command[0]}: {' / '.join(last)}")
    return done.stdout
