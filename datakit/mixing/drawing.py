"""What the steps that draw rows have in common: a seed, columns by the file's names, notes of what came out."""

from __future__ import annotations

from typing import ClassVar, Generic, Literal, Protocol, TypeVar

from datakit.core.step import StepContext

__all__ = ["DrawingStep"]


class _Seeded(Protocol):
    """Parameters with a seed."""

    @property
    def seed(self) -> int | None:
        """Another one than the recipe's."""
        ...


P = TypeVar("P", bound=_Seeded)


class DrawingStep(Generic[P]):
    """Looks at all training rows at once; its result hangs on them, the parameters and the seed alone.

    Attributes:
        params: As written in the recipe.
        seed: Its own, else the recipe's.
        mapped: Our name to the file's name of a column.
    """

    kind: ClassVar[Literal["row", "table"]] = "table"
    train_only: ClassVar[bool] = True

    def __init__(self, params: P, context: StepContext) -> None:
        self.params = params
        self.seed = context.seed_of(params.seed)
        self.mapped = context.mapped()
        self._notes: list[str] = []

    def fingerprint(self) -> str:
        """Nothing outside the parameters and the seed."""
        return ""

    def notes(self) -> list[str]:
        """What came out, for the data card."""
        return self._notes
