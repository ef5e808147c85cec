"""States kept on the way are what a shorter training would have given, and keeping them changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from datakit.core.storage import read_json
from train import Arm, Diverged, Every, fit
from train.callbacks.keep import kept_steps

ARMS = {
    "full": Arm(adapter="full", learning_rate=1e-2, steps=4, batch_size=4, schedule="constant", warmup=0),
    "lora": Arm(rank=2, learning_rate=1e-2, steps=4, batch_size=4, schedule="constant", warmup=0),
}


def weights(folder):
    return {file.name: file.read_bytes() for file in folder.glob("*.safetensors")}


@pytest.mark.parametrize("base", ["model_folder", "bfloat16_folder"])
@pytest.mark.parametrize("name", list(ARMS))
def test_a_checkpoint_is_a_shorter_training(name, base, dataset, tmp_path, request):
    model, data = request.getfixturevalue(base), dataset()
    kept = ARMS[name].model_copy(update={"checkpoints": Every(every=1)})
    fit(kept, model=model, data=data, output=tmp_path / "kept", seed=1)
    fit(ARMS[name], model=model, data=data, output=tmp_path / "plain", seed=1)
    assert weights(tmp_path / "kept") == weights(tmp_path / "plain")

    listed = read_json(tmp_path / "kept" / "train.json")["checkpoints"]
    assert [entry["step"] for entry in listed] == [1, 2, 3]
    for entry in listed:
        short = ARMS[name].model_copy(update={"steps": entry["step"]})
        fit(short, model=model, data=data, output=tmp_path / "short", seed=1)
        folder = tmp_path / "kept" / entry["folder"]
        assert weights(folder) == weights(tmp_path / "short")
        assert (folder / "tokenizer.json").is_file()
    assert not list(tmp_path.glob(".*")), "nothing is left beside the folder"


def test_without_the_key_nothing_is_kept(model_folder, dataset, tmp_path):
    fit(ARMS["full"], model=model_folder, data=dataset(), output=tmp_path / "out")
    assert not (tmp_path / "out" / "checkpoints").exists()
    assert read_json(tmp_path / "out" / "train.json")["checkpoints"] == []


def test_a_training_that_fails_leaves_no_states(model_folder, dataset, tmp_path):
    wild = ARMS["full"].model_copy(update={"learning_rate": 1e30, "clip": None, "checkpoints": Every(every=1)})
    with pytest.raises(Diverged):
        fit(wild, model=model_folder, data=dataset(), output=tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir() if "checkpoints" in entry.name] == []


@given(wanted=st.integers(1, 50), steps=st.integers(1, 400))
def test_a_number_of_checkpoints_is_evenly_spaced(wanted, steps):
    found = kept_steps(wanted, steps)
    assert len(found) == min(wanted, steps - 1)
    gaps = [after - before for before, after in zip((0, *found), (*found, steps), strict=True)]
    assert all(gap > 0 for gap in gaps)
    assert max(gaps) - min(gaps) <= 1 or len(found) == steps - 1


@pytest.mark.parametrize("wrong", [0, -1, {"every": 0}, {"each": 5}, "often"])
def test_what_is_no_number_of_checkpoints(wrong):
    with pytest.raises(ValidationError):
        Arm.model_validate({"checkpoints": wrong})
