"""Attacks of which the outcome is known: what the audit makes of them is tested with these."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from splitward.audit.suite import Entry
from splitward.core.knowledge import BlackBox, QueryFree, WhiteBox
from splitward.core.protocols import threat_model


def entry(attack: Any) -> Entry:
    return Entry(attack.name, attack, threat_model(attack))


@dataclass(frozen=True)
class Gradient:
    """A small honest white-box attack: gradient descent on the squared distance, from grey."""

    name: ClassVar[str] = "gradient"
    steps: int = 150
    sign: int = 1
    shuffled: bool = False

    def prepare(self, knowledge: WhiteBox, run: Any) -> Any:
        def invert(sent: Any) -> torch.Tensor:
            target = sent[0].mean(1)
            if self.shuffled:
                target = target.roll(1, 0)
            guess = torch.full((len(target), *knowledge.input.shape), 0.5, requires_grad=True)
            optimiser = torch.optim.Adam([guess], lr=0.05)
            for step in range(self.steps):
                optimiser.zero_grad()
                activation = knowledge.edge(guess)
                loss = ((activation - target) ** 2).flatten(1).sum(1)
                (self.sign * loss.sum()).backward()
                optimiser.step()
                if step % 5 == 0:
                    run.record_loss("descent", step, loss.mean().item())
                with torch.no_grad():
                    guess.clamp_(0, 1)
            return guess.detach()

        return invert


@dataclass(frozen=True)
class Blank:
    """Recovers nothing: grey, whatever it is shown."""

    name: ClassVar[str] = "blank"

    def prepare(self, knowledge: QueryFree, run: Any) -> Any:
        run.record_loss("nothing", 0, 1.0)
        return lambda sent: torch.full((len(sent[0]), *knowledge.input.shape), 0.5)


@dataclass(frozen=True)
class Bad:
    """Misbehaves in the way that it is told."""

    name: ClassVar[str] = "bad"
    how: str = "raises"

    def prepare(self, knowledge: BlackBox, run: Any) -> Any:
        from splitward.core.errors import AttackError, NotApplicable

        if self.how == "raises":
            raise AttackError("this attack cannot.")
        if self.how == "skips":
            raise NotApplicable("this attack has nothing to say here.")
        shape = knowledge.input.shape
        return {
            "nan": lambda sent: torch.full((len(sent[0]), *shape), float("nan")),
            "shape": lambda sent: torch.zeros(len(sent[0]), 1, 2, 2),
            "range": lambda sent: torch.full((len(sent[0]), *shape), 2.0),
            "crashes": lambda sent: {}["no such key"],
        }[self.how]
