"""Tell others of a change: a command that gets JSON on stdin, a webhook that gets it by POST.

``user_defined: notify:`` of config.yaml says whom. Every wait is bounded, and a hook that fails
is a line for the operator: how the network stands is another matter.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from goldentooth.errors import GoldentoothError, UsageError
from goldentooth.secrets import Secrets
from goldentooth.text import short_line, to_json
from goldentooth.validation import did_you_mean, shown_value
from goldentooth.values import SECRET_REFERENCE

FORMAT = "goldentooth-net/drift-change/1"

_KEYS = ("command", "webhook", "seconds")

_PASSED = {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"}
"""Variables that a command gets; with those of the locale, LC_…. Secrets are in others."""


@dataclass(frozen=True)
class Hooks:
    """Whom to tell: ``command`` a list of words, ``webhook`` a URL or a reference to one."""

    command: tuple[str, ...] = ()
    webhook: str = ""
    seconds: float = 10.0
    """How long each may take."""

    @classmethod
    def of(cls, user_defined: Mapping[str, Any], where: str = "config.yaml") -> Hooks:
        """Return the hooks of Nornir's ``user_defined``, none if it names none.

        Raises:
            UsageError: if they are written wrongly; it begins with ``where``.
        """
        place, settings = f"{where}: user_defined: notify", user_defined.get("notify") or {}
        if not isinstance(settings, Mapping):
            raise UsageError(
                f"{place} {shown_value(settings)} is not a mapping\n"
                "    write `command: [program, argument]` or `webhook: URL` below it"
            )
        for key in settings:
            if key not in _KEYS:
                raise UsageError(f"{place}: unknown key {key!r}: {did_you_mean(str(key), _KEYS)}")
        return cls(
            _command(settings.get("command", ()), place),
            _webhook(settings.get("webhook", ""), place),
            _seconds(settings.get("seconds", cls.seconds), place),
        )

    def tell(self, document: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
        """Give ``document`` to every hook; return a line for each that failed.

        ``folder`` is where the command runs and relative references begin.
        """
        content = to_json(document, indent=None).encode()
        return tuple(self._tell(content, folder))

    def _tell(self, content: bytes, folder: Path) -> Iterator[str]:
        if self.command and (failure := _run(self.command, content, self.seconds, folder)):
            yield f"notify: command {self.command[0]}: {failure}"
        if self.webhook:
            try:
                url = _resolved(self.webhook, folder)
            except GoldentoothError as error:
                yield f"notify: webhook: {error}"
                return
            # the path of a webhook is often its password: only the host is ever named
            host = urlsplit(url).hostname
            if failure := _post(url, content, self.seconds):
                yield f"notify: webhook at {host}: {failure}"


def _command(value: object, place: str) -> tuple[str, ...]:
    words = value if isinstance(value, list | tuple) else [None]
    if not all(isinstance(word, str) and word and "\0" not in word for word in words):
        raise UsageError(
            f"{place}: command {shown_value(value)} is not a list of words\n"
            "    write [program, argument, …]; no shell reads it"
        )
    return tuple(words)


def _webhook(value: object, place: str) -> str:
    if isinstance(value, str) and (
        not value or SECRET_REFERENCE.fullmatch(value) or _is_url(value)
    ):
        return value
    raise UsageError(
        f"{place}: webhook (not shown) is neither a URL nor a reference to one\n"
        "    write https://… or ${env:NAME} or ${file:path}"
    )


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _seconds(value: object, place: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < float(str(value)) <= 300:
        raise UsageError(
            f"{place}: seconds {shown_value(value)} is not a number of seconds\n"
            "    write one over 0, up to 300"
        )
    return float(str(value))


def _resolved(webhook: str, folder: Path) -> str:
    if not SECRET_REFERENCE.fullmatch(webhook):
        return webhook
    url = str(Secrets(folder).resolve(webhook))
    if not _is_url(url):
        raise UsageError(f"{webhook} is not a URL (not shown)")
    return url


def _run(command: tuple[str, ...], content: bytes, seconds: float, folder: Path) -> str:
    """Run ``command`` and return why it failed; all that it has started ends with it."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=_environment(os.environ),
            start_new_session=True,
        )
    except OSError as error:
        return (error.strerror or str(error)).lower()
    try:
        _, said = process.communicate(content, timeout=seconds)
    except subprocess.TimeoutExpired:
        return f"not done within {seconds:g} s; ended"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.returncode == 0:
        return ""
    lines = said.decode(errors="backslashreplace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "no word why")
    return f"exit status {process.returncode}: {short_line(last[:200])}"


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a command gets of ``environ``: no variable that a secret could be in."""
    return {
        name: value for name, value in environ.items() if name in _PASSED or name.startswith("LC_")
    }


def _post(url: str, content: bytes, seconds: float) -> str:
    """Send ``content`` and return why it failed, within ``seconds`` in all."""
    outcome: list[str] = []
    # urllib bounds each wait, not their sum: a server that drips would hold the run for ever
    thread = Thread(target=lambda: outcome.append(_answer(url, content, seconds)), daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else f"no answer within {seconds:g} s"


def _answer(url: str, content: bytes, seconds: float) -> str:
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPRedirectHandler, Request, build_opener

    class Refused(HTTPRedirectHandler):
        """What is redirected would be sent on as an empty GET."""

        def redirect_request(self, *_arguments: object) -> None:
            """Follow none."""

    headers = {"Content-Type": "application/json", "User-Agent": "goldentooth-net"}
    request = Request(url, content, headers, method="POST")  # noqa: S310  # http(s): see _is_url
    try:
        with build_opener(Refused).open(request, timeout=seconds):
            return ""
    except HTTPError as error:
        return f"it answers {error.code}"
    except URLError as error:
        return short_line(str(getattr(error.reason, "strerror", None) or error.reason).lower())
    except (OSError, HTTPException, ValueError) as error:
        return type(error).__name__
