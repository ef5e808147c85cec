"""The whole loop on real parts: what stands where, what is not done twice, what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from datakit.core.errors import DatakitError, NewerFormat, UsageError
from datakit.core.storage import read_table
from datakit.experiment.events import Event
from datakit.experiment.run import run


def stamps(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


@pytest.mark.slow
def test_the_whole_loop_leaves_data_models_logs_and_reports_and_is_not_done_twice(project: Path) -> None:
    heard: list[Event] = []
    first = run(project / "small.yaml", output=project / "out", listen=heard.append)
    out = first.folder
    assert (out / "recipe.yaml").read_bytes() == (project / "small.yaml").read_bytes()
    for name in ("report.html", "report.md", "report.json", "data/README.md"):
        assert (out / name).stat().st_size > 0
    assert {path.name for path in (out / "models").iterdir() if path.is_dir()} == {"full-1", "lora-1"}
    assert (out / "models/lora-1/adapter_model.safetensors").is_file()
    assert (out / "models/full-1/model.safetensors").is_file()
    for name in ("base", "full-1", "lora-1"):
        assert (out / "evals" / name / "task.parquet").is_file()
        assert (out / "evals" / name / "pocket.parquet").is_file()
    for name in ("full-1", "lora-1"):
        moved = read_table(out / "evals" / name / "task.parquet").column("kl_to_base").to_pylist()
        assert any(value is not None and value > 0 for value in moved), "KL to the base on the task's prompts"
    noise = json.loads((out / "evals/base/pocket.json").read_text())["recorded"]["noise"]
    assert 0 < noise["items"] <= 200
    report = json.loads((out / "report.json").read_text())
    assert {arm["name"] for arm in report["arms"]} == {"full", "lora"}
    assert {event.stage for event in heard} >= {"build", "train", "evaluate", "report"}
    assert any("⟦" in event.text for event in heard), "the trained tokens are shown"

    before = stamps(out)
    again: list[Event] = []
    run(project / "small.yaml", output=out, listen=again.append)
    assert stamps(out) == before, "nothing was trained again"
    assert [event.text for event in again if event.stage == "train" and event.final] == [
        "full         done before",
        "lora         done before",
    ]


@pytest.mark.slow
def test_one_cell_is_trained_on_request_and_a_changed_arm_alone_is_trained_again(project: Path) -> None:
    recipe = project / "small.yaml"
    out = run(recipe, output=project / "out", arm="lora", seed=2).folder
    assert [path.name for path in (out / "models").iterdir() if path.is_dir()] == ["lora-2"]
    run(recipe, output=out)
    before = stamps(out)
    recipe.write_text(recipe.read_text().replace("rank: 4, learning_rate: 1e-3", "rank: 4, learning_rate: 2e-3"))
    run(recipe, output=out)
    after = stamps(out)
    assert {name for name in after if after[name] != before[name]} == {"models/lora-1/adapter_model.safetensors"}


@pytest.mark.slow
def test_a_grid_keeps_the_point_with_the_lowest_validation_loss(project: Path) -> None:
    recipe = project / "small.yaml"
    recipe.write_text(
        recipe.read_text().replace("rank: 4, learning_rate: 1e-3", "rank: 4, learning_rate: [1e-6, 3e-3]")
    )
    out = run(recipe, output=project / "out", arm="lora").folder
    cell = json.loads((out / "models/lora-1/cell.json").read_text())
    losses = {point["learning_rate"]: point["validation_loss"] for point in cell["grid"]}
    kept = json.loads((out / "models/lora-1/train.json").read_text())
    assert kept["arm"]["learning_rate"] == min(losses, key=losses.__getitem__) == 3e-3
    assert [path.name for path in (out / "models").iterdir() if path.is_dir()] == ["lora-1"]


@pytest.mark.slow
def test_a_killed_grid_goes_on_where_it_was(project: Path) -> None:
    class Killed(BaseException):
        pass

    def train_only(name: str, listen: Callable[[Event], None]) -> Path:
        def heard(event: Event) -> None:
            listen(event)
            if event.stage == "evaluate":
                raise Killed

        with pytest.raises(Killed):
            run(recipe, output=project / name, arm="lora", listen=heard)
        return project / name / "models/lora-1"

    def kill_in_the_second_point(event: Event) -> None:
        if event.stage == "train" and event.fraction is not None and not event.final:
            done.append(event.fraction)
            if 1.0 in done[:-1] and 0.5 < event.fraction < 1.0:
                raise Killed

    recipe, done, heard = project / "small.yaml", [], []
    settings = "rank: 4, save_every: 2, dropout: 0.1, learning_rate: [3e-3, 1e-6]"
    recipe.write_text(recipe.read_text().replace("rank: 4, learning_rate: 1e-3", settings))
    whole = train_only("whole", lambda event: None)
    train_only("out", kill_in_the_second_point)
    out = train_only("out", heard.append)
    trained = [event for event in heard if event.stage == "train" and event.subject == "lora-1"]
    assert trained.pop(0).text == "lora-1 · loading the model, looking at rows"
    assert trained[0].text.split()[1:6] == ["goes", "on", "after", "step", "2"]
    assert [event.fraction for event in trained[1:] if not event.final] == pytest.approx([3 / 6, 4 / 6, 5 / 6, 1])
    assert (out / "cell.json").read_bytes() == (whole / "cell.json").read_bytes()
    assert [path.name for path in out.parent.iterdir() if path.is_dir()] == ["lora-1"]


def test_what_cannot_be_right_is_refused_with_file_line_and_key(project: Path) -> None:
    recipe = project / "small.yaml"
    text = recipe.read_text()
    wrong = {
        "rank: 4": ("rank: four", r"small\.yaml:16: arms\.lora\.rank: "),
        "from: general": ("from: generl", r"small\.yaml:15: arms\.full\.replay\.from: no source 'generl'"),
        "suite: pocket": ("suit: pocket", r"small\.yaml:17: evaluate\.suit: "),
        "threshold: 0.8": ("threshold: 8", r"small\.yaml:10: data\.steps\.1\.dedup\.threshold: "),
        "- split:": ("- spilt:", r"data\.steps\.2.*spilt.*split"),
        "task: test, suite: pocket": ("task: null", r"small\.yaml:17: evaluate: neither a task nor a suite"),
    }
    for old, (new, message) in wrong.items():
        written = text.replace(old, new)
        recipe.write_text(written if new != "task: null" else written.replace("model: pocket", "model: somewhere/else"))
        with pytest.raises(DatakitError, match=message) as caught:
            run(recipe, output=project / "out")
        assert "\n" not in str(caught.value)
        assert not (project / "out").exists(), "nothing half-written"


def test_an_unknown_arm_a_foreign_folder_and_a_newer_run_are_refused(project: Path) -> None:
    recipe = project / "small.yaml"
    with pytest.raises(UsageError, match=r"no arm 'lroa'.*Did you mean 'lora'"):
        run(recipe, output=project / "out", arm="lroa")
    foreign = project / "foreign" / "data"
    foreign.mkdir(parents=True)
    (foreign / "train-measured.parquet").write_text("mine")
    with pytest.raises(DatakitError, match="data"):
        run(recipe, output=foreign.parent)
    assert (foreign / "train-measured.parquet").read_text() == "mine"
    (project / "newer").mkdir()
    (project / "newer" / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(NewerFormat, match="format 99"):
        run(recipe, output=project / "newer")


def test_a_model_that_is_none_is_one_line(project: Path) -> None:
    recipe = project / "small.yaml"
    text = recipe.read_text()
    (project / "empty").mkdir()
    for model, message in {
        "empty": r"the folder has no config\.json",
        "pokcet": "Did you mean 'pocket'",
        "no-such-org/no-such-model": r"network: never, and 1 thing is missing: model 'no-such-org/no-such-model'",
    }.items():
        recipe.write_text(text.replace("model: pocket", f"model: {model}\nnetwork: never"))
        with pytest.raises(DatakitError, match=message):
            run(recipe, output=project / "out")
