"""A run whose arm is watched: the suite is asked while it trains, and ends it where too much is forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datakit.core.errors import DatakitError
from datakit.core.storage import read_json
from datakit.experiment.curve import checkpoint_curves
from datakit.experiment.layout import Layout
from datakit.experiment.plan import check
from datakit.experiment.probe import suite_probe
from datakit.experiment.recipe import read_recipe
from datakit.experiment.run import run
from datakit.pocket import model_path, write_task
from train import Arm, Watching

RECIPE = """\
data:
  sources:
    tickets: {path: tickets.csv, columns: {text: text, label: queue}}
  steps:
    - split: {validation: 0.2, test: 0.2, stratify: label}
    - template: {use: classify}
model: pocket
arms:
  full:
    {adapter: full, learning_rate: 5e-3, steps: 40, checkpoints: {every: 2},
     watch: {every: 4, items: 40, stop: {forgetting: .2}, keep: best}}
evaluate: {suite: SUITE, limit: 10}
"""


@pytest.mark.slow
def test_a_run_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    write_task(tmp_path, seed=3, rows=80)
    recipe = tmp_path / "watched.yaml"
    recipe.write_text(RECIPE.replace("SUITE", "pocket"))
    assert check(read_recipe(recipe)).train_seconds > 0
    run(recipe, output=tmp_path / "out")
    record = read_json(tmp_path / "out" / "models" / "full-1" / "train.json")
    asked = [entry for entry in record["history"] if "forgetting" in entry]
    assert asked[0]["step"] == asked[0]["forgetting"] == 0
    assert asked[0]["kl"] == pytest.approx(0.0, abs=1e-4)
    assert record["steps"] < 40
    assert asked[-1]["forgetting"] > 0.2
    assert record["ended"].startswith("forgetting ")
    assert record["kept_step"] in [entry["step"] for entry in asked if entry["step"] and entry["forgetting"] <= 0.2]
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [point["step"] for point in report["watched"][0]["points"]] == [entry["step"] for entry in asked]
    (said,) = {note for arm in report["arms"] for note in arm["notes"] if "left out of every arm" in note}
    assert "when the training of 'full-1' ends" in said
    assert all(row["items"] < 10 for row in report["arms"][0]["general"])
    assert "While training" in (tmp_path / "out" / "report.html").read_text()
    (curve,) = checkpoint_curves(Layout(tmp_path / "out")).curves
    assert curve.notes == (said,)
    for point in curve.points:
        shown = {row.task: row.n for row in point.comparison.general}
        assert shown == {row["task"]: row["items"] for row in report["arms"][0]["general"]}


def test_without_a_suite_there_is_nothing_to_ask(tmp_path: Path) -> None:
    path = tmp_path / "watched.yaml"
    path.write_text(RECIPE.replace("suite: SUITE, limit: 10", "suite: null").replace("pocket", str(model_path())))
    recipe = read_recipe(path)
    with pytest.raises(DatakitError, match="the recipe has none"):
        suite_probe(recipe, recipe.arms["full"], model_path())
    alone = recipe.arms["full"].model_copy(update={"watch": Watching(every=2, items=0)})
    assert suite_probe(recipe, alone, model_path()) is None
    assert suite_probe(recipe, Arm(), model_path()) is None
