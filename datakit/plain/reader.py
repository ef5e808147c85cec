"""Batches of all files of a call, one after another, and what becomes of rows that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from datakit.core.errors import SourceError
from datakit.core.step import Step
from datakit.plain.changes import has_doubled_key
from datakit.plain.files import PlainFile
from datakit.plain.records import Batch, Record
from datakit.sources import BadRow

__all__ = ["Reader", "column_names"]


class Reader:
    """Reads batches, takes the shard's rows and says what is wrong with unreadable ones.

    Args:
        skip: Unreadable rows are told of instead of ending the run.
        shard: (i, n): every n-th row from the i-th.
        rewrites: Rows will be rewritten, so nothing in them may be hidden.
        progress: Called with the number of rows read so far.
    """

    def __init__(
        self,
        *,
        skip: bool = False,
        shard: tuple[int, int] | None = None,
        rewrites: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self.skip, self.shard, self.rewrites, self.progress = skip, shard, rewrites, progress

    def batches(self, files: Sequence[PlainFile]) -> Iterator[tuple[PlainFile, Batch]]:
        """All batches with their files; a file without rows comes with an empty one."""
        number = 0
        for file in files:
            empty = True
            for batch in file.batches(number):
                number += len(batch.records)
                empty = False
                if self.progress is not None:
                    self.progress(number)
                yield file, self._mine(batch)
            if empty:
                yield file, Batch([], None)

    def _mine(self, batch: Batch) -> Batch:
        if self.shard is None:
            return batch
        import pyarrow as pa

        one, many = self.shard
        rows = [index for index, record in enumerate(batch.records) if record.number % many == one - 1]
        arrow = None if batch.arrow is None else batch.arrow.take(pa.array(rows, pa.int64()))
        return Batch([batch.records[row] for row in rows], arrow)

    def bad(self, file: PlainFile, record: Record) -> BadRow | None:
        """What is wrong with a row.

        Raises:
            SourceError: Something is, and bad rows are not to be skipped.
        """
        found = record.value if isinstance(record.value, BadRow) else None
        if found is None and self.rewrites and file.format in ("jsonl", "json"):
            text = record.raw.decode(file.spec.encoding, "replace").lstrip("\ufeff")
            if has_doubled_key(text):
                found = BadRow("doubled_key", "a key stands twice in an object; the first could not be looked into")
        if found is not None and not self.skip:
            raise SourceError(found.message, where=record.origin, hint="Mend the row, or set it aside: --skip-bad-rows")
        return found


def column_names(step: Step) -> Iterator[str]:
    """All texts among a step's parameters: the columns it needs are among them."""
    params = getattr(step, "params", None)
    for value in () if params is None else params.model_dump().values():
        if isinstance(value, str):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, str))
