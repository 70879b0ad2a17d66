"""Calibration finds again what made the timings, and says how far off it is on what it did not see."""

import json

import pytest

from plan.test_plan_alexnet import COSTS, said
from splitward.plan import costs, profiles
from splitward.plan.calibrate import as_yaml, calibrate, fit
from splitward.plan.latency import all_ms, features


def timed(noise=0.0):
    """AlexNet's costs with timings by a known law: 0.02 ms + 0.1 ms a Mflop + 0.5 ms a MB of weights."""
    held = costs.load(COSTS)
    operations = []
    for i, operation in enumerate(held.operations):
        found = features(operation, held)
        ms = 0.02 + 1e-7 * found["flops"] + 5e-7 * found["weight_bytes"] + 1e-8 * found["output_bytes"]
        ms *= 1 + noise * (-1) ** i
        timing = costs.Timing(median_ms=ms, low_ms=ms, high_ms=ms, repetitions=9)
        operations.append(operation.model_copy(update={"timing": timing}))
    return held.model_copy(update={"operations": tuple(operations)})


def test_a_linear_law_is_found_again():
    rows = [{"flops": float(f), "weight_bytes": float(w)} for f in (1, 5, 20, 80) for w in (3, 10, 40)]
    times = [0.5 + 2 * r["flops"] + 0.25 * r["weight_bytes"] for r in rows]
    found = fit(("flops", "weight_bytes"), rows, times)
    assert found.form == "linear"
    assert found.coefficients == pytest.approx((0.5, 2.0, 0.25), rel=1e-6)
    assert found.error < 1e-6


def test_a_power_law_is_found_again():
    rows = [{"flops": float(10**k)} for k in range(1, 13)]
    found = fit(("flops",), rows, [0.01 * r["flops"] ** 0.7 for r in rows])
    assert found.form == "logarithmic"
    assert found.coefficients[1] == pytest.approx(0.7, abs=0.02)


def test_the_error_is_of_what_was_not_seen():
    rows = [{"flops": float(f)} for f in range(1, 21)]
    noisy = [f["flops"] * (1.2 if i % 2 else 0.8) for i, f in enumerate(rows)]
    assert 0.1 < fit(("flops",), rows, noisy).error < 0.4


def test_a_calibrated_profile_predicts_the_whole_model_and_is_read_back(tmp_path):
    measured = timed(noise=0.05)
    profile = calibrate([measured], "mine")
    (tmp_path / "mine.yaml").write_text(as_yaml(profile))
    again = profiles.device(str(tmp_path / "mine.yaml"))
    assert again == profile
    assert sum(all_ms(measured, again)) == pytest.approx(sum(all_ms(measured, None)), rel=0.15)


def test_the_command_writes_a_profile_that_the_plan_takes(tmp_path, capsys):
    costs.save(timed(), tmp_path / "measured.json")
    file = tmp_path / "mine.yaml"
    code, output = said(capsys, "calibrate", str(tmp_path / "measured.json"), "--out", str(file), "--json")
    assert code == 0
    assert {"convolution", "linear"} <= set(json.loads(output.out)["fits"])
    code, output = said(capsys, "plan", "--profile", str(COSTS), "--device", str(file), "--json")
    assert code == 0
    assert json.loads(output.out)["latency_source"]["edge"] == "modelled"


def test_costs_without_timings_cannot_calibrate(capsys):
    code, output = said(capsys, "calibrate", str(COSTS))
    assert code == 2
    assert "no timings" in output.err
