"""What is decided from the numbers: limits, front, recommendation, sentence; and the drawing of it."""

import xml.etree.ElementTree as ET

import pytest

from splitward.hardening.document import Cost, Document, Judged, Seen, Tried, concluded
from splitward.record.schema import Estimate
from splitward.report.front import figures, page, write

LIMITS = {"max_accuracy_drop": 1.0, "max_edge_cost": 1.25, "max_bytes": None, "max_excess": None}


def seen(upper, k=1, **given):
    known = {"sentence": "s", "record": "r", "attack": "rmle", "threat_model": "white-box", "floor_name": "allowed"}
    return Seen(observations=k, excess=None if upper is None else upper / 2, upper=upper, **(known | given))


def point(recipe, *, drop=0.0, upper=0.01, cost=1.0, size=1, kind="hardened", extra=()):
    estimate = Estimate(mean=drop, low=drop - 0.1, high=drop + 0.1, worst=drop, n=100)
    wire = Cost(wire_bytes=size, edge_flops=10, edge_cost=cost)
    return Judged(
        kind=kind, recipe=recipe, method=recipe.partition(":")[0], at="relu1", defence="none", accuracy=0.9,
        drop_points=estimate, cost=wire, seen=(seen(upper), *extra), halves=f"halves/{recipe}",
    )  # fmt: skip


def document(*judged, limits=LIMITS):
    tried = Tried(
        recipe="bottleneck:<8>", method="bottleneck", at="relu1", rung=0, steps=3, seconds=1.0, loss=0.1, accuracy=0.9,
        drop_points=0.4, leakage_ssim=0.5, floor_ssim=0.4, excess=0.1,
        cost=Cost(wire_bytes=1, edge_flops=10, edge_cost=1.0),
    )  # fmt: skip
    failed = tried.model_copy(update={"recipe": "channels:2", "failed": "it does not fit <this>."})
    return concluded(
        Document(
            command="splitward harden", model="small", weights_sha256="0", data="tiny", at=("relu1",), seed=0,
            effort="quick", audit_effort="quick", trains="both", limits=limits, samples={"secrets": 30}, machine={},
            tried=(tried, failed), judged=judged,
        )
    )  # fmt: skip


def test_the_least_leaking_of_those_that_keep_the_limits_is_recommended():
    found = document(
        point("none", upper=0.9, kind="none"), point("costly:1", upper=0.001, cost=1.3),
        point("inaccurate:1", upper=0.001, drop=1.2), point("good:1", upper=0.02), point("worse:1", upper=0.05),
    )  # fmt: skip
    assert found.judged[found.recommended].recipe == "good:1"
    assert "good:1 at relu1" in found.sentence
    assert "not a bound" in found.sentence
    assert found.judged[1].breaks == ("1.3 times the edge's operations, more than 1.25",)
    assert found.judged[2].breaks == ("1.2 points of accuracy, more than 1",)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (point("a:1", upper=None), "no believable verdict"),
        (point("a:1", extra=(seen(None, 20),)), "no believable verdict"),
        (point("a:1", extra=(seen(0.01, 20, unbelieved=("black-box",)),)), "no believable black-box attack"),
        (point("a:1", drop=9.0), "9 points of accuracy"),
    ],
)
def test_without_a_believable_verdict_nothing_is_recommended(bad, says):
    found = document(bad)
    assert found.recommended is None
    assert found.sentence.startswith("Nothing keeps the limits; nearest is a:1")
    assert says in found.sentence


def test_what_lacks_a_verdict_says_why():
    blind = seen(None, 1).model_copy(update={"sentence": "No query-free attack can be believed."})
    found = document(point("a:1", upper=None).model_copy(update={"seen": (blind,)}))
    assert found.judged[0].breaks[0] == "no believable verdict (No query-free attack can be believed)"


def test_a_limit_of_leakage_is_one_like_the_others():
    assert document(point("a:1", upper=0.05), limits=LIMITS | {"max_excess": 0.03}).recommended is None
    assert document(point("a:1", upper=0.02), limits=LIMITS | {"max_excess": 0.03}).recommended == 0


def test_the_front_is_what_nothing_beats_in_everything():
    """By brute force over all pairs, in the four numbers."""
    points = [
        point(f"m:{i}", drop=i % 3, upper=0.1 * (i % 5), cost=1 + (i * 7 % 4) / 10, size=1 + i % 2) for i in range(20)
    ]
    found = document(*points, point("unjudged:1", upper=None))
    numbers = [(p.drop_points.mean, p.upper, p.cost.wire_bytes, p.cost.edge_cost) for p in points]
    for own, judged in zip(numbers, found.judged, strict=False):
        beaten = any(o != own and all(a <= b for a, b in zip(o, own, strict=True)) for o in numbers)
        assert judged.front is not beaten
    assert not found.judged[-1].front


def test_the_worst_number_of_observations_counts():
    assert point("a:1", upper=0.01, extra=(seen(0.2, 20),)).upper == 0.2


def test_it_survives_its_file(tmp_path):
    found = document(point("good:1"))
    assert Document.model_validate_json(found.save(tmp_path).read_text()) == found


def test_the_levels_of_one_hardening_are_joined_by_a_line_as_those_of_a_defence_are():
    found = document(
        point("fisher:1", upper=0.5, drop=1), point("fisher:3", upper=0.4, drop=2), point("collapse:1", upper=0.1),
        point("fisher:9", upper=None),
    ).model_dump(mode="json")  # fmt: skip
    lines = [e for e in ET.fromstring(figures(found)["front"]).iter() if e.tag.endswith("polyline")]
    assert [len(line.get("points").split()) for line in lines] == [2]


def test_the_figures_are_drawn_and_nothing_in_a_name_is_markup(tmp_path):
    found = document(
        point("none", upper=0.9, kind="none"), point("gaussian:1", upper=0.5, drop=3, kind="plain"),
        point("gaussian:3", upper=0.4, drop=9, kind="plain"), point("good:<b>", upper=0.02), point("x:1", upper=None),
    ).model_dump(mode="json")  # fmt: skip
    drawn = figures(found)
    front = ET.fromstring(drawn["front"])
    circles = [e for e in front.iter() if e.tag.endswith("circle")]
    titles = [e.text for e in front.iter() if e.tag.endswith("title")]
    assert len([t for t in titles if t.startswith("good:<b>")]) == 1
    assert not any("x:1" in t for t in titles)  # without a verdict it has no place
    assert sum(e.tag.endswith("polyline") for e in front.iter()) == 1
    assert len(circles) >= 5
    ET.fromstring(drawn["cost"])
    text = page(found, drawn)
    assert "good:&lt;b&gt;" in text
    assert "<b>" not in text.replace("<b>splitward</b>", "")
    assert write(found, tmp_path).is_file()
    assert (tmp_path / "front.svg").read_text() == drawn["front"]
