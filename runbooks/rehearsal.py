"""The part of ``deploy --rehearse`` that runs on the twin: deploy there what stdin says."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from goldentooth.text import to_json
from runbooks.output import printable_streams


def main() -> int:
    """Deploy with references in place of secrets, and a journal of its own; print the report."""
    with printable_streams():
        return _deploy()


def _deploy() -> int:
    from goldentooth import open_project
    from goldentooth.deployment import Options
    from goldentooth.errors import GoldentoothError
    from goldentooth.journal import Journal
    from goldentooth.rehearsal import ON_TWIN
    from goldentooth.secrets import References

    if ON_TWIN not in os.environ:
        print("this runs on a twin only: goldentooth-net deploy --rehearse", file=sys.stderr)
        return 2
    job = json.load(sys.stdin)
    project = open_project(job["config"])
    with TemporaryDirectory() as folder:
        try:
            report = project.deploy(
                **job["chosen"],
                overwrite=job["overwrite"],
                options=Options(**job["options"]),
                secrets=References(),
                journal=Journal(Path(folder)),
            )
        except GoldentoothError as error:
            print(error, file=sys.stderr)
            return 2
    print(to_json(report.to_dict(), indent=None))
    return report.status


if __name__ == "__main__":
    raise SystemExit(main())
