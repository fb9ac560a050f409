"""A play of deployments to the OPNsense router: two intents, and what the router is."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from goldentooth.twin import Twin, remove_twin
from goldentooth.twin.opnsense import set_faults
from goldentooth.twin.stand_in_secrets import api_credentials
from tests.namespaces import eventually
from tests.sites import ROOT, Site
from tests.twin.deploy_drill import Done, Drill, Stage

HOSTS = ("bettley", "harlton", "jast", "router")
LEAVES = "jast"
"""The node that the second intent does not have."""
_STORE = "/var/lib/opnsense-simulator/config.json"
_JOURNAL = "journal/journal.jsonl"


@contextmanager
def router_drill(folder: Path) -> Iterator[RouterDrill]:
    """Give a drill with a twin of its own: three nodes and the router, as the facts have them."""
    name = f"router{os.getpid()}"
    site = Site(folder)
    write_hosts(site, HOSTS)
    project = site.project()
    assert not project.render().has_failed
    try:
        stage = Stage(Twin.up(project.network, site.build, name=name))
        yield RouterDrill(stage, site)
        stage.close()
    finally:
        remove_twin(name)


class RouterDrill(Drill):
    """One project, from which the router is changed; its intents are called A and B."""

    def __init__(self, stage: Stage, site: Site) -> None:
        self.stage, self.twin, self.site = stage, stage.twin, site
        self.hosts = ("router",)
        self._is_running = False
        text = site.config.read_text()
        bounds = "  transport: {connect_seconds: 2, command_seconds: 2, host_seconds: 20}\n"
        site.config.write_text(text + bounds + "  journal: journal\n")
        self.defaults = (site.folder / "inventory/defaults.yaml").read_text()
        self.which = "A"
        self.secrets = tuple(api_credentials(site.project().network).values())
        records = self.folder / "journal/routers"
        copy = f'mkdir -p {records} && cp "$GOLDENTOOTH_STATE"/routers/router.* {records}'
        self.twin.run(["sh", "-c", copy]).check_returncode()

    def intend(self, which: str) -> None:
        """Intend A, or B: other timers, another filter, a node less."""
        self.which = which
        is_b = which == "B"
        write_hosts(self.site, [h for h in HOSTS if not is_b or h != LEAVES])
        text = self.defaults
        if is_b:
            text = text.replace("hold: 180", "hold: 120")
            text = text.replace("\n  bgp:\n", "\n  bgp:\n    accept_prefixes: [10.4.11.0/24]\n")
            assert text.count("\n") == self.defaults.count("\n") + 1
        (self.folder / "inventory/defaults.yaml").write_text(text)

    def turn(self) -> None:
        """Intend the other of the two."""
        self.intend("B" if self.which == "A" else "A")

    def break_(self, **faults: Any) -> None:
        set_faults(self.twin.machine("router"), faults or None)

    def router(self) -> tuple[Any, str]:
        """Return what the router has saved, and what it runs."""
        saved = json.loads(self.twin.exec("router", ["cat", _STORE]).stdout)["config"]
        runs = self.twin.exec("router", ["vtysh", "-c", "show running-config"]).stdout.decode()
        return saved, runs

    def end(self) -> Done:
        """Wait for the end; the API's key and secret are in nothing that was said or kept."""
        eventually((self.folder / "answer").exists, 900)
        done = super().end()
        kept = [file.read_text() for file in (self.folder / "journal").rglob("*") if file.is_file()]
        for text in (done.stdout, done.stderr, *kept):
            assert not any(secret in text for secret in self.secrets)
        return done

    def events(self) -> list[str]:
        """Return the journal's events of the last deployment about the router."""
        lines = (self.folder / _JOURNAL).read_text().splitlines()
        events = [json.loads(line) for line in lines]
        last = events[-1]["deployment"]
        return [each["event"] for each in events if each["deployment"] == last and "host" in each]

    def settle(self) -> Done:
        """Deploy without a fault; the router is then as intended, and nothing is open."""
        done = self.commit()
        assert done.status == 0, done
        return done

    def is_in_sync(self) -> bool:
        """Tell whether `drift` finds nothing on the router."""
        return self.run("drift", "--host", "router").status == 0


def write_hosts(site: Site, names: Collection[str], **data: Any) -> None:
    """Leave only these hosts in a project; ``data`` are more facts, by host."""
    shipped = yaml.safe_load((ROOT / "inventory/hosts.yaml").read_text())
    kept = {name: entry for name, entry in shipped.items() if name in names}
    for name, facts in data.items():
        kept[name]["data"] = {**kept[name].get("data", {}), **facts}
    (site.folder / "inventory/hosts.yaml").write_text(yaml.safe_dump(kept, sort_keys=False))
