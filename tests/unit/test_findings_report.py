"""Findings keep their meaning in every format."""

import json
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from goldentooth.errors import Location
from goldentooth.report.findings import (
    FORMATS,
    count_findings,
    explain,
    findings_json,
    findings_junit,
    findings_sarif,
    findings_table,
    format_findings,
)
from goldentooth.rules import Finding, Rule, Severity, all_rules
from goldentooth.text import readable

ERROR = Finding(
    rule="ROUTE003",
    severity=Severity.ERROR,
    subject="allyrion",
    message='on-link route & <no> "kube-proxy"',
    where=Location("inventory/hosts.yaml", 8, 11),
    remedy="Set load_balancer_route to via-router.",
)
WARNING = replace(
    ERROR,
    rule="BGP001",
    severity=Severity.WARNING,
    subject="bgp.router_asn",
    message="AS 64500 is reserved for documentation",
    where=Location("inventory/defaults.yaml", 24, 17),
)
SECOND_WARNING = replace(WARNING, subject="bgp.cluster_asn")
INFO = replace(WARNING, rule="HA005", severity=Severity.INFO, subject="router")
ACCEPTED = replace(WARNING, rule="HA003", subject="allyrion", accepted="a spare is on the shelf")
FINDINGS = (ERROR, WARNING, SECOND_WARNING, INFO, ACCEPTED)
RULES = all_rules()


# -- table -------------------------------------------------------------------------------


def test_the_table_says_all_there_is_of_a_finding() -> None:
    block = findings_table([ERROR]).split("\n\n")[0]
    assert block == (
        "error  ROUTE003  inventory/hosts.yaml:8:11  allyrion\n"
        '    on-link route & <no> "kube-proxy"\n'
        "    → Set load_balancer_route to via-router."
    )


def test_the_table_ends_in_a_count() -> None:
    assert findings_table(FINDINGS).splitlines()[-1] == "1 error, 2 warnings, 1 info (1 accepted)"
    assert findings_table([]) == "no findings"


def test_accepted_findings_come_last_in_one_line_each() -> None:
    blocks = findings_table([ACCEPTED, ERROR]).split("\n\n")
    assert blocks[1] == "accepted\n    HA003  allyrion: a spare is on the shelf"


def test_colour_is_there_only_when_asked_for() -> None:
    assert "\x1b[" not in findings_table(FINDINGS)
    painted = readable(findings_table(FINDINGS, colour=True), colour=True)
    assert "\x1b[31merror\x1b[0m" in painted


# -- JSON --------------------------------------------------------------------------------


def test_the_json_is_versioned_and_complete() -> None:
    document = json.loads(findings_json(FINDINGS))
    assert list(document) == ["format", "findings", "counts"]
    assert document["format"] == "goldentooth-net/lint/1"
    assert document["counts"] == {"error": 1, "warning": 2, "info": 1, "accepted": 1}
    assert document["findings"][0] == {
        "rule": "ROUTE003",
        "severity": "error",
        "subject": "allyrion",
        "message": ERROR.message,
        "file": "inventory/hosts.yaml",
        "line": 8,
        "column": 11,
        "remedy": ERROR.remedy,
        "accepted": None,
    }
    assert document["findings"][4]["accepted"] == "a spare is on the shelf"


def test_accepted_findings_are_counted_apart() -> None:
    assert count_findings([ACCEPTED]) == {"error": 0, "warning": 0, "info": 0, "accepted": 1}


# -- JUnit -------------------------------------------------------------------------------


def test_junit_has_a_case_for_every_rule_and_a_failure_for_every_broken_one() -> None:
    top = ET.fromstring(findings_junit(FINDINGS, RULES))  # noqa: S314  # our own
    suite = top[0]
    cases = {case.attrib["name"].split()[0]: case for case in suite}
    assert list(cases) == [rule.id for rule in RULES]
    assert suite.attrib["tests"] == str(len(RULES))
    assert suite.attrib["failures"] == "3"
    assert {name for name, case in cases.items() if case.find("failure") is not None} == {
        "ROUTE003",
        "BGP001",
        "HA005",
    }
    assert cases["ROUTE003"].attrib["classname"] == "lint.ROUTE"


def test_junit_puts_all_findings_of_a_rule_in_its_one_failure() -> None:
    top = ET.fromstring(findings_junit(FINDINGS, RULES))  # noqa: S314  # our own
    (failure,) = [f for f in top.iter("failure") if f.attrib["type"] == "warning"]
    assert "bgp.router_asn" in str(failure.text)
    assert "bgp.cluster_asn" in str(failure.text)


def test_junit_passes_what_is_accepted_and_says_why() -> None:
    top = ET.fromstring(findings_junit([ACCEPTED], RULES))  # noqa: S314  # our own
    assert top.find(".//failure") is None
    (output,) = top.iter("system-out")
    assert "a spare is on the shelf" in str(output.text)


# -- SARIF -------------------------------------------------------------------------------


def test_sarif_results_refer_to_rules_with_help_and_to_places() -> None:
    document = json.loads(findings_sarif(FINDINGS, RULES))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) == len(FINDINGS)
    for finding, result in zip(FINDINGS, run["results"], strict=True):
        assert result["ruleId"] == finding.rule == rules[result["ruleIndex"]]["id"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == finding.where.file
        assert place["region"] == {
            "startLine": finding.where.line,
            "startColumn": finding.where.column,
        }
    assert all(rule["help"]["text"] and rule["help"]["markdown"] for rule in rules)
    assert all(rule["shortDescription"]["text"] for rule in rules)


def test_sarif_levels_follow_the_severities() -> None:
    document = json.loads(findings_sarif([ERROR, WARNING, INFO], RULES))
    levels = [result["level"] for result in document["runs"][0]["results"]]
    assert levels == ["error", "warning", "note"]


def test_sarif_suppresses_what_is_accepted_and_only_that() -> None:
    document = json.loads(findings_sarif([ERROR, ACCEPTED], RULES))
    still_open, accepted = document["runs"][0]["results"]
    assert "suppressions" not in still_open
    assert accepted["suppressions"] == [
        {"kind": "inSource", "justification": "a spare is on the shelf"}
    ]


def test_sarif_names_a_file_outside_the_project_by_its_address() -> None:
    outside = replace(ERROR, where=Location("/srv/my facts/hosts.yaml", 1, 1))
    document = json.loads(findings_sarif([outside], RULES))
    place = document["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "file:///srv/my%20facts/hosts.yaml"}


# -- all of them -------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_takes_no_findings_and_many(form: str) -> None:
    assert format_findings([], form, rules=RULES)
    assert "ROUTE003" in format_findings(FINDINGS, form, rules=RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_the_explanation_of_a_rule_has_all_its_parts(rule: Rule) -> None:
    text = explain(rule)
    for heading in ("Why", "Do", "Source", "Fails", "Passes"):
        assert f"\n{heading}\n    " in text
