"""The API of an OPNsense router over HTTPS: read its state, carry out a plan, put things back.

The certificate is always checked, against the facts' ``ca`` or what this machine trusts. Every
wait is bounded. Only reads are repeated; of a write that was cut off it is not known whether it
was made, and the next plan shows it.

There is no dead-man's switch on the router: its API can arm no timer that would put settings
back. What there is: :meth:`OpnsenseTransport.apply` gives a backup of what it touches, to be put
back by :meth:`~OpnsenseTransport.restore`, now or by a later run (:meth:`Backup.as_dict`); and the
router's own history, of which the backup names the entry before the first change.
"""

from __future__ import annotations

import json
import re
import ssl
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Self

from msgspec import to_builtins

from goldentooth.bounded import MalformedError, load_json
from goldentooth.errors import (
    AuthenticationError,
    GoldentoothError,
    HostKeyError,
    PrivilegeError,
    TooSlowError,
    TransportError,
    UnreachableError,
)
from goldentooth.https import (
    HttpsClient,
    HttpsError,
    NoAnswerError,
    NotConnectedError,
    TooLargeError,
    UntrustedError,
)
from goldentooth.model import Network
from goldentooth.opnsense import (
    Backup,
    Call,
    Change,
    Intended,
    Live,
    Plan,
    plan,
    read_live,
    restore_plan,
    with_secrets,
)
from goldentooth.opnsense.models import SECTIONS
from goldentooth.secrets import Secrets, redact
from goldentooth.text import short_line
from goldentooth.transports.api_access import access_of
from goldentooth.transports.bounds import Bounds

READ_ATTEMPTS = 3
CONFIRM_ATTEMPTS = 4
RESTORE_ATTEMPTS = 3
BACKOFF_SECONDS = 0.3
"""Before the second attempt; twice as long before each further one."""
RECONFIGURE_SECONDS = 300.0
"""A reconfigure writes templates and reloads FRR, line by line, before it answers."""
ANSWER_LIMIT = 16 * 1024 * 1024

_PLUGIN = "install the plugin os-frr on the router (System: Firmware: Plugins)"


class WrongRouterError(TransportError):
    """The box that answers is another than the facts mean; nothing was changed."""


class RefusedError(TransportError):
    """The router refuses a change; the message says which, why, and the fact behind it."""


class UncertainError(TransportError):
    """It is not known whether the router has made a change: the connection broke after it."""


class _NotSentError(UnreachableError):
    """There was no connection, so nothing was asked."""


class ChangedMeanwhileError(TransportError):
    """Somebody else has changed the router since the plan was drawn up, or while it was made."""


@dataclass(frozen=True)
class ApplyResult:
    """What became of a plan: which changes were made, which not, and of which it is not known.

    ``is_live`` tells whether the services run it, ``is_reconfigured`` whether they were told to,
    ``error`` what stopped it. What is not live is not lost: it is saved on the router, and the next
    plan makes it live. ``notes`` say what could not be made at all: secrets that a stored backup
    does not hold.
    """

    made: tuple[Change, ...]
    not_made: tuple[Change, ...]
    backup: Backup
    uncertain: Change | None = None
    is_live: bool = False
    is_reconfigured: bool = False
    error: GoldentoothError | None = None
    notes: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """Return it for a person."""
        live = "and not live: the services were not reconfigured"
        if self.is_live:
            live = "and live"
        elif self.is_reconfigured:
            live = "and reconfigured, but not run"
        return (
            *(f"done: {change.action.value} {change}" for change in self.made),
            *(
                [f"not known: {self.uncertain.action.value} {self.uncertain}"]
                if self.uncertain
                else []
            ),
            *(f"not done: {change.action.value} {change}" for change in self.not_made),
            *(
                [f"{len(self.made)} saved on the router, {live}"]
                if self.made or self.is_live
                else []
            ),
            *([f"because {self.error}"] if self.error else []),
        )


@dataclass(frozen=True)
class Answer:
    """One answer: status, and JSON."""

    status: int
    content: Any = field(repr=False)


class OpnsenseTransport:
    """The way to one router; close it, or use it as a context."""

    def __init__(
        self,
        *,
        url: str,
        key: str,
        secret: str,
        ca: Path | None,
        host_name: str,
        mac: str | None = None,
        bounds: Bounds | None = None,
    ) -> None:
        self._url = url
        self._host_name = host_name
        self._mac = mac
        self._bounds = bounds or Bounds()
        self._secrets = (key, secret)
        self._client = _client(url, key, secret, _trust(ca), self._bounds)
        self._is_snake: bool | None = None
        self._information: Any = None
        self._known_to_be_right = False
        self._end: float | None = None
        self.clock = 0.0
        """The router's time at its last answer, in seconds since 1970."""

    @classmethod
    def to_router(
        cls, network: Network, secrets: Secrets, folder: Path, bounds: Bounds | None = None
    ) -> Self:
        """Return the way to the router of ``network``, as the facts have it.

        ``folder`` is the project's, from which ``ca`` is looked for.

        Raises:
            SecretError: if key or secret cannot be had.
            TransportError: if ``ca`` cannot be read.
        """
        node = network.router
        api = to_builtins(node.facts.opnsense_api)
        access = access_of(node.name, str(node.address), api, node.facts.mac)
        return cls.of(access, secrets, folder, bounds)

    @classmethod
    def of(
        cls,
        access: Mapping[str, str | None],
        secrets: Secrets,
        folder: Path,
        bounds: Bounds | None = None,
    ) -> Self:
        """Return the way that :func:`~goldentooth.transports.api_access.access_of` describes.

        ``ca`` is looked for from ``folder`` on.

        Raises:
            SecretError: if key or secret cannot be had.
            TransportError: if ``ca`` cannot be read, or something is not said.
        """
        if missing := [name for name in _NEEDED if not access.get(name)]:
            raise TransportError(f"the way to the router's API is not known: {missing[0]}")
        return cls(
            url=str(access["url"]),
            key=secrets.resolve(str(access["key"])),
            secret=secrets.resolve(str(access["secret"])),
            ca=folder / ca if (ca := access.get("ca")) else None,
            host_name=str(access["host_name"]),
            mac=access.get("mac"),
            bounds=bounds,
        )

    def __str__(self) -> str:
        return self._url

    def __repr__(self) -> str:
        return f"OpnsenseTransport({self._url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._client.close()

    # -- reading -----------------------------------------------------------------------

    def observe(self) -> Live:
        """Return the router's state, after making sure that it is the right box.

        All of it has the time of a round trip with a host.

        Raises:
            WrongRouterError: if it calls itself otherwise than the facts do.
            TransportError: if it cannot be read; the kind and the message say why.
        """
        self._end = time.monotonic() + self._bounds.host_seconds
        try:
            return self._observe()
        finally:
            self._end = None

    def _observe(self) -> Live:
        self.make_sure()
        answers = {
            model: self._model(model, section.address, section.key)
            for model, section in SECTIONS.items()
        }
        running = self._read("quagga/diagnostics/generalrunningconfig")
        text = running.get("response") if isinstance(running, dict) else None
        return read_live(
            answers,
            running=text if isinstance(text, str) else None,
            names_served=self._names_served(),
        )

    def identity(self) -> str:
        """Return what the router calls itself: its host name and domain."""
        path = self._style(_INFORMATION)
        answer = self._information or self._read(path)
        self._information = None  # it says what it was when it was asked
        name = answer.get("name") if isinstance(answer, dict) else None
        if not isinstance(name, str) or not name:
            raise TransportError(f"{self._url}: it does not say its name: is it an OPNsense?")
        return name

    def make_sure(self) -> None:
        """Make sure, once, that it is the right box.

        Raises:
            WrongRouterError: if it calls itself otherwise than the facts do, or has no interface
                of the hardware address that they state.
            TransportError: if it cannot be asked.
        """
        if self._known_to_be_right:
            return
        name = self.identity()
        if name.partition(".")[0].lower() != self._host_name.lower():
            raise WrongRouterError(
                f"{self._url} calls itself {name}, and the facts mean {self._host_name};"
                " it is not touched\n    check the router's address in the facts, or its name"
            )
        if self._mac and self._mac.lower() not in (found := self._hardware_addresses()):
            raise WrongRouterError(
                f"{self._url} has no interface with {self._mac}, which the facts state, but"
                f" {', '.join(found) or 'none'}; it is not touched\n"
                "    check the router's address in the facts, or its mac"
            )
        self._known_to_be_right = True

    def get(self, path: str) -> Any:
        """Return the JSON of a read.

        Raises:
            TransportError: if there is none.
        """
        return self._read(self._style(path))

    def table(self, path: str) -> Any:
        """Return the JSON of a search, with all rows.

        Raises:
            TransportError: if there is none.
        """
        return self._read(self._style(path), {"current": 1, "rowCount": -1})

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of a POST that changes no configuration; it is not repeated.

        Raises:
            TransportError: if there is none.
        """
        styled = self._style("/".join(path.split("/")[:3]))
        rest = path.split("/")[3:]
        return self._content(path, self._ask("POST", "/".join([styled, *rest]), body))

    # -- changing ----------------------------------------------------------------------

    def apply(
        self, drawn: Plan, intended: Intended, progress: Callable[[Call], None] = lambda _: None
    ) -> ApplyResult:
        """Carry out a plan of :func:`goldentooth.opnsense.plan` for ``intended``.

        ``intended`` is with its secrets (:func:`~goldentooth.opnsense.with_secrets`). It never
        raises for what the router does: the result says what was made and what stopped it.

        Raises:
            ChangedMeanwhileError: if the router is not as it was when the plan was drawn up, or
                the plan has obstacles; nothing was changed.
            TransportError: if the router cannot be read before; nothing was changed.
        """
        if drawn.obstacles:
            raise ChangedMeanwhileError("the plan cannot be carried out: " + drawn.obstacles[0])
        fresh = plan(intended, self.observe())
        if fresh.calls != drawn.calls or fresh.obstacles:
            raise ChangedMeanwhileError(
                "the router has been changed since the plan was drawn up; nothing was done\n"
                "    plan again, and look at what is new"
            )
        backup = replace(fresh.backup, history=self._history())
        return self._carry_out(drawn, backup, lambda: plan(intended, self.observe()), progress)

    def restore(
        self, backup: Backup, progress: Callable[[Call], None] = lambda _: None
    ) -> ApplyResult:
        """Make what a plan has touched what it was before.

        Raises:
            TransportError: if the router cannot be read before; nothing was changed.
            ChangedMeanwhileError: if something that others use would have to be deleted.
        """
        for _ in range(RESTORE_ATTEMPTS):
            result = self._restore(backup, progress)
            # what was still under way when it was broken off may have come after it
            if result.error or not restore_plan(backup, self.observe()).changes:
                break
        return result

    def _restore(self, backup: Backup, progress: Callable[[Call], None]) -> ApplyResult:
        drawn = restore_plan(backup, self.observe())
        if drawn.obstacles:
            raise ChangedMeanwhileError("it cannot be put back: " + drawn.obstacles[0])
        drawn = _with_reconfigure(drawn, backup)
        kept = replace(drawn.backup, history=self._history())
        result = self._carry_out(
            drawn, kept, lambda: restore_plan(backup, self.observe()), progress
        )
        return replace(result, notes=drawn.notes)

    def _carry_out(
        self,
        drawn: Plan,
        backup: Backup,
        look_again: Callable[[], Plan],
        progress: Callable[[Call], None],
    ) -> ApplyResult:
        made: list[Change] = []
        waiting = [call for call in drawn.calls if not call.is_reconfigure]
        uncertain, is_reconfigured = None, False
        try:
            while waiting:
                call = waiting[0]
                progress(call)
                self._change(call)
                made += [call.change] if call.change else []
                waiting.pop(0)
            if made:
                _refuse_surprise(look_again())
            for call in drawn.calls:
                if call.is_reconfigure:
                    progress(call)
                    self._reconfigure(call)
            is_reconfigured = True
            self._confirm(look_again)
        except UncertainError as error:
            if waiting:
                uncertain = waiting.pop(0).change
            return _result(made, waiting, backup, uncertain, error)
        except GoldentoothError as error:
            result = _result(made, waiting, backup, None, error)
            return replace(result, is_reconfigured=is_reconfigured)
        return ApplyResult(tuple(made), (), backup, is_live=True, is_reconfigured=True)

    def _change(self, call: Call) -> None:
        """Make one change, and have the router's word for it."""
        answer = self._write(call)
        content = answer.content if isinstance(answer.content, dict) else {}
        wanted = {"deleted", "not found"} if call.action.startswith("del") else {"saved"}
        if answer.status == 200 and content.get("result") in wanted:
            return
        raise RefusedError(f"{call.change}: {_refusal(call, answer, self._hide)}")

    def _reconfigure(self, call: Call) -> None:
        answer = self._write(call)
        content = answer.content if isinstance(answer.content, dict) else {}
        if answer.status != 200 or content.get("status") != "ok":
            raise RefusedError(
                f"{call}: the router has not made it live: {_refusal(call, answer, self._hide)}"
            )

    def _confirm(self, look_again: Callable[[], Plan]) -> None:
        """Look whether what was saved runs: the router answers a reconfigure with ok either way.

        OPNsense waits two minutes for FRR and answers then, too: as long as there is less left
        with every look, it is waited for.
        """
        deadline = time.monotonic() + RECONFIGURE_SECONDS
        pending: tuple[str, ...] = ()
        attempt = 0
        while attempt < CONFIRM_ATTEMPTS and time.monotonic() < deadline:
            before, pending = pending, look_again().pending
            if not pending:
                return
            attempt = attempt + 1 if pending == before else 0
            time.sleep(BACKOFF_SECONDS * 2**attempt)
        raise RefusedError(
            f"{self._url} has saved it and does not run it: {', '.join(pending)}\n"
            "    look into the router's log (Routing: Log), then deploy again"
        )

    # -- what is asked -----------------------------------------------------------------

    def _hardware_addresses(self) -> list[str]:
        answer = self.table("interfaces/overview/interfacesInfo")
        rows = answer.get("rows") if isinstance(answer, dict) else None
        found = (row.get("macaddr") for row in rows or () if isinstance(row, dict))
        return [str(each).lower() for each in found if each]

    def _model(self, model: str, address: tuple[str, str], key: str) -> Any:
        answer = self._read("/".join((*address, "get")))
        found = answer.get(key) if isinstance(answer, dict) else None
        if not isinstance(found, dict):
            raise TransportError(f"{self._url}: the model {model} is not what it should be")
        return found

    def _names_served(self) -> list[tuple[str, str]] | None:
        """Return the names that Unbound answers with; None where it does not run or say."""
        try:
            answer = self._read("unbound/diagnostics/listlocaldata")
        except PrivilegeError:
            return None
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, list):
            return None
        return [
            (str(each.get("name", "")).rstrip("."), str(each.get("value", "")))
            for each in data
            if isinstance(each, dict)
        ]

    def _history(self) -> str | None:
        """Return the newest entry of the router's own history; None if it does not say."""
        with suppress(TransportError):
            items = self._read("core/backup/backups/this").get("items") or []
            return str(items[0]["id"]) if items else None
        return None

    def _style(self, path: str) -> str:
        """Return ``path`` in the style of names that this router answers: found out once."""
        if self._is_snake is None:
            asked = _snake(_INFORMATION)
            answer = self._repeated("GET", asked)
            if answer.status not in {200, 404}:
                self._content(asked, answer)  # raises: nothing is known by that
            self._is_snake = answer.status == 200
            self._information = answer.content if self._is_snake else None
        return _snake(path) if self._is_snake else path

    def _read(self, path: str, search: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of a read; a search is a POST, which changes nothing either."""
        return self._content(
            path, self._repeated("GET" if search is None else "POST", path, search)
        )

    def _repeated(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Ask, and again if the router does not answer or fails; for what changes nothing."""
        for attempt in range(READ_ATTEMPTS):
            last = attempt == READ_ATTEMPTS - 1
            try:
                answer = self._ask(method, path, body)
            except (UnreachableError, TooSlowError):
                if last:
                    raise
            else:
                if answer.status < 500 or last:
                    return answer
            time.sleep(BACKOFF_SECONDS * 2**attempt)
        raise AssertionError

    def _content(self, path: str, answer: Answer) -> Any:
        if answer.status == 404:
            module = path.partition("/")[0]
            remedy = _PLUGIN if module == "quagga" else "update OPNsense"
            what = "the plugin os-frr is not installed, or too old" if module == "quagga" else path
            raise TransportError(f"{self._url}: not found ({path}): {what}\n    {remedy}")
        if answer.status != 200:
            raise TransportError(
                f"{self._url}: {path} is answered with status {answer.status}"
                f"{_said(answer, self._hide)}\n    look into the router's log"
            )
        return answer.content

    def _write(self, call: Call) -> Answer:
        seconds = RECONFIGURE_SECONDS if call.is_reconfigure else None
        parts = [call.module, call.controller, call.action, *([call.uuid] if call.uuid else [])]
        path = self._style("/".join(parts[:3]))
        try:
            return self._ask("POST", "/".join([path, *parts[3:]]), dict(call.body), seconds)
        except _NotSentError:
            raise
        except (UnreachableError, TooSlowError) as error:
            raise UncertainError(
                f"the connection broke after {call} was sent ({error}): it is not known"
                " whether the router has made it\n    plan again: it shows what is there"
            ) from None

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """Ask once.

        Raises:
            TransportError: if there is no answer, or the key is not let in.
        """
        whole = seconds or self._bounds.host_seconds
        if self._end is not None:
            whole = min(whole, self._end - time.monotonic())
        if whole <= 0:
            raise TooSlowError(f"{self._url}: not all was answered in time")
        try:
            answer = self._client.ask(
                method,
                f"/api/{path}",
                json.dumps(body or {}).encode() if method == "POST" else None,
                silence_seconds=min(seconds or self._bounds.command_seconds, whole),
                seconds=whole,
                limit=ANSWER_LIMIT,
            )
        except HttpsError as error:
            raise self._failure(error) from None
        self.clock = _clock(answer.date)
        if answer.status == 401:
            raise AuthenticationError(
                f"{self._url} refuses the API key\n"
                "    make one (System: Access: Users) and see that key and secret are its own"
            )
        if answer.status == 403:
            raise PrivilegeError(
                f"{self._url}: the API key may not use {path}\n"
                "    give its user the privilege (System: Access: Users: Privileges)"
            )
        return Answer(answer.status, self._parsed(path, answer.status, answer.content))

    def _parsed(self, path: str, status: int, content: bytes) -> Any:
        try:
            return load_json(content)
        except MalformedError as error:
            if status == 200:
                raise TransportError(
                    f"{self._url}: {path} is not answered with JSON ({error}): is it an OPNsense?"
                ) from None
            return None

    def _failure(self, error: HttpsError) -> TransportError:
        """Return what it means for a person that there is no answer."""
        reason = self._hide(str(error))
        match error:
            case UntrustedError():
                return HostKeyError(
                    f"{self._url}: its certificate is not trusted ({reason}); it is not spoken to\n"
                    "    renew it (System: Trust), or name the CA that it is from as"
                    " opnsense_api: ca"
                )
            case NotConnectedError():
                return _NotSentError(f"{self._url}: no connection: {reason}")
            case NoAnswerError():
                return TooSlowError(f"{self._url}: {reason}")
            case TooLargeError():
                return TransportError(f"{self._url}: {reason}")
        return UnreachableError(f"{self._url}: the connection broke: {reason}")

    def _hide(self, text: str) -> str:
        return redact(text, self._secrets)


def fill_secrets(intended: Intended, secrets: Secrets) -> Intended:
    """Return ``intended`` with the values of its secrets.

    Raises:
        SecretError: if one cannot be had.
    """
    return with_secrets(intended, secrets.fill)


_NEEDED = ("url", "key", "secret", "host_name")
_INFORMATION = "diagnostics/system/systemInformation"


def _clock(date: str) -> float:
    """Return the time of an HTTP date (RFC 9110 §5.6.7) in seconds since 1970; else our own."""
    try:
        return parsedate_to_datetime(date).timestamp()
    except ValueError:
        return time.time()


def _client(url: str, key: str, secret: str, trust: ssl.SSLContext, bounds: Bounds) -> HttpsClient:
    credentials = b64encode(f"{key}:{secret}".encode()).decode()
    headers = {
        "Accept": "application/json",
        "Authorization": f"Basic {credentials}",
        "User-Agent": "goldentooth-net",
    }
    return HttpsClient(url, trust, headers, bounds.connect_seconds)


def _trust(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ca) if ca else None)
    except OSError as error:  # ssl.SSLError is one
        reason = error.strerror or error
        raise TransportError(
            f"{ca}: is no readable certificate of a CA ({reason})\n    see opnsense_api: ca"
        ) from None


def _result(
    made: list[Change],
    waiting: list[Call],
    backup: Backup,
    uncertain: Change | None,
    error: GoldentoothError,
) -> ApplyResult:
    left = tuple(call.change for call in waiting if call.change)
    return ApplyResult(tuple(made), left, backup, uncertain=uncertain, error=error)


def _refuse_surprise(left: Plan) -> None:
    """Refuse to make live what nobody has planned: somebody else writes at the same time."""
    if left.changes:
        change = left.changes[0]
        raise ChangedMeanwhileError(
            f"somebody else has changed the router at the same time ({change}"
            f"{': ' + change.fields[0].field if change.fields else ''}); what is saved was not"
            " made live\n    plan again, and look at what is new"
        )


def _with_reconfigure(drawn: Plan, backup: Backup) -> Plan:
    """Make live what is put back in any case: what was saved and not live is put back, too."""
    modules = {SECTIONS[kind.model].module for kind in backup.kinds.values()}
    modules |= {SECTIONS[model].module for model in backup.settings}
    there = {call.module for call in drawn.calls if call.is_reconfigure}
    extra = tuple(Call(each, "service", "reconfigure") for each in sorted(modules - there))
    return replace(drawn, calls=(*drawn.calls, *extra))


def _refusal(call: Call, answer: Answer, hide: Callable[[str], str]) -> str:
    """Return why a call was refused, with the facts behind the fields that are named."""
    content = answer.content if isinstance(answer.content, dict) else {}
    validations = content.get("validations")
    if isinstance(validations, dict):
        return "; ".join(_validation(call, *pair, hide) for pair in validations.items())
    return f"status {answer.status}{_said(answer, hide)}"


def _validation(call: Call, name: str, message: Any, hide: Callable[[str], str]) -> str:
    messages = message if isinstance(message, list) else [message]
    field_name = name.rpartition(".")[2]
    origin = call.origins.get(field_name)
    behind = f", which follows from {origin}" if origin else ""
    return hide(f"{field_name}: {' '.join(map(str, messages))}{behind}")


def _said(answer: Answer, hide: Callable[[str], str]) -> str:
    from html import unescape

    content = answer.content if isinstance(answer.content, dict) else {}
    told = [content.get(name) for name in ("errorTitle", "errorMessage", "message", "result")]
    text = " ".join(" ".join(unescape(str(each)).split()) for each in told if each)
    return f": {short_line(hide(text))}" if text else ""


def _snake(path: str) -> str:
    module, controller, action = path.split("/", 2)
    return f"{module}/{controller}/{re.sub(r'(?<!^)(?=[A-Z])', '_', action).lower()}"


__all__ = [
    "ApplyResult",
    "ChangedMeanwhileError",
    "OpnsenseTransport",
    "RefusedError",
    "UncertainError",
    "WrongRouterError",
    "fill_secrets",
]
