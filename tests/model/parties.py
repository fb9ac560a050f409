"""Controllers: the verbs that each sends, in the order of :mod:`goldentooth.rollout`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any

from goldentooth.host.package import pack
from tests.model.disk import FILE, LINK, Node
from tests.model.host import CHANGED, CREATED, LINES, LINKED, REMOVED, STATE, UNIT

ADA, BOB, EVE, CAROL = "ada", "bob", "eve", "carol"
HOLDERS = {ADA: "a" * 32, BOB: "b" * 32, EVE: "e" * 32, CAROL: "c" * 32}
SECONDS, MARGIN = 60, 300

CONFIRMED, ROLLED_BACK, REFUSED, UNKNOWN = "confirmed", "rolled back", "refused", "unknown"
"""What a controller reports."""

UP = ("lock", "stage", "arm", "swap", "activate", "confirm", "unlock")
BACK = ("rollback", "abort", "unlock")
_GOOD = {"verified", "confirming"}

OWNER = "daemon:daemon"
VERSIONS: Mapping[str, Mapping[str, tuple[str, str, str]]] = {
    "one": {
        CHANGED: ("a of one", OWNER, "0640"),
        REMOVED: ("gone of one", "root:root", "0600"),
    },
    **{
        name: {
            CHANGED: (f"a of {name}", "root:root", "0644"),
            CREATED: (f"c of {name}", "root:root", "0600"),
            LINKED: (f"link of {name}", OWNER, "0640"),
        }
        for name in ("two", "three", "four")
    },
}
"""The files of each deployment: text, owner, mode. What one lacks that is there is removed."""


@dataclass(frozen=True, slots=True)
class Party:
    """A controller in the middle of its work."""

    name: str
    deployment: str
    todo: tuple[str, ...]
    journal: str = ""
    was_armed: bool = False
    has_failed: bool = False
    has_lock: bool = False
    outcome: str = ""
    """What it reports; empty as long as it has nothing to report, or has died."""
    is_finishing: bool = False
    """It is the next run, after one that broke off."""
    base: str | None = None
    """The record that its plan was made from, once it has made it."""
    expected: tuple[tuple[str, str], ...] = ()

    @property
    def holder(self) -> str:
        return HOLDERS[self.name]

    @property
    def fingerprint(self) -> str:
        """What the host keeps of the holder's name."""
        return hashlib.sha256(self.holder.encode()).hexdigest()

    @property
    def is_good(self) -> bool:
        """Whether the next run would confirm it."""
        return self.journal in _GOOD

    def planned(self, root: Node, applied: str) -> Party:
        """Return it with its plan made from what is on the host."""
        paths = {*VERSIONS["one"], *VERSIONS[self.deployment]}
        seen = tuple((path, _digest(root.find(path))) for path in sorted(paths))
        return replace(self, base=applied, expected=seen)

    def words(self, verb: str) -> list[str]:
        """Return the words after a verb."""
        more = {
            "lock": [str(SECONDS + MARGIN), f"{self.name}@there"],
            "arm": [str(SECONDS)],
        }
        return [self.deployment, self.holder, *more.get(verb, [])]

    def data(self, verb: str) -> bytes:
        """Return what is sent with a verb."""
        if verb == "stage":
            return package(self.deployment, self.base or "", self.expected, self.name)
        return b"it failed" if verb == "rollback" else b""

    def sending(self) -> Party:
        """Return it once its next verb is on the way."""
        verb = self.todo[0]
        if verb == "arm":
            return replace(self, was_armed=True, journal="arming")
        if verb == "confirm" and not self.is_finishing:
            return replace(self, journal="confirming")
        return self

    def after(self, answer: Mapping[str, Any] | None, *, is_lost: bool = False) -> Party:
        """Return it after the answer to its next verb; None if there was none.

        ``is_lost`` if it was the host that could not be spoken to.
        """
        verb, todo = self.todo[0], self.todo[1:]
        rest = replace(self, todo=todo)
        is_done = answer is not None and bool(answer["done"])
        if self.is_finishing:
            return _finishing(rest, verb, answer, is_lost=is_lost)
        if verb in {"abort", "unlock"}:
            return replace(rest, todo=()) if is_lost else rest
        if verb == "rollback":
            word = self.outcome or _after_return(answer, was_armed=self.was_armed)
            return replace(rest, outcome=word, todo=() if is_lost else todo)
        if verb in {"lock", "stage"}:
            failed = self.has_failed or not is_done
            if is_lost or (verb == "stage" and failed):
                return replace(rest, outcome=REFUSED, todo=("abort", "unlock"))
            return replace(rest, has_failed=failed, journal="staged" if verb == "stage" else "")
        if verb == "confirm":
            if is_lost:
                return replace(rest, outcome=UNKNOWN, todo=())
            if (ended := _ended(answer)) is not None:
                return replace(rest, outcome=ended)
            return replace(rest, todo=(*todo, *BACK))
        failed = self.has_failed or not is_done
        if is_lost or (verb == "activate" and failed):
            return replace(rest, todo=BACK, has_failed=True)
        return replace(rest, has_failed=failed, journal="activated" if verb == "activate" else "")

    def again(self, *, is_good: bool) -> Party:
        """Return the next run of the same controller, which finishes what this has left."""
        ending = "confirm" if is_good else "rollback"
        return replace(
            self, todo=("lock", ending, "abort", "unlock"), is_finishing=True, outcome="",
            has_lock=False,
        )  # fmt: skip


def _finishing(rest: Party, verb: str, answer: Mapping[str, Any] | None, *, is_lost: bool) -> Party:
    if is_lost:
        return replace(rest, outcome=rest.outcome or UNKNOWN, todo=())
    if verb == "lock":
        return replace(rest, has_lock=answer is not None and bool(answer["done"]))
    if verb in {"confirm", "rollback"}:
        word, unarmed = UNKNOWN, rest.journal in {"", "staged"}
        state = "" if answer is None else str(answer["state"])
        if (ended := _ended(answer)) is not None:
            word = ended
        elif rest.has_lock and (state == "staged" or (state == "none" and unarmed)):
            word = REFUSED
        return replace(rest, outcome=word)
    return rest


def _ended(answer: Mapping[str, Any] | None) -> str | None:
    if answer is None:
        return None
    return {"confirmed": CONFIRMED, "back": ROLLED_BACK}.get(str(answer["state"]))


def _after_return(answer: Mapping[str, Any] | None, *, was_armed: bool) -> str:
    if (ended := _ended(answer)) is not None:
        return ended
    state = "" if answer is None else str(answer["state"])
    if state == "staged" or (state == "none" and not was_armed):
        return REFUSED
    return UNKNOWN


def _digest(node: Node | None) -> str:
    if node is None:
        return "absent"
    if node.kind == LINK:
        return "link"
    assert node.kind == FILE
    return hashlib.sha256(node.content).hexdigest()


@cache
def package(deployment: str, base: str, expected: tuple[tuple[str, str], ...], by: str) -> bytes:
    """Return what is sent to be staged."""
    files = VERSIONS[deployment]
    seen = dict(expected)
    plan = [["put", path, owner, mode, seen[path]] for path, (_, owner, mode) in files.items()]
    plan += [
        ["remove", path, "", "", digest]
        for path, digest in expected
        if path not in files and digest != "absent"
    ]
    described = {
        "by": f"{by}@there",
        "plan": plan,
        "activate": list(LINES[:1] if deployment == "one" else LINES),
        "units": [] if deployment == "one" else [UNIT],
        "carried": [],
        "source": "",
        "base": base,
    }
    return pack(
        {
            "deployment.json": json.dumps(described).encode(),
            "record/manifest.json": json.dumps(sorted(files)).encode(),
            "key": b"k" * 64,
            **{f"new{path}": text.encode() for path, (text, _, _) in files.items()},
        }
    )


def host_knows(root: Node) -> Mapping[str, Any]:
    """Return what the state's file of a host says."""
    node = root.find(f"{STATE}/state.json")
    return _NOTHING_KNOWN if node is None else _parsed(node.content)


def safe_knowledge(root: Node) -> Mapping[str, Any]:
    """Return what the state's file of a host says for certain, whatever becomes of its power."""
    node: Node | None = root
    for part in f"{STATE}/state.json".split("/")[1:]:
        node = None if node is None else node.safe_entries.get(part)
    return _NOTHING_KNOWN if node is None else _parsed(node.safe_content)


_NOTHING_KNOWN: Mapping[str, Any] = {"applied": "", "lock": None, "deployments": []}


@lru_cache(maxsize=1000)
def _parsed(content: bytes) -> Mapping[str, Any]:
    found: dict[str, Any] = json.loads(content)
    return found
