"""Filters: which rows go, and why. A new one is a function ``check(example) -> str | None``."""

from __future__ import annotations

from datakit.filters.function import Check, FilterParams, FilterStep, filter_table

__all__ = ["Check", "FilterParams", "FilterStep", "filter_table"]
