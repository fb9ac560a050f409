from __future__ import annotations

from pathlib import Path

import pytest

from tests.sites import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a copy of the shipped project."""
    return Site(tmp_path / "site")
