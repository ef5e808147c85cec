"""From what an arm says to the terms beside its loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from train.retention.kl import KlOnGeneral, KlOnTrained
from train.retention.l2 import L2ToStart
from train.retention.reference import AdapterOff, Frozen, Reference, has_switch

if TYPE_CHECKING:
    from train.config import Arm
    from train.masking import Row
    from train.retention import Pull, Rehearsal, Term

__all__ = ["Terms", "retention_terms"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What is added to the loss, in no particular order.

    Attributes:
        terms: On the rows of every batch.
        rehearsals: On rows of their own.
        pulls: On the weights alone.
    """

    terms: Sequence[Term] = ()
    rehearsals: Sequence[Rehearsal] = ()
    pulls: Sequence[Pull] = ()


def retention_terms(arm: Arm, model: Any, *, load: Callable[[], Any], general: Sequence[Row], seed: int) -> Terms:
    """The terms of an arm.

    Args:
        arm: With or without them.
        model: At the start, on its device; sharded, if it will be.
        load: Loads the start model once more, where an adapter cannot be switched off.
        general: Rows for the divergence on general text.
        seed: Of the training.
    """
    pulls = [] if arm.l2 is None else [L2ToStart(arm.l2.weight, model)]
    if arm.kl is None:
        return Terms(pulls=pulls)
    reference: Reference = AdapterOff() if has_switch(model) else Frozen(load().to(model.device))
    if arm.kl.source is None:
        return Terms([KlOnTrained(arm.kl.weight, reference)], pulls=pulls)
    return Terms([], [KlOnGeneral(arm.kl.weight, reference, general, size=arm.kl.rows, seed=seed)], pulls)
