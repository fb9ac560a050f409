"""Two versions of a configuration, held against each other as their daemon would read them. Pure.

Each format has a module of its name with ``canonical(text)``: the lines of the text in a form that
is equal for two texts only if the daemon would do the same with both. Where it is not sure that it
would, the forms differ: a difference too many is looked at, one too few is not. It is imported when
two texts differ: where all is in sync, none is.
"""

from __future__ import annotations

from importlib import import_module

from goldentooth.artifact import diff_texts

FORMATS = ("frr", "haproxy", "interfaces", "plain", "sysctl", "yaml")


def canonical(format: str, text: str) -> tuple[str, ...]:  # noqa: A002  # as Artifact names it
    r"""Return the canonical lines of ``text``; of an unknown ``format``, the text as it is.

    >>> canonical("sysctl", "# routing\nnet.ipv4.ip_forward=1\n")
    ('net/ipv4/ip_forward = 1',)
    """
    module = import_module(f"{__name__}.{format if format in FORMATS else 'plain'}")
    lines: tuple[str, ...] = module.canonical(text)
    return lines


def same_meaning(format: str, one: str, other: str) -> bool:  # noqa: A002
    r"""Tell whether the daemon would do the same with both texts.

    >>> same_meaning("interfaces", "auto eth0", "auto  eth0 # no comment")
    False
    >>> same_meaning("interfaces", "auto eth0", "# a comment\nauto  eth0")
    True
    """
    return one == other or canonical(format, one) == canonical(format, other)


def unified(
    format: str,  # noqa: A002
    before: str | None,
    after: str | None,
    name: str,
) -> str:
    """Return a unified diff of one file for people; None stands for a file that is not there.

    Of the two texts, or of their canonical forms where that is shorter because the texts differ
    in order and comments too. Texts that differ but mean the same are shown as they are.
    """
    name = name.lstrip("/")
    diff = diff_texts(before, after, name)
    if before is None or after is None:
        return diff
    meaning = diff_texts(_joined(format, before), _joined(format, after), name)
    return meaning if meaning and _changes(meaning) < _changes(diff) else diff


def _joined(format: str, text: str) -> str:  # noqa: A002
    return "".join(line.removesuffix("\n") + "\n" for line in canonical(format, text))


def _changes(diff: str) -> int:
    return sum(line.startswith(("+", "-")) for line in diff.split("\n"))
