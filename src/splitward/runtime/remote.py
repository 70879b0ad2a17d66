"""The cloud, as the device sees it: any server of the Open Inference Protocol over gRPC.

A request is sent again after a failure that may pass, with a random pause, until it is answered or its deadline is
over. What is sent again are the same bytes: a retry is never a fresh draw. Inference changes nothing on a server, so
that a request which was answered, but whose answer was lost, does no harm when it comes twice.

TLS needs both certificates, the cloud's and the device's. gRPC takes the highest version that both sides have, 1.3 with
``splitward cloud``, which refuses any other; the client has no switch of its own to demand it of other servers.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from splitward.core.errors import CloudError, CloudUnavailable, UsageError, WireError
from splitward.runtime import encoding, parsing
from splitward.runtime import protocol as pb
from splitward.runtime.messages import Request
from splitward.runtime.retry import Breaker, Patience

MESSAGE_LIMIT_BYTES = 1 << 26
"""Of an answer."""
SERVICE = f"/{pb.SERVICE}/"

_OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_LIMIT_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 1000),  # how long a connection may take to come about
    ("grpc.use_local_subchannel_pool", 1),  # a new channel is a new connection
    ("grpc.enable_retries", 0),  # ours are counted
]
_PASSING = {
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DATA_LOSS,
}  # fmt: skip
"""After these the same request is worth another attempt."""


@dataclass(frozen=True)
class Reply:
    """An answer. ``seconds``: of the attempt that was answered; ``attempts``: how often the bytes were sent."""

    response: pb.ModelInferResponse
    attempts: int
    seconds: float


class Remote:
    """One cloud at ``host:port``; threads may share it.

    ``tls``: a folder with ``ca.pem``, ``client.pem`` and ``client.key``, as ``splitward certs`` makes. Without it only
    this very machine is spoken to, unless ``insecure``. Raises UsageError.
    """

    def __init__(
        self, address: str, tls: Path | None = None, *, insecure: bool = False, patience: Patience | None = None,
        breaker: Breaker | None = None,
    ) -> None:  # fmt: skip
        if tls is None and not insecure and not is_loopback(address):
            raise UsageError(
                f"{address} is not this machine, and without TLS whoever is in between reads and changes what crosses: "
                "give --tls, or ask for it by name with --insecure."
            )
        self.address, self.patience, self.breaker = address, patience or Patience(), breaker or Breaker()
        self._credentials = None if tls is None else _credentials(tls)
        self._lock = threading.Lock()
        self._channel, self._generation = self._connect(), 0
        self._extended: bool | None = None

    def _connect(self) -> grpc.Channel:
        if self._credentials is None:
            return grpc.insecure_channel(self.address, _OPTIONS)
        return grpc.secure_channel(self.address, self._credentials, _OPTIONS)

    def renew(self, generation: int) -> None:
        """Give up the connection: it may be half open. Calls that still use it end by themselves."""
        with self._lock:
            if self._generation == generation:
                self._channel, self._generation = self._connect(), generation + 1

    def channel(self) -> tuple[grpc.Channel, int]:
        """The connection, and which one it is."""
        with self._lock:
            return self._channel, self._generation

    def ask(self, request: Request) -> Reply:
        """The answer. Raises CloudUnavailable where none came in time, CloudError where the request was refused."""
        message, attempts, seconds = self._persist("ModelInfer", request.message)
        try:
            return Reply(parsing.infer_response(message), attempts, seconds)
        except WireError as error:
            raise CloudError(f"{self.address} answered nonsense: {error}") from None

    def extended(self) -> bool:
        """Whether the server reads ``splitward_encoding``; asked once. Raises as ``ask``."""
        if self._extended is None:
            try:
                about = parsing.server_metadata(self._persist("ServerMetadata", b"")[0])
                self._extended = encoding.PARAMETER in about.extensions
            except CloudUnavailable:
                raise
            except (CloudError, WireError):  # a server without metadata has no extensions
                self._extended = False
        return self._extended

    def ping_ms(self) -> float | None:
        """How long a message of no size takes there and back; None where it does not come back."""
        method = self.channel()[0].unary_unary(SERVICE + "ServerLive")
        start = time.monotonic()
        try:
            method(b"", timeout=self.patience.attempt_s)
        except grpc.RpcError:
            return None
        return 1e3 * (time.monotonic() - start)

    def _persist(self, method: str, message: bytes) -> tuple[bytes, int, float]:
        """Until it is answered: the answer, the attempts and the seconds of the last. Bytes are sent as they are."""
        patience, start, attempts, told = self.patience, time.monotonic(), 0, "it was not asked"
        while True:
            left = patience.deadline_s - (time.monotonic() - start)
            if self.breaker.allow() and left > 0:
                attempts += 1
                channel, generation = self.channel()
                begun = time.monotonic()
                try:
                    result = channel.unary_unary(SERVICE + method)(message, timeout=min(patience.attempt_s, left))
                except grpc.RpcError as error:
                    told = self.failed(error, generation)
                else:
                    self.breaker.succeed()
                    return result, attempts, time.monotonic() - begun
            elif not attempts:
                raise CloudUnavailable(f"{self.address} did not answer of late, and is not asked for a moment.")
            pause = patience.pause_s(attempts)
            if attempts >= patience.attempts or time.monotonic() - start + pause > patience.deadline_s:
                raise CloudUnavailable(
                    f"{self.address} gave no answer in {attempts} attempt{'s' if attempts > 1 else ''} within "
                    f"{time.monotonic() - start:.1f} s: {told}."
                )
            time.sleep(pause)

    def failed(self, error: grpc.RpcError, generation: int) -> str:
        """Take note of a failed attempt, and say what it was; raises CloudError where the next would fail as well."""
        code, told = error.code(), said(error)
        if code not in _PASSING:
            self.breaker.succeed()
            raise CloudError(f"{self.address} refused the request: {told}.") from None
        if code != grpc.StatusCode.RESOURCE_EXHAUSTED:  # it is there, and has much to do
            self.breaker.fail()
        if code == grpc.StatusCode.DEADLINE_EXCEEDED:
            self.renew(generation)
        return told

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._channel.close()


def said(error: grpc.RpcError) -> str:
    """A status in words."""
    return f"{error.code().name.lower().replace('_', ' ')} ({printable(str(error.details() or ''))})"


def printable(text: str) -> str:
    """What a server says, as one short line.

    >>> printable("no\\n\\x1b such model.")
    'no such model'
    """
    clean = "".join(c if c.isprintable() else " " for c in text[:2000])
    return " ".join(clean.split())[:160].rstrip(".")


def is_loopback(address: str) -> bool:
    """Whether ``host:port`` is this machine.

    >>> [is_loopback(a) for a in ("localhost:1", "127.0.0.1:1", "[::1]:1", "example.org:1", "unix:/tmp/s")]
    [True, True, True, False, True]
    """
    if address.startswith("unix:"):
        return True
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise UsageError(f"{address!r} is no address: write HOST:PORT, such as 127.0.0.1:8001.")
    host = host.strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _credentials(folder: Path) -> Any:
    try:
        root, key, certificate = ((folder / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem"))
    except OSError as error:
        raise UsageError(
            f"{error.filename} cannot be read ({error.strerror}): --tls names a folder with ca.pem, client.pem and "
            "client.key; `splitward certs` makes one."
        ) from None
    return grpc.ssl_channel_credentials(root, key, certificate)
