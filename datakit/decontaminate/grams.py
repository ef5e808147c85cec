"""What is looked for: the n-grams of each item's prompt and answer, and short prompts as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from datakit.text.script import Unit
from datakit.text.shingles import ShingleSets, shingle_runs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Hashes = NDArray[np.uint64]

__all__ = ["NGRAM_UNIT", "Grams", "Sides", "grams_of", "run_hashes", "sides_of"]

#: In n-grams symbols do not count: ``2*15=<<2*15=30>>30`` would be 16 of 13 words, and stands in many sums.
NGRAM_UNIT: Final[Unit] = "bare"
# A syllable or ideograph says less than a word: twice as many of them make an n-gram.
_UNSPACED: Final = 2
# An n-gram that more than this share of a task's items, and more than ten, have in common is the task's wording.
_WORDING: Final = 0.01
_ALWAYS: Final = 10


@dataclass(frozen=True, slots=True)
class Sides:
    """Prompts and answers of items, one after the other: side ``2 i`` is the prompt of item ``i``.

    Attributes:
        texts: Of the sides; None where blank.
        units: Number of units of each, symbols not counted; 0 where blank.
        ngram: Units per n-gram of each; 0 where it is too short for one.
    """

    texts: list[str | None]
    units: Ints
    ngram: Ints


@dataclass(frozen=True, slots=True)
class Grams:
    """The n-grams of one length.

    Attributes:
        hashes: Distinct, ascending.
        starts: Places of hash ``i`` are ``sides[starts[i]:starts[i + 1]]``.
        sides: Where it stands.
        positions: And at which unit of it.
    """

    hashes: Hashes
    starts: Ints
    sides: Ints
    positions: Ints


def sides_of(prompts: Sequence[str | None], answers: Sequence[str | None], *, ngram: int, short: int) -> Sides:
    """Counts units and chooses the length of n-grams: ``ngram``, ``short`` for short sides, none for shorter ones."""
    import numpy as np

    texts = [text if text and text.strip() else None for pair in zip(prompts, answers, strict=True) for text in pair]
    kinds: tuple[Unit, ...] = ("auto", "word", NGRAM_UNIT)
    signs, words, units = (np.diff(shingle_runs(texts, ngram=1, unit=unit).offsets) for unit in kinds)
    factor = np.where(units > _UNSPACED * (words - (signs - units)), _UNSPACED, 1)
    chosen = np.where(units >= ngram * factor, ngram * factor, np.where(units >= short * factor, short * factor, 0))
    return Sides(texts, units, chosen)


def grams_of(sides: Sides, tasks: Sequence[str], length: int) -> Grams:
    """N-grams of all sides that have some of this length, without those that are the wording of a task."""
    import numpy as np

    which = np.flatnonzero(sides.ngram == length)
    runs = shingle_runs([sides.texts[side] for side in which.tolist()], ngram=length, unit=NGRAM_UNIT)
    sizes = np.diff(runs.offsets)
    side = np.repeat(which, sizes)
    position = np.arange(len(runs.hashes)) - np.repeat(runs.offsets[:-1], sizes)
    numbers = {task: number for number, task in enumerate(dict.fromkeys(tasks))}
    task = np.array([numbers[name] for name in tasks], dtype=np.int64)
    kept = ~_is_wording(runs.hashes, side // 2, task)
    order = np.lexsort((position[kept], side[kept], runs.hashes[kept]))
    hashes = runs.hashes[kept][order]
    distinct, starts = np.unique(hashes, return_index=True)
    return Grams(distinct, np.append(starts, len(hashes)), side[kept][order], position[kept][order])


def _is_wording(hashes: Hashes, item: Ints, task: Ints) -> NDArray[np.bool_]:
    """Whether an n-gram stands in so many items of its task that it says nothing of one of them."""
    import numpy as np

    distinct, inverse = np.unique(hashes, return_inverse=True)
    pairs = np.unique(np.stack([inverse.reshape(-1), item], axis=1), axis=0)
    most = np.maximum(_ALWAYS, _WORDING * np.bincount(task)) if len(task) else np.zeros(0)
    keys, counts = np.unique(np.stack([pairs[:, 0], task[pairs[:, 1]]], axis=1), axis=0, return_counts=True)
    often = np.zeros(len(distinct), dtype=bool)
    often[keys[counts > most[keys[:, 1]], 0]] = True
    found: NDArray[np.bool_] = often[inverse.reshape(-1)]
    return found


def run_hashes(units: ShingleSets, which: Iterable[int]) -> Hashes:
    """One hash of each text's units in their order: equal for texts that differ in case and punctuation only."""
    import numpy as np

    chosen = np.fromiter(which, dtype=np.int64)
    some = units.take(chosen)
    sizes = np.diff(some.offsets)
    place = np.arange(len(some.hashes)) - np.repeat(some.offsets[:-1], sizes)
    powers = np.full(int(sizes.max(initial=0)) + 1, 0xB7E151628AED2A6B, dtype=np.uint64)
    np.multiply.accumulate(powers, out=powers)
    total = np.zeros(len(chosen) + 1, dtype=np.uint64)
    sums = np.concatenate([total[:1], np.cumsum(some.hashes * powers[place], dtype=np.uint64)])
    found: Hashes = sums[some.offsets[1:]] - sums[some.offsets[:-1]] + sizes.astype(np.uint64)
    return found
