"""PPO that was killed and called again ends with the same bytes as one that was left alone."""

from __future__ import annotations

import signal
import time

import pytest
import torch

from tests.train.resuming import Killed, facts, flipped, killed_at, logged_steps, only, start_training, states, weights
from train import Arm, Diverged, Every, Resumed, Stopped, TrainError, fit
from train.ppo import learner
from train.ppo.penalty import Penalty

LIKES = """\
import random

def letters(prompts, completions, **columns):  # draws, so that it goes on only where Python's numbers do
    return [text.count("e") - 0.1 * len(text) + random.random() for text in completions]
"""
PPO = {"reward": "likes:letters", "max_answer": 6, "passes": 2, "kl": 0.5, "kl_target": 0.01, "critic_rate": 3e-3}
COMMON = {"backend": {"ppo": PPO}, "learning_rate": 1e-2, "steps": 6, "save_every": 2}
ARMS = {
    "full": Arm(adapter="full", batch_size=2, accumulate=2, weight_decay=0.1, **COMMON),
    "lora": Arm(adapter="lora", rank=2, batch_size=4, **COMMON),
}


@pytest.fixture
def run(model_folder, dataset, tmp_path):
    """All of a training but the arm and the output; the reward lies beside."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "likes.py").write_text(LIKES)
    return {"model": model_folder, "data": dataset(), "seed": 3, "imports": tmp_path / "code"}


@pytest.mark.parametrize("arm", list(ARMS.values()), ids=list(ARMS))
def test_goes_on_bit_for_bit(arm, run, tmp_path):
    """Policy, kept states, and every number written down; the weight of the penalty moves in every step."""
    arm = arm.model_copy(update={"checkpoints": Every(every=1)})
    fit(arm, output=tmp_path / "whole", **run)
    assert len({entry["kl_weight"] for entry in facts(tmp_path / "whole")["history"] if "kl_weight" in entry}) > 2
    with pytest.raises(Killed):
        fit(arm, output=tmp_path / "out", progress=killed_at(5), **run)
    assert not (tmp_path / "out").exists()
    assert states(tmp_path / "out") == ["step-000002", "step-000004"]
    events = []
    fit(arm, output=tmp_path / "out", progress=events.append, **run)
    assert only(events, Resumed) == [Resumed(4, 6, [])]
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    for step in range(1, 6):
        kept = f"checkpoints/step-{step:06}"
        assert weights(tmp_path / "out" / kept) == weights(tmp_path / "whole" / kept)
    assert facts(tmp_path / "out") == facts(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code", "data", "out", "whole"]


def forgets_critic(tensors):
    return {name: value for name, value in tensors.items() if not name.startswith("model.critic.")}


def forgets_moments(tensors):
    return {name: torch.zeros_like(value) if name.endswith("exp_avg") else value for name, value in tensors.items()}


def forgets_draws(tensors):
    return {name: value for name, value in tensors.items() if name != "random.torch"}


@pytest.mark.parametrize("forgets", [forgets_critic, forgets_moments, forgets_draws, None])
def test_every_part_of_the_state_is_needed(forgets, run, tmp_path, monkeypatch):
    """Without the critic, the moments, the draws or the penalty's weight another policy comes out."""
    from train import states as kept

    arm = ARMS["lora"]
    fit(arm, output=tmp_path / "whole", **run)
    with pytest.raises(Killed):
        fit(arm, output=tmp_path / "out", progress=killed_at(5), **run)
    if forgets is None:
        monkeypatch.setattr(Penalty, "restore", lambda self, state: None)
    else:
        read = kept.States.read

        def forgetful(self):
            saved = read(self)
            return saved and kept.Snapshot(saved.step, forgets(saved.tensors), saved.record)

        monkeypatch.setattr(kept.States, "read", forgetful)
        monkeypatch.setattr("train.parallel.Group.put", lambda self, value, full: full is None or value.copy_(full))
    fit(arm, output=tmp_path / "out", **run)
    assert weights(tmp_path / "out") != weights(tmp_path / "whole")


def test_a_damaged_state_is_noticed_and_the_one_before_is_used(run, tmp_path):
    arm = ARMS["full"]
    fit(arm, output=tmp_path / "whole", **run)
    with pytest.raises(Killed):
        fit(arm, output=tmp_path / "out", progress=killed_at(5), **run)
    flipped(tmp_path / ".out.state" / "step-000004" / "state.safetensors")
    events = []
    fit(arm, output=tmp_path / "out", progress=events.append, **run)
    assert only(events, Resumed) == [Resumed(2, 6, ["step-000004"])]
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert facts(tmp_path / "out") == facts(tmp_path / "whole")


@pytest.mark.parametrize(
    "change",
    [{"batch_size": 4, "accumulate": 1}, {"backend": {"ppo": {**PPO, "ratio": 0.3}}}, "another reward"],
    ids=["answers per update", "a setting of ppo", "another reward"],
)
def test_no_state_of_another_training_is_taken(change, run, tmp_path):
    arm = ARMS["full"]
    with pytest.raises(Killed):
        fit(arm, output=tmp_path / "out", progress=killed_at(3), **run)
    if isinstance(change, str):
        (run["imports"] / "likes.py").write_text(LIKES.replace('"e"', '"a"'))
    else:
        arm = arm.model_copy(update=change)
    events = []
    fit(arm, output=tmp_path / "out", progress=events.append, **run)
    assert only(events, Resumed) == []
    assert next(event.step for event in events if type(event).__name__ == "StepDone") == 1


def test_a_signal_waits_for_the_step_and_its_state(run, tmp_path):
    arm = ARMS["lora"].model_copy(update={"save_every": None})
    fit(arm, output=tmp_path / "whole", **run)
    events = []

    def progress(event):
        events.append(event)
        if type(event).__name__ == "StepDone" and event.step == 3 and not only(events, Resumed):
            signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(arm, output=tmp_path / "out", progress=progress, **run)
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert only(events, Stopped) == [Stopped(3, 6, "SIGTERM")]
    assert states(tmp_path / "out") == ["step-000003"]
    fit(arm, output=tmp_path / "out", progress=progress, **run)
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def test_divergence_keeps_the_last_good_state(run, tmp_path, monkeypatch):
    arm, steps = ARMS["full"].model_copy(update={"save_every": 1}), []
    true = learner.policy_loss

    def broken(*args, **settings):
        steps.append(1)
        return true(*args, **settings) * (float("nan") if len(steps) > 8 else 1.0)  # four updates a step

    monkeypatch.setattr(learner, "policy_loss", broken)
    with pytest.raises(Diverged, match="policy loss") as caught:
        fit(arm, output=tmp_path / "out", **run)
    assert caught.value.exit_code == 5
    assert states(tmp_path / "out") == ["step-000001", "step-000002"]


def test_a_model_that_could_not_be_written_is_only_written_again(run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("train.backends.handing.examine", lambda *args, **settings: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fit(ARMS["full"], output=tmp_path / "out", **run)
    events = []
    fit(ARMS["full"], output=tmp_path / "out", progress=events.append, **run)
    assert only(events, Resumed) == [Resumed(6, 6, [])]
    assert not [event for event in events if type(event).__name__ == "StepDone"]
    fit(ARMS["full"], output=tmp_path / "whole", **run)
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")


def test_the_others_keep_no_state():
    for backend in ("trl", {"command": {"run": "x"}}):
        with pytest.raises(ValueError, match=r"save_every: backend '\w+' does not follow"):
            Arm(backend=backend, steps=2, save_every=1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_process_goes_on_bit_for_bit(number, run, tmp_path):
    steps = 30

    def start(name):
        own = [f"{key}={value}" for key, value in PPO.items()]
        more = ["--backend", "ppo", *(part for pair in own for part in ("-B", pair)), "--save-every", 4]
        more += ["--rank", 2, "--learning-rate", 1e-2, "--steps", steps, "--batch-size", 4, "--seed", 3]
        places = [run["data"], "-m", run["model"], "-o", tmp_path / name]
        return start_training(*places, *more, folder=run["imports"])

    killed = start("out")
    while logged_steps(tmp_path / "out.log.jsonl") < 9:
        assert killed.poll() is None, killed.communicate()
        time.sleep(0.005)
    killed.send_signal(number)
    printed, complaint = killed.communicate(timeout=120)
    assert killed.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 143}[number], complaint
    assert not (tmp_path / "out").exists()
    if number != signal.SIGKILL:
        assert f"{number.name}: stopped after step" in printed
    again = start("out")
    printed, complaint = again.communicate(timeout=300)
    assert again.returncode == 0, complaint
    assert "goes on after step" in printed
    arm = Arm(backend={"ppo": PPO}, rank=2, learning_rate=1e-2, steps=steps, batch_size=4, save_every=4)
    fit(arm, output=tmp_path / "whole", **run)
    assert weights(tmp_path / "out") == weights(tmp_path / "whole")
    assert facts(tmp_path / "out") == facts(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code", "data", "out", "whole"]


def test_a_reward_that_is_no_number_leaves_the_states(run, tmp_path):
    (run["imports"] / "likes.py").write_text(
        "calls = []\n\n\ndef letters(prompts, completions, **columns):\n    calls.append(1)\n"
        "    return [1.0 if len(calls) < 6 else float('nan')] * len(prompts)\n"
    )
    with pytest.raises(TrainError, match="gave nan"):
        fit(ARMS["full"], output=tmp_path / "out", **run)
    assert states(tmp_path / "out") == ["step-000002"]
