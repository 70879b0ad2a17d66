"""The query-free attack: shadows of the edge that suit the frozen cloud half (IoTJ20 section III-C)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor

from splitward.attacks._blind import Affine, identify, pose
from splitward.attacks._decoders import Decoder, teach
from splitward.attacks._denoising import Denoiser
from splitward.attacks._moments import Moments
from splitward.attacks._reading import read, stride_of
from splitward.attacks._shadows import Shadows, draw, run_cloud, split, sure_classes
from splitward.attacks._surrogate import Surrogate, behind_public, make_edge, rectified
from splitward.attacks._training import Schedule, invert, picture_loss, train
from splitward.attacks._undoing import parted, undo
from splitward.attacks._unflattening import map_of, unflatten
from splitward.attacks.inverse_network import CLOSED_FORM, InverseNetwork
from splitward.attacks.rmle import RMLE
from splitward.core.defence import Chain
from splitward.core.edge import Edge, Sender, release
from splitward.core.errors import AttackError
from splitward.core.knowledge import QueryFree, Samples
from splitward.core.protocols import Inverter
from splitward.core.registry import register
from splitward.core.run import Run, supports_bfloat16
from splitward.core.spec import TensorSpec

MOVED = 0.25
"""Share of a batch that is augmented, and asked of the task alone: the traffic's moments are those of unmoved pictures.
"""
FITS = 0.1
"""Distance of an affine shadow's moments to the traffic's, relative to that of a map which ignores the picture, below
which the edge is taken for affine: under strong noise any map is near."""


def blinded(edge: Edge) -> Edge:
    """A copy of an affine shadow whose answer is its bias, whatever the picture."""
    copied = copy.deepcopy(edge)
    assert isinstance(copied.body, Affine)
    with torch.no_grad():
        copied.body.components.weight.zero_()
    return copied


@torch.no_grad()
def refuse_unlabelled(knowledge: QueryFree, pictures: Samples, run: Run) -> None:
    """Raise NotApplicable where the task needs labels that the pictures lack, before any work is done."""
    probe = tuple(torch.zeros(2, *s.shape, device=run.device) for s in knowledge.activation)
    knowledge.task.loss(run_cloud(knowledge.cloud, probe), pictures[:2])


@dataclass(frozen=True)
class Fit:
    """What a shadow has to suit: the cloud half's own task where it is ``asked``, and the moments of the traffic.

    ``chain``: what stands between a shadow and those moments. ``rectified``: of each tensor, whether it looks so.
    ``denoise``: what a decoder had better look through.
    """

    knowledge: QueryFree
    chain: Chain
    pictures: Samples
    unseen: Samples
    moments: Moments | None
    rectified: tuple[bool, ...]
    weight: float
    asked: bool
    denoise: Denoiser

    @classmethod
    def to(cls, knowledge: QueryFree, pictures: Samples, unseen: Samples, weight: float, asked: bool, run: Run) -> Fit:
        """What there is to suit. Noise that can be undone is taken off the traffic, and shadows are fitted without."""
        chain, traffic = knowledge.defence or Chain(), knowledge.traffic
        positive = (False,) * len(knowledge.activation)
        if traffic is None:
            return cls(knowledge, chain, pictures, unseen, None, positive, weight, asked, Denoiser())
        before, noise = parted(chain)
        undone = undo(traffic, noise, run.stream("undone"))
        positive = rectified(traffic) if undone is None else undone.rectified
        readings = [read(spec, knowledge.input) for spec in knowledge.activation]
        moments, denoise = None, Denoiser.of(undone, readings)
        if weight:
            estimates, left = (traffic, None) if undone is None else (undone.estimates, undone.noise)
            moments = Moments(estimates, sure_classes(knowledge, noise, denoise, run.stream("classes")), left)
        return cls(
            knowledge, chain if undone is None else before, pictures, unseen, moments, positive, weight, asked, denoise
        )

    def misfit(self, edge: Edge, batch: Samples, generator: Generator, moved: int = 0) -> Tensor:
        """Loss of the task if it is asked, and the distance of moments as far as they can be trusted; a scalar.

        The last ``moved`` of the batch have no part in the moments.
        """
        device, quiet = Sender(edge, self.chain, generator), Sender(edge, self.quiet, generator)
        place = batch.images.device
        low = isinstance(edge.body, Surrogate) and supports_bfloat16(place)  # a fifth faster, and no weaker for it
        with torch.autocast(place.type, torch.bfloat16, enabled=low):
            parts = tuple(part.float() for part in device.compute(batch.images))
        loss = torch.zeros((), device=place)
        if self.asked:
            undisturbed = quiet.compute(batch.images) if self.chain.at("input") else parts
            loss = self.knowledge.task.loss(run_cloud(self.knowledge.cloud, quiet.draw(undisturbed)), batch)
        sent = device.draw(parts)
        if self.moments is None:
            return loss
        still = batch[: len(batch) - moved]
        sent = tuple(part[: len(still)] for part in sent)
        return loss + self.weight * self.moments.trust * self.moments.distance(sent, still.labels)

    @property
    def quiet(self) -> Chain:
        """What the defences do without drawing."""
        return Chain(tuple(c for c in self.chain.channels if not getattr(c, "draws", True)))

    @torch.no_grad()
    def apart(self, edge: Edge, run: Run) -> float:
        """The distance alone, on the hold-out."""
        assert self.moments is not None
        sent = release(edge, self.chain, self.unseen.images, run.stream("hold-out"))
        return float(self.moments.distance(sent, self.unseen.labels))


@register("attack")
@dataclass(frozen=True)
class ShadowModel:
    """Shadow edges that suit the frozen cloud half, then a decoder (or rMLE) of the shadows; it never asks the device.

    shadow = argmin_g 1/m sum loss(cloud(g(x_i)), y_i) (equation 4) over public images, with the loss of the cloud's own
    task. An adaptive attacker passes the shadow's activation through the defence. Where there is traffic of other
    users, the shadow's activations are fitted to its moments too, class by class as the cloud sees it. Of a single map,
    an affine shadow is identified first from those moments (``_blind``). Where it fits, it is the only one; otherwise
    several are trained that add to it. The decoder learns from all but one and is selected on the last, which it has
    never seen, as it has never seen the victim.

    ``steps``: of each shadow's training; ``decoder_steps``; ``laps``: how often at most either is gone through, while
    its loss has not settled. ``inversion_steps``: of rMLE. ``moments``: weight of the moments, less where traffic is
    scarce. ``architecture``: "sized", "scripts" (ACSAC19 table 5), or ``package.module:factory``.
    """

    name: ClassVar[str] = "shadow-model"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "scripts": {
            "architecture": "scripts", "epochs": 50, "laps": 1, "batch": 32, "learning_rate": 1e-3, "shadows": 1,
            "moments": 0.0, "inversion": "rmle", "shift": 0.0, "knows_defence": False,
        },
    }  # fmt: skip
    efforts: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "quick": {"laps": 3, "batch": 32},
        "standard": {},
        "thorough": {"steps": 1500, "decoder_steps": 2000, "shadows": 4, "width": 32},
    }
    asks_task: ClassVar[bool] = True

    steps: int = 400
    laps: int = 2
    epochs: int | None = None
    batch: int = 64
    learning_rate: float = 3e-3
    shadows: int = 3
    moments: float = 1.0
    width: int = 24
    architecture: str = "sized"
    inversion: Literal["decoder", "rmle"] = "decoder"
    decoder_steps: int = 600
    inversion_steps: int = 500
    structure: float = InverseNetwork.structure
    shift: float = 0.08
    observations: int = 1
    knows_defence: bool = True

    def __post_init__(self) -> None:
        if self.inversion not in ("decoder", "rmle"):
            raise AttackError(f"shadow-model inverts by 'decoder' or 'rmle', not by {self.inversion!r}.")

    def prepare(self, knowledge: QueryFree, run: Run) -> Inverter:
        """Make the shadows, and learn from them; NotApplicable where the public set lacks what the task needs."""
        spec = map_of(knowledge) if self.architecture == "sized" and self.inversion == "decoder" else None
        if spec is not None:
            inverter = self._prepare(unflatten(knowledge, spec), run)
            return lambda activations: inverter((activations[0].unflatten(2, spec.shape),))
        return self._prepare(knowledge, run)

    def _prepare(self, knowledge: QueryFree, run: Run) -> Inverter:
        chain = knowledge.defence or Chain()
        pictures, unseen = split(knowledge.public, run)
        if self.asks_task:
            refuse_unlabelled(knowledge, unseen, run)
        fit = Fit.to(knowledge, pictures, unseen, self.moments, self.asks_task, run)
        affine = self._affine(fit, run)
        alone = affine is not None and fit.apart(affine, run) < FITS * fit.apart(blinded(affine), run)
        edges = [affine] if affine is not None and alone else self._trained(fit, affine, run)
        if self.inversion == "rmle":
            return self._descent(edges[-1], chain, knowledge, run)
        source = Shadows(
            knowledge, chain, edges, self.observations, self.shift, run, answered=not alone, denoise=fit.denoise
        )
        return self._decoder(knowledge, source, run)

    def _affine(self, fit: Fit, run: Run) -> Edge | None:
        """The affine map nearest to the traffic's moments, rectified where it is; None without a single map."""
        knowledge, moments = fit.knowledge, fit.moments
        image, specs = knowledge.input, knowledge.activation
        if self.architecture != "sized" or moments is None or len(specs) > 1 or not self.steps or not moments.trust:
            return None
        reading = read(specs[0], image)
        if reading.layout != "map" or len(specs[0].shape) != 3:
            return None
        own = run.child("shadow/affine")
        with own.constructing("affine"):
            stride, rectify = stride_of(reading.grid, image), any(fit.rectified)
            body = Affine(moments.whiten[0], specs[0], image.shape[0], stride, rectify)
        edge = behind_public(body, knowledge).to(run.device)
        pictures = fit.pictures
        problem = pose(body, moments, edge.normalise(pictures.images), pictures.labels)
        identify(body, problem, own.stream("starts"))
        if fit.chain:  # what the moments of a defended map are, is known by sampling only
            self._train(edge, fit, own, "training")
        run.trace.update({f"shadow/affine/{phase}": points for phase, points in own.trace.items()})
        return edge.requires_grad_(False)

    def _trained(self, fit: Fit, affine: Edge | None, run: Run) -> list[Edge]:
        """Shadows of several sizes, which add to the affine one if there is one; the most faithful one comes last."""
        edges = []
        rectify = (True,) * len(fit.rectified) if self.architecture == "scripts" else fit.rectified
        for index in range(max(1, self.shadows)):
            own = run.child(f"shadow/{index}")
            edge = make_edge(fit.knowledge, self.architecture, self.width, 5 - 2 * (index % 2), rectify, own)
            if affine is not None and isinstance(edge.body, Surrogate):
                base = copy.deepcopy(affine.body).requires_grad_(True)
                assert isinstance(base, Affine)
                edge.body.start_from(base.before_rectifying())
            edges.append((self._train(edge, fit, own, f"shadow/{index}"), edge.requires_grad_(False)))
            run.trace.update(own.trace)
        return [edge for _, edge in sorted(edges, key=lambda pair: -pair[0])]

    def _train(self, edge: Edge, fit: Fit, run: Run, phase: str) -> float:
        """Train ``edge`` through the frozen cloud half; returns its misfit on the hold-out."""
        steps = self.steps
        if self.epochs is not None and steps:
            steps = self.epochs * -(-len(fit.pictures) // self.batch)
        halving = max(1, steps // 5) if self.epochs is not None else None
        schedule = Schedule(steps, self.batch, self.learning_rate, laps=self.laps, halve_every=halving)

        moved = self.batch if fit.moments is None else round(MOVED * self.batch)

        def loss(generator: Generator) -> Tensor:
            return fit.misfit(edge, draw(fit.pictures, self.batch, self.shift, generator, moved), generator, moved)

        @torch.no_grad()
        def held() -> float:
            return float(fit.misfit(edge, fit.unseen, run.stream("hold-out")))

        return train(edge, loss, held, schedule, run, phase)

    def _descent(self, edge: Edge, chain: Chain, knowledge: QueryFree, run: Run) -> Inverter:
        if self.architecture == "scripts":  # 500 iterations, learning rate 0.1, lambda 2
            attack = RMLE(
                objective="mean-squared", steps=self.inversion_steps, learning_rate=0.1, smoothness_weight=2.0
            )
        else:
            attack = RMLE(steps=self.inversion_steps, observations=self.observations, tolerance=(0.5, 0.25))
        return attack.inverter(edge, chain, knowledge.public.images, run)

    def _decoder(self, knowledge: QueryFree, source: Shadows, run: Run) -> Inverter:
        specs = tuple(TensorSpec(tuple(part.shape[2:])) for part in source.held()[0])
        with run.constructing("decoder"):
            decoder = Decoder(specs, knowledge.input, sets=self.observations > 1)
        decoder.to(run.device)
        schedule = Schedule(self.decoder_steps, self.batch, self.learning_rate, laps=self.laps)

        def compare(guess: Tensor, truth: Tensor) -> Tensor:
            return picture_loss(guess, truth, self.structure)

        teach(decoder, source, lambda: source.sample(CLOSED_FORM), schedule, compare, run)
        return lambda activations: invert(decoder, source.beside(activations))
