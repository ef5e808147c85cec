"""Trackers get numbers alone; TensorBoard's files hold what happened."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from train import Arm, Checked, Flat, StepDone, TrainError, fit, step_course
from train.journal import Journal
from train.tracking import TRACKERS, Tracked, tracking

ROOT = Path(__file__).resolve().parents[2]

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


class Failing:
    """A tracker whose server goes away."""

    def __init__(self, told: Tracked) -> None:
        self.calls = 0

    def scalars(self, step, values) -> None:
        self.calls += 1
        if self.calls > 1:
            raise ConnectionError("the server is gone\nand more")

    def close(self) -> None:
        raise AssertionError("a tracker that failed is left alone")


def test_a_tracker_that_fails_does_not_end_the_training(monkeypatch):
    made = []
    monkeypatch.setattr(TRACKERS, "names", lambda: ["failing"])
    monkeypatch.setattr(TRACKERS, "load", lambda name: lambda told: made.append(Failing(told)) or made[0])
    heard = []
    with tracking(["failing"], Tracked("a", Path(), {}), heard.append) as listen:
        for step in (1, 2, 3):
            listen(StepDone(step, 3, 1.0, 1e-3, 0.5, 10, 20, 1.0, 100.0, 5, 1.0))
    assert made[0].calls == 2
    notes = [event.text for event in heard if isinstance(event, Checked)]
    assert notes == ["the tracker failing failed and gets no more numbers: the server is gone"]
    assert sum(isinstance(event, StepDone) for event in heard) == 3


def test_a_tracker_that_cannot_begin_is_said(monkeypatch):
    def broken(told):
        raise RuntimeError("no account")

    monkeypatch.setattr(TRACKERS, "names", lambda: ["broken"])
    monkeypatch.setattr(TRACKERS, "load", lambda name: broken)
    with (
        pytest.raises(TrainError, match="broken cannot begin: no account"),
        tracking(["broken"], Tracked("a", Path(), {}), None),
    ):
        pass


SCRIPT = """
import json, os, sys
from pathlib import Path
from train.events import StepDone, Validated
from train.tracking import Tracked, tracking

name, folder = sys.argv[1], Path(sys.argv[2])
with tracking([name], Tracked("arm-1", folder, {"rank": 16, "options": {}}, offline=True), None) as listen:
    print("kilimanjaro")  # what a run prints may hold rows
    for step in (1, 2, 3):
        listen(StepDone(step, 3, 1 / step, 1e-3, 0.5, 10, 20, 1.0, 100.0, 5, 1.0))
    listen(Validated(3, 0.7, {"drift": 0.25}))
if name == "mlflow":
    import mlflow
    client = mlflow.MlflowClient()
    (run,) = client.search_runs(["0"])
    history = [[entry.step, entry.value] for entry in client.get_metric_history(run.info.run_id, "train/loss")]
    print("FOUND", json.dumps([history, run.data.metrics["probe/drift"], run.data.params["rank"], run.info.run_name]))
"""


def outside(name: str, folder: Path) -> str:
    peers = Path(os.environ.get("DATAKIT_PEERS") or ROOT / ".cache" / "peers").absolute()
    python = peers / "trackers" / "bin" / "python"
    if not python.exists():
        pytest.skip("the trackers are not installed: .ci/peer trackers")
    ours = Path(pytest.__file__).parents[1]
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("WANDB_", "MLFLOW_"))},
        "MLFLOW_TRACKING_URI": (folder / "mlflow").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }
    # Its own packages first, then ours behind them.
    paths, arguments = [str(ROOT), str(ours)], ["run", name, str(folder), "SECRET"]
    call = [python, "-c", f"import sys; sys.path += {paths}; sys.argv = {arguments}\n{SCRIPT}", "SECRET"]
    told = subprocess.run(call, env=environment, capture_output=True, text=True, check=False, cwd=folder)
    assert told.returncode == 0, told.stderr
    return told.stdout


@pytest.mark.slow
def test_wandb_gets_numbers_and_nothing_that_is_printed(tmp_path):
    outside("wandb", tmp_path)
    (sent,) = tmp_path.rglob("*.wandb")
    content = sent.read_bytes()
    for name in (b"train/loss", b"validation/loss", b"probe/drift", b"rank"):
        assert name in content
    for secret in (b"kilimanjaro", b"SECRET", str(tmp_path).encode(), socket.gethostname().encode() + b'"'):
        assert secret not in content
    assert not list(tmp_path.rglob("output.log"))
    assert not list(tmp_path.rglob("wandb-metadata.json"))


@pytest.mark.slow
def test_mlflow_gets_numbers_and_no_paths(tmp_path):
    (line,) = [line for line in outside("mlflow", tmp_path).splitlines() if line.startswith("FOUND ")]
    history, drift, rank, name = json.loads(line.removeprefix("FOUND "))
    assert history == [[1, 1.0], [2, 0.5], [3, pytest.approx(1 / 3)]]
    assert (drift, rank, name) == (0.25, "16", "arm-1")
    tags = {file.name: file.read_text() for file in (tmp_path / "mlflow").rglob("tags/*")}
    assert tags["mlflow.source.name"] == tags["mlflow.user"] == "datakit"
    files = [file for file in (tmp_path / "mlflow").rglob("*") if file.is_file()]
    assert not [file for file in files if b"kilimanjaro" in file.read_bytes() or b"SECRET" in file.read_bytes()]
