"""Texts as the kernels read them: UTF-8 bytes and offsets, taken from Arrow without a copy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa

from datakit.core.errors import StepError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Piece", "TextColumn", "Texts"]

Texts: TypeAlias = Sequence[str | None] | pa.Array | pa.ChunkedArray


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk of a column.

    Attributes:
        start: Number of its first text in the column.
        data: UTF-8 bytes.
        offsets: Text ``i`` is ``data[offsets[i]:offsets[i + 1]]``; one more entry than texts.
        present: False where a text is missing; None where none is.
    """

    start: int
    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    present: NDArray[np.bool_] | None = None
    _is_ascii: list[bool] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def is_ascii(self) -> bool:
        """Whether no byte of its texts is above 127; a slice is judged by its own part of the bytes."""
        import numpy as np

        if not self._is_ascii:
            inside = self.data[self.offsets[0] : self.offsets[-1]]
            self._is_ascii.append(not len(inside) or int(inside.view(np.int8).min()) >= 0)
        return self._is_ascii[0]

    def text(self, index: int) -> str:
        """One text; surrogates that a list brought along come back."""
        return bytes(self.data[self.offsets[index] : self.offsets[index + 1]]).decode("utf-8", "surrogatepass")


class TextColumn:
    """A list of strings, or an Arrow array, chunked or not (string, large_string, string_view, dictionary); None in it.

    Args:
        texts: A list is encoded once, lone surrogates included (Arrow's own strings cannot hold any); Arrow's buffers
            are read where they lie.

    Raises:
        StepError: Something in it is neither a string nor None.
    """

    def __init__(self, texts: Texts) -> None:
        if isinstance(texts, pa.ChunkedArray):
            self.pieces = list(_numbered([_arrow_piece(chunk) for chunk in texts.chunks if len(chunk)]))
        elif isinstance(texts, pa.Array):
            self.pieces = [_arrow_piece(texts)] if len(texts) else []
        else:
            self.pieces = [_list_piece(texts)] if len(texts) else []
        self._length = sum(map(len, self.pieces))

    def __len__(self) -> int:
        return self._length

    def present(self) -> NDArray[np.bool_]:
        """Whether each text is there."""
        import numpy as np

        parts = [np.ones(len(p), bool) if p.present is None else p.present for p in self.pieces]
        return np.concatenate(parts) if parts else np.zeros(0, bool)

    def strings(self, rows: NDArray[np.int64]) -> list[str]:
        """Some texts as Python strings, in the order given."""
        import numpy as np

        starts = np.array([piece.start for piece in self.pieces], dtype=np.int64)
        places = np.searchsorted(starts, rows, side="right") - 1
        pieces = self.pieces
        return [
            pieces[place].text(row - pieces[place].start)
            for place, row in zip(places.tolist(), rows.tolist(), strict=True)
        ]

    def lengths(self) -> NDArray[np.int64]:
        """Size of each text in bytes; 0 where missing."""
        import numpy as np

        parts = [np.diff(piece.offsets) for piece in self.pieces]
        found = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        return np.where(self.present(), found, 0)

    def characters(self) -> NDArray[np.int64]:
        """Code points of each text: bytes that do not continue one; 0 where missing."""
        import numpy as np

        parts = [np.zeros(0, dtype=np.int64)]
        for piece in self.pieces:
            for first in range(0, len(piece), 1024):
                offsets = piece.offsets[first : first + 1025]
                inside = piece.data[offsets[0] : offsets[-1]].view(np.int8)
                before = np.zeros(len(inside) + 1, dtype=np.int64)
                np.cumsum(inside >= -64, out=before[1:])
                parts.append(np.diff(before[offsets - offsets[0]]))
        return np.where(self.present(), np.concatenate(parts), 0)


def _numbered(pieces: Sequence[Piece]) -> Iterator[Piece]:
    start = 0
    for piece in pieces:
        yield Piece(start, piece.data, piece.offsets, piece.present)
        start += len(piece)


def _arrow_piece(array: pa.Array) -> Piece:
    import numpy as np

    kind = array.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        if value not in (pa.null(), pa.string_view(), pa.string(), pa.large_string()):
            raise StepError(f"texts are strings, not '{kind}'", hint="Give a string column, or cast it")
        array = array.cast(pa.large_string())
    width = np.int64 if pa.types.is_large_string(array.type) else np.int32
    _, offsets, data = array.buffers()
    count = len(array)
    if offsets is None or not offsets.size:
        places = np.zeros(count + 1, dtype=np.int64)
    else:
        places = np.frombuffer(offsets, dtype=width)[array.offset : array.offset + count + 1].astype(np.int64)
    content = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, dtype=np.uint8)
    present = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), dtype=bool) if array.null_count else None
    return Piece(0, content, places, present)


def _list_piece(texts: Sequence[str | None]) -> Piece:
    import numpy as np

    for index, text in enumerate(texts):
        if text is not None and not isinstance(text, str):
            raise StepError(f"a text must be a string or None, not {type(text).__name__}", where=f"texts[{index}]")
    try:
        return _arrow_piece(pa.array(texts, type=pa.large_string()))
    except UnicodeEncodeError:
        encoded = [b"" if text is None else text.encode("utf-8", "surrogatepass") for text in texts]
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    present = np.array([text is not None for text in texts], dtype=bool)
    return Piece(0, np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets, None if present.all() else present)
