"""The program that is driven: as it is in the tree, or with a line of it changed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from goldentooth.host import module_texts

_PACKAGE = "goldentooth.host"


class _Changed:
    """Finds and loads the program's modules from texts."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        kind: Any = type(sys.__spec__)
        return kind(name, self) if name in self.texts else None

    def create_module(self, spec: object) -> None:
        """Leave it to Python."""

    def exec_module(self, module: ModuleType) -> None:
        text = self.texts[module.__name__]
        exec(compile(text, module.__name__, "exec"), module.__dict__)  # noqa: S102


class Program:
    """The verbs and the switch of one version of the program."""

    def __init__(self, verbs: Any, refusal: Any) -> None:
        self.verbs = verbs.VERBS
        self.switch = verbs.switch
        self.answer = verbs.answer
        self.retry: int = verbs.RETRY
        self.refusal: type[Exception] = refusal


def program(changes: Mapping[str, tuple[str, str]] | None = None) -> Program:
    """Return the program; ``changes`` are old and new text by module, each occurs once."""
    texts = module_texts() | {}
    for name, (old, new) in (changes or {}).items():
        assert texts[name].count(old) == 1, (name, texts[name].count(old))
        texts[name] = texts[name].replace(old, new)
    with _in_the_place_of_others({f"{_PACKAGE}.{name}": text for name, text in texts.items()}):
        verbs = importlib.import_module(f"{_PACKAGE}.verbs")
        words = importlib.import_module(f"{_PACKAGE}.words")
    return Program(verbs, words.Refusal)


@contextmanager
def _in_the_place_of_others(texts: Mapping[str, str]) -> Iterator[None]:
    before = {name: sys.modules.pop(name) for name in texts if name in sys.modules}
    package = sys.modules[_PACKAGE]
    finder: Any = _Changed(texts)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in texts:
            sys.modules.pop(name, None)
        sys.modules |= before
        for name, module in before.items():
            setattr(package, name.rpartition(".")[2], module)
