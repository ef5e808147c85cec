"""Two processes that train together do what one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from train import Arm, fit
from train.parallel import ALONE, Group

ROOT = Path(__file__).resolve().parents[2]


def test_a_batch_for_every_process_and_none_twice() -> None:
    for size in (1, 2, 3, 4):
        for count in range(1, 9):
            made = [f"batch{number}" for number in range(count)]
            shares = [list(Group(rank, size).share(made)) for rank in range(size)]
            assert len({len(share) for share in shares}) == 1, "each goes through the model equally often"
            counted = [batch for share in shares for batch, counts in share if counts]
            assert sorted(counted) == made
            assert {counts for share in shares for _, counts in share} <= {0.0, float(size)}


@pytest.mark.parametrize(
    ("size", "batch_size", "rows", "wanted"), [(1, 8, 8, 8), (2, 8, 8, 4), (2, 4, 8, 4), (3, 8, 8, 3), (4, 8, 1, 1)]
)
def test_rows_are_dealt_so_that_all_have_work(size, batch_size, rows, wanted) -> None:
    assert Group(0, size).rows_at_once(batch_size, rows) == wanted


def test_alone_nothing_is_asked_of_others() -> None:
    value = torch.ones(2)
    assert ALONE.total(value) is value
    assert ALONE.whole(value) is value


SCRIPT = """\
import json, pathlib, sys, torch
from train import Arm, fit
torch.set_num_threads(1)
for name, settings in json.loads(sys.argv[1]).items():
    place = pathlib.Path(sys.argv[4])
    fit(Arm(**settings), model=sys.argv[2], data=pathlib.Path(sys.argv[3]), output=place / name, seed=3)
"""

SETTINGS = {
    "full": {"adapter": "full", "learning_rate": 1e-2, "steps": 5, "batch_size": 3, "accumulate": 2, "clip": 0.3},
    "lora": {"rank": 2, "learning_rate": 1e-2, "steps": 5, "batch_size": 5, "weight_decay": 0.1},
}


def torchrun(script: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=200)
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(model_folder, dataset, tmp_path) -> None:
    data = dataset()
    (tmp_path / "ours.py").write_text(SCRIPT)
    arms = {name: {**settings} for name, settings in SETTINGS.items()}
    torchrun(tmp_path / "ours.py", json.dumps(arms), str(model_folder), str(data), str(tmp_path / "two"))
    for name, settings in arms.items():
        one = fit(Arm(**settings), model=model_folder, data=data, output=tmp_path / "one" / name, seed=3)
        two = json.loads((tmp_path / "two" / name / "train.json").read_text())
        assert [sorted(entry) for entry in two["history"]] == [sorted(entry) for entry in one.history]
        for ours, theirs in zip(one.history, two["history"], strict=True):
            assert theirs == pytest.approx(ours, rel=1e-4), name
        assert one.history[-1]["validation_loss"] < one.history[0]["validation_loss"] - 0.2
        record = json.loads((one.folder / "train.json").read_text())
        for key in ("trained_tokens", "tokens", "rows", "trainable_parameters", "total_parameters", "bytes"):
            assert two[key] == record[key], key
        file = next(one.folder.glob("*.safetensors")).name
        alone, together = load_file(one.folder / file), load_file(tmp_path / "two" / name / file)
        assert alone.keys() == together.keys()
        for key, value in alone.items():
            torch.testing.assert_close(together[key], value, rtol=1e-3, atol=1e-4)
        lines = (tmp_path / "two" / name / "log.jsonl").read_text().splitlines()
        assert sum('"event": "finished"' in line for line in lines) <= 1
        assert sum('"event": "stepdone"' in line for line in lines) == settings["steps"], "one process writes"
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["full", "lora"]


@pytest.mark.slow
def test_what_two_processes_do_not_do_is_refused(model_folder, dataset, tmp_path) -> None:
    (tmp_path / "ours.py").write_text(SCRIPT)
    arms = {"full": {**SETTINGS["full"], "checkpoints": 1}}
    arguments = (json.dumps(arms), str(model_folder), str(dataset()), str(tmp_path / "two"))
    done = torchrun(tmp_path / "ours.py", *arguments, check=False)
    assert done.returncode != 0
    assert "checkpoints does not work with 2 processes" in done.stderr
    assert not (tmp_path / "two" / "full").exists()
