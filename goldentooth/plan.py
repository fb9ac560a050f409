"""A plan: what a deployment would change on each host, why, and what that disturbs. Pure.

It is made from the same comparison as drift, so what `drift` calls pending is what the plan
changes; what `drift` calls drift or conflict blocks it, unless that is to be overwritten.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from goldentooth.activation import Activation
from goldentooth.applied import (
    AppliedFile,
    Baseline,
    applied_file,
    keyed_hash,
    manifest_bytes,
)
from goldentooth.artifact import Artifact, diff_texts
from goldentooth.compare.secrets import conceal, hide_values, mask, unknown_words
from goldentooth.drift import DriftState, HostDrift, Item, known_secrets
from goldentooth.host import judge_line
from goldentooth.host.package import pack
from goldentooth.model import Network, Node
from goldentooth.services import Service
from goldentooth.transports import HostFile

if TYPE_CHECKING:
    from goldentooth.opnsense.standing import RouterSurvey

FORMAT = "goldentooth-net/plan/1"


@dataclass(frozen=True)
class Scope:
    """What a plan is for: the selection, and whether what was changed by hand is overwritten."""

    hosts: Sequence[str] = ()
    groups: Sequence[str] = ()
    services: Sequence[str] = ()
    overwrite: bool = False

    @property
    def selection(self) -> dict[str, list[str]]:
        """Return the selectors that are given, as keywords of :meth:`Project.plan`."""
        chosen = {"hosts": self.hosts, "groups": self.groups, "services": self.services}
        return {key: list(names) for key, names in chosen.items() if names}

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {**self.selection, "overwrite": self.overwrite}


class Action(Enum):
    """What happens to one file."""

    CREATE = "create"
    CHANGE = "change"
    REMOVE = "remove"
    RECORD = "record"
    """It is as intended already; only the host's record of it is brought up to date."""
    LOAD = "load"
    """No file changes; what runs is brought in line with the files."""


_WRITING = {Action.CREATE, Action.CHANGE, Action.REMOVE}

_ACTIONS = {
    DriftState.PENDING: Action.CHANGE,
    DriftState.MISSING: Action.CREATE,
    DriftState.CONVERGED: Action.RECORD,
    DriftState.NOT_LOADED: Action.LOAD,
}
BLOCKING = {
    DriftState.DRIFT: "changed on the host",
    DriftState.CONFLICT: "changed on the host, and in the facts",
    DriftState.NO_BASELINE: "there already, and nobody knows whose",
}


@dataclass(frozen=True)
class Change:
    """One file, or one running state, and what happens to it."""

    action: Action
    service: str
    path: str
    detail: str = ""
    diff: str = field(default="", repr=False)
    expected: str = field(default="absent", repr=False)
    """SHA-256 of what is there now, ``absent`` or ``link``: it must still be so at the swap."""
    artifact: Artifact | None = field(default=None, repr=False)
    kept: AppliedFile | None = field(default=None, repr=False)
    """Set if the host puts back what it has kept itself."""

    def to_dict(self, baseline: Baseline | None) -> dict[str, Any]:
        """Return it as JSON takes it; the hash of a file that holds secrets is keyed, or left out.

        What is short enough to be guessed could be found from a plain hash.
        """
        intended = self.artifact.sha256 if self.artifact else None
        live: str | None = self.expected
        applied = baseline.files.get(self.path) if baseline else None
        if any(each and each.secrets for each in (self.artifact, self.kept, applied)):
            live = keyed_hash(self.expected.encode(), baseline.key) if baseline else None
        return {
            "action": self.action.value,
            "service": self.service,
            "path": self.path,
            "detail": self.detail,
            "diff": self.diff,
            "live": live,
            "intended": intended,
        }


@dataclass(frozen=True)
class HostPlan:
    """What would happen on one host; ``blocked`` is what stands against it."""

    host: str
    changes: tuple[Change, ...] = ()
    blocked: tuple[Item, ...] = ()
    activations: tuple[Activation, ...] = ()
    units: tuple[str, ...] = ()
    disturbs: tuple[str, ...] = ()
    baseline: Baseline | None = field(default=None, repr=False)
    unknown: HostDrift | None = None
    """Set if the host could not be read."""
    router: RouterSurvey | None = field(default=None, repr=False)
    """Set for a router that is changed through its API, not by files."""
    notes: tuple[str, ...] = ()
    """What a person should know of it: what is not ours, what cannot be expressed."""
    source: str = ""
    """Whose earlier state the host puts back from what it has kept; see `@stage`."""
    key: bytes = field(default=b"", repr=False)
    """The host's key for keyed hashes, if it has one."""
    base: str = field(default="", repr=False)
    """The host's record that the plan was made from: it must still be the one at staging."""
    hidden: frozenset[str] = field(default=frozenset(), repr=False)
    """Words of the host's files with secrets that are not to be shown, whoever quotes them."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing happens there."""
        return not self.changes

    @property
    def put(self) -> tuple[Change, ...]:
        """The files that are written."""
        return tuple(c for c in self.changes if c.action in {Action.CREATE, Action.CHANGE})

    @property
    def touched(self) -> tuple[Change, ...]:
        """The files that are written or removed."""
        return tuple(c for c in self.changes if c in self.put or c.action is Action.REMOVE)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "host": self.host,
            "changes": [change.to_dict(self.baseline) for change in self.changes],
            "blocked": [
                {"path": item.subject, "state": item.state.value, "detail": item.detail}
                for item in self.blocked
            ],
            "activations": [
                {"command": each.command, "kind": each.kind} for each in self.activations
            ],
            "disturbs": list(self.disturbs),
            "notes": list(self.notes),
            "unknown": self.unknown.reason if self.unknown else None,
        }


@dataclass(frozen=True)
class Sources:
    """What a host's plan is made of, beside how it stands.

    ``files`` are what is on the host, ``pristine`` those of them that are as a Debian package
    left them: nobody's work is lost with them.
    """

    artifacts: Mapping[str, Artifact]
    files: Mapping[str, HostFile | None]
    baseline: Baseline | None
    pristine: frozenset[str] = frozenset()
    rotated: frozenset[str] = frozenset()
    """Files whose text is as applied, and the value of a secret in them is not."""
    key: bytes = b""
    """The host's key for keyed hashes, if it has one."""
    base: str = ""
    """The folder of the host's record."""

    def hidden(self, *records: Baseline | None) -> frozenset[str]:
        """Return the words that ``records`` and the host's own files hold as secrets.

        What any intended file has in the open is none.
        """
        kept = [
            (path, _text_of(record.copies[path]))
            for record in records
            if record is not None
            for path, line in record.files.items()
            if line.secrets
        ]
        secret = {path for path, artifact in self.artifacts.items() if artifact.secrets}
        secret |= {path for path, _ in kept}
        live = [_text(file) for path in secret if (file := self.files.get(path))]
        if not secret:
            return frozenset()
        public = "\n".join(artifact.text for artifact in self.artifacts.values())
        return unknown_words(public, "\n".join([*(text for _, text in kept), *live]))

    def without_secrets(self, diff: str, *records: Baseline | None) -> str:
        """Return ``diff`` without what the host was given as secrets, wherever it stands by now."""
        if not diff:
            return diff
        values = [known_secrets(self.artifacts, self.files, record) for record in records]
        public = (artifact.text for artifact in self.artifacts.values())
        return hide_values(diff, frozenset().union(*values), public)

    def is_file(self, item: Item) -> bool:
        """Tell whether ``item`` is a file; else it is a running state."""
        applied = self.baseline.files if self.baseline else {}
        return item.subject in self.artifacts or item.subject in applied


def plan_host(
    network: Network,
    node: Node,
    services: Sequence[Service],
    drift: HostDrift,
    sources: Sources,
    *,
    overwrite: bool = False,
) -> HostPlan:
    """Return what a deployment would do on ``node``.

    With ``overwrite`` what was changed on the host is no obstacle: the host's version is kept
    in the deployment's backup.
    """
    if drift.state is not None and drift.state.is_unknown:
        return HostPlan(node.name, unknown=drift)
    changes, blocked = [], []
    for item in drift.items:
        change = _change(item, sources, overwrite=overwrite)
        if change is not None:
            changes.append(change)
        elif item.state in BLOCKING or item.state.is_unknown:
            blocked.append(item)
    # what a service's new files set anyway need not be as it should before
    renewed = {change.service for change in changes if change.action in _WRITING}
    blocked = [item for item in blocked if sources.is_file(item) or item.service not in renewed]
    activations, units = _consequences(network, node, services, changes)
    return HostPlan(
        node.name,
        tuple(changes),
        tuple(blocked),
        activations,
        units,
        tuple(_disturbances(services, changes, sources)),
        sources.baseline,
        key=sources.key,
        base=sources.base,
        hidden=sources.hidden(sources.baseline),
    )


def _consequences(
    network: Network, node: Node, services: Sequence[Service], changes: Iterable[Change]
) -> tuple[tuple[Activation, ...], tuple[str, ...]]:
    """Return what makes ``changes`` live, and the units that this starts or reloads."""
    changes = tuple(changes)
    touched = {c.path for c in changes if c.action not in {Action.RECORD, Action.LOAD}}
    loads = {change.service for change in changes if change.action is Action.LOAD}
    affected = [
        (service, each)
        for service in services
        if node in service.hosts(network)
        for each in service.activate(network, node)
        if service.name in loads or each.is_for(_of(service.name, changes) & touched)
    ]
    units = (
        unit
        for service, each in affected
        if each.kind != "set"
        for unit in service.units(network, node)
    )
    return tuple(dict.fromkeys(each for _, each in affected)), tuple(dict.fromkeys(units))


def plan_return(
    network: Network,
    node: Node,
    services: Sequence[Service],
    target: Baseline,
    sources: Sources,
    *,
    source: str,
) -> HostPlan:
    """Return what brings ``node`` back to ``target``, which the host has kept as ``source``."""
    files, applied = sources.files, sources.baseline
    lines = {**(applied.files if applied else {}), **target.files}
    blocked = tuple(
        Item(line.service, path, DriftState.UNREADABLE, f"it cannot be read: {file.unreadable}")
        for path, line in lines.items()
        if (file := files.get(path)) is not None and file.unreadable
    )
    changes = [
        Change(
            Action.CREATE if files.get(path) is None else Action.CHANGE,
            kept.service,
            path,
            diff=_kept_diff(path, target, sources),
            expected=_hash(files.get(path)),
            kept=kept,
        )
        for path, kept in target.files.items()
        if not _stands(kept, target, files.get(path))
    ]
    changes += [
        Change(Action.REMOVE, line.service, path, expected=_hash(files[path]))
        for path, line in (applied.files.items() if applied else ())
        if path not in target.files and files.get(path) is not None
    ]
    activations, units = _consequences(network, node, services, changes)
    return HostPlan(
        node.name,
        tuple(changes),
        blocked,
        activations,
        units,
        (),
        applied,
        source=source,
        key=sources.key,
        base=sources.base,
        hidden=sources.hidden(target, applied),
    )


def _stands(kept: AppliedFile, target: Baseline, live: HostFile | None) -> bool:
    return (
        live is not None
        and live.kind == "file"
        and (live.owner, f"{live.mode:04o}") == (kept.owner, kept.mode)
        and live.content == target.copies[kept.path]
    )


def _kept_diff(path: str, target: Baseline, sources: Sources) -> str:
    artifact, live = sources.artifacts.get(path), sources.files.get(path)
    hidden = artifact is None and bool(target.files[path].secrets)
    shown = conceal if hidden else partial(mask, artifact.text if artifact else "")
    wanted = shown(_text_of(target.copies[path]))
    before = shown(_text(live)) if live else None
    diff = diff_texts(before, wanted, path.lstrip("/"))
    return sources.without_secrets(diff, target, sources.baseline)


def _of(service: str, changes: Iterable[Change]) -> set[str]:
    return {change.path for change in changes if change.service == service}


def _change(item: Item, sources: Sources, *, overwrite: bool) -> Change | None:
    artifact = sources.artifacts.get(item.subject)
    action = _ACTIONS.get(item.state)
    if item.state in BLOCKING and (overwrite or item.subject in sources.pristine):
        action = Action.CHANGE if sources.is_file(item) else Action.LOAD
    if item.state is DriftState.NO_BASELINE and item.detail == "as intended":
        action = Action.RECORD
    if item.state is DriftState.IN_SYNC and item.subject in sources.rotated:
        action = Action.CHANGE
    if action is None:
        return None
    live = sources.files.get(item.subject)
    if action in {Action.CHANGE, Action.CREATE}:
        action = _precise(artifact, live)
    detail = "the value of a secret has changed" if item.subject in sources.rotated else ""
    diff = item.diff
    if action in {Action.CHANGE, Action.CREATE, Action.REMOVE}:
        applied = sources.baseline.files.get(item.subject) if sources.baseline else None
        diff = _diff(item.subject, artifact, live, is_secret=bool(applied and applied.secrets))
        diff = sources.without_secrets(diff, sources.baseline)
    return Change(
        action, item.service, item.subject, detail or item.detail, diff, _hash(live), artifact
    )


def _precise(artifact: Artifact | None, live: HostFile | None) -> Action:
    if artifact is None:
        return Action.REMOVE
    return Action.CREATE if live is None else Action.CHANGE


def _diff(path: str, artifact: Artifact | None, live: HostFile | None, *, is_secret: bool) -> str:
    intended = artifact.text if artifact else None
    hides = artifact is None and is_secret  # nothing says any more which part the secret is
    before = None
    if live is not None:
        before = conceal(_text(live)) if hides else mask(intended or "", _text(live))
    return diff_texts(before, intended, path.lstrip("/"))


def _text(live: HostFile) -> str:
    return _text_of(live.content)


def _text_of(content: bytes) -> str:
    return content.decode(errors="surrogateescape")


def _hash(live: HostFile | None) -> str:
    if live is None:
        return "absent"
    if live.kind == "file":
        return hashlib.sha256(live.content).hexdigest()
    return "link" if live.kind == "link" else "other"


def _disturbances(
    services: Sequence[Service], changes: Iterable[Change], sources: Sources
) -> Iterator[str]:
    by_name = {service.name: service for service in services}
    for change in changes:
        if change.action in {Action.RECORD, Action.LOAD} or change.service not in by_name:
            continue
        live = sources.files.get(change.path)
        after = change.artifact.text if change.artifact else ""
        before = mask(after, _text(live)) if live else ""
        yield from by_name[change.service].disturbs(change.path, before, after)


# -- what goes to the host ---------------------------------------------------------------


def rotated_secrets(
    artifacts: Iterable[Artifact], baseline: Baseline | None, fill: Callable[[str], str]
) -> frozenset[str]:
    """Return the paths whose text is as applied, while a secret in them has another value."""
    if baseline is None:
        return frozenset()
    return frozenset(
        artifact.path
        for artifact in artifacts
        if artifact.secrets
        and (was := baseline.files.get(artifact.path))
        and was.is_of(artifact)
        and was.keyed != keyed_hash(fill(artifact.text).encode(), baseline.key)
    )


def judge_commands(plan: HostPlan) -> dict[str, str]:
    """Return the native judges' commands on the staged files, by path."""
    return {
        change.path: judge_line(change.path, change.artifact.judge)
        for change in plan.put
        if change.artifact and change.artifact.judge  # what was kept has been judged before
    }


def stage_package(
    plan: HostPlan, key: bytes, fill: Callable[[str], str], *, deployment: str, at: str, by: str
) -> bytes:
    """Return the package of everything that a host needs for its part; secrets are filled in.

    ``key`` is the host's key for keyed hashes. The record holds what was applied before and
    stays, which the host has, and what this deployment adds.
    """
    if plan.source:
        return pack({"deployment.json": _described(plan, by, ())})
    filled = {
        change.path: fill(change.artifact.text).encode()
        for change in plan.changes
        if change.artifact
    }
    lines = dict(plan.baseline.files) if plan.baseline else {}
    for change in plan.changes:
        if change.artifact is not None and change.action is not Action.LOAD:
            lines[change.path] = applied_file(change.artifact, filled[change.path], key)
        elif change.artifact is None:
            lines.pop(change.path, None)
    manifest = manifest_bytes(plan.host, lines.values(), deployment=deployment, at=at, by=by)
    put = {change.path for change in plan.put}
    taken = [change.path for change in plan.changes if change.action is Action.RECORD]
    carried = sorted(lines.keys() - put - set(taken))
    return pack(
        {
            "deployment.json": _described(plan, by, carried),
            "key": key,
            "record/manifest.json": manifest,
            **{f"new{path}": filled[path] for path in put},
            **{f"record/files{path}": filled[path] for path in taken if path in filled},
        }
    )


def _described(plan: HostPlan, by: str, carried: Iterable[str]) -> bytes:
    return describe_deployment(
        by,
        plan=[_plan_line(change) for change in plan.touched],
        activate=[each.command for each in plan.activations],
        units=plan.units,
        carried=carried,
        source=plan.source,
        base=plan.base,
    )


def describe_deployment(
    by: str,
    *,
    plan: Iterable[Sequence[str]] = (),
    activate: Iterable[str] = (),
    units: Iterable[str] = (),
    carried: Iterable[str] = (),
    source: str = "",
    base: str = "",
) -> bytes:
    """Return ``deployment.json`` of a package: see :mod:`goldentooth.host.verbs`."""
    described = {
        "by": by,
        "plan": [list(words) for words in plan],
        "activate": list(activate),
        "units": list(units),
        "carried": list(carried),
        "source": source,
        "base": base,
    }
    return json.dumps(described).encode()


def _plan_line(change: Change) -> tuple[str, str, str, str, str]:
    if change.kept is not None:
        kept = change.kept
        return ("put", kept.path, kept.owner, kept.mode, change.expected)
    if change.artifact is None:
        return ("remove", change.path, "", "", change.expected)
    mode = f"{change.artifact.mode:04o}"
    return ("put", change.path, change.artifact.owner, mode, change.expected)
