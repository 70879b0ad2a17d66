"""Settings of which there may be several, each a record of its own."""

import pytest

from splitward.audit.settings import read_settings
from splitward.core.errors import UsageError

BASE = {"model": "lenet5", "data": "digits", "at": "ReLU2"}


def settings(**given):
    return read_settings(None, BASE | given)


@pytest.mark.parametrize("given", ["1,5,20", [1, 5, 20], ("1", "5", "20", "5")])
def test_several_numbers_of_observations_are_a_sweep(given):
    found = settings(observations=given)
    assert found.observations == (1, 5, 20)
    assert found.is_sweep


def test_one_number_is_none_and_goes_on_with_folders_of_before():
    for given in (5, "5", [5]):
        assert not settings(observations=given).is_sweep
        assert settings(observations=given).numeric()["observations"] == 5
    assert settings().numeric()["observations"] == 1


@pytest.mark.parametrize("given", ["0", "1,0", "two", "", []])
def test_what_is_no_number_is_refused_in_one_sentence(given):
    with pytest.raises(UsageError, match="observations"):
        settings(observations=given)
