"""The change itself: the switch is on, files are in place, live, and confirmed."""

from __future__ import annotations

from goldentooth.host.activation import Activation, reload_units
from goldentooth.host.alone import Alone, answer_of, wrong_state
from goldentooth.host.files import look_in, put_file, read_below, remove_file
from goldentooth.host.locking import clean, hold_lock, mend_switch, withdraw
from goldentooth.host.plan import PlannedFile
from goldentooth.host.staging import KEPT_DEPLOYMENTS, file_owner, refuse_moved, refuse_other
from goldentooth.host.state import ACTIVATED, ARMED, CONFIRMED, STAGED, SWAPPED, SWAPPING, prune
from goldentooth.host.switch import start_switch, start_timer, stop_switch
from goldentooth.host.words import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from goldentooth.host.files import Place
    from goldentooth.host.machine import Machine


def arm(machine: Machine, name: str, holder: str, seconds: int) -> dict[str, object]:
    """From now on the host goes back unless it is confirmed in time, a restart included."""
    with Alone(machine) as alone:
        state = alone.state
        hold_lock(machine, state, name, holder)
        found = state.find(name)
        if found is not None and found.state == ARMED:
            mend_switch(machine, found)
            return answer_of(found)
        if found is None or found.state != STAGED:
            raise wrong_state(found, name, "staged")
        try:
            found.seconds, found.boot = seconds, machine.boot()
            found.until = int(machine.uptime()) + seconds
            start_switch(machine, name, seconds)
            alone.move(found, ARMED)
        except BaseException:
            stop_switch(machine)
            raise
        if machine.uptime() >= found.until:  # it may have gone off and found nothing to do
            start_timer(machine, name, 1)
        return answer_of(found)


def swap(machine: Machine, name: str, holder: str) -> dict[str, object]:
    """Put every file of the plan in place, each whole or not at all."""
    with Alone(machine, step=name) as alone:
        hold_lock(machine, alone.state, name, holder)
        found = alone.state.find(name)
        if found is None or found.state != ARMED:
            raise wrong_state(found, name, "armed")
        if machine.boot() != found.boot or machine.uptime() >= found.until:
            raise Refusal("too-late", f"{name} goes back now", state=found.state)
        folder, plan = alone.plan_of(found)
        try:
            for file in plan.files:
                refuse_moved(machine, file)
            alone.move(found, SWAPPING)
            for file in plan.files:
                _swap_file(machine, file, folder)
        finally:
            machine.disk.close(folder)
        alone.move(found, SWAPPED)
        return answer_of(found)


def _swap_file(machine: Machine, file: PlannedFile, folder: int) -> None:
    def look(place: Place) -> None:
        refuse_other(file, look_in(machine, place.folder, place.name))

    if file.action == "remove":
        remove_file(machine, file.path, look)
        return
    content = read_below(machine, folder, f"new{file.path}")
    if content is None:
        raise Refusal("damaged", f"what was staged for {file.path} is gone", path=file.path)
    numbers = file_owner(machine, file)
    put_file(machine, file.path, content, *numbers, int(file.mode, 8), [], look)


def activate(machine: Machine, name: str, holder: str) -> dict[str, object]:
    """Make the files live: the plan's lines, in order, to the first that fails."""
    with Alone(machine, step=name) as alone:
        hold_lock(machine, alone.state, name, holder)
        found = alone.state.find(name)
        if found is None or found.state != SWAPPED:
            raise wrong_state(found, name, "swapped in")
        folder, plan = alone.plan_of(found)
        try:
            failed = reload_units(machine, plan.paths) or Activation(machine, folder, "before").run(
                plan.activate, to_the_end=False
            )
        finally:
            machine.disk.close(folder)
        if failed:
            raise Refusal("activation", failed, state=found.state)
        alone.move(found, ACTIVATED)
        return answer_of(found)


def confirm(machine: Machine, name: str, holder: str) -> dict[str, object]:
    """The change stays: in one write the deployment is confirmed and its record applied."""
    with Alone(machine) as alone:
        state, found = alone.state, alone.state.find(name)
        if found is None or found.state not in {ACTIVATED, CONFIRMED}:
            raise wrong_state(found, name, "live, so it is not confirmed")
        if found.state == ACTIVATED:
            hold_lock(machine, state, name, holder)
            found.state = CONFIRMED
            state.applied = found.record
            state.lock = None
            prune(state, KEPT_DEPLOYMENTS)
            alone.store()
        if state.switched is None:  # else the switch that is on is another deployment's
            stop_switch(machine)
        if state.lock is None:
            alone.folder.release()
        withdraw(machine, alone, name)
        clean(alone)
        return answer_of(found)
