"""Equal texts with the same label as one node, so that many copies cost as much as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Nodes", "group_texts"]


@dataclass(frozen=True, slots=True)
class Nodes:
    """Distinct (normalised text, label, group), in keep order of their first text.

    Attributes:
        of_text: Node of each text; -1 where there is none.
        first: First text of each node in keep order.
        label: Label of each node; -1 where unlabelled.
        group: Group of each node.
        fixed: The first so many nodes stay in any case.
    """

    of_text: NDArray[np.int64]
    first: NDArray[np.int64]
    label: NDArray[np.int64]
    group: NDArray[np.int64]
    fixed: int

    def __len__(self) -> int:
        return len(self.first)


def group_texts(
    whole: NDArray[np.uint64],
    present: NDArray[np.bool_],
    rank: NDArray[np.int64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    fixed: int,
) -> Nodes:
    """Groups texts that are equal, have the same label and stand in the same group.

    Args:
        whole: Hash of each normalised text.
        present: Whether there is a text.
        rank: Place of each text in keep order, 0 first.
        labels: Label number of each text, -1 where unlabelled.
        groups: Only texts of one group are compared.
        fixed: Texts of a lower rank stay in any case.
    """
    import numpy as np

    key = whole + labels.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    key += groups.astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93)
    by_rank = np.empty(len(rank), dtype=np.int64)
    by_rank[rank] = np.arange(len(rank))
    by_rank = by_rank[present[by_rank]]
    ordered = np.argsort(key[by_rank], kind="stable")
    sorted_keys = key[by_rank[ordered]]
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = sorted_keys[1:] != sorted_keys[:-1]
    leader = ordered[new]  # places in by_rank
    in_order = np.argsort(leader)
    node_of_run = np.empty(len(leader), dtype=np.int64)
    node_of_run[in_order] = np.arange(len(leader))
    of_text = np.full(len(whole), -1, dtype=np.int64)
    of_text[by_rank[ordered]] = node_of_run[np.cumsum(new) - 1]
    first = by_rank[leader[in_order]]
    return Nodes(of_text, first, labels[first], groups[first], int((rank[first] < fixed).sum()))
