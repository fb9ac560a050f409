"""What the tests of the design's claims share: a place for the figures that they measure."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from tests.twin.claims.observation import Measured


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Measured:
    """Return a function that puts figures into the test's output (`pytest -rP`) and report."""

    def note(*figures: object) -> None:
        text = "\n".join(map(str, figures))
        sys.stdout.write(f"{text}\n")
        record_property("measured", text)

    return note
