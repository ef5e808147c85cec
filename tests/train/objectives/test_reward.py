"""The reward model's loss and numbers against transformers, and what it learns on pairs it has not seen."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
import torch

from datakit.core.chat import ChatSettings, ends_turn
from datakit.core.checkpoint import load_model, load_tokenizer
from datakit.pocket import model_path, write_preferences
from train import Arm
from train.data import Stream
from train.encoder import Encoder
from train.loop import Training, run_steps
from train.objectives import reward
from train.objectives.pairs import encode_pairs
from train.objectives.reward import Reward, pair_scores, reward_loss


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    path = tmp_path_factory.mktemp("preferences") / "pairs.jsonl"
    write_preferences(path, seed=1, rows=300)
    records = [json.loads(line) for line in path.read_text().splitlines()]
    rows = [
        {
            "id": record["id"],
            "messages": [
                {"role": "user", "content": record["prompt"]},
                {"role": "assistant", "content": record["chosen"]},
            ],
            "rejected": [{"role": "assistant", "content": record["rejected"]}],
        }
        for record in records
    ]
    tokenizer, chat = load_tokenizer(model_path()), ChatSettings()
    return encode_pairs(pa.Table.from_pylist(rows), Encoder(tokenizer, chat, ends_turn(tokenizer, chat), 128)).rows


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return load_model(model_path(), dtype="float32", architecture="reward")


def test_the_loss_is_the_negative_log_likelihood_of_the_preference():
    scores = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    chance = torch.exp(scores[0]) / (torch.exp(scores[0]) + torch.exp(scores[1]))
    torch.testing.assert_close(reward_loss(scores), -torch.log(chance))


def test_numbers_equal_those_of_transformers_for_each_answer_alone(model, pairs):
    model.config.pad_token_id = 2
    with torch.no_grad():
        found = pair_scores(model, Reward().collate(pairs[:5], pad=2))
        for place, pair in enumerate(pairs[:5]):
            for side, row in enumerate(pair.sequences):
                alone = model(input_ids=torch.from_numpy(row.ids).long()[None]).logits[0, 0]
                assert found[side, place].item() == pytest.approx(alone.item(), abs=1e-5)


@pytest.mark.parametrize("removed", [False, True])
def test_praise_is_told_from_blame_on_unseen_pairs_and_not_without_the_worse_answer(removed, model, pairs, monkeypatch):
    if removed:
        monkeypatch.setattr(reward, "reward_loss", lambda scores: -torch.nn.functional.logsigmoid(scores[0]))
    settings = {"learning_rate": 1e-3, "batch_size": 20, "warmup": 0.0, "clip": None, "schedule": "constant"}
    objective, arm = Reward(), Arm(objective="reward", adapter="full", **settings)
    run_steps(Training(model, objective, Stream(pairs[:200], rows_per_step=20, seed=0), [], arm, steps=40, pad=0))
    model.eval()
    found = objective.measure(model, [objective.collate(pairs[200:], pad=0)])["pair_accuracy"]
    assert (found > 0.7) is not removed


def test_an_adapter_cannot_hold_the_new_layer():
    with pytest.raises(ValueError, match="give full"):
        Arm(objective="reward", adapter="lora", steps=1)
