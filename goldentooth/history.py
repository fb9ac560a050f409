"""Earlier reports of drift, kept to tell when a host left sync and when it came back."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from goldentooth.bounded import load_json
from goldentooth.drift import DriftState, HostDrift
from goldentooth.errors import GoldentoothError, OutputError
from goldentooth.report.drift import DriftReport
from goldentooth.report.table import counted, format_table
from goldentooth.text import to_json
from goldentooth.wholefile import replace_file
from goldentooth.yamlfile import display_path

FORMAT = "goldentooth-net/drift-history/1"

_LOCK = "lock"
_NAME = "%Y%m%dT%H%M%S.%fZ"
_POLL_SECONDS = 0.2


class AlreadyRunningError(GoldentoothError):
    """Another scheduled run is under way."""


@dataclass(frozen=True)
class Standing:
    """One thing of a host that is not in sync; of the host as a whole, with no service."""

    service: str
    subject: str
    state: DriftState
    detail: str = ""

    def __str__(self) -> str:
        place = f": {self.service} {self.subject}" if self.subject else ""
        return f"{self.state.value}{place}"


@dataclass(frozen=True)
class HostChange:
    """A host that stands otherwise than in the run before; nothing in ``now`` is in sync.

    ``was`` is None for a host that no run before has seen.
    """

    host: str
    at: datetime
    was: tuple[Standing, ...] | None
    now: tuple[Standing, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "host": self.host,
            "at": self.at.isoformat(timespec="seconds"),
            "was": None if self.was is None else [_standing_to_dict(each) for each in self.was],
            "now": [_standing_to_dict(each) for each in self.now],
        }


class DriftHistory:
    """A folder with the last ``keep`` reports, one JSON file each, and a lock."""

    def __init__(self, folder: Path, keep: int = 500) -> None:
        self.folder = folder
        self.keep = keep

    def __str__(self) -> str:
        return display_path(self.folder)

    @contextmanager
    def alone(self, *, wait_seconds: float = 0) -> Iterator[None]:
        """Keep other runs out; wait for one that is under way for ``wait_seconds``.

        Raises:
            AlreadyRunningError: if another is under way.
            OutputError: if the folder cannot be written.
        """
        with self._errors_named():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (self.folder / _LOCK).open("a+")
        with lock:
            self._take(lock.fileno(), time.monotonic() + wait_seconds)
            lock.truncate(0)
            lock.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC, process {os.getpid()}")
            lock.flush()
            yield

    def _take(self, descriptor: int, until: float) -> None:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    raise AlreadyRunningError(self._who_runs()) from None
                time.sleep(_POLL_SECONDS)
            else:
                return

    def _who_runs(self) -> str:
        since = (self.folder / _LOCK).read_text()
        return f"another drift run is under way (since {since})\n    --wait waits for its end"

    def add(self, report: DriftReport) -> None:
        """Keep ``report``, and forget those that are too many, but never the last success.

        Raises:
            OutputError: if it cannot be written; what was there before still is.
        """
        text = to_json(report.to_dict(), indent=None)
        with self._errors_named():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # reports quote configuration files: they are for their owner
            replace_file(self.folder / f"{report.started:{_NAME}}.json", text, mode=0o600)
            for file in self._surplus():
                file.unlink(missing_ok=True)

    def _surplus(self) -> list[Path]:
        files = self._files()
        old, kept = files[: -self.keep], files[-self.keep :]
        if old and not any(map(_is_success, kept)):
            last = next((file for file in reversed(old) if _is_success(file)), None)
            return [file for file in old if file != last]
        return old

    def reports(self) -> Iterator[DriftReport]:
        """Yield the reports, oldest first; what is none is left out."""
        return (report for report in map(_read, self._files()) if report)

    def last(self) -> DriftReport | None:
        """Return the report of the last run."""
        return next((report for file in reversed(self._files()) if (report := _read(file))), None)

    def last_success(self) -> datetime | None:
        """Return when the last run began that could tell how every host stands."""
        reports = (report for file in reversed(self._files()) if (report := _read(file)))
        return next((report.started for report in reports if report.status < 2), None)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.json"))

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise OutputError(
                f"{self}: the history cannot be kept: {reason}\n"
                "    `user_defined: history:` of config.yaml names another folder"
            ) from error


def changes(
    reports: Iterable[DriftReport], before: DriftReport | None = None
) -> Iterator[HostChange]:
    """Yield, in order, each change of how a host stands; ``reports`` are oldest first.

    A host that nobody has seen ``before`` has changed unless it is in sync.
    """
    known = {host.host: standings(host) for host in before.hosts} if before else {}
    for report in reports:
        for host in report.hosts:
            now, was = standings(host), known.get(host.host)
            if _key(now) != _key(was or ()):
                yield HostChange(host.host, report.started, was, now)
            known[host.host] = now


def standings(host: HostDrift) -> tuple[Standing, ...]:
    """Return all of ``host`` that is not in sync."""
    whole = [Standing("", "", host.state, host.reason)] if host.state else []
    items = (
        Standing(item.service, item.subject, item.state, item.detail)
        for item in host.items
        if item.state is not DriftState.IN_SYNC
    )
    return (*whole, *items)


def history_table(reports: Iterable[DriftReport]) -> str:
    """Return a line a change, then what is not in sync since when."""
    kept = tuple(reports)
    if not kept:
        return "no run is kept yet: `drift --scheduled` keeps them"
    found = tuple(changes(kept))
    rows = [(_time(change.at), change.host, _shown(change.now)) for change in found]
    lines = [format_table(("when", "host", "became"), rows), ""] if rows else []
    latest = {change.host: change for change in found}
    open_ = [f"{host} since {_time(last.at)}" for host, last in latest.items() if last.now]
    runs = f"{counted(len(kept), 'run')}, {_time(kept[0].started)} to {_time(kept[-1].started)}"
    return "\n".join((*lines, f"{runs}; not in sync: {', '.join(open_) or 'none'}"))


def history_to_dict(reports: Iterable[DriftReport]) -> dict[str, Any]:
    """Return the runs and changes as JSON takes them; the format is versioned."""
    kept = tuple(reports)
    return {
        "format": FORMAT,
        "runs": [
            {"started": report.started.isoformat(timespec="seconds"), "status": report.status}
            for report in kept
        ],
        "changes": [change.to_dict() for change in changes(kept)],
    }


def _key(standing: Iterable[Standing]) -> frozenset[tuple[str, str, DriftState]]:
    """Details and diffs may differ: it is the same trouble."""
    return frozenset((each.service, each.subject, each.state) for each in standing)


def _read(file: Path) -> DriftReport | None:
    try:
        return DriftReport.from_dict(load_json(file.read_bytes()))
    except (OSError, ValueError, AttributeError):
        return None


def _is_success(file: Path) -> bool:
    report = _read(file)
    return report is not None and report.status < 2


def _shown(standing: tuple[Standing, ...]) -> str:
    return "; ".join(map(str, standing)) or "in sync"


def _time(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M:%S} UTC"


def _standing_to_dict(standing: Standing) -> dict[str, str]:
    return {
        "service": standing.service,
        "subject": standing.subject,
        "state": standing.state.value,
        "detail": standing.detail,
    }
