"""What is proved, on the page: beside the verdict, with its assumptions, or that nothing is."""

from collections.abc import Callable

import pytest

from record.factory import make_record
from report.page import Made, Page
from splitward.record.certificate import Band, Certificate, Privacy, any_mse, prior_mse, unbiased_mse
from splitward.record.statements import compared, statements
from splitward.report.certified import certified


def bounded(**changes: object) -> Certificate:
    bands = (Band(directions=392, energy=9.0, energy_mean=8.0), Band(directions=392, energy=0.1, energy_mean=0.1))
    made = Certificate(
        status="bounded", noise="gaussian:2", variance=4.0, observations=3, pixels=784, dither=0.1, samples=8,
        method="bands", bands=bands, dfil=1.0, dfil_upper=1.2, dfil_worst=1.4, unbiased_worst_mse=0.2,
        any_worst_mse=0.004, prior_information=90.0, prior_information_upper=95.0, candidates=500,
        candidates_mse=0.02, candidates_mse_low=0.01, self_check=0.003,
    )  # fmt: skip
    numbers = {
        "any_mse": any_mse(made, 3), "unbiased_mse": unbiased_mse(made, 3), "prior_mse": prior_mse(made, 3), **changes,
    }  # fmt: skip
    made = made.model_copy(update=numbers)
    return made.model_copy(update={"statements": statements(made)})


def test_every_statement_stands_on_the_page(render_record: Callable[..., Page]) -> None:
    made = bounded()
    page = render_record(certificate=made)
    assert "What is proved" in page.text
    assert all(sentence in page.text for sentence in made.statements)
    assert page.text.index("Proved") < page.text.index("What comes back")  # beside the verdict
    assert len(made.statements) == 5
    assert "this record, k = 3" in page.text


@pytest.mark.parametrize(
    ("changes", "first", "label"),
    [
        ({}, "Any attacker, even one who holds all 500 images", "Proved"),
        ({"candidates_mse_low": 0.0}, "Of independent normal noise", "Proved, of noise on the pixels only"),
    ],
)
def test_the_bound_on_real_images_comes_first_where_there_is_one(
    changes: dict[str, object], first: str, label: str, made: Made
) -> None:
    view = certified(made[0].model_copy(update={"certificate": bounded(**changes)}))
    assert view is not None
    assert view.brief.startswith(first)
    assert view.label == label


def test_each_sentence_says_what_it_assumes() -> None:
    listed, anybody, by_prior, unbiased, private = bounded().statements
    assert "drawn evenly from that list" in listed
    assert "without such noise" in anybody
    assert "Lipschitz" in anybody
    assert "too high on average" in by_prior
    assert "clips its guess to [0, 1]" in unbiased
    assert "not bounded" in private
    made = bounded(privacy=Privacy(clip=5.0, queries=10, delta=1e-5, epsilon=2.5))
    assert "if the activation is clipped to a Euclidean norm of 5 " in statements(made)[-1]
    assert "10 releases together are (2.5, 1e-05)-differentially private" in statements(made)[-1]


def test_an_attack_below_the_bound_for_dithered_secrets_is_explained(made: Made) -> None:
    """The secrets of a record carry no dither; nobody may read their recovery as a bound that failed."""
    record = make_record(12)[0]
    error = min(t.metrics["mse"].mean for t in record.trials if "mse" in t.metrics)
    above, below = (record.model_copy(update={"certificate": bounded(any_mse=error * f)}) for f in (2.0, 0.5))
    assert "not about them" in compared(above)
    assert "not about them" not in compared(below)
    assert "errs by" in compared(below)
    assert compared(made[0]) == ""


def test_without_a_bound_the_page_says_that_only_experiments_speak(render_record: Callable[..., Page]) -> None:
    made = Certificate(status="empirical-only", reason="dropout adds no noise with a density.")
    page = render_record(certificate=made.model_copy(update={"statements": statements(made)}))
    assert "Nothing is proved" in page.text
    assert "Empirical only" in page.text
    assert "What is proved" in page.text


def test_an_older_record_has_no_such_section(render_record: Callable[..., Page]) -> None:
    assert "What is proved" not in render_record(certificate=None).text
