"""Models of others: ``package.module:factory``, and ``.pt2`` files of ``torch.export``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import torch
from torch import nn

from splitward.core.errors import ModelError


def named_object(spec: str) -> object:
    """What ``package.module:name`` names, imported.

    The current directory is looked at last, so that a file there hides no installed package. Raises ModelError.
    """
    path, _, name = spec.partition(":")
    if not path or not name:
        raise ModelError(f"the model {spec!r} is not package.module:factory; write for example mymodels.small:make.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        found: object = importlib.import_module(path)
    except Exception as error:  # a stranger's module may raise anything
        raise ModelError(f"{spec}: the module {path} cannot be imported: {_said(error)}.") from error
    for part in name.split("."):
        if not hasattr(found, part):
            raise ModelError(f"{spec}: {path} has no {name!r}.")
        found = getattr(found, part)
    return found


def made_module(found: object, spec: str) -> nn.Module:
    """``found`` itself where it is an ``nn.Module``, else the result of calling it without arguments; ModelError."""
    if not isinstance(found, nn.Module):
        if not callable(found):
            kind = type(found).__name__
            raise ModelError(f"{spec} is of type {kind}; it must be an nn.Module or a function that makes one.")
        try:
            found = found()
        except Exception as error:  # as above
            raise ModelError(f"{spec}: the factory raised {_said(error)}.") from error
    if not isinstance(found, nn.Module):
        raise ModelError(f"{spec} returned something of type {type(found).__name__}; it must return an nn.Module.")
    return found


def exported_module(path: Path, trust: bool) -> nn.Module:
    """The module inside a ``.pt2`` file of ``torch.export.save``. Raises ModelError without ``trust``.

    Its behaviour in evaluation or training mode was fixed when it was exported.
    """
    if not path.is_file():
        raise ModelError(f"there is no file {path}.")
    if not trust:
        raise ModelError(
            f"{path} was not loaded, because loading a .pt2 file can run its author's code; "
            "say --trust (trust=True) if you trust its author."
        )
    try:
        program = torch.export.load(path)
        module = program.module(check_guards=False)
    except Exception as error:  # torch raises many kinds for a broken archive
        raise ModelError(f"{path} is no .pt2 file that torch {torch.__version__} can load: {_said(error)}.") from error
    for node in program.graph.nodes:
        # (input, p, train): dropout that was exported in training mode draws at random for ever
        if node.target is torch.ops.aten.dropout.default and len(node.args) == 3 and node.args[2]:
            raise ModelError(f"{path} was exported in training mode (its dropout is on); call eval() and export again.")
    # torch forbids eval() on such a module by overriding it on the instance; the mode is baked in, so eval() is true.
    for name in ("train", "eval"):
        module.__dict__.pop(name, None)
    return module


def _said(error: BaseException) -> str:
    """Kind and first line of an error, without its full stop."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0].rstrip('.')}" if text else type(error).__name__
