"""The backend ``command`` with the real LLaMA-Factory and the real Axolotl, each in an environment of its own.

A step of these tests holds every row, so the order of rows, which is theirs, cannot matter: losses and weights have to
be those of our own loop.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from datakit.core.storage import read_json
from train import Arm, fit
from train.prepare import prepare

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
RUN = {"llamafactory": "llamafactory-cli train {{config}}", "axolotl": "axolotl train {{config}} --launcher python"}
COMMON = {"steps": 4, "batch_size": 8, "schedule": "constant", "warmup": 0.0, "precision": "float32"}


def program(name: str) -> Path:
    """The folder of a peer's programs; the test is skipped where it is not installed."""
    folder = Path(os.environ.get("DATAKIT_PEERS") or ROOT / ".cache" / "peers").absolute() / name / "bin"
    if not (folder / "python").exists():
        pytest.skip(f"{name} is not installed: .ci/peer {name}")
    return folder


@pytest.fixture
def backend(monkeypatch, tmp_path):
    """Settings of the backend for a peer, which asks no hub and writes nothing into the user's folders."""
    for key, value in {"HF_HUB_OFFLINE": "1", "AXOLOTL_DO_NOT_TRACK": "1", "HOME": str(tmp_path / "home")}.items():
        monkeypatch.setenv(key, value)

    def settings(name: str, **more):
        line = f"'{program(name)}'/" + RUN[name].format()
        return {"command": {"run": line, "format": name, **more}}

    return settings


def losses(folder: Path) -> list[float]:
    return [entry["loss"] for entry in read_json(folder / "train.json")["history"] if "loss" in entry]


@pytest.mark.parametrize("name", list(RUN))
@pytest.mark.parametrize("speaks", ["no template", "a chat template"])
def test_a_full_training_is_that_of_our_own_loop(name, speaks, backend, model_folder, chat_folder, dataset, tmp_path):
    """The same weights after four steps: so tokens, labels, rate, clipping, optimizer and divisor were the same."""
    run = {"model": model_folder if speaks == "no template" else chat_folder, "data": dataset(), "seed": 1}
    arm = Arm(adapter="full", learning_rate=3e-3, **COMMON)
    fit(arm, output=tmp_path / "ours", **run)
    theirs = fit(arm.model_copy(update={"backend": backend(name)}), output=tmp_path / "theirs", **run)
    before = load_file(run["model"] / "model.safetensors")
    ours, found = (load_file(tmp_path / folder / "model.safetensors") for folder in ("ours", "theirs"))
    assert ours.keys() == found.keys()
    for key, value in ours.items():
        moved = (value - before[key]).norm()
        assert (value - found[key]).norm() < 0.02 * moved, key
    written = read_json(tmp_path / "ours" / "train.json")
    assert theirs.validation_loss == pytest.approx(written["validation_loss"], rel=1e-3)
    if name == "llamafactory":  # it tells its course, rounded to four figures
        assert losses(tmp_path / "theirs") == pytest.approx(losses(tmp_path / "ours"), rel=1e-3)


@pytest.mark.parametrize("name", list(RUN))
def test_lora_begins_at_the_base_and_is_laid_over_it(name, backend, model_folder, dataset, tmp_path):
    arm = Arm(rank=4, alpha=8.0, learning_rate=2e-2, **COMMON)
    run = {"model": model_folder, "data": dataset(), "seed": 1}
    ours = fit(arm, output=tmp_path / "ours", **run)
    theirs = fit(arm.model_copy(update={"backend": backend(name)}), output=tmp_path / "theirs", **run)
    shapes = [
        {key: value.shape for key, value in load_file(tmp_path / folder / "adapter_model.safetensors").items()}
        for folder in ("ours", "theirs")
    ]
    assert shapes[0] == shapes[1]
    start = next(entry["validation_loss"] for entry in ours.history if "validation_loss" in entry)
    assert theirs.validation_loss < start - 0.5 * (start - ours.validation_loss)
    if name == "llamafactory":
        assert losses(tmp_path / "theirs")[0] == pytest.approx(losses(tmp_path / "ours")[0], rel=1e-3)


READ = """
import json, sys, types
import torch
sys.modules["torchvision"] = None
from llamafactory.data.data_utils import get_dataset_module
from datasets import load_from_disk
found = get_dataset_module(load_from_disk(sys.argv[1]))
columns = ["input_ids", "attention_mask", "labels"]
print("ROWS" + json.dumps({name: [[row[key] for key in columns] for row in part] for name, part in found.items()}))
"""


def test_llamafactory_reads_our_tokens(model_folder, dataset, replay_file, tmp_path):
    """Replay among them, which has no conversation that it could render."""
    folder = program("llamafactory")
    replay = {"general": replay_file}
    copy = f"cp -r data '{tmp_path / 'seen'}'"
    arm = Arm(
        epochs=1,
        batch_size=4,
        replay={"from": "general", "share": 0.2},
        backend={"command": {"run": copy, "format": "llamafactory"}},
    )
    data = dataset()
    with pytest.raises(Exception, match="left no"):
        fit(arm, model=model_folder, data=data, output=tmp_path / "out", replay=replay)
    told = subprocess.run(
        [folder / "python", "-c", READ, tmp_path / "seen" / "tokenized"], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr[-2000:]
    found = json.loads(told.stdout.rpartition("ROWS")[2])
    ready = prepare(arm, model=model_folder, data=data, replay=replay)

    def known(rows):
        return {(*row.ids.tolist(), *torch.where(torch.tensor(row.trained), torch.tensor(row.ids), -100).tolist())
                for row in rows}  # fmt: skip

    train, validation = (
        [(*ids, *labels) for ids, mask, labels in found[key] if mask == [1] * len(ids)]
        for key in ("train_dataset", "eval_dataset")
    )
    assert len(train) == len(found["train_dataset"])
    assert set(validation) == known(ready.validation.rows)
    assert set(train) <= known([*ready.train.rows, *ready.replay.rows])
    assert known(ready.train.rows) <= set(train)
    assert len(train) == len(ready.train.rows) + 2
