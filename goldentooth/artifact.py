"""What is put on a host: drafts, artifacts, the manifest that lists them, and diffs.

A :class:`Draft` is what a service asks for; with its text it is an :class:`Artifact`.
Nothing here reads or writes a file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import unified_diff
from enum import Enum
from functools import cached_property
from typing import Any

import msgspec

from goldentooth.values import SECRET_REFERENCE

MANIFEST_FORMAT = "goldentooth-net/manifest/1"

_TASK_ARGUMENTS = {"host", "jinja_env", "jinja_filters", "name", "path", "severity_level", "task"}


class Scope(Enum):
    """Where an artifact belongs, and so which folder of ``build/`` it is in."""

    HOST = "host"
    """Goes onto the real host: ``build/<host>/…``."""
    TWIN = "twin"
    """Stands in for something on the twin only, is never deployed: ``build/_twin/<host>/…``."""


@dataclass(frozen=True)
class Judge:
    """A program that says whether a file is good: the daemon's own checker.

    ``command`` is its argument list, in which ``{file}`` is the staged file, ``{stem}`` that
    file's name without its ending, and ``{scratch}`` an empty folder that is removed after.
    Exit status 0 accepts. ``package`` is the Debian package that has it, or None.
    """

    name: str
    command: tuple[str, ...]
    package: str | None = None


@dataclass(frozen=True)
class Draft:
    """One file that a service wants on a host: its text, or the template that makes it.

    ``path`` is absolute on the host; ``mode`` as for chmod; ``context`` is what the template
    is given. Names that Nornir's own task arguments have cannot be in ``context``.
    """

    path: str
    template: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    text: str | None = None
    owner: str = "root:root"
    mode: int = 0o644
    scope: Scope = Scope.HOST
    judge: Judge | None = None
    specimens: Mapping[str, str] = field(default_factory=dict)
    """For judges: a well-formed value for each reference to a secret that needs a certain form."""
    format: str = "plain"
    """How two versions are compared: a key of :data:`goldentooth.compare.FORMATS`."""

    def __post_init__(self) -> None:
        if (self.template is None) == (self.text is None):
            raise ValueError(f"{self.path}: a draft has a template or a text")
        if taken := _TASK_ARGUMENTS & self.context.keys():
            raise ValueError(f"{self.path}: {sorted(taken)} cannot be names in a template")

    def finished(self, service: str, host: str, text: str) -> Artifact:
        """Return the artifact that this draft is with its ``text``."""
        return Artifact(
            host,
            service,
            self.path,
            text,
            self.owner,
            self.mode,
            self.scope,
            self.judge,
            self.specimens,
            self.format,
        )


@dataclass(frozen=True)
class Artifact:
    """One file as intended, to the byte."""

    host: str
    service: str
    path: str
    text: str
    owner: str = "root:root"
    mode: int = 0o644
    scope: Scope = Scope.HOST
    judge: Judge | None = None
    specimens: Mapping[str, str] = field(default_factory=dict, compare=False)
    format: str = "plain"

    @cached_property
    def location(self) -> str:
        """Where it is in the build folder, relative to it.

        >>> Artifact("fenn", "routes", "/etc/network/interfaces.d/eth0.cfg", "").location
        'fenn/etc/network/interfaces.d/eth0.cfg'
        """
        top = self.host if self.scope is Scope.HOST else f"_{self.scope.value}/{self.host}"
        return top + self.path

    @property
    def content(self) -> bytes:
        """The text in UTF-8."""
        return self.text.encode()

    @property
    def sha256(self) -> str:
        """The hash of the text, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def secrets(self) -> tuple[str, ...]:
        """The references to secrets that are filled in on the way to the host, sorted."""
        return tuple(sorted(set(SECRET_REFERENCE.findall(self.text))))

    @property
    def specimen_text(self) -> str:
        """The text as a judge is to see it, with a specimen for every secret."""
        return SECRET_REFERENCE.sub(
            lambda reference: self.specimens.get(reference[0], "specimen"), self.text
        )

    def entry(self) -> dict[str, Any]:
        """Return its line of the manifest."""
        content = self.content
        return {
            "host": self.host,
            "service": self.service,
            "scope": self.scope.value,
            "path": self.path,
            "location": self.location,
            "owner": self.owner,
            "mode": f"{self.mode:04o}",
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "secrets": list(self.secrets),
        }


def manifest_text(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return the manifest's text: the same entries, in whatever order, give the same bytes."""
    ordered = sorted(entries, key=lambda entry: entry["location"])
    manifest = {"format": MANIFEST_FORMAT, "artifacts": ordered}
    # json's own indentation is not compiled, and takes ten times as long
    return msgspec.json.format(json.dumps(manifest), indent=1) + "\n"


def diff_texts(before: str | None, after: str | None, name: str) -> str:
    """Return a unified diff of one file; None stands for a file that is not there."""
    lines = unified_diff(
        (before or "").splitlines(keepends=True),
        (after or "").splitlines(keepends=True),
        "/dev/null" if before is None else f"a/{name}",
        "/dev/null" if after is None else f"b/{name}",
    )
    diff = "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines
    )
    # a byte that is not UTF-8, from a file changed by hand, must be printable
    return diff.encode(errors="surrogateescape").decode(errors="backslashreplace")
