"""A watched training: when it looks, what ends it, which state is kept, and that a killed one goes on alike."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from datakit.core.errors import DiskFull
from datakit.core.storage import read_json
from train import Arm, TrainError, Watched, fit
from train.callbacks.watch import Watch
from train.config import Watching

SETTINGS = {"adapter": "full", "learning_rate": 2e-2, "batch_size": 8, "schedule": "constant", "warmup": 0.0}
OTHER = [("colour of snow?", "white"), ("capital of Spain?", "Madrid"), ("three and one?", "four")]


def lost(model, step):
    """Something that is lost steadily."""
    return {"forgetting": 0.01 * step}


def trained(model, data, output, *, steps=12, probe=lost, **watch):
    events = []
    arm = Arm(**SETTINGS, steps=steps, watch={"every": 2, **watch})
    result = fit(arm, model=model, data=data, output=output, probe=probe, progress=events.append)
    return result, read_json(output / "train.json"), [event for event in events if isinstance(event, Watched)]


def looked_at(result):
    return [entry["step"] for entry in result.history if "validation_loss" in entry]


def test_looks_every_so_many_steps_beside_the_epochs(model_folder, dataset, tmp_path):
    result, record, told = trained(model_folder, dataset(), tmp_path / "out", steps=5, every=3)
    assert looked_at(result) == [0, 1, 2, 3, 4, 5]  # an epoch has one step
    long = [(f"{prompt} {number}", answer) for number in range(3) for prompt, answer in OTHER]
    result, record, told = trained(model_folder, dataset(long * 2), tmp_path / "long", steps=5, every=2)
    assert looked_at(result) == [0, 2, 3, 4, 5]  # and one of three
    assert record["ended"] is None
    assert record["kept_step"] is None
    assert not told


@pytest.mark.parametrize("removed", [False, True])
def test_ends_where_too_much_is_lost_and_not_without_the_limit(removed, model_folder, dataset, tmp_path, monkeypatch):
    if removed:
        monkeypatch.setattr(Watch, "_over", lambda self, name, limit, measured: None)
    result, record, told = trained(model_folder, dataset(), tmp_path / "out", stop={"forgetting": 0.055})
    if removed:
        assert (result.steps, record["ended"]) == (12, None)
        return
    assert result.steps == record["steps"] == 6
    assert record["ended"] == "forgetting 0.06 is over 0.055 at step 6"
    assert [(event.step, event.kept) for event in told] == [(6, 6)]
    assert math.isfinite(record["train_loss"])


@pytest.mark.parametrize("removed", [False, True])
def test_the_best_state_is_kept_and_not_where_the_last_is(removed, model_folder, dataset, tmp_path, monkeypatch):
    """Learning eight rows by heart makes other rows ever less likely: the best state lies early."""
    if removed:
        monkeypatch.setattr(Watch, "put_back", lambda self, model, step: step)
    data = dataset(validation=OTHER)
    result, record, told = trained(model_folder, data, tmp_path / "out", steps=40, keep="best")
    losses = {entry["step"]: entry["validation_loss"] for entry in result.history if "validation_loss" in entry}
    best = min((step for step in losses if step), key=losses.get)
    assert best < 40
    assert losses[40] > losses[best]
    if removed:
        assert record["kept_step"] is None
        assert result.validation_loss == losses[40]
        return
    assert record["kept_step"] == best
    assert result.validation_loss == record["validation_loss"] == losses[best]
    assert [(event.kept, event.why) for event in told] == [(best, None)]
    short = Arm(**SETTINGS, steps=best)
    fit(short, model=model_folder, data=data, output=tmp_path / "short")
    ours, expected = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "short"))
    assert all(torch.equal(ours[name], value) for name, value in expected.items())
    assert not list(tmp_path.glob(".out.best*"))


def test_the_best_state_is_within_the_limits(model_folder, dataset, tmp_path):
    """The state that passed the limit has the lowest validation loss, and is not kept."""
    result, record, _ = trained(model_folder, dataset(), tmp_path / "out", keep="best", stop={"forgetting": 0.055})
    assert record["steps"] == 6
    assert record["kept_step"] == 5
    losses = {entry["step"]: entry["validation_loss"] for entry in result.history if "validation_loss" in entry}
    assert losses[6] < losses[5] == result.validation_loss


def test_a_killed_training_goes_on_to_the_same_state(model_folder, dataset, tmp_path):
    data = dataset(validation=OTHER)
    arm = Arm(**SETTINGS, steps=30, save_every=5, watch={"every": 2, "keep": "best"})

    class Killed(BaseException):
        pass

    def dies(model, step):
        if step == 23:
            raise Killed
        return {}

    with pytest.raises(Killed):
        fit(arm, model=model_folder, data=data, output=tmp_path / "out", probe=dies)
    assert list(tmp_path.glob(".out.best*"))
    fit(arm, model=model_folder, data=data, output=tmp_path / "out", probe=lambda model, step: {})
    fit(arm, model=model_folder, data=data, output=tmp_path / "whole", probe=lambda model, step: {})
    ours, whole = (tmp_path / name / "model.safetensors" for name in ("out", "whole"))
    assert ours.read_bytes() == whole.read_bytes()
    kept = [read_json(tmp_path / name / "train.json")["kept_step"] for name in ("out", "whole")]
    assert kept[0] == kept[1] < 20


def test_what_cannot_be_watched_is_refused(model_folder, dataset, tmp_path):
    with pytest.raises(TrainError, match="does not measure 'loss'") as caught:
        trained(model_folder, dataset(), tmp_path / "out", stop={"loss": 1})
    assert "forgetting" in str(caught.value.hint)


def test_a_best_state_needs_a_validation_split(model_folder, dataset, tmp_path):
    with pytest.raises(TrainError, match="no validation split"):
        trained(model_folder, dataset(validation=[]), tmp_path / "out", keep="best")


def test_a_best_state_whose_file_is_gone_is_forgotten(tmp_path):
    watch = Watch(Watching(every=1, keep="best"), tmp_path / "out")
    watch.restore({"best": 7, "loss": 0.5, "ended": None})
    assert watch.best is None


def test_a_full_disk_while_the_best_state_is_kept(model_folder, dataset, tmp_path, monkeypatch):
    def full(*arguments, **named):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(DiskFull, match="no space left on the disk"):
        trained(model_folder, dataset(), tmp_path / "out", keep="best")
