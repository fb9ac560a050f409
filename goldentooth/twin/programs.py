"""Where the twin's programs are, whatever PATH this process was given: cron's has no sbin."""

from __future__ import annotations

from collections.abc import Mapping

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

ENVIRONMENT = {
    "PATH": PATH,
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "LANG": "C.UTF-8",
}
"""What every command of the twin, and every one on a host, finds in its environment."""


def with_programs(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` with a PATH that ends with the folders where Debian has programs.

    >>> with_programs({"PATH": "/home/ada/bin"})["PATH"].split(":")[:2]
    ['/home/ada/bin', '/usr/local/sbin']
    """
    path = environment.get("PATH")
    return {**environment, "PATH": f"{path}:{PATH}" if path else PATH}
