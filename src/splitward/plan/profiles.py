"""Devices, clouds and networks as data: YAML, each number with its source and how sure it is."""

from __future__ import annotations

import difflib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from splitward.core.errors import UsageError

LIMIT_BYTES = 1 << 20

Finite = Annotated[float, Field(allow_inf_nan=False)]
P = TypeVar("P", bound="Profile")


class Part(BaseModel):
    """Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Quantity(Part):
    """A number with its source. ``verified``: seen there by us; ``fitted``: to figures named in the source;
    ``assumed``: not verified."""

    value: Finite = Field(ge=0)
    source: str = Field(min_length=1)
    mark: Literal["verified", "fitted", "assumed"]


class Fit(Part):
    """Latency of one kind of operation: ``coefficients`` on (1, features), of the logarithms where ``form`` says so.

    ``error``: mean absolute relative error in cross-validation, on ``samples`` operations.
    """

    form: Literal["linear", "logarithmic"]
    features: tuple[Literal["flops", "input_bytes", "output_bytes", "weight_bytes"], ...]
    coefficients: tuple[Finite, ...]
    error: Finite
    samples: int

    @model_validator(mode="after")
    def _fits(self) -> Fit:
        if len(self.coefficients) != 1 + len(self.features):
            raise ValueError(f"{len(self.features)} features need {1 + len(self.features)} coefficients")
        return self


class Profile(Part):
    """A file. ``note`` says what a reader should know."""

    title: str
    note: str = ""

    def quantities(self) -> dict[str, Quantity]:
        """Every number with its source, by name."""
        found: dict[str, Quantity] = {}
        for name in type(self).model_fields:
            held = getattr(self, name)
            if isinstance(held, Quantity):
                found[name] = held
            elif isinstance(held, dict):
                for key, item in held.items():
                    inner = item.quantities() if isinstance(item, Profile) else {"": item}
                    found |= {f"{name}.{key}.{k}".rstrip("."): q for k, q in inner.items() if isinstance(q, Quantity)}
        return found


def _below_all(loss: Quantity | None) -> Quantity | None:
    if loss is not None and loss.value > 0.99:
        raise ValueError(f"a loss of {loss.value:g} is above 0.99")
    return loss


class Network(Profile):
    """A link. Energy of the radio: power_mw = base + per Mbit/s (Huang et al., MobiSys 2012), while it sends.

    ``spread``: standard deviation of the logarithm of the uplink's bandwidth. ``loss``: share of packets sent again.
    ``tail_mj``: what the radio takes after the last packet; counted only where it is asked for.
    """

    uplink_mbit_per_s: Quantity
    downlink_mbit_per_s: Quantity
    round_trip_ms: Quantity
    uplink_mw_per_mbit_per_s: Quantity
    downlink_mw_per_mbit_per_s: Quantity
    base_mw: Quantity
    loss: Annotated[Quantity | None, AfterValidator(_below_all)] = None
    spread: Quantity | None = None
    tail_mj: Quantity | None = None
    usd_per_gb: Quantity | None = None


Rate = Literal["convolution", "pointwise", "depthwise", "linear"]


class Device(Profile):
    """An edge device or a cloud.

    An operation takes ``overhead_ms`` + max(operations / rate of its kind, bytes moved / memory bandwidth), or what its
    kind's ``fits`` say. ``active_w``: power above idle while computing. ``radios``: links of this device, which replace
    the network of the same name.
    """

    role: Literal["device", "cloud"]
    gflop_per_s: dict[Rate, Quantity] = {}
    memory_gb_per_s: Quantity | None = None
    overhead_ms: Quantity | None = None
    fits: dict[str, Fit] = {}
    memory_mb: Quantity | None = None
    active_w: Quantity | None = None
    idle_w: Quantity | None = None
    usd_per_hour: Quantity | None = None
    radios: dict[str, Network] = {}


def device(name: str, role: Literal["device", "cloud"] | None = None) -> Device:
    """The device or cloud profile ``name``: ours, or a YAML file. Raises UsageError with the nearest names."""
    found = _find(name, "devices", Device)
    if role == "cloud" and found.role != "cloud" and name != "measured":
        return found  # any computer may serve; its price is then unknown
    return found


def network(name: str, owner: Device | None = None) -> Network:
    """The network ``name``: the device's own radio of that name, else ours, else a YAML file."""
    if owner is not None and name in owner.radios:
        return owner.radios[name]
    return _find(name, "networks", Network)


def names(folder: Literal["devices", "networks"]) -> list[str]:
    """The profiles that we bring."""
    return sorted(file.name.removesuffix(".yaml") for file in _folder(folder).iterdir() if file.name.endswith(".yaml"))


def parse(text: str, kind: type[P], where: str) -> P:
    """A profile from YAML. Raises UsageError of one sentence."""
    try:
        data: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"{where} is no YAML: {' '.join(str(error).split())[:200]}.") from error
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "the file"
        raise UsageError(f"{where}: {name} is wrong ({first['msg']}); see docs/planning.md.") from error


def _folder(folder: str) -> Traversable:
    return resources.files("splitward.plan") / "profiles" / folder


def _find(name: str, folder: Literal["devices", "networks"], kind: type[P]) -> P:
    known = names(folder)
    if name in known:
        return parse((_folder(folder) / f"{name}.yaml").read_text(encoding="utf-8"), kind, name)
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        try:
            if path.stat().st_size > LIMIT_BYTES:
                raise UsageError(f"{path} is larger than any profile; name another file.")
            return parse(path.read_text(encoding="utf-8"), kind, str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{path} cannot be read as a profile: {error}.") from error
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}, or a .yaml file."
    raise UsageError(f"there is no profile {name!r} among the {folder}; {hint}")
