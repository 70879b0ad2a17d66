"""The section on what is still recognised: its numbers are the record's, and it is there only where a judge was."""

from collections.abc import Callable

from record.test_meaning import judged
from report.page import Made, Page
from splitward.record.schema import Record
from splitward.report.evidence import Evidence
from splitward.report.recognised import recognised

SCORES = {"semantic": (0.7, 0.95), "match": (0.7, 0.7), "perceptual": (0.3, 0.1)}


def changes(record: Record) -> dict[str, object]:
    return {name: getattr(record, name) for name in ("floors", "trials", "judge", "checks")}


def test_the_section_shows_what_the_record_says(render_record: Callable[..., Page], made: Made) -> None:
    record = judged(made[0], SCORES)
    found = render_record(**changes(record))
    assert "What is still recognised" in found.text
    assert "The class is still named for 38 of 40 pictures from " in found.text
    assert "the label alone gives 28, guessing 4, the untouched originals 39." in found.text
    shown = set(found.numbers)
    assert {("0.1", "10 %"), ("0.7", "70 %"), ("0.95", "95 %"), ("0.98", "98 %"), ("0.8", "0.80")} <= shown
    assert "trained on 436 public images to tell the 10 classes; of 104 others it is right on 96 %" in found.text
    for row in ("Guessing", "Without the activation", "Untouched originals", "label alone (allowed)"):
        assert row in found.text
    anchors = {a["id"] for _, a in found.tags if "id" in a}
    assert "recognised" in anchors


def test_without_a_judge_there_is_no_section(render_record: Callable[..., Page]) -> None:
    found = render_record()
    assert "What is still recognised" not in found.text
    assert {link["href"][1:] for link in found.all("a")} <= {a["id"] for _, a in found.tags if "id" in a}


def test_bars_lie_between_nothing_and_all_and_gains_are_marked(made: Made) -> None:
    section = recognised(Evidence(judged(made[0], SCORES), {}, ""))
    assert section is not None
    cells = [cell for row in section.rows for cell in row.cells]
    assert all(0 <= cell.bar <= 100 for cell in cells)
    attacks = [row for row in section.rows if row.kind in ("naive", "adaptive", "only")]
    assert [c.beyond for c in attacks[0].cells] == [True, False, True]
    assert [c.note for c in attacks[0].cells][1] == "no more than the floor"
    assert section.rows[0].cells[2].bar == 100  # guessing: the distance of another original


def test_what_was_left_out_says_why_and_cannot_become_markup(render_record: Callable[..., Page], made: Made) -> None:
    record = judged(made[0], SCORES)
    assert record.judge is not None
    evil = "<script>alert(1)</script>"
    judge = record.judge.model_copy(update={"left_out": {evil: evil}})
    found = render_record(**{**changes(record), "judge": judge})
    assert len(found.all("script")) == 1
    assert evil in found.text
