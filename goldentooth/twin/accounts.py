"""Users and groups of a host: those of the machine, and those that its services need."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

FIRST_ID = 2000
"""Of the users that are made: above those that Debian gives to people by and by."""


class Accounts:
    """What is in a host's user database; the users ``made`` are on it, but not on the machine."""

    def __init__(self, made: Iterable[str] = ()) -> None:
        self.made = {name: FIRST_ID + index for index, name in enumerate(made)}
        self._users = Path("/etc/passwd").read_text() + self._lines("{0}:x:{1}:{1}::/home/{0}:{2}")
        self._groups = Path("/etc/group").read_text() + self._lines("{0}:x:{1}:")

    def files(self) -> dict[str, str]:
        """Return the database's files, by path; none if no user is made."""
        if not self.made:
            return {}
        shadow = Path("/etc/shadow").read_text() + self._lines("{0}:*:20000:0:99999:7:::")
        return {
            "/etc/passwd": self._users,
            "/etc/group": self._groups,
            "/etc/shadow": shadow,
        }

    def ids(self, owner: str) -> tuple[int, int]:
        """Return the numbers of ``owner``, which is ``user:group``.

        Raises:
            LookupError: if there is no such user or group; the message names it.
        """
        user, _, group = owner.partition(":")
        return _number(self._users, "user", user), _number(self._groups, "group", group or user)

    def _lines(self, line: str) -> str:
        return "".join(
            line.format(name, number, _SHELL) + "\n" for name, number in self.made.items()
        )


_SHELL = "/bin/bash"


def _number(database: str, kind: str, name: str) -> int:
    for line in database.splitlines():
        fields = line.split(":")
        if fields[0] == name:
            return int(fields[2])
    raise LookupError(f"there is no {kind} {name}")
