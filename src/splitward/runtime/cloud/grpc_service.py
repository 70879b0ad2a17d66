"""The protocol's service over gRPC, on one event loop."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

import grpc
import grpc.aio

from splitward.core.errors import UsageError, WireError
from splitward.runtime import parsing
from splitward.runtime import protocol as pb
from splitward.runtime.cloud import core, grpc_messages, tensors
from splitward.runtime.cloud.addresses import Address, Tls
from splitward.runtime.cloud.call import Call
from splitward.runtime.cloud.core import Core
from splitward.runtime.cloud.models import PLATFORM, Served
from splitward.runtime.cloud.refusal import Kind, Refusal, invalid
from splitward.runtime.manifest import Tensor

Context = Any
"""grpc.aio.ServicerContext"""


class Service:
    """Live, ready, metadata, and inference, one by one or in a stream. Requests of inference come as bytes."""

    def __init__(self, held: Core) -> None:
        self.core = held

    async def ServerLive(self, _request: pb.ServerLiveRequest, _context: Context) -> pb.ServerLiveResponse:  # noqa: N802
        """It answers, so it lives."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, _request: Any, _context: Context) -> pb.ServerReadyResponse:  # noqa: N802
        """Until it is going away."""
        return pb.ServerReadyResponse(ready=not self.core.draining)

    async def ModelReady(self, request: pb.ModelReadyRequest, _context: Context) -> pb.ModelReadyResponse:  # noqa: N802
        """Whether this model, in this version, is served."""
        try:
            self.core.models.find(request.name, request.version)
        except Refusal:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=not self.core.draining)

    async def ServerMetadata(self, _request: Any, _context: Context) -> pb.ServerMetadataResponse:  # noqa: N802
        """Name, version and extensions."""
        return pb.ServerMetadataResponse(name=core.NAME, version=core.VERSION, extensions=core.EXTENSIONS)

    async def ModelMetadata(  # noqa: N802
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        """What a model takes and returns."""
        try:
            about = self.core.models.find(request.name, request.version).manifest
        except Refusal as refusal:
            await _abort(context, refusal)
        response = pb.ModelMetadataResponse(
            name=about.name, versions=self.core.models.versions(about.name), platform=PLATFORM
        )
        for field, told in ((response.inputs, about.activation), (response.outputs, about.outputs)):
            for tensor in told:
                field.add(**_metadata(tensor))
        return response

    async def ModelInfer(self, message: bytes, context: Context) -> pb.ModelInferResponse:  # noqa: N802
        """One request, one answer."""
        try:
            with self.core.metrics.request("grpc"):
                return await self._answer(message, context.time_remaining())
        except Refusal as refusal:
            self.core.refused("grpc", refusal)
            told = Refusal(refusal.kind, str(refusal))
        await _abort(context, told)  # a refusal that was raised would hold what was parsed until the client took it

    async def ModelStreamInfer(self, _requests: Any, context: Context) -> None:  # noqa: N802
        """Answers in the order of the requests; a refused one is answered with its error, and the stream goes on."""
        task: Any = asyncio.current_task()
        idle = self.core.idle
        try:
            while True:
                idle.add(task)
                message = await context.read()
                idle.discard(task)
                if message is grpc.aio.EOF:
                    return
                await context.write(await self._streamed(message))
        except asyncio.CancelledError:
            if not (self.core.draining and task in idle):
                raise
            task.uncancel()
            await _abort(context, Refusal(Kind.DRAINING, "this server is going away: ask another one, or try again."))
        finally:
            idle.discard(task)

    async def _streamed(self, message: bytes) -> pb.ModelStreamInferResponse:
        told = pb.ModelInferResponse()
        try:
            with self.core.metrics.request("grpc-stream"):
                return pb.ModelStreamInferResponse(infer_response=await self._answer(message, None, told))
        except Refusal as refusal:
            self.core.refused("grpc-stream", refusal)
            return pb.ModelStreamInferResponse(error_message=str(refusal), infer_response=told)

    async def _answer(
        self, message: bytes, left_s: float | None, told: pb.ModelInferResponse | None = None
    ) -> pb.ModelInferResponse:
        """``told`` gets the id of a request that is refused in the end."""
        served, call, typed = self._read(message, told)
        arrays = await self.core.infer(served, call, left_s)
        return grpc_messages.encode(call, served.manifest, arrays, typed)

    def _read(self, message: bytes, told: pb.ModelInferResponse | None) -> tuple[Served, Call, bool]:
        """The model, the call, and whether its contents are typed. What was parsed is free when this returns."""
        try:
            request = parsing.infer_request(message)
        except WireError as error:
            raise invalid(str(error)) from None
        if told is not None:
            told.id, told.model_name = request.id[:1024], request.model_name[:128]
        self.core.refuse_draining()
        served = self.core.models.find(request.model_name, request.model_version)
        call = grpc_messages.decode(request, served.manifest, self.core.rows)
        return served, call, not request.raw_input_contents


def make_server(held: Core, address: Address, tls: Tls | None, concurrent: int) -> tuple[grpc.aio.Server, int]:
    """A server that is bound, and its port. Raises UsageError where nothing can listen there."""
    server = grpc.aio.server(
        maximum_concurrent_rpcs=concurrent,
        options=[
            ("grpc.max_receive_message_length", held.message_bytes),
            ("grpc.max_send_message_length", -1),  # our own answers
            ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a rival
            ("grpc.max_metadata_size", 16 << 10),
            ("grpc.server_handshake_timeout_ms", 10_000),
            ("grpc.keepalive_time_ms", 30_000),  # a peer that is gone without a word is found
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ],
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(pb.SERVICE, _methods(Service(held))),))
    try:
        port = (
            server.add_secure_port(str(address), _credentials(tls)) if tls else server.add_insecure_port(str(address))
        )
    except RuntimeError:
        port = 0
    if not port:
        raise UsageError(f"--grpc {address}: nothing can listen there; is the port taken?")
    return server, port


def _methods(service: Service) -> dict[str, grpc.RpcMethodHandler]:
    """What is served. Requests of inference are parsed by the service, which can refuse them in words."""
    made = {
        name: grpc.unary_unary_rpc_method_handler(
            getattr(service, name),
            getattr(pb, f"{name}Request").FromString,
            getattr(pb, f"{name}Response").SerializeToString,
        )
        for name in ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata")
    }
    made["ModelInfer"] = grpc.unary_unary_rpc_method_handler(
        service.ModelInfer, response_serializer=pb.ModelInferResponse.SerializeToString
    )
    made["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
        service.ModelStreamInfer, response_serializer=pb.ModelStreamInferResponse.SerializeToString
    )
    return made


def _credentials(tls: Tls) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(tls.key, tls.certificate)], tls.authority, require_client_auth=True)


def _metadata(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensors.DATATYPES[tensor.dtype], "shape": [-1, *tensor.shape]}


async def _abort(context: Context, refusal: Refusal) -> NoReturn:
    await context.abort(refusal.kind.value.grpc, str(refusal))
    raise AssertionError("abort raises")
