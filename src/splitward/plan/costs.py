"""What a model costs, operation by operation and cut by cut: the file that ``splitward profile`` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from splitward.core.errors import UsageError

SCHEMA_VERSION: Literal[1] = 1
LIMIT_BYTES = 1 << 26

BYTES = {"float32": 4, "float16": 2, "int8": 1}
"""Data types of the wire -> bytes a number."""

Kind = Literal[
    "convolution", "pointwise", "depthwise", "linear", "pooling", "normalisation", "activation", "other", "view"
]
"""``pointwise``: a 1x1 convolution; ``linear``: any matrix product; ``view``: the same memory, free."""

Whole = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Part(BaseModel):
    """Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Timing(Part):
    """Median and spread (10th and 90th percentile) over ``repetitions``, one sample at a time."""

    median_ms: Positive
    low_ms: Positive
    high_ms: Positive
    repetitions: Whole


class Operation(Part):
    """One operation of the graph, for one sample. ``weights``: names in ``Costs.weights``; tied ones are shared."""

    name: str
    kind: Kind
    flops: Whole = 0
    weights: tuple[str, ...] = ()
    input_bytes: Whole = 0
    output_bytes: Whole = 0
    scratch_bytes: Whole = 0
    timing: Timing | None = None


class Value(Part):
    """A tensor that crosses if its producer is on the edge and a consumer is not; each crosses once.

    ``producer``: an operation's index, -1 for the input. ``output``: the model returns it. ``raw``: it is the input
    still. ``refused``: why it cannot cross. ``storage``: values of one storage share their memory.
    """

    producer: int = Field(ge=-1)
    consumers: tuple[Whole, ...]
    elements: Whole
    bytes: Whole
    output: bool = False
    raw: bool = False
    refused: str = ""
    storage: Whole


class CutCosts(Part):
    """A named cut: the operations up to ``last`` are on the edge."""

    name: str
    last: Whole
    elements: Whole
    refused: str = ""
    leaks_input: bool = False


class Costs(Part):
    """Costs of one model. ``threads`` and ``machine`` are those of the timings; ``engine``: who ran it.

    ``weights_sha256``: as in records of audits; empty where it is not known.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    model: str
    weights_sha256: str = ""
    input: tuple[Whole, ...]
    engine: str = ""
    machine: str = ""
    threads: Whole = 0
    weights: dict[str, Whole]  # name -> bytes
    operations: tuple[Operation, ...] = Field(min_length=1)
    values: tuple[Value, ...]
    cuts: tuple[CutCosts, ...]

    @model_validator(mode="after")
    def _fits(self) -> Costs:
        count = len(self.operations)
        for value in self.values:
            if value.producer >= count or any(not value.producer < c < count for c in value.consumers):
                raise ValueError("a value is consumed before it is produced, or by no operation of the model")
        for operation in self.operations:
            if missing := [w for w in operation.weights if w not in self.weights]:
                raise ValueError(f"the operation {operation.name} has the unknown weights {missing[0]}")
        if any(cut.last >= count for cut in self.cuts):
            raise ValueError("a cut lies behind the last operation")
        return self

    @property
    def measured(self) -> bool:
        """Whether every operation that costs something was timed."""
        return all(o.timing is not None for o in self.operations if o.kind != "view")


def load(path: Path | str) -> Costs:
    """The costs in a file. Raises UsageError where it is none."""
    path = Path(path)
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise UsageError(f"{path} is larger than any cost file; give a file of `splitward profile --out`.")
        return Costs.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); give a file of `splitward profile --out`."
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(
            f"{path}: {where} is wrong ({first['msg']}); write it anew with `splitward profile`."
        ) from error


def save(costs: Costs, path: Path | str) -> None:
    """Write the costs as JSON. Raises UsageError where that is not possible."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(costs.model_dump_json(indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}.") from error
