"""Drift: what is intended, what was last applied and what is live, held against each other. Pure.

Three sides tell who moved. Intended and applied differ: the facts did. Applied and live differ:
the host did. Files are compared in the form that their daemon gives them
(:mod:`goldentooth.compare`); with owner and mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum

from goldentooth.applied import FOLDER, AppliedFile, Baseline, BaselineError, read_baseline
from goldentooth.artifact import Artifact
from goldentooth.check import Output, UnreadableError
from goldentooth.compare import same_meaning, unified
from goldentooth.compare.secrets import conceal, hide_values, mask, secret_values
from goldentooth.host.state import BACK, GOING_BACK, HostState
from goldentooth.observation import Observation, Seen
from goldentooth.text import one_line
from goldentooth.transports import HostFile


class DriftState(Enum):
    """How one file, running state or host stands."""

    IN_SYNC = "in sync"
    DRIFT = "drift"
    """The host changed, the facts did not."""
    PENDING = "pending"
    """The facts changed and are not deployed yet; the host is as it was left."""
    CONVERGED = "converged"
    """The host was changed by hand to what the facts say now."""
    CONFLICT = "conflict"
    """Both changed, to different things."""
    MISSING = "missing"
    """The file was applied, or is intended, and is not there."""
    UNMANAGED = "unmanaged"
    """A file in a folder that a service owns, and nothing intends it."""
    NOT_LOADED = "not loaded"
    """What runs is older than the file."""
    NO_BASELINE = "no baseline"
    """The host remembers no deployment: nobody can say who moved (see `adopt`)."""
    BAD_BASELINE = "bad baseline"
    """The host's record of the last deployment is damaged or another host's."""
    ROLLED_BACK = "rolled back"
    """The last deployment was taken back: by its operator, or by the host itself."""
    ARMED = "armed"
    """A deployment is under way: it is confirmed, or the host goes back."""
    UNREADABLE = "unreadable"
    """The host answered, but not with what can be judged; or a file is there and cannot be read."""
    UNREACHABLE = "unreachable"
    WRONG_KEY = "wrong key"
    REFUSED = "refused"
    NOT_PERMITTED = "not permitted"
    TOO_SLOW = "too slow"

    @property
    def is_unknown(self) -> bool:
        """Whether it could not be told how things are."""
        return self in _UNKNOWN


_UNKNOWN = {
    DriftState.BAD_BASELINE,
    DriftState.UNREADABLE,
    DriftState.UNREACHABLE,
    DriftState.WRONG_KEY,
    DriftState.REFUSED,
    DriftState.NOT_PERMITTED,
    DriftState.TOO_SLOW,
}


@dataclass(frozen=True)
class Item:
    """One file or running state of a host, and how it stands; the diff never holds a secret."""

    service: str
    subject: str
    state: DriftState
    detail: str = ""
    diff: str = field(default="", repr=False)


@dataclass(frozen=True)
class HostDrift:
    """One host: its items, or one of the states that say why there are none."""

    host: str
    items: tuple[Item, ...] = ()
    state: DriftState | None = None
    """Set if the host could not be judged as a whole."""
    reason: str = ""
    baseline: str = ""
    """The last deployment: its name and time; empty if there is none."""
    notes: tuple[str, ...] = ()
    """What is worth to be known and no drift: BGP sessions that are not up. A line each."""

    @property
    def states(self) -> frozenset[DriftState]:
        """Every state that is not in sync."""
        found = {item.state for item in self.items} | ({self.state} if self.state else set())
        return frozenset(found - {DriftState.IN_SYNC})

    def in_state(self, state: DriftState) -> tuple[Item, ...]:
        """Return the items in ``state``."""
        return tuple(item for item in self.items if item.state is state)

    @property
    def status(self) -> int:
        """Exit status: 2 something could not be told, 1 something differs, else 0."""
        if any(state.is_unknown for state in self.states):
            return 2
        return 1 if self.states else 0


@dataclass(frozen=True)
class HostIntent:
    """What is wanted of one host, and what is to be read of it."""

    host: str
    artifacts: tuple[Artifact, ...]
    observations: tuple[tuple[str, Observation], ...] = ()
    """Each with its service's name."""
    folders: tuple[tuple[str, str], ...] = ()
    """(service, folder) that the service owns: what nothing intends there is unmanaged."""
    services: frozenset[str] = frozenset()
    """The services that are looked at; files of others in the record are left alone."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that are to be read; a folder ends with a slash and stands for its files."""
        files = (artifact.path for artifact in self.artifacts)
        return tuple(dict.fromkeys((*files, *(f"{folder}/" for _, folder in self.folders))))

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands that are to be run, each once."""
        return tuple(dict.fromkeys(read for _, each in self.observations for read in each.reads()))


@dataclass(frozen=True)
class Collected:
    """What was read of one host: ``files`` and the record's files by path, outputs by command."""

    files: Mapping[str, HostFile | None]
    record: Mapping[str, bytes]
    outputs: Mapping[str, Output]
    state: HostState = field(default_factory=HostState)
    """What the host says of its deployments."""
    damage: str = ""
    """Why that cannot be read."""


def judge_host(intent: HostIntent, collected: Collected) -> HostDrift:
    """Return how the host stands."""
    state, reason, baseline = None, "", None
    try:
        baseline = read_collected(intent.host, collected)
    except BaselineError as error:
        state = DriftState.BAD_BASELINE
        reason = f"{FOLDER}: {error}; it is not trusted. Look at the host, then `adopt` what it has"
    if state is None:
        state, reason = _deployment_state(collected.state)
    seen = Seen(_expected(intent, baseline), collected.files, collected.outputs)
    running = _running(intent, seen, has_baseline=baseline is not None)
    found = (*_files(intent, collected, baseline), *running)
    items = _without_secrets(found, intent, collected, baseline)
    named = f"{baseline.deployment} of {baseline.at}" if baseline else ""
    return HostDrift(intent.host, items, state, reason, named, _notes(intent, seen))


def read_collected(host: str, collected: Collected) -> Baseline | None:
    """Return what was last applied to ``host``, from what was read of it; None if nothing was.

    Raises:
        BaselineError: if the host's state or record is damaged, incomplete or another host's.
    """
    if collected.damage:
        raise BaselineError(collected.damage)
    baseline = read_baseline(host, collected.record)
    if baseline is None and collected.state.applied:
        raise BaselineError(f"the record {collected.state.applied} is gone")
    return baseline


def _deployment_state(state: HostState) -> tuple[DriftState | None, str]:
    """Return what a host's last deployment means for the host as a whole, and what to say of it."""
    if (switched := state.switched) is not None:
        whose = f"deployment {switched.name} of {switched.by}, since {switched.at}"
        if switched.failing:
            fails = f"armed; the way back fails since {switched.failing_since}"
            return DriftState.ARMED, one_line(f"{fails}: {switched.failing} ({whose})")
        how = (
            "the host is going back"
            if switched.state == GOING_BACK
            else f"it is confirmed within {switched.seconds} s, or the host goes back"
        )
        return DriftState.ARMED, one_line(f"{whose}: {switched.state}; {how}")
    last = state.last_end
    if last is None or last.state != BACK:
        return None, ""
    said = [f"deployment {last.name} of {last.by} was taken back: {last.why}"]
    said += [f"not all of it could be made live again: {last.unlive}"] if last.unlive else []
    said += [f"an edit is kept in {path}" for path in last.kept]
    return DriftState.ROLLED_BACK, one_line("; ".join(said))


def known_secrets(
    intended: Mapping[str, Artifact],
    files: Mapping[str, HostFile | None],
    baseline: Baseline | None,
) -> frozenset[str]:
    """Return what a host was given as secrets: they may stand anywhere on it by now.

    From the copies of what was applied, and from the files that are there; by path, both.
    """
    texts = [
        (intended[path].text if path in intended else "", baseline.copies[path])
        for path, file in (baseline.files.items() if baseline else ())
        if baseline and file.secrets
    ]
    texts += [
        (artifact.text, file.content)
        for path, artifact in intended.items()
        if artifact.secrets and (file := files.get(path))
    ]
    return frozenset(
        value for text, content in texts for value in secret_values(text, _text(content))
    )


def _without_secrets(
    items: tuple[Item, ...], intent: HostIntent, collected: Collected, baseline: Baseline | None
) -> tuple[Item, ...]:
    """Hide in every item what the host was given as secrets."""
    if not any(item.diff or item.detail for item in items):
        return items
    intended = {artifact.path: artifact for artifact in intent.artifacts}
    values = known_secrets(intended, collected.files, baseline)
    public = [artifact.text for artifact in intent.artifacts]
    return tuple(
        replace(
            item,
            detail=hide_values(item.detail, values, public),
            diff=hide_values(item.diff, values, public),
        )
        for item in items
    )


# -- files ------------------------------------------------------------------------------


def _files(intent: HostIntent, collected: Collected, baseline: Baseline | None) -> Iterator[Item]:
    intended = {artifact.path: artifact for artifact in intent.artifacts}
    applied = {} if baseline is None else baseline.files
    ours = [path for path, file in applied.items() if file.service in intent.services]
    for path in dict.fromkeys((*intended, *ours)):
        yield _file(intended.get(path), baseline, path, collected.files.get(path))
    for service, folder in intent.folders:
        for path, file in collected.files.items():
            inside = path.rpartition("/")[0] == folder
            if inside and file is not None and path not in intended and path not in applied:
                detail = f"nothing intends it, and {folder} is {service}'s"
                if file.unreadable:
                    detail += f"; it cannot be read: {file.unreadable}"
                yield Item(service, path, DriftState.UNMANAGED, detail, _unmanaged(file))


def _file(
    artifact: Artifact | None, baseline: Baseline | None, path: str, live: HostFile | None
) -> Item:
    applied = baseline.files.get(path) if baseline else None
    service = artifact.service if artifact else applied.service if applied else ""
    if live is not None and live.unreadable:
        return Item(service, path, DriftState.UNREADABLE, f"it cannot be read: {live.unreadable}")
    side = _Sides(artifact, baseline, applied, live)
    state = side.classify()
    if state is DriftState.IN_SYNC:
        return Item(service, path, state)
    diff = side.diff(state)
    detail = side.explain(state)
    if not diff and not detail and applied is not None and applied.secrets:
        detail = "the value of a secret differs"
    return Item(service, path, state, detail, diff)


@dataclass(frozen=True)
class _Sides:
    """The three sides of one file."""

    intended: Artifact | None
    baseline: Baseline | None
    applied: AppliedFile | None
    live: HostFile | None

    def classify(self) -> DriftState:
        if self.baseline is None:
            return DriftState.MISSING if self.live is None else DriftState.NO_BASELINE
        if self.intended is None:
            return self._classify_unwanted()
        facts_moved = self.applied is None or not self.applied.is_of(self.intended)
        if self.live is None:
            return DriftState.PENDING if self.applied is None else DriftState.MISSING
        if not facts_moved:
            return DriftState.IN_SYNC if self.is_applied else DriftState.DRIFT
        if self.is_applied:
            return DriftState.PENDING
        return DriftState.CONVERGED if self.is_intended else DriftState.CONFLICT

    def _classify_unwanted(self) -> DriftState:
        if self.live is None:
            return DriftState.CONVERGED
        return DriftState.PENDING if self.is_applied else DriftState.CONFLICT

    @property
    def is_applied(self) -> bool:
        """Whether the file on the host is what was applied."""
        if self.applied is None or self.baseline is None or self.live is None:
            return False
        if not _has_form(self.live, self.applied.owner, self.applied.mode):
            return False
        if self.applied.holds(self.live.content, self.baseline.key):
            return True
        copy = self.baseline.copies[self.applied.path]
        return same_meaning(self.applied.format, _text(copy), _text(self.live.content))

    @property
    def is_intended(self) -> bool:
        """Whether the file on the host is what is intended; secrets are taken as they are."""
        if self.intended is None or self.live is None:
            return False
        if not _has_form(self.live, self.intended.owner, f"{self.intended.mode:04o}"):
            return False
        if self.live.content == self.intended.content:
            return True
        return same_meaning(self.intended.format, self.intended.text, self.live_text)

    @property
    def live_text(self) -> str:
        """The file on the host, without secrets."""
        return self._shown(self.live.content) if self.live else ""

    @property
    def applied_text(self) -> str:
        """What was applied, without secrets."""
        if not self.applied or not self.baseline:
            return ""
        return self._shown(self.baseline.copies[self.applied.path])

    def _shown(self, content: bytes) -> str:
        """Return a file's text without secrets; none of it if nothing says where they stand."""
        if self.intended is None and self.applied is not None and self.applied.secrets:
            return conceal(_text(content))
        return _shown(content, self.intended.text if self.intended else "")

    def explain(self, state: DriftState) -> str:
        """Say in a line what is meant here."""
        gone, unwanted, new = self.live is None, self.intended is None, self.applied is None
        words = {
            (DriftState.PENDING, gone): "to be created",
            (DriftState.PENDING, unwanted): "to be removed",
            (DriftState.CONVERGED, gone): "no longer intended, and gone from the host",
            (DriftState.CONFLICT, unwanted): "no longer intended, and changed on the host",
            (DriftState.CONFLICT, new): "it is there, and no deployment put it there",
            (DriftState.MISSING, True): "it is not on the host",
            (DriftState.NO_BASELINE, self.is_intended): "as intended",
            (DriftState.NO_BASELINE, not self.is_intended): "not as intended",
        }
        return "; ".join(filter(None, (words.get((state, True), ""), self._form())))

    def _form(self) -> str:
        """Say what differs in kind, owner or mode."""
        wanted = self.intended or self.applied
        if wanted is None or self.live is None:
            return ""
        mode = wanted.mode if isinstance(wanted.mode, str) else f"{wanted.mode:04o}"
        if self.live.kind != "file":
            return f"it is a {self.live.kind}"
        words = []
        if self.live.owner != wanted.owner:
            words.append(f"owner {self.live.owner}, not {wanted.owner}")
        if f"{self.live.mode:04o}" != mode:
            words.append(f"mode {self.live.mode:04o}, not {mode}")
        return ", ".join(words)

    def diff(self, state: DriftState) -> str:
        """Return what would bring the side that moved back, as a unified diff."""
        path = (self.intended or self.applied).path  # type: ignore[union-attr]  # one is there
        kind = (self.intended or self.applied).format  # type: ignore[union-attr]
        live = self.live_text if self.live else None
        if state in {DriftState.DRIFT, DriftState.MISSING} and self.applied:
            return unified(kind, self.applied_text, live, path)  # what the host changed
        return unified(kind, live, self.intended.text if self.intended else None, path)


def _has_form(live: HostFile, owner: str, mode: str) -> bool:
    return live.kind == "file" and (live.owner, f"{live.mode:04o}") == (owner, mode)


def _unmanaged(file: HostFile) -> str:
    return unified("plain", None, _shown(file.content, ""), file.path)


def _text(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


def _shown(content: bytes, reference: str) -> str:
    return mask(reference, _text(content))


# -- running state ----------------------------------------------------------------------


def _running(intent: HostIntent, seen: Seen, *, has_baseline: bool) -> Iterator[Item]:
    for service, observation in intent.observations:
        item = _observe(service, observation, seen)
        if not has_baseline and item.state is DriftState.DRIFT:
            item = replace(item, state=DriftState.NO_BASELINE)  # nobody knows who moved
        yield item


def _notes(intent: HostIntent, seen: Seen) -> tuple[str, ...]:
    notes: list[str] = []
    for _, observation in intent.observations:
        with suppress(UnreadableError, *_GARBAGE):  # the observation's item says so
            notes += observation.notes(seen)
    return tuple(notes)


_GARBAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading another output than the expected one raises."""


def _expected(intent: HostIntent, baseline: Baseline | None) -> dict[str, str]:
    intended = {artifact.path: artifact.text for artifact in intent.artifacts}
    if baseline is None:
        return intended
    return {
        path: _shown(copy, intended[path]) if path in intended else conceal(_text(copy))
        for path, copy in baseline.copies.items()
        if baseline.files[path].service in intent.services
    }


def _observe(service: str, observation: Observation, seen: Seen) -> Item:
    subject = observation.subject
    try:
        difference = observation.compare(seen)
    except UnreadableError as error:
        return Item(service, subject, DriftState.UNREADABLE, str(error))
    except _GARBAGE as error:
        detail = f"unexpected output: {type(error).__name__}: {error}"
        return Item(service, subject, DriftState.UNREADABLE, detail)
    if difference is None:
        return Item(service, subject, DriftState.IN_SYNC)
    diff = unified("plain", _joined(difference.expected), _joined(difference.seen), subject)
    return Item(service, subject, DriftState(difference.verdict.value), difference.detail, diff)


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
