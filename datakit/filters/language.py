"""Rows in other languages than those asked for, by py3langid, which brings its model along.

Scores are probabilities over its 139 languages. A text with few letters, or one whose best score is low, is unsure:
such rows are kept by default, since most are short and not foreign.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from datakit.core import step as core
from datakit.core.errors import StepError
from datakit.core.step import StepContext, StepOutput
from datakit.filters.columns import View, drop_rows, view

__all__ = ["LanguageParams", "LanguageStep", "detect"]

_LOOKED_AT = 2000


class LanguageParams(core.Params):
    """Parameters of ``language``.

    Attributes:
        keep: Codes of the languages wanted, ``[en, ko]``.
        on: What is looked at, its first 2,000 characters. Rows without such a part are kept.
        min_score: A best language with a lower score is unsure.
        min_letters: A text with fewer letters is unsure.
        unsure: ``keep`` or ``drop`` rows that are.
    """

    keep: tuple[str, ...] = Field(min_length=1)
    on: View = "auto"
    min_score: float = Field(default=0.7, ge=0, le=1)
    min_letters: int = Field(default=20, ge=0)
    unsure: Literal["keep", "drop"] = "keep"

    @field_validator("keep", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def detect(text: str) -> tuple[str, float]:
    """Most likely language of a text and its probability."""
    language, score = _identifier().classify(text[:_LOOKED_AT])
    return str(language), float(score)


def _detect_all(texts: list[str]) -> list[tuple[str, float]]:
    return [detect(text) for text in texts]


class LanguageStep:
    """Drops rows in another language: ``language``; ``language_unsure`` under ``unsure: drop``."""

    name: ClassVar[str] = "language"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["row", "table"]] = "row"
    Params: ClassVar[type[core.Params]] = LanguageParams

    def __init__(self, params: LanguageParams, context: StepContext) -> None:
        if unknown := sorted(set(params.keep) - set(_identifier().labels)):
            raise StepError(f"language: no language '{unknown[0]}'", hint="Codes are such as en, ko, ja, zh, de")
        self.params = params
        self._found: Counter[str] = Counter()
        self._unsure = 0
        self._workers = context.workers

    def fingerprint(self) -> str:
        """Version of the detector, whose model comes with it."""
        import importlib.metadata

        return importlib.metadata.version("py3langid")

    def apply(self, table: pa.Table) -> StepOutput:
        """Looks at every distinct text once."""
        import numpy as np
        import pyarrow.compute as pc

        texts = view(table, self.params.on).dictionary_encode()
        letters = pc.count_substring_regex(texts.dictionary, r"\p{L}").to_numpy(zero_copy_only=False)
        found = self._workers.map_texts(_detect_all, texts.dictionary.to_pylist())
        owner = pc.fill_null(texts.indices, -1).to_numpy(zero_copy_only=False)
        reasons: dict[int, str] = {}
        for row in np.flatnonzero(owner >= 0).tolist():
            (language, score), count = found[owner[row]], letters[owner[row]]
            if count < self.params.min_letters or score < self.params.min_score:
                self._unsure += 1
                if self.params.unsure == "drop":
                    reasons[row] = "language_unsure"
                continue
            self._found[language] += 1
            if language not in self.params.keep:
                reasons[row] = "language"

        def evidence(row: int) -> dict[str, Any]:
            language, score = found[owner[row]]
            return {"language": language, "score": round(score, 3), "letters": int(letters[owner[row]])}

        return drop_rows(self.name, table, reasons, evidence)

    def notes(self) -> list[str]:
        """Rows by language, and how many were too short or mixed to tell."""
        counts = ", ".join(f"{name} {count:,}" for name, count in self._found.most_common(8))
        unsure = f"{self._unsure:,} rows too short or too mixed to tell were {self.params.unsure}"
        unsure = unsure.replace("were keep", "were kept").replace("were drop", "were dropped")
        return [f"languages: {counts or 'none sure'}", *([unsure] if self._unsure else [])]
