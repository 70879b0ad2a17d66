"""The forms that several figures share: curves of accuracy against image quality, comparisons, strips of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from splitward.reproduce import dots, draw, plans, published, strips
from splitward.reproduce.need import DATA, DATA_NAMES, Need, parsed
from splitward.reproduce.rows import LIKE, Row, Rows, decimals
from splitward.reproduce.target import Found

METRICS = (("ssim_paper", "ssim", "SSIM (the papers' variant)"), ("psnr_db", "psnr_db", "PSNR in dB"))
"""A row's metric, the published column that it stands beside, and the axis."""
PUBLISHED_NAME = "published"
NAIVE_NAME = "the papers' attack, ours"
ADAPTIVE_NAME = "who knows the defence"
KINDS = ("gaussian", "laplace", "dropout")
PLACE_KEYS = (
    ("solid: on the activation", draw.Style(draw.SOFT, "", "")),
    ("dashed: on the input", draw.dashed(draw.Style(draw.SOFT, "", ""))),
)
"""Of a chart that has a defence in both places."""


def defence_rows(rows: Rows, data: str, layer: str) -> Rows:
    """The defence study at one cut."""
    return rows.where(study="defence", data=data, layer=layer, secrets=LIKE, status="ok")


def naive_rows(rows: Rows, data: str, layer: str, kind: str, applied_to: str) -> list[Row]:
    """The papers' own attack, by level, the undefended one first."""
    here = defence_rows(rows, data, layer).where(attack="rmle:scripts", knows_defence=False)
    return [*here.where(defence="none"), *_by_level(here.where(defence=kind, applied_to=applied_to))]


def adaptive_rows(rows: Rows, data: str, layer: str, kind: str, applied_to: str) -> list[Row]:
    """The strongest attack that knows of the defence, by level; without a defence the strongest one."""
    here = defence_rows(rows, data, layer)
    bare = [row for row in here.where(defence="none") if not row["attack"].startswith("floor")]
    levels: dict[float, list[Row]] = {}
    for row in here.where(defence=kind, applied_to=applied_to, knows_defence=True):
        levels.setdefault(row["level"], []).append(row)
    strongest = [max(found, key=lambda r: r["ssim"]) for found in levels.values()]
    return [*([max(bare, key=lambda r: r["ssim"])] if bare else []), *_by_level(strongest)]


def _by_level(rows: Rows | Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row["level"])


def published_curve(data: str, layer: str, kind: str, applied_to: str) -> list[Row]:
    """Every published level."""
    wanted = {"dataset": data, "split_layer": layer, "defence": kind, "applied_to": applied_to}
    return [row for row in published.table("defence_curves") if all(row[k] == v for k, v in wanted.items())]


def floor(rows: Rows, data: str, name: str) -> Row | None:
    """A floor of the defence study, on the undefended cut."""
    here = rows.where(study="defence", data=data, attack=f"floor {name}", secrets=LIKE, defence="none")
    found = [row for row in here if row["layer"] == plans.DEFENDED[data]] or here.rows
    return found[0] if found else None


FLOORS = (("prior/mean", "no activation: mean image", "2 3"), ("allowed", "no activation: label known", "8 4"))


def floor_rules(rows: Rows, data: str, metric: str, upright: bool) -> list[draw.Rule]:
    """What is reached without the activation, as lines."""
    found = [(floor(rows, data, name), words, dash) for name, words, dash in FLOORS]
    return [
        draw.Rule(words, row[metric], dash, upright) for row, words, dash in found if row and row[metric] is not None
    ]


def curves(
    rows: Rows, data: str, layer: str, kind: str, place: str, metric: str, column: str
) -> list[tuple[str, draw.Style, list[tuple[float, float]]]]:
    """(name, style, (image quality, accuracy in %) by level): published, papers' attack, who knows the defence."""
    told = published_curve(data, layer, kind, place)
    found = [(PUBLISHED_NAME, draw.PUBLISHED, [(row[column], 100 * row["accuracy"]) for row in told])]
    for ours, words, style in (
        (naive_rows(rows, data, layer, kind, place), NAIVE_NAME, draw.NAIVE),
        (adaptive_rows(rows, data, layer, kind, place), ADAPTIVE_NAME, draw.ADAPTIVE),
    ):
        points = [(row[metric], 100 * row["accuracy"]) for row in ours if row["accuracy"] is not None]
        found += [(words, style, points)] if points else []
    return found


def tradeoff(found: Found, data: str, layer: str, kind: str, places: Sequence[str], title: str) -> list[draw.Panel]:
    """Accuracy against image quality: a panel for each metric. Dashed: on the input."""
    panels = []
    for metric, column, name in METRICS:
        series = [
            draw.Series(words, points, style if place == "activation" else draw.dashed(style))
            for place in places
            for words, style, points in curves(found.rows, data, layer, kind, place, metric, column)
        ]
        rules = floor_rules(found.rows, data, metric, upright=True)
        values = [x for s in series for x, _ in s.points] + [rule.value for rule in rules]
        low, high = (0.0, 1.0) if metric != "psnr_db" else (None, None)
        accuracy = draw.axis("accuracy in %", [y for s in series for _, y in s.points], None, 100.0)
        panels.append(draw.Panel(title, draw.axis(name, values, low, high), accuracy, series, rules))
    return panels


EDGE = 60.0
"""Decibels from which on a dot plot says no more than that nothing is missing."""


def comparison(found: Found, study: str, title: str, ours: Sequence[tuple[str, str, str]] = ()) -> str | None:
    """The points of a table: published, ours of the papers' attack, what the mean image scores, and ``ours``.

    ``ours``: (study, attack, words) of more attacks at the same cut.
    """
    lines: list[dots.Line] = []
    for data in DATA:
        here = found.rows.where(study=study, data=data, secrets=LIKE, status="ok")
        own = [row for row in here if row.get("published")]
        several = len({row["setting"] for row in own}) > 1
        lines += [dots.Line(DATA_NAMES[data])] if own and not several else []
        for layer in dict.fromkeys(row["layer"] for row in own):
            more = [
                (words, style, _scores(row))
                for (other, attack, words), style in zip(ours, (draw.ADAPTIVE, draw.OTHER), strict=False)
                for row in found.rows.where(
                    study=other, data=data, layer=layer, attack=attack, secrets=LIKE, status="ok"
                )
            ]
            lines += [dots.Line(f"{DATA_NAMES[data]}, {layer}")] if several else []
            for row in own:
                if row["layer"] == layer:
                    beside = [] if several else more
                    lines.append(dots.Line(row["setting"] if several else layer, _compared(found.rows, row, beside)))
            lines += [dots.Line("splitward's own", more)] if several and more else []
    values = [values[0] for line in lines for _, _, values in line.dots]
    if not lines:
        return None
    capped = max(values) > EDGE
    axes = (
        draw.axis("PSNR in dB", [min(v, EDGE) for v in values], 0.0, marks=3),
        draw.axis("SSIM (papers' variant)", (), 0.0, 1.0, marks=3),
    )
    note = f"At the right end of PSNR: {axes[0].scale.high:g} dB and more, a recovery without error." if capped else ""
    return dots.dot_plot(title, axes, lines, note)


def _scores(row: Row) -> tuple[float, float]:
    return row["psnr_db"], row["ssim_paper"]


Dots = list[tuple[str, draw.Style, tuple[float, float]]]


def _compared(rows: Rows, row: Row, more: Dots) -> Dots:
    """Published, around the others: what the mean image scores where the row was run, ``more``, and the row."""
    named = {key: row[key] for key in ("study", "data", "layer", "setting")}
    floors = rows.where(**named, attack="floor prior/mean", secrets=LIKE).rows[:1]
    told = row["published"]
    return [
        (PUBLISHED_NAME, replace(draw.PUBLISHED, marker="ring"), (told["psnr_db"], told["ssim"])),
        *(("no activation: mean image", draw.FLOOR, _scores(floor)) for floor in floors),
        *more,
        (NAIVE_NAME, draw.NAIVE, _scores(row)),
    ]


def recovered(found: Found, title: str, wanted: Sequence[tuple[str, str, Need, str]]) -> str | None:
    """The originals and what came back: (heading, name, need, attack), a row each, with its PSNR."""
    rows: list[strips.Strip] = []
    heading, told = "", False
    for head, name, need, attack in wanted:
        pictures = found.pictures(need, attack)
        originals = found.pictures(need, "secrets")
        if pictures is None or originals is None:
            continue
        if head != heading:
            rows += [strips.Strip(head), strips.Strip("original", list(originals[:10]))]
            heading = head
        words = name
        for row in scores(found.rows, need, attack, False):
            published = row.get("published")
            words += f"\n{row['psnr_db']:.1f} dB" + (f" ({published['psnr_db']:.1f})" if published else "")
            told = told or bool(published)
        rows.append(strips.Strip(words, list(pictures[:10])))
    note = "Mean PSNR over all images that were attacked; in brackets, published."
    return strips.strips(title, rows, note if told else "") if rows else None


def scores(rows: Rows, need: Need, attack: str, adaptive: bool) -> list[Row]:
    """The row of one attack in one audit, or none."""
    kind, place, level = parsed(need.defence)
    wanted = {"study": need.study, "data": need.data, "layer": need.at, "setting": need.setting, "victim": need.victim}
    wanted |= {"defence": kind, "applied_to": place, "level": level, "attack": attack, "knows_defence": adaptive}
    return rows.where(**wanted, secrets=LIKE, status="ok").rows[:1]


LETTERS = {"gaussian": "\N{GREEK SMALL LETTER SIGMA}", "laplace": "b", "dropout": "r"}
"""Of the level of each defence, as the paper writes them."""
Steps = Sequence[tuple[float, Need]]


def levels_of(found: Found, data: str, at: str, kind: str, place: str, levels: Sequence[float]) -> Steps:
    """A step for ``by_level`` for each of at most ten levels, no defence first."""
    chosen = levels if len(levels) < 10 else levels[:: -(-len(levels) // 9)]
    return [(level, plans.defence(found.scale, data, at, kind, place, level)) for level in (0.0, *chosen)]


def by_level(found: Found, title: str, lines: Sequence[tuple[str, str, Steps]]) -> str | None:
    """Pictures over levels, (heading, name, steps): the papers' attack above who knows the defence, and their SSIM."""
    rows: list[strips.Strip] = []
    heading = ""
    for head, name, steps in lines:
        parts: list[strips.Strip] = []
        for adaptive, who in ((False, "papers' attack"), (True, "knows the defence")):
            shown = [(level, need, *_picture(found, need, adaptive)) for level, need in steps]
            there = [(level, need, attack, picture) for level, need, attack, picture in shown if picture is not None]
            if not there:
                continue
            if not adaptive:
                parts.append(strips.Strip(name, (), [f"{level:g}" for level, *_ in there], first=True))
            parts.append(strips.Strip(who, [picture for *_, picture in there]))
            told = [
                next(iter(scores(found.rows, need, attack, adaptive and need.defence != "none")), None)
                for _, need, attack, _ in there
            ]
            parts.append(strips.Strip("SSIM", (), [decimals(row["ssim_paper"], 2) if row else "" for row in told]))
            known = [(row or {}).get("published") for row in told]
            if any(known):
                parts.append(strips.Strip("SSIM, published", (), [f"{p['ssim']:.2f}" if p else "" for p in known]))
        if parts and head != heading:
            heading = head
            original = _shown(found.pictures(steps[0][1], "secrets"))
            rows.append(strips.Strip(head))
            rows += [strips.Strip("original", [original])] if original is not None else []
        rows += parts
    note = "SSIM in the papers' variant, the mean over all images that were attacked."
    return strips.strips(title, rows, note) if rows else None


SHOWN = 7
"""The image that grids over levels show: of the papers' ten."""


def _picture(found: Found, need: Need, adaptive: bool) -> tuple[str, strips.Pixels | None]:
    """The attack that has a picture, and the picture."""
    for attacker in need.attackers[1:] if adaptive else need.attackers[:1]:
        shown = _shown(found.pictures(need, attacker.name, adaptive and need.defence != "none"))
        if shown is not None:
            return attacker.name, shown
    return "", None


def _shown(pictures: strips.Pixels | None) -> strips.Pixels | None:
    return None if pictures is None else pictures[min(SHOWN, len(pictures) - 1)]
