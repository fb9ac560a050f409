"""What must be on a host before a service's files are: Debian packages and users. Pure data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """A Debian package: ``program`` is a file of it, to see it by.

    ``tmpfiles`` names what it has in ``/usr/lib/tmpfiles.d``, without the ending: it makes
    folders at boot.
    """

    name: str
    program: str
    purpose: str
    tmpfiles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Needs:
    """What a service expects of a host that it does not put there itself.

    ``users`` are names; the operator's SSH key lets in as each of them.
    """

    packages: tuple[Package, ...] = ()
    users: tuple[str, ...] = ()


CURL = Package("curl", "/usr/bin/curl", "the live checks of HAProxy and the API")


def together(needs: Iterable[Needs]) -> Needs:
    """Return all ``needs`` as one, everything once.

    >>> together([Needs(users=("ada", "bob")), Needs(users=("bob",))]).users
    ('ada', 'bob')
    """
    needs = tuple(needs)
    packages = dict.fromkeys(package for need in needs for package in need.packages)
    users = dict.fromkeys(user for need in needs for user in need.users)
    return Needs(tuple(packages), tuple(users))
