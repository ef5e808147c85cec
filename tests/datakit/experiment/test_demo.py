"""The demo: settings are the grid's, its lesson is said only where it is shown, its folder has what it names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from datakit.core.yaml import load_yaml
from datakit.experiment.demo import Lesson, prepare
from datakit.experiment.recipe import read_recipe

ROOT = Path(__file__).resolve().parents[3]


def test_rates_and_steps_are_those_the_grid_chose(tmp_path: Path) -> None:
    chosen = json.loads((ROOT / "benchmarks" / "results" / "demo_grid.json").read_text())["chosen"]
    arms = read_recipe(prepare(tmp_path)).arms
    assert {name: (arm.learning_rate, arm.steps) for name, arm in arms.items()} == {
        name: (point["learning_rate"], point["steps"]) for name, point in chosen.items()
    }


def test_the_raw_files_depend_on_the_seed_alone(tmp_path: Path) -> None:
    def content(folder: Path, seed: int) -> dict[str, bytes]:
        prepare(folder, seed=seed)
        return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

    first = content(tmp_path / "a", 1)
    assert first == content(tmp_path / "b", 1)
    assert first["tickets.csv"] != content(tmp_path / "c", 2)["tickets.csv"]
    assert load_yaml(tmp_path / "c" / "demo.yaml").value["seeds"] == [2]


def test_a_lesson_is_said_only_where_it_is_shown() -> None:
    shown = Lesson(("sums", "format"), "lora", 0.05, (0.03, 0.07), 0.01, shown=True)
    assert shown.sentence() == (
        "full fine-tuning regressed on 2 general tasks; lora kept 5.0 points more of the general tasks [+3.0, +7.0] "
        "at 1.0 points less gain"
    )
    assert "does not show the lesson" in Lesson(("sums",), "lora", 0.01, (-0.01, 0.03), 0.0, shown=False).sentence()
    assert "does not show the lesson" in Lesson((), None, 0.0, (0.0, 0.0), 0.0, shown=False).sentence()


@pytest.mark.slow
def test_the_demo_shows_its_lesson_and_leaves_its_reports(tmp_path: Path) -> None:
    from datakit.cli.demo import command

    done = CliRunner().invoke(command, ["-o", str(tmp_path / "demo")], catch_exceptions=False)
    assert done.exit_code == 0
    for part in ("YOUR TASK", "GENERAL", "REGRESSED", "Three things to try", "lesson"):
        assert part in done.stdout
    report = json.loads((tmp_path / "demo" / "report.json").read_text(encoding="utf-8"))
    assert [arm["name"] for arm in report["arms"]] == ["full", "replay", "lora", "multitask"]
    full = report["arms"][0]
    assert sum(row["verdict"] == "regressed" for row in full["general"]) >= 2
    assert full["gains"][0]["verdict"] == "gained"
    # One seed may miss the lesson by a hair on another processor; five seeds are benchmarks/demo_seeds.py's. What the
    # demo says of it must be what the report holds.
    mean = {arm["name"]: arm["suite_mean"]["difference"] for arm in report["arms"]}
    gain = {arm["name"]: arm["gain"]["value"] for arm in report["arms"]}
    near = [name for name in mean if name != "full" and gain[name] >= gain["full"] - 0.05]
    best = max(near, key=lambda name: mean[name], default=None)
    assert ("does not show" in done.stdout) == (best is None or mean[best] <= mean["full"])
    assert best is None or f"{best} kept {100 * (mean[best] - mean['full']):.1f} points more" in done.stdout
    assert max(mean.values()) > mean["full"] + 0.1
    assert len(report["forgotten"]) == 3
    assert (tmp_path / "demo" / "report.html").stat().st_size > 10_000
