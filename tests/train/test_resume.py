"""A training that was killed and called again ends with the same bytes as one that was left alone."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from datakit.core.chat import ChatSettings
from datakit.core.errors import DiskFull, StorageError
from tests.train.resuming import Killed, facts, flipped, killed_at, logged_steps, only, start_training, states, weights
from train import Arm, Diverged, Every, Resumed, Stopped, TrainError, fit

ARMS = {
    "lora with dropout": Arm(
        rank=2, dropout=0.3, learning_rate=1e-2, steps=8, batch_size=2, accumulate=3, save_every=3
    ),
    "full": Arm(
        adapter="full", learning_rate=1e-2, steps=8, batch_size=3, accumulate=2, save_every=4, weight_decay=0.1
    ),
}


@pytest.mark.parametrize("arm", list(ARMS.values()), ids=list(ARMS))
@pytest.mark.parametrize("killed", [5, 8])
def test_goes_on_bit_for_bit(arm, killed, model_folder, dataset, tmp_path):
    arm, data = arm.model_copy(update={"checkpoints": Every(every=2)}), dataset()
    run = {"model": model_folder, "data": data, "seed": 3}

    def probe(model, step):  # draws, as dropout does
        return {"drawn": float(torch.rand(1)), "python": random.random(), "numpy": float(np.random.rand())}

    fit(arm, output=tmp_path / "whole", probe=probe, **run)
    with pytest.raises(Killed):
        fit(arm, output=tmp_path / "out", progress=killed_at(killed), probe=probe, **run)
    assert not (tmp_path / "out").exists()
    events = []
    fit(arm, output=tmp_path / "out", progress=events.append, probe=probe, **run)
    (resumed,) = only(events, Resumed)
    assert 0 < resumed.step < killed
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    for kept in ("step-000002", "step-000004", "step-000006"):
        assert weights(tmp_path / "out/checkpoints" / kept) == weights(tmp_path / "whole/checkpoints" / kept)
    assert facts(tmp_path / "out") == facts(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out", "whole"]


REST = {"replay": {"from": "general", "share": 0.3}, "l2": {"weight": 0.1}, "token_mask": {"quantile": 0.7}}
KEEPING = {
    "full": {"adapter": "full", "kl": {"weight": 0.5, "from": "general", "rows": 3}, **REST},
    "lora": {"rank": 2, "dropout": 0.3, "kl": {"weight": 0.5, "from": "general", "rows": 3}, **REST},
    "kl on trained tokens": {"adapter": "full", "kl": {"weight": 0.5}},
}


@pytest.mark.parametrize("settings", list(KEEPING.values()), ids=list(KEEPING))
def test_what_keeps_a_model_from_forgetting_goes_on_bit_for_bit(settings, model_folder, dataset, replay_file, tmp_path):
    """8 steps are 4 and 4; and in smaller batches, as after memory ran out, the same but for rounding."""
    arm = Arm(batch_size=4, accumulate=2, learning_rate=1e-2, steps=8, save_every=4, **settings)
    run = {"model": model_folder, "data": dataset(), "replay": {"general": replay_file}, "seed": 3}
    fit(arm, output=tmp_path / "whole", **run)
    for name, again in (("out", arm), ("cut", arm.model_copy(update={"batch_size": 2, "accumulate": 4}))):
        with pytest.raises(Killed):
            fit(arm, output=tmp_path / name, progress=killed_at(6), **run)
        events = []
        fit(again, output=tmp_path / name, progress=events.append, **run)
        assert only(events, Resumed)[0].step == 4
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert facts(tmp_path / "out") == facts(tmp_path / "whole")
    if "dropout" not in settings:
        file = next((tmp_path / "whole").glob("*.safetensors"))
        for name, value in load_file(file).items():
            torch.testing.assert_close(load_file(tmp_path / "cut" / file.name)[name], value, rtol=1e-2, atol=1e-3)


def test_killed_between_a_step_and_its_validation(model_folder, dataset, tmp_path):
    arm, run = ARMS["full"], {"model": model_folder, "data": dataset()}
    fit(arm, output=tmp_path / "whole", **run)
    with pytest.raises(Killed):
        fit(arm, output=tmp_path / "out", progress=killed_at(6, whole_step=True), **run)
    fit(arm, output=tmp_path / "out", **run)
    assert facts(tmp_path / "out") == facts(tmp_path / "whole")


def test_a_damaged_state_is_noticed_and_the_one_before_is_used(model_folder, dataset, tmp_path):
    arm, run = ARMS["lora with dropout"], {"model": model_folder, "data": dataset()}
    fit(arm, output=tmp_path / "whole", **run)
    for name, damage in (("state.json", flipped), ("state.json", Path.unlink)):
        with pytest.raises(Killed):
            fit(arm, output=tmp_path / "out", progress=killed_at(7), **run)
        assert states(tmp_path / "out") == ["step-000003", "step-000006"]
        damage(tmp_path / ".out.state" / "step-000006" / name)
        events = []
        fit(arm, output=tmp_path / "out", progress=events.append, **run)
        assert only(events, Resumed) == [Resumed(3, 8, ["step-000006"])]
        assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def test_where_every_state_is_damaged_it_begins_anew_and_says_so(model_folder, dataset, tmp_path):
    arm, run = ARMS["full"], {"model": model_folder, "data": dataset()}
    fit(arm, output=tmp_path / "whole", **run)
    with pytest.raises(Killed):
        fit(arm, output=tmp_path / "out", progress=killed_at(6), **run)
    flipped(tmp_path / ".out.state" / "step-000004" / "state.safetensors")
    events = []
    fit(arm, output=tmp_path / "out", progress=events.append, **run)
    assert only(events, Resumed) == [Resumed(0, 8, ["step-000004"])]
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def test_no_state_of_another_training_is_taken(model_folder, bfloat16_folder, dataset, tmp_path):
    arm, data = ARMS["full"], dataset()
    run = {"model": model_folder, "data": data, "output": tmp_path / "out", "seed": 1}
    with pytest.raises(Killed):
        fit(arm, progress=killed_at(6), **run)
    other = shutil.copytree(data, tmp_path / "other")
    shutil.copy(other / "validation-00000.parquet", other / "train-00000.parquet")
    changes = [
        {"seed": 2},
        {"chat": ChatSettings(system="Be brief.")},
        {"model": bfloat16_folder},
        {"data": other},
        {"arm": arm.model_copy(update={"learning_rate": 2e-2})},
        {"arm": arm.model_copy(update={"steps": 9})},
    ]
    for change in changes:
        events = []

        def stop(event, events=events):
            events.append(event)
            if type(event).__name__ == "StepDone":
                raise Killed

        with pytest.raises(Killed):
            fit(**{"arm": arm, **run, **change}, progress=stop)
        assert only(events, Resumed) == []
        assert events[-1].step == 1
        assert states(tmp_path / "out") == ["step-000004"], "what an earlier training saved is not thrown away yet"
    events = []
    fit(arm, progress=events.append, **run)
    assert only(events, Resumed)[0].step == 4


def test_the_first_state_of_another_training_takes_the_place(model_folder, dataset, tmp_path):
    arm = ARMS["full"].model_copy(update={"save_every": 2})
    run = {"model": model_folder, "data": dataset(), "output": tmp_path / "out"}
    with pytest.raises(Killed):
        fit(arm, progress=killed_at(7), **run)
    assert states(tmp_path / "out") == ["step-000004", "step-000006"]
    with pytest.raises(Killed):
        fit(arm, seed=7, progress=killed_at(3), **run)
    assert states(tmp_path / "out") == ["step-000002"]


def test_goes_on_with_smaller_batches_after_memory_ran_out(model_folder, dataset, tmp_path):
    arm, run = ARMS["full"], {"model": model_folder, "data": dataset(), "output": tmp_path / "out"}
    with pytest.raises(Killed):
        fit(arm, progress=killed_at(6), **run)
    events = []
    fit(arm.model_copy(update={"batch_size": 1, "accumulate": 6}), progress=events.append, **run)
    assert only(events, Resumed)[0].step == 4


def test_a_full_disk_keeps_the_last_good_state(model_folder, dataset, tmp_path, monkeypatch):
    import safetensors.torch

    arm, run = ARMS["full"].model_copy(update={"save_every": 2}), {"model": model_folder, "data": dataset()}
    fit(arm, output=tmp_path / "whole", **run)
    save = safetensors.torch.save_file

    def full(tensors, file):
        if "000006" in str(file):
            Path(file).write_bytes(b"half")
            raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
        save(tensors, file)

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(DiskFull, match=r"step-000006: no space left.*run it again") as caught:
        fit(arm, output=tmp_path / "out", **run)
    assert caught.value.exit_code == 7
    assert states(tmp_path / "out") == ["step-000002", "step-000004"]
    monkeypatch.setattr(safetensors.torch, "save_file", save)
    events = []
    fit(arm, output=tmp_path / "out", progress=events.append, **run)
    assert only(events, Resumed)[0].step == 4
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def test_a_model_that_could_not_be_written_is_only_written_again(model_folder, dataset, tmp_path, monkeypatch):
    import train.fitting

    arm, run = ARMS["full"], {"model": model_folder, "data": dataset(), "output": tmp_path / "out"}

    def full(*args, **kwargs):
        raise DiskFull("no space left on the disk")

    with monkeypatch.context() as patch:
        patch.setattr(train.fitting, "save", full)
        with pytest.raises(DiskFull):
            fit(arm, **run)
    events = []
    fit(arm, progress=events.append, **run)
    assert only(events, Resumed)[0].step == 8
    assert not [event for event in events if type(event).__name__ == "StepDone"]
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_nan_after_going_on_keeps_the_last_good_state(model_folder, dataset, tmp_path):
    """The weights blow up at step 3 and it is seen at step 4; called again it says the same and keeps the state."""
    arm = ARMS["full"].model_copy(update={"learning_rate": 1e18, "clip": None, "save_every": 1, "warmup": 0.0})
    for _ in range(2):
        with pytest.raises(Diverged, match="learning_rate") as caught:
            fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out")
        assert caught.value.exit_code == 5
        kept = states(tmp_path / "out")
        assert kept
    from safetensors.torch import load_file

    for value in load_file(tmp_path / ".out.state" / kept[-1] / "state.safetensors").values():
        assert not value.is_floating_point() or bool(torch.isfinite(value).all())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_for_the_step_and_its_state(number, model_folder, dataset, tmp_path):
    arm, run = ARMS["lora with dropout"].model_copy(update={"save_every": None}), {"model": model_folder}
    run["data"] = dataset()
    fit(arm, output=tmp_path / "whole", **run)
    events = []

    def progress(event):
        events.append(event)
        if type(event).__name__ == "StepDone" and event.step == 5 and not only(events, Resumed):
            signal.raise_signal(number)

    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(arm, output=tmp_path / "out", progress=progress, **run)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    (stopped,) = only(events, Stopped)
    assert (stopped.step, stopped.signal) == (6, number.name)  # looked for before the step's loss is
    assert states(tmp_path / "out") == ["step-000006"]
    fit(arm, output=tmp_path / "out", progress=progress, **run)
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert states(tmp_path / "out") == []


def test_a_second_signal_does_not_wait(model_folder, dataset, tmp_path):
    def progress(event):
        if type(event).__name__ == "StepDone" and event.step == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(ARMS["full"], model=model_folder, data=dataset(), output=tmp_path / "out", progress=progress)
    finally:
        signal.signal(signal.SIGINT, before)
    assert states(tmp_path / "out") == []


def test_states_that_cannot_be_written(model_folder, dataset, tmp_path):
    (tmp_path / ".out.state").write_text("in the way")
    with pytest.raises(StorageError, match="state"):
        fit(ARMS["full"], model=model_folder, data=dataset(), output=tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_goes_on_bit_for_bit(number, model_folder, dataset, tmp_path):
    data = dataset()

    def arguments(name):
        settings = ["--rank", 2, "--learning-rate", 1e-2, "--steps", 80, "--batch-size", 2, "--accumulate", 2]
        return [data, "-m", model_folder, "-o", tmp_path / name, *settings, "--save-every", 6]

    killed = start_training(*arguments("out"))
    while logged_steps(tmp_path / "out.log.jsonl") < 20:
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(number)
    printed, complaint = killed.communicate(timeout=60)
    assert killed.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143}[number], complaint
    assert not (tmp_path / "out").exists()
    if number != signal.SIGKILL:
        assert f"{number.name}: stopped after step" in printed
    again = start_training(*arguments("out"))
    printed, complaint = again.communicate(timeout=120)
    assert again.returncode == 0, complaint
    arm = Arm(rank=2, learning_rate=1e-2, steps=80, batch_size=2, accumulate=2, save_every=6)
    fit(arm, model=str(model_folder), data=data, output=tmp_path / "whole")
    assert "goes on after step" in printed
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert facts(tmp_path / "out") == facts(tmp_path / "whole")
    assert states(tmp_path / "out") == []


def test_an_output_of_someone_else_is_refused_before_anything(model_folder, dataset, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "theirs").write_text("")
    with pytest.raises(TrainError, match="not replaced"):
        fit(ARMS["full"], model=model_folder, data=dataset(), output=tmp_path / "out")
