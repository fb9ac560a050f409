"""Where results go: several files at once, each in its own format, whole or not at all."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET

import pytest

from tests.sites import Site


def test_every_output_is_in_the_format_of_its_ending_or_of_its_prefix(site: Site) -> None:
    outputs = ("a.json", "a.xml", "sarif=a.json5", "a.txt", "json=plain")
    done = site.run("lint", *(word for name in outputs for word in ("--output", name)))
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert json.loads((site.folder / "a.json").read_text())["format"] == "goldentooth-net/lint/1"
    assert json.loads((site.folder / "plain").read_text())["findings"]
    assert json.loads((site.folder / "a.json5").read_text())["version"] == "2.1.0"
    assert ET.parse(site.folder / "a.xml").getroot().tag == "testsuites"  # noqa: S314  # its own
    assert "inventory/defaults.yaml:" in (site.folder / "a.txt").read_text()


def test_the_format_that_is_said_beats_the_ending(site: Site) -> None:
    site.run("lint", "--format", "json", "--output", "a.txt", "--output", "junit=b.txt")
    assert json.loads((site.folder / "a.txt").read_text())
    assert (site.folder / "b.txt").read_text().startswith("<?xml")


def test_an_ending_that_says_nothing_is_the_table(site: Site) -> None:
    site.run("show", "hosts", "--output", "hosts.html")
    assert (site.folder / "hosts.html").read_text().startswith("host ")


def test_a_misspelt_format_is_no_file_name(site: Site) -> None:
    done = site.run("lint", "--output", "jsn=a.json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'jsn' is not a format: did you mean json?; a file of that name is ./jsn=a.json" in (
        done.stderr
    )
    assert site.run("lint", "--output", "./jsn=a.json").returncode == 1
    assert (site.folder / "jsn=a.json").exists()


@pytest.mark.parametrize("output", ["", " ", "json=", "json= "])
def test_an_empty_variable_is_no_file_name(site: Site, output: str) -> None:
    done = site.run("lint", "--output", output)
    assert done.returncode == 2
    assert "is not a path" in done.stderr


def test_one_that_cannot_be_written_is_named_and_the_others_are_written(site: Site) -> None:
    done = site.run("lint", "--output", "nowhere/a.json", "--output", "b.json")
    assert done.returncode == 2
    assert done.stderr == "nowhere/a.json cannot be written: no such file or directory\n"
    assert json.loads((site.folder / "b.json").read_text())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder_is_left_as_it_is(site: Site) -> None:
    folder = site.folder / "reports"
    folder.mkdir(mode=0o555)
    done = site.run("lint", "--output", "reports/a.json")
    assert done.returncode == 2
    assert done.stderr == "reports/a.json cannot be written: permission denied\n"
    assert not list(folder.iterdir())


def test_nothing_but_the_file_is_left_in_its_folder(site: Site) -> None:
    (site.folder / "reports").mkdir()
    for _ in range(2):
        site.run("lint", "--output", "reports/a.json")
    assert [path.name for path in (site.folder / "reports").iterdir()] == ["a.json"]
