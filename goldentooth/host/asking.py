"""What is asked of a host about its deployments, and the one file that is written alone."""

from __future__ import annotations

import hashlib

from goldentooth.host.alone import Alone, Reading
from goldentooth.host.files import look_at, put_file
from goldentooth.host.package import pack
from goldentooth.host.staging import read_record_folder
from goldentooth.host.state import NONE
from goldentooth.host.words import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from goldentooth.host.machine import Machine


def history(machine: Machine) -> dict[str, object]:
    """Return the kept deployments, oldest first; `same` if the record after is the one before."""
    with Reading(machine) as here:
        listed = [
            {**each.to_dict(), "same": each.previous == each.record}
            for each in here.state.deployments
        ]
        return {"done": True, "state": NONE, "number": here.state.number, "deployments": listed}


def record_before(machine: Machine, source: str) -> bytes:
    """Return the package of what was applied before a deployment; of what is, for `applied`."""
    with Reading(machine) as here:
        path = here.state.applied_before(source)
        record = read_record_folder(machine, here.folder, path) if path else None
        if not record:
            raise Refusal("no-record", f"no record from before {source} is kept", state=NONE)
        return pack(record)


def write_file(
    machine: Machine, path: str, owner: tuple[str, str], mode: int, content: bytes
) -> dict[str, object]:
    """Write one file whole or not at all."""
    with Alone(machine):
        if look_at(machine, path).kind == "folder":
            raise Refusal("not-a-file", f"{path} is a folder", path=path)
        try:
            numbers = machine.user_id(owner[0]), machine.group_id(owner[1])
        except KeyError:
            raise Refusal("no-user", f"there is no {':'.join(owner)} on this host") from None
        put_file(machine, path, content, *numbers, mode, [])
    return {"done": True, "state": NONE}


def pristine(machine: Machine, paths: list[str]) -> dict[str, object]:
    """Return those of ``paths`` that are as their Debian package left them."""
    words = ["dpkg-query", "--show", "--showformat=${Conffiles}\\n"]
    _, said = machine.call(words, 20, most_said=1 << 24)
    lines = (line.split() for line in said.splitlines())
    packaged = {words[0]: words[1] for words in lines if len(words) == 2}
    found = []
    for path in paths:
        standing = look_at(machine, path)
        if standing.kind == "file" and packaged.get(path) == _md5(standing.content):
            found.append(path)
    return {"done": True, "state": NONE, "pristine": found}


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()  # noqa: S324  # dpkg's own, of files of packages
