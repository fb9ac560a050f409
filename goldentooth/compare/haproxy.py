"""HAProxy's configuration (configuration manual 2.6, §2.2 quoting, §2.4 conditions, §4 keywords).

What the order of lines is known to mean nothing for is sorted; every other line keeps its place,
servers too: round robin starts with the first one, and hashes count them. Frontends and backends
may stand in any order between two other sections: `defaults` are for those that follow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_SECTIONS = {
    *("global", "defaults", "frontend", "backend", "listen"),
    *("cache", "crt-store", "fcgi-app", "http-errors", "log-forward", "log-profile", "mailers"),
    *("namespace_list", "peers", "program", "resolvers", "ring", "userlist"),
}
_PROXIES = ("frontend", "backend", "listen")
_PROXY_SETTINGS = {
    *("balance", "default_backend", "fullconn", "maxconn", "mode", "retries"),
    *("clitcpka-cnt", "clitcpka-idle", "clitcpka-intvl"),
    *("srvtcpka-cnt", "srvtcpka-idle", "srvtcpka-intvl"),
}
_SETTINGS = {
    **dict.fromkeys(("defaults", *_PROXIES), _PROXY_SETTINGS),
    "global": {"chroot", "daemon", "group", "maxconn", "pidfile", "user"},
}
"""By section, the keywords of one value whose place in the section means nothing."""

_FLAGS = {
    *("abortonclose", "allbackups", "checkcache", "clitcpka", "contstats", "dontlog-normal"),
    *("dontlognull", "http-buffer-request", "http-ignore-probes", "http-no-delay"),
    *("independent-streams", "log-health-checks", "log-separate-errors", "logasap", "nolinger"),
    *("persist", "prefer-last-server", "redispatch", "socket-stats", "srvtcpka", "tcpka"),
    *("tcp-smart-accept", "tcp-smart-connect", "transparent"),
}
"""Options that are on or off each by itself; checks and log formats are not: the last one wins."""

_TCPKA = {"option clitcpka", "option srvtcpka"}

_SERVER_KEYWORDS = {
    **dict.fromkeys(("backup", "check", "disabled"), 0),
    **dict.fromkeys(("cookie", "downinter", "fall", "fastinter", "id", "inter", "maxconn"), 1),
    **dict.fromkeys(("maxqueue", "minconn", "port", "rise", "slowstart", "tcp-ut", "weight"), 1),
}
"""Keywords of a server that do not depend on each other, with how many values each has."""

_PLACE_COUNTS = re.compile(r"^[ \t]*\.|\$\{?\.LINE|\b[bf]e_id\b", re.MULTILINE)
"""What looks at the order itself: conditions, the line's number, numbers that proxies are given."""

_BLANK = " \t\v\f"
_ESCAPES = {" ": " ", "\\": "\\", "#": "#", "'": "'", '"': '"', "t": "\t", "n": "\n", "r": "\r"}
_VARIABLE = re.compile(r"\$(?:\{([^}]*)\}|(\.?[A-Za-z_][A-Za-z0-9_]*))")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{2}")
_ORDINARY = re.compile(r"[A-Za-z0-9_.:/@%+,=<>*?(){}|^;!&~-]+|\[[A-Za-z0-9_.:-]+\]")
_SHOWN = {"\\": "\\\\", '"': '\\"', "$": "\\$", "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def canonical(text: str) -> tuple[str, ...]:
    r"""Return the sections' lines, each word quoted in one way.

    >>> canonical("backend b\n server s 10.4.0.11:6443 rise 2 check\n mode 'tcp' # not http")
    ('backend b', '  mode tcp', '  server s 10.4.0.11:6443 check rise 2')
    """
    sections = _sections(text)
    if not _PLACE_COUNTS.search(text):
        sections = [(header, _sorted(header, lines)) for header, lines in _grouped(sections)]
    return tuple(
        line
        for header, lines in sections
        for line in (
            *filter(None, [" ".join(header)]),
            *(f"  {' '.join(words)}" for words in lines),
        )
    )


_Section = tuple[tuple[str, ...], list[tuple[str, ...]]]


def _sections(text: str) -> list[_Section]:
    sections: list[_Section] = [((), [])]
    for line in text.split("\n"):
        try:
            words = tuple(_words(line))
        except ValueError:
            words = ("unreadable:", line)  # HAProxy refuses the file
        if words and words[0] in _SECTIONS:
            sections.append((words, []))
        elif words:
            sections[-1][1].append(words)
    return sections


def _grouped(sections: list[_Section]) -> Iterator[_Section]:
    """Give the sections, with each run of frontends and backends sorted by their names."""
    run: list[_Section] = []
    for section in sections:
        if section[0][:1] and section[0][0] in _PROXIES:
            run.append(section)
            continue
        yield from sorted(run, key=lambda each: each[0])
        run = []
        yield section
    yield from sorted(run, key=lambda each: each[0])


def _sorted(header: tuple[str, ...], lines: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the lines with the settings first, by name; two of one setting keep their order."""
    section = header[0] if header else ""
    named = [(_setting(section, words), _server(words)) for words in lines]
    if any(name == "option tcpka" for name, _ in named):  # it is both of the others at once
        named = [("option tcpka" if name in _TCPKA else name, words) for name, words in named]
    settings = sorted((each for each in named if each[0]), key=lambda each: str(each[0]))
    return [words for _, words in settings] + [words for name, words in named if not name]


def _setting(section: str, words: tuple[str, ...]) -> str | None:
    """Return the name of the setting, if the line's place in its section means nothing."""
    if words[0] in _SETTINGS.get(section, ()):
        return words[0]
    if section not in _SETTINGS or section == "global" or len(words) < 2:
        return None
    if words[0] == "timeout":
        return f"timeout {words[1]}"
    option = words[1:] if words[0] == "no" else words
    if option[0] == "option" and len(option) > 1 and option[1] in _FLAGS:
        return f"option {option[1]}"
    return None


def _server(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return a server's line with its keywords sorted, if none of them depends on another."""
    fixed = {"server": 3, "default-server": 1}.get(words[0])
    if fixed is None:
        return words
    options: dict[str, tuple[str, ...]] = {}
    at = fixed
    while at < len(words):
        count = _SERVER_KEYWORDS.get(words[at])
        if count is None or words[at] in options or at + count >= len(words):
            return words
        options[words[at]] = words[at : at + count + 1]
        at += count + 1
    return (*words[:fixed], *(word for name in sorted(options) for word in options[name]))


# -- words ------------------------------------------------------------------------------


def _words(line: str) -> Iterator[str]:
    """Give the words of a line as HAProxy reads them, quoted in one way.

    Raises:
        ValueError: for a quote that does not end, and the like.
    """
    pieces: list[str] | None = None
    quote, at = "", 0
    while at < len(line) and not (line[at] in "\r\0" or (line[at] == "#" and not quote)):
        sign = line[at]
        if not quote and sign in _BLANK:
            if pieces is not None:
                yield _quoted(pieces)
            pieces = None
            at += 1
            continue
        pieces = [] if pieces is None else pieces
        if sign in "'\"" and quote in {"", sign}:
            quote = "" if quote else sign
            at += 1
        else:
            piece, at = _piece(line, at, quote)
            pieces.append(piece)
    if quote:
        raise ValueError(line)
    if pieces is not None:
        yield _quoted(pieces)


def _piece(line: str, at: int, quote: str) -> tuple[str, int]:
    """Return a character or variable of a word, and where what comes after it begins."""
    sign = line[at]
    if sign == "\\" and quote != "'":
        return _escaped(line, at + 1, quote)
    if sign == "$" and quote == '"':
        variable = _VARIABLE.match(line, at)
        if variable is None:
            raise ValueError(line)
        return f"${{{variable[1] or variable[2]}}}", variable.end()
    return _SHOWN.get(sign, sign), at + 1


def _escaped(line: str, at: int, quote: str) -> tuple[str, int]:
    """Return what a backslash before ``at`` makes of what follows, and where that ends."""
    sign = line[at : at + 1]
    if sign == "x":
        if not _HEXADECIMAL.fullmatch(line[at + 1 : at + 3]):
            raise ValueError(line)
        meant, end = chr(int(line[at + 1 : at + 3], 16)), at + 3
    elif sign in _ESCAPES:
        meant, end = _ESCAPES[sign], at + 1
    elif sign == "$" and quote:
        meant, end = "$", at + 1
    else:
        meant, end = "\\", at
    return _SHOWN.get(meant, meant), end


def _quoted(pieces: list[str]) -> str:
    word = "".join(pieces)
    is_ordinary = _ORDINARY.fullmatch(word) and not any(piece[:1] == "$" for piece in pieces)
    return word if is_ordinary else f'"{word}"'
