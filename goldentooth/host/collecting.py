"""What `@collect` reads for a user other than root: what root's list has, whatever a record names.

The reading half names files by the record; under the list it is asked for the files themselves.
"""

from __future__ import annotations

import os

from goldentooth.host.state import STATE_FILE, read_state
from goldentooth.host.words import STATE_FOLDER, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


def collected_paths(paths: Iterable[str], may_read: Callable[[str], bool]) -> list[str]:
    """Return the files that are read: ``paths``, the state, and of the record what is listed."""
    found = dict.fromkeys(path for asked in paths for path in _files_of(asked))
    state = f"{STATE_FOLDER}/{STATE_FILE}"
    found[state] = None
    try:
        with open(state, "rb") as file:
            applied = read_state(file.read()).applied
    except (OSError, Refusal):
        applied = ""
    if applied:
        record = f"{STATE_FOLDER}/{applied}"
        found |= dict.fromkeys((f"{record}/manifest.json", f"{record}/key"))
        for path in _below(f"{record}/files"):
            if may_read(path):
                found |= dict.fromkeys((f"{record}/files{path}", path))
    return [path for path in found if "\n" not in path]


def _files_of(asked: str) -> Iterator[str]:
    if not asked.endswith("/"):
        yield asked
        return
    try:
        for entry in os.scandir(asked):
            if not entry.is_dir(follow_symlinks=False):
                yield entry.path
    except OSError:
        yield asked[:-1]  # the complaint is tar's


def _below(top: str) -> Iterator[str]:
    for folder, _, names in os.walk(top):
        for name in names:
            yield f"{folder[len(top) :]}/{name}"
