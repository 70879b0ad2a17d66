"""``splitward edge`` from images to answers, in this process, against a minimal cloud."""

import io
import json
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from runtime.clouds import MinimalServer, due, served, toy
from splitward.cli.main import main
from splitward.core.errors import CloudUnavailable, DataError
from splitward.data.images import frames, images_in, read_image
from splitward.runtime import signing
from splitward.runtime.bundle import write_bundle
from splitward.runtime.edge import Edge


def run(*words):
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return ended.value.code


@pytest.fixture
def scene(tmp_path):
    """A signed bundle, five pictures, and the cloud's matrix."""
    bundle, weights = toy("gaussian:0.01", observations=2)
    signing.make_pair(tmp_path / "keys")
    key = signing.signing_key(tmp_path / "keys" / "signing.key")
    write_bundle(tmp_path / "edge", bundle.manifest, bundle.contents, key)
    (tmp_path / "pictures").mkdir()
    draws = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    for number, picture in enumerate(draws):
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{number}.png")
    words = ["edge", tmp_path / "edge", "--trust", tmp_path / "keys" / "signing.pub", "--ledger", tmp_path / "ledger"]
    return words, draws, weights, tmp_path


@pytest.mark.parametrize("more", [[], ["--stream"], ["--keyed"]], ids=str)
def test_a_folder_of_images(scene, capsys, more):
    words, draws, weights, folder = scene
    with served(MinimalServer(weights)) as port:
        status = run(*words, "--cloud", f"127.0.0.1:{port}", "--images", folder / "pictures", "--json", *more)
    document = json.loads(capsys.readouterr().out)
    labels = due(draws[:, None].astype(np.float32) / 255, weights).argmax(1)
    assert status == 0
    assert [row["input"] for row in document["answers"]] == [f"{n}.png" for n in range(5)]
    assert [row["label"] for row in document["answers"]] == labels.tolist()
    assert document["limit"] == 2
    assert document["ledger"]["releases"] == 5
    assert len(document["ledger"]["cannot_see"]) > 3


def test_frames_on_standard_input(scene, capsys, monkeypatch):
    words, draws, weights, _ = scene
    data = b"".join(b"P5\n# a camera\n3 4\n255\n" + picture.tobytes() for picture in draws)
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(data)))
    with served(MinimalServer(weights)) as port:
        assert run(*words, "--cloud", f"127.0.0.1:{port}") == 0
    out = capsys.readouterr()
    assert out.out.count("cloud") == 5
    assert "5 inputs: 5 cloud" in out.err
    assert "cannot see" in out.err


def test_what_the_ledger_refuses_is_told_and_is_status_1(scene, capsys):
    words, _, weights, folder = scene
    with served(MinimalServer(weights)) as port:
        call = [*words, "--cloud", f"127.0.0.1:{port}", "--images", folder / "pictures"]
        assert [run(*call) for _ in range(3)] == [0, 0, 1]
    out = capsys.readouterr().out
    assert out.count("refused: this input was released twice already") == 5


def test_a_recording_is_made(scene):
    from splitward.runtime.recording import read

    words, _, weights, folder = scene
    file = folder / "wire"
    with served(MinimalServer(weights)) as port:
        call = [*words, "--cloud", f"127.0.0.1:{port}", "--images", folder / "pictures", "--record", file]
        assert run(*call) == 0
        assert run(*call) == 2  # never written over
    assert len(read(file).messages) == 5


def test_what_was_queued_is_sent_as_soon_as_the_cloud_is_back(scene, capsys, monkeypatch):
    words, _, weights, folder = scene
    ask, lost = Edge._ask, [True, True, False, True, False, False, False]

    def sometimes(edge, prepared):
        if lost and lost.pop(0):
            raise CloudUnavailable("nobody there.")
        return ask(edge, prepared)

    monkeypatch.setattr(Edge, "_ask", sometimes)
    with served(MinimalServer(weights)) as port:
        call = [*words, "--cloud", f"127.0.0.1:{port}", "--images", folder / "pictures", "--without-cloud", "queue"]
        assert run(*call) == 0
    lines = capsys.readouterr().out.splitlines()
    where = [line.split("\t")[2] for line in lines]
    # two wait; the third is answered, and the first sending again fails; with the fourth answer both are sent
    assert where == ["queued", "queued", "cloud", "cloud", "cloud", "cloud", "cloud"]
    names = [line.split("\t")[0] for line in lines]
    assert names[4:6] == names[:2]


@pytest.mark.parametrize(
    ("more", "told"),
    [(["--stream", "--without-cloud", "queue"], "nothing is queued"),
     (["--wire", "int4"], "fp32, fp16, int8"), (["--without-cloud", "pray"], "fail, queue, local"),
     (["--watch", "1"], "--images"), (["--releases", "9"], "audited"), (["--images", "nowhere"], "no folder"),
     (["--cloud", "example.org:1"], "--insecure"), (["--tls", "nowhere"], "splitward certs")],
    ids=str,
)  # fmt: skip
def test_wrong_usage_is_one_sentence(scene, capsys, more, told):
    assert run(*scene[0], "--cloud", "127.0.0.1:1", *more) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_a_folder_without_images_is_wrong_usage(scene, capsys, tmp_path):
    (tmp_path / "bare").mkdir()
    assert run(*scene[0], "--cloud", "127.0.0.1:1", "--images", tmp_path / "bare") == 2
    assert "holds no image" in capsys.readouterr().err


def test_another_key_or_a_changed_bundle_is_refused(scene, capsys):
    words, _, _, folder = scene
    signing.make_pair(folder / "others")
    other = [words[0], words[1], "--trust", folder / "others" / "signing.pub", "--cloud", "127.0.0.1:1"]
    assert run(*other) == 2
    half = folder / "edge" / "edge-1.onnx"
    half.write_bytes(half.read_bytes()[:-1] + b"\x00")
    assert run(*words, "--cloud", "127.0.0.1:1") == 2
    told = capsys.readouterr().err
    assert "not signed by a key" in told
    assert "not the file that was signed" in told


def test_frames_are_read_as_files_are(tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray(picture).save(tmp_path / "b.ppm")
    (one,) = frames(io.BytesIO((tmp_path / "b.ppm").read_bytes()), (3, 4, 4))
    assert np.array_equal(one, read_image(tmp_path / "a.png", (3, 4, 4)))
    assert [p.name for p in images_in(tmp_path)] == ["a.png", "b.ppm"]


@pytest.mark.parametrize(
    "data",
    [b"PNG", b"P5", b"P5 3 4 255", b"P5 3 4 255\n123", b"P5 99999999 99999999 255\n", b"P5 -3 4 255\n",
     b"P5 3 4 65535\n", b"P5 3 4 # and no end"],
)  # fmt: skip
def test_frames_that_are_none_are_refused(data):
    with pytest.raises(DataError):
        list(frames(io.BytesIO(data), (1, 4, 4)))


def test_images_of_a_data_set_are_written_as_they_are(tmp_path):
    from splitward.data.dataset import load

    assert run("data", "images", "digits", "--out", tmp_path, "--samples", "4", "--input", "1x16x16") == 0
    pixels = load("digits", input=(1, 16, 16)).pixels[2]
    for number, path in enumerate(images_in(tmp_path)):
        assert path.stem == f"{number:05d}-{pixels.labels[number]}"
        assert np.array_equal(read_image(path, (1, 16, 16)), pixels.images[number])
    assert run("data", "images", "digits", "--out", tmp_path, "--role", "mine") == 2


NO_TORCH = """
import sys, time
start = time.perf_counter()
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "onnx", "sklearn", "skimage", "scipy"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
import numpy as np
from pathlib import Path
from splitward.runtime.edge import Edge
from splitward.runtime.options import Options
folder, port = Path(sys.argv[1]), sys.argv[2]
keys = folder / "keys" / "signing.pub"
with Edge.open(folder / "edge", trust=keys, cloud=f"127.0.0.1:{port}", ledger=folder / "own") as edge:
    edge.infer(np.full((1, 1, 4, 3), 0.5, np.float32))
told = dict(line.split(":") for line in open("/proc/self/status"))
mib = [int(told[name].split()[0]) / 1024 for name in ("VmHWM", "RssAnon")]
print(time.process_time(), time.perf_counter() - start, *mib)
print([m for m in sys.modules if m.split(".")[0] in ("torch", "onnx", "PIL")])
"""


def test_the_device_needs_no_torch_and_answers_soon(scene):
    """Processor time, which another load does not change: 1 s; memory of its own at most 60 MiB.

    What is resident in all (107 to 126 MiB were seen) also counts pages of shared libraries, as many as the kernel
    maps.
    """
    _, _, weights, folder = scene
    with served(MinimalServer(weights)) as port:
        done = subprocess.run(
            [sys.executable, "-c", NO_TORCH, str(folder), str(port)], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    numbers, modules = done.stdout.splitlines()
    processor_s, _, resident_mib, own_mib = map(float, numbers.split())
    print(numbers)
    assert modules == "[]"
    assert processor_s < 1.0
    assert own_mib < 60
    assert resident_mib < 160
