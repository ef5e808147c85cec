"""Curves and recovery of a run with the pocket model: what is evaluated, what is done again, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datakit.core.errors import DatakitError, StepError, UsageError
from datakit.experiment.curve import checkpoint_curves
from datakit.experiment.layout import Layout
from datakit.experiment.recover import recover
from datakit.experiment.run import run
from datakit.experiment.sizes import example_curves
from datakit.pocket import write_task

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
