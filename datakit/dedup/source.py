"""Where the second phase finds what it compares: texts themselves, or signature tables in memory or in files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.text.column import TextColumn
from datakit.text.kernel import Scheme, sketch_column
from datakit.text.shingles import ShingleSets, column_sets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

__all__ = ["JoinedSource", "Source", "TableSource", "TextSource", "joined_files", "joined_sets"]


class Source(Protocol):
    """What :func:`datakit.dedup.cluster` asks."""

    num_perm: int

    def whole(self, bands: tuple[int, int]) -> tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.uint32]]:
        """Hash of each normalised text, whether there is a text, and the keys of its signature's bands."""
        ...

    def sets(self, rows: Rows) -> ShingleSets:
        """Shingle sets of some rows, given in ascending order."""
        ...

    def weights(self) -> Rows:
        """About the bytes that each row's shingle set takes."""
        ...


class TextSource:
    """Texts in memory: signatures are made and forgotten, sets are made again when a pair is to be verified.

    Per text only the keys of its bands are held, some 100 bytes, whatever its length.

    Args:
        column: The texts.
        scheme: Of the signatures.
    """

    def __init__(self, column: TextColumn, scheme: Scheme) -> None:
        self.column, self.scheme, self.num_perm = column, scheme, scheme.num_perm

    def whole(self, bands: tuple[int, int]) -> tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.uint32]]:
        """See :class:`Source`."""
        scheme = self.scheme if bands[0] else replace(self.scheme, num_perm=0)
        found = sketch_column(self.column, scheme, bands=bands)
        return found.whole, self.column.present(), found.bands

    def sets(self, rows: Rows) -> ShingleSets:
        """See :class:`Source`."""
        return column_sets(self.column, rows, ngram=self.scheme.ngram, unit=self.scheme.unit)

    def weights(self) -> Rows:
        """See :class:`Source`."""
        return 2 * self.column.lengths()


class TableSource:
    """A table of :func:`datakit.dedup.signatures`; mapped from a file it stays there.

    Args:
        table: Columns ``whole``, ``shingles``, ``signature``.
    """

    def __init__(self, table: pa.Table) -> None:
        missing = {"whole", "shingles", "signature"} - set(table.column_names)
        if missing:
            raise StepError(f"no column '{min(missing)}' in the signatures", hint="Make them with signatures()")
        self.table = table
        self.num_perm: int = table.schema.field("signature").type.list_size

    def whole(self, bands: tuple[int, int]) -> tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.uint32]]:
        """See :class:`Source`."""
        import numpy as np

        column = self.table.column("whole")
        hashes = column.fill_null(0).to_numpy().astype(np.uint64, copy=False)
        present = np.ones(len(hashes), bool) if not column.null_count else column.is_valid().to_numpy()
        return hashes, present, self._bands(bands)

    def _bands(self, bands: tuple[int, int]) -> NDArray[np.uint32]:
        import numpy as np

        from datakit.text.compiled import keys_of_bands

        keys = np.empty((self.table.num_rows if bands[0] else 0, bands[0]), dtype=np.uint32)
        row = 0
        for chunk in self.table.column("signature").chunks if bands[0] else ():
            matrix = chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), self.num_perm)
            keys_of_bands(matrix, bands[1], keys[row : row + len(chunk)])
            row += len(chunk)
        return keys

    def sets(self, rows: Rows) -> ShingleSets:
        """See :class:`Source`."""
        import numpy as np

        parts: list[ShingleSets] = []
        start = 0
        for chunk in self.table.column("shingles").chunks:
            inside = rows[(rows >= start) & (rows < start + len(chunk))] - start
            start += len(chunk)
            if len(inside):
                offsets = chunk.offsets.to_numpy().astype(np.int64)
                parts.append(ShingleSets(chunk.values.to_numpy(), offsets).take(inside))
        return joined_sets(parts)

    def weights(self) -> Rows:
        """See :class:`Source`."""
        import numpy as np

        parts = [np.diff(chunk.offsets.to_numpy()) for chunk in self.table.column("shingles").chunks]
        return 8 * (np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64))


class JoinedSource:
    """Several sources as one, their rows one after another.

    Args:
        parts: With signatures of one scheme.
    """

    def __init__(self, parts: Sequence[Source]) -> None:
        import numpy as np

        self.parts = list(parts)
        self.num_perm = self.parts[-1].num_perm
        self._starts = np.cumsum([0, *(len(part.weights()) for part in self.parts)])

    def whole(self, bands: tuple[int, int]) -> tuple[NDArray[np.uint64], NDArray[np.bool_], NDArray[np.uint32]]:
        """See :class:`Source`."""
        import numpy as np

        hashes, present, keys = zip(*(part.whole(bands) for part in self.parts), strict=True)
        return np.concatenate(hashes), np.concatenate(present), np.concatenate(keys)

    def sets(self, rows: Rows) -> ShingleSets:
        """See :class:`Source`."""
        cuts = [int(cut) for cut in rows.searchsorted(self._starts)]
        some = zip(self.parts, cuts[:-1], cuts[1:], self._starts.tolist(), strict=False)
        return joined_sets([part.sets(rows[first:end] - start) for part, first, end, start in some if end > first])

    def weights(self) -> Rows:
        """See :class:`Source`."""
        import numpy as np

        return np.concatenate([part.weights() for part in self.parts])


def joined_sets(parts: Sequence[ShingleSets]) -> ShingleSets:
    """Sets of several parts, one after another."""
    import numpy as np

    if not parts:
        return ShingleSets(np.zeros(0, np.uint64), np.zeros(1, np.int64))
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    hashes = np.concatenate([part.hashes[part.offsets[0] : part.offsets[-1]] for part in parts])
    return ShingleSets(hashes, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def joined_files(files: Sequence[Path | str]) -> pa.Table:
    """Signature files as one table that lies on disk; Parquet is unpacked into a nameless Arrow file first.

    Args:
        files: Arrow (``.arrow``, ``.feather``, ``.ipc``) or Parquet files of :func:`datakit.dedup.signatures`.

    Raises:
        StepError: A file is neither, or cannot be read.
    """
    tables = []
    for file in map(Path, files):
        try:
            tables.append(_unpacked(file) if file.suffix == ".parquet" else _mapped(file))
        except (OSError, pa.ArrowInvalid) as error:
            raise StepError(f"cannot read the signatures: {error}", where=file) from None
    if not tables:
        raise StepError("no signature file given")
    return pa.concat_tables(tables)


def _mapped(file: Path) -> pa.Table:
    return pa.ipc.open_file(pa.memory_map(str(file))).read_all()


def _unpacked(file: Path) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as reader, tempfile.NamedTemporaryFile(suffix=".arrow") as spilled:
        with pa.OSFile(spilled.name, "wb") as stream, pa.ipc.new_file(stream, reader.schema_arrow) as writer:
            for batch in reader.iter_batches(batch_size=1 << 16):
                writer.write_batch(batch)
        return _mapped(Path(spilled.name))  # the mapping outlives the name
