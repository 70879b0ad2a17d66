"""One preparation for the defences of a sweep: who shares it, and what it is kept under."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

import splitward as sw
from audit.doubles import entry
from splitward.audit import bench as module
from splitward.audit.asked import Asked
from splitward.audit.bench import Bench
from splitward.audit.loop import Settings, cast, world_of
from splitward.core.defence_text import parse_chain
from splitward.core.knowledge import BlackBox
from splitward.core.run import Run

CPU = torch.device("cpu")
PANEL = tuple(parse_chain(spec) for spec in ("gaussian:1", "gaussian:2"))


@dataclass(frozen=True)
class Several:
    """Answers a grey of its own for each defence, asks once each, and counts how often it is prepared."""

    name: ClassVar[str] = "several"
    calls: ClassVar[list[int]] = []

    def prepare(self, knowledge: BlackBox, run: Run):
        return self.prepare_several([knowledge], run)[0]

    def prepare_several(self, knowledge, run):
        self.calls.append(len(knowledge))
        greys = []
        for known in knowledge:
            known.query(known.public.images[:2])
            greys.append(0.0 if known.defence is None else known.defence.channels[0].level / 4)

        def inverter(grey):
            return lambda sent: torch.full((len(sent[0]), 1, 16, 16), grey)

        return [inverter(grey) for grey in greys]


@pytest.fixture
def play(halves, pool, public):
    Several.calls.clear()

    def make(panel=PANEL, budget=None):
        run = Run(0, CPU)
        settings = Settings(samples=12)
        roles = cast(pool, public, settings, CPU)
        world = world_of(sw.Target(halves["relu1"]), roles, settings, CPU)
        return Bench(run, roles.secrets, budget, panel=panel), world

    return make


def test_one_preparation_serves_every_defence_of_the_panel(play):
    bench, world = play()
    worlds = [dataclasses.replace(world, chain=chain) for chain in PANEL]
    outcomes = [bench.attack(entry(Several()), w, w) for w in worlds]
    assert Several.calls == [2]
    assert [float(o.guess.mean()) for o in outcomes] == [0.25, 0.5]
    assert [o.queries for o in outcomes] == [4, 4]  # what was asked under all of them


def test_a_naive_attacker_one_outside_the_panel_and_one_with_a_budget_stand_alone(play):
    bench, world = play()
    bench.attack(entry(Several()), world, dataclasses.replace(world, chain=PANEL[0]))
    other = dataclasses.replace(world, chain=parse_chain("gaussian:3"))
    bench.attack(entry(Several()), other, other)
    paid, _ = play(budget=10)
    Several.calls.clear()
    inside = dataclasses.replace(world, chain=PANEL[0])
    paid.attack(entry(Several()), inside, inside)
    assert Several.calls == [1]


def test_the_panel_is_part_of_the_address(play):
    (bench, world), (alone, _) = play(), play(panel=())
    inside = dataclasses.replace(world, chain=PANEL[0])
    assert bench.address("several", {}, inside, inside) != alone.address("several", {}, inside, inside)
    clean = world.undefended()
    assert bench.address("several", {}, clean, clean) == alone.address("several", {}, clean, clean)


def test_the_device_of_a_panel_computes_an_image_once_and_remembers_nothing_after(play, monkeypatch):
    made = []

    class Remembered(Asked):
        def __init__(self, edge):
            super().__init__(edge)
            self.most = 0
            made.append(self)

        def forget(self):
            self.most = len(self._kept)
            super().forget()

    monkeypatch.setattr(module, "Asked", Remembered)
    bench, world = play()
    defended = dataclasses.replace(world, chain=PANEL[0])
    bench.attack(entry(Several()), defended, defended)
    (asked,) = made
    assert asked.most == 2  # both devices were asked about the same two images
    assert not asked._kept
    bench.attack(entry(Several()), world, world)  # without randomness: its answers are kept by whoever asks
    assert len(made) == 1
