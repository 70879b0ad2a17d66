"""What figures 6 to 8, 11 and 12 have in common: what comes back under a defence, level by level."""

from __future__ import annotations

from splitward.reproduce import plans, views
from splitward.reproduce.need import DATA, DATA_NAMES
from splitward.reproduce.target import Found, Target
from splitward.reproduce.targets import _causes

CURVES = ("figure-9", "figure-10")


def on_both_places(found: Found, title: str, kind: str) -> str | None:
    """Levels across; the defence on the input and on the activation of each data set's defended cut."""
    lines = []
    for data in DATA:
        study, at = found.scale.study(data), plans.DEFENDED[data]
        dropout = kind == "dropout"
        places = {
            "input": study.dropout_input if dropout else study.noise_input,
            "activation": study.dropout_wire if dropout else study.noise_wire,
        }
        for place, levels in places.items():
            steps = views.levels_of(found, data, at, kind, place, levels)
            lines.append((f"{DATA_NAMES[data]} at {at}", f"on the {place}, {views.LETTERS[kind]}", steps))
    return views.by_level(found, title, lines)


def noise(number: int, kind: str) -> Target:
    """The figure of one kind of noise."""
    title = f"Recovered inputs under {kind.capitalize()} noise"
    return Target(
        name=f"figure-{number}",
        title=title,
        source=f"IoTJ20 figure {number}",
        needs=lambda scale, data: plans.noises(scale, data, kind),
        draw=lambda found: on_both_places(found, title, kind),
        remark="The papers' attack fits the noise as if it were signal; a decoder that was trained on noisy "
        "activations averages it away.",
        cause=_causes.defences,
        listed=CURVES,
    )


def layers(number: int, data: str, name: str) -> Target:
    """The figure of dropout at five layers of one data set's network: rates across, layers down."""
    title = f"Recovered inputs under dropout at five layers, {name}"

    def draw(found: Found) -> str | None:
        levels = found.scale.study(data).depth
        lines = [
            (
                name,
                f"{at}, {views.LETTERS['dropout']}",
                views.levels_of(found, data, at, "dropout", "activation", levels),
            )
            for at in plans.DEPTHS[data]
        ]
        return views.by_level(found, title, lines)

    return Target(
        name=f"figure-{number}",
        title=title,
        source=f"IoTJ20 figure {number}",
        needs=plans.depths,
        draw=draw,
        data=(data,),
        remark="A deeper layer cannot hold more of the input than the layer that it is computed from; where the "
        "papers' pictures get better with depth, it is their attack that gets better.",
        cause=_causes.defences,
        listed=("figure-13",),
    )
