"""Labels for a data file, or for a recipe's label step alone, outside of a whole build."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from datakit.build import build
from datakit.cache import private_folder
from datakit.core.errors import DatakitError, UsageError
from datakit.core.step import StepContext
from datakit.core.storage import write_table, write_text
from datakit.export.folder import plain
from datakit.labelling.exchange import export_labels
from datakit.labelling.folder import LabelFolder, folder_name
from datakit.labelling.labeller import load_labeller
from datakit.labelling.params import LabelParams
from datakit.labelling.queue import queue
from datakit.labelling.step import LabelStep
from datakit.recipe import DataRecipe, check_steps, read_data_recipe, recipe_error
from datakit.redactor import Redactor
from datakit.sources import label_names, read

__all__ = ["LabelRun", "label_file", "label_recipe"]

_WRITES = ("labels.html", "labels.csv", "labels.parquet")

Confirm = Callable[[str], bool]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class LabelRun:
    """What was labelled.

    Attributes:
        folder: Of the run.
        page: The report.
        kept: Rows that go on.
        dropped: Reason to rows that do not.
        facts: Counts and measures; see :func:`datakit.labelling.measure.measure`.
        notes: What the step says of itself.
    """

    folder: Path
    page: Path
    kept: int
    dropped: dict[str, int]
    facts: dict[str, Any]
    notes: list[str]


def label_file(
    path: str,
    params: Mapping[str, Any],
    *,
    output: Path,
    columns: Mapping[str, str],
    limit: int | None = None,
    seed: int = 0,
    confirm: Confirm | None = None,
    tell: Tell = lambda text: None,
) -> LabelRun:
    """Labels the rows of a file into a folder: ``labels.html``, ``labels.csv``, ``labels.parquet``, ``private/``.

    Args:
        path: As a source's ``path``.
        params: As the ``label`` step's.
        output: The folder; called again, it goes on, and what is answered is not asked again.
        columns: Our name to the file's.
        limit: Only the first rows.
        seed: Of all that is random.
        confirm: Asks a person before money is spent.
        tell: Hears how far it is.

    Raises:
        DatakitError: And its children; all answers are kept.
    """
    try:
        checked = LabelParams.model_validate(dict(params))
    except ValidationError as error:
        raise UsageError(recipe_error(error, None, ["label"], LabelParams).message) from None
    _claim(output)
    table = read(path, columns=dict(columns)) if columns else read(path)
    if limit is not None:
        table = table.slice(0, limit)
    if not table.num_rows:
        raise DatakitError("there are no rows to label", where=path)
    private = private_folder(output / "private")
    folder = Path.cwd()
    context = StepContext(
        seed=seed,
        folder=folder,
        private=private,
        labels={"data": tuple(label_names(table))},
        columns={"data": dict(columns)},
        redact=Redactor,
        confirm=confirm,
        tell=tell,
    )
    step = LabelStep(checked, context)
    made = step.apply(table)
    made.balance(step.name, table.num_rows)
    write_table(output / "labels.parquet", plain(made.table))
    for name, text in step.documents().items():
        write_text(output / name, text)
    found = LabelFolder(private, step.labeller.name)
    kept = found.read()
    if not kept.facts["rows"]:
        raise DatakitError(
            f"all {table.num_rows:,} rows have a label already, so none was asked",
            where=path,
            hint="Say --existing check to look for wrong ones, or --existing replace",
        )
    with found.corrections() as corrections:
        export_labels(kept, corrections, queue(kept, everything=True), output / "labels.csv")
    reasons = Counter(
        reason
        for action, reason in zip(made.ledger["action"].to_pylist(), made.ledger["reason"].to_pylist(), strict=True)
        if action == "dropped"
    )
    return LabelRun(output, output / "labels.html", made.table.num_rows, dict(reasons), kept.facts, step.notes())


def _claim(output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise UsageError("the output is a file", where=output, hint="Give a folder with -o")
    theirs = [name for name in _WRITES if (output / name).exists()]
    if theirs and not (output / "private" / "labels").is_dir():
        raise UsageError(
            f"there is a '{theirs[0]}' that datakit did not write; it would be replaced",
            where=output,
            hint="Give another folder with -o",
        )


def label_recipe(
    path: Path,
    *,
    output: Path | None = None,
    seed: int | None = None,
    confirm: Confirm | None = None,
    tell: Tell = lambda text: None,
) -> LabelRun:
    """Runs a recipe up to its last ``label`` step, into the run's folder; ``datakit build`` then finds every answer.

    What is told is of the last one; the reports of all lie beside the data card.

    Raises:
        RecipeError: The recipe cannot be right.
        UsageError: It has no ``label`` step.
        DatakitError: As in a build.
    """
    recipe, document = read_data_recipe(path)
    names = [step.name for step in recipe.steps]
    if "label" not in names:
        raise UsageError("the recipe has no label step", where=path, hint="Add one to data.steps, or name a data file")
    last = len(names) - names[::-1].index("label")
    part = DataRecipe.model_validate({**recipe.model_dump(), "steps": [s.model_dump() for s in recipe.steps[:last]]})
    params = check_steps(part)[-1][1]
    assert isinstance(params, LabelParams)
    labeller = load_labeller(params.use, folder=path.parent, language=params.language).name
    name = str(document.value.get("name") or path.stem)
    seeds = document.value.get("seeds") or [0]
    folder = output or Path("runs") / name
    built = build(
        part,
        output=folder,
        seed=seeds[0] if seed is None else seed,
        folder=path.parent,
        name=name,
        offline=document.value.get("network") == "never",
        confirm=confirm,
        tell=tell,
    )
    facts = LabelFolder.of(folder, labeller).read().facts
    notes = [note for step, note in built.notes if step == "label"]
    page = "labels.html" if names.count("label") == 1 else f"labels-{folder_name(labeller)}.html"
    counts = built.steps[-1]
    return LabelRun(folder, built.folder / page, counts.rows_out, counts.dropped, facts, notes)
