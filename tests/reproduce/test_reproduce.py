"""The whole way on digits: audits, figures, JSON, page; and that nothing is run twice."""

import dataclasses
import json
import shutil
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from reproduce.scales import TINY
from splitward.cli.main import main
from splitward.core.errors import UsageError
from splitward.reproduce import laboratory, page
from splitward.reproduce.edges import fresh_edge
from splitward.reproduce.run import document as documented
from splitward.reproduce.run import reproduce
from splitward.reproduce.scales import QUICK
from splitward.reproduce.target import choose, targets


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Figure 8 and figure 2, interrupted after the first audit and gone on with."""
    out = tmp_path_factory.mktemp("reproduction")
    study = dataclasses.replace(TINY.mnist, dropout_input=())
    scale = dataclasses.replace(TINY, mnist=study)
    lab, needs = laboratory.Laboratory(scale, out), choose(["figure-8"])[0].needs(scale, "mnist")
    next(iter(lab.run(needs)))
    first = {path: path.stat().st_mtime_ns for path in out.glob("records/*/record.json")}
    assert len(first) == 1
    document = reproduce(choose(["figure-8", "figure-2"]), scale, out, ("mnist",))
    return out, document, first


def test_an_audit_that_is_there_is_not_run_again(done):
    out, document, first = done
    assert len(list(out.glob("records/*/record.json"))) == 2
    for path, written in first.items():
        assert path.stat().st_mtime_ns == written
    assert document["targets"]["figure-8"]["audits"] == 2


def test_audits_side_by_side_are_the_same(done, tmp_path):
    """Two processes: another thread count, so numbers agree to rounding; everything is there."""
    _, document, _ = done
    study = dataclasses.replace(TINY.mnist, dropout_input=())
    other = reproduce(choose(["figure-8"]), dataclasses.replace(TINY, mnist=study), tmp_path, ("mnist",), workers=2)
    rows, again = (d["targets"]["figure-8"]["rows"] for d in (document, other))
    assert [(r["attack"], r["level"]) for r in rows] == [(r["attack"], r["level"]) for r in again]
    assert [r["psnr_db"] for r in again] == pytest.approx([r["psnr_db"] for r in rows], abs=0.05)


def test_records_of_two_networks_are_no_reproduction(done, tmp_path):
    out, _, _ = done
    shutil.copytree(out, tmp_path / "mixed")
    path = min((tmp_path / "mixed" / "records").glob("*/record.json"))
    path.write_text(
        path.read_text().replace(json.loads(path.read_text())["target"]["model"]["weights_sha256"], "0" * 64)
    )
    study = dataclasses.replace(TINY.mnist, dropout_input=())
    lab = laboratory.Laboratory(dataclasses.replace(TINY, mnist=study), tmp_path / "mixed")
    with pytest.raises(UsageError, match="2 different networks on mnist"):
        documented(choose(["figure-8"]), lab, "")


def test_an_incomplete_run_says_so_and_explains_nothing(tmp_path):
    """One audit of several: its count stands on top, and there is neither a figure nor a cause."""
    scale = dataclasses.replace(TINY, mnist=dataclasses.replace(TINY.mnist, dropout_input=()))
    lab, chosen = laboratory.Laboratory(scale, tmp_path), choose(["figure-8"])
    next(iter(lab.run(chosen[0].needs(scale, "mnist"))))
    document = documented(chosen, lab, "")
    due = sum(len(set(chosen[0].needs(scale, name))) for name in ("mnist", "cifar10"))
    assert (document["audits"], document["audits_due"]) == (1, due)
    told = document["targets"]["figure-8"]
    assert (told["status"], told["figure"], told["difference"], told["points"]) == ("partial", None, [], [])
    assert not list(tmp_path.glob("figures/*.svg"))
    for text in (page.markdown(document, "figures"), (tmp_path / "index.html").read_text()):
        assert f"Incomplete: 1 of {due} audits were run" in text[: text.index("claims")].rpartition("Of")[0]


def test_rows_stand_beside_what_was_published(done):
    rows = done[1]["targets"]["figure-8"]["rows"]
    naive = [row for row in rows if row.get("published")]
    assert {row["attack"] for row in naive} == {"rmle:scripts"}
    assert {row["level"]: row["published"]["psnr_db"] for row in naive} == {0.0: 10.305, 0.6: 6.8093}
    assert any(row["knows_defence"] for row in rows)


def test_every_figure_is_an_image_with_a_title(done):
    out, document, _ = done
    for target in document["targets"].values():
        root = ElementTree.fromstring((out / target["figure"]).read_text())
        assert root.find("{http://www.w3.org/2000/svg}title").text
    assert "data:image/png" in (out / "figures/figure-8.svg").read_text()


def test_the_page_stands_alone_and_the_document_is_what_was_written(done):
    out, document, _ = done
    text = (out / "index.html").read_text()
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    for claim in document["claims"]:
        assert claim["verdict"] in page.VERDICTS
    assert json.loads((out / "reproduction.json").read_text()) == document


def test_the_papers_images_are_the_first_of_each_class():
    labels = torch.tensor([7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, 9, 0, 1, 5, 9, 7, 3, 4, 9, 6, 6, 5, 4, 0, 7, 4, 0, 1])
    labels = torch.cat([labels, torch.arange(10)])
    chosen = laboratory.papers_images(labels, 10)
    assert sorted(labels[chosen].tolist()) == list(range(10))
    assert chosen[:5] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("at", ["ReLU2", "fc1"])
def test_a_fresh_edge_has_the_victims_shape(at):
    given = fresh_edge("lenet5", at)(torch.zeros(2, 1, 28, 28))
    assert tuple(given.shape[1:]) == {"ReLU2": (16, 8, 8), "fc1": (120,)}[at]


def test_targets_are_all_there_and_can_be_left_out():
    wanted = [f"table-{n}" for n in (3, 4, 6, 8)] + [f"figure-{n}" for n in range(2, 16)]
    assert list(targets()) == wanted
    assert [t.name for t in choose(["all"], ["figure-2"])] == [n for n in wanted if n != "figure-2"]
    with pytest.raises(UsageError, match="figure-99"):
        choose(["figure-99"])


def test_targets_share_their_audits():
    """Figures 8, 9 and 13 name the same undefended cut."""
    needs = [set(targets()[name].needs(QUICK, "mnist")) for name in ("figure-8", "figure-9", "figure-13")]
    assert len(set.intersection(*needs)) > 1


@pytest.mark.parametrize(
    ("words", "told"),
    [("figure-1", "no target 'figure-1'"), ("all --data stl10", "'stl10'"), ("all --scale huge", "'huge'")],
)
def test_wrong_words_are_one_sentence(words, told, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["reproduce", *words.split()])
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


def test_json_alone_on_standard_output(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["reproduce", "figure-2", "--out", str(tmp_path), "--json"])
    assert stopped.value.code == 0
    assert set(json.loads(capsys.readouterr().out)["targets"]) == {"figure-2"}
