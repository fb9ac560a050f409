"""Lint findings for people (table), programs (JSON), CI (JUnit) and code review (SARIF)."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from goldentooth.rules import Finding, Rule, Severity
from goldentooth.text import paint, readable, to_json

if TYPE_CHECKING:
    from pandas import DataFrame

FORMAT = "goldentooth-net/lint/1"
"""Name and version of the JSON form; the number changes when a reader could break."""

FORMATS = ("table", "json", "junit", "sarif")

_WIDTH = 96
_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.INFO: "blue"}
_SARIF_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}


class Findings(tuple[Finding, ...]):
    """Findings as a tuple, which a terminal and a notebook show as people want to read them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return readable(findings_table(self))

    def _repr_html_(self) -> str:
        from goldentooth.report.notebook import findings_html

        return findings_html(self)

    def to_frame(self) -> DataFrame:
        """Return a pandas frame, a row a finding.

        Raises:
            UsageError: if pandas is not installed.
        """
        from goldentooth.report.frames import make_frame
        from goldentooth.report.notebook import FINDING_COLUMNS, finding_rows

        return make_frame(FINDING_COLUMNS, finding_rows(self))


def format_findings(
    findings: Sequence[Finding], form: str, *, rules: Sequence[Rule], colour: bool = False
) -> str:
    """Return ``findings`` in one of :data:`FORMATS`; ``rules`` are those that were checked.

    Raises:
        KeyError: for any other format.
    """
    if form == "table":
        return findings_table(findings, colour=colour)
    if form == "json":
        return findings_json(findings)
    return {"junit": findings_junit, "sarif": findings_sarif}[form](findings, rules)


def count_findings(findings: Iterable[Finding]) -> dict[str, int]:
    """Return how many findings are open by severity, and how many are accepted."""
    counts = {**{severity.value: 0 for severity in Severity}, "accepted": 0}
    for finding in findings:
        counts["accepted" if finding.is_accepted else finding.severity.value] += 1
    return counts


def findings_table(findings: Sequence[Finding], *, colour: bool = False) -> str:
    """Return one block a finding, the accepted ones in short at the end, then a count."""
    blocks = [_block(finding, colour) for finding in findings if not finding.is_accepted]
    accepted = [finding for finding in findings if finding.is_accepted]
    if accepted:
        lines = [
            f"    {finding.rule}  {finding.subject}: {finding.accepted}" for finding in accepted
        ]
        blocks.append("\n".join([paint("accepted", "dim", on=colour), *lines]))
    return "\n\n".join([*blocks, _count_line(findings)])


def findings_json(findings: Sequence[Finding]) -> str:
    """Return an object of ``format``, ``findings`` and ``counts``, on indented lines."""
    document = {
        "format": FORMAT,
        "findings": [
            {
                "rule": finding.rule,
                "severity": finding.severity.value,
                "subject": finding.subject,
                "message": finding.message,
                "file": finding.where.file,
                "line": finding.where.line,
                "column": finding.where.column,
                "remedy": finding.remedy,
                "accepted": finding.accepted,
            }
            for finding in findings
        ],
        "counts": count_findings(findings),
    }
    return to_json(document)


def findings_junit(findings: Sequence[Finding], rules: Sequence[Rule]) -> str:
    """Return JUnit XML: a test case a rule, failed if it has findings that are not accepted."""
    from xml.etree import ElementTree as ET  # only this format needs it

    by_rule = _by_rule(findings)
    cases = []
    for rule in rules:
        case = ET.Element(
            "testcase", classname=f"lint.{rule.topic}", name=f"{rule.id} {rule.title}", time="0"
        )
        found = [f for f in by_rule.get(rule.id, ()) if not f.is_accepted]
        accepted = [f for f in by_rule.get(rule.id, ()) if f.is_accepted]
        if found:
            message = "; ".join(f"{f.subject}: {f.message}" for f in found)
            failure = ET.SubElement(case, "failure", type=rule.severity.value, message=message)
            failure.text = "\n".join(map(_plain_block, found))
        if accepted:
            lines = (f"{_plain_block(f)}\n    accepted: {f.accepted}" for f in accepted)
            ET.SubElement(case, "system-out").text = "\n".join(lines)
        cases.append(case)
    failed = sum(case.find("failure") is not None for case in cases)
    counts = {"tests": str(len(cases)), "failures": str(failed), "errors": "0", "time": "0"}
    top = ET.Element("testsuites", counts)
    suite = ET.SubElement(top, "testsuite", {"name": "goldentooth-net lint", **counts})
    suite.extend(cases)
    ET.indent(top)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(top, encoding="unicode")


def findings_sarif(findings: Sequence[Finding], rules: Sequence[Rule]) -> str:
    """Return SARIF 2.1.0; what is accepted is among the results, suppressed."""
    index = {rule.id: number for number, rule in enumerate(rules)}
    run = {
        "tool": {"driver": {"name": "goldentooth-net", "rules": list(map(_sarif_rule, rules))}},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(finding, index[finding.rule]) for finding in findings],
    }
    document = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return to_json(document)


def explain(rule: Rule, *, colour: bool = False) -> str:
    """Return all that is to be said of ``rule``, for ``lint --explain``."""
    severity = paint(rule.severity.value, _COLOURS[rule.severity], on=colour)
    parts = [f"{paint(rule.id, 'bold', on=colour)}  {severity}\n{rule.title}"]
    for heading, text in (("Why", rule.why), ("Do", rule.remedy), ("Source", rule.source)):
        parts.append(f"{paint(heading, 'bold', on=colour)}\n{_indented(text)}")
    for heading, example in (("Fails", rule.fails), ("Passes", rule.passes)):
        excerpt = textwrap.indent(example, "    ")
        parts.append(f"{paint(heading, 'bold', on=colour)}\n{excerpt}")
    parts.append("The examples are laid over the network in goldentooth/rules/example.py.")
    return "\n\n".join(parts)


def _block(finding: Finding, colour: bool) -> str:  # noqa: FBT001  # private
    severity = paint(finding.severity.value, _COLOURS[finding.severity], on=colour)
    rule = paint(finding.rule, "bold", on=colour)
    head = f"{severity}  {rule}  {finding.where}  {finding.subject}"
    return f"{head}\n{_indented(finding.message)}\n{_indented(f'→ {finding.remedy}')}"


def _plain_block(finding: Finding) -> str:
    return f"{finding.where}: {finding.subject}: {finding.message}\n    {finding.remedy}"


def _indented(text: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent="    ",
        subsequent_indent="      " if text.startswith("→") else "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _count_line(findings: Sequence[Finding]) -> str:
    counts = count_findings(findings)
    accepted = counts.pop("accepted")
    plurals = {"error": "errors", "warning": "warnings", "info": "infos"}
    said = [
        f"{count} {name if count == 1 else plurals[name]}"
        for name, count in counts.items()
        if count
    ]
    kept = f" ({accepted} accepted)" if accepted else ""
    return f"{', '.join(said) or 'no findings'}{kept}"


def _by_rule(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    result: dict[str, list[Finding]] = {}
    for finding in findings:
        result.setdefault(finding.rule, []).append(finding)
    return result


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": f"{rule.title}."},
        "fullDescription": {"text": rule.why},
        "help": {
            "text": f"{rule.why}\n\n{rule.remedy}\n\nSource: {rule.source}",
            "markdown": (
                f"{rule.why}\n\n{rule.remedy}\n\n*Source: {rule.source}*\n\n"
                f"Fails:\n\n```yaml\n{rule.fails}\n```\n\nPasses:\n\n```yaml\n{rule.passes}\n```"
            ),
        },
        "defaultConfiguration": {"level": _SARIF_LEVELS[rule.severity]},
        "properties": {"tags": [rule.topic]},
    }


def _sarif_result(finding: Finding, rule_index: int) -> dict[str, Any]:
    from urllib.parse import quote  # only this format needs it

    file = finding.where.file
    location = {"uri": quote(file), "uriBaseId": "%SRCROOT%"}
    if file.startswith("/"):
        location = {"uri": f"file://{quote(file)}"}
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": _SARIF_LEVELS[finding.severity],
        "message": {"text": f"{finding.subject}: {finding.message}. {finding.remedy}"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": location,
                    "region": {
                        "startLine": finding.where.line,
                        "startColumn": finding.where.column,
                    },
                },
                "logicalLocations": [{"fullyQualifiedName": finding.subject}],
            }
        ],
    }
    if finding.accepted is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": finding.accepted}]
    return result
