"""The API: from a request to its answer, as OPNsense's controllers give it.

``set`` of an unknown uuid makes the item (an upsert); ``del`` of one that is referred to is
refused with status 500; what is saved is live only after a reconfigure.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from . import diagnostics
from .box import VERSION, Box
from .models import Field, Item, refusals, stored
from .store import Config, Store, new_uuid

Answer = tuple[int, Any]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

SECTIONS = {
    ("Quagga", "General"): ("general", "general"),
    ("Quagga", "Bgp"): ("bgp", "bgp"),
    ("Quagga", "Bfd"): ("bfd", "bfd"),
    ("Quagga", "Static"): ("static", "staticd"),
    ("Unbound", "Settings"): ("unbound", "unbound"),
}
"""Module and controller: the model, and the key that it has in ``get`` and ``set``."""

LISTS = {
    ("bgp", "Neighbor"): "neighbors.neighbor",
    ("bgp", "Aspath"): "aspaths.aspath",
    ("bgp", "Prefixlist"): "prefixlists.prefixlist",
    ("bgp", "Communitylist"): "communitylists.communitylist",
    ("bgp", "Routemap"): "routemaps.routemap",
    ("bgp", "Peergroup"): "peergroups.peergroup",
    ("bgp", "Redistribution"): "redistributions.redistribution",
    ("bfd", "Neighbor"): "neighbors.neighbor",
    ("static", "Route"): "routes.route",
    ("unbound", "HostOverride"): "hosts.host",
    ("unbound", "HostAlias"): "aliases.alias",
}
SAFE_DELETE = {"bgp"}

DAEMON_MODELS = ("bgp", "bfd", "static")
"""What general's ``daemons`` mirrors and sets."""


class Routing(Protocol):
    """What runs the saved configuration."""

    def apply(self, config: Config) -> None:
        """Make it live."""

    def status(self) -> str:
        """Return running or stopped."""

    def control(self, verb: str) -> None:
        """Start, stop or restart."""

    def show(self, command: str) -> str:
        """Return what vtysh answers."""

    def show_json(self, command: str) -> Any:
        """Return what vtysh answers, as JSON."""


@dataclass(frozen=True)
class Request:
    """One request: ``path`` without its leading ``/api/``, the body's or query's values."""

    method: str
    path: str
    values: Mapping[str, Any]
    user: str = "root"

    @property
    def is_post(self) -> bool:
        """Whether it may change anything."""
        return self.method == "POST"


class NotFoundError(Exception):
    """There is no such endpoint."""


class UserError(Exception):
    """What OPNsense tells a user; with status 500."""

    def __init__(self, title: str, message: str) -> None:
        super().__init__(message)
        self.title, self.message = title, message


class Api:
    """The controllers."""

    def __init__(
        self, store: Store, routing: Routing, host_name: str, box: Box | None = None
    ) -> None:
        self.store = store
        self.routing = routing
        self.box = box or Box()
        self.host_name = host_name
        self.plugin_version = "1.54"
        self.served: list[tuple[str, str, str]] = []
        self._serve_names()

    def answer(self, request: Request) -> Answer:
        """Return status and JSON."""
        try:
            return 200, self._dispatch(request)
        except NotFoundError:
            return 404, {"errorMessage": "Endpoint not found"}
        except UserError as error:
            message = html.escape(error.message, quote=False)
            return 500, {
                "errorMessage": message,
                "errorTitle": error.title,
                "errorLevel": "error",
            }
        except (TypeError, KeyError, RuntimeError, OSError):
            return 500, {"errorMessage": "Unexpected error, check log for details"}

    def _dispatch(self, request: Request) -> Any:
        parts = [part for part in request.path.split("/") if part]
        if len(parts) < 3:
            raise NotFoundError
        module, controller, action = (_camel(part) for part in parts[:3])
        arguments = parts[3:]
        if (module, controller) in SECTIONS:
            model, key = SECTIONS[module, controller]
            if action == "Get":
                return {key: self._tree(model)} if not request.is_post else {}
            if action == "Set":
                return self._set_section(model, key, request)
            return self._list(model, action, arguments, request)
        handlers: dict[str, Callable[..., Any]] = {
            "Quagga/Service": self._service,
            "Quagga/Diagnostics": self._diagnostics,
            "Unbound/Service": self._unbound_service,
            "Unbound/Diagnostics": self._unbound_diagnostics,
            "Core/Firmware": self._firmware,
            "Core/Backup": self._backup,
            "Diagnostics/System": self._system,
            "Diagnostics/Ping": self._ping,
            "Interfaces/Overview": self._interfaces,
        }
        handler = handlers.get(f"{module}/{controller}")
        if handler is None:
            raise NotFoundError
        return handler(action, arguments, request)

    # -- what is shown -----------------------------------------------------------------

    def _tree(self, model: str) -> dict[str, Any]:
        tree = self._shown_item(model, None, self._own(model))
        for path in self.store.models.table[model]["lists"]:
            group, _, name = path.partition(".")
            items = {
                uuid: self._shown_item(model, path, item)
                for uuid, item in self.store.items(model, path).items()
            }
            tree.setdefault(group, {})[name] = items or []  # PHP writes an empty map as a list
        return tree

    def _own(self, model: str) -> Item:
        item = self.store.fields(model)
        if model != "general":
            return item
        enabled = [m for m in DAEMON_MODELS if self.store.fields(m)["enabled"] == "1"]
        return item | {"daemons": ",".join(enabled)}

    def _shown_item(self, model: str, path: str | None, item: Item) -> dict[str, Any]:
        fields = self.store.models.fields(model, path)
        return {name: self._shown(model, field, item[name]) for name, field in fields.items()}

    def _shown(self, model: str, field: Field, value: str) -> Any:
        if field["kind"] == "list" or field.get("as_list"):
            return {each: {"value": each, "selected": 1} for each in value.split(",")}
        options = self._options(model, field)
        if options is None:
            return value
        chosen = value.split(",")
        shown: dict[str, Any] = {}
        if not field.get("required") and not field.get("multiple"):
            shown[""] = {"value": "None", "selected": int(value == "")}
        for key, title in options.items():
            shown[key] = {"value": title, "selected": int(key in chosen)}
        return shown or []

    def _options(self, model: str, field: Field) -> dict[str, str] | None:
        if field["kind"] == "option":
            return {key: key for key in field["options"]}
        if field["kind"] == "interface":
            return {"lan": "LAN"}
        if field["kind"] == "relation":
            items = self.store.items(model, field["to"])
            titles = {
                uuid: ":".join(item.get(name, "") for name in field["shows"])
                for uuid, item in items.items()
            }
            return dict(sorted(titles.items(), key=lambda pair: pair[1].lower()))
        return None

    def _row(self, model: str, path: str, uuid: str, item: Item) -> dict[str, str]:
        row = {"uuid": uuid}
        for name, field in self.store.models.fields(model, path).items():
            row[name] = item[name]
            options = self._options(model, field) or {}
            title = ", ".join(options.get(each, each) for each in item[name].split(","))
            if title != item[name]:
                row[f"%{name}"] = title
        return row

    # -- what is changed ---------------------------------------------------------------

    def _set_section(self, model: str, key: str, request: Request) -> Any:
        if not request.is_post:
            return {"result": "failed"}
        given = request.values.get(key) or {}
        new = self._own(model).copy()
        changed = _assign(self.store.models.fields(model), new, given)
        wrong = self._refusals(model, None, new, changed)
        if wrong:
            return {
                "result": "failed",
                "validations": {f"{key}.{name}": text for name, text in wrong.items()},
            }
        if model == "general" and "daemons" in changed:
            chosen = new.pop("daemons").split(",")
            for name in DAEMON_MODELS:
                self.store.fields(name)["enabled"] = "1" if name in chosen else "0"
        new.pop("daemons", None)
        self.store.fields(model).update(new)
        self._save(request)
        return {"result": "saved"}

    def _list(self, model: str, action: str, arguments: list[str], request: Request) -> Any:
        found = re.fullmatch(r"(Search|Get|Add|Set|Del|Toggle)(.+)", action)
        path = LISTS.get((model, found[2])) if found else None
        if (
            found is None
            or path is None
            or (found[1] in {"Set", "Del", "Toggle"} and not arguments)
        ):
            raise NotFoundError
        verb = {
            "Search": self._search,
            "Get": self._get,
            "Add": self._add,
            "Set": self._set,
            "Del": self._delete,
            "Toggle": self._toggle,
        }[found[1]]
        return verb(model, path, arguments, request)

    def _search(self, model: str, path: str, arguments: list[str], request: Request) -> Any:
        del arguments
        words = str(request.values.get("searchPhrase", "")).lower().split()
        rows = [self._row(model, path, *pair) for pair in self.store.items(model, path).items()]
        rows = [
            row
            for row in rows
            if all(any(w in str(v).lower() for k, v in row.items() if k != "uuid") for w in words)
        ]
        count = int(request.values.get("rowCount", -1))
        page = int(request.values.get("current", 1))
        shown = rows if count == -1 else rows[count * (page - 1) : count * page]
        return {"rows": shown, "rowCount": len(shown), "total": len(rows), "current": page}

    def _get(self, model: str, path: str, arguments: list[str], request: Request) -> Any:
        del request
        body = path.partition(".")[2]
        items = self.store.items(model, path)
        if not arguments:
            return {body: self._shown_item(model, path, self.store.models.new_item(model, path))}
        if arguments[0] not in items:
            return []
        return {body: self._shown_item(model, path, items[arguments[0]])}

    def _add(self, model: str, path: str, arguments: list[str], request: Request) -> Any:
        del arguments
        return self._write(model, path, new_uuid(), request, says_uuid=True)

    def _set(self, model: str, path: str, arguments: list[str], request: Request) -> Any:
        uuid = arguments[0]
        if uuid not in self.store.items(model, path) and not _UUID.fullmatch(uuid):
            return {"result": "failed"}
        return self._write(model, path, uuid, request)

    def _write(
        self, model: str, path: str, uuid: str, request: Request, *, says_uuid: bool = False
    ) -> Any:
        body = path.partition(".")[2]
        if not request.is_post or body not in request.values:
            return {"result": "failed"}
        fields = self.store.models.fields(model, path)
        items = self.store.items(model, path)
        new = dict(items.get(uuid) or self.store.models.new_item(model, path))
        _assign(fields, new, request.values[body])
        wrong = self._refusals(model, path, new, list(fields))
        if wrong:
            return {
                "result": "failed",
                "validations": {f"{body}.{name}": text for name, text in wrong.items()},
            }
        items[uuid] = new
        self._save(request)
        return {"result": "saved", "uuid": uuid} if says_uuid else {"result": "saved"}

    def _delete(self, model: str, path: str, arguments: list[str], request: Request) -> Any:
        if not request.is_post:
            return {"result": "failed"}
        result = {"result": "failed"}
        items = self.store.items(model, path)
        for uuid in arguments[0].split(","):
            self._check_unused(model, path, uuid)
            if path == "hosts.host":
                self._delete_aliases(uuid)
            result["result"] = "deleted" if items.pop(uuid, None) else "not found"
        self._save(request)
        return result

    def _delete_aliases(self, host: str) -> None:
        """Delete the aliases of a host override, as OPNsense does before it deletes that."""
        aliases = self.store.items("unbound", "aliases.alias")
        for uuid in [each for each, alias in aliases.items() if alias["host"] == host]:
            del aliases[uuid]

    def _check_unused(self, model: str, path: str, uuid: str) -> None:
        if model not in SAFE_DELETE:
            return
        uses = list(self.store.users_of(uuid))
        if uses:
            item = self.store.items(model, path).get(uuid, {})
            name = item.get("description") or item.get("name") or uuid
            lines = [
                f"{mount.partition('/')[0]} - {user} {{{mount.replace('/', '.')}.{where}.{own}}}\n"
                for mount, where, own, user in uses
            ]
            raise UserError(f"Item {path} {{{name}}} in use by:", "".join(lines))

    def _toggle(self, model: str, path: str, arguments: list[str], request: Request) -> Any:
        uuid, *wanted = arguments
        items = self.store.items(model, path)
        if not request.is_post or uuid not in items:
            return {"result": "failed"}
        before = items[uuid]["enabled"]
        after = wanted[0] if wanted else ("0" if before == "1" else "1")
        items[uuid]["enabled"] = after
        self._save(request)
        return {
            "result": "Enabled" if after == "1" else "Disabled",
            "changed": before != after,
        }

    def _refusals(
        self, model: str, path: str | None, item: Item, names: list[str]
    ) -> dict[str, Any]:
        fields = self.store.models.fields(model, path)
        wrong: dict[str, list[str]] = {}
        for name in names:
            field = fields[name]
            reasons = list(refusals(field, item, item[name]))
            if field["kind"] in {"relation", "interface"} and item[name]:
                options = self._options(model, field) or {}
                chosen = item[name].split(",") if field.get("multiple") else [item[name]]
                if not set(chosen) <= options.keys():
                    reasons.append("There is no such item.")
            if reasons:
                wrong[name] = reasons
        for name, reason in _rules_between(model, path, item):
            wrong.setdefault(name, []).append(reason)
        return {name: texts[0] if len(texts) == 1 else texts for name, texts in wrong.items()}

    def _save(self, request: Request) -> None:
        self.store.save(request.user, f"/api/{request.path} made changes")

    # -- what is not the models' -------------------------------------------------------

    def _service(self, action: str, arguments: list[str], request: Request) -> Any:
        del arguments
        enabled = self.store.fields("general")["enabled"] == "1"
        if action == "Status":
            status = self.routing.status()
            shown = status if status == "running" or enabled else "disabled"
            widget = {f"caption_{verb}": verb.title() for verb in ("restart", "start", "stop")}
            return {"status": shown, "widget": widget}
        if action == "Reconfigure":
            if not request.is_post:
                return {"status": "failed"}
            try:
                self.routing.apply(self.store.config)
            except RuntimeError as error:  # configd's failures are logged, and not told
                print(error, file=sys.stderr, flush=True)  # noqa: T201  # the unit's journal
            return {"status": "ok"}
        if action in {"Start", "Stop", "Restart"}:
            if request.is_post:
                self.routing.control(action.lower())
            return {"response": "OK" if request.is_post else []}
        raise NotFoundError

    def _diagnostics(self, action: str, arguments: list[str], request: Request) -> Any:
        del arguments
        posted = request.values if request.is_post else {}
        show, describe = self.routing.show_json, self.box.description
        if action == "Generalrunningconfig":
            return {"response": self.routing.show("running-config")}
        if action in {"Bgpsummary", "Bgpneighbors"}:
            return {"response": diagnostics.php(show(f"bgp {action.removeprefix('Bgp')}"))}
        if action == "Bfdsummary":
            brief = self.routing.show("bfd peers brief")
            return diagnostics.recordset(diagnostics.bfd_sessions(brief), posted)
        if action in {"Bfdneighbors", "Bfdcounters"}:
            about = {"Bfdneighbors": "bfd peers", "Bfdcounters": "bfd peers counters"}[action]
            return {"response": diagnostics.php(diagnostics.bfd_peers(show(about)))}
        if action in {"SearchGeneralroute4", "SearchGeneralroute6"}:
            table = show("ip route" if action[-1] == "4" else "ipv6 route")
            return diagnostics.recordset(diagnostics.routes(table, describe), posted)
        if action in {"SearchBgproute4", "SearchBgproute6"}:
            rows, above = diagnostics.bgp_routes(show(f"bgp ipv{action[-1]}"))
            return diagnostics.recordset(rows, posted) | ({"subtitle": above} if above else {})
        raise NotFoundError

    def _ping(self, action: str, arguments: list[str], request: Request) -> Any:
        if action == "SearchJobs":
            posted = request.values if request.is_post else {}
            return diagnostics.recordset(self.box.jobs(), posted)
        if action == "Set":
            return self._new_ping(request)
        act = {
            "Start": self.box.start_job,
            "Stop": self.box.stop_job,
            "Remove": self.box.remove_job,
        }.get(action)
        if act is None or not arguments:
            raise NotFoundError
        return (act(arguments[0]) if request.is_post else {}) or {"status": "failed"}

    def _new_ping(self, request: Request) -> Any:
        if not request.is_post:
            return {"result": "failed"}
        given = (request.values.get("ping") or {}).get("settings") or {}
        settings = {name: str(given.get(name, "")) for name in _PING_SETTINGS}
        settings["fam"] = settings["fam"] or "ip"
        if not re.fullmatch(r"[A-Za-z0-9_:][A-Za-z0-9_.:-]*", settings["hostname"]):
            reason = "Provide a valid hostname or address to ping."
            return {"result": "failed", "validations": {"ping.settings.hostname": reason}}
        job = new_uuid()
        self.box.add_job(job, settings)
        return {"result": "ok", "uuid": job}

    def _interfaces(self, action: str, arguments: list[str], request: Request) -> Any:
        del arguments
        if action != "InterfacesInfo":
            raise NotFoundError
        posted = request.values if request.is_post else {}
        return diagnostics.recordset(self.box.interfaces(), posted)

    def _unbound_service(self, action: str, arguments: list[str], request: Request) -> Any:
        del arguments
        if action != "Reconfigure":
            raise NotFoundError
        if not request.is_post:
            return {"status": "failed"}
        self._serve_names()
        return {"status": "ok"}

    def _serve_names(self) -> None:
        """Take over what Unbound would answer with from now on."""
        hosts = self.store.items("unbound", "hosts.host")
        self.served = []
        for uuid, host in hosts.items():
            if host["enabled"] == "1" and host["rr"] in {"A", "AAAA"}:
                for own in (host, *self._aliases_of(uuid)):
                    said = {key: own[key] or host[key] for key in ("hostname", "domain")}
                    name = f"{said['hostname']}.{said['domain']}"
                    self.served.append((name, host["rr"], host["server"]))

    def _aliases_of(self, host: str) -> Iterator[Item]:
        for alias in self.store.items("unbound", "aliases.alias").values():
            if alias["host"] == host and alias["enabled"] == "1":
                yield alias

    def _unbound_diagnostics(self, action: str, arguments: list[str], request: Request) -> Any:
        del arguments, request
        if action != "Listlocaldata":
            raise NotFoundError
        data = [
            {"name": f"{name}.", "ttl": "3600", "type": "IN", "rrtype": kind, "value": value}
            for name, kind, value in self.served
        ]
        return {"status": "ok", "data": data}

    def _firmware(self, action: str, arguments: list[str], request: Request) -> Any:
        del arguments, request
        if action != "Info":
            raise NotFoundError
        plugins = [
            _package("os-ddclient", "1.28", installed=False),
            _package("os-frr", self.plugin_version, installed=True),
        ]
        return {
            "product_id": "opnsense-simulator",
            "product_version": VERSION,
            "package": [_package("frr10", "10.4.1", installed=True), *plugins],
            "plugin": [{**plugin, "tier": "2"} for plugin in plugins],
            "changelog": [],
            "product": {"product_id": "opnsense-simulator", "product_version": VERSION},
        }

    def _backup(self, action: str, arguments: list[str], request: Request) -> Any:
        if action == "Backups" and arguments:
            return {"items": self.store.revisions if arguments[0] == "this" else []}
        if action == "RevertBackup" and arguments:
            if not request.is_post:
                return {"status": "failed"}
            done = self.store.revert(arguments[0], request.user)
            return {"status": "reverted" if done else "not_found"}
        raise NotFoundError

    def _system(self, action: str, arguments: list[str], request: Request) -> Any:
        del arguments, request
        if action != "SystemInformation":
            raise NotFoundError
        versions, updates = self.box.versions, "Click to check for updates."
        return {"name": self.host_name, "versions": versions, "updates": updates}


def _assign(fields: Mapping[str, Field], item: Item, given: Mapping[str, Any]) -> list[str]:
    """Put what is given into ``item`` and return the fields that have changed by it."""
    changed = []
    for name, field in fields.items():
        if given.get(name) is None:
            continue
        if isinstance(given[name], (dict, list)):
            raise TypeError(name)  # OPNsense expects a single value
        value = stored(field, given[name])
        if value != item[name]:
            item[name] = value
            changed.append(name)
    return changed


def _rules_between(model: str, path: str | None, item: Item) -> Iterator[tuple[str, str]]:
    """Yield what the models' own code checks beyond single fields."""
    if (model, path) == ("static", "routes.route"):
        network, gateway = item["network"], item["gateway"]
        if not gateway and not item["interfacename"]:
            yield "gateway", "Needs a gateway or an interface."
        if network and gateway and (":" in network) != (":" in gateway):
            yield "gateway", "Must be of the network's IP version."
    is_bfd = (model, path) == ("bfd", "neighbors.neighbor")
    if is_bfd and item["multihop"] == "1" and ":" in item["address"]:
        yield "multihop", "Is for IPv4 only."


def _camel(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in text.split("_"))


_PING_SETTINGS = (
    *("hostname", "fam", "source_address", "packetsize", "disable_frag", "interval"),
    "description",
)


def _package(name: str, version: str, *, installed: bool) -> dict[str, str]:
    state = "1" if installed else "0"
    return {
        "name": name,
        "version": version,
        "comment": "simulated",
        "flatsize": "1.0MiB",
        "locked": "N/A",
        "automatic": "N/A",
        "license": "BSD2CLAUSE",
        "repository": "OPNsense",
        "origin": f"opnsense/{name}",
        "provided": "1",
        "installed": state,
        "path": f"OPNsense/opnsense/{name}",
        "configured": state,
    }
