"""From a built dataset to batches: reading, encoding, the order of rows, padding."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datakit.core.hashing import digest
from datakit.core.storage import read_table
from train.encoder import Encoder
from train.errors import TrainError
from train.masking import Row, completion_row, text_rows

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

PASS_OVERHEAD = 128  # measured on the CPU with models of 0.3 M parameters; bigger ones have less

Collate = Callable[..., Any]

__all__ = [
    "Batch",
    "Collate",
    "Documents",
    "Encoded",
    "Stream",
    "batches",
    "collate",
    "cut",
    "encode_rows",
    "encoded",
    "find_files",
    "read_files",
]


def find_files(data: Path) -> dict[str, list[Path]]:
    """The Parquet files of ``train`` and ``validation`` in a folder ``datakit build`` made, or one file as ``train``.

    Raises:
        TrainError: Nothing there to train on.
    """
    if data.is_file():
        return {"train": [data], "validation": []}
    folder = data / "data" if (data / "data").is_dir() else data
    files = {split: sorted(folder.glob(f"{split}*.parquet")) for split in ("train", "validation")}
    if not files["train"]:
        what = "it has no train-*.parquet" if folder.is_dir() else "no such file or folder"
        raise TrainError(f"no training data: {what}", where=data, hint="Give a folder made by datakit build")
    return files


def read_files(files: Sequence[Path], *, columns: Sequence[str] = ("id", "messages", "text")) -> pa.Table:
    """The rows of some Parquet files, with the columns that training needs where they have them.

    Raises:
        StorageError: Missing or unreadable.
        TrainError: A file has neither messages nor text.
    """
    import pyarrow as pa

    tables = []
    for file in files:
        table = read_table(file)
        names = [name for name in columns if name in table.column_names]
        needed = [name for name in columns if name != "id"]
        if not set(needed) & set(names):
            what = "no column" if len(needed) == 1 else "neither a column"
            nor = " nor ".join(f"'{name}'" for name in needed)
            raise TrainError(f"{what} {nor}", where=file, hint="Make it with datakit build")
        tables.append(table.select(names))
    return pa.concat_tables(tables, promote_options="default")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Encoded rows and what was lost.

    Attributes:
        rows: Rows with at least one trained token, of the objective's own type (:class:`train.objectives.Sample`).
        truncated: Rows among them that lost their end at the longest length.
        dropped: Ids of rows whose whole answer lay behind the longest length.
    """

    rows: list[Any] = field(default_factory=list)
    truncated: int = 0
    dropped: list[str] = field(default_factory=list)


def encode_rows(table: pa.Table, encoder: Encoder) -> Encoded:
    """Encodes all rows of a table: conversations, and plain text where the encoder allows it.

    Raises:
        TrainError: A row that cannot be trained on; names its id.
    """
    tokenizer, max_length = encoder.tokenizer, encoder.max_length
    rows: list[Row] = []
    for number, record in enumerate(record for batch in table.to_batches() for record in batch.to_pylist()):
        id = record.get("id") or str(number + 1)
        if encoder.plain_text and not record.get("messages"):
            rows += text_rows(id, record.get("text") or "", tokenizer, max_length=max_length)
        else:
            messages = record.get("messages")
            rows.append(completion_row(id, messages, tokenizer, encoder.chat, end=encoder.end, max_length=max_length))
    return encoded(rows)


def encoded(rows: Sequence[Any]) -> Encoded:
    """Rows with something to train, and the ids of those without."""
    kept = [row for row in rows if row.weight]
    return Encoded(kept, sum(row.truncated for row in kept), [row.id for row in rows if not row.weight])


class Stream:
    """The rows of every optimizer step, a function of the seed and the step's number alone.

    An epoch has every training row once, in an order of its own, and so many replay rows that these are ``share`` of
    the epoch; they are spread over it at random. Replay rows go round: none comes twice before all came once.

    Args:
        rows: Training rows.
        replay: Replay rows.
        share: Share of replay rows in an epoch.
        rows_per_step: Batch size times accumulation; the last step of an epoch may have fewer.
        seed: Of the order.
        draw: Called with every row each time it comes, and a source of randomness of the epoch: masked words.
    """

    def __init__(
        self,
        rows: Sequence[Any],
        *,
        replay: Sequence[Any] = (),
        share: float = 0.0,
        rows_per_step: int,
        seed: int,
        draw: Callable[[Any, random.Random], Any] | None = None,
    ) -> None:
        self._rows, self._replay, self._seed, self._draw = rows, replay, seed, draw
        self._replayed = max(1, round(len(rows) * share / (1 - share))) if replay else 0
        self._rows_per_step = rows_per_step
        self.rows_per_epoch = len(rows) + self._replayed
        self.steps_per_epoch = -(-self.rows_per_epoch // rows_per_step)

    def __iter__(self) -> Iterator[list[Any]]:
        """Endless."""
        return self.after(0)

    def after(self, step: int) -> Iterator[list[Any]]:
        """Endless, from the step behind this one."""
        epoch, done = divmod(step, self.steps_per_epoch)
        while True:
            order = self._epoch(epoch)
            for start in range(done * self._rows_per_step, len(order), self._rows_per_step):
                yield order[start : start + self._rows_per_step]
            epoch, done = epoch + 1, 0

    def _epoch(self, epoch: int) -> list[Any]:
        order = list(self._rows)
        first = epoch * self._replayed
        rounds: dict[int, list[int]] = {}
        for position in range(first, first + self._replayed):
            turn, place = divmod(position, len(self._replay))
            if turn not in rounds:
                rounds[turn] = list(range(len(self._replay)))
                self._random("replay", turn).shuffle(rounds[turn])
            order.append(self._replay[rounds[turn][place]])
        self._random("epoch", epoch).shuffle(order)
        if self._draw is not None:
            source = self._random("draw", epoch)
            order = [self._draw(row, source) for row in order]
        return order

    def _random(self, purpose: str, number: int) -> random.Random:
        return random.Random(digest("train", self._seed, purpose, number))


@dataclass(frozen=True, slots=True)
class Documents:
    """Rows that stand one behind the other in one sequence (:mod:`train.packing`).

    Attributes:
        places: Of every token in its row, (1, tokens).
        ends: Where the rows begin and end, (rows + 1,), int32.
        longest: Tokens of the longest row.
    """

    places: torch.Tensor
    ends: torch.Tensor
    longest: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows side by side, padded at the end to the longest; or one sequence of rows one behind the other.

    A causal model never looks ahead, so padding at the end needs no attention mask: no trained token sees it.

    Attributes:
        ids: Token ids, (rows, longest).
        positions: Indices into the flattened (rows * longest) positions whose next token is trained, (trained,).
        targets: Those next tokens, (trained,).
        weights: Of the targets, (trained,); None where each weighs 1.
        documents: The rows of a packed sequence; None where rows stand side by side.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    weights: torch.Tensor | None = None
    documents: Documents | None = None

    @property
    def inputs(self) -> dict[str, Any]:
        """What the model is called with."""
        if self.documents is None:
            return {"input_ids": self.ids, "use_cache": False}
        ends, longest = self.documents.ends, self.documents.longest
        return {
            "input_ids": self.ids,
            "position_ids": self.documents.places,
            "use_cache": False,
            "cu_seq_lens_q": ends,
            "cu_seq_lens_k": ends,
            "max_length_q": longest,
            "max_length_k": longest,
        }

    @property
    def weight(self) -> float:
        """Number of trained tokens, or the sum of their weights."""
        return float(len(self.targets)) if self.weights is None else float(self.weights.double().sum())

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        weights, documents = self.weights, self.documents
        if weights is not None:
            weights = weights.to(device, non_blocking=True)
        if documents is not None:
            places, ends = (part.to(device, non_blocking=True) for part in (documents.places, documents.ends))
            documents = Documents(places, ends, documents.longest)
        ids, positions, targets = (
            part.to(device, non_blocking=True) for part in (self.ids, self.positions, self.targets)
        )
        return Batch(ids, positions, targets, weights, documents)


def collate(rows: Sequence[Row], *, pad: int) -> Batch:
    """Pads rows to the longest; ``pad`` is any id the model knows, it is neither seen nor trained."""
    import numpy as np
    import torch

    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), pad, dtype=np.int64)
    trained = np.zeros((len(rows), longest), dtype=bool)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row.ids
        trained[place, : len(row)] = row.trained
    targets = np.flatnonzero(trained)  # the first token of a row is never trained, so minus one stays in the row
    weights = None
    if any(row.weights is not None for row in rows):
        own = [row.trained.astype(np.float32) if row.weights is None else row.weights for row in rows]
        weights = torch.from_numpy(np.concatenate([part[row.trained] for part, row in zip(own, rows, strict=True)]))
    return Batch(
        torch.from_numpy(ids), torch.from_numpy(targets - 1), torch.from_numpy(ids.reshape(-1)[targets]), weights
    )


def batches(
    rows: Sequence[Any],
    *,
    batch_size: int,
    pad: int,
    collate: Collate = collate,
    overhead: int = PASS_OVERHEAD,
    tokens: int | None = None,
) -> list[Any]:
    """Rows sorted by length and cut into batches. The loss is a sum, so the cut changes nothing but the time.

    Args:
        rows: One optimizer step's rows, or a validation split.
        batch_size: Rows in a batch at most.
        pad: Token id to pad with.
        collate: The objective's.
        overhead: See :func:`cut`.
        tokens: Tokens in a batch at most, padding included, where a single row has no more.
    """
    order = sorted(rows, key=len)
    sizes = cut([len(row) for row in order], batch_size=batch_size, overhead=overhead, tokens=tokens)
    ends = list(itertools.accumulate(sizes))
    return [collate(order[end - size : end], pad=pad) for size, end in zip(sizes, ends, strict=True)]


def cut(lengths: Sequence[int], *, batch_size: int, overhead: int, tokens: int | None = None) -> list[int]:
    """Sizes of the batches that ascending lengths are cut into so that the least is computed, padding included.

    A batch costs its rows times the longest, plus the overhead of a pass; the cheapest cut is found exactly, by
    dynamic programming over the last batch.

    Args:
        lengths: Tokens per row, ascending.
        batch_size: Rows in a batch at most.
        overhead: What one more pass through the model costs, in tokens.
        tokens: Rows times the longest at most, where a single row has no more.
    """
    cost, last = [0], [0]
    for end in range(1, len(lengths) + 1):
        most = batch_size if tokens is None else min(batch_size, max(1, tokens // lengths[end - 1]))
        sizes = range(1, min(most, end) + 1)
        best = min(sizes, key=lambda size: (cost[end - size] + size * lengths[end - 1], size))
        cost.append(cost[end - best] + best * lengths[end - 1] + overhead)
        last.append(best)
    found: list[int] = []
    end = len(lengths)
    while end:
        found.append(last[end])
        end -= last[end]
    return found[::-1]
