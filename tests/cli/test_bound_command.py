"""``splitward bound``: sentences, JSON, targets, and one sentence for what is wrong."""

import json

import pytest

from splitward.cli.main import main
from splitward.record.certificate import Certificate, any_mse, variance_for

BASE = ["bound", "--model", "lenet5", "--data", "digits", "--at", "pool2", "--samples", "2"]


def run(capsys, *more):
    with pytest.raises(SystemExit) as end:
        main([*BASE, *more])
    out = capsys.readouterr()
    return end.value.code, out.out, out.err


def test_a_certificate_and_the_noise_for_a_target(capsys):
    words = ("--defence", "gaussian:2", "--observations", "4", "--target-mse", "0.005", "--json")
    status, out, _ = run(capsys, *words)
    document = json.loads(out)
    made = Certificate.model_validate_json(json.dumps(document["certificate"]))
    assert status == 0
    assert made.any_mse == pytest.approx(any_mse(made, 4))
    needed = {n["attacker"]: n["noise"] for n in document["target"]["needed"]}
    level = float(needed["any attacker, on secrets with a dither of 0.1"].removeprefix("gaussian:"))
    assert any_mse(made, 4, level**2) >= 0.005
    assert level == pytest.approx(variance_for(made, 0.005, 4) ** 0.5, rel=0.01)
    assert needed["any attacker, on secrets from a list that it holds"].startswith("gaussian:")


def test_clipping_gives_an_epsilon_and_the_terminal_says_all(capsys):
    words = ("--defence", "laplace:5", "--clip", "3", "--queries", "7", "--delta", "1e-6", "--target-psnr", "60")
    status, out, _ = run(capsys, *words)
    text = " ".join(out.split())
    assert status == 0
    assert "7 releases together are (" in text
    assert ", 1e-06)-differentially private" in text
    assert "computed for normal noise with nothing before it only" in text
    assert "an attacker without bias: laplace:" in text


def test_without_noise_it_says_empirical_only(capsys):
    status, out, _ = run(capsys, "--defence", "dropout:0.5", "--target-mse", "0.01")
    assert status == 0
    assert out.startswith("Empirical only")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--defence", "gaussian:1", "--target-mse", "0.1", "--target-psnr", "10"), "give one of them"),
        (("--defence", "gaussian:1", "--target-mse", "-1"), "--target-mse is -1"),
        (("--defence", "gaussian:1", "--target-psnr", "nan"), "--target-psnr is nan"),
        (("--defence", "gaussian:1", "--dither", "0"), "the dither is"),
        (("--defence", "gaussian:1", "--observations", "0"), "observations is 0"),
        (("--defence", "gaussian:1", "--probes", "3"), "probes is 3"),
        (("--defence", "gaussian:1", "--clip", "-2"), "clip: the level"),
        (("--defence", "magic:1"), "no defence named 'magic'"),
        (("--defence", "clip:1+gaussian:1", "--delta", "2"), "delta is 2"),
    ],
)
def test_wrong_input_is_one_sentence(capsys, words, reason):
    status, out, error = run(capsys, *words)
    assert (status, out) == (2, "")
    assert reason in error
    assert "Traceback" not in error
