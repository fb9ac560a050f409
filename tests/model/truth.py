"""What must hold: at every step, of every answer, and when time has run out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.model.disk import FOLDER, LINK, TIME_BEFORE, Node
from tests.model.host import EARLY_LINK, LATE_LINK, LINKED, MANAGED, REMOVED, STATE, UNITS
from tests.model.parties import (
    CAROL,
    CONFIRMED,
    REFUSED,
    ROLLED_BACK,
    VERSIONS,
    Party,
    host_knows,
    safe_knowledge,
)

if TYPE_CHECKING:
    from tests.model.scenario import State

SWITCHED = {"armed", "swapping", "swapped", "activated", "going-back"}
_AFTER = {
    "": {"staged"},
    "staged": {"armed", ""},
    "armed": {"swapping", "going-back"},
    "swapping": {"swapped", "going-back"},
    "swapped": {"activated", "going-back"},
    "activated": {"confirmed", "going-back"},
    "going-back": {"back"},
    "back": set(),
    "confirmed": set(),
}


class Broken(Exception):  # noqa: N818  # a promise, not the model
    """Something is not as promised."""


def must(is_so: object, what: str) -> None:
    """Have a promise kept.

    Raises:
        Broken: if it is not.
    """
    if not is_so:
        raise Broken(what)


def _reachable(before: str, after: str) -> bool:
    seen, waiting = set(), [before]
    while waiting:
        word = waiting.pop()
        if word == after:
            return True
        if word not in seen:
            seen.add(word)
            waiting += _AFTER[word]
    return False


def check_now(state: State) -> None:
    """Check what must hold between any two steps."""
    box, root = state.box, state.box.tree.root
    try:
        knows, safe_knows = host_knows(root), safe_knowledge(root)
    except ValueError as error:
        raise Broken(f"the state cannot be read, now or after a power cut: {error}") from error
    found = {each["name"]: each["state"] for each in knows["deployments"]}
    safe = {each["name"]: each["state"] for each in safe_knows["deployments"]}
    for name, word in dict(state.past).items():
        must(_reachable(word, found.get(name, "")), f"{name}: {word}, then {found.get(name)}")
    for name in found.keys() - dict(state.past).keys():
        must(_reachable("", found[name]), f"{name}: {found[name]} at once")
    state.past = tuple(sorted(safe.items()))
    switched = [each for each in knows["deployments"] if each["state"] in SWITCHED]
    must(len(switched) < 2, "two deployments are armed")
    if box.early:
        return  # nothing runs yet
    if switched:
        will_end = box.timer or box.service or box.late
        must(will_end or state.is_faulty, f"{switched[0]['state']}, and no timer")
        return
    check_version(state, knows)


def version_of(knows: Mapping[str, Any]) -> str:
    """Return which deployment's record is applied."""
    if not knows["applied"]:
        return ""
    folder, name, record = knows["applied"].split("/")
    must((folder, record) == ("deployments", "record"), "where the record is")
    return str(name)


def check_version(state: State, knows: Mapping[str, Any]) -> None:
    """Check that files, and what runs, are those of the record that is applied."""
    version = version_of(knows)
    if not version:
        return
    check_files(state, version)
    unlive = any(each["unlive"] for each in knows["deployments"])
    if not (unlive and state.is_faulty):
        check_running(state, version)


def check_files(state: State, version: str) -> None:
    """Check that the files are those of a deployment, but for those that were edited."""
    box, root = state.box, state.box.tree.root
    edited = dict(state.edits)
    for path in MANAGED:
        node = root.find(path)
        if node is not None and path in edited and node.content == edited[path]:
            continue
        must(_seen(node) == wanted(path, version), f"{path} is not that of {version}")
    if version == "one":
        for path in ("/etc/toy/new/deep", "/etc/toy/new"):
            has_edit = any(each.startswith(path) for each in edited)
            must(root.find(path) is None or has_edit, f"{path} is left")
        node = root.find("/etc/toy/a")
        is_old = node is not None and (node.time == TIME_BEFORE or "/etc/toy/a" in edited)
        must(is_old or not state.past or dict(state.past).keys() == {"one"}, "its time is another")
    _ = box


def _seen(node: Node | None) -> tuple[object, ...]:
    if node is None:
        return ("absent",)
    if node.kind == LINK:
        return (LINK, node.aim)
    return (node.kind, node.content, node.user, node.mode)


def wanted(path: str, version: str) -> tuple[object, ...]:
    """Return what stands at a path when a deployment is in place."""
    import os

    file = VERSIONS[version].get(path)
    if file is None:
        return (LINK, "a") if path == LINKED and version == "one" else ("absent",)
    text, owner, mode = file
    user = 1 if owner.startswith("daemon") and os.geteuid() == 0 else os.geteuid()
    return ("file", text.encode(), user, int(mode, 8))


def check_running(state: State, version: str) -> None:
    """Check that what runs is what the files of a deployment say."""
    box, edited = state.box, dict(state.edits)
    for path in MANAGED:
        kind, text = box.running[path]
        if path in edited:
            continue
        want = wanted(path, version)
        is_same = (kind, text) == (want[:2] if len(want) > 1 else ("absent", b""))
        must(is_same, f"{path} runs otherwise than {version} says")
    is_up = version != "one"
    must(
        (box.is_active, box.enabled) == (is_up, is_up),
        f"the unit is {box.is_active}, {box.enabled} with {version}",
    )


def check_answer(
    state: State, party: Party, verb: str, answer: Mapping[str, Any], before: Mapping[str, Any]
) -> None:
    """Check that what a controller is told is true, and was to be told."""
    box = state.box
    knows = host_knows(box.tree.root)
    found = {each["name"]: each for each in knows["deployments"]}
    said, reason = answer["state"], answer.get("reason", "")
    must(reason != "internal", f"{answer}")
    if said:
        name = party.deployment
        if reason == "armed":
            name = next(each["name"] for each in before["deployments"] if each["state"] in SWITCHED)
        real = found[name]["state"] if name in found else "none"
        must(said == real, f"{verb} of {party.name} answers {said}, and it is {real}")
    if verb == "lock" and answer["done"]:
        lock = before["lock"]
        is_valid = (
            lock is not None
            and lock["boot"] == f"boot-{box.boot}"
            and lock["until"] > box.uptime
            and lock["holder"] != party.fingerprint
        )
        must(not is_valid, f"{party.name} was given the lock of {lock}")
        others = [
            each["name"]
            for each in before["deployments"]
            if each["state"] in SWITCHED and each["name"] != party.deployment
        ]
        must(not others, f"{party.name} was given the lock while {others} is armed")
    lock = before["lock"] or {"holder": "", "deployment": ""}
    if verb in {"stage", "arm", "swap", "activate", "confirm", "rollback"} and answer["done"]:
        has_ended = any(
            each["name"] == party.deployment and each["state"] in {"back", "confirmed"}
            for each in before["deployments"]
        )
        is_its = (lock["holder"], lock["deployment"]) == (party.fingerprint, party.deployment)
        must(is_its or has_ended, f"{verb} of {party.name} was done without the lock")
    if verb == "activate" and answer["done"]:
        check_files(state, party.deployment)
        check_running(state, party.deployment)


def check_end(state: State, *, is_last: bool = False) -> None:
    """Check what must hold once time has run out."""
    root = state.box.tree.root
    knows = host_knows(root)
    found = {each["name"]: each for each in knows["deployments"]}
    must(not any(each["state"] in SWITCHED for each in found.values()), "still armed")
    must(state.box.timer is None and not state.box.service, "a timer is left")
    check_version(state, knows)
    version = version_of(knows)
    for party in state.parties:
        word = found.get(party.deployment, {"state": "none"})["state"]
        if party.outcome == CONFIRMED:
            must(word == "confirmed", f"{party.name} reports confirmed, and it is {word}")
        elif party.outcome in {ROLLED_BACK, REFUSED}:
            must(word != "confirmed", f"{party.name} reports {party.outcome}, and it is {word}")
    for name, each in found.items():
        if each["state"] == "confirmed":
            must(int(each["number"]) <= int(found[version]["number"]), f"{name} is not applied")
    _check_edits(state, found)
    is_open = any(each["state"] == "staged" for each in found.values())
    is_clean = is_last or not (state.was_barred or is_open)
    for path in (EARLY_LINK, LATE_LINK):
        unit = root.find(f"{UNITS}/{path.rpartition('/')[2]}")
        must(root.find(path) is None or not is_clean, f"{path} is left")
        must(unit is None or not is_last, "a boot unit is left")
    kept = [path for each in found.values() for path in each["kept"]]
    for path, node in root.walk():
        name = path.rpartition("/")[2]
        if name.startswith(".goldentooth-") and is_clean:
            must(any(each.startswith(path) for each in kept), f"{path} is left")
        if path.startswith(f"{STATE}/deployments/") and path.count("/") == 6:
            deployment, part = path.split("/")[5:7]
            open_one = deployment in found and found[deployment]["state"] == "staged"
            must(part != "new" or open_one or not is_last, f"{path} is left")
        _ = node
    if is_last:
        carol = state.party(CAROL)
        assert carol is not None
        must(carol.outcome == CONFIRMED, f"the next controller is refused: {carol}")
        words = {each["state"] for each in found.values()}
        must(words <= {"confirmed", "back"}, f"{words}")
        names = {*(node for node in root.find(STATE).entries)} if root.find(STATE) else set()  # type: ignore[union-attr]
        must(names <= {"deployments", "mutex", "state.json"}, f"{names}")


def _check_edits(state: State, found: Mapping[str, Any]) -> None:
    root = state.box.tree.root
    for path, content in state.edits:
        node = root.find(path)
        if node is not None and node.content == content:
            continue
        kept = [where for each in found.values() for where in each["kept"]]
        nodes = [root.find(where) for where in kept if where.endswith(path.rpartition("/")[2])]
        is_kept = any(each is not None and each.content == content for each in nodes)
        digest = hashlib.sha256(content).hexdigest()
        is_meant = any(
            (path, digest) in party.expected
            and found.get(party.deployment, {"state": ""})["state"] == "confirmed"
            for party in state.parties
        )
        is_carols = any(party.name == CAROL for party in state.parties)
        must(is_kept or is_meant or is_carols, f"the edit of {path} is lost")


__all__ = ["FOLDER", "REMOVED", "Broken", "check_answer", "check_end", "check_now", "must"]
