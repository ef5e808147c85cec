"""Rows that cover the data: greedy k-centre, the row farthest from all those chosen before comes next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["k_centres"]


def k_centres(vectors: Any, first: int) -> Iterator[tuple[int, float]]:
    """Rows in the order in which greedy k-centre takes them, with their distance to the nearest one taken before.

    Gonzalez 1985, "Clustering to minimize the maximum intercluster distance": the first k are within twice the
    optimal covering radius. For choosing training data: Sener and Savarese 2018, arXiv 1708.00489. Each step is one
    product of the vectors with one of them, so k rows of n take k * n * d operations.

    Args:
        vectors: Rows of equal length, n x d.
        first: The row to begin with; its distance is infinite. Ties go to the lower row.
    """
    import numpy as np

    rows = np.asarray(vectors, dtype=np.float32)
    squares = np.einsum("ij,ij->i", rows, rows)
    nearest = np.full(len(rows), np.inf)
    chosen, distance = first, float("inf")
    for _ in range(len(rows)):
        yield chosen, distance
        to_chosen = np.maximum(squares + squares[chosen] - 2 * (rows @ rows[chosen]), 0)
        nearest = np.minimum(nearest, to_chosen)
        nearest[chosen] = -1.0  # never again, also where another row is equal to it
        chosen = int(nearest.argmax())
        distance = float(np.sqrt(max(nearest[chosen], 0.0)))
