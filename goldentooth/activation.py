"""How a file that was put on a host becomes live. Pure data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Activation:
    """One command on the host: idempotent, least disruptive, the same forward and back.

    It goes by what the files say when it runs, never by facts: after a roll-back of the files
    it brings the earlier state back. ``command`` is a shell line, or ``@verb …`` for the host
    program. ``paths`` are the files that call for it; empty: any file of its service.
    ``kind`` is what happens: ``reload`` or ``restart`` of a daemon, or ``set`` in the kernel.
    """

    command: str
    paths: tuple[str, ...] = ()
    kind: str = "reload"

    def is_for(self, changed: Iterable[str]) -> bool:
        """Tell whether a change of ``changed`` calls for it."""
        changed = set(changed)
        return bool(changed) and (not self.paths or bool(changed & set(self.paths)))
