"""Weights between the base and an arm of a run with the pocket model: ends, choice, what is written and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from datakit.core.errors import DatakitError, UsageError
from datakit.experiment import interpolate as module
from datakit.experiment.interpolate import interpolate
from datakit.experiment.layout import Layout
from datakit.experiment.run import run
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
seeds: [1]
arms:
  full: {adapter: full, learning_rate: 3e-3, steps: 12}
  lora: {learning_rate: 1e-2, steps: 6}
evaluate: {suite: pocket, limit: 24}
"""


@pytest.mark.slow
def test_between_base_and_arm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    write_task(tmp_path, seed=3, rows=80)
    (tmp_path / "small.yaml").write_text(RECIPE)
    out = tmp_path / "out"
    run(tmp_path / "small.yaml", output=out)
    found = interpolate(Layout(out), "full", [0.0, 0.5, 1.0], budget=0.02, output=tmp_path / "model")
    (curve,) = found.curves.curves
    report = json.loads((out / "report.json").read_text())
    arm = next(entry for entry in report["arms"] if entry["name"] == "full")
    first, half, last = ({row.task: row.difference for row in p.comparison.general} for p in curve.points)
    assert set(first.values()) == {0.0}, "0 is the base"
    assert last == {row["task"]: row["difference"] for row in arm["general"]}, "1 is the arm of the report"
    assert sum(half.values()) > sum(last.values()), "half the way forgets less"
    assert curve.choice is not None
    assert curve.choice.at in (0, 50)
    assert (found.model or tmp_path).joinpath("model.safetensors").is_file()
    assert not (out / ".interpolated").exists()
    page = (out / "interpolate.html").read_text()
    assert "between the base and the tuned model" in page
    assert str(tmp_path) not in page
    adapter = interpolate(Layout(out), "lora", [0.5], budget=1.0, output=tmp_path / "adapter").model
    assert (adapter or tmp_path).joinpath("adapter_config.json").is_file()
    with pytest.raises(DatakitError, match="no alpha keeps to the budget"):
        interpolate(Layout(out), "full", [1.0], budget=0.0, output=tmp_path / "none")
    with pytest.raises(UsageError, match="no arm 'other'"):
        interpolate(Layout(out), "other", [0.5])


@pytest.mark.parametrize(
    ("alphas", "message"), [([0.5, 0.5], "rise"), ([1.5], "0 to 1"), ([0.333], "hundredths"), ([], "0 to 1")]
)
def test_alphas_that_are_none(alphas: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        module._per_cent(alphas)
