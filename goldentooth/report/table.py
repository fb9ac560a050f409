"""Plain columns, with colour where a person looks at a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from goldentooth.text import joined_lines, paint, printable


def format_table(
    header: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[int] = ()
) -> str:
    """Return aligned columns under ``header``, each row one line; columns in ``right`` end flush.

    >>> print(format_table(["host", "bytes"], [["fenn", 1204]], right=[1]))
    host  bytes
    fenn   1204
    """
    texts = [[joined_lines(str(cell)) for cell in row] for row in (header, *rows)]
    widths = [max(len(cell) for cell in column) for column in zip(*texts, strict=True)]
    lines = (
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in texts
    )
    return "\n".join(lines)


def counted(count: int, noun: str) -> str:
    """Return ``count`` with ``noun`` in its number.

    >>> counted(1, "host"), counted(14, "host")
    ('1 host', '14 hosts')
    """
    return f"{count} {noun}{'s' * (count != 1)}"


def diff_line_kind(line: str) -> str:
    """Return what a line of a unified diff is: file, place, added, removed or same.

    >>> diff_line_kind("+++ b/etc/hosts"), diff_line_kind("+127.0.0.1 localhost")
    ('file', 'added')
    """
    if line.startswith(("--- ", "+++ ")):
        return "file"
    return {"+": "added", "-": "removed", "@": "place"}.get(line[:1], "same")


_DIFF_COLOURS = {"added": "green", "removed": "red", "place": "blue", "file": "bold"}


def paint_diff(diff: str, *, colour: bool, indent: str = "") -> list[str]:
    """Return the lines of a unified diff as a terminal may show them."""
    lines = []
    for line in diff.removesuffix("\n").split("\n") if diff else ():
        kind, shown = diff_line_kind(line), indent + printable(line) if line.strip() else ""
        is_painted = colour and kind in _DIFF_COLOURS
        lines.append(paint(shown, _DIFF_COLOURS[kind]) if is_painted else shown)
    return lines
