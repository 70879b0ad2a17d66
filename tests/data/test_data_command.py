"""``splitward data list`` and ``check``."""

import json

import numpy as np
import pytest
from PIL import Image

from splitward.cli.data import check_command, list_command
from splitward.core.errors import DataError
from splitward.data.catalogue import Cifar10


def test_list_says_what_is_where(tmp_path, capsys):
    (tmp_path / "mnist").mkdir()
    list_command(tmp_path, as_json=True)
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {"cifar10", "digits", "faces", "fashion-mnist", "mnist", "photos"} <= rows.keys()
    assert rows["digits"]["where"] == "embedded"
    assert rows["mnist"]["where"] == "in the data directory"
    assert rows["cifar10"]["where"] == "to be fetched"
    assert rows["faces"]["image"] == "1x25x25"
    assert all(row["summary"] for row in rows.values())
    list_command(tmp_path)
    said = capsys.readouterr().out
    assert "cifar10" in said
    assert str(tmp_path) in said.replace("\n", "")


def test_check_reads_a_data_directory(tmp_path, capsys):
    home = tmp_path / "cifar-10-batches-bin"
    home.mkdir()
    draws = np.random.default_rng(0)
    for name in Cifar10.batches:
        rows = draws.integers(0, 256, (4, 3073), dtype=np.uint8)
        rows[:, 0] %= 10
        rows.tofile(home / f"{name}.bin")
    check_command(tmp_path)
    assert "cifar10: 20 train, 2 public, 2 held out; 10 classes; images 3x32x32" in capsys.readouterr().out
    (home / "test_batch.bin").unlink()
    with pytest.raises(DataError, match="lacks test_batch"):
        check_command(tmp_path)


def test_check_reads_a_folder_of_images(tmp_path, capsys):
    for i in range(10):
        pixels = np.random.default_rng(i).integers(0, 256, (12, 12), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    check_command(tmp_path)
    said = capsys.readouterr().out
    assert "6 train, 2 public, 2 held out; no classes; images 1x12x12" in said
    with pytest.raises(DataError, match="no folder"):
        check_command(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image"):
        check_command(tmp_path / "empty")
