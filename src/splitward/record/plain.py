"""Configurations as JSON gives them back."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator


def plain(value: Any) -> Any:
    """Tuples as lists, at any depth: what JSON gives back, so that a record equals itself after a round trip.

    >>> plain({"steps": 5, "tolerance": (1, (2, 3))})
    {'steps': 5, 'tolerance': [1, [2, 3]]}
    """
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, tuple | list) else value


Parameters = Annotated[dict[str, Any], BeforeValidator(plain)]
"""The configuration of an attack or a floor."""
