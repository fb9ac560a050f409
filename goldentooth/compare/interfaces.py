"""ifupdown's interfaces(5)."""

from __future__ import annotations

import re
from collections.abc import Iterator

_BLANK = " \t\r\v\f"
_WORD = re.compile(rf"[^{_BLANK}]+")
_SYNONYMS = {"post-up": "up", "pre-down": "down"}
_STANDING_ALONE = ("auto", "source", "source-directory", "source-dir", "no-auto-down", "no-scripts")


def canonical(text: str) -> tuple[str, ...]:
    r"""Return the stanzas, each with its options in the order of their names.

    Options of one name (``up``) keep their order, and so do interfaces that are brought up by
    themselves. Two stanzas of one interface keep theirs.

    >>> canonical("iface eth0 inet static\n  mtu 1400\n  address 10.4.0.10/20\nauto lo eth0")
    ('auto lo', 'auto eth0', 'iface eth0 inet static', ' address 10.4.0.10/20', ' mtu 1400')
    """
    stanzas = _stanzas(text)
    if not any(header.startswith("source") for header, _ in stanzas):
        stanzas.sort(key=_place)  # stable
    return tuple(
        line
        for header, options in stanzas
        for line in (header, *sorted(options, key=lambda option: option.split(" ", 2)[1]))
    )


def _stanzas(text: str) -> list[tuple[str, list[str]]]:
    stanzas: list[tuple[str, list[str]]] = []
    for line in _logical_lines(text):
        words = _WORD.findall(line)
        keyword = words[0]
        if keyword in {"auto", "no-auto-down", "no-scripts"} or keyword.startswith("allow-"):
            keyword = "auto" if keyword == "allow-auto" else keyword
            stanzas += [(f"{keyword} {name}", []) for name in words[1:]]
        elif keyword in {"iface", "mapping"} or keyword in _STANDING_ALONE:
            stanzas.append((" ".join(words), []))
        else:
            value = line.removeprefix(keyword).strip(_BLANK)
            if not stanzas or not stanzas[-1][0].startswith(("iface ", "mapping ")):
                stanzas.append(("", []))
            stanzas[-1][1].append(f" {_SYNONYMS.get(keyword, keyword)} {value}")
    return stanzas


def _place(stanza: tuple[str, list[str]]) -> tuple[int, str]:
    """Return where a stanza goes: what brings up in its order, then each interface's stanzas."""
    keyword, _, rest = stanza[0].partition(" ")
    if keyword == "iface":
        return 1, rest.split(" ")[0]
    return (2, "") if keyword in {"mapping", ""} else (0, keyword)


def _logical_lines(text: str) -> Iterator[str]:
    """Give the lines that say something; a backslash at a line's end joins the next one."""
    lines = iter(text.split("\n"))
    for line in lines:
        whole = line.strip(_BLANK)
        if not whole or whole.startswith("#"):
            continue
        while whole.endswith("\\"):
            whole = whole[:-1] + next(lines, "")
        if bare := whole.strip(_BLANK):
            yield bare
