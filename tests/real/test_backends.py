"""Arms of different backends in one run: examples/backends.yaml with fewer steps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datakit.experiment.arms import cell_keys, cells
from datakit.experiment.recipe import read_recipe
from datakit.experiment.run import run

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.real
@pytest.mark.filterwarnings("default")  # what TRL and accelerate warn of is theirs
def test_the_backends_example(tmp_path: Path, real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl")
    monkeypatch.setenv("DATAKIT_REAL_DATA", str(real_data))
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    recipe = tmp_path / "backends.yaml"
    text = (EXAMPLES / "backends.yaml").read_text(encoding="utf-8").replace("steps: 40", "steps: 8")
    recipe.write_text(
        text.replace("steps: 6", "steps: 2").replace("limit: 40", "limit: 2").replace("limit: 1000", "limit: 200"),
        encoding="utf-8",
    )
    (tmp_path / "rewards.py").write_text((EXAMPLES / "rewards.py").read_text(encoding="utf-8"), encoding="utf-8")
    out = run(recipe, output=tmp_path / "run").folder
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    arms = {arm["name"]: arm for arm in report["arms"]}
    assert list(arms) == ["ours", "trl", "reward"]
    losses = {}
    for name in arms:
        record = json.loads((out / "models" / f"{name}-1" / "train.json").read_text(encoding="utf-8"))
        losses[name] = record["validation_loss"]
    assert losses["trl"] == pytest.approx(losses["ours"], rel=0.02)
    assert losses["ours"] < losses["reward"]

    opened = read_recipe(recipe)
    keys = [cell_keys(opened, cells(opened), out / "data", out / "data")]
    (tmp_path / "rewards.py").write_text((tmp_path / "rewards.py").read_text().replace("1 /", "2 /"))
    keys.append(cell_keys(opened, cells(opened), out / "data", out / "data"))
    changed = [cell.arm for cell in keys[0] if keys[0][cell] != keys[1][cell]]
    assert changed == ["reward"], "another reward is another training"
