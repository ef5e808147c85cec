"""Answers that refuse, and answers that talk about being a language model; phrases in English and Korean.

A list of phrases finds what is said in the usual words. It is checked against the beginning of the answer only, where
refusals stand, so that an answer about refusing is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field, field_validator

from datakit.core import step as core
from datakit.core.step import StepContext, StepOutput
from datakit.filters.columns import drop_rows, view

__all__ = ["PHRASES", "RefusalParams", "RefusalStep"]

_NOT = r"(can(no|')t|can not|am (not able|unable)|'m (not able|unable)|won't|will not|am not going|'m not going)"
# RE2 takes every letter that is not ASCII for \\W.
_BEGIN = r"^[^\p{L}\p{N}]*"
_NO = r"(수(는|가)? 없(습니다|어요|네요)|못합니다|어렵습니다|불가능합니다)"
_GIVE = r"(도와\s?드릴|답변\s?드릴|답변할|제공할|대답할|알려\s?드릴|도움을 드릴|응할)"
_DO = r"(to )?(help|assist|do|provide|answer|fulfil|comply|create|write|generate|offer|give|discuss|engage|support)"

PHRASES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "refusal": {
        "en": (
            rf"{_BEGIN}(i'?m |i am )?(very |so |really )?sorry\b.{{0,40}}\bi ?{_NOT}\b",
            rf"{_BEGIN}(unfortunately|i apologi[sz]e|my apologies)\b.{{0,60}}\bi ?{_NOT}\b",
            rf"{_BEGIN}i ?{_NOT}\s+(\w+\s+)?{_DO}\b",
            rf"{_BEGIN}as an? (ai|artificial|language|virtual)\b.{{0,80}}\bi( don't| do not| ?{_NOT})\b",
            rf"{_BEGIN}i must (respectfully )?decline\b",
            rf"{_BEGIN}it (would be|is) (inappropriate|unethical|not (appropriate|ethical)) (for me )?to\b",
        ),
        "ko": (
            rf"{_BEGIN}(정말 |대단히 )?(죄송|미안)(합니다|하지만|해요|하네요|스럽지만).{{0,60}}{_NO}",
            rf"{_BEGIN}.{{0,30}}{_GIVE} {_NO}",
            rf"{_BEGIN}(유감스럽게도|안타깝지만|안타깝게도).{{0,60}}{_NO}",
        ),
    },
    "boilerplate": {
        "en": (
            r"\bas an? (ai|artificial intelligence)( language)? (model|assistant)\b",
            r"\bas a (large )?language model\b",
            r"\bi('m| am) (just |only )?an? (ai|artificial intelligence|language model|virtual assistant)\b",
            r"\bmy (knowledge|training)( data)? (cut-?off|ends|only goes)\b",
        ),
        "ko": (
            r"(저는|나는)\s*(단지 )?(인공지능|AI|언어\s?모델|대규모 언어)",
            r"(인공지능|AI)\s*(언어\s?)?(모델|비서|어시스턴트)(로서|이기 때문에|이므로|이라서|라서)",
            r"언어\s?모델(로서|이기 때문에|이므로)",
        ),
    },
}
"""Kind and language to regular expressions (RE2, case-insensitive)."""

_START = 300


class RefusalParams(core.Params):
    """Parameters of ``refusals``.

    Attributes:
        kinds: ``refusal``, ``boilerplate`` or both.
        languages: Of the phrases.
        phrases: Further regular expressions, reported as ``phrase``.
    """

    kinds: tuple[Literal["refusal", "boilerplate"], ...] = Field(default=("refusal", "boilerplate"))
    languages: tuple[Literal["en", "ko"], ...] = Field(default=("en", "ko"))
    phrases: tuple[str, ...] = ()

    @field_validator("phrases")
    @classmethod
    def _compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        import pyarrow.compute as pc

        for phrase in value:
            try:
                pc.match_substring_regex(pa.array([""]), phrase)
            except pa.ArrowInvalid as error:
                raise ValueError(f"'{phrase}' is no regular expression: {error}") from None
        return value


class RefusalStep:
    """Drops rows whose answer, in its first 300 characters, refuses (``refusal``) or talks about itself."""

    name: ClassVar[str] = "refusals"
    version: ClassVar[int] = 1
    kind: ClassVar[Literal["row", "table"]] = "row"
    Params: ClassVar[type[core.Params]] = RefusalParams

    def __init__(self, params: RefusalParams, context: StepContext) -> None:
        self.params = params
        self._patterns: list[tuple[str, str, str]] = [
            (kind, f"{kind}.{language}.{k}", pattern)
            for kind in params.kinds
            for language in params.languages
            for k, pattern in enumerate(PHRASES[kind][language])
        ]
        self._patterns += [("phrase", f"phrase.{k}", pattern) for k, pattern in enumerate(params.phrases)]

    def fingerprint(self) -> str:
        """The phrases."""
        from datakit.core.hashing import json_digest

        return json_digest(self._patterns)

    def apply(self, table: pa.Table) -> StepOutput:
        """Tries every phrase on the column of answers; rows without an answer are kept."""
        import numpy as np
        import pyarrow.compute as pc

        starts = pc.utf8_slice_codeunits(pc.fill_null(view(table, "answer"), ""), 0, _START)
        starts = pc.replace_substring_regex(pc.replace_substring(starts, "’", "'"), r"\s+", " ")
        reasons: dict[int, str] = {}
        found: dict[int, str] = {}
        for reason, name, pattern in self._patterns:
            hits = pc.match_substring_regex(starts, pattern, ignore_case=True).to_numpy(zero_copy_only=False)
            for row in np.flatnonzero(hits).tolist():
                reasons.setdefault(row, reason)
                found.setdefault(row, name)

        def evidence(row: int) -> dict[str, Any]:
            return {"pattern": found[row]}

        return drop_rows(self.name, table, reasons, evidence)
