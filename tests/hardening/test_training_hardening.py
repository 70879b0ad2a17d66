"""Training, and hardened halves as a model like any other."""

import json

import pytest
import torch

from splitward.core.errors import ModelError, UsageError
from splitward.core.run import Run
from splitward.hardening.assembly import assemble, bytes_sent, write
from splitward.hardening.recipe import parse_recipe
from splitward.hardening.training import Held, Schedule, fit
from splitward.models.training import Recipe
from splitward.models.zoo import load_model
from splitward.split import cuts, split

STILL = Recipe(rotate=0, translate=0, scale=0)


def trained(victim, halves, tiny, text, *, steps=6, trains="both", seed=0, holds=False):
    run = Run(seed)
    held = Held(halves, victim.model, tiny.train, STILL, run.child("held")) if holds else None
    assembly = assemble(halves, parse_recipe(text), trains, run.child("assembly"))
    fit(assembly, victim.model, tiny.train, 3, Schedule(steps, 16), run.child("fit"), STILL, held)
    return assembly


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.state_dict().values()])


@pytest.mark.parametrize("text", ["bottleneck:4+collapse:1+quantise:1", "fisher:0.1+adversary:1+gaussian:0.5"])
@pytest.mark.parametrize("holds", [True, False])
def test_the_same_seed_gives_the_same_weights(victim, halves, tiny, text, holds):
    first, second = (trained(victim, halves, tiny, text, holds=holds) for _ in range(2))
    assert torch.equal(weights(first.model), weights(second.model))
    other = trained(victim, halves, tiny, text, holds=holds, seed=1)
    assert not torch.equal(weights(first.model), weights(other.model))


@pytest.mark.parametrize("trains", ["both", "edge", "cloud"])
def test_only_the_half_that_was_asked_for_learns(victim, halves, tiny, trains):
    made = trained(victim, halves, tiny, "bottleneck:4", trains=trains)
    body, deployed = made.model.edge[0], made.model.cloud[-1]
    assert torch.equal(weights(body), weights(halves.edge.body)) == (trains == "cloud")
    assert torch.equal(weights(deployed), weights(halves.cloud)) == (trains == "edge")
    if trains == "edge":
        assert made.halves().activation == halves.activation  # the deployed cloud half takes what it always took
        assert made.numbers == halves.activation[0].elements


def test_the_held_body_stays_and_what_is_inserted_learns(victim, halves, tiny):
    made = trained(victim, halves, tiny, "bottleneck:4", holds=True)
    fresh = assemble(halves, parse_recipe("bottleneck:4"), "both", Run(0).child("assembly"))
    assert torch.equal(weights(made.model.edge[0]), weights(halves.edge.body))
    assert not torch.equal(weights(made.model.edge[1]), weights(fresh.model.edge[1]))


def test_training_helps_the_task_and_collapse_collapses(victim, halves, tiny):
    def spread(made):
        codes = made.model.edge(made.normalise(tiny.train.images))
        centres = torch.stack([codes[tiny.train.labels == c].mean(0) for c in range(3)])
        return (codes - centres[tiny.train.labels]).square().mean().item()

    loose, tight = (
        trained(victim, halves, tiny, text, steps=80) for text in ("bottleneck:4", "bottleneck:4+collapse:30")
    )
    assert spread(tight) < 0.5 * spread(loose)


def test_a_folder_of_halves_is_a_model_like_any_other(victim, halves, tiny, tmp_path):
    made = trained(victim, halves, tiny, "bottleneck:4+quantise:1")
    hard = made.halves()
    assert (hard.cut.name, hard.activation[0].shape, bytes_sent(hard, made.recipe)) == ("edge", (4,), 1)
    write(hard, {"recipe": "bottleneck:4"}, tmp_path / "model")
    assert {p.suffix for p in (tmp_path / "model").rglob("*") if p.is_file()} == {".json", ".safetensors"}
    loaded = load_model(str(tmp_path / "model"))
    pixels = tiny.public.images
    assert torch.equal(loaded.model(pixels), hard.cloud(hard.edge(pixels)))
    assert loaded.classes == 3
    assert loaded.trained == {"recipe": "bottleneck:4"}
    again = split(loaded.model, pixels[:2], at="edge")
    assert torch.equal(again.edge(pixels), hard.edge(pixels))
    assert [cut.name for cut in cuts(loaded.model, pixels[:2])][-1] == "cloud"


def test_a_broken_folder_is_one_sentence(victim, halves, tiny, tmp_path):
    made = trained(victim, halves, tiny, "bottleneck:4", steps=1)
    write(made.halves(), {}, tmp_path)
    (tmp_path / "hardened.json").write_text("[1]")
    with pytest.raises(ModelError, match="holds no JSON object"):
        load_model(str(tmp_path))
    document = json.loads((tmp_path / "edge" / "half.json").read_text())
    document["format"] = "else"
    (tmp_path / "edge" / "half.json").write_text(json.dumps(document))
    with pytest.raises(ModelError, match="is no folder of two halves"):
        load_model(str(tmp_path))


def test_several_tensors_at_a_cut_are_refused(tiny):
    class Skip(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = torch.nn.Conv2d(1, 2, 3, padding=1)
            self.b = torch.nn.Conv2d(2, 2, 3, padding=1)
            self.c = torch.nn.Linear(512, 3)

        def forward(self, x):
            x = self.a(x)
            y = torch.relu(self.b(x))
            return self.c((x + torch.relu(y)).flatten(1))

    cut = split(Skip().eval(), tiny.public.images[:2], at="b")
    with pytest.raises(UsageError, match="harden where one float32 tensor crosses"):
        assemble(cut, parse_recipe("bottleneck:4"), "both", Run(0))
