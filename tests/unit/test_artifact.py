"""Drafts, artifacts, the manifest and diffs."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest

from goldentooth.artifact import Artifact, Draft, Scope, diff_texts, manifest_text


def artifact(host: str = "fenn", path: str = "/etc/motd", text: str = "hello\n") -> Artifact:
    return Artifact(host, "greeting", path, text)


def test_a_draft_has_a_template_or_a_text_and_not_both() -> None:
    with pytest.raises(ValueError, match="a template or a text"):
        Draft("/etc/motd")
    with pytest.raises(ValueError, match="a template or a text"):
        Draft("/etc/motd", template="motd.j2", text="hello")


def test_a_draft_cannot_use_a_name_that_nornir_needs() -> None:
    with pytest.raises(ValueError, match=r"\['host'\] cannot be names"):
        Draft("/etc/motd", template="motd.j2", context={"host": "fenn"})


def test_an_artifact_keeps_what_its_draft_said() -> None:
    draft = Draft("/etc/motd", text="", owner="frr:frr", mode=0o640, scope=Scope.TWIN)
    made = draft.finished("greeting", "fenn", "hello\n")
    assert (made.owner, made.mode, made.scope, made.text) == (
        "frr:frr",
        0o640,
        Scope.TWIN,
        "hello\n",
    )
    assert made.location == "_twin/fenn/etc/motd"


def test_an_entry_describes_the_bytes_on_disk() -> None:
    entry = artifact(text="größer\n").entry()
    content = "größer\n".encode()
    assert entry["size"] == len(content) == 9
    assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert entry["mode"] == "0644"


def test_an_entry_lists_references_to_secrets_once() -> None:
    text = "a ${env:TOKEN} b ${vault:kv/x#y} c ${env:TOKEN} d ${shell:x}\n"
    assert artifact(text=text).secrets == ("${env:TOKEN}", "${vault:kv/x#y}")


def test_a_manifest_is_the_same_in_whatever_order() -> None:
    entries = [artifact(host).entry() for host in ("fenn", "bettley", "dalt")]
    text = manifest_text(entries)
    assert text == manifest_text(reversed(entries))
    locations = [entry["location"] for entry in json.loads(text)["artifacts"]]
    assert locations == sorted(locations)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a\nb\nc\n", "a\nB\nc\n"),
        (None, "new\n"),
        ("a\nb", "a\nc"),
        ("a\n", "a"),
        ("a\n", ""),
    ],
)
def test_a_diff_is_one_that_patch_applies(before: str | None, after: str, tmp_path: Path) -> None:
    target = tmp_path / "file"
    if before is not None:
        target.write_text(before)
    diff = diff_texts(before, after, "file")
    command = ["git", "apply", "--unidiff-zero", "-p1"]
    subprocess.run(command, input=diff, text=True, check=True, cwd=tmp_path)
    assert (target.read_text() if target.exists() else "") == after


def test_equal_texts_have_no_diff() -> None:
    assert diff_texts("a\n", "a\n", "file") == ""


def test_a_byte_that_is_not_text_is_shown_and_printable() -> None:
    broken = b"caf\xe9\n".decode(errors="surrogateescape")
    diff = diff_texts(broken, "café\n", "file")
    assert "-caf\\udce9" in diff or "-caf\\xe9" in diff
    assert "+café" in diff
    assert diff.encode()
