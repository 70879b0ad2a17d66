"""Claims of the papers, and how each is decided from rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from splitward.reproduce.rows import Row, Rows, Undecided, decimals

Verdict = Literal[
    "holds",
    "does not hold",
    "holds only against an attacker who does not know the defence",
    "could not be decided",
]
HOLDS: Verdict = "holds"
FAILS: Verdict = "does not hold"
NAIVE_ONLY: Verdict = "holds only against an attacker who does not know the defence"
OPEN: Verdict = "could not be decided"


@dataclass(frozen=True)
class Decision:
    """A verdict and what it rests on, a sentence each."""

    verdict: Verdict
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Claim:
    """``claim``: the papers' sentence in our words. ``decide``: raises Undecided where audits are missing."""

    id: str
    section: str
    claim: str
    decide: Callable[[Rows], Decision]
    draw: Callable[[Rows], str] | None = None  # the evidence as an SVG

    def judged(self, rows: Rows) -> dict[str, Any]:
        """As the JSON holds it."""
        try:
            decision = self.decide(rows)
        except Undecided as missing:
            decision = Decision(OPEN, (*missing.evidence, f"{missing}."))
        return {
            "id": self.id, "section": self.section, "claim": self.claim, "verdict": decision.verdict,
            "evidence": list(decision.evidence),
        }  # fmt: skip


def verdict(holds: bool) -> Verdict:
    """Either of the plain two."""
    return HOLDS if holds else FAILS


def against(naive: Sequence[bool], adaptive: Sequence[bool], evidence: Sequence[str] = ()) -> Verdict:
    """From whether it holds, row by row, against an attacker who does not know the defence, and one who does.

    Raises Undecided where there is no row of either: of nothing, anything would hold.
    """
    for rows, who in ((naive, "the papers' attack"), (adaptive, "an attacker who knows the defence")):
        if not rows:
            raise Undecided(
                f"{who} was not run at the settings of the claim, failed, or recovered too little", evidence
            )
    return FAILS if not all(naive) else HOLDS if all(adaptive) else NAIVE_ONLY


MARGIN_DB, MARGIN_SSIM = 1.0, 0.05
"""What a difference of two means has to exceed to decide a claim: at ten images less is chance."""


def clearly(differences: Sequence[float], margin: float, unit: str, evidence: Sequence[str] = ()) -> bool:
    """Whether all are above ``margin``; False where one is below -``margin``; raises Undecided in between.

    >>> clearly([2.0, -3.0], 1.0, "dB"), clearly([2.0, 3.0], 1.0, "dB")
    (False, True)
    """
    if min(differences) < -margin:
        return False
    if min(differences) > margin:
        return True
    raise Undecided(
        f"a difference of {min(differences):+.2f} is within the margin of {margin:g} {unit} that decides", evidence
    )


def scored(row: Row) -> str:
    """A row's numbers as text; in brackets, SSIM in the papers' variant.

    >>> scored({"psnr_db": 12.34, "ssim": 0.5, "ssim_paper": 0.456, "images": 10})
    '12.3 dB, SSIM 0.50 (0.46), n = 10'
    """
    similar = f"{decimals(row['ssim'], 2)} ({decimals(row['ssim_paper'], 2)})"
    return f"{row['psnr_db']:.1f} dB, SSIM {similar}, n = {row['images']}"


ATTACKS = {
    "rmle": "splitward's rMLE", "rmle:scripts": "the papers' rMLE", "rmle:paper": "the papers' rMLE by its text",
    "inverse-network": "splitward's inverse network", "inverse-network:scripts": "the papers' inverse network",
    "shadow-model": "splitward's shadow models", "shadow-model:scripts": "the papers' shadow model",
    "model-reconstruction:paper": "model reconstruction", "floor prior/mean": "the mean image",
    "floor allowed": "the label alone",
}  # fmt: skip


def attacker(row: Row) -> str:
    """Who reached a row's numbers, as text."""
    return ATTACKS.get(row["attack"], str(row["attack"]))


def points(share: float) -> str:
    """A difference of accuracies as text.

    >>> points(-0.123)
    '\N{MINUS SIGN}12.3'
    """
    return decimals(100 * share, 1, "+")


Curve = Sequence[tuple[float, float]]


def accuracy_at(curve: Curve, similarity: float) -> float | None:
    """Accuracy where a curve of (similarity, accuracy) reaches ``similarity``, interpolated; None outside of it.

    >>> accuracy_at([(0.2, 0.8), (0.4, 1.0)], 0.3)
    0.9
    """
    points = sorted(curve)
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= similarity <= x1:
            return y0 if x1 == x0 else y0 + (y1 - y0) * (similarity - x0) / (x1 - x0)
    return None


def gaps(better: Curve, worse: Curve, count: int = 9) -> list[float]:
    """Accuracy of the first curve minus that of the second, at ``count`` similarities that both reach."""
    low = max(min(x for x, _ in better), min(x for x, _ in worse))
    high = min(max(x for x, _ in better), max(x for x, _ in worse))
    if high <= low:
        return []
    found = []
    for step in range(1, count + 1):
        at = low + (high - low) * step / (count + 1)
        first, second = accuracy_at(better, at), accuracy_at(worse, at)
        if first is not None and second is not None:
            found.append(first - second)
    return found


def mean(values: Sequence[float]) -> float:
    """Raises Undecided for an empty list."""
    if not values:
        raise Undecided("the two curves have no image quality in common")
    return sum(values) / len(values)
