"""What HAProxy accepts as a change is a difference; what means nothing to it is none."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from goldentooth.artifact import diff_texts
from goldentooth.compare import same_meaning
from tests.namespaces import needs, run_judge

SHIPPED = Path(__file__).parents[1] / "golden/build/allyrion/etc/haproxy/haproxy.cfg"

WIDE = """\
global
    log 127.0.0.1 local0 notice
    maxconn 2000
    daemon
    tune.bufsize 16384
    stats timeout 20s

userlist operators
    user admin insecure-password swordfish

resolvers names
    nameserver one 10.4.0.2:53
    hold valid 10s

defaults
    log global
    mode http
    option httplog
    option dontlognull
    no option http-ignore-probes
    timeout connect 2s
    timeout client 30s
    timeout server 40s
    retries 2
    maxconn 900

frontend web
    bind 10.4.0.10:8080
    bind 10.4.0.10:8443 name second
    acl is_api path_beg /api
    acl is_own src 10.4.0.0/20
    http-request set-header X-Seen "one two"
    http-request deny deny_status 403 if is_api !is_own
    http-request return status 200 content-type text/plain string 'fine' if { path /health }
    use_backend api if is_api
    use_backend static if { hdr(host) -i files.goldentooth.net }
    default_backend web-servers
    option forwardfor except 127.0.0.0/8
    timeout http-request 5s

backend web-servers
    balance leastconn
    cookie SEEN insert indirect nocache
    option httpchk GET /ready
    http-check expect status 200
    default-server inter 3s fall 4 rise 2
    server one 10.4.0.11:80 check weight 10 cookie one
    server two 10.4.0.12:80 check weight 20 cookie two
    server three 10.4.0.13:80 check backup maxconn 50
    fullconn 300

backend api
    balance hdr(X-User)
    hash-type consistent
    stick-table type ip size 10k expire 5m
    stick on src
    retry-on conn-failure
    server one 10.4.0.11:8000 check port 8001 inter 2s
    server two 10.4.0.12:8000 check port 8001 inter 2s

backend static
    http-response set-header Cache-Control max-age=60
    server files 10.4.0.14:80 resolvers names

defaults
    mode tcp
    timeout connect 1s
    timeout client 4h
    timeout server 4h

listen database
    bind 10.4.0.10:5432
    balance roundrobin
    option tcp-check
    tcp-check connect
    server first 10.4.0.15:5432 check
    server second 10.4.0.16:5432 check
"""

ADDED = {
    "global": ["spread-checks 4", "nbthread 2", "ssl-server-verify none", "hard-stop-after 9s"],
    "defaults": ["option abortonclose", "timeout queue 7s", "fullconn 10", "option tcpka"],
    "frontend": ["maxconn 77", "option contstats", "rate-limit sessions 100", "bind 10.4.0.10:99"],
    "listen": ["server third 10.4.0.17:5432", "retries 9", "balance source", "timeout tunnel 2h"],
    "backend": ["server more 10.4.0.18:80", "option allbackups", "no option redispatch"],
}
OTHER_WORDS = {
    word: [other for other in words.split() if other != word]
    for words in (
        "roundrobin leastconn source first static-rr",
        "notice info err",
        "local0 local1",
        "one two",
        "check backup disabled",
        "fall rise",
        "is_api is_own",
        "client server connect",
        "path path_beg path_end",
        "httplog tcplog",
        "dontlognull log-health-checks logasap",
        "X-Seen X-Other",
        "fine sound",
    )
    for word in words.split()
}
SETTINGS = re.compile(
    r" +((no )?option (dontlognull|http-ignore-probes|redispatch|clitcpka|srvtcpka)|chroot |daemon"
    r"|timeout (?!http)|mode |retries |maxconn |fullconn |balance |default_backend |clitcpka-"
    r"|srvtcpka-|user |group )"
)
"""Lines that HAProxy's manual lets stand anywhere in their section."""


def texts() -> dict[str, str]:
    return {"shipped": SHIPPED.read_text(), "wide": WIDE}


def bare(text: str) -> str:
    """Return ``text`` without comments and empty lines."""
    return re.sub(r"(?m)^[ \t]*(#.*)?\n", "", text)


def changed(text: str, chance: random.Random) -> str:
    """Return ``text`` with another number, word or order, or a line more or less."""
    lines = bare(text).split("\n")[:-1]
    at = chance.choice([at for at, line in enumerate(lines) if line[0] == " "])
    line, words = lines[at], lines[at].split(" ")
    section = next(other.split(" ")[0] for other in reversed(lines[:at]) if other[0] != " ")
    kind = chance.choice(("word", "word", "word", "word", "remove", "add", "swap", "again"))
    if kind == "remove":
        del lines[at]
    elif kind == "add" and section in ADDED:
        lines.insert(at, f"    {chance.choice(ADDED[section])}")
    elif kind == "swap":
        after = lines[at + 1] if at + 1 < len(lines) else ""
        if re.match(r" +(server|http-request|use_backend|tcp-check) ", line) and (
            after.split()[:1] == line.split()[:1]
        ):
            lines[at : at + 2] = [after, line]
    else:
        place = chance.randrange(len(words))
        if other := changed_word(words[place], chance):
            new = " ".join([*words[:place], other, *words[place + 1 :]])
            lines[at : at + 1] = [new] if kind == "word" else [line, new]
    return "\n".join(lines) + "\n"


def changed_word(word: str, chance: random.Random) -> str | None:
    if word in OTHER_WORDS:
        return chance.choice(OTHER_WORDS[word])
    if not (number := re.search(r"\d+", word)):
        return None
    other = str(int(number[0]) + chance.choice((1, 3, 10)))
    return word[: number.start()] + other + word[number.end() :]


def harmless(text: str, chance: random.Random) -> str:
    """Return ``text`` in another order and with other quotes, blanks and comments."""
    sections: list[list[str]] = []
    for line in bare(text).split("\n")[:-1]:
        if line[0] != " ":
            sections.append([line])
        else:
            sections[-1].append(line)
    parts: list[list[list[str]]] = [[]]
    for section in sections:
        own = [line for line in section[1:] if not SETTINGS.match(line)]
        settings = [line for line in section[1:] if SETTINGS.match(line)]
        for line in chance.sample(settings, len(settings)):
            own.insert(chance.randint(0, len(own)), line)
        if section[0].startswith(("frontend", "backend", "listen")):
            parts[-1].append([section[0], *own])
        else:
            parts += [[[section[0], *own]], []]
    for part in parts:
        chance.shuffle(part)
    return "".join(
        f"{rewritten(line, chance)}\n" for part in parts for section in part for line in section
    )


def rewritten(line: str, chance: random.Random) -> str:
    words = re.findall(r"'[^']*'|\"[^\"]*\"|\S+", line)
    if words[0] == "server" and "resolvers" not in words:
        options = re.findall(r"check|backup|\w+ \S+", " ".join(words[3:]))
        chance.shuffle(options)
        words = [*words[:3], *" ".join(options).split()]
    quoted = [requoted(word, chance) if chance.random() < 0.2 else word for word in words]
    indent = "" if line[0] != " " else chance.choice((" ", "  ", "\t", ""))
    comment = chance.choice(("", "", " # why", "\n# a comment", "\n", "  "))
    return indent + chance.choice((" ", "  ", "\t")).join(quoted) + comment


def requoted(word: str, chance: random.Random) -> str:
    if word[0] in "'\"":
        return word[1:-1].replace(" ", "\\ ")
    return chance.choice((f'"{word}"', f"'{word}'", f"{word[:1]}'{word[1:]}'"))


def renamed(text: str, number: int) -> str:
    """Return ``text`` with sections of its own names, so that many stand in one file."""
    names = re.findall(r"(?m)^(?:frontend|backend|listen|userlist|resolvers) (\S+)", text)
    named = r"((?:frontend|backend|listen|userlist|resolvers|use_backend|default_backend) )"
    longest_first = "|".join(sorted(names, key=len, reverse=True))
    return re.sub(rf"{named}({longest_first})\b", rf"\1\2--{number}", text)


def accepted(pairs: dict[int, tuple[str, str]], file: Path) -> list[tuple[str, str]]:
    """Return the pairs of which HAProxy accepts the second text, all of them in one file.

    They are keyed by the number that their sections' names end in.
    """
    kept = dict(pairs)
    while kept:
        owner = [number for number, (_, text) in kept.items() for _ in range(text.count("\n"))]
        file.write_text("".join(text for _, text in kept.values()))
        judged = run_judge("haproxy", "-c", "-f", file)
        if judged.returncode == 0:
            return list(kept.values())
        lines = judged.stdout.split("\n")
        # of what is there once for all, the first one counts: said, but no error
        alerts = "\n".join(line for line in lines if "ALERT" in line and "already spec" not in line)
        bad = {owner[int(at) - 1] for at in re.findall(r"cfg:(\d+)", alerts)}
        bad |= {int(number) for number in re.findall(r"--(\d+)", alerts)}
        assert bad & kept.keys(), judged.stdout
        kept = {number: pair for number, pair in kept.items() if number not in bad}
    return []


@needs("haproxy", "haproxy")
@pytest.mark.parametrize(("name", "wanted"), [("shipped", 100), ("wide", 200)])
def test_every_change_that_haproxy_accepts_is_a_difference(
    tmp_path: Path, name: str, wanted: int
) -> None:
    chance = random.Random(f"changes of {name}")  # noqa: S311  # the same ones on every run
    pairs: dict[str, tuple[int, tuple[str, str]]] = {}
    for number in range(6 * wanted):
        base = renamed(texts()[name], number)
        other = changed(base, chance)
        if other != bare(base):
            pairs.setdefault(other.replace(f"--{number}", ""), (number, (base, other)))
    judged = accepted(dict(pairs.values()), tmp_path / "haproxy.cfg")
    assert len(judged) >= wanted
    for base, other in judged:
        assert not same_meaning("haproxy", base, other), diff_texts(base, other, "haproxy.cfg")


@needs("haproxy", "haproxy")
@pytest.mark.parametrize(("name", "count"), [("shipped", 100), ("wide", 200)])
def test_what_haproxy_does_not_mind_is_no_difference(tmp_path: Path, name: str, count: int) -> None:
    chance = random.Random(f"orders of {name}")  # noqa: S311  # the same ones on every run
    bases = [renamed(texts()[name], number) for number in range(count)]
    pairs = [(base, harmless(base, chance)) for base in bases]
    assert accepted(dict(enumerate(pairs)), tmp_path / "haproxy.cfg") == pairs
    for base, other in pairs:
        assert same_meaning("haproxy", base, other), diff_texts(base, other, "haproxy.cfg")


WORDS = [
    *("a\\ b", '"a b"', "'a b'", "a\\.b", '"a\\.b"', "'a\\.b'", "a\\$b", '"a\\$b"', "'a$b'", "a$b"),
    *("a\\'b", 'a"b\'c"d', "a'b\"c'd", "a\\x41b", '"a\\x41b"', "'a\\x41b'", "aAb", '"a${HOME}b"'),
    *(
        "a\\\\b",
        '"a\\\\b"',
        "'a\\b'",
        "a\\#b",
        "a#b",
        '"a#b"',
        "a\\tb",
        '"a\\"b"',
        "a\\qb",
        "'a\\qb'",
    ),
    *('a""b', "ab", "a\\nb", "a\vb", "a\rb", "a\fb", "a\xa0b", "a\u2028b", 'a\\"b', '"a\\ b"', "a"),
]


@needs("haproxy", "haproxy")
def test_words_are_alike_as_haproxy_reads_them(tmp_path: Path) -> None:
    """HAProxy names a word that it does not know as it has read it."""
    file = tmp_path / "haproxy.cfg"
    read = {}
    for word in WORDS:
        file.write_text(f"global\n {word} second\n", encoding="utf-8")
        judged = run_judge("haproxy", "-c", "-f", file).stdout
        read[word] = re.search(r"(?s)unknown keyword '(.*)' in 'global'", judged)[1]
    for one in WORDS:
        for other in WORDS:
            is_same = read[one] == read[other]
            if "$" in one and "${" in one + other:
                continue  # which value a variable has is not known here
            if "a" in {read[one], read[other]}:
                continue  # where a comment or a line's end cuts off the second word
            pair = f"global\n {one} second\n", f"global\n {other} second\n"
            assert same_meaning("haproxy", *pair) == is_same, (one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('http-request deny if { hdr(x) "$HOME" }', "http-request deny if { hdr(x) '$HOME' }"),
        (
            "server a 10.0.0.1:80\n server b 10.0.0.2:80",
            "server b 10.0.0.2:80\n server a 10.0.0.1:80",
        ),
        ("option tcp-check\n option httpchk", "option httpchk\n option tcp-check"),
        ("timeout client 1s\n timeout client 2s", "timeout client 2s\n timeout client 1s"),
        ("default-server check\n server a :80", "server a :80\n default-server check"),
        ("server a :80 ssl no-ssl", "server a :80 no-ssl ssl"),
        ("server a :80 inter 1s inter 2s", "server a :80 inter 2s inter 1s"),
        ("option tcpka\n no option clitcpka", "no option clitcpka\n option tcpka"),
        (".if defined(X)\n retries 2\n.endif", "retries 2\n.if defined(X)\n.endif"),
        ('log-format "a"\n option tcplog', 'option tcplog\n log-format "a"'),
    ],
)
def test_an_order_that_matters_is_a_difference(one: str, other: str) -> None:
    assert not same_meaning("haproxy", f"listen x\n {one}\n", f"listen x\n {other}\n")


def test_defaults_are_for_the_sections_that_follow() -> None:
    http, tcp = "defaults\n mode http\n", "defaults\n mode tcp\n"
    front, back = "frontend f\n bind :80\n", "backend b\n server s :80\n"
    assert not same_meaning("haproxy", http + front + tcp + back, tcp + front + http + back)
    assert not same_meaning("haproxy", http + front + tcp + back, http + tcp + front + back)
    assert same_meaning("haproxy", http + front + back + tcp, http + back + front + tcp)


def test_a_line_that_haproxy_cannot_read_is_kept() -> None:
    assert not same_meaning("haproxy", "global\n log 'a\n", "global\n log a\n")
    assert not same_meaning("haproxy", 'global\n log "$1"\n', 'global\n log "$2"\n')
