"""What a changed recipe made untrue is in no report; what was damaged is made again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from datakit.build import build
from datakit.core.errors import DatakitError, RecipeError, UsageError
from datakit.core.storage import write_json
from datakit.experiment.arms import Cell
from datakit.experiment.ask import models
from datakit.experiment.cell_key import CellKey, note_trained
from datakit.experiment.events import Event
from datakit.experiment.layout import Layout
from datakit.experiment.run import run
from datakit.experiment.stale import drop_stale
from datakit.pocket import model_path, write_task

RECIPE = """\
format: 1
seeds: [1]
data:
  sources:
    tickets: {path: tickets.csv, columns: {text: text, label: queue}}
  steps:
    - split: {validation: 0.1, test: 0.2, stratify: label}
    - template: {use: classify}
model: pocket
arms:
  full: {adapter: full, steps: 1}
  lora: {adapter: lora, rank: 2, steps: 1}
evaluate: {suite: pocket, limit: 2}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    write_task(tmp_path, seed=3, rows=60)
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def reported(out: Path) -> dict[str, set[str]]:
    """Cell to the tasks that report.json has of it."""
    report = json.loads((out / "report.json").read_text())
    return {f"{arm['name']}-{arm['seed']}": {row["task"] for row in arm["general"]} for arm in report["arms"]}


@pytest.mark.slow
def test_a_report_has_only_what_the_recipe_says_now(recipe: Path) -> None:
    out = recipe.parent / "out"
    run(recipe, output=out)
    assert reported(out).keys() == {"full-1", "lora-1"}

    # An arm whose settings changed is not shown with its old results by a call that leaves it out.
    recipe.write_text(RECIPE.replace("rank: 2", "rank: 3"))
    run(recipe, output=out, arm="full")
    assert reported(out).keys() == {"full-1"}

    # An arm that is gone, a seed that changed: neither in the report nor asked.
    run(recipe, output=out)
    recipe.write_text(RECIPE.replace("  full: {adapter: full, steps: 1}\n", ""))
    run(recipe, output=out)
    assert reported(out).keys() == {"lora-1"}
    assert [name for name, _, _ in models(Layout(out))] == ["base", "lora-1"]
    recipe.write_text(RECIPE.replace("seeds: [1]", "seeds: [2]"))
    run(recipe, output=out, arm="full")
    assert reported(out).keys() == {"full-2"}
    assert (out / "models/full-1/model.safetensors").is_file(), "weights are dear; they stay"


def test_what_was_drawn_of_earlier_weights_leaves_and_no_other(tmp_path: Path) -> None:
    layout, heard = Layout(tmp_path), list[Event]()
    for cell in ("lora-1", "full-1"):
        for folder in (layout.evaluation(cell), layout.curve(cell), layout.interpolation(cell)):
            folder.mkdir(parents=True)
        write_json(layout.model(cell) / "train.json", {})
    note_trained(layout.model("full-1"), CellKey({"arm": {"rank": 2}}))
    note_trained(layout.model("lora-1"), CellKey({"arm": {"rank": 2}}))
    pages = [tmp_path / f"{stem}.{suffix}" for stem in ("curve", "interpolate") for suffix in ("html", "json")]
    for page in pages:
        page.write_text("{}")
    write_json(tmp_path / "recover.json", {"arm": "full", "seed": 1})

    same, other = CellKey({"arm": {"rank": 2}}), CellKey({"arm": {"rank": 4}})
    drop_stale({Cell("lora", 1): same, Cell("full", 1): same}, layout, heard.append)
    assert heard == []
    drop_stale({Cell("lora", 1): other, Cell("full", 1): same}, layout, heard.append)
    text = "evaluations of lora-1: arm.rank was 2 and is 4; left out until trained again"
    assert heard == [Event("dropped", "lora-1", text)]
    assert sorted(path.name for path in tmp_path.glob("*/*-1")) == ["full-1"] * 4 + ["lora-1"], "weights are dear"
    assert not any(page.exists() for page in pages)
    assert (tmp_path / "recover.json").is_file(), "of the other arm"
    drop_stale({Cell("full", 1): other}, layout, heard.append)
    assert not (tmp_path / "recover.json").exists()


@pytest.mark.slow
def test_a_suite_that_is_gone_is_gone_from_the_report(recipe: Path) -> None:
    out = recipe.parent / "out"
    run(recipe, output=out)
    assert reported(out)["full-1"]
    recipe.write_text(RECIPE.replace("suite: pocket", "suite: null").replace("model: pocket", f"model: {model_path()}"))
    run(recipe, output=out, arm="full")
    assert reported(out) == {"full-1": set()}


@pytest.mark.slow
def test_damaged_weights_are_trained_again(recipe: Path) -> None:
    out = run(recipe, output=recipe.parent / "out", arm="full").folder
    weights = out / "models/full-1/model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    run(recipe, output=out, arm="full")
    assert weights.read_bytes() == whole


@pytest.mark.slow
def test_two_processes_at_the_same_cells_end_with_one_whole_run(recipe: Path) -> None:
    call = [sys.executable, "-m", "datakit", "run", recipe.name, "-o", "out", "--quiet"]
    both = [subprocess.Popen(call, cwd=recipe.parent, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert reported(recipe.parent / "out").keys() == {"full-1", "lora-1"}


def test_a_run_that_was_only_built_has_nobody_to_ask(recipe: Path) -> None:
    out = recipe.parent / "out"
    build(recipe, output=out)
    with pytest.raises(DatakitError, match="no model yet"):
        next(models(Layout(out)))


def test_a_number_that_is_no_seed_is_refused(recipe: Path) -> None:
    for seed in (-1, 2**70):
        recipe.write_text(RECIPE.replace("[1]", f"[{seed}]"))
        with pytest.raises(RecipeError, match=r"small\.yaml:2: seeds.*: a seed is a whole number from 0"):
            run(recipe, output=recipe.parent / "out")
        recipe.write_text(RECIPE)
        with pytest.raises(UsageError, match="a seed is a whole number from 0"):
            run(recipe, output=recipe.parent / "out", seed=seed)
