"""What an audit is asked to do: AUDIT.toml and the command line, as one checked model. Free of torch."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from splitward.core.errors import UsageError


class AuditSettings(BaseModel):
    """Everything that ``splitward audit`` can be told.

    ``at``, ``defences``, ``observations`` and ``query_budget`` may be several: the audit is then a sweep over all of
    them. ``defence`` is one chain, in order; ``defences`` is a list of chains, each written ``a+b`` or ``none``. A
    query budget of None is written ``all``. ``public``: see ``data.auxiliary``. ``from_wire``: a recording that is
    attacked in the place of draws; cut and defence are then its own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    data: str
    at: tuple[str, ...] = Field(min_length=1)
    defence: tuple[str, ...] = ()
    defences: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ("all",)
    samples: int = Field(100, ge=2)
    observations: tuple[Annotated[int, Field(ge=1)], ...] = Field((1,), min_length=1)
    seed: int = Field(0, ge=0)
    effort: Literal["quick", "standard", "thorough"] = "standard"
    released: Literal["none", "label", "probabilities", "logits"] = "label"
    query_budget: tuple[Annotated[int, Field(ge=0)] | None, ...] = Field((None,), min_length=1)
    from_wire: Path | None = None
    public: str = "same-distribution"
    public_samples: int | None = Field(None, ge=2)
    unlike: tuple[Literal["rotated", "inverted", "shuffled", "faces"], ...] = ()
    attack_seeds: int = Field(1, ge=1)
    normalise: str | None = None
    input: str | None = None
    weights: Path | None = None
    data_dir: Path | None = None
    trust: bool = False
    judge: bool = True
    out: Path | None = None
    redact: bool = False
    max_ssim: float | None = Field(None, ge=-1, le=1)
    max_excess: float | None = Field(None, ge=0, le=1)
    min_accuracy: float | None = Field(None, ge=0, le=1)

    @field_validator("at", "defence", "defences", "attacks", "unlike", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("query_budget", "observations", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        if isinstance(value, dict | set):
            return value  # which is no tuple, and is refused as such
        parts = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
        words = [part.strip() if isinstance(part, str) else part for part in parts]
        return tuple(dict.fromkeys(None if word == "all" else word for word in words))

    @property
    def chains(self) -> tuple[str, ...]:
        """The defence chains of the sweep, as text."""
        if self.defence and self.defences:
            raise UsageError("`defence` (one chain) and `defences` (a sweep) exclude each other: keep one of them.")
        return self.defences or ("+".join(self.defence) or "none",)

    @property
    def is_sweep(self) -> bool:
        """Whether more than one record comes of it."""
        several = (self.at, self.chains, self.observations, self.query_budget)
        return math.prod(map(len, several)) > 1

    @property
    def folder(self) -> Path:
        """Where the records go: ``out``, or a folder under ``runs`` that is named after what is asked."""
        if self.out is not None:
            return self.out
        cuts = "-".join(self.at) if len(self.at) <= 3 else f"{len(self.at)}-cuts"
        chains = "-".join(self.chains) if len(self.chains) <= 3 else f"{len(self.chains)}-defences"
        return Path("runs") / slug(f"{self.model}-{self.data}-{cuts}-{chains}-seed{self.seed}-{self.effort}")

    def numeric(self) -> dict[str, Any]:
        """The settings that decide numbers; a folder can be gone on with only where these are the same."""
        apart = {"out", "redact", "max_ssim", "max_excess", "min_accuracy", "data_dir", "trust", "judge"}
        # A setting that did not exist when a folder was begun, and is not used, is no difference.
        later = ("unlike", "public", "attack_seeds", "from_wire")
        unused = {name for name in later if getattr(self, name) == type(self).model_fields[name].default}
        known = self.model_dump(mode="json", exclude=apart | unused)
        numbers = {name: getattr(self, name) for name in ("query_budget", "observations")}
        return known | {name: several[0] for name, several in numbers.items() if len(several) == 1}


def slug(text: str) -> str:
    """A text as a file name.

    >>> slug("dropout:0.6@input+x/y")
    'dropout-0.6@input+x-y'
    """
    return "".join(c if c.isalnum() or c in "._+@-" else "-" for c in text).strip("-.") or "run"


def read_settings(file: Path | None, given: dict[str, Any]) -> AuditSettings:
    """The settings of ``file`` (TOML), overridden by those ``given``.

    Raises UsageError: one sentence that names the setting.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text())
        except FileNotFoundError as error:
            raise UsageError(f"there is no file {file}; name an AUDIT.toml that exists.") from error
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageError(f"{file} cannot be read as TOML: {error}.") from error
    values |= {name: value for name, value in given.items() if value is not None}
    if values.get("from_wire"):
        from splitward.audit.from_wire import fill

        values = fill(Path(values["from_wire"]), values)
    for name, option in (("model", "--model"), ("data", "--data"), ("at", "--at")):
        if not values.get(name):
            raise UsageError(f"the audit lacks a {name}: give {option}, or `{name}` in an AUDIT.toml.")
    try:
        return AuditSettings.model_validate(values)
    except ValidationError as error:
        raise refusal(error, AuditSettings) from error


def refusal(error: ValidationError, settings: type[BaseModel]) -> UsageError:
    """One sentence of ours for the first thing that was wrong in ``settings``."""
    first = error.errors()[0]
    known = "; known are " + ", ".join(settings.model_fields) if first["type"] == "extra_forbidden" else ""
    return UsageError(f"{_told(first['loc'])} = {first.get('input')!r} is wrong: {_lower(first['msg'])}{known}.")


def _told(place: tuple[int | str, ...]) -> str:
    """A setting's name; an entry of several is counted from 1."""
    name, *rest = place or ("settings",)
    return f"{name} (entry {rest[0] + 1})" if rest and isinstance(rest[0], int) else str(name)


def _lower(message: str) -> str:
    """Pydantic's sentence as a part of ours."""
    return message.removeprefix("Value error, ").replace("Input should be", "it should be")
