"""A half behind MLServer, for ``bench_serve.py``: run by the Python of an environment with mlserver and onnxruntime."""

from __future__ import annotations

import asyncio
import sys

import grpc
import onnxruntime as ort
from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

PORT = 8481


class Half(MLModel):
    async def load(self) -> bool:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        path = self.settings.parameters.uri
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        feed = {one.name: NumpyCodec.decode_input(one) for one in payload.inputs}
        result = self.session.run(None, feed)
        names = [told.name for told in self.session.get_outputs()]
        outputs = [NumpyCodec.encode_output(name, array) for name, array in zip(names, result, strict=True)]
        return InferenceResponse(model_name=self.name, outputs=outputs)


async def say_ready() -> None:
    """``ready`` once the port answers."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{PORT}") as channel:
        await channel.channel_ready()
    await asyncio.sleep(1)
    print(f'{{"address": "127.0.0.1:{PORT}"}}\nready', file=sys.stderr, flush=True)


async def main(path: str) -> None:
    settings = Settings(
        debug=False, parallel_workers=0, http_port=PORT + 1, grpc_port=PORT, metrics_port=PORT + 2, host="127.0.0.1"
    )
    model = ModelSettings(name="served", implementation=Half, parameters={"uri": path})
    told = asyncio.ensure_future(say_ready())
    await MLServer(settings).start([model])
    await told


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
