"""Whatever is sent to the program on a host: it is read or refused, and nothing else happens.

``python tests/fuzz/fuzz_host.py --seconds N`` lets libFuzzer (atheris) look for an input that is
not; `make fuzz` does for ten minutes. An input is a letter for what is tried, and its text.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

LISTED = frozenset(
    {
        "echo yes",
        "@path /etc/x.conf",
        "@path /etc/folder/",
        "@file /etc/x.conf root:root 0644",
        "@unit x.service",
        "@sysctl /etc/x.conf",
    }
)
HOLDER = "0123456789abcdef" * 2
_TIMED_OUT = "10"  # seconds for one input, until it counts as a hang


def one_input(data: bytes) -> bool:
    """Try ``data``; tell whether it was taken.

    Raises:
        Exception: whatever else comes of it than a refusal.
    """
    from goldentooth.host.words import Refusal

    attempt = ATTEMPTS.get(data[:1])
    if attempt is None:
        return False
    refused: Refusal | None = None
    try:
        with nothing_happens():
            attempt(data[1:])
    except Refusal as refusal:
        refused = refusal
    if refused:
        assert refused.reason.replace("-", "").isalpha()
        assert refused.text.isascii()
        assert refused.text.isprintable()
    return refused is None


def try_request(data: bytes) -> None:
    """Read a request, and look what its commands come to."""
    from goldentooth.host.request import Asked, read_commands, read_head, write_request
    from goldentooth.host.serve import Program, _read_only, _turn

    stream = io.BytesIO(data)
    head = read_head(stream)
    commands = read_commands(stream, head)
    again = io.BytesIO(write_request(head.mark, head.way, commands))
    kept = read_commands(again, read_head(again))
    assert [(each.line, each.stdin) for each in kept] == [(a.line, a.stdin) for a in commands]
    program = Program(lambda: "", "", "/allowed")
    for asked in commands:
        turn = _turn(asked, LISTED, program)
        assert (turn.act is None) != (turn.ended is None)
        if turn.act and not asked.line.startswith("@"):
            assert asked.line in LISTED
        _turn(asked, None, program)
        read = _read_only(Asked(1, asked.line, asked.stdin), LISTED, program)
        assert read.line in {"@files", "@collect", "@refused", *LISTED}


def try_verb(data: bytes) -> None:
    """Let a verb read its words, the first line, and its input."""
    from goldentooth.host.verbs import VERBS

    line, _, stdin = data.partition(b"\n")
    name, *words = line.decode("utf-8", "replace").split(" ")
    verb = VERBS.get(name)
    if verb:
        for need in verb.needs(verb.read(words, stdin)):
            assert all(each.isprintable() for each in ((need,) if isinstance(need, str) else need))


def try_words(data: bytes) -> None:
    """Let every form read a word: what it takes is what was sent, and what it should be."""
    from goldentooth.host import words

    text = words.utf8(data)
    for form in (
        words.deployment_name,
        words.holder_name,
        words.one_line,
        words.absolute_path,
        words.relative_path,
        words.unit_name,
    ):
        with suppress(words.Refusal):
            assert form(text) == text
            assert text.isprintable()
            assert ".." not in text.split("/") or form in {words.one_line, words.unit_name}
    with suppress(words.Refusal):
        assert 0 <= words.number(text, 999) <= 999
    with suppress(words.Refusal):
        assert ":".join(words.owner_name(text)) == text
    with suppress(words.Refusal):
        assert f"{words.file_mode(text):04o}" == text
    assert words.shown(text).isprintable()
    words.command_line(text)


def try_package(data: bytes) -> None:
    """Unpack a package: packed again it is the same."""
    from goldentooth.host.package import pack, unpack

    members = unpack(data)
    assert unpack(pack(members)) == members
    assert sum(map(len, members.values())) <= len(data)


def try_paths(data: bytes) -> None:
    """Read paths, and look whether they are listed."""
    from goldentooth.host.allowed import read_paths, unreadable

    paths = read_paths(data)
    if unreadable(LISTED, paths) is None:
        assert all(path == "/etc/x.conf" or path.startswith("/etc/folder/") for path in paths)


ATTEMPTS: dict[bytes, Callable[[bytes], None]] = {
    b"r": try_request,
    b"v": try_verb,
    b"w": try_words,
    b"p": try_package,
    b"l": try_paths,
}

_is_guarded = False


def _refuse_acts(event: str, _: object) -> None:
    """Refuse whatever Python reports of a program: files, processes, code (PEP 578)."""
    if _is_guarded and event.partition(".")[0] in {"compile", "exec", "open", "os", "subprocess"}:
        raise AssertionError(f"{event} in what only reads")


@contextmanager
def nothing_happens() -> Iterator[None]:
    """Refuse that a file is opened, a process begun or code run meanwhile."""
    global _is_guarded  # noqa: PLW0603  # a hook cannot be taken away
    _is_guarded = True
    try:
        yield
    finally:
        _is_guarded = False


def seeds() -> list[bytes]:
    """Return inputs that are taken."""
    from goldentooth.host.package import pack
    from goldentooth.host.request import Asked, write_request

    plan = {
        "by": "ada@here",
        "plan": [["put", "/etc/x.conf", "root:root", "0644", "absent"]],
        "activate": ["@sysctl /etc/x.conf"],
        "units": ["x.service"],
        "carried": [],
        "source": "",
        "base": "",
    }
    package = pack(
        {
            "deployment.json": json.dumps(plan).encode(),
            "new/etc/x.conf": b"x\n",
            "record/manifest.json": b"{}",
            "key": b"k",
        }
    )
    commands = [
        Asked(1.5, "echo yes\necho no"),
        Asked(10, "echo yes"),
        Asked(10, "@files", b"/etc/x.conf\n/etc/folder/\n"),
        Asked(10, f"@stage a-1 {HOLDER}", package),
        Asked(10, f"@lock a-1 {HOLDER} 60 ada@here"),
        Asked(10, "@write", b"/etc/x.conf\nroot:root\n0644\nx\n"),
    ]
    verbs = [
        f"lock a-1 {HOLDER} 60 ada@here\n",
        f"arm a-1 {HOLDER} 60\n",
        f"rollback a-1 {HOLDER}\nwhy",
        "record applied\n",
        "pristine\n/etc/x.conf\n",
        "write\n/etc/x.conf\nroot:root\n0644\nx\n",
    ]
    return [
        *(b"r" + write_request("mark-0", way, commands) for way in ("run", "gather")),
        *(b"v" + verb.encode() for verb in verbs),
        *(f"v{verb} a-1 {HOLDER}\n".encode() + package for verb in ("stage", "adopt")),
        b"p" + package,
        b"l/etc/x.conf\n/etc/folder/\n/etc/folder/a/b\n",
        *(b"w" + word for word in (b"/etc/x.conf", b"root:root", b"0644", b"x@1.service", b"60")),
    ]


def prepare() -> None:
    """Import all that is tried, and refuse acts from now on."""
    import goldentooth.host.serve
    import goldentooth.host.verbs  # noqa: F401

    for seed in seeds():
        with suppress(Exception):
            one_input(seed)  # what is imported at the first use
    sys.addaudithook(_refuse_acts)


def _fuzz(seconds: str, corpus: str) -> None:
    import atheris

    with atheris.instrument_imports(include=["goldentooth.host"]):
        prepare()
    options = [f"-max_total_time={seconds}", f"-timeout={_TIMED_OUT}", "-max_len=20000"]
    atheris.Setup(
        [sys.argv[0], *options, "-verbosity=0", "-print_final_stats=1", corpus], one_input
    )
    atheris.Fuzz()


def main() -> int:
    """Fuzz for ``--seconds``; exit 0 if nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.corpus:
        _fuzz(str(options.seconds), options.corpus)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds()):
            (Path(folder) / f"seed-{number}").write_bytes(seed)
        argv = [sys.executable, __file__, "--seconds", str(options.seconds), "--corpus", folder]
        status = subprocess.run(argv, check=False).returncode
        print(f"{len(list(Path(folder).iterdir()))} inputs reach something of their own")  # noqa: T201
    return status


if __name__ == "__main__":
    raise SystemExit(main())
