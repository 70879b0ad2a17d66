"""Where plugins are found: our own packages, installed entry points, and ``package.module:Name``. Free of torch itself.

A plugin is a class decorated with ``@register("attack")`` (or "floor", "defence", "hardening", "metric", "judgement",
"dataset", "model") in a module of the matching package, or named by an entry point of the group
``splitward.<package>``. One file is enough.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from splitward.core.errors import RegistryError, in_one_line

PACKAGES = {
    "attack": "attacks",
    "floor": "attacks",
    "defence": "defences",
    "hardening": "hardening",
    "metric": "metrics",
    "judgement": "metrics",
    "dataset": "data",
    "model": "models",
}
"""Plugin kind -> package of ours (and entry point group ``splitward.<package>``) that is searched for it."""

T = TypeVar("T")

_plugins: dict[str, dict[str, Any]] = {kind: {} for kind in PACKAGES}
_searched: set[str] = set()


def register(kind: str) -> Callable[[T], T]:
    """Class (or function) decorator: makes the plugin known under its attribute ``name``."""

    def add(plugin: T) -> T:
        name = getattr(plugin, "name", None)
        if not isinstance(name, str) or not name:
            raise RegistryError(f"{kind} plugin {plugin!r} has no name: give it a class attribute `name`.")
        known = _plugins[kind].setdefault(name, plugin)
        if (known.__module__, known.__qualname__) != (
            plugin.__module__,
            getattr(plugin, "__qualname__", None),
        ):
            raise RegistryError(
                f"two {kind} plugins are named {name!r}: {known.__module__} and {plugin.__module__}; rename one."
            )
        _plugins[kind][name] = plugin
        return plugin

    return add


def discover(kind: str) -> dict[str, Any]:
    """Every plugin of ``kind`` by name, sorted. Raises RegistryError for an unknown kind, or a plugin that fails."""
    if kind not in PACKAGES:
        raise RegistryError(f"there is no plugin kind {kind!r}; the kinds are {', '.join(sorted(PACKAGES))}.")
    package = PACKAGES[kind]
    if package not in _searched:
        module = importlib.import_module(f"splitward.{package}")
        for info in pkgutil.iter_modules(module.__path__):
            if not info.name.startswith("_"):
                importlib.import_module(f"splitward.{package}.{info.name}")
        for entry in entry_points(group=f"splitward.{package}"):
            _load(entry)
        _searched.add(package)
    return dict(sorted(_plugins[kind].items()))


def _load(entry: EntryPoint) -> None:
    """Import somebody else's plugin; raises RegistryError where it fails: an attack must not be missing in silence."""
    try:
        entry.load()
    except RegistryError:
        raise
    except Exception as error:
        owner = entry.dist.name if entry.dist else entry.value
        why = in_one_line(error).rstrip(". ")
        raise RegistryError(
            f"the plugin {entry.name!r} of the installed package {owner!r} cannot be loaded ({why}); mend or "
            "uninstall it."
        ) from error


def find(kind: str, name: str) -> Any:
    """The plugin ``name`` of ``kind``; a name with a colon and a dot or module path is imported (``module:Name``).

    Raises RegistryError with the nearest known names.
    """
    known = discover(kind)
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known)}."
    raise RegistryError(f"there is no {kind} named {name!r}; {hint}")


def summary(plugin: Any) -> str:
    """The first line of a plugin's docstring."""
    return (plugin.__doc__ or "").strip().split("\n")[0].rstrip(".")
