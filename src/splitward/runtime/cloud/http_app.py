"""The protocol over HTTP: JSON, and JSON with binary tensors; and the counters under ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from splitward.runtime.cloud import core, http_messages, tensors
from splitward.runtime.cloud.core import Core
from splitward.runtime.cloud.models import PLATFORM, Served
from splitward.runtime.cloud.refusal import Kind, Refusal, invalid
from splitward.runtime.manifest import Tensor

HEADER = "Inference-Header-Content-Length"

BODY_S = 30.0
"""A client must have sent its request by then."""

Endpoint = Callable[[Request], Awaitable[Response]]


class Endpoints:
    """One method a route."""

    def __init__(self, held: Core) -> None:
        self.core = held

    def app(self) -> Starlette:
        """The routes, and every refusal as ``{"error": ...}``."""
        model = "/v2/models/{name}"
        version = model + "/versions/{version}"
        routes = [
            Route("/v2", self.server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            *(Route(base, self.model) for base in (model, version)),
            *(Route(f"{base}/ready", self.model_ready) for base in (model, version)),
            *(Route(f"{base}/infer", self.infer, methods=["POST"]) for base in (model, version)),
            Route("/metrics", self.metrics),
        ]
        handlers: dict[Any, Any] = {
            Refusal: self._refused, HTTPException: _unknown, ClientDisconnect: _gone_away, Exception: self._failed
        }  # fmt: skip
        return Starlette(routes=routes, exception_handlers=handlers)

    async def server(self, _request: Request) -> Response:
        """Name, version and extensions."""
        return JSONResponse({"name": core.NAME, "version": core.VERSION, "extensions": list(core.EXTENSIONS)})

    async def live(self, _request: Request) -> Response:
        """It answers, so it lives."""
        return JSONResponse({"live": True})

    async def ready(self, _request: Request) -> Response:
        """Until it is going away."""
        return JSONResponse({"ready": not self.core.draining}, 503 if self.core.draining else 200)

    async def model(self, request: Request) -> Response:
        """What a model takes and returns."""
        about = self._served(request).manifest
        return JSONResponse(
            {
                "name": about.name,
                "versions": self.core.models.versions(about.name),
                "platform": PLATFORM,
                "inputs": [_metadata(t) for t in about.activation],
                "outputs": [_metadata(t) for t in about.outputs],
            }
        )

    async def model_ready(self, request: Request) -> Response:
        """Whether this model, in this version, is served."""
        about = self._served(request).manifest
        ready = not self.core.draining
        return JSONResponse({"name": about.name, "ready": ready}, 200 if ready else 503)

    async def metrics(self, _request: Request) -> Response:
        """For Prometheus."""
        return Response(self.core.metrics.text(), media_type="text/plain; version=0.0.4")

    async def infer(self, request: Request) -> Response:
        """One request, one answer. A client that goes away takes its place in the queue with it."""
        with self.core.metrics.request("http"):
            self.core.refuse_draining()
            served = self._served(request)
            body = await self._body(request)
            call = http_messages.decode(body, request.headers.get(HEADER), served.manifest, self.core.rows)
            arrays = await _unless_gone(request, self.core.infer(served, call.call, None))
            content, length = http_messages.encode(call, served.manifest, arrays)
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, headers={HEADER: str(length)}, media_type="application/octet-stream")

    def _served(self, request: Request) -> Served:
        return self.core.models.find(request.path_params["name"], request.path_params.get("version", ""))

    async def _body(self, request: Request) -> bytes:
        if request.headers.get("content-encoding", "identity") != "identity":
            raise invalid("the body is compressed, which is not supported here; send it as it is.")
        limit = self.core.message_bytes
        told = request.headers.get("content-length", "0")
        content = bytearray()
        try:
            async with asyncio.timeout(BODY_S):
                if int(told) <= limit:  # uvicorn has seen that it is a number
                    async for chunk in request.stream():
                        content += chunk
                        if len(content) > limit:
                            break
                    else:
                        return bytes(content)
        except TimeoutError:
            raise Refusal(Kind.LATE, f"the request was not sent within {BODY_S:g} seconds.") from None
        raise Refusal(Kind.TOO_LARGE, f"the request is larger than {limit} bytes.")

    async def _refused(self, _request: Request, refusal: Refusal) -> Response:
        self.core.refused("http", refusal)
        close = {"connection": "close"} if refusal.kind in (Kind.TOO_LARGE, Kind.LATE) else None
        return JSONResponse({"error": str(refusal)}, refusal.kind.value.http, close)

    async def _failed(self, _request: Request, error: Exception) -> Response:
        self.core.log("error", "error", protocol="http", kind=type(error).__name__)
        return JSONResponse({"error": "the server failed on this request."}, 500)


async def _unknown(_request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": f"{error.detail}."}, error.status_code, error.headers)


async def _gone_away(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)  # nobody gets it


async def _unless_gone(request: Request, work: Any) -> Any:
    """The result of ``work``, which is cancelled where the client closes its connection first."""
    answer = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise ClientDisconnect
        return answer.result()
    finally:
        answer.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _metadata(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensors.DATATYPES[tensor.dtype], "shape": [-1, *tensor.shape]}
