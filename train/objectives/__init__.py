"""What is learnt from a row: one file per objective, one shared loop, a registry of names.

An objective turns the dataset into rows, rows into batches, and a batch into a loss. The loss is a sum; the loop
divides it by the summed ``weight`` of all rows of a step, so that accumulating batches equals one large batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from datakit.core.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    import torch

    from train.data import Encoded
    from train.encoder import Encoder

__all__ = ["OBJECTIVES", "Loss", "Objective", "Sample", "objective_named"]

OBJECTIVES = Registry("train.objectives", {"sft": "train.objectives.sft:Sft"})


class Sample(Protocol):
    """One encoded row, whatever the objective."""

    @property
    def id(self) -> str:
        """The example's id."""
        ...

    @property
    def weight(self) -> float:
        """Its part of what the summed loss of a step is divided by: trained tokens, or 1 per pair."""
        ...

    @property
    def trained_tokens(self) -> int:
        """Tokens it trains."""
        ...

    @property
    def truncated(self) -> bool:
        """Its end was cut off at the longest length."""
        ...

    def __len__(self) -> int:
        """Tokens that go through the model."""
        ...


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of one batch.

    Attributes:
        total: Sum over the batch, a float32 scalar with a gradient.
        logits: (trained tokens, vocabulary), where they were computed whole; a retention term may use them again.
    """

    total: torch.Tensor
    logits: torch.Tensor | None = None


class Objective(Protocol):
    """A kind of objective.

    Attributes:
        architecture: What is loaded: a ``causal`` language model, or a ``masked`` one.
        columns: Columns of the dataset that it reads.
    """

    architecture: ClassVar[Literal["causal", "masked"]]
    columns: ClassVar[tuple[str, ...]]

    def encode(self, table: pa.Table, encoder: Encoder) -> Encoded:
        """The rows of a table. Raises TrainError naming the row that cannot be trained on."""
        ...

    def collate(self, rows: Sequence[Any], *, pad: int) -> Any:
        """Rows side by side, with ``to(device)`` and ``weight``: the sum of the rows' weights."""
        ...

    def loss(self, model: Any, batch: Any) -> Loss:
        """The summed loss of a batch on the model's device."""
        ...


def objective_named(name: str) -> Objective:
    """The objective of that name."""
    objective: Objective = OBJECTIVES.load(name)()
    return objective
