"""A half behind the KServe SDK, for ``bench_serve.py``: for an environment with kserve and onnxruntime."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

import grpc
import onnxruntime as ort
from kserve import InferOutput, InferResponse, Model, ModelServer

PORT = 8471


class Half(Model):
    def __init__(self, path: str) -> None:
        super().__init__("served")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.ready = True

    async def predict(self, payload: Any, _headers: Any = None, **_more: Any) -> InferResponse:
        feed = {one.name: one.as_numpy() for one in payload.inputs}
        result = self.session.run(None, feed)
        outputs = []
        for told, array in zip(self.session.get_outputs(), result, strict=True):
            outputs.append(InferOutput(told.name, list(array.shape), "FP32"))
            outputs[-1].set_data_from_numpy(array)
        return InferResponse(payload.id, self.name, outputs)


def say_ready() -> None:
    """``ready`` once the port answers."""
    with grpc.insecure_channel(f"127.0.0.1:{PORT}") as channel:
        grpc.channel_ready_future(channel).result(timeout=120)
    time.sleep(0.5)
    print(f'{{"address": "127.0.0.1:{PORT}"}}\nready', file=sys.stderr, flush=True)


if __name__ == "__main__":
    threading.Thread(target=say_ready, daemon=True).start()
    ModelServer(http_port=PORT + 1, grpc_port=PORT, workers=1, enable_grpc=True).start([Half(sys.argv.pop(1))])
