"""What the report says, in words: names of metrics, attacks, floors and defences, and sentences about them.

A report never claims that something is safe: a leak was found, or none was found at this effort by this suite.
"""

from __future__ import annotations

from dataclasses import dataclass

from splitward.record.schema import Data, Floor, Record, Scale, Trial

RECOGNISABLE = "SSIM > 0.3 or PSNR > 10 dB"
"""The papers' threshold (He, Zhang, Lee, IoTJ 2020, section III)."""

RECOVERED = "SSIM > 0.3, PSNR > 10 dB, and nearer than the floor"
"""The stricter count of the verdict: see record.statistics.recovered."""


@dataclass(frozen=True)
class MetricWords:
    """How a metric is written: its title, unit and decimals, and which way is closer to the truth."""

    title: str
    unit: str = ""
    decimals: int = 2
    higher_is_closer: bool = True
    bounded: bool = False  # 1 is the same picture, 0 nothing in common

    @property
    def exact(self) -> str:
        """Which value is the same picture; empty where that depends on the metric."""
        return "1" if self.bounded else "" if self.higher_is_closer else "0"

    def format(self, value: float) -> str:
        """The number alone, with a true minus sign."""
        text = f"{value:.{self.decimals}f}"
        if float(text) == 0:
            text = text.lstrip("-")
        return text.replace("-", "\N{MINUS SIGN}")


_METRICS = {
    "ssim": ("SSIM", 2),
    "ssim-paper": ("SSIM (papers’ variant)", 2),
    "psnr": ("PSNR", 1),
    "mse": ("MSE", 4),
    "identification": ("told apart", 2),
    "semantic": ("class named", 2),
    "match": ("found again", 2),
    "perceptual": ("perceptual distance", 2),
}


def metric(name: str, scale: Scale) -> MetricWords:
    """The words of a metric whose record says how to read it; one that we do not know goes by its own name."""
    title, decimals = _METRICS.get(name, (name, 3))
    bounded = name in ("ssim", "ssim-paper", "identification", "semantic", "match")
    return MetricWords(title, scale.unit, decimals, scale.higher_is_closer, bounded)


_FLOORS = {"prior/mean": "mean image", "prior/best": "best public image"}

_RELEASED = {
    "none": "nothing",
    "label": "the label",
    "probabilities": "the class probabilities",
    "logits": "the logits",
}


def floor_title(name: str, released: str = "none") -> str:
    """A floor's short name: ``mean image``, ``best public image``, ``label alone (allowed)``."""
    if name == "allowed" or name.startswith("allowed/"):
        return "nothing released" if released == "none" else f"{released} alone (allowed)"
    return _FLOORS.get(name, name)


def released_title(floors: tuple[Floor, ...]) -> str:
    """What the user declares as released anyway, in words; ``nothing`` where no floor says so."""
    kinds = [f.released for f in floors if f.kind == "allowed"]
    return _RELEASED[kinds[0]] if kinds else _RELEASED["none"]


def public_title(data: Data) -> str:
    """Where attackers' public images come from, in words that follow their number.

    >>> public_title(Data(name="mnist", public_from="noise"))
    'of Gaussian noise'
    """
    kinds = {
        "same-distribution": "of the same distribution",
        "same-set": "of the victim’s own training set",
        "noise": "of Gaussian noise",
    }
    return kinds.get(data.public_from, f"of {data.public_from}")


def budget_title(budget: int | None) -> str:
    """A query budget in words: ``1,000 queries``, ``any number of queries``."""
    return "any number of queries" if budget is None else f"{budget:,} queries"


def where(record: Record) -> str:
    """The cut, and what limits the attackers: ``cut at ReLU2, 1,000 queries``."""
    limits = [] if record.query_budget is None else [budget_title(record.query_budget)]
    data = record.target.data
    limits += [] if data.public_from == Data(name="").public_from else [f"images {public_title(data)}"]
    return ", ".join([f"cut at {record.target.cut.name}", *limits])


def defence_title(spec: str) -> str:
    """A defence in words.

    >>> defence_title("dropout:0.6+gaussian:0.5@input")
    'dropout 0.6 on the activation, then gaussian 0.5 on the input'
    >>> defence_title("none")
    'no defence'
    """
    if spec in ("none", ""):
        return "no defence"
    return ", then ".join(_channel_title(part) for part in spec.split("+"))


def _channel_title(part: str) -> str:
    kind, _, level = part.partition(":")
    level, _, position = level.partition("@")
    place = "input" if position == "input" else "activation"
    return f"{kind} {level} on the {place}".replace("  ", " ")


def defended(record: Record) -> bool:
    """Whether there is a defence that an attacker may know or not know."""
    return record.target.defence not in ("none", "")


def knowledge(trial: Trial, has_defence: bool) -> str:
    """What the attacker believes about the defence; empty where there is none."""
    if not has_defence:
        return ""
    return "adaptive" if trial.adaptive else "naive"


def trial_title(trial: Trial, has_defence: bool) -> str:
    """An attack as a row says it: ``rmle:scripts, naive, 5 observations``."""
    parts = [trial.attack, knowledge(trial, has_defence)]
    parts.append(f"{trial.observations} observations" if trial.observations > 1 else "")
    return ", ".join(p for p in parts if p)


ATTACKS = {
    "rmle": "searches, for each secret, the image whose activation is nearest to what crossed the wire",
    "prior-guided": "corrects a decoder's answer by the edge itself, as far as that errs and the activation speaks",
    "inverse-network": "trains a decoder on queried pairs of image and activation",
    "model-reconstruction": "fits a copy of the edge to queried pairs, then inverts the copy",
    "no-public-data": "does as shadow-model does, with invented pictures in the place of public ones",
    "shadow-model": "trains a stand-in for the edge in front of the cloud half, then inverts the stand-in",
}
"""One line for each attack of ours; an attack of somebody else's has its name only."""


def attack_note(attack: str) -> str:
    """What an attack does, in one line; empty for an attack that we do not know."""
    return ATTACKS.get(attack.partition(":")[0], "")


@dataclass(frozen=True)
class Holding:
    """One row of the threat-model card: does each threat model hold this thing?"""

    thing: str
    query_free: str
    black_box: str
    white_box: str


YES, NO = "yes", "no"

HOLDINGS = (
    Holding("the cloud half, and the shapes of what crosses", YES, YES, YES),
    Holding("the activation of each secret, as the cloud receives it", YES, YES, YES),
    Holding("public images of the same kind", YES, YES, YES),
    Holding("activations of other users that it served, without labels", YES, YES, YES),
    Holding("the device, to be asked about images of its own choice (counted)", NO, YES, YES),
    Holding("the edge half: structure, weights and normalisation", NO, NO, YES),
    Holding("the kind and the level of the defence", "adaptive only", "adaptive only", "adaptive only"),
    Holding("the random draws of the defence", NO, NO, NO),
    Holding("the secrets themselves, or anything selected with them", NO, NO, NO),
)

MEANINGS = (
    (
        "SSIM",
        "structural similarity of a reconstruction with its original: 1 is the same picture, 0 is nothing in "
        "common, and below 0 is worse than nothing. It compares brightness, contrast and structure in small "
        "windows, so it follows what an eye calls “the same picture” better than a difference of pixels does."
        " (Gaussian window, sigma 1.5, data range 1.)",
    ),
    (
        "PSNR",
        "peak signal-to-noise ratio in decibels: every 10 dB more mean a ten times smaller squared error. "
        "Above about 30 dB a picture is hard to tell from its original; exact recovery is capped at 100 dB.",
    ),
    (
        "Floor",
        "what an attacker reaches without seeing the activation at all: with the mean image or the best "
        "public image (prior), or from what is released anyway (allowed). A number that is reached without "
        "the activation is no leak of the activation.",
    ),
    (
        "Excess leakage",
        "how much of the way from the stronger floor to perfect recovery an attack has gone, image by image: "
        "max(0, (attack − floor) / (1 − floor)). 0 is no more than the floor, 1 is exact recovery. Where the "
        "floor itself exceeds 0.95 it is undefined.",
    ),
    (
        "Recognisable",
        f"here: {RECOVERED} in both. The papers’ rule ({RECOGNISABLE}) is looser: on some data the mean image alone "
        "passes it.",
    ),
    (
        "Told apart",
        "the reconstruction is nearer (in squared error) to its own original than to the original of any "
        "other audited image: an attacker with a list of suspects would name the right one.",
    ),
    (
        "Candidates",
        "the same with a list of suspects that holds decoys: which of m images crossed the wire? Named by the picture "
        "that came back, by the attack’s own likelihood, or by what is released anyway. Chance names one in m.",
    ),
    (
        "Intervals",
        "95 % bootstrap intervals over the audited images. The worst decile is the tenth of the images that "
        "came back best: averages hide the people who are hit hardest.",
    ),
)
"""What the numbers mean, in plain words."""

NOT_PROVED = (
    "Attacks do not prove that nothing leaks. An audit is a set of attacks at an effort: a stronger, or simply a"
    " different, attacker can do better tomorrow. A low number says “no leak found at this effort by this "
    "suite”, and no more.",
    "It speaks of these weights, this cut, this defence and this numerical precision. Retrain, quantise or "
    "move the cut, and it is stale.",
    "It speaks of images like the audited ones. Other people, other cameras or rarer images may be recovered better.",
    "It measures how much of the image comes back. Whether an attribute (a name, an age, an illness) can be "
    "inferred from the activation without any picture is a different question.",
    "It assumes an attacker who watches the wire or runs the cloud. Malware on the device, side channels and "
    "what users send elsewhere are outside.",
    "It counts the observations that it was told to count. A device that sends the same secret again under "
    "fresh noise gives away more each time.",
)
"""What this does not prove."""


def data_note(data: Data) -> str:
    """What a reader must know of a data set before believing a similarity on it."""
    parts = [data.note.strip()]
    if data.degrees_of_freedom:
        if "degrees of freedom" not in data.note:
            parts.append(f"An image has {data.degrees_of_freedom} degrees of freedom.")
        parts.append("It has fewer than its pixels and is easier to recover than a photograph of the same size.")
    return " ".join(part for part in parts if part)
