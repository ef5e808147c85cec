from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from datakit.cli.train import command
from datakit.core.errors import ModelError, UsageError


def call(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_trains_and_shows_what_is_trained(model_folder, dataset, tmp_path):
    result = call(dataset(), "-m", model_folder, "--steps", 3, "-o", tmp_path / "out", "--rank", 2)
    assert result.exit_code == 0
    assert "<s>capital of France?⟦ Paris</s>⟧" in result.stdout
    assert "validation loss" in result.stdout
    assert (tmp_path / "out" / "adapter_model.safetensors").exists()


def test_json_stands_alone_on_stdout(model_folder, dataset, tmp_path, replay_file):
    arguments = ["--adapter", "full", "--replay", replay_file, "--replay-share", 0.5, "--json"]
    result = call(dataset(), "-m", model_folder, "--steps", 2, "-o", tmp_path / "out", *arguments)
    found = json.loads(result.stdout)
    assert found["arm"]["replay"]["share"] == 0.5
    assert found["steps"] == 2
    assert "trained" in result.stderr


def test_quiet_prints_nothing(model_folder, dataset, tmp_path):
    result = call(dataset(), "-m", model_folder, "--steps", 2, "-o", tmp_path / "out", "--quiet")
    assert result.output == ""


def test_settings_are_refused_as_options(model_folder, dataset, tmp_path):
    base = [dataset(), "-m", model_folder, "-o", tmp_path / "out"]
    with pytest.raises(UsageError, match="rank: adapter 'full' has no such setting"):
        call(*base, "--adapter", "full", "--rank", 4)
    with pytest.raises(UsageError, match="--learning-rate: Input should be greater than 0"):
        call(*base, "--learning-rate", -1)
    with pytest.raises(ModelError, match="no such folder"):
        call(dataset(), "-m", "./nothing", "-o", tmp_path / "out")


def test_options_of_an_adapter_are_read_as_json_or_text(model_folder, dataset, tmp_path):
    base = [dataset(), "-m", model_folder, "-o", tmp_path / "out", "--adapter", "loreft", "--rank", 2, "--steps", 2]
    options = ["--option", "first=3", "--option", "tied=false", "--option", "layers=all"]
    result = call(*base, *options, "--learning-rate", 0.01, "--json")
    found = json.loads(result.stdout)
    assert found["arm"]["options"] == {"first": 3, "tied": False, "layers": "all"}
    assert found["bytes"] < found["full_copy_bytes"] == (model_folder / "model.safetensors").stat().st_size
    with pytest.raises(UsageError, match="'first' is not KEY=VALUE"):
        call(*base, "--option", "first")


def test_any_key_of_an_arm_can_be_set(model_folder, dataset, tmp_path):
    base = [dataset(), "-m", model_folder, "-o", tmp_path / "out", "--steps", 2]
    found = json.loads(call(*base, "--set", "targets=mlp", "--set", 'l2={"weight": 0.1}', "--json").stdout)
    assert found["arm"]["targets"] == "mlp"
    assert found["arm"]["l2"] == {"weight": 0.1}
    with pytest.raises(UsageError, match="--set steps: there is an option for it: --steps"):
        call(*base, "--set", "steps=3")
    with pytest.raises(UsageError, match="warmth"):
        call(*base, "--set", "warmth=3")
