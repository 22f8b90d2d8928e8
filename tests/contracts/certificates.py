"""Certificates of the tests' own: an authority, and what it signs for loopback."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Certificate:
    file: Path  #: in PEM
    key: Path
    pin: str

    @property
    def pem(self) -> str:
        return self.file.read_text()


@dataclass(frozen=True)
class Authority:
    """Signs certificates; `ca` is its own."""

    home: Path
    ca: Certificate
    key: ec.EllipticCurvePrivateKey
    name: x509.Name

    def sign(self, name: str, *, days: int = 1, address: str = "127.0.0.1") -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        there = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
        return _write(self.home, name, _named(name), self.name, key, self.key, there, days)


def authority(home: Path, name: str = "authority") -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _named(name)
    is_one = x509.BasicConstraints(ca=True, path_length=None)
    return Authority(home, _write(home, name, subject, subject, key, key, is_one, 1), key, subject)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _write(
    home: Path,
    name: str,
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
    days: int,
) -> Certificate:
    """Valid for that many days from now; for one that has expired, give less than none."""
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=30))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(extension, critical=True)
        .sign(signer, hashes.SHA256())
    )
    made = Certificate(
        home / f"{name}.pem", home / f"{name}.key", certificate.fingerprint(hashes.SHA256()).hex()
    )
    made.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return made
