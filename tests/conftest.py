"""What many tests start from: a copy of the shipped inventory, to load, edit and break."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from goldentooth.errors import FactsError, Problem
from goldentooth.inventory import FactsInventory, GoldentoothInventory
from goldentooth.model import Network

INVENTORY = Path(__file__).parents[1] / "inventory"
FILES = ("hosts.yaml", "groups.yaml", "defaults.yaml")


# The same examples on every run: a gate that fails does so for what changed. To look for more:
# HYPOTHESIS_PROFILE=search .venv/bin/pytest tests/fuzz
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


# Ctrl-C is tested, and a shell that starts the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the templates that tests compile where pytest clears away."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.getbasetemp() / "cache")


@dataclass(frozen=True)
class Shipped:
    """A copy of the shipped inventory that a test may change."""

    folder: Path

    def path(self, name: str) -> Path:
        """Return the path of ``name``: ``hosts``, ``groups``, ``defaults`` or ``discovered``."""
        return self.folder / f"{name}.yaml"

    def edit(self, name: str, old: str, new: str) -> Shipped:
        """Replace ``old``, which stands once in the file, with ``new``."""
        text = self.path(name).read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}.yaml"
        self.path(name).write_text(text.replace(old, new))
        return self

    def write(self, name: str, content: str | bytes) -> Shipped:
        """Replace the whole file."""
        self.path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        return self

    def load(self) -> FactsInventory:
        """Load the files as the Nornir plugin does."""
        names = ("hosts", "groups", "defaults", "discovered")
        return GoldentoothInventory(*(str(self.path(name)) for name in names)).load()

    @property
    def network(self) -> Network:
        """The network, loaded anew."""
        return self.load().network

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems that loading reports."""
        with pytest.raises(FactsError) as caught:
            self.load()
        return caught.value.problems

    @property
    def report(self) -> list[str]:
        """The first line of every problem, in order, with the file's bare name."""
        return [
            str(problem).split("\n")[0].replace(f"{self.folder}/", "") for problem in self.problems
        ]


def copy_inventory(folder: Path) -> Shipped:
    """Copy the shipped inventory to ``folder``."""
    folder.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copy(INVENTORY / name, folder)
    return Shipped(folder)


@pytest.fixture
def shipped(tmp_path: Path) -> Shipped:
    """Return a copy of the shipped inventory."""
    return copy_inventory(tmp_path / "inventory")


@pytest.fixture(scope="session")
def copy() -> Callable[[Path], Shipped]:
    """Return a function that copies the shipped inventory to a folder."""
    return copy_inventory


@pytest.fixture(scope="session")
def network() -> Network:
    """Return the shipped network; it is frozen, so all tests may share it."""
    return GoldentoothInventory(*(str(INVENTORY / name) for name in FILES), "/none").load().network
