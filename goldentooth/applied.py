"""What was last applied to a host, as the host itself remembers it. Pure.

The record lives on the host, below ``/var/lib/goldentooth`` (root, 0700), in the folder that the
host's state names (:mod:`goldentooth.host.state`): a manifest, a copy of every file as it was
applied, and the key of the keyed hashes. It is the third side of drift: it tells whether the host
or the facts have changed. Here its files have the names that they would have in ``applied/``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from goldentooth.artifact import Artifact
from goldentooth.host.package import unpack
from goldentooth.host.words import STATE_FOLDER, Refusal

FORMAT = "goldentooth-net/applied/1"
FOLDER = STATE_FOLDER
APPLIED = f"{FOLDER}/applied"
KEY = f"{APPLIED}/key"
MANIFEST = f"{APPLIED}/manifest.json"
COPIES = f"{APPLIED}/files"
FOLDER_MODE, FILE_MODE = 0o700, 0o600


class BaselineError(Exception):
    """A host's record cannot be trusted; the message says why."""


class AppliedFile(msgspec.Struct, frozen=True, kw_only=True):
    """One file as it was applied.

    ``sha256`` is of the artifact's own text, in which secrets are references; ``keyed`` is the
    HMAC-SHA256 of the bytes that went to the host if those held secrets, else None.
    """

    path: str
    service: str
    owner: str
    mode: str
    size: int
    sha256: str
    format: str = "plain"
    secrets: tuple[str, ...] = ()
    keyed: str | None = None

    def holds(self, content: bytes, key: bytes) -> bool:
        """Tell whether ``content`` is what was applied, to the byte."""
        if self.keyed is not None:
            return hmac.compare_digest(self.keyed, keyed_hash(content, key))
        return self.sha256 == hashlib.sha256(content).hexdigest()

    def is_of(self, artifact: Artifact) -> bool:
        """Tell whether ``artifact`` is what was applied: text, owner and mode."""
        wanted = (artifact.sha256, artifact.owner, f"{artifact.mode:04o}")
        return (self.sha256, self.owner, self.mode) == wanted


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    host: str
    deployment: str
    at: str
    by: str
    artifacts: tuple[AppliedFile, ...]


@dataclass(frozen=True)
class Baseline:
    """What was last applied to one host; ``files`` and ``copies`` are keyed by path."""

    host: str
    deployment: str
    at: str
    by: str
    files: Mapping[str, AppliedFile]
    copies: Mapping[str, bytes]
    key: bytes


def keyed_hash(content: bytes, key: bytes) -> str:
    """Return the HMAC-SHA256 (RFC 2104) of ``content`` in hex: it can be compared, not guessed."""
    return hmac.new(key, content, hashlib.sha256).hexdigest()


def applied_file(artifact: Artifact, content: bytes, key: bytes) -> AppliedFile:
    """Return the line of the record for ``artifact``, which went to the host as ``content``."""
    return AppliedFile(
        path=artifact.path,
        service=artifact.service,
        owner=artifact.owner,
        mode=f"{artifact.mode:04o}",
        size=len(content),
        sha256=artifact.sha256,
        format=artifact.format,
        secrets=artifact.secrets,
        keyed=keyed_hash(content, key) if artifact.secrets else None,
    )


def manifest_bytes(
    host: str, files: Iterable[AppliedFile], *, deployment: str, at: str, by: str
) -> bytes:
    """Return the manifest of ``files`` on ``host``; ``at`` is a time in ISO 8601, UTC."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    manifest = _Manifest(
        format=FORMAT, host=host, deployment=deployment, at=at, by=by, artifacts=ordered
    )
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def record_files(
    host: str,
    applied: Iterable[tuple[Artifact, bytes]],
    key: bytes,
    *,
    deployment: str,
    at: str,
    by: str,
) -> dict[str, bytes]:
    """Return the record as files of the host, by path; each belongs to root and is 0600.

    ``applied`` pairs every artifact with the bytes that went to the host.
    """
    pairs = tuple(applied)
    lines = [applied_file(artifact, content, key) for artifact, content in pairs]
    return {
        KEY: key,
        MANIFEST: manifest_bytes(host, lines, deployment=deployment, at=at, by=by),
        **{COPIES + artifact.path: content for artifact, content in pairs},
    }


def read_baseline(host: str, files: Mapping[str, bytes]) -> Baseline | None:
    """Return what ``files``, keyed by path, say was applied to ``host``; None if they say nothing.

    Raises:
        BaselineError: if the record is damaged, incomplete or another host's.
    """
    if MANIFEST not in files:
        if any(path.startswith(COPIES) for path in files):
            raise BaselineError("copies of applied files, but no manifest")
        return None
    manifest = _decode(files[MANIFEST])
    if manifest.format != FORMAT:
        raise BaselineError(f"the manifest's format is {manifest.format!r}, not {FORMAT!r}")
    if manifest.host != host:
        raise BaselineError(f"the manifest is of {manifest.host!r}, not of this host")
    key = files.get(KEY, b"")
    if not key:
        raise BaselineError("the key of the keyed hashes is missing")
    by_path = {file.path: file for file in manifest.artifacts}
    copies = {path: files[COPIES + path] for path in by_path if COPIES + path in files}
    for path, file in by_path.items():
        if path not in copies:
            raise BaselineError(f"the copy of {path} is missing")
        if not file.holds(copies[path], key):
            raise BaselineError(f"the copy of {path} is not what the manifest says")
    return Baseline(
        manifest.host, manifest.deployment, manifest.at, manifest.by, by_path, copies, key
    )


def read_record(host: str, packed: bytes) -> Baseline:
    """Return the record in a package, as a host sends a kept one.

    Raises:
        BaselineError: if it is damaged or another host's.
    """
    try:
        members = unpack(packed)
    except Refusal as refusal:
        raise BaselineError(f"the record is damaged: {refusal.text}") from None
    found = read_baseline(host, {f"{APPLIED}/{path}": text for path, text in members.items()})
    if found is None:
        raise BaselineError("the record has no manifest")
    return found


def _decode(content: bytes) -> _Manifest:
    try:
        return msgspec.json.decode(content, type=_Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BaselineError(f"the manifest is damaged: {error}") from None
