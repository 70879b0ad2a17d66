"""IoTJ20 figure 9: accuracy against image quality on MNIST."""

from __future__ import annotations

from splitward.reproduce import draw, plans, privacy, views
from splitward.reproduce.claims import MARGIN_DB, MARGIN_SSIM, Claim, Decision, attacker, clearly, scored, verdict
from splitward.reproduce.need import DATA, DATA_NAMES, Need
from splitward.reproduce.rows import KINDS, Rows, Undecided, defended
from splitward.reproduce.scales import Scale
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes
from splitward.reproduce.targets._evidence import attack_of_the_defences, noise_by_place, own_attacks, two_attacks
from splitward.reproduce.targets._tradeoffs import CLOSE, compare, hidden, panels

KEPT = 0.95
"""The accuracy that is called good."""
PLACES = ("activation", "input")
NOISES = ("gaussian", "laplace")
MORE = "more than 0"
LIMITS = (("gaussian", 0.8), ("laplace", 0.5))
"""The level below which the text says that noise has to stay."""


def needs(scale: Scale, data: str) -> list[Need]:
    """Noise and dropout, everywhere; on the activation also with other trainings of the network."""
    noises = [need for kind in NOISES for need in plans.noises(scale, data, kind)]
    return [*noises, *plans.dropouts(scale, data), *plans.victims(scale, data)]


def figure(found: Found) -> str:
    """Three kinds of defence, two metrics."""
    return draw.chart("Accuracy against image quality on MNIST at ReLU2", panels(found, "mnist"), keys=views.PLACE_KEYS)


def levels(rows: Rows) -> Decision:
    """Whether noise on the input keeps 95 % just below the limits and loses it from there on, and images come back.

    The text does not say where the noise is; its limits are those of the input in the papers' logs. Logs that
    contradict it decide by themselves.
    """
    logs, below, above, evidence = [], [], [], []
    for kind, limit in LIMITS:
        for place in PLACES:
            known = views.published_curve("mnist", "ReLU2", kind, place)
            kept = max(row["level"] for row in known if row["accuracy"] > KEPT)
            evidence.append(
                f"papers' logs, {KINDS[kind]} on the {place}: above 95 % up to {kept:g}; the text says below {limit:g}"
            )
            if place == "input":
                logs.append(all((row["accuracy"] > KEPT) == (row["level"] < limit) for row in known))
        under, over = [], []
        for source in (views.naive_rows, views.adaptive_rows):
            for row in source(rows, "mnist", "ReLU2", kind, "input"):
                if row["defence"] == "none" or row["accuracy"] is None:
                    continue
                if row["level"] < limit:
                    under.append(row["accuracy"] > KEPT and row["ssim_paper"] > 0.4 and row["psnr_db"] > 8.5)
                else:
                    over.append(row["accuracy"] <= KEPT)
                evidence.append(
                    f"{defended(row)}, {attacker(row)}: accuracy {100 * row['accuracy']:.1f} %, {scored(row)}"
                )
        below.append(under)
        above.append(over)
    if all(logs) and not (all(below) and all(above)):
        raise Undecided("noise on the input was not run on both sides of the limits of both kinds", evidence)
    return Decision(verdict(all(logs) and all(map(all, (*below, *above)))), tuple(evidence))


def same_attack(rows: Rows) -> Decision:
    """Whether both studies recover as much from the same system without a defence, as published; ours beside it."""
    study, logs = two_attacks()
    short = study["psnr_db"] - logs["psnr_db"]
    evidence = [
        f"MNIST at ReLU2 without a defence, published: {study['psnr_db']:.1f} dB, SSIM {study['ssim']:.2f} in the "
        f"attack study, {logs['psnr_db']:.1f} dB, SSIM {logs['ssim']:.2f} in the logs of the defence study"
    ]
    for words, found in zip(("attack", "defence"), own_attacks(rows), strict=True):
        evidence += [f"ours, the {words} study's {row['steps']:,} iterations: {scored(row)}" for row in found]
    floor = views.floor(rows, "mnist", "prior/mean")
    if floor is not None:
        evidence.append(f"no activation at all: the mean image has {scored(floor)}")
    evidence.append("the defences are measured against a descent that is stopped before it has converged")
    return Decision(verdict(abs(short) <= MARGIN_DB), tuple(evidence))


def threshold(rows: Rows) -> Decision:
    """What pictures score that show nothing of the secret."""
    evidence, short = [], []
    for row in rows.some(study="yardsticks"):
        counts = row["psnr_db"] > 10 or row["ssim_paper"] > 0.3
        short.append(min((10 - row["psnr_db"]) / MARGIN_DB, (0.3 - row["ssim_paper"]) / MARGIN_SSIM))
        evidence.append(
            f"{DATA_NAMES[row['data']]}, {row['attack']}: {scored(row)}: {'counts' if counts else 'does not count'}"
        )
    held = clearly(short, 1.0, f"times {MARGIN_DB:g} dB or {MARGIN_SSIM:g} SSIM", evidence)
    return Decision(verdict(held), tuple(evidence))


TARGET = Target(
    name="figure-9",
    title="Accuracy against image quality on MNIST, cut at ReLU2",
    source="IoTJ20 figure 9",
    needs=needs,
    draw=figure,
    data=("mnist",),
    remark="Left of the dotted line an attack recovers less than the mean image, which needs no activation.",
    cause=_causes.defences,
    claims=(
        Claim(
            "half-converged-attack", "III-A, IV-A",
            "The attack that the defences are measured against is the one that recovers the input without them.",
            same_attack, attack_of_the_defences,
        ),
        Claim(
            "noise-on-the-input", "IV-A",
            "At equal image quality, noise on the input costs more accuracy than noise on the activation.",
            lambda rows: compare(
                rows, DATA, [((kind, "activation"), (kind, "input")) for kind in NOISES], lambda g: g > 0,
                MORE,
            ),
            noise_by_place,
        ),
        Claim(
            "gaussian-or-laplace", "IV-A", "Gaussian and Laplace noise do not differ significantly.",
            lambda rows: compare(
                rows, DATA, [(("gaussian", place), ("laplace", place)) for place in PLACES], lambda g: abs(g) <= CLOSE,
                f"at most {100 * CLOSE:g} points either way",
            ),
        ),
        Claim(
            "noise-level", "IV-A",
            "To keep 95 % on MNIST, noise must stay below 0.8 (Gaussian) or 0.5 (Laplace), where images still "
            "come back.",
            levels,
        ),
        Claim(
            "dropout-beats-noise", "IV-B", "Dropout costs less accuracy than noise at equal image quality.",
            lambda rows: compare(
                rows, DATA, [(("dropout", place), (kind, place)) for place in PLACES for kind in NOISES],
                lambda g: g > 0, MORE,
            ),
        ),
        Claim(
            "dropout-on-the-activation", "IV-B", "Dropout on the activation is better than dropout on the input.",
            lambda rows: compare(
                rows, DATA, [(("dropout", "activation"), ("dropout", "input"))], lambda g: g > 0, MORE
            ),
        ),
        Claim(
            "hidden-on-mnist", "IV-B",
            "On MNIST, dropout on the activation hides the input (SSIM < 0.25) at an accuracy above 95 %.",
            lambda rows: hidden(rows, "mnist", None, KEPT),
        ),
        Claim(
            "recognisable", "III-A, footnote 1", "An image with PSNR > 10 dB or SSIM > 0.3 is recognised.", threshold
        ),
        Claim(
            "differential-privacy", "IV-A",
            "Noise of the levels of the paper gives differential privacy for the whole image.",
            privacy.decide,
        ),
    ),
)  # fmt: skip
