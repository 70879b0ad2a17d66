"""What a hardening is asked to do, checked; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from splitward.audit.settings import refusal, slug

SELECTION_SHARE, SELECTION_MOST = 0.2, 6000
"""Of the training images: what the search measures on, and never trains on."""


@dataclass(frozen=True)
class Effort:
    """How much is tried. ``rungs``: steps of each round of successive halving and how many candidates enter it.

    ``tries``: recipes of each method, None for all. ``proxy_steps``: of the small decoder. ``levels``: of each of the
    papers' defences that stand beside in the figure.
    """

    tries: int | None
    rungs: tuple[tuple[int, int | None], ...]
    finalists: int
    proxy_steps: int
    samples: int
    levels: int


EFFORTS = {
    "quick": Effort(1, ((150, None), (300, 3), (600, 1)), 1, 200, 60, 0),
    "standard": Effort(None, ((300, None), (700, 7), (2000, 3)), 3, 400, 100, 3),
    "thorough": Effort(None, ((600, None), (1500, 9), (6000, 4)), 4, 800, 200, 5),
}


class HardenSettings(BaseModel):
    """Everything that ``splitward harden`` can be told.

    ``max_accuracy_drop``: in points of per cent. ``max_edge_cost``: operations on the device as a multiple of those at
    the first cut of ``at``. ``methods``: recipes to try instead of those that the plugins suggest. ``trains``: which
    half learns. ``audit_effort``: of the attacks that judge, where it is not that of the search.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    data: str
    at: tuple[str, ...] = Field(min_length=1)
    max_accuracy_drop: float = Field(1.0, ge=0, le=100)
    max_edge_cost: float = Field(1.25, gt=0)
    max_bytes: int | None = Field(None, ge=1)
    max_excess: float | None = Field(None, ge=0, le=1)
    methods: tuple[str, ...] = ()
    trains: Literal["both", "edge", "cloud"] = "both"
    effort: Literal["quick", "standard", "thorough"] = "standard"
    observations: tuple[Annotated[int, Field(ge=1, le=1000)], ...] = Field((1,), min_length=1)
    released: Literal["none", "label", "probabilities", "logits"] = "label"
    audit_effort: Literal["quick", "standard", "thorough"] | None = None
    attacks: str = "all"
    samples: int | None = Field(None, ge=2)
    steps: int | None = Field(None, ge=1)
    finalists: int | None = Field(None, ge=1)
    batch: int = Field(128, ge=2)
    curves: bool | None = None
    seed: int = Field(0, ge=0)
    normalise: str | None = None
    input: str | None = None
    weights: Path | None = None
    data_dir: Path | None = None
    trust: bool = False
    out: Path | None = None

    @field_validator("observations", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        parts = value.split(",") if isinstance(value, str) else value
        return tuple(dict.fromkeys(p.strip() if isinstance(p, str) else p for p in parts))

    @property
    def folder(self) -> Path:
        """Where everything goes: ``out``, or a folder under ``runs`` that is named after what is asked."""
        named = f"harden-{self.model}-{self.data}-{'-'.join(self.at)}-seed{self.seed}-{self.effort}"
        return self.out or Path("runs") / slug(named)

    @property
    def scale(self) -> Effort:
        """How much is tried; ``steps`` are those of the last round, the others follow; ``finalists`` enter it at most,
        and so do as many every round before."""
        effort = EFFORTS[self.effort]
        last = effort.rungs[-1][0]
        factor = 1.0 if self.steps is None else self.steps / last
        finalists = self.finalists or effort.finalists
        counts = [None if entering is None else max(entering, finalists) for _, entering in effort.rungs[:-1]]
        counts.append(finalists)
        rungs = tuple((max(1, round(n * factor)), count) for (n, _), count in zip(effort.rungs, counts, strict=True))
        return Effort(effort.tries, rungs, finalists, effort.proxy_steps, self.count, effort.levels)

    @property
    def judged_at(self) -> str:
        """The effort of the attacks that judge."""
        return self.audit_effort or self.effort

    @property
    def count(self) -> int:
        """Secrets of each audit."""
        return self.samples or EFFORTS[self.judged_at].samples

    @property
    def draws_curves(self) -> bool:
        """Whether the papers' defences are audited beside; unless told otherwise, not at effort quick."""
        return self.effort != "quick" if self.curves is None else self.curves

    def numeric(self) -> dict[str, Any]:
        """The settings that decide the search; a folder can be gone on with only where these are the same.

        Those of the judgement may change: an audit knows its own trials.
        """
        apart = {"out", "data_dir", "trust", "max_excess", "curves", "audit_effort", "attacks", "samples", "released"}
        return self.model_dump(mode="json", exclude=apart)


def read_settings(given: dict[str, Any]) -> HardenSettings:
    """The settings that were ``given``. Raises UsageError: one sentence that names the setting."""
    try:
        return HardenSettings.model_validate({k: v for k, v in given.items() if v is not None})
    except ValidationError as error:
        raise refusal(error, HardenSettings) from error
