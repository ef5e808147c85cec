"""What training asks of the general suite while it runs: ``train`` knows a callable, ``evalkit`` the suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datakit.core.errors import DatakitError
from datakit.experiment.recipe import Recipe

if TYPE_CHECKING:
    from train import Arm, Probe

__all__ = ["suite_probe"]


def suite_probe(recipe: Recipe, arm: Arm, model: Path) -> Probe | None:
    """The probe of an arm that is watched; None where it is not, or asks nothing.

    The base is loaded once, measured and let go.

    Args:
        recipe: Its suite is asked.
        arm: With ``watch`` or without.
        model: The base.

    Raises:
        DatakitError: The recipe has no general suite, or one that a probe cannot ask.
    """
    if arm.watch is None or not arm.watch.items:
        return None
    from datakit.experiment.evaluation import general_suite_of
    from evalkit.evaluate import Session
    from evalkit.probe import SuiteProbe

    suite = general_suite_of(recipe)
    if suite is None:
        raise DatakitError(
            "watch asks items of the general suite, and the recipe has none",
            where=recipe.path,
            hint="Set evaluate.suite, or watch.items: 0 to look at the validation loss alone",
        )
    session = Session(model, chat=recipe.chat, offline=recipe.offline)
    if not session.causal:
        raise DatakitError("watch asks causal models only", where=recipe.path, hint="Write watch.items: 0")
    base, tokenizer = session.load()
    return SuiteProbe(suite, base, tokenizer, chat=recipe.chat, items=arm.watch.items, offline=recipe.offline)
