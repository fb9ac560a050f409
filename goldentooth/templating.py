"""The one template environment of all hosts."""

from __future__ import annotations

import os
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket


def environment(folder: Path) -> Environment:
    """Return the environment of the templates in ``folder``: undefined names are errors."""
    cache = cache_folder()
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        auto_reload=False,
        autoescape=False,  # noqa: S701  # configuration files, not HTML
        bytecode_cache=_Cache(str(cache), _PATTERN) if cache else None,
        **_SYNTAX,
    )


_SYNTAX: dict[str, Any] = {
    "trim_blocks": True,
    "lstrip_blocks": True,
    "keep_trailing_newline": True,
}
_PATTERN = f"{sha256(repr((version('jinja2'), _SYNTAX)).encode()).hexdigest()[:12]}-%s.cache"
"""Names of compiled templates; Jinja itself tells apart neither its versions nor these options."""


def cache_folder() -> Path | None:
    """Return where compiled templates are kept; None if that is no place of one's own.

    To compile them takes longer than to render 14 hosts. They are code: nobody else may write
    there.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    with suppress(OSError, RuntimeError):  # RuntimeError: nobody's home
        folder = (
            Path(base) if base.startswith("/") else Path.home() / ".cache"
        ) / "goldentooth-net"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if status.st_uid == os.geteuid() and not status.st_mode & 0o022:
            return folder
    return None


_DAMAGE = (OSError, EOFError, ValueError, TypeError, AttributeError, ImportError, IndexError)


class _Cache(FileSystemBytecodeCache):
    """Does without where it cannot read or write."""

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take a template that was compiled earlier, unless it is damaged."""
        try:
            super().load_bytecode(bucket)
        except (*_DAMAGE, UnpicklingError):
            bucket.reset()

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep a compiled template."""
        with suppress(OSError):
            super().dump_bytecode(bucket)
