"""Every wait can be set, and what is no wait is refused with its place."""

from __future__ import annotations

from typing import Any

import pytest
from nornir.core.configuration import Config

from goldentooth.errors import UsageError
from goldentooth.transports.bounds import Bounds, take_bounds
from tests.sites import ROOT, Site


def test_what_is_not_set_has_its_default() -> None:
    assert Bounds.of({}) == Bounds()
    assert Bounds.of({"transport": {"host_seconds": 5}}) == Bounds(host_seconds=5.0)


def test_a_connection_s_own_bounds_go_before_those_of_the_project() -> None:
    options: dict[str, Any] = {"host_seconds": 7, "compression_algs": None}
    config = Config(user_defined={"transport": {"host_seconds": 5, "connect_seconds": 3}})
    assert take_bounds(options, config) == Bounds(host_seconds=7.0, connect_seconds=3.0)
    assert options == {"compression_algs": None}


@pytest.mark.parametrize("value", [0, -1, True, "10", "1m", None, [], 1e9, float("nan")])
def test_what_is_no_number_of_seconds_is_refused(value: object) -> None:
    with pytest.raises(UsageError, match=r"connect_seconds .* is not a number of seconds"):
        Bounds.of({"transport": {"connect_seconds": value}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{conect_seconds: 3}", "unknown key 'conect_seconds' in transport: did you mean connect_"),
        ("{host_seconds: soon}", "host_seconds 'soon' is not a number of seconds"),
        ("fast", "transport 'fast' is not a mapping"),
    ],
)
def test_a_mistake_is_told_with_its_line_before_anything_is_done(
    site: Site, text: str, message: str
) -> None:
    lines = (ROOT / "config.yaml").read_text().splitlines()
    site.edit("config.yaml", "  build: build\n", f"  build: build\n  transport: {text}\n")
    done = site.run("lint")
    assert done.returncode == 2
    number = lines.index("  build: build") + 2
    assert f"config.yaml:{number}:" in done.stderr
    assert message in done.stderr


def test_the_shipped_comment_states_the_defaults() -> None:
    text = (ROOT / "config.yaml").read_text()
    for name, value in vars(Bounds()).items():
        assert f"#   {name}: {value:g} " in text
