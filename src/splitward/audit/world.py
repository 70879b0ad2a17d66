"""The system under attack, and the draws that its device makes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from splitward.audit.computed import BATCH, computed
from splitward.core.defence import Chain
from splitward.core.edge import Edge, Sender
from splitward.core.errors import ModelError
from splitward.core.knowledge import Activations, Samples, Task
from splitward.core.spec import TensorSpec


@dataclass(frozen=True)
class World:
    """Halves, defence, task, and everybody's data but the secrets.

    A naive attacker lives in ``undefended()``: its oracle, its traffic and its beliefs are an undefended twin's.
    """

    edge: Edge
    cloud: nn.Module
    chain: Chain
    task: Task
    input: TensorSpec
    activation: tuple[TensorSpec, ...]
    public: Samples
    others: Samples | None  # images of other users, whose activations the cloud has served
    observations: int
    fingerprint: str  # of weights, cut, task, public and other data
    whole: str = ""  # of all that but the cut

    def undefended(self) -> World:
        """The same system without its defence; the form on the wire stays."""
        return replace(self, chain=self.chain.rounding())

    @property
    def key(self) -> str:
        """What distinguishes this world from any other: its parts, its defence and how that is described, and k."""
        chain, told = str(self.chain), str(self.chain.description())
        return f"{self.fingerprint}/{chain if told == chain else f'{chain}~{told}'}/k={self.observations}"

    @property
    def label_key(self) -> str:
        """What distinguishes the labels that this world answers: without a defence they are the same at every cut."""
        return self.key if self.chain or not self.whole else f"{self.whole}/k={self.observations}"


@torch.no_grad()
def observe(world: World, images: Tensor, generator: Generator) -> Activations:
    """What crosses the wire for ``images`` (N, C, H, W): tensors (N, k, *shape), k fresh draws of each."""
    send = Sender(world.edge, world.chain, generator)
    parts = [[send(batch) for _ in range(world.observations)] for batch in images.split(BATCH)]
    count = len(world.activation)
    return tuple(torch.cat([torch.stack([draw[i] for draw in draws], 1) for draws in parts]) for i in range(count))


@torch.no_grad()
def outputs(world: World, images: Tensor, generator: Generator, draws: int = 1) -> Iterator[list[Any]]:
    """The cloud's outputs for ``images``, batch by batch: for each batch, so many fresh draws."""
    send = Sender(world.edge, world.chain, generator)
    if world.chain.at("input"):
        sent = ([send.draw(send.compute(batch)) for _ in range(draws)] for batch in images.split(BATCH))
    else:
        sent = ([send.draw(parts) for _ in range(draws)] for parts in computed(world.edge, images))
    for drawn in sent:
        yield [world.cloud(parts[0] if len(parts) == 1 else parts) for parts in drawn]


@torch.no_grad()
def accuracy(world: World, samples: Samples, generator: Generator) -> float:
    """Share of right answers in [0, 1], one fresh draw of the defence for each sample."""
    batches = torch.arange(len(samples), device=samples.images.device).split(BATCH)
    given = outputs(world, samples.images, generator)
    right = sum(float(world.task.correct(out, samples[i]).sum()) for i, (out,) in zip(batches, given, strict=True))
    return right / len(samples)


def weights_hash(*modules: nn.Module) -> str:
    """SHA-256 over the tensors of some modules, whatever their names and order; raises ModelError if one is not finite.

    The two halves of a model have the same hash at every cut.
    """
    seen = set()
    for module in modules:
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise ModelError(
                    f"the weights {name!r} hold NaN or infinity: train the model again or repair the file."
                )
            data = tensor.detach().cpu().contiguous()
            head = f"{tuple(data.shape)}{data.dtype}".encode()
            seen.add(hashlib.sha256(head + data.flatten().view(torch.uint8).numpy().tobytes()).hexdigest())
    return hashlib.sha256("".join(sorted(seen)).encode()).hexdigest()


def samples_hash(samples: Samples | None) -> str:
    """SHA-256 over images and labels."""
    digest = hashlib.sha256()
    if samples is not None:
        digest.update(samples.images.cpu().contiguous().numpy().tobytes())
        if samples.labels is not None:
            digest.update(samples.labels.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
