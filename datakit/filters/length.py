"""Rows that are too short or too long, in characters, words or a model's tokens."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import pyarrow as pa
from pydantic import Field, model_validator

from datakit.core import step as core
from datakit.core.step import StepContext, StepOutput
from datakit.filters.columns import View, drop_rows, view
from datakit.filters.tokens import Tokenizer

__all__ = ["LengthParams", "LengthStep"]

_UNITS = ("chars", "words", "tokens")
_WORD = r"[^\s\p{Z}]+"


class LengthParams(core.Params):
    """Parameters of ``length``; a bound that is not given does not hold.

    Attributes:
        on: What is measured. Rows without such a part are kept.
        min_chars, max_chars: In code points.
        min_words, max_words: In runs without whitespace; in scripts that do not space words use characters.
        min_tokens, max_tokens: In tokens of ``tokenizer``, special tokens left out.
        tokenizer: A model folder, a ``tokenizer.json``, a Hub name, or ``pocket``.
    """

    on: View = "auto"
    min_chars: int | None = Field(default=None, ge=0)
    max_chars: int | None = Field(default=None, ge=0)
    min_words: int | None = Field(default=None, ge=0)
    max_words: int | None = Field(default=None, ge=0)
    min_tokens: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=0)
    tokenizer: str | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> LengthParams:
        bounds = {unit: (getattr(self, f"min_{unit}"), getattr(self, f"max_{unit}")) for unit in _UNITS}
        if all(bound is None for pair in bounds.values() for bound in pair):
            raise ValueError("give at least one bound, such as min_chars: 20")
        for unit, (low, high) in bounds.items():
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{unit} is greater than max_{unit}")
        if any(bound is not None for bound in bounds["tokens"]) != (self.tokenizer is not None):
            raise ValueError("min_tokens or max_tokens go together with tokenizer")
        return self


class _Bound(NamedTuple):
    unit: str
    counts: Any
    key: str
    value: int


class LengthStep:
    """Drops rows out of bounds: ``too_short``, ``too_long``; the evidence holds measured length and bound."""

    name: ClassVar[str] = "length"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["row", "table"]] = "row"
    Params: ClassVar[type[core.Params]] = LengthParams

    def __init__(self, params: LengthParams, context: StepContext) -> None:
        self.params = params
        self._tokenizer = Tokenizer(params.tokenizer, context) if params.tokenizer is not None else None

    def fingerprint(self) -> str:
        """Hash of the tokenizer."""
        return self._tokenizer.fingerprint() if self._tokenizer else ""

    def apply(self, table: pa.Table) -> StepOutput:
        """Measures and drops."""
        import numpy as np

        texts = view(table, self.params.on)
        there = np.asarray(texts.is_valid())
        reasons: dict[int, str] = {}
        broken: dict[int, _Bound] = {}
        for bound in self._bounds(texts):
            low = bound.key.startswith("min")
            out = there & (bound.counts < bound.value if low else bound.counts > bound.value)
            for row in np.flatnonzero(out).tolist():
                if row not in reasons:
                    reasons[row], broken[row] = "too_short" if low else "too_long", bound

        def evidence(row: int) -> dict[str, int]:
            bound = broken[row]
            return {bound.unit: int(bound.counts[row]), bound.key: bound.value}

        return drop_rows(self.name, table, reasons, evidence)

    def _bounds(self, texts: pa.Array) -> list[_Bound]:
        found = []
        for unit in _UNITS:
            keys = [key for key in (f"min_{unit}", f"max_{unit}") if getattr(self.params, key) is not None]
            counts = self._count(unit, texts) if keys else None
            found += [_Bound(unit, counts, key, getattr(self.params, key)) for key in keys]
        return found

    def _count(self, unit: str, texts: pa.Array) -> Any:
        import numpy as np
        import pyarrow.compute as pc

        if unit == "tokens" and self._tokenizer is not None:
            return np.array([count or 0 for count in self._tokenizer.counts(texts.to_pylist())], dtype=np.int64)
        counts = pc.utf8_length(texts) if unit == "chars" else pc.count_substring_regex(texts, _WORD)
        return pc.fill_null(counts, 0).to_numpy(zero_copy_only=False)
