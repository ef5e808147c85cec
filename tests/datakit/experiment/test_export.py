"""An arm as it is shipped: loads alone, scores as in the run, says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from datakit.cli.export import command
from datakit.core.errors import DatakitError
from datakit.experiment.export import _changes, export_arm
from datakit.experiment.layout import Layout
from datakit.experiment.run import run

ARMS = """arms:
  full: {adapter: full, learning_rate: 1e-3, steps: 4}
  lora: {adapter: lora, rank: 4, learning_rate: 1e-2, steps: 6}
  reft: {adapter: loreft, learning_rate: 1e-2, steps: 4}
"""


@pytest.fixture
def out(project: Path) -> Layout:
    recipe = project / "small.yaml"
    text = recipe.read_text("utf-8")
    start, end = text.index("arms:"), text.index("evaluate:")
    recipe.write_text(text[:start] + ARMS + text[end:], "utf-8")
    return Layout(run(recipe, output=project / "out").folder)


@pytest.mark.slow
def test_every_kind_of_arm_is_shipped_and_scores_as_in_the_run(out: Layout, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from datakit.core.checkpoint import load_model
    from datakit.pocket import model_path
    from evalkit.models.checkpoint import with_adapter

    before = {path: path.stat().st_mtime_ns for path in (out.root / "evals").rglob("*") if path.is_file()}
    for arm, kind in (("lora", "model"), ("full", "model"), ("reft", "adapter")):
        found = export_arm(out, arm, output=tmp_path / arm)
        assert (found.folder, found.kind) == (tmp_path / arm, kind)
        assert {one.task for one in found.tasks} >= {"task"}
        assert all(one.changed == 0 and one.before == one.after for one in found.tasks)
        names = {path.name for path in found.folder.iterdir()}
        assert {"README.md", "export.json", "generation_config.json", "tokenizer.json", "train.json"} <= names
        assert not names & {"cell.json", "log.jsonl", "evals", "merged"}
        stops = json.loads((found.folder / "train.json").read_text())["stop_tokens"]
        ends = json.loads((found.folder / "generation_config.json").read_text())["eos_token_id"]
        assert set(stops) <= set(ends if isinstance(ends, list) else [ends])
        card = (found.folder / "README.md").read_text()
        assert "model-index" in card
        assert f"library_name: {'transformers' if kind == 'model' else 'datakit'}" in card
    assert {path: path.stat().st_mtime_ns for path in before} == before

    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "lora")
    ids = AutoTokenizer.from_pretrained(tmp_path / "lora")("the cat", return_tensors="pt")["input_ids"]
    with with_adapter(load_model(model_path(), dtype="float32"), out.model("lora-1")) as tuned, torch.no_grad():
        assert torch.allclose(merged(ids).logits, tuned(ids).logits, atol=1e-4)

    said = CliRunner().invoke(command, [str(out.root), "reft"], catch_exceptions=False).stdout
    assert "shipped beside its base" in said
    assert (out.root / "exports" / "reft-1" / "reft_config.json").is_file()
    (tmp_path / "lora" / "train.json").unlink()
    with pytest.raises(DatakitError, match=r"has no train\.json, so it is not replaced"):
        export_arm(out, "lora", output=tmp_path / "lora")


def test_answers_that_differ_are_counted() -> None:
    import pyarrow as pa

    class Log:
        def __init__(self, scores: list[float | None]) -> None:
            self.scores = scores

        def primary(self) -> pa.Table:
            return pa.table({"task": ["a"] * 4, "item_id": ["1", "2", "3", "4"], "score": self.scores})

    (found,) = _changes(Log([1.0, 0.0, 1.0, None]), Log([1.0, 1.0, 0.0, None]))  # type: ignore[arg-type]
    assert (found.items, found.changed, found.before, found.after) == (4, 2, pytest.approx(2 / 3), pytest.approx(2 / 3))
