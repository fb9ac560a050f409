"""What makes files live, and what was live again: lines of a plan, and two verbs of its own.

`@routes FILE` and `@sysctl FILE` are for what a shell line is too short for. Both read a file that
is in place and the one that was there before; no word of either is evaluated.
"""

from __future__ import annotations

from goldentooth.host.files import look_at, read_below, write_below
from goldentooth.host.words import absolute_path, command_line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from goldentooth.host.machine import Machine

LINE_SECONDS = 60.0
"""Seconds that one line may take, forward and back."""

_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/@-")
_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-*")
_SYSCTL_BEFORE = "sysctl"
_UNIT_FOLDER = "/etc/systemd/"


class Activation:
    """What makes a deployment live: ``folder`` is its open folder, ``old`` what was there before.

    ``old`` is ``before`` on the way forward and ``new`` on the way back.
    """

    def __init__(self, machine: Machine, folder: int, old: str) -> None:
        self._machine = machine
        self._folder = folder
        self._old = old
        self.has_hung = False
        """Whether a line did not end in its time: to try it again takes as long."""

    def run(self, lines: Iterable[str], *, to_the_end: bool) -> str:
        """Run the lines in order; return what failed, or nothing.

        The first that fails is the last, unless all are to be tried ``to_the_end``.
        """
        complaints = []
        for line in lines:
            if said := self._run_line(line):
                complaints.append(said)
                if not to_the_end:
                    break
        return "; ".join(complaints)

    def _run_line(self, line: str) -> str:
        verb, _, path = command_line(line).partition(" ")
        if verb == "@routes":
            status, said = self._set_routes(absolute_path(path))
        elif verb == "@sysctl":
            status, said = self._set_values(absolute_path(path))
        elif verb.startswith("@"):
            status, said = 127, f"this host's program has no {verb}"
        else:
            status, said = self._call("/bin/sh", "-c", line)
        if status == 0:
            return ""
        self.has_hung |= status == 124
        why = f"no end within {LINE_SECONDS:.0f} s" if status == 124 else f"exit status {status}"
        return f"`{line}` failed: {why}" + (f": {said}" if said else "")

    def _call(self, *words: str) -> tuple[int, str]:
        return self._machine.call(words, LINE_SECONDS)

    def _text_before(self, path: str) -> str:
        folder = "before/files" if self._old == "before" else "new"
        content = read_below(self._machine, self._folder, folder + path)
        return (content or b"").decode("utf-8", "replace")

    def _text_now(self, path: str) -> str:
        return look_at(self._machine, path).content.decode("utf-8", "replace")

    def _set_routes(self, path: str) -> tuple[int, str]:
        """Set the routes of an ifupdown file, and remove those that only the file before had."""
        wanted = list(_routes_in(self._text_now(path)))
        for family, *route in wanted:
            status, said = self._call("ip", family, "route", "replace", *route)
            if status:
                return status, said
        kept = {(family, route[0]) for family, *route in wanted}
        for family, *route in _routes_in(self._text_before(path)):
            if (family, route[0]) not in kept:
                self._call("ip", family, "route", "delete", *route)
        return 0, ""

    def _set_values(self, path: str) -> tuple[int, str]:
        """Load a file of sysctl.d; a value that only this deployment has set goes back with it."""
        if self._old == "before":
            before = set(_keys_in(self._text_before(path)))
            values = []
            for key in _keys_in(self._text_now(path)):
                if key not in before:
                    status, value = self._call("sysctl", "-n", "--", key)
                    values += [f"{key}={value}\n"] if not status and "\n" not in value else []
            write_below(self._machine, self._folder, _values_path(path), "".join(values).encode())
        else:
            kept = read_below(self._machine, self._folder, _values_path(path)) or b""
            for line in kept.decode("utf-8", "replace").splitlines():
                self._call("sysctl", "--quiet", "-w", "--", line)
        if look_at(self._machine, path).kind != "file":
            return 0, ""
        return self._call("sysctl", "--quiet", f"--load={path}")


def _values_path(path: str) -> str:
    return f"before/{_SYSCTL_BEFORE}{path}"


def _routes_in(text: str) -> Iterator[list[str]]:
    """Yield the routes of an ifupdown file, each as `-4` or `-6` and what ip-route(8) takes."""
    device = ""
    for line in text.splitlines():
        words = line.split()
        if words[:2] == ["up", "ip"] and words[3:5] == ["route", "replace"]:
            words = words[2:3] + words[5:]
        elif words[:1] == ["gateway"] and len(words) == 2 and device:
            family = "-6" if ":" in words[1] else "-4"
            words = [family, "default", "via", words[1], "dev", device, "onlink"]
        else:
            if words[:1] == ["iface"] and len(words) > 2:
                device = device or words[1]
            continue
        is_plain = all(_WORD.issuperset(word) and word[0] != "-" for word in words[1:])
        if is_plain and words[0] in {"-4", "-6"} and len(words) > 1:
            yield words


def _keys_in(text: str) -> Iterator[str]:
    """Yield the keys that a file of sysctl.d sets."""
    for line in text.splitlines():
        key, sign, _ = line.partition("=")
        key = key.strip()
        if sign and key[:1].isalpha() and _KEY.issuperset(key) and ".." not in key:
            yield key


def reload_units(machine: Machine, paths: Iterable[str]) -> str:
    """Have systemd read its units again if there are any among ``paths``: it takes a while."""
    if not any(path.startswith(_UNIT_FOLDER) for path in paths):
        return ""
    status, said = machine.call(["systemctl", "daemon-reload"], LINE_SECONDS)
    return f"`systemctl daemon-reload` failed: {said}" if status else ""


def units_now(machine: Machine, units: Iterable[str]) -> list[list[str]]:
    """Return for each unit its name, what it does and whether it starts at boot."""
    found = []
    for unit in units:
        words = ["systemctl", "show", "--property=ActiveState,UnitFileState", "--", unit]
        _, said = machine.call(words, LINE_SECONDS)
        shown = dict(line.partition("=")[::2] for line in said.splitlines())
        found.append([unit, shown.get("ActiveState", ""), shown.get("UnitFileState", "")])
    return found


def disable_units(machine: Machine, units: Iterable[list[str]]) -> str:
    """Have what did not start at boot before not start at boot; return what does all the same."""
    asked = ("systemctl", "--quiet", "disable", "--")
    return _undo(machine, asked, (each[0] for each in units if not _starts(each)), _starts)


def stop_units(machine: Machine, units: Iterable[list[str]]) -> str:
    """Stop what did not run before; return what runs all the same."""
    asked = ("systemctl", "stop", "--")
    return _undo(machine, asked, (each[0] for each in units if not _runs(each)), _runs)


def _starts(unit: list[str]) -> bool:
    return unit[2].startswith("enabled")


def _runs(unit: list[str]) -> bool:
    return unit[1] in {"active", "activating", "reloading"}


def _undo(
    machine: Machine, asked: Sequence[str], units: Iterable[str], is_left: Callable[..., bool]
) -> str:
    """Ask for each unit; return for which it failed, unless there is nothing to undo."""
    complaints = []
    for unit in units:
        for _ in range(2):
            status, said = machine.call([*asked, unit], LINE_SECONDS)
            if not status or not is_left(units_now(machine, [unit])[0]):
                break
        else:
            complaints.append(f"`{' '.join(asked)} {unit}` failed: {said}")
    return "; ".join(complaints)
