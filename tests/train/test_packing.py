"""Packed rows are trained exactly as they are alone; models in which they are not are noticed."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from datakit.core.chat import ChatSettings
from train import Arm, Packing, TrainError, fit
from train.adapters.full import Full
from train.attention import DocumentAttention, attend
from train.data import Stream, batches, collate
from train.loop import Training, run_steps
from train.losses import nll, token_nll
from train.masking import completion_row
from train.objectives.dpo import Dpo
from train.objectives.sft import Sft
from train.packing import best_fit, chosen_attention, pack, packed, packing_is_exact


@pytest.fixture
def rows(tokenizer, pairs):
    def one(number, prompt, answer):
        messages = [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]
        return completion_row(f"row{number}", messages, tokenizer, ChatSettings(), end="</s>", max_length=128)

    return [one(number, *pair) for number, pair in enumerate(pairs)]


def other_model(kind):
    import transformers as t

    size = {"vocab_size": 260, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    llama_like = {**size, "intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8, "initializer_range": 0.1}
    configs = {
        "gpt2": lambda: t.GPT2Config(
            vocab_size=260, n_embd=32, n_layer=2, n_head=4, bos_token_id=256, eos_token_id=257, initializer_range=0.2
        ),
        "qwen3": lambda: t.Qwen3Config(**llama_like),
        "mistral with a window": lambda: t.MistralConfig(**llama_like, sliding_window=6),
        "gemma2 with capped scores": lambda: t.Gemma2Config(**llama_like),
        "neox": lambda: t.GPTNeoXConfig(**size, intermediate_size=64, initializer_range=0.1),
        "mamba": lambda: t.MambaConfig(vocab_size=260, hidden_size=32, num_hidden_layers=2, state_size=4),
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return t.AutoModelForCausalLM.from_config(configs[kind]())


@pytest.mark.parametrize("training", [False, True])
def test_packed_loss_and_gradient_are_the_sum_of_single_ones(model, rows, training):
    model.train(training)
    alone, together = model, copy.deepcopy(model)
    total = sum(nll(alone, collate([row], pad=0)).total for row in rows)
    total.backward()
    with DocumentAttention(together):
        loss = nll(together, pack(rows)).total
        loss.backward()
    assert loss.item() == pytest.approx(total.item(), rel=1e-6)
    for a, b in zip(alone.parameters(), together.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-5)


def test_without_our_attention_and_with_a_full_mask_rows_do_see_each_other(model, rows):
    """The trap this guards against is real: the same sequence with an all-ones mask has another loss."""
    batch = pack(rows)
    alone = torch.cat([token_nll(model, collate([row], pad=0)) for row in rows])
    contaminated = model(input_ids=batch.ids, attention_mask=torch.ones_like(batch.ids)).logits[0]
    each = functional.cross_entropy(contaminated[batch.positions], batch.targets, reduction="none")
    assert (each - alone).abs().max() > 0.1


@pytest.mark.parametrize("kind", ["gpt2", "qwen3", "mistral with a window", "neox"])
def test_other_families_are_exact(kind, rows):
    model = other_model(kind)
    before = model.config._attn_implementation
    assert packing_is_exact(model, rows, DocumentAttention(model))
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("kind", ["mamba", "gemma2 with capped scores"])
def test_models_that_do_not_keep_rows_apart_are_noticed(kind, rows):
    model = other_model(kind)
    chosen = {"objective": Sft(), "adapter": Full()}
    attention, why = chosen_attention("auto", model, rows, **chosen)
    assert attention is None
    assert why
    with pytest.raises(TrainError, match=r"packing: true is not possible.*Set packing: auto"):
        chosen_attention(True, model, rows, **chosen)


def test_a_model_that_ignores_positions_is_noticed(rows):
    model = other_model("gpt2")
    forward = model.forward
    model.forward = lambda *args, position_ids=None, **options: forward(*args, **options)
    assert not packing_is_exact(model, rows, DocumentAttention(model))


def test_pairs_are_not_packed(model, rows):
    attention, why = chosen_attention("auto", model, rows, objective=Dpo(), adapter=Full())
    assert attention is None
    assert "single sequences" in why


def test_a_packed_training_is_the_training(model, rows):
    """Six steps with accumulation, packed and not: the same losses and weights but for rounding."""
    other, results = copy.deepcopy(model), []
    for trained, attention in ((model, None), (other, DocumentAttention(other))):
        arm = Arm(adapter="full", learning_rate=1e-3, steps=6, batch_size=3, accumulate=2)
        stream = Stream(rows, rows_per_step=6, seed=0)
        validation = batches(rows, batch_size=8, pad=0)
        training = Training(trained, Sft(), stream, validation, arm, steps=6, pad=0, attention=attention)
        results.append(run_steps(training).history)
    for a, b in zip(*results, strict=True):
        assert [a[key] for key in a] == pytest.approx([b[key] for key in a], rel=1e-4)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=40), capacity=st.integers(10, 80), most=st.integers(1, 9)
)
def test_best_fit_places_every_row_once_within_the_limits(lengths, capacity, most):
    bins = best_fit(lengths, capacity=capacity, rows=most)
    assert sorted(index for bin in bins for index in bin) == list(range(len(lengths)))
    for bin in bins:
        assert len(bin) == 1 or sum(lengths[index] for index in bin) <= capacity
        assert len(bin) <= most
    fits = [length for length in lengths if length <= capacity]
    if most >= len(lengths) and len(fits) == len(lengths):  # no two bins could be one
        loads = sorted(sum(lengths[index] for index in bin) for bin in bins)
        assert len(loads) < 2 or loads[0] + loads[1] > capacity


def test_a_budget_of_tokens_cuts_packed_and_padded_batches(rows):
    longest = max(len(row) for row in rows)
    made = packed(rows, batch_size=100, tokens=longest + 5)
    assert all(batch.ids.numel() <= longest + 5 for batch in made)
    padded = batches(rows, batch_size=100, pad=0, tokens=60)
    assert all(batch.ids.numel() <= 60 or batch.ids.shape[0] == 1 for batch in padded)
    for cut in (made, padded):
        assert sum(batch.weight for batch in cut) == sum(row.weight for row in rows)
    assert len(padded) > len(batches(rows, batch_size=100, pad=0, overhead=10**6))


@pytest.mark.parametrize("window", [None, 3])
def test_attention_by_row_equals_one_with_the_whole_mask(window):
    """Against attention with an explicit block-diagonal causal mask, key heads shared by two query heads."""
    torch.manual_seed(0)
    lengths = [5, 1, 9, 4]
    ends = torch.tensor([0, 5, 6, 15, 19], dtype=torch.int32)
    query = torch.randn(1, 4, 19, 8)
    key, value = torch.randn(1, 2, 19, 8), torch.randn(1, 2, 19, 8)
    owner = torch.repeat_interleave(torch.arange(4), torch.tensor(lengths))
    back = torch.arange(19)[:, None] - torch.arange(19)
    mask = (owner[:, None] == owner) & (back >= 0) & (back < (window or 99))
    full = functional.scaled_dot_product_attention(
        query, key.repeat_interleave(2, 1), value.repeat_interleave(2, 1), attn_mask=mask, scale=0.3
    )
    found, _ = attend(
        torch.nn.Module(), query, key, value, None, scaling=0.3, cu_seq_lens_q=ends, sliding_window=window
    )
    torch.testing.assert_close(found, full.transpose(1, 2), rtol=1e-5, atol=1e-5)


def test_fit_packs_and_says_where_it_does_not(model_folder, dataset, tmp_path):
    arm = Arm(adapter="full", learning_rate=1e-2, steps=2, batch_size=4)
    events = []
    fit(arm, model=model_folder, data=dataset(), output=tmp_path / "out", progress=events.append)
    assert Packing(packed=True, why="") in events
    off = arm.model_copy(update={"packing": False})
    fit(off, model=model_folder, data=dataset(), output=tmp_path / "off", progress=events.append)
    assert Packing(packed=False, why="packing: false") in events


def test_checkpointing_computes_again_and_changes_no_byte(model_folder, dataset, tmp_path):
    calls = {}
    for name in ("plain", "again"):
        seen = []

        def probe(model, step, seen=seen):
            if step == 0:
                model.get_decoder().layers[0].self_attn.register_forward_pre_hook(
                    lambda *_: seen.append(torch.is_grad_enabled())
                )
            return {}

        arm = Arm(
            adapter="full", learning_rate=1e-2, steps=2, batch_size=8, checkpointing=name == "again", packing=False
        )
        fit(arm, model=model_folder, data=dataset(validation=()), output=tmp_path / name, probe=probe)
        calls[name] = len(seen)
    assert calls["again"] == 2 * calls["plain"]
    files = [tmp_path / name / "model.safetensors" for name in calls]
    assert files[0].read_bytes() == files[1].read_bytes()
