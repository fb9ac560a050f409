"""What a host knows of its deployments: one file, and the words that are in it.

A state is written, and on the disk, before the step that it announces begins:

    staged → armed → swapping → swapped → activated → confirmed
                └────────┴─────────┴──────────┴─────→ going-back → back

``adopted`` is the record of what a host had anyway. A deployment that was never armed and is given
up is forgotten. Times are the host's, and so is the order: ``number`` counts up.
"""

from __future__ import annotations

import json

from goldentooth.host.files import open_below, read_below, remove_tree
from goldentooth.host.words import Refusal, deployment_name, short_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from goldentooth.host.machine import Machine

STATE_FILE = "state.json"
STATE_FORMAT = 1
RECORD_NAME = "record"

STAGED = "staged"
ARMED = "armed"
SWAPPING = "swapping"
SWAPPED = "swapped"
ACTIVATED = "activated"
GOING_BACK = "going-back"
BACK = "back"
CONFIRMED = "confirmed"
ADOPTED = "adopted"
NONE = "none"
"""The answer's word for a deployment that the host does not know."""

SWITCHED = (ARMED, SWAPPING, SWAPPED, ACTIVATED, GOING_BACK)
"""The states in which the dead-man's switch is on."""

STATES = (STAGED, *SWITCHED, BACK, CONFIRMED, ADOPTED)

_SLOTS = "slots"
_SLOT_BYTES = 32 * 1024
_SLOT_COUNT = 10
_LARGEST_STATE = 1024 * 1024


class Deployment:
    """One deployment, as the host remembers it."""

    __slots__ = (
        "at",
        "boot",
        "by",
        "came_from",
        "failing",
        "failing_since",
        "files_are_back",
        "kept",
        "name",
        "number",
        "previous",
        "record",
        "seconds",
        "state",
        "unlive",
        "until",
        "why",
    )

    def __init__(self, name: str, number: int, by: str, at: str) -> None:
        self.name = name
        self.number = number
        self.by = by
        self.at = at
        """When it was staged, by the host's clock."""
        self.state = STAGED
        self.previous = ""
        """The folder of the record before it, below the state's folder; empty: there was none."""
        self.record = ""
        """The folder of the record after it."""
        self.seconds = 0
        """How long it may stay unconfirmed."""
        self.boot = ""
        self.until = 0
        """When the switch goes off: seconds since the start ``boot`` of the host."""
        self.came_from = ""
        """The state from which it began to go back."""
        self.why = ""
        self.files_are_back = False
        self.failing = ""
        """Why the way back did not come to its end when it was last tried."""
        self.failing_since = ""
        self.unlive = ""
        """What could not be made live again on the way back."""
        self.kept: list[str] = []
        """What the way back found that was neither old nor new: where it is kept."""

    @property
    def is_switched(self) -> bool:
        """Whether the dead-man's switch is on."""
        return self.state in SWITCHED

    @property
    def is_ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in {BACK, CONFIRMED, ADOPTED}

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON takes it."""
        content = {name: getattr(self, name) for name in self.__slots__}
        for name in ("by", "why", "failing", "unlive"):
            content[name] = short_text(content[name])
        return content


class Lock:
    """Who deploys to the host, until when: seconds since its start ``boot``."""

    __slots__ = ("at", "boot", "by", "deployment", "holder", "until")

    def __init__(  # noqa: PLR0917  # what a lock says
        self, deployment: str, holder: str, by: str, at: str, boot: str, until: int
    ) -> None:
        self.deployment = deployment
        self.holder = holder
        self.by = by
        self.at = at
        self.boot = boot
        self.until = until

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON takes it."""
        return {name: getattr(self, name) for name in self.__slots__}


class HostState:
    """All that the state's file says."""

    __slots__ = ("applied", "deployments", "lock", "number")

    def __init__(self) -> None:
        self.number = 0
        """Of the last deployment."""
        self.applied = ""
        """The folder of the record of what is applied, below the state's folder."""
        self.lock: Lock | None = None
        self.deployments: list[Deployment] = []
        """In order."""

    def find(self, name: str) -> Deployment | None:
        """Return a deployment by its name."""
        return next((each for each in self.deployments if each.name == name), None)

    def applied_before(self, source: str) -> str:
        """Return the record from before a deployment; with `applied` the one that is applied."""
        if source == "applied":
            return self.applied
        found = self.find(source)
        return found.previous if found else ""

    @property
    def switched(self) -> Deployment | None:
        """The deployment whose dead-man's switch is on."""
        return next((each for each in self.deployments if each.is_switched), None)

    @property
    def last_end(self) -> Deployment | None:
        """The last deployment that came to an end."""
        return next((each for each in reversed(self.deployments) if each.is_ended), None)

    @property
    def records(self) -> set[str]:
        """The folders of records that anything refers to, below the state's folder."""
        referred = {each.record for each in self.deployments}
        return referred.union({each.previous for each in self.deployments}, {self.applied})

    def to_bytes(self) -> bytes:
        """Return the text of the file: one key a line, since sh reads one of them."""
        content = {
            "format": STATE_FORMAT,
            "number": self.number,
            "applied": self.applied,
            "lock": self.lock.to_dict() if self.lock else None,
            "deployments": [each.to_dict() for each in self.deployments],
        }
        return json.dumps(content, indent=1).encode() + b"\n"


def read_state(content: bytes) -> HostState:
    """Return what the text of a state's file says.

    Raises:
        Refusal: if it is damaged, or of another version of the program.
    """
    try:
        parsed = json.loads(content[:_LARGEST_STATE].decode("utf-8"), parse_int=_small_number)
        return _state_in(parsed)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        what = f"{type(error).__name__}: {str(error)[:80]}"
        raise Refusal("damaged", f"the host's {STATE_FILE} is damaged ({what})") from None


def _small_number(text: str) -> int:
    if len(text) > 15:
        raise ValueError("a number is too large")
    return int(text)


def _state_in(parsed: dict[str, object]) -> HostState:
    if parsed["format"] != STATE_FORMAT:
        raise ValueError("format")
    state = HostState()
    state.number = _number_in(parsed, "number")
    state.applied = _record_path(_text_in(parsed, "applied"))
    lock, deployments = parsed["lock"], parsed["deployments"]
    if isinstance(lock, dict):
        state.lock = Lock(
            _text_in(lock, "deployment"),
            _text_in(lock, "holder"),
            _text_in(lock, "by"),
            _text_in(lock, "at"),
            _text_in(lock, "boot"),
            _number_in(lock, "until"),
        )
    if not isinstance(deployments, list):
        raise TypeError("deployments")
    state.deployments = [_deployment_in(each) for each in deployments]
    return state


def _deployment_in(parsed: Mapping[str, object]) -> Deployment:
    name = deployment_name(_text_in(parsed, "name"))
    made = Deployment(
        name, _number_in(parsed, "number"), _text_in(parsed, "by"), _text_in(parsed, "at")
    )
    made.state = _text_in(parsed, "state")
    if made.state not in STATES:
        raise ValueError("state")
    made.previous = _record_path(_text_in(parsed, "previous"))
    made.record = _record_path(_text_in(parsed, "record"))
    for key in ("boot", "came_from", "why", "failing", "failing_since", "unlive"):
        setattr(made, key, _text_in(parsed, key))
    for key in ("seconds", "until"):
        setattr(made, key, _number_in(parsed, key))
    made.files_are_back = parsed["files_are_back"] is True
    kept = parsed["kept"]
    if not isinstance(kept, list) or not all(isinstance(path, str) for path in kept):
        raise TypeError("kept")
    made.kept = list(kept)
    return made


def _text_in(parsed: Mapping[str, object], key: str) -> str:
    value = parsed[key]
    if not isinstance(value, str):
        raise TypeError(key)
    return value


def _number_in(parsed: Mapping[str, object], key: str) -> int:
    value = parsed[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(key)
    return value


def _record_path(text: str) -> str:
    if not text:
        return text
    first, _, rest = text.partition("/")
    name, _, last = rest.partition("/")
    if first != "deployments" or last != RECORD_NAME or deployment_name(name) != name:
        raise ValueError("record")
    return text


def record_folder(deployment: str) -> str:
    """Return where the record of a deployment is, below the state's folder."""
    return f"deployments/{deployment}/{RECORD_NAME}"


# -- the file ------------------------------------------------------------------------------


class StateFolder:
    """The program's own folder, open; the state's file is read and replaced in it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        parts = machine.state_folder.split("/")[1:]
        above = open_below(machine, machine.root, parts[:-1])
        try:
            self.descriptor = open_below(machine, above, parts[-1:])
        finally:
            machine.disk.close(above)
        status = machine.disk.status(self.descriptor)
        if status.st_uid not in machine.trusted or status.st_mode & 0o077:
            machine.disk.close(self.descriptor)
            raise Refusal(
                "unsafe-folder", f"{machine.state_folder} is not root's alone: chmod 0700 it"
            )

    def close(self) -> None:
        """Close it."""
        self._machine.disk.close(self.descriptor)

    def load(self) -> HostState:
        """Return what the file says; nothing has happened yet if there is none.

        Raises:
            Refusal: if it is damaged.
        """
        content = read_below(self._machine, self.descriptor, STATE_FILE)
        return HostState() if content is None else read_state(content)

    def store(self, state: HostState) -> None:
        """Replace the file; on return it is on the disk.

        Room that :meth:`reserve` has taken is used, so that a full disk does not stop the way back.
        """
        disk, content = self._machine.disk, state.to_bytes()
        slot = self._slot(len(content))
        into, name = slot or (self.descriptor, f"{STATE_FILE}.new")
        try:
            if slot is None:
                remove_tree(self._machine, into, name)
            file = disk.open_slot(into, name) if slot else disk.create(into, name)
            try:
                disk.write(file, content)
                disk.cut(file, len(content))
                disk.sync(file)
            finally:
                disk.close(file)
            disk.rename(into, name, self.descriptor, STATE_FILE)
            disk.sync(self.descriptor)
        finally:
            if slot is not None:
                disk.close(into)

    def reserve(self, state: HostState) -> None:
        """Take room for the states that are to come, from the lock to its end."""
        disk = self._machine.disk
        room = b"\n" * (len(state.to_bytes()) + _SLOT_BYTES)
        for part in (_SLOTS, f"{STATE_FILE}.new"):
            remove_tree(self._machine, self.descriptor, part)
        try:
            folder = open_below(self._machine, self.descriptor, [_SLOTS])
            try:
                for number in range(_SLOT_COUNT):
                    file = disk.create(folder, f"{number:02}")
                    try:
                        disk.write(file, room)
                    finally:
                        disk.close(file)
            finally:
                disk.close(folder)
        except OSError:
            self.release()
            raise

    def release(self) -> None:
        """Give back what :meth:`reserve` has taken."""
        remove_tree(self._machine, self.descriptor, _SLOTS)

    def _slot(self, size: int) -> tuple[int, str] | None:
        """Return an open folder and a name in it that ``size`` bytes have room in."""
        disk = self._machine.disk
        try:
            folder = disk.open_folder(self.descriptor, _SLOTS)
        except FileNotFoundError:
            return None
        names = disk.names(folder)
        if names and size <= disk.status_at(folder, names[0]).st_size:
            return folder, names[0]
        disk.close(folder)
        return None

    def open_deployment(self, name: str) -> int:
        """Open a deployment's folder.

        Raises:
            FileNotFoundError: if it is not there.
        """
        parts = ["deployments", deployment_name(name)]
        return open_below(self._machine, self.descriptor, parts, is_made=False)

    def remove_deployment(self, name: str, *parts: str) -> None:
        """Remove a deployment's folder; or only these parts of it."""
        try:
            above = open_below(self._machine, self.descriptor, ["deployments"], is_made=False)
        except FileNotFoundError:
            return
        try:
            if not parts:
                remove_tree(self._machine, above, name)
                return
            try:
                folder = self._machine.disk.open_folder(above, name)
            except FileNotFoundError:
                return
            try:
                for part in parts:
                    remove_tree(self._machine, folder, part)
            finally:
                self._machine.disk.close(folder)
        finally:
            self._machine.disk.close(above)

    def deployment_folders(self) -> Iterator[str]:
        """Yield the names of the deployments' folders that are there."""
        try:
            above = open_below(self._machine, self.descriptor, ["deployments"], is_made=False)
        except FileNotFoundError:
            return
        try:
            yield from self._machine.disk.names(above)
        finally:
            self._machine.disk.close(above)


def prune(state: HostState, kept: int) -> None:
    """Forget old deployments: the last ``kept`` that one can go back to stay, and of the others."""
    good = [each for each in state.deployments if each.state in {CONFIRMED, ADOPTED}]
    others = [each for each in state.deployments if each.state not in {CONFIRMED, ADOPTED}]
    stay = {each.name for each in (*good[-kept:], *others[-kept:])}
    state.deployments = [each for each in state.deployments if each.name in stay]
