"""Adoption: what a host has now becomes what was last applied to it. No file is touched. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from goldentooth.applied import AppliedFile, Baseline, keyed_hash, manifest_bytes
from goldentooth.artifact import Artifact, diff_texts
from goldentooth.compare.secrets import hide_values, mask
from goldentooth.drift import DriftState, HostDrift, known_secrets
from goldentooth.host.package import pack
from goldentooth.plan import describe_deployment
from goldentooth.report.table import counted
from goldentooth.transports import HostFile

if TYPE_CHECKING:
    from goldentooth.opnsense.standing import RouterSurvey

FORMAT = "goldentooth-net/adopt/1"

_TAKEN = {
    DriftState.DRIFT,
    DriftState.CONFLICT,
    DriftState.CONVERGED,
    DriftState.MISSING,
    DriftState.NO_BASELINE,
}


@dataclass(frozen=True)
class Taken:
    """One file that is taken over; ``diff`` is from what was applied, or else what is intended."""

    path: str
    state: DriftState
    diff: str = field(default="", repr=False)


@dataclass(frozen=True)
class HostAdoption:
    """What would be taken over on one host; ``reason`` says why nothing can be."""

    host: str
    taken: tuple[Taken, ...] = ()
    reason: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    lines: Mapping[str, AppliedFile] = field(default_factory=dict, repr=False)
    key: bytes = field(default=b"", repr=False)
    router: RouterSurvey | None = field(default=None, repr=False)
    """Set for a router whose record the controller keeps."""

    base: str = field(default="", repr=False)
    """The folder of the host's record that this was made from."""

    def packed(self, name: str, at: str, by: str) -> bytes:
        """Return the package that the host's program makes its record of."""
        manifest = manifest_bytes(self.host, self.lines.values(), deployment=name, at=at, by=by)
        return pack(
            {
                "deployment.json": describe_deployment(by, base=self.base),
                "record/manifest.json": manifest,
                **{f"record/files{path}": content for path, content in self.files.items()},
                "key": self.key,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "host": self.host,
            "reason": self.reason,
            "files": [
                {"path": each.path, "state": each.state.value, "diff": each.diff}
                for each in self.taken
            ],
        }

    def table(self) -> str:
        """Return what is taken over, with diffs, as lines."""
        if self.reason:
            return f"{self.host}: {self.reason}"
        lines = [f"{self.host}: {counted(len(self.taken), 'file')} to be taken over"]
        for each in self.taken:
            lines.append(f"  {each.path} ({each.state.value})")
            lines += [f"      {line}" for line in each.diff.splitlines()]
        return "\n".join(lines)


def adopt_host(
    drift: HostDrift,
    artifacts: Mapping[str, Artifact],
    files: Mapping[str, HostFile | None],
    baseline: Baseline | None,
    key: bytes,
    *,
    base: str = "",
) -> HostAdoption:
    """Return what is taken over of a host that has been surveyed; ``key`` is for keyed hashes.

    ``base`` is the folder of the host's record.
    """
    if drift.state is not None and drift.state.is_unknown and drift.state is not _BAD:
        return HostAdoption(drift.host, reason=f"{drift.state.value}: {drift.reason}")
    unread = [
        f"{path}: {f.unreadable}" for path in artifacts if (f := files.get(path)) and f.unreadable
    ]
    if unread:
        return HostAdoption(drift.host, reason=f"unreadable: {'; '.join(unread)}")
    wanted = [item for item in drift.items if item.subject in artifacts and item.state in _TAKEN]
    odd = [item.subject for item in wanted if (f := files.get(item.subject)) and f.kind != "file"]
    if odd:
        return HostAdoption(drift.host, reason=f"{', '.join(odd)}: not a plain file")
    copies = dict(baseline.copies) if baseline else {}
    lines = dict(baseline.files) if baseline else {}
    for item in wanted:
        live = files.get(item.subject)
        if live is None:
            copies.pop(item.subject, None)
            lines.pop(item.subject, None)
        else:
            copies[item.subject] = live.content
            lines[item.subject] = _line(artifacts[item.subject], live, key)
    values = known_secrets(artifacts, files, baseline)
    taken = tuple(
        Taken(
            item.subject,
            item.state,
            _diff(artifacts[item.subject], files.get(item.subject), values),
        )
        for item in wanted
    )
    return HostAdoption(drift.host, taken, "", copies, lines, key, base=base)


_BAD = DriftState.BAD_BASELINE


def _line(artifact: Artifact, live: HostFile, key: bytes) -> AppliedFile:
    text = mask(artifact.text, live.content.decode(errors="surrogateescape"))
    shown = text.encode(errors="surrogateescape")
    return AppliedFile(
        path=live.path,
        service=artifact.service,
        owner=live.owner,
        mode=f"{live.mode:04o}",
        size=len(live.content),
        sha256=hashlib.sha256(shown).hexdigest(),
        format=artifact.format,
        secrets=artifact.secrets,
        keyed=keyed_hash(live.content, key) if artifact.secrets else None,
    )


def _diff(artifact: Artifact, live: HostFile | None, values: frozenset[str]) -> str:
    shown = None
    if live is not None:
        shown = mask(artifact.text, live.content.decode(errors="surrogateescape"))
    diff = diff_texts(artifact.text, shown, artifact.path.lstrip("/"))
    return hide_values(diff, values, [artifact.text])
