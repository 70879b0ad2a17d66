"""The page says what the record says, needs nothing from elsewhere, and cannot be written by what it quotes."""

import base64
import hashlib
import itertools
import re
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from record.factory import make_record
from report.page import Made, Page
from splitward.core.errors import RecordError
from splitward.record import store
from splitward.record.schema import Check, Control
from splitward.report import render

EVIL = "<script>alert(1)</script>"
LEVELS = ("failure", "warning", "note", "ok")
QUOTE = '" onload="alert(1)'


def page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def single(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page(render(run_folder, tmp_path_factory.mktemp("out") / "new" / "report.html"))


@pytest.fixture(scope="module")
def sweep(sweep_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    return page(render(sweep_folder, tmp_path_factory.mktemp("out") / "report.html"))


@pytest.mark.parametrize("name", ["single", "sweep"])
def test_needs_nothing_from_elsewhere(name: str, request: pytest.FixtureRequest) -> None:
    found: Page = request.getfixturevalue(name)
    assert all(image["src"].startswith("data:image/png;base64,") for image in found.all("img"))
    assert all(link["href"].startswith("#") for link in found.all("a"))
    assert [link["href"] for link in found.all("link")] == ["data:,"]
    assert not any("src" in script for script in found.all("script"))
    style = " ".join(found.raw["style"])
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"(?:src|href|action|poster|srcset)=[\"']?(?:https?:)?//", found.source)


def test_links_lead_somewhere(single: Page, sweep: Page) -> None:
    for found in (single, sweep):
        anchors = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
        assert len(anchors) == len(set(anchors))
        assert {link["href"][1:] for link in found.all("a")} <= set(anchors)


def test_the_policy_allows_exactly_the_script_that_is_there(single: Page) -> None:
    policy = next(m["content"] for m in single.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    script = "".join(single.raw["script"])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'")
    assert f"script-src 'sha256-{digest}'" in policy


def test_suits_a_phone_paper_and_the_dark(single: Page) -> None:
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in single.all("meta")
    style = " ".join(single.raw["style"])
    assert all(rule in style for rule in ("@media print", "prefers-color-scheme: dark", "size: A4"))


def test_is_accessible(single: Page, sweep: Page) -> None:
    for found in (single, sweep):
        assert all(image.get("alt") for image in found.all("img"))
        assert all(cell.get("scope") in {"col", "row", "rowgroup"} for cell in found.all("th"))
        assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in found.all("svg"))
        assert found.all("html")[0]["lang"] == "en-GB"
        assert found.headings[0] == "h1"
        assert found.headings.count("h1") == 1
        levels = [int(h[1]) for h in found.headings]
        assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_all_parts_are_there(single: Page) -> None:
    for heading in (
        "What comes back", "Attack by attack", "Image by image", "Who attacked", "Can these numbers be believed?",
        "Positive controls", "What this does not prove", "What the numbers mean", "Reproduce it",
    ):  # fmt: skip
        assert heading in single.text


def test_the_numbers_are_those_of_the_record(single: Page, made: Made) -> None:
    record = made[0]
    verdict = record.verdict
    assert verdict is not None
    assert verdict.excess is not None
    assert verdict.worst_decile is not None
    shown = set(single.numbers)
    assert verdict.sentence in single.text
    assert record.target.accuracy is not None
    strictly = round((verdict.recovered_strictly_share or 0) * record.samples)
    told = next(t for t in record.trials if (t.attack, t.adaptive) == (verdict.attack, verdict.adaptive))
    assert single.tiles == {
        "Leakage, SSIM": (str(verdict.leakage), f"{verdict.leakage:.2f}"),
        "Excess leakage": (str(verdict.excess), f"{verdict.excess:.2f}"),
        "Worst decile": (str(verdict.worst_decile), f"{verdict.worst_decile:.2f}"),
        "Recognisable": (str(strictly), str(strictly)),
        "Told apart": (str(round(sum(told.per_sample["identification"]))),) * 2,
        "Task accuracy": (str(record.target.accuracy.defended), "96.4"),
    }
    for item in record.scored:
        for name in ("ssim", "psnr"):
            if name in item.metrics:
                mean = item.metrics[name].mean
                assert (str(mean), f"{mean:.3f}") in shown
    assert record.command in single.text
    assert record.target.model.weights_sha256 in single.text


def test_failed_and_skipped_attacks_give_their_reasons(single: Page, made: Made) -> None:
    reasons = [t.reason for t in made[0].trials if t.status != "ok"]
    assert len(reasons) == 2
    assert all(reason in single.text for reason in reasons)


def test_every_check_is_told_with_its_level_in_words(single: Page, made: Made) -> None:
    assert made[0].checks
    assert all(check.message in single.text for check in made[0].checks)
    first = {level: [single.text.index(c.message) for c in made[0].checks if c.level == level] for level in LEVELS}
    assert max(first["warning"]) < min(first["note"] + first["ok"])
    assert max(first["failure"]) < min(first["warning"])


def test_pictures_show_every_attack_worst_case_first(single: Page, made: Made) -> None:
    record, tensors = made
    with_pictures = [item for item in record.scored if item.tensor]
    originals = [i for i in single.all("img") if i["alt"].startswith("original ")]
    assert len(originals) == 4 + 10  # the glance, the grid
    assert len(single.all("img")) == 10 * (1 + len(with_pictures)) + 4 * 4
    verdict = record.verdict
    assert verdict is not None
    best = next(
        t for t in record.trials if (t.attack, t.adaptive) == (verdict.attack, verdict.adaptive) and t.status == "ok"
    )
    worst = max(range(record.samples), key=lambda i: best.per_sample["ssim"][i])
    assert originals[4]["title"] == f"secret {worst}"
    assert f"SSIM {best.per_sample['ssim'][worst]:.2f}" in {i["alt"] for i in single.all("img")}
    assert len(tensors["secrets"]) == 40


def test_the_sweep_shows_all_targets_first(sweep: Page) -> None:
    titles = ("No defence", "Dropout 0.6 on the activation", "Dropout 0.8 on the activation", "Gaussian 1 on the")
    positions = [sweep.text.index(title) for title in titles]
    assert positions == sorted(positions)
    assert positions[-1] < sweep.text.index("Target by target")
    assert "Every one of the 4 audited targets leaks the input." in sweep.text
    assert "Usability and privacy" in sweep.text
    assert "Do the targets fit together?" in sweep.text
    assert [a["id"] for a in sweep.all("details") if "id" in a] == [f"target-{i}" for i in range(1, 5)]
    assert not any("open" in a for a in sweep.all("details"))  # more than three fold


def test_a_sweep_of_different_secrets_has_no_common_grid(sweep_folder: Path, run_folder: Path, tmp_path: Path) -> None:
    found = page(render([sweep_folder, run_folder], tmp_path / "r.html"))
    assert "The same private images under every target" not in found.text
    assert "5 targets" in found.text


def test_what_a_record_quotes_cannot_become_markup(render_record: Callable[..., Page], made: Made) -> None:
    record = made[0]
    target = record.target.model_copy(
        update={
            "model": record.target.model.model_copy(update={"name": EVIL, "source": QUOTE}),
            "data": record.target.data.model_copy(update={"name": QUOTE, "note": EVIL}),
            "cut": record.target.cut.model_copy(update={"name": EVIL + QUOTE}),
            "defence": f"x:{EVIL}@{QUOTE}",
        }
    )
    control = Control(
        kind="planted", recovered=False, identification=0, chance=0, ssim=0, psnr_db=0, gain=0, reason=EVIL
    )
    trials = tuple(
        t.model_copy(
            update={
                "attack": f"{i}{EVIL}{QUOTE}",
                "reason": EVIL,
                "control": control,
                "parameters": {EVIL: QUOTE},
                "trace": {QUOTE: [(0, 1.0), (1, 0.5)]},
            }
        )
        for i, t in enumerate(record.trials)
    )
    floors = tuple(f.model_copy(update={"name": f.name + EVIL + QUOTE}) for f in record.floors)
    environment = record.environment.model_copy(update={"packages": {EVIL: QUOTE}, "commit": EVIL})
    found = render_record(
        target=target, trials=trials, floors=floors, environment=environment, command=EVIL,
        checks=(Check(name=QUOTE, level="warning", message=EVIL),), verdict=None, no_verdict=EVIL, asked=(EVIL,),
    )  # fmt: skip
    assert len(found.all("script")) == 1
    assert EVIL in found.text
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]


def test_without_a_verdict_it_says_so_and_why(render_record: Callable[..., Page]) -> None:
    found = render_record(verdict=None, no_verdict="No black-box attack can be believed: it failed.")
    assert "There is no verdict. No black-box attack can be believed: it failed." in found.text
    assert "rely on no number below" in found.text
    assert "Strongest, SSIM" in found.text
    assert "Excess leakage" not in found.text.split("What the numbers mean")[0].split("Reproduce it")[0]


def test_an_unfinished_audit_says_so(render_record: Callable[..., Page]) -> None:
    assert "has not finished" in render_record(status="running").text


def test_a_redacted_record_shows_a_notice_and_no_picture(run_folder: Path, made: Made, tmp_path: Path) -> None:
    bare = store.redact(made[0])
    folder = store.save(bare, tmp_path / "bare")
    output = render(folder, tmp_path / "bare.html")
    found = page(output)
    assert not found.all("img")
    assert "This record is redacted" in found.text
    assert "holds private inputs, and so does this page" not in found.text
    assert verdict_numbers(found) == verdict_numbers(page(render(run_folder, tmp_path / "full.html")))


def verdict_numbers(found: Page) -> list[tuple[str, str]]:
    return sorted(set(found.numbers))


def test_a_run_whose_pictures_were_removed_still_renders(made: Made, tmp_path: Path) -> None:
    folder = store.save(made[0], tmp_path / "run", made[1])
    (folder / store.TENSORS).unlink()
    found = page(render(folder, tmp_path / "r.html"))
    assert "holds no pictures that could be shown" in found.text
    assert not found.all("img")


def test_a_record_without_any_result_renders(render_record: Callable[..., Page]) -> None:
    found = render_record(
        tensors=False, trials=(), floors=(), checks=(), verdict=None, no_verdict="No attack was tried."
    )
    assert "No attack was tried." in found.text
    assert "No attack gave a number." in found.text


def test_small_colour_images_without_ssim(tmp_path: Path) -> None:
    from record.factory import make_record

    record, tensors = make_record(5, size=8, channels=3)
    record.attach(tensors)
    found = page(render(record, tmp_path / "r.html"))
    assert "MSE" in found.text
    assert len(found.all("img")) > 20


def test_no_word_claims_safety(single: Page, sweep: Page, render_record: Callable[..., Page], made: Made) -> None:
    verdict = made[0].verdict
    assert verdict is not None
    quiet = verdict.model_copy(
        update={"finding": "none-found", "sentence": "No leak found at this effort by this suite."}
    )
    for found in (single, sweep, render_record(verdict=quiet)):
        assert not re.search(r"\b(?:safe|secure|harmless)\b", found.text, re.IGNORECASE)
    assert "No leak found at this effort" in found.text


def test_the_same_records_give_the_same_bytes(run_folder: Path, tmp_path: Path) -> None:
    first, second = (render(run_folder, tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second
    assert len(first) < 1_000_000


def test_pictures_are_for_the_owner_alone(run_folder: Path, made: Made, tmp_path: Path) -> None:
    assert stat.S_IMODE(render(run_folder, tmp_path / "a.html").stat().st_mode) == 0o600
    bare = store.save(store.redact(made[0]), tmp_path / "bare")
    assert stat.S_IMODE(render(bare, tmp_path / "b.html").stat().st_mode) == 0o644


def test_errors_are_one_sentence(tmp_path: Path, run_folder: Path) -> None:
    with pytest.raises(RecordError, match=r"^[^\n]+\.$"):
        render(tmp_path / "nothing", tmp_path / "r.html")
    with pytest.raises(RecordError, match="nothing to report"):
        render([], tmp_path / "r.html")
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be written"):
        render(run_folder, tmp_path / "file" / "r.html")
    with pytest.raises(RecordError, match="cannot be written"):
        render(run_folder, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


NO_TORCH = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "skimage", "sklearn", "PIL", "plotly", "pytorch_msssim"}:
            raise ImportError(f"{name} is not installed here")
sys.meta_path.insert(0, Refuse())
import typer
from splitward.cli.report import report_command
typer.run(report_command)
"""


def test_renders_without_the_laboratory(sweep_folder: Path, tmp_path: Path) -> None:
    """The command line, in a process where neither torch nor any imaging library can be imported."""
    output = tmp_path / "report.html"
    command = [sys.executable, "-c", NO_TORCH, str(sweep_folder), "-o", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert str(output) in done.stdout
    assert page(output).all("img")


def test_budgets_of_one_target_make_a_curve(tmp_path: Path) -> None:
    strengths = {None: 1.0, 100: 0.6}
    made = [make_record(12, strength=s)[0].model_copy(update={"query_budget": n}) for n, s in strengths.items()]
    page = Page(render(made, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert [a["id"] for _, a in page.tags if a.get("id") == "queries"] == ["queries"]
    table = page.source.partition('id="queries"')[2].partition("</section>")[0]
    assert table.index("100 queries") < table.index("Any number of queries")
    assert table.count("15,000 used") == 2
    for record in made:
        best = max(t.metrics["ssim"].mean for t in record.trials if t.metrics and t.threat_model != "white-box")
        assert f'value="{best}"' in table
    assert page.source.count("cut at ReLU2, 100 queries") == 2  # in the overview and at the head of its section


def test_what_a_threat_model_reaches_counts_the_attacks_of_weaker_ones(tmp_path: Path) -> None:
    record, _ = make_record(12)
    page = render(record, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "by inverse-network, a black-box attack that it may run as well" in page
    assert "by inverse-network</small>" in page
