"""Files of a host, to the byte: the commands that read and write them, and how to parse. Pure."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import replace

from goldentooth.check import Output, UnreadableError
from goldentooth.errors import UsageError
from goldentooth.text import one_line, short_line
from goldentooth.transports import Command, File, HostFile
from goldentooth.transports.archive import ArchiveError, Member, read_archive

_KINDS = {
    tarfile.REGTYPE: "file",
    tarfile.AREGTYPE: "file",
    tarfile.LNKTYPE: "file",  # the same file once more
    tarfile.SYMTYPE: "link",
    tarfile.DIRTYPE: "folder",
}
_TAR_COMPLAINT = re.compile(
    r"tar: (/.*?): (?:Warning: )?"
    r"(Cannot [a-z]+: .*|Read error .*|file changed as we read it|File (?:removed|shrank) .*)"
)
_NOT_THERE = re.compile("Cannot stat: No(?:t a directory| such file or directory)|File removed .*")


def files_command(paths: Sequence[str]) -> Command:
    """Return the command that prints what stands at ``paths``, as one tar archive.

    A path with a slash at its end is a folder with everything in it.

    Raises:
        UsageError: if a path is not absolute or holds a line break.
    """
    for path in paths:
        _refuse_odd_path(path)
    return Command("@files", "".join(f"{path}\n" for path in dict.fromkeys(paths)).encode())


def parse_files(output: Output) -> Mapping[str, HostFile]:
    """Return what stands on the host, by path, from the output of :func:`files_command`.

    What is not there has no key, and no key ends in a slash. What a host calls a file is shown and
    compared in one printable line: a name with a line break is never that of an intended file.

    Raises:
        UnreadableError: if nothing can be said about any of them.
    """
    if output.is_late or output.is_missing:
        raise UnreadableError(f"the files were not read: {output.complaint}")
    if output.is_truncated:
        raise UnreadableError("the files are larger in all than an answer may be")
    try:
        files = {file.path: file for file in map(_host_file, read_archive(output.stdout))}
    except ArchiveError as error:
        said = f" ({output.complaint})" if output.status else ""
        raise UnreadableError(f"the files were not read: {error}{said}") from error
    return {**files, **_unreadable_files(output, files)}


def write_command(file: File) -> Command:
    """Return the command that writes ``file``: whole or not at all.

    Raises:
        UsageError: if its path is not absolute or holds a line break.
    """
    _refuse_odd_path(file.path)
    header = f"{file.path}\n{file.owner}\n{file.mode:04o}\n"
    return Command("@write", header.encode() + file.content)


def _refuse_odd_path(path: str) -> None:
    if not path.startswith("/") or "\n" in path or "\0" in path:
        raise UsageError(f"{path!r} is not a path on a host: it is absolute, and one line")


def _host_file(member: Member) -> HostFile:
    kind = _KINDS.get(member.type, "other")
    return HostFile(
        one_line(member.name),
        member.content if kind == "file" else b"",
        short_line(member.owner),
        member.mode,
        member.mtime,
        kind,
        one_line(member.target) if kind == "link" else "",
    )


def _unreadable_files(output: Output, files: Mapping[str, HostFile]) -> dict[str, HostFile]:
    """Return the files that tar complains of, from its standard error."""
    found = {}
    for line in output.stderr.decode(errors="surrogateescape").splitlines():
        complaint = _TAR_COMPLAINT.fullmatch(line)
        if complaint:
            path, reason = one_line(complaint[1].rstrip("/")), short_line(complaint[2])
            if not _NOT_THERE.fullmatch(reason):
                known = files.get(path, HostFile(path))
                found[path] = replace(known, content=b"", unreadable=reason)
        elif output.status and not line.startswith("tar: Exiting with failure status"):
            raise UnreadableError(f"the files were not read: {short_line(line)}")
    if output.status and not output.stderr:
        raise UnreadableError(f"the files were not read: {output.complaint}")
    return found
