"""A certificate authority for tests, and a server's certificate, good or expired."""

from __future__ import annotations

import datetime as dt
import ssl
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class TestAuthority:
    """A CA whose certificate is ``folder/ca.crt``."""

    __test__ = False
    folder: Path

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def certificate(self) -> Path:
        name = _name("test authority")
        text = _build(name, name, self._key, self._key, life=dt.timedelta(days=1))
        path = self.folder / "ca.crt"
        path.write_bytes(text)
        return path

    def issue(self, address: str, *, days: int = 1) -> tuple[Path, Path]:
        """Return certificate and key of ``address``; with days below zero it has expired."""
        assert self.certificate.exists()
        key = ec.generate_private_key(ec.SECP256R1())
        life = dt.timedelta(days=days)
        issuer = _name("test authority")
        text = _build(_name(address), issuer, key, self._key, life=life, address=address)
        certificate, private = (self.folder / f"{address}{days}.{end}" for end in ("crt", "key"))
        certificate.write_bytes(text)
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, private

    def server_context(self, address: str, *, days: int = 1) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(address, days=days))
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _build(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    *,
    life: dt.timedelta,
    address: str | None = None,
) -> bytes:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=7))
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=address is None, path_length=None), critical=True)
    )
    if address is not None:
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
