"""DPO and ORPO: against TRL on the same batch, and what they do to pairs that were held out."""

from __future__ import annotations

import copy
import math
import types

import pytest
import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer
from trl.experimental.orpo import ORPOTrainer

from datakit.core.storage import write_table
from train import Arm, TrainError, fit
from train.objectives import dpo, orpo
from train.objectives.dpo import Dpo, dpo_loss
from train.objectives.orpo import Orpo, orpo_loss
from train.objectives.pairs import collate_pairs, log_likelihoods

PROMPTS = ["red", "blue car", "old house", "a tree", "my dog", "the sea", "some bread", "two cups"]
HELD_OUT = ["green", "a big cat", "new door"]


def preferences(prompts):
    return [{"turns": [("user", one), ("assistant", "good!")], "worse": "bad"} for one in prompts]


@pytest.fixture
def pairs(tokenizer, encoder, table):
    return Dpo().encode(table(*preferences(PROMPTS)), encoder(tokenizer)).rows


@pytest.fixture
def held_out(tokenizer, encoder, table):
    return Dpo().encode(table(*preferences(HELD_OUT)), encoder(tokenizer)).rows


def margin(model, pairs):
    """Mean advantage of the better answer over the worse one, per token."""
    with torch.no_grad():
        total, count = log_likelihoods(model.eval(), collate_pairs(pairs, pad=0))
    model.train()
    return (total / count).diff(dim=0).neg().mean().item()


def test_log_likelihoods_are_those_of_single_answers(model, pairs):
    total, count = log_likelihoods(model, collate_pairs(pairs, pad=0))
    for side in (0, 1):
        for at, pair in enumerate(pairs):
            row = pair.sequences[side]
            labels = torch.where(torch.from_numpy(row.trained), torch.from_numpy(row.ids).long(), -100)[None]
            loss = model(input_ids=torch.from_numpy(row.ids).long()[None], labels=labels).loss
            assert count[side, at] == row.trained.sum()
            assert total[side, at].item() == pytest.approx(-(loss * row.trained.sum()).item(), rel=1e-5)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_the_first_loss_of_dpo_is_ln_2(size, model, pairs):
    objective = Dpo(beta=0.7)
    rows = objective.refer(model, pairs, batch_size=size, pad=0)
    found = objective.loss(model, objective.collate(rows, pad=0)).total.item() / len(rows)
    assert found == pytest.approx(math.log(2), abs=2e-6)
    assert [row.id for row in rows] == [row.id for row in pairs]


def test_dpo_equals_trls_loss_on_the_same_batch(model, tokenizer, encoder, table, tmp_path):
    """DPOTrainer's own collator, model and reference forward; gradients too."""
    policy = copy.deepcopy(model)
    with torch.no_grad():
        for value in policy.parameters():
            value += 0.05 * torch.randn(value.shape, generator=torch.Generator().manual_seed(1))
    encoded = Dpo().encode(table(*preferences(PROMPTS[:4])), encoder(tokenizer)).rows
    data = Dataset.from_list([{"prompt": one, "chosen": " good!", "rejected": " bad"} for one in PROMPTS[:4]])
    own = copy.deepcopy(tokenizer)
    own.pad_token = own.eos_token
    config = DPOConfig(
        output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False, per_device_train_batch_size=4, beta=0.3,
        activation_checkpointing=False, dataloader_pin_memory=False, max_length=None,
    )  # fmt: skip
    trainer = DPOTrainer(copy.deepcopy(policy), copy.deepcopy(model), config, train_dataset=data, processing_class=own)
    trainer.model.train()
    batch = next(iter(trainer.get_train_dataloader()))
    shown = {
        tuple(row[mask.bool()].tolist()) for row, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    }
    assert shown == {tuple(row.ids.tolist()) for pair in encoded for row in pair.sequences}
    theirs = trainer.compute_loss(trainer.model, batch)
    theirs.backward()

    objective = Dpo(beta=0.3)
    rows = objective.refer(model, encoded, batch_size=2, pad=0)
    ours = objective.loss(policy, objective.collate(rows, pad=0)).total / len(rows)
    ours.backward()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    assert abs(ours.item() - math.log(2)) > 1e-2
    for a, b in zip(policy.parameters(), trainer.model.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-5)


def test_orpo_equals_trls_odds_ratio_and_likelihood(model, pairs):
    """TRL's forward, log-likelihoods and odds ratio on our rows. Its likelihood term is a mean over all tokens of the
    batch, prompts included; of one pair with a prompt of one token both are the same."""
    for chosen in (pairs[:5], [one_token_prompt(pairs[0])]):
        batch = collate_pairs(chosen, pad=0)
        own = types.SimpleNamespace(
            is_encoder_decoder=False, padding_value=0, beta=0.2, aux_loss_enabled=False,
            accelerator=types.SimpleNamespace(device="cpu"), concatenated_inputs=ORPOTrainer.concatenated_inputs,
            get_batch_logps=ORPOTrainer.get_batch_logps,
        )  # fmt: skip
        better, worse, _, _, likelihood = ORPOTrainer.concatenated_forward(own, model, as_trl(chosen))
        total, count = log_likelihoods(model, batch)
        torch.testing.assert_close(total / count, torch.stack([better, worse]), rtol=1e-5, atol=1e-6)
        ratio = ORPOTrainer.odds_ratio_loss(own, better, worse)[0]
        ours = orpo_loss(total / count, beta=0.2)
        torch.testing.assert_close(ours + (total / count)[0], -ratio, rtol=1e-4, atol=1e-6)
    assert ours.sum().item() == pytest.approx((likelihood - ratio.mean()).item(), rel=1e-5)


def one_token_prompt(pair):
    from dataclasses import replace

    def short(row):
        start = int(row.trained.argmax()) - 1
        return replace(row, ids=row.ids[start:], trained=row.trained[start:])

    return replace(pair, chosen=short(pair.chosen), rejected=short(pair.rejected))


def as_trl(pairs):
    found = {}
    for name, side in (("chosen", 0), ("rejected", 1)):
        rows = [pair.sequences[side] for pair in pairs]
        longest = max(len(row) for row in rows)
        ids, mask = torch.zeros(len(rows), longest, dtype=torch.long), torch.zeros(len(rows), longest, dtype=torch.long)
        labels = torch.full_like(ids, -100)
        for at, row in enumerate(rows):
            own = torch.from_numpy(row.ids).long()
            ids[at, : len(row)], mask[at, : len(row)] = own, 1
            labels[at, : len(row)] = torch.where(torch.from_numpy(row.trained), own, -100)
        found |= {f"{name}_input_ids": ids, f"{name}_attention_mask": mask, f"{name}_labels": labels}
    return found


@pytest.mark.parametrize("value", [-1e-9, 0.0, -1e-4, -0.5, -0.7, -30.0, -200.0])
def test_odds_of_certain_and_of_hopeless_answers_are_numbers(value):
    mean = torch.tensor([[value], [-1.0]], requires_grad=True)
    found = orpo_loss(mean, beta=1.0)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(mean.grad).all()


@pytest.mark.parametrize("removed", [False, True])
def test_dpo_widens_the_margin_on_held_out_pairs(removed, model, pairs, held_out, run, monkeypatch):
    if removed:
        monkeypatch.setattr(dpo, "dpo_loss", lambda policy, reference, *, beta: 0.0 * policy[0])
    objective = Dpo()
    rows = objective.refer(model.eval(), pairs, batch_size=8, pad=0)
    before = margin(model, held_out)
    run(model, objective, rows, steps=8, learning_rate=3e-3)
    assert (margin(model, held_out) > before + 0.5) is not removed


def test_the_odds_ratio_widens_the_margin_more_than_the_better_answer_alone(model, pairs, held_out, run, monkeypatch):
    other = copy.deepcopy(model)
    before = margin(model, held_out)
    run(model, Orpo(beta=2.0), pairs, steps=8, learning_rate=3e-3)
    monkeypatch.setattr(orpo, "odds_ratio_loss", lambda mean: 0.0 * mean[0])
    run(other, Orpo(beta=2.0), pairs, steps=8, learning_rate=3e-3)
    with_ratio, without = margin(model, held_out), margin(other, held_out)
    assert with_ratio > before + 0.5
    assert with_ratio > without + 0.5


@pytest.mark.parametrize("objective", [Dpo(), Orpo()], ids=["dpo", "orpo"])
def test_accumulation_equals_one_large_batch(objective, model, pairs, run):
    rows = objective.refer(model, pairs, batch_size=8, pad=0) if isinstance(objective, Dpo) else pairs
    other = copy.deepcopy(model)
    one = run(model, objective, rows, steps=4, batch_size=8, learning_rate=1e-3)
    two = run(other, objective, rows, steps=4, batch_size=3, accumulate=3, learning_rate=1e-3)
    for a, b in zip(one.history, two.history, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-3)


@pytest.mark.parametrize("name", ["dpo", "orpo"])
@pytest.mark.parametrize("adapter", ["lora", "full"])
def test_trains_a_built_dataset(name, adapter, model_folder, table, tmp_path):
    for split in ("train", "validation"):
        write_table(tmp_path / "data" / f"{split}-00000.parquet", table(*preferences(PROMPTS)))
    arm = Arm(objective=name, adapter=adapter, learning_rate=1e-2, steps=4, batch_size=4)
    found = fit(arm, model=model_folder, data=tmp_path / "data", output=tmp_path / "out")
    losses = [entry["validation_loss"] for entry in found.history if "validation_loss" in entry]
    if name == "dpo":
        assert losses[0] == pytest.approx(math.log(2), abs=2e-6)
        assert found.history[1]["loss"] == pytest.approx(math.log(2), abs=2e-6)
    assert losses[-1] < losses[0]
    assert (tmp_path / "out" / "train.json").is_file()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"turns": [("user", "a"), ("assistant", "b")]}, "no worse answer"),
        ({"turns": [("user", "a"), ("assistant", "b")], "worse": "b"}, "the same"),
        ({"turns": [("user", "a")], "worse": "b"}, "last turn"),
    ],
)
def test_a_row_that_is_no_pair_is_refused_by_name(row, message, tokenizer, encoder, table):
    with pytest.raises(TrainError, match=message) as caught:
        Orpo().encode(table(*preferences(["x"]), row), encoder(tokenizer))
    assert "row1" in str(caught.value)


def test_a_pair_whose_answer_lies_behind_the_longest_length_is_dropped(tokenizer, encoder, table):
    made = Dpo().encode(table(*preferences(["x" * 60, "y"])), encoder(tokenizer, max_length=20))
    assert [row.id for row in made.rows] == ["row1"]
    assert made.dropped == ["row0"]


def test_dpo_loss_is_the_papers_equation():
    policy, reference = torch.tensor([[-3.0], [-4.0]]), torch.tensor([[-3.5], [-3.0]])
    expected = -math.log(1 / (1 + math.exp(-0.5 * ((-3.0 + 3.5) - (-4.0 + 3.0)))))
    assert dpo_loss(policy, reference, beta=0.5).item() == pytest.approx(expected, rel=1e-6)
