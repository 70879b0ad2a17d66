"""How large a reproduction is: which levels, how many images, how long the attacks run."""

from __future__ import annotations

from dataclasses import dataclass

from splitward.core.errors import UsageError

TENTHS = tuple(round(0.1 * n, 1) for n in range(1, 10))
NOISES = (*TENTHS, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0)
"""The papers' levels of Gaussian and Laplace noise; dropout has ``TENTHS``."""


@dataclass(frozen=True)
class Study:
    """What is done with one data set.

    ``attack_steps``, ``defence_steps``: of rMLE in the attack study and in the defence study. ``shadow_steps``: of rMLE
    on a shadow, and of a surrogate's training. ``epochs``: of the papers' decoders and shadows, over ``public`` images
    (all of them: None). ``pool``: held-out images for secrets and task accuracy. ``noise_wire``, ``noise_input``,
    ``dropout_wire``, ``dropout_input``: levels; ``depth``: levels of dropout at every other layer. ``adaptive``: the
    attacks that know of the defence; ``changes``: to the settings of ``inverse-network``; ``laps``: of our trainings.
    """

    data: str
    model: str
    attack_steps: int
    defence_steps: int
    epochs: int
    public: int | None
    pool: int
    noise_wire: tuple[float, ...]
    noise_input: tuple[float, ...]
    dropout_wire: tuple[float, ...]
    dropout_input: tuple[float, ...]
    depth: tuple[float, ...]
    adaptive: tuple[str, ...] = ("inverse-network",)
    changes: tuple[tuple[str, int], ...] = ()
    laps: int = 2
    shadow_steps: int = 500


@dataclass(frozen=True)
class Scale:
    """``images``: how many secrets; the papers' ten come first. ``effort``: of the attacks that are ours."""

    name: str
    images: int
    effort: str
    mnist: Study
    cifar10: Study

    def study(self, data: str) -> Study:
        """That of ``mnist`` or ``cifar10``."""
        found: Study = getattr(self, data)
        return found


QUICK = Scale(
    "quick", 10, "quick",
    Study(
        "mnist", "lenet5", attack_steps=5000, defence_steps=500, epochs=15, public=6000, pool=10_000,
        changes=(("steps", 150), ("width", 24)), laps=1,
        noise_wire=(0.5, 0.8, 2.0, 5.0), noise_input=(0.5, 0.8, 2.0, 5.0),
        dropout_wire=(0.2, 0.4, 0.6, 0.8), dropout_input=(0.2, 0.4, 0.6, 0.8), depth=(0.2, 0.6, 0.8),
    ),
    Study(
        "cifar10", "cifar-cnn", attack_steps=1000, defence_steps=500, epochs=10, public=1000, pool=500,
        noise_wire=(1.0, 5.0), noise_input=(0.1, 0.5), dropout_wire=(0.2, 0.5, 0.6, 0.8), dropout_input=(0.1, 0.5),
        depth=(0.5, 0.8), changes=(("steps", 80), ("width", 24)), laps=1, shadow_steps=200,
    ),
)  # fmt: skip
FULL = Scale(
    "full", 100, "standard",
    Study(
        "mnist", "lenet5", attack_steps=5000, defence_steps=500, epochs=50, public=None, pool=10_000,
        noise_wire=NOISES, noise_input=NOISES, dropout_wire=TENTHS, dropout_input=TENTHS, depth=TENTHS,
        adaptive=("inverse-network", "prior-guided"),
    ),
    Study(
        "cifar10", "cifar-cnn", attack_steps=5000, defence_steps=5000, epochs=50, public=None, pool=5000,
        noise_wire=NOISES, noise_input=NOISES, dropout_wire=TENTHS, dropout_input=TENTHS, depth=TENTHS,
        adaptive=("inverse-network", "prior-guided"),
    ),
)  # fmt: skip
SCALES = {scale.name: scale for scale in (QUICK, FULL)}


def scale_named(name: str) -> Scale:
    """``quick`` or ``full``; raises UsageError for another name."""
    if name not in SCALES:
        raise UsageError(f"there is no scale {name!r}: it is one of {', '.join(SCALES)}.")
    return SCALES[name]
