"""Near-duplicates in meaning: cosine similarity of sentence embeddings, compared in full."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from datakit.core.errors import StepError
from datakit.core.registry import Registry
from datakit.core.require import require
from datakit.dedup.graph import Dropped, Edges
from datakit.dedup.nodes import Nodes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["EMBEDDERS", "Embedder", "SemanticNeighbours", "embed", "load_embedder"]

EMBEDDERS = Registry("datakit.embedders")

_BLOCK: Final = 1024


class Embedder(Protocol):
    """Anything that turns texts into vectors: model2vec, sentence-transformers, a function of yours in a class."""

    def encode(self, sentences: list[str]) -> Any:
        """Array (texts, dimensions) of floats."""
        ...


def load_embedder(name: str, folder: Path = Path()) -> Embedder:
    """A registered embedder, ``module:attribute`` (an object or a function that makes one), or a folder of model2vec.

    Raises:
        StepError: None of these.
        MissingDependency: The folder needs model2vec, which is not installed.
    """
    if (folder / name).is_dir():
        model: Embedder = require("model2vec", extra="semantic").StaticModel.from_pretrained(str(folder / name))
        return model
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute) if attribute else EMBEDDERS.load(name)()
    except (ImportError, AttributeError) as error:
        raise StepError(f"cannot load the embedder '{name}': {error}", where="dedup.model") from None
    embedder: Embedder = found if hasattr(found, "encode") else found()
    return embedder


def embed(embedder: Embedder, texts: list[str]) -> NDArray[np.float32]:
    """Unit vectors of texts; a vector of zeros stays one and resembles nothing.

    Raises:
        StepError: The embedder gives something else than one finite vector a text.
    """
    import numpy as np

    if not texts:
        return np.zeros((0, 1), dtype=np.float32)
    vectors = np.asarray(embedder.encode(texts), dtype=np.float32)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise StepError(f"the embedder gave an array of shape {vectors.shape} for {len(texts)} texts")
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(1e-12))
    return unit


class SemanticNeighbours:
    """Compares every node with those that stay, block by block: quadratic in the worst case, exact always.

    Args:
        vectors: Of the nodes, unit length.
        threshold: Smallest cosine similarity.
    """

    def __init__(self, vectors: NDArray[np.float32], threshold: float) -> None:
        self._vectors, self._threshold = vectors, threshold

    def drop(self, edges: Edges, nodes: Nodes, aside: NDArray[np.bool_], *, across: bool, sweep: bool) -> Dropped:
        """Greedy dropping in keep order; see :class:`datakit.dedup.graph.Neighbours`."""
        import numpy as np

        count = len(nodes)
        partner, similarity = np.full(count, -1, dtype=np.int64), np.zeros(count)
        kept = np.zeros(0, dtype=np.int64)
        found: list[NDArray[np.int64]] = [np.zeros((0, 2), dtype=np.int64)]
        values: list[NDArray[np.float64]] = [np.zeros(0)]
        for start in range(0, count, _BLOCK):
            block = np.arange(start, min(start + _BLOCK, count))
            others = np.concatenate([kept, block])
            alike = self._alike(block, others, nodes)
            stays: list[int] = []
            for place, node in enumerate(block.tolist()):
                if aside[node]:
                    continue
                near = np.concatenate([kept, np.array(stays, dtype=np.int64)])
                row = np.concatenate([alike[place, : len(kept)], alike[place, [len(kept) + s - start for s in stays]]])
                if node >= nodes.fixed:
                    hit = row >= self._threshold
                    found.append(np.stack([near[hit], np.full(int(hit.sum()), node)], axis=1))
                    values.append(row[hit].astype(np.float64))
                    if not across:
                        hit &= ~_differ(nodes.label, node, near)
                    if hit.any():
                        best = int(np.flatnonzero(hit)[np.argmax(row[hit])])
                        partner[node], similarity[node] = near[best], float(row[best])
                        continue
                stays.append(node)
            kept = np.concatenate([kept, np.array(stays, dtype=np.int64)])
        if sweep:
            for start in range(0, count, _BLOCK):
                block = np.arange(start, min(start + _BLOCK, count))
                mine, other = np.nonzero(self._alike(block, kept, nodes) >= self._threshold)
                pairs = np.sort(np.stack([block[mine], kept[other]], axis=1), axis=1)
                found.append(pairs[pairs[:, 0] != pairs[:, 1]])
                values.append(np.einsum("nd,nd->n", self._vectors[found[-1][:, 0]], self._vectors[found[-1][:, 1]]))
        return Dropped(partner, similarity, Edges(np.concatenate(found), np.concatenate(values)))

    def _alike(self, block: NDArray[np.int64], others: NDArray[np.int64], nodes: Nodes) -> NDArray[np.float32]:
        alike: NDArray[np.float32] = self._vectors[block] @ self._vectors[others].T
        alike[nodes.group[block][:, None] != nodes.group[others][None, :]] = -1
        return alike


def _differ(labels: NDArray[np.int64], node: int, others: NDArray[np.int64]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (labels[others] >= 0) & (labels[node] >= 0) & (labels[others] != labels[node])
    return found
