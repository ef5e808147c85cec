"""A model as a person names it on the command line, and what is checked before it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datakit.core.adapters import base_name, is_adapter
from datakit.core.chat import ChatSettings
from datakit.core.errors import DatakitError
from datakit.experiment.layout import Layout
from datakit.experiment.models import MODELS

if TYPE_CHECKING:
    from evalkit.log import EvalLog
    from evalkit.suite import Suite

__all__ = [
    "Named",
    "check_model",
    "decided_by_suite",
    "find_named",
    "seen_in_training",
    "suite_of",
    "with_findings",
]

_DEEP = 5  # runs/NAME/models/CELL/checkpoints/step-N


@dataclass(frozen=True, slots=True)
class Named:
    """A model to evaluate.

    Attributes:
        model: For :class:`evalkit.evaluate.Session`: a folder, a hub name, a mock or a server.
        adapter: Laid over it.
        folder: Where its own files lie; None for what is no folder here.
        base: Folder of the model it was tuned from; None where that is not known or not here.
        run: Folder of the run that trained it.
    """

    model: str
    adapter: Path | None = None
    folder: Path | None = None
    base: Path | None = None
    run: Path | None = None


def find_named(name: str, *, adapter: Path | None = None, base: str | None = None) -> Named:
    """What a name stands for.

    Args:
        name: A registered model, a folder of a model or of an adapter, a hub name, a mock or a server.
        adapter: An adapter over it.
        base: The model it was tuned from; an adapter's configuration, or the run that trained it, says it otherwise.

    Raises:
        DatakitError: An adapter that does not name its base.
    """
    here = _folder(name)
    if adapter is None and here is not None and is_adapter(here):
        adapter, name = here, base or _base_named(here)
        here = _folder(name)
    model = str(here) if here is not None and name in MODELS.names() else name
    if adapter is not None:
        return Named(model, adapter, adapter, here, _run_of(adapter))
    run = None if here is None else _run_of(here)
    before = _folder(base) if base is not None else None if run is None else _base_of_run(run)
    return Named(model, None, here, before, run)


def _folder(name: str) -> Path | None:
    if Path(name).is_dir():
        return Path(name)
    return Path(MODELS.load(name)()) if name in MODELS.names() else None


def _base_named(adapter: Path) -> str:
    name = base_name(adapter)
    if not name:
        raise DatakitError("does not name the model it was trained on", where=adapter)
    return name


def _run_of(folder: Path) -> Path | None:
    """The run in which a model or its logs lie."""
    for parent in list(folder.resolve().parents)[:_DEEP]:
        if (parent / "manifest.json").is_file() and (parent / "recipe.yaml").is_file():
            return parent
    return None


def _base_of_run(run: Path) -> Path | None:
    from datakit.experiment.opened import base_of, recipe_of

    try:
        return base_of(recipe_of(Layout(run)))
    except (DatakitError, OSError):  # the base was moved, or lies on the machine that trained it
        return None


def suite_of(text: str) -> Suite:
    """A suite as it is named in a command: a registered name, a file, or lm-eval tasks joined by commas.

    A Parquet file is a built test split: the user's own task.
    """
    from evalkit.owntask import data_task
    from evalkit.report.run import is_private
    from evalkit.suite import Suite, load_suite

    if not text.endswith(".parquet"):
        return load_suite(text.split(",") if "," in text else text)
    path = Path(text)
    run = _run_of(path) if path.is_file() else None
    task = data_task(path, private=run is not None and is_private(run))
    return Suite("task", (task,), "The rows of a built test split.")


def check_model(named: Named, chat: ChatSettings) -> list[str]:
    """Whether a model can be what it is taken for, before it is loaded.

    Returns:
        Where evaluation would not show the model what training showed it, a sentence each.

    Raises:
        EvalError: It has its base's weights, or an adapter without effect or of another base.
    """
    from evalkit.nets import check_tuned, training_warnings

    if named.folder is None or named.folder == named.base:
        return []
    if named.base is not None:
        check_tuned(named.folder, named.base)
    return training_warnings(named.folder, named.base or named.folder, chat=chat)


def seen_in_training(path: Path) -> dict[str, frozenset[str]] | None:
    """Items that stand in the training data of the run in which a model or its logs lie; None where nobody looked."""
    from evalkit.contamination import contaminated_items

    run = _run_of(path)
    return None if run is None else contaminated_items(run)


def decided_by_suite(path: Path) -> bool:
    """Whether items of a suite decided how the training of a model ended, or which state is kept.

    Args:
        path: The model, or its logs in a run.
    """
    from evalkit.report.chosen import asked_of

    run = _run_of(path)
    return asked_of(path) or (run is not None and asked_of(run / "models" / path.resolve().name))


def with_findings(log: EvalLog, named: Named, notes: list[str]) -> tuple[EvalLog, list[str]]:
    """The log with what was found out about the model, and all that a reader of its scores must know.

    Args:
        log: Of the evaluation.
        named: The model.
        notes: From :func:`check_model`.
    """
    from evalkit.contamination import seen_notes
    from evalkit.nets import with_notes
    from evalkit.notes import cut_notes

    seen = None if named.folder is None else seen_in_training(named.folder)
    log = with_notes(log, [*notes, *(seen_notes(log, seen) if seen else ())])
    return log, [*cut_notes(log), *log.header.notes]
