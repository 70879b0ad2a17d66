"""IoTJ20 figure 2: latency and energy of cloud-only, edge-only and collaborative inference, modelled."""

from __future__ import annotations

from splitward.plan.choice import Row as Cut
from splitward.reproduce import bars, costs, draw, published
from splitward.reproduce.claims import Claim, Decision, verdict
from splitward.reproduce.rows import Row, Rows
from splitward.reproduce.target import Found, Target

PARTS = {
    "transmission": ("sending", draw.BLUE),
    "edge": ("computing, device", draw.ORANGE),
    "cloud": ("computing, cloud", draw.INK),
}
NAMES = {"cloud-only": "cloud", "edge-only": "edge", "collaborative": "split"}


def spent(cut: Cut) -> dict[str, float]:
    """Seconds and joules of the device, by what they are spent on."""
    choice = cut.choice
    assert choice is not None
    thousandths = {
        "latency_s": choice.latency_ms, "transmission_s": choice.transmission_ms, "edge_s": choice.edge_ms,
        "cloud_s": choice.cloud_ms, "energy_j": choice.energy_mj, "transmission_j": choice.transmission_mj,
        "edge_j": choice.edge_mj,
    }  # fmt: skip
    return {name: round(value / 1000, 4) for name, value in thousandths.items()}


def made() -> list[Row]:
    """A row for each setting and deployment, beside the published bars."""
    return [
        {
            "study": "costs", "setting": place.name, "deployment": deployment, "cut": cut.name, **spent(cut),
            "kind": "modelled", "constants": place.source,
            "published": published.find("figure2", deployment=deployment),
        }
        for place in costs.PLACES
        for deployment, cut in costs.deployments(place).items()
    ]  # fmt: skip


def cheaper(rows: Rows) -> Decision:
    """Whether, in the setting that is fitted to the published bars, one cut beats both extremes in both quantities."""
    held, evidence = {}, []
    for place in costs.PLACES:
        by = {row["deployment"]: row for row in rows.some(study="costs", setting=place.name)}
        split, ends = by["collaborative"], (by["cloud-only"], by["edge-only"])
        cuts = {cut.name: spent(cut) for cut in costs.inner(place)}
        latency, energy = (min(end[key] for end in ends) for key in ("latency_s", "energy_j"))
        better = [name for name, cut in cuts.items() if cut["latency_s"] < latency and cut["energy_j"] < energy]
        held[place] = bool(better)
        told = "; ".join(
            f"{row['deployment']} {row['latency_s']:.3f} s, {row['energy_j']:.3f} J" for row in (*ends, split)
        )
        evidence.append(
            f"{place.name}, modelled: {told}; the cut of least latency is after {split['cut']}; of {len(cuts)} "
            f"cuts, better than both extremes in both: {', '.join(better) or 'none'}"
        )
    evidence.append(
        f"decided for {costs.FITTED.name}, some of whose constants are fitted to the published bars: where it holds, "
        "the claim is consistent with the papers' figure, which is no test of it; the other setting is not theirs"
    )
    return Decision(verdict(held[costs.FITTED]), tuple(evidence))


def figure(found: Found) -> str:  # noqa: ARG001 - it needs no audit
    """Published bars, and those of each setting."""

    def stacks(quantity: str, unit: str) -> list[bars.Stack]:
        found = []
        for told in published.table("figure2"):
            known = {part: told.get(f"{quantity}_{part}_{unit}", 0.0) for part in PARTS}
            found.append(_stack(str(told["deployment"]), "published", known))
        for number, place in enumerate(costs.PLACES, 1):
            for deployment, cut in costs.deployments(place).items():
                ours = spent(cut)
                modelled = {part: ours.get(f"{part}_{unit}", 0.0) for part in PARTS}
                found.append(_stack(deployment, f"model {number}", modelled))
        return found

    charts = (
        ("Latency", "seconds", stacks("latency", "s")),
        ("Energy of the device", "joules", stacks("energy", "j")),
    )
    return bars.bars("Latency and energy of AlexNet", charts)


def _stack(deployment: str, origin: str, parts: dict[str, float]) -> bars.Stack:
    return bars.Stack(NAMES[deployment], [(*PARTS[part], value) for part, value in parts.items()], origin)


def sentence(found: Found) -> str:
    """How the models differ from the published bars."""
    told = []
    for number, place in enumerate(costs.PLACES, 1):
        row = found.rows.one(study="costs", setting=place.name, deployment="collaborative")
        told.append(
            f"model {number} ({place.name}): the best cut is after {row['cut']}, {row['latency_s']:.2f} s and "
            f"{row['energy_j']:.2f} J"
        )
    bar = published.find("figure2", deployment="collaborative") or {}
    seconds = bar["latency_transmission_s"] + bar["latency_edge_s"]
    joules = bar["energy_transmission_j"] + bar["energy_edge_j"]
    return f"Published for the collaborative system are {seconds:.2f} s and {joules:.2f} J; {'; '.join(told)}."


TARGET = Target(
    name="figure-2",
    title="Latency and energy of AlexNet: cloud-only, edge-only, collaborative",
    source="IoTJ20 figure 2, from Neurosurgeon",
    needs=lambda _scale, _data: (),
    draw=figure,
    remark="All of ours is modelled. The published bars fit a cut after pool5 and a device that spends two "
    "thirds of its time "
    "on reading the weights of the fully connected layers; on a device and a radio that are both fast, no cut "
    "inside pays.",
    claims=(
        Claim(
            "collaborative-is-cheaper", "II-A",
            "With the best cut, the collaborative system has a lower latency and energy than either extreme, in a "
            "model that is fitted to the papers' figure.",
            cheaper,
        ),
    ),
    made=made,
    sentence=sentence,
)  # fmt: skip
