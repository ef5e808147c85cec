"""From what an arm says to the terms beside its loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from train.retention.kl import KlOnGeneral, KlOnTrained
from train.retention.l2 import L2ToStart
from train.retention.reference import AdapterOff, Frozen, Reference, has_switch

if TYPE_CHECKING:
    from train.config import Arm
    from train.masking import Row
    from train.retention import Rehearsal, Term

__all__ = ["retention_terms"]


def retention_terms(
    arm: Arm, model: Any, *, load: Callable[[], Any], general: Sequence[Row], seed: int
) -> tuple[list[Term], list[Rehearsal]]:
    """The terms of an arm, in no particular order: they are added. First those on the step's rows, then the others.

    Args:
        arm: With or without them.
        model: At the start, on its device.
        load: Loads the start model once more, where an adapter cannot be switched off.
        general: Rows for the divergence on general text.
        seed: Of the training.
    """
    terms: list[Term] = []
    rehearsals: list[Rehearsal] = []
    if arm.l2 is not None:
        terms.append(L2ToStart(arm.l2.weight, model))
    if arm.kl is not None:
        reference: Reference = AdapterOff() if has_switch(model) else Frozen(load().to(model.device))
        if arm.kl.source is None:
            terms.append(KlOnTrained(arm.kl.weight, reference))
        else:
            rehearsals.append(KlOnGeneral(arm.kl.weight, reference, general, size=arm.kl.rows, seed=seed))
    return terms, rehearsals
