"""``splitward cloud`` in a process of its own, for tests; and requests in both protocols."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb

from splitward.cli.main import app
from splitward.core.errors import SplitwardError

WAIT_S = 60


class Server:
    """A running server: its ports, its log, and its end."""

    def __init__(self, *arguments, environment=()):
        words = [sys.executable, "-m", "splitward", "cloud", *map(str, arguments)]
        self.process = subprocess.Popen(
            words, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"} | dict(environment)
        )
        self.lines, self._ready = [], threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        assert self._ready.wait(WAIT_S), self.lines
        if self.process.poll() not in (None, 0):
            raise AssertionError("\n".join(self.lines))
        listening = [json.loads(line) for line in self.lines if '"listening"' in line]
        self.address = {told["protocol"]: told["address"] for told in listening}

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            if line == "ready\n":
                self._ready.set()
        self._ready.set()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(WAIT_S)


@contextlib.contextmanager
def serving(*arguments, grpc=True, http=True, environment=()):
    ports = [*(["--grpc", "127.0.0.1:0"] if grpc else []), *(["--http", "127.0.0.1:0"] if http else [])]
    server = Server(*arguments, *ports, environment=environment)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def refused(*arguments):
    """What the command says where it does not serve."""
    with pytest.raises(SplitwardError) as refusal:
        app(["cloud", *map(str, arguments)], standalone_mode=False)
    return str(refusal.value)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def request(array, model="toy", name="activation_0", datatype="FP32", **fields):
    """A gRPC request with raw contents."""
    sent = pb.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=array.shape)
    return pb.ModelInferRequest(model_name=model, inputs=[sent], raw_input_contents=[array.tobytes()], **fields)


def answer(response, k=0):
    """An output of a gRPC answer with raw contents, float32."""
    told = response.outputs[k]
    return np.frombuffer(response.raw_output_contents[k], np.float32).reshape(tuple(told.shape))
