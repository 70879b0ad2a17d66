"""Why a published point is missed, by study, data set and scale: what differs between the papers' runs and ours."""

from __future__ import annotations

from splitward.reproduce.scales import Study

ITERATIONS, EPOCHS = 5000, 50
"""The papers' descents, but for those of the MNIST defence study, and their decoders and shadows."""


def descent(steps: int) -> str:
    """Of the papers' descent, where this scale stops it early."""
    return f"the papers' descent runs for {ITERATIONS:,} iterations and this scale stops it after {steps:,}"


def training(study: Study) -> str:
    """Of a decoder or a shadow."""
    images = "all" if study.public is None else f"{study.public:,}"
    return (
        f"the papers train for {EPOCHS} epochs on the whole training set and this scale for {study.epochs} on "
        f"{images} of its images"
    )


ANOTHER = "the victim is another training of the same network"
UNKNOWN = "the scale of the activations, which the papers do not give and another training changes, decides what"


def defences(study: Study) -> str:
    """Figures 6 to 13."""
    if study.data == "cifar10" and study.defence_steps < ITERATIONS:
        return f"{descent(study.defence_steps)}; besides, {UNKNOWN} absolute noise costs of the accuracy"
    return f"{UNKNOWN} absolute noise and a descent of {study.defence_steps:,} iterations do"


def white_box(study: Study) -> str:
    """Table 3."""
    if study.data == "cifar10":
        early = f"{descent(study.attack_steps)}; besides, " if study.attack_steps < ITERATIONS else ""
        return f"{early}how far the descent comes depends on how well-conditioned the victim's own weights are"
    if study.attack_steps < ITERATIONS:
        return descent(study.attack_steps)
    return (
        "the released scripts have no constants for conv1 and those of ReLU2 smooth too much there, which the "
        "constants of the text, green in table 3, do not"
    )


def black_box(study: Study) -> str:
    """Table 4."""
    return training(study) if study.public is not None or study.epochs < EPOCHS else ANOTHER


def query_free(study: Study) -> str:
    """Table 6 and figures 14 and 15."""
    text = (
        "the released script loads the whole victim model, which a query-free attacker does not have and ours is not "
        "given, and every shadow is a training of its own that the descent inverts more or less well"
    )
    return f"{text}; besides, {training(study)}" if study.epochs < EPOCHS else text


def reconstruction(study: Study) -> str:
    """Table 8."""
    text = "the surrogate's architecture is ours, and it is inverted by our rMLE, which solves a linear cut exactly"
    return f"{text}; besides, {training(study)}" if study.epochs < EPOCHS else text
