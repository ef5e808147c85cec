"""Long texts in pieces of so many tokens that overlap: rows for self-supervised training or for a short context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal, NamedTuple

import pyarrow as pa
from pydantic import Field, model_validator

from datakit.core import step as core
from datakit.core.example import derived_id
from datakit.core.step import StepContext, StepOutput, entry, ledger_table
from datakit.filters.tokens import Tokenizer

__all__ = ["Chunk", "ChunkParams", "ChunkStep", "chunks"]


class ChunkParams(core.Params):
    """Parameters of ``chunk``.

    Attributes:
        tokens: Most tokens of a piece, special tokens left out.
        overlap: Tokens at the beginning of a piece that also end the one before.
        tokenizer: A model folder, a ``tokenizer.json``, a Hub name, or ``pocket``.
        whole_words: Pieces begin and end between words, where a word is shorter than half a piece.
    """

    tokens: int = Field(ge=4)
    overlap: int = Field(default=0, ge=0)
    tokenizer: str
    whole_words: bool = True

    @model_validator(mode="after")
    def _less_than_half(self) -> ChunkParams:
        if 2 * self.overlap > self.tokens:
            raise ValueError("overlap is at most half of tokens")
        return self


class Chunk(NamedTuple):
    """A piece ``text[start:end]`` and its tokens."""

    start: int
    end: int
    tokens: int


def chunks(text: str, tokenizer: Tokenizer, params: ChunkParams) -> list[Chunk]:
    """The pieces of a text, in order; together they cover it, and none has more tokens than asked for.

    A piece is encoded once more by itself, since a tokenizer may cut it differently there, and gets shorter until it
    fits. A text that fits is one piece.
    """
    offsets = tokenizer.offsets(text)
    if len(offsets) <= params.tokens:
        return [Chunk(0, len(text), len(offsets))]
    return list(_pieces(text, offsets, tokenizer, params))


def _pieces(text: str, offsets: list[tuple[int, int]], tokenizer: Tokenizer, params: ChunkParams) -> Iterator[Chunk]:
    start, first, reached = 0, 0, 0
    while start < len(text):
        last = min(first + params.tokens, len(offsets))
        while True:
            end = len(text) if last == len(offsets) else offsets[last - 1][1]
            if last < len(offsets) and params.whole_words:
                end = _word_end(text, start, end)
            count = len(tokenizer.offsets(text[start:end]))
            if count <= params.tokens or last <= first + 1:
                break
            last -= max(count - params.tokens, 1)
            last = max(last, first + 1)
        if end <= reached:  # the overlap alone fills the piece
            start = reached
            first = next((k for k in range(first, len(offsets)) if offsets[k][1] > start), len(offsets))
            continue
        yield Chunk(start, end, count)
        if end >= len(text):
            return
        reached = end
        behind = next((k for k in range(first, len(offsets)) if offsets[k][0] >= end), len(offsets))
        back = max(behind - params.overlap, first + 1)
        while back < behind and offsets[back][0] < offsets[back - 1][1]:  # inside a character of several tokens
            back += 1
        following = end if not params.overlap or back >= len(offsets) else offsets[back][0]
        if params.overlap and params.whole_words:
            following = _word_start(text, following, end)
        start = following if start < following <= end else end
        first = next((k for k in range(first, len(offsets)) if offsets[k][1] > start), len(offsets))


def _word_end(text: str, start: int, end: int) -> int:
    """The place behind the last whitespace in the second half of a piece, or its end."""
    for place in range(end, start + (end - start) // 2, -1):
        if text[place - 1].isspace():
            return place
    return end


def _word_start(text: str, place: int, end: int) -> int:
    """The first place from here on that begins a word; none before the end is the place itself."""
    for candidate in range(place, end):
        if candidate == 0 or text[candidate - 1].isspace():
            return candidate
    return place


class ChunkStep:
    """Cuts long texts. The first piece keeps the row's id; further ones are new rows of the same group.

    Rows with a conversation are left alone: their answer belongs to their question.
    """

    name: ClassVar[str] = "chunk"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["row", "table"]] = "row"
    Params: ClassVar[type[core.Params]] = ChunkParams

    def __init__(self, params: ChunkParams, context: StepContext) -> None:
        self.params = params
        self._tokenizer = Tokenizer(params.tokenizer, context)

    def fingerprint(self) -> str:
        """Hash of the tokenizer."""
        return self._tokenizer.fingerprint()

    def apply(self, table: pa.Table) -> StepOutput:
        """Cuts every text that has too many tokens; the evidence of each piece says where it stands."""
        names = ("id", "parent", "text", "messages")
        ids, parents, texts, messages = (table.column(name).to_pylist() for name in names)
        counts = self._tokenizer.counts(texts)
        rows: list[int] = []
        made: dict[str, list[Any]] = {"id": [], "parent": [], "text": []}
        ledger: list[dict[str, Any]] = []
        for row, (id, text) in enumerate(zip(ids, texts, strict=True)):
            long = text is not None and messages[row] is None and (counts[row] or 0) > self.params.tokens
            found = chunks(text, self._tokenizer, self.params) if long else [None]
            for k, chunk in enumerate(found):
                rows.append(row)
                made["id"].append(derived_id(id, self.name, k) if k else id)
                made["parent"].append(id if k else parents[row])
                made["text"].append(text if chunk is None else text[chunk.start : chunk.end])
                if chunk is not None:
                    action: core.Action = "created" if k else "changed"
                    parent = id if k else None
                    said = {**chunk._asdict(), "of": len(found)}
                    ledger.append(entry(self.name, made["id"][-1], action, "chunked", parent=parent, evidence=said))
        taken = table.take(pa.array(rows, pa.int64()))
        for name, values in made.items():
            place = taken.schema.get_field_index(name)
            taken = taken.set_column(place, name, pa.array(values, pa.string()))
        return StepOutput(taken, ledger_table(ledger))
