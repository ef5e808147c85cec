"""Curves and recovery of a run with the pocket model: what is evaluated, what is done again, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datakit.core.errors import DatakitError, StepError, UsageError
from datakit.core.storage import write_json
from datakit.experiment.arms import Cell
from datakit.experiment.curve import checkpoint_curves, curve_of, write_curves
from datakit.experiment.layout import Layout
from datakit.experiment.recipe import read_recipe
from datakit.experiment.recover import recover
from datakit.experiment.run import run
from datakit.experiment.sizes import example_curves
from datakit.pocket import write_task
from evalkit.log import ITEMS, EvalLog, LogHeader, TaskInfo
from evalkit.report.curve_words import curve_table

RECIPE = """\
format: 1
name: small
data:
  sources:
    tickets: {path: tickets.csv, columns: {text: text, label: queue}}
  steps:
    - split: {validation: 0.1, test: 0.3, stratify: label}
    - template: {use: classify}
model: pocket
arms:
  full: {adapter: full, learning_rate: 2e-3, steps: 6, checkpoints: {every: 2}}
  plain: {adapter: full, learning_rate: 2e-3, steps: 1}
evaluate: {suite: pocket, limit: 50}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    write_task(tmp_path, seed=3, rows=80)
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


@pytest.mark.slow
def test_checkpoints_and_recovery(recipe: Path) -> None:
    out = recipe.parent / "out"
    run(recipe, output=out)
    with pytest.raises(DatakitError, match="the arm 'plain' kept no checkpoints"):
        checkpoint_curves(Layout(out), arm="plain")
    found = checkpoint_curves(Layout(out), budget=0.5)
    assert [(curve.arm, [point.at for point in curve.points]) for curve in found.curves] == [("full", [2, 4, 6])]
    facts = json.loads((out / "curve.json").read_text())
    report = json.loads((out / "report.json").read_text())
    arm = next(entry for entry in report["arms"] if entry["name"] == "full")
    last = facts["curves"][0]["points"][-1]
    assert {row["task"]: row["difference"] for row in last["general"]} == {
        row["task"]: row["difference"] for row in arm["general"]
    }, "the last point is the model of the report"
    assert facts["curves"][0]["choice"]["at"] in (2, 4, 6)
    assert str(out) not in (out / "curve.html").read_text()

    with pytest.raises(UsageError, match="no general task 'nothing'"):
        recover(Layout(out), arm="full", tasks=["nothing"])
    recovered = recover(Layout(out), arm="full", tasks=["format"], steps=2)
    (task,) = json.loads(recovered.path.read_text())["tasks"]
    assert task["trained_items"] + task["items"] == 50
    assert {row["task"]: row["before"] for row in arm["general"]}["format"] == pytest.approx(
        task["loss"]["before"], abs=0.2
    ), "half of the items the report counts"

    recipe.write_text(RECIPE.replace("steps: 6", "steps: 5"))
    run(recipe, output=out)
    assert not (out / "curve.html").exists(), "a curve of other weights does not stay"


@pytest.mark.parametrize("sizes", [[], [20, 10], [10, 10], [0, 5]])
def test_numbers_of_examples_rise(recipe: Path, sizes: list[int]) -> None:
    with pytest.raises(UsageError, match="rise and begin at 1 or more"):
        example_curves(recipe, sizes, output=recipe.parent / "out")


@pytest.mark.slow
def test_numbers_of_examples(recipe: Path) -> None:
    out = recipe.parent / "out"
    recipe.write_text(RECIPE.replace("limit: 50", "limit: 4"))
    with pytest.raises(StepError, match="the training split has 48"):
        example_curves(recipe, [10, 500], output=out, arm="plain")
    example_curves(recipe, [10], output=out, arm="plain")
    cells = {size: out / "examples" / size / "models" / "plain-1" / "cell.json" for size in ("10", "20")}
    before = cells["10"].stat().st_mtime_ns

    # Another size is trained; the one that stands there is not. A changed arm is trained again.
    example_curves(recipe, [10, 20], output=out, arm="plain")
    facts = json.loads((out / "examples.json").read_text())["curves"][0]
    assert facts["unit"] == "examples"
    assert [point["at"] for point in facts["points"]] == [10, 20]
    assert cells["10"].stat().st_mtime_ns == before
    assert cells["20"].exists()
    recipe.write_text(recipe.read_text().replace("steps: 1}", "steps: 2}"))
    example_curves(recipe, [10], output=out, arm="plain")
    assert cells["10"].stat().st_mtime_ns > before


def _log(model: str, wrong: int) -> EvalLog:
    """A general task and the user's own, 200 items each; every so many answers of the general one are wrong."""
    import pyarrow as pa

    tasks = {"facts": TaskInfo(), "task": TaskInfo(kind="gain")}
    rows = []
    for name in tasks:
        for number in range(200):
            known = {"task": name, "item_id": f"{number:03}", "doc_hash": f"{name} {number}", "prompt_hash": "p"}
            known |= {"target_hash": "t", "metric": "acc", "filter": "none", "is_primary": True, "status": "ok"}
            rows.append(dict.fromkeys(ITEMS.names) | known | {"score": float(number % wrong > 0), "seed": 0})
    return EvalLog(LogHeader("pocket", model, tasks=tasks), pa.Table.from_pylist(rows, schema=ITEMS))


@pytest.mark.parametrize("unit", ["step", "examples", "percent"])
def test_items_that_decided_in_a_training_leave_the_curves_of_all_arms(recipe: Path, tmp_path: Path, unit) -> None:
    """As they leave the report; what a budget chooses is chosen on items that may be chosen on all the same."""
    made, place = read_recipe(recipe), Layout(tmp_path / "out")
    logs = {at: (_log("base", 9), _log("tuned", at)) for at in (5, 7)}
    whole = curve_of(made, Cell("plain", 1), unit, logs, [place], alpha=0.05, budget=0.5)
    assert [point.comparison.row("facts").n for point in whole.points] == [200, 200]
    assert not whole.notes
    watch = {"every": 2, "items": 40, "stop": {"forgetting": 0.05}, "keep": "last"}
    write_json(place.model("full-1") / "train.json", {"arm": {"watch": watch}})
    curve = curve_of(made, Cell("plain", 1), unit, logs, [place], alpha=0.05, budget=0.5)
    (left,) = {point.comparison.row("facts").n for point in curve.points}
    assert left == whole.choice.comparison.row("facts").n < 160
    assert [point.comparison.row("task").n for point in curve.points] == [200, 200], "the user's task is whole"
    assert curve.choice == whole.choice
    (note,) = curve.notes
    assert note.startswith(f"Of the general tasks {200 - left} of 200 items are left out of every arm")
    assert "'full-1'" in note
    assert "NOTE      Of the general tasks" in "\n".join(curve_table(curve, "plain"))
    written = write_curves([curve], tmp_path, "curve", title="x", command="y")
    assert json.loads(written.data.read_text())["curves"][0]["notes"] == [note]
    assert "items are left out of every arm" in written.page.read_text()
