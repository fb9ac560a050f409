"""The SSH connection refuses to be careless before it connects anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from goldentooth.errors import HostKeyError, TransportError
from goldentooth.transports.ssh import SshConnection


def connect(**extras: Any) -> None:
    extras.setdefault("connect_seconds", 2)
    SshConnection().open("127.0.0.1", "nobody", None, 9, "linux", extras=extras)


def test_host_keys_are_never_left_unchecked() -> None:
    with pytest.raises(HostKeyError, match="would not be checked"):
        connect(known_hosts=None)


def test_nor_by_the_ssh_configuration(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host *\n  UserKnownHostsFile none\n")
    with pytest.raises(HostKeyError, match="would not be checked"):
        connect(config=[str(config)])


def test_nor_by_the_users_own_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host *\n  UserKnownHostsFile none\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(HostKeyError, match=r"key of 127\.0\.0\.1 would not be checked"):
        connect()


@pytest.mark.parametrize("jump", ["ada@gate:22", "ada@gate", "gate", "other,gate:2222"])
def test_nor_those_of_hosts_on_the_way(tmp_path: Path, jump: str) -> None:
    config = tmp_path / "config"
    config.write_text(f"Host gate\n  UserKnownHostsFile none\nHost 127.0.0.1\n  ProxyJump {jump}\n")
    with pytest.raises(HostKeyError, match="key of gate would not be checked"):
        connect(config=[str(config)])


def test_nor_by_options_made_elsewhere() -> None:
    with pytest.raises(HostKeyError, match="made elsewhere"):
        connect(options=object())


def test_a_broken_ssh_configuration_is_said_to_be(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Port many\n")
    with pytest.raises(TransportError, match="SSH configuration"):
        connect(config=[str(config)])


def test_nobody_there_is_unreachable() -> None:
    with pytest.raises(TransportError):
        connect(config=None, known_hosts=b"")
