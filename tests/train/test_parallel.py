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

from datakit.cli.processes import exit_code
from train import Arm, Resumed, TrainError, fit
from train.parallel import ALONE, Group, check_together

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
    place, general = pathlib.Path(sys.argv[4]), {"general": pathlib.Path(sys.argv[5])}
    fit(
        Arm(**settings), model=sys.argv[2], data=pathlib.Path(sys.argv[3]), output=place / name, seed=3, replay=general,
        probe=lambda model, step: {"logit": model(torch.tensor([[256, 10, 20]])).logits[0, -1, 30].item()},
    )
"""

SETTINGS = {
    "full": {"adapter": "full", "learning_rate": 1e-2, "steps": 5, "batch_size": 3, "accumulate": 2, "clip": 0.3},
    "lora": {"rank": 2, "learning_rate": 1e-2, "steps": 5, "batch_size": 5, "weight_decay": 0.1},
    "full keeps": {
        "adapter": "full",
        "learning_rate": 1e-2,
        "steps": 4,
        "batch_size": 3,
        "accumulate": 2,
        "kl": {"weight": 0.5},
        "l2": {"weight": 0.5},
        "token_mask": {"quantile": 0.8},
        "checkpointing": True,
        "checkpoints": 1,
        "watch": {"every": 2, "items": 0, "keep": "best"},
    },
    "lora keeps": {
        "rank": 2,
        "learning_rate": 1e-2,
        "steps": 4,
        "batch_size": 5,
        "kl": {"weight": 0.5, "from": "general", "rows": 3},
        "l2": {"weight": 0.5},
        "replay": {"from": "self", "rows": 6, "share": 0.3},
        "checkpointing": True,
        "save_every": 3,
        "max_length": 60,
        "max_truncated": 0.5,
    },
    "lora, kl on trained tokens": {"rank": 2, "learning_rate": 1e-2, "steps": 3, "batch_size": 8, "kl": {}},
    "loreft": {"adapter": "loreft", "rank": 2, "learning_rate": 1e-2, "steps": 3, "batch_size": 8, "kl": {}},
}
LEARNS = ("full", "lora")


def torchrun(script: Path, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True, timeout=400)
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return done


def logit(model, step):
    return {"logit": model(torch.tensor([[256, 10, 20]])).logits[0, -1, 30].item()}


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(model_folder, dataset, replay_file, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    data, arms = dataset(), SETTINGS
    (tmp_path / "ours.py").write_text(SCRIPT)
    two_folder = tmp_path / "two"
    arguments = (json.dumps(arms), str(model_folder), str(data), str(two_folder), str(replay_file))
    torchrun(tmp_path / "ours.py", *arguments)
    for name, settings in arms.items():
        one = fit(
            Arm(**settings),
            model=model_folder,
            data=data,
            output=tmp_path / "one" / name,
            seed=3,
            replay={"general": replay_file},
            probe=logit,
        )
        two = json.loads((two_folder / name / "train.json").read_text())
        assert [sorted(entry) for entry in two["history"]] == [sorted(entry) for entry in one.history]
        for ours, theirs in zip(one.history, two["history"], strict=True):
            assert theirs == pytest.approx(ours, rel=1e-4, abs=1e-5), name
        if name in LEARNS:
            assert one.history[-1]["validation_loss"] < one.history[0]["validation_loss"] - 0.2
        record = json.loads((one.folder / "train.json").read_text())
        for key in ("trained_tokens", "tokens", "rows", "trainable_parameters", "total_parameters", "bytes"):
            assert two[key] == record[key], key
        files = sorted(path.relative_to(one.folder) for path in one.folder.rglob("*.safetensors"))
        there = two_folder / name
        assert files == sorted(path.relative_to(there) for path in there.rglob("*.safetensors"))
        assert len(files) == 1 + settings.get("checkpoints", 0)
        for file in files:
            alone, together = load_file(one.folder / file), load_file(there / file)
            assert alone.keys() == together.keys()
            for key, value in alone.items():
                torch.testing.assert_close(together[key], value, rtol=1e-3, atol=1e-4)
        lines = (two_folder / name / "log.jsonl").read_text().splitlines()
        assert sum('"event": "finished"' in line for line in lines) <= 1
        assert sum('"event": "stepdone"' in line for line in lines) == settings["steps"], "one process writes"
    assert sorted(path.name for path in two_folder.iterdir()) == sorted(arms), "nothing is left beside them"


GOES_ON = """\
import json, os, pathlib, signal, sys, torch
from train import Arm, Resumed, StepDone, fit
torch.set_num_threads(1)
rank = int(os.environ["RANK"])

def go(name, ends=lambda event: None):
    def probe(model, step):
        if name == "out" and sys.argv[6] == "signal" and step == 3 and rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)  # one process alone is told
        return {"drawn": float(torch.rand(1))}

    fit(
        Arm(**json.loads(sys.argv[1])), model=sys.argv[2], data=pathlib.Path(sys.argv[3]), seed=3, probe=probe,
        output=pathlib.Path(sys.argv[4]) / name, replay={"general": pathlib.Path(sys.argv[5])}, progress=ends,
    )

def killed(event):
    if isinstance(event, StepDone) and event.step == 6:
        os._exit(9)
    if isinstance(event, Resumed):
        print("from", event.step, flush=True)

if sys.argv[6] == "signal":
    go("whole")
go("out", killed if sys.argv[6] == "kill" else lambda event: isinstance(event, Resumed) and print("from", event.step))
"""


@pytest.mark.slow
def test_two_processes_go_on_bit_for_bit(model_folder, dataset, replay_file, tmp_path) -> None:
    """A signal that reaches one of them, then a kill: dropout, moments, best and kept states are as they were."""
    (tmp_path / "ours.py").write_text(GOES_ON)
    arm = {
        "rank": 2,
        "dropout": 0.3,
        "learning_rate": 1e-2,
        "steps": 8,
        "batch_size": 2,
        "accumulate": 3,
        "save_every": 4,
        "l2": {"weight": 0.1},
        "kl": {"from": "general"},
        "checkpoints": {"every": 3},
        "watch": {"every": 1, "items": 0, "keep": "best"},
    }
    given = (json.dumps(arm), str(model_folder), str(dataset()), str(tmp_path / "runs"), str(replay_file))
    out, whole = tmp_path / "runs" / "out", tmp_path / "runs" / "whole"
    states = tmp_path / "runs" / ".out.state"
    torchrun(tmp_path / "ours.py", *given, "signal", check=False)
    assert [path.name for path in states.iterdir()] == ["step-000004"]
    done = torchrun(tmp_path / "ours.py", *given, "kill", check=False)
    assert done.stdout.splitlines() == ["from 4"]
    assert not out.exists()
    assert torchrun(tmp_path / "ours.py", *given, "again").stdout.splitlines() == ["from 4"]
    files = sorted(path.relative_to(whole) for path in whole.rglob("*.safetensors"))
    assert len(files) == 3
    for file in files:
        assert (out / file).read_bytes() == (whole / file).read_bytes(), file
    ours, theirs = (json.loads((folder / "train.json").read_text())["history"] for folder in (out, whole))
    assert ours == theirs
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["out", "whole"]


SAVED_BY_TWO = """\
import json, os, pathlib, sys, torch
from train import Arm, StepDone, fit
torch.set_num_threads(1)

def killed(event):
    if isinstance(event, StepDone) and event.step == 4:
        os._exit(9)

fit(
    Arm(**json.loads(sys.argv[1])), model=sys.argv[2], data=pathlib.Path(sys.argv[3]), seed=3,
    output=pathlib.Path(sys.argv[4]), progress=killed,
)
"""


@pytest.mark.slow
def test_one_process_goes_on_where_two_were_killed(model_folder, dataset, tmp_path) -> None:
    (tmp_path / "ours.py").write_text(SAVED_BY_TWO)
    settings = {
        "adapter": "full",
        "learning_rate": 1e-2,
        "steps": 6,
        "batch_size": 4,
        "save_every": 3,
        "l2": {"weight": 0.1},
    }
    settings["watch"] = {"every": 1, "items": 0, "keep": "best"}
    data, events = dataset(), []
    torchrun(
        tmp_path / "ours.py", json.dumps(settings), str(model_folder), str(data), str(tmp_path / "out"), check=False
    )
    given = {"model": model_folder, "data": data, "seed": 3}
    found = fit(Arm(**settings), output=tmp_path / "out", progress=events.append, **given)
    assert [event.step for event in events if isinstance(event, Resumed)] == [3]
    whole = fit(Arm(**settings), output=tmp_path / "whole", **given)
    for ours, theirs in zip(found.history, whole.history, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


@pytest.mark.slow
def test_the_exit_code_of_several_processes_comes_through(model_folder, dataset, tmp_path) -> None:
    command = ["train", str(dataset()), "-m", str(model_folder), "--adapter", "full", "--steps", "3", "-q"]
    command += ["--learning-rate", "1e30", "--processes", "2", "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-m", "datakit", *command],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 5, done.stderr
    assert "became" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("found", "wanted"), [([5, 5], 5), ([-15, 5], 5), ([-9, -15], 137), ([0, 6], 6), ([-15, -15], 143), ([], 1)]
)
def test_the_code_is_of_the_process_that_failed_by_itself(found, wanted) -> None:
    assert exit_code(found) == wanted


def test_what_several_processes_do_not_do_is_refused() -> None:
    two = Group(0, 2)
    for arm, what in ((Arm(backend="mock"), "another backend"), (Arm(adapter="osf"), "adapter osf")):
        check_together(arm, ALONE)
        with pytest.raises(TrainError, match=f"{what} does not work with 2 processes"):
            check_together(arm, two)
    check_together(Arm(kl={}, save_every=1), two)
