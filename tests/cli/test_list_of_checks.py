"""``verify --list`` names every check that follows from the facts, and reads nothing."""

from __future__ import annotations

import json

import jsonschema

from tests.sites import ROOT, Site


def test_the_list_in_json_is_what_its_schema_says(site: Site) -> None:
    done = site.run("verify", "--list", "--format", "json", "--service", "haproxy")
    assert (done.returncode, done.stderr) == (0, "")
    listed = json.loads(done.stdout)
    jsonschema.validate(listed, json.loads((ROOT / "docs/schemas/checks.schema.json").read_text()))
    by_id = {check["id"]: check for check in listed["checks"]}
    assert by_id["haproxy.backend[dalt]"]["host"] == "allyrion"
    assert by_id["haproxy.backend[dalt]"]["reads"][0].startswith("curl ")


def test_the_list_names_the_checks_that_the_table_names(site: Site) -> None:
    listed = json.loads(site.run("verify", "--list", "--format", "json").stdout)["checks"]
    lines = site.run("verify", "--list").stdout.splitlines()
    assert [f"{c['id']} on {c['host']}: {c['expected']}" for c in listed] == lines


def test_what_was_not_verified_is_no_metric(site: Site) -> None:
    done = site.run("verify", "--list", "--format", "junit")
    assert (done.returncode, done.stdout) == (2, "")
    assert "this cannot be had as junit: table and json can" in done.stderr
