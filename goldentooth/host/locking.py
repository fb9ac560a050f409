"""Who deploys to a host, until when; and how what was only staged is forgotten."""

from __future__ import annotations

from goldentooth.host.alone import Alone, answer_of, wrong_state
from goldentooth.host.files import remove_tree
from goldentooth.host.state import (
    GOING_BACK,
    NONE,
    STAGED,
    Deployment,
    HostState,
    Lock,
    record_folder,
)
from goldentooth.host.switch import is_timer_running, start_timer, stop_switch
from goldentooth.host.words import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from goldentooth.host.machine import Machine


def take_lock(machine: Machine, name: str, holder: str, by: str, seconds: int) -> dict[str, object]:
    """Take the host's lock for a deployment; a valid one of another controller is honoured."""
    with Alone(machine) as alone:
        state = alone.state
        honour_lock(machine, state, name, holder)
        _refuse_earlier_version(alone)
        switched = state.switched
        if switched is not None:
            mend_switch(machine, switched)
            if switched.name != name:
                raise armed_refusal(switched)
        for each in [each for each in state.deployments if each.state == STAGED]:
            if each.name != name:  # its controller has lost the lock
                forget(alone, each)
        until = int(machine.uptime()) + seconds
        state.lock = Lock(name, holder, by, machine.now(), machine.boot(), until)
        alone.folder.reserve(state)
        alone.store()
        for part in machine.disk.names(alone.folder.descriptor):
            if part.startswith("incoming."):  # who has the lock is the only one to receive
                remove_tree(machine, alone.folder.descriptor, part)
        clean(alone)  # a process may have been ended before it had removed all
        return answer_of(state.find(name))


def _refuse_earlier_version(alone: Alone) -> None:
    """Refuse while a deployment of the version before this state's file is armed."""
    if "armed" in alone.machine.disk.names(alone.folder.descriptor):
        raise Refusal(
            "armed",
            "armed by an earlier version of this program: it goes back, or is confirmed by it",
        )


def give_lock_back(machine: Machine, name: str, holder: str) -> dict[str, object]:
    """Give the lock back, if this controller has it for this deployment."""
    with Alone(machine) as alone:
        lock = alone.state.lock
        if lock is not None and (lock.deployment, lock.holder) == (name, holder):
            alone.state.lock = None
            alone.store()
            if alone.state.switched is None:
                alone.folder.release()
        return answer_of(alone.state.find(name))


def give_up(machine: Machine, name: str, holder: str) -> dict[str, object]:
    """Forget what was staged; what is armed is not given up, and what has ended stays as it is."""
    with Alone(machine) as alone:
        found = alone.state.find(name)
        if found is None or found.state != STAGED:
            if found is not None and found.is_switched:
                raise wrong_state(found, name, "staged only")
            return answer_of(found)
        hold_lock(machine, alone.state, name, holder)
        forget(alone, found)
        return answer_of(None)


def honour_lock(machine: Machine, state: HostState, name: str, holder: str) -> None:
    """Refuse if another controller, or another deployment, has a lock that is valid."""
    lock = state.lock
    if lock is None or (lock.deployment == name and lock.holder == holder):
        return
    left = lock.until - int(machine.uptime())
    if lock.boot == machine.boot() and left > 0:
        raise Refusal(
            "held",
            f"held by {lock.by} since {lock.at} ({lock.deployment}), for {left} s more",
            state=_word(state, name),
            by=lock.by,
        )


def armed_refusal(switched: Deployment) -> Refusal:
    """Return what is answered while the dead-man's switch of ``switched`` is on."""
    how = "it goes back" if switched.state == GOING_BACK else "it is confirmed or goes back"
    return Refusal(
        "armed",
        f"armed: {switched.name} of {switched.by}, since {switched.at}; {how}"
        + (f"; the way back fails since {switched.failing_since}" if switched.failing else ""),
        state=switched.state,
        by=switched.by,
    )


def mend_switch(machine: Machine, switched: Deployment) -> None:
    """Start the timer of a deployment that is armed and has none."""
    if is_timer_running(machine):
        return
    left = switched.until - int(machine.uptime()) if switched.boot == machine.boot() else 0
    start_timer(machine, switched.name, max(1, left))


def hold_lock(machine: Machine, state: HostState, name: str, holder: str) -> None:
    """Refuse who does not have the lock: it may have run out, but nobody else may have taken it."""
    lock = state.lock
    if lock is None or (lock.deployment, lock.holder) != (name, holder):
        honour_lock(machine, state, name, holder)
        raise Refusal("not-held", f"{name} does not hold the lock", state=_word(state, name))


def _word(state: HostState, name: str) -> str:
    found = state.find(name)
    return found.state if found else NONE


def forget(alone: Alone, staged: Deployment) -> None:
    """Forget a deployment that was only staged; of the switch there may be a part."""
    stop_switch(alone.machine)  # first: as long as it is known, the next tries again
    alone.state.deployments.remove(staged)
    alone.store()
    withdraw(alone.machine, alone, staged.name)
    alone.folder.remove_deployment(staged.name)


def withdraw(machine: Machine, alone: Alone, name: str) -> None:
    """Remove what validators were offered of a deployment."""
    disk, top = machine.disk, alone.folder.descriptor
    try:
        is_its = disk.read_link(top, "staged") == f"deployments/{name}/new"
    except OSError:
        return
    if is_its:
        for part in ("staged", "scratch"):
            remove_tree(machine, top, part)


def clean(alone: Alone) -> None:
    """Remove what deployments have left that have ended, are forgotten, or never were.

    A record stays as long as the state refers to it.
    """
    folder, records = alone.folder, alone.state.records
    known = {each.name: each for each in alone.state.deployments}
    for name in list(folder.deployment_folders()):
        if name in known:
            if known[name].is_ended:
                folder.remove_deployment(name, "new")
        elif record_folder(name) in records:
            folder.remove_deployment(name, "new", "before", "found", "plan.json", "program")
        else:
            folder.remove_deployment(name)
