"""Run folders made from realistic records."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from record.beyond import with_games, with_unlike
from record.factory import PLANS, make_record
from report.page import Made, Page
from splitward.record import store


@pytest.fixture(scope="session")
def made() -> Made:
    """A record of 40 images under dropout 0.6, with its tensors."""
    return make_record(40)


@pytest.fixture(scope="session")
def run_folder(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store.save(made[0], tmp_path_factory.mktemp("run"), made[1])


@pytest.fixture(scope="session")
def games_folder(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with candidate games and secrets unlike the public data."""
    record, tensors = with_unlike(made, {"rotated": 0.95, "inverted": 0.8, "shuffled": 0.1, "faces": 0.6})
    return store.save(with_games(record), tmp_path_factory.mktemp("games"), tensors)


@pytest.fixture(scope="session")
def sweep_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """No defence, two rates of dropout, one level of Gaussian noise: the same secrets."""
    folder = tmp_path_factory.mktemp("sweep")
    levels = (
        ("none", 1.2, 0.988),
        ("dropout:0.6", 1.0, 0.964),
        ("dropout:0.8", 0.7, 0.869),
        ("gaussian:1", 1.1, 0.958),
    )
    for i, (defence, strength, accuracy) in enumerate(levels):
        plans = PLANS if defence != "none" else tuple(p for p in PLANS if p.adaptive)
        record, tensors = make_record(12, defence=defence, strength=strength, accuracy=accuracy, plans=plans)
        store.save(record, folder / f"{3 - i}", tensors)  # names in another order than the levels
    return folder


@pytest.fixture
def render_record(tmp_path: Path, made: Made) -> Callable[..., Page]:
    """A page from the record with some fields changed; ``tensors=False`` leaves its pictures out."""
    from splitward.report import render

    def make(*, tensors: bool = True, **changes: Any) -> Page:
        record = made[0].model_copy(update=changes)
        record.attach(made[1] if tensors else {})
        return Page(render(record, tmp_path / "report.html").read_text(encoding="utf-8"))

    return make
