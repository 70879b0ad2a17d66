"""The forms that several figures share: curves of accuracy against image quality, comparisons, strips of pictures."""

from __future__ import annotations

from collections.abc import Sequence

from splitward.reproduce import draw, plans, published
from splitward.reproduce.need import DATA, Need
from splitward.reproduce.rows import LIKE, Row, Rows
from splitward.reproduce.target import Found

METRICS = (("ssim_paper", "ssim", "SSIM (the papers' variant)"), ("psnr_db", "psnr_db", "PSNR in dB"))
"""A row's metric, the published column that it stands beside, and the axis."""
NAIVE_NAME = "the papers' attack, ours"
ADAPTIVE_NAME = "an attacker who knows the defence, ours"
KINDS = ("gaussian", "laplace", "dropout")


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


def floor_rules(rows: Rows, data: str, metric: str, upright: bool) -> list[draw.Rule]:
    """What is reached without the activation, as lines."""
    named = (
        ("prior/mean", "no activation: mean image", "2 3"),
        ("allowed", "no activation: decoder of the label", "8 4"),
    )
    found = [(floor(rows, data, name), words, dash) for name, words, dash in named]
    return [
        draw.Rule(words, row[metric], dash, upright) for row, words, dash in found if row and row[metric] is not None
    ]


def tradeoff(found: Found, data: str, layer: str, kind: str, places: Sequence[str], title: str) -> list[draw.Panel]:
    """Accuracy against image quality: a panel for each metric."""
    panels = []
    for metric, column, name in METRICS:
        series = []
        for place in places:
            styled = (lambda s: s) if place == "activation" else draw.dashed
            where = f" ({place})" if len(places) > 1 else ""
            known = published_curve(data, layer, kind, place)
            points = [(row[column], 100 * row["accuracy"]) for row in known]
            series.append(draw.Series(f"published{where}", points, styled(draw.PUBLISHED)))
            for rows, words, style in (
                (naive_rows(found.rows, data, layer, kind, place), NAIVE_NAME, draw.NAIVE),
                (adaptive_rows(found.rows, data, layer, kind, place), ADAPTIVE_NAME, draw.ADAPTIVE),
            ):
                points = [(row[metric], 100 * row["accuracy"]) for row in rows if row["accuracy"] is not None]
                if points:
                    series.append(draw.Series(f"{words}{where}", points, styled(style)))
        rules = floor_rules(found.rows, data, metric, upright=True)
        values = [x for s in series for x, _ in s.points] + [rule.value for rule in rules]
        low, high = (0.0, 1.0) if metric != "psnr_db" else (None, None)
        axis = draw.axis(name, values, low, high)
        accuracy = draw.axis("task accuracy in %", [y for s in series for _, y in s.points], None, 100.0)
        panels.append(draw.Panel(title, axis, accuracy, series, rules))
    return panels


def comparison(found: Found, study: str, title: str, ours: Sequence[str] = ()) -> str | None:
    """The points of a table: published, ours of the papers' attack, and the attacks of ours that ``ours`` names."""
    lines: list[draw.Line] = []
    for data in DATA:
        here = found.rows.where(study=study, data=data, secrets=LIKE, status="ok")
        own = [row for row in here if row.get("published")]
        lines += [draw.Line(data)] if own else []
        for row in own:
            told = row["published"]
            dots = [
                ("published", draw.PUBLISHED, (told["psnr_db"], told["ssim"])),
                (NAIVE_NAME, draw.NAIVE, (row["psnr_db"], row["ssim_paper"])),
            ]
            for attack, style in zip(ours, (draw.OTHER, draw.ADAPTIVE), strict=False):
                for other in here.where(layer=row["layer"], setting=row["setting"], attack=attack):
                    dots.append((f"{attack} of splitward", style, (other["psnr_db"], other["ssim_paper"])))
            several = len({r["setting"] for r in own}) > 1
            lines.append(draw.Line(f"{row['layer']}, {row['setting']}" if several else row["layer"], dots))
    values = [v[0] for line in lines for _, _, v in line.dots]
    axes = draw.axis("PSNR in dB", values, 0.0), draw.axis("SSIM (the papers' variant)", (), 0.0, 1.0)
    return draw.dot_plot(title, axes, lines) if lines else None


def recovered(found: Found, title: str, wanted: Sequence[tuple[str, str, Need, str]]) -> str | None:
    """The originals and what came back: (heading, name, need, attack), a row each."""
    rows: list[draw.Strip] = []
    heading = ""
    for head, name, need, attack in wanted:
        pictures = found.pictures(need, attack)
        originals = found.pictures(need, "secrets")
        if pictures is None or originals is None:
            continue
        if head != heading:
            rows += [draw.Strip(head), draw.Strip("original", list(originals[:10]))]
            heading = head
        rows.append(draw.Strip(name, list(pictures[:10])))
    return draw.strips(title, rows) if rows else None


LETTERS = {"gaussian": "\N{GREEK SMALL LETTER SIGMA}", "laplace": "b", "dropout": "r"}
"""Of the level of each defence, as the paper writes them."""


def levels_of(
    found: Found, data: str, at: str, kind: str, place: str, levels: Sequence[float]
) -> list[tuple[str, Need]]:
    """A step for ``by_level`` for each of at most ten levels, no defence first."""
    chosen = levels if len(levels) < 10 else levels[:: -(-len(levels) // 9)]
    return [
        (f"{LETTERS[kind]} = {level:g}", plans.defence(found.scale, data, at, kind, place, level))
        for level in (0.0, *chosen)
    ]


def by_level(found: Found, title: str, lines: Sequence[tuple[str, str, Sequence[tuple[str, Need]]]]) -> str | None:
    """Pictures over levels: (heading, name, [(level, need), ...]); the naive and the adaptive attacker, a row each."""
    rows: list[draw.Strip] = []
    heading = ""
    for head, name, steps in lines:
        for adaptive, who in ((False, "papers' attack"), (True, "knows the defence")):
            shown = [(level, _picture(found, need, adaptive)) for level, need in steps]
            there = [(level, picture) for level, picture in shown if picture is not None]
            if not there:
                continue
            if head != heading:
                rows.append(draw.Strip(head))
                heading = head
                original = _shown(found.pictures(steps[0][1], "secrets"))
                rows += [draw.Strip("original", [original])] if original is not None else []
            rows.append(draw.Strip(f"{name},\n{who}", [p for _, p in there], [level for level, _ in there]))
    return draw.strips(title, rows) if rows else None


SHOWN = 7
"""The image that grids over levels show: of the papers' ten."""


def _picture(found: Found, need: Need, adaptive: bool) -> draw.Pixels | None:
    for attacker in need.attackers[1:] if adaptive else need.attackers[:1]:
        shown = _shown(found.pictures(need, attacker.name, adaptive and need.defence != "none"))
        if shown is not None:
            return shown
    return None


def _shown(pictures: draw.Pixels | None) -> draw.Pixels | None:
    return None if pictures is None else pictures[min(SHOWN, len(pictures) - 1)]
