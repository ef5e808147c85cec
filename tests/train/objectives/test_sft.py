from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from datakit.core.chat import render_prompt
from train import Arm, TrainError
from train.masking import Row
from train.objectives import Loss, sft
from train.objectives.sft import Sft

TALK = [("user", "one"), ("assistant", "first"), ("user", "two"), ("assistant", "second")]
# Leaves thoughts out of earlier turns and puts an empty one before the answer, as thinking models' templates do.
THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' and loop.last %}(thought)\n{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n(thought)\n{% endif %}"
)


def trained(row, tokenizer):
    return tokenizer.decode([id for id, own in zip(row.ids.tolist(), row.trained, strict=True) if own])


def test_all_turns_are_trained_each_with_its_end(chat_tokenizer, encoder, table):
    made = Sft("all").encode(table({"turns": TALK}), encoder(chat_tokenizer))
    (row,) = made.rows
    assert trained(row, chat_tokenizer) == "first<|im_end|>\nsecond<|im_end|>\n"
    assert row.weight == row.trained_tokens


def test_a_template_that_rewrites_earlier_turns_makes_every_turn_a_row(make_tokenizer, encoder, table):
    """Then each is trained exactly as inference would ask for it."""
    tokenizer = make_tokenizer(bos=False, template=THINKING)
    own = encoder(tokenizer)
    made = Sft("all", (1.0, 0.5)).encode(table({"turns": TALK}), own).rows
    assert [trained(row, tokenizer) for row in made] == ["first<|im_end|>\n", "second<|im_end|>\n"]
    messages = [{"role": role, "content": content} for role, content in TALK]
    for row, end in zip(made, (1, 3), strict=True):
        prompt = render_prompt(messages[:end], tokenizer, own.chat)
        assert tokenizer.decode(row.ids.tolist()).startswith(prompt)
    assert [row.weight / row.trained_tokens for row in made] == [0.5, 1.0]


def test_without_a_template_nothing_ends_an_earlier_turn(tokenizer, encoder, table):
    with pytest.raises(TrainError, match="row row0") as caught:
        Sft("all").encode(table({"turns": TALK}), encoder(tokenizer))
    assert "turns: last" in str(caught.value.hint)
    assert len(Sft("all").encode(table({"turns": TALK[:2]}), encoder(tokenizer)).rows) == 1


def test_the_cut_of_a_long_row_leaves_the_turns_before_it(chat_tokenizer, encoder, table):
    made = Sft("all", (1.0, 0.5)).encode(table({"turns": TALK}), encoder(chat_tokenizer, max_length=45)).rows[0]
    assert made.truncated
    assert len(made) == len(made.weights) == 45
    assert trained(made, chat_tokenizer) == "first<|im_end|>\n"


def nll_of(model, row, part):
    labels = torch.where(torch.from_numpy(part), torch.from_numpy(row.ids).long(), -100)[None]
    with torch.no_grad():
        return model(input_ids=torch.from_numpy(row.ids).long()[None], labels=labels).loss.item()


def test_weights_of_turns_are_weights_of_their_tokens(model, chat_tokenizer, encoder, table):
    rows = Sft("all", (1.0, 0.25)).encode(table({"turns": TALK}), encoder(chat_tokenizer)).rows
    objective = Sft()
    batch = objective.collate(rows, pad=0)
    last = Sft().encode(table({"turns": TALK}), encoder(chat_tokenizer)).rows[0].trained
    first = rows[0].trained & ~last
    expected = nll_of(model, rows[0], last) * last.sum() + 0.25 * nll_of(model, rows[0], first) * first.sum()
    weight = last.sum() + 0.25 * first.sum()
    assert objective.loss(model, batch).total.item() == pytest.approx(expected, rel=1e-5)
    assert batch.weight == pytest.approx(weight)
    assert rows[0].weight == pytest.approx(weight)


@pytest.mark.parametrize("removed", [False, True])
def test_earlier_turns_are_learnt_and_not_where_they_are_left_out(
    removed, model, chat_tokenizer, encoder, table, run, monkeypatch
):
    if removed:
        whole = sft.turn_rows

        def last_only(id, messages, encoder, weights=()):
            return whole(id, messages, encoder, (1.0, 0.0))

        monkeypatch.setattr(sft, "turn_rows", last_only)
    own = encoder(chat_tokenizer)
    talk = [("user", "one"), ("assistant", "zzzzzzzz"), ("user", "two"), ("assistant", "b")]
    rows = Sft("all").encode(table({"turns": talk}), own).rows
    first = Sft().encode(table({"turns": talk[:2]}), own).rows[0]
    before = nll_of(model, first, first.trained)
    run(model, Sft("all"), rows, steps=15)
    after = nll_of(model, first, first.trained)
    assert (after < 0.5 * before) is not removed


@pytest.mark.parametrize("removed", [False, True])
def test_answers_are_learnt_and_not_without_the_loss(removed, model, tokenizer, encoder, table, run, monkeypatch):
    if removed:
        nll = sft.nll
        monkeypatch.setattr(sft, "nll", lambda model, batch: Loss(0.0 * nll(model, batch).total))
    rows = Sft().encode(table(*({"turns": TALK[at : at + 2]} for at in (0, 2))), encoder(tokenizer)).rows
    before = [nll_of(model, row, row.trained) for row in rows]
    run(model, Sft(), rows, steps=15)
    after = [nll_of(model, row, row.trained) for row in rows]
    assert (sum(after) < 0.5 * sum(before)) is not removed


@pytest.mark.parametrize("removed", [False, True])
def test_a_lighter_turn_is_learnt_less_and_not_without_the_weights(
    removed, model, chat_tokenizer, encoder, table, run, monkeypatch
):
    if removed:
        whole = sft.turn_rows
        monkeypatch.setattr(sft, "turn_rows", lambda id, turns, own, weights=(): whole(id, turns, own, ()))
    own = encoder(chat_tokenizer)
    talk = [("user", "one"), ("assistant", "zzzz"), ("user", "two"), ("assistant", "qqqq")]
    first = Sft().encode(table({"turns": talk[:2]}), own).rows[0]
    left = []
    for weights in ((1.0, 1.0), (1.0, 0.05)):
        other = copy.deepcopy(model)
        run(other, Sft("all", weights), Sft("all", weights).encode(table({"turns": talk}), own).rows, steps=6)
        left.append(nll_of(other, first, first.trained))
    assert (left[1] > 1.2 * left[0]) is not removed


def test_accumulation_with_weights_equals_one_large_batch(model, chat_tokenizer, encoder, table, run):
    talks = [[*TALK[: 2 * half], ("user", "x" * half), ("assistant", "y" * (9 - half))] for half in (0, 1, 2, 2)]
    rows = Sft("all", (1.0, 0.3)).encode(table(*({"turns": talk} for talk in talks)), encoder(chat_tokenizer)).rows
    other = copy.deepcopy(model)
    one = run(model, Sft(), rows, steps=4, batch_size=4, learning_rate=1e-3)
    two = run(other, Sft(), rows, steps=4, batch_size=1, accumulate=4, learning_rate=1e-3)
    for a, b in zip(one.history, two.history, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["gradient_norm"] == pytest.approx(b["gradient_norm"], rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"turn_weights": [1.0]}, "turns: all"),
        ({"turns": "all", "turn_weights": [0.0, 1.0]}, "above 0"),
        ({"beta": 0.1}, "objective 'sft' has no such setting"),
        ({"objective": "dpo", "turns": "all"}, "objective 'dpo' has no such setting"),
        ({"objective": "dpo", "replay": {"from": "x"}}, "pairs"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Arm(**settings)


def test_equals_trls_loss_on_the_same_batch(model, tokenizer, tmp_path):
    """SFTTrainer's own collator and loss, completions only; a mean over the batch's trained tokens."""
    generator = np.random.default_rng(0)
    rows = []
    for number, (length, prompt) in enumerate([(7, 3), (12, 5), (5, 1), (20, 11)]):
        ids = generator.integers(1, 250, length).astype(np.int32)
        rows.append(Row(str(number), ids, np.arange(length) >= prompt))
    data = Dataset.from_list(
        [{"input_ids": row.ids.tolist(), "completion_mask": row.trained.astype(int).tolist()} for row in rows]
    )
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    config = SFTConfig(
        output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False, per_device_train_batch_size=4,
        completion_only_loss=True, max_length=None, activation_checkpointing=False, dataloader_pin_memory=False,
    )  # fmt: skip
    ours = Sft().loss(model, Sft().collate(rows, pad=9)).total / sum(row.weight for row in rows)
    trainer = SFTTrainer(copy.deepcopy(model), config, train_dataset=data, processing_class=tokenizer)
    trainer.model.train()
    theirs = trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader())))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
