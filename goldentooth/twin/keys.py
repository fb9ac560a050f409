"""Keys of a twin: the operator's and the hosts' for SSH, a certificate authority for TLS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from goldentooth.twin.errors import TwinError
from goldentooth.twin.programs import ENVIRONMENT


class HostKeys:
    """SSH keys, made in one go: one for each host, one for the operator."""

    OPERATOR = "operator"
    PATH = "/etc/ssh/ssh_host_ed25519_key"
    """Where a host has its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, hosts: Iterable[str]) -> subprocess.Popen[bytes]:
        """Begin to make them; they are there when the process that is returned has ended."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        return subprocess.Popen(
            ["sh", "-c", _MAKE_KEYS, "sh", str(self._folder), self.OPERATOR, *hosts],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def private(self, host: str) -> bytes:
        """Return the private key of ``host``."""
        return (self._folder / host).read_bytes()

    def public(self, host: str) -> str:
        """Return the public key of ``host``, one line."""
        return (self._folder / f"{host}.pub").read_text()

    def known_hosts(self, names: Mapping[str, Iterable[str]]) -> str:
        """Return a known_hosts file; ``names`` are the names and addresses of each host."""
        return "".join(f"{','.join(names[host])} {self.public(host)}" for host in names)


_MAKE_KEYS = """
cd "$1" || exit; shift
for name; do
    ssh-keygen -q -t ed25519 -N '' -C "$name" -f "./$name" || exit
done
"""


class Authority:
    """A certificate authority of the twin's own, and the API's certificate by it."""

    def __init__(self, folder: Path) -> None:
        self.certificate = folder / "ca.crt"
        self.key = folder / "ca.key"
        self.api_certificate = folder / "api.crt"
        self.api_key = folder / "api.key"

    def make(self, twin: str, names: Iterable[str]) -> None:
        """Make both; ``names`` are the API's subject alternative names."""
        new_key = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        _openssl(
            *(*new_key, "-days", "3650", "-subj", f"/CN=twin {twin}"),
            *("-keyout", str(self.key), "-out", str(self.certificate)),
        )
        _openssl(
            *(*new_key, "-days", "3650", "-subj", "/CN=kube-apiserver"),
            *("-CA", str(self.certificate), "-CAkey", str(self.key)),
            *("-addext", "subjectAltName=" + ",".join(map(_alternative_name, names))),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
            *("-keyout", str(self.api_key), "-out", str(self.api_certificate)),
        )

    def issue(self, file: str, names: Iterable[str], *, days: int = 3650) -> tuple[bytes, bytes]:
        """Return a certificate for ``names`` and its key; with days -1 it has expired already."""
        folder = self.certificate.parent
        request, certificate, key = (folder / f"{file}.{end}" for end in ("csr", "crt", "key"))
        _openssl(
            *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={file}", "-keyout", str(key), "-out", str(request)),
            *("-addext", "subjectAltName=" + ",".join(map(_alternative_name, names))),
            *("-addext", "basicConstraints=critical,CA:FALSE"),
        )
        _openssl(
            *("x509", "-req", "-in", str(request), "-copy_extensions", "copy"),
            *("-CA", str(self.certificate), "-CAkey", str(self.key), "-days", str(days)),
            *("-out", str(certificate)),
        )
        return certificate.read_bytes(), key.read_bytes()


def _alternative_name(name: str) -> str:
    kind = "IP" if name.replace(".", "").isdigit() else "DNS"
    return f"{kind}:{name}"


def _openssl(*arguments: str) -> None:
    done = subprocess.run(
        ["openssl", *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise TwinError(f"openssl: {done.stderr.strip()}")
