"""Where the server listens, and what protects it: HOST:PORT, and the files of mutual TLS."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from splitward.core.errors import UsageError
from splitward.runtime.certificates import CA, SERVER

_CERTIFICATE_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class Address:
    """``port`` 0: any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it. Of names, ``localhost`` alone is known to be."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


@dataclass(frozen=True)
class Tls:
    """PEM: the server's key and certificate, and the authority whose clients are let in; and all of it for HTTP."""

    key: bytes
    certificate: bytes
    authority: bytes
    context: ssl.SSLContext


def parse_address(text: str, option: str) -> Address:
    """``HOST:PORT``, ``[::1]:PORT``. Raises UsageError.

    >>> str(parse_address("[::1]:8001", "--grpc"))
    '[::1]:8001'
    """
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    known = bare and (":" not in bare or host != bare)
    if not (colon and known and port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise UsageError(f"{option} {text!r} is not HOST:PORT; write 127.0.0.1:8001 or [::1]:8001.")
    return Address(bare, int(port))


def refuse_open(addresses: list[Address], tls: bool, insecure: bool) -> None:
    """Beyond this machine without TLS only where it was asked for by name. Raises UsageError."""
    for address in addresses:
        if not (address.loopback or tls or insecure):
            raise UsageError(
                f"{address} can be reached from other machines, and nothing protects it: give --tls DIR (`splitward "
                "certs` makes one), or say --insecure."
            )


def read_tls(folder: Path) -> Tls:
    """The server's files of ``splitward certs``. Raises UsageError where they are missing or do not fit together."""
    files = [folder / name for name in (f"{SERVER}.key", f"{SERVER}.pem", f"{CA}.pem")]
    contents = []
    for file in files:
        try:
            with file.open("rb") as opened:
                contents.append(opened.read(_CERTIFICATE_LIMIT_BYTES))
        except OSError as error:
            raise UsageError(f"--tls: {file} cannot be read ({error.strerror}); `splitward certs` makes one.") from None
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(files[1], files[0], password=lambda: b"")
        context.load_verify_locations(files[2])
    except (ssl.SSLError, ValueError) as error:
        raise UsageError(f"--tls: the key and certificates in {folder} do not fit together: {error}.") from None
    key, certificate, authority = contents
    return Tls(key, certificate, authority, context)


def listen(address: Address, option: str) -> socket.socket:
    """A socket that is bound to it, not yet listening. Raises UsageError where that is not possible."""
    try:
        family, kind, _, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
    except OSError as error:
        raise UsageError(f"{option} {address}: nothing can listen there: {error.strerror or error}.") from None
    return bound


def takes_tls_12(address: Address) -> bool:
    """Whether a server there agrees on TLS 1.2 with a client that knows no newer one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
    try:
        with (
            socket.create_connection((host, address.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except OSError:
        return False
