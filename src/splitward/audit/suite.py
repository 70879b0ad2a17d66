"""Which attacks an audit runs, configured from text: ``rmle:scripts,inverse-network``, ``white-box``, ``all``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from splitward.core.errors import AttackError, RegistryError, UsageError
from splitward.core.knowledge import THREAT_MODELS, QueryFree
from splitward.core.protocols import threat_model
from splitward.core.registry import discover, find

EFFORTS = ("quick", "standard", "thorough")


@dataclass(frozen=True)
class Entry:
    """One configured attack of a suite; ``name`` includes the preset (``rmle:scripts``).

    ``repetition``: the same attack again, whose random draws are others, from 0.
    """

    name: str
    attack: Any
    kind: type[QueryFree]
    repetition: int = 0

    @property
    def role(self) -> str:
        """What tells the attack and its repetition from all others of a suite: its random draws follow from it."""
        return f"{self.name}#{self.repetition}" if self.repetition else self.name

    @property
    def knows_defence(self) -> bool:
        """Whether the attack can use a defence's facts; if not it runs only as a naive attacker."""
        return bool(getattr(self.attack, "knows_defence", True))

    @property
    def parameters(self) -> dict[str, Any]:
        """The configuration, as the record keeps it."""
        return parameters_of(self.attack)


def parameters_of(plugin: Any) -> dict[str, Any]:
    """The fields of a configured plugin; empty for one that is no dataclass."""
    if not dataclasses.is_dataclass(plugin):
        return {}
    return {f.name: getattr(plugin, f.name) for f in dataclasses.fields(plugin)}


def configure(name: str, effort: str, observations: int) -> Entry:
    """The attack ``name`` or ``name:preset``; ``module:Class`` is looked up where no plugin has the name.

    The effort changes the default preset only: a preset of a paper is what the paper did.
    """
    base, _, preset = name.partition(":")
    plugins = discover("attack")
    if base not in plugins and "." in base:
        plugin, preset = _imported(name), ""
    else:
        plugin = find("attack", base)
    presets = getattr(plugin, "presets", {})
    if preset and preset not in presets:
        known = ", ".join(presets) or "none"
        raise UsageError(f"attack {base!r} has no preset {preset!r}; its presets are: {known}.")
    fields = dict(presets[preset] if preset else getattr(plugin, "efforts", {}).get(effort, {}))
    if dataclasses.is_dataclass(plugin) and any(f.name == "observations" for f in dataclasses.fields(plugin)):
        fields["observations"] = observations
    try:
        attack = plugin(**fields)
    except TypeError as error:
        raise AttackError(f"attack {name!r} does not take its own settings {fields}: {error}.") from error
    return Entry(name if not preset else f"{base}:{preset}", attack, threat_model(attack))


def repeated(entries: list[Entry], attack_seeds: int) -> list[Entry]:
    """Each entry under so many attack seeds, side by side."""
    return [dataclasses.replace(e, repetition=r) for e in entries for r in range(attack_seeds)]


def _imported(name: str) -> Any:
    import importlib

    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise RegistryError(f"there is no attack {name!r}: {error}.") from error


def suite(names: str | list[str] | tuple[str, ...], effort: str = "standard", observations: int = 1) -> list[Entry]:
    """The attacks that ``names`` asks for, strongest threat model first.

    ``all``: every attack, and the presets that it names in ``suite`` (the papers' own attack beside ours);
    a threat model's name: all of that threat model. Raises UsageError where nothing is left.
    """
    if effort not in EFFORTS:
        raise UsageError(f"there is no effort {effort!r}: it is one of {', '.join(EFFORTS)}.")
    wanted = names.split(",") if isinstance(names, str) else list(names)
    entries: dict[str, Entry] = {}
    for name in (w.strip() for w in wanted if w.strip()):
        if name == "all" or name in THREAT_MODELS:
            for base, plugin in discover("attack").items():
                if name == "all" or threat_model(plugin).label == name:
                    for preset in getattr(plugin, "suite", ("",)):
                        full = f"{base}:{preset}" if preset else base
                        entries[full] = configure(full, effort, observations)
        else:
            entry = configure(name, effort, observations)
            entries[entry.name] = entry
    if not entries:
        raise UsageError(f"no attack is named in {names!r}: name some, a threat model, or all.")
    order = list(THREAT_MODELS)
    return sorted(entries.values(), key=lambda e: (order.index(e.kind.label), e.name))
