"""``splitward cuts`` from end to end."""

from __future__ import annotations

import json

import pytest

from splitward.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["cuts", *words])
    captured = capsys.readouterr()
    return int(end.value.code or 0), captured.out, captured.err


def test_the_table_of_lenet5(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "lenet5")
    assert (status, err) == (0, "")
    row = next(line for line in out.splitlines() if line.startswith("ReLU2"))
    assert row.split() == ["ReLU2", "16x8x8", "4,096", "88.5", "%", "7.6", "%"]


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "lenet5", "--json")
    document = json.loads(out)
    assert (status, err) == (0, "")
    assert document["input"] == {"shape": [1, 28, 28], "dtype": "float32"}
    assert [cut["name"] for cut in document["cuts"]][:2] == ["conv1", "ReLU1"]
    assert document["cuts"][0]["activation"] == [{"shape": [8, 24, 24], "dtype": "float32"}]


def test_an_unknown_model_and_a_bad_shape_are_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (("lenet6",), ("lenet5", "--input", "28")):
        status, out, err = run(capsys, *words)
        assert (status, out) == (2, "")
        assert err.count("\n") == 1
