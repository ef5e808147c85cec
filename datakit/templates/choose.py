"""Which templates a row gets: by hash of seed, row and template, so that no other row and no order matters."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["preference", "row_seed"]


def preference(seed: int, row: str, templates: Sequence[str]) -> list[int]:
    """Positions of the templates in the order in which this row tries them.

    Every template has its own weight for the row (rendezvous hashing), so adding or removing a template changes only
    the rows that come to it or had it.
    """
    state = hashlib.blake2b(f"{seed}\x00{row}\x00".encode("utf-8", "surrogatepass"), digest_size=8)
    weights = []
    for k, template in enumerate(templates):
        one = state.copy()
        one.update(template.encode("utf-8", "surrogatepass"))
        weights.append((one.digest(), k))
    return [k for _, k in sorted(weights)]


def row_seed(seed: int, row: str, template: str) -> int:
    """Seed of a template that chooses at random, for one row."""
    text = f"random\x00{seed}\x00{row}\x00{template}"
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
