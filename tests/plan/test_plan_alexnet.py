"""AlexNet on a phone over Wi-Fi, as in figure 2 of the paper, and on the devices of Neurosurgeon."""

import csv
import json

import pytest

from splitward.cli.main import main
from splitward.plan import costs, profiles
from splitward.plan.choice import Wanted, plan
from splitward.plan.problem import Limits
from splitward.plan.setting import Setting
from splitward.reproduce.costs import ALEXNET as COSTS

FIGURE_2 = """deployment,latency_transmission_s,latency_edge_s,energy_transmission_j,energy_edge_j
cloud-only,1.08,0.0,0.36,0.0
edge-only,0.0,0.82,0.0,0.62
collaborative,0.26,0.26,0.08,0.21"""
"""He, Zhang, Lee (IoTJ 2020), read off the bars with an error of about 0.02."""


def said(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main([*words])
    return end.value.code, capsys.readouterr()


def mobile(capsys, *words):
    code, output = said(
        capsys, "plan", "--profile", str(COSTS), "--device", "mobile", "--network", "wifi", "--cloud", "server-k40",
        "--json", *words,
    )  # fmt: skip
    assert code == 0, output.err
    return json.loads(output.out)


def test_every_bar_of_figure_2_is_met(capsys):
    document = mobile(capsys)
    cuts = {row["name"]: row for row in document["cuts"]}
    assert document["choice"] == "pool5"
    for bar in csv.DictReader(FIGURE_2.splitlines()):
        name = bar["deployment"]
        row = cuts[document["choice"] if name == "collaborative" else name]
        for key, part, scale in (("latency_ms", "s", 1e3), ("energy_mj", "j", 1e3)):
            for where in ("edge", "transmission"):
                expected = float(bar[f"{key.split('_')[0]}_{where}_{part}"])
                found = row[key][where] / scale
                assert abs(found - expected) <= max(0.05, 0.25 * expected) if expected else found == 0


def test_together_is_faster_and_cheaper_than_either_alone(capsys):
    document = mobile(capsys)
    latency, energy = (
        {row["name"]: sum(row[key].values()) for row in document["cuts"]} for key in ("latency_ms", "energy_mj")
    )
    assert latency["pool5"] < latency["edge-only"] < latency["cloud-only"]
    assert energy["pool5"] < energy["cloud-only"] < energy["edge-only"]


def test_every_constant_has_a_source_and_a_mark(capsys):
    constants = mobile(capsys)["constants"]
    assert {"device.gflop_per_s.convolution", "network.uplink_mbit_per_s", "cloud.memory_gb_per_s"} <= set(constants)
    assert all(q["source"] and q["mark"] in ("verified", "fitted", "assumed") for q in constants.values())


@pytest.mark.parametrize("kind", ["devices", "networks"])
def test_every_profile_can_be_read(kind):
    names = profiles.names(kind)
    assert len(names) >= 8
    for name in names:
        profile = profiles.device(name) if kind == "devices" else profiles.network(name)
        assert profile.quantities()


def best(device, network, objective="latency"):
    owner = profiles.device(device)
    setting = Setting(costs.load(COSTS), owner, profiles.device("server-k40"), profiles.network(network, owner))
    found = plan(setting, Wanted({objective: 1.0}, Limits()), {})
    assert found.solution.proven
    return found.best.name


@pytest.mark.parametrize(
    ("device", "network", "latency", "energy"),
    [
        ("tk1-gpu", "3g", "edge-only", "pool5"),
        ("tk1-gpu", "lte", "edge-only", "pool5"),
        ("tk1-gpu", "wifi", "pool5", "cloud-only"),
        ("tk1-cpu", "3g", "edge-only", "pool5"),
        ("tk1-cpu", "lte", "pool5", "cloud-only"),
        ("tk1-cpu", "wifi", "cloud-only", "cloud-only"),
    ],
)
def test_where_alexnet_is_cut_on_the_devices_of_neurosurgeon(device, network, latency, energy):
    """docs/planning.md says why. Neurosurgeon itself cuts after pool5 with Wi-Fi and the GPU (from memory)."""
    assert best(device, network) == latency
    assert best(device, network, "energy") == energy
