"""The figure of a plan: what every choice leaks, from above or from below, against what it costs."""

import xml.etree.ElementTree as ET

import pytest

from splitward.report import pareto

SVG = "{http://www.w3.org/2000/svg}"


def row(name, defence="none", excess=None, at_least=None, ms=1.0, mj=2.0, accuracy=0.9, front=False):
    """``at_least``: there where no believable verdict stands behind ``excess``."""
    return {
        "name": name, "defence": defence, "excess": excess, "excess_at_least": at_least, "front": front,
        "latency_ms": {"edge": ms / 2, "transmission": ms / 2, "cloud": 0.0},
        "energy_mj": {"edge": mj, "transmission": 0.0}, "accuracy": accuracy, "audit": "",
    }  # fmt: skip


def plan(*rows, choice="fc1", defence="none"):
    ends = (row("cloud-only", excess=1.0), row("edge-only", excess=0.0, ms=9.0))
    return {"cuts": [*ends, *rows], "choice": choice, "choice_defence": defence}


def hovers(svg):
    return [e.text for e in ET.fromstring(svg).iter(f"{SVG}title")]


def test_every_known_leakage_is_drawn_once_in_each_panel_and_an_unknown_one_nowhere():
    document = plan(
        row("conv1", excess=0.9), row("fc1", at_least=0.4), row("fc1", "dropout:0.6", excess=0.2, accuracy=0.7),
        row("conv2"),
    )  # fmt: skip
    svg = pareto.draw(pareto.marks(document))
    told = hovers(svg)
    assert sum("conv1, no defence: excess at most 0.900" in t for t in told) == 3
    assert sum("fc1, no defence: excess at least 0.400" in t for t in told) == 3
    assert sum("fc1, dropout:0.6: excess at most 0.200; 1 ms, 2 mJ, accuracy 0.7" in t for t in told) == 3
    assert not any("conv2" in t for t in told)
    assert {"latency, ms", "energy of the device, mJ", "accuracy"} <= {
        e.text for e in ET.fromstring(svg).iter(f"{SVG}text")
    }


def test_a_number_without_a_believable_verdict_is_no_upper_limit():
    found = {m.name: m for m in pareto.marks(plan(row("conv1", excess=0.99, at_least=0.95), row("conv2", excess=0.9)))}
    assert (found["conv1"].leak, found["conv1"].at_least) == (0.95, True)
    assert (found["conv2"].leak, found["conv2"].at_least) == (0.9, False)
    assert "excess at least 0.950" in found["conv1"].hover


def test_any_number_of_defences_is_drawn_and_none_in_the_grey_of_no_cut():
    rows = [row("conv1", f"gaussian:{i}", excess=i / 20) for i in range(12)]
    svg = pareto.draw(pareto.marks(plan(*rows)))
    assert sum("gaussian:11" in t for t in hovers(svg)) == 3
    assert f'fill="{pareto.GREY}"' in svg
    assert pareto.GREY not in pareto.BRIGHT


def test_higher_is_more_leakage_and_stays_inside():
    document = plan(*(row(f"cut{i}", excess=i / 10, ms=i) for i in range(11)))
    svg = pareto.draw(pareto.marks(document))
    groups = list(ET.fromstring(svg).iter(f"{SVG}g"))
    heights = {}
    for group in groups:
        circle, told = group.find(f"{SVG}circle"), group.find(f"{SVG}title").text
        if circle is not None and told.startswith("cut"):
            heights[told.split(",")[0]] = float(circle.get("cy"))
            assert 0 < float(circle.get("cx")) < pareto.WIDTH
    ordered = [heights[f"cut{i}"] for i in range(11)]
    assert ordered == sorted(ordered, reverse=True)
    assert len(set(ordered)) == 11


def test_names_are_written_once_a_panel_and_never_over_one_another():
    document = plan(*(row(f"layer{i}", excess=0.5 + i / 500, ms=1 + i / 100, front=True) for i in range(9)))
    texts = [
        (float(e.get("x")), float(e.get("y")), e.text)
        for e in ET.fromstring(pareto.draw(pareto.marks(document))).iter(f"{SVG}text")
        if e.text.startswith("layer")
    ]
    assert texts
    for i, (x, y, name) in enumerate(texts):
        for a, b, other in texts[i + 1 :]:
            apart = abs(y - b) >= 12 or x + pareto.LETTER * len(name) <= a or a + pareto.LETTER * len(other) <= x
            assert apart, (name, other)


@pytest.mark.parametrize("name", ['<script>alert("1")</script>', "a & b"])
def test_names_cannot_become_markup(name):
    svg = pareto.draw(pareto.marks(plan(row(name, excess=0.5), row(name, 'x"<y', excess=0.4))))
    assert "<script" not in svg
    assert any(name in told for told in hovers(svg))


def test_without_an_audit_there_is_no_figure():
    assert pareto.draw(pareto.marks(plan(row("conv1")))) == ""
