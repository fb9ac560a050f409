"""The way back: everything as it was before a deployment, files and what is live."""

from __future__ import annotations

import errno

from goldentooth.host.activation import Activation, disable_units, reload_units, stop_units
from goldentooth.host.alone import Alone, Reading, answer_of, unwritable, wrong_state
from goldentooth.host.files import (
    ABSENT,
    keep_copy,
    look_in,
    open_below,
    place_of,
    put_back,
    read_below,
    standing_below,
)
from goldentooth.host.locking import clean, hold_lock, withdraw
from goldentooth.host.plan import Plan
from goldentooth.host.staging import KEPT_DEPLOYMENTS
from goldentooth.host.state import (
    ARMED,
    BACK,
    GOING_BACK,
    STAGED,
    SWAPPING,
    Deployment,
    StateFolder,
    prune,
)
from goldentooth.host.switch import stop_switch
from goldentooth.host.words import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from goldentooth.host.files import Place, Standing
    from goldentooth.host.machine import Machine

EARLY, LATE, TIMER_CALL, OPERATOR = "early", "late", "timer", "operator"
"""Who calls for the way back."""

_MOST_LOOKS = 5
_NO_FILE = {"folder", "other"}
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
    if caller == OPERATOR:
        _refuse_others(machine, name, holder)
    _end_step(machine, name)
    with Alone(machine) as alone:
        state, found = alone.state, alone.state.find(name)
        if found is None or not found.is_switched:
            is_stale = found is None or found.state != STAGED
            if caller != OPERATOR and is_stale and state.switched is None:
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
        prune(state, KEPT_DEPLOYMENTS)
        alone.store()
        machine.note(f"deployment {name} was taken back: {found.why}")
        stop_switch(machine, is_inside=caller != OPERATOR)
        alone.folder.release()
        withdraw(machine, alone, name)
        clean(alone)
        return answer_of(found)


def _refuse_others(machine: Machine, name: str, holder: str) -> None:
    """Refuse who does not have the lock, before a step that is under way is ended."""
    with Reading(machine) as here:
        found = here.state.find(name)
        if found is not None and found.is_switched:
            hold_lock(machine, here.state, name, holder)


def _end_step(machine: Machine, name: str) -> None:
    """End a swap or an activation of ``name`` that is under way: it must not go on after it."""
    try:
        folder = StateFolder(machine)
        try:
            step = read_below(machine, folder.descriptor, "step")
        finally:
            folder.close()
    except OSError as error:
        raise unwritable(error) from error
    process, _, deployment = (step or b"").decode("ascii", "replace").rpartition(" ")
    if deployment == name:
        machine.end_step(process)


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
            [] if deployment.files_are_back else _return_files(alone, folder, plan, deployment)
        )
        if failures:
            return failures
        deployment.files_are_back = True
        units_said = reload_units(machine, plan.paths)
        if is_early:
            disable_units(machine, plan.units)
            return []
        unlive = units_said
        was_started = deployment.boot != machine.boot()  # what runs may have read new files
        if deployment.came_from != SWAPPING or was_started:
            activation = Activation(machine, folder, "new")
            for _ in range(_TRIES):
                unlive = activation.run(plan.activate, to_the_end=True)
                if not unlive or activation.has_hung:
                    break
        said = [unlive, disable_units(machine, plan.units), stop_units(machine, plan.units)]
        deployment.unlive = "; ".join(filter(None, said))  # a line may have enabled them
        return []
    finally:
        machine.disk.close(folder)


def _return_files(alone: Alone, folder: int, plan: Plan, deployment: Deployment) -> list[str]:
    machine, failures = alone.machine, []
    before = open_below(machine, folder, ["before", "files"])
    try:
        edits = _Edits(alone, deployment, folder, before)
        for file in plan.files:
            try:
                put_back(machine, file.path, before, edits.keep)
            except (OSError, Refusal) as error:
                said = error.strerror if isinstance(error, OSError) else str(error)
                failures.append(f"{file.path}: {said}")
    finally:
        machine.disk.close(before)
    removed = (_remove_folder(machine, path) for path in sorted(plan.folders, reverse=True))
    return [*failures, *filter(None, removed)]


def _remove_folder(machine: Machine, path: str) -> str:
    """Remove a folder that was made for a new file; return why it could not be."""
    try:
        with place_of(machine, path) as place:
            try:
                machine.disk.remove_folder(place.folder, place.name)
            except FileNotFoundError:
                pass  # it may not be on the disk yet that it is gone
            machine.disk.sync(place.folder)
    except (FileNotFoundError, Refusal):
        return ""  # what it stood in is gone, or is something else by now
    except OSError as error:
        has_changed = error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EBUSY}
        return "" if has_changed else f"{path}: {error.strerror}"
    return ""


class _Edits:
    """Keeps what is found that is neither what was there before nor what was put there.

    ``folder`` is the deployment's, open, ``before`` the one of the files that were there before.
    """

    def __init__(self, alone: Alone, deployment: Deployment, folder: int, before: int) -> None:
        self._alone = alone
        self._machine = alone.machine
        self._deployment = deployment
        self._folder = folder
        self._before = before

    def keep(self, place: Place) -> None:
        """Keep what stands at a place, and what takes its place meanwhile."""
        machine, path = self._machine, place.path
        old = standing_below(machine, self._before, path)
        new = read_below(machine, self._folder, f"new{path}")
        kept: Standing | None = None
        for _ in range(_MOST_LOOKS):
            now = look_in(machine, place.folder, place.name)  # last: what it finds is replaced next
            is_new = now.kind == "file" and now.content == new
            is_kept = kept is not None and now.form == kept.form
            if now.kind == ABSENT or is_new or is_kept or now.holds_as(old):
                return
            if now.kind in _NO_FILE:
                place.set_aside(self._note)
            else:
                self._note(self._copy(path, now))
            kept = now
        raise Refusal("moved", f"{path} is written again and again")

    def _copy(self, path: str, now: Standing) -> str:
        name = now.digest[:16] if now.kind == "file" else now.kind
        into = open_below(self._machine, self._folder, ["found", name])
        try:
            if not standing_below(self._machine, into, path).holds_as(now):
                keep_copy(self._machine, path, into, is_linked_if_full=True)
        finally:
            self._machine.disk.close(into)
        top = f"{self._machine.state_folder}/deployments/{self._deployment.name}"
        return f"{top}/found/{name}{path}"

    def _note(self, where: str) -> None:
        """Have it in the state before its place is taken: the next try does not find it there."""
        if where not in self._deployment.kept:
            self._deployment.kept.append(where)
            self._alone.store()


def _note_failing(machine: Machine, alone: Alone, deployment: Deployment, why: str) -> None:
    deployment.failing = why
    deployment.failing_since = deployment.failing_since or machine.now()
    try:
        alone.store()
    except OSError:
        return  # the disk is full: what was written last still says that it goes back
