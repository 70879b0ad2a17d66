"""Ed25519 over the exact bytes of a manifest: who exported this bundle?

A signature is made with ``signing.key`` and checked with ``signing.pub``. Without a file the user's own pair is used,
which ``splitward export`` makes at its first run in the user's configuration folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from splitward.core.errors import BundleError

PRIVATE, PUBLIC = "signing.key", "signing.pub"
SIGNATURE_BYTES = 64
_KEY_LIMIT_BYTES = 1 << 14


def own_folder() -> Path:
    """Where the user's own pair lies: ``splitward`` in XDG_CONFIG_HOME, else in ``~/.config``."""
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base else Path.home() / ".config") / "splitward"


def make_pair(folder: Path) -> tuple[Path, Path]:
    """A new pair in ``folder``, the private one readable by its owner only; raises BundleError where one exists."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / PRIVATE, folder / PUBLIC
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_new(private, key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption()), 0o600)
        write_new(public, key.public_key().public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo))
    except FileExistsError as error:
        raise BundleError(
            f"{error.filename} exists already: a key is never overwritten; name another folder."
        ) from None
    except OSError as error:
        raise BundleError(f"{folder} cannot be written to: {error.strerror or error}.") from None
    return private, public


def write_new(path: Path, content: bytes, mode: int = 0o644) -> None:
    """A file that did not exist, with ``mode`` from its first byte on; raises FileExistsError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)


def signing_key(path: Path | None = None) -> Ed25519PrivateKey:
    """The private key of a PEM file; by default the user's own, made where there is none. Raises BundleError."""
    if path is None:
        path = own_folder() / PRIVATE
        if not path.exists():
            make_pair(path.parent)
    try:
        key = ser.load_pem_private_key(_read(path), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BundleError(f"{path} is no unencrypted PEM private key; `splitward certs` makes one.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(f"{path} is no Ed25519 private key; `splitward certs` makes one.")
    return key


def trusted_key(path: Path) -> Ed25519PublicKey:
    """The public key of a PEM file. Raises BundleError, for a private key too: it does not belong where one checks."""
    content = _read(path)
    if b"PRIVATE KEY" in content:
        raise BundleError(f"{path} is a private key: give the public one, {PUBLIC}, to check signatures with.")
    try:
        key = ser.load_pem_public_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BundleError(f"{path} is no PEM public key; `splitward certs` makes one.") from None
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError(f"{path} is no Ed25519 public key; `splitward certs` makes one.")
    return key


def trusted_keys(path: Path | None = None, tls: Path | None = None) -> tuple[Ed25519PublicKey, ...]:
    """``path`` alone where it is given, else ``signing.pub`` of the TLS folder and of the user.

    Raises BundleError where there is none.
    """
    if path is not None:
        return (trusted_key(path),)
    found = [folder / PUBLIC for folder in (tls, own_folder()) if folder is not None]
    keys = tuple(trusted_key(file) for file in found if file.exists())
    if not keys:
        raise BundleError(f"there is no key to check bundles with: name the exporter's {PUBLIC} with --key.")
    return keys


def sign(key: Ed25519PrivateKey, content: bytes) -> bytes:
    """The signature, 64 bytes."""
    return key.sign(content)


def signed_by(keys: Iterable[Ed25519PublicKey], signature: bytes, content: bytes) -> bool:
    """Whether one of the keys signed exactly this content."""
    for key in keys:
        try:
            key.verify(signature, content)
        except InvalidSignature:
            continue
        return True
    return False


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(_KEY_LIMIT_BYTES + 1)
    except OSError as error:
        raise BundleError(f"the key {path} cannot be read: {error.strerror or error}.") from None
    if len(content) > _KEY_LIMIT_BYTES:
        raise BundleError(f"{path} is larger than any key.")
    return content
