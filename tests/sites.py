"""A copy of the shipped project that a test may change, render and run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from goldentooth import Project, open_project

ROOT = Path(__file__).parents[1]


class Site:
    """A project's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "config.yaml", folder)
        shutil.copytree(ROOT / "templates", folder / "templates")
        (folder / "inventory").mkdir()
        for name in ("hosts", "groups", "defaults"):
            shutil.copy(ROOT / f"inventory/{name}.yaml", folder / "inventory")

    @property
    def build(self) -> Path:
        return self.folder / "build"

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    def edit(self, name: str, old: str, new: str) -> Site:
        """Replace ``old``, which stands once in the file ``name``."""
        path = self.folder / name
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new))
        return self

    def write(self, name: str, text: str) -> Site:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return self

    def add_fact(self, section: str, line: str) -> Site:
        """Add a line at the top of a section of defaults.yaml."""
        return self.edit(
            "inventory/defaults.yaml", f"\n  {section}:\n", f"\n  {section}:\n    {line}\n"
        )

    def project(self) -> Project:
        return open_project(self.config)

    def text(self, location: str, **selection: Any) -> str:
        """Render and return one artifact."""
        report = self.project().render(**selection)
        assert not report.has_failed, report.table()
        return (self.build / location).read_text()

    def run(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command line in this folder, with whatever else ``subprocess.run`` takes."""
        options.setdefault("cwd", self.folder)
        options["env"] = {**os.environ, "COLUMNS": "100", **options.get("env", {})}
        if "stdout" not in options:
            options["stdout"] = subprocess.PIPE
        command = [sys.executable, "-m", "runbooks", *arguments]
        return subprocess.run(
            command, stderr=subprocess.PIPE, text=True, timeout=60, check=False, **options
        )


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below ``folder`` with its bytes, keyed by relative path."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
