"""What a notebook shows of a network, its findings, renders and checks."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from goldentooth import open_project
from goldentooth.check import CheckResult, Outcome, State
from goldentooth.model import Network
from goldentooth.report.checks import VerifyReport
from goldentooth.report.findings import Findings
from goldentooth.report.html import Html, page
from tests.chromium import measure, needs_chromium
from tests.drift_reports import HOSTILE
from tests.sites import ROOT, Site

SVG = "{http://www.w3.org/2000/svg}"


def rows(shown: str) -> int:
    return shown.count("<tr>") - 1


def test_a_network_is_a_line_a_host(network: Network) -> None:
    shown = network._repr_html_()
    assert rows(shown) == len(network.nodes)
    assert '<th scope="row">fenn</th><td>10.4.0.15</td>' in shown


def test_findings_are_a_tuple_that_shows_itself() -> None:
    findings = open_project(ROOT / "config.yaml").lint()
    assert isinstance(findings, tuple)
    assert rows(findings._repr_html_()) == len(findings) > 5
    assert repr(findings).rpartition("\n")[2].endswith("infos")
    assert repr(Findings()) == "no findings"


def test_a_render_shows_what_failed_and_what_changed(site: Site) -> None:
    project = site.project()
    project.render()
    site.edit("inventory/defaults.yaml", "hold: 180", "hold: 90")
    shown = site.project().render(check=True)._repr_html_()
    assert '<span class="removed">- ' in shown
    site.write("templates/haproxy/haproxy.cfg.j2", f"{HOSTILE}{{{{ nobody }}}}\n")
    shown = site.project().render()._repr_html_()
    assert "&#x27;nobody&#x27; is undefined" in shown
    assert "1 failed" in shown


def test_checks_that_did_not_pass_are_shown_and_what_a_host_said_stays_text() -> None:
    (service, check), *_ = open_project(ROOT / "config.yaml").checks(hosts=["fenn"])
    seen = CheckResult(check, service, Outcome(State.FAILED, HOSTILE))
    good = CheckResult(check, service, Outcome(State.PASSED, "so"))
    shown = VerifyReport((seen, good), 1.0)._repr_html_()
    assert rows(shown) == 1
    assert HOSTILE not in shown
    assert "&lt;script&gt;" in shown


def test_frames_have_a_row_for_each(network: Network) -> None:
    pytest.importorskip("pandas")
    project = open_project(ROOT / "config.yaml")
    assert len(network.to_frame()) == len(network.nodes)
    assert len(project.lint().to_frame()) == len(project.lint())
    render = project.render(check=True)
    assert len(render.to_frame()) == sum(len(host.artifacts) for host in render.hosts)
    assert list(VerifyReport((), 0).to_frame().columns)[:3] == ["host", "service", "check"]


# -- the topology ------------------------------------------------------------------------


def test_the_topology_has_every_host_and_session(network: Network) -> None:
    picture = ET.fromstring(network.to_svg())  # noqa: S314  # its own
    names = {text.text for text in picture.iter(f"{SVG}text")}
    assert set(network.nodes) <= names
    kinds = [path.get("class") for path in picture.iter(f"{SVG}path")]
    legend = 1
    assert kinds.count("bgp") - legend == len(network.bgp_neighbors)
    assert kinds.count("api") - legend == len(network.control_planes) * len(network.load_balancers)


def test_nothing_in_the_topology_lies_outside_of_it_or_on_another(network: Network) -> None:
    picture = ET.fromstring(network.to_svg())  # noqa: S314  # its own
    width, height = map(float, (picture.get("viewBox") or "").split()[2:])
    boxes = [
        tuple(float(box.get(key, "")) for key in ("x", "y", "width", "height"))
        for box in picture.iter(f"{SVG}rect")
    ]
    assert len(boxes) == len(set(boxes)) == len(network.nodes)
    for x, y, wide, high in boxes:
        assert 0 <= x <= width - wide
        assert 0 <= y <= height - high


@needs_chromium
@pytest.mark.parametrize("width", [360, 1200])
def test_the_topology_fits_its_screen_and_no_name_its_box_leaves(
    network: Network, tmp_path: Path, width: int
) -> None:
    script = """(document) => {
      const right = (element) => element.getBoundingClientRect().right;
      const over = [...document.querySelectorAll("g")].flatMap((g) =>
        [...g.querySelectorAll("text")].map((t) => right(t) - right(g.querySelector("rect"))));
      return [document.documentElement.scrollWidth, Math.max(...over)];
    }"""
    shown = page("topology", Html(network.to_svg()))
    wide, over = measure(shown, tmp_path, script, width=width)
    assert wide <= width
    assert over < 0


def test_a_shown_page_has_no_control_characters(network: Network) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", network.to_svg() + network._repr_html_())
