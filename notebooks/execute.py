#!/usr/bin/env python3
"""Run a notebook from top to bottom and save it with what it shows.

    goldentooth-net twin run -- notebooks/execute.py notebooks/network.ipynb [OUTPUT]

The kernel runs where this does: `twin run` makes that the operator's machine, from which all
hosts are in reach. A cell that fails ends it; nothing is saved then.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

CELL_SECONDS = 120


def execute(source: Path, output: Path, folder: Path) -> None:
    """Run ``source`` in ``folder``, the project's, and save it as ``output``."""
    notebook = nbformat.read(source, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,  # the same run, the same file
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute()
    # which interpreter it was is nobody's business but this machine's
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, output)


def main() -> None:
    """Run the notebook that the command line names."""
    if not 2 <= len(sys.argv) <= 3:
        sys.exit((__doc__ or "").split("\n\n")[1])
    source = Path(sys.argv[1]).absolute()
    output = Path(sys.argv[2]).absolute() if len(sys.argv) == 3 else source
    try:
        execute(source, output, source.parents[1])
    except CellExecutionError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
