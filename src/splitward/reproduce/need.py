"""What a target needs: audits, each of them a value, so that two targets that need the same one share it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from splitward.audit.settings import slug
from splitward.reproduce.scales import Scale

DATA = ("mnist", "cifar10")
DATA_NAMES = {"mnist": "MNIST", "cifar10": "CIFAR-10"}
Auxiliary = Literal["same set", "same distribution", "random noise set"]
"""What an attacker learns from: the victim's own training images, public images of the same kind, Gaussian noise."""


@dataclass(frozen=True)
class Attacker:
    """An attack by name and preset, with the settings in which this run departs from them."""

    name: str
    changes: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Need:
    """One audit.

    ``study``: what it is for. ``setting``: the papers' own name of a variant. ``auxiliary``: what attackers learn from.
    ``unlike``: kinds of secrets unlike the public data. ``victim``: 0 is the shipped network; others are
    trainings by the papers' recipe, with that seed.
    """

    study: str
    data: str
    at: str
    attackers: tuple[Attacker, ...]
    defence: str = "none"
    setting: str = ""
    auxiliary: Auxiliary = "same distribution"
    released: str = "none"
    unlike: tuple[str, ...] = ()
    seed: int = 0
    victim: int = 0

    def folder(self, scale: Scale) -> str:
        """Where its record lies: a readable name, and a digest of everything that decides its numbers."""
        study = scale.study(self.data)
        own = {k: v for k, v in asdict(self).items() if k != "victim" or v}  # which older records lack
        decisive = (own, study.data, study.model, study.public, study.pool, scale.images, scale.effort)
        parts = json.dumps(decisive, sort_keys=True)
        digest = hashlib.sha256(parts.encode()).hexdigest()[:8]
        named = "-".join(filter(None, (self.study, self.data, self.at, self.defence, self.setting)))
        return f"{slug(named.replace(' ', '-'))}-{digest}"


def chain(kind: str, applied_to: str, level: float) -> str:
    """A defence as the command line writes it; level 0 is none.

    >>> chain("dropout", "input", 0.6)
    'dropout:0.6@input'
    """
    if level == 0:
        return "none"
    return f"{kind}:{level:g}" + ("@input" if applied_to == "input" else "")


def parsed(defence: str) -> tuple[str, str, float]:
    """The inverse of ``chain``: kind, what it is applied to, level.

    >>> parsed("laplace:0.5")
    ('laplace', 'activation', 0.5)
    """
    if defence == "none":
        return "none", "activation", 0.0
    kind, _, rest = defence.partition(":")
    level, _, place = rest.partition("@")
    return kind, place or "activation", float(level)
