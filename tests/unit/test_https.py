"""The client for HTTPS against a real TLS server that answers as it is told, to the byte."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from ssl import SSLContext, SSLSocket, create_default_context
from threading import Thread

import pytest

from goldentooth.https import (
    HttpsClient,
    HttpsError,
    NoAnswerError,
    NotConnectedError,
    Reply,
    TooLargeError,
    UntrustedError,
)
from tests.certificates import TestAuthority

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers the n-th connection with the n-th script, then hangs up."""

    def __init__(self, context: SSLContext, scripts: list[Callable[[SSLSocket], object]]) -> None:
        self._context = context
        self._scripts = scripts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for script in self._scripts:
            try:
                raw, _ = self._listener.accept()
                with raw, self._context.wrap_socket(raw, server_side=True) as connection:
                    connection.settimeout(10)
                    script(connection)
            except OSError:  # the client went away, or did not trust this server
                pass

    def close(self) -> None:
        self._listener.close()
        self._thread.join(10)


@pytest.fixture
def authority(tmp_path: Path) -> TestAuthority:
    return TestAuthority(tmp_path)


@pytest.fixture
def serve(authority: TestAuthority) -> Iterator[Callable[..., Server]]:
    servers = []

    def start(*scripts: Callable[[SSLSocket], object], days: int = 1) -> Server:
        servers.append(Server(authority.server_context("127.0.0.1", days=days), list(scripts)))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def client(server: Server, authority: TestAuthority, path: str = "") -> HttpsClient:
    trust = create_default_context(cafile=str(authority.certificate))
    return HttpsClient(server.url + path, trust, {"X-Token": "t0ken"}, 5)


def ask(way: HttpsClient, path: str = "/x", **changes: float) -> Reply:
    bounds = {"silence_seconds": 5.0, "seconds": 5.0, "limit": 1 << 20, **changes}
    return way.ask("GET", path, **bounds)  # type: ignore[arg-type]


def replying(*replies: bytes) -> Callable[[SSLSocket], object]:
    def script(connection: SSLSocket) -> None:
        for reply in replies:
            connection.recv(65536)
            connection.sendall(reply)

    return script


def test_one_connection_serves_many_questions(
    serve: Callable[..., Server], authority: TestAuthority
) -> None:
    dated = b"HTTP/1.1 404 No\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\nContent-Length: 0\r\n\r\n"
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    server = serve(replying(OK, dated, chunked))
    with client(server, authority) as way:
        assert ask(way) == Reply(200, b"ok")
        assert ask(way) == Reply(404, b"", "Thu, 01 Jan 1970 00:00:01 GMT")
        assert ask(way) == Reply(200, b"abc")


def test_headers_path_and_body_are_sent_as_json(
    serve: Callable[..., Server], authority: TestAuthority
) -> None:
    heard = []

    def script(connection: SSLSocket) -> None:
        heard.append(connection.recv(65536) + connection.recv(65536))
        connection.sendall(OK)

    with client(serve(script), authority, "/base/") as way:
        way.ask("POST", "/api", b'{"a": 1}', silence_seconds=5, seconds=5, limit=9)
    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /base/api HTTP/1.1\r\n")
    assert {b"X-Token: t0ken", b"Content-Type: application/json"} <= set(head.split(b"\r\n"))
    assert body == b'{"a": 1}'


def test_a_server_that_hung_up_meanwhile_is_connected_to_again(
    serve: Callable[..., Server], authority: TestAuthority
) -> None:
    server = serve(replying(OK), replying(OK))
    with client(server, authority) as way:
        assert ask(way).content == b"ok"
        time.sleep(0.3)
        assert ask(way).content == b"ok"


def test_a_redirect_is_an_answer_and_not_followed(
    serve: Callable[..., Server], authority: TestAuthority
) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: https://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with client(serve(replying(moved)), authority) as way:
        assert ask(way).status == 302


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    ],
    ids=["nothing", "half", "half a chunk", "another protocol", "an endless header"],
)
def test_half_an_answer_is_none(
    serve: Callable[..., Server], authority: TestAuthority, reply: bytes
) -> None:
    with client(serve(replying(reply), replying(OK)), authority) as way:
        with pytest.raises(HttpsError) as caught:
            ask(way)
        assert type(caught.value) is HttpsError
        assert "\n" not in str(caught.value)
        assert ask(way).content == b"ok"  # and the next question is asked as if nothing was


def test_a_server_that_says_nothing_is_not_waited_for(
    serve: Callable[..., Server], authority: TestAuthority
) -> None:
    with client(serve(lambda connection: connection.recv(65536) and time.sleep(3)), authority) as w:
        begun = time.monotonic()
        with pytest.raises(NoAnswerError, match="no answer in time"):
            ask(w, silence_seconds=0.3)
    assert time.monotonic() - begun < 2.5


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (CHUNKED, b"1\r\nx\r\n"),
        (CHUNKED + b"1", b";x"),
        (CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n"),
    ],
    ids=["body", "header", "headers", "100s", "chunks", "extension", "trailers"],
)
def test_a_server_that_drips_has_an_end_in_time(
    serve: Callable[..., Server], authority: TestAuthority, begin: bytes, drop: bytes
) -> None:
    def drip(connection: SSLSocket) -> None:
        connection.recv(65536)
        connection.sendall(begin)
        for _ in range(90):
            connection.sendall(drop)
            time.sleep(0.05)

    with client(serve(drip, replying(OK)), authority) as way:
        begun = time.monotonic()
        with pytest.raises(NoAnswerError, match="no end of the answer in time"):
            ask(way, seconds=0.5)
        assert time.monotonic() - begun < 3
        assert ask(way).content == b"ok"


def test_an_answer_that_is_too_large_is_not_kept(
    serve: Callable[..., Server], authority: TestAuthority
) -> None:
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n" + bytes(5_000_000)
    with (
        client(serve(replying(large)), authority) as way,
        pytest.raises(TooLargeError, match="larger than 1 MiB"),
    ):
        ask(way)


def test_who_is_not_trusted_is_told_nothing(
    serve: Callable[..., Server], authority: TestAuthority, tmp_path: Path
) -> None:
    heard: list[bytes] = []
    (tmp_path / "other").mkdir()
    other = TestAuthority(tmp_path / "other")
    for server, known, says in (
        (serve(lambda c: heard.append(c.recv(9)), days=-1), authority, "expired"),
        (serve(lambda c: heard.append(c.recv(9))), other, "issuer|self.signed|signature"),
    ):
        with client(server, known) as way, pytest.raises(UntrustedError, match=says):
            ask(way)
    assert not any(heard)


def test_nobody_there_and_no_tls_there_is_not_connected(authority: TestAuthority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = Thread(target=lambda: listener.accept()[0].sendall(b"220 mail\r\n"))
        thread.start()
        trust = create_default_context(cafile=str(authority.certificate))
        with pytest.raises(NotConnectedError) as no_tls:
            ask(HttpsClient(f"https://127.0.0.1:{port}", trust, {}, 5))
        thread.join(5)
    with pytest.raises(NotConnectedError, match="Connection refused"):
        ask(HttpsClient(f"https://127.0.0.1:{port}", trust, {}, 5))
    assert not isinstance(no_tls.value, UntrustedError)


def test_an_address_of_ipv6_is_one_with_a_port_or_without(authority: TestAuthority) -> None:
    trust = create_default_context(cafile=str(authority.certificate))
    for url in ("https://[::1]:1", "https://[::1]"):
        with pytest.raises(NotConnectedError, match=r"refused|unreachable|assign"):
            ask(HttpsClient(url, trust, {}, 5))


@pytest.mark.parametrize("value", ["a\nX: y", "é\n", "\r", "a'b\"c\nd", "nul\0", "naïve"])
def test_a_header_that_is_none_is_refused_without_a_word_of_it(value: str) -> None:
    with pytest.raises(ValueError, match="the header X-Token would hold") as caught:
        HttpsClient("https://127.0.0.1", create_default_context(), {"X-Token": value}, 1)
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1:1", "127.0.0.1", "", "https://", "file:///x"),
        *("https://h x", "https://a:b", "https://[::1", "https://a:99999"),
    ],
)
def test_only_https_is_spoken(url: str) -> None:
    with pytest.raises(ValueError, match=r"not an https URL|IPv6|[Pp]ort"):
        HttpsClient(url, create_default_context(), {}, 1)
