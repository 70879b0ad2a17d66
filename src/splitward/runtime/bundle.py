"""A bundle on disk: ``manifest.json``, its signature ``manifest.sig``, and the files that the manifest names.

Read in this order, and nothing before its turn: the signature over the manifest's bytes is checked, then the manifest
is parsed, then every file is read once, held to its size and hash, and kept. What is parsed afterwards are the bytes
that were checked, whatever becomes of the files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from splitward.core.errors import BundleError
from splitward.runtime import manifest as manifests
from splitward.runtime import signing
from splitward.runtime.manifest import CloudManifest, EdgeManifest, File

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"

M = TypeVar("M", EdgeManifest, CloudManifest)


@dataclass(frozen=True)
class Bundle(Generic[M]):
    """A bundle whose signature and hashes were right. ``contents``: the bytes of every file by its name."""

    manifest: M
    contents: Mapping[str, bytes]
    sha256: str
    """Of the manifest's bytes, and so of everything."""


def describe(contents: Mapping[str, bytes]) -> dict[str, File]:
    """What a manifest says of its files."""
    return {name: File(sha256=hashlib.sha256(c).hexdigest(), size=len(c)) for name, c in sorted(contents.items())}


def write_bundle(folder: Path, manifest: M, contents: Mapping[str, bytes], key: Ed25519PrivateKey) -> None:
    """Write and sign a bundle; it appears whole or not at all.

    Raises BundleError where ``folder`` exists and is not empty, the contents are not what the manifest says, no reader
    would take the manifest, or nothing can be written there.
    """
    if describe(contents) != manifest.files:
        raise BundleError("the files of a bundle are not those that its manifest describes.")
    encoded = manifests.encode(manifest)
    if len(encoded) > manifests.MANIFEST_LIMIT_BYTES:
        raise BundleError(f"the manifest has {len(encoded)} bytes; {manifests.MANIFEST_LIMIT_BYTES} are the limit.")
    manifests.decode(encoded, folder / MANIFEST)
    part = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        for name, content in (*contents.items(), (MANIFEST, encoded), (SIGNATURE, signing.sign(key, encoded))):
            signing.write_new(part / name, content)
        part.chmod(0o755)
        part.rename(folder)  # replaces an empty folder, never a full one
    except OSError as error:
        raise BundleError(f"the bundle {folder} cannot be written: {error.strerror or error}.") from None
    finally:
        if part is not None and part.exists():
            shutil.rmtree(part, ignore_errors=True)


def read_edge(folder: Path, keys: Iterable[Ed25519PublicKey]) -> Bundle[EdgeManifest]:
    """The device's bundle in ``folder``, signed by one of ``keys``. Raises BundleError for anything else."""
    return _read(folder, keys, EdgeManifest)


def read_cloud(folder: Path, keys: Iterable[Ed25519PublicKey]) -> Bundle[CloudManifest]:
    """The server's bundle in ``folder``, signed by one of ``keys``. Raises BundleError for anything else."""
    return _read(folder, keys, CloudManifest)


def _read(folder: Path, keys: Iterable[Ed25519PublicKey], kind: type[M]) -> Bundle[M]:
    if not folder.is_dir():
        raise BundleError(f"there is no bundle {folder}; `splitward export` makes one.")
    encoded = _content(folder / MANIFEST, manifests.MANIFEST_LIMIT_BYTES)
    signature = _content(folder / SIGNATURE, signing.SIGNATURE_BYTES)
    if not signing.signed_by(keys, signature, encoded):
        raise BundleError(
            f"{folder} is not signed by a key that is trusted here: its manifest was changed, or another key signed "
            f"it; name the exporter's {signing.PUBLIC} with --key."
        )
    manifest = manifests.decode(encoded, folder / MANIFEST)
    if not isinstance(manifest, kind):
        due, found = ("edge", "cloud") if kind is EdgeManifest else ("cloud", "edge")
        raise BundleError(f"{folder} is a bundle of the {found}, and one of the {due} is due.")
    contents = {}
    for name, due_file in manifest.files.items():
        content = _content(folder / name, due_file.size)
        if len(content) != due_file.size or hashlib.sha256(content).hexdigest() != due_file.sha256:
            raise BundleError(f"{folder / name} is not the file that was signed: it is damaged or was exchanged.")
        contents[name] = content
    return Bundle(manifest, contents, hashlib.sha256(encoded).hexdigest())


def _content(path: Path, limit: int) -> bytes:
    """The bytes of a plain file of at most ``limit`` bytes; links are not followed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            about = os.fstat(handle)
            if not stat.S_ISREG(about.st_mode):
                raise BundleError(f"{path} is no plain file.")
            if about.st_size > limit:
                raise BundleError(f"{path} has {about.st_size} bytes, and at most {limit} are due.")
            return file.read(limit + 1)[: limit + 1]
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}.") from None
