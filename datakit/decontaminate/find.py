"""Which training texts hold n-grams of which benchmark items, and how much of each item they cover."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.decontaminate.grams import NGRAM_UNIT, Grams, Sides, grams_of, run_hashes, sides_of
from datakit.decontaminate.items import read_items
from datakit.text.shingles import shingle_runs, shingle_sets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

__all__ = ["MATCHES", "Contamination", "decontaminate"]

MATCHES = pa.schema(
    [
        ("row", pa.int64()),
        ("task", pa.string()),
        ("item_id", pa.string()),
        ("side", pa.string()),
        ("covered", pa.float64()),
    ]
)

_SIDES: Final = ("prompt", "answer")
_BATCH_CHARACTERS: Final = 1 << 25
_LONGEST_SHORT: Final = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Contamination:
    """What was found.

    Attributes:
        keep: Whether each training text holds nothing of any item.
        matches: One row per training text, item and side: ``row`` (number of the text), ``task``, ``item_id``, ``side``
            (prompt or answer) and ``covered``, the share of that side's units that stands in the text.
    """

    keep: NDArray[np.bool_]
    matches: pa.Table

    def items(self) -> pa.Table:
        """The items found anywhere, each with the largest share of a side in one text."""
        grouped = self.matches.group_by(["task", "item_id", "side"], use_threads=False)
        return grouped.aggregate([("covered", "max")]).rename_columns(["task", "item_id", "side", "covered"])


def decontaminate(
    texts: Sequence[str | Sequence[str] | None],
    against: pa.Table | Path | str | Sequence[pa.Table | Path | str],
    *,
    ngram: int = 13,
    short_ngram: int = 8,
    min_covered: float = 0.0,
) -> Contamination:
    """Looks for benchmark items in training texts.

    An n-gram of 13 words of an item's prompt or answer counts (8 where it has fewer than 13; twice as many syllables or
    characters in scripts without spaced words). A shorter prompt counts where it is a whole text or turn; a shorter
    answer only together with its prompt. Case, punctuation and spacing do not matter, and symbols are no words. N-grams
    common to more than 1 % of a task's items, and more than ten, are the task's wording and count for nothing.

    Args:
        texts: Training texts; a chat is a list of its turns.
        against: Items as a table with the columns task, item_id, prompt, answer, or files: see :func:`read_items`.
        ngram: Units per n-gram (Brown et al., Language Models are Few-Shot Learners, 2020, appendix C, use 13 words).
        short_ngram: For shorter prompts and answers.
        min_covered: Smallest share of a prompt or answer that counts.

    Returns:
        Texts to keep, and what was found in the others.

    Raises:
        StepError: Items that cannot be read, or a setting out of range.
    """
    import numpy as np

    if not 1 <= short_ngram <= ngram:
        raise StepError(f"short_ngram {short_ngram} is not between 1 and ngram {ngram}")
    items = _items(against)
    prompts, answers, tasks = (items.column(name).to_pylist() for name in ("prompt", "answer", "task"))
    sides = sides_of(prompts, answers, ngram=ngram, short=short_ngram)
    parts = [[text] if isinstance(text, str) else [part for part in text or () if part] for text in texts]
    found: dict[tuple[int, int], float] = {}
    lengths = sorted({int(length) for length in np.unique(sides.ngram) if length})
    grams = [(length, grams_of(sides, tasks, length)) for length in lengths]
    for rows in _batches(parts):
        joined = ["\n".join(parts[row]) or None for row in rows]
        for length, some in grams:
            found.update(_covered(joined, rows[0], some, length, sides))
        found.update(_whole_prompts(parts, rows, sides))
        first, last = rows[0], rows[-1]
        prompts_in = [pair for pair in found if first <= pair[0] <= last and pair[1] % 2 == 0]
        found.update(_short_answers(joined, first, prompts_in, sides))
    chosen = sorted(pair for pair, share in found.items() if share >= min_covered)
    keep = np.ones(len(parts), dtype=bool)
    keep[[row for row, _ in chosen]] = False
    item = [side // 2 for _, side in chosen]
    matches = pa.table(
        [
            pa.array([row for row, _ in chosen], pa.int64()),
            items.column("task").combine_chunks().take(pa.array(item, pa.int64())),
            items.column("item_id").combine_chunks().take(pa.array(item, pa.int64())),
            pa.array([_SIDES[side % 2] for _, side in chosen], pa.string()),
            pa.array([found[pair] for pair in chosen], pa.float64()),
        ],
        schema=MATCHES,
    )
    return Contamination(keep, matches)


def _items(against: pa.Table | Path | str | Sequence[pa.Table | Path | str]) -> pa.Table:
    several = [against] if isinstance(against, pa.Table | Path | str) else list(against)
    if not several:
        raise StepError("nothing to compare with", hint="Give a file or table of benchmark items")
    tables = [one if isinstance(one, pa.Table) else read_items(one) for one in several]
    for table in tables:
        if missing := {"task", "item_id", "prompt", "answer"} - set(table.column_names):
            raise StepError(f"benchmark items have no column '{min(missing)}'", hint="task, item_id, prompt, answer")
    return pa.concat_tables([table.select(["task", "item_id", "prompt", "answer"]) for table in tables])


def _batches(parts: Sequence[Sequence[str]]) -> Iterator[range]:
    start, size = 0, 0
    for row, some in enumerate(parts):
        size += sum(map(len, some))
        if size >= _BATCH_CHARACTERS:
            yield range(start, row + 1)
            start, size = row + 1, 0
    if start < len(parts):
        yield range(start, len(parts))


def _covered(
    texts: Sequence[str | None], first: int, grams: Grams, length: int, sides: Sides
) -> dict[tuple[int, int], float]:
    """Row and side to the share of the side's units under n-grams that stand in the row."""
    import numpy as np

    if not len(grams.hashes):
        return {}
    sets = shingle_sets(texts, ngram=length, unit=NGRAM_UNIT)
    at = np.minimum(np.searchsorted(grams.hashes, sets.hashes), len(grams.hashes) - 1)
    hit = np.flatnonzero(grams.hashes[at] == sets.hashes)
    row = np.searchsorted(sets.offsets, hit, side="right") - 1
    gram = at[hit]
    counts = grams.starts[gram + 1] - grams.starts[gram]
    place = np.arange(int(counts.sum())) + np.repeat(grams.starts[gram] - (np.cumsum(counts) - counts), counts)
    row, side, position = np.repeat(row, counts), grams.sides[place], grams.positions[place]
    order = np.lexsort((position, side, row))
    row, side, position = row[order], side[order], position[order]
    new = np.ones(len(row), dtype=bool)
    new[1:] = (row[1:] != row[:-1]) | (side[1:] != side[:-1])
    step = np.minimum(np.diff(position, prepend=0), length)
    step[new] = length
    starts = np.flatnonzero(new)
    share = np.add.reduceat(step, starts) / sides.units[side[starts]] if len(starts) else np.zeros(0)
    pairs = zip((row[starts] + first).tolist(), side[starts].tolist(), strict=True)
    return dict(zip(pairs, share.tolist(), strict=True))


def _whole_prompts(parts: Sequence[Sequence[str]], rows: range, sides: Sides) -> dict[tuple[int, int], float]:
    """Prompts too short for an n-gram that are a whole text or turn."""
    import numpy as np

    prompts = [side for side in range(0, len(sides.units), 2) if sides.units[side] and not sides.ngram[side]]
    short = [(row, part) for row in rows for part in parts[row] if len(part) <= _LONGEST_SHORT]
    if not prompts or not short:
        return {}
    wanted = run_hashes(shingle_runs([sides.texts[side] for side in prompts], ngram=1), range(len(prompts)))
    by_hash: dict[int, list[int]] = {}
    for side, value in zip(prompts, wanted.tolist(), strict=True):
        by_hash.setdefault(value, []).append(side)
    here = run_hashes(shingle_runs([part for _, part in short], ngram=1), range(len(short)))
    hits = np.flatnonzero(np.isin(here, wanted)).tolist()
    return {(short[hit][0], side): 1.0 for hit in hits for side in by_hash[int(here[hit])]}


def _short_answers(
    texts: Sequence[str | None], first: int, prompts: Sequence[tuple[int, int]], sides: Sides
) -> dict[tuple[int, int], float]:
    """Answers too short to count alone, in texts that hold their prompt; of several lines the first will do."""
    import numpy as np

    @cache  # many rows may be the same text, and hold the same item
    def holds(text: str | None, answer: str) -> bool:
        for line in dict.fromkeys([answer, answer.strip().split("\n")[0]]):
            count = len(shingle_runs([line], ngram=1).hashes)
            wanted = shingle_runs([line], ngram=count).hashes
            if np.isin(wanted, shingle_runs([text], ngram=count).hashes).all():
                return True
        return False

    short = ((row, prompt + 1) for row, prompt in prompts if sides.units[prompt + 1] and not sides.ngram[prompt + 1])
    return {(row, side): 1.0 for row, side in short if holds(texts[row - first], sides.texts[side] or "")}
