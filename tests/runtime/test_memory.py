"""What a small hostile message may cost: never more than 256 MiB beyond its own length, measured in a fresh process."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zstandard
from tritonclient.grpc import service_pb2 as pb

from runtime import bundles
from runtime.clouds import toy
from splitward.core.errors import SplitwardError
from splitward.runtime import encoding, parsing, recording
from splitward.runtime import manifest as m
from splitward.runtime.cloud import grpc_messages, http_messages
from splitward.runtime.cloud.refusal import Refusal

MIB = 1 << 20
LONG = 64 * MIB
MOST_MIB = 256
CLOUD = bundles.cloud_manifest(b"")


def counted(number, content):
    """A field of protobuf: its number, the length of its content, the content."""
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


def request(content):
    return grpc_messages.decode(parsing.infer_request(content), CLOUD, 8)


def body(content, header=None):
    return http_messages.decode(content, header, CLOUD, 8)


def bomb(size):
    """A frame of zeros, true or not to the size that it states."""
    packer = zstandard.ZstdCompressor(level=3, write_content_size=True).compressobj(size=size)
    pieces = [packer.compress(bytes(MIB)) for _ in range(size // MIB)]
    return b"".join(pieces) + packer.flush()


def sent(payload, tensor, **changes):
    """A recording of one message of ``tensor``, which the file itself describes."""
    cut = msgspec.structs.replace(toy()[0].manifest.cuts[0], activation=(tensor,))
    about = recording.About(bundle_sha256="0" * 64, keyed=False, cuts=(cut,))
    told = {"cut": cut.cut, "pictures": ["0" * 64], "at_s": 0, "ms": 0, "attempts": 1, "answer_bytes": 0}
    headers = msgspec.json.encode(about), json.dumps(told | {"size": len(payload)} | changes).encode()
    return recording.MAGIC + b"".join(map(framed, headers)) + payload


def packed(tensor, frame):
    made = pb.ModelInferRequest(raw_input_contents=[frame])
    made.inputs.add(name=tensor.name, datatype="FP32", shape=[1, *tensor.shape])
    made.inputs[0].parameters[encoding.PARAMETER].string_param = "zstd"
    return made.SerializeToString()


def read(content, tmp=Path("recording")):
    tmp.write_bytes(content)
    return recording.read(tmp, limit=LONG)


WIDE = m.Tensor(name="activation_0", dtype="float32", shape=(500_000_000,))
FULL = m.Tensor(name="activation_0", dtype="float32", shape=(1 << 24,))

CASES = {
    "empty inputs": (request, lambda: b"\x2a\0" * (LONG // 2)),
    "empty inputs, as many as are described": (request, lambda: b"\x2a\0" * (parsing.DESCRIBED_BYTES // 2)),
    "empty inputs of a short message": (request, lambda: b"\x2a\0" * (parsing.SHORT_BYTES // 2)),
    "empty outputs": (request, lambda: b"\x32\0" * (LONG // 2)),
    "empty raw contents": (request, lambda: b"\x3a\0" * (LONG // 2)),
    "a long shape": (request, lambda: counted(5, counted(3, bytes(LONG)))),
    "a shape as long as is described": (request, lambda: counted(5, counted(3, bytes(parsing.DESCRIBED_BYTES - 20)))),
    "typed whole numbers": (request, lambda: counted(5, counted(5, counted(3, bytes(parsing.DESCRIBED_BYTES - 30))))),
    "typed texts": (request, lambda: counted(5, counted(5, b"\x42\0" * (parsing.DESCRIBED_BYTES // 2 - 30)))),
    "parameters": (request, lambda: parameters(parsing.DESCRIBED_BYTES // 10)),
    "groups": (request, lambda: b"\x0b" * LONG),
    "a raw content": (request, lambda: counted(7, bytes(LONG))),
    "empty outputs of an answer": (parsing.infer_response, lambda: b"\x2a\0" * (LONG // 2)),
    "empty outputs in a stream": (parsing.stream_response, lambda: counted(2, b"\x2a\0" * (LONG // 2))),
    "empty extensions": (parsing.server_metadata, lambda: b"\x1a\0" * (LONG // 2)),
    "empty lists": (body, lambda: b"[" + b"[]," * (http_messages.TEXT_LIMIT_BYTES // 3 - 1) + b"0]"),
    "empty lists beyond the limit": (body, lambda: b"[" + b"[]," * (LONG // 3) + b"0]"),
    "empty inputs in JSON": (
        body, lambda: b'{"inputs":[' + b"{}," * (http_messages.TEXT_LIMIT_BYTES // 3 - 9) + b"{}]}"
    ),
    "deep lists": (body, lambda: b"[" * http_messages.TEXT_LIMIT_BYTES),
    "numbers": (body, lambda: b'{"inputs":[' + b"1e9," * (http_messages.TEXT_LIMIT_BYTES // 4 - 9) + b"0]}"),
    "binary data": (lambda c: body(c, "2"), lambda: b"{}" + bytes(LONG)),
    "a bomb": (lambda c: encoding.decode(c, "zstd", "float32", (1, 12)), lambda: bomb(2048 * MIB)),
    "a bomb that states less": (
        lambda c: encoding.decode(c, "zstd", "float32", (1, 12)),
        lambda: bomb(2048 * MIB).replace((2048 * MIB).to_bytes(4, "little"), (48).to_bytes(4, "little"), 1),
    ),
    "2 GB are claimed": (lambda c: encoding.decode(c, "", "float32", (1, 1 << 29)), lambda: b"few"),
    "2 GB of int8 are claimed": (lambda c: encoding.decode(c, "int8", "float32", (1, 1 << 31)), lambda: b"few"),
    "a recording's bomb": (read, lambda: sent(packed(WIDE, bomb(2000 * 10**6 // MIB * MIB)), WIDE)),
    "a recording's bomb of what is allowed": (read, lambda: sent(packed(FULL, bomb(LONG)), FULL)),
    "a recording's message that is not there": (read, lambda: sent(b"few", FULL, size=recording.MESSAGE_LIMIT_BYTES)),
    "a recording's empty inputs": (read, lambda: sent(b"\x2a\0" * (LONG // 2), FULL)),
    "a manifest": (m.decode, lambda: cuts(b'"format_version":1,"role":"edge",', m.MANIFEST_LIMIT_BYTES)),
    "a recording's header": (read, lambda: recording.MAGIC + framed(cuts(b"", recording.HEADER_LIMIT_BYTES))),
}  # fmt: skip


def cuts(before, size):
    """JSON of as many empty cuts as there is room for."""
    return b"{" + before + b'"cuts":[' + b"{}," * ((size - len(before)) // 3 - 9) + b"{}]}"


def framed(header):
    return len(header).to_bytes(4, "little") + header


def parameters(count):
    entry = b"\x22\x08\x0a\x04%s\x12\0"
    return counted(5, b"".join(entry % np.base_repr(k, 36).zfill(4).encode() for k in range(count)))


def peak_mib():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    attempt, content = CASES[sys.argv[1]][0], sys.stdin.buffer.read()
    before = peak_mib()
    with contextlib.suppress(Refusal, SplitwardError):
        attempt(content)
    print(peak_mib() - before)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("case", CASES)
def test_a_message_costs_little(case, tmp_path):
    content = CASES[case][1]()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, __file__, case], input=content, capture_output=True, check=True, cwd=tmp_path, env=environment
    )
    grown = float(done.stdout)
    print(f"{len(content):,} bytes: {grown:.0f} MiB")
    assert grown < MOST_MIB
