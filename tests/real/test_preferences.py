"""Real preference pairs from a file through a recipe to a report."""

from __future__ import annotations

from pathlib import Path

import pytest

from datakit.core.storage import read_json, read_table
from datakit.experiment.run import run

pytestmark = [pytest.mark.real, pytest.mark.slow]

RECIPE = """
data:
  sources:
    pairs:
      path: pairs.json.gz
      columns: {prompt: conversations, chosen: chosen, rejected: rejected}
      limit: 40
  steps:
    - split: {validation: 0.2, test: 0.2}
model: pocket
arms:
  dpo: {objective: dpo, adapter: full, learning_rate: 5e-5, steps: 12, batch_size: 8, max_length: 96,
        max_truncated: 1.0}
evaluate: {task: null, suite: pocket, limit: 2}
"""


def test_a_recipe_of_preference_pairs(real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    recipe = tmp_path / "pairs.yaml"
    recipe.write_text(RECIPE)
    # Under a fixed name: ids, and with them the split, follow the name that the recipe gives the file.
    (tmp_path / "pairs.json.gz").symlink_to(real_data / "instruction/dpo_preference_demo/dpo_en_demo.json.gz")
    folder = run(recipe, output=tmp_path / "run").folder
    rows = read_table(next((folder / "data").glob("train-*.parquet"))).to_pylist()
    assert all(row["rejected"][-1]["role"] == "assistant" for row in rows)
    assert all(row["rejected"][-1]["content"] != row["messages"][-1]["content"] for row in rows)
    history = read_json(folder / "models" / "dpo-1" / "train.json")["history"]
    losses = [entry["validation_loss"] for entry in history if "validation_loss" in entry]
    assert losses[0] == pytest.approx(0.6931, abs=1e-4)
    trained = [entry["loss"] for entry in history if "loss" in entry]  # four times over the same pairs
    assert trained[-1] < 0.6 < losses[0]
