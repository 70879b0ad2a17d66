"""One made-up record for the tests of this folder."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

from record.factory import make_record
from splitward.record.schema import Record

settings.register_profile("no-deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("no-deadline")


@pytest.fixture(scope="session")
def made() -> tuple[Record, dict[str, Any]]:
    """(record, tensors) of 40 samples."""
    return make_record(40)


@pytest.fixture
def record(made: tuple[Record, dict[str, Any]]) -> Record:
    """The record alone, with its tensors attached."""
    made[0].attach(made[1])
    return made[0]
