"""The published numbers are complete, and stand beside the right audits."""

import pytest

from splitward.reproduce import plans, published
from splitward.reproduce.need import chain, parsed
from splitward.reproduce.scales import FULL, QUICK


def test_the_tables_are_complete():
    assert len(published.table("defence_curves")) == 282
    assert len(published.table("published_tables")) == 51
    assert [row["split_layer"] for row in published.table("figure15")] == list(plans.LAYERS)
    assert len(published.table("figure2")) == 3


@pytest.mark.parametrize("scale", [QUICK, FULL], ids=lambda s: s.name)
@pytest.mark.parametrize("data", ["mnist", "cifar10"])
def test_every_audit_of_the_papers_has_a_published_number(scale, data):
    """A misspelt layer or setting would lose its number in silence."""
    needs = [
        *plans.white_box(scale, data), *plans.black_box(scale, data), *plans.query_free(scale, data),
        *plans.reconstruction(scale, data), *plans.dropouts(scale, data), *plans.depths(scale, data),
        *plans.noises(scale, data, "gaussian"), *plans.noises(scale, data, "laplace"), *plans.every_layer(scale),
    ]  # fmt: skip
    for need in needs:
        told = published.of_need(need.study, need.data, need.at, need.setting, parsed(need.defence))
        assert told is not None, need
        assert 4 < told["psnr_db"] < 60
        assert -0.01 <= told["ssim"] <= 1


def test_a_point_is_the_one_that_the_paper_prints():
    need = plans.defence(QUICK, "mnist", "ReLU2", "dropout", "activation", 0.6)
    told = published.of_need(need.study, need.data, need.at, need.setting, parsed(need.defence))
    assert (told["accuracy"], told["psnr_db"], told["ssim"]) == (0.9658, 6.8093, 0.2631)


def test_full_has_every_published_level():
    for data in ("mnist", "cifar10"):
        for kind in ("gaussian", "laplace"):
            for place in ("input", "activation"):
                here = {
                    row["level"]
                    for row in published.table("defence_curves")
                    if (row["dataset"], row["split_layer"], row["defence"], row["applied_to"])
                    == (data, plans.DEFENDED[data], kind, place)
                }
                own = {parsed(n.defence)[2] for n in plans.noises(FULL, data, kind) if f"{kind}:" in n.defence}
                assert own | {0.0} == here


@pytest.mark.parametrize("point", [("dropout", "input", 0.6), ("laplace", "activation", 2.5)])
def test_a_defence_is_read_as_it_is_written(point):
    assert parsed(chain(*point)) == point
