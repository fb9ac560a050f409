"""The steps of a deployment on one host: one round trip each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nornir.core.task import Result, Task

from goldentooth.answer import Answer, read_answer
from goldentooth.check import Output
from goldentooth.errors import TransportError
from goldentooth.text import short_line
from goldentooth.transports import Command
from tasks.connection import transport_of

NOT_INSTALLED = 127
"""Exit status of the shell for a program that is not there."""


@dataclass(frozen=True)
class Step:
    """What one host did: ``is_done``, or ``reason`` says why not.

    ``is_lost`` if the host could not be spoken to: it may have been done or not, or surely not
    if ``is_unreached``, because no connection came about.
    """

    is_done: bool
    reason: str = ""
    is_lost: bool = False
    is_unreached: bool = False
    outputs: tuple[Output, ...] = field(default=(), repr=False)
    answers: tuple[Answer, ...] = field(default=(), repr=False)
    """Of the commands that are verbs, in order."""
    absent: tuple[str, ...] = ()
    """Judges that are not installed there."""


@dataclass(frozen=True)
class Staging:
    """What is sent to one host: commands up to the back-up, and its judges' by file."""

    prepare: tuple[Command, ...]
    judges: Mapping[str, str]


def stage_host(task: Task, stagings: Mapping[str, Staging]) -> Result:
    """Take the host's lock, stage, let the judges rule, back up. Nothing is live by that."""
    staging = stagings[task.host.name]
    judges = map(Command, staging.judges.values())
    step = _run(task, (*staging.prepare, *judges))
    if step.is_lost:
        return Result(host=task.host, result=step)
    prepared, judged = (
        step.outputs[: len(staging.prepare)],
        step.outputs[len(staging.prepare) :],
    )
    answers = tuple(map(read_answer, prepared))
    reason = _first_refusal(answers)
    absent = []
    for (path, command), output in zip(staging.judges.items(), judged, strict=True):
        if output.status == NOT_INSTALLED:
            absent.append(command.split()[0])
        elif output.status and not reason:
            reason = f"{command.split()[0]} rejects {path}: {_said(output)}"
    done = Step(not reason, reason, outputs=step.outputs, answers=answers, absent=tuple(absent))
    return Result(host=task.host, result=done)


def run_step(task: Task, commands: Mapping[str, Sequence[Command]]) -> Result:
    """Run the verbs of ``task.host`` in order; all must be done."""
    step = _run(task, commands[task.host.name])
    if step.is_lost:
        return Result(host=task.host, result=step)
    answers = tuple(map(read_answer, step.outputs))
    reason = _first_refusal(answers)
    done = Step(not reason, reason, outputs=step.outputs, answers=answers)
    return Result(host=task.host, result=done)


def read_records(task: Task, sources: Mapping[str, str]) -> Result:
    """Ask ``task.host`` for a record that it keeps: a package, in the step's only output."""
    step = _run(task, (Command(f"@record {sources[task.host.name]}"),))
    if not step.is_lost and step.outputs[0].status:
        step = Step(is_done=False, reason=read_answer(step.outputs[0]).text)
    return Result(host=task.host, result=step)


def gather_step(task: Task, commands: Mapping[str, Sequence[Command]]) -> Result:
    """Run reads of ``task.host`` side by side."""
    try:
        outputs = transport_of(task).gather(commands[task.host.name])
    except TransportError as error:
        return Result(host=task.host, result=Step(is_done=False, reason=str(error), is_lost=True))
    return Result(host=task.host, result=Step(is_done=True, outputs=outputs))


def _run(task: Task, commands: Sequence[Command]) -> Step:
    try:
        transport = transport_of(task)
    except TransportError as error:
        return Step(is_done=False, reason=str(error), is_lost=True, is_unreached=True)
    try:
        return Step(is_done=True, outputs=transport.run(commands))
    except TransportError as error:
        return Step(is_done=False, reason=str(error), is_lost=True)


def _first_refusal(answers: Sequence[Answer]) -> str:
    """Return why the first verb was not done that was not; a verb after it follows from that."""
    return next((each.text or each.reason for each in answers if not each.is_done), "")


def _said(output: Output) -> str:
    said = (output.stderr + b"\n" + output.stdout).decode(errors="replace").split("\n")
    lines = [short_line(line.strip()) for line in said if line.strip()]
    return "; ".join(lines[:5]) or f"exit status {output.status}"
