"""Choosing a backend, handing a training to it, and what is looked at afterwards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from datakit.core.storage import read_json, write_table
from train import Arm, TrainError, fit
from train.backends import BACKENDS, BackendSettings, Outcome

SHORT = {"steps": 2, "batch_size": 4}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "mok"}, "no backend named 'mok'; Did you mean 'mock'"),
        ({"backend": {"mock": {"sizes": 1}}}, "backend.mock.sizes"),
        ({"backend": {"mock": {"size": -1}}}, "backend.mock.size: Input should be greater than 0"),
        ({"backend": {"mock": {}, "native": {}}}, "a name is wanted"),
        ({"backend": 3}, "a name is wanted"),
        ({"backend": {"native": {"size": 1}}}, "backend.native.size"),
        ({"backend": {"command": {"run": "x"}}, "checkpoints": 2}, "checkpoints: backend 'command' does not follow"),
        ({"backend": {"command": {"run": "x"}}, "precision": "float32", "replay": {"from": "g"}}, None),
        ({"backend": {"mock": {"size": 0.5}}, "rank": 3}, None),
    ],
)
def test_what_an_arm_may_say_of_its_backend(settings, message):
    if message is None:
        arm = Arm(**settings)
        assert Arm.model_validate_json(arm.model_dump_json(by_alias=True, exclude_none=True)) == arm
        return
    with pytest.raises(ValidationError, match=message.replace(".", r"\.")):
        Arm(**settings)


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_what_preference_data_gives_is_measured_against_the_start_model(adapter, model_folder, table, tmp_path):
    rows = [
        {"turns": [("user", "which?"), ("assistant", f"this {number}")], "worse": f"that {number}"}
        for number in range(4)
    ]
    for split in ("train", "validation"):
        write_table(tmp_path / "data" / f"{split}-00000.parquet", table(*rows))
    arm = Arm(objective="dpo", adapter=adapter, backend={"mock": {"size": 1e-4}}, **SHORT)
    result = fit(arm, model=model_folder, data=tmp_path / "data", output=tmp_path / "out")
    assert result.validation_loss == pytest.approx(0.6931, abs=0.01)
    assert result.validation_loss != pytest.approx(0.69314718, abs=1e-7)


@pytest.mark.parametrize("adapter", ["full", "lora", "loreft"])
def test_mock_stands_for_a_training(adapter, model_folder, dataset, tmp_path):
    arm = Arm(adapter=adapter, backend="mock", **SHORT)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        result = fit(arm, model=model_folder, data=dataset(), output=tmp_path / name, seed=seed)
    native = fit(Arm(adapter=adapter, **SHORT), model=model_folder, data=dataset(), output=tmp_path / "native")
    file = next((tmp_path / "a").glob("*.safetensors")).name
    assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes()
    assert {path.name for path in result.folder.iterdir()} == {path.name for path in native.folder.iterdir()}
    found, ours = read_json(result.folder / "train.json"), read_json(native.folder / "train.json")
    assert found.keys() == ours.keys()
    for key in ("rows", "steps", "data_digest", "model_digest", "trainable_parameters", "total_parameters", "bytes"):
        assert found[key] == ours[key], key
    assert found["arm"]["backend"] == "mock"
    assert found["train_loss"] is None
    assert found["history"] == [{"step": 2, "validation_loss": pytest.approx(result.validation_loss)}]
    assert "backend `mock`" in (result.folder / "README.md").read_text()
    assert not list(tmp_path.glob(".*"))


def test_the_validation_loss_is_measured_on_what_was_written_as_our_loop_measures_it(model_folder, dataset, tmp_path):
    untouched = fit(
        Arm(adapter="full", backend={"mock": {"size": 1e-6}}, **SHORT),
        model=model_folder,
        data=dataset(),
        output=tmp_path / "mock",
    )
    ours = fit(Arm(adapter="full", **SHORT), model=model_folder, data=dataset(), output=tmp_path / "ours")
    assert untouched.validation_loss == pytest.approx(ours.history[0]["validation_loss"], rel=1e-4)
    assert untouched.validation_loss != pytest.approx(ours.validation_loss, rel=1e-4)


@pytest.mark.parametrize("adapter", ["lora", "loreft"])
def test_the_validation_loss_of_an_adapter_is_measured_as_our_loop_measures_it(
    adapter, model_folder, dataset, tmp_path
):
    """An intervention changes the prompt alone, so it has to be told where that ends."""
    arm = Arm(adapter=adapter, backend={"mock": {"size": 1e-6}}, **SHORT)
    written = fit(arm, model=model_folder, data=dataset(), output=tmp_path / "mock", seed=2)
    ours = fit(Arm(adapter=adapter, **SHORT), model=model_folder, data=dataset(), output=tmp_path / "ours", seed=2)
    assert written.validation_loss == pytest.approx(ours.history[0]["validation_loss"], rel=1e-4)


class Writes:
    """A third-party backend that writes whatever a test tells it."""

    Params = BackendSettings
    follows = frozenset()
    loads = False
    write = staticmethod(lambda folder, base: None)

    def check(self, arm, settings):
        return "it trains full models alone" if arm.adapter != "full" else None

    def train(self, job, folder):
        type(self).write(folder, job.ready.folder)
        return Outcome(1.0, history=[{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0}])


@pytest.fixture
def writes(monkeypatch):
    monkeypatch.setitem(BACKENDS.builtin, "writes", "writes_of_a_test:Writes")
    module = type(pytest)("writes_of_a_test")
    module.Writes = Writes
    monkeypatch.setitem(__import__("sys").modules, "writes_of_a_test", module)

    def use(function):
        monkeypatch.setattr(Writes, "write", staticmethod(function))

    return use


def copied(folder: Path, base: Path, change) -> None:
    tensors = load_file(base / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_bytes((base / "config.json").read_bytes())


def nothing(tensors):
    pass


def nan(tensors):
    tensors["model.norm.weight"][3] = torch.nan


def moved(tensors):
    tensors["model.norm.weight"] += 0.5


def lost(tensors):
    moved(tensors)
    del tensors["model.layers.1.mlp.up_proj.weight"]


def garbage(folder, base):
    (folder / "model.safetensors").write_bytes(b"\x08" + bytes(40))
    (folder / "config.json").write_bytes((base / "config.json").read_bytes())


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda folder, base: None, "no .safetensors weights were written"),
        (lambda folder, base: (folder / "pytorch_model.bin").write_bytes(b"x"), "There is: pytorch_model.bin"),
        (garbage, "model.safetensors is not readable"),
        (lambda folder, base: save_file({}, folder / "model.safetensors"), "without config.json, adapter_config"),
        (lambda folder, base: copied(folder, base, nothing), "is the base model, unchanged"),
        (lambda folder, base: copied(folder, base, nan), "'model.norm.weight' holds NaN"),
        (lambda folder, base: copied(folder, base, lost), "1 weights are missing, 'model.layers.1.mlp.up_proj.weight'"),
    ],
)
def test_what_a_backend_writes_is_looked_at(write, message, writes, model_folder, dataset, tmp_path):
    writes(write)
    arm = Arm(adapter="full", backend="writes", **SHORT)
    with pytest.raises(TrainError) as caught:
        fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out")
    assert message in f"{caught.value} {caught.value.hint}"
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_is_good_is_taken(writes, model_folder, dataset, tmp_path):
    writes(lambda folder, base: copied(folder, base, moved))
    result = fit(
        Arm(adapter="full", backend="writes", **SHORT), model=model_folder, data=dataset(), output=tmp_path / "out"
    )
    assert result.train_loss == 1.5
    assert result.history[-1]["validation_loss"] == result.validation_loss
    assert (result.folder / "tokenizer.json").read_bytes() == (model_folder / "tokenizer.json").read_bytes()


def test_an_adapter_that_does_nothing_is_refused(writes, model_folder, dataset, tmp_path):
    fit(Arm(backend="mock", rank=2, **SHORT), model=model_folder, data=dataset(), output=tmp_path / "good")

    def write(folder, base):
        tensors = load_file(tmp_path / "good" / "adapter_model.safetensors")
        zero = {name: value * 0 if "lora_B" in name else value for name, value in tensors.items()}
        save_file(zero, folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_bytes((tmp_path / "good" / "adapter_config.json").read_bytes())

    writes(write)
    with pytest.raises(TrainError, match="says exactly what its base says"):
        fit(Arm(adapter="full", backend="writes", **SHORT), model=model_folder, data=dataset(), output=tmp_path / "out")


def test_a_backend_says_why_it_cannot_train_an_arm(writes):
    with pytest.raises(ValidationError, match="backend writes: it trains full models alone"):
        Arm(adapter="lora", backend="writes")
    with pytest.raises(ValidationError, match="learning_rate: backend 'writes' does not follow"):
        Arm(adapter="full", backend="writes", learning_rate=1e-3)


def test_a_probe_is_refused_where_nobody_would_call_it(model_folder, dataset, tmp_path):
    with pytest.raises(TrainError, match="a probe looks at our own loop"):
        fit(
            Arm(backend="mock", **SHORT),
            model=model_folder,
            data=dataset(),
            output=tmp_path / "out",
            probe=lambda model, step: {},
        )


def test_the_log_tells_the_events(model_folder, dataset, tmp_path):
    fit(Arm(backend="mock", **SHORT), model=model_folder, data=dataset(), output=tmp_path / "out")
    lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["preflight", *["checked"] * 3, "started", "validated", "finished"]
