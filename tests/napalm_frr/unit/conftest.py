"""NAPALM's own test suite: FRRDriver on recorded answers of real FRR instead of a connection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from napalm.base.test import conftest as napalm_conftest
from napalm.base.test.double import BaseTestDouble

from napalm_frr import FRRDriver
from napalm_frr.ssh import Output


class RecordedHost(BaseTestDouble):
    """Answers a command with the file of that name in the test case's folder."""

    is_open = True

    def run(self, commands: Sequence[str], *, timeout: float | None = None) -> list[Output]:  # noqa: ARG002  # as Ssh has it
        """Return what was recorded."""
        files = (self.find_file(f"{self.sanitize_text(command)}.txt") for command in commands)
        return [Output(self.read_txt_file(file)) for file in files]

    def close(self) -> None:
        """There is nothing to close."""


class PatchedFRRDriver(FRRDriver):
    """FRRDriver on a recorded host."""

    def __init__(
        self,
        hostname: str,
        username: str,
        password: str,
        timeout: int = 60,
        optional_args: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(hostname, username, password, timeout, optional_args)
        self.patched_attrs = ["device"]

    def open(self) -> None:
        """Open the record."""
        self.device = RecordedHost()


@pytest.fixture(scope="class")
def set_device_parameters(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give the class its driver, as NAPALM's suite wants it."""
    request.cls.driver = FRRDriver
    request.cls.patched_driver = PatchedFRRDriver
    request.cls.vendor = "frr"
    napalm_conftest.set_device_parameters(request)
    yield
    request.cls.device.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test of every folder of recorded answers."""
    napalm_conftest.pytest_generate_tests(metafunc, __file__)
