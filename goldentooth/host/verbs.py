"""What a controller can ask of the host's program: each verb's form, what it needs, what it does.

A request is read whole, and compared with root's list, before any verb sees it. Every answer but a
package is one line of JSON: ``done``, the ``state`` of the deployment, and where it is not done the
``reason``, a word, with a ``text`` for people.
"""

from __future__ import annotations

import hashlib
import json

from goldentooth.host.asking import history, pristine, record_before, write_file
from goldentooth.host.change import activate, arm, confirm, swap
from goldentooth.host.locking import give_lock_back, give_up, take_lock
from goldentooth.host.package import unpack
from goldentooth.host.plan import ANY, Plan, PlannedFile, Staging
from goldentooth.host.staging import adopt, stage
from goldentooth.host.way_back import EARLY, LATE, OPERATOR, TIMER_CALL, go_back
from goldentooth.host.words import (
    Refusal,
    absolute_path,
    command_line,
    deployment_name,
    file_mode,
    holder_name,
    number,
    one_line,
    owner_name,
    shown,
    unit_name,
    utf8,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from goldentooth.host.machine import Machine

_MOST_SECONDS = 86_400
_LARGEST_PLAN = 4 * 1024 * 1024
_MOST_LINES = 200
_LARGEST_FILES = 32 * 1024 * 1024
_WHY_CHARACTERS = 1000
_DIGEST = frozenset("0123456789abcdef")
RETRY = 75
"""Exit status of the switch when the way back has to be tried again (EX_TEMPFAIL)."""

WHY = {
    TIMER_CALL: "",  # the deployment says within which time
    EARLY: "the host was restarted before it was confirmed",
    LATE: "the host was restarted before it was confirmed",
}


class Verb:
    """One verb: ``read`` makes a request of words and input, ``needs`` are lines of root's list.

    A need that is a tuple is met by any of its lines. ``act`` returns what is answered.
    """

    def __init__(
        self,
        read: Callable[[list[str], bytes], object],
        act: Callable[[Machine, object], bytes],
        needs: Callable[[object], Iterable[str | tuple[str, ...]]] = lambda _: (),
        *,
        is_package: bool = False,
    ) -> None:
        self.read = read
        self.act = act
        self.needs = needs
        self.is_package = is_package
        """Whether it answers a record: the list says which files of it may be read."""


class Request:
    """What a verb was given, read."""

    __slots__ = (
        "content",
        "holder",
        "mode",
        "name",
        "owner",
        "paths",
        "seconds",
        "staging",
        "text",
    )

    def __init__(self, name: str = "", holder: str = "") -> None:
        self.name = name
        self.holder = holder
        self.seconds = 0
        self.text = ""
        self.paths: list[str] = []
        self.owner = ("", "")
        self.mode = 0
        self.content = b""
        self.staging: Staging | None = None


def answer(refusal: Refusal) -> bytes:
    """Return the line that says what was refused, and why; no state if it is not known."""
    fields = {"done": False, "state": "", "reason": refusal.reason, "text": refusal.text}
    return _line({**fields, **refusal.facts})


def _line(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields).encode() + b"\n"


def _words(words: list[str], count: int) -> list[str]:
    if len(words) != count:
        raise Refusal("malformed", f"{len(words)} words, not {count}: {shown(' '.join(words))}")
    return words


def _nothing(data: bytes) -> None:
    if data:
        raise Refusal("malformed", "it takes no input")


def _named(words: list[str], data: bytes) -> Request:
    """Read `NAME HOLDER`."""
    _nothing(data)
    name, holder = _words(words, 2)
    return Request(deployment_name(name), _fingerprint(holder_name(holder)))


def _fingerprint(holder: str) -> str:
    """Return what the state keeps of a holder's name: who reads the state cannot be the holder."""
    return hashlib.sha256(holder.encode()).hexdigest()


def _timed(words: list[str], data: bytes) -> Request:
    """Read `NAME HOLDER SECONDS`."""
    *first, seconds = _words(words, 3)
    request = _named(first, data)
    request.seconds = number(seconds, _MOST_SECONDS)
    return request


def _locking(words: list[str], data: bytes) -> Request:
    """Read `NAME HOLDER SECONDS BY`."""
    *first, by = _words(words, 4)
    request = _timed(first, data)
    request.text = one_line(by)
    return request


def _returning(words: list[str], data: bytes) -> Request:
    """Read `NAME HOLDER`, and why."""
    request = _named(words, b"")
    text = utf8(data[: 4 * _WHY_CHARACTERS]) if len(data) <= 4 * _WHY_CHARACTERS else ""
    if len(data) > 4 * _WHY_CHARACTERS:
        raise Refusal("malformed", "the reason is too long")
    kept = "".join(letter if letter.isprintable() else " " for letter in text)
    request.text = kept[:_WHY_CHARACTERS]
    return request


def _sourced(words: list[str], data: bytes) -> Request:
    """Read `NAME` or `applied`."""
    _nothing(data)
    return Request(deployment_name(*_words(words, 1)))


def _asking(words: list[str], data: bytes) -> Request:
    _nothing(data)
    _words(words, 0)
    return Request()


def _listing(words: list[str], data: bytes) -> Request:
    """Read paths, a line each."""
    _words(words, 0)
    request = Request()
    request.paths = [absolute_path(line) for line in utf8(data).splitlines()]
    return request


def _writing(words: list[str], data: bytes) -> Request:
    """Read path, `user:group` and mode, a line each; what follows is the file."""
    _words(words, 0)
    parts = data.split(b"\n", 3)
    if len(parts) != 4:
        raise Refusal("malformed", "path, owner and mode are lines of their own")
    request = Request(absolute_path(utf8(parts[0])))
    request.text = utf8(parts[1])
    request.owner = owner_name(request.text)
    request.mode = file_mode(utf8(parts[2]))
    request.content = parts[3]
    return request


def _staging(words: list[str], data: bytes) -> Request:
    """Read `NAME HOLDER`, and a package: deployment.json, new/, record/, key."""
    request = _named(words, b"")
    members = unpack(data)
    staging = _staging_in(request.name, _object(members.pop("deployment.json", b"")))
    staging.key = members.pop("key", b"")
    staging.manifest = members.pop("record/manifest.json", b"")
    for path, content in members.items():
        top, _, rest = path.partition("/")
        if top == "new":
            staging.new[f"/{rest}"] = content
        elif top == "record" and rest.startswith("files/"):
            staging.record[absolute_path(rest[len("files") :])] = content
        else:
            raise Refusal("malformed", f"unexpected: {shown(path)}")
    put = {file.path for file in staging.plan.files if file.action == "put"}
    if staging.source:
        if staging.new or staging.record or staging.manifest or staging.carried:
            raise Refusal("malformed", "what the host keeps is not sent as well")
    elif staging.new.keys() != put:
        raise Refusal("malformed", "the files that are put are not those that were sent")
    elif not staging.manifest:
        raise Refusal("malformed", "there is no manifest")
    if (staging.record.keys() & staging.new.keys()) or (
        {*staging.carried} & (staging.record.keys() | staging.new.keys())
    ):
        raise Refusal("malformed", "a file stands twice in the record")
    if sum(map(len, (*staging.new.values(), *staging.record.values()))) > _LARGEST_FILES:
        raise Refusal("too-large", f"the files are larger than {_LARGEST_FILES >> 20} MiB in all")
    request.staging = staging
    return request


def _object(content: bytes) -> dict[str, object]:
    if len(content) > _LARGEST_PLAN:
        raise Refusal("malformed", "deployment.json is too large")
    try:
        found = json.loads(content.decode("utf-8"), parse_int=_no_number, parse_float=_no_number)
    except (ValueError, RecursionError):
        raise Refusal("malformed", "deployment.json cannot be read") from None
    if not isinstance(found, dict):
        raise Refusal("malformed", "deployment.json is not an object")
    return found


def _no_number(text: str) -> object:
    raise ValueError(f"a number: {text[:20]}")


def _staging_in(name: str, found: dict[str, object]) -> Staging:
    known = {"by", "plan", "activate", "units", "carried", "source", "base"}
    if found.keys() != known:
        raise Refusal("malformed", f"deployment.json has {shown(' '.join(sorted(found)))}")
    lines = _unique([_activation(line) for line in _texts(found["activate"])], _MOST_LINES)
    files = [_planned_file(words) for words in _list(found["plan"])]
    if len({file.path for file in files}) != len(files):
        raise Refusal("malformed", "the plan names a file twice")
    by, source, base = found["by"], found["source"], found["base"]
    if not isinstance(by, str) or not isinstance(source, str) or not isinstance(base, str):
        raise Refusal("malformed", "deployment.json has something else where a text should be")
    units = _unique([unit_name(unit) for unit in _texts(found["units"])], _MOST_LINES)
    staging = Staging(name, one_line(by), Plan(files, lines), units)
    staging.carried = [absolute_path(path) for path in _texts(found["carried"])]
    staging.source = deployment_name(source) if source else ""
    staging.base = one_line(base)
    return staging


def _activation(line: str) -> str:
    if line.startswith("@") and not line.startswith(("@routes /", "@sysctl /")):
        raise Refusal("malformed", f"not an activation: {shown(line)}")
    return command_line(line)


def _unique(words: list[str], most: int) -> list[str]:
    if len(words) > most or len(set(words)) != len(words):
        raise Refusal("malformed", f"more than {most}, or one twice: {shown(' '.join(words)[:60])}")
    return words


def _planned_file(words: object) -> PlannedFile:
    parts = _texts(words)
    if len(parts) != 5:
        raise Refusal("malformed", "a file of the plan has not five fields")
    action, path, owner, mode, expected = parts
    absolute_path(path)
    is_digest = len(expected) == 64 and _DIGEST.issuperset(expected)
    if not is_digest and expected not in {"absent", "link", ANY}:
        raise Refusal("malformed", f"not what a file can be expected to be: {shown(expected)}")
    if action == "put":
        owner_name(owner)
        file_mode(mode)
    elif action != "remove" or owner or mode:
        raise Refusal("malformed", f"neither put nor remove: {shown(action)}")
    return PlannedFile(action, path, owner, mode, expected)


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise Refusal("malformed", "deployment.json has something else where a list should be")
    return value


def _texts(value: object) -> list[str]:
    texts = [each for each in _list(value) if isinstance(each, str)]
    if len(texts) != len(_list(value)):
        raise Refusal("malformed", "deployment.json has something else where a text should be")
    return texts


# -- what root's list must hold ------------------------------------------------------------


def _staging_needs(request: object) -> Iterable[str | tuple[str, ...]]:
    staging = _staging_of(request)
    for file in staging.plan.files:
        yield f"@path {file.path}"
        if file.action == "put":
            yield f"@file {file.path} {file.owner} {file.mode}"
    yield from staging.plan.activate
    for unit in staging.units:
        yield f"@unit {unit}"
    for path in staging.record:
        yield f"@path {path}", f"@read {path}"


def _listing_needs(request: object) -> Iterable[str | tuple[str, ...]]:
    for path in _request(request).paths:
        yield f"@path {path}", f"@read {path}"


def _writing_needs(request: object) -> Iterable[str | tuple[str, ...]]:
    asked = _request(request)
    yield f"@file {asked.name} {asked.text} {asked.mode:04o}"


def _request(request: object) -> Request:
    assert isinstance(request, Request)  # noqa: S101  # made by the verb's own reader
    return request


def _staging_of(request: object) -> Staging:
    staging = _request(request).staging
    assert staging is not None  # noqa: S101  # made by the verb's own reader
    return staging


def _acting(
    act: Callable[[Machine, Request], Mapping[str, object]],
) -> Callable[[Machine, object], bytes]:
    return lambda machine, request: _line(act(machine, _request(request)))


VERBS = {
    "lock": Verb(_locking, _acting(lambda m, r: take_lock(m, r.name, r.holder, r.text, r.seconds))),
    "unlock": Verb(_named, _acting(lambda m, r: give_lock_back(m, r.name, r.holder))),
    "stage": Verb(
        _staging, _acting(lambda m, r: stage(m, _staging_of(r), r.holder)), _staging_needs
    ),
    "abort": Verb(_named, _acting(lambda m, r: give_up(m, r.name, r.holder))),
    "arm": Verb(_timed, _acting(lambda m, r: arm(m, r.name, r.holder, r.seconds))),
    "swap": Verb(_named, _acting(lambda m, r: swap(m, r.name, r.holder))),
    "activate": Verb(_named, _acting(lambda m, r: activate(m, r.name, r.holder))),
    "confirm": Verb(_named, _acting(lambda m, r: confirm(m, r.name, r.holder))),
    "rollback": Verb(
        _returning, _acting(lambda m, r: go_back(m, r.name, r.text, OPERATOR, r.holder))
    ),
    "adopt": Verb(
        _staging, _acting(lambda m, r: adopt(m, _staging_of(r), r.holder)), _staging_needs
    ),
    "history": Verb(_asking, _acting(lambda m, _: history(m))),
    "record": Verb(_sourced, lambda m, r: record_before(m, _request(r).name), is_package=True),
    "pristine": Verb(_listing, _acting(lambda m, r: pristine(m, r.paths)), _listing_needs),
    "write": Verb(
        _writing,
        _acting(lambda m, r: write_file(m, r.name, r.owner, r.mode, r.content)),
        _writing_needs,
    ),
}


def switch(machine: Machine, words: list[str]) -> int:
    """Go back, for the timer or a unit at the host's start; return the exit status for systemd.

    `NAME timer|early|late`; nothing to do is done.
    """
    try:
        name, caller = _words(words, 2)
        go_back(machine, deployment_name(name), WHY[_caller(caller)], caller)
    except Refusal as refusal:
        machine.note(refusal.text)
        return 0 if refusal.reason in {"wrong-state", "malformed"} else RETRY
    return 0


def _caller(word: str) -> str:
    if word not in WHY:
        raise Refusal("malformed", f"not a caller: {shown(word)}")
    return word
