"""Text of a host without the secrets that it holds, so that it can be compared and shown. Pure.

The intended text has references where the host's has values. Where a line of the host is the
intended one but for the value, the reference takes the value's place: the two are then equal.
Everything else that is or may be a secret becomes ``<secret>``.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher

from goldentooth.values import SECRET_REFERENCE

HIDDEN = "<secret>"

_ANNOUNCED = re.compile(
    r"(?i:(?<![\w.-])(?:[\w.-]*(?:passwords?|passwd|passphrases?|secrets?|token|keys?|psk|md5"
    r"|key-?string|credentials?|hash(?:es)?|authorization)\d*|(?:[\w.-]*[_.-])?(?:pass|pwd)"
    r"|stats[ \t]+auth|sshpass))(?P<quote>[\"']?)"
    r"(?:[ \t]*[:=][ \t]*|[ \t]+|$)(?P<value>.*)"
)
"""A word that says that a secret follows on its line, or in YAML on the next ones."""

_OF_KUBEADM = re.compile(
    r"(?<!\w)(?:[a-z0-9]{6}\.[a-z0-9]{16}|(?:sha256:)?[0-9a-f]{64}|[0-9a-f]{32})(?!\w)"
)
"""A token, a CA's hash or a certificate key, wherever it stands (kubeadm join, v1beta4)."""

_EMBEDDED = re.compile(
    r"(?<=://)[^\s/:@\"']*:(?P<password>[^\s/@\"']+)(?=@)"
    r"|(?<!\w)(?i:basic|bearer)\\?[ \t]+(?P<credentials>[\w.~+/-]{8,}=*)"
)
"""A password in a URL (RFC 3986 §3.2.1); credentials of HTTP (RFC 7617, RFC 6750)."""

_PRIVATE_KEY = re.compile(r"-----(?P<edge>BEGIN|END) [A-Z0-9 ]*PRIVATE KEY")
"""The edges of a private key's lines (RFC 7468)."""

_ALONE = re.compile(r"[-#!;\s]*\S+\s*")
"""One word on a line: a value that was torn from what announces it."""

_BLANKS = re.compile(r"[ \t\r]+")
_INDENT = re.compile(r"[ \t]*(?:- +)*")
_WORD = re.compile(r"[^\s\"',;:{}\[\]()=]+")
_VALUE = r"""(?:"([^"]+)"|'([^']+)'|([^\s"']\S*?))"""
_LONG = 6
"""Characters: a shorter value is hidden elsewhere only where it is a word by itself."""


def mask(intended: str, live: str) -> str:
    r"""Return ``live`` with the intended references for values, and ``<secret>`` for others.

    What stands in ``intended`` in the open is no secret. A secret is hidden wherever it stands
    again. Lines stay lines: the text has as many as before.

    >>> mask("password ${env:PW}\nlog x", "password  hunter2\nlog x\n! was hunter2")
    'password  ${env:PW}\nlog x\n! was <secret>'
    """
    if live == intended:
        return live  # most files of most hosts, and the longest ones
    sides = _Sides(intended.split("\n"), live.split("\n"))
    matches = sides.matches()
    usual = _usual(match for found in matches.values() for match in found)
    values = {match.value for found in matches.values() for match in found}
    lines = list(sides.live)
    for at, found in matches.items():
        lines[at] = _referenced(lines[at], found, usual)
    for at, start in sides.announced(matches):
        values.update(word for word in _WORD.findall(lines[at][start:]) if len(word) >= _LONG)
        lines[at] = lines[at][:start] + HIDDEN
    for at, value in sides.embedded(matches):
        values.add(value)
        lines[at] = lines[at].replace(value, HIDDEN)
    for at in sides.suspects(matches):
        lines[at] = _WORD.sub(sides.hide_unknown(values), lines[at])
    values.update(_OF_KUBEADM.findall("\n".join(lines)))
    return _without("\n".join(lines), values - sides.vocabulary, intended)


def secret_values(intended: str, text: str) -> frozenset[str]:
    r"""Return the secrets of ``text``, a host's version of ``intended``, as far as they are known.

    Those where ``intended`` has references, and those that are announced on their own line or stand
    alone on theirs: in what is only beside them there are names and addresses too. Values of less
    than four characters are left out: hiding them would hide everything.

    >>> sorted(secret_values("user ada\npassword ${env:PW}", "user ada\npassword hunter2"))
    ['hunter2']
    """
    sides = _Sides(intended.split("\n"), text.split("\n"))
    matches = sides.matches()
    values = {match.value for found in matches.values() for match in found}
    for at, start in sides.announced(matches):
        before, said = sides.live[at][:start], sides.live[at][start:]
        if not _INDENT.fullmatch(before):
            values.update(word for word in _WORD.findall(said) if len(word) >= _LONG)
        elif _ALONE.fullmatch(said) and not said.rstrip().endswith(":"):
            values.add(said.strip("'\" \t\r"))
    values.update(value for _, value in sides.embedded(matches))
    values.update(_OF_KUBEADM.findall(text))
    return frozenset(value for value in values - sides.vocabulary if len(value) > 3)


def hide_values(text: str, values: Iterable[str], public: Iterable[str] = ()) -> str:
    r"""Return ``text`` without ``values``, but for words that stand in the open in ``public``.

    >>> hide_values("+description dalt-hunter2", ["hunter2", "dalt"], ["neighbor dalt"])
    '+description dalt-<secret>'
    """
    present = {value for value in values if value in text}
    if not present:
        return text
    for known in public:
        present -= _vocabulary(known)
    return _without(text, present, "")


def conceal(text: str) -> str:
    r"""Return ``text`` with its lines hidden: where nothing says which part is the secret.

    >>> conceal("token a1\n\nend\n")
    '<secret>\n\n<secret>\n'
    """
    return "\n".join(HIDDEN if line.strip() else line for line in text.split("\n"))


def unknown_words(intended: str, live: str) -> frozenset[str]:
    r"""Return the words of ``live`` that ``intended`` has not in the open: secrets are among them.

    Words of less than four characters are left out: hiding them would hide everything.

    >>> sorted(unknown_words("user ada\npassword ${env:PW}", "user ada\npassword hunter2"))
    ['hunter2']
    """
    words = {word for word in (*_WORD.findall(live), *live.split()) if len(word) > 3}
    return frozenset(words - _vocabulary(intended))


@dataclass(frozen=True)
class _Match:
    """A value on a line of the host; without a reference if there are more than intended."""

    reference: str
    value: str
    start: int
    intended: int
    """Which line of the intended text it was found by."""


@dataclass(frozen=True)
class _Wildcard:
    """A line of the intended text, with what stands for its references."""

    at: int
    references: tuple[str, ...]


class _Sides:
    """The lines of both texts."""

    def __init__(self, intended: list[str], live: list[str]) -> None:
        self.live = live
        self._intended = intended
        self._public = {_plain(line) for line in intended if not SECRET_REFERENCE.search(line)}
        self._own = _before_references(intended)
        self.vocabulary = _vocabulary("\n".join(intended))

    def _is_public(self, at: int) -> bool:
        return _plain(self.live[at]) in self._public

    def matches(self) -> dict[int, tuple[_Match, ...]]:
        """Return the lines of the host that are an intended one but for values.

        Of lines that look alike, the first one is taken for the first, and so on.
        """
        shapes: dict[tuple[str, str], deque[_Wildcard]] = defaultdict(deque)
        for at, line in enumerate(self._intended):
            if references := tuple(SECRET_REFERENCE.findall(line)):
                shape = _shape(line), _parent(self._intended, at) if _is_bare(line) else ""
                shapes[shape].append(_Wildcard(at, references))
        found: dict[int, tuple[_Match, ...]] = {}
        for (pattern, parent), wildcards in shapes.items():
            expression, count = re.compile(pattern), len(wildcards[0].references)
            nothing = _Wildcard(-1, ("",) * count)
            for at, line in enumerate(self.live):
                if at in found or self._is_public(at) or not (match := expression.fullmatch(line)):
                    continue
                if parent and _parent(self.live, at) != parent:
                    continue
                wildcard = wildcards.popleft() if wildcards else nothing
                groups = [group for group in range(1, 3 * count + 1) if match[group]]
                found[at] = tuple(
                    _Match(reference, match[group], match.start(group), wildcard.at)
                    for reference, group in zip(wildcard.references, groups, strict=True)
                )
        return found

    def announced(self, matches: dict[int, tuple[_Match, ...]]) -> Iterator[tuple[int, int]]:
        """Give the lines of the host that hold another secret, and from where on."""
        level, is_open, is_next, is_key = None, False, False, False
        for at, line in enumerate(self.live):
            indent = _INDENT.match(line)
            start = indent.end() if indent else 0
            if not line[start:].strip():
                continue
            is_known = at in matches or self._is_public(at)
            if edge := _PRIVATE_KEY.search(line):
                is_key = edge["edge"] == "BEGIN"
            elif is_key:
                if not is_known:
                    yield at, start
                continue
            is_item = is_open and line.lstrip().startswith("- ")
            is_deeper = level is not None and len(line) - len(line.lstrip(" \t")) > level
            if is_next or is_deeper or (is_item and level is not None and start > level):
                is_next = False
                if not is_known:
                    yield at, start
                    continue
            announced = _ANNOUNCED.search(line) or self._own.search(line)
            if not announced:
                level = level if is_deeper or is_item else None
                continue
            level, value = start, announced["value"].strip(" \t\r")
            is_open = is_next = not value or value[0] in "|>&!"
            if not is_known and value:
                yield at, announced.start("value")

    def embedded(self, matches: dict[int, tuple[_Match, ...]]) -> Iterator[tuple[int, str]]:
        """Give the lines of the host that hold a secret amid others, and the secret."""
        for at, line in enumerate(self.live):
            if at in matches or self._is_public(at):
                continue
            for found in _EMBEDDED.finditer(line):
                yield at, found["password"] or found["credentials"]

    def suspects(self, matches: dict[int, tuple[_Match, ...]]) -> Iterator[int]:
        """Give the lines that may be what became of a line with a reference that is not there."""
        found = {match.intended for line in matches.values() for match in line}
        missing = {
            at
            for at, line in enumerate(self._intended)
            if SECRET_REFERENCE.search(line) and at not in found
        }
        if not missing:
            return
        # a line with a reference is the same on both sides by its number
        ours = {
            at: str(at) if at in found else _plain(line)
            for at, line in enumerate(self._intended)
            if line.strip()
        }
        theirs = {
            at: str(matches[at][0].intended) if at in matches else _plain(line)
            for at, line in enumerate(self.live)
            if line.strip()
        }
        matcher = SequenceMatcher(None, list(ours.values()), list(theirs.values()))
        near = {
            at
            for tag, one, other, start, stop in matcher.get_opcodes()
            if tag == "replace" and not missing.isdisjoint(list(ours)[one:other])
            for at in list(theirs)[start:stop]
        }
        for at, line in enumerate(self.live):
            is_known = at in matches or self._is_public(at)
            if not is_known and (at in near or _ALONE.fullmatch(line)):
                yield at

    def hide_unknown(self, values: set[str]) -> Callable[[re.Match[str]], str]:
        """Return what hides a word that the intended text has not, and adds it to ``values``."""

        def hide(word: re.Match[str]) -> str:
            if word[0] in self.vocabulary or word[0] == HIDDEN:
                return word[0]
            if len(word[0]) >= _LONG:
                values.add(word[0])
            return HIDDEN

        return hide


def _vocabulary(intended: str) -> frozenset[str]:
    """Return the words that stand in the open in a text with references."""
    public = SECRET_REFERENCE.sub(" ", intended)
    return frozenset((*_WORD.findall(public), *public.split()))


def _before_references(lines: list[str]) -> re.Pattern[str]:
    """Return what finds the words that stand before the references, and what follows them."""
    words = {
        word[1]
        for line in lines
        for before in SECRET_REFERENCE.split(line)[:-1]
        if (word := re.search(r"(\w[\w.-]{2,})\W*$", before))
    }
    named = "|".join(map(re.escape, sorted(words))) or r"(?!)"
    return re.compile(rf"(?<!\w)(?:{named})(?!\w)\W*(?P<value>.*)")


def _plain(line: str) -> str:
    return _BLANKS.sub(" ", line).strip(" ")


def _is_bare(line: str) -> bool:
    """Tell whether nothing but signs stands around the references."""
    return not re.search(r"\w", SECRET_REFERENCE.sub("", line))


def _parent(lines: list[str], at: int) -> str:
    """Return the line that an item of a list in YAML belongs to."""
    indent = len(lines[at]) - len(lines[at].lstrip())
    for line in reversed(lines[:at]):
        bare = line.strip()
        own = len(line) - len(line.lstrip())
        if bare and (own < indent or (own == indent and bare[0] not in "-#")):
            return _plain(line)
    return ""


def _shape(line: str) -> str:
    """Return the pattern of the lines that are ``line`` but for blanks, quotes and values."""
    literals = SECRET_REFERENCE.split(line)
    parts = []
    for at, literal in enumerate(literals):
        text = literal
        if at > 0 and text[:1] in {"'", '"'} and literals[at - 1].endswith(text[:1]):
            text = text[1:]
        if at + 1 < len(literals) and text[-1:] in {"'", '"'}:
            text = text[:-1] if literals[at + 1].startswith(text[-1:]) else text
        parts.append(_flexible(text))
    return rf"[ \t]*{_VALUE.join(parts)}[ \t\r]*"


def _flexible(text: str) -> str:
    return "[ \\t]+".join(map(re.escape, _BLANKS.split(text)))


def _usual(matches: Iterable[_Match]) -> dict[str, str]:
    """Return the value of each reference: one has one, and another one was put there by hand."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for match in matches:
        counts[match.reference][match.value] += 1
    usual = {reference: count.most_common(1)[0][0] for reference, count in counts.items()}
    return {reference: value for reference, value in usual.items() if reference}


def _referenced(line: str, matches: tuple[_Match, ...], usual: dict[str, str]) -> str:
    for match in reversed(matches):
        known = usual.get(match.reference) == match.value
        end = match.start + len(match.value)
        line = line[: match.start] + (match.reference if known else HIDDEN) + line[end:]
    return line


def _without(text: str, values: Iterable[str], intended: str) -> str:
    """Return ``text`` with each of ``values`` hidden, but not inside of references."""
    for value in sorted(filter(None, values), key=lambda value: (-len(value), value)):
        pattern = re.escape(value)
        if len(value) < _LONG or value in intended:
            pattern = rf"(?<!\w){pattern}(?!\w)"
        kept = [match[0] for match in SECRET_REFERENCE.finditer(text)]
        pieces = [re.sub(pattern, HIDDEN, piece) for piece in SECRET_REFERENCE.split(text)]
        text = "".join(
            piece + reference for piece, reference in zip(pieces, [*kept, ""], strict=True)
        )
    return text
