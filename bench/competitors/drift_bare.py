"""The floor of drift: bare asyncssh, one connection and one exec a host, bytes held together.

    drift_bare.py FILES

FILES is what bench/drift.py writes: every host with its address and files. It reads the files
alone: no running state, no owner or mode, no record of what was applied.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import asyncssh


async def look(host: dict[str, Any]) -> list[str]:
    """Return the host's files that differ."""
    paths = shlex.join(host["files"])
    command = f"for file in {paths}; do wc -c <$file; cat $file; done"
    async with asyncssh.connect(host["address"], username="root") as connection:
        done = await connection.run(command, encoding=None, check=True)
    rest, different = bytes(done.stdout or b""), []
    for path, source in host["files"].items():
        size, _, rest = rest.partition(b"\n")
        live, rest = rest[: int(size)], rest[int(size) :]
        if live != Path(source).read_bytes():
            different.append(f"{host['name']} {path}")
    return different


async def main() -> None:
    """Look at every host, all at once."""
    hosts = json.loads(Path(sys.argv[1]).read_bytes())
    found = await asyncio.gather(*map(look, hosts))
    for line in sorted(line for lines in found for line in lines):
        print(line)


asyncio.run(main())
