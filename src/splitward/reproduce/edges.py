"""The victim's own architecture with fresh weights, for an attacker who knows it (ACSAC19 table 6, "same net").

``splitward.reproduce.edges:lenet5_to_ReLU2`` names the layers of the zoo's ``lenet5`` up to ReLU2, as an attack's
``architecture``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from splitward.models.zoo import find_model


def fresh_edge(model: str, at: str) -> nn.Sequential:
    """The layers of ``model`` up to ``at``, from normalised pixels to the activation."""
    layers: list[nn.Module] = []
    for name, layer in find_model(model)().named_children():
        if isinstance(layer, nn.Linear) and not any(isinstance(before, nn.Flatten) for before in layers):
            layers.append(nn.Flatten())
        layers.append(layer)
        if name == at:
            return nn.Sequential(*layers)
    raise AttributeError(f"{model} has no layer {at!r}")


def __getattr__(name: str) -> Callable[[], nn.Module]:
    model, found, at = name.partition("_to_")
    if not found:
        raise AttributeError(name)
    return partial(fresh_edge, model.replace("_", "-"), at)
