"""Texts with the same shingles and the same label as one node, so that many copies cost as much as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from datakit.text.shingles import ShingleSets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Nodes", "group_texts"]


@dataclass(frozen=True, slots=True)
class Nodes:
    """Distinct (shingle set, label), in keep order of their first text.

    Attributes:
        of_text: Node of each text; -1 for None.
        first: First text of each node in keep order.
        label: Label of each node; -1 where unlabelled.
        sets: Shingle set of each node.
        signatures: Matrix (nodes, num_perm).
    """

    of_text: NDArray[np.int64]
    first: NDArray[np.int64]
    label: NDArray[np.int64]
    sets: ShingleSets
    signatures: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.first)


def group_texts(signatures: pa.Table, rank: NDArray[np.int64], labels: NDArray[np.int64]) -> Nodes:
    """Groups the rows of a signature table.

    Args:
        signatures: From :func:`datakit.dedup.signatures`.
        rank: Place of each text in keep order, 0 first.
        labels: Label number of each text, -1 where unlabelled.
    """
    import numpy as np

    table = signatures.combine_chunks()
    sets = _sets(table)
    present = np.flatnonzero(np.diff(sets.offsets) > 0)
    by_rank = present[np.argsort(rank[present], kind="stable")]
    keys = np.stack([*_set_keys(sets, by_rank), labels[by_rank].astype(np.uint64)], axis=1)
    _, at, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(at)  # nodes by their first text
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    of_text = np.full(table.num_rows, -1, dtype=np.int64)
    of_text[by_rank] = place[inverse.reshape(-1)]
    first = by_rank[at[order]]
    sketches = table.column("signature").combine_chunks()
    width = sketches.type.list_size
    matrix = sketches.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)[first]
    return Nodes(of_text, first, labels[first], _take(sets, first), matrix)


def _array(values: pa.Array) -> NDArray[np.uint64]:
    array: NDArray[np.uint64] = values.to_numpy(zero_copy_only=False)
    return array


def _sets(table: pa.Table) -> ShingleSets:
    import numpy as np

    column = table.column("shingles")
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    if not chunks:
        return ShingleSets(np.zeros(0, np.uint64), np.zeros(1, np.int64))
    lengths = np.concatenate([np.diff(chunk.offsets.to_numpy()) for chunk in chunks])
    hashes = np.concatenate([_array(chunk.flatten()) for chunk in chunks])
    return ShingleSets(hashes.astype(np.uint64), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def _set_keys(sets: ShingleSets, which: NDArray[np.int64]) -> list[NDArray[np.uint64]]:
    """Two sums over each set's hashes: 128 bits that equal sets share and others do not."""
    import numpy as np

    spread = sets.hashes * np.uint64(0x9E3779B97F4A7C15)
    spread = (spread ^ (spread >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    keys = []
    for terms in (sets.hashes, spread):
        total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
        keys.append(total[sets.offsets[which + 1]] - total[sets.offsets[which]])
    return keys


def _take(sets: ShingleSets, which: NDArray[np.int64]) -> ShingleSets:
    import numpy as np

    sizes = np.diff(sets.offsets)[which]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    position = np.arange(int(offsets[-1])) + np.repeat(sets.offsets[which] - offsets[:-1], sizes)
    return ShingleSets(sets.hashes[position], offsets)
