"""What an arm says about keeping what the model knew."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["L2", "SELF", "Kl", "Replay", "TokenMask"]

SELF = "self"

Above = Annotated[float, Field(gt=0)]


class Replay(BaseModel):
    """General data mixed into training so that the model keeps what it knew.

    Attributes:
        source: Name of the source, ``from`` in a recipe; ``self`` is what the start model says by itself.
        share: Share of the rows of every epoch that are replayed; 1-5 % already shields (docs/retention.md).
        prompts: Of ``self``: source of prompts that the start model answers; without it, it begins with nothing.
        rows: Of ``self``: so many texts are generated; 200.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    source: str = Field(alias="from", min_length=1)
    share: float = Field(default=0.05, gt=0, lt=1)
    prompts: str | None = Field(default=None, min_length=1)
    rows: int | None = Field(default=None, ge=1)


class Kl(BaseModel):
    """Forward KL divergence from the start model, per token.

    Attributes:
        weight: A nat of divergence per token costs as much as this many nats of loss.
        source: Name of a source of general rows, ``from`` in a recipe, on whose tokens it is taken; without it the
            trained tokens themselves.
        rows: So many general rows are drawn for every step; 4.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    weight: Above = 1.0
    source: str | None = Field(default=None, alias="from", min_length=1)
    rows: int = Field(default=4, ge=1)


class L2(BaseModel):
    """Squared distance of the weights from the start.

    Attributes:
        weight: Of half the squared distance, beside the mean loss per token.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: Above


class TokenMask(BaseModel):
    """Tokens that surprise the start model most are not trained.

    Attributes:
        quantile: Share that stays of the trained tokens that do not end an answer; the least likely rest is left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantile: float = Field(default=0.9, gt=0, lt=1)
