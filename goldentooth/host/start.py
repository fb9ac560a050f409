"""Where the program begins: its modules are in its own text, each compiled when it is needed."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

PACKAGES = ("goldentooth", "goldentooth.host")


class Shipped:
    """Finds and loads modules whose texts are in ``texts`` (importlib: finder and loader)."""

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:  # noqa: ARG002  # the interface
        """Return how to load a module that is here."""
        kind: Any = type(sys.__spec__)  # to import importlib.machinery takes 2 ms
        return kind(name, self) if name in self.texts else None

    def create_module(self, spec: object) -> None:
        """Leave it to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's text in it."""
        exec(compile(self.texts[module.__name__], module.__name__, "exec"), module.__dict__)  # noqa: S102  # what an import is


def start(texts: dict[str, str], reading: str, allowed: str, sent: bytes | None) -> int:
    """Run the program whose modules are in ``texts``; return its exit status.

    ``sent`` is all of it, if it did not come from a file.
    """
    for name in PACKAGES:
        package = type(sys)(name)
        package.__path__ = []
        sys.modules[name] = package
    sys.meta_path.insert(0, Shipped(texts))  # type: ignore[arg-type]  # as importlib takes it
    from goldentooth.host.serve import Program, main

    return main(sys.argv[1:], Program(_own_text(sent), reading, allowed))


def _own_text(sent: bytes | None) -> Callable[[], str]:
    def read() -> str:
        if sent is not None:
            return sent.decode()
        with open(sys.argv[0], encoding="utf-8") as file:
            return file.read()

    return read
