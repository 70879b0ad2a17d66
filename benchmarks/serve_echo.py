"""A bare gRPC server that returns the bytes that it got, unary and streaming: what ``bench_serve.py`` compares with."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

SERVICE = "inference.GRPCInferenceService"
METHOD, STREAM = f"/{SERVICE}/ModelInfer", f"/{SERVICE}/ModelStreamInfer"


async def one(request: bytes, _context: Any) -> bytes:
    return request


async def many(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def serve(tls: Path | None) -> None:
    server = grpc.aio.server()
    handlers = {
        "ModelInfer": grpc.unary_unary_rpc_method_handler(one),
        "ModelStreamInfer": grpc.stream_stream_rpc_method_handler(many),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    if tls:
        key, certificate, authority = ((tls / n).read_bytes() for n in ("server.key", "server.pem", "ca.pem"))
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(key, certificate)], authority, True))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f'{{"address": "127.0.0.1:{port}"}}\nready', file=sys.stderr, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tls", type=Path)
    asyncio.run(serve(parser.parse_args().tls))
