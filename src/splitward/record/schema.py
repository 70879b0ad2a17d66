"""The record of one audit: one target (model, cut, defence), its floors, trials, checks and verdict.

A contract (``docs/record.md``): fields are added, never renamed; ``schema_version`` says which. Names carry units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from numpy.typing import NDArray
from pydantic import PrivateAttr

from splitward.record.certificate import Band, Certificate, Privacy
from splitward.record.part import Finite, Part
from splitward.record.plain import Parameters
from splitward.record.wire import Wire

__all__ = ["Band", "Certificate", "Privacy"]

SCHEMA_VERSION = 1

ThreatModel = Literal["white-box", "black-box", "query-free"]
Finding = Literal["recovered", "partial", "none-found"]


class Estimate(Part):
    """Mean over samples, its bootstrap 95 % interval, and the mean of the worst decile.

    *Worst* is worst for the owner of the secrets: the decile where the guess is closest to the truth.
    """

    mean: Finite
    low: Finite
    high: Finite
    worst: Finite
    n: int


class Tensor(Part):
    """Shape of one sample and data type."""

    shape: tuple[int, ...]
    dtype: str = "float32"


class Model(Part):
    """The network: where it came from, and the hash that binds the verdict to its weights."""

    name: str
    weights_sha256: str
    source: str = ""  # "shipped", "trained here", a path, module:factory
    parameters: int = 0
    trained: Parameters = {}  # how: data, steps or epochs, seed, recipe; of a hardened model also from which weights


class Data(Part):
    """The data set and how many images each role holds."""

    name: str
    train: int = 0
    public: int = 0
    secrets: int = 0
    classes: int = 0
    degrees_of_freedom: int | None = None  # of one image, where fewer than its pixels
    note: str = ""
    decoys: int = 0  # images that stood beside each secret in the candidate game
    decoys_served: int = 0  # of them: images of other users whose activations the cloud had served
    public_from: str = "same-distribution"  # or "same-set" (the victim's own training images), "noise", a data set


class Cut(Part):
    """Where the model is cut."""

    name: str
    index: int
    edge_flops: int = 0
    total_flops: int = 0
    edge_parameters: int = 0
    total_parameters: int = 0
    activation_bytes: int = 0


class Accuracy(Part):
    """Task accuracy in [0, 1], measured on ``n`` held-out samples; one fresh draw of the defence each."""

    undefended: Finite
    defended: Finite
    n: int


class Target(Part):
    """What was audited."""

    model: Model
    data: Data
    cut: Cut
    defence: str  # "none", "dropout:0.6", "gaussian:0.5@input+dropout:0.2"
    draws: bool = True  # whether the defence is random: with another observation, another draw
    input: Tensor
    activation: tuple[Tensor, ...]
    accuracy: Accuracy | None = None
    quantisation: str = "float32"
    wire: Wire | None = None  # where the bytes of a recording were attacked


class Environment(Part):
    """What produced the numbers."""

    splitward: str
    python: str
    platform: str
    device: str
    threads: int = 0
    packages: dict[str, str] = {}
    commit: str | None = None  # with "+dirty" where the tree was not clean


class Game(Part):
    """Which of m candidates was it? The secret and ``candidates - 1`` decoys, put in order by one judge.

    ``nearest``: by the distance from what came back, or from a floor's guess; ``likelihood``: by the attack's own;
    ``answer``: by the distance of released answers. A tie among t candidates counts 1/t and has their mean rank.
    """

    judge: Literal["nearest", "likelihood", "answer"]
    candidates: int
    chance: Finite
    wins: Estimate | None = None  # share of the secrets that were named; None where the judge failed
    rank: Estimate | None = None  # of the secret among the candidates, from 1
    per_sample: dict[str, list[Finite]] = {}  # "wins" and "rank"
    reason: str = ""  # why the judge failed


class Floor(Part):
    """What is reached without the activation."""

    name: str  # "prior/mean", "prior/best", "allowed"
    kind: Literal["prior", "allowed"]
    released: Literal["none", "label", "probabilities", "logits"] = "none"
    observations: int = 1
    parameters: Parameters = {}
    metrics: dict[str, Estimate] = {}
    per_sample: dict[str, list[Finite]] = {}
    seconds: float = 0.0
    trace: dict[str, list[tuple[int, Finite]]] = {}
    tensor: str | None = None  # key of the guesses in tensors.safetensors
    games: tuple[Game, ...] = ()


class Control(Part):
    """The positive control of a trial: did the same code, at the same budget, recover what it must?

    ``identification`` is the share of control secrets whose reconstruction lies nearest to its own original;
    ``gain`` is the share of the way, in mean squared error, from the mean image to ``reference``.
    """

    kind: Literal["undefended", "planted"]
    recovered: bool
    identification: Finite
    chance: Finite
    ssim: Finite
    psnr_db: Finite
    gain: Finite
    reason: str = ""


class Trial(Part):
    """One attack, naive or adaptive, at one number of observations."""

    attack: str  # with its preset: "rmle", "rmle:scripts"
    threat_model: ThreatModel
    adaptive: bool
    observations: int = 1
    parameters: Parameters = {}
    status: Literal["ok", "failed", "skipped"] = "ok"
    reason: str = ""
    metrics: dict[str, Estimate] = {}
    per_sample: dict[str, list[Finite]] = {}
    queries: int = 0
    seconds: float = 0.0
    trace: dict[str, list[tuple[int, Finite]]] = {}
    converged: bool | None = None
    control: Control | None = None
    believable: bool = False
    key: str = ""  # content address: the same key, the same numbers
    repetition: int = 0  # the same attack again, with another attack seed
    tensor: str | None = None  # key of the reconstructions in tensors.safetensors
    games: tuple[Game, ...] = ()


class Unlike(Part):
    """Secrets of one kind that are unlike the public data, and what the floors and the attacks made of them.

    Nothing was prepared anew: a trial has no parameters, trace or control of its own here; ``converged`` and
    ``believable`` are those of the same attack on the record's own secrets.
    """

    name: str  # "rotated", "inverted", "shuffled", "faces"
    samples: int
    tensor: str | None = None  # key of these secrets in tensors.safetensors
    floors: tuple[Floor, ...] = ()
    trials: tuple[Trial, ...] = ()

    @property
    def scored(self) -> tuple[Floor | Trial, ...]:
        """The floors, then the trials."""
        return (*self.floors, *self.trials)


class Fit(Part):
    """A test of whether what a defence sends fits its description; ``audit.draws``, ``audit.densities``.

    ``device`` and ``described`` are the values of the quantity that differs most clearly.
    """

    p: Finite  # probability of so clear a difference, or a clearer one, where there is none; corrected for all looks
    quantity: str
    device: Finite
    described: Finite


class Description(Part):
    """One defence of the chain, and what attackers who know the defence were handed in its stead."""

    defence: str  # what runs on the device: "dropout:0.6"
    told: str  # what was handed out: the same, unless it describes itself by another one
    sampler: Fit | None = None  # of the description's draws to the device's; None where no tensor is touched by it
    density: Fit | None = None  # of the description's log_density to the device's draws; None without a closed form


class Check(Part):
    """A reason not to believe a number, or the note that one was looked for and not found."""

    name: str
    level: Literal["ok", "note", "warning", "failure"]
    message: str


class Yardstick(Part):
    """How to read a judgement: what guessing scores, and what the untouched originals score themselves."""

    chance: Finite | None = None
    ceiling: Estimate  # a judge that does not recognise the originals proves nothing by what it misses


class Judge(Part):
    """The network that judges what reconstructions still show, trained on public images alone; no attacker holds it."""

    task: Literal["classes", "rotations"]  # rotations: the public images carry no labels
    told_apart: int  # so many classes, or four rotations
    trained_on: int
    tested_on: int = 0  # public images that it was not trained on
    accuracy: Finite | None = None  # on those
    parameters: int = 0
    seed: int = 0
    seconds: float = 0.0
    judgements: dict[str, Yardstick] = {}
    left_out: dict[str, str] = {}  # judgement -> why it could not be made


class Bound(Part):
    """What a verdict is bound to: on other hashes it is stale."""

    weights_sha256: str
    defence: str
    quantisation: str


class Verdict(Part):
    """The strongest attack against the stronger floor; how it is chosen: ``record.verdict``.

    ``upper`` and ``worst_decile`` are the largest of *all* attacks that gave an answer, and name theirs.
    """

    attack: str
    threat_model: ThreatModel
    adaptive: bool
    observations: int
    metric: str
    leakage: Finite
    floor: Finite
    floor_name: str
    excess: Finite | None  # None: undefined, the floor exceeds 0.95; never passed by a gate
    upper: Finite | None  # upper 95 % limit of the mean excess, paired bootstrap
    worst_decile: Finite | None  # upper 95 % limit of the mean excess of the worst decile
    recovered_share: Finite  # of samples above the paper's "recognisable": SSIM > 0.3 or PSNR > 10 dB
    believable: bool  # of the attack named above; a number from an unbelievable one is a lower limit of the leakage
    effort: str
    suite: str
    bound_to: Bound
    sentence: str
    finding: Finding = "none-found"
    leakage_low: Finite | None = None  # bootstrap 95 % interval of ``leakage``
    leakage_high: Finite | None = None
    recovered_strictly_share: Finite | None = None  # SSIM > 0.3 and PSNR > 10 dB and closer than the floor in both
    floor_recovered_share: Finite | None = None  # what ``recovered_share`` is for the floor's guesses
    upper_attack: str = ""
    worst_decile_attack: str = ""
    naive_only: tuple[ThreatModel, ...] = ()  # on a defended target: no believable attack of these knows the defence


class Scale(Part):
    """How to read a metric: its unit, and whether a higher value means that the guess is closer to the truth."""

    unit: str = ""
    higher_is_closer: bool = True


SCALES = {
    "psnr": Scale(unit="dB"),
    "ssim": Scale(),
    "ssim-paper": Scale(),
    "identification": Scale(),
    "mse": Scale(higher_is_closer=False),
    "semantic": Scale(),
    "match": Scale(),
    "perceptual": Scale(higher_is_closer=False),
}
"""Our own metrics and judgements; a record carries the scales of any others in ``scales``."""

Tensors: TypeAlias = Mapping[str, NDArray[Any]]
"""Secrets, labels and reconstructions by the key that a floor or a trial names: (N, C, H, W) float32, labels int64."""


class Record(Part):  # noqa: PLW1641 - holds dictionaries, and is therefore not hashable anyway
    """``record.json``. Pixels are kept beside it, never in it: ``tensors``."""

    schema_version: int = SCHEMA_VERSION
    status: Literal["running", "complete"] = "running"
    created: str
    seed: int = 0
    command: str = ""
    effort: str = "standard"
    asked: tuple[str, ...] = ()  # attacks that were asked for
    threat_models: tuple[ThreatModel, ...] = ()
    samples: int
    redacted: bool = False
    environment: Environment
    target: Target
    floors: tuple[Floor, ...] = ()
    trials: tuple[Trial, ...] = ()
    checks: tuple[Check, ...] = ()
    verdict: Verdict | None = None
    no_verdict: str = ""  # why there is none
    scales: dict[str, Scale] = {}  # of metrics that are not ours
    unlike: tuple[Unlike, ...] = ()  # where it was asked for
    descriptions: tuple[Description, ...] = ()  # of each defence, in the order in which they act
    judge: Judge | None = None  # None where none was asked for, or none could be trained
    no_judge: str = ""  # why none could be trained
    query_budget: int | None = None  # of an attacker who may ask the device; None: any number
    certificate: Certificate | None = None  # None in records that are older than certificates

    _tensors: Tensors | Callable[[], Tensors] = PrivateAttr(default_factory=dict)

    def scale(self, metric: str) -> Scale:
        """How to read ``metric``; one that nobody described counts as "higher is closer", without a unit."""
        return self.scales.get(metric) or SCALES.get(metric) or Scale()

    @property
    def scored(self) -> tuple[Floor | Trial, ...]:
        """Everything that may hold scores and images: the floors, then the trials."""
        return (*self.floors, *self.trials)

    @property
    def tensors(self) -> Tensors:
        """Secrets and reconstructions; read from the run folder at first use where the record was loaded from one.

        Empty in a redacted record. Raises RecordError where the folder's images are missing or damaged.
        """
        if callable(self._tensors):
            self._tensors = self._tensors()
        return self._tensors

    def attach(self, tensors: Tensors | Callable[[], Tensors]) -> None:
        """Set ``tensors``, or how they are to be read."""
        self._tensors = tensors

    def save(self, folder: Path | str) -> Path:
        """Write ``record.json`` and ``tensors.safetensors`` to ``folder``; see ``record.store.save``."""
        from splitward.record.store import save

        return save(self, folder)

    def __eq__(self, other: object) -> bool:
        """The same numbers; pixels are not compared."""
        return isinstance(other, Record) and self.__dict__ == other.__dict__
