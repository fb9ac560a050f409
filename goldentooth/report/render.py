"""The outcome of a render, host by host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from goldentooth.artifact import Artifact, diff_texts
from goldentooth.report.table import counted, format_table
from goldentooth.text import hung, paint, readable

if TYPE_CHECKING:
    from pandas import DataFrame

    from goldentooth.judging import Verdict

FORMAT = "goldentooth-net/render/1"


@dataclass(frozen=True)
class HostRender:
    """What was made for one host."""

    host: str
    artifacts: tuple[Artifact, ...] = field(default=(), repr=False)
    before: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    """What the changed artifacts were in the build before, keyed by location."""
    verdicts: tuple[Verdict, ...] = ()
    failure: str | None = None
    """Why nothing could be made, for a person."""
    traceback: str | None = field(default=None, repr=False)
    """Where it went wrong, if that is a mistake of this program."""

    @cached_property
    def diffs(self) -> Mapping[str, str]:
        """Unified diffs against the build before, keyed by location."""
        return {
            artifact.location: diff_texts(
                self.before[artifact.location], artifact.text, artifact.location
            )
            for artifact in self.artifacts
            if artifact.location in self.before
        }

    @property
    def has_failed(self) -> bool:
        """Whether an artifact is missing or was rejected."""
        return self.failure is not None or bool(self.rejections)

    @property
    def rejections(self) -> tuple[Verdict, ...]:
        """The judges' verdicts against an artifact."""
        return tuple(v for v in self.verdicts if v.ruling.value == "rejected")

    @property
    def size(self) -> int:
        """Bytes in all its artifacts."""
        return sum(len(artifact.content) for artifact in self.artifacts)

    @property
    def judges(self) -> dict[str, str]:
        """The worst ruling of each judge, keyed by its name."""
        order = ("accepted", "not installed", "rejected")
        worst: dict[str, str] = {}
        for verdict in self.verdicts:
            ruling = verdict.ruling.value
            if order.index(ruling) >= order.index(worst.get(verdict.judge.name, "accepted")):
                worst[verdict.judge.name] = ruling
        return worst

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "host": self.host,
            "failed": self.has_failed,
            "failure": self.failure,
            "artifacts": [artifact.entry() for artifact in self.artifacts],
            "changed": sorted(self.before),
            "diffs": dict(sorted(self.diffs.items())),
            "judges": self.judges,
            "rejections": [
                {"judge": v.judge.name, "location": v.location, "output": v.output}
                for v in self.rejections
            ],
        }


@dataclass(frozen=True)
class RenderReport:
    """What was made for all selected hosts, in inventory order."""

    hosts: tuple[HostRender, ...]
    removed: Mapping[str, str] = field(default_factory=dict)
    """Diffs of artifacts that are no longer intended, keyed by location."""
    build: str = "build"
    check: bool = False
    """Nothing was written; the question was whether the build is up to date."""

    def __repr__(self) -> str:
        return readable(self.table())

    def _repr_html_(self) -> str:
        from goldentooth.report.notebook import render_html

        return render_html(self)

    def to_frame(self) -> DataFrame:
        """Return a pandas frame, a row an artifact.

        Raises:
            UsageError: if pandas is not installed.
        """
        from goldentooth.report.frames import make_frame
        from goldentooth.report.notebook import RENDER_COLUMNS, render_rows

        return make_frame(RENDER_COLUMNS, render_rows(self))

    @property
    def has_failed(self) -> bool:
        """Whether any host failed; nothing is written then."""
        return any(host.has_failed for host in self.hosts)

    @property
    def has_changed(self) -> bool:
        """Whether anything differs from the build before."""
        return bool(self.removed) or any(host.before for host in self.hosts)

    @property
    def status(self) -> int:
        """Exit status as diff(1): 2 a host failed, 1 `check` found differences, else 0."""
        if self.has_failed:
            return 2
        return 1 if self.check and self.has_changed else 0

    @property
    def judges(self) -> dict[str, dict[str, int]]:
        """How many files each judge ruled how on, keyed by judge and ruling."""
        counts: dict[str, dict[str, int]] = {}
        for verdict in (verdict for host in self.hosts for verdict in host.verdicts):
            rulings = counts.setdefault(verdict.judge.name, {})
            rulings[verdict.ruling.value] = rulings.get(verdict.ruling.value, 0) + 1
        return dict(sorted(counts.items()))

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it; the format is versioned."""
        return {
            "format": FORMAT,
            "build": self.build,
            "check": self.check,
            "failed": self.has_failed,
            "changed": self.has_changed,
            "judges": self.judges,
            "removed": sorted(self.removed),
            "hosts": [host.to_dict() for host in self.hosts],
        }

    def diff(self) -> str:
        """Return all differences as one unified diff."""
        parts = [host.diffs[location] for host in self.hosts for location in sorted(host.diffs)]
        return "".join((*parts, *(self.removed[location] for location in sorted(self.removed))))

    def table(self, *, colour: bool = False) -> str:
        """Return one line a host, then what failed, then what it comes to."""
        rows = [
            (
                host.host,
                len(host.artifacts),
                host.size,
                len(host.before),
                "yes" if host.has_failed else "-",
                ", ".join(f"{name} {ruling}" for name, ruling in host.judges.items()) or "-",
            )
            for host in self.hosts
        ]
        header = ("host", "artifacts", "bytes", "changed", "failed", "judge")
        lines = format_table(header, rows, right=(1, 2, 3)).splitlines()
        lines[0] = paint(lines[0], "bold", on=colour)
        for index, host in enumerate(self.hosts, start=1):
            if host.has_failed:
                lines[index] = paint(lines[index], "red", on=colour)
        return "\n".join((*lines, "", *self._failures(), self._summary(colour=colour)))

    def _failures(self) -> list[str]:
        lines = []
        for host in self.hosts:
            if host.failure:
                lines.append(hung(f"{host.host}: {host.failure}"))
            lines.extend(f"{host.host}: {verdict}" for verdict in host.rejections)
        return [*lines, ""] if lines else []

    def _summary(self, *, colour: bool) -> str:
        failed = sum(host.has_failed for host in self.hosts)
        changed = sum(len(host.before) for host in self.hosts) + len(self.removed)
        artifacts = sum(len(host.artifacts) for host in self.hosts)
        counts = (
            f"{counted(len(self.hosts), 'host')}, {counted(artifacts, 'artifact')},"
            f" {changed} changed, {failed} failed"
        )
        if self.has_failed:
            end = f"; {self.build}/ is as it was"
        elif self.check:
            end = f"; {self.build}/ {'differs' if self.has_changed else 'is up to date'}"
        else:
            end = f" -> {self.build}/"
        line = paint(counts + end, "red" if failed else "green", on=colour)
        judged = [
            f"judge {name}: " + ", ".join(f"{count} {ruling}" for ruling, count in counts.items())
            for name, counts in self.judges.items()
        ]
        return "\n".join((*judged, line))
