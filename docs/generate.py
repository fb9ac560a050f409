"""Write the pages that are made from the code: docs/rules.md and docs/checks.md."""

from __future__ import annotations

import inspect
from pathlib import Path

from goldentooth.check import Check
from goldentooth.rules import all_rules
from goldentooth.services import all_services

HERE = Path(__file__).parent


def rules_page() -> str:
    """Return the page of all rules, a section a topic."""
    lines = [
        "# Rules",
        "",
        "Made from `goldentooth/rules/` by `make docs`. `goldentooth-net lint --explain ID` shows",
        "one with its examples. A finding that is meant to stay is accepted in the inventory, with",
        "the reason: [facts.md](facts.md).",
    ]
    topic = ""
    for rule in all_rules():
        if rule.topic != topic:
            topic = rule.topic
            lines += ["", f"## {topic}", ""]
        lines += [
            f"### {rule.id}: {rule.title}",
            "",
            f"*{rule.severity.value}.* {_line(rule.why)}",
            "",
            f"**Do:** {_line(rule.remedy)}",
            "",
            f"<sub>{_line(rule.source)}</sub>",
            "",
        ]
    return "\n".join(lines).rstrip() + "\n"


def checks_page() -> str:
    """Return the page of all live checks, a section a service."""
    lines = [
        "# Live checks",
        "",
        "Made from `goldentooth/services/` by `make docs`. `goldentooth-net verify` makes them;",
        "`verify --list` names every one that follows from the facts.",
    ]
    for service in all_services():
        module = inspect.getmodule(service)
        kinds = [
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if issubclass(kind, Check)
            and kind.__module__ == getattr(module, "__name__", "")
            and not kind.__name__.startswith("_")
        ]
        if kinds:
            lines += ["", f"## {service.title}"]
        for kind in sorted(kinds, key=lambda kind: kind.kind):
            title, _, body = inspect.cleandoc(kind.__doc__ or "").partition("\n\n")
            body = body.replace("Passes:", "**Passes:**").replace("\nFails:", "\n\n**Fails:**")
            lines += ["", f"### `{kind.kind}`", "", title, "", body]
    return "\n".join(lines).rstrip() + "\n"


PAGES = {"rules.md": rules_page, "checks.md": checks_page}


def _line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    for name, page in PAGES.items():
        (HERE / name).write_text(page())
