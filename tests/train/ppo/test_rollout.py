"""Sampled answers and their probabilities, against generating and scoring one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from train.ppo.rollout import answer_logprobs, answer_values, sample

STOP = 257


def prompt(text, tokenizer):
    return np.asarray(tokenizer(text)["input_ids"], dtype=np.int32)


@pytest.fixture
def answers(model, tokenizer):
    prompts = [prompt(text, tokenizer) for text in ("a", "a longer prompt", "medium", "other")] * 8
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return sample(model, prompts, stops=[STOP], pad=0, max_answer=12, temperature=1.5)


def test_probabilities_equal_those_of_each_answer_alone(model, answers):
    with torch.no_grad():
        found = answer_logprobs(model, answers, temperature=1.5)
        for row, (asked, said) in enumerate(zip(*answers.split(), strict=True)):
            logits = model(input_ids=torch.tensor([[*asked, *said]])).logits[0].float() / 1.5
            wanted = [logits[len(asked) - 1 + place].log_softmax(-1)[token].item() for place, token in enumerate(said)]
            assert found[row, : len(said)].tolist() == pytest.approx(wanted, abs=2e-5)
            assert not found[row, len(said) :].any()


def test_an_answer_ends_with_its_first_stop_token(model, tokenizer, answers):
    with torch.no_grad():
        model.get_output_embeddings().weight[STOP] *= 8  # a model that stops often
    prompts = [prompt("ab", tokenizer), prompt("abcd", tokenizer)] * 20
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = sample(model, prompts, stops=[STOP], pad=0, max_answer=6, temperature=2.0)
    said = found.split()[1]
    assert {ids[-1] == STOP for ids in said} == {True, False}
    for ids, complete in zip(said, found.complete.tolist(), strict=True):
        assert STOP not in ids[:-1]
        assert complete == (ids[-1] == STOP)
        assert 1 <= len(ids) <= 6


def test_prompts_come_back_as_they_were(tokenizer, answers):
    asked = answers.split()[0]
    assert [tokenizer.decode(ids, skip_special_tokens=True) for ids in asked[:4]] == [
        "a",
        "a longer prompt",
        "medium",
        "other",
    ]


def test_sampling_follows_the_models_probabilities(model, tokenizer):
    """A frequent and a rare first token come as often as the model says, within three standard errors."""
    one = prompt("q", tokenizer)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        found = sample(model, [one] * 2000, stops=[STOP], pad=0, max_answer=1, temperature=1.0)
    with torch.no_grad():
        wanted = model(input_ids=torch.from_numpy(one).long()[None]).logits[0, -1].softmax(-1)
    counts = torch.bincount(found.tokens[:, 0], minlength=260) / 2000
    for token in wanted.topk(3).indices.tolist():
        p = wanted[token].item()
        assert abs(counts[token].item() - p) < 3.5 * (p * (1 - p) / 2000) ** 0.5


def test_values_stand_before_each_token(tokenizer, answers):
    from transformers import LlamaConfig, LlamaForSequenceClassification

    config = LlamaConfig(
        vocab_size=260, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_labels=1
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        critic = LlamaForSequenceClassification(config).eval()
    with torch.no_grad():
        found = answer_values(critic, answers)
        asked, said = (side[0] for side in answers.split())
        hidden = critic.model(input_ids=torch.tensor([[*asked, *said]])).last_hidden_state[0]
        wanted = critic.score(hidden)[:, 0][len(asked) - 1 : len(asked) - 1 + len(said)]
    assert found[0, : len(said)].tolist() == pytest.approx(wanted.tolist(), abs=1e-5)
