"""Benchmark items that stand in training data: which rows, which items, and how much of them."""

from __future__ import annotations

from datakit.decontaminate.find import Contamination, decontaminate
from datakit.decontaminate.items import read_items

__all__ = ["Contamination", "decontaminate", "read_items"]
