"""The floor of what drift reads: bare asyncssh, one exec a host for files and running state.

    drift_same_reads.py FILES

FILES is what bench/drift.py writes: every host with its address, its files, and all that
goldentooth-net drift reads of it. That is read, one command after the other; but of it only the
files are looked at, and they are held together byte by byte.
"""

from __future__ import annotations

import asyncio
import io
import json
import shlex
import sys
import tarfile
from pathlib import Path
from typing import Any

import asyncssh

MARK = b"\n-- end --\n"


async def look(host: dict[str, Any]) -> list[str]:
    """Return the host's files that differ."""
    commands = "".join(f"{{ {line}; }} 2>&1; printf '\\n-- end --\\n'; " for line in host["reads"])
    command = f"{commands} tar -cPf - --ignore-failed-read {shlex.join(host['paths'])}"
    async with asyncssh.connect(host["address"], username="root") as connection:
        done = await connection.run(command, encoding=None, check=True)
    *running, packed = bytes(done.stdout or b"").split(MARK, len(host["reads"]))
    if len(running) != len(host["reads"]):
        raise ValueError(f"{host['name']}: {len(running)} answers")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        live = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return [
            f"{host['name']} {path}"
            for path, source in host["files"].items()
            if (file := live.get(path)) is None or file.read() != Path(source).read_bytes()
        ]


async def main() -> None:
    """Look at every host, all at once."""
    hosts = json.loads(Path(sys.argv[1]).read_bytes())
    found = await asyncio.gather(*map(look, hosts))
    for line in sorted(line for lines in found for line in lines):
        print(line)


asyncio.run(main())
