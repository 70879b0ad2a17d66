"""IDX and CIFAR files: sound ones are read, broken and hostile ones are refused by one sentence."""

import contextlib
import gzip
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from splitward.core.errors import DataError
from splitward.data.catalogue import Cifar10, FashionMnist, Mnist
from splitward.data.cifar import read_binary_batch, read_pickle, read_python_batch
from splitward.data.dataset import load
from splitward.data.idx import read_idx

ONCE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def idx(array, kind=8):
    return struct.pack(f">HBB{array.ndim}I", 0, kind, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress], ids=["plain", "gzip"])
def test_idx_round_trip(tmp_path, images, pack):
    path = tmp_path / "images"
    path.write_bytes(pack(idx(images)))
    assert (read_idx(path, 3) == images).all()


@given(length=st.integers(0, 7 * 784 + 15))
@ONCE
def test_every_truncated_idx_is_refused(tmp_path, images, length):
    path = tmp_path / "images"
    path.write_bytes(idx(images)[:length])
    with pytest.raises(DataError, match="truncated"):
        read_idx(path, 3)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (idx(np.zeros((3, 28, 28), np.uint8), kind=0x0D), "no IDX file of unsigned bytes"),
        (b"PK\x03\x04" + bytes(100), "no IDX file of unsigned bytes"),
        (idx(np.zeros(10, np.uint8)), "array of 1 dimensions"),
        (idx(np.zeros((3, 28, 28), np.uint8)) + b"more", "too long"),
        (struct.pack(">HBBIII", 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), "truncated"),
        (gzip.compress(idx(np.zeros((3, 28, 28), np.uint8)))[:-20], "truncated"),
        (b"\x1f\x8bnot gzip at all", "cannot be read"),
        (b"", "truncated"),
    ],
    ids=["type", "magic", "dimensions", "too long", "giant header", "cut gzip", "broken gzip", "empty"],
)
def test_broken_idx_is_refused(tmp_path, content, says):
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(DataError, match=says) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value)


def test_missing_idx_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        read_idx(tmp_path / "images", 3)


def write_idx_set(folder, train, test, pack=gzip.compress, suffix=".gz", labels=None):
    folder.mkdir(parents=True)
    draws = np.random.default_rng(1)
    for name, count in (("train", train), ("t10k", test)):
        pixels = draws.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        names = np.arange(labels if labels is not None else count, dtype=np.uint8) % 10
        (folder / f"{name}-images-idx3-ubyte{suffix}").write_bytes(pack(idx(pixels)))
        (folder / f"{name}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(names)))


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_idx_set_in_roles_with_a_warning_for_unofficial_files(tmp_path, suffix):
    write_idx_set(tmp_path / "mnist", 80, 20, gzip.compress if suffix else bytes, suffix)
    data = load("mnist", data_dir=tmp_path)
    assert [len(data.train), len(data.public), len(data.held_out)] == [60, 20, 20]
    assert data.train.images.shape == (60, 1, 28, 28)
    assert data.train.labels.tolist() == [i % 10 for i in range(60)]
    assert len(data.warnings) == 1
    assert "official" in data.warnings[0]


def test_idx_files_that_do_not_belong_together(tmp_path):
    write_idx_set(tmp_path / "fashion-mnist", 80, 20, labels=79)
    with pytest.raises(DataError, match="do not belong together"):
        FashionMnist().read(tmp_path, None)


def test_a_set_that_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(DataError, match="splitward data fetch mnist"):
        Mnist().read(tmp_path, None)
    write_idx_set(tmp_path / "mnist", 8, 4)
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match="lacks t10k-labels-idx1-ubyte"):
        Mnist().read(tmp_path, None)


def test_a_fixed_format_is_not_resized(tmp_path):
    write_idx_set(tmp_path / "mnist", 8, 4)
    with pytest.raises(DataError, match="1x28x28, but the model takes 3x224x224"):
        load("mnist", data_dir=tmp_path, input=(3, 224, 224))


# ---- CIFAR ----


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def batch(count=4, seed=0):
    draws = np.random.default_rng(seed)
    data = draws.integers(0, 256, (count, 3072), dtype=np.uint8)
    return {b"data": data, b"labels": [i % 10 for i in range(count)], b"batch_label": b"batch"}


@pytest.mark.parametrize("protocol", range(6))
def test_python_batch_in_every_protocol(tmp_path, protocol):
    path, content = tmp_path / "data_batch_1", batch()
    path.write_bytes(pickle.dumps(content, protocol))
    pixels, labels = read_python_batch(path)
    assert (pixels.reshape(4, -1) == content[b"data"]).all()
    assert labels.tolist() == content[b"labels"]


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("where", ["value", "key", "nested", "array"])
def test_a_hostile_pickle_executes_nothing(tmp_path, protocol, where):
    trace = tmp_path / "executed"
    bomb = Bomb(os.mkdir, str(trace))
    content = batch()
    if where == "value":
        content[b"labels"] = bomb
    elif where == "key":
        content = {(b"data", bomb): 1}
    elif where == "nested":
        content[b"batch_label"] = [{b"x": [bomb]}]
    else:
        content[b"data"] = np.array([bomb, bomb], dtype=object)
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(DataError, match="refused"):
        read_python_batch(path)
    assert not trace.exists()
    pickle.loads(path.read_bytes())  # the bomb is a real one: the plain unpickler lets it go off
    assert trace.exists()


@pytest.mark.parametrize(
    "call",
    [
        (eval, "1 + 1"),
        (getattr, np.ndarray, "tofile"),
        (np.load, "x.npy"),
        (np.dtype, "O"),
        (__import__, "os"),
    ],
    ids=["eval", "getattr", "numpy function", "object dtype", "import"],
)
def test_only_the_names_of_cifar_files_are_known(tmp_path, call):
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({b"data": Bomb(*call)}, 2))
    with pytest.raises(DataError, match="refused"):
        read_pickle(path)


@given(data=st.data())
@ONCE
def test_a_damaged_pickle_raises_nothing_else(tmp_path, data):
    whole = bytearray(pickle.dumps(batch(1), 2))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "data_batch_1"
    path.write_bytes(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    with contextlib.suppress(DataError):
        read_python_batch(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({b"data": np.zeros((4, 100), np.uint8)}, "no array"),
        ({b"data": [1, 2]}, "no array"),
        ({b"labels": [1]}, "4 labels"),
        ({b"labels": [1.5, 1, 1, 1]}, "4 labels"),
    ],
)
def test_a_pickle_that_is_no_batch(tmp_path, change, says):
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({**batch(), **change}, 2))
    with pytest.raises(DataError, match=says):
        read_python_batch(path)


def binary(content):
    return b"".join(
        bytes([label]) + row.tobytes() for label, row in zip(content[b"labels"], content[b"data"], strict=True)
    )


def test_the_two_layouts_hold_the_same(tmp_path):
    for folder in ("py/cifar-10-batches-py", "bin/cifar-10-batches-bin"):
        (tmp_path / folder).mkdir(parents=True)
    for seed, name in enumerate(Cifar10.batches):
        (tmp_path / "py/cifar-10-batches-py" / name).write_bytes(pickle.dumps(batch(6, seed), 2))
        (tmp_path / "bin/cifar-10-batches-bin" / f"{name}.bin").write_bytes(binary(batch(6, seed)))
    one, two = load("cifar10", data_dir=tmp_path / "py"), load("cifar10", data_dir=tmp_path / "bin")
    assert [len(one.train), len(one.public), len(one.held_out)] == [30, 3, 3]
    for role in ("train", "public", "held_out"):
        assert (getattr(one, role).images == getattr(two, role).images).all()
        assert (getattr(one, role).labels == getattr(two, role).labels).all()
    assert "differ from the official" in one.warnings[0]
    assert one.held_out.images[0].equal(load("cifar10", data_dir=tmp_path / "bin").held_out.images[0])


def test_binary_batch_truncated_or_missing(tmp_path):
    path = tmp_path / "data_batch_1.bin"
    path.write_bytes(binary(batch())[:-1])
    with pytest.raises(DataError, match="truncated"):
        read_binary_batch(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_binary_batch(tmp_path / "nothing.bin")


def test_labels_beyond_the_classes_are_refused(tmp_path):
    home = tmp_path / "cifar-10-batches-bin"
    home.mkdir()
    for seed, name in enumerate(Cifar10.batches):
        (home / f"{name}.bin").write_bytes(binary({**batch(6, seed), b"labels": [77] * 6}))
    with pytest.raises(DataError, match="10 classes"):
        load("cifar10", data_dir=tmp_path)


@pytest.mark.mnist
def test_mnist_itself(mnist):
    assert [len(mnist.train), len(mnist.public), len(mnist.held_out)] == [45_000, 15_000, 10_000]
    assert mnist.held_out.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]  # as printed in every tutorial
    assert abs(mnist.train.images.mean().item() - 0.1307) < 0.001  # the well-known mean


@pytest.mark.cifar
def test_cifar10_itself(cifar10):
    assert [len(cifar10.train), len(cifar10.public), len(cifar10.held_out)] == [50_000, 5_000, 5_000]
    assert [cifar10.classes[i] for i in cifar10.held_out.labels[:4]] == ["cat", "ship", "ship", "airplane"]
    means = cifar10.train.images.mean((0, 2, 3)).tolist()
    assert means == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.001)  # the well-known means
