"""Where the second phase finds what it compares: texts themselves, or signature tables in memory or in files."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from datakit.core.errors import StepError
from datakit.text.column import TextColumn
from datakit.text.kernel import Scheme, sketch_column
from datakit.text.shingles import ShingleSets, column_sets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.int64]

__all__ = ["Source", "TableSource", "TextSource", "joined_files"]


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
        found = sketch_column(self.column, self.scheme, bands=bands)
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


def joined_sets(parts: Sequence[ShingleSets]) -> ShingleSets:
    """Sets of several parts, one after another."""
    import numpy as np

    if not parts:
        return ShingleSets(np.zeros(0, np.uint64), np.zeros(1, np.int64))
    sizes = np.concatenate([np.diff(part.offsets) for part in parts])
    hashes = np.concatenate([part.hashes[part.offsets[0] : part.offsets[-1]] for part in parts])
    return ShingleSets(hashes, np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))


def joined_files(files: Sequence[Path | str]) -> tuple[pa.Table, Any]:
    """Signature files as one table that lies on disk; Parquet is unpacked into a temporary Arrow file first.

    Args:
        files: Arrow (``.arrow``, ``.feather``, ``.ipc``) or Parquet files of :func:`datakit.dedup.signatures`.

    Returns:
        The table, and what must live as long as it (temporary files).

    Raises:
        StepError: A file is neither, or cannot be read.
    """
    import pyarrow.ipc

    tables, kept = [], []
    for file in map(Path, files):
        try:
            if file.suffix == ".parquet":
                spilled = tempfile.NamedTemporaryFile(suffix=".arrow")  # noqa: SIM115  (lives as long as the table)
                kept.append(spilled)
                _spill(file, spilled)
                path = Path(spilled.name)
            else:
                path = file
            tables.append(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
        except (OSError, pa.ArrowInvalid) as error:
            raise StepError(f"cannot read the signatures: {error}", where=file) from None
    if not tables:
        raise StepError("no signature file given")
    return pa.concat_tables(tables), kept


def _spill(file: Path, to: IO[bytes]) -> None:
    import pyarrow.parquet

    reader = pa.parquet.ParquetFile(file)
    with pa.ipc.new_file(pa.OSFile(to.name, "wb"), reader.schema_arrow) as writer:
        for batch in reader.iter_batches(batch_size=1 << 16):
            writer.write_batch(batch)
