"""Where the program begins: its modules are in its own text, each run when it is needed.

To compile them takes as long as all else that a request does, so what was compiled is kept until
the host is restarted: in a folder in memory that is root's alone, beside the texts it came from.
"""

from __future__ import annotations

import marshal
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, ModuleType
    from typing import Any

PACKAGES = ("goldentooth", "goldentooth.host")
KEPT = "/run/goldentooth"
"""The folder of what was compiled."""

_WHOLE = "goldentooth.host.verbs"
_NAME = "compiled"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Shipped:
    """Finds and loads modules whose texts are in ``texts`` (importlib: finder and loader)."""

    def __init__(self, texts: dict[str, str], codes: dict[str, CodeType]) -> None:
        self.texts = texts
        self.codes = codes

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:  # noqa: ARG002  # the interface
        """Return how to load a module that is here."""
        kind: Any = type(sys.__spec__)  # to import importlib.machinery takes 2 ms
        return kind(name, self) if name in self.texts else None

    def create_module(self, spec: object) -> None:
        """Leave it to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's text in it."""
        exec(self.code(module.__name__), module.__dict__)  # noqa: S102  # what an import is

    def code(self, name: str) -> CodeType:
        """Return a module, compiled."""
        if name not in self.codes:
            self.codes[name] = compile(self.texts[name], name, "exec")
        return self.codes[name]


def start(
    texts: dict[str, str], reading: str, allowed: str, sent: bytes | None, kept: str = KEPT
) -> int:
    """Run the program whose modules are in ``texts``; return its exit status.

    ``sent`` is all of it, if it did not come from a file.
    """
    for name in PACKAGES:
        package = type(sys)(name)
        package.__path__ = []
        sys.modules[name] = package
    codes = _kept_codes(texts, kept)
    shipped = Shipped(texts, dict(codes))
    sys.meta_path.insert(0, shipped)  # type: ignore[arg-type]  # as importlib takes it
    from goldentooth.host.serve import Program, main

    status = main(sys.argv[1:], Program(_own_text(sent), reading, allowed))
    if not codes and _WHOLE in shipped.codes:
        _keep({name: shipped.code(name) for name in texts}, texts, kept)
    return status


def _own_text(sent: bytes | None) -> Callable[[], str]:
    def read() -> str:
        if sent is not None:
            return sent.decode()
        with open(sys.argv[0], encoding="utf-8") as file:
            return file.read()

    return read


def _kept_codes(texts: dict[str, str], kept: str) -> dict[str, CodeType]:
    """Return what this Python has compiled of ``texts`` before; nothing if that is not kept."""
    try:
        folder = os.open(kept, _FOLDER)
        try:
            if not _is_private(folder):
                return {}
            file = os.open(_NAME, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        with open(file, "rb") as stream:
            version, from_texts, codes = marshal.loads(stream.read())  # noqa: S302  # root's own
    except Exception:
        return {}
    return codes if (version, from_texts) == (sys.version, texts) else {}


def _keep(codes: dict[str, CodeType], texts: dict[str, str], kept: str) -> None:
    """Keep what was compiled, for the next time; without room it is not kept."""
    try:
        if not os.path.isdir(kept):
            os.mkdir(kept, 0o700)
        folder = os.open(kept, _FOLDER)
        try:
            if _is_private(folder):
                _write(folder, marshal.dumps((sys.version, texts, codes)))
        finally:
            os.close(folder)
    except OSError:
        pass


def _write(folder: int, content: bytes) -> None:
    new = f"{_NAME}.{os.urandom(8).hex()}"
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with open(file, "wb") as stream:
            stream.write(content)
        os.rename(new, _NAME, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(new, dir_fd=folder)
        raise


def _is_private(folder: int) -> bool:
    status = os.fstat(folder)
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077
