"""The way in for models: a zoo name, ``package.module:factory``, a ``.pt2`` file, a folder; out comes a ``Victim``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from splitward.core.edge import Normalise, Normalised
from splitward.core.errors import ModelError, RegistryError
from splitward.core.registry import discover, find
from splitward.core.run import Run
from splitward.core.spec import TensorSpec
from splitward.data.places import data_directory
from splitward.models.foreign import exported_module, made_module, named_object
from splitward.models.joined import is_saved, joined_module, read_trained

SHIPPED = Path(__file__).parent / "weights"
"""The trained weights that come with the package: ``{model}-{data set}.safetensors``."""

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation, one number for all channels or one a channel."""


@dataclass(frozen=True)
class Victim:
    """A model to audit: from pixels (N, C, H, W) in [0, 1] to its output; in evaluation mode, parameters frozen.

    ``input``: one sample. ``classes``: the width of a classifier's output, None where it is no (N, classes) tensor.
    ``weights_sha256`` names weights and normalisation. ``trained``: where the weights come from (command, seed,
    accuracy, ...), empty where that is not known.
    """

    model: Normalised
    name: str
    input: TensorSpec
    classes: int | None
    weights_sha256: str
    source: str
    trained: Mapping[str, Any] = field(default_factory=dict)


def load_model(
    spec: str,
    *,
    data: str | None = None,
    trust: bool = False,
    normalise: str | None = None,
    input: tuple[int, int, int] | None = None,
    weights: Path | None = None,
    data_dir: Path | None = None,
) -> Victim:
    """The model that ``spec`` names.

    ``spec``: a name of the zoo (``lenet5``; with ``data`` its weights trained on that data set, without ``data``
    untrained weights of a fixed seed), the name of shipped weights (``lenet5-mnist``: to audit a model on data that it
    was not trained on), ``package.module:factory`` (a function without arguments that returns an ``nn.Module``, or a
    module itself; looked for in the current directory too), a ``.pt2`` file of ``torch.export``, or a folder of two
    halves, as ``splitward harden`` writes it.

    ``trust``: needed for a ``.pt2`` file. ``normalise``: ``MEAN:STD``; without it the model's own attribute
    ``normalisation``, else none. ``input``: (C, H, W); without it the model's own attribute ``input``, else the data
    set's. ``weights``: a safetensors file that is loaded into the (inner) model. ``data_dir``: where
    ``splitward train`` left its weights.

    Raises ModelError: one sentence that says what was wrong and what would be right.
    """
    trained: dict[str, Any] = {}
    if spec.endswith(".pt2"):
        if weights is not None:
            raise ModelError(f"{spec} holds its own weights: leave the other weights file ({weights}) away.")
        module, source = exported_module(Path(spec), trust), spec
    elif ":" in spec or _is_folder(spec):
        module, source = build(spec, None, Run(), f"zoo/{spec}"), spec
        trained = read_trained(Path(spec)) if _is_folder(spec) else {}
        if weights is not None:
            trained, source = load_weights(module, weights), f"{spec} with {weights}"
    else:
        module, source, trained = _from_zoo(spec, data, weights, data_dir)
    shape = input or declared_input(module) or dataset_shape(data)
    if shape is None:
        raise ModelError(
            f"the input shape of {spec} is not known: say it (C,H,W), or give the model an attribute "
            "`input = (channels, height, width)`."
        )
    model = freeze(with_normalisation(module, spec, normalise, shape[0]), spec)
    return Victim(model, spec, TensorSpec(shape), probe(model, shape, spec), weights_sha256(model), source, trained)


def _from_zoo(
    spec: str, data: str | None, weights: Path | None, data_dir: Path | None
) -> tuple[nn.Module, str, dict[str, Any]]:
    """The inner module, where its weights come from, and their provenance."""
    shipped = SHIPPED / f"{spec}.safetensors"
    if spec not in discover("model") and shipped.is_file():
        provenance = read_provenance(shipped)
        spec, weights = str(provenance.get("model", "")), weights or shipped
    path = weights
    if path is None and data is not None:
        path = find_weights(spec, data, data_dir)
    if path is None:
        find_model(spec)
        return build(spec, None, Run(), f"zoo/{spec}"), f"{spec}, untrained (fixed seed)", {}
    classes = read_provenance(path).get("classes")
    module = build(spec, classes if isinstance(classes, int) else None, Run(), f"zoo/{spec}")
    return module, f"{spec} with {path.name}", load_weights(module, path)


def find_model(name: str) -> Callable[..., nn.Module]:
    """The zoo's class ``name``; ModelError says what there is."""
    try:
        constructor: Callable[..., nn.Module] = find("model", name)
    except RegistryError as error:
        raise ModelError(
            f"{error} A model can also be package.module:factory, a .pt2 file or a folder of halves."
        ) from None
    return constructor


def build(spec: str, classes: int | None, run: Run, role: str) -> nn.Module:
    """A fresh network (a zoo name or ``package.module:factory``) with weights drawn from ``role`` of ``run``.

    A folder of halves comes with its own weights. ``classes``: the width of a zoo network's output; None is the
    network's own default.
    """
    if _is_folder(spec):
        return joined_module(Path(spec))
    if ":" in spec:
        with run.constructing("import"):  # what a module draws while it is imported must not shift the weights
            found = named_object(spec)
        with run.constructing(role):
            return made_module(found, spec)
    constructor = find_model(spec)
    with run.constructing(role):
        return constructor() if classes is None else constructor(classes)


def _is_folder(spec: str) -> bool:
    """Whether it is a folder of two halves, and no model of the zoo hides it."""
    return is_saved(spec) and spec not in discover("model")


def find_weights(model: str, data: str, data_dir: Path | None = None) -> Path:
    """The shipped weights of ``model`` for ``data``, else those that ``splitward train`` left in the data directory."""
    find_model(model)
    name = weights_name(model, data)
    for folder in (SHIPPED, trained_folder(data_dir)):
        if (folder / name).is_file():
            return folder / name
    raise ModelError(
        f"there are no weights of {model} trained on {data}: run `splitward train {model} --data {data}` first."
    )


def weights_name(model: str, data: str) -> str:
    """File name of the weights of ``model`` (zoo name or module:factory) for ``data`` (set name or folder).

    A folder is told apart from a folder of the same name elsewhere by a hash of its path.
    """
    label = data
    if Path(data).is_dir() and data not in discover("dataset"):
        path = Path(data).resolve()
        label = f"{path.name}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    return re.sub(r"[^\w.-]+", "_", f"{model}-{label}") + ".safetensors"


def trained_folder(data_dir: Path | None = None) -> Path:
    """Where ``splitward train`` writes weights unless told otherwise."""
    return data_directory(data_dir) / "weights"


def read_provenance(path: Path) -> dict[str, Any]:
    """What the metadata of a weights file says of its training; empty where it says nothing."""
    if not path.is_file():
        raise ModelError(f"there is no weights file {path}.")
    try:
        with safe_open(str(path), framework="pt") as file:
            text = (file.metadata() or {}).get("trained", "{}")
        found = json.loads(text)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} is not a safetensors file that can be read: {_first_line(error)}.") from None
    return found if isinstance(found, dict) else {}


def load_weights(module: nn.Module, path: Path) -> dict[str, Any]:
    """Load a safetensors file into ``module``, strictly; returns its provenance. Raises ModelError where it misfits."""
    provenance = read_provenance(path)
    with safe_open(str(path), framework="pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reasons = [line.strip() for line in str(error).splitlines()[1:]]
        raise ModelError(
            f"the weights in {path} do not fit {type(module).__name__}: {reasons[0] if reasons else error}"
        ) from None
    return provenance


def parse_normalise(text: str) -> Normalisation:
    """``MEAN:STD``, each one number or one a channel.

    >>> parse_normalise("0.5:0.25")
    ((0.5,), (0.25,))
    """
    try:
        mean, std = (tuple(float(v) for v in part.split(",")) for part in text.split(":"))
    except ValueError:
        raise ModelError(
            f"the normalisation {text!r} is not MEAN:STD; write 0.5:0.5, or 0.485,0.456,0.406:0.229,0.224,0.225."
        ) from None
    return mean, std


def parse_shape(text: str) -> tuple[int, int, int]:
    """``CxHxW`` as three positive whole numbers.

    >>> parse_shape("3x32x32")
    (3, 32, 32)
    """
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() and int(p) > 0 for p in parts):
        raise ModelError(f"the input shape {text!r} is not CxHxW; write 1x28x28 or 3x224x224.")
    return int(parts[0]), int(parts[1]), int(parts[2])


def declared_input(module: nn.Module) -> tuple[int, int, int] | None:
    """The model's own attribute ``input``, where it is three positive whole numbers."""
    return _declared(module.model if isinstance(module, Normalised) else module)


def _declared(model: object) -> tuple[int, int, int] | None:
    found = getattr(model, "input", None)
    if isinstance(found, tuple | list) and len(found) == 3 and all(isinstance(v, int) and v > 0 for v in found):
        return (found[0], found[1], found[2])
    return None


def model_shape(spec: str) -> tuple[int, int, int] | None:
    """The input that a model of the zoo or ``package.module:factory`` declares, without making a zoo network."""
    return (
        declared_input(build(spec, None, Run(), f"zoo/{spec}"))
        if ":" in spec or _is_folder(spec)
        else _declared(find_model(spec))
    )


def dataset_shape(data: str | None) -> tuple[int, int, int] | None:
    """The shape of a catalogued data set's images, where it has one of its own."""
    shape = getattr(discover("dataset").get(data or ""), "shape", None)
    return (shape[0], shape[1], shape[2]) if shape is not None else None


def with_normalisation(module: nn.Module, spec: str, stated: str | None, channels: int) -> Normalised:
    """``module`` behind its normalisation: the stated one, else its own, else none. ModelError on bad numbers."""
    if isinstance(module, Normalised):
        if stated is None:
            return module
        module = module.model
    if stated is not None:
        mean, std = parse_normalise(stated)
    else:
        own = getattr(module, "normalisation", None)
        if own is None:
            return Normalised(nn.Identity(), module)
        try:
            mean, std = (tuple(float(v) for v in part) for part in own)
        except (TypeError, ValueError):
            raise ModelError(
                f"the attribute `normalisation` of {spec} is {own!r}; it must be ((mean, ...), (std, ...))."
            ) from None
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, channels):
            raise ModelError(
                f"the normalisation of {spec} has {len(values)} numbers as {name} for {channels} channels; "
                f"give 1 or {channels}."
            )
    if not all(v > 0 for v in std) or not torch.tensor(mean + std).isfinite().all():
        raise ModelError(f"the normalisation of {spec} is {mean}:{std}; it must be finite, with positive deviations.")
    return Normalised(Normalise(mean, std), module)


def freeze(model: Normalised, spec: str) -> Normalised:
    """In evaluation mode, without gradients of parameters; raises ModelError for weights that are not finite."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise ModelError(
                f"the weights of {spec} are not finite: {name.removeprefix('model.')} holds NaN or infinity; "
                "train it again."
            )
    return model.eval().requires_grad_(False)


@torch.no_grad()
def probe(model: nn.Module, shape: tuple[int, int, int], spec: str) -> int | None:
    """Show the model one grey image; returns the number of classes where the output is (1, classes), else None."""
    device = next((p.device for p in model.parameters()), None)
    try:
        output = model(torch.full((1, *shape), 0.5, device=device))
    except Exception as error:  # a stranger's code may raise anything
        raise ModelError(
            f"{spec} does not take a batch of images {'x'.join(map(str, shape))} (one image, float32, in [0, 1]): "
            f"{_first_line(error)}."
        ) from error
    logits = getattr(output, "logits", output)  # Hugging Face outputs pass through as they are
    return int(logits.shape[1]) if isinstance(logits, Tensor) and logits.ndim == 2 else None


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 over the state dictionary: names in order, data type, shape and bytes of every tensor."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _first_line(error: BaseException) -> str:
    """The first line of an error's message, without its full stop."""
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
