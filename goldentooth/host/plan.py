"""What a deployment does on the host, as it is sent, and as it is kept there."""

from __future__ import annotations

import json

ANY = "any"
"""What is expected at a path of which nothing is known."""


class PlannedFile:
    """What happens to one file: ``action`` is put or remove.

    ``expected`` is the SHA-256 of what is there now, ``absent``, ``link`` or ``any``.
    """

    __slots__ = ("action", "expected", "mode", "owner", "path")

    def __init__(self, action: str, path: str, owner: str, mode: str, expected: str) -> None:
        self.action = action
        self.path = path
        self.owner = owner
        self.mode = mode
        self.expected = expected

    def to_list(self) -> list[str]:
        """Return it as JSON takes it."""
        return [self.action, self.path, self.owner, self.mode, self.expected]


class Plan:
    """What a deployment does on the host; ``units`` and ``folders`` are how things were."""

    __slots__ = ("activate", "files", "folders", "units")

    def __init__(self, files: list[PlannedFile], activate: list[str]) -> None:
        self.files = files
        self.activate = activate
        self.units: list[list[str]] = []
        self.folders: list[str] = []
        """Those that were not there, and are made for its files; a deeper one later."""

    @property
    def paths(self) -> list[str]:
        """The files."""
        return [file.path for file in self.files]

    def to_bytes(self) -> bytes:
        """Return it as it is kept."""
        content = {
            "files": [file.to_list() for file in self.files],
            "activate": self.activate,
            "units": self.units,
            "folders": self.folders,
        }
        return json.dumps(content, indent=1).encode()

    @classmethod
    def from_bytes(cls, content: bytes) -> Plan:
        """Return the plan that this program kept."""
        kept = json.loads(content.decode("utf-8"))
        plan = cls([PlannedFile(*words) for words in kept["files"]], list(kept["activate"]))
        plan.units = [list(words) for words in kept["units"]]
        plan.folders = list(kept["folders"])
        return plan


class Staging:
    """What a controller sends for a deployment.

    ``new`` are the files that are put, by path; ``record`` those of the record that are not among
    them; ``carried`` the paths that the record takes over from the one that is applied. With
    ``source`` the host puts back what was applied before that deployment (or ``applied``).
    """

    __slots__ = (
        *("base", "by", "carried", "key", "manifest", "name", "new", "plan", "record"),
        *("source", "units"),
    )

    def __init__(self, name: str, by: str, plan: Plan, units: list[str]) -> None:
        self.name = name
        self.by = by
        self.plan = plan
        self.units = units
        self.new: dict[str, bytes] = {}
        self.record: dict[str, bytes] = {}
        self.carried: list[str] = []
        self.manifest = b""
        self.key = b""
        self.source = ""
        self.base = ""
