"""Models beside the arms: one in production, and the base with examples in its prompt."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from datakit import pocket
from datakit.core.errors import RecipeError
from datakit.experiment.recipe import read_recipe
from datakit.experiment.run import run
from evalkit.log import EvalLog


def with_others(project: Path) -> Path:
    recipe = project / "small.yaml"
    text = recipe.read_text().replace("suite: pocket", "suite: pocket, shots: 2, against: [base, {production: prod}]")
    recipe.write_text(text)
    return recipe


@pytest.mark.slow
def test_production_and_the_prompted_base_stand_beside_the_arms(project: Path) -> None:
    shutil.copytree(pocket.model_path(), project / "prod")
    out = run(with_others(project), output=project / "out").folder
    base, other, shots = (
        EvalLog.read(out / "evals" / name / "task.json") for name in ("base", "production", "base-2-shot")
    )
    # the same weights under another name give the same answers; examples in the prompt give other prompts
    assert other.items.column("score").equals(base.items.column("score"))
    assert shots.items.column("doc_hash").equals(base.items.column("doc_hash"))
    assert not shots.items.column("prompt_hash").equals(base.items.column("prompt_hash"))
    prompts = shots.items.column("prompt").to_pylist()
    assert all(
        len(longer) > len(short) for longer, short in zip(prompts, base.items["prompt"].to_pylist(), strict=True)
    )

    report = json.loads((out / "report.json").read_text())
    beside = {entry["name"]: entry for entry in report["beside"]}
    assert list(beside) == ["base-2-shot", "production"]
    assert {arm["name"] for arm in report["arms"]} == {"full", "lora"}
    for arm in report["arms"]:
        row = arm["gains"][0]
        against = beside["production"]["arms"][arm["label"]]
        assert against["difference"] == pytest.approx(row["difference"])
        assert against["note"] == ""
        assert beside["base-2-shot"]["arms"][arm["label"]]["note"] == "different prompts"
    assert "production" in (out / "report.md").read_text()
    assert "Against <strong>base-2-shot</strong>" in (out / "report.html").read_text()


@pytest.mark.parametrize(
    ("written", "word"),
    [
        ("{base: x}", "cannot name a model"),
        ("{lora-1: x}", "cannot name a model"),
        ("{../x: y}", "cannot name a model"),
        ("{a: x}, {a: y}", "twice"),
        ("production", "against"),
    ],
)
def test_names_that_cannot_be(project: Path, written: str, word: str) -> None:
    recipe = project / "small.yaml"
    recipe.write_text(recipe.read_text().replace("suite: pocket", f"suite: pocket, against: [base, {written}]"))
    with pytest.raises(RecipeError, match=word):
        read_recipe(recipe)
