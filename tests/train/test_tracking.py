"""Trackers get numbers alone; TensorBoard's files hold what happened."""

from __future__ import annotations

import importlib.util

import pytest

from train import Arm, Flat, StepDone, TrainError, fit, step_course
from train.journal import Journal

ARM = Arm(adapter="full", learning_rate=1e-2, steps=4, batch_size=4, track=["tensorboard"], save_every=2)


def curves(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder))
    found.Reload()
    return {tag: {entry.step: entry.value for entry in found.Scalars(tag)} for tag in found.Tags()["scalars"]}


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_shows_the_history_and_no_text(model_folder, dataset, tmp_path):
    secret = "kilimanjaro"
    data = dataset([(f"call {secret} now", secret)] * 8, [(f"no {secret}", "ok")])
    result = fit(ARM, model=model_folder, data=data, output=tmp_path / "out", probe=lambda model, step: {"drift": 0.5})
    folder = tmp_path / "tensorboard" / "out"
    found = curves(folder)
    losses = {entry["step"]: entry["loss"] for entry in result.history if "loss" in entry}
    checked = {entry["step"]: entry["validation_loss"] for entry in result.history if "validation_loss" in entry}
    assert found["train/loss"] == pytest.approx(losses, rel=1e-5)
    assert found["validation/loss"] == pytest.approx(checked, rel=1e-5)
    assert set(found["probe/drift"].values()) == {0.5}
    assert all(value > 1e6 for value in found["train/memory"].values())
    for file in folder.iterdir():
        assert secret.encode() not in file.read_bytes()


@pytest.mark.filterwarnings("ignore")
def test_a_training_that_goes_on_replaces_what_was_lost(model_folder, dataset, tmp_path):
    class Killed(BaseException):
        pass

    def kill(event):
        if isinstance(event, StepDone) and event.step == 3:
            raise Killed

    run = {"model": model_folder, "data": dataset(), "output": tmp_path / "out"}
    with pytest.raises(Killed):
        fit(ARM, progress=kill, **run)
    result = fit(ARM, **run)
    losses = {entry["step"]: entry["loss"] for entry in result.history if "loss" in entry}
    assert curves(tmp_path / "tensorboard" / "out")["train/loss"] == pytest.approx(losses, rel=1e-5)


def test_trackers_that_are_not_there(model_folder, dataset, tmp_path):
    run = {"model": model_folder, "data": dataset(), "output": tmp_path / "out"}
    with pytest.raises(TrainError, match=r"no tracker named 'paper'.*tensorboard"):
        fit(ARM.model_copy(update={"track": ["paper"]}), **run)
    for name in ("wandb", "mlflow"):
        if importlib.util.find_spec(name) is None:
            with pytest.raises(TrainError, match=f"{name} is not installed"):
                fit(ARM.model_copy(update={"track": [name]}), **run)


def test_a_step_says_pace_memory_and_time_left(model_folder, dataset, tmp_path):
    events = []
    fit(ARM, model=model_folder, data=dataset(), output=tmp_path / "out", progress=events.append)
    steps = [event for event in events if isinstance(event, StepDone)]
    assert steps[-1].seconds_left == 0 < steps[0].seconds_left
    assert steps[1].seconds_left == pytest.approx(steps[1].seconds, rel=0.5)  # half is done
    assert all(event.tokens_per_second == pytest.approx(event.tokens / event.seconds, rel=0.2) for event in steps)
    long = StepDone(9999, 10000, 12.3456, 1e-4, 1.0, 10**9, 10**9, 4000.0, 123456.0, 79 * 10**9, 35999.0)
    assert step_course(long) == "loss 12.346 · 9:59:59 left · 123k tok/s · 79.0 GB"
    assert len("train     ━━━━━━━━ 9999/10000 " + step_course(long)) <= 80
    assert step_course(StepDone(2, 4, 3.5, 1e-4, 1.0, 9, 9, 1.0)) == "loss 3.500", "another backend knows no more"


@pytest.mark.parametrize(("slope", "said"), [(0.0, True), (0.01, True), (-0.01, False)])
def test_a_loss_that_does_not_fall_is_said_once(slope, said):
    import torch

    events = []
    journal = Journal(100, events.append)
    journal.resume()

    class Row:
        trained_tokens, weight = 1, 1.0

        def __len__(self):
            return 1

    for step in range(1, 101):
        journal.count([Row()], torch.tensor(3.0 + slope * step))
        journal.log(step, learning_rate=1e-3, norm=torch.tensor(1.0))
    found = [event for event in events if isinstance(event, Flat)]
    assert len(found) == said
    assert not found or found[0].step == 30
