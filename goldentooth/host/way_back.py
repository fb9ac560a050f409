"""The way back: everything as it was before a deployment, files and what is live."""

from __future__ import annotations

from goldentooth.host.activation import Activation, disable_units, reload_units, stop_units
from goldentooth.host.alone import Alone, answer_of, unwritable, wrong_state
from goldentooth.host.files import (
    ABSENT,
    keep_copy,
    look_at,
    open_below,
    place_of,
    put_back,
    read_below,
    standing_below,
)
from goldentooth.host.locking import hold_lock, withdraw
from goldentooth.host.plan import Plan, PlannedFile
from goldentooth.host.staging import KEPT_DEPLOYMENTS, clean
from goldentooth.host.state import (
    ACTIVATED,
    ARMED,
    BACK,
    GOING_BACK,
    STAGED,
    SWAPPED,
    Deployment,
    StateFolder,
    prune,
)
from goldentooth.host.switch import stop_switch
from goldentooth.host.words import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from goldentooth.host.machine import Machine

EARLY, LATE, TIMER_CALL, OPERATOR = "early", "late", "timer", "operator"
"""Who calls for the way back."""

_TRIES = 2
"""How often what was live is made live again, before it is reported."""


def go_back(
    machine: Machine, name: str, why: str, caller: str, holder: str = ""
) -> dict[str, object]:
    """Have everything as it was before ``name``: files, and what is live.

    May be ended at any point and called again, until it has come to its end. ``caller`` is who
    calls: the operator, the timer, or a unit at the host's start. The early one, before network and
    sysctl, puts the files back and leaves the rest to the late one.
    """
    _end_step(machine)
    with Alone(machine) as alone:
        state, found = alone.state, alone.state.find(name)
        if found is None or not found.is_switched:
            if caller != OPERATOR and (found is None or found.state != STAGED):
                stop_switch(machine, is_inside=True)
            if found is not None and found.state == BACK:
                return answer_of(found)
            raise wrong_state(found, name, "armed")
        if caller == OPERATOR:
            hold_lock(machine, state, name, holder)
        if found.state != GOING_BACK:
            found.came_from = found.state
            found.why = why or f"not confirmed within {found.seconds} s"
            alone.move(found, GOING_BACK)
        failures = _return_all(machine, alone, found, is_early=caller == EARLY)
        if failures:
            _note_failing(machine, alone, found, "; ".join(failures))
            raise Refusal(
                "way-back-fails", f"{name} could not go back: {found.failing}", state=GOING_BACK
            )
        if caller == EARLY and found.came_from != ARMED:
            alone.store()
            return answer_of(found)
        found.failing = found.failing_since = ""
        found.state = BACK
        if state.lock is not None and state.lock.deployment == name:
            state.lock = None
        gone, records = prune(state, KEPT_DEPLOYMENTS)
        alone.store()
        machine.note(f"deployment {name} was taken back: {found.why}")
        stop_switch(machine, is_inside=caller != OPERATOR)
        alone.folder.release()
        withdraw(machine, alone, name)
        alone.folder.remove_deployment(name, "new")
        clean(alone, gone, records)
        return answer_of(found)


def _end_step(machine: Machine) -> None:
    """End a swap or an activation that is under way: it must not go on after the way back."""
    try:
        folder = StateFolder(machine)
        try:
            step = read_below(machine, folder.descriptor, "step")
        finally:
            folder.close()
    except OSError as error:
        raise unwritable(error) from error
    if step:
        machine.end_step(step.decode("ascii", "replace"))


def _return_all(
    machine: Machine, alone: Alone, deployment: Deployment, *, is_early: bool
) -> list[str]:
    """Return what did not go back, each with why."""
    if deployment.came_from == ARMED:
        return []  # nothing was swapped in: what is there may be an edit by hand
    try:
        folder, plan = alone.plan_of(deployment)
    except (OSError, Refusal) as error:
        return [f"its back-up cannot be read: {error}"]
    try:
        failures = (
            [] if deployment.files_are_back else _return_files(machine, folder, plan, deployment)
        )
        if failures:
            return failures
        deployment.files_are_back = True
        units_said = reload_units(machine, plan.paths)
        if is_early:
            disable_units(machine, plan.units)
            return []
        unlive = units_said
        if deployment.came_from in {SWAPPED, ACTIVATED}:
            for _ in range(_TRIES):
                unlive = Activation(machine, folder, "new").run(plan.activate, to_the_end=True)
                if not unlive:
                    break
        disable_units(machine, plan.units)  # a line may have enabled them
        stop_units(machine, plan.units)
        deployment.unlive = unlive
        return []
    finally:
        machine.disk.close(folder)


def _return_files(machine: Machine, folder: int, plan: Plan, deployment: Deployment) -> list[str]:
    failures = []
    before = open_below(machine, folder, ["before", "files"])
    try:
        for file in plan.files:
            try:
                _keep_edit(machine, file, folder, before, deployment)
                put_back(machine, file.path, before)
            except (OSError, Refusal) as error:
                said = error.strerror if isinstance(error, OSError) else str(error)
                failures.append(f"{file.path}: {said}")
    finally:
        machine.disk.close(before)
    for path in sorted(plan.folders, reverse=True):
        try:
            with place_of(machine, path) as place:
                machine.disk.remove_folder(place.folder, place.name)
                machine.disk.sync(place.folder)
        except (OSError, Refusal):
            continue  # something else is in it
    return failures


def _keep_edit(
    machine: Machine, file: PlannedFile, folder: int, before: int, deployment: Deployment
) -> None:
    """Keep what stands at a path if it is neither what was there before nor what was put there."""
    now = look_at(machine, file.path)
    if now.kind == ABSENT or now.holds_as(standing_below(machine, before, file.path)):
        return
    if now.kind == "file" and read_below(machine, folder, f"new{file.path}") == now.content:
        return
    if now.kind in {"folder", "other"}:
        with place_of(machine, file.path) as place:
            where = place.set_aside()
    else:
        name = now.digest[:16] if now.kind == "file" else now.kind
        top = f"{machine.state_folder}/deployments/{deployment.name}"
        where = f"{top}/found/{name}{file.path}"
        into = open_below(machine, folder, ["found", name])
        try:
            if not standing_below(machine, into, file.path).holds_as(now):
                keep_copy(machine, file.path, into, is_linked_if_full=True)
        finally:
            machine.disk.close(into)
    if where not in deployment.kept:
        deployment.kept.append(where)


def _note_failing(machine: Machine, alone: Alone, deployment: Deployment, why: str) -> None:
    deployment.failing = why
    deployment.failing_since = deployment.failing_since or machine.now()
    try:
        alone.store()
    except OSError:
        return  # the disk is full: what was written last still says that it goes back
