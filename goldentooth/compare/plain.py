"""Text of a format that is not known: every byte counts."""

from __future__ import annotations


def canonical(text: str) -> tuple[str, ...]:
    r"""Return the lines of ``text`` with their ends.

    >>> canonical("a\nb")
    ('a\n', 'b')
    """
    return tuple(text.splitlines(keepends=True))
