"""What is audited: a cut model, its defence and its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from splitward.audit.world import weights_hash
from splitward.core.defence import Chain, Channel
from splitward.core.knowledge import Task
from splitward.core.task import Classification
from splitward.split.halves import Halves

if TYPE_CHECKING:
    from splitward.audit.crossed import Crossed


@dataclass(frozen=True)
class Target:
    """The halves, the defence on the device, and the task of the cloud half.

    ``crossed``: a recording of what such a device really sent, which is attacked in the place of draws.

    ``defence``: a chain, or one channel of ``sw.defence("dropout:0.6")``. ``model`` and ``source`` are texts for the
    record, ``trained`` says where the weights come from. The weights' hash is computed; weights that are not finite
    raise ModelError, a defence that is described at another place than its own DefenceError.
    """

    halves: Halves
    defence: Chain | Channel = field(default_factory=Chain)
    task: Task = field(default_factory=Classification)
    model: str = "model"
    source: str = ""
    weights_sha256: str = ""
    crossed: Crossed | None = None
    trained: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.defence, Chain):
            object.__setattr__(self, "defence", Chain((self.defence,)))
        self.chain.description()  # refused now rather than after hours
        object.__setattr__(self, "weights_sha256", weights_hash(self.halves.edge, self.halves.cloud))

    @property
    def chain(self) -> Chain:
        """The defence as a chain, and the form on the wire behind it."""
        assert isinstance(self.defence, Chain)
        form = self.crossed.form if self.crossed else None
        return self.defence if form is None else Chain((*self.defence.channels, form))
