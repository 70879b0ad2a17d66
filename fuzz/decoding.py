"""Whatever is decoded, under a fuzzer that follows the branches of our code (atheris, libFuzzer).

    python fuzz/decoding.py                          every target, 100,000 messages of each
    python fuzz/decoding.py grpc -runs=1000000       one, with options of libFuzzer

A message is read rightly or refused in one sentence of ours; anything else, a second for one message, or more than
``MEMORY_MIB`` of memory, ends the run with the message in a file. It begins with right messages, and keeps in
``fuzz/corpus`` (not under version control) those that led to new branches.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import atheris

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

with atheris.instrument_imports(include=["splitward.runtime"]):
    from splitward.runtime import encoding, manifest, messages, parsing, recording
    from splitward.runtime.cloud import grpc_messages, http_messages, tensors  # noqa: F401 - instrumented

from runtime import bundles, test_cloud_decoding
from runtime.clouds import toy
from splitward.core.errors import BundleError, CloudError, RecordError, WireError

RUNS, LONGEST, MEMORY_MIB = 100_000, 4096, 512
EDGE, _ = toy("none")
CUT = EDGE.manifest.cuts[0]
FORMS = ["", *encoding.ENCODINGS]


def in_one_sentence(error: Exception) -> None:
    test_cloud_decoding.sentence(error)


def grpc(data: bytes) -> None:
    """A request, under the walk that long messages have."""
    test_cloud_decoding.over_wire(data)


def grpc_several(data: bytes) -> None:
    """The same for a model of several inputs."""
    test_cloud_decoding.over_wire(data, test_cloud_decoding.SEVERAL)


def http(data: bytes) -> None:
    """Two bytes say how long the JSON claims to be, or that there is nothing else."""
    length = int.from_bytes(data[:2], "big")
    test_cloud_decoding.over_http((data[2:], None if length == 0xFFFF else str(length)))


def tensor(data: bytes) -> None:
    """The first byte chooses the form, and whether what follows is compressed first: else no mutation passes zstd."""
    how, rest = data[0] if data else 0, data[1:]
    form = FORMS[how % len(FORMS)]
    if form.endswith("zstd") and how & 0x80:
        rest = encoding.zstd.compress(rest)
    try:
        found = encoding.decode(rest, form, "float32", (2, 5))
    except WireError as error:
        in_one_sentence(error)
    else:
        assert found.shape == (2, 5)
        assert found.dtype == "float32"


def answer(data: bytes) -> None:
    """What a hostile cloud says to the device."""
    request = messages.Request("1", b"", 2)
    try:
        outputs = messages.answer(parsing.infer_response(data), request, CUT)
    except (CloudError, WireError) as error:
        in_one_sentence(error)
    else:
        assert [o.shape for o in outputs] == [(2, *t.shape) for t in CUT.outputs]


def bundle(data: bytes) -> None:
    """A manifest whose signature was right."""
    try:
        found = manifest.decode(data)
    except BundleError as error:
        in_one_sentence(error)
    else:
        assert manifest.decode(manifest.encode(found)) == found


_FILE = os.memfd_create("recording")


def wire(data: bytes) -> None:
    """A recording."""
    os.ftruncate(_FILE, 0)
    os.pwrite(_FILE, data, 0)
    try:
        recording.read(Path(f"/proc/self/fd/{_FILE}"), limit=1 << 20)
    except RecordError as error:
        in_one_sentence(error)


def _requests() -> Iterator[bytes]:
    yield from test_cloud_decoding.right_messages()
    yield test_cloud_decoding.good(test_cloud_decoding.SEVERAL)[1].SerializeToString()


def _bodies() -> Iterator[bytes]:
    for body, header in test_cloud_decoding.right_bodies():
        yield int(header or 0xFFFF).to_bytes(2, "big") + body


def _recordings() -> Iterator[bytes]:
    about = recording.About(bundle_sha256="0" * 64, keyed=False, cuts=(CUT,))
    with tempfile.TemporaryDirectory() as folder:
        made = recording.Recorder(Path(folder) / "wire", about)
        made.keep(test_cloud_decoding.right_messages()[0], CUT.cut, ("0" * 64,), 1.0, 1, 9)
        made.close()
        yield (Path(folder) / "wire").read_bytes()


def _answers() -> Iterator[bytes]:
    right = parsing.pb.ModelInferResponse(id="1", model_name=CUT.cloud.name, raw_output_contents=[bytes(40)])
    right.outputs.add(name="output_0", datatype="FP32", shape=[2, 5])
    yield right.SerializeToString()


def _tensors() -> Iterator[bytes]:
    for k in range(len(FORMS)):
        for size in (20, 26, 40):
            yield bytes([k | 0x80]) + bytes(size)


def _manifests() -> Iterator[bytes]:
    yield manifest.encode(EDGE.manifest)
    yield manifest.encode(bundles.cloud_manifest(b""))


TARGETS: dict[str, tuple[Callable[[bytes], None], Callable[[], Iterator[bytes]]]] = {
    "grpc": (grpc, _requests),
    "grpc_several": (grpc_several, _requests),
    "http": (http, _bodies),
    "tensor": (tensor, _tensors),
    "answer": (answer, _answers),
    "manifest": (bundle, _manifests),
    "recording": (wire, _recordings),
}


def run(name: str, options: list[str]) -> None:
    """Under libFuzzer, which ends the process."""
    parsing.SHORT_BYTES = 0
    attempt, seeds = TARGETS[name]
    corpus = HERE / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (corpus / f"right-{number}").write_bytes(seed)
    words = [f"-max_len={LONGEST}", f"-rss_limit_mb={MEMORY_MIB}", "-timeout=1", "-print_final_stats=1", *options]
    if all(option.startswith("-") for option in options):  # else a message of its own is named
        words.append(str(corpus))
    atheris.Setup([sys.argv[0], f"-artifact_prefix={HERE}/{name}-", *words], attempt)
    atheris.Fuzz()


def main() -> None:
    if len(sys.argv) > 1:
        run(sys.argv[1], sys.argv[2:])
    for name in TARGETS:
        print(f"== {name}", flush=True)
        words = [sys.executable, __file__, name, f"-runs={RUNS}", "-verbosity=0"]
        if subprocess.run(words, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode:
            raise SystemExit(f"{name}: the message that did it is {HERE}/{name}-...")


if __name__ == "__main__":
    main()
