"""What gRPC reads from the environment when it is first imported, and has no option for."""

from __future__ import annotations

import os

TLS_12_CIPHERS = "ECDHE-PSK-AES128-CBC-SHA"
"""All that TLS 1.2 may use: a suite of pre-shared keys, of which there are none. So only TLS 1.3 remains, whose own
suites this setting does not touch."""


def prepare_grpc() -> None:
    """TLS 1.3 alone, and no lines of gRPC's own on standard error, where a full pipe would stop the server.

    To be called before anything imports gRPC.
    """
    os.environ["GRPC_SSL_CIPHER_SUITES"] = TLS_12_CIPHERS
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
