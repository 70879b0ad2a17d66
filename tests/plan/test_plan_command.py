"""``splitward plan``: limits, reasons, leakage from records, wrong input; all of it without torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from plan.test_plan_alexnet import COSTS, said
from record.factory import make_record
from splitward.core.errors import UsageError
from splitward.plan import choice, costs, document, privacy, profiles, setting, uncertainty
from splitward.plan.problem import Limits
from splitward.record import store

NO_TORCH = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "pytorch_msssim", "sklearn", "skimage", "scipy"):
            raise ModuleNotFoundError(f"{name} is not installed here", name=name)

sys.meta_path.insert(0, Refuse())
from splitward.cli.main import main
main(sys.argv[1:])
"""

BASE = ("plan", "--profile", str(COSTS), "--cloud", "server-k40")


@pytest.fixture
def lenet5(tmp_path):
    """Costs of LeNet-5 by hand: every operation of the record factory's cuts in one chain."""
    names = ("conv1", "ReLU1", "pool1", "conv2", "ReLU2", "pool2", "fc1", "fc1act", "fc2", "fc2act", "fc3")
    sizes = (4608, 4608, 1152, 1024, 1024, 256, 120, 120, 84, 84, 10)
    values = [costs.Value(producer=-1, consumers=(0,), elements=784, bytes=3136, raw=True, storage=0)]
    values += [
        costs.Value(
            producer=i, consumers=(i + 1,) if i < 10 else (), elements=n, bytes=4 * n, output=i == 10, storage=i + 1
        )
        for i, n in enumerate(sizes)
    ]
    kinds = {"conv": "convolution", "fc": "linear", "pool": "pooling"}
    operations = [
        costs.Operation(
            name=n,
            kind="activation" if "act" in n or "ReLU" in n else next(k for p, k in kinds.items() if n.startswith(p)),
            flops=100_000 * (n[:2] in ("co", "fc")),
        )
        for n in names
    ]
    cuts = [costs.CutCosts(name=n, last=i, elements=sizes[i]) for i, n in enumerate(names)]
    found = costs.Costs(
        model="lenet5", input=(1, 28, 28), weights={}, operations=tuple(operations), values=tuple(values),
        cuts=tuple(cuts),
    )  # fmt: skip
    costs.save(found, tmp_path / "lenet5.json")
    return tmp_path / "lenet5.json"


@pytest.fixture
def runs(tmp_path):
    """One finished audit, of LeNet-5 at ReLU2 under dropout."""
    record, tensors = make_record()
    store.save(record, tmp_path / "runs" / "one", tensors)
    return tmp_path / "runs", record


@pytest.mark.parametrize(
    ("words", "needed"),
    [
        (["--latency", "50 parsecs"], ["'parsecs'", "ms"]),
        (["--latency", "1"], ["no unit"]),
        (["--latency", "-5 ms"], ["negative"]),
        (["--bandwidth", "-3 Mbit/s"], ["negative"]),
        (["--bandwidth", "0 Mbit/s"], ["zero"]),
        (["--latency", "1 ms"], ["528 ms", "limit of 1 ms", "relax"]),
        (["--latency", "600 ms", "--edge-memory", "9 MB"], ["--latency", "--edge-memory", "12.6 MB", "9 MB"]),
        (["--objective", "speed"], ["latency, energy, throughput, money"]),
        (["--objective", "latency=-1"], ["above 0"]),
        (["--device", "rasberry-pi-4"], ["raspberry-pi-4"]),
        (["--network", "wify"], ["wifi"]),
        (["--percentile", "300"], ["0 to 100"]),
        (["--max-excess", "3"], ["0 to 1"]),
        (["--wire", "int4"], ["float32"]),
        (["--audit", "sometimes"], ["needed"]),
        (["--runs", "nowhere"], ["nowhere"]),
        (["--trace", "nowhere"], ["Mbit/s a line"]),
        (["--device", "measured"], ["no timings"]),
        (["--batch", "0"], ["below 1"]),
        (["--arrivals", "9e9 /s", "--edge-memory", "1 MB"], ["falls behind"]),
        (["--model", "lenet5"], ["either"]),
        (["--wire", "int8", "--audit", "needed"], ["float32 only"]),
        (["--min-accuracy", "0.9"], ["not audited"]),
        (["--latency", "1e306 s", "--json"], ["not finite"]),
        (["--cloud", "raspberry-pi-4", "--objective", "money"], ["usd_per_hour"]),
    ],
)
def test_wrong_or_impossible_input_is_one_sentence_and_status_2(capsys, words, needed):
    code, output = said(capsys, *BASE, *words)
    assert code == 2
    assert output.err.count("\n") == 1
    for text in needed:
        assert text in output.err


@pytest.mark.parametrize("content", ["", "[", '{"schema_version": 1}', '{"schema_version": 7}', "\x00"])
def test_a_damaged_cost_file_is_refused(capsys, tmp_path, content):
    file = tmp_path / "costs.json"
    file.write_text(content)
    code, output = said(capsys, "plan", "--profile", str(file))
    assert code == 2
    assert "costs.json" in output.err


@pytest.mark.parametrize(
    "content", ["- 1", "title: [", "title: x\nrole: device\nactive_w: {value: -1, source: x, mark: assumed}"]
)
def test_a_wrong_profile_is_refused(capsys, tmp_path, content):
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    code, output = said(capsys, *BASE, "--device", str(file))
    assert code == 2
    assert "mine.yaml" in output.err


def test_every_row_that_is_not_allowed_has_a_reason_with_numbers(capsys):
    code, output = said(capsys, *BASE, "--edge-memory", "200 MB", "--energy", "600 mJ", "--json")
    assert code == 0
    document = json.loads(output.out)
    refused = [row for row in document["cuts"] if not row["feasible"]]
    assert refused
    for row in refused:
        assert all(any(c.isdigit() for c in reason) for reason in row["reasons"])
    assert {"name", "feasible", "reasons", "latency_ms", "energy_mj", "edge_memory_bytes", "wire_bytes"} <= set(
        refused[0]
    )
    assert document["limits"] == {"edge_memory_bytes": 2e8, "energy_mj": 600.0}


def test_leakage_comes_from_records_and_is_never_guessed(lenet5, runs, capsys):
    folder, record = runs
    _, output = said(
        capsys, "plan", "--profile", str(lenet5), "--cloud", "server-k40", "--runs", str(folder), "--json",
        "--defence", record.target.defence, "--defence", "none",
    )  # fmt: skip
    rows = json.loads(output.out)["cuts"]
    audited = [row for row in rows if row["audited"]]
    assert [(row["name"], row["defence"]) for row in audited] == [(record.target.cut.name, record.target.defence)]
    expected = privacy.evidence(record)
    assert audited[0]["excess"] == pytest.approx(expected.excess)
    assert audited[0]["accuracy"] == record.target.accuracy.defended
    others = [r for r in rows if not r["audited"] and r["name"] not in ("cloud-only", "edge-only")]
    assert all(r["excess"] is None and r["accuracy"] is None for r in others)


def test_records_that_say_nothing_are_not_passed_over_in_silence(lenet5, runs, capsys, tmp_path):
    folder, _ = runs
    other = costs.load(lenet5).model_copy(update={"weights_sha256": "f" * 64})
    costs.save(other, tmp_path / "other.json")
    _, output = said(capsys, "plan", "--profile", str(tmp_path / "other.json"), "--runs", str(folder), "--json")
    assert "no record below --runs is of this model" in output.err
    assert not any(row["audited"] for row in json.loads(output.out)["cuts"])
    _, output = said(capsys, "plan", "--profile", str(lenet5), "--runs", str(folder), "--json")
    assert "no record" not in output.err


def planned(lenet5, known, **wanted):
    device = profiles.device("mobile")
    where = setting.Setting(costs.load(lenet5), device, profiles.device("server-k40"), profiles.network("wifi", device))
    return choice.plan(where, choice.Wanted({"energy": 1.0}, Limits(edge_memory_bytes=2e4), **wanted), known)


def test_audits_are_asked_for_from_the_cheapest_on_until_the_choice_is_certain(lenet5):
    """Whatever the audits say, in the end the choice is the best of those that keep the limit, with fewer audits."""
    truth = {name: i / 12 for i, name in enumerate(("fc2", "fc1", "pool2", "conv2", "ReLU2"))}
    known, asked = {}, []
    while (row := choice.next_to_audit(found := planned(lenet5, known, max_excess=0.2))) is not None:
        asked.append(row)
        excess = 1 - truth.get(row.name, 0.0) if row.name != "pool1" else 0.1
        known[(row.name, row.defence)] = privacy.Evidence(0.9, 0.95, excess, True)
    assert [r.value for r in asked] == sorted(r.value for r in asked)
    everything = {
        (c.name, "none"): privacy.Evidence(0.9, 0.95, 0.1 if c.name == "pool1" else 1 - truth.get(c.name, 0.0), True)
        for c in costs.load(lenet5).cuts
    }
    assert found.best == planned(lenet5, everything, max_excess=0.2).best
    assert found.best is None or len(asked) < len(everything)


def test_a_record_without_a_believable_verdict_keeps_no_limit(lenet5):
    known = {("fc1", "none"): privacy.Evidence(0.9, 0.95, None, False, "there is no verdict.")}
    row = next(r for r in planned(lenet5, known, max_excess=0.5).rows if r.name == "fc1")
    assert "no believable verdict" in row.reasons["--max-excess"]


def test_what_was_recovered_speaks_against_a_row_without_a_verdict(lenet5, runs):
    """A lower limit on what leaks needs no belief in the attack; it is a reason to reject, and never one to allow."""
    _, record = runs
    unsure = record.model_copy(update={"verdict": None, "no_verdict": "no white-box attack can be believed."})
    said_of_it = privacy.evidence(unsure)
    assert said_of_it.excess is None
    assert 0 < said_of_it.at_least <= record.verdict.excess
    at = (record.target.cut.name, "none")
    low = said_of_it.at_least
    for limit, words in ((low / 2, "at least"), (low + 0.01, "no believable")):
        rows = planned(lenet5, {at: said_of_it}, max_excess=limit).rows
        row = next(r for r in rows if r.name == at[0])
        assert words in row.reasons["--max-excess"]
        assert (row.at_least, row.audited) == (low, False)


def test_records_of_other_weights_data_or_effort_say_nothing_and_every_attacker_is_needed(runs):
    folder, record = runs
    asked = privacy.Asked("lenet5")
    assert privacy.read([folder], asked)
    for wrong in ({"weights_sha256": "f" * 64}, {"data": "digits"}, {"effort": "thorough"}):
        assert not privacy.read([folder], privacy.Asked("lenet5", **wrong))
    said = privacy.evidence(record.model_copy(update={"threat_models": ("white-box",)}))
    assert not said.believable
    assert "black-box" in said.why


def test_conflicting_records_give_the_larger_excess_and_are_believed_together():
    good, bad = privacy.Evidence(0.9, 0.95, 0.1, True), privacy.Evidence(0.9, 0.95, 0.8, False, "no.")
    for pair in ((good, bad), (bad, good)):
        both = privacy._together(*pair)
        assert (both.excess, both.believable, both.why) == (0.8, False, "no.")


def test_an_unknown_accuracy_keeps_no_limit(lenet5):
    for row in planned(lenet5, {}, min_accuracy=0.5).rows:
        if row.name in ("cloud-only", "edge-only"):
            assert row.reasons["--min-accuracy"] == "its accuracy was not measured"


def test_money_and_throughput_are_of_one_inference_whatever_the_batch(capsys):
    found = []
    for batch in ("1", "8"):
        _, output = said(capsys, *BASE, "--cloud", "cloud-gpu", "--batch", batch, "--json")
        found.append(next(r for r in json.loads(output.out)["cuts"] if r["name"] == "cloud-only"))
    assert found[1]["throughput_per_s"] == pytest.approx(found[0]["throughput_per_s"], rel=0.01)  # the link's
    assert found[1]["usd_per_million"] <= found[0]["usd_per_million"]


def test_what_no_profile_says_is_null_or_refused(lenet5):
    device = profiles.device("mobile").model_copy(update={"active_w": None})
    where = setting.Setting(
        costs.load(lenet5), device, profiles.device("server-k40"), profiles.network("wifi", device), arrivals_per_s=1
    )
    with pytest.raises(UsageError, match="active_w"):
        choice.plan(where, choice.Wanted({"energy": 1.0}, Limits()), {})
    told = document.document(choice.plan(where, choice.Wanted({"latency": 1.0}, Limits()), {}))
    assert next(r for r in told["cuts"] if r["name"] == "edge-only")["energy_mj"] is None
    json.dumps(told, allow_nan=False)


def test_sensitivity_to_bandwidth_is_that_of_a_plan_at_that_bandwidth(lenet5):
    found = planned(lenet5, {})
    for shift in uncertainty.sensitivity(found):
        if shift.constant == "bandwidth":
            moved = choice.plan(found.setting.with_uplink(found.setting.uplink * shift.factor), found.wanted, {})
            assert shift.best == moved.best.name


def test_a_cloud_that_would_fall_behind_gives_no_number_for_the_regret(capsys):
    words = ("--objective", "latency", "--bandwidth", "1 Gbit/s", "--json", "--arrivals")
    _, output = said(capsys, *BASE, *words, "1 /s")
    row = next(r for r in json.loads(output.out)["cuts"] if r["name"] == "cloud-only")
    service = row["latency_ms"]["cloud"]
    _, output = said(capsys, *BASE, *words, f"{850 / service:.4f} /s")
    regrets = [s["regret"] for s in json.loads(output.out)["sensitivity"] if s["constant"] == "cloud time"]
    assert None in regrets


def test_a_fit_has_a_coefficient_for_each_feature():
    with pytest.raises(ValueError, match="coefficients"):
        profiles.Fit(form="linear", features=("flops",), coefficients=(1.0,), error=0, samples=1)


def test_the_choice_flips_where_it_says():
    device = profiles.device("mobile")
    where = setting.Setting(costs.load(COSTS), device, profiles.device("server-k40"), profiles.network("wifi", device))
    wanted = choice.Wanted({"latency": 1.0}, Limits())
    turns = uncertainty.flips(choice.plan(where, wanted, {}))
    assert [(t.below, t.above) for t in turns] == [("edge-only", "pool5"), ("pool5", "cloud-only")]
    for turn in turns:
        for factor, name in ((0.99, turn.below), (1.01, turn.above)):
            assert choice.plan(where.with_uplink(turn.mbit_per_s * factor), wanted, {}).best.name == name


def test_a_trace_and_a_percentile_are_one_bandwidth_each():
    link, trace = profiles.network("lte"), [1.0, 2.0, 4.0, 8.0]
    assert setting.effective_uplink(link, trace, None) == pytest.approx(4 / (1 + 0.5 + 0.25 + 0.125))
    assert setting.effective_uplink(link, trace, 75) == 2.0
    slow, fast = (setting.effective_uplink(link, None, p) for p in (95, 5))
    assert slow < link.uplink_mbit_per_s.value < fast
    device = profiles.device("tk1-gpu")
    base = setting.Setting(costs.load(COSTS), device, profiles.device("server-k40"), link)
    chosen = 0b111
    mean = sum(base.with_uplink(b).problem().evaluate(chosen).energy_mj for b in trace) / 4
    at_mean = base.with_uplink(setting.effective_uplink(link, trace, None)).problem().evaluate(chosen).energy_mj
    assert at_mean == pytest.approx(mean)


def test_no_torch_is_imported_to_plan_from_saved_profiles_and_records(lenet5, runs, tmp_path):
    folder, record = runs
    words = [
        "plan", "--profile", str(lenet5), "--runs", str(folder), "--defence", record.target.defence, "--max-excess",
        "0.99", "--report", str(tmp_path / "plan.html"), "--out", str(tmp_path / "AUDIT.toml"),
    ]  # fmt: skip
    done = subprocess.run([sys.executable, "-c", NO_TORCH, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Where to cut lenet5" in (tmp_path / "plan.html").read_text()
    assert (tmp_path / "AUDIT.toml").exists()


def test_the_settings_that_are_written_are_taken_by_the_audit(capsys, tmp_path):
    from splitward.audit.settings import read_settings

    file = tmp_path / "AUDIT.toml"
    code, _ = said(capsys, *BASE, "--out", str(file), "--data", "photos")
    assert code == 0
    settings = read_settings(file, {})
    assert (settings.model, settings.data, settings.at) == ("alexnet", "photos", ("pool5",))


def test_the_page_names_the_choice_and_every_reason(capsys, tmp_path):
    code, _ = said(capsys, *BASE, "--edge-memory", "200 MB", "--report", str(tmp_path / "plan.html"))
    assert code == 0
    page = Path(tmp_path / "plan.html").read_text()
    assert "pool5" in page
    assert "it needs 231 MB on the edge, above the limit of 200 MB" in page


def parallel():
    """x feeds a, which is slow on the edge, and b, which is slow on the cloud; y joins them."""
    values = [
        costs.Value(producer=-1, consumers=(0,), elements=100, bytes=400, raw=True, storage=0),
        costs.Value(producer=0, consumers=(1, 2), elements=50, bytes=200, storage=1),
        costs.Value(producer=1, consumers=(3,), elements=50, bytes=200, storage=2),
        costs.Value(producer=2, consumers=(3,), elements=1, bytes=4, storage=3),
        costs.Value(producer=3, consumers=(), elements=1, bytes=4, output=True, storage=4),
    ]
    operations = [
        costs.Operation(name="x", kind="other"),
        costs.Operation(name="a", kind="convolution", flops=400_000_000),
        costs.Operation(name="b", kind="pooling"),
        costs.Operation(name="y", kind="convolution", flops=400_000_000),
    ]
    cuts = [costs.CutCosts(name=n, last=i, elements=e) for i, (n, e) in enumerate((("x", 50), ("a", 100), ("b", 51)))]
    return costs.Costs(
        model="parallel", input=(1, 10, 10), weights={}, operations=tuple(operations), values=tuple(values),
        cuts=tuple(cuts),
    )  # fmt: skip


def test_the_best_cut_may_lie_between_branches_and_is_then_not_allowed_under_limits_on_leakage(capsys):
    slow = profiles.Fit(form="linear", features=(), coefficients=(1000.0,), error=0, samples=1)
    free = slow.model_copy(update={"coefficients": (0.0,)})
    fits = {"pooling": slow, "other": free, "convolution": free}
    cloud = profiles.Device(title="slow at pooling", role="cloud", fits=fits)
    device = profiles.device("mobile")
    where = setting.Setting(parallel(), device, cloud, profiles.network("wifi", device))
    found = choice.plan(where, choice.Wanted({"latency": 1.0}, Limits()), {})
    assert found.best.name == "x+b"
    assert found.best.choice.wire_bytes == 4 * 51
    assert "several branches" in document.audit_settings(found, None)
    private = choice.plan(where, choice.Wanted({"latency": 1.0}, Limits(), max_excess=0.5), {})
    refused = next(r for r in private.rows if r.name == "x+b")
    assert refused.reasons == {"--max-excess": choice.BRANCHES}
    assert choice.next_to_audit(private).name == "b"


@pytest.mark.slow
def test_an_audit_on_demand_decides(tmp_path, capsys):
    words = (
        "plan", "--model", "lenet5", "--data", "digits", "--cloud", "server-k40", "--edge-memory", "200 kB",
        "--max-excess", "0.9", "--audit", "needed", "--samples", "20", "--runs", str(tmp_path / "runs"), "--json",
    )  # fmt: skip
    code, output = said(capsys, *words)
    told = json.loads(output.out)
    audited = [row for row in told["cuts"] if row["audited"]]
    assert audited
    assert told["certain"]
    assert code == (0 if told["choice"] else 2)
    if told["choice"]:
        chosen = next(r for r in told["cuts"] if r["name"] == told["choice"])
        assert chosen["excess"] <= 0.9
    code, again = said(capsys, *words)
    assert json.loads(again.out)["choice"] == told["choice"]  # from the records, without another audit
