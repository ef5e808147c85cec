"""Stages: each starts from the weights of the one before; what is done is not done again; keys are checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datakit.core.errors import RecipeError
from datakit.core.storage import read_json
from datakit.experiment.events import Event
from datakit.experiment.layout import Layout
from datakit.experiment.plan import check
from datakit.experiment.recipe import read_recipe
from datakit.experiment.run import run
from datakit.pocket import write_task

RECIPE = """\
format: 1
name: small
data:
  sources:
    north: {path: north/tickets.csv, columns: {text: text, label: queue}}
    south: {path: south/tickets.csv, columns: {text: text, label: queue}}
  steps:
    - split: {validation: 0.1, test: 0.3, stratify: label}
    - template: {use: classify}
model: pocket
arms:
  full: {adapter: full, learning_rate: 2e-3, epochs: 1}
  lora: {adapter: lora, rank: 2, learning_rate: 1e-2, steps: 2}
stages:
  north: {}
  far: {sources: [south], examples: 20, arm: {steps: 1}}
evaluate: {suite: pocket, limit: 3}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for seed, name in enumerate(("north", "south")):
        (tmp_path / name).mkdir()
        write_task(tmp_path / name, seed=seed, rows=60)
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def test_a_stage_replaces_settings_of_each_arm(recipe: Path) -> None:
    north, far = read_recipe(recipe).stages
    assert (north.sources, far.sources) == (("north",), ("south",))
    assert (north.arms["full"].epochs, north.arms["full"].steps) == (1, None)
    assert (far.arms["full"].epochs, far.arms["full"].steps) == (None, 1)
    assert far.arms["lora"].rank == 2


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  north: {}\n", "", "two stages or more"),
        ("sources: [south]", "sources: [west]", "has no source 'west'"),
        ("  far: {sources", "  base: {sources", "'base' cannot name a stage"),
        ("examples: 20", "rows: 20", "unknown key 'rows'"),
        ("arm: {steps: 1}", "arm: {step: 1}", "unknown key 'step'"),
        ("evaluate: {", "evaluate: {task: piqa, ", "each stage's own test rows"),
    ],
)
def test_what_stages_cannot_be(recipe: Path, old: str, new: str, message: str) -> None:
    recipe.write_text(RECIPE.replace(old, new))
    with pytest.raises(RecipeError, match=message) as caught:
        read_recipe(recipe)
    assert "small.yaml:" in str(caught.value)


class _Stopped(Exception):
    pass


def _weights(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}


@pytest.mark.slow
def test_stages_go_on_after_a_stop_and_end_with_the_same_bytes(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("  full: {adapter: full, learning_rate: 2e-3, epochs: 1}\n", ""))
    assert check(read_recipe(recipe)).cells == 1
    out, again = recipe.parent / "out", recipe.parent / "again"

    def stop(event: Event) -> None:
        if event.stage == "train" and event.text.endswith("stage far"):
            raise _Stopped

    with pytest.raises(_Stopped):
        run(recipe, output=out, listen=stop)
    first = Layout(out).stage(1, "north").model("lora-1") / "cell.json"
    written = first.stat().st_mtime_ns
    run(recipe, output=out)
    assert first.stat().st_mtime_ns == written, "the first stage is not trained again"
    run(recipe, output=again)
    assert _weights(Layout(out).model("lora-1")) == _weights(Layout(again).model("lora-1"))

    # each stage starts from what the one before left
    started = read_json(Layout(out).stage(2, "far").model("lora-1") / "train.json")
    assert started["model_digest"] != read_json(first.parent / "train.json")["model_digest"]
    assert started["rows"]["train"] == 20

    (cell,) = read_json(out / "stages.json")["cells"]
    assert (cell["arm"], cell["stages"], len(cell["scores"])) == ("lora", ["north", "far"], 2)
    (arm,) = json.loads((out / "report.json").read_text())["arms"]
    after = {row["task"]: row["after"] for row in arm["gains"]}
    assert cell["scores"][-1] == [after["north"], after["far"]], "the report is about the last model"
    assert "Task after task" in (out / "report.html").read_text()

    # A changed first stage makes the later one stale too.
    second = Layout(out).stage(2, "far").model("lora-1") / "cell.json"
    written = second.stat().st_mtime_ns
    recipe.write_text(recipe.read_text().replace("  north: {}", "  north: {arm: {steps: 3}}"))
    run(recipe, output=out)
    assert second.stat().st_mtime_ns > written
