"""One at a time changes something on a host: the mutex, the state, what goes wrong with both."""

from __future__ import annotations

import errno
import fcntl
import os

from goldentooth.host.files import read_below, remove_tree, write_below
from goldentooth.host.plan import Plan
from goldentooth.host.state import NONE, StateFolder
from goldentooth.host.words import Refusal, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from goldentooth.host.machine import Machine
    from goldentooth.host.state import Deployment

_MUTEX_SECONDS = 20.0
_POLL_SECONDS = 0.05
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


class Alone:
    """One at a time changes something on this host; gives the state's folder and what is in it.

    With ``step`` it is a step of that deployment, which its way back does not wait for, but ends.
    """

    def __init__(self, machine: Machine, *, step: str = "") -> None:
        self.machine = machine
        self.folder = StateFolder(machine)
        self._is_step = bool(step)
        disk = machine.disk
        try:
            self._mutex = _open_or_create(machine, self.folder.descriptor, "mutex")
            try:
                _wait_for_mutex(machine, self._mutex)
                remove_tree(machine, self.folder.descriptor, "step")
                if step:
                    said = f"{machine.own_step()} {step}".encode()
                    write_below(machine, self.folder.descriptor, "step", said)
                self.state = self.folder.load()
                disk.sync(self.folder.descriptor)  # who wrote it may have been ended before that
            except BaseException:
                disk.close(self._mutex)
                raise
        except OSError as error:
            self.folder.close()
            raise unwritable(error) from error
        except BaseException:
            self.folder.close()
            raise

    def __enter__(self) -> Alone:  # noqa: PYI034  # Self is of Python 3.11
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if self._is_step:
                remove_tree(self.machine, self.folder.descriptor, "step")
        except OSError:
            pass  # its process ends now, and its number is another's only with another beginning
        finally:
            self.machine.disk.close(self._mutex)
            self.folder.close()
        if isinstance(error, OSError):
            raise unwritable(error) from error

    def store(self) -> None:
        """Write the state."""
        self.folder.store(self.state)

    def move(self, deployment: Deployment, word: str) -> None:
        """Write that ``deployment`` is in another state; what it announces may follow."""
        deployment.state = word
        self.store()

    def plan_of(self, deployment: Deployment) -> tuple[int, Plan]:
        """Return a deployment's open folder, and its plan."""
        folder = self.folder.open_deployment(deployment.name)
        content = read_below(self.machine, folder, "plan.json")
        if content is None:
            raise Refusal("damaged", f"the plan of {deployment.name} is gone from the host")
        return folder, Plan.from_bytes(content)


class Reading:
    """The state's folder and what is in it, for who changes nothing and waits for nothing."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def __enter__(self) -> Reading:  # noqa: PYI034  # Self is of Python 3.11
        try:
            self.folder = StateFolder(self._machine)
            self.state = self.folder.load()
        except OSError as error:
            raise unwritable(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.folder.close()
        if isinstance(error, OSError):
            raise unwritable(error) from error


def _open_or_create(machine: Machine, folder: int, name: str) -> int:
    try:
        return machine.disk.open_slot(folder, name)
    except FileNotFoundError:
        pass
    try:
        return machine.disk.create(folder, name)
    except FileExistsError:
        return machine.disk.open_slot(folder, name)


def _wait_for_mutex(machine: Machine, mutex: int) -> None:
    until = machine.uptime() + _MUTEX_SECONDS
    while True:
        try:
            fcntl.flock(mutex, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if machine.uptime() > until:
                raise Refusal("busy", "another step is under way on this host") from None
            machine.wait(_POLL_SECONDS)
        else:
            return


def unwritable(error: OSError) -> Refusal:
    """Return what it means that a system call failed."""
    why = os.strerror(error.errno) if error.errno else str(error)
    hint = ": is the disk full or read-only?" if error.errno in _NO_ROOM else ""
    where = f" ({shown(str(error.filename))})" if error.filename else ""
    return Refusal("unwritable", f"the host could not do it: {why}{where}{hint}")


def answer_of(deployment: Deployment | None) -> dict[str, object]:
    """Return the answer of a verb that was done: where the deployment stands now."""
    if deployment is None:
        return {"done": True, "state": NONE}
    answer: dict[str, object] = {"done": True, "state": deployment.state}
    for key in ("why", "failing", "unlive", "kept"):
        if value := getattr(deployment, key):
            answer[key] = value
    return answer


def wrong_state(deployment: Deployment | None, name: str, wanted: str) -> Refusal:
    """Return what a verb answers that is only for a deployment in another state."""
    word = deployment.state if deployment else NONE
    text = f"{name} is not {wanted}: {word}"
    if deployment is not None and deployment.why:
        text += f" ({deployment.why})"
    return Refusal("wrong-state", text, state=word, kept=deployment.kept if deployment else [])
