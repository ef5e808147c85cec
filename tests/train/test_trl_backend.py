"""The backend ``trl``: the same rows in TRL's trainers, and what they learn."""

from __future__ import annotations

import random

import numpy as np
import pytest
from pydantic import ValidationError

from datakit.core.storage import read_json, write_table
from train import Arm, Diverged, TrainError, fit

pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("default")  # what TRL and accelerate warn of is theirs

CURVE = {"learning_rate": 1e-2, "steps": 6, "batch_size": 4, "weight_decay": 0.1, "warmup": 0.3, "clip": 0.5}


def losses(result):
    return [entry["loss"] for entry in result.history if "loss" in entry]


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_sft_has_the_loss_curve_of_our_own_loop(adapter, model_folder, dataset, replay_file, tmp_path):
    """Equal rows in an equal order, equal masks, rate and clipping: only the arithmetic differs."""
    settings = {**CURVE, "adapter": adapter, "batch_size": 2, "accumulate": 2}
    settings |= {"replay": {"from": "g", "share": 1 / 3}}  # 8 rows and 4 to replay: no step is short
    found = {}
    state, numbers = random.getstate(), np.random.get_state()[1].copy()
    for backend in ("native", "trl"):
        arm = Arm(backend=backend, **settings)
        output = tmp_path / backend
        found[backend] = fit(arm, model=model_folder, data=dataset(), output=output, replay={"g": replay_file}, seed=3)
    ours, theirs = found["native"], found["trl"]
    assert losses(theirs) == pytest.approx(losses(ours), rel=2e-4)
    assert losses(ours)[-1] < losses(ours)[0] - 0.3  # the curve is one that moves
    assert theirs.validation_loss == pytest.approx(ours.validation_loss, rel=2e-4)
    assert theirs.train_loss == pytest.approx(ours.train_loss, rel=2e-4)
    record, own = read_json(theirs.folder / "train.json"), read_json(ours.folder / "train.json")
    for key in ("trained_tokens", "tokens", "trainable_parameters", "total_parameters", "bytes", "rows", "data_digest"):
        assert record[key] == own[key], key
    assert {"trl", "accelerate", "torch"} <= record["versions"].keys()
    assert [entry["learning_rate"] for entry in theirs.history[:-1]] == pytest.approx(
        [entry["learning_rate"] for entry in ours.history if "learning_rate" in entry]
    )
    assert random.getstate() == state
    assert (np.random.get_state()[1] == numbers).all()


@pytest.fixture
def preferences(table, tmp_path):
    folder = tmp_path / "preferences"
    for split, numbers in (("train", range(8)), ("validation", range(8, 11))):
        rows = [
            {
                "turns": [("user", f"number {number}?"), ("assistant", f"it is {number}")],
                "worse": f"no {'idea' * (number % 3 + 1)}",
            }
            for number in numbers
        ]
        write_table(folder / f"{split}-00000.parquet", table(*rows))
    return folder


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_dpo_has_the_loss_curve_of_our_own_loop(adapter, model_folder, preferences, tmp_path):
    settings = {**CURVE, "adapter": adapter, "objective": "dpo", "beta": 0.3}
    found = [
        fit(Arm(backend=backend, **settings), model=model_folder, data=preferences, output=tmp_path / backend, seed=3)
        for backend in ("native", "trl")
    ]
    ours, theirs = found
    assert losses(theirs)[0] == pytest.approx(np.log(2), abs=1e-5)
    assert losses(theirs) == pytest.approx(losses(ours), rel=1e-3)
    assert losses(ours)[-1] < losses(ours)[0] - 0.1
    assert theirs.validation_loss == pytest.approx(ours.validation_loss, rel=1e-3)
    assert [entry["rewards_margins"] for entry in theirs.history[:-1]][-1] > 0.1


def test_a_training_that_diverges_says_so(model_folder, dataset, tmp_path):
    arm = Arm(adapter="full", backend="trl", learning_rate=1e30, steps=4, batch_size=8, clip=None, warmup=0.0)
    with pytest.raises(Diverged, match=r"(loss|gradient) became nan at step \d of 4 \(learning rate"):
        fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()


REWARDS = """\
def high(prompts, completions, completion_ids, answer, id, **columns):
    assert len(prompts) == len(completions) == len(answer) == len(id)
    assert all(text.startswith("<s>") for text in prompts), prompts
    return [sum(token > 128 for token in ids) / len(ids) for ids in completion_ids]

def same(completions, **columns):
    return [1.0] * len(completions)

def short(completions, **columns):
    return [1.0]

def broken(completions, **columns):
    return [1 / 0 for _ in completions]

def nan(completions, **columns):
    return [float("nan") for _ in completions]

text = "no function"
"""


@pytest.fixture
def rewards(tmp_path):
    (tmp_path / "recipe").mkdir()
    (tmp_path / "recipe" / "rewards.py").write_text(REWARDS)
    return tmp_path / "recipe"


def online(trainer: str, reward: str = "rewards:high", steps: int = 8, **settings) -> Arm:
    own = {"trainer": trainer, "reward": reward, "completions": 8, "max_completion": 8}
    return Arm(
        adapter="full",
        backend={"trl": {**own, **settings}},
        steps=steps,
        batch_size=32,
        learning_rate=1e-2,
        warmup=0.0,
        schedule="constant",
    )


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["grpo", "rloo"])
def test_the_mean_reward_rises(trainer, model_folder, dataset, tmp_path, rewards):
    result = fit(
        online(trainer, steps=16), model=model_folder, data=dataset(), output=tmp_path / "out", imports=rewards, seed=1
    )
    rewarded = [entry["reward"] for entry in result.history if "reward" in entry]
    assert len(rewarded) == 16
    assert np.mean(rewarded[-3:]) > np.mean(rewarded[:3]) + 0.1
    record = read_json(result.folder / "train.json")
    assert record["arm"]["backend"]["trl"]["reward"] == "rewards:high"
    assert record["trained_tokens"] > 16 * 32
    assert record["validation_loss"] == result.validation_loss > 0


@pytest.mark.parametrize("trainer", ["grpo", "rloo"])
def test_where_every_answer_earns_the_same_nothing_is_learnt(trainer, model_folder, dataset, tmp_path, rewards):
    """Without differences between rewards no advantage is left, and so no gradient."""
    with pytest.raises(TrainError, match="is the base model, unchanged"):
        fit(
            online(trainer, "rewards:same", steps=1),
            model=model_folder,
            data=dataset(),
            output=tmp_path / "out",
            imports=rewards,
        )


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("rewards:short", "'rewards:short' gave 1 numbers for 32 completions"),
        ("rewards:broken", "failed: ZeroDivisionError: division by zero"),
        ("rewards:nan", "'rewards:nan' gave nan"),
        ("rewards:text", "is no function"),
        ("rewards:gone", "has no 'gone'"),
        ("nowhere:f", "cannot be imported: ModuleNotFoundError"),
        ("unknown", "no reward named 'unknown'"),
    ],
)
def test_a_reward_that_cannot_be_used_is_named(reward, message, model_folder, dataset, tmp_path, rewards):
    with pytest.raises(TrainError, match=message.replace("(", r"\(")):
        fit(
            online("grpo", reward, steps=1),
            model=model_folder,
            data=dataset(),
            output=tmp_path / "out",
            imports=rewards,
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": {"trl": {"trainer": "grpo"}}, "steps": 1}, "trainer grpo needs a reward"),
        ({"backend": {"trl": {"reward": "a:b"}}}, "trainer sft takes no reward"),
        ({"backend": {"trl": {"trainer": "grpo", "reward": "a:b"}}}, "its length is given in steps"),
        ({"backend": {"trl": {"trainer": "rloo", "reward": "a:b", "completions": 3}}, "steps": 1}, "16 rows per step"),
        ({"backend": {"trl": {"trainer": "dpo"}}}, "trainer dpo needs objective: dpo"),
        ({"backend": {"trl": {"trainer": "ppo"}}}, "backend.trl.trainer"),
        ({"backend": "trl", "adapter": "loreft"}, "does not tell adapter loreft where a prompt ends"),
        ({"backend": "trl", "checkpoints": 2}, "checkpoints: backend 'trl' does not follow"),
    ],
)
def test_settings_that_cannot_be_right(settings, message):
    with pytest.raises(ValidationError, match=message.replace(".", r"\.")):
        Arm(**settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 1.0}, "options.learning_rate: the arm or the backend decides"),
        ({"no_such": 1}, "no_such"),
    ],
)
def test_options_of_trls_own(options, message, model_folder, dataset, tmp_path):
    arm = Arm(backend={"trl": {"options": options}}, steps=1)
    with pytest.raises(TrainError, match=message):
        fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out")
