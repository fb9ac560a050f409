"""Run one command and write what it took, as JSON: seconds, CPU seconds, peak bytes.

    stopwatch.py REPORT COMMAND...

A process of its own, because Linux counts a parent's memory as its child's until the child
has begun its own program: a large parent would hide a small child's peak.
"""

import json
import os
import sys
import time


def main() -> None:
    """Run the command; exit as it does."""
    report, *command = sys.argv[1:]
    begin = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - begin
    with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123  # small, see above
        json.dump(
            {
                "seconds": seconds,
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
                "peak_bytes": usage.ru_maxrss * 1024,
            },
            file,
        )
    sys.exit(os.waitstatus_to_exitcode(status))


main()
