"""A twin of the shipped network, brought up once and healed after every test that uses it.

Run with pytest-xdist every worker has a twin of its own, of 450 MB; ``--dist loadscope`` keeps a
module's tests together: make test.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldentooth import open_project
from goldentooth.model import Network
from goldentooth.twin import Twin, remove_twin
from goldentooth.twin.machine import Machine

PROJECT = Path(__file__).parents[2]
NEEDS_ROOT = "the twin needs root: namespaces and mounts"


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers of tests that make twins of their own."""
    config.addinivalue_line("markers", "root: makes namespaces and mounts, so it needs root")
    config.addinivalue_line("markers", "alone: compares this machine, so no twin may be beside it")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs root without it, for one clear reason; run what has to be alone first."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is None)
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root") or "twin" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=NEEDS_ROOT))


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the shipped network's rendered artifacts."""
    build = tmp_path_factory.mktemp("twin") / "build"
    report = open_project(PROJECT / "config.yaml").render(build=build)
    assert report.status == 0, report.table()
    return build


@pytest.fixture
def twin_name() -> Iterator[str]:
    """Return a name for a twin of the test's own, of which nothing stays."""
    name = f"own{os.getpid()}"
    yield name
    remove_twin(name)


@pytest.fixture(scope="session")
def shared_twin(network: Network, artifacts: Path) -> Iterator[Twin]:
    """Return the twin that tests share, as the last of them has left it."""
    name = f"test{os.getpid()}"
    try:
        yield Twin.up(network, artifacts, name=name)
    finally:
        remove_twin(name)


@pytest.fixture
def twin(shared_twin: Twin) -> Iterator[Twin]:
    """Return the twin of the whole network, up and verified; healed after the test."""
    yield shared_twin
    shared_twin.heal()


@pytest.fixture
def twin_host(twin: Twin) -> Callable[[str], Machine]:
    """Return a function from a host's name to the host, to run commands on."""
    return twin.machine
