"""What figure 2 needs of costs: AlexNet cut for latency, by the planner, on two of its devices. *Modelled*."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from splitward.plan import profiles
from splitward.plan.choice import Row, plan
from splitward.plan.choice import Wanted as Asked
from splitward.plan.costs import Costs, load
from splitward.plan.problem import Limits
from splitward.plan.setting import CLOUD_ONLY, EDGE_ONLY, Setting

ALEXNET = Path(__file__).parent / "published" / "alexnet-costs.json"
"""As ``splitward profile alexnet`` writes it."""


@dataclass(frozen=True)
class Place:
    """A device, its uplink and a cloud: names of profiles."""

    name: str
    device: str
    network: str
    source: str

    def setting(self) -> Setting:
        """For the planner."""
        device = profiles.device(self.device)
        return Setting(alexnet(), device, profiles.device("server-k40"), profiles.network(self.network, device))


FITTED = Place(
    "the mobile device of the figure", "mobile", "wifi",
    "device mobile with its own radio, cloud server-k40; five numbers are fitted to the published bars, the cut is not",
)  # fmt: skip
PLACES = (
    Place(
        "a device with a GPU, fast Wi-Fi", "tk1-gpu", "neurosurgeon-wifi",
        "device tk1-gpu, network neurosurgeon-wifi, cloud server-k40; nothing is fitted to the published bars",
    ),
    FITTED,
)  # fmt: skip


@cache
def alexnet() -> Costs:
    """Operations, weights and tensors of AlexNet."""
    return load(ALEXNET)


@cache
def rows(place: Place) -> tuple[Row, ...]:
    """Every cut that can be made, in the graph's order; cloud-only first, edge-only last."""
    found = plan(place.setting(), Asked({"latency": 1.0}, Limits()), {})
    return tuple(row for row in found.rows if row.choice)


def inner(place: Place) -> tuple[Row, ...]:
    """Those in which both halves work."""
    return tuple(row for row in rows(place) if row.name not in (CLOUD_ONLY, EDGE_ONLY))


def deployments(place: Place) -> dict[str, Row]:
    """Cloud-only, edge-only, and the cut between them with the lowest latency."""
    by = {row.name: row for row in rows(place)}
    return {
        "cloud-only": by[CLOUD_ONLY], "edge-only": by[EDGE_ONLY],
        "collaborative": min(inner(place), key=lambda row: row.value),
    }  # fmt: skip
