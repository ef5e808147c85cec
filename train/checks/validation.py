"""Whether there is a validation loss, and of which rows: a choice that hangs on it is refused where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from train.checks import Finding
from train.errors import TrainError

if TYPE_CHECKING:
    from train.config import Arm
    from train.prepare import Prepared

__all__ = ["check_validation"]


def check_validation(arm: Arm, ready: Prepared, *, chooses: str | None = None) -> Finding | None:
    """Looks at the validation rows; None where there is nothing to say, or no such split.

    Args:
        arm: A concrete arm.
        ready: Its encoded data.
        chooses: What is chosen by the validation loss, beside what the arm itself chooses by it.

    Raises:
        TrainError: Something is chosen by it, and there is none.
    """
    encoded, most = ready.validation, f"{ready.max_length:,}"
    total = len(encoded.rows) + len(encoded.dropped)
    if encoded.rows:
        lost = encoded.truncated + len(encoded.dropped)
        if lost / total <= arm.max_truncated:
            return None
        text = f"{lost:,} of {total:,} validation rows are longer than {most} tokens: {encoded.truncated:,} lose "
        left = f"their end, {len(encoded.dropped):,} are left out; the validation loss is that of the rest"
        return Finding("validation", False, text + left)
    why, hint = "the data have no validation split", "Add validation to the split step"
    if total:
        why = f"none of the {total:,} validation rows has a trained token within {most} tokens"
        hint = "Raise max_length, or validate on shorter rows"
    elif ready.files["validation"]:
        why = "the validation split has no rows"
    if arm.watch is not None and arm.watch.keep == "best":
        chooses, hint = "watch.keep best", f"{hint}, or keep: last"
    if chooses:
        raise TrainError(f"{chooses}: there is no validation loss to choose by: {why}", hint=hint)
    return Finding("validation", False, f"there is no validation loss: {why}") if ready.files["validation"] else None
