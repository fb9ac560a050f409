"""NAPALM's own suite for drivers, on what tests/napalm_frr/record.py has recorded."""

from __future__ import annotations

import pytest
from napalm.base.test.getters import BaseTestGetters


@pytest.mark.usefixtures("set_device_parameters")
class TestGetters(BaseTestGetters):  # type: ignore[misc]  # napalm has no type information
    """Every getter's keys and types, and its values as reviewed in expected_result.json."""
