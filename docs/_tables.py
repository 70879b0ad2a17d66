"""Tables of the pages, from the files in ``results``: no figure in them is typed by hand."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from splitward.report import front, pareto

RESULTS = Path(__file__).parent.parent / "results"
PUBLISHED = Path(__file__).parent.parent / "src/splitward/reproduce/published/published_tables.csv"
PLACE = re.compile(r"<!-- table: ([a-z-]+) -->")
UNSEEING = "no-public-data"
"""The attack of one who holds no picture: a row of its own."""
Rows = list[dict[str, Any]]


def fill(text: str, results: Path = RESULTS) -> str:
    """``text`` with a table in every place that is marked for one, or that it has not been measured."""

    def table(match: re.Match[str]) -> str:
        file = results / f"{match[1]}.json"
        if not file.exists():
            return f"*Not measured: there is no `results/{file.name}`.*"
        return TABLES[match[1]](json.loads(file.read_text(encoding="utf-8")))

    return PLACE.sub(table, text)


def markdown(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def spread(one: dict[str, Any], name: str, digits: int) -> str:
    """A mean with its 95 % interval."""
    mean, low, high = (one[f"{name}{end}"] for end in ("", "_low", "_high"))
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def reached(one: dict[str, Any]) -> list[object]:
    """What an attack reached, beside its floor."""
    return [
        spread(one, "ssim", 3),
        spread(one, "psnr_db", 1),
        f"{one['floor_ssim']:.3f}",
        one["samples"],
        one["effort"],
    ]


SCORES = ("SSIM (95 %)", "PSNR, dB", "floor, SSIM", "secrets", "effort")


def by_queries(rows: Rows) -> str:
    """Leakage by query budget."""
    cells = [
        [one["attack"], "any number" if one["query_budget"] is None else f"{one['query_budget']:,}",
         f"{one['queries']:,}", *reached(one)]
        for one in rows
    ]  # fmt: skip
    return markdown(("attack", "queries allowed", "used", *SCORES), cells)


def by_images(rows: Rows) -> str:
    """Leakage by the images that attackers hold."""
    cells = [[one["attack"], f"`{one['public_from']}`", f"{one['public']:,}", *reached(one)] for one in rows]
    return markdown(("attack", "images", "how many", *SCORES), cells)


def by_rule(document: dict[str, Any]) -> str:
    """How many comparisons there were of each rule, and each that is violated."""
    rows: Rows = document["comparisons"]
    groups = dict.fromkeys((one["rule"], one["dataset"]) for one in rows)
    counts = []
    for rule, dataset in groups:
        members = [one for one in rows if (one["rule"], one["dataset"]) == (rule, dataset)]
        counts.append([rule, dataset, len(members), sum(not one["holds"] for one in members)])
    text = markdown(("rule", "data", "comparisons", "violated"), counts)
    broken = [
        [one["rule"], one["dataset"], f"`{one['defence']}`", who(one["more"]), who(one["less"]),
         f"{one['difference']:+.4f} ({one['low']:+.4f} to {one['high']:+.4f})"]
        for one in rows
        if not one["holds"]
    ]  # fmt: skip
    if broken:
        headings = ("rule", "data", "defence", "given more", "given less", "difference in SSIM (95 %)")
        text += "\n\n" + markdown(headings, broken)
    return text


def by_strength(rows: Rows) -> str:
    """The strongest attack of each threat model at each cut, beside the best published for that cell."""
    cells = [
        [f"{one['dataset']} `{one['cut']}`", knowledge(one), one["attack"],
         f"{one['psnr_db']:.1f} ({one['psnr_low_db']:.1f} to {one['psnr_high_db']:.1f})",
         f"{one['ssim']:.3f} ({one['ssim_low']:.3f} to {one['ssim_high']:.3f})", f"{one['exact_share']:.0%}",
         published(one), f"{one['floor_psnr_db']:.1f} / {one['floor_ssim']:.3f}",
         f"{one['effort']}, n = {one['samples']}" + ("" if one["believable"] else "; not believable")]
        for one in rows
    ]  # fmt: skip
    headings = (
        "cut", "threat model", "attack", "PSNR, dB (95 %)", "SSIM (95 %)", "exact", "published, dB / SSIM",
        "floor, dB / SSIM", "effort",
    )  # fmt: skip
    return markdown(headings, cells)


def knowledge(one: dict[str, Any]) -> str:
    """The threat model of a cell, and that there was no public data where there was none."""
    return f"{one['threat_model']}, no public data" if one["attack"] == UNSEEING else str(one["threat_model"])


def published(one: dict[str, Any]) -> str:
    """The best published numbers of a cell by PSNR; query-free with another set and another network, if with a set."""
    if one["attack"] == UNSEEING:
        return "–"
    other = "different set different net"
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        found = [
            (float(line["psnr_db"]), float(line["ssim"]))
            for line in csv.DictReader(file)
            if line["source"].startswith("ACSAC19")
            and (line["dataset"], line["split_layer"]) == (one["dataset"], one["cut"])
            and line["threat_model"] == one["threat_model"]
            and (one["threat_model"] != "query-free" or line["setting"] == other)
        ]
    return "{:.2f} / {:.3f}".format(*max(found)) if found else "–"


def by_rank(rows: Rows) -> str:
    """What bounds an inversion at each cut."""
    cells = [
        [f"{one['dataset']} `{one['cut']}`", f"{one['pixels']:,}", f"{one['numbers']:,}",
         f"{one['rank_low']:,} to {one['rank_high']:,}", f"{one['resolved']:,.0f}", f"{one['condition']:,.0f}",
         "–" if one["reached"] is None else f"{one['reached']:.1g}", one["samples"]]
        for one in rows
    ]  # fmt: skip
    headings = (
        "cut", "pixels", "numbers that cross", "rank", "above 1/1,000", "condition", "reached", "secrets",
    )  # fmt: skip
    return markdown(headings, cells)


def by_hardening(document: dict[str, Any]) -> str:
    """What the attacks reached on each judged point of each study, beside the floor that the label alone gives."""
    cells = []
    for study in (held for held in document.values() if isinstance(held, dict)):
        for point, seen in ((p, s) for p in study["judged"] for s in p["seen"]):
            place = (point["recipe"], point["at"], seen["observations"])
            here = [one for one in study["reached"] if (one["recipe"], one["at"], one["observations"]) == place]
            tried = [one for one in here if one["adaptive"] or point["defence"] == "none"]
            lost = point["drop_points"]
            cells.append([
                study["data"], study["audit_effort"], f"`{point['recipe']}`",
                f"{lost['mean']:.2f} ({lost['low']:.2f} to {lost['high']:.2f})",
                f"{point['cost']['wire_bytes']:,}", f"{point['cost']['edge_cost']:.2f}", seen["observations"],
                *(strongest(tried, model) for model in ("white-box", "black-box", "query-free")),
                f"{tried[0]['floor_ssim'].get('allowed', 0):.3f}", "yes" if seen["upper"] is not None else "no",
            ])  # fmt: skip
    headings = (
        "data", "effort", "recipe", "accuracy lost, points (95 %)", "bytes", "edge cost", "k", "white-box", "black-box",
        "query-free", "label alone", "verdict",
    )  # fmt: skip
    return markdown(headings, cells)


DROPPED = 20
"""Points of accuracy that a method of the figure loses at most: nobody deploys the others, which would squeeze it."""


def by_method(document: dict[str, Any]) -> str:
    """The methods side by side: the figure, and what the two strongest attacks reached on every point."""
    cells = []
    for study in document.values():
        for point, seen in ((p, s) for p in study["judged"] for s in p["seen"]):
            reached = f"{seen['leakage_ssim']:.3f} (`{seen['attack']}`)" if seen["leakage_ssim"] is not None else "–"
            over = f"{seen['excess']:.3f} ({seen['upper']:.3f})" if seen["upper"] is not None else "no verdict"
            cells.append([
                f"`{point['recipe']}`", "–" if point["kind"] != "hardened" else study["trains"],
                f"{point['drop_points']['mean']:.2f}", f"{point['cost']['wire_bytes']:,}",
                f"{point['cost']['edge_cost']:.2f}", reached, over,
            ])  # fmt: skip
    headings = ("recipe", "trains", "accuracy lost, points", "bytes", "edge cost", "strongest SSIM", "excess (upper)")
    shown = [p for p in document["methods"]["judged"] if p["drop_points"]["mean"] <= DROPPED]
    drawn = front.figures({"judged": shown, "tried": []})["front"]
    return f"<figure>\n{drawn}</figure>\n\n{markdown(headings, cells)}"


def strongest(tried: Rows, threat_model: str) -> str:
    """The highest SSIM of a threat model's own attacks, how many secrets they told apart, and whether to believe it."""
    best = max((one for one in tried if one["threat_model"] == threat_model), key=lambda one: one["ssim"])
    doubt = "" if best["believable"] else ", *not believable*"
    return f"{best['ssim']:.3f} ({best['identification']:.0%} told apart{doubt})"


def by_certificate(rows: Rows) -> str:
    """What is proved beside the strongest measured attack; then what repetitions and frames give away."""
    parts = []
    if proved := [one for one in rows if one["part"] == "bounds"]:
        dithers = list(proved[0]["any_mse"])
        headings = (
            "cut", "noise", "k", f"list of {proved[0]['candidates']:,}: error at least",
            *(f"dither {d}: error at least" for d in dithers), "without bias", "strongest measured attack, dB",
        )  # fmt: skip
        cells = [
            [f"`{one['cut']}`", f"`{one['defence']}`", one["observations"], small(one["candidates_mse_low"]),
             *(f"{small(v)} ({share(v, d)})" for d, v in one["any_mse"].items()), small(one["unbiased_mse"]),
             "–" if one["attack"] is None else f"{one['attack_psnr_db']:.1f} (`{one['attack']}`)"]
            for one in proved
        ]  # fmt: skip
        parts.append(markdown(headings, cells))
    if reached := [one for one in rows if one["part"] == "repeats"]:
        cells = [
            [HOW[one["how"]], f"{one['observations']:,}",
             f"{one['mse']:.4f} ({one['mse_low']:.4f} to {one['mse_high']:.4f})", one["secrets"]]
            for one in reached
        ]  # fmt: skip
        title = f"observations at `{reached[0]['cut']}`, `{reached[0]['defence']}`"
        parts.append(markdown((title, "k", "error reached (95 %)", "secrets"), cells))
    return "\n\n".join(parts)


HOW = {
    "fresh": "repetitions, fresh noise",
    "keyed": "repetitions, keyed noise",
    "frames": "near-identical frames, fresh noise",
}


def by_plan(document: dict[str, Any]) -> str:
    """What every cut and defence of a plan costs and leaks: the figure, and the rows that were audited."""
    marks = pareto.marks(document)
    cells = [
        [f"`{one.name}`", f"`{one.defence}`",
         *(f"{one.numbers[n]:{form}}" if n in one.numbers else "–" for n, form in FORMS.items()),
         f"{'≥ ' * one.at_least}{one.leak:.3f}", "yes" if one.front else "",
         one.audit.removeprefix("effort ").partition(" of ")[0] or "–"]
        for one in marks
    ]  # fmt: skip
    headings = ("cut after", "defence", "ms", "mJ", "accuracy", "excess leakage", "on the front", "audit")
    choices = [row for row in document["cuts"] if row["name"] not in pareto.ENDS and pareto.timed(row)]
    audited = sum(bool(row["audit"]) for row in choices)
    where = f"{document['device']}, {document['network']}, {document['cloud']}"
    told = f"{document['model']} on {where}; {audited} of {len(choices)} cuts with a defence have been audited:"
    return f"<figure>\n{pareto.draw(marks)}</figure>\n\n{told}\n\n{markdown(headings, cells)}"


FORMS = {"latency_ms": ".3g", "energy_mj": ".3g", "accuracy": ".3f"}


def by_effort(rows: Rows) -> str:
    """What more steps and a larger network buy a black-box decoder."""
    cells = [
        [f"{one['dataset']} `{one['cut']}`", one["images"], f"{one['steps']:,}",
         f"{one['stopped']:,}", f"{one['width']}, {one['depth']}", f"{one['psnr_db']:.1f}", f"{one['ssim']:.3f}",
         one["samples"]]
        for one in rows
    ]  # fmt: skip
    headings = ("cut", "images", "steps allowed", "ended after", "width, depth", "PSNR, dB", "SSIM", "secrets")
    return markdown(headings, cells)


def by_descent(rows: Rows) -> str:
    """How far the papers' descent comes."""
    cells = [
        [f"`{one['cut']}`", one["network"], f"{one['condition']:.1f}",
         "the script's" if one["smoothness_weight"] is None else f"{one['smoothness_weight']:g}",
         f"{one['iterations']:,}", f"{one['psnr_db']:.1f}", f"{one['ssim_paper']:.3f}", one["samples"]]
        for one in rows
    ]  # fmt: skip
    headings = (
        "cut", "network", "condition", "weight of the total variation", "iterations", "PSNR, dB",
        "SSIM, the papers' variant", "images",
    )  # fmt: skip
    return markdown(headings, cells)


def small(value: float) -> str:
    """Three significant digits; 0 for none."""
    return f"{value:.3g}" if value else "0"


def share(value: float, dither: str) -> str:
    """Of the dither's variance."""
    return f"{100 * value / float(dither) ** 2:.0f} % hidden"


def who(side: dict[str, Any]) -> str:
    """One attacker of a comparison."""
    draws = f", {side['observations']} draws" if side["observations"] > 1 else ""
    return f"{side['threat_model']} at {side['cut']}: `{side['attack']}`{draws}"


TABLES: dict[str, Callable[[Any], str]] = {
    "query-budget": by_queries,
    "auxiliary-data": by_images,
    "monotonicity": by_rule,
    "attack-strength": by_strength,
    "attack-bounds": by_rank,
    "certificates": by_certificate,
    "hardening": by_hardening,
    "hardening-methods": by_method,
    "decoder-effort": by_effort,
    "scripts-descent": by_descent,
    "plan-lenet": by_plan,
    "plan-cifar": by_plan,
}
