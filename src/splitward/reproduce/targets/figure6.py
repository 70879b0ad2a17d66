"""IoTJ20 figure 6: what comes back under Gaussian noise."""

from __future__ import annotations

from splitward.reproduce import plans, views
from splitward.reproduce.need import DATA
from splitward.reproduce.target import Found, Target

KIND, TARGET_TITLE = "gaussian", "Recovered inputs under Gaussian noise"


def draw(found: Found) -> str | None:
    """Levels across; noise on the input and on the activation."""
    lines = []
    for data in DATA:
        study = found.scale.study(data)
        for place, levels in (("input", study.noise_input), ("activation", study.noise_wire)):
            at = plans.DEFENDED[data]
            steps = views.levels_of(found, data, at, KIND, place, levels)
            lines.append((f"{data} at {at}", f"on the {place}", steps))
    return views.by_level(found, TARGET_TITLE, lines)


TARGET = Target(
    name="figure-6",
    title=TARGET_TITLE,
    source="IoTJ20 figure 6",
    needs=lambda scale, data: plans.noises(scale, data, KIND),
    draw=draw,
    cause="The papers' attack fits the noise as if it were signal; a decoder that was trained on noisy "
    "activations averages "
    "it away.",
)
