"""Checks that say when not to believe a number."""

from __future__ import annotations

from splitward.record.schema import Check, Record


def check(record: Record) -> tuple[Check, ...]:
    """To be written."""
    return record.checks
