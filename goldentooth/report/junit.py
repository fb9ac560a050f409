"""JUnit's XML, as CI systems read it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from goldentooth.text import printable


@dataclass(frozen=True)
class Case:
    """One thing that was looked at; ``problem`` is empty if it is as it should be."""

    group: str
    name: str
    problem: Literal["", "failure", "error"] = ""
    message: str = ""
    text: str = ""


def junit_xml(name: str, suites: Iterable[tuple[str, Iterable[Case]]]) -> str:
    """Return a document of ``suites``, each a name with its cases.

    XML cannot hold most control characters (1.0 §2.2): they are escaped as in all text.
    """
    import xml.etree.ElementTree as ET  # every report is imported with it, few are written

    top = ET.Element("testsuites", name=name)
    for title, cases in suites:
        suite = ET.SubElement(top, "testsuite", name=printable(title))
        for case in (cases := tuple(cases)):
            element = ET.SubElement(
                suite, "testcase", classname=printable(case.group), name=printable(case.name)
            )
            if case.problem:
                problem = ET.SubElement(element, case.problem, message=printable(case.message))
                problem.text = printable(case.text) or None
        suite.set("tests", str(len(cases)))
        suite.set("failures", str(sum(case.problem == "failure" for case in cases)))
        suite.set("errors", str(sum(case.problem == "error" for case in cases)))
    ET.indent(top)
    return ET.tostring(top, encoding="unicode", xml_declaration=True)
