"""The processes of the host: which there are, whose session they are in, and how they are ended."""

from __future__ import annotations

import os


def send_signal(process: int, number: int) -> None:
    """Send a signal to a process, or with a negative number to a group, if it is still there."""
    try:
        os.kill(process, number)
    except OSError:
        pass  # it has ended


def processes() -> list[int]:
    """Return the number of every process."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def fields_of(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state is the first (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def began(pid: int) -> str:
    """Return when a process began, in ticks since the host was started; nothing if it is gone."""
    fields = fields_of(pid)
    return fields[19] if fields else ""


def group_and_session(pid: int) -> tuple[int, int]:
    """Return a process's group and session; zeros if it has ended."""
    fields = fields_of(pid)
    return (int(fields[2]), int(fields[3])) if fields and fields[0] != "Z" else (0, 0)
