"""Nested subsets of training rows: the first so many examples of one fixed order, every prefix of which is balanced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.core.hashing import digest

__all__ = ["nested_subsets"]


def nested_subsets(
    table: pa.Table, sizes: Sequence[int], *, strata: Sequence[Any] | None = None, seed: int = 0
) -> dict[int, pa.Table]:
    """Subsets of whole examples (an example is a source row with all it was rendered to), each inside the next.

    Args:
        table: Training rows of ``datakit.core.example.SCHEMA``.
        sizes: Numbers of examples.
        strata: One value per row; every subset has their shares as nearly as whole examples allow.
        seed: Of the order.

    Returns:
        Size to rows, which keep the table's order.

    Raises:
        StepError: A size is larger than the number of examples there are, or smaller than 1.
    """
    groups = table.column("group").to_pylist()
    values = [""] * len(groups) if strata is None else [str(value) for value in strata]
    order = _order(groups, values, seed)
    if wrong := [size for size in sizes if not 1 <= size <= len(order)]:
        raise StepError(
            f"{wrong[0]:,} examples are asked for and the training split has {len(order):,}",
            hint=f"Give numbers from 1 to {len(order):,}",
        )
    rank = {group: place for place, group in enumerate(order)}
    return {size: table.filter(pa.array([rank[group] < size for group in groups])) for size in sizes}


def _order(groups: Sequence[str], values: Sequence[str], seed: int) -> list[str]:
    """Groups such that any prefix has every stratum's share: each stratum is spread evenly over the whole order."""
    inside: dict[str, Counter[str]] = {}
    for group, value in zip(groups, values, strict=True):
        inside.setdefault(group, Counter())[value] += 1
    members: dict[str, list[str]] = {}
    for group, counts in inside.items():
        main = min(counts, key=lambda name: (-counts[name], name))
        members.setdefault(main, []).append(group)
    places: Mapping[str, float] = {
        group: (number + 0.5) / len(own)
        for own in members.values()
        for number, group in enumerate(sorted(own, key=lambda name: digest(seed, name)))
    }
    return sorted(places, key=lambda group: (places[group], digest(seed, group)))
