"""Reports of drift for tests: every kind of thing that one can hold, with what is hostile in it."""

from __future__ import annotations

from datetime import UTC, datetime

from goldentooth.drift import DriftState, HostDrift, Item
from goldentooth.report.drift import DriftReport

STARTED = datetime(2026, 3, 4, 3, 0, 5, tzinfo=UTC)

HOSTILE = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
"""What must stay text on a page."""

DIFF = f"""--- a/etc/haproxy/haproxy.cfg
+++ b/etc/haproxy/haproxy.cfg
@@ -12,3 +12,3 @@
     balance roundrobin
-    server bettley 10.4.0.11:6443 check
+    server bettley 10.4.0.99:6443 check # {HOSTILE} & "quoted" \x1b[31mred\x00
\\ No newline at end of file
"""

IN_SYNC = DriftState.IN_SYNC


def in_sync(host: str, *services: str) -> HostDrift:
    items = tuple(Item(service, f"/etc/{service}.conf", IN_SYNC) for service in services)
    return HostDrift(host, items, baseline="twin of 2026-03-01T00:00:00+00:00")


def drifted(host: str) -> HostDrift:
    items = (
        Item("haproxy", "/etc/haproxy/haproxy.cfg", DriftState.DRIFT, "1 line changed", DIFF),
        Item("haproxy", "HAProxy's servers", IN_SYNC),
        Item("routes", "the kernel's routes", DriftState.NOT_LOADED, "older <b>than</b> its file"),
        Item("routes", "/etc/sysctl.d/60-goldentooth.conf", IN_SYNC),
    )
    notes = (f"1 of 12 BGP sessions not Established: fenn Active {HOSTILE} \x1b[31m",)
    return HostDrift(host, items, baseline="twin of 2026-03-01T00:00:00+00:00", notes=notes)


def unreachable(host: str) -> HostDrift:
    return HostDrift(host, (), DriftState.UNREACHABLE, "no answer within 10 s; is it on?")


def report(*hosts: HostDrift, started: datetime = STARTED) -> DriftReport:
    return DriftReport(hosts, started, 1.25)


def mixed() -> DriftReport:
    """Return a report with a host in sync, one that has drifted and one that is gone."""
    return report(in_sync("fenn", "frr", "routes"), drifted("allyrion"), unreachable("jast"))


def one_of_each() -> DriftReport:
    """Return a report with an item, or a host, in every state."""
    whole = {
        DriftState.BAD_BASELINE,
        DriftState.ROLLED_BACK,
        DriftState.ARMED,
        DriftState.UNREACHABLE,
        DriftState.WRONG_KEY,
        DriftState.REFUSED,
        DriftState.NOT_PERMITTED,
        DriftState.TOO_SLOW,
    }
    items = tuple(
        Item("routes", f"/etc/{state.name.lower()}", state, "why", "-a\n+b\n")
        for state in DriftState
        if state not in whole
    )
    hosts = (HostDrift(f"host{n}", (), state, "why") for n, state in enumerate(whole))
    return report(HostDrift("fenn", items), *hosts)
