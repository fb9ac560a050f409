"""What is received for a deployment, and what it will take the place of. Nothing is live by it."""

from __future__ import annotations

from goldentooth.host.activation import units_now
from goldentooth.host.alone import Alone, answer_of, wrong_state
from goldentooth.host.files import (
    files_below,
    keep_copy,
    look_at,
    open_below,
    place_of,
    remove_tree,
    write_below,
)
from goldentooth.host.locking import armed_refusal, clean, forget, hold_lock
from goldentooth.host.plan import ANY, Plan, PlannedFile, Staging
from goldentooth.host.state import (
    ADOPTED,
    NONE,
    STAGED,
    Deployment,
    HostState,
    StateFolder,
    prune,
    record_folder,
)
from goldentooth.host.words import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from goldentooth.host.files import Standing
    from goldentooth.host.machine import Machine

KEPT_DEPLOYMENTS = 10
"""Deployments that one can go back to, and as many others."""


def stage(machine: Machine, staging: Staging, holder: str) -> dict[str, object]:
    """Keep what was sent, and what it is to take the place of. Nothing is live by that."""
    with Alone(machine) as alone:
        state = alone.state
        hold_lock(machine, state, staging.name, holder)
        known = state.find(staging.name)
        if known is not None:
            if known.state != STAGED:
                raise wrong_state(known, staging.name, "new")
            forget(alone, known)
        if state.switched is not None:
            raise armed_refusal(state.switched)
        deployment = _new_deployment(machine, state, staging)
        if staging.source:
            _take_kept(machine, alone, staging, deployment)
        _receive(machine, alone, staging, deployment)
        state.number = deployment.number
        state.deployments.append(deployment)
        alone.store()
        _offer_to_validators(machine, alone, staging.name)
        return answer_of(deployment)


def adopt(machine: Machine, staging: Staging, holder: str) -> dict[str, object]:
    """What is there becomes the record; no file is touched."""
    with Alone(machine) as alone:
        state = alone.state
        hold_lock(machine, state, staging.name, holder)
        if state.switched is not None:
            raise armed_refusal(state.switched)
        if state.find(staging.name) is not None:
            raise wrong_state(state.find(staging.name), staging.name, "new")
        deployment = _new_deployment(machine, state, staging)
        _receive(machine, alone, staging, deployment)
        deployment.state = ADOPTED
        state.number = deployment.number
        state.deployments.append(deployment)
        state.applied = deployment.record
        state.lock = None
        prune(state, KEPT_DEPLOYMENTS)
        alone.store()
        alone.folder.release()
        clean(alone)
        return answer_of(deployment)


def _new_deployment(machine: Machine, state: HostState, staging: Staging) -> Deployment:
    if staging.base != state.applied:
        raise Refusal("moved", "another deployment has been applied since the plan was made")
    if record_folder(staging.name) in state.records or staging.name == "applied":
        raise Refusal(
            "wrong-state", f"{staging.name} is the name of another deployment", state=NONE
        )
    deployment = Deployment(staging.name, state.number + 1, staging.by, machine.now())
    deployment.previous = state.applied
    deployment.record = record_folder(staging.name)
    return deployment


def _take_kept(machine: Machine, alone: Alone, staging: Staging, deployment: Deployment) -> None:
    """Take from a record that the host keeps what is to be put back."""
    source = alone.state.applied_before(staging.source)
    record = read_record_folder(machine, alone.folder, source) if source else None
    if record is None:
        raise Refusal("no-record", f"no record from before {staging.source} is kept", state=NONE)
    deployment.record = source
    for file in staging.plan.files:
        if file.action == "put":
            content = record.get(f"files{file.path}")
            if content is None:
                raise Refusal("no-record", f"{file.path} is not in that record", state=NONE)
            staging.new[file.path] = content


def _receive(machine: Machine, alone: Alone, staging: Staging, deployment: Deployment) -> None:
    """Write all that a deployment needs, first under another name."""
    disk, top = machine.disk, alone.folder.descriptor
    plan = staging.plan
    plan.units = units_now(machine, staging.units)
    incoming = f"incoming.{machine.random_name()}"
    folder = open_below(machine, top, [incoming])
    try:
        for path, content in staging.new.items():
            write_below(machine, folder, f"new{path}", content)
        disk.close(open_below(machine, folder, ["new"]))
        if not staging.source:
            _write_record(machine, alone, staging, folder)
        _back_up(machine, plan, folder)
        write_below(machine, folder, "plan.json", plan.to_bytes())
        write_below(machine, folder, "program", machine.program.encode())
        disk.sync_tree(folder)
        above = open_below(machine, top, ["deployments"])
        try:
            remove_tree(machine, above, deployment.name)
            disk.rename(top, incoming, above, deployment.name)
            disk.sync(above)
        finally:
            disk.close(above)
    except BaseException:
        remove_tree(machine, top, incoming)
        raise
    finally:
        disk.close(folder)


def _write_record(machine: Machine, alone: Alone, staging: Staging, folder: int) -> None:
    applied = {}
    if staging.carried:
        applied = read_record_folder(machine, alone.folder, alone.state.applied) or {}
    for path in staging.carried:
        if f"files{path}" not in applied:
            raise Refusal("no-record", f"{path} is not in the record that is applied", state=NONE)
        write_below(machine, folder, f"record/files{path}", applied[f"files{path}"])
    for path, content in {**staging.record, **staging.new}.items():
        write_below(machine, folder, f"record/files{path}", content)
    write_below(machine, folder, "record/manifest.json", staging.manifest)
    write_below(machine, folder, "record/key", staging.key)


def _back_up(machine: Machine, plan: Plan, folder: int) -> None:
    """Keep what the plan touches, if it is what the plan was made from."""
    before = open_below(machine, folder, ["before", "files"])
    try:
        for file in plan.files:
            refuse_moved(machine, file)
            _refuse_impossible(machine, file)
            if not keep_copy(machine, file.path, before):
                plan.folders += [
                    path
                    for path in _missing_folders(machine, file.path)
                    if path not in plan.folders
                ]
    finally:
        machine.disk.close(before)


def _refuse_impossible(machine: Machine, file: PlannedFile) -> None:
    """Refuse what the swap or the way back could not do: owner not there, no safe place."""
    if file.action == "put":
        file_owner(machine, file)
    try:
        with place_of(machine, file.path) as place:
            place.refuse_unsafe()
    except FileNotFoundError:
        return  # its folder is made in one that is there


def file_owner(machine: Machine, file: PlannedFile) -> tuple[int, int]:
    """Return whose a file will be.

    Raises:
        Refusal: if there is no such user or group on the host.
    """
    user, _, group = file.owner.partition(":")
    try:
        return machine.user_id(user), machine.group_id(group)
    except KeyError:
        raise Refusal("no-user", f"there is no {file.owner} on this host", path=file.path) from None


def _missing_folders(machine: Machine, path: str) -> list[str]:
    parts = path.split("/")[1:-1]
    missing = []
    for length in range(1, len(parts) + 1):
        above = "/" + "/".join(parts[:length])
        try:
            place_of(machine, f"{above}/x").close()
        except FileNotFoundError:
            missing.append(above)
    return missing


def refuse_moved(machine: Machine, file: PlannedFile) -> None:
    """Refuse a file that is not what the plan was made from."""
    refuse_other(file, look_at(machine, file.path))


def refuse_other(file: PlannedFile, found: Standing) -> None:
    """Refuse what stands at the path of a file if it is not what the plan was made from."""
    if found.kind in {"folder", "other"}:
        raise Refusal("not-a-file", f"{file.path} is neither a file nor a link", path=file.path)
    if file.expected not in {ANY, found.digest}:
        raise Refusal("moved", f"{file.path} has changed since the plan was made", path=file.path)


def _offer_to_validators(machine: Machine, alone: Alone, name: str) -> None:
    disk, top = machine.disk, alone.folder.descriptor
    for part in ("staged", "scratch"):
        remove_tree(machine, top, part)
    disk.symlink(f"deployments/{name}/new", top, "staged")
    disk.make_folder(top, "scratch", 0o700)


def read_record_folder(machine: Machine, top: StateFolder, path: str) -> dict[str, bytes] | None:
    """Return the files of a record, by path below its folder; None if it is not there."""
    try:
        folder = open_below(machine, top.descriptor, path.split("/"), is_made=False)
    except FileNotFoundError:
        return None
    try:
        return files_below(machine, folder)
    finally:
        machine.disk.close(folder)
