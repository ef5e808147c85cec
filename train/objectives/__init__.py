"""What is learnt from a row: one file per objective, one shared loop, a registry of names.

An objective turns the dataset into rows, rows into batches, and a batch into a loss. The loss is a sum; the loop
divides it by the summed ``weight`` of all rows of a step, so that accumulating batches equals one large batch.

Defaults and why: the last answer alone, because earlier ones are often another model's; ``beta`` .1 as in the papers
of DPO (arXiv 2305.18290) and, for the weight of the odds ratio, ORPO (arXiv 2403.07691); 15 % of the tokens masked as
in BERT (arXiv 1810.04805).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

from datakit.core.checkpoint import Architecture
from datakit.core.hashing import digest
from datakit.core.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa
    import torch

    from train.config import Arm
    from train.data import Encoded
    from train.encoder import Encoder
    from train.masking import Row

__all__ = [
    "OBJECTIVES",
    "Drawing",
    "Loss",
    "Measuring",
    "Objective",
    "Referring",
    "Sample",
    "objective_named",
    "objective_of",
    "parts",
    "validation_rows",
]

OBJECTIVES = Registry(
    "train.objectives",
    {
        "dpo": "train.objectives.dpo:Dpo",
        "mlm": "train.objectives.mlm:Mlm",
        "orpo": "train.objectives.orpo:Orpo",
        "reward": "train.objectives.reward:Reward",
        "sft": "train.objectives.sft:Sft",
        "text": "train.objectives.text:Text",
    },
)


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
    """A kind of objective. It may have ``starts_at``: what the loss per row must be before the first step.

    Attributes:
        architecture: What is loaded: a ``causal`` language model, a ``masked`` one, or a ``reward`` model.
        columns: Columns of the dataset that it reads.
        answers: Whether its rows are answers, which have to end as a turn ends; otherwise they are plain text.
        rows: What a row is: ``tokens``, each trained by itself (:class:`train.masking.Row`), so that rows of general
            text may be mixed in and tokens left out; or ``pairs`` of answers, or ``masked`` text.
        options: Settings of an arm that its class takes by name, with their defaults.
    """

    architecture: ClassVar[Architecture]
    columns: ClassVar[tuple[str, ...]]
    answers: ClassVar[bool]
    rows: ClassVar[Literal["tokens", "pairs", "masked"]]
    options: ClassVar[Mapping[str, Any]]

    def encode(self, table: pa.Table, encoder: Encoder) -> Encoded:
        """The rows of a table. Raises TrainError naming the row that cannot be trained on."""
        ...

    def collate(self, rows: Sequence[Any], *, pad: int) -> Any:
        """Rows side by side, with ``to(device)`` and ``weight``: the sum of the rows' weights."""
        ...

    def loss(self, model: Any, batch: Any) -> Loss:
        """The summed loss of a batch on the model's device."""
        ...


@runtime_checkable
class Referring(Protocol):
    """An objective that asks the start model before the first step, and keeps what it said with the rows."""

    def refer(self, model: Any, rows: Sequence[Any], *, batch_size: int, pad: int) -> list[Any]:
        """The rows with what the model, in evaluation mode, says of them."""
        ...


@runtime_checkable
class Measuring(Protocol):
    """An objective that has more to say of the validation split than its loss."""

    def measure(self, model: Any, batches: Sequence[Any]) -> Mapping[str, float]:
        """Named figures, from a model in evaluation mode."""
        ...


@runtime_checkable
class Drawing(Protocol):
    """An objective that draws something anew each time a row comes."""

    def draw(self, row: Any, source: random.Random) -> Any:
        """The row as it is trained this time, its weight known."""
        ...


def objective_named(name: str) -> Objective:
    """The objective of that name with its default settings."""
    objective: Objective = OBJECTIVES.load(name)()
    return objective


def objective_of(arm: Arm) -> Objective:
    """The objective of an arm with the arm's settings."""
    made = OBJECTIVES.load(arm.objective)
    objective: Objective = made(**{name: getattr(arm, name) for name in made.options})
    return objective


def parts(rows: Iterable[Any]) -> list[Row]:
    """Single sequences: those of every pair one after another, and rows as they are."""
    return [part for row in rows for part in (row.sequences if hasattr(row, "sequences") else (row,))]


def validation_rows(objective: Objective, rows: Sequence[Any]) -> list[Any]:
    """Rows to validate on; what is drawn is drawn once, so that every validation sees the same."""
    if not isinstance(objective, Drawing):
        return list(rows)
    return [objective.draw(row, random.Random(digest("validation", row.id))) for row in rows]
