"""Questions to one HTTPS server, over a connection that is kept, with every wait bounded.

The standard library's client, because the usual ones take as long to import as to ask: the router
is asked by every drift check. No proxy is used and no redirect followed: neither an API key nor a
token goes anywhere but to the host that was named.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from select import POLLIN, poll
from socket import SHUT_RDWR, socket
from ssl import SSLCertVerificationError, SSLContext
from threading import Timer
from typing import Self
from urllib.parse import urlsplit

_CHUNK = 65536


class HttpsError(Exception):
    """The server was not asked, or has not answered; the message says why, in one line."""


class NotConnectedError(HttpsError):
    """There was no connection, so nothing was asked."""


class UntrustedError(NotConnectedError):
    """The server's certificate is not trusted, so nothing was asked."""


class NoAnswerError(HttpsError):
    """The server was asked, and has not answered in time."""


class TooLargeError(HttpsError):
    """The answer is larger than was allowed."""


@dataclass(frozen=True)
class Reply:
    """What a server answers."""

    status: int
    content: bytes = field(repr=False)
    date: str = ""
    """The server's time, as it says it (RFC 9110 §6.6.1)."""


def is_https(url: str) -> bool:
    """Tell whether ``url`` is an https URL of a host."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname)


class HttpsClient:
    """The way to the server of ``url``, which may have a path that everything is below.

    ``headers`` go with every question. Close it, or use it as a context; one thread at a time.

    Raises:
        ValueError: if ``url`` is not an https URL of a host, or a header cannot be one; no message
            holds a header's value.
    """

    def __init__(
        self, url: str, trust: SSLContext, headers: Mapping[str, str], connect_seconds: float
    ) -> None:
        if not is_https(url):
            raise ValueError(f"{url} is not an https URL")
        parts = urlsplit(url)
        for name, value in headers.items():
            if not (value.isascii() and value.isprintable()):
                raise ValueError(f"the header {name} would hold a character that none can hold")
        self._base = parts.path.rstrip("/")
        self._headers = dict(headers)
        try:
            self._connection = HTTPSConnection(
                parts.hostname or "", parts.port or 443, timeout=connect_seconds, context=trust
            )
        except HTTPException as error:
            raise ValueError(f"{url} is not an https URL: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        silence_seconds: float,
        seconds: float,
        limit: int,
    ) -> Reply:
        """Ask once; ``body`` is JSON.

        The server may be silent for ``silence_seconds`` and take ``seconds`` in all; it may answer
        ``limit`` bytes.

        Raises:
            HttpsError: if there is no whole answer; the kind says how far it came.
        """
        connection = self._connected()
        connection.settimeout(silence_seconds)
        headers = self._headers if body is None else {**self._headers, **_JSON}
        end = _End(connection, seconds)
        try:
            with end:
                self._connection.request(method, f"{self._base}{path}", body, headers)
                answer = self._connection.getresponse()
                content = _whole(answer, limit)
        except TooLargeError:
            self.close()
            raise
        except TimeoutError:
            self.close()
            raise NoAnswerError("no answer in time") from None
        except (HttpsError, OSError, HTTPException, ValueError) as error:
            self.close()  # ValueError: of what was answered
            if end.has_come:
                raise NoAnswerError("no end of the answer in time") from None
            raise HttpsError(_reason(error)) from None
        if end.has_come:
            raise NoAnswerError("no end of the answer in time")
        return Reply(answer.status, content, answer.headers.get("Date", ""))

    def _connected(self) -> socket:
        """Connect, if that is not so or the server has hung up since the last answer."""
        connection = self._connection
        if connection.sock and not _has_something(connection.sock):
            return connection.sock
        connection.close()
        try:
            connection.connect()
        except SSLCertVerificationError as error:
            connection.close()
            raise UntrustedError(error.verify_message) from None
        except (OSError, HTTPException) as error:
            connection.close()
            raise NotConnectedError(_reason(error)) from None
        return connection.sock


_JSON = {"Content-Type": "application/json"}


def _has_something(connection: socket) -> bool:
    """Tell whether it can be read from, as before a question only its end can be."""
    waiting = poll()
    waiting.register(connection, POLLIN)
    return bool(waiting.poll(0))


class _End:
    """Ends a connection in ``seconds``, whatever is read by then: a timeout is of one byte only."""

    def __init__(self, connection: socket, seconds: float) -> None:
        self.has_come = False
        self._connection = connection
        self._timer = Timer(seconds, self._come)
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _come(self) -> None:
        self.has_come = True
        with suppress(OSError):
            # the socket's own: that of TLS would have its reader take what is encrypted for text
            socket.shutdown(self._connection, SHUT_RDWR)


def _whole(answer: HTTPResponse, limit: int) -> bytes:
    content = b""
    while part := answer.read1(_CHUNK):
        content += part
        if len(content) > limit:
            raise TooLargeError(f"an answer is larger than {limit >> 20} MiB")
    if answer.length:
        raise HttpsError("the connection ended before the answer")
    answer.close()
    return content


def _reason(error: BaseException) -> str:
    text = (error.strerror if isinstance(error, OSError) else "") or str(error)
    return " ".join(text.split()) or type(error).__name__
