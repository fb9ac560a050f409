"""What is run on the host to compare, commit, confirm and take back a configuration.

All of it are POSIX shell scripts for root. frr-reload finds out and applies what is to change;
a replacement's unchanged lines, and with them the sessions that they hold up, are left alone.

What must outlive the operator is on the host: ``/var/lib/napalm-frr/before/frr.conf`` is the
running configuration before the last commit, and a pending commit is a timer of systemd's that
brings it back. Until a commit is sure to stay, ``earlier`` beside it is that of the commit before
it, to which a rollback goes if this one comes to nothing. The startup configuration is written when
a commit is final, so a host that reboots before comes up as it was.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from shlex import quote

STATE = "/var/lib/napalm-frr"
UNIT = "napalm-frr-revert"

NOTHING_BEFORE = 71
NOTHING_PENDING = 72
ALREADY_PENDING = 73
LOCKED = 74
NOT_ARMED = 75
TAKEN_BACK = 76
"""Exit statuses of the scripts; any other but 0 is that of what failed."""


@dataclass(frozen=True)
class Candidate:
    """A configuration that waits to be committed: all of it (replace), or more of it (merge)."""

    text: str
    is_replacement: bool


@dataclass(frozen=True)
class Scripts:
    """The scripts, for one host's programs."""

    vtysh: str = "vtysh"
    frr_reload: str = "/usr/lib/frr/frr-reload.py"

    def check(self, candidate: Candidate) -> str:
        """Print what of ``candidate`` is no FRR configuration; its status is 0 if all is."""
        path = '"$folder/frr.conf"'
        return _lines(_FOLDER, _save(candidate.text, path), f"{quote(self.vtysh)} -C -f {path}")

    def compare(self, candidate: Candidate) -> str:
        """Print frr-reload's list of what ``candidate`` would change."""
        path, added = '"$folder/frr.conf"', '"$folder/added"'
        return _lines(
            _FOLDER,
            "" if candidate.is_replacement else self._save_running(path),
            _save(candidate.text, added),
            f"cat {added} >>{path}",
            f"{quote(self.frr_reload)} --test --log-level error {path}",
        )

    def commit(self, candidate: Candidate, message: str, revert_in: int | None) -> str:
        """Apply ``candidate``; take it back at once if that fails, in ``revert_in`` s if told."""
        reload = self._reload("candidate")
        apply = reload if candidate.is_replacement else f"{quote(self.vtysh)} -f candidate/frr.conf"
        until = f" (unless confirmed taken back in {revert_in} s)" if revert_in else ""
        return _lines(
            _LOCK,
            f"! pending || exit {ALREADY_PENDING}",
            "rm -rf new && mkdir -p candidate new || exit",
            _save(candidate.text, "candidate/frr.conf"),
            self._save_running("new/frr.conf"),
            "rm -rf earlier && { [ ! -e before ] || mv before earlier; } && mv new before || exit",
            self._arm(revert_in) if revert_in else "",
            _log(f"commit{until}: {message or '-'}"),
            f"{apply} && {':' if revert_in else f'{self._write} && rm -rf earlier'} && exit",
            f"{self._reload('before')} || exit",
            "disarm",
            f"{_NO_COMMIT}; exit {TAKEN_BACK}",
        )

    def confirm(self) -> str:
        """Make a pending commit final."""
        pending = f"pending || exit {NOTHING_PENDING}"
        return _lines(_LOCK, pending, "disarm", "rm -rf earlier", _log("confirmed"), self._write)

    def rollback(self) -> str:
        """Bring back what ran before the last commit, be it final or pending."""
        return _lines(
            _LOCK,
            f"[ -s before/frr.conf ] || exit {NOTHING_BEFORE}",
            "was_pending=; ! pending || was_pending=yes",
            f"{self._reload('before')} || exit",
            "disarm",
            "rm -rf earlier",
            _log("rolled back"),
            f'[ "$was_pending" ] || {self._write}',
        )

    def pending(self) -> str:
        """Tell by its status whether a commit waits to be confirmed."""
        return _lines(_PENDING, "pending")

    def _arm(self, seconds: int) -> str:
        """Let systemd bring ``before`` back; by default its timers are up to a minute late."""
        # Another vtysh that configures locks frr-reload out: it is asked again for a minute.
        revert = (
            f"cd {STATE} && exec 9>lock && flock 9 || exit;"
            " for again in 1 2 3 4 5 6 7 8 9 10 11 12; do"
            f" {self._reload('before')} && {{ {_NO_COMMIT}; exit; }}; sleep 5; done; exit 1"
        )
        return (
            f"systemd-run --quiet --collect --unit={UNIT} --on-active={seconds}s"
            " --timer-property=AccuracySec=100ms"
            f" --description='Take back an unconfirmed commit' /bin/sh -c {quote(revert)}"
            f" || {{ {_NO_COMMIT}; exit {NOT_ARMED}; }}"
        )

    def _reload(self, folder: str) -> str:
        """Apply ``folder``'s frr.conf; as its confdir's own file, it is not written to /etc."""
        path = f"{STATE}/{folder}"
        return f"{quote(self.frr_reload)} --reload --confdir {path} {path}/frr.conf"

    def _save_running(self, path: str) -> str:
        """Write the running configuration to ``path``, without its last line: more may follow."""
        return _lines(
            f"all=$({quote(self.vtysh)} -c 'show running-config no-header') || exit",
            # a configuration that breaks off would delete the rest of itself
            'case $all in *"\nend") ;; *) echo "$all"; exit 1 ;; esac',
            f"printf '%s\\n' \"${{all%end}}\" >{path} || exit",
        )

    @property
    def _write(self) -> str:
        return f"{quote(self.vtysh)} -c 'write memory' >/dev/null"


_NO_COMMIT = "rm -rf before; [ ! -e earlier ] || mv earlier before"
"""There was no commit after all: the last one is that before it."""

_FOLDER = "folder=$(mktemp -d) && trap 'rm -rf \"$folder\"' EXIT || exit"

_PENDING = (
    f"pending() {{ systemctl is-active --quiet {UNIT}.timer"
    f" || systemctl is-active --quiet {UNIT}.service; }}"
)

_LOCK = f"""umask 077
mkdir -p {STATE} && cd {STATE} && exec 9>lock || exit
flock -w 20 9 || exit {LOCKED}
{_PENDING}
disarm() {{ systemctl stop {UNIT}.timer {UNIT}.service 2>/dev/null || :; }}"""


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


def _save(text: str, path: str) -> str:
    """Write ``text`` to ``path``, byte for byte; as every file it ends with a newline."""
    end = f"END-{secrets.token_hex(16)}"
    return f"cat >{path} <<'{end}' || exit\n{text.removesuffix(chr(10))}\n{end}"


def _log(what: str) -> str:
    return f"logger -t napalm-frr -- {quote(what)} || :"


def as_diff(listed: str) -> str:
    r"""Return frr-reload's list of changes as a diff; empty if there are none.

    What is deleted has a minus, what is added a plus; the lines that they are in stand above.

    >>> print(as_diff('''
    ... Lines To Delete
    ... ===============
    ... router bgp 64500
    ...  no neighbor 10.4.0.15 description
    ... ipv6 forwarding
    ...
    ... Lines To Add
    ... ============
    ... router bgp 64500
    ...  neighbor 10.4.0.15 description fenn
    ... '''))
     router bgp 64500
    - neighbor 10.4.0.15 description
    -no ipv6 forwarding
     router bgp 64500
    + neighbor 10.4.0.15 description fenn
    """
    diff: list[str] = []
    sign = ""
    above: list[str] = []
    shown: list[str] = []
    lines = [line for line in listed.splitlines() if line.strip() and set(line) != {"="}]
    for line, following in zip(lines, [*lines[1:], ""], strict=False):
        if line in {"Lines To Delete", "Lines To Add"}:
            sign, above, shown = "-" if line.endswith("Delete") else "+", [], []
            continue
        above = above[: _depth(line)]
        if _depth(following) > _depth(line):
            above.append(line)
            continue
        if above != shown:
            diff += [f" {each}" for each in above]
            shown = above
        diff.append(f"{sign}{_without_no(line) if sign == '-' else line}")
    return "\n".join(diff)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _without_no(line: str) -> str:
    """Return the line that the command ``line`` deletes."""
    indent, command = line[: _depth(line)], line.strip()
    return indent + (command[3:] if command.startswith("no ") else f"no {command}")
