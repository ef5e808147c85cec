"""Answers that copy their prompt: the share of an answer's shingles that also stand in the prompt."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from datakit.core import step as core
from datakit.core.step import StepContext, StepOutput
from datakit.filters.columns import drop_rows, view
from datakit.text import normalise, shingle_sets

__all__ = ["OverlapParams", "OverlapStep", "copied_shares"]

_SPREAD = 0x9E3779B97F4A7C15


class OverlapParams(core.Params):
    """Parameters of ``overlap``.

    Attributes:
        max_share: Rows whose answer is copied to a greater share go. Extracts and summaries copy, too: raise it there.
        ngram: Words (syllables where words are not spaced) in a row that count as copied. An answer with fewer is a
            copy only if it is the whole question, since short answers and labels stand in many prompts.
    """

    max_share: float = Field(default=0.8, ge=0, le=1)
    ngram: int = Field(default=5, ge=1)


def copied_shares(prompts: list[str | None], answers: list[str | None], *, ngram: int = 5) -> Any:
    """For each pair the share of the answer's distinct shingles that the prompt has; 0 for answers of fewer units."""
    import numpy as np

    asked, given = (shingle_sets(texts, ngram=ngram) for texts in (prompts, answers))
    owners = [np.repeat(np.arange(len(sets), dtype=np.uint64), np.diff(sets.offsets)) for sets in (asked, given)]
    # Owner and shingle in one 64-bit number; two pairs fall together about once in 10^19 / n^2.
    keys = [sets.hashes ^ (owner * np.uint64(_SPREAD)) for sets, owner in zip((asked, given), owners, strict=True)]
    copied = np.isin(keys[1], keys[0])
    return np.bincount(owners[1].astype(np.int64), weights=copied, minlength=len(answers)) / np.maximum(
        np.diff(given.offsets), 1
    )


class OverlapStep:
    """Drops rows whose answer copies the prompt (``copied_prompt``) or is the whole last question."""

    name: ClassVar[str] = "overlap"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["row", "table"]] = "row"
    Params: ClassVar[type[core.Params]] = OverlapParams

    def __init__(self, params: OverlapParams, context: StepContext) -> None:
        self.params = params

    def fingerprint(self) -> str:
        """Nothing outside the parameters."""
        return ""

    def apply(self, table: pa.Table) -> StepOutput:
        """Compares every answer with the turns before it; rows without both are kept."""
        import numpy as np

        prompts, answers = view(table, "prompt").to_pylist(), view(table, "answer").to_pylist()
        shares = copied_shares(prompts, answers, ngram=self.params.ngram)
        reasons = {
            row: "copied_prompt"
            for row in np.flatnonzero(shares > self.params.max_share).tolist()
            if prompts[row] is not None and answers[row] is not None
        }
        turns = table.column("messages").to_pylist()
        for row, answer in enumerate(answers):
            asked = turns[row][-2]["content"] if answer is not None and len(turns[row]) > 1 else None
            if asked and answer and len(asked) < 2 * len(answer) + 64 and normalise(asked) == normalise(answer):
                reasons[row] = "answer_is_prompt"

        def evidence(row: int) -> dict[str, Any]:
            return {"share": round(float(shares[row]), 4), "max_share": self.params.max_share}

        return drop_rows(self.name, table, reasons, evidence)
