"""In which order hosts are changed, how many at a time, and what counts as lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldentooth.activation import Activation
from goldentooth.check import Check, CheckResult, Outcome, Output, State
from goldentooth.deployment import (
    Board,
    Health,
    Options,
    batches,
    blame,
    quorums_of,
    short_of_quorum,
    spared,
)
from goldentooth.model import Network
from goldentooth.plan import Action, Change, HostPlan

NODES = ("bettley", "cargyll", "dalt", "erenford", "fenn", "gardener", "harlton")


@dataclass(frozen=True)
class Truth(Check):
    """A check of a made-up kind."""

    kind = "toy"
    subject: str
    host: str
    expected = "so"

    def reads(self) -> tuple[str, ...]:
        return ()

    def judge(self, outputs: Mapping[str, Output]) -> Outcome:
        raise NotImplementedError


class Most(Truth):
    """All but one must stay good, of three."""

    kind = "most"
    quorum = Fraction(2, 3)


class Half(Truth):
    """Half of them must stay good."""

    kind = "half"
    quorum = Fraction(1, 2)


def plans(*hosts: str, quiet: Iterable[str] = (), empty: Iterable[str] = ()) -> list[HostPlan]:
    change = Change(Action.CHANGE, "toy", "/etc/toy")
    return [
        HostPlan(
            host,
            () if host in set(empty) else (change,),
            activations=() if host in set(quiet) else (Activation("true"),),
        )
        for host in hosts
    ]


def result(check: Check, *, good: bool) -> CheckResult:
    return CheckResult(check, "toy", Outcome(State.PASSED if good else State.FAILED, "seen"))


def all_good(checks: Iterable[Check]) -> list[CheckResult]:
    return [result(check, good=True) for check in checks]


EVERY = tuple(
    sorted(
        (*NODES, "allyrion", "router", "inchfield", "jast", "karstark", "lipps", "velaryon"),
    )
)


def test_a_worker_is_the_canary_then_control_planes_then_the_load_balancer_then_the_router(
    network: Network,
) -> None:
    order = batches(network, plans(*EVERY), (), Options("50%"))

    assert order[0] == ("erenford",)
    flat = [host for group in order for host in group]
    assert flat[-5:] == ["bettley", "cargyll", "dalt", "allyrion", "router"]
    assert order[-2:] == (("allyrion",), ("router",))
    assert sorted(flat) == sorted(EVERY)


def test_a_canary_of_ones_choice_goes_first(network: Network) -> None:
    order = batches(network, plans(*EVERY), (), Options(canary="router"))

    assert order[0] == ("router",)
    assert order[-1] == ("allyrion",)


def test_a_canary_with_nothing_to_do_leaves_its_place_to_another(network: Network) -> None:
    order = batches(network, plans("fenn", "jast", empty=["fenn"]), (), Options(canary="fenn"))

    assert order == (("jast",),)


def test_nothing_to_do_is_no_batch(network: Network) -> None:
    assert batches(network, plans("fenn", empty=["fenn"]), (), Options()) == ()


@pytest.mark.parametrize(("serial", "largest"), [("1", 1), ("3", 3), ("50%", 3), ("1%", 1)])
def test_no_more_than_serial_at_a_time(network: Network, serial: str, largest: int) -> None:
    order = batches(network, plans(*NODES), (), Options(serial))

    assert max(map(len, order)) == largest


def test_of_three_that_share_a_quorum_one_goes_at_a_time(network: Network) -> None:
    checks = all_good(Most(name, "allyrion") for name in ("bettley", "cargyll", "dalt"))

    order = batches(network, plans(*NODES), checks, Options("7"))

    assert all(len({"bettley", "cargyll", "dalt"} & set(group)) <= 1 for group in order)


def test_what_nothing_is_activated_on_counts_for_no_quorum(network: Network) -> None:
    quorum = ("bettley", "cargyll", "dalt")
    checks = all_good(Most(name, "allyrion") for name in quorum)

    order = batches(network, plans("erenford", *quorum, quiet=quorum), checks, Options("7"))

    assert order == (("erenford",), quorum)


@given(
    hosts=st.sets(st.sampled_from(EVERY)),
    serial=st.one_of(st.integers(1, 20).map(str), st.integers(1, 100).map("{}%".format)),
    canary=st.sampled_from((None, *EVERY)),
    members=st.sets(st.sampled_from(NODES), min_size=2),
)
def test_every_host_once_and_never_more_of_a_quorum_than_can_be_missed(
    network: Network, hosts: set[str], serial: str, canary: str | None, members: set[str]
) -> None:
    checks = all_good(Half(name, "router") for name in members)
    options = Options(serial, canary)

    order = batches(network, plans(*sorted(hosts)), checks, options)

    assert sorted(host for group in order for host in group) == sorted(hosts)
    for group in order:
        assert len(group) <= max(1, options.size(len(hosts)))
        assert len(members & set(group)) <= max(1, len(members) // 2)
    if canary in hosts:
        assert order[0] == (canary,)
    assert not order or len(order[0]) == 1


PLANES = ("bettley", "cargyll", "dalt")


def most(*good: str) -> list[CheckResult]:
    return [result(Most(name, "allyrion"), good=name in good) for name in PLANES]


@pytest.mark.parametrize(
    ("good", "wanted", "can_go"),
    [
        (PLANES, PLANES, ("bettley",)),
        (("bettley", "dalt"), PLANES, ("cargyll",)),
        (("bettley", "dalt"), ("bettley", "dalt"), ()),
        ((), PLANES, PLANES),
        (("dalt",), ("dalt", "jast"), ("jast",)),
    ],
)
def test_of_a_quorum_no_more_of_the_good_are_changed_than_it_can_miss_now(
    good: tuple[str, ...], wanted: tuple[str, ...], can_go: tuple[str, ...]
) -> None:
    assert spared(wanted, quorums_of(most(*good)), frozenset()) == can_go


def test_the_only_one_of_its_kind_can_be_changed() -> None:
    alone = quorums_of([result(Most("dalt", "allyrion"), good=True)])

    assert spared(["dalt"], alone, frozenset()) == ("dalt",)


def test_what_stays_up_while_it_is_changed_can_go_at_any_time() -> None:
    quorums = quorums_of(most("bettley", "dalt"))

    assert spared(PLANES, quorums, frozenset({"dalt"})) == ("cargyll", "dalt")


def test_what_is_missing_already_goes_before_what_is_good(network: Network) -> None:
    order = batches(network, plans(*PLANES), most("bettley", "dalt"), Options("1"))

    assert order == (("cargyll",), ("bettley",), ("dalt",))


def test_the_canary_is_one_that_has_something_to_lose_and_can_be_missed(network: Network) -> None:
    def canary(*good: str) -> tuple[str, ...]:
        names = ("erenford", "fenn", "gardener", "harlton")
        sessions = [result(Half(name, "router"), good=name in good) for name in names]
        return batches(network, plans(*names), sessions, Options("1"))[0]

    assert canary("erenford", "fenn", "gardener", "harlton") == ("erenford",)
    assert canary("fenn", "gardener", "harlton") == ("fenn",)
    assert canary("fenn", "gardener") == ("erenford",)


def test_only_what_was_good_can_be_lost() -> None:
    good, bad = Truth("fenn", "fenn"), Truth("jast", "jast")
    health = Health.of([result(good, good=True), result(bad, good=False)])

    lost = health.lost([result(good, good=False), result(bad, good=False)])

    assert [each.check for each in lost] == [good]
    assert health.lost([result(good, good=True)]) == ()


def test_what_cannot_be_told_any_more_is_lost() -> None:
    good = result(Truth("fenn", "fenn"), good=True)
    unknown = replace(good, outcome=Outcome(State.UNKNOWN, "no answer"))

    assert Health.of([good]).lost([unknown]) == (unknown,)


def test_a_quorum_that_is_not_reached_is_told() -> None:
    checks = [Most(name, "allyrion") for name in ("bettley", "cargyll", "dalt")]

    assert short_of_quorum(result(each, good=each.subject != "dalt") for each in checks) == {}
    assert short_of_quorum(result(each, good=each.subject == "dalt") for each in checks) == {
        "most": "most: 1 of 3 are good, 2 must be"
    }


def test_who_is_meant_is_blamed_or_else_all() -> None:
    lost = [result(Truth("fenn", "router"), good=False)]

    assert blame(lost, ["fenn", "jast"]).keys() == {"fenn"}
    assert blame(lost, ["jast", "lipps"]).keys() == {"jast", "lipps"}
    assert "toy[fenn]: expected so; seen seen" in blame(lost, ["fenn"])["fenn"]


def test_the_board_keeps_order_and_counts_what_failed() -> None:
    board = Board()
    for host, word in (("c", "confirmed"), ("b", "rolled back"), ("a", "unknown")):
        board.set(host, word)

    assert board.failures() == 2
    assert [each.word for each in board.in_order(["a", "b", "c", "d"])] == [
        "unknown",
        "rolled back",
        "confirmed",
        "untouched",
    ]
