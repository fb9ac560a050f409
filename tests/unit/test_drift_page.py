"""The page about drift, as a real browser lays it out."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from goldentooth.report.drift import DriftReport
from tests.chromium import measure, needs_chromium
from tests.drift_reports import HOSTILE, drifted, in_sync, mixed, one_of_each, report, unreachable

PHONE = 360

CONTRAST = """(document, window) => {
  const parse = (text) => {
    const part = text.match(/[\\d.]+/g).map(Number);
    return part.length < 4 ? [...part, 1] : part;
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const behind = (element) => {
    const own = parse(window.getComputedStyle(element).backgroundColor);
    if (own[3] === 1 || !element.parentElement) return own;
    return [...over(own, behind(element.parentElement)), 1];
  };
  const light = (colour) => colour.slice(0, 3)
    .map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const opacity = (element) => element
    ? Number(window.getComputedStyle(element).opacity) * opacity(element.parentElement) : 1;
  const worst = {};
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
    const paper = behind(element);
    const ink = parse(window.getComputedStyle(element).color);
    const shown = over([...ink.slice(0, 3), ink[3] * opacity(element)], paper);
    const [a, b] = [light(shown), light(paper)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const key = element.className || element.tagName;
    worst[key] = Math.min(worst[key] ?? 99, ratio);
  }
  return {worst, paper: behind(document.body)};
}"""


class Elements(HTMLParser):
    """Every start tag of a page, with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def whole_network() -> DriftReport:
    """Return a report as wide and long as real ones are."""
    services = ("frr", "haproxy", "kubeadm", "routes", "watch")
    hosts = [in_sync(f"node{number}", *services) for number in range(12)]
    return report(*hosts, drifted("allyrion"), unreachable("jast"))


def test_the_page_needs_nothing_but_itself() -> None:
    """Links lead inside the page: a phone without a network shows all of it."""
    page = one_of_each().html()
    for tag, attributes in Elements(page).found:
        assert tag not in {"script", "link", "img", "iframe", "object", "base"}
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in page
    assert "@import" not in page


def test_every_link_has_a_target() -> None:
    found = Elements(mixed().html()).found
    targets = {f"#{attributes['id']}" for _, attributes in found if "id" in attributes}
    links = {attributes["href"] for tag, attributes in found if tag == "a"}
    assert links == targets == {"#host-allyrion", "#host-jast"}


def test_what_stands_in_a_file_stays_text() -> None:
    page = mixed().html()
    assert HOSTILE not in page
    assert "\x1b" not in page
    assert "\x00" not in page
    assert "older &lt;b&gt;than&lt;/b&gt; its file" in page


@needs_chromium
def test_a_browser_runs_nothing_of_what_stands_in_a_file(tmp_path: Path) -> None:
    script = """(document) => [document.title, document.scripts.length, document.images.length,
      document.querySelector(".added").textContent]"""
    title, scripts, images, added = measure(mixed().html(), tmp_path, script)
    assert title.startswith("Drift: 3 hosts: ")
    assert (scripts, images) == (0, 0)
    assert HOSTILE in added


@needs_chromium
def test_the_harness_would_see_a_script_that_runs(tmp_path: Path) -> None:
    """What shows that the test above can fail."""
    page = f"<!doctype html><title>before</title>{HOSTILE}"
    assert measure(page, tmp_path, "(document) => document.title") == "run"


@needs_chromium
@pytest.mark.parametrize("width", [PHONE, 768, 1400])
def test_no_screen_is_too_narrow_for_the_page(tmp_path: Path, width: int) -> None:
    """What is wide scrolls inside its own box, with every diff open."""
    script = """(document, window) => {
      document.querySelectorAll("details").forEach((details) => details.open = true);
      const root = document.documentElement;
      const small = [...document.querySelectorAll("body *")]
        .filter((e) => !e.closest(".hidden"))
        .map((e) => parseFloat(window.getComputedStyle(e).fontSize));
      return [root.scrollWidth, window.innerWidth, Math.min(...small)];
    }"""
    wide, screen, smallest = measure(whole_network().html(), tmp_path, script, width=width)
    assert screen == width
    assert wide <= width
    assert smallest >= 12


@needs_chromium
def test_a_host_is_still_named_when_its_row_is_scrolled(tmp_path: Path) -> None:
    script = """(document) => {
      const box = document.querySelector(".scroll");
      box.scrollLeft = 10000;
      const name = box.querySelector("tbody th").getBoundingClientRect();
      return [box.scrollLeft, name.left - box.getBoundingClientRect().left];
    }"""
    scrolled, distance = measure(whole_network().html(), tmp_path, script, width=PHONE)
    assert scrolled > 0
    assert abs(distance) < 2


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_all_text_stands_out_in_light_and_dark(tmp_path: Path, *, dark: bool) -> None:
    """WCAG 2.2, 1.4.3: a contrast of 4.5 to 1."""
    page = one_of_each().html().replace("<details>", "<details open>")
    page += mixed().html().replace("<details>", "<details open>")
    found = measure(page, tmp_path, CONTRAST, dark=dark)
    assert (sum(found["paper"][:3]) < 200) == dark
    assert {"chip good", "chip bad", "chip unknown", "added", "removed"} <= found["worst"].keys()
    assert {kind: ratio for kind, ratio in found["worst"].items() if ratio < 4.5} == {}


@needs_chromium
def test_a_diff_opens_by_keyboard_and_hides_until_then(tmp_path: Path) -> None:
    script = """(document) => {
      const details = document.querySelector("details");
      const summary = details.querySelector("summary");
      const shut = details.querySelector("pre").checkVisibility();
      summary.focus();
      const focused = document.activeElement === summary;
      summary.click();
      return [shut, focused, details.open, details.querySelector("pre").checkVisibility()];
    }"""
    assert measure(mixed().html(), tmp_path, script) == [False, True, True, True]


def test_a_page_has_its_language_headings_in_order_and_tables_with_scopes() -> None:
    found = Elements(mixed().html()).found
    assert ("html", {"lang": "en"}) in found
    levels = [int(tag[1]) for tag, _ in found if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all("scope" in attributes for tag, attributes in found if tag == "th")


def test_state_is_told_by_words_too() -> None:
    page = mixed().html()
    assert '<span class="chip bad">1 drift</span>' in page
    assert '✓ 1<span class="hidden"> in sync</span>' in page


def test_a_notebook_gets_the_same_without_a_page_around_it() -> None:
    shown = mixed()._repr_html_()
    assert shown.startswith('<div class="goldentooth">')
    assert "<html" not in shown
    assert HOSTILE not in shown
    assert "allyrion" in shown
