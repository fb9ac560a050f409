"""JUnit's XML, as CI systems read it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

_NOT_XML = "[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
"""Characters that XML 1.0 cannot hold (§2.2); compiled when first used, since that takes 3 ms."""


@dataclass(frozen=True)
class Case:
    """One thing that was looked at; ``problem`` is empty if it is as it should be."""

    group: str
    name: str
    problem: Literal["", "failure", "error"] = ""
    message: str = ""
    text: str = ""


def junit_xml(name: str, suites: Iterable[tuple[str, Iterable[Case]]]) -> str:
    """Return a document of ``suites``, each a name with its cases."""
    import xml.etree.ElementTree as ET  # every report is imported with it, few are written

    top = ET.Element("testsuites", name=name)
    for title, cases in suites:
        suite = ET.SubElement(top, "testsuite", name=_xml(title))
        for case in (cases := tuple(cases)):
            element = ET.SubElement(
                suite, "testcase", classname=_xml(case.group), name=_xml(case.name)
            )
            if case.problem:
                problem = ET.SubElement(element, case.problem, message=_xml(case.message))
                problem.text = _xml(case.text) or None
        suite.set("tests", str(len(cases)))
        suite.set("failures", str(sum(case.problem == "failure" for case in cases)))
        suite.set("errors", str(sum(case.problem == "error" for case in cases)))
    ET.indent(top)
    return ET.tostring(top, encoding="unicode", xml_declaration=True)


def _xml(text: str) -> str:
    return re.sub(_NOT_XML, "?", text)
