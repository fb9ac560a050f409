"""Drive the host's program through every interleaving: `python -m tests.model`.

With `--replay LINE` one of them is run again and shown, as a failure prints it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections import Counter

from tests.model.explore import (
    ANY,
    BETWEEN_ONLY,
    CHANGING,
    KINDS_ONLY,
    RETURNING,
    SHORT,
    Explorer,
    Found,
    replay,
)
from tests.model.program import program
from tests.model.scenario import Runner
from tests.model.truth import Broken

PARTS = (
    ("one event, at every call", (ANY,)),
    ("two events, between any two steps", (BETWEEN_ONLY,) * 2),
    ("three events, between any two steps", (KINDS_ONLY,) * 3),
    ("two events, the first at every call, the second between steps", (ANY, BETWEEN_ONLY)),
    ("two events, the first between steps, the second at every call", (BETWEEN_ONLY, ANY)),
    ("two events, each at a call", (ANY, SHORT)),
    (
        "three losses of power or process, at each call of the change and, twice, of the way back",
        (CHANGING, RETURNING, RETURNING),
    ),
)


def explore_share(job: tuple[int, int, int, int]) -> Found:
    """Go through one process's share of a part."""
    part, share, shares, most = job
    runner = Runner(program())
    try:
        explorer = Explorer(
            runner,
            PARTS[part][1],
            share=lambda mark: mark % shares == share,
            most_broken=most,
            tell=_tell if share == 0 and sys.stderr.isatty() else lambda _: None,
        )
        return explorer.explore(runner.first())
    finally:
        runner.close()


def _tell(text: str) -> None:
    print(f"\r{text}   ", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Run all parts, or one course again; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--replay", metavar="LINE", help="run this course, and show it")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    parser.add_argument("--parts", default="", help="which parts, by number (all)")
    parser.add_argument("--most", type=int, default=20, help="stop after so many failures (20)")
    asked = parser.parse_args()
    if asked.replay is not None:
        return _replay(asked.replay)
    began = time.monotonic()
    total, is_broken = 0, False
    with multiprocessing.get_context("fork").Pool(asked.jobs, maxtasksperchild=1) as pool:
        for number, (name, _) in enumerate(PARTS):
            if asked.parts and str(number + 1) not in asked.parts:
                continue
            jobs = [(number, share, asked.jobs, asked.most) for share in range(asked.jobs)]
            at = time.monotonic()
            found = pool.map(explore_share, jobs, chunksize=1)
            count = sum(each.interleavings for each in found)
            total += count
            print(
                f"{name}: {count:,} interleavings, by {sum(each.steps for each in found):,} steps"
                f" run from {sum(each.states for each in found):,} states to"
                f" {sum(each.ends for each in found):,} ends, in {time.monotonic() - at:.0f} s",
                flush=True,
            )
            is_broken |= _show([each for one in found for each in one.broken])
    print(f"{total:,} interleavings in {time.monotonic() - began:.0f} s")
    return 1 if is_broken else 0


def _show(broken: list[tuple[str, str]]) -> bool:
    first: dict[str, str] = {}
    for what, line in broken:
        first.setdefault(what, line)
    for what, count in Counter(what for what, _ in broken).items():
        print(f"  {count} times: {what}\n    python -m tests.model --replay '{first[what]}'")
    return bool(broken)


def _replay(line: str) -> int:
    runner = Runner(program(), is_thorough=True)
    try:
        replay(runner, line, print)
    except Broken as broken:
        print(f"not as promised: {broken}")
        return 1
    finally:
        runner.close()
    print("all is as promised")
    return 0


if __name__ == "__main__":
    sys.exit(main())
