"""Weights between the base and an arm of a run with the pocket model: ends, choice, what is written and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import evalkit.choice
import train
from datakit.core.errors import DatakitError, UsageError
from datakit.experiment import interpolate as module
from datakit.experiment.interpolate import interpolate
from datakit.experiment.layout import Layout
from datakit.experiment.run import run
from datakit.pocket import write_task

BUDGET = 0.1
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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run; its evidence store serves all tests."""
    folder = tmp_path_factory.mktemp("interpolate")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATAKIT_CACHE", str(folder / "cache"))
        write_task(folder, seed=3, rows=80)
        (folder / "small.yaml").write_text(RECIPE)
        run(folder / "small.yaml", output=folder / "out")
        yield folder / "out"


@pytest.mark.slow
def test_between_base_and_arm(finished: Path, tmp_path: Path) -> None:
    out = finished
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


@pytest.mark.slow
@pytest.mark.parametrize("removed", ["", "the budget", "the way between"])
def test_the_choice_keeps_most_and_not_without_its_terms(
    removed: str, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Removed are the budget, and then the way from base to arm: every alpha is the tuned model."""
    shutil.copytree(finished, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "interpolated", ignore_errors=True)
    if removed == "the budget":
        choose = evalkit.choice.choose_under
        monkeypatch.setattr(
            evalkit.choice, "choose_under", lambda before, logs, budget, **own: choose(before, logs, 1.0, **own)
        )
    if removed == "the way between":
        monkeypatch.setattr(
            train, "interpolate_weights", lambda base, tuned, alpha, into: Path(shutil.copytree(tuned, into))
        )
    (curve,) = interpolate(Layout(tmp_path / "out"), "full", [0.5, 1.0], budget=BUDGET).curves.curves
    assert curve.choice is not None
    assert curve.choice.at == {"": 50, "the budget": 100, "the way between": None}[removed]
    kept = curve.choice.comparison
    lost = {"": False, "the budget": True}
    if kept is not None and kept.suite_mean is not None:
        assert (-kept.suite_mean.difference > BUDGET) is lost[removed], "on the items it was not chosen with"


@pytest.mark.parametrize(
    ("alphas", "message"), [([0.5, 0.5], "rise"), ([1.5], "0 to 1"), ([0.333], "hundredths"), ([], "0 to 1")]
)
def test_alphas_that_are_none(alphas: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        module._per_cent(alphas)
