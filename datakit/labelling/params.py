"""What a recipe may write under ``label``, and what cannot go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from datakit.core.step import Params
from datakit.labelling.aggregate import Method
from datakit.labelling.calibrate import Method as Calibration
from datakit.labelling.job import Below
from datakit.labelling.models import ModelSpec

__all__ = ["LabelParams"]


class LabelParams(Params):
    """Parameters of ``label``.

    Attributes:
        use: A labeller of the library, or a file beside the recipe.
        models: Who is asked; see :class:`ModelSpec`.
        aggregate: How votes become a label.
        calibrate: How confidences are calibrated on the gold sample.
        min_confidence: Rows below do not go on.
        below: ``drop`` them, hold them back for ``review``, or ``keep`` them with their label.
        gold: Column, or a CSV file with ``id`` and ``human``: what people said, to measure and calibrate by.
        existing: Rows that have a label: ``fill`` leaves them alone, ``replace`` labels them again, ``check`` labels
            them to find the ones in doubt, and changes nothing.
        budget: Money for this step in this run folder, over all its builds.
        prices: A price table beside the recipe.
        redact: Hide personal data from servers.
        languages: Of the texts, for that.
        language: Of a labeller that is named without one.
    """

    # An error message of pydantic would repeat the value, and that may be a key put in the wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    use: str
    models: tuple[ModelSpec, ...] = Field(min_length=1)
    aggregate: Method = "majority"
    calibrate: Calibration = "auto"
    min_confidence: float | None = Field(default=None, ge=0, le=1)
    below: Below = "drop"
    gold: str | None = None
    existing: Literal["fill", "replace", "check"] = "fill"
    budget: float | None = Field(default=None, gt=0)
    prices: str | None = None
    redact: bool = True
    languages: tuple[str, ...] | None = Field(default=None, min_length=1)
    language: Literal["en", "ko"] = "en"

    @field_validator("models", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        several = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        return [{"model": one} if isinstance(one, str) else one for one in several]

    @model_validator(mode="after")
    def _goes_together(self) -> LabelParams:
        if self.below == "review" and self.min_confidence is None:
            raise ValueError("below: review needs min_confidence: which rows shall people see?")
        return self
