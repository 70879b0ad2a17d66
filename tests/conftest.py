"""Fixtures for everybody: data sets (small, embedded, and those under SPLITWARD_DATA) and victims."""

import os
import random

import numpy as np
import pytest
import torch

from splitward.core.errors import DataError
from splitward.data.dataset import Dataset, assemble, load
from splitward.data.pixels import Pixels
from splitward.models.zoo import Victim, load_model


@pytest.fixture
def same_chance(monkeypatch):
    """A device whose randomness is the same in every run, its keys too: what is measured of it cannot fail by luck."""
    monkeypatch.setattr(os, "urandom", random.Random(0).randbytes)


@pytest.fixture(scope="session")
def tiny() -> Dataset:
    """60 train, 40 public and 30 held-out images, 1x16x16, of three classes: bright squares at random places."""
    draws = np.random.default_rng(0)
    images = draws.integers(0, 40, (130, 1, 16, 16), dtype=np.uint8)
    labels = np.arange(130) % 3
    for image, label in zip(images, labels, strict=True):
        row, column, side = *draws.integers(0, 10, 2), 2 + 2 * label
        image[0, row : row + side, column : column + side] = 200
    whole = Pixels(images, labels.astype(np.int64))
    return assemble("tiny", (whole[:60], whole[60:100], whole[100:]), ("small", "middle", "large"), note="Squares.")


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load("digits")


def _under_splitward_data(name: str) -> Dataset:
    try:
        return load(name)
    except DataError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def mnist() -> Dataset:
    """MNIST; skips where SPLITWARD_DATA has none. Mark such tests with ``mnist``."""
    return _under_splitward_data("mnist")


@pytest.fixture(scope="session")
def cifar10() -> Dataset:
    """CIFAR-10; skips where SPLITWARD_DATA has none. Mark such tests with ``cifar``."""
    return _under_splitward_data("cifar10")


@pytest.fixture(scope="session")
def lenet5_digits() -> Victim:
    return load_model("lenet5", data="digits")


@pytest.fixture(scope="session")
def lenet5_mnist() -> Victim:
    return load_model("lenet5", data="mnist")


@pytest.fixture(scope="session")
def cifar_cnn() -> Victim:
    return load_model("cifar-cnn", data="cifar10")


@pytest.fixture(autouse=True)
def _one_global_generator():
    """No test may depend on, or change, the state of torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
