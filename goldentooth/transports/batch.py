"""Many commands in one exec: a POSIX shell script, and how to read what it prints. Pure.

The script goes to ``sh`` on standard input, so its length has no limit, and a login shell that
prints something first does no harm: only what stands between the marks is read. Outputs
travel in base64, so they come through to the byte, whatever they hold.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from shlex import quote

from goldentooth.check import Output
from goldentooth.errors import UnreachableError

SHELL = "exec /bin/sh -s"
"""The command to exec; the script is its standard input."""

OUTPUT_LIMIT = 16 * 1024 * 1024
"""Bytes of standard output that are read of one command."""

_ERROR_LIMIT = 64 * 1024

# Descriptor 5 is the script's own output, 6 a command's report, 3 its errors on their way there.
# The report is `{status}` and the errors in base64, which has no braces: in whatever order the
# two arrive, they can be told apart.
_RUN = """\
run() {
  printf '%s %s\\n' "$mark" "$1"
  report=$({
    {
      { timeout -k 1 "$seconds" sh -c "$2" 3>&- 4>&- 5>&- 6>&- </dev/null
        printf '{%d}' "$?" >&4
      } 2>&3 | head -c "$limit" | base64 >&5
    } 3>&1 4>&6 | { head -c "$error_limit"; cat >/dev/null; } | base64
  } 6>&1)
  printf '%s report\\n%s\\n' "$mark" "$report"
}
"""


def batch_script(commands: Sequence[str], mark: str, *, seconds: int = 30) -> str:
    """Return the script that runs ``commands``, each for ``seconds`` at the most.

    ``mark`` is a word that no output can hold by chance.
    """
    lines = [
        f"mark={quote(mark)} seconds={seconds} limit={OUTPUT_LIMIT + 1} error_limit={_ERROR_LIMIT}",
        "exec 5>&1",
        _RUN,
        *(f"run {index} {quote(command)}" for index, command in enumerate(commands)),
        'printf "%s end\\n" "$mark"',
    ]
    return "\n".join(lines) + "\n"


def parse_batch(printed: bytes, count: int, mark: str) -> tuple[Output, ...]:
    """Return the outputs of ``count`` commands from what the script printed.

    Raises:
        UnreachableError: if it broke off before its end.
    """
    parts = printed.split(f"{mark} ".encode())
    if len(parts) != 2 * count + 2 or not parts[-1].startswith(b"end"):
        done = max(0, (len(parts) - 1) // 2)
        raise UnreachableError(f"the answer broke off after {done} of {count} commands")
    return tuple(
        _parse_output(parts[1 + 2 * index], parts[2 + 2 * index]) for index in range(count)
    )


def write_command(path: str, content: bytes, owner: str, mode: int) -> str:
    """Return a command that writes a file whole or not at all: beside it, synced, renamed."""
    encoded = base64.b64encode(content).decode()
    return f"""set -eu
mkdir -p {quote(path.rpartition("/")[0] or "/")}
new=$(mktemp {quote(path + ".XXXXXX")})
trap 'rm -f "$new"' EXIT
base64 -d >"$new" <<'END'
{encoded}
END
chmod {mode:04o} "$new"
chown {quote(owner)} "$new"
sync "$new"
mv -f "$new" {quote(path)}
"""


def _parse_output(body: bytes, report: bytes) -> Output:
    stdout = _decode(body.partition(b"\n")[2])
    report = report.partition(b"\n")[2]
    status = re.search(rb"\{([0-9]+)\}", report)
    if not status:
        raise UnreachableError("the answer holds no exit status")
    stderr = _decode(report.replace(status[0], b""))
    return Output(
        stdout[:OUTPUT_LIMIT], stderr, int(status[1]), is_truncated=len(stdout) > OUTPUT_LIMIT
    )


def _decode(encoded: bytes) -> bytes:
    try:
        return base64.b64decode(encoded)
    except binascii.Error as error:
        raise UnreachableError(f"the answer is damaged: {error}") from error
