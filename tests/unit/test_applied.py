"""What a host remembers of the last deployment."""

from __future__ import annotations

import pytest

from goldentooth.applied import COPIES, KEY, MANIFEST, BaselineError, read_baseline, record_files
from goldentooth.artifact import Artifact

SECRET = "${env:TOKEN}"
PLAIN = Artifact("fenn", "routes", "/etc/network/interfaces.d/eth0.cfg", "auto eth0\n")
KEPT = Artifact("fenn", "kubeadm", "/etc/kubeadm.yaml", f"token: {SECRET}\n", mode=0o600)


def record() -> dict[str, bytes]:
    applied = [(PLAIN, PLAIN.content), (KEPT, b"token: canary\n")]
    return record_files("fenn", applied, b"k" * 32, deployment="1", at="2026-01-01", by="ops")


def test_a_record_reads_back_as_it_was_written() -> None:
    baseline = read_baseline("fenn", record())
    assert baseline is not None
    assert baseline.files[PLAIN.path].is_of(PLAIN)
    assert baseline.files[KEPT.path].is_of(KEPT)
    assert baseline.copies[KEPT.path] == b"token: canary\n"
    assert not baseline.files[KEPT.path].holds(b"token: other\n", baseline.key)


def test_the_manifest_holds_no_secret() -> None:
    assert b"canary" not in record()[MANIFEST]


def test_no_record_is_no_baseline() -> None:
    assert read_baseline("fenn", {}) is None


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        ({MANIFEST: b"{"}, "damaged"),
        ({MANIFEST: b'{"format": "other/1"}'}, "damaged"),
        ({KEY: b""}, "key"),
        ({COPIES + PLAIN.path: b"else"}, "not what the manifest says"),
        ({MANIFEST: None}, "no manifest"),
        ({COPIES + KEPT.path: None}, "is missing"),
    ],
)
def test_a_damaged_record_is_not_trusted(damage: dict[str, bytes | None], complaint: str) -> None:
    files = {path: text for path, text in {**record(), **damage}.items() if text is not None}
    with pytest.raises(BaselineError, match=complaint):
        read_baseline("fenn", files)


def test_another_hosts_record_is_not_trusted() -> None:
    with pytest.raises(BaselineError, match="of 'fenn'"):
        read_baseline("gardener", record())
