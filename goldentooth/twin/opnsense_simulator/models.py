"""What OPNsense's models refuse, and what they show of a value."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Field = Mapping[str, Any]
Item = dict[str, str]


class Models:
    """The table of all models."""

    def __init__(self, path: Path) -> None:
        self.table: dict[str, Any] = json.loads(path.read_text())

    def fields(self, model: str, path: str | None = None) -> dict[str, Field]:
        """Return the fields of a model, or of one of its lists."""
        found: dict[str, Field] = (
            self.table[model]["fields"] if path is None else self.table[model]["lists"][path]
        )
        return found

    def new_item(self, model: str, path: str | None = None) -> Item:
        """Return a value for each field: its default."""
        return {name: field.get("default", "") for name, field in self.fields(model, path).items()}


def stored(field: Field, value: Any) -> str:
    """Return ``value``, as JSON has it, the way OPNsense keeps it: text, as PHP makes it."""
    if isinstance(value, bool):
        value = "1" if value else ""
    text = str(value)
    return text.strip().lower() if field["kind"] in {"network", "hostname"} else text


def refusals(field: Field, item: Mapping[str, str], value: str) -> Iterator[str]:
    """Yield why ``value`` is refused; ``item`` holds the other fields beside it."""
    yield from _conditions(field, item, value)
    if value == "":
        if field.get("required"):
            yield "A value is required."
        return
    if value == "0" and field["kind"] not in {"boolean", "integer"}:
        return  # PHP takes "0" for nothing to check
    check = _CHECKS.get(field["kind"])
    if check and (reason := check(field, value)):
        yield reason
    mask = field.get("mask")
    if mask and not re.search(mask[1 : mask.rindex("/")], value, re.IGNORECASE):
        yield "The text does not have the right form."


def _conditions(field: Field, item: Mapping[str, str], value: str) -> Iterator[str]:
    if value in {"", "0"} and any(
        item.get(name, "") not in {"", "0"} for name in field.get("needed_by", ())
    ):
        yield f"Needed with {', '.join(field['needed_by'])}."
    if value == "" and item.get("rr") in field.get("needed_by_records", ()):
        yield f"Needed for a record of type {item['rr']}."


def _boolean(_: Field, value: str) -> str | None:
    return None if value in {"0", "1"} else "Must be 0 or 1."


def _integer(field: Field, value: str) -> str | None:
    least, most = field.get("minimum"), field.get("maximum")
    if not re.fullmatch(r"[+-]?[0-9]+", value):
        return "Must be a whole number."
    if (least is not None and int(value) < least) or (most is not None and int(value) > most):
        return f"Must be from {least} to {most}."
    return None


def _option(field: Field, value: str) -> str | None:
    chosen = value.split(",") if field.get("multiple") else [value]
    wrong = [each for each in chosen if each not in field["options"]]
    return f"No such option: {', '.join(wrong)}." if wrong else None


def _network(field: Field, value: str) -> str | None:
    message = "Must be an address or a network."
    if value == "any":
        return None
    for each in value.split(",") if field.get("as_list") else [value]:
        address, slash, length = each.partition("/")
        if (slash and field.get("mask_refused")) or (not slash and field.get("mask_required")):
            return message
        try:
            if slash:
                if not length.isdecimal():
                    return message
                ipaddress.ip_network(each, strict=bool(field.get("strict")))
            else:
                ipaddress.ip_address(address)
        except ValueError:
            return message
    return None


def _hostname(_: Field, value: str) -> str | None:
    if value.endswith(".") or not re.fullmatch(r"\*|[a-zA-Z0-9_]([a-zA-Z0-9_.-]*)", value):
        return "Must be a host name."
    return None


def _description(_: Field, value: str) -> str | None:
    return None if re.fullmatch(r"[^\n\r\0\v\f]{1,255}", value) else "Must be one line of text."


_CHECKS = {
    "boolean": _boolean,
    "integer": _integer,
    "option": _option,
    "network": _network,
    "hostname": _hostname,
    "description": _description,
}
