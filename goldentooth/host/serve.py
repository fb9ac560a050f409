"""The program on a host: a request is read whole, and checked, before anything of it is done.

Root's is sent to the host over the connection. For another user it is installed as a program that
sudo allows, and does what root's list has (:mod:`goldentooth.host.allowed`).
"""

from __future__ import annotations

import os

from goldentooth.host.allowed import missing, not_listed, read_list, read_paths, unreadable
from goldentooth.host.process import become, in_memory, settle, where, write_all
from goldentooth.host.request import (
    GATHER,
    PROTOCOL,
    Asked,
    Ended,
    read_commands,
    read_head,
    write_request,
)
from goldentooth.host.words import Refusal, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO, NoReturn

    from goldentooth.host.machine import Machine
    from goldentooth.host.verbs import Verb

READING_VERBS = frozenset({"@files", "@collect"})
"""What the reading half does, whichever way it is asked for."""

_NOT_DONE, _USAGE, _INTERNAL, _REFUSED, _UNKNOWN = 1, 64, 70, 126, 127


class Program:
    """This program: its own text, its reading half in sh, where the list is that binds it."""

    __slots__ = ("allowed", "reading", "text")

    def __init__(self, text: Callable[[], str], reading: str, allowed: str = "") -> None:
        self.text = text
        self.reading = reading
        self.allowed = allowed


class Turn:
    """What a command comes to: ``act`` in a process of its own, or ``ended``, known at once."""

    __slots__ = ("act", "asked", "ended")

    def __init__(
        self, asked: Asked, act: Callable[[], int] | None, ended: Ended | None = None
    ) -> None:
        self.asked = asked
        self.act = act
        self.ended = ended


def main(words: list[str], program: Program) -> int:
    """Answer the request on standard input; with ``switch NAME CALLER``, go back: root's alone.

    Returns:
        The exit status.
    """
    settle()
    if not words:
        with open(0, "rb", closefd=False) as stream:
            return serve(stream, program)
    if words[0] == "switch":
        from goldentooth.host.verbs import switch

        return switch(_machine(program), words[1:])
    return _USAGE


def serve(stream: BinaryIO, program: Program) -> int:
    """Answer one request; return the exit status."""
    mark = ""
    try:
        head = read_head(stream)
        mark = head.mark
        if head.version != PROTOCOL:
            write_all(1, f"{mark} start {PROTOCOL}\n".encode())
            return _NOT_DONE
        commands = read_commands(stream, head)
        listed = read_list(program.allowed) if program.allowed else None
        if head.way == GATHER:
            _gather(mark, commands, listed, program)
        return _run_in_turn(mark, [_turn(asked, listed, program) for asked in commands])
    except BrokenPipeError:
        return _NOT_DONE
    except Refusal as refusal:
        return _break_off(mark, refusal.reason, refusal.text)
    except ImportError as error:
        return _break_off(mark, "part-python", where(error))
    except Exception as error:
        return _break_off(mark, "internal", where(error))


def _break_off(mark: str, reason: str, text: str) -> int:
    try:
        write_all(2, f"{text}\n".encode())
        if mark:
            write_all(1, f"{mark} start {PROTOCOL}\n\n{mark} broken {reason}\n".encode())
    except OSError:
        pass  # nobody listens
    return _NOT_DONE


# -- commands side by side -----------------------------------------------------------------


def _gather(
    mark: str, commands: list[Asked], listed: frozenset[str] | None, program: Program
) -> NoReturn:
    """Let the reading half take this process's place, with a request that is written anew."""
    reads = [_read_only(asked, listed, program) for asked in commands]
    os.dup2(in_memory(write_request(mark, GATHER, reads)), 0)
    _read(program)


def _read_only(asked: Asked, listed: frozenset[str] | None, program: Program) -> Asked:
    """Return the command, or one that says why it is refused, in its place."""
    if asked.line.startswith("@") and asked.line not in READING_VERBS:
        ended = _refused(f"this host's program has no {_printable(asked.line)} among its reads")
    else:
        turn = _turn(asked, listed, program)
        if turn.ended is None:
            return turn.asked
        ended = turn.ended
    return Asked(asked.seconds, "@refused", ended.stderr)


def _read(program: Program, *words: str) -> NoReturn:
    run = 'program=$1; shift; eval "$program"'
    become("/bin/sh", "-c", run, "goldentooth-host", program.reading, *words)


# -- commands in turn ----------------------------------------------------------------------


def _run_in_turn(mark: str, turns: list[Turn]) -> int:
    import select
    import signal

    from goldentooth.host.execution import STOPPING, execute

    stopped: list[int] = []
    for number in STOPPING:
        signal.signal(number, lambda number, _: stopped.append(number))
    listener = select.poll()
    listener.register(1, 0)
    write_all(1, f"{mark} start {PROTOCOL}\n".encode())
    for index, turn in enumerate(turns):
        if stopped or listener.poll(0):  # nobody listens any more
            return _NOT_DONE
        ended = turn.ended
        if turn.act is not None:
            ended = execute(turn.act, turn.asked.stdin, turn.asked.seconds)
        if ended is not None:
            _say(mark, index, ended)
    write_all(1, f"\n{mark} done\n".encode())
    return 0


def _say(mark: str, index: int, ended: Ended) -> None:
    write_all(1, f"\n{mark} out {index}\n".encode())
    write_all(1, ended.stdout)
    write_all(1, f"\n{mark} err {index}\n".encode() + ended.stderr)
    write_all(1, f"\n{mark} end {index} {ended.status} {ended.ending}\n".encode())


def _turn(asked: Asked, listed: frozenset[str] | None, program: Program) -> Turn:
    """Return what is done for a command, or why it is not; nothing is done yet."""
    if asked.line in READING_VERBS:
        return _reading_turn(asked, listed, program)
    if asked.line.startswith("@"):
        return _verb_turn(asked, listed, program)
    if listed is not None and (asked.stdin or asked.line not in listed):
        return Turn(asked, None, _refused(not_listed(asked.line, program.allowed)))
    return Turn(asked, lambda: become("/bin/sh", "-c", asked.line))


def _reading_turn(asked: Asked, listed: frozenset[str] | None, program: Program) -> Turn:
    """Return what is done for a reading verb; ``asked`` of it is what the reading half gets."""
    if listed is not None:
        try:
            paths = read_paths(asked.stdin)
            found = unreadable(listed, paths)
        except Refusal as refusal:
            return Turn(asked, None, _refused(refusal.text))
        if found is not None:
            return Turn(asked, None, _refused(not_listed(f"@read {found}", program.allowed)))
        if asked.line == "@collect":
            from goldentooth.host.collecting import collected_paths

            every = collected_paths(paths, lambda path: unreadable(listed, [path]) is None)
            asked = Asked(asked.seconds, "@files", "".join(f"{p}\n" for p in every).encode())
    line = asked.line[1:]
    return Turn(asked, lambda: _read(program, line))


def _verb_turn(asked: Asked, listed: frozenset[str] | None, program: Program) -> Turn:
    from goldentooth.host.verbs import VERBS, answer

    name, *words = asked.line[1:].split(" ")
    verb = VERBS.get(name)
    if verb is None:
        complaint = f"this host's program has no {_printable(f'@{name}')}\n"
        return Turn(asked, None, Ended(_UNKNOWN, b"", complaint.encode()))
    try:
        request = verb.read(words, asked.stdin)
    except Refusal as refusal:
        return Turn(asked, None, Ended(_NOT_DONE, answer(refusal)))
    lacking = None if listed is None else missing(listed, verb.needs(request))
    if lacking is not None:
        complaint = not_listed(lacking, program.allowed)
        said = answer(Refusal("not-listed", complaint))
        return Turn(asked, None, _refused(complaint, said))
    return Turn(asked, lambda: _act(verb, request, program, listed))


def _act(verb: Verb, request: object, program: Program, listed: frozenset[str] | None) -> int:
    """Do what a verb does, in a process of its own; return its exit status."""
    from goldentooth.host.verbs import answer

    try:
        said, status = verb.act(_machine(program), request), 0
        if verb.is_package and listed is not None:
            _refuse_unlisted(said, listed, program)
    except Refusal as refusal:
        said, status = answer(refusal), _NOT_DONE
    except Exception as error:
        write_all(2, f"{where(error)}\n".encode())
        said, status = answer(Refusal("internal", where(error))), _INTERNAL
    write_all(1, said)
    return status


def _refuse_unlisted(package: bytes, listed: frozenset[str], program: Program) -> None:
    """Refuse a record that holds what the list does not have."""
    from goldentooth.host.package import unpack

    files = [path[len("files") :] for path in unpack(package) if path.startswith("files/")]
    if (found := unreadable(listed, files)) is not None:
        raise Refusal("not-listed", not_listed(f"@read {found}", program.allowed))


def _machine(program: Program) -> Machine:
    from goldentooth.host.machine import Machine

    machine = Machine()
    machine.program = program.text()
    return machine


def _refused(complaint: str, stdout: bytes = b"") -> Ended:
    return Ended(_REFUSED, stdout, f"{complaint}\n".encode(), "refused")


def _printable(text: str) -> str:
    return text if text.isprintable() and len(text) <= 80 else shown(text)
