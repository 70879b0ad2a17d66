"""splitward: what does the cloud see, and what can it make of it?

```python
import splitward as sw

halves = sw.split(model, example, at="ReLU2")
target = sw.Target(halves, defence=sw.defence("dropout:0.6"))
record = sw.audit(target, attacks=sw.attacks("all"), secrets=images, public=public)
print(record.verdict.sentence)
```

Importing this package loads no torch; the first use of what needs it does.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from splitward._version import __version__
from splitward.core.errors import SplitwardError

if TYPE_CHECKING:
    from splitward.audit.loop import audit
    from splitward.audit.suite import suite as attacks
    from splitward.audit.target import Target
    from splitward.core.defence_text import parse_chain as defence
    from splitward.core.knowledge import Samples
    from splitward.data.dataset import load as load_data
    from splitward.models.zoo import load_model
    from splitward.record.store import load
    from splitward.report import render as report
    from splitward.split import cuts, split

__all__ = [
    "Samples",
    "SplitwardError",
    "Target",
    "__version__",
    "attacks",
    "audit",
    "cuts",
    "defence",
    "load",
    "load_data",
    "load_model",
    "report",
    "split",
]

_HOMES = {
    "Samples": ("splitward.core.knowledge", "Samples"),
    "Target": ("splitward.audit.target", "Target"),
    "attacks": ("splitward.audit.suite", "suite"),
    "audit": ("splitward.audit.loop", "audit"),
    "cuts": ("splitward.split.cuts", "cuts"),
    "defence": ("splitward.core.defence_text", "parse_chain"),
    "load": ("splitward.record.store", "load"),
    "load_data": ("splitward.data.dataset", "load"),
    "load_model": ("splitward.models.zoo", "load_model"),
    "report": ("splitward.report", "render"),
    "split": ("splitward.split.halves", "split"),
}
"""Public name -> where it lives; looked up on first use."""


class _Package(ModuleType):
    """Keeps public names that are subpackages too: importing ``splitward.split`` does not hide ``sw.split()``."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):  # the import system binds subpackages here
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'splitward' has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(importlib.import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
