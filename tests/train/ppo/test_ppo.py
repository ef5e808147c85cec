"""From preference pairs to a reward model to a policy: the mean reward rises, and the penalty holds the KL."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from datakit.core.checkpoint import load_model, load_tokenizer
from datakit.core.example import Example, Message, to_table
from datakit.core.storage import read_json, read_table, write_table
from datakit.pocket import model_path, write_preferences
from train import Arm, TrainError, fit
from train.ppo import learner
from train.ppo.rewards import model_judge
from train.ppo.rollout import sample

TARGET = 1.0  # nats per answer
SETTINGS = {"adapter": "full", "learning_rate": 2e-4, "batch_size": 32, "accumulate": 2, "steps": 10}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """A built dataset of pairs: 300 to train on, 80 to validate on."""
    folder = tmp_path_factory.mktemp("pairs")
    write_preferences(folder / "pairs.jsonl", seed=5, rows=380)
    records = [json.loads(line) for line in (folder / "pairs.jsonl").read_text().splitlines()]
    rows = [
        Example(
            id=record["id"],
            group=record["id"],
            source="pairs",
            origin="pairs:1",
            messages=(Message("user", record["prompt"]), Message("assistant", record["chosen"])),
            rejected=(Message("assistant", record["rejected"]),),
        )
        for record in records
    ]
    write_table(folder / "data" / "train-00000.parquet", to_table(rows[:300]))
    write_table(folder / "data" / "validation-00000.parquet", to_table(rows[300:]))
    return folder / "data"


@pytest.fixture(scope="module")
def few(pairs, tmp_path_factory) -> Path:
    """A few of them."""
    folder = tmp_path_factory.mktemp("few") / "data"
    for split in ("train", "validation"):
        write_table(folder / f"{split}-00000.parquet", read_table(pairs / f"{split}-00000.parquet")[:6])
    return folder


@pytest.fixture(scope="module")
def judge(pairs, tmp_path_factory) -> Path:
    """A reward model."""
    output = tmp_path_factory.mktemp("reward") / "reward"
    arm = Arm(objective="reward", adapter="full", learning_rate=5e-4, epochs=2, batch_size=16)
    fit(arm, model=model_path(), data=pairs, output=output, seed=1)
    return output


def policy(pairs, judge, output, **settings):
    backend = {"ppo": {"reward": str(judge), "max_answer": 8, "critic_rate": 3e-4, **settings}}
    fit(Arm(backend=backend, **SETTINGS), model=model_path(), data=pairs, output=output, seed=1)
    measured = [entry for entry in read_json(output / "train.json")["history"] if "validation_reward" in entry]
    return measured[0], measured[-1]


@pytest.mark.slow
def test_a_reward_model_tells_better_from_worse_answers_it_has_not_seen(judge):
    history = read_json(judge / "train.json")["history"]
    accuracy = [entry["pair_accuracy"] for entry in history if "pair_accuracy" in entry]
    assert accuracy[0] < 0.7
    assert accuracy[-1] > 0.9


@pytest.mark.slow
def test_the_mean_reward_rises_and_the_penalty_holds_the_policy_near_the_start(pairs, judge, tmp_path):
    before, after = policy(pairs, judge, tmp_path / "held", kl=0.6, kl_target=TARGET)
    assert before["validation_kl"] == 0.0
    assert after["validation_kl"] < TARGET
    low, _ = rise(judge, tmp_path / "held")
    assert low > 0

    _, free = policy(pairs, judge, tmp_path / "free", kl=0, kl_target=None)
    assert free["validation_kl"] > TARGET


def rise(judge_folder: Path, tuned: Path) -> tuple[float, float]:
    """The 95 % interval of the mean rise of the reward, over prompts that training did not see."""
    tokenizer = load_tokenizer(model_path())
    judge, _ = model_judge(judge_folder, tokenizer, device="cpu")
    prompts = [
        np.asarray(tokenizer(f"{name} said that the {thing} was")["input_ids"], dtype=np.int32)
        for name in ("Ada", "Ben", "Cora", "Dan", "Eva")
        for thing in ("lamp", "coin", "boat", "book", "park", "tower", "kite", "ring", "rope", "clock")
    ]
    rewards = []
    for folder in (model_path(), tuned):
        model = load_model(folder, dtype="float32")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            answers = sample(model, prompts, stops=[tokenizer.eos_token_id], pad=0, max_answer=8, temperature=1.0)
        rewards.append(judge(answers))
    change = np.subtract(rewards[1], rewards[0])
    found = stats.ttest_1samp(change, 0).confidence_interval(0.95)
    return found.low, found.high


def test_a_function_judges_too(few, tmp_path):
    (tmp_path / "likes.py").write_text(
        "def brevity(prompts, completions, **columns):\n    return [-len(text) for text in completions]\n"
    )
    backend = {"ppo": {"reward": "likes:brevity", "max_answer": 6, "passes": 1}}
    arm = Arm(backend=backend, adapter="lora", rank=2, learning_rate=1e-4, batch_size=4, steps=1)
    fit(arm, model=model_path(), data=few, output=tmp_path / "out", seed=1, imports=tmp_path)
    entry = next(entry for entry in read_json(tmp_path / "out" / "train.json")["history"] if "reward" in entry)
    assert entry["reward"] < 0
    assert entry["kl"] == 0.0


def test_nothing_is_learnt_without_the_policys_loss(few, tmp_path, monkeypatch):
    """Interventions that begin with no change: only the policy's loss makes another model of the base."""
    (tmp_path / "likes.py").write_text(
        "def brevity(prompts, completions, **columns):\n    return [-len(text) for text in completions]\n"
    )
    backend = {"ppo": {"reward": "likes:brevity", "max_answer": 6, "passes": 1}}
    own = {"adapter": "direft", "rank": 2, "options": {"identity": True}}
    arm = Arm(backend=backend, learning_rate=1e-3, batch_size=4, steps=1, **own)
    monkeypatch.setattr(learner, "policy_loss", lambda new, *args, **settings: 0.0 * new.sum())
    with pytest.raises(TrainError, match="says exactly what its base says"):
        fit(arm, model=model_path(), data=few, output=tmp_path / "out", seed=1, imports=tmp_path)


def test_a_prompt_without_room_for_an_answer_is_refused(few, tmp_path):
    (tmp_path / "likes.py").write_text("def any(prompts, completions, **columns):\n    return [0.0] * len(prompts)\n")
    backend = {"ppo": {"reward": "likes:any", "max_answer": 60}}
    arm = Arm(backend=backend, learning_rate=1e-4, batch_size=4, steps=1, max_length=64)
    with pytest.raises(TrainError, match="max_answer 60"):
        fit(arm, model=model_path(), data=few, output=tmp_path / "out", seed=1, imports=tmp_path)


@pytest.mark.parametrize(
    ("settings", "match"),
    [({}, "reward"), ({"reward": "m:f", "ratio": 1.5}, "ratio"), ({"reward": "m:f", "x": 1}, "x")],
)
def test_settings_that_cannot_be_are_refused_with_their_place(settings, match):
    with pytest.raises(ValueError, match=rf"backend\.ppo\.{match}"):
        Arm(backend={"ppo": settings}, steps=1)
