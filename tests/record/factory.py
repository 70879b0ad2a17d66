"""Realistic records without an audit: drawn digits, guesses of a chosen quality, and the numbers that belong to them.

``make_record()`` gives ``(record, tensors)`` as an audit of LeNet-5 at ReLU2 on MNIST might: three floors and ten
trials, naive and adaptive, one of them failed and one skipped, with per-sample scores that are really those of the
tensors. No torch. ``make_sweep()`` gives several, over defence levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splitward.record import checks, statistics, verdict
from splitward.record.schema import (
    Accuracy,
    Control,
    Cut,
    Data,
    Environment,
    Floor,
    Model,
    Record,
    Target,
    Tensor,
    Trial,
)

Images = NDArray[np.float32]

GLYPHS = (
    "01110 10001 10011 10101 11001 10001 01110",
    "00100 01100 00100 00100 00100 00100 01110",
    "01110 10001 00001 00110 01000 10000 11111",
    "11110 00001 00001 01110 00001 00001 11110",
    "00010 00110 01010 10010 11111 00010 00010",
    "11111 10000 11110 00001 00001 10001 01110",
    "00110 01000 10000 11110 10001 10001 01110",
    "11111 00001 00010 00100 01000 01000 01000",
    "01110 10001 10001 01110 10001 10001 01110",
    "01110 10001 10001 01111 00001 00010 01100",
)

CUTS = ("conv1", "ReLU1", "pool1", "conv2", "ReLU2", "pool2", "fc1", "fc1act", "fc2", "fc2act", "fc3")
HIGHER = {"psnr": True, "ssim": True, "ssim-paper": True, "mse": False, "identification": True}


@dataclass(frozen=True)
class Plan:
    """How one made-up trial went. ``quality`` in [0, 1]: 0 is the mean image, 1 an exact recovery."""

    attack: str
    threat_model: str
    adaptive: bool
    quality: float = 0.0
    status: str = "ok"
    reason: str = ""
    observations: int = 1
    converged: bool = True
    recovered: bool = True
    repetition: int = 0


PLANS = (
    Plan("rmle:scripts", "white-box", False, 0.32),
    Plan("rmle", "white-box", False, 0.42),
    Plan("rmle", "white-box", True, 0.76),
    Plan("inverse-network", "black-box", False, 0.60),
    Plan("inverse-network", "black-box", True, 0.90),
    Plan("model-reconstruction", "black-box", False, 0.34),
    Plan("model-reconstruction", "black-box", True, 0.55),
    Plan("shadow-model", "query-free", False, 0.15),
    Plan("shadow-model", "query-free", True, 0.28),
    Plan("shadow-model:same", "query-free", True, status="skipped", reason="the edge's architecture is not public"),
    Plan(
        "third-party", "white-box", True, status="failed", reason="the loss of 'rmle' is nan at step 120: it diverged"
    ),
)


@cache
def digits(n: int, size: int, channels: int, seed: int) -> tuple[Images, NDArray[np.int64]]:
    """``n`` drawn digits, (n, channels, size, size) in [0, 1], and their labels."""
    rng = np.random.default_rng([seed, 1])
    font = np.array([[list(map(int, row)) for row in glyph.split()] for glyph in GLYPHS], dtype=np.float64)
    font = np.pad(font, ((0, 0), (2, 2), (2, 2)))
    labels = np.arange(n, dtype=np.int64) % 10
    images = np.empty((n, size, size))
    y, x = (np.mgrid[0:size, 0:size] - (size - 1) / 2) / (size / 2)
    for i, label in enumerate(labels):
        slant, turn, zoom, dy, dx = rng.normal([0.15, 0, 1.0, 0, 0], [0.3, 0.25, 0.15, 0.2, 0.2])
        u = (np.cos(turn) * x + (np.sin(turn) + slant) * y) / zoom + dx
        v = (np.cos(turn) * y - np.sin(turn) * x) / zoom + dy
        images[i] = bilinear(font[label], v * 5 + 5, u * 5 + 4)
    images = blur(images, 0.8 * size / 28)
    images = np.clip(1.5 * images / np.maximum(images.max((1, 2), keepdims=True), 1e-6), 0, 1)
    tint = rng.uniform(0.5, 1, (n, channels, 1, 1)) if channels > 1 else 1.0
    result = (images[:, None] * tint).astype(np.float32)
    return np.broadcast_to(result, (n, channels, size, size)).copy(), labels


def bilinear(image: NDArray[Any], v: NDArray[Any], u: NDArray[Any]) -> NDArray[Any]:
    """``image`` at the points (v, u), 0 outside."""
    h, w = image.shape
    inside = (v > 0) & (v < h - 1) & (u > 0) & (u < w - 1)
    v, u = np.clip(v, 0, h - 1.001), np.clip(u, 0, w - 1.001)
    i, j = v.astype(int), u.astype(int)
    a, b = v - i, u - j
    top = image[i, j] * (1 - b) + image[i, j + 1] * b
    return inside * (top * (1 - a) + (image[i + 1, j] * (1 - b) + image[i + 1, j + 1] * b) * a)


def window(sigma: float, radius: int) -> NDArray[Any]:
    """A normalised Gaussian window of 2 * radius + 1 points."""
    t = np.arange(-radius, radius + 1)
    g = np.exp(-(t**2) / (2 * sigma**2))
    return g / g.sum()


def separable(images: NDArray[Any], kernel: NDArray[Any], mode: str) -> NDArray[Any]:
    """Correlation of the last two axes with ``kernel`` in both directions; "same" or "valid" as in numpy.convolve."""
    h, w = images.shape[-2:]
    return banded(h, kernel, mode) @ images @ banded(w, kernel, mode).T


@cache
def _band(n: int, kernel: tuple[float, ...], mode: str) -> NDArray[Any]:
    radius = len(kernel) // 2
    full = np.zeros((n, n + 2 * radius))
    for i in range(n):
        full[i, i : i + len(kernel)] = kernel
    band = full[:, radius : radius + n]
    return band if mode == "same" else band[radius : n - radius]


def banded(n: int, kernel: NDArray[Any], mode: str) -> NDArray[Any]:
    """The matrix of a one-dimensional correlation of n points."""
    return _band(n, tuple(kernel), mode)


def blur(images: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Gaussian blur of the last two axes."""
    return separable(images, window(sigma, max(1, int(3 * sigma))), "same")


def ssim(guess: Images, truth: Images) -> NDArray[Any]:
    """SSIM per image (Gaussian window 11x11, sigma 1.5, data range 1, valid area)."""
    g, t = guess.astype(np.float64), truth.astype(np.float64)
    kernel = window(1.5, 5)
    mg, mt, gg, tt, gt = (separable(a, kernel, "valid") for a in (g, t, g * g, t * t, g * t))
    c1, c2 = 0.01**2, 0.03**2
    score = (2 * mg * mt + c1) * (2 * (gt - mg * mt) + c2)
    score /= (mg**2 + mt**2 + c1) * (gg - mg**2 + tt - mt**2 + c2)
    return score.mean((1, 2, 3))


def measure(guess: Images, truth: Images) -> dict[str, list[float]]:
    """Every metric, per sample. ``ssim-paper`` is only a stand-in; no SSIM below 11 pixels."""
    n = len(truth)
    g, t = guess.reshape(n, -1).astype(np.float64), truth.reshape(n, -1).astype(np.float64)
    mse = ((g - t) ** 2).mean(1)
    distance = ((g[:, None] - t[None]) ** 2).mean(2)
    scores = {"psnr": np.minimum(-10 * np.log10(np.maximum(mse, 1e-10)), 100.0), "mse": mse}
    if min(truth.shape[-2:]) >= 11:
        scores["ssim"] = ssim(guess, truth)
        scores["ssim-paper"] = 0.9 * scores["ssim"]
    own = np.diagonal(distance)
    scores["identification"] = (own <= distance.min(1)) / (distance <= own[:, None]).sum(1)
    return {name: [round(float(v), 6) for v in values] for name, values in sorted(scores.items())}


def estimates(per_sample: dict[str, list[float]]) -> dict[str, Any]:
    """The estimate of every metric."""
    return {name: statistics.estimate(values, HIGHER[name]) for name, values in per_sample.items()}


def guess_of(truth: Images, mean: Images, quality: float, seed: int) -> Images:
    """A reconstruction: the truth, blurred and noisy, mixed with the mean image; quality differs between images."""
    rng = np.random.default_rng([seed, int(quality * 1e4), 2])
    q = np.clip(rng.normal(quality, 0.08, (len(truth), 1, 1, 1)), 0, 1)
    if quality >= 1:
        return truth.copy()
    soft = blur(truth, 0.3 + 2.5 * (1 - quality))
    noisy = q * soft + (1 - q) * mean + rng.normal(0, 0.04, truth.shape) * (1 - q)
    return np.clip(noisy, 0, 1).astype(np.float32)


def trace_of(plan: Plan) -> dict[str, list[tuple[int, float]]]:
    """A loss trace that has settled, or one that still falls."""
    rate = 8.0 if plan.converged else 1.0
    phase = {"inverse-network": "decoder", "shadow-model": "shadow", "model-reconstruction": "surrogate"}
    steps = range(0, 501, 20)
    return {
        phase.get(plan.attack.split(":")[0], "rmle"): [
            (s, round(0.02 + 0.5 * float(np.exp(-rate * s / 500)) + 0.001 * float(np.sin(s)), 6)) for s in steps
        ]
    }


def make_trial(plan: Plan, truth: Images, mean: Images, seed: int, tensor: str) -> tuple[Trial, Images | None]:
    """One trial, and its reconstructions where it has any."""
    common: dict[str, Any] = {
        "attack": plan.attack,
        "threat_model": plan.threat_model,
        "adaptive": plan.adaptive,
        "observations": plan.observations,
        "parameters": {"steps": 500, "learning_rate": 0.01},
        "status": plan.status,
        "reason": plan.reason,
        "key": f"{plan.attack}/{plan.adaptive}/{plan.repetition}",
        "repetition": plan.repetition,
        "seconds": 12.5,
    }
    if plan.status != "ok":
        return Trial(**common), None
    guess = guess_of(truth, mean, plan.quality, seed + plan.repetition)
    per_sample = measure(guess, truth)
    control = Control(
        kind="undefended",
        recovered=plan.recovered,
        identification=0.98 if plan.recovered else 0.02,
        chance=1 / len(truth),
        ssim=0.9 if plan.recovered else 0.1,
        psnr_db=22.0 if plan.recovered else 11.0,
        gain=0.9 if plan.recovered else 0.0,
        reason="" if plan.recovered else "2 of 100 images were identified",
    )
    trial = Trial(
        **common,
        per_sample=per_sample,
        metrics=estimates(per_sample),
        control=control,
        tensor=tensor,
        queries=15000 if plan.threat_model == "black-box" else 0,
        trace=trace_of(plan),
        converged=plan.converged,
        believable=plan.converged and plan.recovered,
    )
    return trial, guess


def make_floors(
    truth: Images, labels: NDArray[np.int64], public: tuple[Images, NDArray[np.int64]]
) -> tuple[list[Floor], dict[str, Images]]:
    """prior/mean, prior/best and allowed (the mean image of the right class)."""
    images, classes = public
    mean = np.broadcast_to(images.mean(0), truth.shape).astype(np.float32)
    nearest = ((truth[:, None] - images[None]) ** 2).sum((0, 2, 3, 4)).argmin()
    by_class = np.stack([images[classes == c].mean(0) for c in range(10)])
    guesses = {
        "prior/mean": mean,
        "prior/best": np.broadcast_to(images[nearest], truth.shape).astype(np.float32),
        "allowed": by_class[labels].astype(np.float32),
    }
    floors, tensors = [], {}
    for name, guess in guesses.items():
        per_sample = measure(guess, truth)
        kind = "allowed" if name == "allowed" else "prior"
        key = "floor/" + name.replace("/", "-")
        floors.append(
            Floor(
                name=name,
                kind=kind,
                released="label" if kind == "allowed" else "none",
                per_sample=per_sample,
                metrics=estimates(per_sample),
                seconds=0.5,
                tensor=key,
            )
        )
        tensors[key] = np.ascontiguousarray(guess)
    return floors, tensors


def make_target(defence: str, cut: str, secrets: int, size: int, channels: int, accuracy: float) -> Target:
    """LeNet-5 on MNIST."""
    index = CUTS.index(cut)
    return Target(
        model=Model(name="lenet5", weights_sha256="c0ffee" + "0" * 58, source="shipped", parameters=44_426),
        data=Data(name="mnist", train=45_000, public=15_000, secrets=secrets, classes=10),
        cut=Cut(
            name=cut,
            index=index,
            edge_flops=650_000,
            total_flops=730_000,
            edge_parameters=3_424,
            total_parameters=44_426,
            activation_bytes=4_096,
        ),
        defence=defence,
        input=Tensor(shape=(channels, size, size)),
        activation=(Tensor(shape=(16, 8, 8)),),
        accuracy=Accuracy(undefended=0.988, defended=accuracy, n=10_000),
    )


def make_record(
    samples: int = 100,
    *,
    seed: int = 0,
    defence: str = "dropout:0.6",
    cut: str = "ReLU2",
    plans: tuple[Plan, ...] = PLANS,
    strength: float = 1.0,
    size: int = 28,
    channels: int = 1,
    accuracy: float = 0.964,
    secrets_seed: int = 7,
) -> tuple[Record, dict[str, NDArray[Any]]]:
    """A finished record and its tensors. ``strength`` scales the quality of every attack."""
    truth, labels = digits(samples, size, channels, secrets_seed)
    floors, tensors = make_floors(truth, labels, digits(200, size, channels, 1000))
    mean = tensors["floor/prior-mean"]
    trials = []
    for i, plan in enumerate(plans):
        scaled = Plan(**{**plan.__dict__, "quality": min(1.0, plan.quality * strength)})
        trial, guess = make_trial(scaled, truth, mean, seed, f"trial/{i}")
        trials.append(trial)
        if guess is not None:
            tensors[f"trial/{i}"] = guess
    environment = Environment(
        splitward="0.1.0",
        python="3.11.9",
        platform="Linux x86_64",
        device="cpu",
        threads=2,
        packages={"numpy": "2.4.6", "torch": "2.13.0"},
        commit="0123abc",
    )
    record = Record(
        status="complete",
        created="2026-11-23T17:00:00+00:00",
        seed=seed,
        samples=samples,
        command=f"splitward audit --model lenet5 --data mnist --at {cut} --defence {defence} --samples {samples}",
        asked=("all",),
        threat_models=("white-box", "black-box", "query-free"),
        environment=environment,
        target=make_target(defence, cut, samples, size, channels, accuracy),
        floors=tuple(floors),
        trials=tuple(trials),
    )
    record = verdict.decide(record)
    record = record.model_copy(update={"checks": checks.check(record)})
    return record, {"secrets": truth, "labels": labels, **tensors}


def make_sweep(samples: int = 40) -> list[tuple[Record, dict[str, NDArray[Any]]]]:
    """Four records, over the rates of dropout: more of it, less leakage and less accuracy."""
    levels = (
        ("none", 1.2, 0.988),
        ("dropout:0.3", 1.1, 0.983),
        ("dropout:0.6", 1.0, 0.964),
        ("dropout:0.8", 0.85, 0.869),
    )
    return [make_record(samples, defence=d, strength=s, accuracy=a) for d, s, a in levels]
