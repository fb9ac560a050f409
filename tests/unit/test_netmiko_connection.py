"""The interactive CLI refuses what would leave host keys unchecked, before it connects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goldentooth.errors import HostKeyError, UnreachableError, UsageError
from goldentooth.transports.cli import CliConnection

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"


def connect(hostname: str = "127.0.0.1", platform: str = "linux", **extras: Any) -> None:
    extras.setdefault("connect_seconds", 2)
    CliConnection().open(hostname, "nobody", None, 9, platform, extras=extras)


@pytest.mark.parametrize(
    "option",
    [{"ssh_strict": False}, {"system_host_keys": False}, {"alt_host_keys": False}],
    ids=str,
)
def test_host_keys_are_never_left_unchecked(option: dict[str, Any]) -> None:
    with pytest.raises(HostKeyError, match="always checked"):
        connect(**option)


def test_nor_by_a_way_that_has_none() -> None:
    with pytest.raises(HostKeyError, match="only SSH is spoken"):
        connect(platform="cisco_ios_telnet")


def test_a_host_without_a_known_key_is_not_spoken_to(tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.2]:9 {KEY}\n")
    with pytest.raises(HostKeyError, match=r"no key of 127\.0\.0\.1 is known"):
        connect(known_hosts=str(known_hosts))
    with pytest.raises(HostKeyError, match="cannot be read"):
        connect(known_hosts=str(tmp_path / "absent"))


def test_a_known_host_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.*]:9 {KEY}\n")
    with pytest.raises(UnreachableError):
        connect(known_hosts=str(known_hosts))


def test_a_platform_that_netmiko_does_not_know_is_said_to_be(tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:9 {KEY}\n")
    with pytest.raises(UsageError, match="platform 'nonsense' is no device type of Netmiko"):
        connect(platform="nonsense", known_hosts=str(known_hosts))
