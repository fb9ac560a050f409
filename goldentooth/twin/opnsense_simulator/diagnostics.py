"""What FRR says, as os-frr's DiagnosticsController hands it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Row = dict[str, Any]


def php(value: Any) -> Any:
    """Return JSON as PHP gives it back: an empty object is an empty list."""
    if isinstance(value, dict):
        return {key: php(inner) for key, inner in value.items()} or []
    return [php(inner) for inner in value] if isinstance(value, list) else value


def routes(table: Any, describe: Callable[[str], str]) -> list[Row]:
    """Return a row for every next hop of `show ip route json`."""
    rows = []
    for found in table.values() if isinstance(table, dict) else ():
        for route in found:
            for hop in route.get("nexthops", []):
                row = {**route, **hop}
                del row["nexthops"]
                row["via"] = hop.get("ip") or "Directly Attached"
                row["interfaceDescr"] = describe(hop.get("interfaceName", ""))
                rows.append(row)
    return rows


def bgp_routes(table: Any) -> tuple[list[Row], str]:
    """Return a row for every path of `show bgp ipv4 json`, and what stands above them."""
    if not isinstance(table, dict):
        return [], ""
    base = {key: value for key, value in table.items() if not isinstance(value, dict | list)}
    rows = []
    for found in php(table.get("routes", {})).values() if table.get("routes") else ():
        for route in found:
            for hop in route.get("nexthops", []):
                row = {**route, **hop}
                del row["nexthops"]
                row["internal"] = row.get("pathFrom") == "internal"
                row["path"] = row.get("path") or "Internal"
                rows.append({**base, **row})
    return rows, f"routerId : {base.get('routerId')} , localAS : {base.get('localAS')}"


def bfd_sessions(brief: str) -> list[Row]:
    """Return the lines of `show bfd peers brief`."""
    lines = (line.split() for line in brief.splitlines())
    return [
        dict(zip(("id", "local", "peer", "status"), words, strict=True))
        for words in lines
        if len(words) == 4 and words[0].isdecimal()
    ]


def bfd_peers(peers: Any) -> dict[str, Any]:
    """Return `show bfd peers json` by the peer's address."""
    return {peer["peer"]: peer for peer in peers if isinstance(peer, dict)}


def recordset(rows: list[Row], posted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the page of ``rows`` that is asked for; 9,999 rows if nothing is said."""
    words = str(posted.get("searchPhrase", "")).lower().split()
    found = [
        row for row in rows if all(any(w in str(v).lower() for v in row.values()) for w in words)
    ]
    count = int(posted.get("rowCount", 9999))
    page = int(posted.get("current", 1))
    count = len(rows) if count == -1 else count
    shown = found[count * (page - 1) : count * page]
    return {"total": len(found), "rowCount": len(shown), "current": page, "rows": shown}
