from __future__ import annotations

import copy
import itertools

import pytest
import torch
from transformers import get_scheduler

from datakit.core.chat import ChatSettings
from train import Arm, Diverged
from train.adapters.lora import Lora
from train.data import Stream, batches, collate
from train.loop import Training, run_steps, validation_loss
from train.masking import completion_row
from train.objectives.sft import Sft


@pytest.fixture
def rows(tokenizer, pairs):
    def one(number, prompt, answer):
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        return completion_row(f"row{number}", messages, tokenizer, ChatSettings(), end="</s>", max_length=128)

    return [one(number, *pair) for number, pair in enumerate(pairs)]


def train(model, rows, *, seed=0, steps, validation=(), **settings):
    settings = {"adapter": "full", "learning_rate": 1e-2, "batch_size": 8, **settings}
    bfloat16 = settings.pop("bfloat16", False)
    probe = settings.pop("probe", None)
    arm = Arm(steps=steps, **settings)
    stream = Stream(rows, rows_per_step=arm.batch_size * arm.accumulate, seed=seed)
    training = Training(model, Sft(), stream, list(validation), arm, steps=steps, pad=0, bfloat16=bfloat16)
    return run_steps(training, probe=probe)


def test_learns_eight_rows_by_heart(model, rows):
    validation = batches(rows, batch_size=8, pad=0)
    journal = train(model, rows, steps=120, validation=validation)
    first = next(entry["validation_loss"] for entry in journal.history)
    assert first > 3
    assert journal.validation_loss < 0.02


@pytest.mark.parametrize(
    ("schedule", "theirs"), [("linear", "linear"), ("cosine", "cosine"), ("constant", "constant_with_warmup")]
)
def test_equals_a_plain_loop_written_with_torch_and_transformers(model, rows, schedule, theirs):
    """No accumulation, no cutting, all logits: AdamW, clipping and schedule as everybody has them."""
    other = copy.deepcopy(model)
    settings = {"learning_rate": 1e-2, "weight_decay": 0.3, "clip": 0.5, "warmup": 0.25, "schedule": schedule}
    train(model, rows, steps=8, batch_size=2, accumulate=2, **settings)

    matrices = [value for value in other.parameters() if value.ndim > 1]
    vectors = [value for value in other.parameters() if value.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.3}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, foreach=False, fused=False)
    scheduler = get_scheduler(theirs, optimizer, num_warmup_steps=2 + 1, num_training_steps=8 + 1)
    optimizer.step()  # without gradients nothing moves; the schedule stands one step further
    scheduler.step()
    for step in itertools.islice(Stream(rows, rows_per_step=4, seed=0), 8):
        batch = collate(step, pad=0)
        labels = torch.full_like(batch.ids, -100).flatten()
        labels[batch.positions + 1] = batch.targets
        other(input_ids=batch.ids, labels=labels.view_as(batch.ids)).loss.backward()
        torch.nn.utils.clip_grad_norm_(other.parameters(), 0.5)
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()
    for ours, reference in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("clip", [1.0, None])
def test_accumulation_equals_one_large_batch(model, rows, clip):
    other = copy.deepcopy(model)
    one = train(model, rows, steps=6, batch_size=8, clip=clip, learning_rate=1e-3)
    two = train(other, rows, steps=6, batch_size=2, accumulate=4, clip=clip, learning_rate=1e-3)
    for a, b in zip(one.history, two.history, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_the_loss_weighs_tokens_and_not_rows(model, rows):
    """The first logged loss is the sum over all trained tokens by their number, found one row at a time."""
    total, count = 0.0, 0
    for row in rows:
        labels = torch.where(torch.from_numpy(row.trained), torch.from_numpy(row.ids).long(), -100)[None]
        with torch.no_grad():
            loss = model(input_ids=torch.from_numpy(row.ids).long()[None], labels=labels).loss.item()
        total, count = total + loss * int(row.trained.sum()), count + int(row.trained.sum())
    journal = train(model, rows, steps=1, batch_size=3, accumulate=3)
    assert journal.history[0]["loss"] == pytest.approx(total / count, rel=1e-5)
    assert journal.trained_tokens == count
    assert journal.tokens == sum(len(row) for row in rows)


def test_lora_leaves_the_models_own_weights_as_they_were(model, rows):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    arm = Arm(rank=2)
    tuned = Lora().apply(model, arm)
    trainable = [name for name, value in tuned.named_parameters() if value.requires_grad]
    assert trainable
    assert all("lora_" in name for name in trainable)
    train(tuned, rows, steps=5)
    after = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): value
        for name, value in tuned.state_dict().items()
        if "lora_" not in name
    }
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(value.any() for name, value in tuned.named_parameters() if "lora_B" in name)


def test_small_updates_survive_where_bfloat16_is_only_computed_in(model, rows):
    """Weights kept in bfloat16 lose updates of a millionth; float32 masters keep them."""

    def share_changed(model, **settings):
        before = [value.detach().clone() for value in model.parameters()]
        train(model, rows, steps=3, learning_rate=1e-6, **settings)
        changed = sum(int((a != b).sum()) for a, b in zip(before, model.parameters(), strict=True))
        return changed / sum(value.numel() for value in before)

    assert share_changed(copy.deepcopy(model).to(torch.bfloat16)) < 0.05
    assert share_changed(model, bfloat16=True) > 0.6


@pytest.mark.parametrize("learning_rate", [1e30, 1e38])
def test_a_loss_that_is_no_number_ends_the_training(model, rows, learning_rate):
    with pytest.raises(Diverged, match="learning rate") as caught:
        train(model, rows, steps=5, learning_rate=learning_rate, validation=batches(rows, batch_size=8, pad=0))
    assert caught.value.exit_code == 5


def test_broken_weights_are_noticed_before_the_first_step(model, rows):
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    with pytest.raises(Diverged, match="before the first step"):
        train(model, rows, steps=1, validation=batches(rows, batch_size=8, pad=0))


def test_validates_at_the_start_after_each_epoch_and_at_the_end(model, rows):
    journal = train(model, rows, steps=5, batch_size=4, validation=batches(rows[:3], batch_size=2, pad=0))
    assert [entry["step"] for entry in journal.history if "validation_loss" in entry] == [0, 2, 4, 5]


def test_validation_loss_is_a_mean_over_tokens_whatever_the_batches(model, rows):
    model.eval()

    def loss(cut):
        arm = Arm(adapter="full", steps=1)
        return validation_loss(Training(model, Sft(), Stream(rows, rows_per_step=8, seed=0), cut, arm, steps=1, pad=0))

    losses = [loss(batches(rows, batch_size=size, pad=0, overhead=0)) for size in (1, 3, 8)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)
    assert loss([]) is None


def test_a_probe_is_asked_in_eval_mode_and_changes_nothing(model, rows):
    modes = []

    def probe(model, step):
        modes.append((model.training, step))
        torch.rand(3)
        return {"drawn": float(step)}

    arm = Arm(rank=2, dropout=0.5)
    other = copy.deepcopy(model)
    results = []
    for base, asked in ((model, None), (other, probe)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            tuned = Lora().apply(base, arm)
            journal = train(tuned, rows, steps=4, batch_size=4, probe=asked)
            results.append([value.detach().clone() for value in tuned.parameters()])
    assert modes == [(False, 0), (False, 2), (False, 4)]
    assert [entry["drawn"] for entry in journal.history if "drawn" in entry] == [0.0, 2.0, 4.0]
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
