"""Kernel parameters: sysctl.d(5).

Order is kept: one parameter may set another (``net.ipv4.ip_forward`` resets those of every
interface, the kernel's ip-sysctl says).
"""

from __future__ import annotations

_BLANK = " \t\r\v\f"
_OTHER_SEPARATOR = str.maketrans("./", "/.")


def canonical(text: str) -> tuple[str, ...]:
    r"""Return one line a parameter, the last one wins; what is no assignment stays as it is.

    >>> canonical("net.ipv4.conf.eth0/5.rp_filter = 1\n; no\n-vm.swappiness=5")
    ('net/ipv4/conf/eth0.5/rp_filter = 1', '-vm/swappiness = 5')
    """
    lines: dict[str, str] = {}
    for line in text.split("\n"):
        bare = line.strip(_BLANK)
        if not bare or bare[0] in "#;":
            continue
        name, assigns, value = bare.partition("=")
        optional, name = name.startswith("-"), _path(name.removeprefix("-").strip(_BLANK))
        dash = "-" * optional
        if not assigns:
            lines[bare] = f"{dash}{name}"
            continue
        assignment = f"{dash}{name} = {value.strip(_BLANK)}"
        if lines.get(name) != assignment:
            lines.pop(name, None)  # an earlier assignment of another value has no effect
            lines[name] = assignment
    return tuple(lines.values())


def _path(name: str) -> str:
    """Return the path under /proc/sys: which separator comes first says what the other one is."""
    first = next((sign for sign in name if sign in "./"), "/")
    return name if first == "/" else name.translate(_OTHER_SEPARATOR)
