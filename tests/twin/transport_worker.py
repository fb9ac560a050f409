"""Speaks through transports on the operator's machine, or on a host itself, for the tests.

A process of its own, since a test's is not in the twin. Reads pickled requests on standard
input, (plugin, options of open, [(method, arguments)]) lists, which are done at the same time,
and answers on standard output with what each gave: a list of results, or an error.
"""

from __future__ import annotations

import os
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

from nornir.core.configuration import Config

from goldentooth.errors import GoldentoothError

Request = tuple[str, dict[str, Any], list[tuple[str, tuple[Any, ...]]]]


def answer(request: Request) -> list[Any] | GoldentoothError:
    plugin, options, calls = request
    (entry,) = metadata.entry_points(group="nornir.plugins.connections", name=plugin)
    connection = entry.load()()
    target = [options.get(name) for name in ("hostname", "username", "password", "port")]
    config = Config(user_defined=options.get("user_defined", {}))
    try:
        connection.open(
            *target, options.get("platform"), extras=options.get("extras"), configuration=config
        )
        try:
            return [getattr(connection.connection, method)(*given) for method, given in calls]
        finally:
            connection.close()
    except GoldentoothError as error:
        return error


def main() -> None:
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else may come between the answers
    while True:
        try:
            requests = pickle.load(sys.stdin.buffer)  # noqa: S301  # from the test
        except EOFError:
            return
        with ThreadPoolExecutor(64) as pool:
            pickle.dump(list(pool.map(answer, requests)), replies)
        replies.flush()


if __name__ == "__main__":
    main()
