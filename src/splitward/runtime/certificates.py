"""A test authority and the certificates of both sides, for mutual TLS: elliptic curve P-256, PEM files."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from splitward.core.errors import BundleError, UsageError
from splitward.runtime.signing import write_new

LOCAL = ("localhost", "127.0.0.1", "::1")
CA, SERVER, CLIENT = "ca", "server", "client"

_EARLY = timedelta(minutes=5)
"""Before now: clocks differ."""


def make_certificates(
    folder: Path, hosts: tuple[str, ...] = (), days: float = 30, start: datetime | None = None
) -> None:
    """``ca``, ``server`` and ``client``, each ``.pem`` and ``.key``, in ``folder``; valid for ``days`` from ``start``.

    ``hosts``: names and addresses of the server beside the local ones. Raises BundleError where a file exists or cannot
    be written, UsageError for a name that is none.
    """
    names = [_name(host) for host in dict.fromkeys((*LOCAL, *hosts))]
    start = start or datetime.now(UTC) - _EARLY
    span = (start, start + timedelta(days=days))
    authority = ec.generate_private_key(ec.SECP256R1())
    root = _certificate("splitward test authority", authority, None, authority, span, None)
    made = [(CA, root, authority)]
    for role, usage in ((SERVER, ExtendedKeyUsageOID.SERVER_AUTH), (CLIENT, ExtendedKeyUsageOID.CLIENT_AUTH)):
        key = ec.generate_private_key(ec.SECP256R1())
        made.append((role, _certificate(f"splitward {role}", key, root, authority, span, usage, names), key))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for role, certificate, key in made:
            secret = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
            write_new(folder / f"{role}.key", secret, 0o600)
            write_new(folder / f"{role}.pem", certificate.public_bytes(ser.Encoding.PEM))
    except FileExistsError as error:
        raise BundleError(
            f"{error.filename} exists already: a key is never overwritten; name another folder."
        ) from None
    except OSError as error:
        raise BundleError(f"{folder} cannot be written to: {error.strerror or error}.") from None


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None, signer: ec.EllipticCurvePrivateKey,
    span: tuple[datetime, datetime], usage: x509.ObjectIdentifier | None, hosts: list[x509.GeneralName] | None = None,
) -> x509.Certificate:  # fmt: skip
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    is_root = issuer is None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(span[0])
        .not_valid_after(span[1])
        .add_extension(x509.BasicConstraints(ca=is_root, path_length=0 if is_root else None), critical=True)
        .add_extension(_key_usage(is_root), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if usage == ExtendedKeyUsageOID.SERVER_AUTH and hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _key_usage(is_root: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_root, key_cert_sign=is_root, crl_sign=is_root, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        if not host or not host.isascii() or any(c.isspace() or c in "/:@" for c in host):
            raise ValueError
        return x509.DNSName(host)
    except ValueError:
        raise UsageError(f"{host!r} is no name or address of a host; write cloud.example.org or 192.0.2.1.") from None
