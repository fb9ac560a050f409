"""The dead-man's switch: a timer of systemd, and two units for the next start of the host.

The timer runs this program after so many seconds. If the host is restarted meanwhile, the first
unit puts the files back before network and sysctl read them, and the second makes live what was
put back, once the host is up. A unit whose program is gone ends and is not tried again.
"""

from __future__ import annotations

from goldentooth.host.files import place_of, put_file, remove_file
from goldentooth.host.machine import interpreter
from goldentooth.host.words import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from goldentooth.host.machine import Machine

TIMER = "goldentooth-rollback"
EARLY_UNIT = "goldentooth-rollback-boot.service"
LATE_UNIT = "goldentooth-rollback-after-boot.service"

_UNITS = "/etc/systemd/system"
_LINKS = {
    EARLY_UNIT: f"{_UNITS}/sysinit.target.wants",
    LATE_UNIT: f"{_UNITS}/multi-user.target.wants",
}
_CALL_SECONDS = 20.0
_NO_PROGRAM = "2"
"""Python's exit status if it cannot open its program: the state's folder was removed."""

EARLY_TEXT = """[Unit]
Description=Back to the network's configuration before deployment {name}, which was not confirmed
DefaultDependencies=no
RequiresMountsFor={state}
After=local-fs.target systemd-remount-fs.service
Before=networking.service systemd-sysctl.service network-pre.target sysinit.target

[Service]
Type=oneshot
TimeoutStartSec=90
SuccessExitStatus={gone}
ExecStart={python} -I -S {program} switch {name} early
"""

LATE_TEXT = """[Unit]
Description=Back to what ran before deployment {name}, which was not confirmed
RequiresMountsFor={state}
After=network.target
StartLimitIntervalSec=0

[Service]
Type=exec
Restart=on-failure
RestartSec=5
SuccessExitStatus={gone}
ExecStart={python} -I -S {program} switch {name} late
"""


def start_switch(machine: Machine, name: str, seconds: int) -> None:
    """Have the host go back after ``seconds``, or when it is started again.

    Raises:
        Refusal: if systemd does not take it on.
    """
    state = machine.state_folder
    fields = {
        "name": name,
        "state": state,
        "python": interpreter(),
        "program": f"{state}/deployments/{name}/program",
        "gone": _NO_PROGRAM,
    }
    for unit, text in ((EARLY_UNIT, EARLY_TEXT), (LATE_UNIT, LATE_TEXT)):
        content = text.format(**fields).encode()
        put_file(machine, f"{_UNITS}/{unit}", content, 0, 0, 0o644, [])
        _enable(machine, unit)
    start_timer(machine, name, seconds)


def start_timer(machine: Machine, name: str, seconds: int) -> None:
    """Start the timer anew, to go off after ``seconds``.

    Raises:
        Refusal: if it does not run afterwards.
    """
    _call(machine, "systemctl", "stop", f"{TIMER}.timer", f"{TIMER}.service")
    status, said = _call(
        machine,
        *("systemd-run", "--quiet", "--collect", f"--unit={TIMER}", f"--on-active={seconds}"),
        "--timer-property=AccuracySec=100ms",  # else it is up to a minute late
        *("--property=Restart=on-failure", "--property=RestartSec=5"),
        "--property=StartLimitIntervalSec=0",
        f"--property=SuccessExitStatus={_NO_PROGRAM}",
        *(interpreter(), "-I", "-S", f"{machine.state_folder}/deployments/{name}/program"),
        *("switch", name, "timer"),
    )
    if status or not is_timer_running(machine):
        raise Refusal("no-switch", f"systemd did not start the dead-man's switch: {said}")


def is_timer_running(machine: Machine) -> bool:
    """Tell whether the timer waits, or what it starts is at work."""
    status, said = _call(machine, "systemctl", "is-active", f"{TIMER}.timer", f"{TIMER}.service")
    words = set(said.split())
    return status == 0 or bool(words & {"active", "activating", "reloading"})


def stop_switch(machine: Machine, *, is_inside: bool = False) -> None:
    """Remove the units and stop the timer.

    With ``is_inside`` the timer stays: it is its service that runs this, and would be ended.
    """
    for unit, folder in _LINKS.items():
        for path in (f"{folder}/{unit}", f"{_UNITS}/{unit}"):
            remove_file(machine, path)
    if not is_inside:
        _call(machine, "systemctl", "stop", f"{TIMER}.timer")


def _enable(machine: Machine, unit: str) -> None:
    disk = machine.disk
    with place_of(machine, f"{_LINKS[unit]}/{unit}", []) as place:
        with place.workbench() as bench:
            disk.symlink(f"../{unit}", bench.descriptor, "link")
            disk.rename(bench.descriptor, "link", place.folder, place.name)
        disk.sync(place.folder)


def _call(machine: Machine, *words: str) -> tuple[int, str]:
    return machine.call(words, _CALL_SECONDS)
