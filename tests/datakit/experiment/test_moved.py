"""What was asked is known by its content: files may move, and whoever listens hears what changed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from datakit.experiment.arms import Cell, cell_keys
from datakit.experiment.cell_key import CellKey, difference, is_trained, note_trained
from datakit.experiment.events import Event
from datakit.experiment.recipe import read_recipe
from datakit.experiment.run import run
from datakit.pocket import model_path, write_task

RECIPE = """\
format: 1
data:
  sources:
    tickets: {path: tickets.csv, columns: {text: text, label: queue}}
  steps:
    - split: {validation: 0.1, test: 0.2, stratify: label}
    - template: {use: classify}
model: pocket
arms:
  watched: {adapter: lora, rank: 2, steps: 1, watch: {every: 1, items: 4, stop: {forgetting: .9}}}
  lora: {adapter: lora, rank: 2, steps: 1}
evaluate: {suite: SUITE}
"""
SUITE = """\
format: 1
name: tiny
tasks:
  - task: tasks/colours.yaml
  - kind: drift
    task: {task: prose, dataset_path: text, dataset_kwargs: {data_files: prose.txt, sample_by: paragraph}}
"""
TASK = """\
task: colours
dataset_path: json
dataset_kwargs: {data_files: ../items.jsonl}
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{options}}"
doc_to_target: right
"""
COLOURS = [
    {"question": f"Box {number} is", "options": ["red", "blue", "green"], "right": number % 3} for number in range(40)
]


def write_suite(folder: Path) -> Path:
    (folder / "tasks").mkdir(parents=True)
    (folder / "tasks" / "colours.yaml").write_text(TASK)
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in COLOURS))
    (folder / "prose.txt").write_text("The nurse has a drum.\n\nA clock stands in the hall.\n")
    (folder / "suite.yaml").write_text(SUITE)
    return folder / "suite.yaml"


def change_item(folder: Path) -> None:
    path = folder / "items.jsonl"
    path.write_text(path.read_text().replace("Box 7 is", "Box 7 was"))


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE.replace("SUITE", str(write_suite(tmp_path / "here"))))
    return path


def keys(recipe: Path, suite: Path, data: Path) -> dict[str, CellKey]:
    recipe.write_text(RECIPE.replace("SUITE", str(suite)))
    opened = read_recipe(recipe)
    wanted = [Cell(name, 1) for name in opened.arms]
    return {cell.arm: key for cell, key in cell_keys(opened, wanted, model_path(), data).items()}


def test_a_watched_cell_knows_its_suite_by_content_and_others_not_at_all(recipe: Path, tmp_path: Path) -> None:
    first, data = tmp_path / "here" / "suite.yaml", tmp_path / "data"
    data.mkdir()
    before = keys(recipe, first, data)
    other = Path(shutil.copytree(first.parent, tmp_path / "elsewhere" / "deeper"))
    assert keys(recipe, other / first.name, data) == before, "the same suite at another place"

    # What a probe does not ask decides nothing: the margin of a verdict, a drift task.
    text = SUITE.replace("name: tiny", "name: tiny\nmargin: 0.05\ndescription: Small.")
    (other / "suite.yaml").write_text(text.replace("paragraph", "line"))
    assert keys(recipe, other / first.name, data) == before

    for change in (change_item, lambda folder: (folder / "tasks/colours.yaml").write_text(TASK + "num_fewshot: 0\n")):
        fresh = Path(shutil.copytree(first.parent, tmp_path / change.__name__))
        change(fresh)
        now = keys(recipe, fresh / first.name, data)
        assert now["watched"].hash != before["watched"].hash
        assert now["lora"] == before["lora"], "it was trained without a look at the suite"


def test_a_difference_is_named_by_its_part(tmp_path: Path) -> None:
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    (tmp_path / "train.json").write_text('{"format": 1}')
    parts = {"arm": {"rank": 2, "targets": ["q"]}, "data": "d", "model": "m", "modules": "", "chat": {"system": None}}
    built = {"seed": 1, "sources": {"task": {"files": [{"name": "../tickets.csv", "digest": "x"}]}}}
    key = CellKey(parts, built)
    note_trained(tmp_path, key, arm="lora")
    assert difference(tmp_path, key) is None
    moved = {"seed": 1, "sources": {"task": {"files": [{"name": "../../tickets.csv", "digest": "x"}]}}}
    assert is_trained(tmp_path, CellKey(parts, moved)), "how the rows were made says nothing while they are equal"
    for changed, said in [
        ({"arm": {"rank": 3, "targets": ["q"]}, "data": "e"}, "arm.rank was 2 and is 3"),
        ({"arm": {"rank": 2, "targets": ["q", "v"]}}, "arm.targets.1 was not set and is 'v'"),
        ({"chat": {"system": "Be brief."}}, "chat.system was None and is 'Be brief.'"),
        ({"model": "n"}, "the model it starts from has other weights or files"),
        ({"modules": "r"}, "code that the arm names has changed"),
        ({"suite": "s"}, "the items that watch asks have changed"),
        ({"data": "e"}, "the built rows differ"),
    ]:
        assert difference(tmp_path, CellKey({**parts, **changed}, built)) == said
    why = difference(tmp_path, CellKey({**parts, "data": "e"}, moved))
    name = "data.sources.task.files.0.name"
    assert why == f"the built rows differ: {name} was '../tickets.csv' and is '../../tickets.csv'"


def dropped(heard: list[Event]) -> list[str]:
    found = [event.text for event in heard if event.stage == "dropped"]
    heard.clear()
    return found


@pytest.mark.slow
def test_a_moved_suite_drops_nothing_and_what_is_dropped_is_told(recipe: Path, tmp_path: Path) -> None:
    write_task(tmp_path, seed=3, rows=60)
    heard: list[Event] = []
    out = run(recipe, output=tmp_path / "out", listen=heard.append).folder
    assert dropped(heard) == []
    weights = {path: path.stat().st_mtime_ns for path in out.glob("models/*/*.safetensors")}
    logs = {path: path.read_bytes() for path in out.glob("evals/*/*.parquet")}
    assert len(weights) == 2
    assert len(logs) == 6

    # Moved with all its files: nothing leaves, nothing is trained again, whichever arm is run.
    other = Path(shutil.move(tmp_path / "here", tmp_path / "elsewhere"))
    text = RECIPE.replace("SUITE", str(other / "suite.yaml"))
    recipe.write_text(text)
    for arm in ("lora", "watched"):
        run(recipe, output=out, arm=arm, listen=heard.append)
        assert dropped(heard) == []
    assert {path: path.stat().st_mtime_ns for path in weights} == weights
    assert {path: path.read_bytes() for path in out.glob("evals/*/*.parquet")} == logs

    # An item changed: the watched arm was trained by it; the other one is asked anew, or left out and told.
    change_item(other)
    run(recipe, output=out, arm="watched", listen=heard.append)
    trained, asked = dropped(heard)
    assert trained == "evaluations of watched-1: the items that watch asks have changed; left out until trained again"
    assert asked.startswith("evaluations of lora-1: item '")
    assert "of task 'colours' is in the log of" in asked
    assert asked.endswith("; left out until run again")
    assert not (out / "evals/lora-1").exists()

    # The recipe moved away from its data: ids hold the way to a file, so the rows differ, and the user hears of it.
    (tmp_path / "deeper").mkdir()
    run(recipe, output=out, listen=heard.append)
    heard.clear()
    moved = tmp_path / "deeper" / "small.yaml"
    moved.write_text(text.replace("path: tickets.csv", "path: ../tickets.csv"))
    run(moved, output=out, arm="lora", listen=heard.append)
    (said,) = dropped(heard)
    assert said.startswith(
        "evaluations of watched-1, lora-1: the built rows differ: data.recipe.sources.tickets.path was"
    )
    assert not (out / "evals/watched-1").exists()
