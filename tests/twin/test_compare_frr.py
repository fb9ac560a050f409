"""FRR itself says which changes of its configuration mean something: what it then runs with."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldentooth.artifact import diff_texts
from goldentooth.compare import canonical, same_meaning
from tests.namespaces import Namespace, eventually, namespaces, needs

pytestmark = [pytest.mark.root, needs("bgpd", "frr")]

BUILD = Path(__file__).parents[1] / "golden" / "build"
SHIPPED = {
    "router": BUILD / "_twin/router/etc/frr/frr.conf",
    "speaker": BUILD / "_twin/fenn/etc/frr/frr.conf",
}

WIDE = """\
frr defaults traditional
hostname router
log syslog informational
service integrated-vtysh-config
bgp route-map delay-timer 3
!
ip prefix-list POOL seq 5 permit 10.4.11.0/24 le 32
ip prefix-list POOL seq 10 permit 10.4.12.0/22 ge 24 le 30
ip prefix-list POOL seq 20 deny any
ip prefix-list OTHER seq 5 permit 10.9.0.0/16
ipv6 prefix-list SIX seq 5 permit 2001:db8::/32 le 64
bgp as-path access-list PATHS seq 5 permit ^64501_
bgp as-path access-list PATHS seq 10 deny .*
bgp community-list standard MARKED seq 5 permit 64500:1 64500:2
bgp community-list standard MARKED seq 10 permit 64500:7
bgp large-community-list standard LARGE seq 5 permit 64500:1:1
access-list NETS seq 5 permit 10.0.0.0/8
access-list NETS seq 10 deny any
!
route-map IMPORT permit 10
 description what nodes may announce
 match ip address prefix-list POOL
 match metric 20
 set local-preference 200
 set community 64500:1 64500:2 additive
 on-match next
exit
route-map IMPORT permit 20
 match community MARKED
 match as-path PATHS
 set weight 30
 set as-path prepend 64500 64500
 set metric 5
exit
route-map IMPORT deny 30
 match ip next-hop prefix-list OTHER
exit
route-map EXPORT permit 10
 match ip address prefix-list OTHER
 set ip next-hop 10.4.0.9
 set origin igp
 call IMPORT
exit
!
router bgp 64500
 bgp router-id 10.4.0.1
 bgp log-neighbor-changes
 bgp cluster-id 10.4.0.77
 bgp bestpath as-path multipath-relax
 bgp bestpath med missing-as-worst
 bgp default local-preference 150
 bgp graceful-restart restart-time 90
 bgp listen limit 200
 timers bgp 20 60
 neighbor CLUSTER peer-group
 neighbor CLUSTER remote-as 64501
 neighbor CLUSTER timers 60 180
 neighbor CLUSTER timers connect 10
 neighbor CLUSTER password swordfish
 neighbor EDGE peer-group
 neighbor EDGE remote-as external
 neighbor EDGE advertisement-interval 7
 neighbor 10.4.0.11 peer-group CLUSTER
 neighbor 10.4.0.11 description bettley of the rack
 neighbor 10.4.0.12 peer-group CLUSTER
 neighbor 10.4.0.12 description cargyll
 neighbor 10.4.0.13 remote-as 64513
 neighbor 10.4.0.13 ebgp-multihop 3
 neighbor 10.4.0.13 update-source 10.4.0.1
 neighbor 10.4.0.13 bfd
 neighbor 10.4.0.13 capability dynamic
 neighbor 10.4.0.14 remote-as 64500
 neighbor 10.4.0.14 port 1790
 neighbor 10.4.0.14 passive
 neighbor 2001:db8::14 remote-as 64514
 neighbor 2001:db8::14 ttl-security hops 2
 bgp listen range 10.77.0.0/16 peer-group EDGE
 !
 address-family ipv4 unicast
  network 10.1.0.0/16
  network 10.2.0.0/16 route-map EXPORT
  aggregate-address 10.0.0.0/8 summary-only
  redistribute connected route-map EXPORT
  redistribute static metric 9
  neighbor CLUSTER route-map IMPORT in
  neighbor CLUSTER route-map EXPORT out
  neighbor CLUSTER maximum-prefix 1279 restart 5
  neighbor 10.4.0.13 prefix-list POOL in
  neighbor 10.4.0.13 filter-list PATHS out
  neighbor 10.4.0.13 soft-reconfiguration inbound
  neighbor 10.4.0.13 allowas-in 2
  neighbor 10.4.0.13 weight 40
  neighbor 10.4.0.14 route-reflector-client
  neighbor 10.4.0.14 next-hop-self
  no neighbor 10.4.0.14 send-community extended
  no neighbor 2001:db8::14 activate
  maximum-paths 64
  maximum-paths ibgp 8
  distance bgp 30 210 210
 exit-address-family
 !
 address-family ipv6 unicast
  network 2001:db8:4::/48
  neighbor 2001:db8::14 activate
  neighbor 2001:db8::14 prefix-list SIX in
 exit-address-family
exit
!
"""

GRAMMAR = """
router bgp 64500| bgp always-compare-med
router bgp 64500| bgp deterministic-med
router bgp 64500| no bgp ebgp-requires-policy
router bgp 64500| no bgp default ipv4-unicast
router bgp 64500| no bgp network import-check
router bgp 64500| bgp bestpath compare-routerid
router bgp 64500| bgp bestpath as-path ignore
router bgp 64500| bgp minimum-holdtime 9
router bgp 64500| neighbor 10.4.0.15 remote-as 64515
router bgp 64500| neighbor 10.4.0.13 shutdown
router bgp 64500| neighbor 10.4.0.13 local-as 65001 no-prepend
router bgp 64500| neighbor 10.4.0.11 timers 3 9
router bgp 64500| neighbor 10.4.0.13 disable-connected-check
router bgp 64500| neighbor 10.4.0.13 timers connect 33
router bgp 64500| neighbor 10.4.0.13 description edge
router bgp 64500| neighbor 10.4.0.12 shutdown message out of order
router bgp 64500| neighbor 10.4.0.14 peer-group EDGE
address-family ipv4 unicast|  network 10.3.0.0/16
address-family ipv4 unicast|  redistribute kernel
address-family ipv4 unicast|  neighbor 10.4.0.13 default-originate
address-family ipv4 unicast|  neighbor 10.4.0.13 next-hop-self force
address-family ipv4 unicast|  neighbor 10.4.0.13 remove-private-AS all
address-family ipv4 unicast|  neighbor 10.4.0.13 as-override
address-family ipv4 unicast|  neighbor 10.4.0.13 route-map IMPORT in
address-family ipv4 unicast|  neighbor 10.4.0.13 unsuppress-map EXPORT
address-family ipv4 unicast|  no neighbor 10.4.0.12 activate
address-family ipv4 unicast|  no neighbor CLUSTER activate
address-family ipv4 unicast|  no neighbor 10.4.0.13 send-community
address-family ipv4 unicast|  table-map EXPORT
address-family ipv4 unicast|  bgp dampening 10 100 200 30
address-family ipv6 unicast|  neighbor 10.4.0.13 activate
address-family ipv6 unicast|  redistribute connected
route-map IMPORT permit 20| match peer 10.4.0.13
route-map IMPORT permit 20| match origin igp
route-map IMPORT permit 20| match ip address NETS
route-map IMPORT permit 20| set large-community 64500:1:2
route-map IMPORT permit 20| set ip next-hop 10.4.0.99
route-map IMPORT permit 20| on-match goto 40
route-map EXPORT permit 10| set atomic-aggregate
route-map EXPORT permit 10| match tag 7
|ip prefix-list POOL seq 15 deny 10.4.13.0/24
|ip prefix-list FRESH permit 10.99.0.0/16
|bgp community-list standard MARKED seq 15 deny 64500:9
|bgp as-path access-list PATHS seq 7 permit _64999$
|access-list NETS seq 7 deny 10.66.0.0/16
|bgp route-map delay-timer 9
"""
"""Lines that may be added: in which block, and what."""

KEYWORDS = [
    *("permit deny", "in out", "connected static kernel", "igp egp incomplete", "le ge"),
    *("POOL OTHER", "IMPORT EXPORT", "PATHS SOMETHING", "MARKED ELSE", "CLUSTER EDGE"),
    *("informational warnings", "summary-only as-set", "external internal"),
]
OTHER_WORDS = {
    word: [other for other in words.split() if other != word]
    for words in KEYWORDS
    for word in words.split()
}


HEADER = re.compile(r"router |address-family |route-map \S+ (permit|deny) \d+$")


UNDOABLE = re.compile(
    r"router |route-map |(ip|ipv6) (prefix-list|route|nht|router-id|protocol) |access-list |bgp "
    r"|log |interface |vrf |bfd$"
)


class Daemon:
    """One daemon's configuration, line by line over the socket that vtysh uses."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._buffer = b""
        self.run("enable")
        self.run("configure terminal")
        self.empty = self.running()

    def run(self, line: str) -> tuple[int, str]:
        """Return the status of a line, 0 if it was accepted, and what it printed."""
        self._socket.sendall(line.encode() + b"\0")
        while (end := self._buffer.find(b"\0\0\0")) < 0 or len(self._buffer) < end + 4:
            received = self._socket.recv(65536)
            assert received, f"the daemon died of {line!r}"
            self._buffer += received
        status, output = self._buffer[end + 3], self._buffer[:end].decode()
        self._buffer = self._buffer[end + 4 :]
        return status, output

    def running(self) -> str:
        output = self.run("do show running-config")[1]
        lines = re.sub(r"(?m)^! .*\n|^!$", "", output).split("\n")
        return "\n".join(line.rstrip() for line in lines if line.strip())

    def load(self, text: str) -> tuple[bool, str]:
        """Return whether every line was accepted, and what runs then."""
        self._reset()
        accepted, depth = True, 0
        for raw in text.split("\n"):
            line = " ".join(raw.split())
            # these two are for vtysh, which does not hand them on
            if not line or line[0] in "!#" or line.startswith(("service int", "hostname ")):
                continue
            if line == "exit" and not depth:
                return False, self.running()  # vtysh leaves the configuration here
            taken = self.run(raw)[0] == 0
            accepted &= taken
            if taken and HEADER.match(line):
                depth = 2 if line.startswith("address") else 1
            elif taken and line.startswith("exit"):
                depth -= 1
        self.run("end")
        self.run("configure terminal")
        return accepted, self.running()

    def _reset(self) -> None:
        for line in reversed(self.running().split("\n")):
            if UNDOABLE.match(line):
                self.run(f"no {line}")
        assert self.running() == self.empty, self.running()


@pytest.fixture(scope="module")
def frr() -> Iterator[tuple[Namespace, Path]]:
    """Give FRR's daemons in a namespace of their own, and the folder of their sockets."""
    with namespaces(1) as (namespace,), tempfile.TemporaryDirectory(prefix="frr-") as name:
        folder = Path(name)
        namespace.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
        shutil.chown(folder, "frr", "frr")
        common = ["-u", "frr", "-g", "frr", "--vty_socket", name, "-A", "127.0.0.1", "-P", "0"]
        for daemon in ("zebra", "bgpd", "staticd", "bfdd"):
            files = ["-z", f"{name}/zserv.api", "-i", f"{name}/{daemon}.pid", "-f", "/dev/null"]
            sockets = ["--bfdctl", f"{name}/bfdd.sock"] if daemon == "bfdd" else []
            namespace.start(f"/usr/lib/frr/{daemon}", *common, *files, *sockets)
            eventually((folder / f"{daemon}.vty").exists)
        yield namespace, folder


@pytest.fixture(scope="module")
def bgpd(frr: tuple[Namespace, Path]) -> Iterator[Daemon]:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(20)
        connection.connect(str(frr[1] / "bgpd.vty"))
        yield Daemon(connection)


# -- changes ------------------------------------------------------------------------------


def changed_word(word: str, chance: random.Random) -> str | None:
    """Return another word of the same kind, or None for one that has no other."""
    if word in OTHER_WORDS:
        return chance.choice(OTHER_WORDS[word])
    numbers = list(re.finditer(r"\d+", word))
    if not numbers or not re.fullmatch(r"[\d./:]+|[0-9a-f:]+(/\d+)?", word):
        return None
    number = chance.choice(numbers)
    other = max(0, int(number[0]) + chance.choice((-1, 1, 7)))
    return f"{word[: number.start()]}{other}{word[number.end() :]}"


def changed(text: str, chance: random.Random) -> str:
    """Return ``text`` with one change that the grammar knows of."""
    lines = text.split("\n")
    kind = chance.choice(("word", "word", "word", "remove", "add", "twice", "swap", "negate"))
    at = chance.randrange(len(lines))
    line, words = lines[at], lines[at].split(" ")
    if kind == "add":
        block, _, new = chance.choice(GRAMMAR.strip().split("\n")).partition("|")
        place = next((at for at, line in enumerate(lines) if block and line.strip() == block), -1)
        end = next(
            at
            for at in range(place + 1, len(lines))
            if not block or "!" in lines[at] or "exit" in lines[at]
        )
        lines.insert(chance.randint(place + 1, end) if block else 4, new)
    elif not line.strip() or line.strip()[0] == "!" or "exit" in line:
        pass
    elif kind == "remove":
        del lines[at]
    elif kind == "swap" and line[:1] == " ":
        other = at + chance.choice((-1, 1, 2))
        if lines[other][:2] == line[:2]:
            lines[at], lines[other] = lines[other], lines[at]
    elif kind == "negate" and line[:1] == " ":
        lines.insert(at + 1, f" no {line.strip()}")
    else:
        place = chance.randrange(len(words))
        other = changed_word(words[place], chance)
        if other is not None:
            new = " ".join([*words[:place], other, *words[place + 1 :]])
            lines[at : at + 1] = [new] if kind == "word" else chance.sample([line, new], 2)
    return "\n".join(lines)


def harmless(text: str, chance: random.Random) -> str:
    """Return ``text`` in another order, with other blanks and comments, as FRR minds neither."""
    top, blocks = [], []
    for line in text.split("\n"):
        if not line.strip() or line.strip() == "!":
            continue
        if line[0] == " ":
            blocks[-1].append(line)
        elif line == "exit":
            continue
        elif line.startswith(("router", "route-map")):
            blocks.append([line])
        else:
            top.append([line])
    chunks = [*top, *(shuffled(block, chance) for block in blocks)]
    if chance.random() < 0.7:
        chance.shuffle(chunks)
    # FRR takes what it is told of a profile or of delays for what follows: they stay in front
    lines = []
    for chunk in chunks:
        lines += [*chunk, "exit"] if len(chunk) > 1 or chunk[0].startswith("route") else chunk
    return "\n".join(respaced(line, chance) for line in lines) + "\n"


def shuffled(block: list[str], chance: random.Random) -> list[str]:
    """Return a block with its lines in another order; what makes neighbors stays in front."""
    makes = re.compile(r"( no)? (neighbor \S+ (peer-group|remote-as)|bgp default ipv4-unicast)")
    families: list[list[str]] = []
    own: list[str] = []
    for line in block[1:]:
        if "address-family" in line and "exit" not in line:
            families.append([line])
        elif line[:2] == "  ":
            families[-1].append(line)
        elif "exit" not in line:
            own.append(line)
    making = [line for line in own if makes.match(line)]
    others = [line for line in own if not makes.match(line)]
    chance.shuffle(others)
    for family in families:
        inner = family[1:]
        chance.shuffle(inner)
        family[1:] = [*inner, " exit-address-family"]
    chance.shuffle(families)
    spare = chance.sample(
        (
            "bgp ebgp-requires-policy",
            "bgp client-to-client reflection",
            "bgp fast-external-failover",
        ),
        1,
    )
    extra = [
        f" {line}" for line in spare if block[0].startswith("router") and chance.random() < 0.3
    ]
    return [block[0], *making, *others, *extra, *(line for family in families for line in family)]


def respaced(line: str, chance: random.Random) -> str:
    text = (
        "description" not in line and chance.random() < 0.5 and " " * chance.randint(2, 3)
    ) or " "
    spaced = (
        " " * chance.randint(0, 4) + line.strip().replace(" ", text) + " " * chance.randint(0, 2)
    )
    if chance.random() < 0.2:
        spaced += f"\n{chance.choice(('!', '! a comment', ' !', '', '# another'))}"
    return spaced


def held(running: str) -> list[tuple[str, ...]]:
    """Return the lines of a running configuration with their blocks, without their order."""
    block: tuple[str, ...] = ()
    lines = []
    for line in running.split("\n"):
        if line.startswith(("exit", " exit")):
            block = block[:-1]
        elif HEADER.match(line.strip()):
            block = (*block, line)
            lines.append(block)
        else:
            lines.append((*block, line))
    return sorted(lines)


# -- what must hold -----------------------------------------------------------------------


def texts() -> dict[str, str]:
    return {**{name: path.read_text() for name, path in SHIPPED.items()}, "wide": WIDE}


def difference(one: str, other: str) -> str:
    forms = ["".join(f"{line}\n" for line in canonical("frr", text)) for text in (one, other)]
    return f"{diff_texts(one, other, 'text')}\n{diff_texts(*forms, 'canonical')}"


def looks_undone(text: str) -> bool:
    """Tell whether a neighbor is unmade again: that is always taken for a difference."""
    return re.search(r"no neighbor \S+ (remote-as|peer-group)", text) is not None


@pytest.mark.parametrize(("name", "wanted"), [("router", 50), ("speaker", 40), ("wide", 230)])
def test_every_change_that_frr_acts_on_is_a_difference(
    bgpd: Daemon, name: str, wanted: int
) -> None:
    text = texts()[name]
    accepted, before = bgpd.load(text)
    assert accepted
    meaning = canonical("frr", text)
    chance = random.Random(f"changes of {name}")  # noqa: S311  # the same ones on every run
    acted_on: set[str] = set()
    others = dict.fromkeys(changed(text, chance) for _ in range(20 * wanted))
    for other in (other for other in others if other != text):
        accepted, after = bgpd.load(other)
        if held(after) != held(before):
            assert canonical("frr", other) != meaning, difference(before, after)
            acted_on |= {other} if accepted else set()
        if accepted and not looks_undone(other):
            # and as it is in the file, it is in the running configuration
            assert canonical("frr", other) == canonical("frr", after), difference(other, after)
        if len(acted_on) >= wanted:
            return
    raise AssertionError(f"only {len(acted_on)} changes that FRR acts on")


@pytest.mark.parametrize(("name", "count"), [("router", 100), ("speaker", 80), ("wide", 120)])
def test_what_frr_holds_alike_is_no_difference(bgpd: Daemon, name: str, count: int) -> None:
    text = texts()[name]
    _, before = bgpd.load(text)
    chance = random.Random(f"orders of {name}")  # noqa: S311  # the same ones on every run
    others = {harmless(text, chance) for _ in range(count)}
    assert len(others) == count
    for other in others:
        accepted, after = bgpd.load(other)
        assert accepted, other
        assert held(before) == held(after), difference(before, after)
        assert same_meaning("frr", text, other), difference(text, other)


STATIC_AND_BFD = """\
ip route 10.20.0.5/16 10.4.0.9
ip route 10.21.0.0 255.255.0.0 10.4.0.9 1
ip route 10.22.0.0/16 null0
ip route 10.23.0.0/16 Null0 200
ip route 10.24.0.0/16 blackhole
ip route 10.25.0.0/16 reject tag 9 20
ip route 10.26.0.0/16 10.4.0.9 lo
ip route 10.27.0.0/16 lo
ip route 10.28.0.0/16 10.4.0.9 tag 5 200
ip route 10.28.0.0/16 10.4.0.8
ip route 10.30.0.0/16 10.4.0.9 vrf red
ipv6 route 2001:DB8:1::/48 fe80::1 lo
ipv6 route 2001:DB8:2:0::/64 2001:db8:0::1 tag 7
vrf red
 ip route 10.31.0.0/16 10.4.0.9
exit-vrf
interface eth9
 description  to the  rack
 ip address 10.9.0.1/24
 ip address 10.9.0.2/24
exit
interface eth8
exit
ip router-id 10.4.0.1
ip nht resolve-via-default
ip protocol bgp route-map ANY
bfd
 profile QUICK
  detect-multiplier 3
  transmit-interval 100
  receive-interval 300
  no shutdown
  passive-mode
 exit
 peer 10.4.0.12 multihop local-address 10.4.0.1
  profile QUICK
  minimum-ttl 250
 exit
 peer 10.4.0.11
  detect-multiplier 5
  no shutdown
 exit
exit
route-map ANY permit 10
exit
"""

DEFAULTS_AND_FORMS = """\
router bgp 64500
 bgp ebgp-requires-policy
 bgp cluster-id 77
 bgp confederation identifier 65000
 bgp confederation peers 65002 65001
 bgp max-med administrative 4294967294
 timers bgp 60 180
 neighbor SPARE peer-group
 neighbor eth0 interface remote-as external
 neighbor eth1 interface v6only remote-as 65001
 neighbor 10.4.0.1 remote-as 64513
 neighbor 10.4.0.1 ebgp-multihop
 neighbor 10.4.0.1 bfd 3 300 300
 neighbor 10.4.0.1 shutdown rtt 10
 neighbor 10.4.0.2 remote-as internal
 neighbor 10.4.0.2 bfd profile QUICK
 neighbor 10.4.0.2 timers 70 180
 neighbor 10.4.0.2 peer-group SPARE
 neighbor 2001:DB8::0:5 remote-as 64515
 network 10.1.2.3/16
 network 10.8.0.0 mask 255.255.0.0
 neighbor 10.4.0.1 soft-reconfiguration inbound
 bgp dampening 15 750 2000 60
 address-family ipv4
  network 172.16.0.0
  redistribute connected route-map ANY metric 4
  aggregate-address 10.0.0.0 255.0.0.0 summary-only as-set
  neighbor 10.4.0.1 allowas-in 3
  neighbor 10.4.0.1 maximum-prefix 100 75
  neighbor 10.4.0.1 send-community both
  neighbor 10.4.0.1 attribute-unchanged
  neighbor eth0 next-hop-self all
 exit
 address-family l2vpn evpn
  neighbor 10.4.0.1 activate
  advertise-all-vni
 exit-address-family
exit
ip prefix-list LOOSE permit 10.1.2.3/8 le 32 ge 16
ip prefix-list LOOSE permit any
ip prefix-list LOOSE seq 7 permit 10.4.11.0/24 ge 25
ip prefix-list LOOSE description what  passes
bgp community-list standard MARKS permit 64500:2 64500:1
bgp community-list expanded MORE permit ^64500:
bgp as-path access-list PATHS permit ^65000_
route-map ANY permit 10
"""


@pytest.mark.parametrize("text", [*texts().values(), STATIC_AND_BFD, DEFAULTS_AND_FORMS])
def test_what_vtysh_shows_of_a_file_is_the_file(
    frr: tuple[Namespace, Path], tmp_path: Path, text: str
) -> None:
    """Through the whole of FRR: defaults, forms and what it adds are no difference."""
    namespace, folder = frr
    file = tmp_path / "frr.conf"

    def vtysh(*arguments: str) -> str:
        done = namespace.run("vtysh", "--vty_socket", str(folder), *arguments, check=False)
        return done.stdout + done.stderr

    def shown() -> str:
        return vtysh("-c", "show running-config").partition("Current configuration:\n")[2]

    undone = [f"no {line}" for line in reversed(shown().split("\n")) if UNDOABLE.match(line)]
    file.write_text("\n".join(undone))
    vtysh("-f", str(file))
    file.write_text(text)
    output = vtysh("-f", str(file))
    assert "Unknown command" not in output
    assert "Failure" not in output, output
    assert same_meaning("frr", text, shown()), difference(text, shown())
