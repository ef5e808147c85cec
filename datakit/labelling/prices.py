"""What a call costs: a table the user can edit, the price of tokens, and how many tokens a text may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datakit.core.errors import RecipeError
from datakit.core.yaml import load_yaml

__all__ = ["Price", "PriceTable", "estimated_tokens", "read_prices"]

_SHIPPED = Path(__file__).with_name("prices.yaml")


class Price(BaseModel):
    """Money per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: float = Field(ge=0)
    output: float = Field(ge=0)

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """Money for so many tokens."""
        return (tokens_in * self.input + tokens_out * self.output) / 1e6


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(default=1, ge=1, le=1)
    currency: str = "USD"
    models: dict[str, Price]


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Model name, or a pattern of names, to price; the first that fits counts."""

    models: Mapping[str, Price]
    currency: str

    def find(self, model: str) -> Price | None:
        """The price of a model; None where the table has none."""
        return next((price for name, price in self.models.items() if fnmatchcase(model, name)), None)


def read_prices(path: Path | None = None) -> PriceTable:
    """The shipped table, with a user's own in front of it.

    Raises:
        RecipeError: A file that is no price table; with the line.
    """
    own, shipped = (_read(path) if path is not None else None), _read(_SHIPPED)
    if own is None:
        return PriceTable(shipped.models, shipped.currency)
    return PriceTable({**own.models, **{k: v for k, v in shipped.models.items() if k not in own.models}}, own.currency)


def _read(path: Path) -> _File:
    document = load_yaml(path)
    try:
        return _File.model_validate(document.value)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(
            first["msg"],
            where=document.where(list(first["loc"])),
            hint="A price table is: models: {NAME: {input: 0.1, output: 0.4}}, money per million tokens",
        ) from None


def estimated_tokens(text: str) -> int:
    """About how many tokens a text is: four letters of ASCII each, other scripts nearly one a character."""
    plain = sum(char < "\x80" for char in text)
    return math.ceil(plain / 4 + (len(text) - plain) * 0.9)
