"""Certificates of one run: an authority, and a server's certificate for this machine."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

if TYPE_CHECKING:
    from pathlib import Path

PASSWORD = "changeit"  # noqa: S105 - of what is made for a test
"""Of the key store and of the trust store."""


@dataclass(frozen=True)
class Certificates:
    """Files that servers and clients on this machine need.

    Attributes:
        authority: the authority's certificate (PEM).
        chain: the server's certificate (PEM).
        key: its key (PEM).
        key_store: both for a JVM that serves (PKCS 12).
        trust_store: the authority for a JVM that asks (PKCS 12).
    """

    authority: Path
    chain: Path
    key: Path
    key_store: Path
    trust_store: Path


def make_certificates(directory: Path) -> Certificates:
    """Makes an authority and a certificate for 127.0.0.1 and localhost, valid for a week."""
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca_name = x509.Name.from_rfc4514_string("CN=authority of the tests")
    ca = (
        _builder(ca_name, ca_name, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = [x509.IPAddress(ip_address("127.0.0.1")), x509.DNSName("localhost")]
    server = (
        _builder(x509.Name.from_rfc4514_string("CN=localhost"), ca_name, server_key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    encryption = BestAvailableEncryption(PASSWORD.encode())
    files = Certificates(*(directory / name for name in ("ca.pem", "server.pem", "key.pem", "keys", "trust")))
    files.authority.write_bytes(ca.public_bytes(Encoding.PEM))
    files.chain.write_bytes(server.public_bytes(Encoding.PEM))
    files.key.write_bytes(server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    files.key_store.write_bytes(
        pkcs12.serialize_key_and_certificates(b"server", server_key, server, [ca], encryption)
    )
    files.trust_store.write_bytes(
        pkcs12.serialize_java_truststore([pkcs12.PKCS12Certificate(ca, b"ca")], encryption)
    )
    return files


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=7))
    )
