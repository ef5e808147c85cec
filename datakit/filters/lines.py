"""Counts over the lines, words and n-grams of many texts at once, in Arrow and numpy; for the quality rules."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

__all__ = ["Pieces", "duplicate_shares", "repeated_ngram_share", "split_pieces", "top_ngram_share"]


class Pieces:
    """The lines (or words, paragraphs) of texts, one after another.

    Attributes:
        values: The pieces.
        owner: Number of the text each belongs to, ascending.
        texts: How many texts there are.
        lengths: Characters of each piece.
    """

    def __init__(self, values: pa.Array, owner: Any, texts: int) -> None:
        import pyarrow.compute as pc

        self.values, self.owner, self.texts = values, owner, texts
        self.lengths = pc.utf8_length(values).to_numpy(zero_copy_only=False)
        self._ngrams: dict[int, tuple[Any, Any]] = {}

    def per_text(self, weights: Any = None) -> Any:
        """Pieces of each text, or the sum of their weights."""
        import numpy as np

        return np.bincount(self.owner, weights=weights, minlength=self.texts)

    def ngrams(self, n: int) -> tuple[Any, Any]:
        """First piece and number of every n-gram inside a text; equal numbers mean equal pieces of the same text."""
        import numpy as np
        import pyarrow.compute as pc

        if n not in self._ngrams:
            number = pc.dictionary_encode(self.values).indices.to_numpy(zero_copy_only=False).astype(np.int64)
            if n == 1:
                starts, key = np.arange(len(self.owner)), self.owner.astype(np.int64)
            else:
                starts, key = self.ngrams(n - 1)
                inside = starts + n - 1 < len(self.owner)
                starts, key = starts[inside], key[inside]
                same = self.owner[starts] == self.owner[starts + n - 1]
                starts, key = starts[same], key[same]
            # Numbered anew at each piece, so that numbers stay small and no two n-grams share one.
            key = key * (int(number.max(initial=0)) + 1) + number[starts + n - 1]
            self._ngrams[n] = starts, np.unique(key, return_inverse=True)[1].astype(np.int64)
        return self._ngrams[n]

    def matching(self, pattern: str) -> Any:
        """Mask of pieces in which a regular expression (RE2) is found."""
        import pyarrow.compute as pc

        return pc.match_substring_regex(self.values, pattern).to_numpy(zero_copy_only=False)


def split_pieces(texts: pa.Array, separator: str) -> Pieces:
    """Texts cut at a regular expression; what is empty or blank is left out. Null has no pieces."""
    import pyarrow.compute as pc

    lists = pc.split_pattern_regex(pc.fill_null(texts, ""), separator)
    values = pc.utf8_trim_whitespace(lists.flatten())
    owner = pc.list_parent_indices(lists)
    filled = pc.greater(pc.binary_length(values), 0)
    return Pieces(values.filter(filled), owner.filter(filled).to_numpy(zero_copy_only=False), len(texts))


def duplicate_shares(pieces: Pieces) -> tuple[Any, Any]:
    """Share of a text's pieces that repeat an earlier one, and those pieces' share of all pieces' characters."""
    import numpy as np
    import pyarrow.compute as pc

    number = pc.dictionary_encode(pieces.values).indices.to_numpy(zero_copy_only=False).astype(np.int64)
    both = pieces.owner.astype(np.int64) * (int(number.max(initial=0)) + 1) + number
    again = np.ones(len(both), bool)
    again[np.unique(both, return_index=True)[1]] = False
    count, size = np.maximum(pieces.per_text(), 1), np.maximum(pieces.per_text(pieces.lengths), 1)
    return pieces.per_text(again) / count, pieces.per_text(again * pieces.lengths) / size


def top_ngram_share(words: Pieces, n: int, sizes: Any) -> Any:
    """Characters in all occurrences of a text's most frequent word n-gram, by the text's size; 0 where none repeats."""
    import numpy as np

    best_count, best = np.zeros(words.texts, np.int64), np.zeros(words.texts)
    starts, key = words.ngrams(n)
    _, first, counts = np.unique(key, return_index=True, return_counts=True)
    place = starts[first]
    lengths = np.concatenate([np.zeros(1, np.int64), np.cumsum(words.lengths)])
    covered = np.where(counts > 1, counts * (lengths[place + n] - lengths[place] + n - 1), 0)
    owners = words.owner[place]
    np.maximum.at(best_count, owners, counts)
    is_top = counts == best_count[owners]
    np.maximum.at(best, owners[is_top], covered[is_top])
    return np.minimum(best / np.maximum(sizes, 1), 1.0)


def repeated_ngram_share(words: Pieces, n: int) -> Any:
    """Share of a text's word characters that lie in an n-gram which occurred before; none counts twice."""
    import numpy as np

    starts, key = words.ngrams(n)
    again = np.ones(len(key), bool)
    again[np.unique(key, return_index=True)[1]] = False
    edges = np.zeros(len(words.owner) + 1, np.int64)
    np.add.at(edges, starts[again], 1)
    np.add.at(edges, starts[again] + n, -1)
    covered = np.cumsum(edges)[:-1] > 0
    return words.per_text(words.lengths * covered) / np.maximum(words.per_text(words.lengths), 1)
