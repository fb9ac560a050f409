"""A stand-in's server: answers HTTP with the host's own name. Runs on the hosts.

    stand_in_server.py PORT [CERTIFICATE KEY [FOLDER]]

``/healthz``, ``/readyz`` and ``/livez`` answer ``ok``, ``/watch`` a line a second without end
(as the API's watches do), everything else the host's name. With a certificate it speaks TLS.
Started through a systemd socket it takes that one and needs no port. With a folder it answers
with its files, by path, and 404 for others.

Standard library only, and none of its modules that are slow to import (http.server, asyncio,
threading): it starts on every host.
"""

from __future__ import annotations

import _thread
import os
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

HEALTH = (b"/healthz", b"/readyz", b"/livez")


def main() -> None:
    """Serve until ended."""
    name = socket.gethostname().encode()
    tls = _tls(*sys.argv[2:4]) if len(sys.argv) > 2 else None
    first, *others = _listeners()
    for listener in others:
        _thread.start_new_thread(_accept, (listener, tls, name))
    _accept(first, tls, name)


def _accept(listener: socket.socket, tls: ssl.SSLContext | None, name: bytes) -> None:
    while True:
        connection, _ = listener.accept()
        _thread.start_new_thread(_serve, (connection, tls, name))


def _listeners() -> list[socket.socket]:
    passed = int(os.environ.get("LISTEN_FDS", "0"))  # from descriptor 3 on: sd_listen_fds(3)
    if passed:
        return [socket.socket(fileno=3 + index) for index in range(passed)]
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", int(sys.argv[1])))  # noqa: S104  # as the real ones do
    listener.listen(1024)
    return [listener]


def _tls(certificate: str, key: str) -> ssl.SSLContext:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def _serve(connection: socket.socket, tls: ssl.SSLContext | None, name: bytes) -> None:
    try:
        connection.settimeout(30)
        with tls.wrap_socket(connection, server_side=True) if tls else connection as stream:
            request = stream.recv(65536).split(b" ")
            if len(request) > 1:
                _answer(stream, request[1].split(b"?")[0], name)
    except OSError:
        pass  # a health check that only connects, a client that went away


def _answer(stream: socket.socket, path: bytes, name: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nServer: " + name + b"\r\nContent-Type: text/plain\r\n"
    if path == b"/watch":
        stream.sendall(head + b"Connection: close\r\n\r\n")
        while True:
            stream.sendall(name + b"\n")
            time.sleep(1)
    body = b"ok" if path in HEALTH else name + b"\n"
    if len(sys.argv) > 4:
        try:
            with open(sys.argv[4] + os.path.normpath(path.decode()), "rb") as file:  # noqa: PTH123  # pathlib is slow to import
                body = file.read()
        except (OSError, ValueError):
            head, body = head.replace(b"200 OK", b"404 Not Found"), b"{}"
    length = str(len(body)).encode()
    stream.sendall(head + b"Content-Length: " + length + b"\r\nConnection: close\r\n\r\n" + body)


if __name__ == "__main__":
    main()
