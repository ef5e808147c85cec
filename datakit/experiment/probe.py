"""What training asks of the general suite while it runs: ``train`` knows a callable, ``evalkit`` the suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from datakit.core.errors import DatakitError
from datakit.core.hashing import json_digest
from datakit.experiment.recipe import Recipe

if TYPE_CHECKING:
    from train import Arm, Probe

__all__ = ["asked_of_suite", "looks_at_suite", "suite_probe"]


def looks_at_suite(arm: Arm) -> bool:
    """Whether the suite is asked while the arm trains."""
    return arm.watch is not None and arm.watch.items > 0


def asked_of_suite(recipe: Recipe) -> str | None:
    """Hash of what a probe asks of the recipe's suite, wherever its files lie; None without a suite.

    Raises:
        DatakitError: A suite that cannot be read, or whose data are not at hand.
    """
    from datakit.experiment.evaluation import general_suite_of
    from evalkit.probe import probe_identity

    suite = general_suite_of(recipe)
    return None if suite is None else json_digest(probe_identity(suite, offline=recipe.offline))


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
    if arm.watch is None or not looks_at_suite(arm):
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
